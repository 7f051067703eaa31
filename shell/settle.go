package shell

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// Settling waits for a cluster to finish what a change set off.
type Settling struct {
	Cluster client.Cluster
	// Since is the version whose consequences are waited for.
	Since cib.Version
	// Quiet is how long nothing may happen before waiting is given up.
	Quiet time.Duration
	// Hold is how long the cluster must stay idle to count as settled.
	Hold time.Duration
	Now  func() time.Time
}

// ErrUnsettled says that the cluster stopped making progress before it was
// idle.
var ErrUnsettled = errors.New("the cluster does not settle")

// Wait returns when the cluster is idle and its last plan was made from the
// version or a later one. progress is called, if not nil, with every new state.
func (w *Settling) Wait(ctx context.Context, progress func(*client.Info)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events, err := w.Cluster.Watch(ctx)
	if err != nil {
		return err
	}
	quiet := w.Quiet
	if quiet == 0 {
		quiet = time.Minute
	}
	last, moved := (*client.Info)(nil), w.Now()
	var idleSince time.Time
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for {
		info, err := w.Cluster.Info(ctx)
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		now := w.Now()
		if err == nil {
			if last == nil || !sameProgress(last, info) {
				moved = now
				if progress != nil {
					progress(info)
				}
			}
			last = info
			t := info.Transition
			if t.Idle && info.Leader != "" && t.ComputedAtVersion.Compare(w.Since) >= 0 {
				if idleSince.IsZero() {
					idleSince = now
				}
				if now.Sub(idleSince) >= w.Hold {
					return nil
				}
			} else {
				idleSince = time.Time{}
			}
		}
		if now.Sub(moved) > quiet {
			return w.stuck(last, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, ok := <-events:
			if !ok {
				events = nil
			}
		case <-poll.C:
		}
	}
}

func sameProgress(a, b *client.Info) bool {
	return a.Leader == b.Leader && a.Quorate == b.Quorate && a.Version == b.Version &&
		a.Transition.Number == b.Transition.Number && a.Transition.Done == b.Transition.Done &&
		a.Transition.Total == b.Transition.Total && a.Transition.Idle == b.Transition.Idle
}

func (w *Settling) stuck(last *client.Info, err error) error {
	switch {
	case last == nil:
		return fmt.Errorf("%w: no answer from it: %v", ErrUnsettled, err)
	case last.Leader == "":
		return fmt.Errorf("%w: there is no leader", ErrUnsettled)
	case !last.Quorate:
		return fmt.Errorf("%w: it has no quorum", ErrUnsettled)
	case len(last.Transition.Running) > 0:
		return fmt.Errorf("%w: still running: %v", ErrUnsettled, last.Transition.Running)
	}
	return fmt.Errorf("%w: %d of %d actions done", ErrUnsettled, last.Transition.Done, last.Transition.Total)
}
