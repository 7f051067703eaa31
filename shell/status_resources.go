package shell

import (
	"fmt"
	"slices"
	"strings"
)

// The list of resources in a status: primitives one a line, containers with
// what is inside, clones by node where nothing more is to be said.

func (w *statusWriter) resources() {
	title, none := "Active Resources:", "No active resources"
	switch {
	case w.o.byNode && w.o.inactive:
		title, none = "Inactive Resources:", "No inactive resources"
	case w.o.byNode:
		return
	case w.o.inactive:
		title, none = "Full List of Resources:", "No resources"
	}
	w.heading(title)
	before := w.b.Len()
	if w.o.brief {
		w.briefList()
	}
	for i := range w.v.Resources {
		r := &w.v.Resources[i]
		if w.o.brief && r.Kind == "primitive" || w.o.byNode && r.Active {
			continue
		}
		w.resource(1, r)
	}
	if w.b.Len() == before {
		w.item(1, "%s", none)
	}
}

// briefList counts primitives by agent.
func (w *statusWriter) briefList() {
	type tally struct {
		total, active int
		nodes         []string
	}
	byAgent := map[string]*tally{}
	for i := range w.v.Resources {
		r := &w.v.Resources[i]
		if r.Kind != "primitive" {
			continue
		}
		t := byAgent[r.Agent]
		if t == nil {
			t = &tally{}
			byAgent[r.Agent] = t
		}
		t.total++
		if r.Active {
			t.active++
			for _, n := range r.Nodes {
				if !slices.Contains(t.nodes, n) {
					t.nodes = append(t.nodes, n)
				}
			}
		}
	}
	for _, agent := range sortedKeys(byAgent) {
		t := byAgent[agent]
		switch where := strings.Join(sortedNames(t.nodes), " "); {
		case w.o.inactive && t.active == 0:
			w.item(1, "0/%d\t(%s):\tActive", t.total, agent)
		case w.o.inactive:
			w.item(1, "%d/%d\t(%s):\tActive %s", t.active, t.total, agent, where)
		case t.active > 0:
			w.item(1, "%d\t(%s):\tActive %s", t.active, agent, where)
		}
	}
}

// shown reports whether a resource is listed.
func (w *statusWriter) shown(r *resourceView) bool {
	any := r.Failed || r.Active
	r.eachInstance(func(m *resourceView) { any = any || m.Active || m.Failed && !m.Orphan })
	if r.Orphan {
		return any // what was removed and is stopped is history
	}
	return any || w.o.inactive
}

func (w *statusWriter) resource(level int, r *resourceView) {
	if r.Kind != "bundle" && !w.shown(r) {
		return
	}
	switch r.Kind {
	case "group":
		w.group(level, r)
	case "clone":
		w.clone(level, r)
	case "bundle":
		w.bundle(level, r)
	default:
		w.item(level, "%s", w.primitive(r))
	}
}

// primitive is the line of one instance.
func (w *statusWriter) primitive(r *resourceView) string {
	var state strings.Builder
	if r.Orphan {
		state.WriteString(" ORPHANED")
	}
	role := r.Role
	switch {
	case r.Failed && (role == "Promoted" || role == "Master"):
		state.WriteString(" FAILED " + role)
	case r.Failed:
		state.WriteString(" FAILED")
	case pendingRole(r.Pending) != "":
		state.WriteString(" " + pendingRole(r.Pending))
	case role == "":
		state.WriteString(" Stopped")
	default:
		state.WriteString(" " + role)
	}
	switch {
	case len(r.Nodes) == 1:
		state.WriteString(" " + r.Nodes[0])
	case len(r.Nodes) > 1: // at the end
	case r.Locked != "":
		state.WriteString(" " + r.Locked)
	case r.pendingOn != "" && pendingRole(r.Pending) != "":
		state.WriteString(" " + r.pendingOn)
	}
	if r.ProbeResult != "" {
		state.WriteString(" (" + r.ProbeResult + ") ")
	}
	if f := resourceFlags(r); len(f) > 0 {
		state.WriteString(" (" + strings.Join(f, ", ") + ")")
	}
	if len(r.Nodes) > 1 {
		state.WriteString(" [ " + strings.Join(r.Nodes, " ") + " ]")
	}
	return fmt.Sprintf("%s\t(%s):\t%s", r.ID, r.Agent, w.paintState(r, state.String()))
}

// pendingRole is what a pending operation makes of the role; monitors show as
// a flag instead.
func pendingRole(p string) string {
	if p == "Monitoring" {
		return ""
	}
	return p
}

func resourceFlags(r *resourceView) []string {
	var f []string
	if r.Unclean {
		f = append(f, "UNCLEAN")
	}
	if r.Locked != "" {
		f = append(f, "LOCKED")
	}
	if r.Pending == "Monitoring" {
		f = append(f, r.Pending)
	}
	switch {
	case r.TargetRole == "Stopped":
		f = append(f, "disabled")
	case r.Disabled && r.TargetRole != "":
		f = append(f, "target-role:"+r.TargetRole)
	}
	switch {
	case r.Blocked:
		f = append(f, "blocked")
	case r.Maintenance:
		f = append(f, "maintenance")
	case !r.Managed:
		f = append(f, "unmanaged")
	}
	if r.FailureIgnored {
		f = append(f, "failure ignored")
	}
	return f
}

func (w *statusWriter) paintState(r *resourceView, s string) string {
	switch {
	case r.Failed || r.Blocked || r.Orphan:
		return w.color.bad(s)
	case r.Active && r.Managed && r.Pending == "":
		return w.color.good(s)
	case !r.Active && r.TargetRole != "Stopped":
		return w.color.warn(s)
	}
	return s
}

func containerFlags(r *resourceView, first ...string) string {
	f := first
	if r.Unique && r.Kind != "group" {
		f = append(f, "unique")
	}
	if r.Disabled {
		f = append(f, "disabled")
	}
	if r.Maintenance {
		f = append(f, "maintenance")
	} else if !r.Managed {
		f = append(f, "unmanaged")
	}
	if len(f) == 0 {
		return ""
	}
	return " (" + strings.Join(f, ", ") + ")"
}

func (w *statusWriter) group(level int, r *resourceView) {
	var notes []string
	hidden := 0
	for i := range r.Members {
		if !w.shown(&r.Members[i]) {
			hidden++
		}
	}
	if hidden > 0 {
		notes = append(notes, count(hidden, "member")+" inactive")
	}
	w.item(level, "Resource Group: %s%s:", r.ID, containerFlags(r, notes...))
	for i := range r.Members {
		w.resource(level+1, &r.Members[i])
	}
}

// regular reports whether an instance of a clone can be shown by its node
// alone, and on which node and in which role it runs ("" for stopped).
func regular(r *resourceView) (node, role string, ok bool) {
	var nodes []string
	active, total := 0, 0
	ok = true
	r.eachInstance(func(m *resourceView) {
		total++
		if m.Failed || !m.Managed || m.Maintenance || m.Pending != "" || m.Orphan || m.Unclean || len(m.Nodes) > 1 || m.FailureIgnored {
			ok = false
		}
		if m.Active {
			active++
			nodes = append(nodes, m.Nodes...)
			if role == "" || role == "Started" {
				role = m.Role
			}
		}
	})
	slices.Sort(nodes)
	nodes = slices.Compact(nodes)
	switch {
	case !ok:
		return "", "", false
	case active == 0:
		return "", "", true
	case active < total || len(nodes) != 1:
		return "", "", false
	}
	return nodes[0], role, true
}

func (w *statusWriter) clone(level int, r *resourceView) {
	var flags []string
	if r.Promotable {
		flags = append(flags, "promotable")
	}
	w.item(level, "Clone Set: %s [%s]%s:", r.ID, r.Child, containerFlags(r, flags...))
	byRole := map[string][]string{}
	for i := range r.Members {
		m := &r.Members[i]
		node, role, ok := regular(m)
		switch {
		case r.Unique || w.o.detail || !ok:
			if m.Active || w.o.inactive || !ok && !m.Orphan || m.Failed {
				w.resource(level+1, m)
			}
		case node == "": // counted below, by node
		case r.Promotable && (role == "Promoted" || role == "Master"):
			byRole["Promoted"] = append(byRole["Promoted"], node)
		case r.Promotable:
			byRole["Unpromoted"] = append(byRole["Unpromoted"], node)
		default:
			byRole["Started"] = append(byRole["Started"], node)
		}
	}
	for _, role := range []string{"Promoted", "Unpromoted", "Started"} {
		names := byRole[role]
		if len(names) == 0 {
			continue
		}
		label := role
		if role == "Unpromoted" && r.TargetRole == "Unpromoted" {
			label += " (target-role)"
		}
		w.item(level+1, "%s: [ %s ]", label, w.color.good(strings.Join(sortedNames(names), " ")))
	}
	if !w.o.inactive || w.o.detail {
		return
	}
	states := map[string][]string{}
	for _, n := range r.Idle {
		label := "Stopped"
		if n.Why != "" {
			label += " (" + n.Why + ")"
		}
		states[label] = append(states[label], n.Node)
	}
	for _, label := range sortedKeys(states) {
		w.item(level+1, "%s: [ %s ]", label, w.color.warn(strings.Join(sortedNames(states[label]), " ")))
	}
}

func (w *statusWriter) bundle(level int, r *resourceView) {
	what := "Container bundle set"
	if len(r.Members) == 1 {
		what = "Container bundle"
	}
	w.item(level, "%s: %s [%s]%s:", what, r.ID, r.Image, containerFlags(r))
	for i := range r.Members {
		m := r.Members[i]
		if m.Address != "" {
			m.ID += " (" + m.Address + ")"
		}
		w.item(level+1, "%s", w.primitive(&m))
	}
}
