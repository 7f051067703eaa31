package watchdog

import (
	"fmt"
	"time"
)

// Rule says when a node may go on.
type Rule struct {
	// Disks is how many shared disks it watches; Patience is how old the
	// last answer of a disk may be (its I/O timeout and the pause between
	// readings).
	Disks    int
	Patience time.Duration
	// Cluster adds what the cluster tells: with disks, it lets a node live
	// that lost them; without, it is all there is.
	Cluster bool
	// Stale is how old the cluster's last word may be.
	Stale time.Duration
}

// Guard applies a Rule. It is a pure state machine for one goroutine.
type Guard struct {
	rule    Rule
	disks   []time.Time
	seen    bool
	heard   time.Time
	quorate bool
	healthy bool
}

// NewGuard makes a guard. Its disks count as read just now, so that they can be
// opened in peace.
func NewGuard(rule Rule, now time.Time) *Guard {
	g := &Guard{rule: rule, disks: make([]time.Time, rule.Disks)}
	for i := range g.disks {
		g.disks[i] = now
	}
	return g
}

// Answered tells that a disk was read.
func (g *Guard) Answered(disk int, now time.Time) { g.disks[disk] = now }

// Told tells the state of the cluster on this node: healthy means that its
// member list and its daemon work.
func (g *Guard) Told(now time.Time, quorate, healthy bool) {
	g.heard, g.quorate, g.healthy = now, quorate, healthy
	g.seen = g.seen || quorate && healthy
}

// Feed reports whether the watchdog is to be fed, and if not, why.
func (g *Guard) Feed(now time.Time) (feed bool, why string) {
	answered := 0
	for _, at := range g.disks {
		if now.Sub(at) <= g.rule.Patience {
			answered++
		}
	}
	if g.rule.Disks > 0 && answered > g.rule.Disks/2 {
		return true, ""
	}
	lost := fmt.Sprintf("%d of %d disks answer", answered, g.rule.Disks)
	switch {
	case !g.rule.Cluster:
		if g.rule.Disks == 0 {
			return true, ""
		}
		return false, lost
	case g.rule.Disks == 0 && !g.seen:
		return true, "" // it was never part of a cluster, so it runs nothing
	case now.Sub(g.heard) > g.rule.Stale:
		why = "the cluster's daemon is silent"
	case !g.healthy:
		why = "the cluster's daemon is not well"
	case !g.quorate:
		why = "there is no quorum"
	default:
		return true, ""
	}
	if g.rule.Disks > 0 {
		why = lost + ", and " + why
	}
	return false, why
}
