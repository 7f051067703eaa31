package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/api"
	"gcrm/cluster/client"
	"gcrm/cluster/consensus"
	"gcrm/drivers/dlm"
	"gcrm/drivers/dlm/lockspace"
)

var _ api.Locksmith = (*backend)(nil)

const (
	// lockspacePatience is how long a request waits for another view.
	lockspacePatience = 20 * time.Second
	// controlLook is how often it is looked whether a control process that has
	// lockspaces lives.
	controlLook = 250 * time.Millisecond
	// condemnedPause is between two attempts to fence a node.
	condemnedPause = 5 * time.Second
)

// Lockspaces implements api.Locksmith. A daemon that is not yet a member again
// has nothing to say: what it has of the log may be old.
func (b *backend) Lockspaces(ctx context.Context, tag string) (*client.LockspaceView, error) {
	n := (*Node)(b)
	limit := time.NewTimer(lockspacePatience)
	defer limit.Stop()
	look := time.NewTicker(n.timing.RaftHeartbeat)
	defer look.Stop()
	for {
		state, newer := n.cons.Load().State()
		n.mu.Lock()
		known := n.changed
		n.mu.Unlock()
		if n.Admitted() {
			if v := n.lockspaceView(state); v.Tag != tag {
				return v, nil
			}
		}
		select {
		case <-newer:
		case <-known:
		case <-look.C: // quorum is lost silently
		case <-limit.C:
			if !n.Admitted() {
				return nil, &client.Error{Code: client.CodeUnavailable, Text: "node " + n.cfg.Name + " is not a member of the cluster yet"}
			}
			return n.lockspaceView(state), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-n.ctx.Done():
			return nil, &client.Error{Code: client.CodeUnavailable, Text: "the daemon ends"}
		}
	}
}

func (n *Node) lockspaceView(state *consensus.State) *client.LockspaceView {
	v := &client.LockspaceView{Epoch: state.Epoch, Index: state.Index, Node: n.cfg.Name, Number: n.number(), Cluster: lockCluster(state.CIB, n.cfg.Cluster),
		Quorate: n.steadilyQuorate(), Fencing: fencingEnabled(state.CIB) && n.cfg.Fencer != nil, Table: state.Lockspaces}
	for _, m := range state.Members {
		number, err := strconv.Atoi(m.ID)
		if err != nil {
			continue // it can have no lockspaces
		}
		v.Nodes = append(v.Nodes, client.LockNode{Name: m.Name, Number: number, Addresses: m.Addresses, Present: m.State == consensus.Online, Witness: m.Witness})
	}
	// What the control process does not look at makes no other view.
	v.Tag = fmt.Sprintf("%d %v %v %s %v %v", v.Epoch, v.Quorate, v.Fencing, v.Cluster, v.Nodes, v.Table)
	return v
}

// lockCluster is the name of the cluster in lock tables.
func lockCluster(doc *cib.CIB, name string) string {
	if v, ok := doc.Property("cluster-name"); ok && v != "" {
		return v
	}
	return name
}

func (n *Node) number() int {
	number, _ := strconv.Atoi(n.cfg.ID)
	return number
}

// steadilyQuorate reports whether the node was part of a working majority a
// moment ago: lockspaces need not stop for an election. That nobody takes over
// its locks meanwhile does not depend on it, but on fencing.
func (n *Node) steadilyQuorate() bool {
	now, yes := time.Now(), n.quorate()
	n.mu.Lock()
	defer n.mu.Unlock()
	if yes {
		n.wasQuorate = now
	}
	return now.Sub(n.wasQuorate) < 2*n.timing.Detection
}

// Lockspace implements api.Locksmith.
func (b *backend) Lockspace(ctx context.Context, e client.LockspaceEntry) error {
	n := (*Node)(b)
	if e.Node != n.number() {
		return &client.Error{Code: client.CodeMalformed, Text: fmt.Sprintf("node %d does not speak for node %d", n.number(), e.Node)}
	}
	ctx, cancel := n.bounded(ctx)
	defer cancel()
	return translate(n.say(ctx, e))
}

func (n *Node) say(ctx context.Context, e lockspace.Entry) error {
	_, err := n.cons.Load().Apply(ctx, consensus.NewRequest(), consensus.Command{Lockspace: &e})
	return err
}

// bootID is the kernel's name for the time since the last boot.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// watchControl says to all nodes what the lock manager's control process on
// this one cannot say itself: that it ended with lockspaces in use, so that the
// node has to be fenced; and that those of an earlier boot are gone.
func (n *Node) watchControl() {
	self := lockspace.Life{Node: n.number(), Boot: bootID()}
	folder := dlm.Folder(n.cfg.RunDir)
	gone := 0
	for n.ctx.Err() == nil {
		state, newer := n.cons.Load().State()
		n.mu.Lock()
		known := n.changed
		n.mu.Unlock()
		table := state.Lockspaces
		var entry *lockspace.Entry
		var pause <-chan time.Time
		boot := table.Boot(self.Node)
		switch {
		case boot == "" || self.Boot == "" || !n.Admitted():
		case boot != self.Boot:
			entry = &lockspace.Entry{Kind: lockspace.Hello, Life: self}
		case table.Involves(self):
			pause = time.After(controlLook)
			gone++
			if _, lives, _ := folder.Control(); lives {
				gone = 0
			}
			if gone >= 2 {
				n.log.Error("the lock manager's control process ended with lockspaces in use: this node has to be fenced")
				entry = &lockspace.Entry{Kind: lockspace.Failed, Life: self}
			}
		}
		if entry != nil {
			ctx, cancel := n.bounded(n.ctx)
			err := n.say(ctx, *entry)
			cancel()
			if err == nil {
				n.record("lock manager: this node says "+string(entry.Kind), nil)
			}
			pause = time.After(controlLook)
		}
		select {
		case <-newer:
		case <-known:
		case <-pause:
		case <-n.ctx.Done():
		}
	}
}

// fenceCondemned has nodes fenced, while this node leads, that bar a lockspace
// although the scheduler sees no reason to: they are there, or left in order,
// and their lock manager is out of control.
func (n *Node) fenceCondemned() {
	tried := map[string]time.Time{}
	for n.ctx.Err() == nil {
		lead, moved := n.cons.Load().Leadership()
		state, newer := n.cons.Load().State()
		var pause <-chan time.Time
		for _, m := range condemned(state) {
			if !lead.Self {
				break
			}
			pause = time.After(condemnedPause)
			if time.Since(tried[m.Name]) < condemnedPause {
				continue
			}
			tried[m.Name] = time.Now()
			n.log.Warn("a node holds locks that nobody controls and is fenced", "peer", m.Name)
			ctx, cancel := context.WithTimeout(n.ctx, 10*time.Minute)
			_, err := n.ask(ctx, manualRequest{Node: m.Name, Action: "reboot", By: "the lock manager"})
			cancel()
			n.record("fence node "+m.Name+", whose lock manager is out of control", err)
			if err != nil && !errors.Is(err, context.Canceled) {
				n.log.Error("a node that holds locks could not be fenced; its lockspaces stay blocked", "peer", m.Name, "err", err)
			}
		}
		select {
		case <-newer:
		case <-moved:
		case <-pause:
		case <-n.ctx.Done():
		}
	}
}

// condemned are the members that bar a lockspace and that the scheduler does
// not have fenced, as it does those that are lost.
func condemned(state *consensus.State) []consensus.Member {
	numbers := state.Lockspaces.Condemned()
	var out []consensus.Member
	for _, m := range state.Members {
		number, err := strconv.Atoi(m.ID)
		if err == nil && slices.Contains(numbers, number) && m.State != consensus.Lost && m.State != consensus.Down {
			out = append(out, m)
		}
	}
	return out
}

// lockWaits says in words which lockspaces wait for a fencing.
func lockWaits(state *consensus.State) []string {
	name := func(node int) string {
		for _, m := range state.Members {
			if m.ID == strconv.Itoa(node) {
				return m.Name
			}
		}
		return "node " + strconv.Itoa(node)
	}
	var out []string
	for _, s := range state.Lockspaces.Spaces {
		if len(s.Lost) > 0 {
			out = append(out, fmt.Sprintf("lockspace %s is %s", s.Name, s.Waits(name)))
		}
	}
	return out
}
