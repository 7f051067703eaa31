package embedded

import (
	"slices"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/cluster/consensus"
	"gcrm/cluster/executor/operation"
)

// One of two nodes is lost: the other fences it, goes on alone, and takes it
// back when it returns.
func TestTwoNodesSurvivorFencesAndGoesOn(t *testing.T) {
	c := start(t, Config{Nodes: 2})
	lead := c.Leader()
	survivor := 3 - lead
	h := connect(t, c, survivor)
	v := set(t, h, "stonith-action", "off")
	lost := c.members[lead-1].id
	if _, err := h.Apply(t.Context(), cib.Change{Status: &cib.StatusChange{Edits: []cib.StatusEdit{
		{Attribute: &cib.AttributeEdit{Node: lost, Name: "fleeting", Value: "1"}}}}}); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := c.Kill(lead); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the survivor leads", func() bool { return c.Leader() == survivor })
	t.Logf("survivor leads after %v", time.Since(begin))
	doc := document(t, h)
	if !doc.Version().SameConfiguration(v) {
		t.Errorf("survivor is at %v, committed was %v", doc.Version(), v)
	}
	if _, ok := operation.Attribute(doc, lost, "fleeting"); ok {
		t.Error("the lost node still has its transient attributes")
	}
	state, _ := c.nodes()[c.members[survivor-1].name].Consensus().State()
	if len(state.Forced) != 1 || !strings.Contains(state.Forced[0].Proof, "processes are gone") {
		t.Errorf("forced changes: %+v", state.Forced)
	}
	if m, _ := state.Member(c.members[lead-1].name); m.State != consensus.Down {
		t.Errorf("lost node: %+v", m)
	}
	set(t, h, "alone", "1")
	if err := c.Restart(lead); err != nil {
		t.Fatal(err)
	}
	took := eventually(t, patience, "the lost node has a vote again", func() bool {
		i, err := h.Info(t.Context())
		return err == nil && !slices.ContainsFunc(i.Members, func(m client.Member) bool { return !m.Online || !m.Voter })
	})
	// Both must have agreed to the vote, and know that: what is agreed later says so.
	set(t, h, "alone", "agreed")
	t.Logf("back with a vote after %v", took)
	if doc := document(t, connect(t, c, lead)); !strings.Contains(doc.String(), `name="alone"`) {
		t.Error("the returned node does not have the latest version")
	}
	// And the other way round.
	h2 := connect(t, c, lead)
	if err := c.Kill(survivor); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the other one leads", func() bool { return c.Leader() == lead })
	set(t, h2, "alone", "2")
}

// Two nodes that are cut off from each other: exactly one is fenced.
func TestTwoNodesCut(t *testing.T) {
	c := start(t, Config{Nodes: 2})
	lead := c.Leader()
	h := connect(t, c, lead)
	set(t, h, "stonith-action", "off")
	c.Cut(1, 2)
	eventually(t, patience, "one of them is off", func() bool { return !c.Running(1) || !c.Running(2) })
	winner := 1
	if !c.Running(1) {
		winner = 2
	}
	eventually(t, patience, "the other one leads", func() bool { return c.Leader() == winner })
	time.Sleep(2 * c.cfg.Detection)
	if !c.Running(winner) {
		t.Error("both were fenced")
	}
	set(t, connect(t, c, winner), "alone", "1")
}

// Without fencing the survivor of two does not go on, and says so.
func TestTwoNodesWithoutFencingStayReadOnly(t *testing.T) {
	c := start(t, Config{Nodes: 2})
	h := connect(t, c, 1)
	set(t, h, "stonith-enabled", "false")
	if err := c.Kill(2); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "node1 shows that it has no quorum", func() bool {
		doc, err := h.CIB(t.Context(), false)
		return err == nil && doc.Root.Get("have-quorum") == "0"
	})
	time.Sleep(2 * c.cfg.Detection)
	if c.Leader() != 0 {
		t.Error("one of two nodes leads without fencing")
	}
	if err := c.Restart(2); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "quorum is back", func() bool { return c.Leader() != 0 })
	set(t, h, "again", "1")
}
