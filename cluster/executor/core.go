package executor

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/executor/operation"
)

// Errors of [Core.Dispatch]: the job will not be run.
var (
	// ErrIncarnation: the dispatch was meant for an executor before this one.
	ErrIncarnation = errors.New("the executor was started anew since the leader last asked it")
	// ErrStale: a later word of a leader has overtaken the dispatch.
	ErrStale = errors.New("the dispatch was overtaken by a later query or another leader")
)

// CoreConfig is what a core is made of. Zero values mean the defaults.
type CoreConfig struct {
	Node, NodeID string
	Incarnation  string // fresh with every start
	// Parallel bounds how many actions run at a time (4).
	Parallel int
	// LastCall is the highest call-id in the node's history.
	LastCall int
	// Grace is how long after its timeout an agent may take to end (5s).
	Grace time.Duration
	// Retry and MaxRetry bound the pauses between submissions (200ms, 5s).
	Retry, MaxRetry time.Duration
}

// Effect is something to be done for a core.
type Effect interface{ effect() }

type (
	// Run calls the agent; [Core.Ran] with the ID must follow.
	Run struct {
		ID  uint64
		Job operation.Job
	}
	// Kill ends a running call; its Ran still follows.
	Kill struct{ ID uint64 }
	// Submit commits a change; [Core.Submitted] with the ID must follow.
	Submit struct {
		ID     uint64
		Change cib.Change
		// Verify is set if an earlier attempt may have been committed and
		// the change must not be made twice: look first whether
		// [operation.Recorded] holds.
		Verify bool
		// Again is set if an earlier attempt failed.
		Again   bool
		Job     operation.Job
		Outcome operation.Outcome
	}
)

func (Run) effect()    {}
func (Kill) effect()   {}
func (Submit) effect() {}

// Core decides what one node's executor does. It is not safe for concurrent
// use.
type Core struct {
	cfg       CoreConfig
	now       time.Time
	out       []Effect
	floor     operation.Token
	limit     int // of actions at a time, as the leader has it; 0: Parallel
	lastID    uint64
	lastCall  int
	seen      map[string]bool
	seenOrder []string
	resources map[string]*resource
	ordered   []*resource // by id
	waiting   []*task     // in the order of arrival
	running   map[uint64]*task
	// started is the last start of each resource that may be active: it is
	// stopped with the parameters that it was started with, whatever the
	// configuration says by then. After a restart of the daemon they are not
	// known, and the present ones are used.
	started map[string]operation.Job
}

// resource is what a core knows of one resource.
type resource struct {
	id        string
	current   *task
	recurring map[string]*recurring // by operation id
	results   []*result             // to be committed, in order
}

// task is one call of an agent.
type task struct {
	id        uint64
	job       operation.Job
	call      int
	queued    time.Time
	began     time.Time
	recurring *recurring // nil for one-off actions
	// dropped: nobody wants the result any more.
	dropped bool
	// stuck: it has not ended after its timeout; the result is out already.
	stuck bool
}

// recurring is a monitor with an interval.
type recurring struct {
	job      operation.Job
	call     int
	due      time.Time // zero while a task for it waits or runs
	task     *task
	reported bool
	last     operation.Outcome
}

// result is an outcome that is not committed yet.
type result struct {
	id       uint64
	job      operation.Job
	outcome  operation.Outcome
	traits   operation.Traits
	attempts int
	under    bool // an attempt is under way
	at       time.Time
}

// seenLimit bounds the keys remembered against duplicates.
const seenLimit = 20000

// NewCore returns a core that runs nothing.
func NewCore(cfg CoreConfig) *Core {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&cfg.Grace, 5*time.Second)
	set(&cfg.Retry, 200*time.Millisecond)
	set(&cfg.MaxRetry, 5*time.Second)
	if cfg.Parallel <= 0 {
		cfg.Parallel = 4
	}
	return &Core{cfg: cfg, lastCall: cfg.LastCall, seen: map[string]bool{},
		resources: map[string]*resource{}, running: map[uint64]*task{}, started: map[string]operation.Job{}}
}

func (c *Core) resource(id string) *resource {
	r := c.resources[id]
	if r == nil {
		r = &resource{id: id, recurring: map[string]*recurring{}}
		c.resources[id] = r
		at, _ := c.find(id)
		c.ordered = slices.Insert(c.ordered, at, r)
	}
	return r
}

func (c *Core) find(id string) (int, bool) {
	return slices.BinarySearchFunc(c.ordered, id, func(r *resource, id string) int { return strings.Compare(r.id, id) })
}

// prune drops resources of which nothing is left to be done.
func (c *Core) prune() {
	c.ordered = slices.DeleteFunc(c.ordered, func(r *resource) bool {
		if r.current != nil || len(r.recurring) > 0 || len(r.results) > 0 ||
			slices.ContainsFunc(c.waiting, func(t *task) bool { return t.job.Resource == r.id }) {
			return false
		}
		delete(c.resources, r.id)
		return true
	})
}

// Dispatch takes a job, or refuses it with an error.
func (c *Core) Dispatch(now time.Time, d operation.Dispatch) ([]Effect, error) {
	c.now = now
	if d.Incarnation != c.cfg.Incarnation {
		return nil, fmt.Errorf("%s on %s: %w", d.Job.OperationKey, c.cfg.Node, ErrIncarnation)
	}
	if d.Token.Less(c.floor) {
		return nil, fmt.Errorf("%s on %s: %w", d.Job.OperationKey, c.cfg.Node, ErrStale)
	}
	if c.floor.Term < d.Token.Term {
		c.floor = operation.Token{Term: d.Token.Term}
	}
	if c.seen[d.Job.Key] {
		return nil, nil
	}
	c.remember(d.Job.Key)
	c.limit = d.Limit
	c.accept(d.Job)
	return c.step(), nil
}

func (c *Core) remember(key string) {
	c.seen[key] = true
	c.seenOrder = append(c.seenOrder, key)
	if len(c.seenOrder) > seenLimit {
		delete(c.seen, c.seenOrder[0])
		c.seenOrder = slices.Delete(c.seenOrder, 0, 1)
	}
}

// Report answers a leader's query; from now on, dispatches that are older than
// the query are refused. So is the query itself if it is older.
func (c *Core) Report(token operation.Token) (operation.Report, error) {
	if token.Less(c.floor) {
		return operation.Report{}, fmt.Errorf("query to %s: %w", c.cfg.Node, ErrStale)
	}
	c.floor = token
	keys := map[string]bool{}
	for _, t := range c.waiting {
		if t.recurring == nil || !t.recurring.reported {
			keys[t.job.Key] = true
		}
	}
	for _, t := range c.running {
		if !t.dropped && !t.stuck && (t.recurring == nil || !t.recurring.reported) {
			keys[t.job.Key] = true
		}
	}
	for _, r := range c.resources {
		for _, m := range r.recurring {
			if !m.reported {
				keys[m.job.Key] = true
			}
		}
		for _, s := range r.results {
			keys[s.job.Key] = true
		}
	}
	return operation.Report{Incarnation: c.cfg.Incarnation, Parallel: c.cfg.Parallel, Jobs: slices.Sorted(maps.Keys(keys))}, nil
}

// accept queues a new job.
func (c *Core) accept(job operation.Job) {
	r := c.resource(job.Resource)
	c.lastCall++
	call := c.lastCall
	switch {
	case job.Task == operation.Cancel:
		c.drop(r, job.OperationID())
		c.finish(r, job, operation.Outcome{CallID: call, Run: c.now}, operation.Traits{})
	case job.Task == operation.Delete:
		c.dropAll(r)
		c.finish(r, job, operation.Outcome{CallID: call, Run: c.now}, operation.Traits{})
	case job.Interval > 0:
		id := job.OperationID()
		c.drop(r, id)
		r.recurring[id] = &recurring{job: job, call: call, due: c.now.Add(job.StartDelay)}
	default:
		if job.Task == "stop" || job.Task == "migrate_to" {
			// A monitor while the resource leaves would find it gone.
			c.dropAll(r)
		}
		c.enqueue(&task{job: job, call: call})
	}
}

func (c *Core) enqueue(t *task) {
	c.lastID++
	t.id, t.queued = c.lastID, c.now
	c.waiting = append(c.waiting, t)
}

// drop ends a recurring operation, also one that runs at the moment.
func (c *Core) drop(r *resource, id string) {
	m := r.recurring[id]
	if m == nil {
		return
	}
	delete(r.recurring, id)
	if m.task == nil {
		return
	}
	c.waiting = slices.DeleteFunc(c.waiting, func(t *task) bool { return t == m.task })
	if r.current == m.task {
		m.task.dropped = true
		c.out = append(c.out, Kill{ID: m.task.id})
	}
}

func (c *Core) dropAll(r *resource) {
	for _, id := range slices.Sorted(maps.Keys(r.recurring)) {
		c.drop(r, id)
	}
}

// Ran takes the result of a call. The outcome's RC, Status, Reason and Exec
// are used.
func (c *Core) Ran(now time.Time, id uint64, o operation.Outcome, traits operation.Traits) []Effect {
	c.now = now
	t := c.running[id]
	if t == nil {
		return nil
	}
	delete(c.running, id)
	r := c.resource(t.job.Resource)
	r.current = nil
	if !t.dropped {
		if t.stuck {
			c.rearm(t)
		} else {
			c.ended(r, t, o, traits)
		}
	}
	return c.step()
}

// ended judges the outcome of a call.
func (c *Core) ended(r *resource, t *task, o operation.Outcome, traits operation.Traits) {
	o.CallID, o.Run, o.Queue = t.call, t.began, t.began.Sub(t.queued)
	m := t.recurring
	if m == nil {
		if t.job.Task == "stop" && o.Status == operation.StatusDone && o.RC == 0 {
			delete(c.started, t.job.Resource)
		}
		c.finish(r, t.job, o, traits)
		return
	}
	if !m.reported || m.last.RC != o.RC || m.last.Status != o.Status {
		o.First, o.Changed = !m.reported, c.now
		// The history tells times in seconds, and of two entries of one call
		// the later one counts: a failure soon after a success must be later.
		if next := m.last.Changed.Truncate(time.Second).Add(time.Second); m.reported && next.After(o.Changed) {
			o.Changed = next
		}
		m.reported, m.last = true, o
		c.finish(r, t.job, o, traits)
	}
	if !t.stuck {
		c.rearm(t)
	}
}

// rearm sets the time of the next run of a recurring operation.
func (c *Core) rearm(t *task) {
	if m := t.recurring; m != nil {
		m.task, m.due = nil, c.now.Add(m.job.Interval)
	}
}

// finish queues an outcome for its commit.
func (c *Core) finish(r *resource, job operation.Job, o operation.Outcome, traits operation.Traits) {
	c.lastID++
	r.results = append(r.results, &result{id: c.lastID, job: job, outcome: o, traits: traits, at: c.now})
}

// Submitted takes the fate of a submission; without error it was committed.
func (c *Core) Submitted(now time.Time, id uint64, err error) []Effect {
	c.now = now
	for _, r := range c.ordered {
		if len(r.results) == 0 || r.results[0].id != id {
			continue
		}
		s := r.results[0]
		s.under = false
		if err == nil {
			r.results = slices.Delete(r.results, 0, 1)
			c.prune()
		} else {
			s.attempts++
			s.at = now.Add(min(c.cfg.Retry<<min(s.attempts-1, 10), c.cfg.MaxRetry))
		}
		break
	}
	return c.step()
}

// Tick says that time has passed; it must be called at [Core.Wake].
func (c *Core) Tick(now time.Time) []Effect {
	c.now = now
	return c.step()
}

// Wake is when Tick must be called; zero means never.
func (c *Core) Wake() time.Time {
	var at time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	for _, r := range c.ordered {
		for _, m := range r.recurring {
			sooner(m.due)
		}
		if len(r.results) > 0 && !r.results[0].under {
			sooner(r.results[0].at)
		}
	}
	for _, t := range c.running {
		if !t.stuck && !t.dropped {
			sooner(c.deadline(t))
		}
	}
	for _, t := range c.waiting {
		if r := c.resources[t.job.Resource]; r.current != nil {
			sooner(c.patience(t, r.current))
		}
	}
	return at
}

func (c *Core) deadline(t *task) time.Time { return t.began.Add(t.job.Timeout + c.cfg.Grace) }

// step does everything that can be done now.
func (c *Core) step() []Effect {
	for _, r := range c.ordered {
		for m := range r.monitors() {
			if !m.due.IsZero() && !c.now.Before(m.due) {
				m.due = time.Time{}
				m.task = &task{job: m.job, call: m.call, recurring: m}
				c.enqueue(m.task)
			}
		}
	}
	c.giveUp()
	c.start()
	for _, r := range c.ordered {
		if len(r.results) == 0 {
			continue
		}
		if s := r.results[0]; !s.under && !c.now.Before(s.at) {
			s.under = true
			c.submit(s)
		}
	}
	out := c.out
	c.out = nil
	return out
}

// monitors are the recurring operations in a fixed order.
func (r *resource) monitors() iter.Seq[*recurring] {
	return func(yield func(*recurring) bool) {
		if len(r.recurring) == 1 {
			for _, m := range r.recurring {
				yield(m)
			}
			return
		}
		for _, id := range slices.Sorted(maps.Keys(r.recurring)) {
			if !yield(r.recurring[id]) {
				return
			}
		}
	}
}

// start begins waiting tasks, first come first served.
func (c *Core) start() {
	blocked := map[string]bool{}
	c.waiting = slices.DeleteFunc(c.waiting, func(t *task) bool {
		r := c.resource(t.job.Resource)
		if blocked[r.id] || r.current != nil || len(c.running) >= cmp.Or(c.limit, c.cfg.Parallel) {
			blocked[r.id] = true
			return false
		}
		t.began = c.now
		r.current = t
		c.running[t.id] = t
		c.keepParams(t)
		c.out = append(c.out, Run{ID: t.id, Job: t.job})
		return true
	})
}

// keepParams gives a stop the parameters of the start. What a failed start or
// reload left behind is of that attempt's parameters.
func (c *Core) keepParams(t *task) {
	switch t.job.Task {
	case "start", "migrate_from", "reload", "reload-agent":
		c.started[t.job.Resource] = t.job
	case "stop":
		s, ok := c.started[t.job.Resource]
		if ok && s.Class == t.job.Class && s.Provider == t.job.Provider && s.Type == t.job.Type {
			t.job.Params = s.Params
		}
	}
}

// giveUp reports actions as timed out whose agent does not end although it was
// killed, and those that waited behind such a one for as long as they may take.
func (c *Core) giveUp() {
	for _, id := range slices.Sorted(maps.Keys(c.running)) {
		t := c.running[id]
		if t.stuck || t.dropped || c.now.Before(c.deadline(t)) {
			continue
		}
		t.stuck = true
		c.ended(c.resource(t.job.Resource), t, operation.Outcome{RC: 1, Status: operation.StatusTimedOut, Exec: c.now.Sub(t.began),
			Reason: fmt.Sprintf("%s of %s was killed after %s and has not ended", t.job.Task, t.job.Resource, t.job.Timeout)}, operation.Traits{})
	}
	c.waiting = slices.DeleteFunc(c.waiting, func(t *task) bool {
		r := c.resource(t.job.Resource)
		if r.current == nil || c.patience(t, r.current).IsZero() || c.now.Before(c.patience(t, r.current)) {
			return false
		}
		t.began = c.now
		c.ended(r, t, operation.Outcome{RC: 1, Status: operation.StatusTimedOut,
			Reason: fmt.Sprintf("%s of %s has not ended, so %s could not begin", r.current.job.Task, r.id, t.job.Task)}, operation.Traits{})
		return true
	})
}

// patience is how long a task waits for one that should have ended; zero if
// that one may still end in time.
func (c *Core) patience(t, current *task) time.Time {
	if !current.stuck && !current.dropped {
		return time.Time{}
	}
	at := t.queued.Add(t.job.Timeout)
	if l := c.deadline(current); l.After(at) {
		return l
	}
	return at
}

func (c *Core) submit(s *result) {
	edits := operation.Result(&s.job, s.outcome, s.traits)
	once := slices.ContainsFunc(edits, func(e cib.StatusEdit) bool { return e.Attribute != nil && e.Attribute.Add })
	c.out = append(c.out, Submit{
		ID: s.id, Verify: once && s.attempts > 0, Again: s.attempts > 0, Job: s.job, Outcome: s.outcome,
		Change: cib.Change{
			Origin: cib.Origin{Node: c.cfg.Node, Client: operation.ExecutorClient, Time: c.now, Message: s.job.Key},
			Status: &cib.StatusChange{Edits: edits},
		},
	})
}
