package scheduler

// How 2.1.5 placed the instances of clones and bundles, and how roles entered
// colocations there: see older.

// assignInstancesAsInOlder gives instances their places: first those that can
// stay, then the others. An instance that would rather be elsewhere waits.
func (e *engine) assignInstancesAsInOlder(coll *resource, instances []*resource, total, perNode int) {
	available := 0
	for i := range coll.allowed {
		if coll.allowed[i].in {
			coll.allowed[i].count = 0
			if e.nodes[i].available() {
				available++
			}
		}
	}
	everywhere, optimal := total >= available, 1
	if available > 0 {
		optimal = max(1, total/available)
	}
	assigned := 0
	for _, inst := range instances {
		if assigned >= total {
			break
		}
		if len(inst.runningOn) == 0 || !inst.unprovisioned || inst.failed {
			continue
		}
		n := e.currentNode(inst)
		if s := topSlot(inst, n); !n.available() || n.baseScore < 0 || s != nil && int(s.count) >= optimal {
			continue
		}
		if e.assignInstanceAsInOlder(coll, inst, n, perNode, !everywhere) {
			assigned++
		}
	}
	for _, inst := range instances {
		switch {
		case !inst.unprovisioned:
		case assigned >= total:
			e.ban(inst, nil, cause{by: ByInstances, rsc: coll})
		case e.assignInstanceAsInOlder(coll, inst, nil, perNode, !everywhere):
			assigned++
		}
	}
}

func (e *engine) assignInstanceAsInOlder(coll, inst *resource, prefer *node, perNode int, all bool) bool {
	if inst.assigning {
		return false
	}
	for _, c := range coll.thisWith {
		if all || c.score < 0 || c.score == infinity {
			inst.thisWith = insertThisWith(inst.thisWith, c)
		}
	}
	for _, c := range coll.withThis {
		if influences(c, inst) && (all || c.score < 0) {
			inst.withThis = insertWithThis(inst.withThis, c)
		}
	}
	if prefer != nil {
		if s := inst.allowed.get(prefer); s == nil || s.score < 0 {
			return false
		}
	}
	e.banFullNodes(inst, perNode)
	saved := inst.allowed.clone()
	chosen := e.assign(inst, prefer, true)
	if chosen == nil {
		return false
	}
	if prefer != nil && chosen != prefer {
		inst.allowed = saved
		if len(inst.children) == 0 {
			e.unassign(inst)
		}
		return false
	}
	if s := topSlot(inst, chosen); s != nil {
		s.count++
	}
	return true
}

// affectsInOlder tells whether the roles of a colocation let it affect
// anything.
func affectsInOlder(c *colocation, dependent, primary *resource) bool {
	applies := func(want, next role) bool { return want == roleUnknown || (c.score > 0) == (want == next) }
	return applies(c.dependentRole, dependent.nextRole) && applies(c.primaryRole, primary.nextRole)
}

// promoteWithAsInOlder lets what a promoted role is colocated with say where
// to promote.
func (e *engine) promoteWithAsInOlder(clone *resource) {
	for _, c := range clone.thisWith {
		if c.dependentRole != rolePromoted {
			continue
		}
		flags := walkActive
		if c.score >= infinity {
			flags = 0
		}
		e.walkScores(c.primary, clone, clone.id, &clone.allowed, c, float32(c.score)/float32(infinity), flags)
	}
}
