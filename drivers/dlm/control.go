package dlm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"gcrm/drivers/dlm/kernel"
	"gcrm/drivers/dlm/lockspace"
	"gcrm/drivers/dlm/plock"
)

// Cluster is the way to the node's daemon, and to the other control daemons.
type Cluster interface {
	// Follow calls changed with the present view and every later one, until
	// ctx is done. It connects again by itself: a daemon that is restarted is
	// only silent for a while.
	Follow(ctx context.Context, changed func(View)) error
	// Propose offers an entry to the log. An error means that nothing is
	// known of what became of it.
	Propose(ctx context.Context, e lockspace.Entry) error
	// Fence asks for this node to be fenced.
	Fence(ctx context.Context, why string) error
	// Send brings a message to the control daemon of another node, in order,
	// and does not go by way of the nodes' daemons; it does not wait for that.
	// Receive calls heard for every message of theirs, and lost for every
	// lockspace of which a message may not have arrived, until ctx is done.
	Send(ctx context.Context, node int, space string, m plock.Message) error
	Receive(ctx context.Context, heard func(space string, m plock.Message), lost func(space string)) error
}

// View is what the daemon tells of the cluster.
type View struct {
	// Epoch and Index are where in the log the view is. A daemon that has just
	// been started may know less than it did before.
	Epoch, Index uint64
	Table        lockspace.Table
	// Quorate tells whether the node is part of a working majority.
	Quorate bool
	// Nodes are the members of the cluster that are there, this one too.
	Nodes []kernel.Node
	// Names of all nodes the cluster knows, by number.
	Names map[int]string
}

// Host is the lock manager of the kernel.
type Host interface {
	kernel.Files
	// Next waits for a uevent.
	Next() (kernel.Event, error)
	// Monitor opens the monitor device. What it returns closes it, which
	// stops all lockspaces.
	Monitor() (release func(), err error)
	// ReadRecord waits for a program's lock request, WriteRecord answers it.
	ReadRecord() (plock.Record, error)
	WriteRecord(plock.Record) error
	// Close ends Next and ReadRecord.
	Close() error
}

// Config is what a Control is made of.
type Config struct {
	Self     lockspace.Life
	Settings kernel.Settings
	Host     Host
	Cluster  Cluster
	// Poll is how often a recovery is looked at, Retry after how long
	// something is proposed again; 0 is 50 ms and 1 s.
	Poll, Retry time.Duration
	Log         *slog.Logger
}

// Control is the control daemon of one node.
type Control struct {
	cfg    Config
	kernel *kernel.Kernel
	engine *Engine
	// channels are the orders of POSIX locks, by lockspace.
	channels map[string]*plock.Channel
	view     View
	ready    bool // lockspaces can be made
	inbox    chan func()
	ended    chan struct{} // closed by the end of Run
	failure  error
}

// ErrBusy refuses to end while lockspaces are there.
var ErrBusy = errors.New("lockspaces are in use; stop the file systems and volume groups on them first")

// NewControl returns a control daemon that has not begun.
func NewControl(cfg Config) *Control {
	if cfg.Poll == 0 {
		cfg.Poll = 50 * time.Millisecond
	}
	if cfg.Retry == 0 {
		cfg.Retry = time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Control{cfg: cfg, kernel: kernel.New(cfg.Host), engine: New(cfg.Self), channels: map[string]*plock.Channel{}, inbox: make(chan func(), 256), ended: make(chan struct{})}
}

// Run controls the lock manager until ctx is done and no lockspace is left.
// With lockspaces in use the end of ctx is only noted; it ends earlier by an
// error, which means that this node has to be fenced.
func (c *Control) Run(ctx context.Context) error {
	defer close(c.ended)
	if err := c.kernel.Prepare(c.cfg.Settings); err != nil {
		return err
	}
	release, err := c.cfg.Host.Monitor()
	if err != nil {
		return err
	}
	defer release()
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer c.cfg.Host.Close()
	ended := make(chan error, 4)
	go func() { ended <- c.hearKernel(work) }()
	go func() { ended <- c.hearPrograms(work) }()
	go func() {
		ended <- c.cfg.Cluster.Follow(work, func(v View) { c.post(work, func() { c.follow(v) }) })
	}()
	go func() {
		ended <- c.cfg.Cluster.Receive(work, func(space string, m plock.Message) { c.post(work, func() { c.hear(space, m) }) },
			func(space string) { c.post(work, func() { c.engine.Again(space) }) })
	}()
	poll, retry := time.NewTicker(c.cfg.Poll), time.NewTicker(c.cfg.Retry)
	defer poll.Stop()
	defer retry.Stop()
	done := ctx.Done()
	for c.failure == nil {
		select {
		case f := <-c.inbox:
			f()
		case <-poll.C:
			c.lookAtRecoveries()
		case <-retry.C:
			c.do(c.engine.Retry())
		case err := <-ended:
			c.fail(fmt.Errorf("the control daemon lost its ears: %w", err))
		case <-done:
			done = nil
			if n := c.engine.Spaces(); len(n) > 0 {
				c.cfg.Log.Warn("asked to end while lockspaces are in use", "lockspaces", n)
			}
		}
		if done == nil && len(c.engine.Spaces()) == 0 {
			return c.kernel.Clear()
		}
	}
	return c.failure
}

// post hands work to the one goroutine that decides.
func (c *Control) post(ctx context.Context, f func()) {
	select {
	case c.inbox <- f:
	case <-ctx.Done():
	}
}

func (c *Control) fail(err error) {
	if c.failure == nil {
		c.failure = err
		c.cfg.Log.Error("control of the lock manager is lost", "err", err)
		c.do(c.engine.Lost(err.Error()))
	}
}

func (c *Control) hearKernel(ctx context.Context) error {
	for {
		e, err := c.cfg.Host.Next()
		if err != nil || ctx.Err() != nil {
			return err
		}
		c.post(ctx, func() {
			c.cfg.Log.Info("the kernel asks", "lockspace", e.Space, "join", e.Online)
			if e.Online {
				// Members that start earlier than this node may soon speak.
				c.channels[e.Space] = plock.NewChannel(int32(c.cfg.Self.Node))
				c.do(c.engine.Online(e.Space))
			} else {
				c.do(c.engine.Offline(e.Space))
			}
		})
	}
}

func (c *Control) hearPrograms(ctx context.Context) error {
	for {
		r, err := c.cfg.Host.ReadRecord()
		if err != nil || ctx.Err() != nil {
			return err
		}
		c.post(ctx, func() { c.request(r) })
	}
}

// older tells whether a view is of before another.
func (v View) older(than View) bool {
	return v.Epoch < than.Epoch || v.Epoch == than.Epoch && v.Index < than.Index
}

// follow takes a new view.
func (c *Control) follow(v View) {
	if v.older(c.view) {
		c.cfg.Log.Debug("the daemon is not yet where it was", "index", v.Index, "known", c.view.Index)
		return
	}
	c.view = v
	if err := c.introduce(); err != nil {
		c.fail(err)
		return
	}
	c.do(c.engine.Quorum(v.Quorate))
	c.do(c.engine.Agreed(v.Table))
}

// introduce tells the kernel of the nodes, this one last.
func (c *Control) introduce() error {
	var self *kernel.Node
	for i := range c.view.Nodes {
		n := c.view.Nodes[i]
		if n.Node == c.cfg.Self.Node {
			n.Boot, n.Local = c.cfg.Self.Boot, true
			self = &n
			continue
		}
		if n.Boot == "" {
			continue // it has no control daemon yet
		}
		if err := c.kernel.SetNode(n); err != nil {
			return err
		}
	}
	if self == nil {
		return nil // not yet, or no more, a member
	}
	for _, node := range c.kernel.Nodes() {
		if !slices.ContainsFunc(c.view.Nodes, func(n kernel.Node) bool { return n.Node == node }) {
			if err := c.kernel.RemoveNode(node); err != nil {
				return err
			}
		}
	}
	if err := c.kernel.SetNode(*self); err != nil {
		return err
	}
	if !c.ready {
		c.ready = true
		c.cfg.Log.Info("lockspaces can be made", "cluster", c.cfg.Settings.Cluster)
	}
	return nil
}

// lookAtRecoveries asks the kernel about lockspaces that were started.
func (c *Control) lookAtRecoveries() {
	for _, name := range c.engine.Spaces() {
		generation, under := c.engine.Recovering(name)
		if !under {
			continue
		}
		done, _, err := c.kernel.Recovered(name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // it is just going
		case err != nil:
			c.fail(err)
		case done:
			c.do(c.engine.Recovered(name, generation))
		}
	}
}

// do carries out what the engine wants.
func (c *Control) do(actions []Action) {
	for _, a := range actions {
		if err := c.carryOut(a); err != nil {
			c.fail(fmt.Errorf("%s %s: %w", a.Verb, a.Space, err))
			return
		}
	}
}

func (c *Control) carryOut(a Action) error {
	switch a.Verb {
	case Propose:
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if err := c.cfg.Cluster.Propose(ctx, a.Entry); err != nil {
				c.cfg.Log.Debug("not yet in the log", "entry", a.Entry, "err", err)
			}
		}()
	case Fence:
		c.cfg.Log.Error("this node has to be fenced", "why", a.Why)
		return c.cfg.Cluster.Fence(context.Background(), a.Why)
	case Stop:
		c.cfg.Log.Info("stop", "lockspace", a.Space)
		return c.kernel.Stop(a.Space)
	case Start:
		c.cfg.Log.Info("start", "lockspace", a.Space, "generation", a.Generation, "members", len(a.Members))
		if err := c.kernel.Start(a.Space, a.Members, a.Renewed, a.Joining); err != nil {
			return err
		}
		c.beginOrder(a)
	case Release:
		c.cfg.Log.Info("left", "lockspace", a.Space)
		delete(c.channels, a.Space)
		return c.kernel.Release(a.Space)
	}
	return nil
}

// beginOrder starts the generation's order of POSIX locks.
func (c *Control) beginOrder(a Action) {
	members := make([]int32, 0, len(a.Members))
	for _, m := range a.Members {
		members = append(members, int32(m.Node))
	}
	c.pass(a.Space, c.channels[a.Space].Begin(a.Generation, members))
}

// request takes a program's wish for a lock.
func (c *Control) request(r plock.Record) {
	names := c.engine.Spaces()
	i := slices.IndexFunc(names, func(n string) bool { return lockspace.ID(n) == r.Space })
	var ch *plock.Channel
	if i >= 0 {
		ch = c.channels[names[i]]
	}
	if ch == nil {
		const unknown = -17 // EEXIST, as other control daemons answer
		if r.Result = unknown; !r.Close {
			c.reply(r)
		}
		return
	}
	c.pass(names[i], ch.Request(r))
}

func (c *Control) hear(space string, m plock.Message) {
	if ch := c.channels[space]; ch != nil {
		c.pass(space, ch.Receive(m))
		if ch.Gap() {
			c.engine.Again(space)
		}
	}
}

// pass carries out what a channel wants.
func (c *Control) pass(space string, out []plock.Output) {
	for _, o := range out {
		if o.Answer != nil {
			c.reply(*o.Answer)
			continue
		}
		if err := c.cfg.Cluster.Send(context.Background(), int(o.Message.To), space, *o.Message); err != nil {
			c.cfg.Log.Info("a message about POSIX locks is lost", "lockspace", space, "node", o.Message.To, "err", err)
			c.engine.Again(space)
		}
	}
}

func (c *Control) reply(r plock.Record) {
	if err := c.cfg.Host.WriteRecord(r); err != nil {
		c.cfg.Log.Warn("a program's lock request could not be answered", "err", err)
	}
}
