package controller

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"gcrm/cib"
	"gcrm/cluster/executor/operation"
	"gcrm/scheduler"
)

// Config is what a controller is made of. Zero durations mean the defaults.
type Config struct {
	// Node is the name of the node the controller runs on.
	Node string
	// Schedule computes plans; [scheduler.Schedule] outside of tests.
	Schedule func(*cib.CIB, scheduler.Options) (*scheduler.Plan, error)
	// Patience is how long a new leader, or a plan, waits for a node that is
	// online but does not answer before it goes on without it (5s).
	Patience time.Duration
	// Retry is the pause after something failed that may work again (1s).
	Retry time.Duration
}

// IncarnationAttribute is the transient node attribute that names the
// executor whose work a node's history is.
const IncarnationAttribute = "#incarnation"

// Controller is the state machine. See the package comment for the contract.
type Controller struct {
	cfg Config
	now time.Time
	doc *cib.CIB
	out []Effect

	leading bool
	term    uint64
	uuid    string
	seq     uint64 // tokens handed out in this term
	ref     uint64

	nodes      map[string]*node // online cluster nodes by name
	flights    flights
	transition *transition
	number     int    // of transitions in this term
	lastDone   string // fingerprint of the last transition that ran to its end

	asking    time.Time // until then a new leader waits for answers; zero: done
	dirty     bool      // a plan must be computed
	reason    string    // why
	retryAt   time.Time // not before
	recheckAt time.Time
	fencing   map[string]*backoff // by node name
	progress  Progress
	reported  bool
}

// backoff spaces attempts at something that keeps failing.
type backoff struct {
	failures int
	until    time.Time
}

// New returns a controller that is not leading and knows an empty CIB.
func New(cfg Config) *Controller {
	if cfg.Patience == 0 {
		cfg.Patience = 5 * time.Second
	}
	if cfg.Retry == 0 {
		cfg.Retry = time.Second
	}
	return &Controller{cfg: cfg, doc: cib.New(), fencing: map[string]*backoff{}}
}

// Step takes one input at a time and returns what is to be done.
func (c *Controller) Step(now time.Time, in Input) []Effect {
	c.now = now
	switch in := in.(type) {
	case BecameLeader:
		c.lead(in)
	case LostLeader:
		c.resign()
	case Applied:
		c.applied(in)
	case ApplyDone:
		c.applyDone(in)
	case Dispatched:
		c.dispatched(in)
	case Answered:
		c.answered(in)
	case Fenced:
		c.fenced(in)
	case NodeLost:
		c.nodeLost(in.Node, "was lost")
		if c.leading {
			c.refreshNodes() // it is asked again for as long as the CIB has it online
		}
	case Tick:
	default:
		panic(fmt.Sprintf("controller: unknown input %T", in))
	}
	if c.leading {
		c.expire()
		c.advance()
		c.report()
	}
	out := c.out
	c.out = nil
	return out
}

// CIB returns the newest document the controller was given.
func (c *Controller) CIB() *cib.CIB { return c.doc }

func (c *Controller) lead(in BecameLeader) {
	c.resign()
	c.leading, c.term, c.uuid, c.seq = true, in.Term, in.UUID, 0
	c.doc = in.CIB
	c.asking = c.now.Add(c.cfg.Patience)
	c.dirty, c.reason = true, "a new leader took over"
	c.event(slog.LevelInfo, c.cfg.Node, "%s leads the cluster (term %d)", c.cfg.Node, in.Term)
	c.refreshNodes()
}

func (c *Controller) resign() {
	c.leading = false
	c.nodes, c.flights, c.transition = map[string]*node{}, flights{}, nil
	c.number, c.lastDone = 0, ""
	c.dirty, c.asking, c.retryAt, c.recheckAt = false, time.Time{}, time.Time{}, time.Time{}
	clear(c.fencing)
	c.progress, c.reported = Progress{}, false
}

// advance does everything that can be done now.
func (c *Controller) advance() {
	c.ask()
	if !c.asking.IsZero() {
		if c.now.Before(c.asking) && slices.ContainsFunc(c.nodeList(), func(n *node) bool { return !n.ready }) {
			return
		}
		c.asking = time.Time{}
	}
	for {
		if t := c.transition; t != nil {
			if !t.aborted {
				c.walk()
			}
			if !c.settled() {
				return
			}
			c.finish()
		}
		if !c.dirty || len(c.flights.list) > 0 || c.now.Before(c.retryAt) || !c.reconciled() {
			return
		}
		c.compute()
	}
}

// abort stops the current transition, if there is one, and asks for a new plan.
func (c *Controller) abort(format string, args ...any) {
	reason := fmt.Sprintf(format, args...)
	if !c.dirty {
		c.dirty, c.reason = true, reason
	}
	if t := c.transition; t != nil && !t.aborted && !t.over {
		t.aborted = true
		c.event(slog.LevelInfo, "", "transition %d stopped: %s", t.number, reason)
	}
}

// compute has a plan made and starts to walk it.
func (c *Controller) compute() {
	c.dirty = false
	plan, err := c.cfg.Schedule(c.doc, scheduler.Options{Now: c.now})
	if err != nil {
		c.event(slog.LevelError, "", "no plan can be made from CIB %s: %v", c.doc.Version(), err)
		c.recheckAt = c.now.Add(c.recheckInterval())
		return
	}
	c.recheckAt = c.now.Add(c.recheckInterval())
	if !plan.Recheck.IsZero() && plan.Recheck.After(c.now) && plan.Recheck.Before(c.recheckAt) {
		c.recheckAt = plan.Recheck
	}
	c.number++
	t := newTransition(c.number, plan, c.doc.Version())
	t.began = c.now
	if len(plan.Actions) > 0 && t.fingerprint == c.lastDone {
		c.event(slog.LevelInfo, "", "transition %d would repeat what was just done without effect; waiting for a change", t.number)
		t.actions, t.ready, t.light = nil, nil, nil
	}
	c.transition = t
	if len(t.actions) > 0 {
		c.event(slog.LevelInfo, "", "transition %d: %d actions for CIB %s because %s", t.number, len(t.actions), t.version, c.reason)
	}
	c.lastDone = ""
}

// settled reports whether nothing of the transition is under way or can still
// start.
func (c *Controller) settled() bool {
	t := c.transition
	for _, f := range c.flights.list {
		if f.transition == t.number {
			return false
		}
	}
	return t.aborted || t.idle()
}

// finish ends a transition that is settled.
func (c *Controller) finish() {
	t := c.transition
	if t.over {
		return
	}
	t.over = true
	switch {
	case t.aborted:
		c.transition = nil
	case t.worked:
		if n := len(t.actions) - t.done; n > 0 {
			c.event(slog.LevelWarn, "", "transition %d ended with %d of %d actions left out, which wait for something that does not happen", t.number, n, len(t.actions))
		}
		c.event(slog.LevelInfo, "", "transition %d is done", t.number)
		c.lastDone = t.fingerprint
		if !c.dirty {
			c.dirty, c.reason = true, fmt.Sprintf("transition %d is done", t.number)
		}
	}
}

// recheckInterval is the cluster-recheck-interval property.
func (c *Controller) recheckInterval() time.Duration {
	if v, ok := c.doc.Property("cluster-recheck-interval"); ok {
		if d, err := cib.ParseDuration(v); err == nil && d > 0 {
			return d
		}
	}
	return 15 * time.Minute
}

func (c *Controller) nodeActionLimit() int {
	v, _ := c.doc.Property("node-action-limit")
	n, _ := strconv.Atoi(v)
	return max(n, 0)
}

// Wake is when Step must be called with [Tick]; zero means never.
func (c *Controller) Wake() time.Time {
	if !c.leading {
		return time.Time{}
	}
	var at time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	sooner(c.asking)
	sooner(c.recheckAt)
	if c.dirty && c.retryAt.After(c.now) {
		sooner(c.retryAt)
	}
	for _, n := range c.nodes {
		if !n.ready && n.query == 0 {
			sooner(n.askAt)
		}
		if !n.ready && c.dirty && c.now.Before(n.silent.Add(c.cfg.Patience)) {
			sooner(n.silent.Add(c.cfg.Patience))
		}
	}
	for _, f := range c.flights.list {
		sooner(f.deadline)
	}
	if t := c.transition; t != nil && !t.aborted && !t.idle() {
		if patience := t.began.Add(c.cfg.Patience); patience.After(c.now) {
			sooner(patience)
		}
		for _, b := range c.fencing {
			if b.until.After(c.now) {
				sooner(b.until)
			}
		}
	}
	return at
}

// expire handles what time brings about.
func (c *Controller) expire() {
	if !c.recheckAt.IsZero() && !c.now.Before(c.recheckAt) {
		c.recheckAt = time.Time{}
		if t := c.transition; !c.dirty && (t == nil || t.over) {
			c.dirty, c.reason = true, "time has come to look again"
		}
	}
	for _, f := range slices.Clone(c.flights.list) {
		if f.deadline.IsZero() || c.now.Before(f.deadline) {
			continue
		}
		c.overdue(f)
	}
}

func (c *Controller) nextRef() uint64 {
	c.ref++
	return c.ref
}

func (c *Controller) nextToken() operation.Token {
	c.seq++
	return operation.Token{Term: c.term, Seq: c.seq}
}

func (c *Controller) emit(e Effect) { c.out = append(c.out, e) }

func (c *Controller) event(level slog.Level, object, format string, args ...any) {
	c.emit(Event{Level: level, Object: object, Text: fmt.Sprintf(format, args...)})
}

// shownRunning bounds [Progress.Running].
const shownRunning = 50

// report sends [Progress] if it changed.
func (c *Controller) report() {
	p := Progress{Number: c.number}
	if t := c.transition; t != nil {
		p.Done, p.Total, p.Computed = t.done, len(t.actions), t.version
		p.Idle = t.over && !c.dirty && len(c.flights.list) == 0
	}
	for _, f := range c.flights.list[:min(len(c.flights.list), shownRunning)] {
		p.Running = append(p.Running, f.String())
	}
	slices.Sort(p.Running)
	old := c.progress
	if c.reported && old.Idle == p.Idle && old.Number == p.Number && old.Done == p.Done && old.Total == p.Total &&
		old.Computed == p.Computed && slices.Equal(old.Running, p.Running) {
		return
	}
	c.progress, c.reported = p, true
	c.emit(p)
}
