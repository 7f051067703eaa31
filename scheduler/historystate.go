package scheduler

import "strings"

// What the history of a resource on a node comes to: where it is active, and
// what a failure asks for.

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
