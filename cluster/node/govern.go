package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/consensus"
	"gcrm/cluster/controller"
	"gcrm/cluster/executor"
	"gcrm/cluster/executor/operation"
	"gcrm/cluster/heartbeat"
	"gcrm/drivers"
)

// heard is told what the heartbeat finds.
func (n *Node) heard(e heartbeat.Event) {
	switch e.Kind {
	case heartbeat.PeerUp:
		n.log.Info("node is there", "peer", e.Peer, "incarnation", e.Incarnation)
		n.setSight(e.Peer, sight{up: true, incarnation: e.Incarnation, level: int(e.Level)})
	case heartbeat.PeerDown:
		n.log.Info("node is gone", "peer", e.Peer, "incarnation", e.Incarnation, "reason", e.Reason)
		n.setSight(e.Peer, sight{incarnation: e.Incarnation, left: e.Left})
		n.wire.Disconnect(e.Peer)
	case heartbeat.LinkDown, heartbeat.LinkUp:
		n.log.Info("link", "event", e.String())
		n.setLink(e.Peer, e.Link, e.Kind == heartbeat.LinkUp)
	case heartbeat.NewerEpoch:
		go n.newerEpoch(e.Peer, e.Epoch)
	}
}

func (n *Node) setSight(peer string, s sight) {
	n.mu.Lock()
	n.seen[peer] = s
	n.mu.Unlock()
	n.signal()
}

func (n *Node) view(state *consensus.State) view {
	n.mu.Lock()
	defer n.mu.Unlock()
	seen := map[string]sight{}
	for k, v := range n.seen {
		seen[k] = v
	}
	held := map[string]bool{}
	for name, until := range n.held {
		if time.Now().Before(until) {
			held[name] = true
		}
	}
	for name := range n.fenced {
		held[name] = true
	}
	for name, s := range n.shot {
		if now := n.seen[name]; now.up && now.incarnation == s.incarnation && time.Now().Before(s.until) {
			held[name] = true
		}
	}
	for _, name := range n.awaited(state) {
		held[name] = true
	}
	var armed map[string]time.Duration
	if n.devices != nil {
		armed = n.devices.watchdogs()
	}
	return view{state: state, armed: armed, self: n.cfg.Name, seen: seen, held: held, incarnation: n.incarnation, level: n.cfg.Level, seeds: n.cfg.Seeds, cluster: n.cfg.Cluster, now: n.cfg.Clock()}
}

// govern keeps the membership while this node leads, and hands leadership to
// the controller.
func (n *Node) govern() {
	cons := n.cons.Load()
	var since time.Time // of the leadership
	var term uint64
	turned := map[string]uint64{}
	for n.ctx.Err() == nil {
		lead, moved := cons.Leadership()
		state, newer := cons.State()
		n.mu.Lock()
		known := n.changed
		n.mu.Unlock()
		if len(state.Members) > 0 {
			n.keepPeers(state)
		}
		n.admit(state)
		n.takeKeys(state)
		n.turnAway(state, turned)
		if !lead.Self || lead.Term != term {
			n.rule(0)
		}
		var pause <-chan time.Time
		if lead.Self {
			if lead.Term != term {
				term, since = lead.Term, time.Now()
			}
			if m, ok := state.Member(n.cfg.Name); ok && m.Witness && n.passOn(state, "a witness does not lead") {
				// It may take a moment until this node knows that it was.
				select {
				case <-moved:
				case <-time.After(n.timing.Interval):
				case <-n.ctx.Done():
				}
				continue
			}
			decided, err := n.decide(n.ctx)
			if err != nil {
				return
			}
			state, newer = cons.State() // as it is now
			v := n.view(state)
			cmd, what, due := reconcile(v)
			recorded := func() {}
			if leaves(cmd) {
				if recorded, err = n.recordNothing(n.ctx); err != nil {
					return
				}
				state, newer = cons.State()
				v = n.view(state)
				cmd, what, due = reconcile(v)
			}
			done := due && n.commit(term, cmd, what)
			recorded()
			decided()
			switch {
			case done:
				continue
			case due:
				pause = time.After(n.timing.Interval)
			default:
				if integrated(v, time.Since(since), cmp.Or(n.cfg.JoinPatience, n.timing.JoinPatience)) {
					n.rule(term)
				}
				n.electorate(v)
				n.endTrial(term, state)
				n.driveKeys(term, state)
				pause = time.After(5 * n.timing.Interval)
			}
		}
		select {
		case <-moved:
		case <-newer:
		case <-known:
		case <-pause:
		case <-n.ctx.Done():
		}
	}
}

// turnAway drops the connections with nodes that came back before it was
// committed that they were lost: when they connect again they are told so.
// turned holds the incarnations that were, by node.
func (n *Node) turnAway(state *consensus.State, turned map[string]uint64) {
	for _, m := range state.Members {
		n.mu.Lock()
		s := n.seen[m.Name]
		n.mu.Unlock()
		if m.Name != n.cfg.Name && m.State != consensus.Left && s.up && s.incarnation <= m.Expelled && turned[m.Name] != s.incarnation {
			turned[m.Name] = s.incarnation
			n.log.Info("a node that was lost is here again and will be told", "peer", m.Name, "incarnation", s.incarnation)
			n.wire.Disconnect(m.Name)
		}
	}
}

// passOn hands leadership to a node that is to lead, and reports whether that was
// done.
func (n *Node) passOn(state *consensus.State, why string) bool {
	cons := n.cons.Load()
	voters, _, err := cons.Electorate()
	if err != nil {
		return false
	}
	for _, v := range voters {
		n.mu.Lock()
		up := n.seen[v].up
		n.mu.Unlock()
		m, ok := state.Member(v)
		if !ok || m.Witness || m.State != consensus.Online || !up || !n.caughtUp(v, state.Index) {
			continue
		}
		if err := cons.Transfer(v); err == nil {
			n.log.Info("leadership is passed on", "leader", v, "because", why)
			return true
		}
	}
	return false
}

// resign lets another node lead because this one is to be fenced: it would not
// live to tell that it is down, and who leads next would have it fenced once more.
// It reports whether this node does not lead in the term any more; others may not
// be there, or not follow.
func (n *Node) resign(ctx context.Context, term uint64) bool {
	for end := time.Now().Add(n.timing.Detection); ; {
		cons := n.cons.Load()
		state, _ := cons.State()
		if n.passOn(state, "this node is to be fenced") {
			return true
		}
		if lead, _ := cons.Leadership(); !lead.Self || lead.Term != term {
			return true
		}
		if len(n.reachableMembers(state)) == 1 || time.Now().After(end) {
			return false
		}
		select {
		case <-time.After(n.timing.Interval):
		case <-ctx.Done():
			return false
		}
	}
}

func (n *Node) commit(term uint64, cmd consensus.Command, what string) bool {
	ctx, cancel := context.WithTimeout(n.ctx, n.timing.IO)
	defer cancel()
	_, err := n.cons.Load().ApplyAsLeader(ctx, term, cmd)
	if err != nil && !errors.Is(err, cib.ErrConflict) {
		n.log.Info("membership could not be committed yet", "what", what, "err", err)
		return false
	}
	if err == nil {
		n.log.Info("membership", "what", what)
	}
	return true
}

// decide is held while a change of members is made of what they are and
// committed, so that none brings back what another one changed or removed.
func (n *Node) decide(ctx context.Context) (done func(), err error) {
	select {
	case n.deciding <- struct{}{}:
		return func() { <-n.deciding }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// recordNothing keeps the controller from committing anything until recorded is
// called. The caller holds what decide gives.
func (n *Node) recordNothing(ctx context.Context) (recorded func(), err error) {
	have := 0
	recorded = func() {
		for range have {
			<-n.records
		}
	}
	for range cap(n.records) {
		select {
		case n.records <- struct{}{}:
			have++
		case <-ctx.Done():
			recorded()
			return nil, ctx.Err()
		}
	}
	return recorded, nil
}

// rule makes the controller lead in a term, or not at all (0).
func (n *Node) rule(term uint64) {
	n.feed.Lock()
	defer n.feed.Unlock()
	if n.ruling == term {
		return
	}
	if n.ruling != 0 {
		n.ctrl.Input(controller.LostLeader{})
	}
	n.ruling = term
	n.mu.Lock()
	clear(n.held)
	n.mu.Unlock()
	if term != 0 {
		n.ctrl.Input(controller.BecameLeader{Term: term, UUID: newUUID(), CIB: n.newest})
	}
}

// hold keeps a node that was fenced from coming in until the controller has
// recorded it (release), or for a time at most.
func (n *Node) hold(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.held[name] = time.Now().Add(n.timing.RecordHold)
}

func (n *Node) release(name string) {
	n.mu.Lock()
	_, held := n.held[name]
	delete(n.held, name)
	n.mu.Unlock()
	if held {
		n.signal()
	}
}

// keepOut keeps a node that this one is having fenced from coming in, until
// release.
func (n *Node) keepOut(name string) (release func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fenced[name]++
	return func() {
		n.mu.Lock()
		if n.fenced[name]--; n.fenced[name] == 0 {
			delete(n.fenced, name)
		}
		n.mu.Unlock()
		n.signal()
	}
}

// awaited are the nodes of whose fencing is not known yet how it ended: who led
// before may have asked for that, or this node in an earlier term. What started
// anew meanwhile would be hit as a member, and does not come in before it is
// over. Only those are waited for that are members themselves in the incarnation
// that asked, as far as is seen: they say how it ended, and do not give up (see
// settle). The caller holds mu.
func (n *Node) awaited(state *consensus.State) []string {
	var targets []string
	for _, f := range state.UnderWay() {
		i := slices.IndexFunc(state.Members, func(m consensus.Member) bool { return strings.EqualFold(m.Name, f.Target) })
		s := n.seen[f.Origin]
		if f.Origin == n.cfg.Name {
			s = sight{up: true, incarnation: n.incarnation}
		}
		if i >= 0 && s.up && s.incarnation == f.OriginIncarnation && n.seen[state.Members[i].Name].up {
			targets = append(targets, state.Members[i].Name)
		}
	}
	return targets
}

// shot is what was seen of a node in the moment in which it was fenced. That may
// be a later incarnation than the one that was to be fenced: until its silence
// shows, it is not known whether it was hit as well, and it does not come in.
type shot struct {
	incarnation uint64
	until       time.Time
}

func (n *Node) wasShot(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.seen[name]; s.up {
		n.shot[name] = shot{s.incarnation, time.Now().Add(n.timing.DeadAfter + 2*n.timing.Interval)}
	}
}

func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// admit starts the executor once this incarnation is a member, and notices
// when it is not any more.
func (n *Node) admit(state *consensus.State) {
	m, ok := state.Member(n.cfg.Name)
	switch {
	case !ok:
	case m.ID != n.cfg.ID:
		// Who was here under this name before; the log is being caught up with.
	case m.Expelled >= n.incarnation && m.State != consensus.Left:
		n.expelled(fmt.Sprintf("the cluster counts incarnation %d of this node as %s: %s", n.incarnation, m.State, m.Reason))
	case m.State == consensus.Online && m.Incarnation == n.incarnation && n.execute.Load() == nil && n.ctx.Err() == nil:
		n.execute.Store(executor.New(executor.Config{
			Node:        n.agentNode(),
			Incarnation: strconv.FormatUint(n.incarnation, 10),
			Agents:      n.cfg.Agents,
			Submit: func(ctx context.Context, change cib.Change) error {
				n.sign(&change)
				_, err := n.cons.Load().Apply(ctx, consensus.NewRequest(), consensus.Command{Change: &change})
				return err
			},
			Latest: func(ctx context.Context) (*cib.CIB, error) {
				s, err := n.cons.Load().Read(ctx)
				if err != nil {
					return nil, err
				}
				return s.CIB, nil
			},
			LastCall: operation.LastCall(state.CIB, n.cfg.ID),
			Log:      n.log.With("room", "executor"),
		}))
		n.mu.Lock()
		n.admitted = true
		n.mu.Unlock()
		n.signal()
	}
}

func (n *Node) sign(c *cib.Change) {
	if c.Origin.Node == "" {
		c.Origin.Node = n.cfg.Name
	}
	if c.Origin.User == "" {
		c.Origin.User = "gcrm"
	}
	if c.Origin.Time.IsZero() {
		c.Origin.Time = n.cfg.Clock()
	}
}

func (n *Node) agentNode() drivers.Node {
	return drivers.Node{Name: n.cfg.Name, ID: n.cfg.ID, ClusterName: n.cfg.Cluster, StateDir: n.cfg.RunDir, Home: n.cfg.StateDir,
		Secrets: n.cfg.Secrets, HelperDir: n.helperDir(), Socket: n.cfg.Socket, Cluster: (*attributes)(n)}
}

// electorate gives members that came in a vote, and takes it from those that
// are known to be gone: they left, or were fenced. One step at a time.
func (n *Node) electorate(v view) {
	cons := n.cons.Load()
	voters, learners, err := cons.Electorate()
	if err != nil {
		return
	}
	fencing := fencingEnabled(v.state.CIB)
	waiting := false // for a vote
	for _, m := range v.state.Members {
		voter, learner := slices.Contains(voters, m.Name), slices.Contains(learners, m.Name)
		var err error
		switch {
		case m.State == consensus.Online && !voter && !learner:
			n.log.Info("electorate: sends the log to", "peer", m.Name)
			err = cons.AddLearner(m.Name)
		case m.State == consensus.Online && learner:
			waiting = true
			if !n.caughtUp(m.Name, v.state.Index) {
				continue
			}
			if len(voters) == 2 && !n.growing(v, voters) {
				return
			}
			n.log.Info("electorate: gives a vote to", "peer", m.Name)
			err = cons.AddVoter(m.Name)
			voters = append(voters, m.Name)
		case (m.State == consensus.Left || m.State == consensus.Down && fencing) && (voter || learner) && m.Name != v.self:
			n.log.Info("electorate: takes the vote from", "peer", m.Name, "because", m.Reason)
			err = cons.RemoveVoter(m.Name)
		}
		if err != nil {
			n.log.Info("electorate could not be changed yet", "peer", m.Name, "err", err)
			return
		}
	}
	if v.state.Growing && !waiting {
		n.setGrowing(false)
	}
}

// growing makes two voters know that there will be a third one, without whom
// neither is to go on alone any more; it reports whether both do.
func (n *Node) growing(v view, voters []string) bool {
	if !v.state.Growing {
		n.setGrowing(true)
		return false
	}
	for _, p := range voters {
		if p != v.self && !n.caughtUp(p, v.state.Index) {
			return false
		}
	}
	return true
}

func (n *Node) setGrowing(to bool) {
	cons := n.cons.Load()
	lead, _ := cons.Leadership()
	ctx, cancel := context.WithTimeout(n.ctx, n.timing.IO)
	defer cancel()
	if _, err := cons.ApplyAsLeader(ctx, lead.Term, consensus.Command{Growing: &to}); err != nil {
		n.log.Info("the electorate cannot be changed yet", "err", err)
	}
}

// caughtUp asks a node whether it is that far, and stays.
func (n *Node) caughtUp(peer string, index uint64) bool {
	ctx, cancel := context.WithTimeout(n.ctx, n.timing.Interval)
	defer cancel()
	var at appliedAnswer
	err := n.wire.Call(ctx, peer, methodApplied, nil, &at)
	return err == nil && at.Index >= index && !at.Leaving
}
