package scheduler

import (
	"time"

	"gcrm/cib"
)

// SimulateOptions are what crm_simulate can be asked for.
type SimulateOptions struct {
	// Now overrides the time; zero means the CIB's execution-date.
	Now time.Time
	// NowText is how the user wrote Now, for the headline.
	NowText string
	// Events happen before the plan is made.
	Events []Event
	// Execute also runs the transition against a copy of the CIB and shows
	// what comes out.
	Execute bool
	// Fail are operations that shall have other results when the transition
	// is executed; the first that does ends it.
	Fail []OperationResult
	// Scores also shows assignment scores, Utilization the capacities of nodes
	// and what is used of them.
	Scores, Utilization bool
	// Attributes and FailCounts also show those of nodes with the status.
	Attributes, FailCounts bool
	// Quiet leaves out everything but scores and utilization.
	Quiet bool
	// TextOnly leaves out Plan and Executed, which cost time and memory.
	TextOnly bool
	// StatusOnly shows the status alone: nothing is planned, Plan is nil.
	StatusOnly bool
	// Origins makes a plan that can be explained.
	Origins bool
	// ExecutionTime is the time stamp of simulated operations.
	ExecutionTime time.Time
	// Fencings say how long fencing a node took before: see [Options].
	Fencings map[string]time.Duration

	older older
}

// Simulated is the outcome of [Simulate].
type Simulated struct {
	// Text is the report in crm_simulate's format.
	Text string
	// Input is the CIB after the events, which the plan is for.
	Input *cib.CIB
	// Injected says what the events did, a line each.
	Injected []string
	// Plan is the transition, nil if only the text was asked for.
	Plan *Plan
	// After is the CIB after the simulated execution, nil without it.
	After *cib.CIB
	// Executed are the actions of Plan in the order of execution.
	Executed []*Action
	// Complete tells whether all actions could be executed. It is false
	// where a pseudo-action waits for what is blocked; crm_simulate then says
	// on standard error that an invalid transition was produced.
	Complete bool
}

// Simulate schedules and, if asked to, executes the transition on a copy of
// the CIB. doc is not changed. An error says what of the CIB, or which event,
// makes no sense.
func Simulate(doc *cib.CIB, opt SimulateOptions) (*Simulated, error) {
	s := &simulation{opt: opt, w: &textWriter{}, out: &Simulated{Input: doc, Complete: true}}
	e, err := s.engine(doc)
	if err != nil {
		return nil, err
	}
	e.unpack()
	if !opt.Quiet {
		s.clock(e)
		e.maintenanceBanner(s.w)
		e.banner(s.w)
		s.w.line("Current cluster status:")
		s.status(e)
	}
	if len(opt.Events) > 0 {
		if e, err = s.inject(e); err != nil {
			return nil, err
		}
	}
	if !opt.StatusOnly {
		s.decide(e)
		if opt.Execute {
			if err := s.execute(e); err != nil {
				return nil, err
			}
		}
	}
	s.out.Text = s.w.b.String()
	return s.out, nil
}

// simulation is a run of [Simulate].
type simulation struct {
	opt SimulateOptions
	w   *textWriter
	out *Simulated
}

func (s *simulation) engine(doc *cib.CIB) (*engine, error) {
	e, err := newEngine(doc, Options{Now: s.opt.Now, Scores: s.opt.Scores, Origins: s.opt.Origins, Sanitized: true, Fencings: s.opt.Fencings, older: s.opt.older})
	if err == nil {
		e.showUtilization = s.opt.Utilization
	}
	return e, err
}

func (s *simulation) clock(e *engine) {
	if s.opt.NowText != "" {
		s.w.line("Setting effective cluster time: %s", s.opt.NowText)
	} else if e.doc.Root.Has("execution-date") {
		s.w.line("Using the original execution date of: %s", e.now.Format("2006-01-02 15:04:05Z"))
	}
}

func (s *simulation) status(e *engine) {
	e.writeStatus(s.w)
	if s.opt.Attributes {
		e.writeAttributes(s.w)
	}
	if s.opt.FailCounts {
		e.writeFailCounts(s.w)
	}
}

// inject lets the events happen; what follows is planned with what they left.
func (s *simulation) inject(e *engine) (*engine, error) {
	doc, log, err := Inject(e.doc, s.opt.Events, e.now)
	if err != nil {
		return nil, err
	}
	s.out.Input, s.out.Injected = doc, log
	if !s.opt.Quiet {
		s.w.line("Performing Requested Modifications:")
		s.w.depth = 1
		for _, l := range log {
			s.w.item("%s", l)
		}
		s.w.line("")
		s.clock(e)
	}
	next, err := s.engine(doc)
	if err != nil {
		return nil, err
	}
	next.unpack()
	return next, nil
}

func (s *simulation) decide(e *engine) {
	w := s.w
	e.noteCapacities("Original")
	e.decide()
	e.noteCapacities("Remaining")
	summary := e.summarize()
	if !s.opt.TextOnly {
		s.out.Plan = e.planWith(summary)
	}
	if s.opt.Scores || s.opt.Utilization {
		if !s.opt.Quiet {
			switch {
			case !s.opt.Utilization:
				w.line("Assignment Scores:")
			case !s.opt.Scores:
				w.line("Utilization Information:")
			default:
				w.line("Assignment Scores and Utilization Information:")
			}
		}
		e.writeScores(w, s.opt.Scores)
	}
	if !s.opt.Quiet {
		w.line("Transition Summary:")
		w.depth = 1
		for _, l := range summary {
			w.item("%s", l.text)
		}
		w.line("")
	}
}

func (s *simulation) execute(e *engine) error {
	x := newExecution(e, e.doc, s.opt.ExecutionTime)
	x.fail = s.opt.Fail
	log := &textWriter{depth: 1}
	out := s.out
	out.Complete = x.run(log)
	out.After = x.doc
	if out.Plan != nil {
		out.Executed = make([]*Action, 0, len(x.fired))
		for _, a := range x.fired {
			out.Executed = append(out.Executed, out.Plan.Actions[a.synapse])
		}
	}
	if s.opt.Quiet {
		return nil
	}
	s.w.line("Executing Cluster Transition:")
	s.w.b.WriteString(log.b.String())
	s.w.line("")
	s.clock(e)
	after, err := newEngine(x.doc, Options{Now: e.now, older: e.older})
	if err != nil {
		return err
	}
	after.hidePending = true
	after.unpack()
	s.w.line("Revised Cluster Status:")
	s.status(after)
	return nil
}

func (e *engine) maintenanceBanner(w *textWriter) {
	if e.opt.maintenance {
		w.line("")
		w.line("              *** Resource management is DISABLED ***")
		w.line("  The cluster will not attempt to start, stop or recover services")
		w.line("")
	}
}
