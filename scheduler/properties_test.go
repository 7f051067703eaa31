package scheduler

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gcrm/cib"

	"pgregory.net/rapid"
)

// randomCIB draws a cluster: a few nodes, some of them lost or in standby,
// primitives, groups and clones with constraints, and a status in which
// resources run where they may.
func randomCIB(t *rapid.T) *cib.CIB {
	c := cib.New()
	root := c.Root
	root.Set("have-quorum", "1")
	root.Set("dc-uuid", "1")
	root.Set("execution-date", "1767225600")
	conf := c.Configuration()
	fencing := rapid.Bool().Draw(t, "fencing")
	conf.Ensure("crm_config").Add(nvset("cluster_property_set", "cib-bootstrap-options",
		"fencing-enabled", boolText(fencing), "no-quorum-policy", "ignore"))
	// without stickiness resources may move for balance's sake
	conf.Ensure("rsc_defaults").Add(nvset("meta_attributes", "defaults", "resource-stickiness", "10"))
	nodes := rapid.IntRange(2, 4).Draw(t, "nodes")
	status := c.Status()
	var lists []*cib.Element
	lost := rapid.IntRange(-1, nodes-1).Draw(t, "lost")
	if lost == 0 {
		lost = -1
	}
	for i := range nodes {
		id, name := itoa(i+1), fmt.Sprintf("node%d", i+1)
		conf.Ensure("nodes").Add(cib.NewElement("node", "id", id, "uname", name))
		st := cib.NewElement("node_state", "id", id, "uname", name, "in_ccm", "true", "crmd", "online", "join", "member", "expected", "member")
		if i == lost {
			st.Set("in_ccm", "false")
			st.Set("crmd", "offline")
			st.Set("join", "down")
		}
		list := cib.NewElement("lrm_resources")
		st.Add(cib.NewElement("lrm", "id", id).Add(list))
		lists = append(lists, list)
		status.Add(st)
	}
	resources := conf.Ensure("resources")
	if fencing {
		resources.Add(cib.NewElement("primitive", "id", "fence", "class", "stonith", "type", "fence_dummy"))
	}
	var tops []string
	primitive := func(id string) *cib.Element {
		p := cib.NewElement("primitive", "id", id, "class", "ocf", "provider", "pacemaker", "type", "Dummy")
		if rapid.Bool().Draw(t, "monitored") {
			p.Add(cib.NewElement("operations").Add(cib.NewElement("op", "id", id+"-mon", "name", "monitor", "interval", "10s")))
		}
		if rapid.IntRange(0, 7).Draw(t, "stopped") == 0 {
			p.Add(nvset("meta_attributes", id+"-meta", "target-role", "Stopped"))
		}
		return p
	}
	running := func(id string, node int) {
		entry := cib.NewElement("lrm_resource", "id", id, "class", "ocf", "provider", "pacemaker", "type", "Dummy")
		op := cib.NewElement("lrm_rsc_op", "id", id+"_last_0", "operation_key", id+"_start_0", "operation", "start",
			"transition-key", "1:1:0:x", "call-id", "5", "rc-code", "0", "op-status", "0", "interval", "0",
			"last-rc-change", "1767220000", "op-digest", emptyDigest)
		lists[node].Add(entry.Add(op))
	}
	for i := range rapid.IntRange(1, 5).Draw(t, "resources") {
		id := fmt.Sprintf("r%d", i)
		where := rapid.IntRange(-1, nodes-1).Draw(t, "where")
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			g := cib.NewElement("group", "id", id)
			for j := range rapid.IntRange(1, 3).Draw(t, "members") {
				m := fmt.Sprintf("%s-m%d", id, j)
				g.Add(primitive(m))
				if where >= 0 {
					running(m, where)
				}
			}
			resources.Add(g)
		case 1:
			resources.Add(cib.NewElement("clone", "id", id).Add(primitive(id + "-c")))
			if where >= 0 {
				running(id+"-c", where)
			}
		default:
			resources.Add(primitive(id))
			if where >= 0 {
				running(id, where)
			}
		}
		tops = append(tops, id)
	}
	cons := conf.Ensure("constraints")
	for i := range rapid.IntRange(0, 4).Draw(t, "constraints") {
		a := rapid.IntRange(0, len(tops)-1).Draw(t, "a")
		b := rapid.IntRange(0, len(tops)-1).Draw(t, "b")
		id := fmt.Sprintf("k%d", i)
		score := rapid.SampledFrom([]string{"INFINITY", "-INFINITY", "100", "-50"}).Draw(t, "score")
		switch kind := rapid.IntRange(0, 2).Draw(t, "constraint"); {
		case kind == 0:
			cons.Add(cib.NewElement("rsc_location", "id", id, "rsc", tops[a], "node", fmt.Sprintf("node%d", 1+b%nodes), "score", score))
		case a <= b:
		case kind == 1:
			// with other scores the outcome may ask for more moves, in
			// Pacemaker's answers too
			score = "INFINITY"
			cons.Add(cib.NewElement("rsc_colocation", "id", id, "rsc", tops[a], "with-rsc", tops[b], "score", score))
		default:
			cons.Add(cib.NewElement("rsc_order", "id", id, "first", tops[b], "then", tops[a]))
		}
	}
	return c
}

func simulated(t *rapid.T, c *cib.CIB) *Simulated {
	s, err := Simulate(c, SimulateOptions{Execute: true, ExecutionTime: time.Unix(1767225700, 0)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// eachPrimitive calls f for every primitive of a state; path names the
// collective resources around it.
func eachPrimitive(list []ResourceState, path string, f func(path string, r ResourceState)) {
	for _, r := range list {
		if len(r.Members) > 0 || r.Kind != "primitive" {
			eachPrimitive(r.Members, path+r.Kind+"/", f)
			continue
		}
		f(path, r)
	}
}

func TestNothingIsActiveTwiceAfterwards(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := randomCIB(t)
		s := simulated(t, c)
		done := map[int]bool{}
		for _, a := range s.Executed {
			done[a.ID] = true
		}
		for _, a := range s.Plan.Actions {
			// (as in Pacemaker's graphs, the monitor of what cannot start may wait)
			if a.Kind != Pseudo && a.Interval == 0 && !done[a.ID] {
				t.Fatalf("%s on %s cannot be executed:\n%s\n%s", a.Key, a.Node, s.Text, c)
			}
		}
		after, err := Observe(s.After, Options{})
		if err != nil {
			t.Fatal(err)
		}
		eachPrimitive(after.Resources, "", func(path string, r ResourceState) {
			if len(r.Nodes) > 1 {
				t.Fatalf("%s is active on %v:\n%s\n%s", r.ID, r.Nodes, s.Text, c)
			}
		})
	})
}

func TestOutcomeIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := randomCIB(t)
		s := simulated(t, c)
		again := simulated(t, s.After)
		for _, a := range again.Executed {
			if a.Kind != Pseudo {
				t.Fatalf("scheduling the outcome again gives %s on %s:\n%s\n%s\n%s", a.Key, a.Node, s.Text, again.Text, c)
			}
		}
	})
}

func TestStartsFollowTheStopsTheyNeed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := randomCIB(t)
		s := simulated(t, c)
		at := map[string]int{}
		for i, a := range s.Executed {
			if a.Resource == nil && a.Kind != Pseudo {
				if a.Task == taskStonith {
					at["fence "+a.Node] = i
				}
				continue
			}
			name := strings.TrimSuffix(a.Key, "_0")
			if stopped, ok := strings.CutSuffix(name, "_stop"); ok {
				at["stop "+stopped] = i
			}
			if started, ok := strings.CutSuffix(name, "_start"); ok && a.Kind == ResourceAction && !strings.HasSuffix(started, "-c") {
				if _, later := stopAfter(s.Executed, i, started); later {
					t.Fatalf("%s starts before it is stopped:\n%s\n%s", started, s.Text, c)
				}
			}
		}
	})
}

func stopAfter(list []*Action, from int, rsc string) (int, bool) {
	for i := from + 1; i < len(list); i++ {
		if list[i].Key == rsc+"_stop_0" {
			return i, true
		}
	}
	return 0, false
}
