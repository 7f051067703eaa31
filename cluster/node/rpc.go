package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/cluster/consensus"
	"gcrm/cluster/controller"
	"gcrm/cluster/executor/operation"
	"gcrm/cluster/transport"
)

// What nodes ask each other, besides what consensus does.
const (
	methodDispatch = "executor.dispatch"
	methodReport   = "executor.report"
	methodProgress = "controller.progress" // leader tells
	methodStatus   = "controller.status"   // leader is asked
	methodLeave    = "node.leave"
	methodApplied  = "node.applied"
	methodAct      = "executor.act"
	methodRehearse = "executor.rehearse"
	methodLinks    = "heartbeat.links"
)

// appliedQuestion asks a node how far it is, and who the members are.
type appliedQuestion struct{ Members bool }

type appliedAnswer struct {
	Index   uint64
	Members []Seed `json:",omitempty"`
	// Leaving nodes are not to be given a vote or leadership.
	Leaving bool `json:",omitempty"`
}

func (n *Node) handle() {
	handle(n, methodDispatch, func(_ context.Context, from transport.Peer, d operation.Dispatch) (any, error) {
		e := n.execute.Load()
		if e == nil {
			return nil, fmt.Errorf("node %s is not a member yet", n.cfg.Name)
		}
		return nil, e.Dispatch(d)
	})
	handle(n, methodReport, func(_ context.Context, _ transport.Peer, t operation.Token) (any, error) {
		e := n.execute.Load()
		if e == nil {
			return nil, fmt.Errorf("node %s is not a member yet", n.cfg.Name)
		}
		return e.Report(t)
	})
	handle(n, methodProgress, func(_ context.Context, from transport.Peer, t client.Transition) (any, error) {
		n.setProgress(from.Name, t)
		return nil, nil
	})
	handle(n, methodStatus, func(context.Context, transport.Peer, struct{}) (any, error) {
		if lead, _ := n.cons.Load().Leadership(); !lead.Self {
			return client.Transition{}, nil
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.progress[n.cfg.Name], nil
	})
	handle(n, methodLeave, func(_ context.Context, _ transport.Peer, a addressee) (any, error) {
		if err := n.meets(a); err != nil {
			return nil, err
		}
		go n.cfg.Leave()
		return nil, nil
	})
	handle(n, methodFarewell, func(ctx context.Context, from transport.Peer, incarnation uint64) (any, error) {
		return nil, n.bidFarewell(ctx, from.Name, incarnation)
	})
	handle(n, methodRemove, func(ctx context.Context, _ transport.Peer, name string) (any, error) {
		return nil, n.remove(ctx, name)
	})
	handle(n, methodManual, func(ctx context.Context, _ transport.Peer, r manualRequest) (any, error) {
		return n.manual(ctx, r)
	})
	handle(n, methodDrill, func(_ context.Context, from transport.Peer, r drillOrder) (any, error) {
		if err := n.meets(r.addressee); err != nil {
			return nil, err
		}
		return nil, n.failNow(from.Name, r.DrillRequest)
	})
	handle(n, methodRehearse, func(ctx context.Context, _ transport.Peer, jobs []operation.Job) (any, error) {
		return n.rehearseHere(ctx, jobs)
	})
	handle(n, methodLinks, func(context.Context, transport.Peer, struct{}) (any, error) {
		return n.ownLinks(), nil
	})
	n.handleSecrets()
	handle(n, methodAct, func(ctx context.Context, _ transport.Peer, r client.ActRequest) (any, error) {
		return n.actHere(ctx, r)
	})
	handle(n, methodKeys, func(context.Context, transport.Peer, struct{}) (any, error) {
		return keysAnswer{n.generation.Load()}, nil
	})
	handleEarly(n, methodApplied, func(_ context.Context, _ transport.Peer, q appliedQuestion) (any, error) {
		c := n.cons.Load()
		if c == nil {
			return appliedAnswer{}, nil
		}
		s, _ := c.State()
		a := appliedAnswer{Index: s.Index, Leaving: n.closing.Load()}
		if q.Members {
			a.Members = seedsOf(s.Members)
		}
		return a, nil
	})
}

// joiner answers nodes that want to join, if this node can.
func joiner(n *Node) func(context.Context, []byte) ([]byte, error) {
	if n.cfg.Authority == nil {
		return nil
	}
	return n.join
}

// handle registers a handler with a typed request. The node is asked as soon as it
// listens; before it has opened its log it only says that it is not that far.
func handle[T any](n *Node, method string, f func(context.Context, transport.Peer, T) (any, error)) {
	handleEarly(n, method, func(ctx context.Context, from transport.Peer, req T) (any, error) {
		if err := n.opened(); err != nil {
			return nil, err
		}
		return f(ctx, from, req)
	})
}

// opened reports whether there is a log yet.
func (n *Node) opened() error {
	if n.cons.Load() == nil {
		return fmt.Errorf("node %s has just been started", n.cfg.Name)
	}
	return nil
}

// handleEarly registers a handler that does without the log.
func handleEarly[T any](n *Node, method string, f func(context.Context, transport.Peer, T) (any, error)) {
	n.wire.Handle(method, func(ctx context.Context, from transport.Peer, body json.RawMessage) (any, error) {
		var req T
		if err := json.Unmarshal(body, &req); err != nil {
			return nil, fmt.Errorf("unreadable request: %w", err)
		}
		return f(ctx, from, req)
	})
}

// spread tells the others what the controller does, whenever that changed. A
// message is sent to a node only after the one before arrived or was given up,
// so that the last one wins.
func (n *Node) spread() {
	told := map[string]uint64{}
	for {
		n.mu.Lock()
		t, number, known := n.progress[n.cfg.Name], n.progressNumber, n.changed
		var to []string
		for name, s := range n.seen {
			if s.up && told[name] != number {
				to = append(to, name)
			}
		}
		n.mu.Unlock()
		var wg sync.WaitGroup
		for _, name := range to {
			told[name] = number
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(n.ctx, n.timing.RaftHeartbeat)
				defer cancel()
				if err := n.wire.Call(ctx, name, methodProgress, t, nil); err != nil {
					n.log.Debug("progress was not told", "peer", name, "err", err)
				}
			})
		}
		wg.Wait()
		select {
		case <-known:
		case <-n.ctx.Done():
			return
		}
	}
}

// ruler is what the controller commands.
type ruler Node

// Apply implements controller.Cluster.
func (r *ruler) Apply(ctx context.Context, term uint64, change cib.Change) error {
	n := (*Node)(r)
	n.sign(&change)
	select {
	case n.records <- struct{}{}:
		defer func() { <-n.records }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if state, _ := n.cons.Load().State(); change.Status != nil {
		if name := begunWhereGone(state, change.Status.Edits); name != "" {
			return fmt.Errorf("node %s has left", name)
		}
	}
	_, err := n.cons.Load().ApplyAsLeader(ctx, term, consensus.Command{Change: &change})
	return err
}

// begunWhereGone finds a node on which an action is to begin, and which has left.
func begunWhereGone(state *consensus.State, edits []cib.StatusEdit) string {
	for _, e := range edits {
		if e.Operation == nil {
			continue
		}
		for _, m := range state.Members {
			if m.ID == e.Operation.Node && m.State == consensus.Left {
				return m.Name
			}
		}
	}
	return ""
}

// Dispatch implements controller.Cluster.
func (r *ruler) Dispatch(ctx context.Context, node string, d operation.Dispatch) error {
	return r.wire.Call(ctx, node, methodDispatch, d, nil)
}

// Query implements controller.Cluster.
func (r *ruler) Query(ctx context.Context, node string, t operation.Token) (operation.Report, error) {
	var rep operation.Report
	err := r.wire.Call(ctx, node, methodReport, t, &rep)
	return rep, err
}

// Shutdown implements controller.Cluster.
func (r *ruler) Shutdown(ctx context.Context, node, _ string) {
	if err := r.wire.Call(ctx, node, methodLeave, (*Node)(r).addressee(node), nil); err != nil {
		r.log.Warn("a node could not be told to leave", "peer", node, "err", err)
	}
}

// Fence implements controller.Cluster. When it returns, the member is known to
// be down, and committed as such.
func (r *ruler) Fence(ctx context.Context, req controller.Fence) error {
	n := (*Node)(r)
	if n.cfg.Fencer == nil {
		return errors.New("no fencing is configured; nothing can confirm that the node is down")
	}
	if req.Node == n.cfg.Name && req.Action != "on" && n.resign(ctx, req.Term) {
		return errors.New("another node leads now, and sees to it")
	}
	ctx, cancel := context.WithTimeout(ctx, n.timing.FencingLimit)
	defer cancel()
	if req.Action != "on" {
		defer n.keepOut(req.Node)()
	}
	incarnation := n.incarnationOf(req.Node)
	proof, err := n.cfg.Fencer.Fence(ctx, req)
	n.record(fmt.Sprintf("fence node %s (%s): %s", req.Node, req.Action, proof), err)
	if err != nil || req.Action == "on" {
		return err
	}
	n.hold(req.Node)
	return n.markDown(ctx, req.Term, req.Node, incarnation, proof)
}

// markDown commits that an incarnation of a member is known to be down, if this
// node leads in the term. A device may answer late, when another leader has the
// node fenced and back already.
func (n *Node) markDown(ctx context.Context, term uint64, node string, incarnation uint64, proof string) error {
	n.log.Warn("fenced", "peer", node, "proof", proof)
	n.wire.Disconnect(node)
	done, err := n.decide(ctx)
	if err != nil {
		return err
	}
	defer done()
	state, _ := n.cons.Load().State()
	m, ok := state.Member(node)
	if !ok || m.State == consensus.Down {
		return nil
	}
	if m.Incarnation > incarnation {
		return fmt.Errorf("node %s was fenced as incarnation %d, and has started as %d since", node, incarnation, m.Incarnation)
	}
	m.Expelled, m.Leftover = max(m.Expelled, m.Incarnation), nil
	m.State, m.Since, m.Reason = consensus.Down, time.Now(), "fenced: "+proof
	cmd := consensus.Command{Members: []consensus.Member{m}}
	if !m.Witness {
		change := cib.Change{Origin: cib.Origin{Client: membershipClient}, Status: &cib.StatusChange{
			Edits: []cib.StatusEdit{stateEdit(m, false, "down", "down", "offline", true)}}}
		n.sign(&change)
		cmd.Change = &change
	}
	_, err = n.cons.Load().ApplyAsLeader(ctx, term, cmd)
	return err
}

var _ controller.Cluster = (*ruler)(nil)
