package scheduler

// Bundles: placement, colocation, actions, orderings and probes of what a
// bundle consists of.

func (e *engine) assignBundle(r *resource) *node {
	if r.assigning && !e.older.has(olderInstances) {
		return nil
	}
	// Unlike others, a bundle shows its scores again when it is asked again.
	d := r.bundle
	r.assigning = true
	e.showScores(r, "pcmk__bundle_assign")
	var containers []*resource
	for _, rep := range d.replicas {
		containers = append(containers, rep.container)
	}
	e.assignInstances(r, mergeSort(containers, e.compareInstances), len(d.replicas), d.perHost)
	for _, rep := range d.replicas {
		e.assignReplica(r, rep)
	}
	if d.child != nil {
		for i := range d.child.allowed {
			if !d.child.allowed[i].in {
				continue
			}
			score := int32(-infinity)
			for _, rep := range d.replicas {
				if rep.node == e.nodes[i] {
					score = 0
				}
			}
			d.child.allowed[i].score = score
		}
		e.trace.compare(e, d.child, cause{by: ByContainer, rsc: r})
		e.assign(d.child, nil, true)
	}
	r.assigning = false
	r.unprovisioned = false
	return nil
}

func (e *engine) assignReplica(r *resource, rep *replica) {
	if rep.ip != nil {
		e.assign(rep.ip, nil, true)
	}
	host := rep.container.assigned
	if rep.connection != nil {
		if host != nil && host.remote && host.connection != nil {
			// the connection's connection must be where it can reach it
			e.newColocation("#replica-remote-with-host-remote", "", rep.connection, host.connection, "", "", infinity, true, false)
		}
		e.assign(rep.connection, nil, true)
	}
	if rep.child == nil {
		return
	}
	for i := range rep.child.allowed {
		s := &rep.child.allowed[i]
		if !s.in {
			continue
		}
		if e.nodes[i] != rep.node {
			s.score = -infinity
		} else if _, reached := e.thresholdReached(rep.child, rep.node); !reached {
			s.score = infinity
		}
	}
	e.trace.compare(e, rep.child, cause{by: ByContainer, rsc: rep.container})
	rep.child.parent.assigning = true
	e.assign(rep.child, nil, true)
	rep.child.parent.assigning = false
}

// hostOf is the node itself, or for a bundle node where its container goes.
func hostOf(n *node) *node {
	if n != nil && n.forBundle && n.guest() {
		return n.connection.launcher.assigned
	}
	return n
}

// compatibleContainer finds the container of a bundle on the host of a
// dependent instance (or, if that has none yet, on its best node).
func (e *engine) compatibleContainer(dependent, bundle *resource) *resource {
	on := func(n *node) *resource {
		if n == nil {
			return nil
		}
		for _, rep := range bundle.bundle.replicas {
			if e.instanceMatches(rep.container, n, roleUnknown, false) {
				return rep.container
			}
		}
		return nil
	}
	if n := hostOf(e.locationOf(dependent, false)); n != nil {
		return on(n)
	}
	for _, c := range e.sortedAllowed(dependent, nil) {
		if found := on(hostOf(c.n)); found != nil {
			return found
		}
	}
	return nil
}

func (e *engine) colocateWithBundle(dependent, primary *resource, c *colocation) {
	if primary.unprovisioned {
		return
	}
	if c.dependent.collective() {
		if cont := e.compatibleContainer(dependent, primary); cont != nil {
			e.applyColocation(dependent, cont, c, true)
		} else if c.score >= infinity {
			e.assignTo(dependent, nil, true, true)
			e.trace.displace(dependent, cause{by: ByColocation, coloc: c, rsc: primary})
		}
		return
	}
	var nodes []candidate
	for _, rep := range primary.bundle.replicas {
		cont := rep.container
		if c.score < infinity {
			e.applyColocation(dependent, cont, c, false)
			continue
		}
		chosen := cont.assigned
		if chosen == nil || anyBlocked(cont) {
			continue
		}
		if c.primaryRole >= rolePromoted && (rep.child == nil || stateOf(rep.child, false) < rolePromoted) {
			continue
		}
		nodes = append(nodes, candidate{chosen, cont.assignedScore})
	}
	if c.score >= infinity {
		e.intersectNodes(dependent, primary, c, nodes, false)
	}
}

func (e *engine) bundleActions(r *resource) {
	d := r.bundle
	var containers []*resource
	for _, rep := range d.replicas {
		if rep.ip != nil {
			e.createActions(rep.ip)
		}
		e.createActions(rep.container)
		if rep.connection != nil {
			e.createActions(rep.connection)
		}
		containers = append(containers, rep.container)
	}
	e.instanceActions(r, containers)
	if d.child == nil {
		return
	}
	e.createActions(d.child)
	if d.child.promotable {
		for _, t := range []string{taskPromote, taskPromoted, taskDemote, taskDemoted} {
			a := e.pseudoAction(r, t, true, true)
			if t == taskPromoted || t == taskDemoted {
				a.priority = infinity
			}
		}
	}
}

func (e *engine) bundleConstraints(r *resource) {
	d := r.bundle
	if d.child != nil {
		e.orderResources(r, taskStart, d.child, taskStart, oThenImpliesFirstGraphed)
		e.orderResources(d.child, taskRunning, r, taskRunning, oFirstImpliesThenGraphed)
		e.orderResources(r, taskStop, d.child, taskStop, oThenImpliesFirstGraphed)
		e.orderResources(d.child, taskStopped, r, taskStopped, oFirstImpliesThenGraphed)
	}
	for _, rep := range d.replicas {
		e.replicaConstraints(r, rep)
	}
	if d.child == nil {
		return
	}
	e.internalConstraints(d.child)
	if !d.child.promotable {
		return
	}
	for _, x := range [][2]string{{taskStopped, taskStart}, {taskStopped, taskPromote}, {taskDemoted, taskStop},
		{taskDemoted, taskStart}, {taskDemoted, taskPromote}, {taskRunning, taskPromote}, {taskDemote, taskDemoted}} {
		e.orderResources(r, x[0], r, x[1], oOrdered)
	}
	e.orderResources(r, taskDemote, d.child, taskDemote, oThenImpliesFirstGraphed)
	e.orderResources(d.child, taskDemoted, r, taskDemoted, oFirstImpliesThenGraphed)
	e.orderResources(r, taskPromote, d.child, taskPromote, oThenImpliesFirstGraphed)
	e.orderResources(d.child, taskPromoted, r, taskPromoted, oFirstImpliesThenGraphed)
}

func (e *engine) replicaConstraints(r *resource, rep *replica) {
	c := rep.container
	e.internalConstraints(c)
	e.orderResources(r, taskStart, c, taskStart, oUnrunnableFirstBlocks|oThenImpliesFirstGraphed)
	if rep.child != nil {
		e.orderResources(r, taskStop, rep.child, taskStop, oThenImpliesFirstGraphed)
	}
	e.orderResources(r, taskStop, c, taskStop, oThenImpliesFirstGraphed)
	e.orderResources(c, taskStart, r, taskRunning, oFirstImpliesThenGraphed)
	e.orderResources(c, taskStop, r, taskStopped, oFirstImpliesThenGraphed)
	if rep.ip != nil {
		e.internalConstraints(rep.ip)
		e.orderResources(rep.ip, taskStart, c, taskStart, oUnrunnableFirstBlocks|oGuestAllowed)
		e.orderResources(c, taskStop, rep.ip, taskStop, oThenImpliesFirst|oGuestAllowed)
		e.newColocation("#ip-with-docker", "", rep.ip, c, "", "", infinity, true, false)
	}
	if rep.connection != nil {
		// started after the container, stopped before it
		e.internalConstraints(rep.connection)
	}
}

func (e *engine) bundleFlags(a *action, n *node) actionFlag {
	d := a.rsc.bundle
	if d.child != nil {
		task := originalTask(a)
		switch task {
		case taskNotify, taskPromote, taskDemote:
			return e.collectiveFlags(a, d.child.children, n)
		}
	}
	return e.collectiveFlags(a, e.instancesOf(a.rsc), n)
}

func (e *engine) probeBundle(r *resource, n *node) bool {
	d := r.bundle
	any := false
	for _, rep := range d.replicas {
		if rep.ip != nil && e.probe(rep.ip, n) {
			any = true
		}
		if rep.child != nil && rep.node == n && e.probe(rep.child, n) {
			any = true
		}
		if e.probe(rep.container, n) {
			any = true
			if d.perHost == 1 {
				// another replica may be found there: none may start before
				for _, other := range d.replicas {
					if other == rep {
						continue
					}
					e.orderProbeOfOther(rep.container, other.container, n)
				}
			}
		}
		if rep.connection != nil && e.probe(rep.connection, n) {
			any = true
			// the connection can be probed only after the container is up
			if p := firstAction(rep.connection, opKey(rep.connection.id, taskMonitor, 0), "", n); p != nil {
				e.newOrdering(rep.container, opKey(rep.container.id, taskStart, 0), nil, rep.connection, "", p, oNestedRemoteProbe)
			}
		}
	}
	return any
}

func (e *engine) orderProbeOfOther(c, other *resource, n *node) {
	e.newOrdering(c, opKey(c.id, taskMonitor, 0), nil, other, opKey(other.id, taskStart, 0), nil, oOrdered|oIfOnSameNode)
}

func (e *engine) graphBundle(r *resource) {
	d := r.bundle
	if d.child != nil {
		e.graphResource(d.child)
	}
	for _, rep := range d.replicas {
		for _, x := range []*resource{rep.ip, rep.container, rep.connection} {
			if x != nil {
				e.graphResource(x)
			}
		}
	}
}
