package scheduler

import (
	"slices"
	"strconv"
	"strings"

	"gcrm/cib"
)

// Actions: creating and finding them. An action exists once per resource, key
// and node; asking for it again may make it required.

// findActions lists the actions of r with a key, oldest first. With a node,
// actions elsewhere are left out, and those without a node get it.
func (e *engine) findActions(r *resource, key string, n *node) []*action {
	list := r.actionsByKey[key]
	if n == nil || len(list) == 0 {
		return list
	}
	ok := true
	for _, a := range list {
		if a.node == nil {
			a.node = n
		} else if a.node != n {
			ok = false
		}
	}
	if ok {
		return list
	}
	var out []*action
	for _, a := range list {
		if a.node == n {
			out = append(out, a)
		}
	}
	return out
}

// exactActions lists actions on just that node, leaving actions without a
// node alone.
func (e *engine) exactActions(r *resource, key string, n *node) []*action {
	var out []*action
	for _, a := range r.actionsByKey[key] {
		if a.node == n && n != nil {
			out = append(out, a)
		}
	}
	return out
}

// firstAction finds the newest action of r with a task (or key, if not
// empty); with a node, one on that node.
func firstAction(r *resource, key, task string, n *node) *action {
	list := r.actions
	if key != "" {
		list = r.actionsByKey[key]
	}
	for _, a := range slices.Backward(list) {
		if (task == "" || a.task == task) && (n == nil || a.node == n) {
			return a
		}
	}
	return nil
}

// customAction finds or creates an action.
func (e *engine) customAction(r *resource, key, task string, n *node, optional bool) *action {
	var a *action
	if r != nil {
		if list := e.findActions(r, key, n); len(list) > 0 {
			a = list[0]
		}
	}
	if a == nil {
		a = e.newAction(r, key, task, n, optional)
	}
	if r != nil && a.node != nil && !r.managed && !a.is(fPseudo) && !a.meta.has("interval") {
		a.set(fOptional)
	} else if !optional {
		a.clear(fOptional)
	}
	if r != nil {
		if a.node != nil && a.op != nil && !a.is(fAttrsDone) {
			in := r.ruleInput()
			in.node = a.node
			in.opName, in.opInterval = a.task, a.interval
			e.unpackSets(a.op, "instance_attributes", &in, false, "", &a.extra)
			a.set(fAttrsDone)
		}
		e.checkRunnable(a, optional)
	}
	return a
}

func (e *engine) newAction(r *resource, key, task string, n *node, optional bool) *action {
	e.lastID++
	a := e.actionSlab.new()
	*a = action{id: e.lastID, rsc: r, node: n, task: task, key: key, flags: fRunnable}
	if optional {
		a.set(fOptional)
	}
	switch task {
	case taskLrmDelete:
		a.set(fOnDC)
	case taskClearFailcount:
		if !e.older.has(olderClearing) {
			a.set(fOnDC)
		}
	}
	if r != nil {
		_, _, interval, _ := parseOpKey(key)
		a.interval = interval
		a.op = e.opFor(r, task, interval)
		if a.op == nil && isNotifyKey(key) {
			a.op = e.opFor(r, taskNotify, 0)
		}
		e.unpackOperation(a)
		r.actions = append(r.actions, a)
		if r.actionsByKey == nil {
			r.actionsByKey = map[string][]*action{}
		}
		r.actionsByKey[key] = append(r.actionsByKey[key], a)
	} else {
		a.need = needNothing
	}
	e.actions = append(e.actions, a)
	return a
}

func isNotifyKey(key string) bool {
	_, task, _, ok := parseOpKey(key)
	return ok && (strings.Contains(task, "pre_notify_") || strings.Contains(task, "post_notify_"))
}

func (e *engine) unpackOperation(a *action) {
	r := a.rsc
	a.meta = e.opMeta(r, a.node, a.task, a.interval, a.op)
	if v := a.meta.val("on-fail"); a.task == taskStop && (v == "standby" || v == "demote" || v == "stop") {
		a.meta.unset("on-fail") // makes no sense for a stop
	}
	a.need = needNothing
	if a.task == taskStart || a.task == taskPromote {
		switch {
		case r.needsFencing:
			a.need = needFencing
		case r.needsQuorum:
			a.need = needQuorum
		}
	}
}

// opMeta resolves the meta-attributes of an operation.
func (e *engine) opMeta(r *resource, n *node, task string, interval int64, op *cib.Element) table {
	var t table
	in := r.ruleInput()
	in.node = n
	in.opName, in.opInterval = task, interval
	if op != nil {
		for _, a := range op.Attrs {
			switch a.Name {
			case "id", "description", "can_fail", "can-fail", "role_after_failure", "role-after-failure":
			default:
				t.set(a.Name, a.Value)
			}
		}
		e.unpackSets(op, "meta_attributes", &in, false, "", &t)
	}
	e.unpackSets(e.opDefaults, "meta_attributes", &in, false, "", &t)
	if r.fenceDevice && (task == taskStart || (task == taskMonitor && interval == 0)) {
		if v, ok := e.params(r, n).get("pcmk_monitor_timeout"); ok {
			t.set("timeout", v)
		}
	}
	opTimeout := op != nil && op.Has("timeout")
	if task == taskMonitor && interval == 0 && !opTimeout {
		if op == nil || op.Child("meta_attributes") == nil {
			if v := e.probeTimeout(r); v != "" {
				t.set("timeout", v)
			}
		}
	}
	if interval > 0 {
		t.set("interval", strconv.FormatInt(interval, 10))
	} else {
		t.unset("interval")
	}
	timeout := int64(20000)
	if v, ok := t.get("timeout"); ok {
		if ms, ok := parseDuration(v); ok && ms > 0 {
			timeout = ms
		} else if ok {
			timeout = 0
		}
	}
	t.set("timeout", strconv.FormatInt(timeout, 10))
	if v, ok := t.get("interval-origin"); ok && interval > 0 {
		if origin, ok := ParseTime(v); ok {
			sec := interval / 1000
			delta := e.now.Unix() - origin.Unix()
			delay := int64(0)
			if sec > 0 {
				if delta < 0 {
					delay = -delta % sec
				} else if m := delta % sec; m > 0 {
					delay = sec - m
				}
			}
			t.set("start-delay", strconv.FormatInt(delay*1000, 10))
		}
	} else if v, ok := t.get("start-delay"); ok {
		ms := parseInterval(v)
		t.set("start-delay", strconv.FormatInt(ms, 10))
	}
	return t
}

// probeTimeout is the timeout of the enabled recurring monitor with the
// shortest interval.
func (e *engine) probeTimeout(r *resource) string {
	if r.ops == nil {
		return ""
	}
	best := int64(-1)
	v := ""
	for op := range r.ops.Named("op") {
		op = e.deref(op)
		if op.Get("name") != taskMonitor || !boolOr(op.Get("enabled"), true) {
			continue
		}
		i := parseInterval(op.Get("interval"))
		if i == 0 || (best >= 0 && i >= best) {
			continue
		}
		best = i
		v = op.Get("timeout")
		if v == "" {
			var t table
			e.unpackSets(op, "meta_attributes", &ruleInput{}, false, "", &t)
			v = t.val("timeout")
		}
	}
	return v
}

// checkRunnable decides whether an action can run where it is.
func (e *engine) checkRunnable(a *action, optional bool) {
	if a.is(fPseudo) {
		return
	}
	n := a.node
	switch {
	case n == nil:
		a.clear(fRunnable)
		return
	case !a.is(fOnDC) && !n.online && (!n.guest() || n.remoteReset):
		a.clear(fRunnable)
		if a.rsc.managed && a.task == taskStop && !n.unclean {
			e.fenceNode(n, "stop is unrunnable", false)
		}
		return
	case !a.is(fOnDC) && n.pending:
		a.clear(fRunnable)
		return
	case a.need == needNothing:
		a.reason = ""
		if n.guest() && !e.canFence(n) {
			a.clear(fRunnable)
		} else {
			a.set(fRunnable)
		}
		return
	}
	r := a.rsc
	policy := e.opt.noQuorum
	if e.quorate {
		policy = quorumIgnore
	} else if policy == quorumDemote {
		policy = quorumStop
		if r.role == rolePromoted || r.role == roleUnpromoted {
			if r.nextRole > roleUnpromoted {
				r.nextRole = roleUnpromoted
			}
			policy = quorumIgnore
		}
	}
	switch policy {
	case quorumStop:
		a.clear(fRunnable)
		a.reason = "no quorum"
	case quorumFreeze:
		if !r.active(true) || r.nextRole > r.role {
			a.clear(fRunnable)
			a.reason = "quorum freeze"
		}
	default:
		a.set(fRunnable)
	}
}

func (e *engine) stopAction(r *resource, n *node, optional bool) *action {
	return e.customAction(r, opKey(r.id, taskStop, 0), taskStop, n, optional)
}

func (e *engine) startAction(r *resource, n *node, optional bool) *action {
	return e.customAction(r, opKey(r.id, taskStart, 0), taskStart, n, optional)
}

func (e *engine) demoteAction(r *resource, n *node, optional bool) *action {
	return e.customAction(r, opKey(r.id, taskDemote, 0), taskDemote, n, optional)
}

func (e *engine) promoteAction(r *resource, n *node, optional bool) *action {
	return e.customAction(r, opKey(r.id, taskPromote, 0), taskPromote, n, optional)
}

// pseudoAction makes an action of a collective resource, without node.
func (e *engine) pseudoAction(r *resource, task string, optional, runnable bool) *action {
	a := e.customAction(r, opKey(r.id, task, 0), task, nil, optional)
	a.set(fPseudo)
	if runnable {
		a.set(fRunnable)
	}
	return a
}

// globalPseudo finds or makes a pseudo-action that belongs to no resource.
func (e *engine) globalPseudo(key string) *action {
	if a := e.singletons[key]; a != nil {
		return a
	}
	a := e.newAction(nil, key, key, nil, true)
	a.set(fPseudo | fRunnable)
	e.singletons[key] = a
	return a
}

// orderActions relates two actions. An ordering whose kinds share any flag
// with an existing one is not repeated.
func (e *engine) orderActions(first, then *action, flags orderFlag) bool {
	if flags == 0 || first == nil || then == nil || first == then {
		return false
	}
	// both lists hold the ordering: the shorter one tells soonest
	list, other := first.after, then
	if len(then.before) < len(list) {
		list, other = then.before, first
	}
	for _, rel := range list {
		if rel.act == other && rel.flags&flags != 0 {
			return false
		}
	}
	pair := e.relations.new()
	a, b := &pair[0], &pair[1]
	*a = relation{act: then, flags: flags, peer: b}
	*b = relation{act: first, flags: flags, peer: a}
	first.after = append(first.after, a)
	then.before = append(then.before, b)
	return true
}

// setReason sets the reason of an action; without overwrite the first stays.
func (a *action) setReason(reason string, overwrite bool) {
	if a.reason == "" || overwrite {
		a.reason = reason
	}
}
