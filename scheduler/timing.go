package scheduler

import (
	"slices"
	"time"

	"gcrm/cib"
)

// How long a transition will take, as far as the history of operations tells.

// Durations that are assumed where no history tells.
const (
	assumedFencing = 10 * time.Second
	assumedAction  = time.Second
	assumedProbe   = 100 * time.Millisecond
)

// Span is when an action is expected to be under way, counted from the
// beginning of the transition.
type Span struct {
	ID         int           `json:"id"`
	Begin      time.Duration `json:"begin"`
	End        time.Duration `json:"end"`
	Assumed    bool          `json:"assumed,omitempty"`  // no history tells how long it takes
	Critical   bool          `json:"critical,omitempty"` // the transition is over later if this takes longer
	Wave       int           `json:"wave"`               // how many real actions come before it, at least
	Never      bool          `json:"never,omitempty"`    // waits for something that does not come
	After      []int         `json:"after,omitempty"`    // real actions that it waits for, pseudo-actions passed over
	RealAction bool          `json:"-"`
}

// Timing is the expected course of a plan.
type Timing struct {
	// Spans are in the order of [Plan.Actions].
	Spans []Span
	// Total is when the last action ends. Limits on how much runs at a time
	// are not considered.
	Total time.Duration
	// Path are the real actions that Total is made of, in order.
	Path []int
	// Down says for how long a resource that runs now, or that failed, is
	// expected not to run.
	Down map[string]time.Duration

	at    map[int]int    // position of an action by id
	names map[int]string // "start of web on node1"
}

func (t *Timing) span(id int) *Span { return &t.Spans[t.at[id]] }

// Timing estimates the course of the plan from the operation history of the
// CIB. Actions that no history knows count with assumed durations.
func (p *Plan) Timing() *Timing {
	if p.engine == nil {
		return &Timing{}
	}
	h := newExecTimes(p.engine)
	t := &Timing{Spans: make([]Span, len(p.Actions)), Down: map[string]time.Duration{}}
	at := make(map[int]int, len(p.Actions))
	t.at, t.names = at, map[int]string{}
	for i, a := range p.Actions {
		at[a.ID] = i
		t.Spans[i] = Span{ID: a.ID, RealAction: a.Kind != Pseudo || a.Task == taskStonith}
	}
	before := make([][]int, len(p.Actions)) // positions of inputs
	for i, a := range p.Actions {
		for _, in := range a.Inputs {
			if j, ok := at[in]; ok {
				before[i] = append(before[i], j)
			} else {
				t.Spans[i].Never = true
			}
		}
	}
	cause := make([]int, len(p.Actions)) // which input was the last to end
	order, circles := topological(before)
	for k, i := range order {
		s := &t.Spans[i]
		s.Never = s.Never || k >= len(order)-circles
		cause[i] = -1
		for _, j := range before[i] {
			in := &t.Spans[j]
			s.Never = s.Never || in.Never
			wave := in.Wave
			if in.RealAction {
				wave++
			}
			s.Wave = max(s.Wave, wave)
			if cause[i] < 0 || in.End > s.Begin || in.End == s.Begin && in.steps() > t.Spans[cause[i]].steps() {
				s.Begin, cause[i] = max(s.Begin, in.End), j
			}
		}
		d, known := time.Duration(0), true
		if s.RealAction {
			d, known = h.of(p.Actions[i])
		}
		s.End, s.Assumed = s.Begin+d, !known
	}
	t.reach(before)
	t.findPath(p.engine, cause)
	t.findDowntime(p)
	return t
}

// steps is how many real actions a way through s has, up to and with s.
func (s *Span) steps() int {
	if s.RealAction {
		return s.Wave + 1
	}
	return s.Wave
}

// topological lists positions so that each comes after its inputs; what is on
// a circle, or waits for one, comes last, and is counted.
func topological(before [][]int) (order []int, circles int) {
	left := make([]int, len(before))
	after := make([][]int, len(before))
	var ready, out []int
	for i, list := range before {
		left[i] = len(list)
		for _, j := range list {
			after[j] = append(after[j], i)
		}
		if len(list) == 0 {
			ready = append(ready, i)
		}
	}
	done := make([]bool, len(before))
	for len(ready) > 0 {
		i := ready[0]
		ready = ready[1:]
		out, done[i] = append(out, i), true
		for _, k := range after[i] {
			if left[k]--; left[k] == 0 {
				ready = append(ready, k)
			}
		}
	}
	for i := range before {
		if !done[i] {
			circles++
			out = append(out, i)
		}
	}
	return out, circles
}

// reach finds the real actions right before each action.
func (t *Timing) reach(before [][]int) {
	memo := make([][]int, len(before))
	state := make([]uint8, len(before))
	var through func(i int) []int // real actions that a pseudo-action stands for
	through = func(i int) []int {
		if state[i] != 0 {
			return memo[i]
		}
		state[i] = 1
		var out []int
		for _, j := range before[i] {
			if t.Spans[j].RealAction {
				out = append(out, j)
			} else {
				out = append(out, through(j)...)
			}
		}
		slices.Sort(out)
		memo[i] = slices.Compact(out)
		return memo[i]
	}
	for i := range before {
		for _, j := range through(i) {
			t.Spans[i].After = append(t.Spans[i].After, t.Spans[j].ID)
		}
	}
}

// findPath walks back from the action that ends last.
func (t *Timing) findPath(e *engine, cause []int) {
	last := -1
	for i := range t.Spans {
		s := &t.Spans[i]
		if s.Never || !s.RealAction {
			continue
		}
		if last < 0 || s.End > t.Spans[last].End {
			last = i
		}
	}
	if last < 0 {
		return
	}
	t.Total = t.Spans[last].End
	for i := last; i >= 0; i = cause[i] {
		if t.Spans[i].Critical {
			break // a circle
		}
		t.Spans[i].Critical = true
		if t.Spans[i].RealAction {
			id := t.Spans[i].ID
			t.Path = append(t.Path, id)
			if a := e.actionByID(id); a != nil {
				t.names[id] = e.actionText(a, true)
			}
		}
	}
	slices.Reverse(t.Path)
}

// findDowntime adds up for how long resources do not run.
func (t *Timing) findDowntime(p *Plan) {
	type gap struct {
		begin, end  time.Duration
		stops, runs bool
	}
	gaps := map[string]*gap{}
	for i, a := range p.Actions {
		if a.Resource == nil || a.Task != taskStop && a.Task != taskStart {
			continue
		}
		r := p.engine.rscOfAction(a)
		if r == nil || firstAction(r, "", taskMigrateFrom, nil) != nil && a.Kind == Pseudo {
			continue // a live migration is no gap
		}
		g := gaps[r.id]
		if g == nil {
			g = &gap{}
			gaps[r.id] = g
		}
		s := &t.Spans[i]
		if a.Task == taskStop {
			if !g.stops || s.Begin < g.begin {
				g.begin = s.Begin
			}
			g.stops = true
			if r.failed {
				g.begin = 0
			}
			continue
		}
		g.runs, g.end = true, max(g.end, s.End)
		if s.Never {
			g.runs = false
		}
	}
	for id, g := range gaps {
		r := p.engine.rscByID[id]
		if !g.runs || !g.stops || r == nil || len(r.runningOn) == 0 {
			continue
		}
		if n := p.engine.currentNode(r); n != nil && !n.online {
			g.begin = 0 // it is gone already
		}
		if g.end > g.begin {
			t.Down[id] = g.end - g.begin
		}
	}
}

// rscOfAction is the instance that an action of a plan is about.
func (e *engine) rscOfAction(a *Action) *resource {
	if x := e.actionByID(a.ID); x != nil {
		return x.rsc
	}
	return nil
}

func (e *engine) actionByID(id int) *action {
	i, ok := slices.BinarySearchFunc(e.actions, id, func(a *action, id int) int { return a.id - id })
	if !ok {
		return nil
	}
	return e.actions[i]
}

// execTimes are durations of operations in the history.
type execTimes struct {
	e     *engine
	known map[execKey]time.Duration
}

type execKey struct{ rsc, task, node string }

func newExecTimes(e *engine) *execTimes {
	h := &execTimes{e: e, known: map[execKey]time.Duration{}}
	for st := range e.doc.Status().Named("node_state") {
		n := e.nodeFor(st.ID(), st.Get("uname"))
		if n == nil {
			continue
		}
		for lrm := range st.Named("lrm") {
			for l := range lrm.Child("lrm_resources").Named("lrm_resource") {
				agent := "agent " + l.Get("class") + ":" + l.Get("provider") + ":" + l.Get("type")
				for op := range l.Named("lrm_rsc_op") {
					h.note(stripInstance(l.ID()), agent, n.name, op)
				}
			}
		}
	}
	return h
}

func (h *execTimes) note(rsc, agent, node string, op *cib.Element) {
	ms := epochOf(op.Get("exec-time"))
	if ms <= 0 || op.Get("op-status") != "0" {
		return // a simulated operation takes no time, and a failure not the usual
	}
	task := timedTask(op.Get("operation"), parseIntervalMS(op.Get("interval")))
	d := time.Duration(ms) * time.Millisecond
	for _, k := range []execKey{{rsc, task, node}, {rsc, task, ""}, {agent, task, ""}} {
		h.known[k] = max(h.known[k], d)
	}
}

func timedTask(task string, interval int64) string {
	if task == taskMonitor && interval == 0 {
		return "probe"
	}
	return task
}

// of is how long an action takes; known is false for an assumption.
func (h *execTimes) of(a *Action) (d time.Duration, known bool) {
	switch a.Task {
	case taskStonith:
		if a.Kind == Pseudo {
			return 0, true // of a guest, whose host sees to it
		}
		return h.fencing(a)
	case taskShutdown, taskClearFailcount, taskLrmDelete, taskCancel, taskDelete, taskNotify:
		return 0, true
	}
	if a.Resource == nil {
		return 0, true
	}
	task := timedTask(a.Task, a.Interval.Milliseconds())
	rsc := stripInstance(a.Resource.ID)
	agent := "agent " + a.Resource.Class + ":" + a.Resource.Provider + ":" + a.Resource.Type
	for _, k := range []execKey{{rsc, task, a.Node}, {rsc, task, ""}, {agent, task, ""}} {
		if d, ok := h.known[k]; ok {
			return d, true
		}
	}
	if a.Task == taskMonitor {
		return assumedProbe, false
	}
	return assumedAction, false
}
