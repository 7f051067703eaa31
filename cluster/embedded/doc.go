// Package embedded runs a whole cluster inside one process: real nodes with
// their own state folders, which talk to each other over loopback exactly as
// nodes on several hosts do. It is the default for trying things out, for
// teaching and for tests.
//
// Nodes are named node1, node2, ... and have the ids 1, 2, ... Everything is
// below one state folder; a start on the folder of an earlier cluster, ended
// in whatever way, resumes it.
package embedded
