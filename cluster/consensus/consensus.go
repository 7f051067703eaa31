package consensus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"gcrm/cluster/transport"
)

// Timing are raft's timers.
type Timing struct {
	// Heartbeat is how long a follower waits for the leader, Election how
	// long a candidate waits for votes; both are randomised up to double.
	Heartbeat, Election time.Duration
	// Lease is how long a leader goes on without hearing a majority.
	Lease time.Duration
	// Commit is about half the time after which followers learn what is
	// committed when nothing else happens.
	Commit time.Duration
	// IO bounds one exchange with a peer.
	IO time.Duration
}

// Config is what a node's consensus needs.
type Config struct {
	// Dir is the folder for log and snapshots, unless Storage is set.
	Dir       string
	Storage   Storage
	Transport *transport.Transport
	Timing    Timing
	// Bootstrap are the voters of a new cluster; it is used only if Dir is
	// empty. A node that is to join an existing cluster has none.
	Bootstrap []string
	// Epoch is the least epoch of the electorate, as far as it is known from
	// elsewhere.
	Epoch uint64
	// Since is where the log was when the node was taken in: until its own
	// reaches that, it has no part in elections. It is zero for the first nodes.
	Since Place
	Log   *slog.Logger
	// Observe, if set, is called with every step in order, before anybody is
	// told that it was committed; it must be quick and must not call the
	// Consensus.
	Observe func(Step)
	// Await, if set, returns when a peer may be there, or stop is closed. It
	// is asked before the log is sent to the peer: raft's library tries a
	// peer that does not answer more and more rarely, up to every ten
	// seconds, and one that returns would have to wait for that long.
	Await func(peer string, stop <-chan struct{})
	// Fatal is called when this replica cannot go on.
	Fatal func(error)
	// Level is the highest feature level of this build; FeatureLevel if 0.
	Level int
}

// Consensus is one node's part in the replication.
type Consensus struct {
	cfg   Config
	node  string
	store Storage

	// replacing has a token while raft is stopped and started again, or closed.
	replacing chan struct{}

	mu     sync.Mutex // guards what follows
	run    *instance
	closed bool
	// past is what was known to be committed when the node was opened. It
	// is shown until raft has found out the same from a leader.
	past    *State
	changed chan struct{} // closed at every change of leadership
}

// instance is raft running; a forced change of the electorate replaces it.
type instance struct {
	raft    *raft.Raft
	net     *raft.NetworkTransport
	machine *machine
	disk    *steady
	notify  chan bool
	stop    chan struct{}
	abort   context.CancelFunc // ends exchanges with other nodes
	done    sync.WaitGroup
	halted  sync.Once

	// ready is set while this node leads and everything that older leaders
	// acknowledged is in its state.
	ready bool
	term  uint64
	// handing is since when raft refuses everything because leadership is being
	// handed over; see stuck.
	handing time.Time
}

const (
	logFile         = "raft.db"
	snapshotsDir    = "snapshots"
	snapshotEvery   = 512 // log entries
	trailingEntries = 1024
	maxBatch        = 64
)

// Open loads what is in cfg.Dir, joins the exchange with the other voters and
// sets the transport's epoch.
func Open(cfg Config) (*Consensus, error) {
	if cfg.Level == 0 {
		cfg.Level = FeatureLevel
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Fatal == nil {
		cfg.Fatal = func(err error) { panic(err) }
	}
	store, err := cfg.Storage, error(nil)
	if store == nil {
		if store, err = openFiles(cfg.Dir, cfg.Log); err != nil {
			return nil, err
		}
	}
	c := &Consensus{cfg: cfg, node: cfg.Transport.Node(), store: store, replacing: make(chan struct{}, 1), changed: make(chan struct{})}
	c.past, err = c.remembered()
	if err == nil {
		err = c.bootstrap()
	}
	var epoch uint64
	if err == nil {
		epoch, err = store.GetUint64([]byte(SettingEpoch))
	}
	forced := uint64(0)
	if err == nil {
		forced, err = c.begun()
	}
	if newer := max(cfg.Epoch, forced); err == nil && newer > max(1, epoch) {
		epoch = newer
		err = store.SetUint64([]byte(SettingEpoch), epoch)
	}
	if err == nil {
		err = c.neverBefore(cfg.Since.Term)
	}
	if err == nil {
		cfg.Transport.SetEpoch(max(1, epoch))
		err = c.start()
	}
	if err == nil {
		c.handle() // not before: peers call at once
	}
	if err != nil {
		store.Close()
		return nil, err
	}
	return c, nil
}

// bootstrap writes the first configuration of a new cluster. All its voters
// do so, with the same one. A node that threw its log away (StartOver) has an
// epoch: it must never found a cluster again, but waits to be added.
func (c *Consensus) bootstrap() error {
	if len(c.cfg.Bootstrap) == 0 {
		return nil
	}
	has, err := raft.HasExistingState(c.store, c.store, c.store)
	if err != nil || has {
		return err
	}
	if epoch, err := c.store.GetUint64([]byte(SettingEpoch)); err != nil || epoch != 0 {
		return err
	}
	if !slices.Contains(c.cfg.Bootstrap, c.node) {
		return fmt.Errorf("node %s is not among the first nodes of the cluster (%v)", c.node, c.cfg.Bootstrap)
	}
	return raft.BootstrapCluster(c.raftConfig(nil), c.store, c.store, c.store, nil, servers(c.cfg.Bootstrap))
}

func servers(nodes []string) raft.Configuration {
	var conf raft.Configuration
	for _, n := range nodes {
		conf.Servers = append(conf.Servers, raft.Server{ID: raft.ServerID(n), Address: raft.ServerAddress(n)})
	}
	return conf
}

func (c *Consensus) raftConfig(notify chan<- bool) *raft.Config {
	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(c.node)
	t := c.cfg.Timing
	conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout, conf.CommitTimeout = t.Heartbeat, t.Election, t.Lease, t.Commit
	conf.MaxAppendEntries = maxBatch
	// What waits in a buffer when raft ends is never answered. Entries that
	// come at the same time are written together all the same.
	conf.BatchApplyCh = false
	conf.SnapshotThreshold = snapshotEvery
	conf.SnapshotInterval = 10 * time.Second
	conf.TrailingLogs = trailingEntries
	conf.NotifyCh = notify
	conf.ShutdownOnRemove = false
	conf.Logger = &raftLog{log: c.cfg.Log}
	return conf
}

// streams is the transport in the shape of raft's library. Each instance has
// its own, so that closing one does not close the transport.
type streams struct {
	transport.Streams
	node string
	stop chan struct{}
	// ctx ends when raft is to end: it waits for each exchange that is under way,
	// and one with a node that is dead takes its time.
	ctx context.Context
}

// tied is a connection that ends with a context.
type tied struct {
	net.Conn
	release func() bool
}

func (t *tied) Close() error {
	t.release()
	return t.Conn.Close()
}

type nodeAddr string

func (nodeAddr) Network() string  { return "gcrm" }
func (a nodeAddr) String() string { return string(a) }

func (s *streams) Addr() net.Addr { return nodeAddr(s.node) }

func (s *streams) Close() error {
	close(s.stop)
	return nil
}

func (s *streams) Accept() (net.Conn, error) { return s.AcceptUntil(s.stop) }

func (s *streams) Dial(node raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	conn, err := s.Streams.Dial(ctx, string(node))
	if err != nil {
		return nil, err
	}
	return &tied{conn, context.AfterFunc(s.ctx, func() { conn.Close() })}, nil
}

// start runs raft on what is stored.
func (c *Consensus) start() error {
	r := &instance{machine: newMachine(), notify: make(chan bool, 8), stop: make(chan struct{})}
	ctx, abort := context.WithCancel(context.Background())
	r.abort = abort
	r.machine.fatal, r.machine.observe, r.machine.level = c.cfg.Fatal, c.cfg.Observe, c.cfg.Level
	c.store.Follow(func() uint64 {
		s, _ := r.machine.current()
		return s.Index
	})
	if err := c.probe(); err != nil {
		return err
	}
	r.disk = &steady{Storage: c.store, admitted: c.cfg.Since.Index, stop: r.stop, restart: func() {
		c.cfg.Log.Info("a snapshot took the place of a longer log; consensus starts again from it")
		if err := c.replace(func() error { return nil }); err != nil && !errors.Is(err, ErrClosed) {
			c.cfg.Fatal(err)
		}
	}, failed: func(err error) {
		c.cfg.Log.Error("the node cannot vote or commit; free space or replace the disk", "err", err)
	}}
	if err := r.disk.findElectorates(); err != nil {
		return err
	}
	cache, err := raft.NewLogCache(512, r.disk)
	if err != nil {
		return err
	}
	r.net = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: &streams{c.cfg.Transport.Streams(), c.node, make(chan struct{}), ctx},
		// No pipelines: in raft's library one that is full when a peer of a newer
		// term answers waits for ever, and so does the end of raft.
		MaxRPCsInFlight: 1, MaxPool: 3, Timeout: c.cfg.Timing.IO, Logger: &raftLog{log: c.cfg.Log}})
	trans := &network{NetworkTransport: r.net, await: c.cfg.Await, disk: r.disk, inbox: make(chan raft.RPC), stop: r.stop}
	r.raft, err = raft.NewRaft(c.raftConfig(r.notify), r.machine, cache, r.disk, r.disk, trans)
	if err != nil {
		close(r.stop)
		r.done.Wait()
		r.net.Close()
		if why := r.machine.broken; why != nil {
			err = why
		}
		return fmt.Errorf("consensus of node %s: %w", c.node, err)
	}
	r.done.Go(func() { trans.listen(r.raft) })
	c.mu.Lock()
	c.run = r
	c.mu.Unlock()
	r.done.Go(func() { c.follow(r) })
	c.signal()
	return nil
}

// follow watches leadership. A new leader passes a barrier before it is ready.
func (c *Consensus) follow(r *instance) {
	// What anybody else's leadership changes is not on the notify channel.
	obs := make(chan raft.Observation, 16)
	o := raft.NewObserver(obs, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	r.raft.RegisterObserver(o)
	defer r.raft.DeregisterObserver(o)
	var again <-chan time.Time // when a leader that did not pass its barrier tries it again
	for {
		var leads bool
		select {
		case <-r.stop:
			return
		case <-obs:
			c.signal()
			continue
		case leads = <-r.notify:
		case <-again:
			leads = r.raft.State() == raft.Leader
		}
		again = nil
		term := r.raft.CurrentTerm()
		if leads {
			err := r.outcome(context.Background(), r.raft.Barrier(0))
			c.stuck(r, err)
			if err != nil {
				leads, again = false, time.After(c.cfg.Timing.Heartbeat)
			} else if err := c.record(r); err != nil {
				c.cfg.Log.Warn("the forced change could not be recorded", "err", err)
			}
		}
		c.mu.Lock()
		r.ready, r.term = leads, term
		c.mu.Unlock()
		c.signal()
	}
}

// record is complete that ends when the instance does.
func (c *Consensus) record(r *instance) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-r.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return c.complete(ctx, r)
}

// signal wakes those who wait for a change of leadership.
func (c *Consensus) signal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Consensus) current() *instance {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.run
}

// outcome waits for what raft was asked for. Raft's library answers nobody any
// more for what it had under way when it was shut down.
func (r *instance) outcome(ctx context.Context, f raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- f.Error() }()
	select {
	case err := <-done:
		return err
	case <-r.stop:
		return raft.ErrRaftShutdown
	case <-ctx.Done():
		return ctx.Err()
	}
}

// halt ends an instance, once; log and snapshots stay open.
func (r *instance) halt() (err error) {
	r.halted.Do(func() {
		close(r.stop)
		ended := r.raft.Shutdown()
		r.abort()
		err = ended.Error()
		r.done.Wait()
		err = errors.Join(err, r.net.Close())
	})
	return err
}

// Close ends the node's part. The transport stays open.
func (c *Consensus) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if closed {
		return nil
	}
	c.replacing <- struct{}{}
	defer func() { <-c.replacing }()
	var err error
	if r := c.current(); r != nil {
		err = r.halt()
	}
	c.signal()
	return errors.Join(err, c.store.Close())
}

// State returns the newest state this node has, and a channel that is closed
// when there is a newer one.
func (c *Consensus) State() (*State, <-chan struct{}) {
	c.mu.Lock()
	r, past := c.run, c.past
	c.mu.Unlock()
	state, newer := r.machine.current()
	if past != nil && state.Index < past.Index {
		return past, newer
	}
	return state, newer
}

// remembered builds the state that was known to be committed, from the last
// snapshot and the log.
func (c *Consensus) remembered() (*State, error) {
	applied, err := c.store.GetUint64([]byte(SettingApplied))
	if err != nil {
		return nil, err
	}
	m := newMachine()
	m.level = c.cfg.Level
	var failed error
	m.fatal = func(err error) { failed = err }
	metas, err := c.store.List()
	if err != nil {
		return nil, err
	}
	var from uint64
	if len(metas) > 0 {
		_, r, err := c.store.Open(metas[0].ID)
		if err != nil {
			return nil, err
		}
		if err := m.Restore(r); err != nil {
			return nil, err
		}
		from = metas[0].Index
	}
	for i := from + 1; i <= applied; i++ {
		var l raft.Log
		err := c.store.GetLog(i, &l)
		if errors.Is(err, raft.ErrLogNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		if l.Type == raft.LogCommand {
			m.Apply(&l)
		}
	}
	state, _ := m.current()
	return state, failed
}

// Leadership is who leads.
type Leadership struct {
	// Leader is the name of the leading node, or empty.
	Leader string
	// Self tells that this node leads and has everything that was ever
	// acknowledged.
	Self bool
	// Term is raft's term in which Self became true.
	Term uint64
}

// Leadership returns who leads as far as this node knows, and a channel that
// is closed when that changes.
func (c *Consensus) Leadership() (Leadership, <-chan struct{}) {
	c.mu.Lock()
	r, ch := c.run, c.changed
	ready, term := r.ready, r.term
	c.mu.Unlock()
	_, id := r.raft.LeaderWithID()
	if r.raft.State() == raft.Leader {
		// A last heartbeat of the leader before, answered by another goroutine of
		// raft's library just when this node won, makes that one the leader again.
		id = raft.ServerID(c.node)
	}
	// After a forced change its record comes first: it says why the others
	// are not there.
	state, _ := r.machine.current()
	recorded := state.Epoch >= c.cfg.Transport.Epoch()
	return Leadership{Leader: string(id), Self: ready && recorded, Term: term}, ch
}

// Contact returns when this node last heard from the leader; now for the
// leader itself.
func (c *Consensus) Contact() time.Time {
	r := c.current()
	if r.raft.State() == raft.Leader {
		return time.Now()
	}
	return r.raft.LastContact()
}

// Electorate returns the voters and the others that receive the log, sorted.
func (c *Consensus) Electorate() (voters, learners []string, err error) {
	f := c.current().raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return nil, nil, err
	}
	for _, s := range f.Configuration().Servers {
		if s.Suffrage == raft.Voter {
			voters = append(voters, string(s.ID))
		} else {
			learners = append(learners, string(s.ID))
		}
	}
	slices.Sort(voters)
	slices.Sort(learners)
	return voters, learners, nil
}

// Indispensable reports whether nothing can have been committed without this
// node, if all voters but itself and peer are out of the question: of every
// electorate that may be in force it is a voter, and nobody but peer is
// another. A change of the electorate that was not committed may never be, and
// before one is made that lets others do without this node,
// [State.Growing] is set.
func (c *Consensus) Indispensable(peer string) bool {
	r := c.current()
	if state, _ := c.State(); state.Growing {
		return false
	}
	list := r.disk.possible(r.raft.AppliedIndex())
	for _, e := range list {
		if !slices.Contains(e.voters, c.node) || slices.ContainsFunc(e.voters, func(v string) bool { return v != c.node && v != peer }) {
			return false
		}
	}
	return len(list) > 0
}

// LastIndex is the number of the last entry in this node's log, committed or
// not.
func (c *Consensus) LastIndex() uint64 { return c.current().raft.LastIndex() }

// Applied reports whether the state machine was given all that is in this node's
// log: nothing is left whose being committed it has not heard of yet.
func (c *Consensus) Applied() bool {
	r := c.current().raft
	return r.AppliedIndex() >= r.LastIndex()
}

// Campaign asks for votes now instead of after an election timeout. It is for
// moments when it is known that nobody leads.
func (c *Consensus) Campaign() error {
	r := c.current()
	var resp raft.TimeoutNowResponse
	req := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax,
		ID: []byte(c.node), Addr: []byte(c.node)}}
	return r.net.TimeoutNow(raft.ServerID(c.node), raft.ServerAddress(c.node), req, &resp)
}

// Transfer hands leadership to another voter, the most up to date one if to
// is empty. It does nothing on a node that does not lead.
func (c *Consensus) Transfer(to string) error {
	r := c.current()
	if r.raft.State() != raft.Leader {
		return nil
	}
	var f raft.Future
	if to == "" {
		f = r.raft.LeadershipTransfer()
	} else {
		f = r.raft.LeadershipTransferToServer(raft.ServerID(to), raft.ServerAddress(to))
	}
	err := r.outcome(context.Background(), f)
	c.stuck(r, err)
	return err
}

// stuck starts raft again if it refuses everything for too long because
// leadership is being handed over. In raft's library that never ends if a peer
// did not answer while it was tried twice and leadership was lost meanwhile:
// once this node leads again, nothing could be committed any more. Handing over
// takes an election timeout at most, and err is the outcome of what was asked.
func (c *Consensus) stuck(r *instance, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		r.handing = time.Time{}
		return
	}
	now := time.Now()
	if r.handing.IsZero() {
		r.handing = now
	}
	if now.Sub(r.handing) < 5*c.cfg.Timing.Election {
		return
	}
	r.handing = time.Time{}
	c.cfg.Log.Warn("leadership was to be handed over and that does not end; consensus starts again")
	go func() {
		if err := c.replace(func() error { return nil }); err != nil && !errors.Is(err, ErrClosed) {
			c.cfg.Fatal(err)
		}
	}()
}

// AddLearner makes the leader send the log to a node, without a vote.
func (c *Consensus) AddLearner(node string) error {
	r := c.current()
	return r.outcome(context.Background(), r.raft.AddNonvoter(raft.ServerID(node), raft.ServerAddress(node), 0, 0))
}

// AddVoter gives a node a vote; the caller is the leader.
func (c *Consensus) AddVoter(node string) error {
	r := c.current()
	return r.outcome(context.Background(), r.raft.AddVoter(raft.ServerID(node), raft.ServerAddress(node), 0, 0))
}

// RemoveVoter takes a node out of the electorate; the caller is the leader.
func (c *Consensus) RemoveVoter(node string) error {
	r := c.current()
	return r.outcome(context.Background(), r.raft.RemoveServer(raft.ServerID(node), 0, 0))
}

// Snapshot writes the state to a snapshot now.
func (c *Consensus) Snapshot() error {
	r := c.current()
	err := r.outcome(context.Background(), r.raft.Snapshot())
	if errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return nil
	}
	return err
}

// wait blocks until ch is closed or ctx ends.
func wait(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
