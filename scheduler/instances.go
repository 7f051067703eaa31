package scheduler

import (
	"slices"
	"strings"
)

// Distribution of the instances of clones (and containers of bundles).

func (e *engine) instancesOf(r *resource) []*resource {
	if r.variant == vBundle {
		out := make([]*resource, 0, len(r.bundle.replicas))
		for _, rep := range r.bundle.replicas {
			out = append(out, rep.container)
		}
		return out
	}
	return r.children
}

func (r *resource) perNode() int {
	if r.variant == vBundle {
		return r.bundle.perHost
	}
	if r.clone != nil {
		return r.clone.nodeMax
	}
	return 1
}

// topSlot is the slot that counts the instances on n.
func topSlot(r *resource, n *node) *slot {
	if r.parent != nil {
		return r.parent.allowed.get(n)
	}
	return r.allowed.get(n)
}

// compareInstances orders instances for assignment.
func (e *engine) compareInstances(a, b *resource) int {
	na, ca := e.activeNode(a)
	nb, cb := e.activeNode(b)
	if ca > 0 && cb > 0 && ca != cb {
		return ca - cb
	}
	okA, okB := nodeIsAllowed(a, &na), nodeIsAllowed(b, &nb)
	if okA != okB {
		if okA {
			return -1
		}
		return 1
	}
	if a.priority != b.priority {
		return b.priority - a.priority
	}
	switch {
	case na == nil && nb == nil:
		return 0
	case na == nil:
		return 1
	case nb == nil:
		return -1
	}
	if x, y := na.available(), nb.available(); x != y {
		if x {
			return -1
		}
		return 1
	}
	sa, sb := topSlot(a, na), topSlot(b, nb)
	switch {
	case sa == nil && sb == nil:
		return 0
	case sa == nil:
		return 1
	case sb == nil:
		return -1
	case sa.count != sb.count:
		return int(sa.count - sb.count)
	}
	if a.didFail() != b.didFail() {
		if a.didFail() {
			return 1
		}
		return -1
	}
	if c := e.compareByColocation(a, b); c != 0 {
		return c
	}
	if e.older.has(olderInstances) {
		return strings.Compare(a.id, b.id)
	}
	return instanceOrder(a, b)
}

func (r *resource) didFail() bool {
	return r.failed || slices.ContainsFunc(r.children, (*resource).didFail)
}

func instanceOrder(a, b *resource) int { return instanceNumber(a.id) - instanceNumber(b.id) }

// nodeIsAllowed reports whether an instance may stay; if not, n becomes nil.
func nodeIsAllowed(r *resource, n **node) bool {
	if *n == nil {
		return true
	}
	if s := r.allowed.get(*n); s == nil || s.score < 0 {
		*n = nil
		return false
	}
	return true
}

func (e *engine) compareByColocation(a, b *resource) int {
	sa, okA := e.colocatedScore(a)
	sb, okB := e.colocatedScore(b)
	if !okA || !okB {
		if okA == okB {
			return 0
		}
		if okA {
			return -1
		}
		return 1
	}
	return sb - sa
}

// colocatedScore is the score of an instance's current node with the
// preferences of everything colocated with the parent.
func (e *engine) colocatedScore(r *resource) (int, bool) {
	n := e.currentNode(r)
	if n == nil {
		return 0, false
	}
	var t nodeTable
	t.put(n, n.baseScore)
	for _, c := range e.thisWith(r.parent) {
		e.walkScores(c.primary, r, r.id, &t, c, float32(c.score)/float32(infinity), 0)
	}
	for _, c := range e.withThis(r.parent) {
		if influences(c, r) {
			e.walkScores(c.dependent, r, r.id, &t, c, float32(c.score)/float32(infinity), walkNonNegative)
		}
	}
	if s := t.get(n); s != nil {
		return int(s.score), true
	}
	return 0, false
}

func (e *engine) assignInstances(coll *resource, instances []*resource, total, perNode int) {
	if e.older.has(olderInstances) {
		e.assignInstancesAsInOlder(coll, instances, total, perNode)
		return
	}
	available := 0
	for i := range coll.allowed {
		if coll.allowed[i].in {
			coll.allowed[i].count = 0
			if e.nodes[i].available() {
				available++
			}
		}
	}
	optimal := 1
	if available > 0 {
		optimal = max(1, total/available)
	}
	assigned := 0
	for _, inst := range instances {
		if assigned >= total {
			break
		}
		if n := e.stayNode(inst, optimal); n != nil && e.assignEarly(coll, inst, n, perNode, total-assigned) {
			assigned++
		}
	}
	for _, inst := range instances {
		if !inst.unprovisioned {
			continue
		}
		if assigned >= total {
			e.ban(inst, nil, cause{by: ByInstances, rsc: coll})
		} else if n := e.assignInstance(inst, nil, perNode); n != nil {
			if s := topSlot(inst, n); s != nil {
				s.count++
			}
			assigned++
		}
	}
}

// stayNode is the node an instance should stay on if it can.
func (e *engine) stayNode(r *resource, optimal int) *node {
	if len(r.runningOn) == 0 || !r.unprovisioned || r.failed {
		return nil
	}
	n := e.currentNode(r)
	if n == nil || !n.available() || n.baseScore < 0 {
		return nil
	}
	if s := topSlot(r, n); s != nil && int(s.count) >= optimal {
		return nil
	}
	return n
}

type savedTables map[*resource]nodeTable

func (t savedTables) save(r *resource) {
	t[r] = r.allowed.clone()
	for _, c := range r.children {
		t.save(c)
	}
}

func (t savedTables) restore() {
	for r, a := range t {
		r.allowed = a.clone()
	}
}

// assignEarly tries to keep an instance where it is. Nodes that it would
// rather be on get an instance reserved, so that proportions stay right.
func (e *engine) assignEarly(coll, inst *resource, current *node, perNode, available int) bool {
	s := inst.allowed.get(current)
	if s == nil || s.score < 0 || !current.available() {
		return false
	}
	parent := inst.parent
	saved := savedTables{}
	saved.save(inst)
	mark, parentMark := e.trace.mark(inst), e.trace.mark(parent)
	parentTable := parent.allowed
	parent.allowed = parentTable.clone()
	var chosen *node
	for reserved := 0; reserved < available; {
		chosen = e.assignInstance(inst, current, perNode)
		if chosen == current {
			break
		}
		saved.restore()
		e.trace.restore(mark)
		if chosen == nil {
			inst.unprovisioned = true // (the members of a group stay assigned to nothing)
			break
		}
		e.unassign(inst)
		reserved++
		if s := topSlot(inst, chosen); s != nil {
			s.count++
		}
	}
	parent.allowed = parentTable
	e.trace.restoreOnly(parentMark, parent)
	if chosen != current {
		return false
	}
	if s := topSlot(inst, current); s != nil {
		s.count++
	}
	return true
}

func (e *engine) assignInstance(inst *resource, prefer *node, perNode int) *node {
	if !inst.unprovisioned || inst.assigning {
		return nil
	}
	e.banFullNodes(inst, perNode)
	return e.assign(inst, prefer, prefer == nil)
}

// banFullNodes bans nodes that cannot take another instance.
func (e *engine) banFullNodes(inst *resource, perNode int) {
	for i := range inst.allowed {
		if !inst.allowed[i].in || e.canTake(inst, e.nodes[i], perNode) {
			continue
		}
		inst.allowed[i].score = -infinity
		e.trace.full(inst, inst, e.nodes[i])
		for _, c := range inst.children {
			if s := c.allowed.get(e.nodes[i]); s != nil {
				s.score = -infinity
				e.trace.full(c, inst, e.nodes[i])
			}
		}
	}
}

func (e *engine) canTake(inst *resource, n *node, perNode int) bool {
	if inst.removed || !n.available() {
		return false
	}
	s := topSlot(inst, n)
	return s != nil && s.score >= 0 && int(s.count) < perNode
}

// canInterleave reports whether a colocation is between matching instances.
func (e *engine) canInterleave(c *colocation) bool {
	d := c.dependent
	return d.collective() && isTrue(d.meta.val("interleave")) && c.primary.collective() && d.perNode() == c.primary.perNode()
}

// intersectNodes keeps of the dependent's nodes only those of the primary.
func (e *engine) intersectNodes(dependent *resource, primary *resource, c *colocation, nodes []candidate, merge bool) {
	for i := range dependent.allowed {
		if !dependent.allowed[i].in {
			continue
		}
		value := e.colocAttr(e.nodes[i], c.attr, dependent)
		j := slices.IndexFunc(nodes, func(x candidate) bool {
			if e.older.has(olderExclude) {
				return x.n == e.nodes[i]
			}
			return strings.EqualFold(value, e.colocAttr(x.n, c.attr, primary))
		})
		if j < 0 {
			dependent.allowed[i].score = -infinity
			e.trace.add(dependent, e.nodes[i], -infinity, cause{by: ByColocation, coloc: c, rsc: primary})
		} else if merge {
			dependent.allowed[i].add(nodes[j].score)
			e.trace.add(dependent, e.nodes[i], nodes[j].score, cause{by: ByColocation, coloc: c, rsc: primary, node: nodes[j].n})
		}
	}
}

func (e *engine) colocateWithClone(dependent, primary *resource, c *colocation) {
	if primary.unprovisioned {
		return
	}
	if primary.promotable && c.primaryRole != roleUnknown {
		if dependent.unprovisioned {
			e.colocateWithPromotable(dependent, primary, c)
			return
		}
		if c.dependentRole == rolePromoted {
			e.promotablePriority(dependent, primary, c)
			return
		}
	}
	if e.canInterleave(c) {
		if inst := e.compatibleInstance(dependent, primary, roleUnknown, false); inst != nil {
			e.applyColocation(dependent, inst, c, false)
		} else if c.score >= infinity {
			e.assignTo(dependent, nil, true, true)
			e.trace.displace(dependent, cause{by: ByColocation, coloc: c, rsc: primary})
		}
		return
	}
	if c.score >= infinity {
		var nodes []candidate
		for _, inst := range primary.children {
			if n := e.locationOf(inst, false); n != nil && !anyBlocked(inst) {
				nodes = append(nodes, candidate{n, 0})
			}
		}
		e.intersectNodes(dependent, primary, c, nodes, false)
		return
	}
	for _, inst := range primary.children {
		e.applyColocation(dependent, inst, c, false)
	}
}

// stateOf is the present or next role of r: the highest of its members.
func stateOf(r *resource, current bool) role {
	if len(r.children) == 0 {
		if current {
			return r.role
		}
		return r.nextRole
	}
	top := roleUnknown
	for _, c := range r.children {
		top = max(top, stateOf(c, current))
	}
	return top
}

// compatibleInstance finds the instance of a collective resource on the node
// of another resource (or, if that has none, on its best node).
func (e *engine) compatibleInstance(match, coll *resource, want role, current bool) *resource {
	n := e.locationOf(match, current)
	if n != nil {
		return e.instanceOn(match, coll, n, want, current)
	}
	for _, c := range e.sortedAllowed(match, nil) {
		if inst := e.instanceOn(match, coll, c.n, want, current); inst != nil {
			return inst
		}
	}
	return nil
}

func (e *engine) instanceOn(match, coll *resource, n *node, want role, current bool) *resource {
	for _, inst := range e.instancesOf(coll) {
		if e.instanceMatches(inst, n, want, current) {
			return inst
		}
	}
	return nil
}

func (e *engine) instanceMatches(inst *resource, n *node, want role, current bool) bool {
	if want != roleUnknown && want != stateOf(inst, current) {
		return false
	}
	if !anyBlocked(inst) {
		at := e.locationOf(inst, current)
		return at != nil && at == n
	}
	return false
}
