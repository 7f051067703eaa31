package embedded

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// dummies commits primitives of the Dummy agent that keep their state in files
// of the test, where it can be seen from outside.
func dummies(t *testing.T, c client.Cluster, n int, dir string) {
	t.Helper()
	doc := document(t, c)
	conf := doc.Configuration().Clone()
	for i := range n {
		id := fmt.Sprintf("d%d", i+1)
		p := cib.NewElement("primitive", "id", id, "class", "ocf", "provider", "heartbeat", "type", "Dummy")
		if dir != "" {
			p.Add(cib.NewElement("instance_attributes", "id", id+"-ia").Add(
				cib.NewElement("nvpair", "id", id+"-state", "name", "state", "value", filepath.Join(dir, id))))
		}
		conf.Child("resources").Add(p)
	}
	if _, err := c.Apply(t.Context(), cib.Change{Configuration: &cib.ConfigurationChange{Base: doc.Version(), XML: conf.String()}}); err != nil {
		t.Fatal(err)
	}
}

func startedOn(t *testing.T, c client.Cluster, resource, want string) func() bool {
	return func() bool { return where(document(t, c), resource) == want+" " }
}

func TestResourcesStartAndMove(t *testing.T) {
	c := start(t, Config{Nodes: 3, Schedule: planner})
	h := connect(t, c, 3)
	set(t, h, "stonith-enabled", "false")
	begin := time.Now()
	dummies(t, h, 5, "")
	eventually(t, 5*time.Second, "all are started on node1", func() bool {
		doc := document(t, h)
		for i := range 5 {
			if where(doc, fmt.Sprintf("d%d", i+1)) != "node1 " {
				return false
			}
		}
		return true
	})
	t.Logf("5 resources probed on 3 nodes and started %v after the commit", time.Since(begin))
	eventually(t, 5*time.Second, "the cluster is idle", func() bool {
		i, err := h.Info(t.Context())
		return err == nil && i.Transition.Idle
	})
	// node1 is lost: its resources come up on node2.
	begin = time.Now()
	if err := c.Kill(1); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "d1 runs on node2", startedOn(t, h, "d1", "node2"))
	t.Logf("moved %v after the loss of the node", time.Since(begin))
	if err := c.Restart(1); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "node1 is back", func() bool { return document(t, h).NodeState("1").Get("in_ccm") == "true" })
	eventually(t, 5*time.Second, "d1 stays on node2", startedOn(t, h, "d1", "node2"))
}

// The daemon of a node dies and comes back; what it ran is found again.
func TestDaemonRestartAdoptsResources(t *testing.T) {
	state := t.TempDir()
	c := start(t, Config{Nodes: 3, Schedule: planner})
	h := connect(t, c, 2)
	dummies(t, h, 1, state)
	eventually(t, 5*time.Second, "d1 runs", startedOn(t, h, "d1", "node1"))
	before, err := os.Stat(filepath.Join(state, "d1"))
	if err != nil {
		t.Fatal(err)
	}
	c.Crash(1)
	m := c.members[0]
	m.busy.Lock()
	err = c.bootLocked(m)
	m.busy.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "the restarted node was probed", func() bool {
		doc := document(t, h)
		n := 0
		doc.NodeState("1").Walk(func(e *cib.Element) bool {
			if e.Name == "lrm_rsc_op" && e.Get("operation") == "monitor" && e.Get("rc-code") == "0" {
				n++
			}
			return true
		})
		return n > 0
	})
	after, err := os.Stat(filepath.Join(state, "d1"))
	if err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("the resource was touched: %v", err)
	}
}

// A leader that dies in the middle does not stop the work.
func TestLeaderDiesInTransition(t *testing.T) {
	c := start(t, Config{Nodes: 3, Schedule: planner})
	h := connect(t, c, c.Leader()%3+1)
	set(t, h, "stonith-enabled", "false")
	dummies(t, h, 20, "")
	if err := c.Kill(c.Leader()); err != nil {
		t.Fatal(err)
	}
	eventually(t, 15*time.Second, "all are started once", func() bool {
		doc := document(t, h)
		for i := range 20 {
			if w := where(doc, fmt.Sprintf("d%d", i+1)); len(w) != len("node1 ") {
				return false
			}
		}
		return true
	})
}

// A lost node with fencing is fenced first, comes back, and its resources are
// started elsewhere only after that.
func TestFencingOfLostNode(t *testing.T) {
	c := start(t, Config{Nodes: 3, Schedule: planner})
	h := connect(t, c, 2)
	dummies(t, h, 1, "")
	eventually(t, 5*time.Second, "d1 runs", startedOn(t, h, "d1", "node1"))
	was := c.nodes()["node1"].Incarnation()
	c.Crash(1) // the daemon only: what it started goes on
	eventually(t, 15*time.Second, "node1 was fenced and is back", func() bool {
		n := c.nodes()["node1"]
		return n != nil && n.Incarnation() > was && document(t, h).NodeState("1").Get("in_ccm") == "true"
	})
	eventually(t, 10*time.Second, "d1 runs once", func() bool { return len(where(document(t, h), "d1")) == len("node1 ") })
}

// Stop stops the resources first.
func TestStopStopsResources(t *testing.T) {
	state := t.TempDir()
	c, err := Start(t.Context(), Config{Nodes: 3, Schedule: planner, StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	h := connect(t, c, 1)
	dummies(t, h, 3, state)
	eventually(t, 5*time.Second, "d3 runs", func() bool { _, err := os.Stat(filepath.Join(state, "d3")); return err == nil })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	begin := time.Now()
	if err := c.Stop(ctx); err != nil {
		t.Error(err)
	}
	t.Logf("stopped in %v", time.Since(begin))
	if left, _ := filepath.Glob(filepath.Join(state, "*")); len(left) != 0 {
		t.Errorf("still running: %v", left)
	}
}

// A minority that is cut off stops its resources by no-quorum-policy, and
// comes back as a new incarnation.
func TestMinorityStops(t *testing.T) {
	state := t.TempDir()
	c := start(t, Config{Nodes: 3, Schedule: planner})
	h := connect(t, c, 2)
	set(t, h, "stonith-enabled", "false")
	dummies(t, h, 1, state)
	eventually(t, 5*time.Second, "d1 runs", startedOn(t, h, "d1", "node1"))
	was := c.nodes()["node1"].Incarnation()
	c.Cut(1, 2)
	c.Cut(1, 3)
	begin := time.Now()
	eventually(t, 10*time.Second, "node1 started again", func() bool {
		n := c.nodes()["node1"]
		return n != nil && n.Incarnation() > was
	})
	t.Logf("node1 started again %v after it was cut off", time.Since(begin))
	eventually(t, 10*time.Second, "d1 runs on node2", startedOn(t, h, "d1", "node2"))
	c.Heal()
	eventually(t, 10*time.Second, "node1 is back", func() bool { return document(t, h).NodeState("1").Get("in_ccm") == "true" })
	eventually(t, 5*time.Second, "d1 runs on node2 alone", startedOn(t, h, "d1", "node2"))
}
