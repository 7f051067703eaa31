// Package engine is one side of one replicated volume as a pure state machine:
// roles, connection and disk states, generation identifiers, activity log, bitmap,
// epochs, resync, fencing. It speaks DRBD 8.4's protocol through package wire and
// keeps the state of package metadata. It knows no clock, socket, file or goroutine.
//
// The contract between the engine and its runner:
//
//  1. Events are method calls (ConnectionUp, Receive, DiskDone, Tick, Write, Promote
//     and so on), one at a time. Each gets the time as a duration since any fixed
//     point. After each, the runner takes the effects with Take and carries them out.
//  2. Effects are carried out in their order. Persist is synchronous: the runner
//     flushes the data device, writes the bitmap pages and then the super block, all
//     durable, before it carries out any later effect. If that fails it carries out
//     the rest of the batch and calls MetaFailed: the disk is given up then, and the
//     peer's copy is what is left. MoveMeta is synchronous in the same way.
//  3. Send keeps the order per socket. Messages are encoded with Dialect, except the
//     features packet, which always has the oldest header. Data is not copied: a
//     buffer given to Write belongs to the engine until the request completes; the
//     buffer of a received write until its disk operation is done.
//  4. Disk effects (ReadDisk, WriteDisk, FlushDisk, WriteLog) run at the same time;
//     the runner reports each with DiskDone. The engine never has two of them under
//     way that overlap and matter to each other. WriteLog, with Flush, makes
//     what was written durable, then writes pages of the bitmap and then a transaction,
//     each durable before the next; the runner encodes the pages before it feeds the
//     next event.
//  5. OpenConnection asks for a pair of sockets, which is reported by ConnectionUp.
//     CloseConnection ends the pair; nothing of it may be reported after that. A pair
//     that breaks by itself is reported by ConnectionLost.
//  6. A ping is answered by the engine at once; a runner whose event loop can be kept
//     waiting by a disk answers pings itself.
//  7. A crash at any point between or within effects leaves the disk in a state that
//     New and Attach accept (after metadata's ApplyLog), without the loss of an
//     acknowledged write that the surviving copies had.
//
// A flush completes, under protocol C, only when the peer has made the writes before
// it durable too; the kernel waits for the local disk alone.
//
// Several volumes of one connection are a Resource; each effect says whose it is.
package engine
