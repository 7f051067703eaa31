// Package consensus replicates the CIB: hashicorp/raft with a log on bbolt
// (logstore.go), checksummed snapshot files (snapshots.go) and a state machine
// (fsm.go) whose state is an immutable [State]: the document, the committed
// membership, the epoch of the electorate and a bounded history of
// configurations.
//
// What callers may rely on:
//
//   - When [Consensus.Apply] returns without an error, the command is on the
//     disks of a majority of the voters and in the local State. It is applied
//     exactly once, however often it had to be sent: commands carry a request
//     number, and the state machine remembers the answers it gave.
//   - [Consensus.Read] returns a State that contains everything that was
//     acknowledged to anybody before the call.
//   - A damaged log entry or snapshot is found when the folder is opened and
//     named; it is never served.
//   - The electorate can be forced ([Consensus.Force]) when its majority is
//     gone for good; this raises the epoch, which the transport then demands
//     of every peer. A node that stayed behind throws its log away
//     ([Consensus.StartOver]) and is added again.
//
// The node's name is its identity for raft, and also its "address": the
// transport knows where a node is.
package consensus
