package scheduler

import (
	"slices"
	"strings"
	"time"

	"gcrm/cib"
)

// infinity bounds all scores.
const infinity = 1000000

// role is the state of a resource instance. The numbers are compared.
type role uint8

const (
	roleUnknown role = iota
	roleStopped
	roleStarted
	roleUnpromoted
	rolePromoted
)

func (r role) String() string {
	switch r {
	case roleStopped:
		return "Stopped"
	case roleStarted:
		return "Started"
	case roleUnpromoted:
		return "Unpromoted"
	case rolePromoted:
		return "Promoted"
	}
	return "Unknown"
}

func parseRole(s string) (role, bool) {
	switch strings.ToLower(s) {
	case "started":
		return roleStarted, true
	case "stopped":
		return roleStopped, true
	case "slave", "unpromoted":
		return roleUnpromoted, true
	case "master", "promoted":
		return rolePromoted, true
	}
	return roleUnknown, false
}

// Tasks of actions.
const (
	taskStart          = "start"
	taskRunning        = "running"
	taskStop           = "stop"
	taskStopped        = "stopped"
	taskPromote        = "promote"
	taskPromoted       = "promoted"
	taskDemote         = "demote"
	taskDemoted        = "demoted"
	taskMonitor        = "monitor"
	taskMigrateTo      = "migrate_to"
	taskMigrateFrom    = "migrate_from"
	taskNotify         = "notify"
	taskNotified       = "notified"
	taskCancel         = "cancel"
	taskDelete         = "delete"
	taskReload         = "reload"
	taskReloadAgent    = "reload-agent"
	taskLrmDelete      = "lrm_delete"
	taskClearFailcount = "clear_failcount"
	taskStonith        = "stonith"
	taskShutdown       = "do_shutdown"
	taskMaintenance    = "maintenance_nodes"
	taskLoadStopped    = "load_stopped"
	taskOneOrMore      = "one-or-more"
)

// node is a cluster, remote or guest node.
type node struct {
	index int // position in engine.nodes, and in every nodeTable
	rank  int // position in engine.sorted
	id    string
	name  string

	remote      bool // remote or guest node
	xml         *cib.Element
	state       *cib.Element // its node_state, once seen
	connection  *resource    // of a remote or guest node
	baseScore   int
	online      bool
	pending     bool
	unclean     bool
	unseen      bool
	standby     bool
	standbyFail bool
	shutdown    bool
	expectedUp  bool
	dc          bool
	maintenance bool
	unpacked    bool // its history is unpacked
	noProbes    bool // resource-discovery-enabled=false
	forBundle   bool // made for a bundle replica: other resources stay away

	remoteReset       bool // must be fenced or its launcher restarted
	remoteWasFenced   bool
	remoteMaintenance bool // node_in_maintenance as recorded
	attrs             map[string]string
	failCounts        map[string][]failEntry
	utilization       *capacities
	running           []*resource
	numAssigned       int
	priority          int
	fenceActions      []*action
	digestCache       map[digestKey]*opDigests
}

type digestKey struct {
	rsc *resource
	key string
}

func (n *node) guest() bool {
	return n.remote && n.connection != nil && n.connection.launcher != nil
}

// pureRemote reports a remote node that is no guest.
func (n *node) pureRemote() bool {
	return n.remote && (n.connection == nil || n.connection.launcher == nil)
}

// available reports whether resources can be placed on n.
func (n *node) available() bool {
	return n.online && !n.shutdown && !n.unclean && !n.standby && !n.maintenance
}

type probeMode uint8

const (
	probeAlways probeMode = iota
	probeNever
	probeExclusive
)

// slot is what a resource knows about one node.
type slot struct {
	score int32
	count int32 // instances of a collective resource assigned there
	probe probeMode
	in    bool // the node is in the table at all
}

// nodeTable has a slot per node, by node.index; it may be shorter than the
// list of nodes.
type nodeTable []slot

func (t nodeTable) get(n *node) *slot {
	if n == nil || n.index >= len(t) || !t[n.index].in {
		return nil
	}
	return &t[n.index]
}

func (t nodeTable) has(n *node) bool { return t.get(n) != nil }

func (t *nodeTable) put(n *node, score int) *slot {
	for n.index >= len(*t) {
		*t = append(*t, slot{})
	}
	s := &(*t)[n.index]
	*s = slot{score: int32(score), in: true}
	return s
}

func (t nodeTable) clone() nodeTable { return slices.Clone(t) }

func addScores(a, b int) int {
	switch {
	case a <= -infinity || b <= -infinity:
		return -infinity
	case a >= infinity || b >= infinity:
		return infinity
	}
	return max(-infinity, min(infinity, a+b))
}

func (s *slot) add(v int) { s.score = int32(addScores(int(s.score), v)) }

type variant uint8

const (
	vPrimitive variant = 1 + iota
	vGroup
	vClone
	vBundle
)

// Needs of start and promote actions.
type need uint8

const (
	needNothing need = iota
	needQuorum
	needFencing
)

type multiActive uint8

const (
	maStopStart multiActive = iota
	maStopOnly
	maBlock
	maUnexpected
)

// resource is a primitive, group, clone or bundle, or an instance of one.
type resource struct {
	id, historyID string
	xml           *cib.Element // merged with its template
	ops           *cib.Element // operations, merged
	class         string
	provider      string
	typ           string
	variant       variant
	parent        *resource
	children      []*resource
	meta          table
	sets          paramSets

	managed, maintenance, blocked bool
	removed, removedFiller        bool // "orphan"
	failed, needsStop             bool
	failureIgnored                bool
	notify, promotable, unique    bool
	critical                      bool
	migratable                    bool
	startPending                  bool
	agentChanged                  bool // it runs with another agent than is configured
	unprovisioned                 bool // not yet assigned ("provisional")
	assigning                     bool
	merging                       bool // on the stack of a score walk
	internal                      bool
	exclusiveProbes               bool
	fenceDevice                   bool
	needsUnfencing                bool
	needsFencing                  bool
	needsQuorum                   bool
	reloadWanted                  bool
	stopUnexpected                bool
	replicaContainer              bool
	nestedRemoteOK                bool // connection of a bundle node
	isRemoteConn                  bool
	removedConn                   bool
	probeResult                   string // "Not installed" ... after a masked probe failure

	stickiness         int
	priority           int
	sortIndex          int // order of promotion
	assignedScore      int
	migrationThreshold int
	failureTimeout     time.Duration
	reconnectInterval  time.Duration
	multi              multiActive

	role, nextRole role
	runningOn      []*node
	known          []bool // by node index: the state there is known
	allowed        nodeTable
	assigned       *node
	partialSource  *node
	partialTarget  *node
	pendingNode    *node
	pendingTask    string
	dangling       []*node
	lockNode       *node
	lockTime       int64

	launcher *resource
	launched []*resource

	actions      []*action
	actionsByKey map[string][]*action
	thisWith     []*colocation
	withThis     []*colocation
	locations    []*location
	tickets      []*ticketConstraint
	utilization  *capacities

	group  *groupData
	clone  *cloneData
	bundle *bundleData

	replica    *replica // of a part of a bundle
	paramCache []paramResult
}

type groupData struct {
	ordered, colocated bool
}

type cloneData struct {
	max, nodeMax             int
	promotedMax, promotedPer int
	ordered, interleave      bool
	minInstances             int
	childXML                 *cib.Element
	childName                string
	forced                   bool // to be anonymous although it is told to be unique
	flagPromoScores          bool
	presence                 map[string]presence // by primitive, once asked for
	choosingRoles            bool
	notifyStart, notifyStop  *notifyData
	notifyPromote            *notifyData
	notifyDemote             *notifyData
	nextNum                  int
}

func (r *resource) isPrimitive() bool { return r.variant == vPrimitive }

// collective reports a clone or bundle.
func (r *resource) collective() bool { return r.variant == vClone || r.variant == vBundle }

// top returns the outermost ancestor; below a bundle unless through is set.
func (r *resource) top(throughBundle bool) *resource {
	for r.parent != nil && (throughBundle || r.parent.variant != vBundle) {
		r = r.parent
	}
	return r
}

// uber is the clone or bundle (or other top) an action of r really concerns.
func (r *resource) isAncestor(of *resource) bool {
	for p := of; p != nil; p = p.parent {
		if p == r {
			return true
		}
	}
	return false
}

func (r *resource) bundled() bool {
	return r.top(true).variant == vBundle
}

func (r *resource) knownOn(n *node) bool { return n.index < len(r.known) && r.known[n.index] }

func (r *resource) setKnown(n *node) {
	for n.index >= len(r.known) {
		r.known = append(r.known, false)
	}
	r.known[n.index] = true
}

func (r *resource) knownAnywhere() bool { return slices.Contains(r.known, true) }

func (r *resource) runsOn(n *node) bool { return slices.Contains(r.runningOn, n) }

// eachLeaf calls f for every primitive at or below r.
func (r *resource) eachLeaf(f func(*resource)) {
	if len(r.children) == 0 {
		if r.isPrimitive() {
			f(r)
		}
		return
	}
	for _, c := range r.children {
		c.eachLeaf(f)
	}
}

// eachBelow calls f for r and everything below it.
func (r *resource) eachBelow(f func(*resource)) {
	f(r)
	for _, c := range r.children {
		c.eachBelow(f)
	}
}

type location struct {
	id    string // of the constraint, or of the rule
	rsc   *resource
	nodes nodeTable
	role  role
	probe probeMode

	constraint string // whose rule it is; empty without a rule
	attr       string // node attribute with the score
	health     bool   // made by node-health-strategy
}

func (l *location) cause() cause {
	if l.health {
		return cause{by: ByHealth, loc: l}
	}
	return cause{by: ByLocation, loc: l}
}

type colocation struct {
	id                         string
	attr                       string // node attribute
	dependent, primary         *resource
	dependentRole, primaryRole role
	score                      int
	influence                  bool
	explicit                   bool
}

type ticket struct {
	id          string
	granted     bool
	standby     bool
	lastGranted string
	attrs       table
}

type ticketPolicy uint8

const (
	lossStop ticketPolicy = iota
	lossDemote
	lossFence
	lossFreeze
)

type ticketConstraint struct {
	id     string
	ticket *ticket
	rsc    *resource
	policy ticketPolicy
	role   role
}
