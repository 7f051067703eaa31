// Package fencing makes sure that nodes are down. Its core is [Machine], a pure
// state machine over the fence devices of a CIB; [Runner] gives it a clock, a
// network and the [Method]s that talk to devices. Callers are the cluster's
// node (requests, membership) and the shell (history, rehearsals, help).
//
// What the machine promises:
//
//   - A request for "off" or "reboot" ends with success only when there is a
//     proof: the power was read back as off, the device itself confirms that
//     it was, an administrator said so, or the watchdog's time is over in a
//     partition with quorum. A method that proves nothing (null, ssh) is not
//     enough alone. The proof is part of the result.
//   - A node whose power is already off counts as fenced.
//   - At most pcmk_action_limit actions go through a device at any time, over
//     all nodes that the machine lets execute; those of a node that was lost
//     do not count, since the fencing of that node may have to go through the
//     same device.
//   - Requests for the same node never run side by side; equal ones are one.
//   - A node is asked to fence itself only when no other can do it.
//   - Whatever devices and nodes do (hang, lie, answer late, twice or never),
//     each request is answered by its deadline.
//
// What the caller owes, in this order for each call of [Machine.Step]:
//
//  1. Calls come from one goroutine at a time, with a clock that does not go
//     back.
//  2. Every [Record] is stored (and told to the other nodes) before the
//     [Done]s of the same call are answered: what was reported as fenced is in
//     the history after a crash.
//  3. Each [Execute] is carried out by the node it names, in parallel to
//     others, and answered by exactly one [Executed] with its Ref. When its
//     Timeout is over, everything it started is gone. Answers that are late
//     or doubled do no harm.
//  4. [Machine.Wake] tells when the next [Tick] is due; one that is early does
//     no harm.
//  5. Only the node that leads the cluster, or the survivor of two, gives
//     [Request]s to its machine; the machines of other nodes learn the history
//     through [Remember].
//
// A machine that is lost in the middle of a request (its node died) leaves at
// most actions that end at their own timeouts. The next leader asks again; its
// machine finds a node that is already off, or fences it.
package fencing
