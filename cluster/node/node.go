package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"gcrm/cib"
	"gcrm/cluster/api"
	"gcrm/cluster/client"
	"gcrm/cluster/consensus"
	"gcrm/cluster/controller"
	"gcrm/cluster/executor"
	"gcrm/cluster/executor/operation"
	"gcrm/cluster/heartbeat"
	"gcrm/cluster/transport"
	"gcrm/drivers"
	"gcrm/drivers/process"
	"gcrm/drivers/secret"
)

// Node is one running node.
type Node struct {
	cfg         Config
	log         *slog.Logger
	timing      heartbeat.Timing
	incarnation uint64
	started     time.Time
	ctx         context.Context
	cancel      context.CancelFunc
	wg          sync.WaitGroup
	closing     atomic.Bool
	ended       chan struct{} // closed when the node has ended
	hurry       chan struct{} // closed when it is not to say farewell any more
	hurrying    sync.Once
	expulsion   sync.Once
	overtaken   atomic.Bool   // by an electorate that was changed without this node
	giving      chan struct{} // has a token while all resources are being stopped

	wire *transport.Transport
	cons atomic.Pointer[consensus.Consensus]
	beat *heartbeat.Runner
	ctrl *controller.Runner
	api  *api.Server
	// trail is nil without an API.
	trail *api.AuditLog
	// secrets are this node's values of secret parameters.
	secrets *secret.Store
	// devices is nil if the node has a fencer of another kind.
	devices *devices

	// deciding has room for one; see decide.
	deciding chan struct{}
	// records has a token for each change that the controller commits, and is full
	// while a member leaves: no action is recorded on it between the look at what
	// it runs and its leaving, nor after.
	records chan struct{}
	// feed orders what the controller is told.
	feed    sync.Mutex
	newest  *cib.CIB
	ruling  uint64 // term in which the controller leads, 0 if it does not
	trial   trialClock
	execute atomic.Pointer[executor.Executor]
	// present is the last document that had this node as a member.
	present atomic.Pointer[cib.CIB]

	mu      sync.Mutex
	changed chan struct{} // closed when anything below changes
	seen    map[string]sight
	held    map[string]time.Time // until when; see view
	fenced  map[string]int       // how many times this node is having them fenced; see keepOut
	shot    map[string]shot      // by node
	peers   directory            // see peersFile
	hinted  appliedAnswer        // see hint
	links   map[string]uint64    // by peer: bit i is set while link i works
	// progress is that of the controller here and, as told, on other nodes: one
	// that led until a moment ago may tell later than who leads now.
	// progressNumber counts the changes of this node's.
	progress       map[string]client.Transition
	progressNumber uint64
	admitted       bool
	wasQuorate     time.Time // see steadilyQuorate

	builds     map[string]string // of peers, as they say
	keys       atomic.Pointer[Keys]
	generation atomic.Uint64 // of the keyring that is installed
	cutUntil   atomic.Int64  // in Unix nanoseconds; see cut
}

// Start brings a node up. It returns when the node listens; whether it is part
// of a quorum shows later.
func Start(cfg Config) (*Node, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	timing, err := heartbeat.Derive(cfg.Detection, cfg.FencingTime)
	if err != nil {
		return nil, err
	}
	if cfg.Files == folder(cfg.StateDir) {
		for _, dir := range []string{cfg.StateDir, cfg.RunDir} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return nil, err
			}
		}
	}
	n := &Node{ended: make(chan struct{}), hurry: make(chan struct{}), giving: make(chan struct{}, 1), deciding: make(chan struct{}, 1), records: make(chan struct{}, 64), cfg: cfg, log: cfg.Log.With("node", cfg.Name), timing: timing, started: time.Now(), changed: make(chan struct{}),
		seen: map[string]sight{}, held: map[string]time.Time{}, fenced: map[string]int{}, shot: map[string]shot{}, links: map[string]uint64{}, builds: map[string]string{}, progress: map[string]client.Transition{}, newest: cib.New()}
	n.secrets = secret.NewStore(cfg.Secrets)
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.keys.Store(&Keys{Credentials: cfg.Credentials, Authority: cfg.Authority, Heartbeats: cfg.HeartbeatKeys})
	if cfg.Keystore != nil {
		g, err := cfg.Keystore.Generation()
		if err != nil {
			return nil, fmt.Errorf("keys in %s: %w", cfg.Keystore.Dir, err)
		}
		n.generation.Store(g)
	}
	if n.incarnation, err = nextIncarnation(cfg.Files, cfg.Clock(), cfg.Past); err != nil {
		return nil, fmt.Errorf("state folder %s: %w", cfg.StateDir, err)
	}
	if n.peers, err = readPeers(cfg.Files); err != nil {
		return nil, fmt.Errorf("state folder %s: %w", cfg.StateDir, err)
	}
	if cfg.Files == folder(cfg.StateDir) {
		killed, err := process.EndLeftovers(drivers.Node{StateDir: cfg.RunDir}.CallNotes())
		if err != nil {
			return nil, fmt.Errorf("what an earlier daemon of this node had begun: %w", err)
		}
		if len(killed) > 0 {
			n.log.Warn("agents of an earlier daemon were still running and were killed", "processes", fmt.Sprint(killed))
		}
	}
	if cfg.Program != "" {
		if err := drivers.InstallHelpers(n.helperDir(), cfg.Program); err != nil {
			return nil, err
		}
	}
	if err := n.start(); err != nil {
		n.Crash()
		return nil, fmt.Errorf("node %s: %w", cfg.Name, err)
	}
	return n, nil
}

func (n *Node) helperDir() string { return filepath.Join(n.cfg.StateDir, "helpers") }

func (n *Node) start() error {
	var err error
	n.wire, err = transport.Listen(transport.Config{Cluster: n.cfg.Cluster, Node: n.cfg.Name, Incarnation: n.incarnation, Epoch: 1,
		Credentials: n.cfg.Credentials, Listener: n.cfg.Listener, Resolve: n.resolve, Judge: n.judge, Cut: n.cut,
		NewerEpoch: n.newerEpoch, Join: joiner(n), Build: n.cfg.Build, Met: n.met,
		Refused: n.refused,
		Dial:    n.cfg.Dial, HandshakeTimeout: n.timing.IO, Log: n.log.With("room", "transport")})
	if err != nil {
		return err
	}
	n.handle()
	if n.cfg.Fencer == nil && n.cfg.Fencing != nil {
		if err := n.startFencing(); err != nil {
			return err
		}
	}
	n.ctrl = controller.NewRunner(controller.Config{Node: n.cfg.Name, Schedule: n.cfg.Schedule}, (*ruler)(n), n.report, n.log.With("room", "controller"))
	var bootstrap []string
	if n.cfg.Bootstrap {
		for _, s := range n.cfg.Seeds {
			bootstrap = append(bootstrap, s.Name)
		}
	}
	cons, err := consensus.Open(consensus.Config{Dir: filepath.Join(n.cfg.StateDir, "consensus"), Storage: n.cfg.Storage, Transport: n.wire,
		Timing: consensus.Timing{Heartbeat: n.timing.RaftHeartbeat, Election: n.timing.RaftElection, Lease: n.timing.RaftLease,
			Commit: n.timing.RaftCommit, IO: n.timing.IO},
		Epoch: n.cfg.Epoch, Since: n.cfg.Since, Bootstrap: bootstrap, Observe: n.observe, Await: n.await, Fatal: n.cfg.Fatal, Level: n.cfg.Level, Log: n.log.With("room", "consensus")})
	if err != nil {
		return err
	}
	n.cons.Store(cons)
	n.beat = heartbeat.Start(heartbeat.RunnerConfig{
		Machine: heartbeat.Config{Cluster: n.cfg.Cluster, Node: n.cfg.Name, Incarnation: n.incarnation, Keys: n.cfg.HeartbeatKeys, Timing: n.timing, Level: uint8(n.cfg.Level)},
		Links:   n.cfg.Links, Resolve: n.resolveLink, Events: n.heard, Log: n.log.With("room", "heartbeat"),
		Cut: func(peer string, _ int) bool { return n.cut(peer) }})
	n.watchPeers()
	if !n.cfg.NoAPI {
		if err := n.startAPI(); err != nil {
			return err
		}
	}
	n.wg.Go(n.govern)
	n.wg.Go(n.watchCertificate)
	n.wg.Go(n.attend)
	n.wg.Go(n.spread)
	n.wg.Go(n.watchControl)
	n.wg.Go(n.fenceCondemned)
	if n.cfg.Storage == nil {
		n.wg.Go(n.fetchSecrets)
	}
	if n.cfg.Pulse != nil {
		n.wg.Go(n.pulse)
	}
	if n.devices != nil {
		n.wg.Go(n.devices.follow)
		n.wg.Go(n.devices.configure)
	}
	return nil
}

// Name returns the node's name.
func (n *Node) Name() string { return n.cfg.Name }

// Incarnation returns the number of this start.
func (n *Node) Incarnation() uint64 { return n.incarnation }

// Socket returns the path of the API's socket.
func (n *Node) Socket() string { return n.cfg.Socket }

// Consensus gives access to the replicated state.
func (n *Node) Consensus() *consensus.Consensus { return n.cons.Load() }

// Campaign makes the node ask for votes at once.
func (n *Node) Campaign() error { return n.cons.Load().Campaign() }

// Crash ends the node at once: no farewell to the others, agents are killed
// in the middle of what they do. Resources go on running.
func (n *Node) Crash() { n.end(false) }

// Stop ends the node after a farewell: it hands over leadership and says that
// it leaves. Resources that run go on running; see [Node.Shutdown] for moving
// them away first.
func (n *Node) Stop() { n.end(true) }

func (n *Node) end(farewell bool) {
	if !farewell {
		n.hurrying.Do(func() { close(n.hurry) })
	}
	if !n.closing.CompareAndSwap(false, true) {
		<-n.ended
		return
	}
	defer close(n.ended)
	if farewell {
		n.farewell()
	}
	n.cancel()
	if n.beat != nil {
		n.beat.Stop()
	}
	if n.api != nil {
		n.api.Close()
	}
	if n.wire != nil {
		n.wire.Close()
	} else {
		n.cfg.Listener.Close()
	}
	if n.beat == nil {
		for _, l := range n.cfg.Links {
			l.Close()
		}
	}
	if n.ctrl != nil {
		n.ctrl.Close()
	}
	if n.devices != nil {
		n.devices.runner.Close()
	}
	if e := n.execute.Load(); e != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if err := e.Close(ctx); err != nil {
			n.log.Warn("agents did not end", "err", err)
		}
		cancel()
	}
	n.wg.Wait()
	if c := n.cons.Load(); c != nil {
		if err := c.Close(); err != nil {
			n.log.Warn("closing consensus", "err", err)
		}
	}
	if n.trail != nil {
		if err := n.trail.Close(); err != nil {
			n.log.Warn("closing the audit log", "err", err)
		}
	}
}

// signal wakes those who wait for a change of the node's own knowledge.
func (n *Node) signal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.changed)
	n.changed = make(chan struct{})
}

// observe is told of every step of the replicated state, in order.
func (n *Node) observe(s consensus.Step) {
	n.feed.Lock()
	defer n.feed.Unlock()
	n.newest = s.State.CIB
	if shownOnline(n.newest, n.cfg.ID) {
		n.present.Store(n.newest)
	}
	if n.cfg.Observe != nil {
		n.cfg.Observe(s)
	}
	n.trial.see(s.State.Trial, n.Admitted(), time.Now())
	switch {
	case s.Replaced:
		n.ctrl.Input(controller.Applied{CIB: s.State.CIB})
	case s.Command != nil && s.Command.Change != nil:
		if s.Command.Change.Origin.Client == operation.ControllerClient && s.Command.Change.Status != nil {
			for _, e := range s.Command.Change.Status.Edits {
				if e.Node != nil && e.Node.Fenced {
					n.release(e.Node.Uname)
				}
			}
		}
		n.ctrl.Input(controller.Applied{Change: s.Command.Change, CIB: s.State.CIB})
	}
}

// report is the controller's progress.
func (n *Node) report(p controller.Progress) {
	n.setProgress(n.cfg.Name, client.Transition{Idle: p.Idle, Number: p.Number, Done: p.Done, Total: p.Total,
		Running: p.Running, ComputedAtVersion: p.Computed})
}

func (n *Node) setProgress(from string, t client.Transition) {
	n.mu.Lock()
	n.progress[from] = t
	if from == n.cfg.Name {
		n.progressNumber++
	}
	n.mu.Unlock()
	n.signal()
}

// await returns when heartbeats go both ways with a peer, or have never been
// heard of; now and then also without, in case that only they are lost.
func (n *Node) await(peer string, stop <-chan struct{}) {
	limit := time.NewTimer(n.timing.Redial)
	defer limit.Stop()
	for {
		n.mu.Lock()
		s, known := n.seen[peer]
		changed := n.changed
		n.mu.Unlock()
		if s.up || !known {
			return
		}
		select {
		case <-changed:
		case <-limit.C:
			return
		case <-stop:
			return
		case <-n.ctx.Done():
			return
		}
	}
}

// resolve gives the addresses of a node for connections, those over links that
// work first.
func (n *Node) resolve(name string) []string {
	n.mu.Lock()
	works := n.links[name]
	n.mu.Unlock()
	var out, later []string
	for i, a := range n.locate(name) {
		if works == 0 || works&(1<<i) != 0 {
			out = append(out, a.String())
		} else {
			later = append(later, a.String())
		}
	}
	return append(out, later...)
}

// setLink keeps whether a link to a peer works. When one of several fails,
// connections are made anew over another.
func (n *Node) setLink(peer string, link int, up bool) {
	n.mu.Lock()
	if up {
		n.links[peer] |= 1 << link
	} else {
		n.links[peer] &^= 1 << link
	}
	others := n.links[peer] != 0
	n.mu.Unlock()
	if !up && others {
		n.wire.Disconnect(peer)
	}
}

func (n *Node) resolveLink(name string, link int) (netip.AddrPort, bool) {
	list := n.locate(name)
	if link >= len(list) {
		return netip.AddrPort{}, false
	}
	return list[link], true
}

func (n *Node) locate(name string) []netip.AddrPort {
	if n.cfg.Locate != nil {
		if list := n.cfg.Locate(name); len(list) > 0 {
			return list
		}
	}
	var addrs []string
	for _, s := range n.knownPeers() {
		if s.Name == name {
			addrs = s.Addresses
		}
	}
	var out []netip.AddrPort
	for _, a := range addrs {
		if p, err := netip.ParseAddrPort(a); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// judge refuses nodes that were removed, and incarnations that the cluster went
// on without.
func (n *Node) judge(h transport.Hello) *transport.Refusal {
	c := n.cons.Load()
	if c == nil {
		return nil
	}
	s, _ := c.State()
	m, ok := s.Member(h.Node)
	if s.Removed(h.Node, h.ID) {
		return &transport.Refusal{Code: transport.RefusedRemoved, Text: fmt.Sprintf(
			"node %s (id %s) was removed from the cluster and its certificate is not good any more; empty its state folder and join again with a new token", h.Node, h.ID)}
	}
	// Another id is one that this replica has not heard of yet.
	if ok && (h.ID == "" || h.ID == m.ID) && h.Incarnation <= m.Expelled {
		return &transport.Refusal{Code: transport.RefusedExpelled, Text: fmt.Sprintf(
			"the cluster went on without node %s: its incarnation %d was lost; it has to stop everything and start again", h.Node, h.Incarnation)}
	}
	return nil
}

// newerEpoch is called when the electorate was forced without this node, by everybody who
// says so and as long as they do. It gives up what runs once: who came later would do it
// again beside the node's next life.
func (n *Node) newerEpoch(peer string, epoch uint64) {
	c := n.cons.Load()
	if c == nil || n.ctx.Err() != nil || n.closing.Load() || epoch <= n.wire.Epoch() || !n.overtaken.CompareAndSwap(false, true) {
		return
	}
	n.log.Warn("the cluster went on without this node", "epoch", epoch, "told by", peer)
	n.stopEverything("the electorate was changed without this node")
	if err := c.StartOver(epoch); err != nil && !errors.Is(err, consensus.ErrClosed) {
		n.cfg.Fatal(err)
	}
	n.expulsion.Do(func() { go n.cfg.Expelled("the electorate was changed without this node") })
}

// refused is called when another node does not speak to this one.
func (n *Node) refused(_ string, r *transport.Refusal) {
	switch r.Code {
	case transport.RefusedExpelled:
		n.expelled(r.Text)
	case transport.RefusedRemoved:
		n.removed(r.Text)
	}
}

// removed is called when others say that this node is no member any more: it
// stops what it runs, and its daemon ends.
func (n *Node) removed(why string) {
	if n.ctx.Err() != nil || n.closing.Load() {
		return
	}
	n.expulsion.Do(func() {
		n.log.Error("this node was removed from the cluster", "why", why)
		go func() {
			n.stopEverything(why)
			if n.ctx.Err() == nil {
				n.cfg.Fatal(fmt.Errorf("%w: %s", ErrRemoved, why))
			}
		}()
	})
}

// ErrRemoved is the end of a node that the cluster does not have any more:
// starting it again is of no use.
var ErrRemoved = errors.New("this node is no member any more")

// expelled is called when others refuse this incarnation.
func (n *Node) expelled(why string) {
	if n.ctx.Err() != nil || n.closing.Load() {
		return
	}
	n.expulsion.Do(func() {
		n.log.Error("this node was expelled", "why", why)
		go func() {
			n.stopEverything(why)
			if n.ctx.Err() == nil {
				n.cfg.Expelled(why)
			}
		}()
	})
}

// Admitted reports whether this incarnation has become a member, and its
// executor works.
func (n *Node) Admitted() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.admitted
}

// Disconnect drops all connections with a peer.
func (n *Node) Disconnect(peer string) { n.wire.Disconnect(peer) }

// Info is what the node knows of itself and the cluster, without asking others.
func (n *Node) Info() *client.Info { return n.info() }
