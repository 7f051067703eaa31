package consensus

import "testing"

// Who was away while another node got its vote back votes for that one all the
// same, when the two are what is left.
func TestVoteOfAnOldElectorate(t *testing.T) {
	c := newCluster(t, 3, t.TempDir())
	lead, _ := c.leader().Leadership()
	leader, rest := c.nodes[lead.Leader], []string{}
	for _, name := range c.names {
		if name != lead.Leader {
			rest = append(rest, name)
		}
	}
	away, back := rest[0], rest[1]
	for _, err := range []error{leader.RemoveVoter(back), leader.AddLearner(back)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c.kill(away)
	if err := leader.AddVoter(back); err != nil {
		t.Fatal(err)
	}
	if _, err := leader.Apply(within(t, testTiming().IO), NewRequest(), increment("x")); err != nil {
		t.Fatal(err)
	}
	c.kill(lead.Leader)
	c.start(away, nil)
	if got, _ := c.leader().Leadership(); got.Leader != back {
		t.Errorf("%s leads, whose log is an old one", got.Leader)
	}
}
