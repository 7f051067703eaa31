package engine

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// simDual is about a volume that both nodes use at the same time. Every sector knows what
// was written to it; a value may be read until something is there that began after it
// had ended.
type simDual struct {
	// targets: a node is promoted in the middle of a resync, too.
	targets bool
	// resting: nothing is written while a disk is away, so that what it forgot is not overwritten before it is back.
	resting bool
	owned   [2][]uint64 // sectors of blocks that only this node writes
	shared  []uint64    // first sectors of areas that both write
	sectors map[uint64][]*dualWrite
	busy    map[uint64]bool // owned blocks that are being written
	byID    map[uint64]*dualWrite
	pending [2][]*dualWrite
	reading [2]int
	// volatile are writes of which a node has a copy that no flush has made durable.
	volatile [2][]*dualWrite
	leaving  [2]bool // its application is being stopped
	target   [2]bool // of a resync, or without a disk
	was      [2]wire.State
}

// dualWrite is a write of an application, or what was there before all of them.
type dualWrite struct {
	id      uint64
	writer  int
	sector  uint64
	sectors uint64
	shared  bool
	issued  time.Duration
	// ended is when it was answered, or its node crashed: it may not begin to count after that.
	ended   time.Duration
	acked   bool
	on      [2]bool // nodes that have it, or something newer
	durable [2]bool // and keep it in a crash
	flushed bool    // it is never lost
	arrived bool    // the peer had it
}

const (
	dualOwned = 8  // blocks for each node
	dualArea  = 64 // sectors of a shared area
	dualNever = time.Duration(1) << 62
)

// shareBlocks makes the world one in which both nodes are Primary.
func (w *world) shareBlocks() {
	d := &simDual{sectors: map[uint64][]*dualWrite{}, busy: map[uint64]bool{}, byID: map[uint64]*dualWrite{}}
	w.dual = d
	for k, b := range w.blocks[8:] {
		d.owned[k%2] = append(d.owned[k%2], b.sector)
	}
	w.blocks = nil
	d.shared = []uint64{0, metadata.ExtentSectors - dualArea/2, 2*metadata.ExtentSectors + 16} // one lies across two extents of the log
	first := &dualWrite{on: [2]bool{true, true}, durable: [2]bool{true, true}, acked: true, flushed: true, issued: -2, ended: -1}
	d.byID[0] = first
	for _, s := range d.all() {
		d.sectors[s] = []*dualWrite{first}
	}
	for i, n := range w.nodes {
		n.copies[0].disk.content().synced = func() { d.synced(i) }
	}
}

// all are the sectors that are written, in order.
func (d *simDual) all() []uint64 {
	var out []uint64
	for _, s := range slices.Concat(d.owned[0], d.owned[1]) {
		for i := range uint64(metadata.SectorsPerBit) {
			out = append(out, s+i)
		}
	}
	for _, s := range d.shared {
		for i := range uint64(dualArea) {
			out = append(out, s+i)
		}
	}
	slices.Sort(out)
	return out
}

// workDual lets the applications of both nodes do something.
func (w *world) workDual() {
	w.after(w.between(50*time.Microsecond, 2*time.Millisecond), w.workDual)
	d, n := w.dual, w.nodes[w.r.IntN(2)]
	if w.quiet || !n.up || d.leaving[n.id] || n.copies[0].e.State().Role() != wire.Primary || len(d.pending[n.id])+d.reading[n.id] > 12 {
		return
	}
	c := w.r.IntN(20)
	if d.resting && slices.ContainsFunc(w.nodes[:], func(n *simNode) bool {
		return n.broken || n.up && n.copies[0].e.State().Disk() < wire.UpToDate
	}) {
		c = 5
	}
	switch {
	case c == 0:
		w.flushDual(n)
	case c < 6:
		sector, sectors := w.anyPlace()
		w.readDual(n, sector, sectors)
	case c < 11:
		if s := d.owned[n.id][w.r.IntN(dualOwned)]; !d.busy[s] {
			d.busy[s] = true
			w.writeDual(n, s, metadata.SectorsPerBit, false)
		}
	default:
		sector, sectors := w.sharedPlace()
		w.writeDual(n, sector, sectors, true)
	}
}

// sharedPlace is a piece of an area that both nodes write: a block, or something that is
// neither aligned nor of one size.
func (w *world) sharedPlace() (sector, sectors uint64) {
	base := w.dual.shared[w.r.IntN(len(w.dual.shared))]
	if w.r.IntN(2) == 0 {
		return base + w.r.Uint64N(2)*metadata.SectorsPerBit, metadata.SectorsPerBit
	}
	sectors = 8 + w.r.Uint64N(25)
	return base + w.r.Uint64N(dualArea-sectors+1), sectors
}

func (w *world) anyPlace() (sector, sectors uint64) {
	if w.r.IntN(2) == 0 {
		return w.sharedPlace()
	}
	return w.dual.owned[w.r.IntN(2)][w.r.IntN(dualOwned)], metadata.SectorsPerBit
}

func (w *world) writeDual(n *simNode, sector, sectors uint64, shared bool) {
	d, c := w.dual, n.copies[0]
	w.seq++
	v := &dualWrite{id: uint64(w.seq), writer: n.id, sector: sector, sectors: sectors, shared: shared, issued: w.now, ended: dualNever}
	d.byID[v.id] = v
	for _, o := range d.pending[n.id] {
		if o.overlaps(v) {
			w.happened["several requests of one node on one place"]++
		}
	}
	for _, o := range d.pending[1-n.id] {
		switch {
		case !o.overlaps(v):
		case o.sector == sector && o.sectors == sectors:
			w.happened["both write one place"]++
		default:
			w.happened["both write places that overlap in part"]++
		}
	}
	if s := c.e.State(); s.Conn() == wire.SyncTarget || s.Conn() == wire.PausedSyncT {
		w.happened["the target of a resync writes"]++
	}
	d.pending[n.id] = append(d.pending[n.id], v)
	for s := sector; s < sector+sectors; s++ {
		d.prune(s)
		d.sectors[s] = append(d.sectors[s], v)
	}
	data := make([]byte, 0, sectors*metadata.SectorSize)
	for range sectors * metadata.SectorSize / 8 {
		data = binary.LittleEndian.AppendUint64(data, v.id)
	}
	n.act(func() {
		w.logf("%d writes %d at %d, %d sectors", n.id, v.id, sector, sectors)
		c.e.Write(n.clock(), c.request(&request{then: func(_ []byte, err error) { w.writtenDual(c, v, err) }}), sector, data, false)
	})
}

func (v *dualWrite) overlaps(o *dualWrite) bool {
	return v.sector < o.sector+o.sectors && o.sector < v.sector+v.sectors
}

// prune forgets what can never be read at a sector again.
func (d *simDual) prune(sector uint64) {
	began := time.Duration(-2)
	for _, v := range d.sectors[sector] {
		if v.flushed {
			began = max(began, v.issued) // it stays itself
		}
	}
	d.sectors[sector] = slices.DeleteFunc(d.sectors[sector], func(v *dualWrite) bool { return v.ended < began })
}

// end is the end of a write, whether it was answered or not.
func (d *simDual) end(v *dualWrite, now time.Duration) {
	v.ended = now
	d.pending[v.writer] = slices.DeleteFunc(d.pending[v.writer], func(o *dualWrite) bool { return o == v })
	if !v.shared {
		delete(d.busy, v.sector)
	}
}

// writtenDual is the answer to a write: it has to be on both nodes, unless the other one is
// not to be used or writes the same place.
func (w *world) writtenDual(c *simCopy, v *dualWrite, err error) {
	d := w.dual
	d.end(v, w.now)
	if err != nil {
		w.logf("%d write of %d failed: %v", c.id, v.id, err)
		w.happened["a write failed"]++
		return
	}
	w.stats.acked++
	v.acked = true
	v.on = c.holders()
	if w.badDisks && !v.arrived {
		v.on[1-c.id] = false // its disk has just failed
	}
	for i, n := range w.nodes {
		if v.on[i] = v.on[i] && n.up && n.crashed < v.issued; !v.on[i] {
			continue
		}
		disk := n.copies[0].disk.content()
		v.durable[i] = true
		for s := v.sector; s < v.sector+v.sectors; s++ {
			got := d.byID[binary.LittleEndian.Uint64(disk.sector(s))]
			if got.ended < v.issued {
				if w.badDisks && i == v.writer && c.e.State().Disk() < wire.UpToDate {
					v.on[i] = false // its disk is back, and was not there for this
					continue
				}
				if !d.competes(1-v.writer, s) || i == v.writer {
					w.fail("write %d at %d is acknowledged on node %d, but node %d has %d", v.id, s, c.id, i, got.id)
				}
				v.on[i] = false
			}
			if i != v.writer && got.writer == i {
				v.on[i] = false // it has its own instead, which it will flush for itself
			}
			v.durable[i] = v.durable[i] && disk.cache.at(s) == nil
		}
		if v.durable[i] = v.durable[i] && v.on[i]; v.on[i] && !v.durable[i] {
			d.volatile[i] = append(d.volatile[i], v)
		}
	}
	if s := c.e.State(); s.Conn() < wire.Connected && s.PeerDisk() > wire.Outdated && !v.arrived {
		w.fail("write %d is acknowledged alone, and the peer is not fenced: %v", v.id, s)
	}
	w.logf("%d acked %d at %d (on %v, durable %v)", c.id, v.id, v.sector, v.on, v.durable)
	w.compareDual(v)
}

// compareDual: as soon as nobody writes to a sector any more, both nodes have the same there.
func (w *world) compareDual(v *dualWrite) {
	for _, n := range w.nodes {
		if s := n.copies[0].e.State(); !n.up || n.conn == 0 || s.Conn() != wire.Connected || s.Disk() != wire.UpToDate || s.PeerDisk() != wire.UpToDate {
			return
		}
	}
	a, b := w.nodes[0].copies[0].disk.content(), w.nodes[1].copies[0].disk.content()
	for s := v.sector; s < v.sector+v.sectors; s++ {
		x, y := binary.LittleEndian.Uint64(a.sector(s)), binary.LittleEndian.Uint64(b.sector(s))
		if x != y && !w.dual.competes(0, s) && !w.dual.competes(1, s) {
			w.fail("all writes to sector %d are answered, and the nodes have %d and %d", s, x, y)
			return
		}
	}
}

// answered notes that the peer has a write, or decided that it need not.
func (d *simDual) answered(i int, m *wire.Message) {
	switch m.Command {
	case wire.CmdWriteAck, wire.CmdResyncWriteAck, wire.CmdSuperseded:
		for _, v := range d.pending[i] {
			v.arrived = v.arrived || v.sector == m.Sector && v.sectors*metadata.SectorSize == uint64(m.Size)
		}
	}
}

// competes tells whether a node has a write under way at a sector.
func (d *simDual) competes(i int, sector uint64) bool {
	return slices.ContainsFunc(d.pending[i], func(o *dualWrite) bool { return o.sector <= sector && sector < o.sector+o.sectors })
}

// synced: everything that is on the disk of a node is durable.
func (d *simDual) synced(i int) {
	for _, v := range d.volatile[i] {
		v.durable[i] = v.on[i]
	}
	d.volatile[i] = d.volatile[i][:0]
}

// forgot: the disk of a node has lost what was in its cache.
func (d *simDual) forgot(i int) {
	for _, v := range d.volatile[i] {
		v.on[i] = v.durable[i]
	}
	d.volatile[i] = d.volatile[i][:0]
}

// crashed: a node has lost what was in its cache, and its requests have no end.
func (d *simDual) crashed(i int, now time.Duration) {
	d.forgot(i)
	for len(d.pending[i]) > 0 {
		d.end(d.pending[i][0], now)
	}
	d.reading[i], d.leaving[i], d.target[i], d.was[i] = 0, false, false, 0
}

// must tells whether a node has to give a write, or something newer. The target of a resync, and a node without a disk,
// gives what the other one has.
func (d *simDual) must(i int, v *dualWrite) bool {
	return v.acked && (v.flushed || !d.target[i] && v.on[i] || d.target[i] && v.on[1-i])
}

func (w *world) readDual(n *simNode, sector, sectors uint64) {
	d, c, began := w.dual, n.copies[0], w.now
	d.reading[n.id]++
	n.act(func() {
		c.e.Read(n.clock(), c.request(&request{read: true, then: func(data []byte, err error) {
			d.reading[n.id]--
			if err != nil {
				w.happened["a read failed"]++
				return
			}
			w.stats.reads++
			for i := range sectors {
				w.checkSector(n.id, sector+i, data[i*metadata.SectorSize:(i+1)*metadata.SectorSize], began)
			}
		}}), sector, uint32(sectors)*metadata.SectorSize)
	})
}

// checkSector looks at what a read that began at some time found.
func (w *world) checkSector(i int, sector uint64, data []byte, began time.Duration) {
	d := w.dual
	got := d.byID[binary.LittleEndian.Uint64(data)]
	if got == nil || got.id != 0 && (sector < got.sector || sector >= got.sector+got.sectors) {
		w.fail("node %d reads %d at %d, which was never written there", i, binary.LittleEndian.Uint64(data), sector)
		return
	}
	for _, v := range d.sectors[sector] {
		if v.issued > got.ended && v.ended < began && d.must(i, v) && !d.replaced(v, sector, began) {
			w.fail("node %d reads %d at %d (ended at %v), %d was written at %v and acknowledged at %v", i, got.id, sector, got.ended, v.id, v.issued, v.ended)
			return
		}
	}
}

// replaced tells whether a write may never have been at a sector, because another one that
// took its place there was not done yet.
func (d *simDual) replaced(v *dualWrite, sector uint64, began time.Duration) bool {
	return slices.ContainsFunc(d.sectors[sector], func(o *dualWrite) bool {
		return o.writer != v.writer && o.issued < v.ended && o.ended >= began
	})
}

// flushDual: what an application wrote before is durable on every node that has it.
func (w *world) flushDual(n *simNode) {
	d, c := w.dual, n.copies[0]
	var before []*dualWrite
	seen := map[*dualWrite]bool{}
	for _, s := range d.all() {
		for _, v := range d.sectors[s] {
			if v.writer == n.id && v.acked && !v.flushed && !seen[v] && v.id != 0 {
				seen[v] = true
				before = append(before, v)
			}
		}
	}
	began := w.now
	n.act(func() {
		c.e.Flush(n.clock(), c.request(&request{then: func(_ []byte, err error) {
			if err != nil {
				return
			}
			w.stats.flushed++
			has := c.holders()
			has[n.id] = c.e.State().Disk() == wire.UpToDate
			if o := w.nodes[1-n.id]; w.badDisks && (o.broken || o.crashed >= began || o.up && !o.copies[0].e.hasDisk) {
				has[o.id] = false // its disk has just failed
			}
			for _, v := range before {
				all := true
				for i := range w.nodes {
					if has[i] && v.on[i] && !v.durable[i] {
						w.fail("write %d at %d was flushed on node %d and is not durable on node %d", v.id, v.sector, n.id, i)
					}
					all = all && (!has[i] || v.on[i])
				}
				v.flushed = v.flushed || all
			}
		}}))
	})
}

// watchDual is called after everything that a node does.
func (w *world) watchDual() {
	d := w.dual
	for i, n := range w.nodes {
		if !n.up {
			continue
		}
		s := n.copies[0].e.State()
		conn := s.Conn()
		isTarget := conn >= wire.WFBitMapT && conn <= wire.PausedSyncT && conn != wire.SyncSource && conn != wire.PausedSyncS && conn != wire.WFBitMapS
		if d.target[i] && conn == wire.Connected && s.Disk() == wire.UpToDate {
			d.equal(i)
			w.happened["resync"]++
		}
		switch {
		case isTarget:
			if !d.target[i] {
				d.overwritten(i)
			}
			d.target[i] = true
		case s.Disk() == wire.UpToDate:
			d.target[i] = false
		case s.Disk() < wire.Inconsistent && conn >= wire.Connected:
			d.target[i] = true // it reads what the other one has
		}
		if was := d.was[i]; was.Role() != wire.Primary && s.Role() == wire.Primary && s.Peer() == wire.Primary {
			w.happened["both nodes Primary"]++
			if s.Conn() > wire.Connected {
				w.happened["both nodes Primary in a resync"]++
			}
		}
		if conn == wire.StandAlone && d.was[i].Conn() > wire.StandAlone {
			w.fail("node %d stands alone: nobody would connect it again", i)
		}
		d.was[i] = s
	}
	alone := func(n *simNode) bool {
		s := n.copies[0].e.State()
		return n.up && s.Role() == wire.Primary && s.Conn() < wire.Connected && s.Disk() == wire.UpToDate && s&anySuspended == 0
	}
	if alone(w.nodes[0]) && alone(w.nodes[1]) {
		w.fail("both nodes go on alone: %v and %v", w.describe(0), w.describe(1))
	}
}

// overwritten: the target of a resync loses what its source does not have, also if it never
// gets to the end.
func (d *simDual) overwritten(i int) {
	for _, list := range d.sectors {
		for _, v := range list {
			v.on[i] = v.on[i] && v.on[1-i]
			v.durable[i] = v.durable[i] && v.on[i]
		}
	}
}

// equal is the end of a resync for its target, which notes it with everything on its disk.
func (d *simDual) equal(i int) {
	for _, list := range d.sectors {
		for _, v := range list {
			v.on[i] = v.on[1-i]
			v.durable[i] = v.on[i]
		}
	}
	d.volatile[i] = d.volatile[i][:0]
}

// conflictTold counts decisions about writes of both nodes at one place.
func (w *world) conflictTold(m *wire.Message) {
	if m.Command == wire.CmdSuperseded || m.Command == wire.CmdRetryWrite {
		w.happened[m.Command.String()]++
	}
}

// breakConflict lets the nodes decide otherwise than they should, or changes what the other
// one learns of it.
func (w *world) breakConflict(m *wire.Message) {
	if m.Command == wire.CmdData && strings.HasSuffix(w.broken, "decides about conflicts") {
		for _, n := range w.nodes {
			n.r.link.resolver = w.broken == "each node decides about conflicts"
		}
	}
	switch {
	case w.broken == "a write that has to be done again is not" && m.Command == wire.CmdRetryWrite:
		m.Command = wire.CmdSuperseded
	case w.broken == "the order across both sockets does not count" && m.Command == wire.CmdData:
		m.Seq = 0
	}
}

// noteDual looks at what a node says.
func (w *world) noteDual(i int, text string) {
	switch {
	case strings.HasPrefix(text, "cs:Timeout"):
		w.noPeace()
		w.fail("node %d waits for an answer that does not come: %v and %v", i, w.describe(0), w.describe(1))
	case strings.HasPrefix(text, "both nodes are Primary and wait"):
		w.happened["connected again before the fence"]++
	}
}
