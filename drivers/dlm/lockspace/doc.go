// Package lockspace is what the nodes of a cluster agree on about the
// lockspaces of the kernel's distributed lock manager: who is in each, and
// when all have stopped so that all may start again.
//
// The kernel checks none of this. If one node starts a lockspace with a new
// set of members while another still runs it with the old one, locks are lost
// without an error; so the agreement is part of the replicated state, where
// every node sees the same steps in the same order. [Table] is that part: a
// pure function of the entries of the log and of the committed membership.
//
// cluster/consensus keeps the table; drivers/dlm carries it out on a node.
//
// # One change
//
// A node that joins, leaves or is lost gives the lockspace a new generation,
// in which nobody runs. Every member stops its kernel and says so. When all
// have, and every lost node that held locks is proven to be down, the
// generation runs: each member starts its kernel with the members listed.
// Another change in between begins a further generation; what was said of the
// one before counts no more.
package lockspace

import "hash/crc32"

// ID is the number by which the kernels of all members know a lockspace, the
// same that other control daemons compute.
func ID(name string) uint32 {
	return crc32.ChecksumIEEE([]byte("dlm:ls:" + name + "\x00"))
}

// MaxName is the longest name of a lockspace, in bytes.
const MaxName = 64
