package fencing

import (
	"fmt"
	"testing"
	"time"
)

// TestHistoryIsLimited: however often a node is fenced, the history keeps what
// is newest, and all that is not over.
func TestHistoryIsLimited(t *testing.T) {
	m := New(Config{Self: "a", Boot: "1", Draw: func(n int64) int64 { return 0 }})
	now := time.Unix(1_000_000, 0)
	running := Entry{ID: "x/1/1", Origin: "x", Action: Off, Target: "q", State: Executing, Started: now}
	m.Step(now, Remember{Entries: []Entry{running}, Live: true})
	for i := range 3 * historyLimit {
		now = now.Add(time.Second)
		m.Step(now, Remember{Entries: []Entry{{ID: fmt.Sprintf("b/1/%d", i), Origin: "b", Action: Off, Target: "n", State: Succeeds, Started: now, Completed: now}}})
	}
	h := m.History()
	if len(h) > historyLimit {
		t.Errorf("%d entries", len(h))
	}
	newest, kept := false, false
	for _, e := range h {
		newest = newest || e.ID == fmt.Sprintf("b/1/%d", 3*historyLimit-1)
		kept = kept || e.ID == running.ID
	}
	if !newest || !kept {
		t.Errorf("newest %v, running %v", newest, kept)
	}
}

// TestNextIncarnationWaitsItsTurn: a device that answers late has not fenced the
// life that its node began meanwhile.
func TestNextIncarnationWaitsItsTurn(t *testing.T) {
	m := New(Config{Self: "a", Boot: "1", Draw: func(n int64) int64 { return 0 }})
	conf, _ := Unpack(document(t, "node a\nnode b\ndevice p fence_off pcmk_host_list=a,b\n"), Sources{Agents: testAgents})
	now := time.Unix(1_000_000, 0)
	var asked []Execute
	done := map[uint64]Result{}
	step := func(in Input) {
		now = now.Add(time.Millisecond)
		for _, e := range m.Step(now, in) {
			switch e := e.(type) {
			case Execute:
				asked = append(asked, e)
			case Done:
				done[e.ID] = e.Result
			}
		}
	}
	answer := func() {
		for len(asked) > 0 {
			x := asked[0]
			asked = asked[1:]
			step(Executed{x.Ref, Outcome{Power: PowerOff, Hosts: []string{"a", "b"}}})
		}
	}
	step(Configure{conf})
	step(Members{Nodes: []string{"a"}, Quorate: true})
	step(Request{ID: 1, Target: "b", Action: Off, Incarnation: 5})
	step(Request{ID: 2, Target: "b", Action: Off, Incarnation: 5})
	first := asked
	step(Request{ID: 3, Target: "b", Action: Off, Incarnation: 6})
	if len(asked) != len(first) {
		t.Fatalf("%d actions at once", len(asked))
	}
	for len(done) == 0 {
		x := asked[0]
		asked = asked[1:]
		step(Executed{x.Ref, Outcome{Power: PowerOff, Hosts: []string{"a", "b"}}})
	}
	if _, early := done[3]; early || len(done) != 2 {
		t.Fatalf("done after the first: %+v", done)
	}
	if len(asked) == 0 {
		t.Fatal("nothing is done about the next incarnation")
	}
	answer()
	if r, ok := done[3]; !ok || r.Err != nil || r.Entry.Incarnation != 6 {
		t.Errorf("the next incarnation: %+v", r)
	}
}
