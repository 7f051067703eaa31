package locks

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"gcrm/cluster/client"
	"gcrm/drivers/dlm"
	"gcrm/drivers/dlm/kernel"
	"gcrm/drivers/dlm/lockspace"
	"gcrm/drivers/dlm/plock"
)

// daemonAPI is what is asked of the node's daemon; *client.HTTP is one.
type daemonAPI interface {
	Lockspaces(ctx context.Context, tag string) (*client.LockspaceView, error)
	Lockspace(ctx context.Context, e client.LockspaceEntry) error
}

// link is a control process's way to the cluster.
type link struct {
	daemon daemonAPI
	mesh   *mesh
	// networks is how many addresses of a node the kernel is told.
	networks int
	log      *slog.Logger

	mu    sync.Mutex
	nodes []client.LockNode
}

var _ dlm.Cluster = (*link)(nil)

// Follow implements dlm.Cluster.
func (l *link) Follow(ctx context.Context, changed func(dlm.View)) error {
	tag, silent := "", false
	for pause := reconnectPause; ctx.Err() == nil; {
		v, err := l.daemon.Lockspaces(ctx, tag)
		if err != nil {
			if !silent && ctx.Err() == nil {
				silent = true
				l.log.Warn("the node's daemon does not answer; lockspaces go on", "err", err)
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			pause = min(2*pause, time.Second)
			continue
		}
		if silent {
			l.log.Info("the node's daemon answers again")
		}
		tag, silent, pause = v.Tag, false, reconnectPause
		l.mu.Lock()
		l.nodes = v.Nodes
		l.mu.Unlock()
		changed(l.view(v))
	}
	return ctx.Err()
}

const reconnectPause = 50 * time.Millisecond

// view is the daemon's for the engine.
func (l *link) view(v *client.LockspaceView) dlm.View {
	out := dlm.View{Epoch: v.Epoch, Index: v.Index, Table: v.Table, Quorate: v.Quorate, Names: map[int]string{}}
	for _, n := range v.Nodes {
		out.Names[n.Number] = n.Name
		addresses := hosts(n.Addresses)
		if !n.Present || n.Witness || len(addresses) == 0 {
			continue
		}
		out.Nodes = append(out.Nodes, kernel.Node{Life: lockspace.Life{Node: n.Number, Boot: v.Table.Boot(n.Number)},
			Addresses: addresses[:min(len(addresses), l.networks)]})
	}
	return out
}

// hosts are addresses without their ports.
func hosts(list []string) []netip.Addr {
	var out []netip.Addr
	for _, a := range list {
		if p, err := netip.ParseAddrPort(a); err == nil {
			out = append(out, p.Addr())
		}
	}
	return out
}

// node finds a node by number, or by name if that is given.
func (l *link) node(number int, name string) (client.LockNode, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.nodes {
		if name != "" && n.Name == name || name == "" && n.Number == number {
			return n, true
		}
	}
	return client.LockNode{}, false
}

// Propose implements dlm.Cluster.
func (l *link) Propose(ctx context.Context, e lockspace.Entry) error {
	return l.daemon.Lockspace(ctx, e)
}

// Fence implements dlm.Cluster. The daemon does the same when this process has
// ended, so one that does not answer now is not waited for.
func (l *link) Fence(ctx context.Context, why string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	err := l.daemon.Lockspace(ctx, lockspace.Entry{Kind: lockspace.Failed, Life: l.mesh.self})
	if err != nil {
		l.log.Error("the node's daemon could not be told that this node has to be fenced; it will see that this process ended", "why", why, "err", err)
	}
	return nil
}

// Send implements dlm.Cluster.
func (l *link) Send(_ context.Context, node int, space string, m plock.Message) error {
	return l.mesh.send(node, letter{space, m})
}

// Receive implements dlm.Cluster.
func (l *link) Receive(ctx context.Context, heard func(string, plock.Message), lost func(string)) error {
	l.mesh.open(heard, lost)
	<-ctx.Done()
	return ctx.Err()
}
