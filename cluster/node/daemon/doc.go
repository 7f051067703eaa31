// Package daemon is "gcrm daemon" and what goes with it on a host: a node
// whose settings lie in its state folder, how the first node of a cluster is
// made ([Init]), and how another one joins ([Join]).
//
// The caller is the program's main.
package daemon
