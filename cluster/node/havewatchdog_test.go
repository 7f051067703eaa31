package node

import (
	"strings"
	"testing"
	"time"
)

func TestHaveWatchdog(t *testing.T) {
	r := newReplica(t, "a", "b")
	r.v.seen["b"] = sight{up: true, incarnation: 20}
	property := func() string {
		v, _ := r.state.CIB.Property("have-watchdog")
		return v
	}
	r.settle()
	r.v.armed = map[string]time.Duration{"a": 5 * time.Second}
	if did := r.settle(); did != "" || property() != "false" {
		t.Errorf("b has said nothing: %s, %s", did, property())
	}
	r.v.armed["b"] = 10 * time.Second
	if did := r.settle(); !strings.Contains(did, "have-watchdog is true") || property() != "true" {
		t.Errorf("both have one: %s, %s", did, property())
	}
	r.v.armed = map[string]time.Duration{"b": 10 * time.Second} // b leads, and knows its own only
	if did := r.settle(); did != "" || property() != "true" {
		t.Errorf("a new leader: %s, %s", did, property())
	}
	r.v.armed["a"] = 0
	if did := r.settle(); !strings.Contains(did, "have-watchdog is false") || property() != "false" {
		t.Errorf("a has none any more: %s, %s", did, property())
	}
	r.v.seen["b"] = sight{}
	r.v.armed = map[string]time.Duration{"a": time.Second}
	r.settle()
	if property() != "true" {
		t.Error("who is not there does not count")
	}
}
