// Package cib is the cluster information base: the XML document that holds a
// cluster's configuration and status, and everything that can be done to it
// without a running cluster.
//
// Callers are the grammar (text to edits and back), the shell (transactions),
// the scheduler (reads) and the cluster (replicates changes). The package
// imports nothing else of gcrm and performs no I/O outside store*.go.
//
// The document is a tree of [Element]s that keeps everything it was given,
// also elements and attributes of newer schemas that gcrm does not know.
// A [CIB] that was handed out is immutable by convention: whoever wants to
// change one works on a [CIB.Clone], or goes through [CIB.Apply], which
// copies only the path to what it changes.
package cib
