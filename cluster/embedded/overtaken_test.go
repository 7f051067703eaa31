package embedded

import (
	"context"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/drivers"
	"gcrm/drivers/all"
)

// ponderous is an agent whose stop takes a while, and which counts stops by node.
type ponderous struct {
	switchable
	mu      sync.Mutex
	running map[string]bool
	stops   map[string]int
}

func (p *ponderous) Run(_ context.Context, r drivers.Request) drivers.Result {
	if r.Action == drivers.Stop {
		p.mu.Lock()
		p.stops[r.Node.Name]++
		p.mu.Unlock()
		time.Sleep(3 * time.Second)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch r.Action {
	case drivers.Start:
		p.running[r.Node.Name] = true
	case drivers.Stop:
		p.running[r.Node.Name] = false
	case drivers.Monitor:
		if !p.running[r.Node.Name] {
			return drivers.Result{RC: drivers.NotRunning}
		}
	}
	return drivers.Result{}
}

// A node that comes back stops what it ran before it was lost. The other one tells it that
// it has to with every heartbeat and every connection meanwhile, and yet it does so once:
// what was stopped again would be what its next life has started.
func TestReturningNodeStopsOnce(t *testing.T) {
	agent := &ponderous{running: map[string]bool{}, stops: map[string]int{}}
	agents := maps.Clone(all.Natives())
	agents[drivers.Name{Class: "ocf", Provider: "heartbeat", Type: "Ponderous"}] = agent
	agents[drivers.Name{Class: "stonith", Type: "fence_test"}] = switchable{}
	c := start(t, Config{Nodes: 2, Agents: drivers.NewRegistry(agents, nil, drivers.Preferences{Default: drivers.PreferNative})})
	const lost, survivor = 1, 2
	h := connect(t, c, survivor)
	set(t, h, "stonith-action", "off") // who was fenced would come back at once
	alter(t, h, func(conf *cib.Element) {
		conf.Child("resources").Add(primitive("d", "Ponderous"))
		conf.Child("resources").Add(cib.NewElement("primitive", "id", "switch", "class", "stonith", "type", "fence_test"))
		inOrder(conf, "d")
	})
	runs := func(node string) func() bool {
		return func() bool {
			agent.mu.Lock()
			defer agent.mu.Unlock()
			return agent.running[node]
		}
	}
	eventually(t, patience, "node1 runs it", runs("node1"))
	eventually(t, patience, "that is known", func() bool {
		return strings.Contains(document(t, h).String(), `"d_monitor_200"`)
	})
	if err := c.Kill(lost); err != nil {
		t.Fatal(err)
	}
	agent.mu.Lock()
	agent.running["node1"] = false
	agent.mu.Unlock()
	eventually(t, patience, "node2 runs it", runs("node2"))
	if err := c.Restart(lost); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "node1 is back with a vote", func() bool {
		i, err := h.Info(t.Context())
		if err != nil {
			return false
		}
		for _, m := range i.Members {
			if !m.Online || !m.Voter {
				return false
			}
		}
		return true
	})
	time.Sleep(time.Second) // what waited behind the first stop would have begun
	agent.mu.Lock()
	defer agent.mu.Unlock()
	if agent.stops["node1"] != 1 || agent.stops["node2"] != 0 {
		t.Errorf("stopped: %v, want once on node1", agent.stops)
	}
	if !agent.running["node2"] {
		t.Error("node2 does not run it any more")
	}
}
