package scheduler

import (
	"fmt"
	"slices"
	"strings"
)

// The status and the plan as text, in the format of Pacemaker's crm_simulate.

type textWriter struct {
	b     strings.Builder
	depth int
}

func (w *textWriter) item(format string, args ...any) {
	w.b.WriteString(strings.Repeat("  ", w.depth))
	w.b.WriteString("* ")
	fmt.Fprintf(&w.b, format, args...)
	w.b.WriteByte('\n')
}

func (w *textWriter) line(format string, args ...any) {
	fmt.Fprintf(&w.b, format, args...)
	w.b.WriteByte('\n')
}

// nodeStatus is the state of a node that does not just appear in a list.
func (e *engine) nodeStatus(n *node) (text string, single bool) {
	health := ""
	switch e.healthColour(n) {
	case "red":
		health = " (health is RED)"
	case "yellow":
		health = " (health is YELLOW)"
	}
	switch {
	case n.unclean && n.online:
		text = "UNCLEAN (online)"
	case n.pending && n.unclean:
		text = "UNCLEAN (pending)"
	case n.unclean:
		text = "UNCLEAN (offline)"
	case n.pending:
		text = "pending"
	case n.standbyFail && n.online:
		text = "standby (on-fail)"
	case n.standby && n.online:
		text = "standby"
		if slices.ContainsFunc(n.running, func(r *resource) bool { return !r.fenceDevice }) {
			text = "standby (with active resources)"
		}
	case n.standby:
		text = "OFFLINE (standby)"
	case n.maintenance && n.online:
		text = "maintenance"
	case n.maintenance:
		text = "OFFLINE (maintenance)"
	case n.online:
		return "online" + health, health != ""
	default:
		return "OFFLINE" + health, health != ""
	}
	return text + health, true
}

func (e *engine) healthColour(n *node) string {
	if e.opt.healthStrategy == "none" {
		return ""
	}
	worst := ""
	for _, v := range healthValues(n) {
		switch v := strings.ToLower(v); v {
		case "red":
			worst = "red"
		case "yellow":
			if worst == "" {
				worst = "yellow"
			}
		default:
			if s, ok := parseScore(v); ok && s < 0 {
				if s <= e.opt.healthRed && e.opt.healthRed < 0 {
					worst = "red"
				} else if worst == "" {
					worst = "yellow"
				}
			}
		}
	}
	return worst
}

// writeStatus writes node list and resources.
func (e *engine) writeStatus(w *textWriter) {
	w.depth = 1
	w.item("Node List:")
	w.depth = 2
	lists := map[string][]string{}
	order := []string{"Online", "OFFLINE", "RemoteOnline", "RemoteOFFLINE", "GuestOnline"}
	for _, n := range e.sorted {
		st, single := e.nodeStatus(n)
		if n.guest() && !n.online && !n.unclean && (!single || strings.HasPrefix(st, "OFFLINE") && !e.older.has(olderGuestList)) {
			continue
		}
		kind := "Node"
		prefix := ""
		switch {
		case n.guest():
			kind, prefix = "GuestNode", "Guest"
		case n.remote:
			kind, prefix = "RemoteNode", "Remote"
		}
		if single {
			w.item("%s %s: %s", kind, n.name, st)
			continue
		}
		key := prefix + "OFFLINE"
		if n.online {
			key = prefix + "Online"
		}
		lists[key] = append(lists[key], n.name)
	}
	for _, key := range order {
		if len(lists[key]) > 0 {
			w.item("%s: [ %s ]", key, strings.Join(lists[key], " "))
		}
	}
	w.line("")
	w.depth = 1
	w.item("Full List of Resources:")
	w.depth = 2
	any := false
	for _, r := range e.resources {
		if e.writeResource(w, r) {
			any = true
		}
	}
	if !any {
		w.item("No resources")
	}
	w.line("")
}

// countInstances counts leaf resources, and those disabled or blocked.
func (e *engine) countInstances() (total, disabled, blocked int) {
	var walk func(r *resource)
	walk = func(r *resource) {
		if len(r.children) > 0 {
			for _, c := range r.children {
				walk(c)
			}
			return
		}
		if !r.isPrimitive() || r.removed && r.role <= roleStopped {
			return
		}
		total++
		if v, ok := r.meta.get("target-role"); ok {
			if want, ok := parseRole(v); ok && (want == roleStopped || want == roleUnpromoted && r.top(false).promotable) {
				disabled++
			}
		}
		if r.blocked {
			blocked++
		}
	}
	for _, r := range e.resources {
		walk(r)
	}
	return total, disabled, blocked
}

func (e *engine) banner(w *textWriter) {
	total, disabled, blocked := e.countInstances()
	if disabled+blocked == 0 {
		return
	}
	w.line("%d of %d resource instances DISABLED and %d BLOCKED from further action due to failure", disabled, total, blocked)
	w.line("")
}

func agentText(r *resource) string {
	if r.provider != "" {
		return r.class + ":" + r.provider + ":" + r.typ
	}
	return r.class + ":" + r.typ
}

func (e *engine) writeResource(w *textWriter, r *resource) bool {
	if e.older.has(olderUnlisted) && (r.parent == nil || r.variant == vGroup) && r.active(false) && len(r.runningOn) == 0 {
		return false
	}
	switch r.variant {
	case vGroup:
		return e.writeGroup(w, r)
	case vClone:
		return e.writeClone(w, r)
	case vBundle:
		return e.writeBundle(w, r)
	}
	if r.parent == nil && r.removed && !r.active(true) || r.internal {
		return false
	}
	name := r.id
	if !r.unique {
		name = stripInstance(r.id)
		if r.historyID != "" {
			name = stripInstance(r.historyID)
		}
	}
	var at *node
	if n := e.currentNode(r); n != nil {
		at = n
	}
	w.item("%s", e.primitiveText(r, name, at))
	return true
}

func isActive(r *resource) bool { return r.role > roleStopped || len(r.runningOn) > 0 }

func (e *engine) primitiveText(r *resource, name string, at *node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\t(%s):\t", name, agentText(r))
	if r.removed {
		b.WriteString(" ORPHANED")
	}
	role := r.role
	if r.role == roleStarted && r.top(false).promotable {
		role = roleUnpromoted
	}
	if at == nil && r.lockNode != nil {
		at = r.lockNode
	}
	if at == nil && (!e.hidePending || e.older.has(olderPendingNode)) {
		at = r.pendingNode
	}
	if len(r.runningOn) > 1 {
		at = nil
	}
	switch {
	case r.failed:
		if role > roleUnpromoted {
			b.WriteString(" FAILED " + role.String())
		} else {
			b.WriteString(" FAILED")
		}
	default:
		text := e.roleText(r, role)
		b.WriteString(" " + text)
		if role <= roleStopped && r.probeResult != "" && len(r.runningOn) == 0 {
			b.WriteString(" (" + r.probeResult + ")")
		}
	}
	if at != nil {
		b.WriteString(" " + at.name)
	}
	var flags []string
	if at != nil && !at.online && at.unclean {
		flags = append(flags, "UNCLEAN")
	}
	if at != nil && at == r.lockNode {
		flags = append(flags, "LOCKED")
	}
	if v, ok := r.meta.get("target-role"); ok {
		if want, ok := parseRole(v); ok {
			if want == roleStopped {
				flags = append(flags, "disabled")
			} else if want == roleUnpromoted && r.top(false).promotable {
				flags = append(flags, "target-role:Unpromoted")
			}
		}
	}
	switch {
	case r.blocked:
		flags = append(flags, "blocked")
	case r.maintenance:
		flags = append(flags, "maintenance")
	case !r.managed:
		flags = append(flags, "unmanaged")
	}
	if r.failureIgnored {
		flags = append(flags, "failure ignored")
	}
	if len(flags) > 0 {
		b.WriteString(" (" + strings.Join(flags, ", ") + ")")
	}
	if len(r.runningOn) > 1 {
		b.WriteString(" [")
		for _, n := range r.runningOn {
			b.WriteString(" " + n.name)
		}
		b.WriteString(" ]")
	}
	return b.String()
}

// roleText is a role, or what is pending.
func (e *engine) roleText(r *resource, role role) string {
	if r.pendingTask != "" && !e.hidePending {
		switch r.pendingTask {
		case taskStart:
			return "Starting"
		case taskStop:
			return "Stopping"
		case taskMigrateTo, taskMigrateFrom:
			return "Migrating"
		case taskPromote:
			return "Promoting"
		case taskDemote:
			return "Demoting"
		}
	}
	if role == roleUnknown {
		return "Stopped"
	}
	return role.String()
}

func disabled(r *resource) bool {
	v, ok := r.meta.get("target-role")
	if !ok {
		return false
	}
	want, ok := parseRole(v)
	return ok && (want == roleStopped || want == roleUnpromoted && r.top(false).promotable)
}

// writeScores writes the assignment scores, and the utilization noted between
// them.
func (e *engine) writeScores(w *textWriter, withScores bool) {
	for _, s := range e.scores {
		if s.capacity != "" {
			w.line("%s", s.capacity)
			continue
		}
		if !withScores {
			continue
		}
		if s.promotion {
			at := "(inactive)"
			if s.node != "" {
				at = "on " + s.node
			}
			if s.node == "" {
				w.line("%s promotion score %s: %s", s.rsc, "(inactive)", scoreText(s.score))
			} else {
				w.line("%s promotion score %s: %s", s.rsc, at, scoreText(s.score))
			}
			continue
		}
		w.line("%s: %s allocation score on %s: %s", s.label, s.rsc, s.node, scoreText(s.score))
	}
}
