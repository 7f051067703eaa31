package scheduler

import (
	"slices"
	"strings"

	"gcrm/cib"
)

// Operation history: one lrm_resource of one node becomes a role, an active
// node, and marks of failures on its resource.

// Agent results.
const (
	rcOK              = 0
	rcUnknownError    = 1
	rcInvalidParam    = 2
	rcUnimplemented   = 3
	rcNoPrivilege     = 4
	rcNotInstalled    = 5
	rcNotConfigured   = 6
	rcNotRunning      = 7
	rcPromoted        = 8
	rcFailedPromoted  = 9
	rcDegraded        = 190
	rcDegradedPromote = 191
	rcUnknown         = 193
)

// Execution status of an operation.
const (
	execPending       = -1
	execDone          = 0
	execCancelled     = 1
	execTimeout       = 2
	execNotSupported  = 3
	execError         = 4
	execErrorHard     = 5
	execErrorFatal    = 6
	execNotInstalled  = 7
	execNotConnected  = 8
	execInvalid       = 9
	execNoFenceDevice = 10
	execNoSecrets     = 11
)

// onFail is what a failure of an operation leads to; larger is stronger.
type onFail uint8

const (
	failIgnore onFail = iota
	failDemote
	failRestart
	failResetRemote
	failRestartContainer
	failBan
	failBlock
	failStop
	failStandby
	failFence
)

// histOp is a history entry under interpretation.
type histOp struct {
	el       *cib.Element
	id, key  string
	task     string
	interval int64
	callID   int
	status   int
	rc       int
	target   int
}

// transitionKey splits "action:transition:targetrc:uuid".
func transitionKey(s string) (transition, target int, uuid string, ok bool) {
	_, s, _ = strings.Cut(s, ":")
	second, s, _ := strings.Cut(s, ":")
	third, uuid, ok := strings.Cut(s, ":")
	if !ok {
		return -1, -1, "", false
	}
	return intOf(second, -1), intOf(third, -1), uuid, true
}

func transitionOf(el *cib.Element) (transition int, uuid string) {
	key := el.Get("transition-key")
	if key == "" {
		_, key, _ = strings.Cut(el.Get("transition-magic"), ";")
	}
	tr, _, u, ok := transitionKey(key)
	if !ok {
		return -1, ""
	}
	return tr, u
}

func targetRC(el *cib.Element) int {
	_, t, _, ok := transitionKey(el.Get("transition-key"))
	if !ok {
		return -1
	}
	return t
}

// newerOp compares the age of two history entries: positive if a is newer.
func newerOp(a, b *cib.Element, sameNode bool) int {
	if id := a.ID(); id != "" && id == b.ID() {
		return 0
	}
	ca, cb := intOf(a.Get("call-id"), -1), intOf(b.Get("call-id"), -1)
	switch {
	case ca == -1 && cb == -1:
		return 0
	case sameNode && ca >= 0 && ca < cb:
		return -1
	case sameNode && cb >= 0 && ca > cb:
		return 1
	case ca >= 0 && cb >= 0 && (!sameNode || ca == cb):
		return compareOrdered(changeTimes(a, b))
	}
	ta, ua := transitionOf(a)
	tb, ub := transitionOf(b)
	if ua == "" || ub == "" {
		return 0 // nothing tells which is older
	}
	if ua != ub || ta == tb {
		if cb == -1 {
			return -1
		}
		return 1
	}
	if (ta >= 0 && ta < tb) || tb == -1 {
		return -1
	}
	return 1
}

// changeTimes are the times of two entries; if only one is known, they count
// as equal.
func changeTimes(a, b *cib.Element) (int64, int64) {
	if !a.Has("last-rc-change") || !b.Has("last-rc-change") {
		return 0, 0
	}
	return epochOf(a.Get("last-rc-change")), epochOf(b.Get("last-rc-change"))
}

// parseIntervalMS reads the interval of a history entry, in milliseconds.
func parseIntervalMS(s string) int64 {
	n, _, ok := leadingInt(s)
	if !ok || n < 0 {
		return 0
	}
	return n
}

// probe reports a probe.
func (h *histOp) probe() bool { return h.task == taskMonitor && h.interval == 0 }

// masked reports a probe whose failure means that the resource cannot be
// there: not installed, or refused for its parameters.
func (h *histOp) masked() bool {
	if !h.probe() {
		return false
	}
	rc := intOf(h.el.Get("rc-code"), 0)
	return rc == rcNotInstalled || rc == rcInvalidParam || intOf(h.el.Get("op-status"), 0) == execNotInstalled
}

// cause names the entry as what a score comes from.
func (h *histOp) cause(by Factor, r *resource, n *node) cause {
	kept := *h
	return cause{by: by, rsc: r, node: n, op: &kept}
}

// processHistory interprets the operations of r on n.
func (e *engine) processHistory(n *node, r *resource, id string, ops []*cib.Element) {
	saved := r.role
	r.role = roleUnknown
	sorted := ops
	if len(ops) > 1 {
		sorted = slices.Clone(ops)
		slices.Reverse(sorted) // equal entries come out in reverse document order
		slices.SortStableFunc(sorted, func(a, b *cib.Element) int { return newerOp(a, b, true) })
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
		if !expired || h.rc == h.target {
			r.role = rolePromoted
		}
	case rcFailedPromoted:
		if !expired {
			r.role = rolePromoted
		}
		h.status = execError
	case rcNotConfigured:
		h.status = execErrorFatal
	case rcUnimplemented:
		if h.interval == 0 {
			if !expired {
				e.blockIfUnrecoverable(r, n, h)
			}
			h.status = execErrorHard
		} else {
			h.status = execNotSupported
		}
	case rcNotInstalled, rcInvalidParam, rcNoPrivilege:
		if !expired {
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

func (e *engine) recordFailure(r *resource, n *node, h *histOp) {
	e.failedOps = append(e.failedOps, &FailedOp{
		Resource: r.id, Node: n.name, Key: h.key, Task: h.task, Interval: h.interval,
		CallID: h.callID, ExitCode: intOf(h.el.Get("rc-code"), h.rc), Status: intOf(h.el.Get("op-status"), 0),
		Reason: h.el.Get("exit-reason"), LastChange: epochOf(h.el.Get("last-rc-change")),
	})
	if h.masked() && r.probeResult == "" {
		switch {
		case intOf(h.el.Get("rc-code"), 0) == rcInvalidParam:
			r.probeResult = "Invalid parameter"
		default:
			r.probeResult = "Not installed"
		}
	}
}

// resourceState applies the accumulated state of r on n.
func (e *engine) resourceState(r *resource, n *node, acc onFail) {
	if r.role != roleUnknown {
		for p := r; p != nil; p = p.parent {
			p.setKnown(n)
			if p.unique {
				break
			}
		}
	}
	active := r.role > roleStopped
	if active && !n.online && !n.maintenance && r.managed {
		e.activeOnDeadNode(r, n)
	}
	saved := acc
	if n.unclean {
		acc = failIgnore
	}
	e.applyFailure(r, n, acc, active)
	if r.failed && r.isRemoteConn {
		if rn := e.findNode(r.id); rn != nil && rn.unclean {
			rn.unseen = false
		}
	}
	switch {
	case active:
		e.addRunning(r, n, saved != failIgnore)
		switch acc {
		case failIgnore:
		case failDemote, failBlock:
			r.failed = true
		default:
			r.failed, r.needsStop = true, true
		}
	case strings.Contains(r.historyID, ":"):
		r.historyID = ""
	case len(r.actions) > 0:
		for _, a := range e.findActions(r, opKey(r.id, taskStop, 0), n) {
			a.set(fOptional)
		}
	}
	if r.role == roleStopped && r.partialSource == n && r.partialTarget != nil && len(r.runningOn) > 0 {
		r.role = roleStarted
	}
}

func (e *engine) activeOnDeadNode(r *resource, n *node) {
	reason := r.id + " is thought to be active there"
	switch {
	case n.guest():
		r.failed, r.needsStop = true, true
	case e.opt.fencing:
		if n.remote && n.connection != nil && !n.connection.failed {
			n.unseen = true
			reason = r.id + " is active there (fencing will be revoked if remote connection can be re-established elsewhere)"
		}
	default:
		return
	}
	e.fenceNode(n, reason, false)
}

func (e *engine) applyFailure(r *resource, n *node, acc onFail, active bool) {
	switch acc {
	case failDemote:
		r.failed = true
		e.demoteAction(r, n, false)
	case failFence:
		e.fenceNode(n, r.id+" failed there", false)
	case failStandby:
		n.standby, n.standbyFail = true, true
	case failBlock:
		r.managed, r.blocked = false, true
	case failBan:
		e.ban(r, n, cause{by: ByFailure, rsc: r, node: n})
	case failStop:
		r.nextRole = roleStopped
	case failRestart:
		if active {
			r.failed, r.needsStop = true, true
			e.stopAction(r, n, false)
		}
	case failRestartContainer:
		r.failed, r.needsStop = true, true
		switch {
		case r.launcher != nil && r.bundled():
			e.stopNeeded = append([]*launcherStop{{r.launcher}}, e.stopNeeded...)
		case r.launcher != nil:
			e.stopAction(r.launcher, n, false)
		case active:
			e.stopAction(r, n, false)
		}
	case failResetRemote:
		r.failed, r.needsStop = true, true
		if e.opt.fencing && r.isRemoteConn {
			if rn := e.findNode(r.id); rn != nil && rn.pureRemote() && !rn.remoteWasFenced {
				e.fenceNode(rn, "remote connection is unrecoverable", false)
			}
		}
		if active {
			e.stopAction(r, n, false)
		}
		if r.reconnectInterval > 0 {
			r.nextRole = roleStopped
		}
	}
}

// addRunning notes that r is active on n.
func (e *engine) addRunning(r *resource, n *node, failed bool) {
	if r.runsOn(n) {
		return
	}
	r.runningOn = append(r.runningOn, n)
	if r.isPrimitive() {
		n.running = append(n.running, r)
		e.notePriority(r, n, failed)
		if n.maintenance {
			r.managed, r.maintenance = false, !e.older.has(olderMaintenance) || r.maintenance
		}
	}
	if !r.managed {
		e.addNodeScore(r, n, infinity, cause{by: ByUnmanaged, rsc: r})
		for p := r.parent; p != nil && n.online; p = p.parent {
			p.runningOn = append(p.runningOn, n)
		}
		return
	}
	if e.multiplyActive(r) {
		switch r.multi {
		case maStopOnly:
			e.banEverywhere(r, cause{by: ByMultiple, rsc: r})
		case maBlock:
			r.managed, r.blocked = false, true
			if p := r.parent; p != nil && (p.variant == vGroup || p.variant == vBundle) && p.multi == maBlock {
				for _, c := range p.children {
					c.managed, c.blocked = false, true
				}
			}
		}
	}
	if r.parent != nil {
		e.addRunning(r.parent, n, false)
	}
}

func (e *engine) notePriority(r *resource, n *node, failed bool) {
	p := r.priority
	if p == 0 || failed {
		return
	}
	if r.role == rolePromoted {
		p++
	}
	n.priority += p
	if n.guest() {
		for _, host := range n.connection.launcher.runningOn {
			host.priority += p
		}
	}
}

func (e *engine) multiplyActive(r *resource) bool {
	if !r.isPrimitive() {
		return false
	}
	if r.needsFencing {
		return len(r.runningOn) > 1
	}
	clean := 0
	for _, n := range r.runningOn {
		if n.online && !n.unclean {
			clean++
		}
	}
	return clean > 1
}
