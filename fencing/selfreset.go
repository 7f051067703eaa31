package fencing

import (
	"fmt"
	"strings"
	"time"
)

// watchdogTime is how long a lost node is given to be reset by its watchdog;
// zero if that is not to be relied on for the node.
func (op *operation) watchdogTime() time.Duration {
	t, own := op.conf.WatchdogTimeout, op.m.watchdog
	if op.m.armed != nil {
		own = op.m.armed[strings.ToLower(op.target)]
		if own == 0 || t > 0 && t < own {
			return 0 // it would not be reset, or not in time
		}
	}
	if t < 0 {
		t = 2 * own
	}
	if w := op.conf.watchdog; w != nil {
		if w.Disabled || (len(w.List) > 0 || len(w.Map) > 0) && !w.static(op.target) {
			return 0
		}
	}
	return max(t, 0)
}

// watchdogUnfit says why the watchdog of the target is not relied on, where the
// configuration means it to be.
func (op *operation) watchdogUnfit() string {
	if op.conf.WatchdogTimeout == 0 || op.m.armed == nil || op.watchdogPlanned() {
		return ""
	}
	switch own := op.m.armed[strings.ToLower(op.target)]; {
	case own == 0:
		return "the node never said that it has a watchdog"
	case op.conf.WatchdogTimeout > 0 && op.conf.WatchdogTimeout < own:
		return fmt.Sprintf("the node's takes %s, which is longer than stonith-watchdog-timeout", own)
	}
	return ""
}

func (op *operation) watchdogPlanned() bool { return op.watchdogTime() > 0 }

// startWatchdog waits until a node that is lost must have been reset by its
// own watchdog. That is known only where there is quorum, since a node without
// it is what resets itself, and only of a node that is not heard of. One that is
// heard of is told to reset itself first.
func (s *step) startWatchdog() {
	op := s.op
	if op.action == On {
		s.stopWatchdog("a watchdog switches nothing on")
		return
	}
	wait := op.watchdogTime()
	op.touched = true
	if !op.answered {
		op.entry.Delegate, op.entry.Device = op.m.cfg.Self, WatchdogDevice
	}
	there := op.m.isOnline(op.target)
	end := op.m.now.Add(wait + watchdogSlack)
	var look func()
	look = func() {
		online, left := op.m.isOnline(op.target), end.Sub(op.m.now)
		switch {
		case !op.m.quorate:
			s.stopWatchdog("this partition has no quorum, so the other may run on")
			return
		case online && !there:
			s.stopWatchdog("the node is heard of again")
			return
		case online && left <= 0:
			s.stopWatchdog("it was told to reset itself, and is still heard of")
			return
		case !online && there: // now it counts
			there = false
			end = op.m.now.Add(wait + watchdogSlack)
			left = end.Sub(op.m.now)
		}
		if left <= 0 {
			s.drop()
			op.stepDone(s, ProofWatchdog, fmt.Sprintf("not heard of for %s: reset by its watchdog", wait))
			return
		}
		op.after(min(left, time.Second), look)
	}
	if there && op.m.quorate {
		s.order()
	}
	look()
}

// order tells a node to reset itself.
func (s *step) order() {
	op := s.op
	s.node = op.target
	s.execute(&Device{ID: WatchdogDevice, Limit: -1}, Execute{Node: op.target, Action: Off, Target: op.target, Timeout: powerTimeout}, func(o Outcome) {
		if o.Code == Failed {
			s.stopWatchdog("it was told to reset itself: " + o.Text)
		}
	})
}

func (s *step) stopWatchdog(why string) {
	s.drop()
	s.op.stepFailed(s, why, "", false)
}
