package scheduler

import (
	"time"

	"gcrm/cib"
)

// engine is the state of one run.
type engine struct {
	doc     *cib.CIB
	opt     options
	now     time.Time
	recheck int64 // epoch seconds, 0 none

	byID map[string]*cib.Element // targets of id-ref, if there are any

	nodes     []*node // in the order of creation
	sorted    []*node // display order
	nodeByID  map[string]*node
	nodeNamed map[string]*node
	dcNode    *node

	resources    []*resource
	rscByID      map[string]*resource
	rscByHistory map[string]*resource // by a name adopted from the history
	tickets      []*ticket
	ticketIdx    map[string]*ticket
	tags         map[string][]string
	templates    map[string]*templateUse

	actions     []*action // oldest first
	singletons  map[string]*action
	orderings   []*ordering
	colocations []*colocation
	locations   []*location
	rscDefaults *cib.Element
	opDefaults  *cib.Element
	haveFencing bool
	haveRemote  bool
	haveGuests  bool
	quorate     bool

	maintained      []*node
	depth           int
	sanitized       bool
	fencings        map[string]time.Duration // how long fencing took before
	older           older
	nodesInTable    []*node // see tableNodes
	nodesInCopy     []*node
	hidePending     bool
	lastID          int // of actions
	stopNeeded      []*launcherStop
	failedOps       []*FailedOp
	messages        []Message
	assignScores    bool
	trace           *trace // nil unless origins of scores are asked for
	showUtilization bool   // note capacities and what uses them with the scores
	scores          []scoreLine
	orders          []userOrder // of the configuration, once asked for
	deferredChecks  []func()
	synapses        []*action
	expiredMonitors map[*cib.Element]bool // recurring failures to be scheduled anew
	relations       slab[[2]relation]
	actionSlab      slab[action]
	orderingSlab    slab[ordering]
	interpreted     histOp                             // the history entry that is being looked at
	histories       map[string]map[string]*cib.Element // lrm_resource by names of node and resource
}

type launcherStop struct{ rsc *resource }

type failEntry struct {
	rsc   string // as written, with an instance number
	op    string
	count int
	last  int64
}

func (e *engine) warn(object, text string) {
	e.messages = append(e.messages, Message{Severity: "warning", Object: object, Text: text})
}

func (e *engine) fault(object, text string) {
	e.messages = append(e.messages, Message{Severity: "error", Object: object, Text: text})
}

func (e *engine) recheckAt(t int64) {
	if t > e.now.Unix() && (e.recheck == 0 || t < e.recheck) {
		e.recheck = t
	}
}
