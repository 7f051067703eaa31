package scheduler

import (
	"strings"

	"gcrm/cib"
)

// Failures: what they lead to, fail counts and their expiry.

// failureHandling says what the failure of an entry leads to, and in which
// role the resource is left.
func (e *engine) failureHandling(r *resource, h *histOp) (onFail, role) {
	op := e.opFor(r, h.task, h.interval)
	meta := e.opMeta(r, nil, h.task, h.interval, op)
	of := e.onFailOf(r, h.task, h.interval, op, meta.val("on-fail"))
	return of, e.roleAfterFailure(r, h.task, of)
}

func (e *engine) roleAfterFailure(r *resource, task string, of onFail) role {
	switch {
	case of == failStop, of == failResetRemote && r.reconnectInterval > 0:
		return roleStopped
	case task == taskPromote:
		return roleUnpromoted
	}
	return roleStarted
}

func promotedRole(s string) bool {
	r, ok := parseRole(s)
	return ok && r == rolePromoted
}

// onFailOf resolves an on-fail value with its defaults and limits.
func (e *engine) onFailOf(r *resource, task string, interval int64, op *cib.Element, value string) onFail {
	switch {
	case task == taskDemote && value == "" && r.ops != nil:
		for o := range r.ops.Named("op") {
			o = e.deref(o)
			of := o.Get("on-fail")
			if of == "" || of == "demote" || o.Get("name") != taskMonitor || !promotedRole(o.Get("role")) ||
				!boolOr(o.Get("enabled"), true) || parseInterval(o.Get("interval")) == 0 {
				continue
			}
			value = of
			break
		}
	case task == taskStop && (value == "standby" || value == "demote" || value == "stop"):
		value = ""
	case value == "demote" && task != taskPromote:
		if task != taskMonitor || interval == 0 || op == nil || !promotedRole(op.Get("role")) {
			value = ""
		}
	}
	switch value {
	case "block":
		return failBlock
	case "fence":
		if e.opt.fencing {
			return failFence
		}
		return failStop
	case "standby":
		return failStandby
	case "ignore", "nothing":
		return failIgnore
	case "migrate":
		return failBan
	case "stop":
		return failStop
	case "restart":
		return failRestart
	case "demote":
		return failDemote
	case "restart-container":
		if r.launcher != nil {
			return failRestartContainer
		}
		return failRestart
	}
	if r.launcher != nil {
		return failRestartContainer
	}
	if r.isRemoteConn && !(task == taskMonitor && interval == 0) && task != taskStart {
		if n := e.findNode(r.id); n != nil && n.pureRemote() {
			if !r.managed {
				return failStop
			}
			return failResetRemote
		}
	}
	if task == taskStop {
		if e.opt.fencing {
			return failFence
		}
		return failBlock
	}
	return failRestart
}

// failName is the name of r in fail-count attributes.
func (r *resource) failName() string {
	name := r.historyID
	if name == "" {
		name = r.id
	}
	if !r.unique {
		name = stripInstance(name)
	}
	return name
}

// failCount sums the fail counts of r on n. effective leaves out expired
// ones; launched adds those of launched resources.
func (e *engine) failCount(r *resource, n *node, el *cib.Element, effective, launched bool) (count int, last int64) {
	name := r.failName()
	if n.failCounts != nil {
		for _, f := range n.failCounts[stripInstance(name)] {
			if f.rsc != name && r.unique {
				continue
			}
			count = addScores(count, f.count)
			last = max(last, f.last)
		}
	}
	if count > 0 && r.failureTimeout > 0 && e.blockingFailure(r, n, el) {
		r.failureTimeout = 0
	}
	if effective && count > 0 && last > 0 && r.failureTimeout > 0 &&
		e.now.Unix() > last+int64(r.failureTimeout.Seconds()) {
		count = 0
	}
	if launched && len(r.launched) > 0 && !r.bundled() {
		for _, l := range r.launched {
			c, la := e.failCount(l, n, el, effective, launched)
			count = addScores(count, c)
			last = max(last, la)
		}
	}
	return count, last
}

// blockingFailure reports a failure of an operation with on-fail=block, which
// never expires.
func (e *engine) blockingFailure(r *resource, n *node, el *cib.Element) bool {
	if r.ops == nil {
		return false
	}
	// quirk: entries of unique instances bear a number in their names, and so
	// are never found
	name := stripInstance(r.id)
	for op := range r.ops.Named("op") {
		if op.Get("on-fail") != "block" {
			continue
		}
		task, interval := op.Get("name"), parseInterval(op.Get("interval"))
		matches := func(h *cib.Element) bool {
			if h.Get("operation") != task || parseIntervalMS(h.Get("interval")) != interval {
				return false
			}
			if h.ID() == opKey(name, "last_failure", 0) {
				return true
			}
			return h.ID() == opKey(name, task, interval) && intOf(h.Get("rc-code"), 0) != targetRC(h)
		}
		if el != nil {
			if matches(el) {
				return true
			}
			continue
		}
		if l := e.nodeHistory(n.name, name); l != nil {
			for h := range l.Named("lrm_rsc_op") {
				if matches(h) {
					return true
				}
			}
		}
	}
	return false
}

// opExpired decides whether a history entry is past its failure-timeout, and
// schedules clearing the fail count where that is due.
func (e *engine) opExpired(r *resource, n *node, h *histOp) bool {
	if h.status == execNotInstalled {
		return false
	}
	lastFailure := strings.HasSuffix(h.id, "_last_failure_0")
	if r.failureTimeout == 0 && !lastFailure {
		return false
	}
	expired := false
	effective := 0
	change := epochOf(h.el.Get("last-rc-change"))
	if r.failureTimeout > 0 && h.el.Has("last-rc-change") {
		now := e.now.Unix()
		if now >= change+int64(r.failureTimeout.Seconds()) && !e.ignoreTimeout(r, h) {
			expired = true
		}
		var last int64
		timeout := int64(r.failureTimeout.Seconds())
		effective, last = e.failCount(r, n, h.el, true, false)
		if effective > 0 && now < last+timeout+1 {
			e.recheckAt(last + timeout + 1)
		}
	}
	reason := ""
	if expired {
		if raw, _ := e.failCount(r, n, h.el, false, false); raw > 0 {
			if effective == 0 {
				reason = "it expired"
			} else {
				expired = false
			}
		} else if lastFailure && r.reconnectInterval > 0 {
			reason = "reconnect interval is set"
		}
	}
	if !expired && lastFailure && e.failedParamsChanged(r, n, h) {
		reason = "resource parameters have changed"
	}
	if reason != "" {
		a := e.clearFailcount(r, n, reason)
		if e.opt.fencing && r.reconnectInterval > 0 {
			if rn := e.findNode(r.id); rn != nil {
				f := e.fenceAction(rn, "", true, "", false)
				e.orderActions(f, a, oFirstImpliesThen)
			}
		}
	}
	if expired && h.interval == 0 && h.task == taskMonitor {
		switch h.rc {
		case rcOK, rcNotRunning, rcPromoted, rcDegraded, rcDegradedPromote:
			expired = false
		}
	}
	return expired
}

// ignoreTimeout keeps failures of a remote connection with a reconnect
// interval until its node is fenced.
func (e *engine) ignoreTimeout(r *resource, h *histOp) bool {
	if r.reconnectInterval == 0 || !e.opt.fencing || h.interval == 0 || h.task != taskMonitor {
		return false
	}
	n := e.findNode(r.id)
	return n != nil && !n.remoteWasFenced
}

// failedParamsChanged reports that a recorded failure was of other
// parameters than the present ones.
func (e *engine) failedParamsChanged(r *resource, n *node, h *histOp) bool {
	if h.task != taskStart && h.task != taskMonitor {
		return false
	}
	if r.bundled() && e.needsRemoteName(r) {
		// the address is known only once the container is placed
		el := h.el
		e.deferredChecks = append(e.deferredChecks, func() {
			if d := e.compareDigests(r, n, el); d == digestRestart || d == digestMismatch {
				e.clearFailcount(r, n, "resource parameters have changed")
			}
		})
		return false
	}
	switch e.compareDigests(r, n, h.el) {
	case digestMatch, digestUnknown:
		return false
	}
	return true
}

// clearFailcount schedules clearing the fail count of r on n.
func (e *engine) clearFailcount(r *resource, n *node, reason string) *action {
	key := opKey(r.id, taskClearFailcount, 0)
	a := e.customAction(r, key, taskClearFailcount, n, false)
	a.meta.set("op_no_wait", "true")
	a.reason = reason
	return a
}

// clearHistory schedules deleting the history of r on n from the status.
func (e *engine) clearHistory(r *resource, n *node) {
	key := opKey(r.id, taskLrmDelete, 0)
	a := e.customAction(r, key, taskLrmDelete, n, false)
	a.set(fOnDC)
	a.meta.set("on-fail", "ignore")
}
