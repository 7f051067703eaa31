// Package dlm is the control daemon of the kernel's distributed lock manager:
// it takes membership, quorum and fencing from the cluster, so that GFS2 and
// shared volume groups need no other cluster stack.
//
// The decisions are [Engine], a state machine; lockspace has what the nodes
// agree on, plock the table of POSIX locks. The runner carries actions out
// over configfs, sysfs, uevents and the misc devices.
package dlm
