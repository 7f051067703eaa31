package scheduler

// Phase 9c: actions from roles. Before: every resource is assigned; probes
// exist. After: each resource has the stops, starts, promotions, demotions,
// migrations and recurring monitors that lead from its role to its next role,
// required where that is needed, optional where a dependency may need them.

func (e *engine) createAllActions() {
	for _, r := range e.resources {
		e.createActions(r)
	}
}

func (e *engine) createActions(r *resource) {
	switch r.variant {
	case vPrimitive:
		e.primitiveActions(r)
	case vGroup:
		for _, m := range r.children {
			e.createActions(m)
		}
		tasks := []string{taskStart, taskRunning, taskStop, taskStopped}
		if r.promotable || r.top(false).promotable {
			tasks = append(tasks, taskDemote, taskDemoted, taskPromote, taskPromoted)
		}
		for _, t := range tasks {
			e.pseudoAction(r, t, true, true)
		}
	case vClone:
		e.instanceActions(r, r.children)
		if r.promotable {
			e.promotableActions(r)
		}
	case vBundle:
		e.bundleActions(r)
	}
}

type instanceState struct{ starting, stopping, restarting, active bool }

func (s *instanceState) check(r *resource) {
	if len(r.children) > 0 {
		for _, c := range r.children {
			s.check(c)
		}
		return
	}
	if len(r.runningOn) > 0 {
		s.active = true
	}
	starting, stopping := false, false
	for _, a := range r.actions {
		if a.optional() {
			continue
		}
		switch a.task {
		case taskStart:
			starting = starting || a.runnable()
		case taskStop:
			stopping = stopping || a.flags&(fPseudo|fRunnable) != 0
		}
	}
	s.starting = s.starting || starting
	s.stopping = s.stopping || stopping
	s.restarting = s.restarting || starting && stopping
}

// instanceActions creates the actions of all instances and the pseudo-actions
// around them.
func (e *engine) instanceActions(coll *resource, instances []*resource) {
	var st instanceState
	for _, i := range instances {
		e.createActions(i)
		st.check(i)
	}
	start := e.pseudoAction(coll, taskStart, !st.starting, true)
	started := e.pseudoAction(coll, taskRunning, !st.starting, false)
	started.priority = infinity
	if st.active || st.starting {
		started.set(fRunnable)
	}
	stop := e.pseudoAction(coll, taskStop, !st.stopping, true)
	stopped := e.pseudoAction(coll, taskStopped, !st.stopping, true)
	stopped.priority = infinity
	if !st.restarting {
		stop.set(fMigratable)
	}
	if coll.variant == vClone {
		e.cloneNotifies(coll, start, started, stop, stopped)
	}
}

// nextStep is the role on the way from one role to another.
func nextStep(from, to role) role {
	switch from {
	case roleUnknown:
		return roleStopped
	case roleStopped:
		switch to {
		case roleStarted:
			return roleStarted
		case roleUnpromoted, rolePromoted:
			return roleUnpromoted
		}
		return roleStopped
	case roleStarted:
		switch to {
		case roleUnpromoted, rolePromoted, roleStarted:
			return to
		}
		return roleStopped
	case roleUnpromoted:
		switch to {
		case roleUnpromoted, rolePromoted:
			return to
		}
		return roleStopped
	}
	if to == rolePromoted {
		return rolePromoted
	}
	if to == roleUnknown {
		return roleStopped
	}
	return roleUnpromoted
}

type step struct {
	e          *engine
	r          *resource
	restarting bool
}

func (s *step) expected(n *node) bool {
	return s.restarting && s.r.stopUnexpected && s.r.nextRole > roleStopped && s.r.assigned == n
}

// change creates the action for one step between roles.
func (s *step) change(from, to role, n *node, optional bool) {
	switch {
	case from == to:
	case from == rolePromoted:
		for _, c := range s.r.runningOn {
			if !s.expected(c) {
				s.e.demoteAction(s.r, c, optional)
			}
		}
	case to == roleStopped, from == roleUnpromoted && to == roleStarted:
		s.stop(optional)
	case from == roleStopped:
		s.start(n, optional)
	case to == rolePromoted:
		s.promote(n, optional)
	}
}

func (s *step) stop(optional bool) {
	r, e := s.r, s.e
	for _, n := range r.runningOn {
		if s.expected(n) {
			continue
		}
		if r.partialTarget != nil && n == r.partialTarget && n == r.assigned {
			continue
		}
		a := e.stopAction(r, n, optional)
		if r.assigned == nil {
			a.setReason("node availability", true)
		} else if s.restarting && r.stopUnexpected {
			a.setReason("being multiply active", true)
		}
		if !r.managed {
			a.clear(fRunnable)
		}
		if r.needsUnfencing {
			e.orderActions(a, e.fenceAction(n, "on", true, "", false), oThenImpliesFirst)
		}
	}
}

func (s *step) start(n *node, optional bool) {
	a := s.e.startAction(s.r, n, true)
	if n != nil {
		s.e.orderUnfence(s.r, n, a, oFirstImpliesThen)
	}
	if a.runnable() && !optional {
		a.clear(fOptional)
	}
	if s.expected(n) && n != nil {
		a.set(fPseudo)
	}
}

func (s *step) promote(n *node, optional bool) {
	r, e := s.r, s.e
	for _, a := range e.exactActions(r, opKey(r.id, taskStart, 0), n) {
		if !a.runnable() {
			for _, p := range e.exactActions(r, opKey(r.id, taskPromote, 0), n) {
				p.clear(fRunnable)
			}
			return
		}
	}
	a := e.promoteAction(r, n, optional)
	if n != nil && s.expected(n) {
		a.set(fPseudo)
	}
}

func (e *engine) canMigrate(r *resource, current *node) bool {
	return r.migratable && r.managed && !r.failed && !r.startPending &&
		current != nil && !current.unclean && r.assigned != nil && !r.assigned.unclean
}

func (e *engine) primitiveActions(r *resource) {
	if r.nextRole == roleUnknown {
		r.nextRole = roleStarted
		if r.assigned == nil {
			r.nextRole = roleStopped
		}
	}
	current, all := e.activeNode(r)
	clean := 0
	for _, n := range r.runningOn {
		if n.online && !n.unclean {
			clean++
		}
	}
	for _, n := range r.dangling {
		a := e.stopAction(r, n, false)
		a.set(fDangle)
	}
	needStop, needPromote, moving := false, false, false
	if current != nil && r.assigned != nil && current != r.assigned && r.nextRole >= roleStarted {
		moving, needStop = true, true
	}
	migrate := moving && e.canMigrate(r, current)
	multiply := false
	switch {
	case r.partialSource != nil && r.partialTarget != nil && all == 2 && current == r.partialSource && r.assigned == r.partialTarget:
		// goes on
	case r.partialSource != nil || r.partialTarget != nil:
		needStop, migrate = true, false
		r.partialSource, r.partialTarget = nil, nil
	case r.needsFencing:
		multiply = all > 1
	default:
		multiply = clean > 1
	}
	r.stopUnexpected = false
	if multiply {
		switch r.multi {
		case maStopStart:
			needStop = true
		case maUnexpected:
			needStop, r.stopUnexpected = true, true
		}
	}
	if r.startPending { // dependents wait for it, wherever it is
		e.startAction(r, r.assigned, true).set(fPrintAlways)
	}
	switch {
	case moving:
	case r.failed:
		if r.needsStop {
			needStop = true
		} else if r.nextRole == rolePromoted {
			needPromote = true
		}
	case r.blocked:
		needStop = true
	case r.role > roleStarted && current != nil && r.assigned != nil:
		if a := e.startAction(r, r.assigned, true); a.required() {
			needStop = true
		}
	}
	e.restartSteps(r, current, needStop, needPromote)
	s := &step{e: e, r: r}
	for at := r.role; at != r.nextRole; {
		next := nextStep(at, r.nextRole)
		s.change(at, next, r.assigned, false)
		if next == at {
			break
		}
		at = next
	}
	e.recurringActions(r)
	if migrate {
		e.migrationActions(r, current)
	}
}

// restartSteps goes down to a stop and up to the present role again.
func (e *engine) restartSteps(r *resource, current *node, needStop, needPromote bool) {
	s := &step{e: e, r: r, restarting: true}
	at := r.role
	for at != roleStopped {
		next := nextStep(at, roleStopped)
		s.change(at, next, current, !needStop)
		at = next
	}
	for r.role <= r.nextRole && at != r.role && !r.blocked {
		next := nextStep(at, r.role)
		required := needStop || next == rolePromoted && needPromote
		s.change(at, next, r.assigned, !required)
		if next == at {
			break
		}
		at = next
	}
}

// migrationActions turns a move into a live migration.
func (e *engine) migrationActions(r *resource, current *node) {
	start := e.startAction(r, r.assigned, true)
	stop := e.stopAction(r, current, true)
	var to *action
	if r.partialTarget == nil {
		to = e.customAction(r, opKey(r.id, taskMigrateTo, 0), taskMigrateTo, current, true)
	}
	from := e.customAction(r, opKey(r.id, taskMigrateFrom, 0), taskMigrateFrom, r.assigned, true)
	start.set(fMigratable | fPseudo)
	stop.set(fMigratable)
	from.set(fMigratable)
	if to != nil {
		to.set(fMigratable)
		to.need = start.need
		e.orderResources(r, taskMonitor, r, taskMigrateTo, oOrdered)
		e.orderResources(r, taskMigrateTo, r, taskMigrateFrom, oOrdered|oUnmigratableThenBlocks)
	} else {
		from.need = start.need
		e.orderResources(r, taskMonitor, r, taskMigrateFrom, oOrdered)
	}
	e.orderResources(r, taskMigrateFrom, r, taskStop, oOrdered|oUnmigratableThenBlocks)
	e.orderResources(r, taskMigrateFrom, r, taskStart, oOrdered|oUnmigratableThenBlocks|oFirstElseThen)
	for _, a := range []*action{to, from} {
		if a != nil {
			a.meta.set("migrate_source", current.name)
			a.meta.set("migrate_target", r.assigned.name)
		}
	}
	if to != nil && !r.isRemoteConn {
		to.meta.set("record-pending", "true")
	}
}

// migrationEquivalents gives live migrations the orderings that starts and
// stops have.
func (e *engine) migrationEquivalents(o *ordering) {
	r1, r2 := o.rsc1, o.rsc2
	if r1 == nil || r2 == nil || r1 == r2 || r1.isAncestor(r2) || r2.isAncestor(r1) {
		return
	}
	if !r1.migratable && !r2.migratable {
		return
	}
	t1, t2 := o.task(1), o.task(2)
	flags := oOrdered
	if r1.migratable {
		flags |= oIfFirstUnmigratable
	}
	switch {
	case t1 == taskStart && t2 == taskStart:
		if r1.migratable && r2.migratable {
			e.orderResources(r1, taskMigrateFrom, r2, taskMigrateTo, oOrdered)
		}
		if r2.migratable {
			e.orderResources(r1, taskStart, r2, taskMigrateTo, flags)
		}
	case t1 == taskStop && t2 == taskStop && r2.migratable:
		e.orderResources(r1, taskStop, r2, taskMigrateTo, flags)
		if r2.partialTarget != nil {
			e.orderResources(r1, taskStop, r2, taskMigrateFrom, flags)
		}
	case t1 == taskPromote && t2 == taskStart && r2.migratable:
		e.orderResources(r1, taskPromote, r2, taskMigrateTo, oOrdered)
	case t1 == taskDemote && t2 == taskStop && r2.migratable:
		e.orderResources(r1, taskDemote, r2, taskMigrateTo, oOrdered)
	}
}

func (o *ordering) task(side int) string {
	a, key := o.act1, o.key1
	if side == 2 {
		a, key = o.act2, o.key2
	}
	if a != nil {
		return a.task
	}
	_, task, _, _ := parseOpKey(key)
	return task
}
