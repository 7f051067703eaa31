// Package transport is the wire between the daemons of a cluster's nodes: one
// listening TCP port per node, TLS 1.3 in both directions with certificates of
// the cluster's own authority, carrying two kinds of streams:
//
//   - "raft": a plain byte stream that consensus hands to its library;
//   - "rpc": framed, multiplexed requests and answers (rpc.go).
//
// Every connection starts with a hello in both directions (hello.go) that
// carries the protocol version, the cluster's name, the node with its
// incarnation, and the epoch of the electorate. A peer of another cluster, of
// an older epoch or of an expelled incarnation gets told so and is
// disconnected before it can say anything else. When the own epoch is raised,
// all connections are dropped and have to say hello again, so an epoch holds
// for every message of a connection.
//
// Callers are cluster/consensus and cluster/node. The package knows nothing
// of CIBs.
//
// Bounds: a hello is at most 4 KiB and has to be complete within the handshake
// timeout; a frame is at most Config.MaxFrame bytes; a connection has at most
// maxInFlight requests at work; at most maxStrangers connections may be in
// the middle of their handshake.
package transport
