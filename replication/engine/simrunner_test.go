package engine

import (
	"slices"
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

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
		if err := n.area.WriteLog(f.Log); err != nil && !n.powerless() {
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
			if s.Conn() == wire.SyncTarget || s.Conn() == wire.PausedSyncT { // which reads from the source, too
				c.target = w.now
			}
			if s.Conn() == wire.PausedSyncT || s.Conn() == wire.Behind || c.e.beginSync != nil || n.broken || n.hung > w.now || c.e.sending.giveUp ||
				s.Conn() == wire.Connected && w.cfg.MaxVersion != 0 {
				w.stats.unusual++
			}
		}
		if w.broken == "messages overtake metadata" {
			slices.SortStableFunc(effects, func(a, b Effect) int { return int(a.Kind) - int(b.Kind) }) // Send is the first
		}
		for _, f := range effects {
			if !n.up {
				return
			}
			if n.doomed == 1 {
				w.did("power lost before what follows new metadata")
				n.crash()
				return
			}
			n.doomed = max(0, n.doomed-1)
			n.copies[f.Volume].carryOut(f)
		}
		for _, c := range n.copies {
			if n.up && c.metaFailed {
				c.metaFailed = false
				c.e.MetaFailed(n.clock())
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
		if n.process != nil {
			n.queueBelow(f)
			return
		}
		if f.Kind == WriteLog && w.broken != "bitmap not written" {
			if f.Flush && w.broken != "bits cleared before the data is durable" {
				_ = n.disk.Sync()
			}
			n.light(60, 1+len(f.Pages))
			if err := n.area.WritePages(n.e.Bitmap(), f.Pages); err != nil && !n.powerless() {
				w.fail("node %d: %v", n.id, err)
			}
			if len(f.Pages) > 0 {
				_ = n.disk.Sync()
			}
			if n.powerLost("before a transaction of the log") {
				return
			}
		}
		if w.broken == "writes reported before they are done" && f.Kind == WriteDisk {
			n.early(f)
			return
		}
		n.diskBusy[f.Tag] = f
		if f.Kind == WriteDisk && (w.badDisks || w.commanding) {
			f.Data = slices.Clone(f.Data) // of a disk that was given up, it is used again
		}
		w.after(max(0, n.hung-w.now)+w.diskTime(), func() {
			if !n.up || n.life != life {
				return
			}
			delete(n.diskBusy, f.Tag)
			n.act(func() {
				if f.Kind == WriteLog && !n.broken {
					n.light(60, 2)
					data := n.apply(f)
					if !n.powerLost("in a transaction of the log") {
						n.e.DiskDone(w.now, f.Tag, data, nil)
					}
					return
				}
				if n.broken {
					n.noticed = true
					if w.broken == "a disk that fails and does not say so" && f.Kind != ReadDisk {
						n.e.DiskDone(w.now, f.Tag, nil, nil)
						return
					}
					n.e.DiskDone(w.now, f.Tag, nil, errBroken)
					return
				}
				n.e.DiskDone(w.now, f.Tag, n.apply(f), nil)
			})
		})
	case Persist:
		if n.process != nil {
			n.persistBelow(f)
			return
		}
		if n.broken {
			n.noticed, n.metaFailed = true, true
			return
		}
		odds := 400
		if w.broken == "metadata durable before the data" {
			odds = 30 // that is when it shows
		}
		if w.r.IntN(odds) == 0 && w.mayFail() {
			n.crash() // just before
			return
		}
		n.light(40, 4+len(f.Pages))
		if w.broken != "metadata durable before the data" {
			_ = n.disk.Sync()
		}
		if w.broken == "bitmap not written" {
			f.Pages = nil
		}
		if err := n.area.WritePages(n.e.Bitmap(), f.Pages); err != nil && !n.powerless() {
			w.fail("node %d: %v", n.id, err)
		}
		if w.cutting {
			_ = n.disk.Sync()
		}
		if w.broken == "generations not written" {
			f.Super.UUID = n.area.Super.UUID
		}
		if w.broken == "flags not written" {
			f.Super.Flags = n.area.Super.Flags
		}
		if w.r.IntN(odds) == 0 && w.mayFail() {
			n.crash() // between bitmap and super block
			return
		}
		if err := n.area.WriteSuperblock(f.Super); err != nil && !n.powerless() {
			w.fail("node %d: %v", n.id, err)
		}
		if n.powerLost("while metadata are written") {
			return
		}
		if w.split != nil {
			w.split.noted(n.simNode, f.Super)
		}
		if w.cutting && !w.quiet && n.doomed == 0 && w.r.IntN(80) == 0 && w.mayFail() {
			n.doomed = 1 + w.r.IntN(4)
		}
		if w.r.IntN(odds) == 0 && w.mayFail() {
			n.crash() // just after
			return
		}
		if w.commanding && n.e.State().Disk() == wire.Inconsistent && f.Super.Flags&(metadata.FlagFullSync|metadata.FlagConsistent) == metadata.FlagFullSync {
			n.invalidated()
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
		if f.Name == "out-of-sync" {
			w.did("a verify found a difference")
			if !w.corrupting && !w.weak {
				w.fail("node %d found a difference in a verify, and nobody made one", n.id)
			}
		}
		if f.Name == "pri-lost-after-sb" {
			// Two Primaries, of which this one shall give way: the handler restarts the node, and
			// a person connects the other one, which stands alone.
			w.attended = true
			w.after(w.between(100*time.Millisecond, time.Second), func() {
				if n.up && n.life == life {
					n.crash()
				}
			})
		}
		if f.Name == "fence-peer" {
			var fence func()
			fence = func() {
				if !n.up || n.life != life {
					return
				}
				if w.measuring { // the peer is back, and must not be lost now
					w.after(time.Millisecond, fence)
					return
				}
				code := 1
				if w.broken == "a fence that does not fence" {
					n.act(func() { n.r.HandlerDone(n.clock(), "fence-peer", fencePeerStonithed) })
					return
				}
				if w.oneFault && n.conn != 0 && (w.dual == nil || n.copies[0].e.State().Disk() < wire.UpToDate) {
					// It is back, and may have the only good disk by now.
					n.act(func() { n.r.HandlerDone(n.clock(), "fence-peer", code) })
					return
				}
				if w.only < 0 || w.only == n.id {
					// Only this node may be promoted from now on, and the peer is
					// switched off.
					w.did("fenced")
					w.logf("%d fences its peer", n.id)
					w.only = n.id
					w.nodes[1-n.id].powerOff()
					code = fencePeerStonithed
				}
				n.act(func() { n.r.HandlerDone(n.clock(), "fence-peer", code) })
			}
			w.after(w.between(100*time.Millisecond, time.Second), fence)
		}
		if f.Name == "before-resync-target" || f.Name == "before-resync-source" {
			w.after(w.between(time.Millisecond, 50*time.Millisecond), func() {
				if n.up && n.life == life {
					code := 0
					if w.r.IntN(30) == 0 && !w.quiet {
						code = 1
					}
					n.act(func() { n.e.HandlerDone(n.clock(), f.Name, code) })
				}
			})
		}
		if f.Name == "unfence-peer" {
			w.after(w.between(0, 500*time.Millisecond), func() {
				if !n.up || n.life != life {
					return
				}
				if w.only == n.id {
					w.stats.resyncs++
					w.only = -1
				}
				n.act(func() { n.r.HandlerDone(n.clock(), f.Name, 0) })
			})
		}
	case OpenConnection:
		n.opening = true
		w.after(w.between(10*time.Millisecond, 300*time.Millisecond), w.dial)
	case CloseConnection:
		n.opening = false
		n.hangUp()
	case Note:
		w.logf("%d %s", n.id, f.Name)
		if w.dual != nil {
			w.noteDual(n.id, f.Name)
		}
		if f.Name == "online verify done" || f.Name == "resync of what was added to the volume" {
			w.happened[f.Name]++
		}
		if f.Name == "resync done" && w.split != nil {
			w.split.ended[n.id] = resyncEnd{w.conn, w.now}
		}
		if f.Name == "resync done" && w.split != nil && !w.quiet && !w.cut && w.r.IntN(4) == 0 {
			w.cutFor(4 * time.Second) // one node knows that they are equal, the other one does not
		}
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
			n.act(func() { n.e.DiskDone(w.now, f.Tag, nil, nil) })
		}
	})
	w.after(w.between(20*time.Millisecond, 200*time.Millisecond), func() {
		if n.up && n.life == life {
			n.apply(f)
		}
	})
}
