// Package blockdev is the local disk of a volume: a block device or a file, opened
// for this process alone, with direct I/O where the file system has it.
//
// The contract:
//
//  1. Device does one operation per call, blocking; it is safe for concurrent use.
//     Queue runs many at once, direct I/O without a thread for each, reports each by
//     a callback, and lets flushes that wait together share one call.
//  2. Data buffers come from a Pool: aligned for direct I/O and used again, so that
//     the steady state allocates nothing. Buffers from elsewhere work too, through a
//     copy.
//  3. A flush covers every write that was reported before it was asked for. A write
//     with FUA is durable when it is reported.
//  4. Sectors have 512 bytes. A device with larger physical blocks gets unaligned
//     writes through the page cache, never by read-modify-write here.
package blockdev
