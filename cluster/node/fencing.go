package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/cluster/consensus"
	"gcrm/cluster/controller"
	"gcrm/cluster/stonith"
	"gcrm/cluster/transport"
	"gcrm/drivers/secret"
	"gcrm/fencing"
)

// devices fences by the fence devices of the configuration. It is the Fencer
// of nodes that have none of their own.
type devices struct {
	node   *Node
	runner *fencing.Runner

	mu   sync.Mutex
	size int // of the history's file
	// told are the incarnations that were told all of the history; 0 while
	// they are being told.
	told map[string]uint64
	// armed are the watchdogs that nodes said they have, by name in lower case;
	// zero is none.
	armed map[string]time.Duration
	// agreed are the requests of this node to fence that were given to consensus
	// and not concluded: with what number, by their id in the history.
	agreed map[string]string

	counting sync.Mutex
	counted  string // what the runner was told last of who is there
	// disbelieved are incarnations, by node; see disbelieve.
	disbelieved map[string]uint64
}

const (
	methodFence    = "fencing.execute"
	methodRemember = "fencing.remember"
	methodManual   = "fencing.manual"

	// farewell is what the answer of a node that resets itself has to get out.
	farewell = 100 * time.Millisecond

	fencingFile = "fencing.jsonl"
	// fencingFileLimit is the size at which the file is written anew.
	fencingFileLimit = 1 << 20
)

// startFencing makes the fencer; handlers are registered before peers call.
func (n *Node) startFencing() error {
	d := &devices{node: n, told: map[string]uint64{}, armed: map[string]time.Duration{strings.ToLower(n.cfg.Name): n.cfg.Watchdog}, agreed: map[string]string{}, disbelieved: map[string]uint64{}}
	past, err := d.read()
	if err != nil {
		return err
	}
	past = ended(past, n.cfg.Name, n.started)
	var reset func(string)
	if n.cfg.Reset != nil {
		reset = func(why string) { time.AfterFunc(farewell, func() { n.cfg.Reset(why) }) }
	}
	d.runner = fencing.NewRunner(fencing.RunnerConfig{Self: n.cfg.Name, Registry: n.cfg.Fencing, Peers: d, Record: d.record, Announce: d.announce, Reset: reset,
		Secrets: func(device string, params map[string]string) (map[string]string, error) {
			f, err := secret.Fill(n.cfg.Secrets, device, params)
			return f.Params, err
		},
		Log: n.log.With("room", "fencing")})
	d.runner.Restore(past)
	if err := d.rewrite(past); err != nil {
		return err
	}
	n.devices, n.cfg.Fencer = d, d
	n.cfg.Agents = n.cfg.Agents.With(stonith.Class, stonith.Finder{Registry: n.cfg.Fencing, Asker: d.runner})
	handle(n, methodFence, func(ctx context.Context, _ transport.Peer, o order) (any, error) {
		if err := n.meets(o.addressee); err != nil {
			return nil, err
		}
		switch {
		case !n.Admitted():
			return nil, fmt.Errorf("node %s is not a member yet", n.cfg.Name)
		case n.closing.Load():
			return nil, fmt.Errorf("node %s is leaving", n.cfg.Name)
		}
		return d.runner.Execute(ctx, o.Execute), nil
	})
	handle(n, methodRemember, func(_ context.Context, from transport.Peer, r remembrance) (any, error) {
		if !r.Live {
			d.mu.Lock()
			d.armed[strings.ToLower(from.Name)] = r.Watchdog
			d.mu.Unlock()
			n.signal()
		}
		if r.Retracted != "" {
			d.runner.Retract(r.Retracted)
		}
		d.runner.Remember(r.Entries, r.Live)
		if !r.Live {
			return nil, nil
		}
		return d.runner.UnderWay(), nil // builds before this one do not say it, and nobody waits for it
	})
	return nil
}

// remembrance is what a node tells others of the history: an entry that just
// changed (Live), or all of it to a node that came in.
type remembrance struct {
	Entries []fencing.Entry
	Live    bool
	// Retracted is a node that a device only said was off.
	Retracted string `json:",omitempty"`
	// Watchdog is the timeout of the sender's; it comes with all of the
	// history.
	Watchdog time.Duration
}

// ended gives requests that this node was carrying out when its daemon ended
// their end: nobody else does.
func ended(past []fencing.Entry, self string, now time.Time) []fencing.Entry {
	for i, e := range past {
		if e.Origin == self && !e.State.Over() {
			past[i].State, past[i].Completed, past[i].Text = fencing.Fails, now, "the daemon of "+self+" ended before it was done"
		}
	}
	return past
}

// Fence implements Fencer.
func (d *devices) Fence(ctx context.Context, r controller.Fence) (string, error) {
	incarnation := d.node.incarnationOf(r.Node)
	d.count() // what was just fenced may just have been missed
	res, err := d.runner.Fence(ctx, fencing.Request{Target: r.Node, Action: r.Action, Client: "gcrm", Timeout: r.Timeout, Delay: r.Delay, Reason: r.Reason,
		Incarnation: incarnation})
	if err == nil && r.Action != fencing.On {
		err = d.silent(ctx, r.Node, incarnation)
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s: %s", res.Proof, res.Evidence), nil
}

// incarnationOf is the last one that the cluster knows of a node.
func (n *Node) incarnationOf(node string) uint64 {
	state, _ := n.cons.Load().State()
	m, _ := state.Member(node)
	n.mu.Lock()
	defer n.mu.Unlock()
	return max(m.Incarnation, n.seen[node].incarnation)
}

// Execute implements fencing.Peers.
func (d *devices) Execute(ctx context.Context, node string, x fencing.Execute) (fencing.Outcome, error) {
	var o fencing.Outcome
	n := d.node
	err := n.wire.Call(ctx, node, methodFence, order{x, n.addressee(node)}, &o)
	return o, err
}

// order lets another node carry out an action.
type order struct {
	fencing.Execute
	addressee
}

// manualRequest is an administrator's, on its way to the leader.
type manualRequest struct{ Node, Action, By string }

// manual carries it out; the caller leads, or is alone, or the leader is to be
// fenced.
func (n *Node) manual(ctx context.Context, r manualRequest) (string, error) {
	incarnation := n.incarnationOf(r.Node)
	proof := fmt.Sprintf("%s: %s said so", fencing.ProofHuman, r.By)
	if r.Action == "" { // the word that the node is down
		n.mu.Lock()
		up := n.seen[r.Node].up
		n.mu.Unlock()
		if up || r.Node == n.cfg.Name {
			return "", fmt.Errorf("node %s is not down: it is heard of", r.Node)
		}
		n.devices.runner.Confirm(r.Node, r.By, incarnation)
	} else {
		if r.Action != fencing.On {
			defer n.keepOut(r.Node)()
		}
		if n.devices == nil { // the embedded cluster's own
			var err error
			if proof, err = n.cfg.Fencer.Fence(ctx, controller.Fence{Node: r.Node, Action: r.Action, Reason: "asked for by " + r.By}); err != nil {
				return "", err
			}
			return proof, n.manualDone(ctx, r, incarnation, proof)
		}
		res, err := n.devices.runner.Fence(ctx, fencing.Request{Target: r.Node, Action: r.Action, Client: "gcrm fence by " + r.By,
			Reason: "asked for by " + r.By, Manual: true, Incarnation: incarnation})
		if err == nil && r.Action != fencing.On {
			err = n.devices.silent(ctx, r.Node, incarnation)
		}
		if err != nil {
			return "", err
		}
		proof = fmt.Sprintf("%s: %s", res.Proof, res.Evidence)
	}
	return proof, n.manualDone(ctx, r, incarnation, proof)
}

// manualDone commits what came of a manual request. Where this node does not
// lead, the next request of the one that does is answered from the history.
func (n *Node) manualDone(ctx context.Context, r manualRequest, incarnation uint64, proof string) error {
	if lead, _ := n.cons.Load().Leadership(); lead.Self && r.Action != fencing.On {
		if err := n.markDown(ctx, lead.Term, r.Node, incarnation, proof); err != nil {
			n.log.Warn("a fencing is not committed yet", "peer", r.Node, "err", err)
		}
	}
	return nil
}

// carrier is the node that is to carry out a manual request: the leader, this
// node if there is none, and another one that is there if the leader itself is
// to be fenced, since it could not see that through.
func (n *Node) carrier(target string) string {
	lead, _ := n.cons.Load().Leadership()
	if lead.Leader == "" {
		lead.Leader = n.cfg.Name
	}
	if lead.Leader != target {
		return lead.Leader
	}
	state, _ := n.cons.Load().State()
	for _, name := range n.reachableMembers(state) {
		if m, _ := state.Member(name); name != target && !m.Witness {
			return name
		}
	}
	return lead.Leader
}

// ask gives a manual request to whoever is to carry it out.
func (n *Node) ask(ctx context.Context, r manualRequest) (proof string, err error) {
	if n.devices == nil && (r.Action == "" || n.cfg.Fencer == nil) {
		return "", noDevices()
	}
	state, _ := n.cons.Load().State()
	if _, ok := state.Member(r.Node); !ok {
		return "", &client.Error{Code: client.CodeNotFound, Text: "the cluster has no node " + r.Node}
	}
	if by := n.carrier(r.Node); by == n.cfg.Name {
		proof, err = n.manual(ctx, r)
	} else {
		err = n.wire.Call(ctx, by, methodManual, r, &proof)
	}
	if err != nil {
		return "", &client.Error{Code: client.CodeRefused, Text: err.Error()}
	}
	return proof, nil
}

// configure gives the runner new configurations, and tells it where devices are
// started. What agents tell about themselves may take a while.
func (d *devices) configure() {
	n := d.node
	var configured cib.Version
	var bans map[string]bool
	for first := true; ; first = false {
		state, newer := n.cons.Load().State()
		v := state.CIB.Version()
		changed := first || !v.SameConfiguration(configured)
		if changed || placedByRules(state.CIB) {
			now := deviceBans(state.CIB, n.cfg.Clock())
			changed = changed || !maps.Equal(now, bans)
			bans = now
		}
		if changed {
			configured = v
			for _, p := range d.runner.Configure(state.CIB, sourcesOf(bans)) {
				n.log.Debug("fencing configuration", "problem", fmt.Sprint(p))
			}
		}
		d.runner.Started(state.CIB)
		select {
		case <-newer:
		case <-n.ctx.Done():
			return
		}
	}
}

// follow tells the runner who is there, and those who come in what was.
func (d *devices) follow() {
	n := d.node
	for {
		_, newer := n.cons.Load().State()
		n.mu.Lock()
		known := n.changed
		n.mu.Unlock()
		for _, name := range d.count() {
			d.brief(name)
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

// count tells the runner who can execute something now, if that has changed, and
// who is not down after all. It returns the former.
func (d *devices) count() []string {
	n := d.node
	d.counting.Lock()
	defer d.counting.Unlock()
	state, _ := n.cons.Load().State()
	d.disbelieve(state)
	m := fencing.Members{Nodes: n.reachableMembers(state), Quorate: n.quorate(), Watchdog: n.cfg.Watchdog, Armed: d.watchdogs()}
	if now := fmt.Sprint(m); now != d.counted {
		d.counted = now
		d.runner.Members(m)
	}
	return m.Nodes
}

// watchdogs are those that nodes said they have.
func (d *devices) watchdogs() map[string]time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.armed)
}

// pulse shows the one who feeds the watchdog that the node is alive: its locks
// can be had, and its consensus answers.
func (n *Node) pulse() {
	t := time.NewTicker(min(n.timing.Interval, 250*time.Millisecond))
	defer t.Stop()
	for {
		n.mu.Lock()
		n.mu.Unlock() //lint:ignore SA2001 whether it can be had is the question
		n.feed.Lock()
		n.feed.Unlock() //lint:ignore SA2001 as above
		n.cfg.Pulse(n.quorate())
		select {
		case <-t.C:
		case <-n.ctx.Done():
			return
		}
	}
}

// brief tells a node that came in all of the history.
func (d *devices) brief(name string) {
	n := d.node
	if name == n.cfg.Name {
		return
	}
	n.mu.Lock()
	incarnation := n.seen[name].incarnation
	n.mu.Unlock()
	d.mu.Lock()
	known, ok := d.told[name]
	begin := !ok || known != 0 && known != incarnation
	if begin {
		d.told[name] = 0
	}
	d.mu.Unlock()
	if begin {
		d.tell(name, remembrance{Entries: d.runner.History(), Watchdog: n.cfg.Watchdog}, func() { d.told[name] = incarnation })
	}
}

// reachableMembers are the members that could execute something now.
func (n *Node) reachableMembers(state *consensus.State) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for _, m := range state.Members {
		// One that was started since it was taken in has to be taken in again.
		if s := n.seen[m.Name]; m.Name == n.cfg.Name || m.State == consensus.Online && s.up && s.incarnation == m.Incarnation {
			out = append(out, m.Name)
		}
	}
	slices.Sort(out)
	return out
}

// record stores an entry of the history, and sees to it that the others are
// told of it unless they are already.
func (d *devices) record(e fencing.Entry, told bool) error {
	d.mu.Lock()
	err := d.store(e)
	number, given := d.agreed[e.ID]
	d.mu.Unlock()
	if given && e.State.Over() {
		d.conclude(e, number)
	}
	if e.State == fencing.Succeeds && e.Action != fencing.On && e.Proof != fencing.ProofHuman {
		d.node.wasShot(e.Target)
	}
	if told {
		return err
	}
	for _, name := range d.there() {
		d.tell(name, remembrance{Entries: []fencing.Entry{e}, Live: true}, func() {})
	}
	return err
}

// there are the other nodes that are heard of.
func (d *devices) there() []string {
	n := d.node
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for name, s := range n.seen {
		if s.up {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// say sends entries of the history, and returns what the node is at. One that
// could not be told is told all of the history later.
func (d *devices) say(ctx context.Context, node string, r remembrance) ([]fencing.Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, d.node.timing.IO)
	defer cancel()
	var at []fencing.Entry
	err := d.node.wire.Call(ctx, node, methodRemember, r, &at)
	if err != nil {
		d.node.log.Debug("a node was not told of a fencing", "peer", node, "err", err)
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.told, node)
	}
	return at, err
}

// tell does that without waiting for it.
func (d *devices) tell(node string, r remembrance, done func()) {
	d.node.wg.Go(func() {
		if _, err := d.say(d.node.ctx, node, r); err == nil {
			d.mu.Lock()
			defer d.mu.Unlock()
			done()
		}
	})
}

// store appends an entry durably; a file that has become long is written anew.
func (d *devices) store(e fencing.Entry) error {
	if d.size > fencingFileLimit {
		past, err := d.read()
		if err != nil {
			return err
		}
		if err := d.rewrite(past); err != nil {
			return err
		}
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	d.size += len(line)
	return d.node.cfg.Files.Append(fencingFile, line)
}

// rewrite replaces the file by entries.
func (d *devices) rewrite(entries []fencing.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, e := range entries {
		if err := enc.Encode(e); err != nil {
			return err
		}
	}
	d.size = b.Len()
	return d.node.cfg.Files.Replace(fencingFile, b.Bytes())
}

// read returns the stored entries as they were last; a line that a crash cut
// short is left out.
func (d *devices) read() ([]fencing.Entry, error) {
	b, err := d.node.cfg.Files.Read(fencingFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d.size = len(b)
	past := fencing.History{}
	for line := range bytes.Lines(b) {
		var e fencing.Entry
		if json.Unmarshal(line, &e) == nil && e.ID != "" {
			past.Put(e)
		}
	}
	return past.Sorted(), nil
}
