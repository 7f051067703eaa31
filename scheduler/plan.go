package scheduler

import (
	"time"

	"gcrm/cib"
)

// Options are the inputs of a run besides the CIB.
type Options struct {
	// Now is the time rules and expiries are evaluated at. The zero value
	// means the CIB's execution-date, or the epoch if it has none.
	Now time.Time
	// Scores asks for [Plan.Scores].
	Scores bool
	// Origins asks for Plan.Scores with their origins, and for a plan that
	// can be explained in full by [Plan.Why]. It costs time and memory.
	Origins bool
	// Sanitized says that secret parameters were blanked in the CIB, so
	// that a change of only those means nothing.
	Sanitized bool
	// Fencings say how long fencing a node took before, by the node's name, for
	// [Plan.Timing]: the CIB does not know.
	Fencings map[string]time.Duration

	older older
}

// Plan is the outcome of a run: a transition graph, and what explains it.
type Plan struct {
	// Header are the attributes of the transition graph that bound its
	// execution.
	Header Header
	// Actions are in graph order (the order of synapses).
	Actions []*Action
	// Recheck is when the same CIB would give another plan (rules, expiring
	// failures); zero for never.
	Recheck time.Time
	// Resources say what is decided per resource instance, in resource order.
	Resources []Decision
	// Scores are the allocation scores with their origins, if asked for.
	Scores []Score
	// Messages are configuration problems found while unpacking.
	Messages []Message

	engine *engine
}

// Header bounds the execution of a transition.
type Header struct {
	ClusterDelay   time.Duration
	FencingTimeout time.Duration
	BatchLimit     int  // 0: no limit
	MigrationLimit int  // -1: no limit
	StartFatal     bool // start-failure-is-fatal: a failed start sets the fail count to INFINITY
}

// ActionKind tells who executes an action.
type ActionKind uint8

const (
	// Pseudo actions only order others; they are complete at once.
	Pseudo ActionKind = iota
	// ResourceAction is executed by the executor of Node.
	ResourceAction
	// ClusterAction is executed by the controller: fencing, shutdown,
	// clear_failcount, history deletion.
	ClusterAction
)

// Action is a node of the transition graph. It may run when all Inputs are
// confirmed.
type Action struct {
	ID       int // position-independent number, unique in the plan
	Kind     ActionKind
	Key      string // operation key: "web_start_0", "stonith-node2-reboot"
	Task     string // start, stop, monitor, promote, demote, notify, migrate_to, migrate_from, reload-agent, cancel, delete, stonith, do_shutdown, clear_failcount, ...
	Interval time.Duration
	// Timeout is 0 if the plan sets none.
	Timeout time.Duration
	// Node and NodeID name the target; both empty for most pseudo actions.
	Node, NodeID string
	// Router is the cluster node that executes for a remote or guest node.
	Router string
	// Resource is nil for actions that belong to no resource.
	Resource *ResourceRef
	// Params are the agent's parameters (and, for cluster actions, their
	// arguments), Meta the CRM_meta_* values without that prefix, both in
	// the order of the graph.
	Params, Meta []cib.Attr
	// ExpectedRC is the agent result that counts as success.
	ExpectedRC int
	Priority   int
	// Inputs are IDs of actions that must be confirmed first, ascending.
	Inputs []int
	// Downed are the nodes that will be down after the action.
	Downed []string
	// Reason says why the action is needed, in words for people.
	Reason string
	// ShutdownLock is set for the stop of a resource that is to come back on
	// this node only: when the node began to leave. The history entry keeps it
	// as shutdown-lock.
	ShutdownLock time.Time
}

// ResourceRef names the resource of an action as executors see it.
type ResourceRef struct {
	ID                    string // history id: "web", "clone-child" without :N for anonymous clones
	LongID                string // instance: "child:0"; empty if equal to ID
	Class, Provider, Type string
}

// Decision is what a plan does with one resource instance.
type Decision struct {
	Resource  string // instance name
	Verb      string // Start, Stop, Move, Recover, Restart, Promote, Demote, Migrate, Reload, or "" for leave
	From, To  string // nodes
	FromRole  string
	ToRole    string
	Reason    string
	Blocked   bool
	Unmanaged bool
}

// Score is an allocation score of a resource on a node.
type Score struct {
	Phase    string // "primitive", "group", "clone", "promotion"
	Resource string
	Node     string
	Value    int // clamped to ±1000000 = INFINITY
	// Origin, if asked for, adds up to Value; what forbids a node (-INFINITY)
	// wins over everything, and INFINITY over what is finite.
	Origin []Origin
}

// Message is a problem found in the configuration or status.
type Message struct {
	Severity string // "error" or "warning"
	Object   string
	Text     string
}
