package fencing

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

type stage uint8

const (
	waitingTurn stage = iota
	surveying
	working
	over
)

// operation is the fencing of one node, for one request and those that joined.
type operation struct {
	m       *Machine
	conf    *Configuration
	request Request
	id      string
	target  string
	action  string
	waiters []waiter
	stage   stage
	// touched is set before the first device is asked to act.
	touched bool
	// answered is set when the requests were: what comes then (switching the
	// node on again) is a courtesy.
	answered bool
	// withdrawn operations ended before they were tried.
	withdrawn bool
	started   time.Time
	entry     Entry

	// turnEnd is how long a request of another node's machine is waited for. asked
	// is set while an announcement is not answered; again, if it is not zero, is
	// when it is made once more; agreed ones wait for nobody.
	turnEnd   time.Time
	asked     bool
	again     time.Time
	agreed    bool
	surveys   map[string]*survey
	surveyEnd time.Time

	topology bool
	levels   []Level
	level    int
	steps    []*step
	step     int
	proofs   []Proof
	evidence []string
	failures []string
	hints    []string

	// wakeAt, when it comes, lets wake run once. deadline ends the step.
	wakeAt   time.Time
	wake     func()
	deadline time.Time
}

// waiter is a request that an operation answers.
type waiter struct {
	id    uint64
	entry Entry // of a request that joined; empty for the first
}

func (m *Machine) newOperation(r Request) *operation {
	op := &operation{m: m, conf: m.conf, request: r, target: r.Target, action: r.Action, started: m.now, waiters: []waiter{{id: r.ID}}}
	op.id = m.newID()
	op.entry = Entry{ID: op.id, Target: r.Target, Action: r.Action, Client: r.Client, Origin: m.cfg.Self, Started: m.now, Reason: r.Reason, Incarnation: r.Incarnation, Manual: r.Manual}
	return op
}

// announce begins an operation. Before a device is asked to act, the others are to
// know: when leadership changes, the next leader asks for the same node, and must
// not have it fenced once more. With quorum it is committed; without, all nodes
// that are there are told. Of two that do that at once, each hears of the other
// before it decides: who answers an announcement says what it is at, and if it has
// not decided by then it will know of the asker when it does.
func (op *operation) announce() {
	m := op.m
	op.entry.State = Querying
	if !m.cfg.Announces {
		m.put(op.entry)
		return
	}
	op.asked = true
	m.keep(op.entry, true)
	m.emit(Announce{op.entry})
}

// told is the answer to the announcement.
func (op *operation) told(a Answer) {
	op.asked = false
	switch a {
	case Agreed:
		op.agreed = true
	case Again:
		op.again = op.m.now.Add(announcePause)
	}
}

// held reports whether the operation has to wait until others know of it, or
// for one of another node's machine.
func (op *operation) held() bool {
	m := op.m
	if !op.again.IsZero() && !m.now.Before(op.again) {
		op.again, op.asked = time.Time{}, true
		m.emit(Announce{op.entry})
	}
	switch op.turnEnd = op.again; {
	case op.asked || !op.again.IsZero():
		return true
	case op.agreed:
		return false
	}
	until, busy := m.elsewhere(op)
	op.turnEnd = until
	return busy
}

func (op *operation) record(s State, text string) {
	op.entry.State, op.entry.Text = s, text
	if s.Over() {
		op.entry.Completed = op.m.now
	}
	op.m.put(op.entry)
}

// join makes the request of op wait for another operation's result.
func (op *operation) join(other *operation) {
	if other.answered {
		op.m.ops = append(op.m.ops, op)
		op.record(Querying, "")
		return
	}
	op.m.event(slog.LevelInfo, op.target, "%s requested by %s joins the one in progress", op.action, nonEmpty(op.request.Client, "somebody"))
	op.record(Querying, "joins "+other.id)
	other.waiters = append(other.waiters, waiter{op.request.ID, op.entry})
}

// refuse ends a request that does not become an operation.
func (op *operation) refuse(err error, hint string) {
	op.record(Fails, err.Error())
	op.m.event(slog.LevelError, op.target, "%s refused: %v", op.action, err)
	op.m.emit(Done{op.request.ID, Result{Err: &Error{op.action, op.target, err, hint}, Entry: op.entry}})
}

// advance does what is due now and reports whether anything happened.
func (op *operation) advance() bool {
	m := op.m
	op.turnEnd = time.Time{} // what else holds it up ends with an input
	switch {
	case op.stage == over:
		return false
	case op.stage == waitingTurn:
		for _, other := range m.ops {
			if other == op {
				break
			}
			if !op.conf.Concurrent || strings.EqualFold(other.target, op.target) {
				return false
			}
		}
		if op.m.acting(op.target) {
			return false
		}
		if op.held() && !op.asked { // devices can be looked for meanwhile
			return false
		}
		if e, ok := m.isGone(op.request); ok {
			op.stage = working
			op.entry.Delegate, op.entry.Device = e.Delegate, e.Device
			op.succeed(e.Proof, e.Text)
			return true
		}
		op.stage = surveying
		op.survey()
		return true
	case op.stage == surveying:
		return op.surveyed()
	case !op.deadline.IsZero() && !m.now.Before(op.deadline):
		op.deadline, op.wakeAt, op.wake = time.Time{}, time.Time{}, nil
		op.steps[op.step].giveUp()
		return true
	case op.wake != nil && !m.now.Before(op.wakeAt):
		f := op.wake
		op.wakeAt, op.wake = time.Time{}, nil
		f()
		return true
	}
	return false
}

// after lets f run when d is over, unless the step ends before.
func (op *operation) after(d time.Duration, f func()) {
	if d <= 0 {
		f()
		return
	}
	op.wakeAt, op.wake = op.m.now.Add(d), f
}

// plan decides on the levels once it is known what devices can do.
func (op *operation) plan() {
	if op.topology || op.action == On && op.unfencing() {
		var usable []Level
		for _, l := range op.levels {
			if why := op.unusable(l); why != "" {
				op.note("level %d: %s", l.Index, why)
				continue
			}
			usable = append(usable, l)
		}
		op.levels = usable
	} else {
		var able []*Device
		for _, id := range op.conf.Order {
			if s := op.surveys[id]; s != nil && s.able {
				able = append(able, op.conf.Devices[id])
			} else if s != nil {
				op.note("%s: %s", id, s.why())
			}
		}
		slices.SortStableFunc(able, func(a, b *Device) int {
			return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(btoi(len(b.Verified) > 0), btoi(len(a.Verified) > 0)))
		})
		for i, d := range able {
			op.levels = append(op.levels, Level{Index: i + 1, Devices: []string{d.ID}})
		}
	}
	if op.action != On && op.watchdogPlanned() && !slices.ContainsFunc(op.levels, func(l Level) bool { return slices.Contains(l.Devices, WatchdogDevice) }) {
		op.levels = append(op.levels, Level{Index: len(op.levels) + 1, Devices: []string{WatchdogDevice}})
	}
	if why := op.watchdogUnfit(); why != "" && op.action != On {
		op.note("%s: %s", WatchdogDevice, why)
		op.hints = append(op.hints, "start the daemons with a watchdog (gcrm daemon --watchdog), or let fence devices do it")
	}
	op.stage = working
	op.record(Executing, "")
	op.nextLevel(-1)
}

// unusable says why a level cannot be tried.
func (op *operation) unusable(l Level) string {
	for _, id := range l.Devices {
		if id == WatchdogDevice {
			if !op.watchdogPlanned() {
				return "no watchdog is configured for this node (stonith-watchdog-timeout)"
			}
			continue
		}
		s := op.surveys[id]
		switch {
		case s == nil:
			return "there is no device " + id
		case !s.able:
			return id + ": " + s.why()
		}
	}
	if len(l.Devices) == 0 {
		return "it has no devices"
	}
	return ""
}

// nextLevel tries the level after that with the given position.
func (op *operation) nextLevel(last int) {
	op.level = last + 1
	op.proofs, op.evidence = nil, nil
	op.deadline, op.wakeAt, op.wake = time.Time{}, time.Time{}, nil
	if op.level >= len(op.levels) {
		op.exhausted()
		return
	}
	op.steps, op.step = op.makeSteps(op.levels[op.level]), 0
	op.steps[0].start()
}

// exhausted ends an operation for which nothing is left to try.
func (op *operation) exhausted() {
	why := strings.Join(op.failures, "; ")
	hint := strings.Join(slices.Compact(op.hints), "; ")
	switch {
	case len(op.levels) == 0 && why == "":
		why = "no fence device is configured for it"
		hint = "add a stonith: device that can fence the node"
	case len(op.levels) == 0:
		why = "no fence device can do it: " + why
	}
	if hint == "" && op.action != On {
		hint = "make sure that the node is off and run: gcrm fence confirm " + op.target
	}
	op.fail(errors.New(why), hint)
}

func (op *operation) note(format string, args ...any) {
	op.failures = append(op.failures, fmt.Sprintf(format, args...))
}

// makeSteps says what a level means for the action.
func (op *operation) makeSteps(l Level) []*step {
	var steps, ons []*step
	add := func(id, action string, keys ...string) *step {
		s := &step{op: op, device: op.conf.Devices[id], as: action, keys: append([]string{action}, keys...)}
		steps = append(steps, s)
		return s
	}
	for _, id := range l.Devices {
		d := op.conf.Devices[id]
		if id == WatchdogDevice || d == nil {
			steps = append(steps, &step{op: op, as: Off})
			continue
		}
		off := func(remapped bool) {
			if remapped {
				add(id, Off, Reboot)
			} else {
				add(id, Off)
			}
			if !d.staysOff() {
				ons = append(ons, &step{op: op, device: d, as: On, keys: []string{On}, courtesy: true})
			}
		}
		switch {
		case op.action != Reboot:
			add(id, op.action)
		case len(l.Devices) > 1:
			off(false)
		case d.rebootGiven():
			add(id, Reboot)
		case !d.HasAction(Reboot):
			add(id, Off)
		case d.Split:
			off(true)
		default:
			add(id, Reboot)
		}
	}
	return append(steps, ons...)
}

// stepDone goes on after a step that succeeded.
func (op *operation) stepDone(s *step, p Proof, evidence string) {
	if op.stage == over {
		return
	}
	if p != ProofNone {
		op.proofs = append(op.proofs, p)
	}
	if evidence != "" {
		op.evidence = append(op.evidence, evidence)
	}
	op.deadline, op.wakeAt, op.wake = time.Time{}, time.Time{}, nil
	op.step++
	if op.step < len(op.steps) && !op.steps[op.step].courtesy {
		op.steps[op.step].start()
		return
	}
	if !op.answered {
		if op.action != On && len(op.proofs) == 0 {
			op.note("%s: what it does proves nothing", strings.Join(op.levels[op.level].Devices, ","))
			op.hints = append(op.hints, "add a fencing level with a device that can switch the power off")
			op.nextLevel(op.level)
			return
		}
		op.answer(weakest(op.proofs), strings.Join(op.evidence, "; "))
	}
	if op.step < len(op.steps) {
		op.steps[op.step].start()
		return
	}
	op.close()
}

// stepFailed goes on after a step that did not succeed.
func (op *operation) stepFailed(s *step, why, hint string, timedOut bool) {
	if op.stage == over {
		return
	}
	if s.courtesy {
		op.m.event(slog.LevelWarn, op.target, "%s: the node could not be switched on again: %s", s.name(), why)
		op.stepDone(s, ProofNone, "")
		return
	}
	op.note("%s: %s", s.name(), why)
	if hint != "" && !slices.Contains(op.hints, hint) {
		op.hints = append(op.hints, hint)
	}
	op.m.event(slog.LevelError, op.target, "%s %s: %s", s.name(), s.as, why)
	if timedOut && !op.topology {
		// The device may still act; another one must not come in between.
		// To wait for the watchdog does no harm.
		for op.level+1 < len(op.levels) && !slices.Contains(op.levels[op.level+1].Devices, WatchdogDevice) {
			op.level++
		}
	}
	op.nextLevel(op.level)
}

// learn ends what remains to be proved: who carries it out was faster with the
// news than with its answer, or the answer was lost.
func (op *operation) learn(e Entry) {
	op.steps[op.step].drop()
	op.answer(e.Proof, e.Text)
	for op.step+1 < len(op.steps) && !op.steps[op.step+1].courtesy {
		op.step++
	}
	op.stepDone(op.steps[op.step], ProofNone, "")
}

// weakest is what the proofs of several devices are worth together.
func weakest(proofs []Proof) Proof {
	order := []Proof{ProofWatchdog, ProofReported, ProofReadBack}
	for _, p := range order {
		if slices.Contains(proofs, p) {
			return p
		}
	}
	return ProofNone
}

func (op *operation) succeed(p Proof, evidence string) {
	if op.stage == over {
		return
	}
	if !op.answered {
		op.answer(p, evidence)
	}
	op.close()
}

// answer tells the requests that the node is down.
func (op *operation) answer(p Proof, evidence string) {
	m := op.m
	op.answered = true
	delete(m.failures, strings.ToLower(op.target))
	op.entry.Proof = p
	if p == ProofHuman {
		op.entry.Delegate = "a human"
	}
	op.record(Succeeds, evidence)
	m.event(slog.LevelWarn, op.target, "%s done: %s", op.action, evidence)
	op.tell(nil, "", Duplicate)
}

func (op *operation) fail(err error, hint string) {
	if op.stage == over {
		return
	}
	if op.answered {
		op.close()
		return
	}
	op.answered = true
	if op.stage == working && !op.withdrawn {
		op.m.failures[strings.ToLower(op.target)]++
	}
	op.record(Fails, err.Error())
	op.m.event(slog.LevelError, op.target, "%s failed: %v", op.action, err)
	op.tell(&Error{op.action, op.target, err, hint}, err.Error(), Fails)
	op.close()
}

// tell answers all waiters.
func (op *operation) tell(err error, text string, joined State) {
	m := op.m
	for _, w := range op.waiters {
		e := op.entry
		if w.entry.ID != "" {
			e = w.entry
			e.State, e.Completed, e.Proof, e.Delegate, e.Device = joined, m.now, op.entry.Proof, op.entry.Delegate, op.entry.Device
			e.Text = nonEmpty(text, op.entry.Text)
			m.put(e)
		}
		m.emit(Done{w.id, Result{Err: err, Proof: op.entry.Proof, Evidence: op.entry.Text, Entry: e}})
	}
	op.waiters = nil
}

// close takes the operation off the list; calls that are under way keep
// occupying their devices.
func (op *operation) close() {
	op.stage = over
	op.wakeAt, op.wake, op.deadline, op.surveyEnd, op.turnEnd, op.again = time.Time{}, nil, time.Time{}, time.Time{}, time.Time{}, time.Time{}
	m := op.m
	m.ops = slices.DeleteFunc(m.ops, func(x *operation) bool { return x == op })
	for _, s := range op.surveys {
		s.abandon()
	}
	for _, s := range op.steps {
		if s.call != nil {
			s.call.dead = true
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
