// Package volume runs a replicated volume: it gives package engine a disk, a network,
// a clock and handlers, and its users requests and commands.
//
// The contract:
//
//  1. One lock guards the engine. Every event takes it, feeds the engine, carries the
//     effects out in their order and gives it back; nothing under it waits, except
//     for metadata that must be durable first (engine's Persist). While that lasts
//     the engine's clock stands still, so that a slow disk is not taken for a dead
//     peer.
//  2. Submit starts a request of an application. Its Done is called under the lock:
//     it must be quick and must not call the volume.
//  3. Buffers belong to one owner at a time. That of a write is the volume's from
//     Submit on; that of a read is the caller's from Done on, to be given to Free.
//  4. Commands (Promote, Disconnect ...) block until the engine has answered or their
//     context ends. An error that the engine refused with is a wire.Result.
//  5. Volumes of one resource share connection, lock and clock (Resource); a Volume has
//     the methods of its Resource, too.
//  6. A process that dies at any point leaves metadata that the next Attach accepts.
package volume
