package engine

import (
	"flag"
	"slices"
	"testing"
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

var (
	simSeed  = flag.Uint64("seed", 0, "run the simulation with this seed only, with a log")
	simSpan  = flag.Duration("span", 20*time.Second, "how long the trouble of one schedule lasts, in its own time")
	simFirst = flag.Uint64("first", 1, "the first seed")
	simCount = flag.Int("seeds", 0, "how many seeds the simulation tries")
)

const (
	simVolume = 40 << 20 // bytes of a disk, with its metadata
	simBlocks = 24       // blocks of 4 KiB that are written, spread over the volume
)

// world is two nodes, their disks and the network between them.
type world struct {
	*simClock
	name  string // before what it logs
	nodes [2]*simNode
	stack *simStack // that it is a part of
	split *simSplit // when it is about split brains
	dual  *simDual  // when both nodes are Primary
	cut   bool      // nothing passes between the nodes
	// broken is a rule of the contract that the runner does not keep; the invariants
	// must find out.
	broken   string
	wild     bool // either node may be promoted by force at first
	badDisks bool // disks fail, and return after a while
	oneFault bool // nothing else goes wrong before the nodes are in sync again
	attended bool // somebody connects nodes again that stand alone
	pausing  bool // somebody pauses resyncs, and lets them go on
	// settled: the nodes were in sync from the start.
	settled bool
	// commanding, inspecting, resizing: people use the commands of that kind meanwhile.
	commanding, inspecting, resizing bool
	stripping                        bool // the Primary's disk is taken away
	undisturbed                      bool // nothing goes wrong by itself
	measuring                        bool // the nodes agree on a size; nothing else goes wrong meanwhile
	corrupting                       bool // a disk changes a block by itself now and then
	cutting                          bool // the power fails in the middle of metadata operations
	parting                          bool // the application moves often, and something breaks then
	happened                         tally
	// only is the node that the fence handler allows to be promoted, -1 for both.
	only  int
	quiet bool // no more trouble and work
	// weak: acknowledged writes may be lost in a failover (protocols A and B, or no
	// fencing); what is checked is that the nodes get equal.
	weak bool
	conn int // generation of the connection
	cfg  Config

	blocks  []*block
	volumes int
	primary int // node that the application uses, -1 none
	tenure  int // counts how often the application began on a node
	stats   struct {
		acked, flushed, promotions, crashes, resyncs, checks, reads, equal int
		unusual                                                            int // what a kind of schedules is about
	}
}

// simNode is a machine with one engine.
type simNode struct {
	w       *world
	id      int
	up      bool
	life    int // counts reboots
	crashed time.Duration
	r       *Resource
	copies  []*simCopy
	opening bool
	doomed  int           // effects until the power fails, 0 for never
	conn    int           // generation of the connection it has, 0 none
	broken  bool          // the disks: every operation fails
	noticed bool          // one has failed
	hung    time.Duration // the disks do not answer before that
	in      [2]channel    // data and meta socket
	// incomparable: it said that its data cannot be compared in the protocol of the peer.
	incomparable bool
	nextTag      uint64
	replies      map[uint64]func(wire.Result)
	// process is set for a node that waits for its disk, which is a resource below.
	process *simProcess
	stalled time.Duration // it waited for metadata
	last    int           // the machine it ran on, -1 for none yet
}

// simCopy is a node's copy of a volume.
type simCopy struct {
	*simNode
	index  int
	target time.Duration // when it last was target of a resync
	disk   simStore
	area   *metadata.Area
	e      *Engine
	// diskBusy are disk effects under way; a crash applies a part of them.
	diskBusy  map[uint64]Effect
	logs      []logJob
	logWaiter *simTask // waits for them to be written
	// metaFailed: metadata could not be written in this batch of effects.
	metaFailed bool
	requests   map[uint64]*request
	doubtful   bool          // as Primary it was without good data, and no flush has succeeded since, or said so
	doubted    time.Duration // when it last was
	told       time.Duration // when a flush failed for it
	suspended  time.Duration // by an administrator, since then; 0 not
}

// block is a place that the application writes, with what may be read there.
type block struct {
	volume int
	sector uint64
	// history are the values written since the last that is known to be safe, oldest
	// first. The first one is safe.
	history []*value
	busy    bool
}

type value struct {
	n       uint64
	volume  int
	acked   bool
	flushed bool
	trace
	below   *trace // in the resource below
	arrived bool   // the peer acknowledged it
	tenure  int    // in which the application wrote it and heard that it is written, 0 for none
	doubted bool   // a flush behind it failed
}

// trace is where a value was when it was acknowledged.
type trace struct {
	issued  time.Duration // or read and found to be there
	holders [2]bool       // nodes that had it
	writer  int           // the Primary then
}

type request struct {
	block  *block
	v      *value
	read   bool
	flush  []*value                     // what must be there if it succeeds
	behind []*value                     // what the application has an answer for
	then   func(data []byte, err error) // of the resource on top
	began  time.Duration
}

func (w *world) logf(format string, args ...any) { w.simClock.logf(w.name+format, args...) }

func (w *world) fail(format string, args ...any) { w.simClock.fail(w.name+format, args...) }

func newWorld(t testing.TB, seed uint64, cfg Config, verbose bool, volumes int) *world {
	w := newWorldOn(newSimClock(t, seed, verbose), cfg, volumes)
	for _, n := range w.nodes {
		for range volumes {
			n.addCopy(newSimDisk(simVolume))
		}
	}
	return w
}

// newWorldOn is a world without disks.
func newWorldOn(clock *simClock, cfg Config, volumes int) *world {
	w := &world{happened: tally{}, volumes: volumes, simClock: clock, primary: -1, only: -1, cfg: cfg}
	w.cfg.Rand = w.r.Uint64
	w.blocks = make([]*block, simBlocks*volumes)
	for k := range w.blocks {
		i := k % simBlocks
		// A few neighbours, the rest spread over all extents of the activity log.
		b := uint64(i)
		if i >= 8 {
			const stride = (simVolume - 1<<20) / 4096 / simBlocks
			b = uint64(i)*stride + w.r.Uint64N(stride)
		}
		w.blocks[k] = &block{volume: k / simBlocks, sector: b * 8, history: []*value{{volume: k / simBlocks, acked: true, flushed: true}}}
	}
	for i := range w.nodes {
		w.nodes[i] = &simNode{w: w, id: i, crashed: -1, last: -1}
	}
	return w
}

func (n *simNode) addCopy(d *simDisk) {
	c := &simCopy{simNode: n, index: len(n.copies), disk: d}
	n.copies = append(n.copies, c)
	c.createMeta()
}

// createMeta writes new metadata.
func (n *simCopy) createMeta() {
	if _, err := metadata.Create(n.disk, n.disk.bytes(), metadata.Internal, metadata.CreateOptions{DeviceUUID: n.w.r.Uint64()}); err != nil {
		n.w.t.Fatal(err)
	}
}

// boot starts a node: metadata, engine, disk, network.
func (n *simNode) boot() {
	w := n.w
	n.up, n.life, n.broken, n.incomparable = true, n.life+1, false, false
	n.replies = map[uint64]func(wire.Result){}
	var cfgs []Config
	for v := range n.copies {
		cfg := w.cfg
		cfg.Volume = uint16(v)
		cfgs = append(cfgs, cfg)
	}
	n.r = NewResource(cfgs...)
	for v, c := range n.copies {
		c.metaFailed, c.suspended, c.doubtful = false, 0, false
		c.diskBusy, c.requests, c.e = map[uint64]Effect{}, map[uint64]*request{}, n.r.Volumes()[v]
	}
	errorsBelow := 0 // before
	if n.process != nil {
		errorsBelow = w.stack.lower.happened[errorOnTop]
	}
	n.act(func() {
		for _, c := range n.copies {
			c.light(4, 12)
			err := c.attach()
			if c.powerLost("while the activity log is applied") {
				return
			}
			if n.process != nil && err != nil && w.stack.lower.happened[errorOnTop] > errorsBelow {
				w.logf("%d cannot start: %v", n.id, err)
				n.crash()
				return
			}
			if err != nil {
				w.fail("node %d: %v", n.id, err)
				return
			}
			w.logf("%d boots: %v %X bits=%d crashed=%v", n.id, c.e.State(), c.e.Generations(), c.e.OutOfSync()/8, c.e.crashed)
		}
		n.do()
		n.r.Connect(n.clock(), w.broken == "every node gives way", n.reply(nil))
	})
	n.tick(n.life)
	if n.hung > w.now {
		for _, c := range n.copies {
			c.attachAgain(n.life) // the disk still hangs, and may be given up again
		}
	}
}

func (n *simNode) tick(life int) {
	n.w.after(100*time.Millisecond, func() {
		if !n.up || n.life != life {
			return
		}
		n.act(func() { n.r.Tick(n.clock()) })
		n.tick(life)
	})
}

// attach opens the disk as a runner does.
func (n *simCopy) attach() error {
	area, err := metadata.Open(n.disk, n.disk.bytes(), metadata.Internal)
	if err != nil {
		return err
	}
	if n.process != nil {
		n.w.stack.checkIdentifiers(area.Super.UUID)
	}
	if _, err := area.ApplyLog(); err != nil {
		return err
	}
	bm, err := area.ReadBitmap()
	if err != nil {
		return err
	}
	before := n.area
	n.area = area
	if s := n.w.split; s != nil {
		if n.process != nil {
			s.afterCrash(n.simNode) // of the resource below
		}
		s.noted(n.simNode, area.Super)
		s.ended[n.id] = resyncEnd{}
	}
	err = n.e.Attach(n.clock(), LocalDisk{Capacity: area.Layout.DataSectors, Super: area.Super, Bitmap: bm, Layout: area.Layout})
	if err != nil {
		n.area = before
	}
	return err
}

func (n *simNode) reply(f func(wire.Result)) uint64 {
	n.nextTag++
	if f != nil {
		n.replies[n.nextTag] = f
	}
	return n.nextTag
}

// crash stops a node at once. Disk operations under way are done in part.
func (n *simNode) crash() {
	w := n.w
	if !n.up {
		return
	}
	w.stats.crashes++
	if n.process != nil {
		w.logf("%d is killed in %v", n.id, n.copies[0].e.State())
		w.stack.killed()
		return
	}
	if w.stack != nil {
		w.stack.rememberTop(n)
	}
	if w.split != nil {
		w.split.beforeCrash(n)
	}
	for _, c := range n.copies {
		w.logf("%d crashes in %v", n.id, c.e.State())
		if d, ok := c.disk.(*simDisk); ok {
			d.fuse = fuse{} // this is when the power fails
		}
		tags := make([]uint64, 0, len(c.diskBusy))
		for tag := range c.diskBusy {
			tags = append(tags, tag)
		}
		slices.Sort(tags)
		for _, tag := range tags {
			if w.r.IntN(2) == 0 {
				c.apply(c.diskBusy[tag])
			}
		}
		c.disk.crash(w.r, w.r.Float64())
	}
	n.crashed, n.doomed = w.now, 0
	if w.split != nil {
		w.split.afterCrash(n)
	}
	n.gone()
	if w.stack != nil {
		w.stack.machineCrashed(w, n.id)
	}
	life := n.life
	w.after(w.between(200*time.Millisecond, 5*time.Second), func() {
		if !n.up && n.life == life {
			n.boot()
		}
	})
}

// gone is what the end of a node means to the others.
func (n *simNode) gone() {
	w := n.w
	n.up = false
	if w.split != nil {
		w.split.pending[n.id] = 0
	}
	if w.dual != nil {
		w.dual.crashed(n.id, w.now)
	}
	if w.primary == n.id {
		w.primary = -1
	}
	for _, c := range n.copies {
		for _, q := range c.requests {
			if q.block != nil {
				q.block.busy = false // nobody knows whether it was written
			}
		}
	}
	n.hangUp()
}

// act lets an event happen to the engine of a node and carries out what follows.
func (n *simNode) act(event func()) {
	if n.process == nil {
		event()
		n.do()
		return
	}
	life := n.life
	n.process.post(func() {
		if n.up && n.life == life {
			event()
			n.do()
		}
	})
}

// clock is the time as the engine sees it: it stands still while the node waits for its
// metadata to be written.
func (n *simNode) clock() time.Duration { return n.w.now - n.stalled }
