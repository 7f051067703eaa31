package engine

import (
	"container/heap"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
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

// event is something that will happen.
type event struct {
	at  time.Duration
	seq int
	do  func()
}

type eventHeap []*event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(*event)) }
func (h *eventHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// world is two nodes, their disks and the network between them.
type world struct {
	t      testing.TB
	r      *rand.Rand
	now    time.Duration
	seq    int
	events eventHeap
	nodes  [2]*simNode
	cut    bool // nothing passes between the nodes
	// broken is a rule of the contract that the runner does not keep; the invariants
	// must find out.
	broken   string
	wild     bool // either node may be promoted by force at first
	badDisks bool // disks fail, and return after a while
	attended bool // somebody connects nodes again that stand alone
	pausing  bool // somebody pauses resyncs, and lets them go on
	// settled: the nodes were in sync from the start.
	settled bool
	// only is the node that the fence handler allows to be promoted, -1 for both.
	only  int
	quiet bool // no more trouble and work
	// weak: acknowledged writes may be lost in a failover (protocols A and B, or no
	// fencing); what is checked is that the nodes get equal.
	weak   bool
	conn   int // generation of the connection
	cfg    Config
	log    *strings.Builder
	failed string

	blocks  []*block
	volumes int
	primary int // node that the application uses, -1 none
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
	conn    int           // generation of the connection it has, 0 none
	broken  bool          // the disks: every operation fails
	hung    time.Duration // the disks do not answer before that
	in      [2]channel    // data and meta socket
	// incomparable: it said that its data cannot be compared in the protocol of the peer.
	incomparable bool
	nextTag      uint64
	replies      map[uint64]func(wire.Result)
}

// simCopy is a node's copy of a volume.
type simCopy struct {
	*simNode
	index  int
	target time.Duration // when it last was target of a resync
	disk   *simDisk
	area   *metadata.Area
	e      *Engine
	// diskBusy are disk effects under way; a crash applies a part of them.
	diskBusy map[uint64]Effect
	// metaFailed: metadata could not be written in this batch of effects.
	metaFailed bool
	requests   map[uint64]*request
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
	issued  time.Duration // or read and found to be there
	flushed bool
	holders [2]bool // nodes that had it when it was acknowledged
	writer  int     // the Primary then
	arrived bool    // the peer acknowledged it
}

type request struct {
	block *block
	v     *value
	read  bool
	flush []*value
}

func (w *world) after(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.events, &event{w.now + d, w.seq, do})
}

func (w *world) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(w.r.Int64N(int64(hi-lo)))
}

func (w *world) logf(format string, args ...any) {
	if w.log != nil {
		fmt.Fprintf(w.log, "%9.4f ", w.now.Seconds())
		fmt.Fprintf(w.log, format+"\n", args...)
	}
}

func (w *world) fail(format string, args ...any) {
	if w.failed == "" {
		w.failed = fmt.Sprintf("at %v: ", w.now) + fmt.Sprintf(format, args...)
		w.logf("FAILED: %s", w.failed)
	}
}

func newWorld(t testing.TB, seed uint64, cfg Config, verbose bool, volumes int) *world {
	w := &world{volumes: volumes, t: t, r: rand.New(rand.NewPCG(seed, 99)), primary: -1, only: -1, cfg: cfg}
	if verbose {
		w.log = &strings.Builder{}
	}
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
		n := &simNode{w: w, id: i, crashed: -1}
		for v := range volumes {
			c := &simCopy{simNode: n, index: v, disk: newSimDisk(simVolume)}
			if _, err := metadata.Create(c.disk, simVolume, metadata.Internal, metadata.CreateOptions{DeviceUUID: w.r.Uint64()}); err != nil {
				t.Fatal(err)
			}
			n.copies = append(n.copies, c)
		}
		w.nodes[i] = n
	}
	return w
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
		c.metaFailed = false
		c.diskBusy, c.requests, c.e = map[uint64]Effect{}, map[uint64]*request{}, n.r.Volumes()[v]
		if err := c.attach(); err != nil {
			w.fail("node %d: %v", n.id, err)
			return
		}
		w.logf("%d boots: %v %X bits=%d crashed=%v", n.id, c.e.State(), c.e.Generations(), c.e.OutOfSync()/8, c.e.crashed)
	}
	n.do()
	n.r.Connect(w.now, false, n.reply(nil))
	n.do()
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
		n.r.Tick(n.w.now)
		n.do()
		n.tick(life)
	})
}

// attach opens the disk as a runner does.
func (n *simCopy) attach() error {
	area, err := metadata.Open(n.disk, simVolume, metadata.Internal)
	if err != nil {
		return err
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
	err = n.e.Attach(n.w.now, LocalDisk{Capacity: area.Layout.DataSectors, Super: area.Super, Bitmap: bm, Layout: area.Layout})
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
	for _, c := range n.copies {
		w.logf("%d crashes in %v", n.id, c.e.State())
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
	n.up, n.crashed = false, w.now
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
	life := n.life
	w.after(w.between(200*time.Millisecond, 5*time.Second), func() {
		if !n.up && n.life == life {
			n.boot()
		}
	})
}

// hangUp breaks the connection on both sides; the peer notices a little later.
func (n *simNode) hangUp() {
	w := n.w
	if n.conn == 0 {
		return
	}
	n.conn = 0
	peer := w.nodes[1-n.id]
	if peer.conn == 0 {
		return
	}
	gen, life := peer.conn, peer.life
	w.after(w.between(0, 3*time.Millisecond), func() {
		if peer.up && peer.life == life && peer.conn == gen && !w.cut {
			peer.conn = 0
			peer.r.ConnectionLost(w.now)
			peer.do()
		}
	})
}

// dial connects the nodes when both want to.
func (w *world) dial() {
	a, b := w.nodes[0], w.nodes[1]
	if w.cut || !a.up || !b.up || !a.opening || !b.opening || a.conn != 0 || b.conn != 0 {
		return
	}
	w.conn++
	a.conn, b.conn = w.conn, w.conn
	a.opening, b.opening = false, false
	resolver := w.r.IntN(2)
	w.logf("connected, resolver %d", resolver)
	for i, n := range w.nodes {
		n.r.ConnectionUp(w.now, i == resolver)
		n.do()
	}
}

// apply carries out a disk effect on the simulated disk.
func (n *simCopy) apply(f Effect) []byte {
	switch f.Kind {
	case WriteDisk:
		data := f.Data
		if f.Zero {
			data = make([]byte, f.Size)
		}
		if _, err := n.disk.WriteAt(data, int64(f.Sector*metadata.SectorSize)); err != nil {
			n.w.fail("node %d: %v", n.id, err)
		}
	case ReadDisk:
		b := make([]byte, f.Size)
		if _, err := n.disk.ReadAt(b, int64(f.Sector*metadata.SectorSize)); err != nil {
			n.w.fail("node %d: %v", n.id, err)
		}
		return b
	case FlushDisk:
		if n.w.broken != "a flush that does nothing" && (n.w.broken != "an epoch that is flushed on one disk" || n.index == 0 || n.e.State().Role() == wire.Primary) {
			_ = n.disk.Sync()
		}
	case WriteLog:
		if n.w.broken == "no activity log" {
			break
		}
		if err := n.area.WriteLog(f.Log); err != nil {
			n.w.fail("node %d: %v", n.id, err)
		}
	}
	return nil
}

// do carries out the effects of the last event. A crash may happen between them.
func (n *simNode) do() {
	w := n.w
	for n.up {
		effects := slices.Clone(n.r.Take())
		if len(effects) == 0 {
			break
		}
		for _, c := range n.copies {
			s := c.e.State()
			if s.Conn() == wire.SyncTarget {
				c.target = w.now
			}
			if s.Conn() == wire.PausedSyncT || s.Conn() == wire.Behind || c.e.beginSync != nil || n.hung > w.now || c.e.sending.giveUp ||
				s.Conn() == wire.Connected && w.cfg.MaxVersion != 0 {
				w.stats.unusual++
			}
		}
		for _, f := range effects {
			if !n.up {
				return
			}
			n.copies[f.Volume].carryOut(f)
		}
		for _, c := range n.copies {
			if n.up && c.metaFailed {
				c.metaFailed = false
				c.e.MetaFailed(w.now)
			}
		}
	}
	w.dial()
	w.invariants()
}

func (n *simCopy) carryOut(f Effect) {
	w := n.w
	life := n.life
	switch f.Kind {
	case Send:
		n.transmit(f.Msg)
	case WriteLog, WriteDisk, ReadDisk, FlushDisk:
		if f.Kind == WriteLog && w.broken != "bitmap not written" {
			if err := n.area.WritePages(n.e.Bitmap(), f.Pages); err != nil {
				w.fail("node %d: %v", n.id, err)
			}
			_ = n.disk.Sync()
		}
		if w.broken == "writes reported before they are done" && f.Kind == WriteDisk {
			n.early(f)
			return
		}
		n.diskBusy[f.Tag] = f
		if f.Kind == WriteDisk {
			f.Data = slices.Clone(f.Data) // of a disk that was given up, it is used again
		}
		w.after(max(0, n.hung-w.now)+w.between(50*time.Microsecond, 8*time.Millisecond), func() {
			if !n.up || n.life != life {
				return
			}
			delete(n.diskBusy, f.Tag)
			if n.broken {
				n.e.DiskDone(w.now, f.Tag, nil, errBroken)
				n.do()
				return
			}
			n.e.DiskDone(w.now, f.Tag, n.apply(f), nil)
			n.do()
		})
	case Persist:
		if n.broken {
			n.metaFailed = true
			return
		}
		if w.r.IntN(400) == 0 {
			n.crash() // just before
			return
		}
		if w.broken != "metadata durable before the data" {
			_ = n.disk.Sync()
		}
		if w.broken == "bitmap not written" {
			f.Pages = nil
		}
		if err := n.area.WritePages(n.e.Bitmap(), f.Pages); err != nil {
			w.fail("node %d: %v", n.id, err)
		}
		if w.broken == "generations not written" {
			f.Super.UUID = n.area.Super.UUID
		}
		if w.broken == "flags not written" {
			f.Super.Flags = n.area.Super.Flags
		}
		if w.r.IntN(400) == 0 {
			n.crash() // between bitmap and super block
			return
		}
		if err := n.area.WriteSuperblock(f.Super); err != nil {
			w.fail("node %d: %v", n.id, err)
		}
		if w.r.IntN(400) == 0 {
			n.crash() // just after
		}
	case Complete:
		n.completed(f)
	case Reply:
		if done := n.replies[f.Tag]; done != nil {
			delete(n.replies, f.Tag)
			done(f.Result)
		}
	case RunHandler:
		w.logf("%d runs %s", n.id, f.Name)
		if f.Name == "fence-peer" {
			w.after(w.between(100*time.Millisecond, time.Second), func() {
				if !n.up || n.life != life {
					return
				}
				code := 1
				if w.broken == "a fence that does not fence" {
					n.r.HandlerDone(w.now, "fence-peer", fencePeerStonithed)
					n.do()
					return
				}
				if w.only < 0 || w.only == n.id {
					// Only this node may be promoted from now on, and the peer is
					// switched off.
					w.logf("%d fences its peer", n.id)
					w.only = n.id
					w.nodes[1-n.id].crash()
					code = fencePeerStonithed
				}
				n.r.HandlerDone(w.now, "fence-peer", code)
				n.do()
			})
		}
		if f.Name == "before-resync-target" || f.Name == "before-resync-source" {
			w.after(w.between(time.Millisecond, 50*time.Millisecond), func() {
				if n.up && n.life == life {
					code := 0
					if w.r.IntN(30) == 0 && !w.quiet {
						code = 1
					}
					n.e.HandlerDone(w.now, f.Name, code)
					n.do()
				}
			})
		}
		if f.Name == "unfence-peer" && w.only == n.id {
			w.stats.resyncs++
			w.only = -1
		}
	case OpenConnection:
		n.opening = true
		w.after(w.between(10*time.Millisecond, 300*time.Millisecond), w.dial)
	case CloseConnection:
		n.opening = false
		n.hangUp()
	case Note:
		w.logf("%d %s", n.id, f.Name)
		if f.Name == "the data can only be compared with a newer protocol" {
			n.incomparable = true
		}
	}
}

// early reports a write at once and does it later.
func (n *simCopy) early(f Effect) {
	w, life := n.w, n.life
	f.Data = slices.Clone(f.Data)
	w.after(10*time.Microsecond, func() {
		if n.up && n.life == life {
			n.e.DiskDone(w.now, f.Tag, nil, nil)
			n.do()
		}
	})
	w.after(w.between(20*time.Millisecond, 200*time.Millisecond), func() {
		if n.up && n.life == life {
			n.apply(f)
		}
	})
}

// transmit sends a message; each socket keeps its order, the two do not.
func (n *simNode) transmit(m wire.Message) {
	w := n.w
	gen, peer := n.conn, w.nodes[1-n.id]
	if gen == 0 {
		return
	}
	d := n.r.Dialect()
	if m.Command == wire.CmdFeatures {
		d = wire.Dialect{}
	}
	raw := d.Append(nil, &m) // the data may change after this
	w.logf("%d>%d %v vol=%d sec=%d size=%d id=%x n=%d %v", n.id, peer.id, m.Command, m.Volume, m.Sector, m.Size, m.ID, m.Number, m.State)
	to := peer.copies[min(int(m.Volume), len(peer.copies)-1)].e.State().Conn()
	switch {
	case w.broken == "bits of a node that is ahead are lost" && m.Command == wire.CmdOutOfSync,
		w.broken == "blocks that come in a pause are lost" && m.Command == wire.CmdResyncReply && to == wire.PausedSyncT,
		w.broken == "only the newest protocol acknowledges" && (m.Command == wire.CmdWriteAck || m.Command == wire.CmdResyncWriteAck) && d.Version < 100:
		return
	}
	if w.broken == "all messages about the first volume" {
		m.Volume = 0
		raw = d.Append(raw[:0], &m)
	}
	ch := &peer.in[0]
	if m.Command.OnMeta() {
		ch = &peer.in[1]
	}
	if ch.gen != gen {
		*ch = channel{gen: gen}
	}
	ch.last = max(ch.last, w.now+w.between(50*time.Microsecond, 4*time.Millisecond))
	if w.broken == "messages out of order" {
		ch.last = w.now + w.between(50*time.Microsecond, 4*time.Millisecond)
	}
	life := peer.life
	w.after(ch.last-w.now, func() {
		if !peer.up || peer.life != life || peer.conn != gen || w.cut {
			return
		}
		h, err := d.DecodeHeader(raw)
		if err != nil {
			w.fail("header: %v", err)
			return
		}
		var got wire.Message
		if err := d.Decode(h, raw[d.HeaderSize():], &got); err != nil {
			w.fail("%v: %v", m.Command, err)
			return
		}
		if got.Command == wire.CmdWriteAck || got.Command == wire.CmdResyncWriteAck && got.ID != wire.SyncerID {
			for _, b := range w.blocks {
				if b.sector == got.Sector && b.volume == int(got.Volume) {
					b.history[len(b.history)-1].arrived = true
				}
			}
		}
		peer.r.Receive(w.now, &got)
		peer.do()
	})
}

// channel is one direction of one socket.
type channel struct {
	gen  int
	last time.Duration
}
