package scheduler

import "slices"

// Phase 9b: probes. Before: resources are assigned. After: a probe exists for
// every resource on every usable node where its state is not known.

func sortByNumber(r *resource) {
	slices.SortStableFunc(r.children, instanceOrder)
}

func (e *engine) scheduleProbes() {
	if !e.opt.startupProbes {
		// only what must be ordered is left
		return
	}
	for _, n := range e.sorted {
		if !n.online {
			if n.pureRemote() && n.connection != nil && e.connectionState(n) == connFailed {
				e.fenceNode(n, "the connection is unrecoverable", false)
			}
			continue
		}
		if n.unclean || n.noProbes {
			continue
		}
		for _, r := range e.resources {
			e.probe(r, n)
		}
	}
}

func (e *engine) probe(r *resource, n *node) bool {
	switch r.variant {
	case vClone:
		return e.probeClone(r, n)
	case vBundle:
		return e.probeBundle(r, n)
	}
	return e.probeResource(r, n)
}

func (e *engine) probeList(list []*resource, n *node) bool {
	any := false
	for _, c := range list {
		if e.probe(c, n) {
			any = true
		}
	}
	return any
}

func (e *engine) probeClone(r *resource, n *node) bool {
	if r.exclusiveProbes {
		if s := r.allowed.get(n); s == nil || s.probe != probeExclusive {
			if s != nil {
				s.in = false
			}
			return false
		}
	}
	sortByNumber(r)
	if r.unique {
		return e.probeList(r.children, n)
	}
	if len(r.children) == 0 {
		return false
	}
	pick := slices.IndexFunc(r.children, func(c *resource) bool { return c.knownOn(n) })
	if pick < 0 {
		pick = slices.IndexFunc(r.children, func(c *resource) bool { return e.locationOf(c, false) == n })
	}
	return e.probe(r.children[max(0, pick)], n)
}

func containsGuest(r *resource) bool {
	if guestConnectionIn(r) != nil {
		return true
	}
	return slices.ContainsFunc(r.children, containsGuest)
}

func (e *engine) probeResource(r *resource, n *node) bool {
	if n.remote {
		switch {
		case r.fenceDevice, r.isRemoteConn:
			return false
		case n.guest() && containsGuest(r):
			return false
		}
	}
	if len(r.children) > 0 {
		return e.probeList(r.children, n)
	}
	if !r.isPrimitive() || r.launcher != nil && !r.isRemoteConn || r.removed || r.knownOn(n) {
		return false
	}
	top := r.top(false)
	s := r.allowed.get(n)
	if (r.exclusiveProbes || top.exclusiveProbes) && (s == nil || s.probe != probeExclusive) {
		return false
	}
	if s != nil && s.probe == probeNever || n.forBundle && (s == nil || s.probe != probeExclusive) {
		return false
	}
	if n.guest() {
		l := n.connection.launcher
		if l.role == roleStopped {
			e.probeThenStart(l, top)
			return false
		}
		// what its stop implies need not be probed
		if n.remoteReset || n.unclean || l.failed || l.nextRole == roleStopped || l.assigned != nil && !l.runsOn(l.assigned) {
			e.orderResources(l, taskStop, top, taskStart, oOrdered)
			return false
		}
	}
	p := e.customAction(r, opKey(r.id, taskMonitor, 0), taskMonitor, n, false)
	p.clear(fOptional)
	e.orderUnfence(r, n, p, oOrdered)
	if !r.runsOn(n) {
		p.meta.set("op_target_rc", "7")
	} else if r.role == rolePromoted {
		p.meta.set("op_target_rc", "8")
	}
	if top.variant != vClone {
		top = r
	}
	flags := oOrdered
	if !p.runnable() && len(r.runningOn) == 0 {
		flags |= oUnrunnableFirstBlocks
	}
	e.newOrdering(r, "", p, top, opKey(top.id, taskStart, 0), nil, flags)
	e.newOrdering(r, "", p, top, opKey(r.id, taskReloadAgent, 0), nil, oOrdered)
	return true
}

// probeThenStart orders the probe of one resource on its node before the
// start of another.
func (e *engine) probeThenStart(a, b *resource) {
	if a.assigned != nil && !a.knownOn(a.assigned) {
		e.orderResources(a, taskMonitor, b, taskStart, oOrdered)
	}
}
