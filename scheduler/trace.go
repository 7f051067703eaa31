package scheduler

import (
	"strings"
)

// Where scores come from. With [Options.Origins] every change of a node's
// score for a resource is noted with its cause, so that the notes add up (with
// the arithmetic of INFINITY) to the score. Without it nothing is noted: all
// methods of a nil *trace do nothing.

// Factor is a kind of summand of a score.
type Factor string

// What scores are made of.
const (
	ByNodeScore    Factor = "node-score"          // score of the <node> itself, or that of a node that is not there
	ByLocation     Factor = "location"            // location constraint, or one of its rules
	ByHealth       Factor = "node-health"         // node-health-strategy
	ByStickiness   Factor = "stickiness"          // resource-stickiness, where it runs
	ByUnmanaged    Factor = "unmanaged"           // runs there and is not to be touched
	ByColocation   Factor = "colocation"          // the other resource is there, or is not
	ByDependent    Factor = "dependent"           // where what depends on it would rather be
	ByThreshold    Factor = "migration-threshold" // failed there too often
	ByFailure      Factor = "failure"             // a failure that forbids the node at once
	ByProbe        Factor = "probe"               // found unable to run there
	ByMultiple     Factor = "multiple-active"     // active more than once, and only to be stopped
	ByRemoved      Factor = "removed"             // no longer configured
	ByTicket       Factor = "ticket"              // a ticket that is not there
	ByTargetRole   Factor = "target-role"         // told to be stopped
	ByUtilization  Factor = "utilization"         // no capacity left
	ByInstances    Factor = "instances"           // clone-max or clone-node-max reached
	ByNodeState    Factor = "node-state"          // the node takes nothing at present
	ByParent       Factor = "parent"              // forbidden for the whole clone
	ByDiscovery    Factor = "resource-discovery"  // other nodes were named exclusively
	ByShutdownLock Factor = "shutdown-lock"       // reserved for the node that was shut down
	ByPromotion    Factor = "promotion-score"     // set by the resource agent
	ByRole         Factor = "role"                // already told to be promoted
	ByContainer    Factor = "container"           // inside of a bundle or guest
	ByNodeKind     Factor = "node-kind"           // not on remote or guest nodes
	ByOrder        Factor = "order"               // what must be there first is not
	ByOther        Factor = "other"               // nothing of the above
)

// cause is why a score changes. Making one costs nothing; words come later.
type cause struct {
	by    Factor
	loc   *location
	coloc *colocation
	tkt   *ticketConstraint
	rsc   *resource // whose stickiness, failures, preferences, ...
	node  *node
	op    *histOp
	set   bool // the score was replaced, not added to
}

// credit is one change of a score, and all before it.
type credit struct {
	prev  *credit
	why   cause
	value int // what was added
	total int // the score after it
}

func (c *credit) sum() int {
	if c == nil {
		return 0
	}
	return c.total
}

func (c *credit) and(v int, why cause) *credit {
	return &credit{prev: c, why: why, value: v, total: addScores(c.sum(), v)}
}

// trace has the credits of all node scores and of all promotion priorities.
type trace struct {
	nodes    map[*resource][]*credit // by node.index
	priority map[*resource]*credit
	final    map[*resource][]*credit // nodes, as they were when the resource was last assigned, if to nothing
	lost     map[*resource]cause     // why a resource lost the node that was found
}

func newTrace(on bool) *trace {
	if !on {
		return nil
	}
	return &trace{nodes: map[*resource][]*credit{}, priority: map[*resource]*credit{},
		final: map[*resource][]*credit{}, lost: map[*resource]cause{}}
}

func (t *trace) at(r *resource, n *node) *credit {
	if t == nil || n == nil {
		return nil
	}
	if l := t.nodes[r]; n.index < len(l) {
		return l[n.index]
	}
	return nil
}

func (t *trace) put(r *resource, n *node, c *credit) {
	l := t.nodes[r]
	for n.index >= len(l) {
		l = append(l, nil)
	}
	l[n.index] = c
	t.nodes[r] = l
}

// add notes that v was added to the score of n for r.
func (t *trace) add(r *resource, n *node, v int, why cause) {
	if t != nil && v != 0 {
		t.put(r, n, t.at(r, n).and(v, why))
	}
}

// set notes that the score of n for r was replaced.
func (t *trace) set(r *resource, n *node, v int, why cause) {
	if t == nil {
		return
	}
	why.set = true
	t.put(r, n, (*credit)(nil).and(v, why))
}

// forget drops the credits of r, whose table of nodes is begun anew.
func (t *trace) forget(r *resource) {
	if t != nil {
		delete(t.nodes, r)
	}
}

// compare notes what changed in the scores of r since the last note.
func (t *trace) compare(e *engine, r *resource, why cause) {
	if t == nil {
		return
	}
	for i := range r.allowed {
		if r.allowed[i].in {
			t.compareAt(r, e.nodes[i], int(r.allowed[i].score), why)
		}
	}
}

func (t *trace) compareAt(r *resource, n *node, score int, why cause) {
	old := t.at(r, n).sum()
	switch {
	case old == score:
	case score >= infinity || score <= -infinity:
		if c := t.at(r, n).and(score, why); c.total == score {
			t.put(r, n, c)
			return
		}
		t.set(r, n, score, why)
	case old >= infinity || old <= -infinity:
		t.set(r, n, score, why)
	default:
		t.add(r, n, score-old, why)
	}
}

// mark remembers the credits of r and all below it, for a table of nodes that
// is only tried.
func (t *trace) mark(r *resource) traceMark {
	if t == nil {
		return nil
	}
	m := traceMark{}
	m.take(t, r)
	return m
}

type traceMark map[*resource][]*credit

func (m traceMark) take(t *trace, r *resource) {
	m[r] = append([]*credit(nil), t.nodes[r]...)
	for _, c := range r.children {
		m.take(t, c)
	}
}

// restore goes back to a mark, which stays valid.
func (t *trace) restore(m traceMark) {
	for r, l := range m {
		t.nodes[r] = append([]*credit(nil), l...)
	}
}

// restoreOnly goes back to a mark for r alone.
func (t *trace) restoreOnly(m traceMark, r *resource) {
	if t != nil {
		t.nodes[r] = append([]*credit(nil), m[r]...)
	}
}

// prioritize notes a change of the promotion priority of an instance.
func (t *trace) prioritize(r *resource, v int, why cause) {
	if t != nil {
		t.priority[r] = t.priority[r].and(v, why)
	}
}

// setPriority notes that the promotion priority of an instance begins anew.
func (t *trace) setPriority(r *resource, v int, why cause) {
	if t != nil {
		why.set = true
		t.priority[r] = (*credit)(nil).and(v, why)
	}
}

// keep remembers the scores with which r is assigned, be it to no node.
func (t *trace) keep(r *resource) {
	if t != nil {
		t.final[r] = append([]*credit(nil), t.nodes[r]...)
	}
}

// displace notes why r, and all below it, lost its node again.
func (t *trace) displace(r *resource, why cause) {
	if t != nil {
		r.eachLeaf(func(l *resource) { t.lost[l] = why })
	}
}

// decided is the score of n for r at the time of its last assignment.
func (t *trace) decided(r *resource, n *node) *credit {
	if l := t.final[r]; n.index < len(l) {
		return l[n.index]
	}
	return nil
}

// promote carries the promotion priority of an instance over to the score of
// its node for the clone.
func (t *trace) promote(clone, inst *resource, n *node) {
	if t == nil {
		return
	}
	c := t.priority[inst]
	if c.sum() != inst.sortIndex {
		t.add(clone, n, inst.sortIndex, cause{by: ByRole, rsc: inst})
		return
	}
	var list []*credit
	for ; c != nil; c = c.prev {
		list = append(list, c)
	}
	for i := len(list) - 1; i >= 0; i-- {
		t.add(clone, n, list[i].value, list[i].why)
	}
}

// each calls f for the credits that lead to c, oldest first.
func (c *credit) each(f func(*credit)) {
	if c != nil {
		c.prev.each(f)
		f(c)
	}
}

// colocated notes what a colocation changed for its dependent; value is that of
// the constraint's node attribute where the primary is.
func (t *trace) colocated(e *engine, dependent, primary *resource, c *colocation, value string) {
	if t == nil {
		return
	}
	why := cause{by: ByColocation, coloc: c, rsc: primary, node: primary.assigned}
	for i := range dependent.allowed {
		if !dependent.allowed[i].in {
			continue
		}
		n := e.nodes[i]
		switch {
		case primary.assigned == nil:
			t.add(dependent, n, -c.score, why)
		case strings.EqualFold(e.colocAttr(n, c.attr, dependent), value):
			if c.score < infinity {
				t.add(dependent, n, c.score, why)
			}
		case c.score >= infinity:
			t.add(dependent, n, -infinity, why)
		}
	}
}

// full notes for r, an instance or a member of one, why a node takes no
// instance (or no more).
func (t *trace) full(r, inst *resource, n *node) {
	if t == nil {
		return
	}
	why := cause{by: ByInstances, rsc: inst, node: n}
	switch s := topSlot(inst, n); {
	case !n.available():
		why.by = ByNodeState
	case s == nil || s.score < 0:
		why.by = ByParent
	}
	t.add(r, n, -infinity, why)
}

// promotion is what the promotion score of an instance consists of.
func (t *trace) promotion(e *engine, inst *resource) *credit {
	if t == nil {
		return nil
	}
	if c := t.priority[inst]; c != nil && c.total == inst.sortIndex {
		if n := e.locationOf(inst, false); n == nil || c.total < 0 {
			return c
		}
	}
	if n := e.locationOf(inst, false); n != nil {
		if c := t.at(inst.parent, n); c != nil && c.total == inst.sortIndex {
			return c
		}
	}
	return (*credit)(nil).and(inst.sortIndex, cause{by: ByRole, rsc: inst, set: true})
}
