package scheduler

import (
	"fmt"
	"strconv"
	"time"

	"gcrm/cib"
)

// Simulation is a plan together with the texts of crm_simulate.
type SimulateOptions struct {
	// Now overrides the time; zero means the CIB's execution-date.
	Now time.Time
	// NowText is how the user wrote Now, for the headline.
	NowText string
	// Execute also runs the transition against a copy of the CIB and shows
	// what comes out.
	Execute bool
	// Scores also shows assignment scores.
	Scores bool
	// Quiet leaves out everything but the scores.
	Quiet bool
	// ExecutionTime is the time stamp of simulated operations.
	ExecutionTime time.Time
}

// Simulated is the outcome of [Simulate].
type Simulated struct {
	// Text is the report in crm_simulate's format.
	Text string
	// Plan is the transition.
	Plan *Plan
	// After is the CIB after the simulated execution, nil without it.
	After *cib.CIB
	// Executed are the actions in the order of execution.
	Executed []*Action
	// Complete tells whether all actions could be executed. It is false
	// where a pseudo-action waits for what is blocked; crm_simulate then says
	// on standard error that an invalid transition was produced.
	Complete bool
}

// Simulate schedules and, if asked to, executes the transition on a copy of
// the CIB. doc is not changed.
func Simulate(doc *cib.CIB, opt SimulateOptions) (*Simulated, error) {
	e, err := newEngine(doc, Options{Now: opt.Now, Scores: opt.Scores, Sanitized: true})
	if err != nil {
		return nil, err
	}
	e.unpack()
	w := &textWriter{}
	clock := func() {
		if opt.NowText != "" {
			w.line("Setting effective cluster time: %s", opt.NowText)
		} else if doc.Root.Has("execution-date") {
			w.line("Using the original execution date of: %s", e.now.Format("2006-01-02 15:04:05Z"))
		}
	}
	if !opt.Quiet {
		clock()
		e.maintenanceBanner(w)
		e.banner(w)
		w.line("Current cluster status:")
		e.writeStatus(w)
	}
	e.decide()
	out := &Simulated{Plan: e.plan(), Complete: true}
	if opt.Scores {
		if !opt.Quiet {
			w.line("Assignment Scores:")
		}
		e.writeScores(w)
	}
	if !opt.Quiet {
		w.line("Transition Summary:")
		w.depth = 1
		for _, s := range e.summarize() {
			w.item("%s", s.text)
		}
		w.line("")
	}
	if !opt.Execute {
		out.Text = w.b.String()
		return out, nil
	}
	sim := newExecution(e, doc, opt.ExecutionTime)
	w2 := &textWriter{depth: 1}
	out.Complete = sim.run(w2)
	out.After = sim.doc
	for _, a := range sim.fired {
		out.Executed = append(out.Executed, e.planAction(a))
	}
	if !opt.Quiet {
		w.line("Executing Cluster Transition:")
		w.b.WriteString(w2.b.String())
		w.line("")
		clock()
		after, err := newEngine(sim.doc, Options{Now: e.now})
		if err != nil {
			return nil, err
		}
		after.hidePending = true
		after.unpack()
		w.line("Revised Cluster Status:")
		after.writeStatus(w)
	}
	out.Text = w.b.String()
	return out, nil
}

func (e *engine) maintenanceBanner(w *textWriter) {
	if e.opt.maintenance {
		w.line("")
		w.line("              *** Resource management is DISABLED ***")
		w.line("  The cluster will not attempt to start, stop or recover services")
		w.line("")
	}
}

// execution runs a transition against a simulated cluster.
type execution struct {
	e         *engine
	doc       *cib.CIB
	when      string
	confirmed map[int]bool
	fired     []*action
}

func newExecution(e *engine, doc *cib.CIB, when time.Time) *execution {
	if when.IsZero() {
		when = e.now
	}
	root := *doc.Root
	x := &execution{e: e, doc: &cib.CIB{Root: &root}, when: strconv.FormatInt(when.Unix(), 10), confirmed: map[int]bool{}}
	root.Children = append([]*cib.Element(nil), doc.Root.Children...)
	for i, c := range root.Children {
		if c.Name == "status" {
			root.Children[i] = c.Clone()
		}
	}
	return x
}

// run fires synapses in order until nothing is left to fire; it reports
// whether all were.
func (x *execution) run(w *textWriter) bool {
	left := append([]*action(nil), x.e.synapses...)
	for len(left) > 0 {
		var rest []*action
		for _, a := range left {
			if !x.ready(a) {
				rest = append(rest, a)
				continue
			}
			x.execute(w, a)
			x.confirmed[a.id] = true
			x.fired = append(x.fired, a)
		}
		if len(rest) == len(left) {
			return false
		}
		left = rest
	}
	return true
}

func (x *execution) ready(a *action) bool {
	for _, in := range a.graphInputs {
		if !x.confirmed[in.id] {
			return false
		}
	}
	return true
}

func (x *execution) execute(w *textWriter, a *action) {
	e := x.e
	on := ""
	if a.node != nil && !(a.is(fPseudo) && a.task != taskStonith) {
		on = " on " + a.node.name
	}
	switch e.kindOf(a) {
	case Pseudo:
		w.item("Pseudo action:   %s%s", e.graphKey(a), on)
	case ClusterAction:
		if a.task == taskStonith {
			op := a.meta.val("stonith_action")
			w.item("Fencing %s (%s)", a.node.name, op)
			x.fence(a.node, op)
			return
		}
		forRsc := ""
		if a.rsc != nil {
			forRsc = " for " + e.resourceRef(a).ID
		}
		w.item("Cluster action:  %s%s%s", a.task, forRsc, on)
	default:
		task := a.task
		if iv := a.meta.val("interval"); iv != "" && iv != "0" {
			task += "=" + iv
		}
		w.item("Resource action: %-15s %s%s", e.simName(a), task, on)
		x.record(a)
	}
}

// simName is the resource's name in the log of a simulation.
func (e *engine) simName(a *action) string {
	ref := e.resourceRef(a)
	if ref.LongID != "" && e.named(ref.ID) == nil && e.named(ref.LongID) != nil {
		return ref.LongID
	}
	return ref.ID
}

func (x *execution) nodeState(n *node) *cib.Element {
	st := x.doc.Status()
	for s := range st.Named("node_state") {
		if s.ID() == n.id || s.Get("uname") == n.name {
			return s
		}
	}
	s := cib.NewElement("node_state", "id", n.id, "uname", n.name)
	st.Add(s)
	return s
}

func (x *execution) fence(n *node, op string) {
	if op == "on" {
		return
	}
	s := x.nodeState(n)
	for _, p := range [][2]string{{"in_ccm", "false"}, {"crmd", "offline"}, {"join", "down"}, {"expected", "down"}} {
		s.Set(p[0], p[1])
	}
	s.Children = nil
}

// historyEntry returns the lrm_resource of an action, made if need be.
func (x *execution) historyEntry(a *action) *cib.Element {
	e, n := x.e, a.node
	s := x.nodeState(n)
	lrm := s.Child("lrm")
	if lrm == nil {
		lrm = cib.NewElement("lrm", "id", n.id)
		s.Add(lrm)
	}
	list := lrm.Ensure("lrm_resources")
	ref := e.resourceRef(a)
	id := ref.ID
	names := []string{id, ref.LongID}
	for _, name := range names {
		if name == "" {
			continue
		}
		for l := range list.Named("lrm_resource") {
			if l.ID() == name {
				return l
			}
		}
	}
	if ref.LongID != "" && e.named(id) == nil && e.named(ref.LongID) != nil {
		id = ref.LongID
	}
	l := cib.NewElement("lrm_resource", "id", id, "class", ref.Class, "provider", ref.Provider, "type", ref.Type)
	list.Add(l)
	return l
}

// record writes the successful result of an action into the history.
func (x *execution) record(a *action) {
	if a.task == taskDelete || a.node == nil {
		return
	}
	e := x.e
	l := x.historyEntry(a)
	call := 0
	for op := range l.Named("lrm_rsc_op") {
		call = max(call, intOf(op.Get("call-id"), 0))
	}
	call++
	rc := intOf(a.meta.val("op_target_rc"), 0)
	interval := a.meta.val("interval")
	if interval == "" {
		interval = "0"
	}
	id := l.ID() + "_last_0"
	switch {
	case a.task == taskNotify:
		return
	case interval != "0", a.task == taskMigrateTo, a.task == taskMigrateFrom:
		id = fmt.Sprintf("%s_%s_%s", l.ID(), a.task, interval)
	}
	key := opKey(l.ID(), a.task, parseIntervalMS(interval))
	op := l.ChildByID(id)
	if op == nil {
		op = &cib.Element{Name: "lrm_rsc_op", Attrs: []cib.Attr{{Name: "id", Value: id}}}
		l.Add(op)
	}
	// A transition number of -1 makes the entry newer than pending ones.
	magicKey := fmt.Sprintf("%d:-1:%d:xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", call, rc)
	for _, p := range [][2]string{
		{"operation_key", key}, {"operation", a.task}, {"crm-debug-origin", "simulate"}, {"crm_feature_set", cib.FeatureSet},
		{"transition-key", magicKey}, {"transition-magic", "0:" + strconv.Itoa(rc) + ";" + magicKey},
		{"call-id", strconv.Itoa(call)}, {"rc-code", strconv.Itoa(rc)}, {"op-status", "0"}, {"interval", interval},
		{"last-rc-change", x.when}, {"exec-time", "0"}, {"queue-time", "0"},
	} {
		op.Set(p[0], p[1])
	}
	var params []cib.Attr
	ps, meta := e.actionAttributes(a)
	params = append(params, ps...)
	for _, m := range meta {
		params = append(params, cib.Attr{Name: "CRM_meta_" + m.Name, Value: m.Value})
	}
	op.Set("op-digest", Digest(params))
	if a.task == taskMigrateTo || a.task == taskMigrateFrom {
		op.Set("migrate_source", a.meta.val("migrate_source"))
		op.Set("migrate_target", a.meta.val("migrate_target"))
	}
}
