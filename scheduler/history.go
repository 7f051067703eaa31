package scheduler

import "gcrm/cib"

// Operation history: one lrm_resource of one node becomes a role, an active
// node, and marks of failures on its resource.

// processHistory interprets the operations of r on n.
func (e *engine) processHistory(n *node, r *resource, id string, ops []*cib.Element) {
	saved := r.role
	r.role = roleUnknown
	sorted := ops
	if len(ops) > 1 {
		sorted = byAge(ops)
	}
	acc := failIgnore
	var last *cib.Element
	for _, el := range sorted {
		e.unpackOp(r, n, el, &last, &acc)
	}
	start, stop := activeOps(sorted)
	e.knownRecurring(r, n, sorted, start, stop)
	e.resourceState(r, n, acc)

	if v, ok := r.meta.get("target-role"); ok {
		if want, ok := e.targetRole(r, v); ok && (r.nextRole == roleUnknown || want < r.nextRole) {
			r.nextRole = want
		}
	}
	if saved > r.role {
		r.role = saved
	}
}

func (e *engine) targetRole(r *resource, v string) (role, bool) {
	want, ok := parseRole(v)
	if !ok || want == roleStarted {
		return 0, false
	}
	if want > roleStarted {
		if !r.top(true).promotable && !r.top(false).promotable {
			return 0, false
		}
		if want == rolePromoted {
			return 0, false
		}
	}
	return want, true
}

// activeOps finds the last start and stop among sorted operations.
func activeOps(ops []*cib.Element) (start, stop int) {
	start, stop = -1, -1
	monitorStart, roleStart := -1, -1
	for i, op := range ops {
		task := op.Get("operation")
		switch {
		case task == taskStop && op.Get("op-status") == "0":
			stop = i
		case task == taskStart || task == taskMigrateFrom:
			start = i
		case task == taskMonitor && monitorStart <= stop:
			if rc := op.Get("rc-code"); rc == "0" || rc == "8" {
				monitorStart = i
			}
		case task == taskPromote || task == taskDemote:
			roleStart = i
		}
	}
	if start == -1 {
		if roleStart != -1 {
			start = roleStart
		} else {
			start = monitorStart
		}
	}
	return start, stop
}

// knownRecurring records running monitors as optional actions.
func (e *engine) knownRecurring(r *resource, n *node, ops []*cib.Element, start, stop int) {
	if !n.online {
		return
	}
	for i, op := range ops {
		if start < stop && i <= stop || i < start {
			continue
		}
		interval := parseIntervalMS(op.Get("interval"))
		if interval == 0 || op.Get("op-status") == "-1" {
			continue
		}
		task := op.Get("operation")
		e.customAction(r, opKey(r.id, task, interval), task, n, true)
	}
}

func (e *engine) setActive(r *resource) {
	if r.top(false).promotable {
		r.role = roleUnpromoted
	} else {
		r.role = roleStarted
	}
}

// unpackOp interprets one history entry.
func (e *engine) unpackOp(r *resource, n *node, el *cib.Element, last **cib.Element, acc *onFail) {
	h := &e.interpreted
	*h = histOp{el: el, id: el.ID(), key: el.Get("operation_key"), task: el.Get("operation")}
	switch h.task {
	case taskMonitor, taskStart, taskStop, taskPromote, taskDemote, taskMigrateTo, taskMigrateFrom, "asyncmon":
	default:
		if h.task != taskCancel || !e.older.has(olderCancel) {
			return
		}
	}
	if h.key == "" {
		h.key = h.id
	}
	v, _, ok := leadingInt(el.Get("op-status"))
	if !ok || v < execPending || v > execNoSecrets+1 || v == execCancelled && !e.older.has(olderCancel) {
		return
	}
	h.status = int(v)
	rc, _, ok := leadingInt(el.Get("rc-code"))
	if !ok || rc < 0 {
		if h.status != execPending {
			return
		}
	}
	h.rc = int(rc)
	h.target = targetRC(el)
	h.interval = parseIntervalMS(el.Get("interval"))
	h.callID = intOf(el.Get("call-id"), -1)

	ban := r
	if !r.unique {
		ban = r.top(false)
	}
	masked := h.masked() && !r.bundled()
	expired := e.opExpired(r, n, h)
	e.remapOp(r, n, h, acc, expired)

	if masked {
		if expired {
			if r.role == roleStopped {
				r.role = roleUnknown
			}
			return
		}
		e.updateState(r, n, h, h.target, *last, acc)
		e.recordFailure(r, n, h)
		e.ban(ban, n, h.cause(ByProbe, r, n))
		return
	}
	if expired && h.rc != h.target {
		if h.interval == 0 {
			return
		}
		if n.online && !n.unclean {
			e.expiredMonitors[el] = true
			return
		}
	}

	switch h.status {
	case execCancelled: // only in older versions
		return
	case execPending:
		e.pendingOp(r, n, h, *last)
		return
	case execDone:
		e.updateState(r, n, h, h.rc, *last, acc)
		return
	case execNotInstalled:
		strategy, failRole := e.failureHandling(r, h)
		if strategy == failIgnore {
			strategy = failBan
		}
		e.ban(ban, n, h.cause(ByFailure, r, n))
		e.opFailed(r, n, h, strategy, failRole, last, acc)
		return
	case execNotConnected:
		if n.remote && n.connection != nil && n.connection.managed {
			n.connection.failed, n.connection.needsStop = true, true
		}
	}

	strategy, failRole := e.failureHandling(r, h)
	if strategy == failIgnore || (strategy == failRestartContainer && h.task == taskStop) {
		e.updateState(r, n, h, h.target, *last, acc)
		r.failureIgnored = true
		e.recordFailure(r, n, h)
		if strategy == failRestartContainer && *acc <= failRestart {
			*acc = strategy
		}
		return
	}
	e.opFailed(r, n, h, strategy, failRole, last, acc)
	switch h.status {
	case execErrorHard:
		e.ban(ban, n, h.cause(ByFailure, r, n))
	case execErrorFatal:
		e.ban(ban, nil, h.cause(ByFailure, r, n))
	}
}

// remapOp turns an entry's status into what it means here.
func (e *engine) remapOp(r *resource, n *node, h *histOp, acc *onFail, expired bool) {
	switch {
	case e.older.has(olderDegraded) && h.task != taskMonitor:
	case h.rc == rcDegraded || h.rc == rcDegradedPromote:
		if h.rc == rcDegraded {
			h.rc = rcOK
		} else {
			h.rc = rcPromoted
		}
		if !expired {
			e.recordFailure(r, n, h)
		}
	}
	probe := h.probe()
	if h.masked() && !r.bundled() {
		h.status, h.rc = execDone, rcNotRunning
	}
	switch h.status {
	case execDone, execError:
	case execNoFenceDevice, execNoSecrets:
		h.status = execErrorHard
		return
	default:
		return
	}
	switch {
	case h.target < 0:
		h.status = execError
	case h.rc == h.target:
		h.status = execDone
	default:
		h.status = execError
	}
	counts := !expired || e.older.has(olderExpired)
	switch h.rc {
	case rcOK:
		if probe && h.target == rcNotRunning {
			h.status = execDone
		}
	case rcNotRunning:
		if probe || h.target == h.rc || !r.managed {
			h.status = execDone
			r.role = roleStopped
			*acc = failIgnore
			r.nextRole = roleUnknown
		}
	case rcPromoted:
		if probe && h.rc != h.target {
			h.status = execDone
		}
		if counts || h.rc == h.target {
			r.role = rolePromoted
		}
	case rcFailedPromoted:
		if counts {
			r.role = rolePromoted
		}
		h.status = execError
	case rcNotConfigured:
		h.status = execErrorFatal
	case rcUnimplemented:
		if h.interval == 0 {
			if counts {
				e.blockIfUnrecoverable(r, n, h)
			}
			h.status = execErrorHard
		} else {
			h.status = execNotSupported
		}
	case rcNotInstalled, rcInvalidParam, rcNoPrivilege:
		if counts {
			e.blockIfUnrecoverable(r, n, h)
		}
		h.status = execErrorHard
	default:
		if h.status == execDone {
			h.status = execError
		}
	}
}

// blockIfUnrecoverable blocks a resource whose stop failed for good where the
// node cannot be fenced.
func (e *engine) blockIfUnrecoverable(r *resource, n *node, h *histOp) {
	if h.task != taskStop || e.canFence(n) {
		return
	}
	r.managed, r.blocked = false, true
}

func (e *engine) pendingOp(r *resource, n *node, h *histOp, last *cib.Element) {
	if last != nil && last.Get("operation_key") == h.key && newerOp(last, h.el, true) > 0 {
		return
	}
	switch h.task {
	case taskStart:
		r.startPending = true
		e.setActive(r)
	case taskPromote:
		r.role = rolePromoted
	case taskMigrateTo:
		if n.unclean {
			if t := e.findNode(h.el.Get("migrate_target")); t != nil {
				e.stopAction(r, t, false)
			}
		}
	}
	if r.pendingTask == "" && !h.probe() {
		r.pendingTask, r.pendingNode = h.task, n
	}
}

// updateState applies a result that is no failure.
func (e *engine) updateState(r *resource, n *node, h *histOp, rc int, last *cib.Element, acc *onFail) {
	clear := false
	switch {
	case rc == rcNotInstalled || (!r.bundled() && h.masked()):
		r.role = roleStopped
	case rc == rcNotRunning:
		clear = true
	default:
		switch h.task {
		case taskMonitor:
			clear = last != nil && last.Get("operation_key") == h.key
			if r.role < roleStarted {
				e.setActive(r)
			}
		case taskStart:
			r.role, clear = roleStarted, true
		case taskStop:
			r.role, clear = roleStopped, true
		case taskPromote:
			r.role, clear = rolePromoted, true
		case taskDemote:
			r.role, clear = roleUnpromoted, *acc == failDemote
		case taskMigrateFrom:
			r.role, clear = roleStarted, true
		case taskMigrateTo:
			e.migrateToSucceeded(r, n, h)
		default:
			if r.role < roleStarted {
				e.setActive(r)
			}
		}
	}
	if !clear {
		return
	}
	switch *acc {
	case failStop, failBan, failStandby, failFence:
	case failResetRemote:
		if r.reconnectInterval == 0 {
			*acc = failIgnore
			r.nextRole = roleUnknown
		}
	default:
		*acc = failIgnore
		r.nextRole = roleUnknown
	}
}

// opFailed applies a failure.
func (e *engine) opFailed(r *resource, n *node, h *histOp, strategy onFail, failRole role, last **cib.Element, acc *onFail) {
	*last = h.el
	e.recordFailure(r, n, h)
	*acc = max(*acc, strategy)
	switch h.task {
	case taskStop:
		e.ban(r, n, h.cause(ByFailure, r, n))
	case taskMigrateTo:
		e.migrateToFailed(r, n, h)
	case taskMigrateFrom:
		e.migrateFromFailed(r, n, h)
	case taskPromote:
		r.role = rolePromoted
	case taskDemote:
		switch {
		case strategy == failBlock:
			r.role, r.nextRole = rolePromoted, roleStopped
		case h.rc == rcNotRunning:
			r.role = roleStopped
		default:
			r.role = roleUnpromoted
		}
	}
	if h.probe() && h.rc == rcNotInstalled {
		r.role = roleStopped
	} else if r.role < roleStarted {
		e.setActive(r)
	}
	if failRole != roleStarted && r.nextRole < failRole {
		r.nextRole = failRole
	}
	if failRole == roleStopped {
		top := r
		if !r.unique && r.top(false).variant == vClone {
			top = r.top(false)
		}
		e.banEverywhere(top, h.cause(ByFailure, r, n))
	}
}

// banEverywhere replaces the allowed nodes of r alone.
func (e *engine) banEverywhere(r *resource, why cause) {
	r.allowed = nil
	e.trace.forget(r)
	for _, n := range e.nodes {
		r.allowed.put(n, -infinity)
		e.trace.set(r, n, -infinity, why)
	}
}
