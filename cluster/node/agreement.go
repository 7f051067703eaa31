package node

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"gcrm/cluster/consensus"
	"gcrm/fencing"
)

// Before a fence device is asked to act, the request is committed: whoever leads
// next finds it in its log, waits for what comes of it as long as the node that
// asked is a member, and takes it for the answer. A node that is alone (the
// survivor of two) has nobody to agree with, and a cluster with older builds
// cannot; then those that are there are told.

// news is how long nodes that are just being lost may take to be told.
const news = 500 * time.Millisecond

// announce implements fencing.RunnerConfig.Announce.
func (d *devices) announce(ctx context.Context, e fencing.Entry) fencing.Told {
	state, _ := d.node.cons.Load().State()
	if e.Action == fencing.On || !d.node.quorate() || state.Works() < fencingsLevel {
		return d.spreadNews(ctx, e)
	}
	return d.agree(ctx, e)
}

// fencingsLevel is the feature level from which on fencings are committed.
const fencingsLevel = 3

// agree commits a request, or says whose it has to wait for.
func (d *devices) agree(ctx context.Context, e fencing.Entry) fencing.Told {
	n, c := d.node, d.node.cons.Load()
	ctx, cancel := context.WithTimeout(ctx, 2*n.timing.IO)
	defer cancel()
	f := consensus.Fencing{ID: e.ID, Target: e.Target, Incarnation: e.Incarnation, Origin: n.cfg.Name, OriginIncarnation: n.incarnation,
		Manual: e.Manual, Action: e.Action}
	d.mu.Lock()
	d.agreed[e.ID] = true // also if it is unknown whether it was
	d.mu.Unlock()
	_, err := c.Apply(ctx, consensus.NewRequest(), consensus.Command{Fencing: &f})
	if err == nil {
		return fencing.Told{Answer: fencing.Agreed}
	}
	n.log.Debug("a fencing is not agreed on yet", "peer", e.Target, "err", err)
	var refused *consensus.RefusedError
	if !errors.As(err, &refused) {
		if n.quorate() {
			return fencing.Told{Answer: fencing.Again}
		}
		return d.spreadNews(ctx, e) // quorum was lost meanwhile
	}
	state, err := c.Read(ctx)
	if err != nil {
		return fencing.Told{Answer: fencing.Again}
	}
	old, ok := state.Fencing(e.Target)
	switch {
	case !ok || old.ID == e.ID:
	case old.Over:
		return fencing.Told{Answer: fencing.Again, Entries: []fencing.Entry{{ID: old.ID, Target: e.Target, Action: old.Action, Client: "gcrm", Origin: old.Origin, State: fencing.Succeeds,
			Started: e.Started, Completed: old.At, Proof: fencing.Proof(old.Proof), Text: old.Evidence, Incarnation: old.Incarnation, Reason: e.Reason}}}
	case d.abandoned(ctx, old):
		d.settle(consensus.Fencing{ID: old.ID, Target: old.Target, Over: true})
	}
	return fencing.Told{Answer: fencing.Again}
}

// abandoned reports whether the node in whose name a fencing is under way knows
// nothing of it, time and again: it gave the fencing up before it was committed.
func (d *devices) abandoned(ctx context.Context, f consensus.Fencing) bool {
	at, err := d.say(ctx, f.Origin, remembrance{Live: true})
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil || slices.ContainsFunc(at, func(e fencing.Entry) bool { return e.ID == f.ID }) {
		delete(d.unknown, f.ID)
		return false
	}
	since, ok := d.unknown[f.ID]
	if !ok {
		d.unknown[f.ID] = time.Now()
		return false
	}
	return time.Since(since) > abandonment
}

// abandonment is longer than it takes to commit what came of a fencing.
const abandonment = 10 * time.Second

// conclude commits what came of a request, without waiting for it. Should this
// node end before, nobody waits for it any more.
func (d *devices) conclude(e fencing.Entry) {
	f := consensus.Fencing{ID: e.ID, Target: e.Target, Incarnation: e.Incarnation, Origin: d.node.cfg.Name, OriginIncarnation: d.node.incarnation,
		Over: true, Action: e.Action, At: e.Completed}
	if e.State == fencing.Succeeds {
		f.Proof, f.Evidence = string(e.Proof), e.Text
	}
	d.settle(f)
}

// retract takes back what the log says of a node that still sends heartbeats
// after it was fenced.
func (d *devices) retract(target string) {
	state, _ := d.node.cons.Load().State()
	if f, ok := state.Fencing(target); ok && f.Over {
		f.Proof = ""
		d.settle(f)
	}
}

func (d *devices) settle(f consensus.Fencing) {
	n := d.node
	n.wg.Go(func() {
		for n.ctx.Err() == nil {
			c := n.cons.Load()
			ctx, cancel := context.WithTimeout(n.ctx, 2*n.timing.IO)
			_, err := c.Apply(ctx, consensus.NewRequest(), consensus.Command{Fencing: &f})
			cancel()
			var refused *consensus.RefusedError
			if err == nil || errors.As(err, &refused) || errors.Is(err, consensus.ErrClosed) {
				return
			}
			select {
			case <-time.After(n.timing.RaftElection):
			case <-n.ctx.Done():
			}
		}
	})
}

// spreadNews tells all nodes that are there of a request, and returns what they
// are at.
func (d *devices) spreadNews(ctx context.Context, e fencing.Entry) fencing.Told {
	ctx, cancel := context.WithTimeout(ctx, news)
	defer cancel()
	var mu sync.Mutex
	var told fencing.Told
	var all sync.WaitGroup
	for _, name := range d.there() {
		if strings.EqualFold(name, e.Target) {
			continue
		}
		all.Go(func() {
			entries, err := d.say(ctx, name, remembrance{Entries: []fencing.Entry{e}, Live: true})
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			told.Entries, told.Nodes = append(told.Entries, entries...), append(told.Nodes, name)
		})
	}
	all.Wait()
	return told
}
