package scheduler

import "strings"

// The preferences of what is colocated, added up along chains of constraints.

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
		work := *nodes // not nodes itself: the walk may come upon the resource whose table that is
		e.walkScores(m, target, log, &work, c, factor, flags)
		if e.older.has(olderGroups) {
			e.walkGroupAsInOlder(source, target, log, &work, factor, flags)
		}
		*nodes = work
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
