// Package executor runs the agent actions of one node and commits their
// results.
//
// [Core] decides and does no I/O: what runs now, what waits, when a recurring
// monitor is due, what must be submitted. [Executor] is the thin runner around
// it that calls agents and the cluster. Callers are the node's daemon and, of
// the core alone, simulations.
//
// # What a caller may rely on
//
//   - One action at a time per resource; at most Parallel actions at a time in
//     all. Actions of one resource run in the order in which they came.
//   - A dispatch that is accepted (no error) leads to exactly one result, which
//     is submitted again and again until it is committed. A dispatch that comes
//     twice is run once.
//   - Results that come while another one is being committed are committed
//     together, in one change.
//   - Timeouts are enforced by the context of the agent's call. An agent that
//     does not even end then counts as timed out, and its resource stays busy.
//   - A recurring monitor runs again an interval after its last run ended. Its
//     first result is submitted, then every change of it. It is dropped by
//     cancel, before stop, and when a new one with the same interval comes.
//   - After [Executor.Report] was answered, dispatches with a lower token are
//     refused for good.
//   - An executor that is started anew knows nothing of what the one before
//     did: its incarnation differs, and the controller has everything probed and
//     the monitors of what is found running set up again.
package executor
