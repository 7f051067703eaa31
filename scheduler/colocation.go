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

// compareForColocation orders the other sides of colocations.
func compareForColocation(a, b *resource) int {
	switch {
	case a.priority != b.priority:
		return b.priority - a.priority
	case a.variant != b.variant:
		return int(b.variant) - int(a.variant)
	}
	if a.variant == vClone && a.promotable != b.promotable {
		if a.promotable {
			return -1
		}
		return 1
	}
	return strings.Compare(a.id, b.id)
}

func insertThisWith(list []*colocation, c *colocation) []*colocation {
	i := slices.IndexFunc(list, func(x *colocation) bool { return compareForColocation(c.primary, x.primary) <= 0 })
	if i < 0 {
		i = len(list)
	}
	return slices.Insert(list, i, c)
}

func insertWithThis(list []*colocation, c *colocation) []*colocation {
	i := slices.IndexFunc(list, func(x *colocation) bool { return compareForColocation(c.dependent, x.dependent) <= 0 })
	if i < 0 {
		i = len(list)
	}
	return slices.Insert(list, i, c)
}

// mergeColocations adds a list to another. Quirk of the reference: into a
// list that is not empty, the first of the added ones goes in again and again
// and the others are lost.
func mergeColocations(list, add []*colocation, insert func([]*colocation, *colocation) []*colocation) []*colocation {
	if len(add) == 0 {
		return list
	}
	if len(list) == 0 {
		return append(list, add...)
	}
	for range add {
		list = insert(list, add[0])
	}
	return list
}

// thisWith lists the colocations in which r is (or stands for) the dependent.
func (e *engine) thisWith(r *resource) []*colocation {
	if e.older.has(olderInstances) || r.isPrimitive() && (r.parent == nil || r.parent.variant == vGroup && r.parent.parent == nil && e.older.has(olderGroups)) {
		return r.thisWith
	}
	return e.collectThisWith(r, r, nil)
}

// withThis lists the colocations in which r is the primary.
func (e *engine) withThis(r *resource) []*colocation {
	if e.older.has(olderInstances) || r.isPrimitive() && (r.parent == nil || r.parent.variant == vGroup && r.parent.parent == nil && e.older.has(olderGroups)) {
		return r.withThis
	}
	return e.collectWithThis(r, r, nil)
}

func (e *engine) collectThisWith(r, orig *resource, list []*colocation) []*colocation {
	switch r.variant {
	case vPrimitive:
		if r != orig {
			for _, c := range r.thisWith {
				if c.explicit {
					list = insertThisWith(list, c)
				}
			}
			return list
		}
		list = mergeColocations(list, r.thisWith, insertThisWith)
		if r.parent != nil {
			list = e.collectThisWith(r.parent, orig, list)
		}
	case vGroup:
		if len(r.children) == 0 {
			return list
		}
		if r == orig || orig == r.children[0] {
			list = mergeColocations(list, r.thisWith, insertThisWith)
			if r.parent != nil {
				list = e.collectThisWith(r.parent, orig, list)
			}
			if !r.group.colocated {
				return list
			}
			for _, m := range r.children {
				if m != orig {
					list = e.collectThisWith(m, orig, list)
				}
			}
			return list
		}
		for _, m := range r.children {
			if m == orig {
				break
			}
			if !m.managed {
				for _, c := range r.thisWith {
					if c.score >= infinity {
						list = insertThisWith(list, c)
					}
				}
				break
			}
		}
	case vClone:
		list = mergeColocations(list, r.thisWith, insertThisWith)
		if r.parent != nil {
			list = e.collectThisWith(r.parent, orig, list)
		}
	case vBundle:
		if e.bundleColocates(r, orig) {
			list = mergeColocations(list, r.thisWith, insertThisWith)
		}
	}
	return list
}

func (e *engine) collectWithThis(r, orig *resource, list []*colocation) []*colocation {
	switch r.variant {
	case vPrimitive:
		if r != orig {
			for _, c := range r.withThis {
				if c.explicit {
					list = insertWithThis(list, c)
				}
			}
			return list
		}
		list = mergeColocations(list, r.withThis, insertWithThis)
		if r.parent != nil {
			list = e.collectWithThis(r.parent, orig, list)
		}
	case vGroup:
		if len(r.children) == 0 || (orig != r && orig != r.children[len(r.children)-1]) {
			return list
		}
		list = mergeColocations(list, r.withThis, insertWithThis)
		if r.parent != nil {
			list = e.collectWithThis(r.parent, orig, list)
		}
		if !r.group.colocated {
			return list
		}
		for _, m := range r.children {
			if m != orig {
				list = e.collectWithThis(m, orig, list)
			}
		}
	case vClone:
		list = mergeColocations(list, r.withThis, insertWithThis)
		if r.parent != nil {
			list = e.collectWithThis(r.parent, orig, list)
		}
	case vBundle:
		if e.bundleColocates(r, orig) {
			list = mergeColocations(list, r.withThis, insertWithThis)
		}
	}
	return list
}

// bundleColocates reports whether a bundle's constraints count for orig.
func (e *engine) bundleColocates(b, orig *resource) bool {
	if orig == b || orig.replicaContainer {
		return true
	}
	child := b.bundle.child
	if child == nil || !child.promotable {
		return false
	}
	if orig == child {
		return child.clone.choosingRoles
	}
	return orig.parent == child && !orig.unprovisioned
}

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

// Options of walkScores.
type walkFlag uint8

const (
	walkNonNegative walkFlag = 1 << iota
	walkActive
	walkThisWith
)

// frozen marks a node whose score would have become negative in a
// non-negative walk.
const frozen = -13 - 2*infinity

// walkScores adds the preferences of source, and of all that is colocated
// with it, to a node table. Without a target it starts from source's own; an
// empty table stays empty.
func (e *engine) walkScores(source, target *resource, log string, nodes *nodeTable, c *colocation, factor float32, flags walkFlag) {
	if source.variant == vGroup {
		if source.merging || len(source.children) == 0 {
			return
		}
		source.merging = true
		m := source.children[0]
		if target == nil {
			m = source.children[len(source.children)-1]
		}
		e.walkScores(m, target, log, nodes, c, factor, flags)
		if e.older.has(olderGroups) {
			e.walkGroupAsInOlder(source, target, log, nodes, factor, flags)
		}
		source.merging = false
		return
	}
	if source.merging {
		return
	}
	source.merging = true
	defer func() { source.merging = false }()
	var work nodeTable
	if target == nil {
		work = source.allowed.clone()
		target = source
	} else {
		work = nodes.clone()
		e.addBestScores(work, source, target, c, factor, flags&walkNonNegative != 0)
	}
	if len(work) == 0 {
		return
	}
	if e.anyAvailable(work) {
		var list []*colocation
		if flags&walkThisWith != 0 {
			list = e.thisWith(source)
		} else {
			list = e.withThis(source)
		}
		flags |= walkActive
		for _, x := range list {
			of := factor * float32(x.score) / float32(infinity)
			if e.older.has(olderFactors) {
				of = float32(x.score) / float32(infinity)
				if factor < 0 {
					of = -of
				}
			}
			other := x.dependent
			if flags&walkThisWith != 0 {
				other = x.primary
			} else if !influences(x, nil) {
				continue
			}
			e.walkScores(other, target, log, &work, x, of, flags)
		}
	} else if flags&walkActive != 0 {
		return
	}
	if flags&walkNonNegative != 0 {
		for i := range work {
			if work[i].in && work[i].score == frozen {
				work[i].score = 1
			}
		}
	}
	*nodes = work
}

// addBestScores adds, for every node, what source's best node with the same
// attribute value is worth.
func (e *engine) addBestScores(nodes nodeTable, source, target *resource, c *colocation, factor float32, nonNegative bool) {
	table := source.allowed
	if c != nil && c.explicit && !e.older.has(olderGroups) && source == c.dependent && source.parent != nil && source.parent.variant == vGroup &&
		source != source.parent.children[0] {
		table = e.withGroupLocations(source)
	}
	attr := "#uname"
	if c != nil {
		attr = c.attr
	}
	byName := attr == "#uname"
	for i := range nodes {
		if !nodes[i].in {
			continue
		}
		n := e.nodes[i]
		best := -infinity
		value := e.colocAttr(n, attr, target)
		if byName && value == n.name {
			if s := table.get(n); s != nil && n.available() {
				best = max(best, int(s.score))
			}
		} else {
			for j := range table {
				if table[j].in && int(table[j].score) > best && e.nodes[j].available() &&
					strings.EqualFold(value, e.colocAttr(e.nodes[j], attr, source)) {
					best = int(table[j].score)
				}
			}
		}
		if factor < 0 && best < 0 {
			if c == nil || e.older.has(olderAnti) || c.primary.stickiness >= -best || !influences(c, nil) || !e.allowedOnOne(c.dependent) {
				continue
			}
		}
		if nodes[i].score == frozen {
			continue
		}
		f := factor * float32(best)
		var delta int
		if f < 0 {
			delta = int(f - 0.5)
		} else {
			delta = int(f + 0.5)
		}
		if delta == 0 && best != 0 {
			// a small factor must not hide a preference (quirk: the sign is the
			// factor's, whatever the preference)
			if factor > 0 {
				delta = 1
			} else if factor < 0 {
				delta = -1
			}
		}
		sum := addScores(delta, int(nodes[i].score))
		if nonNegative && sum < 0 && nodes[i].score > 0 {
			nodes[i].score = frozen
			continue
		}
		if nonNegative && sum < 0 && nodes[i].score == 0 {
			continue
		}
		nodes[i].score = int32(sum)
	}
}

func (e *engine) allowedOnOne(r *resource) bool {
	n := 0
	for i := range r.allowed {
		if r.allowed[i].in && r.allowed[i].score >= 0 {
			n++
		}
	}
	return n == 1
}

// withGroupLocations is the node table of a later group member with its
// group's own location constraints applied.
func (e *engine) withGroupLocations(m *resource) nodeTable {
	saved, tr := m.allowed, e.trace
	m.allowed, e.trace = saved.clone(), nil
	for i := len(e.locations) - 1; i >= 0; i-- {
		if l := e.locations[i]; l.rsc == m.parent {
			e.applyLocation(m, l)
		}
	}
	t := m.allowed
	m.allowed, e.trace = saved, tr
	return t
}

// addDependents lets a dependent's preferences count for the primary.
func (e *engine) addDependents(c *colocation, primary *resource) {
	if !influences(c, nil) {
		return
	}
	flags := walkActive
	if primary.variant == vClone {
		flags |= walkNonNegative
	}
	e.walkScores(c.dependent, primary, c.dependent.id, &primary.allowed, c, float32(c.score)/float32(infinity), flags)
	e.trace.compare(e, primary, cause{by: ByDependent, coloc: c, rsc: c.dependent})
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
