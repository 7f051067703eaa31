// Package metadata reads and writes DRBD's metadata of format v08, the one of DRBD
// 8.0 to 8.4: super block, activity log and bitmap.
//
// The contract:
//
//  1. The bytes on the disk are those of kernel DRBD 8.4 and drbdmeta: a device
//     that one of them left is opened here, and the other way round.
//  2. A device that was not shut down cleanly has the unclean magic. ApplyLog must
//     run before such a device is used; it turns the activity log of a crashed
//     Primary into bits of the bitmap. Interrupted at any instruction it can be
//     repeated, since the super block is written last and only then says "clean".
//  3. Whoever writes data must keep the order that makes the crash survivable:
//     unclean magic and the primary flag before the first write as Primary; bitmap
//     pages of extents that leave the active set before the log transaction that
//     drops them; the transaction, durable, before the data of a new extent; a new
//     generation identifier, durable, before the acknowledgement of the writes it
//     protects.
//  4. Types here (Superblock, Bitmap, Generations, ActiveSet, Transaction) are plain
//     values without I/O; Area is the thin part that reads and writes them at their
//     places of a Device. Nothing is cached behind the caller's back.
//  5. What is read is not believed: every position and size is checked against the
//     device before it is used.
//
// A sector has 512 bytes. One bit of the bitmap stands for 4 KiB, one extent of the
// activity log for 4 MiB, that is 1024 bits.
package metadata
