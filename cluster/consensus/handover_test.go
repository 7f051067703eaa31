package consensus

import (
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// A node that tried to hand leadership to one that does not answer, and lost it
// to another one meanwhile, can lead again.
func TestHandoverThatNeverEnds(t *testing.T) {
	for range 5 {
		if handoverThatNeverEnds(t) {
			return
		}
		t.Log("the handover has ended: the machine is busy; once more")
	}
	t.Error("the handover has ended each time")
}

func handoverThatNeverEnds(t *testing.T) (stuck bool) {
	const patience = 2 * time.Minute
	c := newPatientCluster(t, 3, t.TempDir(), patience)
	lead, _ := c.leader().Leadership()
	leader := lead.Leader
	var silent, other string
	for _, name := range c.names {
		switch {
		case name == leader:
		case silent == "":
			silent = name
		default:
			other = name
		}
	}
	c.silence(silent)
	first := c.nodes[leader]
	commit := func(state MemberState) error {
		_, err := first.Apply(within(t, patience), NewRequest(), Command{Members: []Member{{Name: silent, State: state}}})
		return err
	}
	if err := commit(Lost); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := first.Transfer(silent); err == nil {
			t.Fatal("it was handed to a node that does not answer")
		}
	}
	if err := first.Transfer(other); !errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		return false
	}
	leads := func(name string) {
		for {
			if lead, _ := c.nodes[name].Leadership(); lead.Self {
				return
			}
			if err := c.nodes[name].Campaign(); err != nil {
				t.Logf("campaign of %s: %v", name, err)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
	leads(other)
	leads(leader)
	begun := time.Now()
	if err := commit(Down); err != nil {
		t.Errorf("after %v: %v", time.Since(begun), err)
	}
	t.Logf("committed after %v", time.Since(begun))
	return true
}
