// Package whole holds tests that run whole nodes — the daemon's own code with
// its heartbeats, raft, transport, membership, controller, executor and
// fencing — inside a bubble of testing/synctest: the clock is false, and the
// network, the disks, the agents and the power switch are simulated, with
// faults drawn from a seed.
//
//	go test ./cluster/simtest/whole -worlds 1000     more clusters than usual
//	go test ./cluster/simtest/whole -first 1001      other ones than usual
//	go test ./cluster/simtest/whole -seed 42 -v      one, with its journal
//	go run ./cluster/simtest/replay -hours 2         as many as that time gives
//
// A world is one cluster, that lives through a number of schedules: in each,
// some faults come, everything is healed, and the cluster has to come to rest
// in the state that its configuration asks for. The rules of the design are
// checked whenever an agent, a device or a replica does something.
//
// The schedule of faults, delays, losses and latencies follows from the seed
// alone. Which of several goroutines that are ready at the same instant runs
// first is decided by Go's runtime; the tests run on one processor to have
// that the same almost always, and replay.go makes it exactly the same.
package whole
