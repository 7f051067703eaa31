// Package api serves a node's daemon to programs: HTTP and JSON on a unix
// socket, with the types and paths of cluster/client. Who connects to the
// socket is known by the kernel (SO_PEERCRED); root, the daemon's own user and
// members of the group haclient are let in, and the history of versions names
// them.
//
// The caller is cluster/node, which implements [Backend].
package api
