package scheduler

import (
	"slices"
	"strings"
)

// Phase 8: assignment. Before: node scores are complete but for colocation.
// After: every resource has a node (or none) and a next role. Assigning one
// resource can assign others first, by colocation.

func (e *engine) assignAll() {
	e.sortForPlacement()
	if e.haveRemote || e.haveGuests {
		for _, r := range e.resources {
			if r.isRemoteConn {
				e.assign(r, r.partialTarget, true)
			}
		}
	}
	for _, r := range e.resources {
		if !r.isRemoteConn {
			e.assign(r, nil, true)
		}
	}
}

// assign places r. With stopIfFail off, a failure leaves r as it was.
func (e *engine) assign(r *resource, prefer *node, stopIfFail bool) *node {
	switch r.variant {
	case vGroup:
		return e.assignGroup(r, prefer, stopIfFail)
	case vClone:
		return e.assignClone(r)
	case vBundle:
		return e.assignBundle(r)
	}
	return e.assignPrimitive(r, prefer, stopIfFail)
}

// currentNode is where r is now, for purposes of moving and ties.
func (e *engine) currentNode(r *resource) *node {
	n, _ := e.activeNode(r)
	return n
}

// activeNode picks the current node of a resource and counts its nodes.
func (e *engine) activeNode(r *resource) (*node, int) {
	active := r.runningOn
	if len(active) == 0 {
		return nil, 0
	}
	if r.partialSource != nil && slices.Contains(active, r.partialSource) {
		return r.partialSource, len(active)
	}
	if !r.needsFencing {
		for _, n := range active {
			if n.online && !n.unclean {
				return n, len(active)
			}
		}
	}
	return active[0], len(active)
}

// locationOf is where r will be (or, with current, is); nil if nowhere or on
// several nodes.
func (e *engine) locationOf(r *resource, current bool) *node {
	var seen []*node
	r.eachLeaf(func(l *resource) {
		if current {
			for _, n := range l.runningOn {
				if !slices.Contains(seen, n) {
					seen = append(seen, n)
				}
			}
		} else if l.assigned != nil && !slices.Contains(seen, l.assigned) {
			seen = append(seen, l.assigned)
		}
	})
	if len(seen) == 1 {
		return seen[0]
	}
	return nil
}

type candidate struct {
	n     *node
	score int
}

func effectiveScore(c candidate) int {
	if !c.n.available() {
		return -infinity
	}
	return c.score
}

// compareNodes orders nodes for placement, better first.
func (e *engine) compareNodes(a, b *node, sa, sb int, current *node) int {
	x, y := effectiveScore(candidate{a, sa}), effectiveScore(candidate{b, sb})
	if x != y {
		return y - x
	}
	if e.opt.placement != placeMinimal {
		if e.opt.placement == placeBalanced {
			if c := compareCapacities(a, b); c != 0 {
				return c
			}
		}
		if a.numAssigned != b.numAssigned {
			return a.numAssigned - b.numAssigned
		}
		if current != nil && a != b {
			if a == current {
				return -1
			}
			if b == current {
				return 1
			}
		}
	}
	return strings.Compare(a.name, b.name)
}

// sortedAllowed lists the allowed nodes of r, best first.
func (e *engine) sortedAllowed(r *resource, current *node) []candidate {
	out := make([]candidate, 0, len(r.allowed))
	for i := range r.allowed {
		if r.allowed[i].in {
			out = append(out, candidate{e.nodes[i], int(r.allowed[i].score)})
		}
	}
	better := func(a, b candidate) int { return e.compareNodes(a.n, b.n, a.score, b.score, current) }
	if e.opt.placement == placeBalanced {
		return e.sortByCapacity(r, better)
	}
	slices.SortFunc(out, better)
	return out
}

// sortByCapacity sorts the allowed nodes of r where better may be no order, so
// that it matters in which order they were before.
func (e *engine) sortByCapacity(r *resource, better func(a, b candidate) int) []candidate {
	var out []candidate
	for _, n := range slices.Backward(e.tableNodes(r)) {
		if s := r.allowed.get(n); s != nil {
			out = append(out, candidate{n, int(s.score)})
		}
	}
	return mergeSort(out, better)
}

func mandatory(c *colocation) bool { return c.score <= -infinity || c.score >= infinity }

func (e *engine) assignPrimitive(r *resource, prefer *node, stopIfFail bool) *node {
	if r.parent != nil && !r.parent.assigning {
		e.assign(r.parent, prefer, stopIfFail)
	}
	if !r.unprovisioned {
		return r.assigned
	}
	if r.assigning {
		return nil
	}
	r.assigning = true
	this, with := e.thisWith(r), e.withThis(r)
	for _, m := range []bool{true, false} {
		if e.older.has(olderMixed) {
			e.colocateAsInOlder(r, this, with)
			break
		}
		for _, c := range this {
			if mandatory(c) == m {
				e.applyThisWith(c, r)
			}
		}
		for _, c := range with {
			if mandatory(c) == m {
				e.addDependents(c, r)
			}
		}
	}
	if r.nextRole == roleStopped {
		e.ban(r, nil, cause{by: ByTargetRole, rsc: r})
	} else if e.opt.noQuorum == quorumFreeze && !e.quorate && r.nextRole > r.role {
		r.nextRole = r.role
	}
	e.showScores(r, "pcmk__primitive_assign")
	if e.opt.fencing && !e.haveFencing {
		r.managed = false
	}
	switch {
	case !r.managed:
		r.nextRole = r.role
		e.assignTo(r, e.currentNode(r), true, stopIfFail)
	case e.opt.stopAll:
		e.assignTo(r, nil, true, stopIfFail)
	default:
		e.assignBest(r, prefer, stopIfFail)
	}
	r.assigning = false
	if r.isRemoteConn {
		e.connectionAssigned(r)
	}
	return r.assigned
}

// applyThisWith assigns the primary of a constraint and applies the
// constraint to r's nodes.
func (e *engine) applyThisWith(c *colocation, r *resource) {
	var saved nodeTable
	restore := c.dependentRole >= rolePromoted || (c.score < 0 && c.score > -infinity)
	if restore {
		saved = r.allowed.clone()
	}
	mark := e.trace.mark(r)
	if c.primary.unprovisioned || c.primary.variant == vBundle && e.older.has(olderInstances) {
		e.assign(c.primary, nil, true)
	}
	e.applyColocation(r, c.primary, c, true)
	if restore && !e.anyAvailable(r.allowed) {
		r.allowed = saved
		e.trace.restoreOnly(mark, r)
	}
}

func (e *engine) assignBest(r *resource, prefer *node, stopIfFail bool) {
	capable := e.banCrowded(r)
	if prefer == nil {
		prefer = capable
	}
	current := e.currentNode(r)
	nodes := e.sortedAllowed(r, current)
	var chosen, best *node
	if len(nodes) > 0 {
		best = nodes[0].n
	}
	if prefer != nil && best != nil {
		if s := r.allowed.get(prefer); s != nil && s.score >= 0 && prefer.available() && int(s.score) >= effectiveScore(nodes[0]) {
			chosen = prefer
		}
	}
	if chosen == nil && best != nil {
		chosen = best
		uniqueInstance := r.parent != nil && r.parent.variant == vClone && r.parent.unique
		if !uniqueInstance && nodes[0].score > 0 && best.available() && current != nil && current.available() && current.baseScore >= 0 {
			for _, c := range nodes[1:] {
				if c.score != nodes[0].score {
					break
				}
				if c.n == current {
					chosen = current
					break
				}
			}
		}
	}
	e.assignTo(r, chosen, false, stopIfFail)
}

// assignTo gives r a node, or none; it reports whether that changes anything.
func (e *engine) assignTo(r *resource, n *node, force, stopIfFail bool) bool {
	if len(r.children) > 0 {
		changed := false
		for _, c := range r.children {
			if e.assignTo(c, n, force, stopIfFail) {
				changed = true
			}
		}
		return changed
	}
	if !force && n != nil {
		s := r.allowed.get(n)
		if s == nil || s.score < 0 || (!n.available() && !n.guest()) {
			n = nil
			if stopIfFail {
				r.nextRole = roleStopped
			}
		}
	}
	changed := n != r.assigned || (r.unprovisioned && n != nil)
	e.unassign(r)
	r.unprovisioned = false
	e.trace.keep(r)
	if n == nil {
		if !stopIfFail {
			return changed
		}
		r.nextRole = roleStopped
		for _, a := range r.actions {
			switch {
			case a.task == taskStop:
				a.clear(fOptional)
			case a.task == taskStart:
				a.clear(fRunnable)
			default:
				if iv := a.meta.val("interval"); iv != "" && iv != "0" && a.meta.val("op_target_rc") != "7" {
					a.clear(fRunnable)
				}
			}
		}
		return changed
	}
	r.assigned = n
	n.numAssigned++
	if s := r.allowed.get(n); s != nil {
		s.count++
		r.assignedScore = int(s.score)
	}
	if force {
		r.assignedScore = n.baseScore // it is there for being there, not for its score
	}
	e.consume(n, r)
	if e.showUtilization {
		e.noteUtilization(r, n)
	}
	return changed
}

func (e *engine) unassign(r *resource) {
	old := r.assigned
	if len(r.children) > 0 {
		for _, c := range r.children {
			e.unassign(c)
		}
	}
	if old == nil {
		r.unprovisioned = true
		return
	}
	r.assigned = nil
	r.unprovisioned = true
	if r.isPrimitive() {
		old.numAssigned--
		e.release(old, r)
	}
}

// connectionAssigned takes over the placement of a remote connection into
// the state of its node.
func (e *engine) connectionAssigned(r *resource) {
	n := e.findNode(r.id)
	if n == nil {
		return
	}
	if r.assigned != nil && r.nextRole != roleStopped {
		n.online = true
		if n.unseen {
			n.unclean = false
		}
	} else {
		n.shutdown = true
	}
}

func (e *engine) assignGroup(r *resource, prefer *node, stopIfFail bool) *node {
	if !r.unprovisioned {
		return r.assigned
	}
	if r.assigning {
		return nil
	}
	if len(r.children) == 0 {
		r.unprovisioned = false
		return nil
	}
	r.assigning = true
	if e.older.has(olderGroups) && (r.parent == nil || e.older.has(olderInstances)) {
		groupAsInOlder(r)
	}
	r.role = r.children[0].role
	e.showScores(r, "pcmk__group_assign")
	var first *node
	for _, m := range r.children {
		if n := e.assign(m, prefer, stopIfFail); first == nil {
			first = n
		}
	}
	r.nextRole = r.children[0].nextRole
	r.assigning = false
	r.unprovisioned = false
	if !r.group.colocated {
		return nil
	}
	return first
}

func (e *engine) assignClone(r *resource) *node {
	if !r.unprovisioned || r.assigning {
		return nil
	}
	r.assigning = true
	if r.promotable {
		e.addPromotionScores(r)
	}
	for _, c := range e.thisWith(r) {
		if c.primary.unprovisioned {
			e.assign(c.primary, nil, true)
		}
	}
	for _, c := range e.withThis(r) {
		e.addDependents(c, r)
	}
	e.showScores(r, "pcmk__clone_assign")
	r.children = mergeSort(r.children, e.compareInstances)
	e.assignInstances(r, r.children, r.clone.max, r.clone.nodeMax)
	if r.promotable {
		e.chooseRoles(r)
	}
	r.unprovisioned = false
	r.assigning = false
	return nil
}

// showScores records the scores of r and all below it for display.
func (e *engine) showScores(r *resource, label string) {
	if !e.assignScores || r.removed {
		return
	}
	for _, n := range e.sorted {
		if s := r.allowed.get(n); s != nil {
			e.scores = append(e.scores, scoreLine{label: label, rsc: r.id, node: n.name, score: int(s.score), origin: e.trace.at(r, n)})
		}
	}
	for _, c := range r.children {
		e.showScores(c, label)
	}
}

type scoreLine struct {
	label, rsc, node string
	score            int
	promotion        bool
	origin           *credit
	capacity         string // a line about utilization instead
}
