package node

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/cluster/consensus"
	"gcrm/cluster/controller"
	"gcrm/cluster/transport"
	"gcrm/fencing"
)

// devices fences by the fence devices of the configuration. It is the Fencer
// of nodes that have none of their own.
type devices struct {
	node   *Node
	runner *fencing.Runner

	mu   sync.Mutex // of the history's file
	size int        // of the file
}

const (
	methodFence    = "fencing.execute"
	methodRemember = "fencing.remember"
	methodManual   = "fencing.manual"

	fencingFile = "fencing.jsonl"
	// fencingFileLimit is the size at which the file is written anew.
	fencingFileLimit = 1 << 20
)

// startFencing makes the fencer; handlers are registered before peers call.
func (n *Node) startFencing() error {
	d := &devices{node: n}
	past, err := d.read()
	if err != nil {
		return err
	}
	d.runner = fencing.NewRunner(fencing.RunnerConfig{Self: n.cfg.Name, Registry: n.cfg.Fencing, Peers: d, Record: d.record,
		Log: n.log.With("room", "fencing")})
	d.runner.Remember(past)
	n.devices, n.cfg.Fencer = d, d
	handle(n, methodFence, func(ctx context.Context, _ transport.Peer, x fencing.Execute) (any, error) {
		return d.runner.Execute(ctx, x), nil
	})
	handle(n, methodManual, func(ctx context.Context, _ transport.Peer, r manualRequest) (any, error) {
		return d.manual(ctx, r)
	})
	handle(n, methodRemember, func(_ context.Context, _ transport.Peer, list []fencing.Entry) (any, error) {
		d.runner.Remember(list)
		return nil, nil
	})
	return nil
}

// Fence implements Fencer.
func (d *devices) Fence(ctx context.Context, r controller.Fence) (string, error) {
	res, err := d.runner.Fence(ctx, fencing.Request{Target: r.Node, Action: r.Action, Client: "gcrm", Timeout: r.Timeout, Delay: r.Delay, Reason: r.Reason})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s: %s", res.Proof, res.Evidence), nil
}

// Execute implements fencing.Peers.
func (d *devices) Execute(ctx context.Context, node string, x fencing.Execute) (fencing.Outcome, error) {
	var o fencing.Outcome
	err := d.node.wire.Call(ctx, node, methodFence, x, &o)
	return o, err
}

// manualRequest is an administrator's, on its way to the leader.
type manualRequest struct{ Node, Action, By string }

// manual carries it out; the caller leads, or is alone.
func (d *devices) manual(ctx context.Context, r manualRequest) (string, error) {
	if r.Action == "" { // the word that the node is down
		d.runner.Confirm(r.Node, r.By)
		return "", nil
	}
	res, err := d.runner.Fence(ctx, fencing.Request{Target: r.Node, Action: r.Action, Client: "gcrm fence by " + r.By, Reason: "asked for by " + r.By, Manual: true})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s: %s", res.Proof, res.Evidence), nil
}

// ask gives a manual request to whoever is to carry it out: the leader, or
// this node if there is none.
func (n *Node) ask(ctx context.Context, r manualRequest) (proof string, err error) {
	if n.devices == nil {
		return "", &client.Error{Code: client.CodeRefused, Text: "this node does not fence by devices of the configuration"}
	}
	state, _ := n.cons.Load().State()
	if _, ok := state.Member(r.Node); !ok {
		return "", &client.Error{Code: client.CodeNotFound, Text: "the cluster has no node " + r.Node}
	}
	lead, _ := n.cons.Load().Leadership()
	if lead.Leader == "" || lead.Leader == n.cfg.Name {
		proof, err = n.devices.manual(ctx, r)
	} else {
		err = n.wire.Call(ctx, lead.Leader, methodManual, r, &proof)
	}
	if err != nil {
		return "", &client.Error{Code: client.CodeRefused, Text: err.Error()}
	}
	return proof, nil
}

// follow gives the runner new configurations and the present members.
func (d *devices) follow() {
	n := d.node
	var configured cib.Version
	first := true
	last := ""
	for {
		state, newer := n.cons.Load().State()
		n.mu.Lock()
		known := n.changed
		n.mu.Unlock()
		if v := state.CIB.Version(); first || !v.SameConfiguration(configured) {
			first, configured = false, v
			for _, p := range d.runner.Configure(state.CIB, fencing.Sources{}) {
				n.log.Debug("fencing configuration", "problem", fmt.Sprint(p))
			}
		}
		m := fencing.Members{Nodes: n.reachableMembers(state), Quorate: n.quorate()}
		if now := fmt.Sprint(m); now != last {
			last = now
			d.runner.Members(m)
		}
		select {
		case <-newer:
		case <-known:
		case <-time.After(n.timing.RaftHeartbeat): // quorum is lost silently
		case <-n.ctx.Done():
			return
		}
	}
}

// reachableMembers are the members that could execute something now.
func (n *Node) reachableMembers(state *consensus.State) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for _, m := range state.Members {
		if m.Name == n.cfg.Name || m.State == consensus.Online && n.seen[m.Name].up {
			out = append(out, m.Name)
		}
	}
	slices.Sort(out)
	return out
}

// record stores an entry of the history, and tells the others in time.
func (d *devices) record(e fencing.Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	d.mu.Lock()
	err = d.store(append(line, '\n'))
	d.mu.Unlock()
	n := d.node
	n.mu.Lock()
	var to []string
	for name, s := range n.seen {
		if s.up {
			to = append(to, name)
		}
	}
	n.mu.Unlock()
	for _, name := range to {
		n.wg.Go(func() {
			ctx, cancel := context.WithTimeout(n.ctx, n.timing.IO)
			defer cancel()
			if err := n.wire.Call(ctx, name, methodRemember, []fencing.Entry{e}, nil); err != nil {
				n.log.Debug("a node was not told of a fencing", "peer", name, "err", err)
			}
		})
	}
	return err
}

// store appends a line durably; a file that has become long is written anew
// from what the next start would keep anyway.
func (d *devices) store(line []byte) error {
	if d.size > fencingFileLimit {
		past, err := d.read()
		if err != nil {
			return err
		}
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		for _, e := range past[max(0, len(past)-500):] {
			if err := enc.Encode(e); err != nil {
				return err
			}
		}
		if err := d.node.cfg.Files.Replace(fencingFile, b.Bytes()); err != nil {
			return err
		}
		d.size = b.Len()
	}
	d.size += len(line)
	return d.node.cfg.Files.Append(fencingFile, line)
}

// read returns the stored entries; a line that a crash cut short is left out.
func (d *devices) read() ([]fencing.Entry, error) {
	b, err := d.node.cfg.Files.Read(fencingFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d.size = len(b)
	var out []fencing.Entry
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		var e fencing.Entry
		if json.Unmarshal(s.Bytes(), &e) == nil && e.ID != "" {
			out = append(out, e)
		}
	}
	return out, nil
}
