package simtest

import (
	"strings"
	"testing"
	"time"
)

// TestLeaderStoppedInTheMiddle stops the leader at every point of the first
// transition: after each change of the log, with and without its power.
func TestLeaderStoppedInTheMiddle(t *testing.T) {
	schedule := thePlanner(t)
	for _, power := range []bool{true, false} {
		points := 0
		for at := 1; at < 200; at++ {
			w := build(7, schedule)
			before := 0
			w.run(5*time.Minute, func() bool {
				if w.leader != nil && w.leader.progress.Number > 0 && before == 0 {
					before = len(w.log)
				}
				return before > 0 && len(w.log) >= before+at || w.idle()
			})
			if w.idle() && at > 1 {
				break // the transition was over by then
			}
			points++
			old := w.leader
			w.note("--- the leader stops")
			old.stop(power)
			if power {
				w.revive(old, 10*time.Second)
			} else {
				w.revive(old, time.Second)
			}
			w.run(time.Second, nil)
			if !w.run(10*time.Minute, w.idle) && len(w.violations) == 0 {
				w.violated("the transition is not finished")
			}
			if len(w.violations) == 0 {
				w.check()
			}
			if len(w.violations) == 0 {
				w.monitored()
			}
			if len(w.violations) > 0 {
				t.Fatalf("stopped after %d changes (power: %t): %s\n%s", at, power, strings.Join(w.violations, "; "), w.lastLines(60))
			}
		}
		if points < 5 {
			t.Errorf("only %d points to stop the leader at", points)
		}
		t.Logf("power %t: stopped at %d points", power, points)
	}
}
