package fencing

import (
	"fmt"
	"log/slog"
	"time"
)

// Input is one thing that happens to a [Machine].
type Input interface{ input() }

type (
	// Configure brings a new configuration. Requests in progress end with
	// the one they began with.
	Configure struct{ Configuration *Configuration }

	// Members tells which nodes can execute actions now, the machine's own
	// among them, and whether their partition has quorum.
	Members struct {
		Nodes   []string
		Quorate bool
		// Watchdog is how long the nodes' watchdogs take, for a negative
		// stonith-watchdog-timeout; zero if there is none.
		Watchdog time.Duration
		// Armed, if it is not nil, are the watchdogs that nodes said they
		// have, by name in lower case: only those are relied on.
		Armed map[string]time.Duration
	}

	// Request asks for a node to be fenced.
	Request struct {
		ID     uint64 // of the caller; comes back in Done
		Target string
		Action string // reboot, off or on
		Client string // who asks, for the history
		// Timeout holds for actions that have none of their own; zero is
		// stonith-timeout.
		Timeout time.Duration
		// Tolerance makes a success of the same action within that time
		// enough.
		Tolerance time.Duration
		// Delay comes before the first device (priority-fencing-delay).
		// Negative takes away all delays.
		Delay  time.Duration
		Reason string
		// Incarnation is the target's as far as the caller knows, 0 if it
		// was never seen. A node that does not answer is not fenced again
		// when this incarnation of it was fenced before.
		Incarnation uint64
		// Manual requests of an administrator do not count as attempts and
		// are not refused after too many of them.
		Manual bool
	}

	// Abandon tells that the caller does not wait any more. If nobody else
	// does, and it is no administrator's, no device is asked to act any more.
	Abandon struct{ ID uint64 }

	// Withdraw ends requests for a node that is known not to need fencing,
	// if no device was asked to act yet.
	Withdraw struct{ Target, Why string }

	// Executed answers an Execute.
	Executed struct {
		Ref     uint64
		Outcome Outcome
	}

	// Witnessed tells that this node carried out what another one's machine had
	// asked for, and that the target is down by that: Entry is the one that came
	// with the order.
	Witnessed struct {
		Entry   Entry
		Outcome Outcome
	}

	// Confirm is the word of an administrator that a node is down.
	Confirm struct {
		Target, By  string
		Incarnation uint64
	}

	// Started tells on which nodes devices are started as resources, and are
	// therefore known to be reached from: by device, names of nodes in lower
	// case. It goes before what the configuration's document said.
	Started struct{ Devices map[string]map[string]bool }

	// Remember brings entries of the history of other nodes, or (Stored) of
	// an earlier run of this one. Live tells that they just happened; what a
	// node that joins is told of the past is not.
	Remember struct {
		Entries      []Entry
		Stored, Live bool
	}

	// Told answers an Announce. Entries are what other nodes are carrying out, or
	// have just carried out; Nodes are those that told all that they are carrying
	// out.
	Told struct {
		ID      string
		Entries []Entry
		Nodes   []string
		Answer  Answer
	}

	// Retract tells that a node is not down though a device said so: its
	// fencings so far answer no request any more.
	Retract struct{ Target string }

	// Forget clears the history of a node, or of all.
	Forget struct{ Target string }

	// Tick tells that time went by.
	Tick struct{}
)

func (Configure) input() {}
func (Members) input()   {}
func (Request) input()   {}
func (Abandon) input()   {}
func (Withdraw) input()  {}
func (Executed) input()  {}
func (Witnessed) input() {}
func (Confirm) input()   {}
func (Started) input()   {}
func (Remember) input()  {}
func (Told) input()      {}
func (Forget) input()    {}
func (Retract) input()   {}
func (Tick) input()      {}

// Effect is one thing that a [Machine] wants done.
type Effect interface{ effect() }

type (
	// Execute asks a node to carry out an action on a device. Params are
	// not part of it: the node takes them from its own replica of the
	// configuration, so that secrets do not travel.
	Execute struct {
		Ref    uint64 `json:"-"`
		Node   string `json:"-"`
		Device string
		// Action is the agent's; Target is empty for list and monitor.
		Action, Target string
		Timeout        time.Duration
		// Ends, if it comes, is the entry that is done once the power is read as
		// off. Who executes tells all nodes, should the one that asked not live
		// to hear of it.
		Ends *Entry `json:",omitempty"`
	}

	// Done answers a Request.
	Done struct {
		ID     uint64
		Result Result
	}

	// Record is a new or changed entry of the history. Told ones came from
	// another node, or are told by an Announce: they are stored, and told to
	// nobody.
	Record struct {
		Entry Entry
		Told  bool
	}

	// Announce tells the other nodes of a request before a device is asked to
	// act, and asks what they are carrying out; Told answers it, and nothing is
	// done before.
	Announce struct{ Entry Entry }

	// Event is something an administrator may ask about later.
	Event struct {
		Level  slog.Level
		Target string
		Text   string
	}
)

func (Execute) effect()  {}
func (Done) effect()     {}
func (Record) effect()   {}
func (Announce) effect() {}
func (Event) effect()    {}

// Answer is what the nodes say to an [Announce].
type Answer uint8

const (
	// Heard: those that are there know of it. Of two that announce themselves at
	// once, each hears of the other.
	Heard Answer = iota
	// Agreed: it is committed, so that whoever leads next knows of it.
	Agreed
	// Again: it cannot be agreed on now, most of all since another node is at it.
	// It has to be announced again.
	Again
)

// Code grades an [Outcome].
type Code uint8

const (
	Succeeded Code = iota
	Failed
	// TimedOut actions may still have an effect.
	TimedOut
	// Unreachable nodes could not be asked to execute.
	Unreachable
)

func (c Code) String() string {
	return [...]string{"succeeded", "failed", "timed out", "unreachable"}[min(c, 3)]
}

// Power is what a device says about a node.
type Power uint8

const (
	PowerUnknown Power = iota
	PowerOn
	PowerOff
)

func (p Power) String() string { return [...]string{"unknown", "on", "off"}[min(p, 2)] }

// Outcome is what came of an action.
type Outcome struct {
	Code Code
	// Power is the answer to status. After off and reboot, PowerOff says
	// that the method itself has read the power back as off.
	Power Power     `json:",omitempty"`
	Hosts []string  `json:",omitempty"` // answer to list
	Text  string    `json:",omitempty"` // error, or evidence, for people; no secrets
	Hint  string    `json:",omitempty"` // what to do about an error
	At    time.Time `json:"-"`
}

// Fail makes the outcome of a failure.
func Fail(hint, format string, args ...any) Outcome {
	return Outcome{Code: Failed, Text: fmt.Sprintf(format, args...), Hint: hint}
}

// Proof says how it is known that a node is down.
type Proof string

const (
	ProofNone     Proof = ""
	ProofReadBack Proof = "read-back" // the power was read as off
	ProofReported Proof = "reported"  // the device says that the action was done
	ProofWatchdog Proof = "watchdog"  // its watchdog's time is over
	ProofHuman    Proof = "human"     // an administrator said so
)

// Result is the answer to a [Request].
type Result struct {
	Err      error // nil for success; an *Error
	Proof    Proof
	Evidence string // the proof in words
	Entry    Entry
}

// Error says what could not be done, with which node or device, why, and what
// an administrator can do.
type Error struct {
	Op, On string
	Err    error
	Hint   string
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s %s: %v", e.Op, e.On, e.Err)
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }
