package scheduler

import (
	"slices"
	"strings"
)

// Promotable clones: promotion scores, and the choice of roles.

// promotionScore returns the promotion score of an instance on a node, and
// whether there is any.
func (e *engine) promotionScore(r *resource, n *node) (int, bool) {
	if n == nil {
		return 0, false
	}
	if len(r.children) > 0 {
		sum, any := 0, false
		for _, c := range r.children {
			if v, ok := e.promotionScore(c, n); ok {
				sum, any = addScores(sum, v), true
			}
		}
		return sum, any
	}
	if !e.promotionApplies(r, n) {
		return 0, false
	}
	name := r.historyID
	if name == "" {
		name = r.id
	}
	if v, ok := e.promotionAttr(r, n, name); ok {
		return v, true
	}
	if base := stripInstance(r.id); !r.unique && base != r.id {
		return e.promotionAttr(r, n, base)
	}
	return 0, false
}

func (e *engine) promotionAttr(r *resource, n *node, name string) (int, bool) {
	v, ok := e.nodeAttr(n, "master-"+name, r, r.unprovisioned)
	if !ok {
		return 0, false
	}
	s, _ := e.score(v)
	return s, true
}

// promotionApplies reports whether a promotion score on n counts for r: only
// where its state is known, or if nothing is known at all.
func (e *engine) promotionApplies(r *resource, n *node) bool {
	if s := r.allowed.get(n); s == nil || s.score < 0 {
		return false
	}
	if len(r.runningOn) == 0 && !r.knownAnywhere() || r.knownOn(n) || r.runsOn(n) {
		return true
	}
	if r.unique {
		return false
	}
	// another instance was looked for there, and none is active
	p := presenceOf(r.top(false), stripInstance(r.id))
	return p.known.has(n) && !p.active.has(n)
}

// presence says on which nodes any instance of a primitive is active, and on
// which the state of any is known.
type presence struct{ active, known nodeSet }

// nodeSet holds nodes by their index.
type nodeSet []bool

func (s nodeSet) has(n *node) bool { return n.index < len(s) && s[n.index] }

func (s *nodeSet) add(index int) {
	for index >= len(*s) {
		*s = append(*s, false)
	}
	(*s)[index] = true
}

// presenceOf collects the presence of the instances of a primitive in an
// anonymous clone. It is kept, since nothing changes it after unpacking.
func presenceOf(clone *resource, base string) presence {
	if p, ok := clone.clone.presence[base]; ok {
		return p
	}
	var p presence
	for _, c := range clone.children {
		m := memberNamed(c, base)
		if m == nil {
			continue
		}
		for _, n := range m.runningOn {
			p.active.add(n.index)
		}
		for i, known := range m.known {
			if known {
				p.known.add(i)
			}
		}
	}
	if clone.clone.presence == nil {
		clone.clone.presence = map[string]presence{}
	}
	clone.clone.presence[base] = p
	return p
}

// addPromotionScores lets promotion scores steer where instances go.
func (e *engine) addPromotionScores(clone *resource) {
	if clone.clone.flagPromoScores {
		return
	}
	clone.clone.flagPromoScores = true
	for _, inst := range clone.children {
		for _, n := range e.sorted {
			s := inst.allowed.get(n)
			if s == nil || !n.available() {
				continue
			}
			score, _ := e.promotionScore(inst, n)
			if score <= 0 {
				continue
			}
			s.add(score)
			e.trace.add(inst, n, score, cause{by: ByPromotion, rsc: inst, node: n})
			if score > inst.priority {
				inst.priority = score
			}
		}
	}
}

// chooseRoles is the choice of roles after placement.
func (e *engine) chooseRoles(clone *resource) {
	d := clone.clone
	for i := range clone.allowed {
		clone.allowed[i].count = 0
	}
	for _, inst := range clone.children {
		e.preparePromotion(inst)
	}
	e.sortPromotable(clone)
	promoted := 0
	for _, inst := range clone.children {
		e.showPromotion(inst)
		var n *node
		if inst.sortIndex >= 0 && (promoted < d.promotedMax || !clone.managed) {
			n = e.promotionNode(inst)
		}
		if n == nil || inst.role < rolePromoted && stateOf(inst, true) < rolePromoted && !e.quorate && e.opt.noQuorum == quorumFreeze {
			setRoleUnpromoted(inst)
			continue
		}
		if s := clone.allowed.get(n); s != nil {
			s.count++
		}
		setRolePromoted(inst)
		promoted++
	}
}

// startedIsUnpromoted counts plain started as unpromoted.
func startedIsUnpromoted(r *resource) {
	if r.role == roleStarted {
		r.role = roleUnpromoted
	}
	for _, c := range r.children {
		startedIsUnpromoted(c)
	}
}

// preparePromotion computes the promotion priority of an assigned instance.
func (e *engine) preparePromotion(inst *resource) {
	inst.sortIndex = -infinity
	if stateOf(inst, true) == roleStarted {
		startedIsUnpromoted(inst)
	}
	n := e.locationOf(inst, false)
	if n == nil {
		if e.older.has(olderInactive) {
			inst.sortIndex = inst.priority
		}
		return
	}
	next := stateOf(inst, false)
	switch next {
	case roleUnknown, roleStarted:
		score, any := e.promotionScore(inst, n)
		inst.priority = score
		if !any {
			inst.priority = -1
		}
		e.trace.setPriority(inst, inst.priority, cause{by: ByPromotion, rsc: inst, node: n})
	case roleUnpromoted, roleStopped:
		inst.priority = -infinity
		e.trace.setPriority(inst, -infinity, cause{by: ByTargetRole, rsc: inst})
	default:
		e.trace.setPriority(inst, inst.priority, cause{by: ByRole, rsc: inst})
	}
	e.promotedLocations(inst, inst, n)
	e.promotedLocations(inst, inst.parent, n)
	for _, c := range e.thisWith(inst) {
		e.applyColocation(inst, c.primary, c, true)
	}
	inst.sortIndex = inst.priority
	if next == rolePromoted {
		inst.sortIndex = infinity
	}
}

func (e *engine) promotedLocations(inst, of *resource, n *node) {
	for _, l := range of.locations {
		if l.role != rolePromoted {
			continue
		}
		if s := l.nodes.get(n); s != nil {
			inst.priority = addScores(inst.priority, int(s.score))
			e.trace.prioritize(inst, int(s.score), l.cause())
		}
	}
}

// sortPromotable orders the instances for promotion.
func (e *engine) sortPromotable(clone *resource) {
	clone.clone.choosingRoles = true
	clone.merging = true
	for _, inst := range clone.children {
		n := e.locationOf(inst, false)
		if n == nil || inst.sortIndex < 0 {
			continue
		}
		if s := clone.allowed.get(n); s != nil {
			s.add(inst.sortIndex)
			e.trace.promote(clone, inst, n)
		}
	}
	if e.older.has(olderRoles) {
		e.promoteWithAsInOlder(clone)
	}
	for _, c := range e.withThis(clone) {
		if c.primaryRole == rolePromoted && influences(c, nil) {
			e.walkScores(c.dependent, clone, clone.id, &clone.allowed, c, float32(c.score)/float32(infinity), walkActive|walkNonNegative)
			e.trace.compare(e, clone, cause{by: ByDependent, coloc: c, rsc: c.dependent})
		}
	}
	for _, t := range clone.tickets {
		if t.role == rolePromoted && (!t.ticket.granted || t.ticket.standby) {
			e.ban(clone, nil, cause{by: ByTicket, tkt: t})
			break
		}
	}
	for _, inst := range clone.children {
		n := e.locationOf(inst, false)
		switch {
		case !inst.managed && inst.nextRole == rolePromoted:
			inst.sortIndex = infinity
		case n == nil || inst.sortIndex < 0:
		default:
			if s := clone.allowed.get(n); s != nil {
				inst.sortIndex = int(s.score)
			}
		}
	}
	clone.children = mergeSort(clone.children, func(a, b *resource) int {
		if a.sortIndex != b.sortIndex {
			return b.sortIndex - a.sortIndex
		}
		if ra, rb := stateOf(a, true), stateOf(b, true); ra != rb {
			return int(rb) - int(ra)
		}
		return e.compareInstances(a, b)
	})
	clone.merging = false
}

// promotionNode returns the node an instance (or a group member of one) can
// be promoted on, or nil.
func (e *engine) promotionNode(r *resource) *node {
	for _, c := range r.children {
		if e.promotionNode(c) == nil {
			return nil
		}
	}
	n := e.locationOf(r, false)
	switch {
	case n == nil:
		return nil
	case !r.managed:
		if stateOf(r, true) != rolePromoted {
			return nil
		}
	case r.priority < 0:
		return nil
	case !e.availableForGuest(n):
		return nil
	}
	clone := r.top(false)
	s := clone.allowed.get(n)
	if s == nil || int(s.count) >= clone.clone.promotedPer && r.managed {
		return nil
	}
	return n
}

// availableForGuest is available, and for a guest also that its launcher has
// a place.
func (e *engine) availableForGuest(n *node) bool {
	if !n.available() {
		return false
	}
	return !n.guest() || n.connection.launcher.assigned != nil
}

func setRolePromoted(r *resource) {
	if r.nextRole == roleUnknown {
		r.nextRole = rolePromoted
	}
	for _, c := range r.children {
		setRolePromoted(c)
	}
}

func setRoleUnpromoted(r *resource) {
	placed := false
	r.eachLeaf(func(l *resource) { placed = placed || l.assigned != nil })
	r.nextRole = roleStopped
	if placed {
		r.nextRole = roleUnpromoted
	}
	for _, c := range r.children {
		setRoleUnpromoted(c)
	}
}

func (e *engine) showPromotion(inst *resource) {
	if !e.assignScores {
		return
	}
	name := ""
	if n := e.locationOf(inst, false); n != nil {
		name = n.name
	}
	e.scores = append(e.scores, scoreLine{promotion: true, rsc: inst.id, node: name, score: inst.sortIndex, origin: e.trace.promotion(e, inst)})
}

// colocateWithPromotable places a dependent by the roles of a promotable
// clone.
func (e *engine) colocateWithPromotable(dependent, primary *resource, c *colocation) {
	var nodes []candidate
	for _, inst := range primary.children {
		n := e.locationOf(inst, false)
		if n == nil || stateOf(inst, false) != c.primaryRole {
			continue
		}
		if c.score < infinity {
			value := e.colocAttr(n, c.attr, primary)
			for i := range dependent.allowed {
				if dependent.allowed[i].in && strings.EqualFold(value, e.colocAttr(e.nodes[i], c.attr, dependent)) {
					dependent.allowed[i].add(c.score)
					e.trace.add(dependent, e.nodes[i], c.score, cause{by: ByColocation, coloc: c, rsc: primary, node: n})
				}
			}
		}
		nodes = append(nodes, candidate{n, assignedScore(inst)})
	}
	if c.score >= infinity && (c.dependentRole != rolePromoted || c.primaryRole != rolePromoted) {
		slices.Reverse(nodes)
		e.intersectNodes(dependent, primary, c, nodes, true)
	}
}

// assignedScore is the score of the node at the time r was assigned to it.
func assignedScore(r *resource) int {
	v, done := 0, false
	r.eachLeaf(func(l *resource) {
		if l.assigned != nil && !done {
			v, done = l.assignedScore, true
		}
	})
	return v
}

// promotablePriority adjusts a dependent's promotion by where a promotable
// clone has its role.
func (e *engine) promotablePriority(dependent, primary *resource, c *colocation) {
	to := dependent
	if p := dependent.parent; p != nil && p.variant == vGroup {
		to = p
	}
	found := false
	if at := dependent.assigned; at != nil {
		value := e.colocAttr(at, c.attr, dependent)
		for _, inst := range primary.children {
			n := e.locationOf(inst, false)
			if n != nil && stateOf(inst, false) == c.primaryRole && !anyBlocked(inst) &&
				strings.EqualFold(value, e.colocAttr(n, c.attr, inst)) {
				found = true
				break
			}
		}
	}
	if found {
		to.priority = addScores(to.priority, c.score)
		e.trace.prioritize(to, c.score, cause{by: ByColocation, coloc: c, rsc: primary, node: dependent.assigned})
	} else if c.score >= infinity {
		to.priority = -infinity
		e.trace.setPriority(to, -infinity, cause{by: ByColocation, coloc: c, rsc: primary})
	}
}

// promotableActions creates the actions for changes of role.
func (e *engine) promotableActions(clone *resource) {
	anyPromote, anyDemote := false, false
	for _, inst := range clone.children {
		e.noteRoleChanges(inst, &anyPromote, &anyDemote)
	}
	e.clonePseudoRole(clone, anyPromote, anyDemote)
	for _, inst := range clone.children {
		inst.priority = clone.priority
	}
}

func (e *engine) noteRoleChanges(r *resource, promote, demote *bool) {
	if len(r.children) > 0 {
		for _, c := range r.children {
			e.noteRoleChanges(c, promote, demote)
		}
		return
	}
	for _, a := range r.actions {
		if a.optional() {
			continue
		}
		if a.task == taskDemote {
			*demote = true
		} else if a.task == taskPromote {
			*promote = true
		}
	}
}

func (e *engine) clonePseudoRole(clone *resource, anyPromote, anyDemote bool) {
	promote := e.pseudoAction(clone, taskPromote, !anyPromote, true)
	promoted := e.pseudoAction(clone, taskPromoted, !anyPromote, true)
	promoted.priority = infinity
	if clone.notify && clone.clone.notifyPromote == nil {
		clone.clone.notifyPromote = e.newNotify(clone, taskPromote, promote, promoted)
	}
	demote := e.pseudoAction(clone, taskDemote, !anyDemote, true)
	demoted := e.pseudoAction(clone, taskDemoted, !anyDemote, true)
	demoted.priority = infinity
	d := clone.clone
	if clone.notify && d.notifyDemote == nil {
		d.notifyDemote = e.newNotify(clone, taskDemote, demote, demoted)
		if d.notifyPromote != nil {
			e.orderActions(d.notifyStop.postDone, d.notifyPromote.pre, oOrdered)
			e.orderActions(d.notifyStart.postDone, d.notifyPromote.pre, oOrdered)
			e.orderActions(d.notifyDemote.postDone, d.notifyPromote.pre, oOrdered)
			e.orderActions(d.notifyDemote.postDone, d.notifyStart.pre, oOrdered)
			e.orderActions(d.notifyDemote.postDone, d.notifyStop.pre, oOrdered)
		}
	}
}

// promotableOrderings are the internal constraints of a promotable clone.
func (e *engine) promotableOrderings(clone *resource) {
	for _, x := range [][2]string{{taskStopped, taskStart}, {taskStopped, taskPromote}, {taskDemoted, taskStop},
		{taskDemoted, taskStart}, {taskDemoted, taskPromote}, {taskRunning, taskPromote}, {taskDemote, taskDemoted}} {
		e.orderResources(clone, x[0], clone, x[1], oOrdered)
	}
	var last *resource
	for _, c := range clone.children {
		e.orderResources(c, taskDemote, c, taskPromote, oOrdered)
		e.promotableInstanceOrderings(clone, c, last)
		last = c
	}
}

// promotableInstanceOrderings order an instance's role changes with the
// clone's; last is the instance before it.
func (e *engine) promotableInstanceOrderings(clone, inst, last *resource) {
	e.orderResources(clone, taskPromote, inst, taskPromote, oOrdered)
	e.orderResources(inst, taskPromote, clone, taskPromoted, oOrdered)
	if last != nil && clone.clone.ordered {
		e.orderResources(last, taskPromote, inst, taskPromote, oOrdered)
	}
	e.orderResources(clone, taskDemote, inst, taskDemote, oThenImpliesFirstGraphed)
	e.orderResources(inst, taskDemote, clone, taskDemoted, oFirstImpliesThenGraphed)
	if last != nil && clone.clone.ordered {
		e.orderResources(inst, taskDemote, last, taskDemote, oOrdered)
	}
}
