package scheduler

import (
	"slices"
	"strings"
	"time"
)

// Attributes and fail counts of nodes, in the format of crm_simulate -A and -c.

// writeAttributes lists the attributes of nodes that are online, without those
// the cluster keeps for itself.
func (e *engine) writeAttributes(w *textWriter) {
	var nodes []*node
	for _, n := range e.sorted {
		if n.online && len(shownAttributes(n)) > 0 {
			nodes = append(nodes, n)
		}
	}
	if len(nodes) == 0 {
		return
	}
	w.depth = 1
	w.item("Node Attributes:")
	for _, n := range nodes {
		w.depth = 2
		w.item("Node: %s:", n.name)
		w.depth = 3
		for _, name := range shownAttributes(n) {
			w.item("%-32s\t: %-10s", name, n.attrs[name])
		}
	}
	w.line("")
}

// shownAttributes are the names of a node's attributes that say something to
// people.
func shownAttributes(n *node) []string {
	var names []string
	for name := range n.attrs {
		switch {
		case strings.HasPrefix(name, "#"), strings.HasPrefix(name, "fail-count-"), strings.HasPrefix(name, "last-failure-"):
		case name == "shutdown", name == "terminate", name == "standby", name == "probe_complete", name == "maintenance":
		default:
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// writeFailCounts lists which resources failed how often on which nodes.
func (e *engine) writeFailCounts(w *textWriter) {
	began := false
	for _, n := range e.sorted {
		if !n.online || n.failCounts == nil {
			continue
		}
		named := false
		for _, r := range e.resources {
			r.eachLeaf(func(l *resource) {
				count, last := e.failCount(l, n, nil, true, false)
				if count == 0 {
					return
				}
				if !began {
					w.depth, began = 1, true
					w.item("Migration Summary:")
				}
				if !named {
					w.depth, named = 2, true
					w.item("Node: %s:", n.name)
				}
				w.depth = 3
				text := plainName(l) + ": migration-threshold=" + itoa(l.migrationThreshold) + " fail-count=" + itoa(count)
				if count >= infinity {
					text = plainName(l) + ": migration-threshold=" + itoa(l.migrationThreshold) + " fail-count=INFINITY"
				}
				if last > 0 {
					text += " last-failure='" + time.Unix(last, 0).UTC().Format("Mon Jan _2 15:04:05 2006") + "'"
				}
				w.item("%s", text)
			})
		}
	}
	if began {
		w.line("")
	}
}
