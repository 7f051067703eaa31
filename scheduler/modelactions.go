package scheduler

import "gcrm/cib"

// Actions, and the orderings between them.

// Flags of actions.
type actionFlag uint32

const (
	fOptional actionFlag = 1 << iota
	fRunnable
	fPseudo
	fMigratable
	fPrintAlways // in the graph even if optional
	fOnDC
	fDangle // stop of an aborted migration
	fMinRunnable
	fReschedule
	fDumped
	fDeduped
	fTracking
	fAttrsDone
	fLoopMark
)

type action struct {
	id       int
	rsc      *resource
	node     *node
	task     string
	key      string
	flags    actionFlag
	need     need
	interval int64 // ms
	op       *cib.Element
	meta     table
	extra    table // op-specific instance attributes
	reason   string
	before   []*relation // oldest first
	after    []*relation
	priority int
	// cancelTask is the task whose recurring monitor a cancel stops.
	cancelTask     string
	runnableBefore int
	requiredBefore int
	synapse        int
	graphInputs    []*action
	fenceOp        string
}

func (a *action) is(f actionFlag) bool { return a.flags&f == f }

func (a *action) optional() bool { return a.flags&fOptional != 0 }

func (a *action) required() bool { return a.flags&fOptional == 0 }

func (a *action) runnable() bool { return a.flags&fRunnable != 0 }

func (a *action) set(f actionFlag) { a.flags |= f }

func (a *action) clear(f actionFlag) { a.flags &^= f }

// Kinds of orderings "first then"; they can be combined.
type orderFlag uint32

const (
	oOrdered orderFlag = 1 << iota
	oFirstImpliesThen
	oThenImpliesFirst
	oPromotedThenImpliesFirst
	oFirstImpliesSameNodeThen
	oUnrunnableFirstBlocks
	oFirstElseThen
	oUnmigratableThenBlocks
	oAsymmetric
	oSerialize
	oMinRunnable
	oRestart // first is the stop in the middle of a restart
	oThenCancelsFirst
	oGuestAllowed
	oIfOnSameNode
	oIfOnSameNodeOrTarget
	oIfRequiredOnSameNode
	oIfFirstUnmigratable
	oNestedRemoteProbe
	oFirstImpliesThenGraphed
	oThenImpliesFirstGraphed
)

// relation is one end of an ordering between two actions.
type relation struct {
	act   *action // the other action
	flags orderFlag
	peer  *relation // the same ordering seen from the other side
}

// ordering is an ordering to be materialised: each side names an action or a
// resource and key.
type ordering struct {
	flags      orderFlag
	rsc1, rsc2 *resource
	act1, act2 *action
	key1, key2 string
}
