package consensus

import (
	"testing"
	"time"
)

// A survivor that goes on alone does not wait for the answers of the node that is dead.
func TestForceDoesNotWaitForTheDead(t *testing.T) {
	const patience = 2 * time.Minute
	c := newPatientCluster(t, 2, t.TempDir(), patience)
	c.leader()
	survivor := c.nodes["node1"]
	c.silence("node2")
	for lead, _ := survivor.Leadership(); lead.Self; lead, _ = survivor.Leadership() {
		time.Sleep(10 * time.Millisecond)
	}
	begun := time.Now()
	if err := survivor.Force(within(t, patience), "switched off by test", survivor.LastIndex(), Command{}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > patience/2 {
		t.Errorf("the survivor goes on after %v", took)
	}
}
