package scheduler

import (
	"fmt"
	"slices"
	"strings"
)

// Groups, clones and bundles in the status as text.

func (e *engine) writeGroup(w *textWriter, r *resource) bool {
	if r.removed && !r.active(false) {
		return false
	}
	var flags []string
	if disabled(r) {
		flags = append(flags, "disabled")
	}
	if r.maintenance {
		flags = append(flags, "maintenance")
	} else if !r.managed {
		flags = append(flags, "unmanaged")
	}
	text := "Resource Group: " + r.id
	if len(flags) > 0 {
		text += " (" + strings.Join(flags, ", ") + ")"
	}
	w.item("%s:", text)
	w.depth++
	for _, c := range r.children {
		e.writeResource(w, c)
	}
	w.depth--
	return true
}

func (e *engine) writeClone(w *textWriter, r *resource) bool {
	var flags []string
	if r.promotable {
		flags = append(flags, "promotable")
	}
	if r.unique {
		flags = append(flags, "unique")
	}
	if disabled(r) {
		flags = append(flags, "disabled")
	}
	if r.maintenance {
		flags = append(flags, "maintenance")
	} else if !r.managed {
		flags = append(flags, "unmanaged")
	}
	text := fmt.Sprintf("Clone Set: %s [%s]", r.id, r.clone.childName)
	if len(flags) > 0 {
		text += " (" + strings.Join(flags, ", ") + ")"
	}
	w.item("%s:", text)
	w.depth++
	e.writeInstances(w, r)
	w.depth--
	return true
}

// writeInstances writes what can be said of a clone's instances: lists of
// nodes where that is all there is to say.
func (e *engine) writeInstances(w *textWriter, r *resource) {
	var promoted, started []*node
	for _, inst := range r.children {
		whole := false
		partial := inst.active(false)
		switch {
		case r.unique:
			whole = partial || !inst.removed
		case !e.hidePending && anyPendingTask(inst):
			whole = true
		case !partial:
		case inst.removed || anyUnmanaged(inst) || anyFailed(inst):
			whole = true
		case inst.active(true):
			n := e.locationOf(inst, true)
			switch {
			case n == nil, !n.online && n.unclean:
				whole = true
			case stateOf(inst, true) == rolePromoted:
				promoted = append(promoted, n)
			default:
				started = append(started, n)
			}
		default:
			whole = true
		}
		if whole {
			e.writeResource(w, inst)
		}
	}
	byName := func(list []*node) string {
		slices.SortFunc(list, func(a, b *node) int { return a.rank - b.rank })
		var names []string
		for _, n := range list {
			names = append(names, n.name)
		}
		return strings.Join(names, " ")
	}
	if len(promoted) > 0 {
		w.item("Promoted: [ %s ]", byName(promoted))
	}
	if len(started) > 0 {
		label := "Started"
		if r.promotable {
			label = "Unpromoted"
			if v, ok := r.meta.get("target-role"); ok {
				if want, _ := parseRole(v); want == roleUnpromoted {
					label = "Unpromoted (target-role)"
				}
			}
		}
		w.item("%s: [ %s ]", label, byName(started))
	}
	if r.unique {
		return
	}
	if len(promoted)+len(started) < r.clone.max {
		e.stoppedInstances(w, r)
	}
}

// stoppedInstances lists the nodes without an active instance, by why.
func (e *engine) stoppedInstances(w *textWriter, r *resource) {
	byState := map[string][]string{}
	var order []string
	var nodes []*node
	any := false
	for i := range r.allowed {
		if r.allowed[i].in {
			any = true
			nodes = append(nodes, e.nodes[i])
		}
	}
	if !any {
		for i, k := range r.known {
			if k {
				nodes = append(nodes, e.nodes[i])
			}
		}
	}
	slices.SortFunc(nodes, func(a, b *node) int { return a.rank - b.rank })
	for _, n := range nodes {
		if r.runsOn(n) || !e.older.has(olderUnlisted) && occupied(r, n) {
			continue
		}
		state := "Stopped"
		if disabled(r) || len(r.children) > 0 && disabled(r.children[0]) {
			state = "Stopped (disabled)"
		}
		if reason := e.probeReason(r, n); reason != "" {
			state = "Stopped (" + reason + ")"
		}
		if _, ok := byState[state]; !ok {
			order = append(order, state)
		}
		byState[state] = append(byState[state], n.name)
	}
	slices.Sort(order)
	for _, s := range order {
		w.item("%s: [ %s ]", s, strings.Join(byState[s], " "))
	}
}

// probeReason says why a probe of r on n could not even run.
func (e *engine) probeReason(r *resource, n *node) string {
	for _, f := range e.failedOps {
		if f.Node != n.name || f.Task != taskMonitor || f.Interval != 0 {
			continue
		}
		x := e.rscByID[f.Resource]
		if x == nil || !r.isAncestor(x) {
			continue
		}
		switch f.ExitCode {
		case rcNotInstalled:
			return "Not installed"
		case rcInvalidParam:
			return "Invalid parameter"
		}
		if f.Status == execNotInstalled {
			return "Not installed"
		}
	}
	return ""
}

// occupied reports that something of a clone is on a node, in whatever state.
func occupied(r *resource, n *node) bool {
	on := r.runsOn(n)
	r.eachLeaf(func(l *resource) { on = on || l.runsOn(n) })
	return on
}

func anyPendingTask(r *resource) bool {
	any := false
	r.eachLeaf(func(l *resource) { any = any || l.pendingTask != "" })
	return any
}

func anyUnmanaged(r *resource) bool {
	any := false
	r.eachLeaf(func(l *resource) { any = any || !l.managed })
	return any
}

func anyFailed(r *resource) bool {
	any := false
	r.eachLeaf(func(l *resource) { any = any || l.failed })
	return any
}

func (e *engine) writeBundle(w *textWriter, r *resource) bool {
	d := r.bundle
	text := "Container bundle"
	if len(d.replicas) > 1 {
		text += " set"
	}
	text += ": " + r.id + " [" + d.image + "]"
	if r.unique {
		text += " (unique)"
	}
	if r.maintenance {
		text += " (maintenance)"
	} else if !r.managed {
		text += " (unmanaged)"
	}
	w.item("%s:", text)
	w.depth++
	for _, rep := range d.replicas {
		show := rep.child
		if show == nil {
			show = rep.container
		}
		name := rep.container.id
		if rep.connection != nil {
			name = rep.connection.id
		}
		if rep.address != "" {
			name += " (" + rep.address + ")"
		}
		var at *node
		if n := e.currentNode(rep.container); n != nil {
			at = n
		}
		w.item("%s", e.primitiveText(show, name, at))
	}
	w.depth--
	return true
}
