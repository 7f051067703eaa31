package scheduler

import (
	"strings"

	"gcrm/cib"
)

// History of migrations: what migrate_to and migrate_from entries of two
// nodes tell about where a resource is.

// nodeHistory returns the history entry of a resource on a node, the first if
// there are several.
func (e *engine) nodeHistory(nodeName, rsc string) *cib.Element {
	byID, ok := e.histories[nodeName]
	if !ok {
		byID = map[string]*cib.Element{}
		for st := range e.doc.Status().Named("node_state") {
			if st.Get("uname") == nodeName {
				indexHistory(byID, st)
			}
		}
		if e.histories == nil {
			e.histories = map[string]map[string]*cib.Element{}
		}
		e.histories[nodeName] = byID
	}
	return byID[rsc]
}

func indexHistory(byID map[string]*cib.Element, state *cib.Element) {
	for lrm := range state.Named("lrm") {
		for list := range lrm.Named("lrm_resources") {
			for l := range list.Named("lrm_resource") {
				if id := l.ID(); byID[id] == nil {
					byID[id] = l
				}
			}
		}
	}
}

// historyOp finds the operation of a resource on a node; peer is the other
// node of a migration; rc >= 0 asks for that result. If there are several, as
// after a monitor in another role, it finds none (quirk).
func (e *engine) historyOp(rsc, task, nodeName, peer string, rc int) *cib.Element {
	l := e.nodeHistory(nodeName, rsc)
	if l == nil {
		return nil
	}
	var found *cib.Element
	for op := range l.Named("lrm_rsc_op") {
		if op.Get("operation") != task {
			continue
		}
		if peer != "" {
			attr := "migrate_target"
			if task == taskMigrateFrom {
				attr = "migrate_source"
			}
			if op.Get(attr) != peer {
				continue
			}
		}
		if found != nil {
			return nil
		}
		found = op
	}
	if found != nil && rc >= 0 && (intOf(found.Get("rc-code"), -1) != rc || intOf(found.Get("op-status"), 0) != execDone) {
		return nil
	}
	return found
}

// nonMonitorAfter reports a start, stop or migration newer than op.
func (e *engine) nonMonitorAfter(rsc, nodeName string, op *cib.Element, sameNode bool) bool {
	l := e.nodeHistory(nodeName, rsc)
	if l == nil {
		return false
	}
	for o := range l.Named("lrm_rsc_op") {
		if o == op {
			continue
		}
		switch o.Get("operation") {
		case taskStart, taskStop, taskMigrateTo, taskMigrateFrom:
			if newerOp(o, op, sameNode) > 0 {
				return true
			}
		}
	}
	return false
}

func (e *engine) newerStateAfter(rsc, nodeName string, to, from *cib.Element) bool {
	op := to
	if from != nil {
		op = from
	}
	sameNode := false
	if nodeName == op.Get("migrate_source") {
		if to != nil {
			op, sameNode = to, true
		} else {
			op = from
		}
	} else {
		if from != nil {
			op, sameNode = from, true
		} else {
			op = to
		}
	}
	if e.nonMonitorAfter(rsc, nodeName, op, sameNode) {
		return true
	}
	m := e.historyOp(rsc, taskMonitor, nodeName, "", rcNotRunning)
	return m != nil && newerOp(m, op, sameNode) > 0
}

// unknownOn reports that a node's history says nothing about the resource.
func (e *engine) unknownOn(rsc, nodeName string) bool {
	l := e.nodeHistory(nodeName, rsc)
	if l == nil {
		return true
	}
	for op := range l.Named("lrm_rsc_op") {
		if op.Get("rc-code") != "193" {
			return false
		}
	}
	return true
}

// migrationNodes returns source and target of a migration entry, which must
// agree with the node the entry was found on.
func migrationNodes(el *cib.Element, source, target *node) (string, string, bool) {
	s, t := el.Get("migrate_source"), el.Get("migrate_target")
	if s == "" || t == "" {
		return "", "", false
	}
	if source != nil && !strings.EqualFold(s, source.name) || target != nil && !strings.EqualFold(t, target.name) {
		return "", "", false
	}
	return s, t, true
}

func (r *resource) failedMigration() {
	r.failed, r.needsStop, r.migratable = true, true, false
}

func (e *engine) migrateToSucceeded(r *resource, n *node, h *histOp) {
	source, target, ok := migrationNodes(h.el, n, nil)
	if !ok {
		return
	}
	sourceNewer := e.nonMonitorAfter(r.id, source, h.el, true)
	from := e.historyOp(r.id, taskMigrateFrom, target, source, -1)
	fromRC, fromStatus := rcOK, execPending
	if from != nil {
		if sourceNewer {
			return
		}
		fromRC, fromStatus = intOf(from.Get("rc-code"), rcOK), intOf(from.Get("op-status"), execPending)
	}
	targetNewer := e.newerStateAfter(r.id, target, h.el, from)
	if sourceNewer && targetNewer {
		return
	}
	if fromRC == rcOK && fromStatus == execDone {
		r.role = roleStopped
		r.dangling = append([]*node{n}, r.dangling...)
		return
	}
	r.role = roleStarted
	tn := e.findNode(target)
	active := !targetNewer && tn != nil && tn.online
	if fromStatus != execPending {
		if active {
			e.addRunning(r, tn, true)
		} else {
			r.failedMigration()
		}
		return
	}
	if tn != nil && tn.online && e.unknownOn(r.id, target) {
		return
	}
	if active {
		e.addRunning(r, tn, false)
		if sn := e.findNode(source); sn != nil && sn.online {
			r.partialTarget, r.partialSource = tn, sn
		}
	} else if !sourceNewer {
		r.failedMigration()
	}
}

func (e *engine) migrateToFailed(r *resource, n *node, h *histOp) {
	source, target, ok := migrationNodes(h.el, n, nil)
	if !ok {
		return
	}
	r.role = roleStarted
	from := e.historyOp(r.id, taskMigrateFrom, target, source, rcOK)
	if !e.unknownOn(r.id, target) && !e.newerStateAfter(r.id, target, h.el, from) {
		if tn := e.findNode(target); tn != nil && tn.online {
			e.addRunning(r, tn, false)
		}
	} else if !e.nonMonitorAfter(r.id, source, h.el, true) {
		r.dangling = append([]*node{n}, r.dangling...)
	}
}

func (e *engine) migrateFromFailed(r *resource, n *node, h *histOp) {
	source, target, ok := migrationNodes(h.el, nil, n)
	if !ok {
		return
	}
	r.role = roleStarted
	to := e.historyOp(r.id, taskMigrateTo, source, target, rcOK)
	if !e.unknownOn(r.id, source) && !e.newerStateAfter(r.id, source, to, h.el) {
		if sn := e.findNode(source); sn != nil && sn.online {
			e.addRunning(r, sn, true)
		}
	}
}
