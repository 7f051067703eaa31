// Package nbd exports volumes by the NBD protocol (fixed newstyle handshake, simple
// and structured replies, TLS), for qemu, libvirt, the kernel's client and every
// other.
//
// The contract:
//
//  1. A connection has the device open from the client's GO to its end; a device that
//     refuses (a Secondary) refuses the client.
//  2. Requests of a connection run at the same time, up to a limit of number and
//     memory; replies come in any order. A flush covers every write that was answered
//     before, on any connection: the server says so (multi-conn).
//  3. What a client sends is not believed: lengths and places are checked before
//     memory is taken. A client that does not keep to the protocol is cut off.
//  4. A connection that ends with requests under way gets no replies for them. That
//     is how a client learns to send them again to a successor of this process.
package nbd
