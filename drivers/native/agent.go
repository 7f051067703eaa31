// Package native is the frame of the agents written in Go: it answers
// meta-data from their tables, checks parameters, keeps actions within their
// time, and lets every change of the host be shown instead of made.
//
// An agent is a table and a function per action; see Agent and Call.
package native

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/secret"
)

// Action carries out one action. It returns soon after ctx is done, having
// ended what it began. Changes of the host go through Call.Do or Call.Change.
type Action func(ctx context.Context, c *Call) drivers.Result

// Agent is a native agent. It holds no state between calls.
type Agent struct {
	Table   meta.Agent
	Actions map[string]Action
	// Check finds what is wrong with parameters beyond their types, without
	// looking at the resource; nil for nothing. It decides start, promote,
	// migrations and validate-all, never stop and monitor.
	Check func(c *Call) drivers.Result
	// Path is where tools are looked for; empty is DefaultPath.
	Path []string
}

// DefaultPath is where the host's tools are.
func DefaultPath() []string {
	return []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}
}

// late is how long an action may go on after its time is over before Run
// returns without it; an action can be caught in a system call.
const late = 2 * time.Second

// Metadata returns the XML written from the table.
func (a *Agent) Metadata(context.Context) (string, error) { return a.Table.XML(), nil }

// Run executes an action, see drivers.Agent.
func (a *Agent) Run(ctx context.Context, req drivers.Request) drivers.Result {
	_, res := a.run(ctx, req, false)
	return res
}

// DryRun returns, as lines, the commands and system calls that the action
// would execute in the present state of the host, and executes none of them.
func (a *Agent) DryRun(ctx context.Context, req drivers.Request) ([]string, drivers.Result) {
	return a.run(ctx, req, true)
}

func (a *Agent) run(ctx context.Context, req drivers.Request, dry bool) ([]string, drivers.Result) {
	if req.Action == drivers.MetaData {
		return nil, drivers.Result{Output: a.Table.XML()}
	}
	action, ok := a.Actions[req.Action]
	if !ok && req.Action != drivers.Validate {
		return nil, Fail(drivers.Unimplemented, "%s has no action %s", req.Agent, req.Action)
	}
	if req.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, req.Timeout)
		defer cancel()
	}
	if ctx.Err() != nil {
		return nil, ended(ctx, req, "before it began")
	}
	filled, err := secret.Fill(req.Node.Secrets, req.Resource, req.Params)
	if err != nil && checks(req.Action) {
		return nil, Fail(drivers.NotConfigured, "%v", err)
	}
	req.Params = filled.Params
	steps, res := a.carryOut(ctx, req, action, dry)
	for i := range steps {
		steps[i] = filled.Hide(steps[i])
	}
	res.Reason, res.Output = filled.Hide(res.Reason), filled.Hide(res.Output)
	return steps, res
}

// carryOut executes an action whose parameters are complete; action is nil for
// a validate-all that needs nothing more than the checks.
func (a *Agent) carryOut(ctx context.Context, req drivers.Request, action Action, dry bool) ([]string, drivers.Result) {
	params, problems := a.Table.Read(req.Params)
	c := &Call{Request: req, Params: params, agent: a, dry: dry}
	if res := refuse(req, problems); res.RC != drivers.OK {
		return nil, res
	}
	if a.Check != nil && checks(req.Action) {
		if res := a.Check(c); res.RC != drivers.OK {
			return nil, res
		}
	}
	if action == nil {
		return nil, OK()
	}

	done := make(chan drivers.Result, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- drivers.Result{RC: drivers.GenericError, Status: drivers.Error,
					Reason: fmt.Sprintf("internal error in agent %s, action %s: %v", req.Agent, req.Action, p),
					Output: string(debug.Stack())}
			}
		}()
		done <- action(ctx, c)
	}()
	var res drivers.Result
	select {
	case res = <-done:
	case <-ctx.Done():
		timer := time.NewTimer(late)
		defer timer.Stop()
		select {
		case res = <-done:
		case <-timer.C:
			return c.Steps(), ended(ctx, req, "and is caught in the kernel: "+c.doing())
		}
	}
	if ctx.Err() != nil && res.RC != drivers.OK && res.RC != drivers.RunningPromoted {
		why := res.Reason
		if why == "" || errors.Is(ctx.Err(), context.Canceled) {
			why = c.doing()
		}
		res = ended(ctx, req, why)
	}
	steps := c.Steps()
	if len(steps) > 0 && !dry {
		out := strings.Join(steps, "\n") + "\n"
		res.Output = out + res.Output
	}
	if len(res.Output) > outputLimit {
		res.Output = res.Output[:outputLimit] + "\n[cut]\n"
	}
	return steps, res
}

const outputLimit = 64 << 10

// checks tells whether an action needs parameters that are right as a whole.
// Stop and monitor look at the host, whatever became of the parameters.
func checks(action string) bool {
	switch action {
	case drivers.Stop, drivers.Monitor, drivers.Demote, drivers.Notify:
		return false
	}
	return true
}

// refuse turns what is wrong with parameters into a result. A stop is never
// refused for it: without its required parameters nothing can have been
// started, and the others have defaults.
func refuse(req drivers.Request, problems []meta.Problem) drivers.Result {
	if req.Action == drivers.Stop {
		return OK()
	}
	var grave []meta.Problem
	for _, p := range problems {
		if checks(req.Action) || p.Fault != meta.Unknown {
			grave = append(grave, p)
		}
	}
	if len(grave) == 0 {
		return OK()
	}
	return Fail(drivers.NotConfigured, "%s", meta.Join(grave))
}

// ended is the result of an action whose context is done.
func ended(ctx context.Context, req drivers.Request, doing string) drivers.Result {
	if errors.Is(ctx.Err(), context.Canceled) {
		return drivers.Result{RC: drivers.GenericError, Status: drivers.Cancelled,
			Reason: fmt.Sprintf("%s was cancelled %s", req.Action, doing)}
	}
	limit := ""
	if req.Timeout > 0 {
		limit = fmt.Sprintf(" after %v", req.Timeout)
	}
	return drivers.Result{RC: drivers.GenericError, Status: drivers.TimedOut,
		Reason: strings.TrimSpace(fmt.Sprintf("%s timed out%s: %s", req.Action, limit, doing))}
}

// OK is the result of success (for monitor: running).
func OK() drivers.Result { return drivers.Result{} }

// NotRunning is the answer of a monitor that has seen for sure that the
// resource is stopped.
func NotRunning() drivers.Result { return drivers.Result{RC: drivers.NotRunning} }

// Fail is a result with a reason, one line for administrators.
func Fail(rc drivers.RC, format string, args ...any) drivers.Result {
	reason := strings.ReplaceAll(strings.TrimSpace(fmt.Sprintf(format, args...)), "\n", "; ")
	res := drivers.Result{RC: rc, Reason: reason}
	if rc == drivers.NotConfigured || rc == drivers.BadArgs {
		res.Status = drivers.Done
	}
	return res
}

// Failed is the result for an error: not installed for a missing tool,
// permission for a lack of rights, generic otherwise.
func Failed(err error) drivers.Result {
	var tool *ToolError
	switch {
	case err == nil:
		return OK()
	case errors.As(err, &tool):
		return Fail(drivers.NotInstalled, "%v", err)
	case isPermission(err):
		return Fail(drivers.Permission, "%v (does the daemon run as root?)", err)
	}
	return Fail(drivers.GenericError, "%v", err)
}
