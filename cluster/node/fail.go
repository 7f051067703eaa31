package node

import (
	"context"
	"fmt"
	"time"

	"gcrm/cluster/client"
)

const methodDrill = "node.drill"

// maxDrill bounds how long a node fails for a rehearsal.
const maxDrill = time.Hour

// Drill implements api.Administrator: it makes another node fail.
func (b *backend) Drill(ctx context.Context, r client.DrillRequest) error {
	n := (*Node)(b)
	limit := time.Duration(r.Seconds) * time.Second
	switch {
	case r.Kind != "kill" && r.Kind != "cut":
		return &client.Error{Code: client.CodeMalformed, Text: fmt.Sprintf("%q is no way to fail: there are kill and cut", r.Kind)}
	case limit <= 0 || limit > maxDrill:
		return &client.Error{Code: client.CodeMalformed, Text: fmt.Sprintf("a node fails for at least a second and at most %v", maxDrill)}
	}
	state, _ := n.cons.Load().State()
	if _, ok := state.Member(r.Node); !ok {
		return &client.Error{Code: client.CodeNotFound, Text: "the cluster has no node " + r.Node}
	}
	return n.wire.Call(ctx, r.Node, methodDrill, drillOrder{r, n.addressee(r.Node)}, nil)
}

// drillOrder tells a daemon to fail.
type drillOrder struct {
	client.DrillRequest
	addressee
}

// failNow is the failing node's part. It answers before it fails.
func (n *Node) failNow(by string, r client.DrillRequest) error {
	limit := min(time.Duration(r.Seconds)*time.Second, maxDrill)
	n.log.Warn("this node fails on purpose", "kind", r.Kind, "limit", limit, "asked by", by)
	n.record("drill: this node fails ("+r.Kind+"), asked by node "+by, nil)
	switch {
	case r.Kind == "cut":
		n.wg.Go(func() {
			time.Sleep(100 * time.Millisecond)
			n.cutUntil.Store(time.Now().Add(limit).UnixNano())
			state, _ := n.cons.Load().State()
			for _, m := range state.Members {
				n.wire.Disconnect(m.Name)
			}
		})
	case n.cfg.Die == nil:
		return fmt.Errorf("node %s cannot be killed: it is part of another program", n.cfg.Name)
	default:
		time.AfterFunc(100*time.Millisecond, func() { n.cfg.Die(limit) })
	}
	return nil
}

// cut tells whether traffic with a peer is lost, in tests or in a drill.
func (n *Node) cut(peer string) bool {
	if until := n.cutUntil.Load(); until != 0 && time.Now().UnixNano() < until {
		return true
	}
	return n.cfg.Cut != nil && n.cfg.Cut(peer)
}
