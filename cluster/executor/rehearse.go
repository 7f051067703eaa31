package executor

import (
	"context"
	"strings"

	"gcrm/cluster/executor/operation"
	"gcrm/drivers"
)

// Rehearsal is what a job would do on this host in its present state.
type Rehearsal struct {
	Steps []string
	// Unclear says why the steps are not known, or not all of them.
	Unclear string
}

// Rehearse shows what a job would do, and does nothing. Agents that cannot
// show it are named with what would be run.
func (e *Executor) Rehearse(ctx context.Context, job *operation.Job) Rehearsal {
	name := drivers.Name{Class: job.Class, Provider: job.Provider, Type: job.Type}
	agent, source, err := e.cfg.Agents.Lookup(name)
	if err != nil {
		return Rehearsal{Unclear: err.Error()}
	}
	if dry, ok := agent.(drivers.DryRunner); ok {
		limited, cancel := context.WithTimeout(ctx, job.Timeout)
		defer cancel()
		steps, res := dry.DryRun(limited, e.request(name, job))
		if res.RC != drivers.OK && res.RC != drivers.RunningPromoted {
			why := res.Reason
			if why == "" {
				why = res.RC.String()
			}
			return Rehearsal{Steps: steps, Unclear: "in the present state of the host: " + why}
		}
		return Rehearsal{Steps: steps}
	}
	switch source.Kind {
	case "systemd":
		unit := job.Type
		if !strings.Contains(unit, ".") {
			unit += ".service"
		}
		return Rehearsal{Steps: []string{"systemctl " + job.Task + " " + unit}}
	case "script", "lsb":
		return Rehearsal{Steps: []string{source.Path + " " + job.Task}, Unclear: "a script does not tell what it runs itself"}
	}
	return Rehearsal{Unclear: "the agent does not tell what it does"}
}

// Act runs a job by hand: nothing is recorded, and it does not wait for the
// other actions of the resource. The caller sees to it that there are none.
func (e *Executor) Act(ctx context.Context, job *operation.Job) drivers.Result {
	name := drivers.Name{Class: job.Class, Provider: job.Provider, Type: job.Type}
	agent, _, err := e.cfg.Agents.Lookup(name)
	if err != nil {
		o := missing(err)
		return drivers.Result{RC: drivers.RC(o.RC), Status: drivers.Status(o.Status), Reason: o.Reason}
	}
	limited, cancel := context.WithTimeout(ctx, job.Timeout)
	defer cancel()
	return agent.Run(limited, e.request(name, job))
}
