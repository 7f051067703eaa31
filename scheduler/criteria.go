package scheduler

import "slices"

// Phases 3 and 5: what makes nodes fit or unfit for resources besides
// colocation. Before: resources have their default scores. After: node
// scores hold health, shutdown locks, location constraints, stickiness,
// failure bans and exclusive discovery.

// nodeHealth (phase 3) adds location constraints by health attributes.
func (e *engine) nodeHealth() {
	if e.opt.healthStrategy == "none" || e.opt.healthStrategy == "" {
		return
	}
	for _, n := range e.sorted {
		score := e.healthScore(n)
		if e.opt.healthStrategy == "progressive" {
			score = addScores(score, e.opt.healthBase)
		}
		if score == 0 {
			continue
		}
		for _, r := range e.resources {
			if score < 0 && isTrue(r.meta.val("allow-unhealthy-nodes")) {
				continue
			}
			l := &location{id: e.opt.healthStrategy, rsc: r, health: true}
			l.nodes.put(n, score)
			e.locations = append(e.locations, l)
			r.locations = append(r.locations, l)
		}
	}
}

func (e *engine) healthScore(n *node) int {
	sum := 0
	for _, v := range healthValues(n) {
		s, _ := e.score(v)
		sum = addScores(sum, s)
	}
	return sum
}

func healthValues(n *node) []string {
	var names []string
	for k := range n.attrs {
		if len(k) >= 7 && k[:7] == "#health" {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	for i, k := range names {
		names[i] = n.attrs[k]
	}
	return names
}

func (e *engine) applyCriteria() {
	if e.opt.shutdownLock {
		for _, r := range e.resources {
			e.shutdownLock(r)
		}
	}
	for i := len(e.locations) - 1; i >= 0; i-- {
		e.applyLocation(e.locations[i].rsc, e.locations[i])
	}
	for _, r := range e.resources {
		e.stickiness(r)
	}
	for _, n := range e.sorted {
		for _, r := range e.resources {
			e.failureBan(r, n)
			e.exclusiveDiscovery(r, n)
		}
	}
}

func (e *engine) shutdownLock(r *resource) {
	switch r.variant {
	case vGroup:
		for _, c := range r.children {
			e.shutdownLock(c)
		}
		return
	case vPrimitive:
	default:
		return
	}
	if r.fenceDevice || r.isRemoteConn {
		return
	}
	if r.lockNode != nil {
		if len(r.runningOn) > 0 {
			e.clearHistory(r, r.lockNode)
			r.lockNode, r.lockTime = nil, 0
		}
	} else if len(r.runningOn) == 1 {
		if n := r.runningOn[0]; n.shutdown && !n.unclean {
			r.lockNode = n
			r.lockTime = e.shutdownTime(n)
		}
	}
	if r.lockNode == nil {
		return
	}
	if e.opt.shutdownLockLimit > 0 {
		e.recheckAt(r.lockTime + e.opt.shutdownLockLimit + 1)
	}
	for _, n := range e.nodes {
		if n != r.lockNode {
			e.ban(r, n, cause{by: ByShutdownLock, rsc: r, node: r.lockNode})
		}
	}
}

func (e *engine) shutdownTime(n *node) int64 {
	if t := epochOf(n.attrs["shutdown"]); t > 0 {
		return t
	}
	return e.now.Unix()
}

// applyLocation applies a location constraint to r.
func (e *engine) applyLocation(r *resource, l *location) {
	switch r.variant {
	case vGroup:
		// the first member gets the scores, the others only the nodes
		e.applyLocationTo(r, l)
		zero := l
		for i, m := range r.children {
			if i == 1 && r.group.colocated {
				c := *l
				c.nodes = l.nodes.clone()
				for j := range c.nodes {
					c.nodes[j].score = 0
				}
				zero = &c
			}
			e.applyLocation(m, zero)
		}
	case vClone:
		e.applyLocationTo(r, l)
		for _, c := range r.children {
			e.applyLocation(c, l)
		}
	case vBundle:
		e.applyLocationTo(r, l)
		outside := l
		if !e.older.has(olderInside) {
			outside = outsideOf(r, l)
		}
		for _, rep := range r.bundle.replicas {
			if rep.container != nil {
				e.applyLocation(rep.container, outside)
			}
			if rep.ip != nil {
				e.applyLocation(rep.ip, outside)
			}
		}
		if c := r.bundle.child; c != nil && l.role == rolePromoted {
			e.applyLocation(c, l)
			c.locations = append(c.locations, l)
		}
	default:
		e.applyLocationTo(r, l)
	}
}

// outsideOf is a location without the nodes that a bundle makes: a rule may
// pass there, but no container can run inside itself (the reference aborts).
func outsideOf(bundle *resource, l *location) *location {
	out := l
	for _, rep := range bundle.bundle.replicas {
		if rep.node == nil || !l.nodes.has(rep.node) {
			continue
		}
		if out == l {
			c := *l
			c.nodes = l.nodes.clone()
			out = &c
		}
		out.nodes[rep.node.index].in = false
	}
	return out
}

func (e *engine) applyLocationTo(r *resource, l *location) {
	if l.role != roleUnknown && l.role != r.nextRole {
		return
	}
	for i := range l.nodes {
		s := l.nodes[i]
		if !s.in {
			continue
		}
		n := e.nodes[i]
		t := r.allowed.get(n)
		if t == nil {
			t = r.allowed.put(n, int(s.score))
			e.trace.set(r, n, int(s.score), l.cause())
		} else {
			t.add(int(s.score))
			e.trace.add(r, n, int(s.score), l.cause())
		}
		if t.probe < l.probe {
			if l.probe == probeExclusive {
				r.exclusiveProbes = true
			}
			t.probe = l.probe
		}
	}
}

func (e *engine) stickiness(r *resource) {
	if len(r.children) > 0 {
		for _, c := range r.children {
			e.stickiness(c)
		}
		return
	}
	if !r.managed || r.stickiness < 1 || len(r.runningOn) != 1 {
		return
	}
	n := r.runningOn[0]
	if !e.opt.symmetric && !r.allowed.has(n) {
		return
	}
	e.addNodeScore(r, n, r.stickiness, cause{by: ByStickiness, rsc: r})
}

// thresholdReached reports whether r failed too often on n, and what to ban.
func (e *engine) thresholdReached(r *resource, n *node) (*resource, bool) {
	ban := r
	if !r.unique && r.parent != nil && r.top(false).variant == vClone {
		ban = r.top(false)
	}
	if r.migrationThreshold == 0 || r.failureIgnored {
		return ban, false
	}
	if n.failCounts == nil {
		return ban, false
	}
	count, _ := e.failCount(r, n, nil, true, true)
	return ban, count > 0 && count >= r.migrationThreshold
}

func (e *engine) failureBan(r *resource, n *node) {
	if len(r.children) > 0 {
		for _, c := range r.children {
			e.failureBan(c, n)
		}
		return
	}
	if n.failCounts == nil {
		return
	}
	if len(e.exactActions(r, opKey(r.id, taskClearFailcount, 0), n)) > 0 {
		return
	}
	if ban, yes := e.thresholdReached(r, n); yes {
		e.ban(ban, n, cause{by: ByThreshold, rsc: r, node: n})
	}
}

func (e *engine) exclusiveDiscovery(r *resource, n *node) {
	if !r.exclusiveProbes && !r.top(false).exclusiveProbes {
		return
	}
	for _, c := range r.children {
		e.exclusiveDiscovery(c, n)
	}
	if s := r.allowed.get(n); s != nil && s.probe != probeExclusive {
		s.score = -infinity
		e.trace.add(r, n, -infinity, cause{by: ByDiscovery})
	}
}
