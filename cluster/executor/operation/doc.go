// Package operation is one agent action on its way: what the controller sends
// to an executor, what comes back, and how both are written into the status
// section of the CIB, as Pacemaker's tools read it.
//
// Callers are the controller (jobs and pending records), the executor
// (results) and the node's daemon (the messages on the wire, all of them
// JSON). Everything here is a pure function of its arguments.
//
// # What a job may rely on
//
// A job is identified by its transition key, "action:transition:targetrc:uuid",
// which is never used twice. It is sent only after its pending record (see
// [Pending]) was committed; its result (see [Result]) is committed by the node
// that ran it. So the status section always tells, for every action that may
// have run, either that it is under way or how it ended.
package operation
