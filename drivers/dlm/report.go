package dlm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"gcrm/drivers/dlm/kernel"
	"gcrm/drivers/dlm/lockspace"
	"gcrm/drivers/dlm/plock"
)

// Report is what a control daemon knows, for people and programs.
type Report struct {
	Self    lockspace.Life
	Cluster string
	// Ready tells that lockspaces can be made.
	Ready   bool
	Quorate bool
	// Nodes are those that the kernel was told of.
	Nodes []kernel.Node
	Names map[int]string
	Lives []lockspace.Life
	// Spaces are the lockspaces of the cluster, those of this node among them.
	Spaces []SpaceReport
}

// SpaceReport is one lockspace.
type SpaceReport struct {
	lockspace.Space
	ID uint32
	// Here tells that this node's kernel has it; Joining and Leaving that it
	// wants in or out, Active that it runs here.
	Here, Joining, Leaving, Active bool
	// Waits says in words what it waits for; empty if for nothing.
	Waits string `json:",omitempty"`
	// Recovering is the generation that the kernel recovers, Awaits the node
	// that it waits for in that, 0 for none.
	Recovering uint64 `json:",omitempty"`
	Awaits     int    `json:",omitempty"`
	// Files are the POSIX locks, by inode.
	Files []plock.FileState `json:",omitempty"`
}

// Name is a node's name.
func (r Report) Name(node int) string {
	if n := r.Names[node]; n != "" {
		return n
	}
	return fmt.Sprintf("node %d", node)
}

// Missing are the nodes that the kernel was not told of, in order.
func (r Report) Missing() (out []int) {
	for _, node := range slices.Sorted(maps.Keys(r.Names)) {
		if !slices.ContainsFunc(r.Nodes, func(n kernel.Node) bool { return n.Node == node }) {
			out = append(out, node)
		}
	}
	return out
}

// errEnded is for who asks a control daemon that is gone.
var errEnded = errors.New("the control daemon has ended")

// Report asks a running control daemon. It may be called from any goroutine.
func (c *Control) Report(ctx context.Context) (Report, error) {
	answer := make(chan Report, 1)
	select {
	case c.inbox <- func() { answer <- c.report() }:
	case <-c.ended:
		return Report{}, errEnded
	case <-ctx.Done():
		return Report{}, ctx.Err()
	}
	select {
	case r := <-answer:
		return r, nil
	case <-c.ended:
		return Report{}, errEnded
	case <-ctx.Done():
		return Report{}, ctx.Err()
	}
}

// GiveUp ends the control although lockspaces are in use: something that holds
// locks on this node cannot be brought to an end otherwise. The kernel stops all
// lockspaces, and the node is fenced. It may be called from any goroutine.
func (c *Control) GiveUp(why string) {
	select {
	case c.inbox <- func() { c.fail(errors.New(why)) }:
	case <-c.ended:
	}
}

func (c *Control) report() Report {
	r := Report{Self: c.cfg.Self, Cluster: c.cfg.Settings.Cluster, Ready: c.ready, Quorate: c.view.Quorate, Names: c.view.Names, Lives: c.view.Table.Lives}
	known := c.kernel.Nodes()
	for _, n := range c.view.Nodes {
		for _, k := range known {
			if k == n.Node {
				n.Local = n.Node == c.cfg.Self.Node
				r.Nodes = append(r.Nodes, n)
			}
		}
	}
	seen := map[string]bool{}
	for _, s := range c.view.Table.Spaces {
		seen[s.Name] = true
		r.Spaces = append(r.Spaces, c.describe(s, r))
	}
	for _, name := range c.engine.Spaces() {
		if !seen[name] { // not yet in the table, or no more
			r.Spaces = append(r.Spaces, c.describe(lockspace.Space{Name: name}, r))
		}
	}
	return r
}

func (c *Control) describe(s lockspace.Space, r Report) SpaceReport {
	out := SpaceReport{Space: s, ID: lockspace.ID(s.Name), Waits: s.Waits(r.Name)}
	out.Here, out.Joining, out.Leaving, out.Active = c.engine.Has(s.Name)
	switch {
	case out.Waits == "" && out.Joining:
		out.Waits = "waits for the cluster to let this node in"
	case out.Here && !out.Joining && !r.Quorate:
		out.Waits = "blocked because this node has no quorum"
	}
	if generation, yes := c.engine.Recovering(s.Name); yes {
		out.Recovering = generation
		// One that ends meanwhile has nothing to wait for.
		_, out.Awaits, _ = c.kernel.Recovered(s.Name)
	}
	if ch := c.channels[s.Name]; ch != nil {
		out.Files = ch.Table().Files()
	}
	return out
}
