// Package locks is the control process of the kernel's lock manager on a node
// ("gcrm dlm"): it brings drivers/dlm, which controls the kernel, together with
// the node's daemon, from which it has membership and the log, and with the
// control processes of the other nodes, to which it passes POSIX locks.
//
// The process is not the daemon, so that this one can be restarted or replaced
// while file systems are in use. It alone has the kernel's monitor device open:
// when it dies the kernel stops every lockspace at once, the daemon says so to
// all nodes, and the node is fenced.
package locks
