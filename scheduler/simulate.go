package scheduler

import (
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
	// TextOnly leaves out Plan and Executed, which cost time and memory.
	TextOnly bool
	// ExecutionTime is the time stamp of simulated operations.
	ExecutionTime time.Time
}

// Simulated is the outcome of [Simulate].
type Simulated struct {
	// Text is the report in crm_simulate's format.
	Text string
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
	out := &Simulated{Complete: true}
	summary := e.summarize()
	if !opt.TextOnly {
		out.Plan = e.planWith(summary)
	}
	if opt.Scores {
		if !opt.Quiet {
			w.line("Assignment Scores:")
		}
		e.writeScores(w)
	}
	if !opt.Quiet {
		w.line("Transition Summary:")
		w.depth = 1
		for _, s := range summary {
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
	if out.Plan != nil {
		out.Executed = make([]*Action, 0, len(sim.fired))
		for _, a := range sim.fired {
			out.Executed = append(out.Executed, out.Plan.Actions[a.synapse])
		}
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
