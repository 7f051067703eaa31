package scheduler

import (
	"slices"

	"gcrm/cib"
)

// Phase 7: configuration changes. Before: constraints; nothing is assigned.
// After: history that no longer agrees with the configuration has led to
// restarts, reloads, cancelled or re-scheduled monitors and clean-ups.

func (e *engine) configurationChanges() {
	byNode := map[*node]*cib.Element{}
	for st := range e.doc.Status().Named("node_state") {
		if n := e.nodeFor(st.ID(), st.Get("uname")); n != nil && byNode[n] == nil {
			byNode[n] = st
		}
	}
	var found []*resource
	for _, n := range e.sorted {
		if !n.maintenance && !n.available() {
			continue
		}
		st := byNode[n]
		if st == nil {
			continue
		}
		for lrm := range st.Named("lrm") {
			for list := range lrm.Named("lrm_resources") {
				for l := range list.Named("lrm_resource") {
					if len(l.Children) > 0 {
						found = e.resourcesOfHistory(found[:0], l.ID())
						for _, r := range found {
							e.checkHistory(r, n, l)
						}
					}
				}
			}
		}
	}
}

// resourcesOfHistory appends the primitives with an id or history id to out,
// which is empty.
func (e *engine) resourcesOfHistory(out []*resource, id string) []*resource {
	if r := e.rscByID[id]; r != nil && r.isPrimitive() {
		out = append(out, r)
		if r.parent == nil || r.unique {
			return out
		}
	}
	// instances of anonymous clones share a history name
	base := e.rscByHistory[id]
	if base == nil {
		return out
	}
	add := func(r *resource) {
		if r.historyID == id && !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	base.top(true).eachLeaf(add)
	return out
}

func (e *engine) checkHistory(r *resource, n *node, l *cib.Element) {
	if r.removed {
		if top := r.top(false); top.variant == vClone && !top.unique {
			return
		}
		e.cleanUp(r, n, false)
		return
	}
	active := r.runsOn(n)
	if e.agentChanged(r, n, l, active) {
		e.cleanUp(r, n, false)
	}
	if !active {
		return
	}
	ops := operationsOf(l)
	if len(ops) > 1 {
		ops = byAge(ops)
	}
	start, stop := activeOps(ops)
	if start < stop {
		return
	}
	for i, op := range ops {
		if i < start {
			continue
		}
		task, interval := op.Get("operation"), parseIntervalMS(op.Get("interval"))
		switch {
		case interval > 0 && (r.maintenance || n.maintenance):
			e.scheduleCancel(r, op.Get("call-id"), task, interval, n)
		case interval > 0 || task == taskMonitor || task == taskStart || task == taskPromote || task == taskMigrateFrom:
			if e.needsRemoteName(r) {
				e.deferredChecks = append(e.deferredChecks, func() { e.checkOp(r, n, op) })
				continue
			}
			e.checkOp(r, n, op)
		}
	}
}

func (e *engine) checkOp(r *resource, n *node, op *cib.Element) {
	if !e.opChanged(r, n, op) {
		return
	}
	if c, _ := e.failCount(r, n, nil, true, false); c != 0 {
		e.clearFailcount(r, n, "action definition changed")
	}
}

// opChanged acts on a history entry whose definition changed.
func (e *engine) opChanged(r *resource, n *node, op *cib.Element) bool {
	task, interval := op.Get("operation"), parseIntervalMS(op.Get("interval"))
	if interval > 0 && e.findOp(r, task, interval, false) == nil {
		if e.opt.cancelRemoved {
			e.scheduleCancel(r, op.Get("call-id"), task, interval, n)
		}
		return true
	}
	if interval == 0 && (task == taskMonitor || task == taskMigrateFrom || task == taskPromote) {
		task = taskStart // what a restart does again
	}
	result := e.compareDigests(r, n, op)
	if result != digestMatch && e.sanitized && e.onlySecretsChanged(r, n, op) {
		return false
	}
	switch result {
	case digestMatch:
		return false
	case digestRestart:
		e.forceRestart(r, n, task, interval)
	default:
		switch {
		case interval > 0:
			e.triggerUnfencing(r, n, "Device parameters changed (reschedule)", nil)
			a := e.customAction(r, opKey(r.id, task, interval), task, n, true)
			a.set(fReschedule)
		case op.Has("op-restart-digest"):
			e.triggerUnfencing(r, n, "Device parameters changed (reload)", nil)
			e.scheduleReload(r, n)
		default:
			e.forceRestart(r, n, task, interval)
		}
	}
	return true
}

func (e *engine) forceRestart(r *resource, n *node, task string, interval int64) {
	a := e.customAction(r, opKey(r.id, task, interval), task, nil, false)
	a.setReason("resource definition change", true)
	e.triggerUnfencing(r, n, "Device parameters changed", nil)
}

func (e *engine) scheduleReload(r *resource, n *node) {
	if !r.managed || r.failed {
		return
	}
	if r.startPending {
		e.stopAction(r, n, false)
		return
	}
	r.reloadWanted = true
	a := e.customAction(r, opKey(r.id, taskReloadAgent, 0), taskReloadAgent, n, false)
	a.setReason("resource definition change", false)
	e.newOrdering(nil, "", a, r, opKey(r.id, taskStop, 0), nil, oOrdered|oThenCancelsFirst)
	e.newOrdering(nil, "", a, r, opKey(r.id, taskDemote, 0), nil, oOrdered|oThenCancelsFirst)
}

func (e *engine) agentChanged(r *resource, n *node, l *cib.Element, active bool) bool {
	if l.Get("type") == r.typ && l.Get("class") == r.class && l.Get("provider") == r.provider {
		return false
	}
	e.triggerUnfencing(r, n, "Device definition changed", nil)
	if active {
		e.stopAction(r, n, false)
		r.startPending, r.agentChanged = true, true
	}
	return true
}

// cleanUp schedules the deletion of r's history on n.
func (e *engine) cleanUp(r *resource, n *node, optional bool) {
	if r.failed || n.unclean || !n.online {
		return
	}
	flags := oOrdered
	if optional {
		flags = oFirstImpliesThen
	}
	e.customAction(r, opKey(r.id, taskDelete, 0), taskDelete, n, optional)
	e.orderResources(r, taskStop, r, taskDelete, flags)
	e.orderResources(r, taskDelete, r, taskStart, flags)
}
