package consensus

import (
	"strings"
	"testing"
)

// TestFencings: who may begin to fence a node, and what becomes of it.
func TestFencings(t *testing.T) {
	members := func(list ...Member) Command { return Command{Members: list} }
	begin := func(id, origin string, incarnation uint64) Command {
		return Command{Fencing: &Fencing{ID: id, Target: "c", Incarnation: incarnation, Origin: origin, OriginIncarnation: 10}}
	}
	end := func(id, proof string) Command {
		return Command{Fencing: &Fencing{ID: id, Target: "c", Incarnation: 5, Origin: "a", OriginIncarnation: 10, Over: true, Proof: proof}}
	}
	manual := func(c Command) Command { c.Fencing.Manual = true; return c }
	lostA := Member{Name: "a", ID: "1", State: Lost, Incarnation: 10, Expelled: 10}
	for _, c := range []struct {
		name    string
		did     []Command
		now     Command
		refused string
		left    string // id of what is agreed on in the end
	}{
		{name: "the first", now: begin("a/1", "a", 5), left: "a/1"},
		{name: "the same once more", did: []Command{begin("a/1", "a", 5)}, now: begin("a/1", "a", 5), left: "a/1"},
		{name: "the next of the same node", did: []Command{begin("a/1", "a", 5)}, now: begin("a/2", "a", 5), left: "a/2"},
		{name: "another node while one is at it", did: []Command{begin("a/1", "a", 5)}, now: begin("b/1", "b", 5), refused: "node a is having c fenced", left: "a/1"},
		{name: "another node by hand while one is at it", did: []Command{begin("a/1", "a", 5)}, now: manual(begin("b/1", "b", 5)), refused: "node a is having c fenced", left: "a/1"},
		{name: "another node after that one was lost", did: []Command{begin("a/1", "a", 5), members(lostA)}, now: begin("b/1", "b", 5), left: "b/1"},
		{name: "another node after that one was started anew", did: []Command{begin("a/1", "a", 5), members(Member{Name: "a", ID: "1", State: Online, Incarnation: 11})}, now: begin("b/1", "b", 5), left: "b/1"},
		{name: "in the name of one that was lost", did: []Command{members(lostA)}, now: begin("a/1", "a", 5), refused: "not a member"},
		{name: "after it failed", did: []Command{begin("a/1", "a", 5), end("a/1", "")}, now: begin("b/1", "b", 5), left: "b/1"},
		{name: "after it succeeded", did: []Command{begin("a/1", "a", 5), end("a/1", "read-back")}, now: begin("b/1", "b", 5), refused: "fenced already", left: "a/1"},
		{name: "by hand after it succeeded", did: []Command{begin("a/1", "a", 5), end("a/1", "read-back")}, now: manual(begin("b/1", "b", 5)), left: "b/1"},
		{name: "the next incarnation after it succeeded", did: []Command{begin("a/1", "a", 5), end("a/1", "read-back")}, now: begin("b/1", "b", 6), left: "b/1"},
		{name: "after it was retracted", did: []Command{begin("a/1", "a", 5), end("a/1", "read-back"), end("a/1", "")}, now: begin("b/1", "b", 5), left: "b/1"},
		{name: "the end of one that was taken over", did: []Command{begin("a/1", "a", 5), members(lostA), begin("b/1", "b", 5)}, now: end("a/1", "read-back"), left: "b/1"},
		{name: "the target is down", did: []Command{begin("a/1", "a", 5), end("a/1", "read-back")}, now: members(Member{Name: "c", ID: "3", State: Down, Incarnation: 5, Expelled: 5}), left: "a/1"},
		{name: "the target started anew", did: []Command{begin("a/1", "a", 5), end("a/1", "read-back")}, now: members(Member{Name: "c", ID: "3", State: Online, Incarnation: 6, Expelled: 5})},
		{name: "the target was removed", did: []Command{begin("a/1", "a", 5)}, now: Command{Forget: []string{"c"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := on(t, NewState(), Command{Level: FeatureLevel}, members(Member{Name: "a", ID: "1", State: Online, Incarnation: 10},
				Member{Name: "b", ID: "2", State: Online, Incarnation: 10}, Member{Name: "c", ID: "3", State: Lost, Incarnation: 5, Expelled: 5}))
			s = on(t, s, c.did...)
			next, err := s.Apply(s.Index+1, c.now)
			if err == nil {
				s = next
			}
			if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%v; want %q", err, c.refused)
			}
			if f, _ := s.Fencing("C"); f.ID != c.left {
				t.Errorf("agreed on is %q, not %q", f.ID, c.left)
			}
		})
	}
	old := on(t, NewState(), members(Member{Name: "a", ID: "1", State: Online, Incarnation: 10}))
	if _, err := old.Apply(9, begin("a/1", "a", 5)); err == nil {
		t.Error("a fencing was committed where older builds cannot read it")
	}
}
