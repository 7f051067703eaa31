package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// invariants hold at every moment.
func (w *world) invariants() {
	w.stats.checks++
	if w.split != nil {
		w.watch()
	}
	for _, n := range w.nodes {
		for _, c := range n.copies {
			c.lookForData()
		}
	}
	if w.dual != nil {
		w.watchDual()
		return
	}
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

// lookForData notes when a Primary has no good data within reach.
func (n *simCopy) lookForData() {
	if !n.up {
		return
	}
	if n.w.broken == "losses are forgotten" {
		n.e.sending.losses = 0
	}
	s, peer := n.e.State(), n.w.nodes[1-n.id]
	failed := peer.up && (peer.broken || !peer.copies[n.index].e.hasDisk) // which this node may not know yet
	if s.Role() == wire.Primary && (s.Disk() < wire.UpToDate || !n.e.hasDisk) && (failed || s.Conn() < wire.Connected || s.Conn() >= wire.Ahead || s.PeerDisk() < wire.UpToDate) {
		n.doubtful, n.doubted = true, n.w.now
	}
}

// flushEnded tells whether a flush may have ended so: it fails only if good data was out of reach, and nobody had been
// told of that when it began.
func (n *simCopy) flushEnded(q *request, err error) bool {
	n.lookForData()
	switch {
	case err == nil:
		n.doubtful = false
	case q.began <= n.doubted:
		n.told = n.w.now // perhaps: those that are under way fail, too
	case q.began <= n.told:
	case n.doubtful:
		n.doubtful, n.told = false, n.w.now
	default:
		return false
	}
	return true
}

// safe tells whether an acknowledged value must be found on a node. A flushed one
// must, everywhere. One that is only acknowledged must be there as long as neither
// the node lost its cache, nor a crashed writer came back and made its own disk,
// which lost its cache, the source of a resync.
func (v *value) safe(w *world, n *simCopy) bool {
	return v.acked && (v.flushed || w.kept(v.trace, n) && (n.process == nil || v.below != nil && w.stack.keptBelow(*v.below)))
}

// kept tells whether a node must still have what it had once. A resource on top has no
// cache of its own.
func (w *world) kept(v trace, n *simCopy) bool {
	if w.stripping && w.nodes[1-n.id].crashed >= v.issued {
		return false // the disk here may have been away, and the other one was what counted
	}
	return v.holders[n.id] && (n.process != nil || n.crashed < v.issued) && (n.target < v.issued || w.nodes[v.writer].crashed < v.issued && (!w.commanding || w.nodes[1-n.id].crashed < v.issued))
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
	n.heldBack(q, f.Err)
	switch {
	case q.then != nil:
		q.then(f.Data, f.Err)
	case q.read:
		if f.Err == nil {
			w.checkRead(n, q.block, f.Data)
		}
		q.block.busy = false
	case q.flush != nil:
		if f.Err == nil {
			for _, v := range q.flush {
				v.flushed = true
			}
		} else {
			for _, v := range q.behind {
				v.doubted = true
			}
		}
		if !n.flushEnded(q, f.Err) && errors.Is(f.Err, ErrIO) {
			w.fail("a flush on node %d failed, and good data was within reach since the last one: %v", n.id, n.e.State())
		}
		if f.Err == nil {
			w.stats.flushed++
			w.logf("%d flushed", n.id)
		} else {
			w.logf("%d flush failed: %v", n.id, f.Err)
			if n.e.mirrors() || n.e.State().Disk() == wire.UpToDate {
				w.did(flushFailed)
			}
		}
	default:
		q.block.busy = false
		if f.Err != nil {
			w.logf("%d write of %d failed: %v", n.id, q.v.n, f.Err)
			return
		}
		w.stats.acked++
		q.v.acked, q.v.tenure = true, w.tenure
		q.v.holders, q.v.writer = n.holders(), n.id
		if (w.oneFault || w.stripping || w.commanding || w.stack != nil && w.stack.lower.happened[errorOnTop] > 0) && !q.v.arrived {
			q.v.holders[1-n.id] = false // its disk has just failed
		}
		if peer := w.nodes[1-n.id].copies[n.index]; !w.weak && q.v.holders[1-n.id] && peer.up && !(w.commanding && peer.e.State().Disk() == wire.Inconsistent) { // thrown away since
			if got := binary.LittleEndian.Uint64(peer.disk.content().sector(q.block.sector)); got != q.v.n {
				w.fail("write %d of block %d is acknowledged, but the peer's disk has %d", q.v.n, q.block.sector, got)
			}
		}
		if s := n.e.State(); !w.weak && !q.v.arrived && w.cfg.Fencing == FencingStonith && s.Conn() < wire.Connected && s.PeerDisk() > wire.Outdated {
			w.fail("write %d is acknowledged alone, and the peer is not fenced: %v", q.v.n, s)
		}
		if peer := w.nodes[1-n.id].copies[n.index]; !w.weak && !q.v.arrived && w.only != n.id && peer.up && peer.e.State().Disk() > wire.Outdated && !peer.e.leaving &&
			!(w.commanding && binary.LittleEndian.Uint64(peer.disk.content().sector(q.block.sector)) == q.v.n) { // it came by a resync
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
	// But not for the target of a resync: the source, the only good disk, may have lost it from its
	// cache, and nobody has noticed yet.
	if !v.safe(w, n) && n.e.State().Disk() != wire.Inconsistent {
		v.acked, v.trace = true, trace{w.now, n.holders(), n.id}
		if n.process != nil {
			v.below = w.stack.traceBelow(w.now)
		}
	}
}

// holders are the nodes that have what this one acknowledges now.
func (n *simCopy) holders() (h [2]bool) {
	s := n.e.State()
	h[n.id] = s.Disk() > wire.Negotiating
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
		var vs, answered []*value
		// What the application has an answer for, and no flush has failed since.
		all := !w.weak
		for _, q := range n.requests {
			all = all && q.flush == nil // which may be the one that fails
		}
		for _, o := range w.blocks {
			if o.volume != b.volume {
				continue
			}
			for _, v := range o.history {
				mine := v.tenure == w.tenure
				if mine {
					answered = append(answered, v)
				}
				if v.safe(w, n) || all && mine && !v.doubted {
					vs = append(vs, v)
				}
			}
		}
		if vs == nil {
			return
		}
		n.act(func() { n.e.Flush(n.clock(), n.request(&request{flush: vs, behind: answered})) })
	case b.busy:
		return
	case c < 6:
		b.busy = true
		n.act(func() { n.e.Read(n.clock(), n.request(&request{block: b, read: true}), b.sector, metadata.BlockSize) })
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
		v := &value{n: uint64(w.seq), volume: b.volume, trace: trace{issued: w.now}}
		b.history = append(b.history, v)
		if w.stack != nil {
			w.stack.values[v.n] = v
		}
		n.act(func() {
			w.logf("%d writes %d at %d", n.id, v.n, b.sector)
			n.e.Write(n.clock(), n.request(&request{block: b, v: v}), b.sector, payload(v.n), false)
		})
	}
}

func (n *simCopy) request(q *request) uint64 {
	n.nextTag++
	n.requests[n.nextTag] = q
	q.began = n.w.now
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
		odds := 15
		if w.parting {
			odds = 2
		}
		if n := w.nodes[w.primary]; n.up && w.r.IntN(odds) == 0 && !w.cut {
			// Move the application: stop it, demote.
			w.logf("%d shall be demoted", n.id)
			if w.stack != nil && w == w.stack.lower {
				w.stack.leave(func() {
					w.primary = -1
					n.demote(len(n.copies) - 1)
				})
				return
			}
			w.primary = -1
			if w.parting {
				w.part(n)
			}
			n.demote(len(n.copies) - 1)
		}
		return
	}
	n := w.nodes[w.r.IntN(2)]
	if w.only >= 0 && n.id != w.only || n.process != nil && w.stack.moving {
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

// part lets something break while a node is being demoted, or has just been.
func (w *world) part(n *simNode) {
	if n.r.any((*Engine).unconfirmed) {
		w.did("demoted in the middle of an epoch")
	}
	w.after(w.between(0, 6*time.Millisecond), func() {
		what := w.r.IntN(5)
		if w.quiet || w.cut || !w.mayFail() {
			return
		}
		w.did("something broke at a demotion")
		if what >= 3 {
			w.cutFor(2 * time.Second)
		}
		if what == 0 || what == 2 || what == 4 {
			n.crash()
		}
		if what == 1 || what == 2 {
			w.nodes[1-n.id].crash()
		}
	})
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
	reply := n.reply(func(r wire.Result) {
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
	})
	n.act(func() {
		n.copies[v].e.Promote(n.clock(), w.stats.promotions == 0 && !w.settled || w.nothingYet(), reply)
	})
}

// demote demotes the volumes of a node one after the other, down from the given one.
// What cannot be demoted now is promoted again.
func (n *simNode) demote(v int) {
	w, life, before := n.w, n.life, n.w.stats.promotions
	reply := n.reply(func(r wire.Result) {
		switch {
		case !r.OK() && w.stats.promotions != before: // the other node has been promoted since
		case !r.OK() && v+1 == len(n.copies):
			w.primary = n.id
			if w.stack != nil && w == w.stack.lower {
				w.stack.owner = n.id // the side on top may start here again at once
			}
		case !n.up || n.life != life:
		case !r.OK():
			w.after(20*time.Millisecond, func() { // it may be suspended
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
	})
	n.act(func() { n.copies[v].e.Demote(n.clock(), reply) })
}

// takeOver reads everything before the application goes on, as a journal replay does.
func (w *world) takeOver(n *simNode) {
	w.primary = n.id
	w.tenure++
	n.act(func() {
		for _, b := range w.blocks {
			if b.busy {
				continue
			}
			b.busy = true
			c := n.copies[b.volume]
			c.e.Read(n.clock(), c.request(&request{block: b, read: true}), b.sector, metadata.BlockSize)
		}
	})
}
