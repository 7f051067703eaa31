package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"gcrm/cluster/client"
)

// linksLimit bounds how long another node may take to tell of its links.
const linksLimit = 2 * time.Second

// Links implements api.Backend.
func (b *backend) Links(context.Context) ([]client.Link, error) { return (*Node)(b).ownLinks(), nil }

// ownLinks are the links of this node.
func (n *Node) ownLinks() []client.Link {
	out := []client.Link{}
	for _, h := range n.beat.Links() {
		l := client.Link{Peer: h.Peer, Up: h.Hears && h.Heard, Hears: h.Hears, Heard: h.Heard, Loss: h.Loss, RoundTrip: h.RoundTrip.Microseconds()}
		if a, ok := n.resolveLink(h.Peer, h.Link); ok {
			l.Address = a.String()
		}
		out = append(out, l)
	}
	return out
}

// Mesh implements api.Backend: all members are asked at once.
func (b *backend) Mesh(ctx context.Context) ([]client.NodeLinks, error) {
	n := (*Node)(b)
	c := n.cons.Load()
	if c == nil {
		return []client.NodeLinks{{Node: n.cfg.Name, Links: n.ownLinks()}}, nil
	}
	state, _ := c.State()
	reachable := n.reachableMembers(state)
	out := make([]client.NodeLinks, len(state.Members))
	var wg sync.WaitGroup
	for i, m := range state.Members {
		out[i].Node = m.Name
		switch {
		case m.Name == n.cfg.Name:
			out[i].Links = n.ownLinks()
		case !slices.Contains(reachable, m.Name):
			out[i].Error = "it is not heard from here"
		default:
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, linksLimit)
				defer cancel()
				if err := n.wire.Call(ctx, m.Name, methodLinks, struct{}{}, &out[i].Links); err != nil {
					out[i].Error = err.Error()
				}
			})
		}
	}
	wg.Wait()
	return out, nil
}
