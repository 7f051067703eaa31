package scheduler

// Phase 6: internal constraints. Before: user constraints and node criteria.
// After: the orderings and colocations that every resource has by its kind.

func (e *engine) internalConstraints(r *resource) {
	switch r.variant {
	case vPrimitive:
		e.primitiveConstraints(r)
	case vGroup:
		e.groupConstraints(r)
	case vClone:
		e.cloneConstraints(r)
	case vBundle:
		e.bundleConstraints(r)
	}
}

func (e *engine) primitiveConstraints(r *resource) {
	if !r.managed {
		return
	}
	e.orderResources(r, taskStop, r, taskStart, oOrdered|oFirstImpliesThen|oRestart)
	if r.top(false).promotable || r.role > roleUnpromoted {
		e.orderResources(r, taskDemote, r, taskStop, oPromotedThenImpliesFirst)
		e.orderResources(r, taskStart, r, taskPromote, oUnrunnableFirstBlocks)
	}
	e.orderResources(r, taskLrmDelete, r, taskMonitor, oIfOnSameNode|oThenCancelsFirst)
	if !r.fenceDevice && e.opt.unfencing && r.needsUnfencing {
		for _, n := range e.sorted {
			if !r.allowed.has(n) {
				continue
			}
			on := e.fenceAction(n, "on", true, "", false)
			e.newOrdering(r, opKey(r.id, taskStop, 0), nil, nil, "", on, oOrdered|oIfOnSameNode)
			e.newOrdering(nil, "", on, r, opKey(r.id, taskStart, 0), nil, oFirstImpliesSameNodeThen|oIfOnSameNode)
		}
	}
	e.loadOrderings(r)
	if r.launcher != nil {
		e.launchedConstraints(r)
	}
	if r.isRemoteConn || r.fenceDevice {
		avoidRemoteNodes(e, r)
	}
}

// launchedConstraints tie a resource to what launches it.
func (e *engine) launchedConstraints(r *resource) {
	l := r.launcher
	var guest *resource
	switch {
	case r.isRemoteConn:
		if !r.nestedRemoteOK {
			avoidRemoteNodes(e, l)
		}
		e.orderResources(l, taskMonitor, r, taskStop, oOrdered)
	case l.isRemoteConn:
		guest = l
	default:
		guest = guestConnectionIn(l)
	}
	if guest != nil {
		for i := range r.allowed {
			if r.allowed[i].in && e.nodes[i].connection != guest {
				r.allowed[i].score = -infinity
				e.trace.add(r, e.nodes[i], -infinity, cause{by: ByContainer, rsc: l})
			}
		}
		return
	}
	e.orderResources(l, taskStart, r, taskStart, oFirstImpliesThen|oUnrunnableFirstBlocks)
	e.orderResources(r, taskStop, l, taskStop, oThenImpliesFirst)
	score := infinity
	if r.nestedRemoteOK {
		score = 10000
	}
	e.newColocation("#resource-with-container", "", r, l, "", "", score, true, false)
}

// guestConnectionIn returns the connection of a guest node that r launches.
func guestConnectionIn(r *resource) *resource {
	for _, f := range r.launched {
		if f.isRemoteConn {
			return f
		}
	}
	return nil
}

func avoidRemoteNodes(e *engine, r *resource) {
	for i := range r.allowed {
		if r.allowed[i].in && e.nodes[i].connection != nil {
			r.allowed[i].score = -infinity
			e.trace.add(r, e.nodes[i], -infinity, cause{by: ByNodeKind})
		}
	}
}

func (e *engine) groupConstraints(r *resource) {
	e.orderResources(r, taskStop, r, taskStopped, oUnrunnableFirstBlocks)
	e.orderResources(r, taskStopped, r, taskStart, oOrdered)
	e.orderResources(r, taskStart, r, taskRunning, oUnrunnableFirstBlocks)
	promotable := r.top(false).promotable
	var previous, lastActive *resource
	for _, m := range r.children {
		e.memberConstraints(r, m, previous, promotable)
		if len(m.runningOn) > 0 {
			if r.group.ordered && previous != nil && len(previous.runningOn) == 0 && lastActive != nil && len(lastActive.runningOn) > 0 {
				e.orderResources(m, taskStop, lastActive, taskStop, oOrdered)
			}
			lastActive = m
		}
		previous = m
	}
}

func (e *engine) memberConstraints(g, m, previous *resource, promotable bool) {
	down, postDown := oThenImpliesFirstGraphed, oFirstImpliesThenGraphed
	e.internalConstraints(m)
	ordered := g.group.ordered
	if previous == nil {
		if ordered {
			down |= oOrdered
			postDown = oFirstImpliesThen
		}
	} else if g.group.colocated {
		e.newColocation("#group-members", "", m, previous, "", "", infinity, m.critical, false)
	}
	up := oUnrunnableFirstBlocks | oFirstImpliesThen | oFirstImpliesThenGraphed
	if promotable {
		e.orderResources(g, taskDemote, m, taskDemote, down)
		e.orderResources(m, taskDemote, g, taskDemoted, postDown)
		e.orderResources(m, taskPromote, g, taskPromoted, up)
		e.orderResources(g, taskPromote, m, taskPromote, oThenImpliesFirstGraphed)
	}
	e.orderResources(g, taskStop, m, taskStop, down)
	e.orderResources(m, taskStop, g, taskStopped, postDown)
	e.orderResources(g, taskStart, m, taskStart, oThenImpliesFirstGraphed)
	e.orderResources(m, taskStart, g, taskRunning, up)
	switch {
	case !ordered:
		e.orderResources(g, taskStart, m, taskStart, oOrdered|oUnrunnableFirstBlocks|oThenImpliesFirstGraphed)
		if promotable {
			e.orderResources(g, taskPromote, m, taskPromote, oOrdered|oUnrunnableFirstBlocks|oThenImpliesFirstGraphed)
		}
	case previous != nil:
		e.orderResources(previous, taskStart, m, taskStart, oFirstImpliesThen|oUnrunnableFirstBlocks)
		e.orderResources(m, taskStop, previous, taskStop, oOrdered|oRestart)
		if len(m.runningOn) > 0 && len(previous.runningOn) == 0 && !e.older.has(olderPartialGroups) {
			e.orderResources(m, taskStop, previous, taskStart, oThenImpliesFirst|oUnrunnableFirstBlocks)
		}
		if promotable {
			e.orderResources(previous, taskPromote, m, taskPromote, oFirstImpliesThen|oUnrunnableFirstBlocks)
			e.orderResources(m, taskDemote, previous, taskDemote, oOrdered)
		}
	}
}

func (e *engine) cloneConstraints(r *resource) {
	e.orderResources(r, taskStopped, r, taskStart, oOrdered)
	e.orderResources(r, taskStart, r, taskRunning, oUnrunnableFirstBlocks)
	e.orderResources(r, taskStop, r, taskStopped, oUnrunnableFirstBlocks)
	if r.promotable {
		e.orderResources(r, taskDemoted, r, taskStop, oOrdered)
		e.orderResources(r, taskRunning, r, taskPromote, oUnrunnableFirstBlocks)
	}
	if r.clone.ordered {
		sortByNumber(r)
	}
	for i, c := range r.children {
		e.internalConstraints(c)
		e.orderResources(r, taskStart, c, taskStart, oUnrunnableFirstBlocks|oThenImpliesFirstGraphed)
		e.orderResources(c, taskStart, r, taskRunning, oFirstImpliesThenGraphed)
		e.orderResources(r, taskStop, c, taskStop, oThenImpliesFirstGraphed)
		e.orderResources(c, taskStop, r, taskStopped, oFirstImpliesThenGraphed)
		if r.clone.ordered {
			after := r.children[i+1:]
			if e.older.has(olderOrderedClones) {
				after = after[:min(1, len(after))]
			}
			for _, later := range after {
				e.orderResources(c, taskStart, later, taskStart, oOrdered)
				e.orderResources(later, taskStop, c, taskStop, oOrdered)
			}
		}
	}
	if r.promotable {
		e.promotableOrderings(r)
	}
}
