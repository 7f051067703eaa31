package embedded

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gcrm/cib"
)

func TestResourcesStartAndMove(t *testing.T) {
	c := start(t, Config{Nodes: 3})
	h := connect(t, c, 3)
	set(t, h, "stonith-enabled", "false")
	begin := time.Now()
	dummies(t, h, 5, "")
	eventually(t, patience, "all are started on node1", func() bool {
		doc := document(t, h)
		for i := range 5 {
			if where(doc, fmt.Sprintf("d%d", i+1)) != "node1 " {
				return false
			}
		}
		return true
	})
	t.Logf("5 resources probed on 3 nodes and started %v after the commit", time.Since(begin))
	eventually(t, patience, "the cluster is idle", func() bool {
		i, err := h.Info(t.Context())
		return err == nil && i.Transition.Idle
	})
	// node1 is lost: its resources come up on node2.
	begin = time.Now()
	if err := c.Kill(1); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "d1 runs on node2", startedOn(t, h, "d1", "node2"))
	t.Logf("moved %v after the loss of the node", time.Since(begin))
	if err := c.Restart(1); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "node1 is back", func() bool { return document(t, h).NodeState("1").Get("in_ccm") == "true" })
	eventually(t, patience, "d1 stays on node2", startedOn(t, h, "d1", "node2"))
}

// The daemon of a node dies and comes back; what it ran is found again.
func TestDaemonRestartAdoptsResources(t *testing.T) {
	state := t.TempDir()
	// Nobody is to notice the short absence.
	c := start(t, Config{Nodes: 3, Detection: 10 * time.Second})
	h := connect(t, c, 2)
	set(t, h, "stonith-enabled", "false")
	dummies(t, h, 1, state)
	eventually(t, patience, "d1 runs", startedOn(t, h, "d1", "node1"))
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
	eventually(t, patience, "the restarted node was probed", func() bool {
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
	c := start(t, Config{Nodes: 3})
	h := connect(t, c, c.Leader()%3+1)
	set(t, h, "stonith-enabled", "false")
	dummies(t, h, 20, "")
	if err := c.Kill(c.Leader()); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "all are started once", func() bool {
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
	c := start(t, Config{Nodes: 3, Agents: withDevice()})
	h := connect(t, c, 2)
	alter(t, h, func(conf *cib.Element) {
		conf.Child("resources").Add(cib.NewElement("primitive", "id", "switch", "class", "stonith", "type", "fence_test"))
	})
	dummies(t, h, 1, "")
	eventually(t, patience, "d1 runs", startedOn(t, h, "d1", "node1"))
	was := c.nodes()["node1"].Incarnation()
	c.Crash(1) // the daemon only: what it started goes on
	eventually(t, patience, "node1 was fenced and is back", func() bool {
		n := c.nodes()["node1"]
		return n != nil && n.Incarnation() > was && document(t, h).NodeState("1").Get("in_ccm") == "true"
	})
	eventually(t, patience, "d1 runs once", func() bool { return len(where(document(t, h), "d1")) == len("node1 ") })
}

// Stop stops the resources first.
func TestStopStopsResources(t *testing.T) {
	state := t.TempDir()
	c, err := Start(t.Context(), Config{Nodes: 3, StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	h := connect(t, c, 1)
	set(t, h, "stonith-enabled", "false")
	dummies(t, h, 3, state)
	eventually(t, patience, "all run", func() bool {
		files, _ := filepath.Glob(filepath.Join(state, "d*"))
		return len(files) == 3
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
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
	c := start(t, Config{Nodes: 3})
	h := connect(t, c, 2)
	set(t, h, "stonith-enabled", "false")
	dummies(t, h, 1, "")
	eventually(t, patience, "d1 runs", startedOn(t, h, "d1", "node1"))
	was := c.nodes()["node1"].Incarnation()
	c.Cut(1, 2)
	c.Cut(1, 3)
	begin := time.Now()
	eventually(t, patience, "node1 started again", func() bool {
		n := c.nodes()["node1"]
		return n != nil && n.Incarnation() > was
	})
	t.Logf("node1 started again %v after it was cut off", time.Since(begin))
	eventually(t, patience, "d1 runs on node2", startedOn(t, h, "d1", "node2"))
	c.Heal()
	eventually(t, patience, "node1 is back", func() bool { return document(t, h).NodeState("1").Get("in_ccm") == "true" })
	eventually(t, patience, "d1 runs on node2 alone", startedOn(t, h, "d1", "node2"))
}
