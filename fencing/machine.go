package fencing

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is what a machine is made with.
type Config struct {
	Self string // this node
	// Boot tells apart the entries of this machine from those of earlier
	// ones of the same node; the time the node started is good for it.
	Boot string
	// Draw returns a random number in [0, n).
	Draw func(n int64) int64
	// Announces is set if every Announce is answered.
	Announces bool
}

// Periods that are no matter of configuration.
const (
	listLife      = time.Minute      // how long the list of a device is believed
	retryPause    = time.Second      // between attempts
	readBackPause = time.Second      // between readings of the power
	readings      = 5                // of the power, before it is taken for on
	powerTimeout  = 20 * time.Second // for the power to be read as off
	answerGrace   = 5 * time.Second  // for an answer, beyond the action's timeout
	surveyWindow  = 20 * time.Second // for hosts to be found, once one device is known
	watchdogSlack = 2 * time.Second  // added to the watchdogs' time
	announcePause = time.Second      // before a request is announced again
	newsLife      = time.Minute      // how long an ended request is still told of
	// elsewherePatience is for a request of another node's machine to end.
	elsewherePatience = 10 * time.Minute
	// silence is how long after its fencing a node may still seem to be there,
	// until its heartbeats are missed. If it is there for longer, the fence
	// device has lied.
	silence = time.Minute
)

// Machine is the fencing core of one node. See the package comment.
type Machine struct {
	cfg      Config
	now      time.Time
	conf     *Configuration
	online   []string
	quorate  bool
	watchdog time.Duration
	armed    map[string]time.Duration   // nil: all nodes have one
	started  map[string]map[string]bool // nil: as in the configuration
	// heard is when this machine learned of requests of others that are not
	// over.
	heard map[string]time.Time
	// gone are nodes whose last incarnation is known to be down, by name in
	// lower case.
	gone map[string]gone

	ops      []*operation // in the order of their requests
	pending  map[uint64]*call
	nextRef  uint64
	nextID   uint64
	lists    map[string]hostList // by device
	busy     map[string]int      // actions by device
	waiting  []*call             // for a device, in order
	failures map[string]int      // in a row, by target
	history  History
	effects  []Effect
}

// gone says by what it is known that an incarnation of a node is down.
type gone struct {
	entry Entry
	at    time.Time
}

type hostList struct {
	hosts  []string
	until  time.Time
	worked bool // it could once
}

// call is one action of a device on its way: queued, executing, answered.
type call struct {
	ref     uint64
	device  *Device
	execute Execute
	begun   time.Time
	expires time.Time // zero while queued
	done    func(Outcome)
	started func() // when the device takes it
	// dead calls are not waited for any more, but occupy their device.
	dead bool
}

// New makes a machine without configuration and members.
func New(cfg Config) *Machine {
	return &Machine{cfg: cfg, conf: &Configuration{Timeout: time.Minute, MaxAttempts: 10, Concurrent: true},
		pending: map[uint64]*call{}, lists: map[string]hostList{}, busy: map[string]int{}, failures: map[string]int{}, history: History{}, heard: map[string]time.Time{}, gone: map[string]gone{}}
}

// Step takes an input and returns what is to be done about it.
func (m *Machine) Step(now time.Time, in Input) []Effect {
	if now.After(m.now) {
		m.now = now
	}
	switch in := in.(type) {
	case Configure:
		m.conf = in.Configuration
		clear(m.failures)
		clear(m.lists)
	case Members:
		m.members(in)
	case Request:
		m.request(in)
	case Abandon:
		m.abandon(in.ID)
	case Withdraw:
		for _, op := range slices.Clone(m.ops) {
			if strings.EqualFold(op.target, in.Target) && !op.touched {
				op.withdrawn = true
				op.fail(fmt.Errorf("withdrawn: %s", in.Why), "")
			}
		}
	case Executed:
		m.executed(in)
	case Witnessed:
		m.witnessed(in)
	case Confirm:
		m.confirm(in)
	case Started:
		m.started = in.Devices
	case Remember:
		m.remember(in)
	case Told:
		m.remember(Remember{Entries: in.Entries, Live: true})
		// One that a node knows nothing of is its namesake's of the past.
		for id := range m.heard {
			if e := m.history[id]; containsFold(in.Nodes, e.Origin) && !slices.ContainsFunc(in.Entries, func(o Entry) bool { return o.ID == id }) {
				delete(m.heard, id)
			}
		}
		for _, op := range m.ops {
			if op.id == in.ID {
				op.told(in.Answer)
			}
		}
	case Retract:
		delete(m.gone, strings.ToLower(in.Target))
	case Forget:
		for id, e := range m.history {
			if e.State.Over() && (in.Target == "" || strings.EqualFold(e.Target, in.Target)) {
				delete(m.history, id)
			}
		}
	}
	m.advance()
	out := m.effects
	m.effects = nil
	return out
}

// History returns a copy of the history, the latest first.
func (m *Machine) History() []Entry { return m.history.Sorted() }

// UnderWay returns the requests that this machine is carrying out, and those that
// ended within the last minute: the news of their end may still be on the way.
func (m *Machine) UnderWay(now time.Time) []Entry {
	var out []Entry
	for _, op := range m.ops {
		if !op.answered && op.stage != over {
			out = append(out, op.entry)
		}
	}
	for _, e := range m.history.Sorted() {
		if e.State.Over() && strings.EqualFold(e.Origin, m.cfg.Self) && now.Sub(e.Completed) < newsLife {
			out = append(out, e)
		}
	}
	return out
}

// Idle reports whether there is no request.
func (m *Machine) Idle() bool { return len(m.ops) == 0 }

// Wake returns when the next Tick is due.
func (m *Machine) Wake() (time.Time, bool) {
	var at time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	for _, c := range m.pending {
		sooner(c.expires)
	}
	for _, op := range m.ops {
		sooner(op.wakeAt)
		sooner(op.deadline)
		sooner(op.surveyEnd)
		sooner(op.turnEnd)
	}
	return at, !at.IsZero()
}

// advance lets everything happen that time or free devices allow.
func (m *Machine) advance() {
	for again := true; again; {
		again = false
		for _, ref := range sortedKeys(m.pending) {
			if c := m.pending[ref]; c != nil && !c.expires.IsZero() && !m.now.Before(c.expires) {
				m.finish(c, Outcome{Code: TimedOut, Text: "no answer from " + c.execute.Node})
				again = true
			}
		}
		for _, op := range slices.Clone(m.ops) {
			again = op.advance() || again
		}
		again = m.dequeue() || again
	}
}

func (m *Machine) emit(e Effect) { m.effects = append(m.effects, e) }

func (m *Machine) event(level slog.Level, target, format string, args ...any) {
	m.emit(Event{Level: level, Target: target, Text: fmt.Sprintf(format, args...)})
}

func (m *Machine) members(in Members) {
	gone := func(node string) bool { return !containsFold(in.Nodes, node) }
	for node, g := range m.gone {
		was, is := containsFold(m.online, node), !gone(node)
		if !was && is || was && !is && m.now.Sub(g.at) > silence {
			delete(m.gone, node)
		}
	}
	m.online, m.quorate, m.watchdog, m.armed = slices.Sorted(slices.Values(in.Nodes)), in.Quorate, in.Watchdog, in.Armed
	for _, op := range slices.Clone(m.ops) {
		if op.agreed && !m.quorate && !op.touched {
			// The others may have agreed on something else by now.
			op.withdrawn = true
			op.fail(errors.New("quorum was lost before a device was asked"), "")
		}
	}
	for _, ref := range sortedKeys(m.pending) {
		if c := m.pending[ref]; c != nil && !c.expires.IsZero() && gone(c.execute.Node) {
			m.finish(c, Outcome{Code: Unreachable, Text: "node " + c.execute.Node + " was lost while it executed"})
		}
	}
}

// acting reports whether a device is still busy with a node, for an operation
// that ended before it.
func (m *Machine) acting(target string) bool {
	for _, c := range m.pending {
		if strings.EqualFold(c.execute.Target, target) {
			return true
		}
	}
	return false
}

func (m *Machine) isOnline(node string) bool { return containsFold(m.online, node) }

// request begins an operation, or joins one.
func (m *Machine) request(r Request) {
	if r.Action == "" {
		r.Action = m.conf.Action
	}
	op := m.newOperation(r)
	switch r.Action {
	case Off, On, Reboot:
	default:
		op.refuse(fmt.Errorf("%q is no fencing action", r.Action), "use reboot, off or on")
		return
	}
	if r.Tolerance > 0 {
		if e, ok := m.history.LastSuccess(r.Target, r.Action); ok && m.now.Sub(e.Completed) <= r.Tolerance {
			m.event(slog.LevelInfo, r.Target, "%s was done %s ago, which is recent enough", r.Action, m.now.Sub(e.Completed))
			m.emit(Done{r.ID, Result{Proof: e.Proof, Evidence: e.Text, Entry: e}})
			return
		}
	}
	if e, ok := m.isGone(r); ok {
		m.event(slog.LevelInfo, r.Target, "this incarnation of it was fenced already: %s", e.Text)
		m.emit(Done{r.ID, Result{Proof: e.Proof, Evidence: e.Text, Entry: e}})
		return
	}
	if n := m.failures[strings.ToLower(r.Target)]; !r.Manual && r.Action != On && n >= m.conf.MaxAttempts {
		op.refuse(fmt.Errorf("%d attempts failed (stonith-max-attempts)", n),
			"repair the fence devices, or make sure that the node is off and run: gcrm fence confirm "+r.Target)
		return
	}
	for _, other := range m.ops {
		// A node's request to fence itself ends with the node, so nobody
		// else waits for it. What was asked for an earlier incarnation may have
		// been done before this one started.
		if strings.EqualFold(other.target, r.Target) && other.action == r.Action && !strings.EqualFold(r.Target, m.cfg.Self) && r.Incarnation <= other.request.Incarnation {
			op.join(other)
			return
		}
	}
	m.ops = append(m.ops, op)
	m.event(slog.LevelWarn, r.Target, "%s requested by %s: %s", r.Action, nonEmpty(r.Client, "somebody"), nonEmpty(r.Reason, "no reason given"))
	op.announce()
}

func (m *Machine) abandon(id uint64) {
	for _, op := range slices.Clone(m.ops) {
		op.waiters = slices.DeleteFunc(op.waiters, func(w waiter) bool { return w.id == id })
		if len(op.waiters) == 0 && !op.touched {
			op.withdrawn = true
			op.fail(fmt.Errorf("nobody waits for it any more"), "")
		}
	}
}

// witnessed keeps what this node did for another one's machine.
func (m *Machine) witnessed(in Witnessed) {
	if !in.Outcome.showsOff() {
		return
	}
	e := in.Entry
	e.State, e.Completed, e.Proof, e.Text = Succeeds, m.now, ProofReadBack, in.Outcome.evidence(e.Text)
	m.put(e)
}

// confirm is the manual acknowledgement.
func (m *Machine) confirm(in Confirm) {
	text := "confirmed by " + nonEmpty(in.By, "a human")
	found := false
	for _, op := range slices.Clone(m.ops) {
		if strings.EqualFold(op.target, in.Target) && op.action != On && !op.answered {
			found = true
			op.succeed(ProofHuman, text)
		}
	}
	delete(m.failures, strings.ToLower(in.Target))
	if found {
		return
	}
	e := Entry{ID: m.newID(), Target: in.Target, Action: Off, Client: nonEmpty(in.By, "a human"), Origin: m.cfg.Self, Delegate: "a human",
		State: Succeeds, Started: m.now, Completed: m.now, Proof: ProofHuman, Text: text, Incarnation: in.Incarnation}
	m.put(e)
	m.event(slog.LevelWarn, in.Target, "%s", text)
}

func (m *Machine) put(e Entry) { m.keep(e, false) }

func (m *Machine) keep(e Entry, told bool) {
	if m.history.Put(e) {
		m.emit(Record{e, told})
		m.noteGone(e)
	}
}

// noteGone keeps that a node was just fenced.
func (m *Machine) noteGone(e Entry) {
	if e.State == Succeeds && e.Action != On && e.Incarnation > 0 {
		// What is told may be of an earlier incarnation than what is known.
		if key := strings.ToLower(e.Target); e.Incarnation >= m.gone[key].entry.Incarnation {
			m.gone[key] = gone{e, m.now}
		}
		// What is under way for the same incarnation must not hit the next.
		for _, op := range slices.Clone(m.ops) {
			r := op.request
			if op.id != e.ID && !op.answered && !r.Manual && op.action != On && strings.EqualFold(op.target, e.Target) && r.Incarnation > 0 && e.Incarnation >= r.Incarnation {
				op.entry.Delegate, op.entry.Device = e.Delegate, e.Device
				op.succeed(e.Proof, e.Text)
			}
		}
	}
}

// isGone finds what a node was fenced by already, if nothing was heard of the
// incarnation to be fenced ever since.
func (m *Machine) isGone(r Request) (Entry, bool) {
	g, ok := m.gone[strings.ToLower(r.Target)]
	return g.entry, ok && !r.Manual && r.Action != On && r.Incarnation > 0 && g.entry.Incarnation >= r.Incarnation && !m.isOnline(r.Target)
}

// remember takes entries of others.
func (m *Machine) remember(in Remember) {
	for _, e := range in.Entries {
		if i := slices.IndexFunc(m.ops, func(op *operation) bool { return op.id == e.ID }); i >= 0 {
			if op := m.ops[i]; in.Live && e.State == Succeeds && op.stage == working && !op.answered {
				op.learn(e)
			}
			continue
		}
		isNew := m.history.Put(e)
		if isNew && !in.Stored {
			m.emit(Record{e, true})
		}
		if in.Live {
			m.noteGone(e) // it may be in the history since before the last start
		}
		if !isNew {
			continue
		}
		if _, known := m.heard[e.ID]; e.State.Over() {
			delete(m.heard, e.ID)
		} else if !known {
			m.heard[e.ID] = m.now
		}
	}
}

// elsewhere finds a request for the target that another node's machine is
// carrying out: after a change of leadership, or when the leader itself is to
// be fenced. It returns until when that is to be waited for.
func (m *Machine) elsewhere(op *operation) (until time.Time, busy bool) {
	for id, since := range m.heard {
		e, ok := m.history[id]
		if !ok {
			delete(m.heard, id)
			continue
		}
		if e.State.Over() || e.Origin == m.cfg.Self || !strings.EqualFold(e.Target, op.target) || !m.isOnline(e.Origin) || strings.EqualFold(e.Origin, e.Target) {
			continue
		}
		end := since.Add(elsewherePatience)
		// Of two that are both only about to begin, one has to be first. Each
		// knows of the other by then (see announce).
		if !m.now.Before(end) || e.State == Querying && e.ID > op.id {
			continue
		}
		if !busy || end.After(until) {
			until = end
		}
		busy = true
	}
	return until, busy
}

func (m *Machine) newID() string {
	m.nextID++
	return m.cfg.Self + "/" + m.cfg.Boot + "/" + strconv.FormatUint(m.nextID, 10)
}

// run sends an action to a device, as soon as the device is free.
func (m *Machine) run(d *Device, x Execute, done func(Outcome)) *call {
	m.nextRef++
	x.Ref, x.Device = m.nextRef, d.ID
	c := &call{ref: x.Ref, device: d, execute: x, done: done}
	m.waiting = append(m.waiting, c)
	return c
}

// dequeue starts what waits for a device that is free.
func (m *Machine) dequeue() bool {
	started := false
	for _, c := range slices.Clone(m.waiting) {
		if c.device.Limit >= 0 && m.busy[c.device.ID] >= c.device.Limit {
			continue
		}
		m.waiting = slices.DeleteFunc(m.waiting, func(x *call) bool { return x == c })
		started = true
		if c.dead {
			continue
		}
		if !m.isOnline(c.execute.Node) {
			c.dead = true
			c.done(Outcome{Code: Unreachable, Text: "node " + c.execute.Node + " is not there"})
			continue
		}
		m.busy[c.device.ID]++
		m.pending[c.ref] = c
		c.begun, c.expires = m.now, m.now.Add(c.execute.Timeout+answerGrace)
		if c.started != nil {
			c.started()
		}
		m.emit(c.execute)
	}
	return started
}

func (m *Machine) executed(in Executed) {
	if c := m.pending[in.Ref]; c != nil {
		m.finish(c, in.Outcome)
	} // else it is late or doubled
}

func (m *Machine) finish(c *call, o Outcome) {
	delete(m.pending, c.ref)
	if m.busy[c.device.ID]--; m.busy[c.device.ID] <= 0 {
		delete(m.busy, c.device.ID)
	}
	if !c.dead {
		c.dead = true
		c.done(o)
	}
}

// executors lists the nodes that may execute a device for a target, the best
// first: those that are known to reach it, then others, then the target.
func (m *Machine) executors(d *Device, target string, action string) []string {
	if a := d.Meta.Action(action, ""); a != nil && a.OnTarget {
		if m.isOnline(target) {
			return []string{target}
		}
		return nil
	}
	var first, second, last []string
	for _, n := range m.online {
		switch key := strings.ToLower(n); {
		case d.Banned[key]:
		case strings.EqualFold(n, target):
			last = append(last, n)
		case m.started == nil && d.Verified[key] || m.started[d.ID][key]:
			first = append(first, n)
		case strings.EqualFold(n, m.cfg.Self):
			second = slices.Insert(second, 0, n)
		default:
			second = append(second, n)
		}
	}
	return slices.Concat(first, second, last)
}

func containsFold(list []string, s string) bool {
	return slices.ContainsFunc(list, func(x string) bool { return strings.EqualFold(x, s) })
}

func nonEmpty(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func sortedKeys[V any](m map[uint64]V) []uint64 {
	keys := make([]uint64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
