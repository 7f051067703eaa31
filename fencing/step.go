package fencing

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// step is one action of one device within a level.
type step struct {
	op *operation
	// device is nil for the watchdog.
	device *Device
	as     string   // reboot, off or on
	keys   []string // actions whose configured timeout holds, the first that has one
	// courtesy steps switch the node on again; whether they succeed does not
	// matter.
	courtesy bool

	nodes    []string // still to be tried
	node     string
	attempt  int
	begun    time.Time // of the series of attempts on this node
	readings int
	call     *call
	tried    []string // what came of the attempts, for the error
}

func (s *step) name() string {
	if s.device == nil {
		return WatchdogDevice
	}
	return s.device.ID
}

func (s *step) timeout() time.Duration { return s.device.timeout(s.op.base(), s.keys...) }

// start begins with the delay.
func (s *step) start() {
	op := s.op
	if s.device == nil {
		s.startWatchdog()
		return
	}
	s.nodes = op.m.executors(s.device, op.target, s.as)
	if s.courtesy {
		s.nodes = slices.DeleteFunc(s.nodes, func(n string) bool { return strings.EqualFold(n, op.target) })
	}
	var delay time.Duration
	if s.as != On && op.request.Delay >= 0 {
		delay = s.device.delay(op.target, op.m.cfg.Draw)
		if op.level == 0 && op.step == 0 {
			delay += op.request.Delay
		}
	}
	if delay > 0 {
		op.m.event(slog.LevelInfo, op.target, "%s waits %s before %s", s.device.ID, delay, s.as)
	}
	op.after(delay, s.nextNode)
}

// nextNode lets the next node execute.
func (s *step) nextNode() {
	op := s.op
	for len(s.nodes) > 0 && !op.m.isOnline(s.nodes[0]) {
		s.nodes = s.nodes[1:]
	}
	if len(s.nodes) == 0 {
		op.stepFailed(s, nonEmpty(s.history(), "no node is there that may use it"), "", false)
		return
	}
	s.node, s.nodes = s.nodes[0], s.nodes[1:]
	s.attempt, s.begun = 0, time.Time{}
	s.act()
}

// send queues an action of the device on the step's node.
func (s *step) send(action, target string, timeout time.Duration, done func(Outcome)) {
	s.execute(s.device, Execute{Node: s.node, Action: action, Target: target, Timeout: timeout}, done)
}

// sendLast does that for what shows that the target is down, if nothing else
// has to.
func (s *step) sendLast(action string, timeout time.Duration, done func(Outcome)) {
	op := s.op
	x := Execute{Node: s.node, Action: action, Target: op.target, Timeout: timeout}
	if s.as != On && s.node != op.m.cfg.Self && s.device.Proves != Never && (len(op.steps) == 1 || op.steps[1].courtesy) {
		e := op.entry
		e.Text = s.claim()
		x.Ends = &e
	}
	s.execute(s.device, x, done)
}

func (s *step) execute(d *Device, x Execute, done func(Outcome)) {
	s.call = s.op.m.run(d, x, func(o Outcome) {
		s.call = nil
		done(o)
	})
}

// drop lets nobody wait for the action under way.
func (s *step) drop() {
	if s.call != nil {
		s.call.dead = true
		s.call = nil
	}
}

// claim is what is said of a success.
func (s *step) claim() string { return fmt.Sprintf("%s: %s by %s", s.device.ID, s.as, s.node) }

// showsOff reports whether an outcome is a proof.
func (o Outcome) showsOff() bool { return o.Code == Succeeded && o.Power == PowerOff }

// evidence is a claim with what the device said.
func (o Outcome) evidence(claim string) string {
	if o.Text != "" {
		claim += " (" + o.Text + ")"
	}
	if o.showsOff() {
		claim += ", power was read as off"
	}
	return claim
}

// act makes an attempt.
func (s *step) act() {
	op, d := s.op, s.device
	if len(op.waiters) == 0 && !op.request.Manual && s.as != On && !op.answered {
		op.withdrawn = true
		op.fail(errors.New("nobody waits for it any more"), "")
		return
	}
	if op.agreed && !op.m.quorate && s.as != On && !op.answered {
		// Those who have a quorum know of it, and have the node fenced.
		op.withdrawn = true
		op.fail(errors.New("quorum was lost before it succeeded"), "")
		return
	}
	op.touched = true
	s.attempt++
	timeout := s.timeout()
	if !s.begun.IsZero() {
		timeout = max(time.Second, timeout-op.m.now.Sub(s.begun))
	}
	if !op.answered {
		op.entry.Delegate, op.entry.Device = s.node, d.ID
	}
	s.sendLast(d.command(s.as), timeout, s.acted)
	// What waits for a busy device has no deadline: all that is before it
	// has. So the series begins when the device takes the action.
	c := s.call
	op.wake, op.wakeAt = nil, time.Time{}
	if c != nil {
		c.started = func() {
			if s.begun.IsZero() {
				s.begun = op.m.now
			}
			if op.deadline.IsZero() {
				op.deadline = op.m.now.Add(s.timeout()*12/10 + powerTimeout + answerGrace)
			}
		}
	}
}

// remember keeps what came of an attempt, once.
func (s *step) remember(format string, args ...any) {
	if t := fmt.Sprintf(format, args...); !slices.Contains(s.tried, t) {
		s.tried = append(s.tried, t)
	}
}

// history tells what came of all attempts so far.
func (s *step) history() string { return strings.Join(s.tried, ", ") }

func (s *step) acted(o Outcome) {
	op, d := s.op, s.device
	s.remember("%s on %s: %s", s.as, s.node, nonEmpty(o.Text, o.Code.String()))
	if o.Hint != "" && o.Code != Succeeded && !s.courtesy && !slices.Contains(op.hints, o.Hint) {
		op.hints = append(op.hints, o.Hint)
	}
	switch o.Code {
	case Succeeded:
		s.succeeded(o)
	case Unreachable:
		s.nextNode()
	case TimedOut:
		if s.as == On {
			op.stepFailed(s, s.history(), "", true)
			return
		}
		s.lookAfterFailure(true)
	default:
		if s.attempt < d.attempts(s.as) && op.m.now.Sub(s.begun) < s.timeout()*7/10 {
			op.after(retryPause, s.act)
			return
		}
		if s.as == On {
			s.nextNode()
			return
		}
		s.lookAfterFailure(false)
	}
}

// succeeded asks for the proof.
func (s *step) succeeded(o Outcome) {
	op, d := s.op, s.device
	what := o.evidence(s.claim())
	switch {
	case s.as == On:
		op.stepDone(s, ProofNone, what)
	case d.Proves == Never:
		op.stepDone(s, ProofNone, what)
	case o.Power == PowerOff:
		op.stepDone(s, ProofReadBack, what)
	case d.command(s.as) == Off && d.Proves == Always && d.HasAction(Status):
		s.readings = 0
		s.readBack()
	default:
		op.stepDone(s, ProofReported, what)
	}
}

func (s *step) statusTimeout() time.Duration {
	return s.device.timeout(min(powerTimeout, s.op.base()), Status)
}

// readBack reads the power after the device has said that it is off.
func (s *step) readBack() {
	s.readings++
	s.sendLast(s.device.command(Status), s.statusTimeout(), s.readAfterSuccess)
}

func (s *step) readAfterSuccess(o Outcome) {
	op := s.op
	switch {
	case o.showsOff():
		op.stepDone(s, ProofReadBack, s.claim()+", power read as off")
	case s.readings < readings:
		op.after(readBackPause, s.readBack)
	case o.Code == Succeeded && o.Power == PowerOn:
		op.stepFailed(s, fmt.Sprintf("%s on %s: the device says it is done, but the power is still on", s.as, s.node),
			"check pcmk_host_map: is it the right plug?", false)
	default:
		op.stepFailed(s, fmt.Sprintf("%s on %s: the device says it is done, but the power could not be read back: %s",
			s.as, s.node, nonEmpty(o.Text, o.Code.String())), o.Hint, o.Code == TimedOut)
	}
}

// lookAfterFailure finds out whether the node is off all the same: it was
// already, or the device acted and did not tell.
func (s *step) lookAfterFailure(timedOut bool) {
	d := s.device
	goOn := func() {
		if timedOut {
			s.op.stepFailed(s, s.history(), "", true)
			return
		}
		s.nextNode()
	}
	if d.Proves != Always || !d.HasAction(Status) {
		goOn()
		return
	}
	s.send(d.command(Status), s.op.target, s.statusTimeout(), func(o Outcome) {
		if !o.showsOff() {
			goOn()
			return
		}
		if !d.HasAction(List) || d.Meta == nil {
			s.offAnyway()
			return
		}
		// Some devices say "off" of names they never heard of.
		s.send(d.command(List), "", s.statusTimeout(), func(l Outcome) {
			plug := d.Plug(s.op.target)
			switch {
			case l.Code == Succeeded && !listed(l.Hosts, plug):
				s.remember("the device says that %s is off, but does not list it", plug)
				goOn()
			case l.Code != Succeeded && knowsNoNames(d.Agent):
				goOn()
			default:
				s.offAnyway()
			}
		})
	})
}

func (s *step) offAnyway() {
	s.op.stepDone(s, ProofReadBack, fmt.Sprintf("%s: power read as off by %s, after %s", s.device.ID, s.node, s.history()))
}

// knowsNoNames are agents that say "off" of nodes that do not exist.
func knowsNoNames(agent string) bool { return agent == "fence_xvm" || agent == "fence_virt" }

// giveUp ends the step at its deadline.
func (s *step) giveUp() {
	s.drop()
	s.op.stepFailed(s, nonEmpty(s.history(), "the device did not answer")+"; the time for it is over", "", true)
}
