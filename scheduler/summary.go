package scheduler

import "fmt"

// What a transition does, in one line per resource: verbs, places, reasons.

type summaryLine struct {
	decision *Decision
	node     string // a line about a node
	text     string
}

// summarize lists what happens to nodes, then to resources.
func (e *engine) summarize() []summaryLine {
	var out []summaryLine
	for i := len(e.actions) - 1; i >= 0; i-- {
		a := e.actions[i]
		if a.node == nil || a.optional() || a.task != taskStonith || !a.runnable() {
			continue
		}
		op := a.meta.val("stonith_action")
		name := a.node.name
		if a.node.guest() {
			name += " (resource: " + a.node.connection.launcher.id + ")"
		}
		text := fmt.Sprintf("Fence (%s) %s", op, name)
		if a.reason != "" {
			text += " '" + a.reason + "'"
		}
		out = append(out, summaryLine{node: a.node.name, text: text})
	}
	var walk func(r *resource)
	walk = func(r *resource) {
		switch r.variant {
		case vPrimitive:
			e.summarizeResource(r, &out)
		case vBundle:
			for _, rep := range r.bundle.replicas {
				for _, x := range []*resource{rep.ip, rep.container, rep.connection, rep.child} {
					if x != nil {
						walk(x)
					}
				}
			}
		default:
			for _, c := range r.children {
				walk(c)
			}
		}
	}
	for _, r := range e.resources {
		walk(r)
	}
	return out
}

func (e *engine) summarizeResource(r *resource, out *[]summaryLine) {
	current := e.currentNode(r)
	next := r.assigned
	key := func(task string, n *node) *action {
		id := opKey(r.id, task, 0)
		if a := firstAction(r, id, "", n); a != nil {
			return a
		}
		// one without a node, that only an order asks for, counts too
		if a := firstAction(r, id, "", nil); a != nil && a.node == nil {
			return a
		}
		return nil
	}
	add := func(verb string, from, to *node, source, reason *action) {
		*out = append(*out, e.verbText(r, verb, from, to, source, reason))
	}
	if current == nil && next == nil {
		return
	}
	if r.dangling != nil && current == nil {
		current = r.dangling[0]
	}
	if !r.managed || current == nil && next == nil {
		return
	}
	start, stop := key(taskStart, next), key(taskStop, current)
	if start != nil && start.task == taskStart && next == nil {
		start = key(taskStart, nil)
	}
	if r.stopUnexpected {
		// it does not stop where it is expected, but elsewhere
		stop = key(taskStop, nil)
	}
	promote, demote := key(taskPromote, next), key(taskDemote, next)
	if next == nil {
		promote = nil
	}
	if r.role == r.nextRole {
		var migrate *action
		if next != nil {
			migrate = key(taskMigrateFrom, next)
		}
		switch {
		case !r.managed || (current == nil && next == nil):
			return
		case migrate != nil && next != nil && migrate.runnable() && migrate.is(fRunnable) && migrate.required():
			add("Migrate", current, next, start, nil)
		case r.reloadWanted:
			add("Reload", current, next, start, nil)
		case start == nil || start.optional():
			if demote != nil && demote.required() && promote != nil && promote.required() {
				add("Re-promote", current, next, promote, demote)
			}
		case !start.runnable():
			if stop == nil || stop.reason == "" {
				add("Stop", current, nil, stop, start)
			} else {
				add("Stop", current, nil, stop, stop)
			}
		case current != next && current != nil:
			if r.failed {
				add("Recover", current, next, stop, nil)
			} else {
				add("Move", current, next, stop, nil)
			}
		case r.failed:
			add("Recover", current, nil, stop, nil)
		default:
			if start != nil && start.required() {
				add("Restart", current, nil, start, start)
			}
		}
		return
	}
	if stop != nil && (r.nextRole == roleStopped || (start != nil && !start.runnable())) {
		for _, n := range r.runningOn {
			s := key(taskStop, n)
			if s == nil {
				continue
			}
			reason := s
			if s.reason == "" {
				reason = start
			}
			add("Stop", n, nil, s, reason)
		}
	} else if r.failed && r.needsStop && stop != nil {
		add("Recover", current, next, stop, nil)
	} else if next != nil && current != nil && next != current && stop != nil {
		add("Move", current, next, stop, nil)
	} else if r.reloadWanted {
		add("Reload", current, next, start, nil)
	} else if stop != nil && stop.required() {
		add("Restart", current, next, start, start)
	} else if r.role == rolePromoted {
		add("Demote", current, next, demote, demote)
	} else if r.nextRole == rolePromoted {
		add("Promote", current, next, promote, promote)
	} else if r.role == roleStopped && r.nextRole > roleStopped {
		add("Start", current, next, start, start)
	}
}

// verbText renders a line of the transition summary.
func (e *engine) verbText(r *resource, verb string, from, to *node, source, reason *action) summaryLine {
	d := &Decision{Resource: r.id, Verb: verb, FromRole: r.role.String(), ToRole: r.nextRole.String(), Unmanaged: !r.managed}
	sameHost, sameRole := false, false
	showRole := true
	if from != nil && to != nil && from == to {
		sameHost = true
	}
	if from != nil {
		d.From = from.name
	}
	if to != nil {
		d.To = to.name
	}
	if r.role == r.nextRole {
		sameRole = true
	}
	// roles matter only where something is (or will be) promotable
	if r.role <= roleStarted && r.nextRole <= roleStarted || sameRole && r.role < roleUnpromoted {
		showRole = false
	}
	if r.role <= roleStarted && r.nextRole <= roleUnpromoted {
		showRole = false
	}
	var details string
	if to == nil {
		sameHost = true
	}
	src := from
	if from == nil {
		src = to
	}
	name := func(n *node) string {
		if n == nil {
			return ""
		}
		return n.name
	}
	fr, tr := displayRole(r, r.role), displayRole(r, r.nextRole)
	switch {
	case verb == "Start" || from == nil:
		if showRole {
			details = fmt.Sprintf("%s -> %s %s", fr, tr, name(to))
		} else {
			details = name(to)
		}
	case (verb == "Stop" || verb == "Restart" || verb == "Recover" || verb == "Reload") && (to == nil || sameHost) && (verb == "Stop" || sameRole):
		if showRole {
			details = fr + " " + name(src)
		} else {
			details = name(src)
		}
	case showRole && sameHost && sameRole:
		details = fr + " " + name(src)
	case showRole && sameHost:
		details = fmt.Sprintf("%s -> %s %s", fr, tr, name(src))
	case showRole && sameRole:
		details = fmt.Sprintf("%s -> %s %s", name(from), name(to), fr)
	case showRole:
		details = fmt.Sprintf("%s %s -> %s %s", fr, name(from), tr, name(to))
	case sameHost:
		details = name(src)
	default:
		details = fmt.Sprintf("%s -> %s", name(from), name(to))
	}
	text := fmt.Sprintf("%s %s ( %s )", verb, r.id, details)
	if reason == nil {
		reason = source
	}
	blocked := source != nil && !source.runnable()
	if reason != nil && reason.reason != "" {
		d.Reason = reason.reason
		text += " due to " + reason.reason
		if blocked {
			text += " (blocked)"
		}
	} else if blocked {
		text += " blocked"
	}
	d.Blocked = blocked
	return summaryLine{decision: d, text: text}
}

func displayRole(r *resource, role role) string {
	if role == roleStarted && r.top(false).promotable {
		return "Unpromoted"
	}
	return role.String()
}
