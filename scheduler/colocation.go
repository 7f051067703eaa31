package scheduler

import (
	"slices"
	"strings"
)

// Colocation: which constraints concern a resource, and how the place or role
// of one side changes the scores of the other.

type colocationEffect uint8

const (
	affectsNothing colocationEffect = iota
	affectsLocation
	affectsRole
)

// colocAttr is the value of a colocation's node attribute on n, for r. What is
// inside a bundle counts as being on the container's host.
func (e *engine) colocAttr(n *node, attr string, r *resource) string {
	if r != nil && n.guest() && !e.older.has(olderHost) {
		top := r.top(false)
		inside := n.forBundle && top.variant == vClone && top.parent != nil
		if inside || r.meta.val("container-attribute-target") == "host" {
			if n = guestHost(n, false); n == nil {
				return ""
			}
		}
	}
	if attr == "#uname" && !e.older.has(olderNameless) {
		return n.name
	}
	return n.attrs[attr]
}

// roleResource is the resource whose role counts: inside a container.
func roleResource(r *resource) *resource {
	if r.replicaContainer && r.replica != nil && r.replica.child != nil {
		return r.replica.child
	}
	return r
}

// colocationAffects tells what a colocation changes for the dependent.
func (e *engine) colocationAffects(dependent, primary *resource, c *colocation, preview bool) colocationEffect {
	if !preview && primary.unprovisioned {
		return affectsNothing
	}
	d, p := roleResource(dependent), roleResource(primary)
	if c.dependentRole >= roleUnpromoted && d.parent != nil && d.parent.promotable && !d.unprovisioned {
		return affectsRole
	}
	if !preview && !dependent.unprovisioned {
		return affectsNothing
	}
	if e.older.has(olderRoles) {
		if affectsInOlder(c, dependent, primary) {
			return affectsLocation
		}
		return affectsNothing
	}
	if c.dependentRole != roleUnknown && c.dependentRole != d.nextRole {
		return affectsNothing
	}
	if c.primaryRole != roleUnknown && c.primaryRole != p.nextRole {
		return affectsNothing
	}
	return affectsLocation
}

// influences reports whether the dependent's preferences count for the
// primary's place.
func influences(c *colocation, r *resource) bool {
	if r == nil {
		r = c.primary
	}
	if c.dependent.nestedRemoteOK && !r.failed && len(r.runningOn) == 1 {
		return false
	}
	return c.influence || len(r.runningOn) == 0
}

func (e *engine) anyAvailable(t nodeTable) bool {
	for i := range t {
		if t[i].in && t[i].score >= 0 && e.nodes[i].available() {
			return true
		}
	}
	return false
}

// applyColocation applies a constraint on behalf of the dependent, or (for
// parts of the primary) against a dependent.
func (e *engine) applyColocation(dependent, primary *resource, c *colocation, forDependent bool) {
	if forDependent {
		if dependent.variant == vGroup {
			if dependent.group.colocated {
				if len(dependent.children) > 0 {
					e.applyColocation(dependent.children[0], primary, c, true)
				}
				return
			}
			for _, m := range dependent.children {
				e.applyColocation(m, primary, c, true)
			}
			return
		}
		e.applyColocation(dependent, primary, c, false)
		return
	}
	switch primary.variant {
	case vPrimitive:
		switch e.colocationAffects(dependent, primary, c, false) {
		case affectsRole:
			e.colocatePriority(dependent, primary, c)
		case affectsLocation:
			e.colocateScores(dependent, primary, c)
		}
	case vGroup:
		e.colocateWithGroup(dependent, primary, c)
	case vClone:
		e.colocateWithClone(dependent, primary, c)
	case vBundle:
		e.colocateWithBundle(dependent, primary, c)
	}
}

func (e *engine) colocateWithGroup(dependent, primary *resource, c *colocation) {
	if len(primary.children) == 0 {
		return
	}
	if primary.group.colocated {
		if primary.unprovisioned {
			return
		}
		m := primary.children[0]
		if c.score >= infinity {
			m = primary.children[len(primary.children)-1]
		}
		e.applyColocation(dependent, m, c, false)
		return
	}
	if c.score >= infinity {
		e.fault(primary.id, "nothing can be colocated mandatorily with a group that is not colocated itself")
		return
	}
	for _, m := range primary.children {
		e.applyColocation(dependent, m, c, false)
	}
}

func (e *engine) colocateScores(dependent, primary *resource, c *colocation) {
	value := ""
	p := primary.assigned
	if p != nil {
		value = e.colocAttr(p, c.attr, primary)
	} else if c.score < 0 {
		return
	}
	work := dependent.allowed.clone()
	for i := range work {
		if !work[i].in {
			continue
		}
		switch {
		case p == nil:
			work[i].add(-c.score)
		case strings.EqualFold(e.colocAttr(e.nodes[i], c.attr, dependent), value):
			if c.score < infinity {
				work[i].add(c.score)
			}
		case c.score >= infinity:
			work[i].add(-infinity)
		}
	}
	if c.score <= -infinity || c.score >= infinity || e.anyAvailable(work) {
		dependent.allowed = work
		e.trace.colocated(e, dependent, primary, c, value)
	}
}

func (e *engine) colocatePriority(dependent, primary *resource, c *colocation) {
	if dependent.assigned == nil || primary.assigned == nil && e.older.has(olderRoles) {
		return
	}
	if c.primaryRole != roleUnknown && primary.assigned != nil && roleResource(primary).nextRole != c.primaryRole {
		return
	}
	d := roleResource(dependent)
	if d.parent != nil && d.parent.variant == vGroup {
		d = d.parent // a cloned group is promoted as a whole
	}
	mine := e.colocAttr(dependent.assigned, c.attr, dependent)
	if primary.assigned == nil || !strings.EqualFold(mine, e.colocAttr(primary.assigned, c.attr, primary)) {
		if c.score >= infinity && c.dependentRole == rolePromoted {
			d.priority = addScores(d.priority, -infinity)
			e.trace.prioritize(d, -infinity, cause{by: ByColocation, coloc: c, rsc: primary, node: primary.assigned})
		}
		return
	}
	v := c.score
	if c.dependentRole == roleUnpromoted {
		v = -v
	}
	d.priority = addScores(d.priority, v)
	e.trace.prioritize(d, v, cause{by: ByColocation, coloc: c, rsc: primary, node: primary.assigned})
}

// blockDependents makes what depends on an unrunnable start or promote
// unrunnable too.
func (e *engine) blockDependents(a *action) {
	if a.runnable() || a.rsc == nil {
		return
	}
	if a.task != taskStart && a.task != taskPromote {
		return
	}
	r := a.rsc.top(true)
	for _, c := range r.children {
		if ca := firstAction(c, "", a.task, nil); ca == nil || ca.runnable() {
			return // something of it can
		}
	}
	for _, c := range e.withThis(r) {
		if c.score < infinity || a.task == taskPromote && c.primaryRole != rolePromoted {
			continue
		}
		task := taskStart
		if c.dependentRole == rolePromoted {
			task = taskPromote
		}
		e.markBlocked(c.dependent, task, a.rsc)
	}
}

// markBlocked makes a task of r unrunnable because of a colocation.
func (e *engine) markBlocked(r *resource, task string, because *resource) {
	reason := "colocation with " + because.id
	for i := len(r.actions) - 1; i >= 0; i-- {
		if a := r.actions[i]; a.runnable() && a.task == task {
			a.clear(fRunnable)
			a.setReason(reason, false)
			e.blockDependents(a)
			e.updateForOrderings(a)
		}
	}
	for _, c := range r.children {
		e.markBlocked(c, task, because)
	}
}

// anyBlocked reports that r or anything below it is blocked.
func anyBlocked(r *resource) bool {
	return r.blocked || slices.ContainsFunc(r.children, anyBlocked)
}
