package scheduler

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"gcrm/cib"
)

// Transitions that leave work to the next one, and why.

// settled is the outcome of a transition with what the simulated cluster only
// notes: fail counts are cleared, entries of the history deleted, monitors
// cancelled, nodes that shut down are gone, unfenced ones marked.
func settled(s *Simulated) *cib.CIB {
	doc := s.After.Clone()
	states := map[string]*cib.Element{}
	for _, st := range all(doc.Status(), "node_state") {
		states[st.Get("uname")] = st
	}
	for _, a := range s.Executed {
		st := states[a.Node]
		if st == nil {
			continue
		}
		rsc := strings.TrimSuffix(a.Key, "_"+a.Task+"_0")
		switch a.Task {
		case taskClearFailcount:
			forgetFailures(st, rsc)
		case taskLrmDelete, taskDelete:
			for _, list := range all(st, "lrm_resources") {
				list.Children = slices.DeleteFunc(list.Children, func(l *cib.Element) bool { return isHistoryOf(l.ID(), rsc) })
			}
		case taskCancel:
			for _, l := range all(st, "lrm_resource") {
				l.Children = slices.DeleteFunc(l.Children, func(op *cib.Element) bool {
					return op.Get("operation_key") == a.Key || op.Get("operation") == taskCancel
				})
			}
		case taskShutdown:
			st.Set("in_ccm", "false")
			st.Set("crmd", "offline")
			st.Set("join", "down")
			st.Set("expected", "down")
			st.Children = slices.DeleteFunc(st.Children, func(c *cib.Element) bool { return c.Name == "transient_attributes" })
		case taskStonith:
			if !strings.HasSuffix(a.Key, "-on") {
				continue
			}
			set := func(name, value string) {
				attrs := st.Ensure("transient_attributes").Ensure("instance_attributes")
				attrs.Children = slices.DeleteFunc(attrs.Children, func(p *cib.Element) bool { return p.Get("name") == name })
				attrs.Add(cib.NewElement("nvpair", "id", st.ID()+"-"+name, "name", name, "value", value))
			}
			set("#node-unfenced", seconds(0))
			for _, m := range a.Meta {
				switch m.Name {
				case "digests-all", "digests_all":
					set("#digests-all", m.Value)
				case "digests-secure", "digests_secure":
					set("#digests-secure", m.Value)
				}
			}
		}
	}
	return doc
}

// isHistoryOf tells whether a name of the history, which may have the number of
// an instance, is that of a resource.
func isHistoryOf(name, rsc string) bool {
	return name == rsc || name == stripInstance(rsc)
}

// forgetFailures clears the fail counts of a resource on a node, with the
// entries of its failures.
func forgetFailures(st *cib.Element, rsc string) {
	for _, set := range all(st, "instance_attributes") {
		set.Children = slices.DeleteFunc(set.Children, func(p *cib.Element) bool {
			for _, prefix := range []string{"fail-count-", "last-failure-"} {
				if name, ok := strings.CutPrefix(p.Get("name"), prefix); ok {
					name, _, _ = strings.Cut(name, "#")
					return isHistoryOf(name, rsc) || stripInstance(name) == rsc
				}
			}
			return false
		})
	}
	for _, l := range all(st, "lrm_resource") {
		if isHistoryOf(l.ID(), rsc) {
			l.Children = slices.DeleteFunc(l.Children, func(op *cib.Element) bool { return strings.HasSuffix(op.ID(), "_last_failure_0") })
		}
	}
}

// whyUnsettled says why an outcome leaves work to the next transition.
func whyUnsettled(t *testing.T, c *cib.CIB, s *Simulated) string {
	again := simulatedOnce(t, settled(s))
	left := realActions(again.Executed)
	executed := func(s *Simulated, tasks ...string) bool {
		return slices.ContainsFunc(s.Executed, func(a *Action) bool { return slices.Contains(tasks, a.Task) && a.Kind != Pseudo })
	}
	switch {
	case len(left) == 0:
		return "the simulated cluster only notes what was done: fail counts, entries and nodes stay as they are"
	case executed(s, taskLrmDelete) || executed(again, taskLrmDelete):
		return "a shutdown lock ends where the resource runs, and its entry is deleted"
	case !slices.ContainsFunc(left, func(task string) bool { return task != taskDelete && task != taskCancel && task != taskClearFailcount }):
		return "entries of what is no longer configured are deleted once it has stopped"
	}
	if third := simulatedOnce(t, settled(again)); slices.Equal(left, realActions(third.Executed)) {
		return "an entry that simulated actions do not replace calls for the same again and again"
	}
	if onlyMonitors(left) {
		return "monitors of stopped resources begin where it has come to light that they are stopped"
	}
	// without tells whether nothing is left once something is changed in what
	// was before.
	without := func(change func(doc *cib.CIB)) bool {
		doc := c.Clone()
		change(doc)
		s := simulatedOnce(t, doc)
		return onlyMonitors(realActions(simulatedOnce(t, settled(s)).Executed))
	}
	switch {
	case without(dropFailures):
		return "a failure forbids nothing any more once the resource has stopped"
	case hostsUp(t, c) != hostsUp(t, s.After):
		return "nodes have come or gone, which decides anew"
	case without(func(doc *cib.CIB) {
		for _, set := range doc.Section("crm_config").Children {
			set.Children = slices.DeleteFunc(set.Children, func(p *cib.Element) bool { return p.Get("name") == "placement-strategy" })
		}
	}):
		return "capacities that were in use are free"
	case slices.ContainsFunc(slices.Collect(maps.Values(singles(t, c))), func(r ResourceState) bool { return len(r.Nodes) > 1 }):
		return "what was active on several nodes is so no longer"
	}
	return "other: " + strings.Join(left, "+")
}

func onlyMonitors(tasks []string) bool {
	return !slices.ContainsFunc(tasks, func(task string) bool { return task != taskMonitor && task != taskCancel })
}

// dropFailures takes results that were not expected out of the history.
func dropFailures(doc *cib.CIB) {
	for _, l := range all(doc.Status(), "lrm_resource") {
		l.Children = slices.DeleteFunc(l.Children, func(op *cib.Element) bool {
			return op.Get("op-status") != "0" || op.Get("rc-code") != itoa(targetRC(op))
		})
	}
}

func simulatedOnce(t *testing.T, doc *cib.CIB) *Simulated {
	s, err := Simulate(doc, SimulateOptions{Execute: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// hostsUp names the nodes of all kinds that are online.
func hostsUp(t *testing.T, doc *cib.CIB) string {
	st, err := Observe(doc, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var up []string
	for _, n := range st.Nodes {
		if n.Online {
			up = append(up, n.Name)
		}
	}
	return strings.Join(up, " ")
}
