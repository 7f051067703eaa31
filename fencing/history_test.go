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
