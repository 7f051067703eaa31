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
	if e.Action == fencing.On || !d.node.quorate() || state.Works() < consensus.LevelFencings {
		return d.spreadNews(ctx, e)
	}
	return d.agree(ctx, e)
}

// agree commits a request, or says whose it has to wait for.
func (d *devices) agree(ctx context.Context, e fencing.Entry) fencing.Told {
	n, c := d.node, d.node.cons.Load()
	ctx, cancel := context.WithTimeout(ctx, 2*n.timing.IO)
	defer cancel()
	err := d.catchUp(ctx, e.Target)
	if err == nil {
		_, err = c.Apply(ctx, d.number(e.ID), consensus.Command{Fencing: &consensus.Fencing{ID: e.ID, Target: e.Target, Incarnation: e.Incarnation,
			Origin: n.cfg.Name, OriginIncarnation: n.incarnation, Manual: e.Manual, Action: e.Action}})
	}
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
	d.mu.Lock()
	delete(d.agreed, e.ID) // it was answered: the next try is another request
	d.mu.Unlock()
	told := fencing.Told{Answer: fencing.Again}
	if state, err := c.Read(ctx); err == nil {
		if f, ok := state.Fencing(e.Target); ok && f.Over {
			told.Entries = []fencing.Entry{{ID: f.ID, Target: e.Target, Action: f.Action, Client: "gcrm", Origin: f.Origin, State: fencing.Succeeds,
				Started: e.Started, Completed: f.At, Proof: fencing.Proof(f.Proof), Text: f.Evidence, Incarnation: f.Incarnation, Reason: e.Reason}}
		}
	}
	return told
}

// catchUp concludes the fencing of a node that this one saw succeed before its
// daemon ended, and that ended before it could say so.
func (d *devices) catchUp(ctx context.Context, target string) error {
	c := d.node.cons.Load()
	state, _ := c.State()
	f, ok := state.Fencing(target)
	if !ok || !d.node.completes(&f, d.runner.History()) {
		return nil
	}
	_, err := c.Apply(ctx, consensus.NewRequest(), consensus.Command{Fencing: &f})
	return err
}

// completes ends what an earlier incarnation of this node began by what its
// history has, if that is a success.
func (n *Node) completes(f *consensus.Fencing, history []fencing.Entry) bool {
	if f.Over || f.Origin != n.cfg.Name || f.OriginIncarnation == n.incarnation {
		return false
	}
	i := slices.IndexFunc(history, func(e fencing.Entry) bool { return e.ID == f.ID && e.State == fencing.Succeeds })
	if i >= 0 {
		end(f, history[i])
	}
	return i >= 0
}

// end is what a fencing of the history is for those who agreed on it.
func end(f *consensus.Fencing, e fencing.Entry) {
	f.Over, f.Action, f.At = true, e.Action, e.Completed
	if e.State == fencing.Succeeds {
		f.Proof, f.Evidence = string(e.Proof), e.Text
	}
}

// number is that of the request to consensus by which a fencing is agreed on. As
// long as it is unknown what came of it, it is repeated under the same one.
func (d *devices) number(id string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.agreed[id] == "" {
		d.agreed[id] = consensus.NewRequest()
	}
	return d.agreed[id]
}

// conclude commits what came of a request, without waiting for it. Should this
// node end before, nobody waits for it any more.
func (d *devices) conclude(e fencing.Entry, number string) {
	d.mu.Lock()
	delete(d.agreed, e.ID)
	d.mu.Unlock()
	f := consensus.Fencing{ID: e.ID, Target: e.Target, Incarnation: e.Incarnation, Origin: d.node.cfg.Name, OriginIncarnation: d.node.incarnation}
	end(&f, e)
	// Under the number of the beginning first: if that is still on its way it is
	// never applied now, and if it was, this is not.
	d.settle(f, number, consensus.NewRequest())
}

// retract takes back, everywhere, what is known of a node that still sends
// heartbeats after it was fenced. Others may miss the news; if this node leads,
// they find it in the log (see disbelieve).
func (d *devices) retract(target string) {
	d.runner.Retract(target)
	for _, name := range d.there() {
		d.tell(name, remembrance{Retracted: target, Live: true}, func() {})
	}
	state, _ := d.node.cons.Load().State()
	if f, ok := state.Fencing(target); ok && f.Over {
		f.Proof = ""
		d.settle(f, consensus.NewRequest())
	}
}

// settle commits a fencing under each of some numbers, one after the other, and
// does not give up.
func (d *devices) settle(f consensus.Fencing, numbers ...string) {
	n := d.node
	n.wg.Go(func() {
		for n.ctx.Err() == nil && len(numbers) > 0 {
			ctx, cancel := context.WithTimeout(n.ctx, 2*n.timing.IO)
			_, err := n.cons.Load().Apply(ctx, numbers[0], consensus.Command{Fencing: &f})
			cancel()
			var refused *consensus.RefusedError
			switch {
			case err == nil, errors.As(err, &refused):
				numbers = numbers[1:]
				continue
			case errors.Is(err, consensus.ErrClosed):
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
