package scheduler

// FailedOp is an operation of the history that did not go as expected.
type FailedOp struct {
	Resource, Node string
	Key, Task      string
	Interval       int64 // ms
	CallID         int
	ExitCode       int
	Status         int
	Reason         string // exit-reason of the agent
	LastChange     int64  // epoch seconds
}
