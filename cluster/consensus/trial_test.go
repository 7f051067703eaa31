package consensus

import (
	"strings"
	"testing"
	"time"

	"gcrm/cib"
)

// on applies commands to a state one after the other; a refusal is an error of
// the test.
func on(t *testing.T, s *State, cmds ...Command) *State {
	t.Helper()
	for _, cmd := range cmds {
		next, err := s.Apply(s.Index+1, cmd)
		if err != nil {
			t.Fatal(err)
		}
		s = next
	}
	return s
}

// with is a commit that adds an element to a section.
func with(s *State, by, section string, e *cib.Element, confirm time.Duration) Command {
	conf := s.CIB.Configuration().Clone()
	conf.Ensure(section).Add(e)
	return Command{Change: &cib.Change{Origin: cib.Origin{User: "root", Client: by, Node: "alpha", Time: time.Unix(1000, 0)},
		Configuration: &cib.ConfigurationChange{Base: s.CIB.Version(), XML: conf.String(), Confirm: confirm}}}
}

func dummy(id string) *cib.Element {
	return cib.NewElement("primitive", "id", id, "class", "ocf", "provider", "pacemaker", "type", "Dummy")
}

func TestTrial(t *testing.T) {
	s := on(t, NewState(), Command{Level: FeatureLevel})
	s = on(t, s, with(s, "gcrm", "resources", dummy("old"), 0))
	before := s.CIB.Configuration().String()
	s = on(t, s, with(s, "gcrm", "resources", dummy("new"), time.Minute))
	tried := s.CIB.Version()
	if s.Trial == nil || !s.Trial.Until.Equal(time.Unix(1060, 0)) || !s.Trial.Version.SameConfiguration(tried) {
		t.Fatalf("trial: %+v", s.Trial)
	}
	refused := []struct {
		name, why string
		cmd       Command
	}{
		{"another commit", "waits for its confirmation", with(s, "gcrm", "resources", dummy("third"), 0)},
		{"another trial", "waits for its confirmation", with(s, "gcrm", "resources", dummy("third"), time.Hour)},
		{"a verdict on another version", "no commit waits", Command{Verdict: &Verdict{Version: cib.Version{Epoch: 99}, Keep: true}}},
		{"taking back without a change", "taken back by a change", Command{Verdict: &Verdict{Version: tried}}},
	}
	for _, r := range refused {
		if _, err := s.Apply(99, r.cmd); err == nil || !strings.Contains(err.Error(), r.why) {
			t.Errorf("%s: %v", r.name, err)
		}
	}
	// The cluster's own entries go on, and survive the way back.
	node := cib.NewElement("node", "id", "7", "uname", "gamma")
	s = on(t, s, with(s, MembershipClient, "nodes", node, 0))
	kept := on(t, s, Command{Verdict: &Verdict{Version: tried, Keep: true, By: cib.Origin{User: "ann"}}})
	if kept.Trial != nil || !strings.Contains(kept.CIB.String(), `"new"`) {
		t.Error("a confirmed commit is not kept")
	}
	confirmed := 0
	for _, r := range kept.History {
		if r.Confirmed != nil && r.Confirmed.User == "ann" && r.Version.SameConfiguration(tried) {
			confirmed++
		}
	}
	for _, r := range s.History {
		if r.Confirmed != nil {
			t.Error("the confirmation changed a state that was handed out")
		}
	}
	if confirmed != 1 {
		t.Errorf("%d versions are confirmed", confirmed)
	}
	back, err := s.TakeBack(cib.Origin{User: "gcrm", Message: "too late"})
	if err != nil {
		t.Fatal(err)
	}
	gone := on(t, s, back)
	text := gone.CIB.Configuration().String()
	if gone.Trial != nil || strings.Contains(text, `"new"`) || !strings.Contains(text, `"old"`) || !strings.Contains(text, "gamma") {
		t.Errorf("taken back: %s", text)
	}
	nodes := gone.CIB.Configuration().Clone()
	nodes.Child("nodes").Remove(nodes.Child("nodes").ChildByID("7"))
	if got := nodes.String(); got != before {
		t.Errorf("not what was before:\n%s\n%s", got, before)
	}
	if _, err := gone.TakeBack(cib.Origin{}); err == nil {
		t.Error("taken back twice")
	}
	if _, err := kept.Apply(99, back); err == nil {
		t.Error("taken back after it was confirmed")
	}
}
