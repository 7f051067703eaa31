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
