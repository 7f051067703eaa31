// Package node is the daemon of one node: it wires consensus, heartbeats, the
// controller, the executor and the API together, and keeps the membership.
//
// What runs in a node, and what it may rely on:
//
//   - consensus feeds every applied change to the controller, on every node,
//     before anybody is told of it;
//   - the membership (membership.go, a pure function, and govern.go, its loop)
//     turns what the heartbeats say into committed changes, on the leader;
//   - the controller gets the leadership once all members that are there have
//     been taken in, so that it does not fence nodes that are just starting;
//   - the executor of a node works as long as the node's incarnation is a
//     member; a node that finds that the others went on without it stops
//     everything it runs and starts again as a new incarnation.
//
// The caller is the program's main ("gcrm daemon") or cluster/embedded.
package node
