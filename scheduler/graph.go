package scheduler

import (
	"cmp"
	"slices"
	"strings"
)

// Phase 13: the transition graph. Before: all flags are final. After:
// engine.synapses lists the actions to execute, in graph order, each with its
// inputs.

func (e *engine) buildGraph() {
	for _, r := range e.resources {
		e.graphResource(r)
	}
	e.maintenanceUpdate()
	for i := len(e.actions) - 1; i >= 0; i-- {
		e.graphAction(e.actions[i])
	}
}

func (e *engine) graphResource(r *resource) {
	switch r.variant {
	case vClone:
		// the pseudo-actions take over what became of the instances
		for i := len(r.actions) - 1; i >= 0; i-- {
			e.actionFlags(r.actions[i], nil)
		}
		e.cloneNotifications(r)
		for _, c := range r.children {
			e.graphResource(c)
		}
		e.graphOwn(r)
	case vBundle:
		e.graphBundle(r)
	default:
		e.graphOwn(r)
		for _, c := range r.children {
			e.graphResource(c)
		}
	}
}

func (e *engine) graphOwn(r *resource) {
	for i := len(r.actions) - 1; i >= 0; i-- {
		e.graphAction(r.actions[i])
	}
}

// maintenanceUpdate tells remote nodes of changes of their maintenance mode.
func (e *engine) maintenanceUpdate() {
	if !e.haveRemote && !e.haveGuests {
		return
	}
	var list []*node
	for _, n := range e.sorted {
		if n.remote && n.maintenance != n.remoteMaintenance {
			list = append(list, n)
		}
	}
	if len(list) == 0 {
		return
	}
	a := e.globalPseudo(taskMaintenance)
	a.clear(fOptional)
	e.maintained = list
}

func (e *engine) graphAction(a *action) {
	if !a.is(fDeduped) {
		e.mergeInputs(a)
		a.set(fDeduped)
	}
	if a.is(fDumped) || !e.inGraph(a) {
		return
	}
	a.set(fDumped)
	a.synapse = len(e.synapses)
	e.synapses = append(e.synapses, a)
	for _, rel := range a.before {
		if e.inputInGraph(a, rel) {
			a.graphInputs = append(a.graphInputs, rel.act)
		}
	}
}

// mergeInputs sorts what is before an action and joins several orderings with
// the same action.
func (e *engine) mergeInputs(a *action) {
	if len(a.before) < 2 {
		return
	}
	list := slices.Clone(a.before)
	slices.SortStableFunc(list, func(x, y *relation) int { return cmp.Compare(x.act.id, y.act.id) })
	out := list[:0]
	for _, rel := range list {
		if n := len(out); n > 0 && out[n-1].act == rel.act {
			out[n-1].flags |= rel.flags
			continue
		}
		out = append(out, rel)
	}
	a.before = out
}

func (e *engine) inGraph(a *action) bool {
	if !a.runnable() || a.optional() && !a.is(fPrintAlways) {
		return false
	}
	if a.rsc != nil && !a.rsc.managed && a.task != taskMonitor {
		if iv := a.meta.val("interval"); iv == "" || iv == "0" {
			return false
		}
	}
	if a.is(fPseudo) || a.task == taskStonith || a.task == taskShutdown {
		return true
	}
	n := a.node
	switch {
	case n == nil:
		return false
	case a.is(fOnDC):
		return true
	case n.guest() && !n.remoteReset:
		return true
	}
	return n.online && !n.unclean
}

func (e *engine) inputInGraph(a *action, rel *relation) bool {
	in, flags := rel.act, rel.flags
	if flags == 0 {
		return false
	}
	if !in.runnable() && flags&^(oOrdered|oThenImpliesFirstGraphed|oFirstImpliesThenGraphed) == 0 {
		return false
	}
	if !in.runnable() && flags&(oMinRunnable|oUnmigratableThenBlocks) != 0 {
		return false
	}
	if flags&oIfFirstUnmigratable != 0 && in.is(fMigratable) {
		return false
	}
	if flags == oOrdered && in.is(fMigratable) && strings.HasSuffix(in.key, "_stop_0") {
		return false
	}
	switch {
	case flags == oIfOnSameNodeOrTarget:
		at := a.node
		if a.rsc != nil && a.task == taskMigrateTo {
			at = a.rsc.assigned
		}
		if in.node != at || in.optional() {
			rel.flags = 0
			return false
		}
	case flags == oIfRequiredOnSameNode:
		if in.node != nil && a.node != nil && in.node != a.node || in.optional() {
			rel.flags = 0
			return false
		}
	case in.rsc != nil && in.rsc != a.rsc && in.rsc.failed && !in.rsc.managed && strings.HasSuffix(in.key, "_stop_0") &&
		a.rsc != nil && a.rsc.collective():
		return false
	case in.optional() && !in.is(fPrintAlways) && !in.is(fDumped) && !e.inGraph(in):
		return false
	}
	return true
}
