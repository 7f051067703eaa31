package node

import (
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/consensus"
)

func TestTrialClock(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	trial := func(epoch int64, limit time.Duration, until time.Time) *consensus.Trial {
		return &consensus.Trial{Version: cib.Version{Epoch: epoch}, Limit: limit, Until: until}
	}
	for _, tt := range []struct {
		name  string
		trial *consensus.Trial
		live  bool
		left  time.Duration
	}{
		{"live", trial(5, time.Minute, now.Add(time.Minute)), true, time.Minute},
		{"live, the clocks of the nodes differ by an hour", trial(5, time.Minute, now.Add(-time.Hour)), true, time.Minute},
		{"found at start", trial(5, time.Minute, now.Add(20*time.Second)), false, 20 * time.Second},
		{"found at start, over meanwhile", trial(5, time.Minute, now.Add(-time.Hour)), false, 0},
		{"found at start, the other clock is far ahead", trial(5, time.Minute, now.Add(time.Hour)), false, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c trialClock
			c.see(tt.trial, tt.live, now)
			if tt.left > 0 && c.over(now.Add(tt.left-1)) {
				t.Error("over too early")
			}
			if !c.over(now.Add(tt.left)) {
				t.Error("not over in time")
			}
			// Further steps do not put it off.
			c.see(tt.trial, true, now.Add(tt.left/2))
			if !c.over(now.Add(tt.left)) {
				t.Error("put off")
			}
			// The next one has its own time.
			c.see(trial(6, time.Hour, now), true, now)
			if c.over(now.Add(30 * time.Minute)) {
				t.Error("the next trial has the time of the last one")
			}
			c.see(nil, true, now)
			if c.over(now.Add(24 * time.Hour)) {
				t.Error("over without a trial")
			}
		})
	}
}
