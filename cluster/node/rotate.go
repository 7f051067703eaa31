package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gcrm/cluster/client"
	"gcrm/cluster/consensus"
	"gcrm/cluster/transport"
)

const methodKeys = "node.keys"

// authorityReserve is how long before the end of the authority's certificate
// the cluster replaces it by itself.
const authorityReserve = 365 * 24 * time.Hour

// takeKeys installs the keys of the replicated state, when there are newer ones.
func (n *Node) takeKeys(state *consensus.State) {
	r := state.Keyring
	if r == nil || n.cfg.Keystore == nil || r.Generation <= n.generation.Load() {
		return
	}
	keys, err := n.cfg.Keystore.Install(*r, time.Now())
	if err != nil {
		n.log.Error("new keys could not be stored; the replacement waits for this node", "generation", r.Generation, "err", err)
		return
	}
	n.keys.Store(&keys)
	n.wire.Rotate(keys.Credentials)
	n.beat.SetKeys(keys.Heartbeats)
	n.generation.Store(r.Generation)
	n.log.Info("keys", "generation", r.Generation, "step", r.Step)
	if r.Step == consensus.KeysDone {
		// Connections that the old keys vouched for end.
		for _, m := range state.Members {
			n.wire.Disconnect(m.Name)
		}
	}
}

// renewCertificate replaces the node's certificate when it is about to end.
func (n *Node) renewCertificate() {
	keys := n.keys.Load()
	if n.cfg.Keystore == nil || keys.Authority == nil || !transport.Due(keys.Credentials, time.Now()) {
		return
	}
	c, err := keys.Authority.Renew(n.cfg.Keystore.Dir, n.cfg.Name, n.cfg.ID, time.Now())
	if err != nil {
		n.log.Error("the node's certificate could not be renewed", "ends", keys.Credentials.Certificate.Leaf.NotAfter, "err", err)
		return
	}
	next := *keys
	next.Credentials = c
	n.keys.Store(&next)
	n.wire.Rotate(c)
	n.log.Info("the node's certificate was renewed", "ends", c.Certificate.Leaf.NotAfter)
}

// keysAnswer is how far a node has followed the replacement of keys.
type keysAnswer struct{ Generation uint64 }

// driveKeys takes a replacement one step further once every member has done the
// last one, and begins one when the authority is about to end; this node leads.
func (n *Node) driveKeys(term uint64, state *consensus.State) {
	if n.cfg.Keystore == nil {
		return
	}
	if state.Keyring == nil || state.Keyring.Step == consensus.KeysDone {
		if a := n.keys.Load().Authority; a != nil && time.Until(a.Ends()) < authorityReserve {
			err := n.rotate(n.ctx, true)
			n.record("replace the cluster's authority, which ends at "+a.Ends().Format(time.DateOnly), err)
		}
		return
	}
	next, ok := state.Keyring.Next()
	if !ok || n.generation.Load() != state.Keyring.Generation {
		return
	}
	for _, m := range state.Members {
		if m.Name == n.cfg.Name {
			continue
		}
		if m.State != consensus.Online {
			return
		}
		ctx, cancel := context.WithTimeout(n.ctx, n.timing.RaftHeartbeat)
		var a keysAnswer
		err := n.wire.Call(ctx, m.Name, methodKeys, struct{}{}, &a)
		cancel()
		if err != nil || a.Generation != state.Keyring.Generation {
			return
		}
	}
	ctx, cancel := context.WithTimeout(n.ctx, n.timing.IO)
	defer cancel()
	if _, err := n.cons.Load().ApplyAsLeader(ctx, term, consensus.Command{Keyring: &next}); err != nil {
		n.log.Info("the replacement of keys could not go on yet", "err", err)
	}
}

// rotate begins to replace the keys.
func (n *Node) rotate(ctx context.Context, authority bool) error {
	keys := n.keys.Load()
	if n.cfg.Keystore == nil || keys.Authority == nil {
		return errNoAuthority
	}
	cons := n.cons.Load()
	state, err := cons.Read(ctx)
	if err != nil {
		return translate(err)
	}
	var now consensus.Keyring
	if state.Keyring != nil {
		now = *state.Keyring
		if now.Step != consensus.KeysDone {
			return translate(&consensus.RefusedError{Text: consensus.ErrRotating.Error()})
		}
	} else {
		cert, key, err := keys.Authority.Export()
		if err != nil {
			return err
		}
		now = consensus.Keyring{Authorities: []consensus.AuthorityKey{{Cert: cert, Key: key}}, Heartbeats: keys.Heartbeats[:1]}
	}
	var fresh *consensus.AuthorityKey
	if authority {
		a, err := transport.NewAuthority(n.cfg.Cluster, time.Now())
		if err != nil {
			return err
		}
		fresh = &consensus.AuthorityKey{}
		if fresh.Cert, fresh.Key, err = a.Export(); err != nil {
			return err
		}
	}
	next := now.Begin(fresh, newKey())
	_, err = cons.Apply(ctx, consensus.NewRequest(), consensus.Command{Keyring: &next})
	return translate(err)
}

// Rotate implements api.Administrator.
func (b *backend) Rotate(ctx context.Context, authority bool) error {
	n := (*Node)(b)
	ctx, cancel := n.bounded(ctx)
	defer cancel()
	return n.rotate(ctx, authority)
}

// security is what the node tells of its keys.
func (n *Node) security(state *consensus.State) client.Security {
	keys := n.keys.Load()
	out := client.Security{}
	if leaf := keys.Credentials.Certificate.Leaf; leaf != nil {
		out.CertificateEnds = leaf.NotAfter
	}
	if keys.Authority != nil {
		out.AuthorityEnds = keys.Authority.Ends()
	}
	if r := state.Keyring; r != nil {
		out.Generation = r.Generation
		if r.Step != consensus.KeysDone {
			out.Replacing = fmt.Sprintf("the new keys are in step %q", r.Step)
			for _, m := range state.Members {
				if m.State != consensus.Online {
					out.Waits = append(out.Waits, m.Name)
				}
			}
			slices.Sort(out.Waits)
		}
	}
	return out
}

// watchCertificate renews the node's certificate in time.
func (n *Node) watchCertificate() {
	every := time.NewTicker(certificateCheck(n.cfg.Keystore))
	defer every.Stop()
	for {
		select {
		case <-every.C:
			n.renewCertificate()
		case <-n.ctx.Done():
			return
		}
	}
}

// certificateCheck is how often a certificate is looked at: often enough in
// the last sixth of its life.
func certificateCheck(k *Keystore) time.Duration {
	if k == nil || k.NodeLife == 0 {
		return time.Hour
	}
	return min(time.Hour, max(k.NodeLife/60, time.Second))
}
