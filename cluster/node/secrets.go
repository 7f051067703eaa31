package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"gcrm/cluster/client"
	"gcrm/cluster/transport"
	"gcrm/drivers/secret"
)

// Nodes tell each other values of secret parameters over their own connections
// and keep them in files; they are neither in the log nor in the CIB. A change
// is told to all that can be reached, and a node that comes (back) asks those
// that it meets for what is newer than its own.
const (
	methodSecretPut  = "secret.put"
	methodSecretGet  = "secret.get"
	methodSecretList = "secret.list"
)

// secretLimit bounds how long one node may take.
const secretLimit = 5 * time.Second

// secretValue is a value on its way from node to node.
type secretValue struct {
	secret.Entry
	Value string
}

func (n *Node) handleSecrets() {
	// A witness runs nothing, so it has no business with the values.
	entitled := func(from transport.Peer) error {
		if c := n.cons.Load(); c != nil {
			s, _ := c.State()
			if m, ok := s.Member(from.Name); ok && !m.Witness {
				return nil
			}
		}
		return fmt.Errorf("%s is not a node that runs resources", from.Name)
	}
	handle(n, methodSecretPut, func(_ context.Context, from transport.Peer, v secretValue) (any, error) {
		return nil, n.secrets.Put(v.Entry, v.Value)
	})
	handle(n, methodSecretGet, func(_ context.Context, from transport.Peer, e secret.Entry) (any, error) {
		if err := entitled(from); err != nil {
			return nil, err
		}
		return n.ownSecret(e.Resource, e.Parameter)
	})
	handle(n, methodSecretList, func(_ context.Context, from transport.Peer, _ struct{}) (any, error) {
		if err := entitled(from); err != nil {
			return nil, err
		}
		return n.secrets.List()
	})
}

// ownSecret is what this node has; an entry that holds nothing is no error.
func (n *Node) ownSecret(resource, parameter string) (secretValue, error) {
	value, e, err := n.secrets.Get(resource, parameter)
	if errors.Is(err, fs.ErrNotExist) {
		e.Held, err = false, nil
	}
	return secretValue{e, value}, err
}

// askSecret asks one node, this one included, for its value.
func (n *Node) askSecret(ctx context.Context, node, resource, parameter string) (secretValue, error) {
	if node == n.cfg.Name {
		return n.ownSecret(resource, parameter)
	}
	ctx, cancel := context.WithTimeout(ctx, secretLimit)
	defer cancel()
	var v secretValue
	err := n.wire.Call(ctx, node, methodSecretGet, secret.Entry{Resource: resource, Parameter: parameter}, &v)
	return v, err
}

// eachHolder calls f for every node that runs resources, at once, and returns
// what it says, by name. Nodes that cannot be reached are away.
func (n *Node) eachHolder(f func(node string) client.SecretNode) []client.SecretNode {
	state, _ := n.cons.Load().State()
	reachable := n.reachableMembers(state)
	var out []client.SecretNode
	var wg sync.WaitGroup
	for _, m := range state.Members {
		if !m.Witness {
			out = append(out, client.SecretNode{Node: m.Name, State: client.SecretAway})
		}
	}
	for i := range out {
		if slices.Contains(reachable, out[i].Node) {
			wg.Go(func() { out[i] = f(out[i].Node) })
		}
	}
	wg.Wait()
	return out
}

// SetSecret implements api.Hands.
func (b *backend) SetSecret(ctx context.Context, r client.SecretRequest) (*client.SecretAnswer, error) {
	n := (*Node)(b)
	value, held := "", r.Value != nil
	if held {
		value = *r.Value
	}
	if err := secret.Check(r.Resource, r.Parameter, value); err != nil {
		return nil, &client.Error{Code: client.CodeMalformed, Text: err.Error()}
	}
	if !n.quorate() {
		return nil, &client.Error{Code: client.CodeNoLeader, Text: client.ErrNoLeader.Error()}
	}
	// The version is above all that the reachable nodes know, and above those
	// that were given when the cluster was younger.
	state, _ := n.cons.Load().State()
	var mu sync.Mutex
	version := state.Index
	n.eachHolder(func(node string) client.SecretNode {
		if v, err := n.askSecret(ctx, node, r.Resource, r.Parameter); err == nil {
			mu.Lock()
			version = max(version, v.Version)
			mu.Unlock()
		}
		return client.SecretNode{}
	})
	v := secretValue{secret.Entry{Resource: r.Resource, Parameter: r.Parameter, Version: version + 1, Held: held}, value}
	a := &client.SecretAnswer{Nodes: n.eachHolder(func(node string) client.SecretNode {
		ctx, cancel := context.WithTimeout(ctx, secretLimit)
		defer cancel()
		if err := n.wire.Call(ctx, node, methodSecretPut, v, nil); err != nil {
			return client.SecretNode{Node: node, State: client.SecretFailed, Text: err.Error()}
		}
		return client.SecretNode{Node: node, State: client.SecretHeld}
	})}
	if !slices.ContainsFunc(a.Nodes, func(s client.SecretNode) bool { return s.State == client.SecretHeld }) {
		why := "no node that runs resources can be reached"
		for _, s := range a.Nodes {
			if s.Text != "" {
				why = s.Node + ": " + s.Text
			}
		}
		return nil, &client.Error{Code: client.CodeUnavailable, Text: "the value was stored on no node: " + why}
	}
	return a, nil
}

// Secret implements api.Hands.
func (b *backend) Secret(ctx context.Context, resource, parameter string) (*client.SecretAnswer, error) {
	n := (*Node)(b)
	if err := secret.Check(resource, parameter, ""); err != nil {
		return nil, &client.Error{Code: client.CodeMalformed, Text: err.Error()}
	}
	type found struct {
		value secretValue
		err   error
	}
	var mu sync.Mutex
	by := map[string]found{}
	nodes := n.eachHolder(func(node string) client.SecretNode {
		v, err := n.askSecret(ctx, node, resource, parameter)
		mu.Lock()
		by[node] = found{v, err}
		mu.Unlock()
		return client.SecretNode{Node: node}
	})
	// The latest version counts; it may not have come to every node yet.
	var latest secretValue
	for _, s := range nodes {
		if f, ok := by[s.Node]; ok && f.err == nil && (f.value.Version > latest.Version || !latest.Held && f.value.Held && f.value.Version == latest.Version) {
			latest = f.value
		}
	}
	for i := range nodes {
		f, ok := by[nodes[i].Node]
		switch {
		case !ok:
		case f.err != nil:
			nodes[i].State, nodes[i].Text = client.SecretDamaged, f.err.Error()
		case !f.value.Held:
			nodes[i].State = client.SecretMissing
		case f.value.Value != latest.Value || f.value.Version != latest.Version:
			nodes[i].State = client.SecretDifferent
		default:
			nodes[i].State = client.SecretHeld
		}
	}
	a := &client.SecretAnswer{Nodes: nodes}
	if latest.Held {
		a.Value = &latest.Value
	}
	return a, nil
}

// fetchSecrets gets what is newer from nodes that this one meets, for values
// may have been changed while it was away.
func (n *Node) fetchSecrets() {
	met := map[string]bool{}
	for {
		state, newer := n.cons.Load().State()
		n.mu.Lock()
		known := n.changed
		n.mu.Unlock()
		now := map[string]bool{}
		var again <-chan time.Time
		self, _ := state.Member(n.cfg.Name)
		for _, peer := range n.reachableMembers(state) {
			m, _ := state.Member(peer)
			if peer == n.cfg.Name || m.Witness || self.Witness {
				continue
			}
			now[peer] = met[peer]
			if met[peer] {
				continue
			}
			if err := n.fetchSecretsOf(peer); err != nil {
				n.log.Debug("secret parameters could not be compared", "peer", peer, "err", err)
				again = time.After(n.timing.IO)
				continue
			}
			now[peer] = true
		}
		met = now
		select {
		case <-newer:
		case <-known:
		case <-again:
		case <-n.ctx.Done():
			return
		}
	}
}

func (n *Node) fetchSecretsOf(peer string) error {
	ctx, cancel := context.WithTimeout(n.ctx, secretLimit)
	defer cancel()
	var list []secret.Entry
	if err := n.wire.Call(ctx, peer, methodSecretList, struct{}{}, &list); err != nil {
		return err
	}
	for _, e := range list {
		own, err := n.ownSecret(e.Resource, e.Parameter)
		if err == nil && own.Version >= e.Version {
			continue // a damaged one is fetched again only if there is a newer one
		}
		v := secretValue{Entry: e}
		if e.Held {
			if v, err = n.askSecret(ctx, peer, e.Resource, e.Parameter); err != nil {
				return err
			}
		}
		if err := n.secrets.Put(v.Entry, v.Value); err != nil && !errors.Is(err, secret.ErrOutdated) {
			return err
		}
		n.log.Info("secret parameter", "resource", e.Resource, "parameter", e.Parameter, "from", peer, "held", e.Held)
	}
	return nil
}
