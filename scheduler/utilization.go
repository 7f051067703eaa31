package scheduler

import (
	"slices"
	"strings"
)

// Utilization: capacities of nodes, needs of resources, and how placement
// strategies other than "default" use them.

// capacities is a small table of numbers, in the order of definition.
type capacities []struct {
	name  string
	value int
}

func (c *capacities) get(name string) int {
	if c != nil {
		for _, x := range *c {
			if x.name == name {
				return x.value
			}
		}
	}
	return 0
}

func (c *capacities) setNew(name string, v int) {
	for _, x := range *c {
		if x.name == name {
			return
		}
	}
	*c = append(*c, struct {
		name  string
		value int
	}{name, v})
}

func (c *capacities) add(o *capacities, sign int) {
	if o == nil {
		return
	}
next:
	for _, x := range *o {
		for i := range *c {
			if (*c)[i].name == x.name {
				(*c)[i].value += sign * x.value
				continue next
			}
		}
		if sign > 0 {
			c.setNew(x.name, x.value)
		}
	}
}

// compareCapacities votes per attribute: negative if a has more left.
func compareCapacities(a, b *node) int {
	result := 0
	vote := func(x, y int) {
		if x > y {
			result--
		} else if x < y {
			result++
		}
	}
	if a.utilization != nil {
		for _, x := range *a.utilization {
			vote(x.value, b.utilization.get(x.name))
		}
	}
	if b.utilization != nil {
		for _, x := range *b.utilization {
			if a.utilization == nil || !slices.ContainsFunc(*a.utilization, func(y struct {
				name  string
				value int
			}) bool {
				return y.name == x.name
			}) {
				vote(0, x.value)
			}
		}
	}
	return result
}

func (e *engine) consume(n *node, r *resource) {
	if r.utilization != nil && n.utilization != nil {
		n.utilization.add(r.utilization, -1)
	}
}

func (e *engine) release(n *node, r *resource) {
	if r.utilization != nil && n.utilization != nil {
		for _, x := range *r.utilization {
			for i := range *n.utilization {
				if (*n.utilization)[i].name == x.name {
					(*n.utilization)[i].value += x.value
				}
			}
		}
	}
}

func fits(n *node, need *capacities) bool {
	if need == nil {
		return true
	}
	for _, x := range *need {
		if x.value > n.utilization.get(x.name) {
			return false
		}
	}
	return true
}

// banCrowded bans nodes that cannot hold r (or, where one can, the whole set
// of resources mandatorily colocated with r), and returns the most capable
// node.
func (e *engine) banCrowded(r *resource) *node {
	if e.opt.placement == placeDefault {
		return nil
	}
	set := e.colocatedSet(r, nil, r)
	if len(set) == 0 {
		return nil
	}
	if !slices.Contains(set, r) {
		set = append(set, r)
	}
	need := &capacities{}
	for _, s := range set {
		if s.unprovisioned {
			e.addUtilization(s, r, set, need)
		}
	}
	all := false
	var most *node // among equals the first in the table
	for _, n := range e.tableNodes(r) {
		s := r.allowed.get(n)
		if s == nil || !n.available() || s.score < 0 {
			continue
		}
		if fits(n, need) {
			all = true
		}
		if most == nil || compareCapacities(n, most) < 0 {
			most = n
		}
	}
	if all {
		for _, n := range e.sorted {
			if s := r.allowed.get(n); s != nil && n.available() && s.score >= 0 && !fits(n, need) {
				e.ban(r, n, cause{by: ByUtilization, rsc: r, node: n})
			}
		}
		return nil
	}
	own := &capacities{}
	own.add(r.utilization, 1)
	for _, n := range e.sorted {
		if s := r.allowed.get(n); s != nil && n.available() && s.score >= 0 && !fits(n, own) {
			e.ban(r, n, cause{by: ByUtilization, rsc: r, node: n})
		}
	}
	return most
}

// addUtilization adds what a member of a colocated set needs.
func (e *engine) addUtilization(r, orig *resource, set []*resource, need *capacities) {
	switch r.variant {
	case vPrimitive:
		if r.unprovisioned {
			need.add(r.utilization, 1)
		}
	case vGroup:
		if !r.group.colocated && !(r.parent != nil && r.parent.variant == vClone) {
			if len(r.children) > 0 && r.children[0].unprovisioned && !slices.Contains(set, r.children[0]) {
				e.addUtilization(r.children[0], orig, set, need)
			}
			return
		}
		for _, c := range r.children {
			if c.unprovisioned && !slices.Contains(set, c) {
				e.addUtilization(c, orig, set, need)
			}
		}
	case vClone:
		existing := false
		for _, c := range r.children {
			if slices.Contains(set, c) {
				existing = true
				break
			}
			for _, m := range c.children {
				if slices.Contains(set, m) {
					existing = true
				}
			}
			if existing {
				break
			}
		}
		if !existing && len(r.children) > 0 && r.children[0].unprovisioned {
			e.addUtilization(r.children[0], orig, set, need)
		}
	case vBundle:
		if len(r.bundle.replicas) > 0 {
			if c := r.bundle.replicas[0].container; c.unprovisioned {
				e.addUtilization(c, orig, set, need)
			}
		}
	}
}

// colocatedSet adds everything that must be on the same node as r.
func (e *engine) colocatedSet(r *resource, set []*resource, orig *resource) []*resource {
	if slices.Contains(set, r) {
		return set
	}
	set = append(set, r)
	if r.variant == vGroup && (r.group.colocated || r.parent != nil && r.parent.variant == vClone) {
		// the first and last member include the group's own constraints
		for _, c := range r.children {
			set = e.colocatedSet(c, set, orig)
		}
		return set
	}
	for _, c := range e.thisWith(r) {
		p := c.primary
		if p == orig {
			continue // breaks the loop
		}
		if c.score >= infinity && e.colocationAffects(r, p, c, true) == affectsLocation {
			set = e.colocatedSet(p, set, orig)
		}
	}
	for _, c := range e.withThis(r) {
		d := c.dependent
		if d == orig {
			continue
		}
		if r.collective() && !d.collective() {
			continue // colocating something with a clone means nothing for capacity
		}
		if c.score >= infinity && e.colocationAffects(d, r, c, true) == affectsLocation {
			set = e.colocatedSet(d, set, orig)
		}
	}
	return set
}

// sortForPlacement is the first part of phase 8 for strategies that balance:
// the most demanding resources are assigned first.
func (e *engine) sortForPlacement() {
	if e.opt.placement == placeDefault {
		return
	}
	nodes := mergeSort(e.sorted, func(a, b *node) int { return e.compareNodes(a, b, a.baseScore, b.baseScore, nil) })
	tables := map[*resource]nodeTable{}
	table := func(r *resource) nodeTable {
		t, ok := tables[r]
		if !ok {
			e.walkScores(r, nil, r.id, &t, nil, 1, walkThisWith)
			tables[r] = t
		}
		return t
	}
	scoreOn := func(t nodeTable, n *node) int {
		if s := t.get(n); s != nil {
			return int(s.score)
		}
		return -infinity
	}
	slices.SortStableFunc(e.resources, func(a, b *resource) int {
		if a.priority != b.priority {
			return b.priority - a.priority
		}
		ta, tb := table(a), table(b)
		na, nb := e.currentNode(a), e.currentNode(b)
		sa, sb := -infinity, -infinity
		if na != nil && nb != nil && na == nb {
			sa, sb = scoreOn(ta, na), scoreOn(tb, nb)
		} else {
			if na != nil {
				sa = scoreOn(ta, na)
			}
			if nb != nil {
				sb = scoreOn(tb, nb)
			}
		}
		if sa != sb {
			return sb - sa
		}
		for _, n := range nodes {
			if x, y := scoreOn(ta, n), scoreOn(tb, n); x != y {
				return y - x
			}
		}
		return 0
	})
}

// loadOrderings makes stops free capacity before starts take it.
func (e *engine) loadOrderings(r *resource) {
	if r.utilization == nil || e.opt.placement == placeDefault || !r.managed {
		return
	}
	for _, n := range r.runningOn {
		load := e.loadStopped(n)
		e.newOrdering(r, opKey(r.id, taskStop, 0), nil, nil, "", load, oIfOnSameNodeOrTarget)
	}
	for _, n := range e.sorted {
		if !r.allowed.has(n) {
			continue
		}
		load := e.loadStopped(n)
		e.newOrdering(nil, "", load, r, opKey(r.id, taskStart, 0), nil, oIfOnSameNodeOrTarget)
		e.newOrdering(nil, "", load, r, opKey(r.id, taskMigrateTo, 0), nil, oIfOnSameNodeOrTarget)
	}
}

func (e *engine) loadStopped(n *node) *action {
	a := e.globalPseudo(taskLoadStopped + "_" + n.name)
	if a.node == nil {
		a.node = n
		a.clear(fOptional)
	}
	return a
}

// text lists the capacities by name.
func (c *capacities) text() string {
	if c == nil {
		return ""
	}
	list := slices.Clone(*c)
	slices.SortFunc(list, func(a, b struct {
		name  string
		value int
	}) int {
		return strings.Compare(a.name, b.name)
	})
	var b strings.Builder
	for _, x := range list {
		b.WriteString(" " + x.name + "=" + itoa(x.value))
	}
	return b.String()
}

// noteCapacities notes what nodes have, for display.
func (e *engine) noteCapacities(when string) {
	if !e.showUtilization {
		return
	}
	for _, n := range e.sorted {
		e.scores = append(e.scores, scoreLine{capacity: when + ": " + n.name + " capacity:" + n.utilization.text()})
	}
}

// noteUtilization notes what a resource uses of its node.
func (e *engine) noteUtilization(r *resource, n *node) {
	e.scores = append(e.scores, scoreLine{capacity: "pcmk__assign_resource: " + r.id + " utilization on " + n.name + ":" + r.utilization.text()})
}
