package api

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"gcrm/cib"
)

func (f *facts) nodes(g families) {
	for _, n := range f.status.Nodes {
		state := f.doc.NodeState(n.ID)
		for _, s := range []struct {
			name string
			on   bool
		}{
			{"online", n.Online}, {"standby", n.Standby}, {"standby_onfail", n.StandbyOnFail}, {"maintenance", n.Maintenance},
			{"pending", n.Pending}, {"unclean", n.Unclean}, {"shutdown", n.Shutdown},
			{"expected_up", state != nil && state.Get("expected") == "member"}, {"dc", n.DC},
		} {
			g.add("pacemaker_nodes", "whether a node has a status", truth(s.on), "node", n.Name, "type", n.Kind, "status", s.name)
		}
	}
}

// hidden are the attributes that are the cluster's own business.
func hidden(name string) bool {
	for _, prefix := range []string{"fail-count", "last-failure", "shutdown", "terminate", "standby", "fencing-proved", "fencing-checked", "#"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// pairs are the attributes of a node: the transient ones, then the permanent
// ones that they do not hide.
func (f *facts) pairs(n cib.Node) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		seen := map[string]bool{}
		for _, sets := range []*cib.Element{f.doc.NodeState(n.ID).Child("transient_attributes"), n.Element} {
			for set := range sets.Named("instance_attributes") {
				for nv := range set.Named("nvpair") {
					name := nv.Get("name")
					if name == "" || seen[name] {
						continue
					}
					seen[name] = true
					if !yield(name, nv.Get("value")) {
						return
					}
				}
			}
		}
	}
}

func (f *facts) attributes(g families) {
	for _, n := range f.doc.Nodes() {
		for name, value := range f.pairs(n) {
			if !hidden(name) {
				g.add("pacemaker_node_attributes", "attributes of nodes", 1, "node", n.Uname, "name", name, "value", value)
			}
		}
	}
}

func (f *facts) states(g families) {
	seen := map[string]bool{}
	for _, r := range f.status.Resources {
		id, _, _ := strings.Cut(r.ID, ":")
		key := fmt.Sprint(id, "/", r.Node, "/", r.Role)
		if seen[key] {
			continue // stopped instances are told of once
		}
		seen[key] = true
		for _, s := range []struct {
			name string
			on   bool
		}{{"active", r.Active}, {"orphaned", r.Orphaned}, {"blocked", r.Blocked}, {"failed", r.Failed}, {"failure_ignored", r.FailureIgnored}} {
			g.add("pacemaker_resources", "whether a resource has a status", truth(s.on), "node", r.Node, "resource", id, "role", strings.ToLower(r.Role),
				"managed", strconv.FormatBool(r.Managed), "status", s.name, "agent", r.Agent, "group", r.Group, "clone", r.Clone)
		}
	}
}

// fencing tells whether nodes are known to be fenced when it matters.
func (f *facts) fencing(g families) {
	for _, n := range f.fences.Nodes {
		g.add("gcrm_fencing_ready", "whether the fencing of a node was proved within the configured time", truth(n.Warning == "" && f.fences.Enabled), "node", n.Node)
		if n.Proved != nil {
			g.add("gcrm_fencing_proved_timestamp_seconds", "when a node was last fenced, in earnest or as a rehearsal", float64(n.Proved.At.Unix()), "node", n.Node, "kind", n.Proved.Kind, "device", n.Proved.Device)
		}
		if n.Checked != nil {
			g.add("gcrm_fencing_checked_timestamp_seconds", "when the fence devices of a node were last asked", float64(n.Checked.At.Unix()), "node", n.Node)
		}
	}
}

// parents are the elements that primitives are in, outermost first, and they
// themselves, by the id of the primitive.
func (f *facts) parents() map[string][]*cib.Element {
	out := map[string][]*cib.Element{}
	var visit func(e *cib.Element, within []*cib.Element)
	visit = func(e *cib.Element, within []*cib.Element) {
		for child := range e.Elements() {
			path := append(slices.Clip(within), child)
			switch child.Name {
			case "primitive":
				out[child.ID()] = path
			case "group", "clone", "master", "bundle":
				visit(child, path)
			}
		}
	}
	visit(f.doc.Section("resources"), nil)
	return out
}

// failures tells of every resource in the history of every node.
func (f *facts) failures(g families) {
	parents := f.parents()
	for _, n := range f.doc.Nodes() {
		for r := range f.doc.NodeState(n.ID).Child("lrm").Child("lrm_resources").Named("lrm_resource") {
			count := 0
			for name, value := range f.pairs(n) {
				if rest, ok := strings.CutPrefix(name, "fail-count-"); ok {
					if id, _, _ := strings.Cut(rest, "#"); id == r.ID() {
						v, _ := cib.ParseScore(value)
						count = cib.AddScores(count, v)
					}
				}
			}
			g.add("pacemaker_fail_count", "failures of a resource on a node", score(count), "node", n.Uname, "resource", r.ID())
			g.add("pacemaker_migration_threshold", "failures after which a resource leaves a node",
				float64(f.threshold(parents[r.ID()])), "node", n.Uname, "resource", r.ID())
		}
	}
}

// threshold is the migration-threshold of a primitive: its own, that of what
// it is in, or the default.
func (f *facts) threshold(within []*cib.Element) int {
	sets := append([]*cib.Element{f.doc.Section("rsc_defaults")}, within...)
	for i := len(sets) - 1; i >= 0; i-- {
		for set := range sets[i].Named("meta_attributes") {
			if v, ok := cib.PairValue(set, "migration-threshold"); ok {
				if n, err := cib.ParseScore(v); err == nil && n > 0 {
					return n
				}
			}
		}
	}
	return cib.Infinity
}

// score is a score as a metric.
func score(n int) float64 {
	switch {
	case n >= cib.Infinity:
		return math.Inf(1)
	case n <= -cib.Infinity:
		return math.Inf(-1)
	}
	return float64(n)
}

func (f *facts) isTrue(names ...string) bool {
	v, _ := f.doc.Property(names...)
	return cib.IsTrue(v)
}

// isFalse reports whether a property is set and not true.
func (f *facts) isFalse(names ...string) bool {
	v, ok := f.doc.Property(names...)
	return ok && !cib.IsTrue(v)
}

func (f *facts) properties(g families) {
	g.add("pacemaker_stonith_enabled", "whether nodes are fenced", truth(!f.isFalse("stonith-enabled", "fencing-enabled")))
	g.add("pacemaker_maintenance_mode_enabled", "whether the cluster leaves all resources alone", truth(f.isTrue("maintenance-mode")))
	if at, err := time.ParseInLocation(time.ANSIC, f.doc.Root.Get("cib-last-written"), f.zone); err == nil {
		g.send("pacemaker_config_last_change", "time of the last commit in seconds since 1970", "counter", float64(at.Unix()), nil)
	}
}

func (f *facts) locations(g families) {
	for l := range f.doc.Section("constraints").Named("rsc_location") {
		rsc := l.Get("rsc")
		if rsc == "" {
			rsc = l.Get("rsc-pattern")
		}
		value := 0
		if l.Child("rule") == nil {
			value, _ = cib.ParseScore(l.Get("score"))
		}
		g.add("pacemaker_location_constraints", "scores of location constraints", score(value),
			"constraint", l.ID(), "node", l.Get("node"), "resource", rsc, "role", strings.ToLower(l.Get("role")))
	}
}

func (f *facts) quorum(g families) {
	g.add("corosync_quorate", "whether the node is part of a working majority", truth(f.info.Quorate))
	expected, total := 0, 0
	ids := map[string]string{}
	for _, m := range f.info.Members {
		ids[m.Name] = m.ID
		if m.Voter {
			expected++
			if m.Online {
				total++
			}
		}
		g.add("corosync_member_votes", "votes of a node", truth(m.Voter), "node_id", m.ID, "node", m.Name, "local", strconv.FormatBool(m.Name == f.info.Node))
	}
	for _, v := range []struct {
		name  string
		votes int
	}{{"expected_votes", expected}, {"highest_expected", expected}, {"total_votes", total}, {"quorum", expected/2 + 1}} {
		g.add("corosync_quorum_votes", "votes of the cluster", float64(v.votes), "type", v.name)
	}
	faulty := 0
	number := map[string]int{}
	for _, l := range f.links {
		if !l.Up {
			faulty++
		}
		g.add("corosync_rings", "whether a link to another node works", truth(l.Up), "ring_id", "", "node_id", ids[l.Peer],
			"number", strconv.Itoa(number[l.Peer]), "address", l.Address)
		number[l.Peer]++
	}
	g.add("corosync_ring_errors", "links that do not work", float64(faulty))
}
