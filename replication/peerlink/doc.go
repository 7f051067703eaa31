// Package peerlink is the network between two nodes of a resource: it finds the pair
// of sockets as the kernel does, and carries messages of package wire over it.
//
// The contract:
//
//  1. Dialer.Dial listens and connects at the same time until there is a data and a
//     meta socket. Exactly one of the two nodes gets Resolver, the one that accepted
//     the meta socket.
//  2. Link.Send never blocks: it copies what is small and keeps a reference to what
//     is large. Sent tells how far the sockets have taken it, so that the owner of a
//     buffer knows when it may be used again.
//  3. Link.Start reads both sockets and hands over each message; data of writes and
//     replies lies in a buffer of the pool, fit for direct I/O, that belongs to the
//     receiver. A ping is answered here at once, whatever the receiver is busy with.
//  4. The first failure of either socket ends both; it is reported once.
package peerlink
