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
// it is what resets itself, and only of a node that is not heard of.
func (s *step) startWatchdog() {
	op := s.op
	wait := op.watchdogTime()
	check := func() string {
		switch {
		case !op.m.quorate:
			return "this partition has no quorum, so the other may run on"
		case op.m.isOnline(op.target):
			return "the node is still heard of"
		}
		return ""
	}
	if why := check(); why != "" {
		op.stepFailed(s, why, "", false)
		return
	}
	op.touched = true
	if !op.answered {
		op.entry.Delegate, op.entry.Device = op.m.cfg.Self, WatchdogDevice
	}
	end := op.m.now.Add(wait + watchdogSlack)
	var look func()
	look = func() {
		if why := check(); why != "" {
			op.stepFailed(s, why, "", false)
			return
		}
		if left := end.Sub(op.m.now); left > 0 {
			op.after(min(left, time.Second), look)
			return
		}
		op.stepDone(s, ProofWatchdog, fmt.Sprintf("not heard of for %s: reset by its watchdog", wait))
	}
	look()
}
