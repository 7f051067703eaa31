// Package scheduler decides what a cluster must do: a pure function from a CIB
// to a transition graph, with Pacemaker's semantics.
//
// Callers are the cluster's controller (to act), the shell (to show plans and
// reasons before anything acts) and tests. The package imports only cib; it
// does no I/O, reads no clock, uses no randomness, and needs no goroutine: the
// same CIB and options give the same plan, byte for byte.
//
// Phases are one file each, in the order in which they run; the comment on
// top of each file says what holds before and after it.
//
// A plan explains itself: with [Options.Origins] every change of a score is noted
// with its cause (trace.go), and [Plan.Why], [Plan.WhyNode], [Plan.Story] and
// [Plan.Because] put causes and actions into reasons, as data and in words
// (why*.go, plantext.go). Timing estimates how long a transition takes, SVG and
// Dot draw it. [Simulate] carries plans out on a copy of the CIB, and [Inject]
// asks what if.
package scheduler
