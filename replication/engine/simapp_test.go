package engine

import (
	"bytes"
	"container/heap"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// invariants hold at every moment.
func (w *world) invariants() {
	w.stats.checks++
	a, b := w.nodes[0], w.nodes[1]
	if w.cfg.Fencing == FencingDontCare && (a.conn == 0 || a.conn != b.conn || a.up && a.r.lowest() < wire.Connected || b.up && b.r.lowest() < wire.Connected) {
		return // nobody forbids it while they do not see each other
	}
	if !a.up || !b.up {
		return
	}
	primary := func(n *simNode) bool {
		return n.r.any(func(e *Engine) bool { return e.State().Role() == wire.Primary })
	}
	if primary(a) && primary(b) {
		w.fail("two Primaries: %v and %v", w.describe(0), w.describe(1))
	}
}

// safe tells whether an acknowledged value must be found on a node. A flushed one
// must, everywhere. One that is only acknowledged must be there as long as neither
// the node lost its cache, nor a crashed writer came back and made its own disk,
// which lost its cache, the source of a resync.
func (v *value) safe(w *world, n *simCopy) bool {
	return v.acked && (v.flushed || v.holders[n.id] && n.crashed < v.issued && (w.nodes[n.id].copies[v.volume].target < v.issued || w.nodes[v.writer].crashed < v.issued))
}

// newest are the values that may be read on a node: the last one that must be there
// and all that were written after it.
func (b *block) newest(n *simCopy) []uint64 {
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
func (n *simCopy) completed(f Effect) {
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
		if peer := w.nodes[1-n.id].copies[n.index]; !w.weak && q.v.holders[1-n.id] && peer.up {
			if got := binary.LittleEndian.Uint64(peer.disk.sector(q.block.sector)); got != q.v.n {
				w.fail("write %d of block %d is acknowledged, but the peer's disk has %d", q.v.n, q.block.sector, got)
			}
		}
		if s := n.e.State(); !w.weak && !q.v.arrived && w.cfg.Fencing == FencingStonith && s.Conn() < wire.Connected && s.PeerDisk() > wire.Outdated {
			w.fail("write %d is acknowledged alone, and the peer is not fenced: %v", q.v.n, s)
		}
		if peer := w.nodes[1-n.id].copies[n.index]; !w.weak && !q.v.arrived && w.only != n.id && peer.up && peer.e.State().Disk() > wire.Outdated {
			w.fail("write %d is acknowledged, and the peer could be promoted without it: %v and %v", q.v.n, n.e.State(), peer.e.State())
		}
		w.logf("%d acked %d at %d (holders %v)", n.id, q.v.n, q.block.sector, q.v.holders)
	}
}

func (w *world) checkRead(n *simCopy, b *block, data []byte) {
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
func (n *simCopy) holders() (h [2]bool) {
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
	if !w.nodes[w.primary].up {
		return
	}
	b := w.blocks[w.r.IntN(len(w.blocks))]
	n := w.nodes[w.primary].copies[b.volume]
	switch c := w.r.IntN(20); {
	case c == 0:
		var vs []*value
		for _, o := range w.blocks {
			if o.volume != b.volume {
				continue
			}
			for _, v := range o.history {
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
		v := &value{n: uint64(w.seq), volume: b.volume, issued: w.now}
		b.history = append(b.history, v)
		tag := n.request(&request{block: b, v: v})
		w.logf("%d writes %d at %d", n.id, v.n, b.sector)
		n.e.Write(w.now, tag, b.sector, payload(v.n), false)
	}
	n.do()
}

func (n *simCopy) request(q *request) uint64 {
	n.nextTag++
	n.requests[n.nextTag] = q
	return n.nextTag
}

// manage is the cluster manager: it keeps one node promoted.
func (w *world) manage() {
	w.after(w.between(100*time.Millisecond, 800*time.Millisecond), w.manage)
	if w.pausing {
		w.pauseOrResume()
	}
	if w.badDisks || w.attended {
		w.administer()
	}
	if w.primary >= 0 {
		if n := w.nodes[w.primary]; n.up && w.r.IntN(15) == 0 && !w.cut {
			// Move the application: stop it, demote.
			w.logf("%d shall be demoted", n.id)
			w.primary = -1
			n.demote(len(n.copies) - 1)
		}
		return
	}
	n := w.nodes[w.r.IntN(2)]
	if w.only >= 0 && n.id != w.only {
		return
	}
	if !n.up || n.r.any(func(e *Engine) bool { return e.State().Disk() < wire.Outdated }) && w.stats.promotions > 0 && !w.nothingYet() {
		return
	}
	if w.stats.promotions == 0 && (n.r.lowest() != wire.Connected || n.id != 0 && !w.wild) {
		return // two forced promotions are two wishes for different data
	}
	n.promote(0)
}

// nothingYet tells whether both nodes are as new, although one was promoted by force: its
// disk failed before anything was written.
func (w *world) nothingYet() bool {
	for _, n := range w.nodes {
		if !n.up || n.r.any(func(e *Engine) bool {
			return e.State().Disk() != wire.Inconsistent || e.State().Conn() != wire.Connected || e.Generations().Current&^metadata.PrimaryMark != metadata.JustCreated
		}) {
			return false
		}
	}
	return w.stats.promotions > 0
}

// promote promotes the volumes of a node one after the other, from the given one on.
// When one is refused, the others are taken back.
func (n *simNode) promote(v int) {
	w, life := n.w, n.life
	// The very first promotion decides whose empty data is the data.
	n.copies[v].e.Promote(w.now, w.stats.promotions == 0 && !w.settled || w.nothingYet(), n.reply(func(r wire.Result) {
		w.logf("%d promotion of volume %d: %v", n.id, v, r)
		if !n.up || n.life != life {
			return
		}
		w.after(0, func() {
			switch {
			case !n.up || n.life != life || w.primary >= 0:
			case !r.OK() && v > 0:
				n.demote(v - 1)
			case !r.OK():
			case v+1 < len(n.copies):
				n.promote(v + 1)
			case n.copies[0].e.State().Role() == wire.Primary:
				w.takeOver(n)
			}
		})
		if r.OK() && v+1 == len(n.copies) {
			w.stats.promotions++
		}
	}))
	n.do()
}

// demote demotes the volumes of a node one after the other, down from the given one.
// What cannot be demoted now is promoted again.
func (n *simNode) demote(v int) {
	w, life := n.w, n.life
	n.copies[v].e.Demote(w.now, n.reply(func(r wire.Result) {
		switch {
		case !r.OK() && v+1 == len(n.copies):
			w.primary = n.id
		case !n.up || n.life != life:
		case !r.OK():
			w.after(0, func() {
				if n.up && n.life == life && w.primary < 0 {
					n.promote(0)
				}
			})
		case v > 0:
			w.after(0, func() {
				if n.up && n.life == life && w.primary < 0 {
					n.demote(v - 1)
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
		c := n.copies[b.volume]
		c.e.Read(w.now, c.request(&request{block: b, read: true}), b.sector, metadata.BlockSize)
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
			n.r.ConnectionLost(w.now)
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
	kinds := 5
	if w.badDisks {
		kinds = 8
	}
	switch w.r.IntN(kinds) {
	case 5, 6, 7:
		w.nodes[w.r.IntN(2)].breakDisk()
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
			n.r.ConnectionLost(w.now)
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
	return simulateFor(t, seed, cfg, verbose, *simSpan)
}

// simulateFor is simulate for a given time; a negative one lets either node be
// promoted by force at first, which early failed schedules did.
func simulateFor(t testing.TB, seed uint64, cfg Config, verbose bool, span time.Duration) *world {
	return simulateBroken(t, seed, cfg, verbose, span, "")
}

func simulateBroken(t testing.TB, seed uint64, cfg Config, verbose bool, span time.Duration, broken string) *world {
	return simulateVolumes(t, seed, cfg, verbose, span, broken, 1)
}

func simulateVolumes(t testing.TB, seed uint64, cfg Config, verbose bool, span time.Duration, broken string, volumes int) *world {
	w := newWorld(t, seed, cfg, verbose, volumes)
	w.broken = broken
	if broken == "" && span > 0 && seed%8 != 0 {
		w.settle()
	}
	w.wild = span < 0
	w.weak = cfg.Protocol != ProtocolC || cfg.Fencing != FencingStonith
	w.play(max(span, -span))
	return w
}

// play is the schedule itself: trouble for some time, then peace.
func (w *world) play(span time.Duration) {
	for _, n := range w.nodes {
		n.boot()
	}
	w.after(0, w.manage)
	w.after(0, w.work)
	w.after(min(3*time.Second, span/3), w.trouble)
	w.run(span)
	if w.failed == "" {
		w.peace()
	}
}

// settle lets a schedule begin with nodes that are in sync already: a first full sync
// of empty disks shows little and takes long.
func (w *world) settle() {
	w.settled = true
	for v := range w.volumes {
		w.settleVolume(v)
	}
}

func (w *world) settleVolume(v int) {
	u := w.r.Uint64() | 16
	for _, node := range w.nodes {
		n := node.copies[v]
		a, err := metadata.Open(n.disk, simVolume, metadata.Internal)
		if err != nil {
			w.t.Fatal(err)
		}
		s := a.Super
		s.UUID = metadata.Generations{Current: u &^ 1}
		s.Flags |= metadata.FlagConsistent | metadata.FlagWasUpToDate
		s.AgreedSectors = a.Layout.DataSectors
		if err := a.WriteSuperblock(s); err != nil {
			w.t.Fatal(err)
		}
	}
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
			for _, c := range n.copies {
				s := c.e.State()
				if s.Conn() != wire.Connected || s.Disk() != wire.UpToDate || s.PeerDisk() != wire.UpToDate || len(c.requests) > 0 || c.e.OutOfSync() > 0 {
					return false
				}
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
		for _, n := range append(append([]*simCopy(nil), w.nodes[0].copies...), w.nodes[1].copies...) {
			if n.up {
				w.logf("%d: %v bits=%d requests=%d waiting=%d active=%d log=%d %X", n.id, n.e.State(), n.e.OutOfSync()/8, len(n.requests),
					len(n.e.waiting), len(n.e.active), len(n.e.sending.log), n.e.Generations())
				for _, o := range slices.Concat(n.e.active, n.e.waiting) {
					w.logf("  kind %d at %d, %d bytes, tag %d: local %d net %d logged %v held %v completed %v dropped %v", o.kind, o.sector, o.size, o.tag,
						o.local, o.net, o.logged, o.held, o.completed, o.dropped)
				}
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
	for v, c := range a.copies {
		if sector, differs := c.disk.differs(b.copies[v].disk, c.area.Layout.DataSectors); differs {
			w.fail("sector %d of volume %d differs after the resync", sector, v)
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
	var out []string
	for _, c := range w.nodes[i].copies {
		out = append(out, c.e.State().String())
	}
	return strings.Join(out, " and ")
}
