package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gcrm/cib"
	"gcrm/cluster/consensus"
)

// trialClock knows when the commit on trial is over, on this node's own clock,
// so that whichever node leads then takes it back at the same moment. Setting
// the clock of a node does not move it.
type trialClock struct {
	version cib.Version
	ends    time.Time // zero without a trial
}

// see is told of the trial after every step of the replicated state. live
// tells that the step happens now; a node that starts finds steps of the past
// in its log, and has only the clock of the node that accepted them to go by.
func (c *trialClock) see(t *consensus.Trial, live bool, now time.Time) {
	switch {
	case t == nil:
		*c = trialClock{}
		return
	case !c.ends.IsZero() && c.version.SameConfiguration(t.Version):
		return
	}
	left := t.Limit
	if !live {
		left = min(max(t.Until.Sub(now), 0), t.Limit)
	}
	c.version, c.ends = t.Version, now.Add(left)
}

// over reports whether there is a trial that nobody confirmed in time.
func (c *trialClock) over(now time.Time) bool { return !c.ends.IsZero() && !now.Before(c.ends) }

// endTrial takes a commit back that nobody confirmed; this node leads.
func (n *Node) endTrial(term uint64, state *consensus.State) {
	n.feed.Lock()
	over := n.trial.over(time.Now())
	n.feed.Unlock()
	if state.Trial == nil || !over {
		return
	}
	t := state.Trial
	by := cib.Origin{User: "gcrm", Client: "gcrm", Node: n.cfg.Name, Time: time.Now(), Message: fmt.Sprintf(
		"back from version %d.%d by %s: nobody confirmed it within %s", t.Version.AdminEpoch, t.Version.Epoch, t.Origin.User, cib.FormatDuration(t.Limit))}
	cmd, err := state.TakeBack(by)
	if err == nil {
		ctx, cancel := context.WithTimeout(n.ctx, n.timing.IO)
		defer cancel()
		_, err = n.cons.Load().ApplyAsLeader(ctx, term, cmd)
	}
	n.record(by.Message, err)
	if err != nil {
		n.log.Warn("a commit that nobody confirmed could not be taken back yet", "version", t.Version, "err", err)
		return
	}
	n.log.Warn("a commit that nobody confirmed was taken back", "version", t.Version, "by", t.Origin.User, "limit", t.Limit)
}

// Decide implements api.Backend.
func (b *backend) Decide(ctx context.Context, trial cib.Version, keep bool, by cib.Origin) error {
	n := (*Node)(b)
	ctx, cancel := n.bounded(ctx)
	defer cancel()
	cons := n.cons.Load()
	for {
		cmd := consensus.Command{Verdict: &consensus.Verdict{Version: trial, Keep: keep, By: by}}
		if !keep {
			state, err := cons.Read(ctx)
			if err != nil {
				return translate(err)
			}
			if state.Trial == nil || !state.Trial.Version.SameConfiguration(trial) {
				return translate(&consensus.RefusedError{Text: consensus.ErrNoTrial.Error()})
			}
			by.Message = fmt.Sprintf("back from version %d.%d by %s, which was abandoned", trial.AdminEpoch, trial.Epoch, state.Trial.Origin.User)
			if cmd, err = state.TakeBack(by); err != nil {
				return translate(err)
			}
		}
		_, err := cons.Apply(ctx, consensus.NewRequest(), cmd)
		if errors.Is(err, cib.ErrConflict) && ctx.Err() == nil {
			continue // the cluster entered something meanwhile
		}
		return translate(err)
	}
}
