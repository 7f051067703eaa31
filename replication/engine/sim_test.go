package engine

import (
	"bytes"
	"container/heap"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

var (
	simSeed  = flag.Uint64("seed", 0, "run the simulation with this seed only, with a log")
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

	blocks  [simBlocks]*block
	primary int // node that the application uses, -1 none
	stats   struct {
		acked, flushed, promotions, crashes, resyncs, checks, reads, equal int
	}
}

// simNode is a machine with one engine.
type simNode struct {
	w       *world
	id      int
	up      bool
	life    int // counts reboots
	crashed time.Duration
	target  time.Duration // when it last was target of a resync
	disk    *simDisk
	area    *metadata.Area
	e       *Engine
	opening bool
	conn    int // generation of the connection it has, 0 none
	// diskBusy are disk effects under way; a crash applies a part of them.
	diskBusy map[uint64]Effect
	requests map[uint64]*request
	in       [2]channel // data and meta socket
	nextTag  uint64
	replies  map[uint64]func(wire.Result)
}

// block is a place that the application writes, with what may be read there.
type block struct {
	sector uint64
	// history are the values written since the last that is known to be safe, oldest
	// first. The first one is safe.
	history []*value
	busy    bool
}

type value struct {
	n       uint64
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
	node  int
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

func newWorld(t testing.TB, seed uint64, cfg Config, verbose bool) *world {
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 99)), primary: -1, only: -1, cfg: cfg}
	if verbose {
		w.log = &strings.Builder{}
	}
	w.cfg.Rand = w.r.Uint64
	for i := range w.blocks {
		// A few neighbours, the rest spread over all extents of the activity log.
		b := uint64(i)
		if i >= 8 {
			const stride = (simVolume - 1<<20) / 4096 / simBlocks
			b = uint64(i)*stride + w.r.Uint64N(stride)
		}
		w.blocks[i] = &block{sector: b * 8, history: []*value{{acked: true, flushed: true}}}
	}
	for i := range w.nodes {
		n := &simNode{w: w, id: i, disk: newSimDisk(simVolume), crashed: -1}
		if _, err := metadata.Create(n.disk, simVolume, metadata.Internal, metadata.CreateOptions{DeviceUUID: w.r.Uint64()}); err != nil {
			t.Fatal(err)
		}
		w.nodes[i] = n
	}
	return w
}

// boot starts a node: metadata, engine, disk, network.
func (n *simNode) boot() {
	w := n.w
	area, err := metadata.Open(n.disk, simVolume, metadata.Internal)
	if err != nil {
		w.fail("node %d: %v", n.id, err)
		return
	}
	if _, err := area.ApplyLog(); err != nil {
		w.fail("node %d: %v", n.id, err)
		return
	}
	bm, err := area.ReadBitmap()
	if err != nil {
		w.fail("node %d: %v", n.id, err)
		return
	}
	n.up, n.area, n.life = true, area, n.life+1
	n.diskBusy, n.requests, n.replies = map[uint64]Effect{}, map[uint64]*request{}, map[uint64]func(wire.Result){}
	n.e = New(w.cfg)
	if err := n.e.Attach(w.now, LocalDisk{Capacity: area.Layout.DataSectors, Super: area.Super, Bitmap: bm, Layout: area.Layout}); err != nil {
		w.fail("node %d: %v", n.id, err)
		return
	}
	w.logf("%d boots: %v %X bits=%d crashed=%v", n.id, n.e.State(), n.e.Generations(), n.e.OutOfSync()/8, n.e.crashed)
	n.do()
	n.e.Connect(w.now, false, n.reply(nil))
	n.do()
	n.tick(n.life)
}

func (n *simNode) tick(life int) {
	n.w.after(100*time.Millisecond, func() {
		if !n.up || n.life != life {
			return
		}
		n.e.Tick(n.w.now)
		n.do()
		n.tick(life)
	})
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
	w.logf("%d crashes in %v", n.id, n.e.State())
	tags := make([]uint64, 0, len(n.diskBusy))
	for tag := range n.diskBusy {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	for _, tag := range tags {
		if w.r.IntN(2) == 0 {
			n.apply(n.diskBusy[tag])
		}
	}
	n.disk.crash(w.r, w.r.Float64())
	n.up, n.crashed = false, w.now
	if w.primary == n.id {
		w.primary = -1
	}
	for _, q := range n.requests {
		if q.block != nil {
			q.block.busy = false // nobody knows whether it was written
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
			peer.e.ConnectionLost(w.now)
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
		n.e.ConnectionUp(w.now, i == resolver)
		n.do()
	}
}

// apply carries out a disk effect on the simulated disk.
func (n *simNode) apply(f Effect) []byte {
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
		_ = n.disk.Sync()
	case WriteLog:
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
		effects := slices.Clone(n.e.Take())
		if len(effects) == 0 {
			break
		}
		if n.e.State().Conn() == wire.SyncTarget {
			n.target = w.now
		}
		for _, f := range effects {
			if !n.up {
				return
			}
			n.carryOut(f)
		}
	}
	w.dial()
	w.invariants()
}

func (n *simNode) carryOut(f Effect) {
	w := n.w
	life := n.life
	switch f.Kind {
	case Send:
		n.transmit(f.Msg)
	case WriteLog, WriteDisk, ReadDisk, FlushDisk:
		if f.Kind == WriteLog {
			if err := n.area.WritePages(n.e.Bitmap(), f.Pages); err != nil {
				w.fail("node %d: %v", n.id, err)
			}
			_ = n.disk.Sync()
		}
		n.diskBusy[f.Tag] = f
		w.after(w.between(50*time.Microsecond, 8*time.Millisecond), func() {
			if !n.up || n.life != life {
				return
			}
			delete(n.diskBusy, f.Tag)
			n.e.DiskDone(w.now, f.Tag, n.apply(f), nil)
			n.do()
		})
	case Persist:
		if w.r.IntN(400) == 0 {
			n.crash() // just before
			return
		}
		_ = n.disk.Sync()
		if err := n.area.WritePages(n.e.Bitmap(), f.Pages); err != nil {
			w.fail("node %d: %v", n.id, err)
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
				if w.only < 0 || w.only == n.id {
					// Only this node may be promoted from now on, and the peer is
					// switched off.
					w.logf("%d fences its peer", n.id)
					w.only = n.id
					w.nodes[1-n.id].crash()
					code = fencePeerStonithed
				}
				n.e.HandlerDone(w.now, "fence-peer", code)
				n.do()
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
	}
}

// transmit sends a message; each socket keeps its order, the two do not.
func (n *simNode) transmit(m wire.Message) {
	w := n.w
	gen, peer := n.conn, w.nodes[1-n.id]
	if gen == 0 {
		return
	}
	d := n.e.Dialect()
	if m.Command == wire.CmdFeatures {
		d = wire.Dialect{}
	}
	raw := d.Append(nil, &m) // the data may change after this
	w.logf("%d>%d %v sec=%d size=%d id=%x n=%d %v", n.id, peer.id, m.Command, m.Sector, m.Size, m.ID, m.Number, m.State)
	ch := &peer.in[0]
	if m.Command.OnMeta() {
		ch = &peer.in[1]
	}
	if ch.gen != gen {
		*ch = channel{gen: gen}
	}
	ch.last = max(ch.last, w.now+w.between(50*time.Microsecond, 4*time.Millisecond))
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
				if b.sector == got.Sector {
					b.history[len(b.history)-1].arrived = true
				}
			}
		}
		peer.e.Receive(w.now, &got)
		peer.do()
	})
}

// channel is one direction of one socket.
type channel struct {
	gen  int
	last time.Duration
}

// invariants hold at every moment.
func (w *world) invariants() {
	w.stats.checks++
	a, b := w.nodes[0], w.nodes[1]
	if w.cfg.Fencing == FencingDontCare && (a.conn == 0 || a.conn != b.conn || a.up && a.e.State().Conn() < wire.Connected || b.up && b.e.State().Conn() < wire.Connected) {
		return // nobody forbids it while they do not see each other
	}
	if a.up && b.up && a.e.State().Role() == wire.Primary && b.e.State().Role() == wire.Primary {
		w.fail("two Primaries: %v and %v", a.e.State(), b.e.State())
	}
}

// safe tells whether an acknowledged value must be found on a node. A flushed one
// must, everywhere. One that is only acknowledged must be there as long as neither
// the node lost its cache, nor a crashed writer came back and made its own disk,
// which lost its cache, the source of a resync.
func (v *value) safe(w *world, n *simNode) bool {
	return v.acked && (v.flushed || v.holders[n.id] && n.crashed < v.issued && (n.target < v.issued || w.nodes[v.writer].crashed < v.issued))
}

// newest are the values that may be read on a node: the last one that must be there
// and all that were written after it.
func (b *block) newest(n *simNode) []uint64 {
	first := 0
	for i, v := range b.history {
		if v.safe(n.w, n) {
			first = i
		}
	}
	var out []uint64
	for _, v := range b.history[first:] {
		out = append(out, v.n)
	}
	return out
}

func payload(n uint64) []byte {
	b := make([]byte, metadata.BlockSize)
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], n)
	}
	return b
}

// completed is the end of a request of the application.
func (n *simNode) completed(f Effect) {
	w := n.w
	q := n.requests[f.Tag]
	if q == nil {
		w.fail("completion of an unknown request %d", f.Tag)
		return
	}
	delete(n.requests, f.Tag)
	switch {
	case q.read:
		if f.Err == nil {
			w.checkRead(n, q.block, f.Data)
		}
		q.block.busy = false
	case q.flush != nil:
		if f.Err == nil {
			w.stats.flushed++
			w.logf("%d flushed", n.id)
			for _, v := range q.flush {
				v.flushed = true
			}
		}
	default:
		q.block.busy = false
		if f.Err != nil {
			w.logf("%d write of %d failed: %v", n.id, q.v.n, f.Err)
			return
		}
		w.stats.acked++
		q.v.acked = true
		q.v.holders, q.v.writer = n.holders(), n.id
		if peer := w.nodes[1-n.id]; !w.weak && q.v.holders[1-n.id] && peer.up {
			if got := binary.LittleEndian.Uint64(peer.disk.sector(q.block.sector)); got != q.v.n {
				w.fail("write %d of block %d is acknowledged, but the peer's disk has %d", q.v.n, q.block.sector, got)
			}
		}
		if s := n.e.State(); !w.weak && !q.v.arrived && w.cfg.Fencing == FencingStonith && s.Conn() < wire.Connected && s.PeerDisk() > wire.Outdated {
			w.fail("write %d is acknowledged alone, and the peer is not fenced: %v", q.v.n, s)
		}
		if peer := w.nodes[1-n.id]; !w.weak && !q.v.arrived && w.only != n.id && peer.up && peer.e.State().Disk() > wire.Outdated {
			w.fail("write %d is acknowledged, and the peer could be promoted without it: %v and %v", q.v.n, n.e.State(), peer.e.State())
		}
		w.logf("%d acked %d at %d (holders %v)", n.id, q.v.n, q.block.sector, q.v.holders)
	}
}

func (w *world) checkRead(n *simNode, b *block, data []byte) {
	w.stats.reads++
	if w.weak {
		return
	}
	got := binary.LittleEndian.Uint64(data)
	if !bytes.Equal(data, payload(got)) {
		w.logf("torn block at %d", b.sector)
		// A torn write that was never acknowledged may be seen after a crash.
		for i := 0; i < len(data); i += metadata.SectorSize {
			if v := binary.LittleEndian.Uint64(data[i:]); !slices.Contains(b.newest(n), v) {
				w.fail("node %d reads %d in block %d, allowed are %v", n.id, v, b.sector, b.newest(n))
			}
		}
		return
	}
	if !slices.Contains(b.newest(n), got) {
		w.fail("node %d reads %d in block %d, allowed are %v", n.id, got, b.sector, b.newest(n))
		return
	}
	// What was read once is the truth: no other value may come back.
	i := slices.IndexFunc(b.history, func(v *value) bool { return v.n == got })
	v := b.history[i]
	b.history = b.history[:i+1]
	if !v.safe(w, n) {
		v.acked, v.issued, v.holders, v.writer = true, w.now, n.holders(), n.id
	}
}

// holders are the nodes that have what this one acknowledges now.
func (n *simNode) holders() (h [2]bool) {
	s := n.e.State()
	h[n.id] = true
	h[1-n.id] = s.Conn() >= wire.Connected && s.PeerDisk() == wire.UpToDate
	return h
}

// work lets the application of the Primary do something.
func (w *world) work() {
	w.after(w.between(100*time.Microsecond, 6*time.Millisecond), w.work)
	if w.primary < 0 || w.quiet {
		return
	}
	n := w.nodes[w.primary]
	if !n.up {
		return
	}
	b := w.blocks[w.r.IntN(simBlocks)]
	switch c := w.r.IntN(20); {
	case c == 0:
		var vs []*value
		for _, b := range w.blocks {
			for _, v := range b.history {
				if v.safe(w, n) {
					vs = append(vs, v)
				}
			}
		}
		if vs == nil {
			return
		}
		tag := n.request(&request{flush: vs})
		n.e.Flush(w.now, tag)
	case b.busy:
		return
	case c < 6:
		b.busy = true
		n.e.Read(w.now, n.request(&request{block: b, read: true}), b.sector, metadata.BlockSize)
	default:
		b.busy = true
		// Everything before the last value that is safe everywhere is history.
		for i, v := range slices.Backward(b.history) {
			if v.flushed {
				b.history = b.history[i:]
				break
			}
		}
		w.seq++
		v := &value{n: uint64(w.seq), issued: w.now}
		b.history = append(b.history, v)
		tag := n.request(&request{block: b, v: v})
		w.logf("%d writes %d at %d", n.id, v.n, b.sector)
		n.e.Write(w.now, tag, b.sector, payload(v.n), false)
	}
	n.do()
}

func (n *simNode) request(q *request) uint64 {
	n.nextTag++
	n.requests[n.nextTag] = q
	return n.nextTag
}

// manage is the cluster manager: it keeps one node promoted.
func (w *world) manage() {
	w.after(w.between(100*time.Millisecond, 800*time.Millisecond), w.manage)
	if w.primary >= 0 {
		if n := w.nodes[w.primary]; n.up && w.r.IntN(15) == 0 && !w.cut {
			// Move the application: stop it, demote.
			w.logf("%d shall be demoted", n.id)
			node := w.primary
			w.primary = -1
			n.e.Demote(w.now, n.reply(func(r wire.Result) {
				if !r.OK() {
					w.primary = node
				}
			}))
			n.do()
		}
		return
	}
	n := w.nodes[w.r.IntN(2)]
	if w.only >= 0 && n.id != w.only {
		return
	}
	if !n.up || n.e.State().Disk() < wire.Outdated && w.stats.promotions > 0 {
		return
	}
	if w.stats.promotions == 0 && n.e.State().Conn() != wire.Connected {
		return
	}
	life := n.life
	// The very first promotion decides whose empty data is the data.
	n.e.Promote(w.now, w.stats.promotions == 0, n.reply(func(r wire.Result) {
		w.logf("%d promotion: %v", n.id, r)
		if r.OK() && n.up && n.life == life {
			w.stats.promotions++
			w.after(0, func() {
				if n.up && n.life == life && n.e.State().Role() == wire.Primary && w.primary < 0 {
					w.takeOver(n)
				}
			})
		}
	}))
	n.do()
}

// takeOver reads everything before the application goes on, as a journal replay does.
func (w *world) takeOver(n *simNode) {
	w.primary = n.id
	for _, b := range w.blocks {
		if b.busy {
			continue
		}
		b.busy = true
		n.e.Read(w.now, n.request(&request{block: b, read: true}), b.sector, metadata.BlockSize)
	}
	n.do()
}

// heal mends the network. What was in flight is lost, and both ends learn it.
func (w *world) heal() {
	if !w.cut {
		return
	}
	w.logf("network healed")
	w.cut = false
	for _, n := range w.nodes {
		if n.up && n.conn != 0 {
			n.conn = 0
			n.e.ConnectionLost(w.now)
			n.do()
		}
	}
	w.dial()
}

// trouble makes things go wrong.
func (w *world) trouble() {
	if w.quiet {
		return
	}
	w.after(w.between(300*time.Millisecond, 4*time.Second), w.trouble)
	switch w.r.IntN(5) {
	case 0, 1:
		w.nodes[w.r.IntN(2)].crash()
	case 2:
		if !w.cut {
			w.logf("network cut")
			w.cut = true
			w.after(w.between(50*time.Millisecond, 4*time.Second), w.heal)
		}
	case 3:
		w.logf("connection reset")
		n := w.nodes[w.r.IntN(2)]
		if n.up && n.conn != 0 && !w.cut {
			n.hangUp()
			n.e.ConnectionLost(w.now)
			n.do()
		}
	case 4: // everything at once: both nodes lose power
		if w.r.IntN(4) == 0 {
			w.nodes[0].crash()
			w.nodes[1].crash()
		}
	}
}

func (w *world) run(until time.Duration) {
	for w.failed == "" && len(w.events) > 0 && w.events[0].at <= until {
		ev := heap.Pop(&w.events).(*event)
		w.now = ev.at
		ev.do()
	}
	w.now = until
}

// simulate runs one schedule: trouble, then peace, then everything must be well.
func simulate(t testing.TB, seed uint64, cfg Config, verbose bool) *world {
	w := newWorld(t, seed, cfg, verbose)
	w.weak = cfg.Protocol != ProtocolC || cfg.Fencing != FencingStonith
	for _, n := range w.nodes {
		n.boot()
	}
	w.after(0, w.manage)
	w.after(0, w.work)
	w.after(3*time.Second, w.trouble)
	w.run(20 * time.Second)
	if w.failed != "" {
		return w
	}
	w.peace()
	return w
}

// peace ends the trouble. The nodes must find each other, get in sync, and answer
// every request; then both disks are equal.
func (w *world) peace() {
	w.quiet = true
	w.logf("peace")
	w.heal()
	deadline := w.now + 60*time.Second
	good := func() bool {
		for _, n := range w.nodes {
			if !n.up {
				return false
			}
			s := n.e.State()
			if s.Conn() != wire.Connected || s.Disk() != wire.UpToDate || s.PeerDisk() != wire.UpToDate || len(n.requests) > 0 || n.e.OutOfSync() > 0 {
				return false
			}
		}
		return w.primary >= 0
	}
	for w.failed == "" && w.now < deadline && !good() {
		w.run(w.now + 100*time.Millisecond)
	}
	if w.failed != "" {
		return
	}
	if !good() {
		for _, n := range w.nodes {
			if n.up {
				w.logf("%d: %v bits=%d requests=%d waiting=%d active=%d log=%d %X", n.id, n.e.State(), n.e.OutOfSync()/8, len(n.requests),
					len(n.e.waiting), len(n.e.active), len(n.e.sending.log), n.e.Generations())
			}
		}
		w.fail("no peace after a minute: %v, %v", w.describe(0), w.describe(1))
		return
	}
	w.run(w.now + 200*time.Millisecond)
	a, b := w.nodes[0], w.nodes[1]
	if !a.up || !b.up {
		return // one of the rare crashes at a persist
	}
	w.stats.equal++
	for sector := range a.area.Layout.DataSectors {
		if !bytes.Equal(a.disk.sector(sector), b.disk.sector(sector)) {
			w.fail("sector %d differs after the resync", sector)
			return
		}
	}
	w.takeOver(w.nodes[max(w.primary, 0)])
	w.run(w.now + time.Second)
}

func (w *world) describe(i int) string {
	if !w.nodes[i].up {
		return "down"
	}
	return w.nodes[i].e.State().String()
}

func simConfig() Config {
	cfg := Defaults()
	cfg.Fencing = FencingStonith
	cfg.ALExtents = 3
	cfg.ResyncRate, cfg.MaxRate = 20000, 100000
	cfg.PingInterval = time.Second
	return cfg
}

// TestSimulationOfWeakerPolicies runs schedules in which writes may be lost, and
// split brains happen and are resolved by policy: afterwards the nodes are equal.
func TestSimulationOfWeakerPolicies(t *testing.T) {
	count := uint64(3)
	if *simCount > 0 {
		count = uint64(*simCount)
	}
	for name, change := range map[string]func(*Config){
		"protocol A":    func(c *Config) { c.Protocol = ProtocolA },
		"protocol B":    func(c *Config) { c.Protocol = ProtocolB },
		"plain bitmaps": func(c *Config) { c.UseRLE = false; c.PlanAhead = 0 },
		"fill target":   func(c *Config) { c.FillTarget = 0; c.MaxRate = 0 },
		"al-updates no": func(c *Config) { c.NoALUpdates = true },
		"resource-only": func(c *Config) {
			c.Fencing = FencingResourceOnly
			c.AfterSB = [3]uint32{SBDiscardLeastChanges, SBDiscardSecondary, SBDisconnect}
		},
		"authentication": func(c *Config) { c.CramHMACAlg, c.SharedSecret = "sha256", "secret" },
		"no fencing": func(c *Config) {
			c.Fencing = FencingDontCare
			c.AfterSB = [3]uint32{SBDiscardYoungerPrimary, SBDiscardSecondary, SBCallHelper}
			c.AlwaysASBP, c.RRConflict = true, SBViolently
		},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed <= count; seed++ {
				cfg := simConfig()
				change(&cfg)
				verbose := *simSeed == seed
				w := simulate(t, seed, cfg, verbose)
				if verbose {
					if err := os.WriteFile(filepath.Join(os.TempDir(), "engine-sim-weak.log"), []byte(w.log.String()), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if w.failed != "" {
					t.Errorf("seed %d: %s", seed, w.failed)
				}
			}
		})
	}
}

// TestSimulation runs random schedules. A failing one is repeated with -seed.
func TestSimulation(t *testing.T) {
	if *simSeed != 0 {
		w := simulate(t, *simSeed, simConfig(), true)
		name := filepath.Join(os.TempDir(), fmt.Sprintf("engine-sim-%d.log", *simSeed))
		if err := os.WriteFile(name, []byte(w.log.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v, log in %s", w.stats, name)
		if w.failed != "" {
			t.Fatal(w.failed)
		}
		return
	}
	count := *simCount
	if count == 0 {
		count = 25
		if testing.Short() {
			count = 10
		}
	}
	total := world{}.stats
	for seed := uint64(1); seed <= uint64(count); seed++ {
		w := simulate(t, seed, simConfig(), false)
		if w.failed != "" {
			t.Errorf("seed %d: %s (repeat with -run TestSimulation -seed %s)", seed, w.failed, strconv.FormatUint(seed, 10))
		}
		total.acked += w.stats.acked
		total.flushed += w.stats.flushed
		total.promotions += w.stats.promotions
		total.crashes += w.stats.crashes
		total.resyncs += w.stats.resyncs
		total.reads += w.stats.reads
		total.equal += w.stats.equal
	}
	t.Logf("%d schedules: %+v", count, total)
	if total.promotions < count || total.crashes < count || total.acked < 100*count {
		t.Errorf("the schedules do too little: %+v", total)
	}
}
