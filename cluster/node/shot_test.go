package node

import (
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/consensus"
	"gcrm/cluster/heartbeat"
)

// A fencing hits whoever is there: if that is a later incarnation than the one
// that was to be fenced, it is not taken in while it is only not missed yet.
func TestWhoWasHitDoesNotComeIn(t *testing.T) {
	n := &Node{cfg: Config{Name: "a", Clock: time.Now}, timing: heartbeat.Timing{DeadAfter: time.Minute}, seen: map[string]sight{"b": {up: true, incarnation: 8}}, shot: map[string]shot{}}
	state := &consensus.State{CIB: cib.New()}
	held := func() bool { return n.view(state).held["b"] }
	if held() {
		t.Error("nobody was hit")
	}
	n.wasShot("b")
	if !held() {
		t.Error("it comes in")
	}
	n.seen["b"] = sight{up: true, incarnation: 9}
	if held() {
		t.Error("it has started since and does not come in")
	}
	n.seen["b"] = sight{incarnation: 8}
	if held() {
		t.Error("its silence is not noticed")
	}
	n.seen["b"] = sight{up: true, incarnation: 8}
	n.timing.DeadAfter = -time.Second
	n.wasShot("b")
	if held() {
		t.Error("it was not hit, and does not come in")
	}
}

// Who led before may have a fencing under way: its target does not come in as
// long as the node that asked is there and has not said how it ended.
func TestWhoIsBeingFencedDoesNotComeIn(t *testing.T) {
	online := func(name string, incarnation uint64) consensus.Member {
		return consensus.Member{Name: name, ID: "id-" + name, State: consensus.Online, Incarnation: incarnation}
	}
	lost := consensus.Member{Name: "c", ID: "id-c", State: consensus.Lost, Incarnation: 5, Expelled: 5}
	fencing := consensus.Fencing{ID: "b/1", Target: "C", Incarnation: 5, Origin: "b", OriginIncarnation: 3}
	for _, c := range []struct {
		name   string
		change func(n *Node, s *consensus.State)
		held   bool
	}{
		{"it is under way", func(*Node, *consensus.State) {}, true},
		{"it is over", func(_ *Node, s *consensus.State) { s.Fencings[0].Over = true }, false},
		{"who asked is lost", func(_ *Node, s *consensus.State) { s.Members[1].State = consensus.Lost }, false},
		{"who asked is not heard of", func(n *Node, _ *consensus.State) { n.seen["b"] = sight{incarnation: 3} }, false},
		{"who asked has started anew", func(n *Node, _ *consensus.State) { n.seen["b"] = sight{up: true, incarnation: 4} }, false},
		{"who asked was taken in anew", func(n *Node, s *consensus.State) {
			n.seen["b"] = sight{up: true, incarnation: 4}
			s.Members[1].Incarnation = 4
		}, false},
		{"this node asked in an earlier term", func(n *Node, s *consensus.State) {
			s.Fencings[0].Origin, s.Fencings[0].OriginIncarnation = "a", 1
		}, true},
		{"this node asked before it started anew", func(n *Node, s *consensus.State) {
			s.Fencings[0].Origin, s.Fencings[0].OriginIncarnation = "a", 0
		}, false},
		{"this node is having it fenced", func(n *Node, s *consensus.State) {
			s.Fencings = nil
			n.fenced = map[string]int{}
			release, again := n.keepOut("c"), n.keepOut("c")
			n.changed = make(chan struct{})
			again()
			_ = release
		}, true},
		{"this node was having it fenced", func(n *Node, s *consensus.State) {
			s.Fencings = nil
			n.fenced, n.changed = map[string]int{}, make(chan struct{})
			n.keepOut("c")()
		}, false},
		{"the target asked itself", func(n *Node, s *consensus.State) {
			n.seen["b"] = sight{up: true, incarnation: 4}
			s.Fencings[0].Target = "b"
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := &Node{cfg: Config{Name: "a", Clock: time.Now}, incarnation: 1,
				seen: map[string]sight{"b": {up: true, incarnation: 3}, "c": {up: true, incarnation: 6}}}
			s := &consensus.State{CIB: cib.New(), Members: []consensus.Member{online("a", 1), online("b", 3), lost}, Fencings: []consensus.Fencing{fencing}}
			c.change(n, s)
			v := n.view(s)
			if v.held["c"] != c.held || v.held["b"] {
				t.Errorf("held are %v", v.held)
			}
			for range 10 { // everything else that there is to do
				cmd, _, due := reconcile(v)
				if !due {
					break
				}
				next, err := v.state.Apply(v.state.Index+1, cmd)
				if err != nil {
					t.Fatal(err)
				}
				v.state = next
			}
			if m, _ := v.state.Member("c"); (m.State == consensus.Online) == c.held {
				t.Errorf("it is %s", m.State)
			}
			if !integrated(v, 0, 0) {
				t.Error("the controller waits for it")
			}
		})
	}
}
