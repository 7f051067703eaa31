package dummy

import (
	"context"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
)

// Content of the state file of a promotable resource.
const (
	promoted   = "promoted"
	unpromoted = "unpromoted"
)

// Promotion scores: a promoted instance is preferred, so that the role does
// not wander.
const (
	promotedScore   = 10
	unpromotedScore = 5
)

// PacemakerStateful is ocf:pacemaker:Stateful.
func PacemakerStateful() *native.Agent {
	const s = time.Second
	a := stateful(meta.Agent{
		Name: "Stateful", Version: "1.2", API: "1.1", Short: "Promotable resource that runs nothing",
		Long: "A promotable resource that consists of a state file only, for trying out a cluster.",
		Params: []meta.Param{
			stateParam("/var/run/Stateful-RESOURCE_ID.state", true),
			envfileParam(),
			{Name: "notify_delay", Type: meta.String, Reloadable: true, Short: "Seconds that notify takes"},
		},
		Actions: []meta.Action{
			{Name: "start", Timeout: 20 * s}, {Name: "stop", Timeout: 20 * s},
			{Name: "monitor", Role: "Promoted", Timeout: 20 * s, Interval: 10 * s},
			{Name: "monitor", Role: "Unpromoted", Timeout: 20 * s, Interval: 11 * s},
			{Name: "promote", Timeout: 10 * s}, {Name: "demote", Timeout: 10 * s}, {Name: "notify", Timeout: 5 * s},
			{Name: "meta-data", Timeout: 5 * s}, {Name: "reload-agent", Timeout: 10 * s}, {Name: "validate-all", Timeout: 30 * s},
		},
	})
	for name, action := range a.Actions {
		a.Actions[name] = func(ctx context.Context, c *native.Call) drivers.Result {
			if err := dumpEnvironment(c); err != nil {
				return native.Failed(err)
			}
			return action(ctx, c)
		}
	}
	a.Actions[drivers.Notify] = func(ctx context.Context, c *native.Call) drivers.Result {
		if text := c.Params.String("notify_delay"); text != "" && !c.Dry() {
			d, err := meta.ParseTime(text)
			if err != nil {
				return native.Fail(drivers.BadArgs, "parameter notify_delay: %v", err)
			}
			c.Waiting("the %v of parameter notify_delay", d)
			return native.Failed(native.Sleep(ctx, d))
		}
		return native.OK()
	}
	a.Actions[drivers.ReloadAgent] = func(context.Context, *native.Call) drivers.Result { return native.OK() }
	return a
}

// HeartbeatStateful is ocf:heartbeat:Stateful. Its stop of a promoted
// instance fails, as that of the script does.
func HeartbeatStateful() *native.Agent {
	const s = time.Second
	a := stateful(meta.Agent{
		Name: "Stateful", Version: "1.0", API: "1.0", Short: "Promotable resource that runs nothing",
		Long:   "A promotable resource that consists of a state file only, for trying out a cluster.",
		Params: []meta.Param{stateParam("/run/resource-agents/Stateful-x.state", false)},
		Actions: []meta.Action{
			{Name: "start", Timeout: 20 * s}, {Name: "stop", Timeout: 20 * s},
			{Name: "promote", Timeout: 20 * s}, {Name: "demote", Timeout: 20 * s},
			{Name: "monitor", Timeout: 20 * s, Interval: 10 * s},
			{Name: "meta-data", Timeout: 5 * s}, {Name: "validate-all", Timeout: 20 * s},
		},
	})
	stop := a.Actions[drivers.Stop]
	a.Actions[drivers.Stop] = func(ctx context.Context, c *native.Call) drivers.Result {
		if content, _, err := readState(c); err != nil || content == promoted {
			if err != nil {
				return native.Failed(err)
			}
			return native.Fail(drivers.RunningPromoted, "the instance is promoted and must be demoted before it is stopped")
		}
		return stop(ctx, c)
	}
	return a
}

func stateful(table meta.Agent) *native.Agent {
	// become puts the instance into a role and says so to the cluster. The
	// score goes first: should the daemon be unreachable nothing has changed.
	become := func(ctx context.Context, c *native.Call, role string, score int) drivers.Result {
		if err := setScore(ctx, c, &score); err != nil {
			return native.Failed(err)
		}
		return writeState(c, role)
	}
	return &native.Agent{Table: table, Check: checkState, Actions: map[string]native.Action{
		drivers.Start: func(ctx context.Context, c *native.Call) drivers.Result {
			content, there, err := readState(c)
			switch {
			case err != nil:
				return native.Failed(err)
			case there && content == promoted:
				return native.Fail(drivers.RunningPromoted, "the instance is already promoted")
			}
			return become(ctx, c, unpromoted, unpromotedScore)
		},
		drivers.Promote: func(ctx context.Context, c *native.Call) drivers.Result {
			_, there, err := readState(c)
			switch {
			case err != nil:
				return native.Failed(err)
			case !there:
				return native.Fail(drivers.NotRunning, "the instance is not started, so it cannot be promoted")
			}
			return become(ctx, c, promoted, promotedScore)
		},
		drivers.Demote: func(ctx context.Context, c *native.Call) drivers.Result {
			_, there, err := readState(c)
			switch {
			case err != nil:
				return native.Failed(err)
			case !there:
				return native.Fail(drivers.NotRunning, "the instance is not started, so it cannot be demoted")
			}
			return become(ctx, c, unpromoted, unpromotedScore)
		},
		drivers.Stop: func(ctx context.Context, c *native.Call) drivers.Result {
			if res := removeState(c); res.RC != drivers.OK {
				return res
			}
			return native.Failed(setScore(ctx, c, nil))
		},
		drivers.Monitor: func(ctx context.Context, c *native.Call) drivers.Result {
			content, there, err := readState(c)
			// A probe that finds an instance comes after a restart of the daemon
			// or a cleanup, which took the score away.
			restore := func(score int, rc drivers.RC) drivers.Result {
				if c.Probe() {
					if err := setScore(ctx, c, &score); err != nil {
						return native.Failed(err)
					}
				}
				return drivers.Result{RC: rc}
			}
			switch {
			case err != nil:
				return native.Failed(err)
			case !there:
				return native.NotRunning()
			case content == promoted:
				return restore(promotedScore, drivers.RunningPromoted)
			case content == unpromoted:
				return restore(unpromotedScore, drivers.OK)
			}
			return native.Fail(drivers.GenericError, "the state file has %.40q, which is no role", content)
		},
	}}
}

func setScore(ctx context.Context, c *native.Call, score *int) error {
	return c.SetPromotionScore(ctx, score)
}
