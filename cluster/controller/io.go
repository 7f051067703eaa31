package controller

import (
	"log/slog"
	"time"

	"gcrm/cib"
	"gcrm/cluster/executor/operation"
)

// Input is something that happened.
type Input interface{ input() }

type (
	// Applied is one entry of the replicated log. Change is nil if the
	// document changed in an unknown way (a snapshot was installed).
	Applied struct {
		Change *cib.Change
		CIB    *cib.CIB
	}
	// BecameLeader starts the controller's work.
	BecameLeader struct {
		Term uint64
		UUID string // names this controller in transition keys
		CIB  *cib.CIB
	}
	// LostLeader ends it; what is under way goes on, but for fencings that no
	// device was asked for yet.
	LostLeader struct{}
	// Tick says that time has passed.
	Tick struct{}
	// ApplyDone ends an [Apply]; without error the change was committed.
	ApplyDone struct {
		Ref uint64
		Err error
	}
	// Dispatched ends a [Dispatch]; without error the executor has the job.
	Dispatched struct {
		Ref uint64
		Err error
	}
	// Answered ends a [Query].
	Answered struct {
		Ref    uint64
		Report operation.Report
		Err    error
	}
	// Fenced ends a [Fence]; without error the node is known to be down (or,
	// for "on", unfenced).
	Fenced struct {
		Ref uint64
		Err error
	}
	// NodeLost says that contact with a node's daemon was lost, also if it
	// was only started anew, before the CIB says so: what was under way there
	// is no longer waited for.
	NodeLost struct{ Node string }
)

func (Applied) input()      {}
func (BecameLeader) input() {}
func (LostLeader) input()   {}
func (Tick) input()         {}
func (ApplyDone) input()    {}
func (Dispatched) input()   {}
func (Answered) input()     {}
func (Fenced) input()       {}
func (NodeLost) input()     {}

// Effect is something to be done. Refs are never 0 and never used twice.
type Effect interface{ effect() }

type (
	// Apply commits a change, in Term only. It must not be repeated.
	Apply struct {
		Ref, Term uint64
		Change    cib.Change
	}
	// Dispatch sends a job to the executor of Node (a cluster node's name).
	Dispatch struct {
		Ref     uint64
		Node    string
		Message operation.Dispatch
	}
	// Query asks the executor of Node what it is doing.
	Query struct {
		Ref   uint64
		Node  string
		Token operation.Token
	}
	// Fence asks for a node to be fenced. What comes of it counts in Term only:
	// after that the node may be a member again.
	Fence struct {
		Ref, Term    uint64
		Node, NodeID string
		Action       string // reboot, off or on
		Timeout      time.Duration
		// Delay is the priority-fencing-delay to wait before.
		Delay  time.Duration
		Reason string
	}
	// Shutdown tells a node, from which everything was moved away, to leave.
	Shutdown struct{ Node, NodeID string }
	// Progress is what the controller is doing now; sent when it changes.
	Progress struct {
		Idle        bool
		Number      int
		Done, Total int
		Running     []string // "web_start_0 on node1"; the 50 oldest
		// Computed is the version of the CIB the plan was made from.
		Computed cib.Version
	}
	// Event is something an administrator may ask about later.
	Event struct {
		Level  slog.Level
		Text   string
		Object string // resource or node, may be empty
	}
)

func (Apply) effect()    {}
func (Dispatch) effect() {}
func (Query) effect()    {}
func (Fence) effect()    {}
func (Shutdown) effect() {}
func (Progress) effect() {}
func (Event) effect()    {}
