package scheduler

import (
	"strings"
	"testing"
	"time"

	"gcrm/cib"
)

// lostNode is a cluster of two nodes of which node2 is lost with what it ran.
func lostNode(t *testing.T, device ...string) *cib.CIB {
	doc := cib.New()
	doc.Root.Set("have-quorum", "1")
	conf := doc.Configuration()
	conf.Ensure("crm_config").Add(nvset("cluster_property_set", "options", "stonith-enabled", "true"))
	fence := cib.NewElement("primitive", "id", "fence", "class", "stonith", "type", "fence_dummy")
	fence.Add(nvset("instance_attributes", "fence-params", device...))
	conf.Ensure("resources").Add(fence, cib.NewElement("primitive", "id", "web", "class", "ocf", "provider", "pacemaker", "type", "Dummy"))
	for i, state := range []string{"online", "offline"} {
		id, name := itoa(i+1), "node"+itoa(i+1)
		conf.Ensure("nodes").Add(cib.NewElement("node", "id", id, "uname", name))
		doc.Status().Add(cib.NewElement("node_state", "id", id, "uname", name, "in_ccm", boolText(state == "online"), "crmd", state, "join", "member", "expected", "member"))
	}
	return doc
}

func TestFencingTimes(t *testing.T) {
	const second = time.Second
	for _, c := range []struct {
		name   string
		device []string
		before map[string]time.Duration
		want   time.Duration
		known  bool
	}{
		{"nothing is known", nil, nil, 10 * second, false},
		{"a delay", []string{"pcmk_delay_base", "5s"}, nil, 15 * second, false},
		{"a delay for the node", []string{"pcmk_delay_base", "node1:1s;node2:7s"}, nil, 17 * second, false},
		{"a delay for the other one", []string{"pcmk_delay_base", "node1:1s"}, nil, 10 * second, false},
		{"a device for the node by its list", []string{"pcmk_host_list", "node1 node2", "pcmk_delay_base", "5s"}, nil, 15 * second, false},
		{"a device for the node by its map", []string{"pcmk_host_map", "node1:1;node2:2", "pcmk_delay_base", "5s"}, nil, 15 * second, false},
		{"a device for the other one", []string{"pcmk_host_list", "node1", "pcmk_delay_base", "5s"}, nil, 10 * second, false},
		{"it was fenced before", []string{"pcmk_delay_base", "5s"}, map[string]time.Duration{"node1": 40 * second, "node2": 3 * second}, 3 * second, true},
		{"another one was fenced before", nil, map[string]time.Duration{"node1": 4 * second}, 4 * second, true},
	} {
		p, err := Schedule(lostNode(t, c.device...), Options{Fencings: c.before})
		if err != nil {
			t.Fatal(err)
		}
		tm := p.Timing()
		found := false
		for i, a := range p.Actions {
			if a.Task != taskStonith {
				continue
			}
			found = true
			s := tm.Spans[i]
			if took := s.End - s.Begin; took != c.want || s.Assumed == c.known {
				t.Errorf("%s: %v, assumed %v; want %v, %v", c.name, took, s.Assumed, c.want, !c.known)
			}
			if !s.Critical || tm.Total < c.want {
				t.Errorf("%s: fencing is not what the transition waits for: %+v of %v", c.name, s, tm.Total)
			}
		}
		if !found {
			t.Fatalf("%s: nothing is fenced", c.name)
		}
		drawn := "takes " + durationWords(c.want)
		if !c.known {
			drawn += "?"
		}
		if text := p.SVG(); !strings.Contains(text, drawn) {
			t.Errorf("%s: the drawing does not say %q", c.name, drawn)
		}
	}
}

func TestPriorityDelaysFencing(t *testing.T) {
	doc := lostNode(t, "pcmk_delay_base", "2s")
	doc.Section("crm_config").Children[0].Add(cib.NewElement("nvpair", "id", "delay", "name", "priority-fencing-delay", "value", "15s"))
	doc.Section("resources").ChildByID("web").Add(nvset("meta_attributes", "web-meta", "priority", "10"))
	lost := doc.Status().Children[1]
	entry := cib.NewElement("lrm_resource", "id", "web", "class", "ocf", "provider", "pacemaker", "type", "Dummy")
	entry.Add(cib.NewElement("lrm_rsc_op", "id", "web_last_0", "operation_key", "web_start_0", "operation", "start",
		"transition-key", "1:1:0:x", "call-id", "5", "rc-code", "0", "op-status", "0", "interval", "0"))
	lost.Add(cib.NewElement("lrm", "id", "2").Add(cib.NewElement("lrm_resources").Add(entry)))
	p, err := Schedule(doc, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range p.Actions {
		if a.Task != taskStonith {
			continue
		}
		want := 27 * time.Second // as usual, and both delays
		if s := p.Timing().Spans[i]; s.End-s.Begin != want || !s.Assumed {
			t.Errorf("fencing takes %v, assumed %v; want %v (%v)", s.End-s.Begin, s.Assumed, want, a.Meta)
		}
		return
	}
	t.Error("nothing is fenced")
}
