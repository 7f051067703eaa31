package engine

import "gcrm/replication/wire"

// loseLink is the end of the connection for one volume.
func (e *Engine) loseLink(ns wire.State, wasUp bool) {
	if e.onTrial && e.hasDisk {
		ns = ns.WithDisk(e.beforeTrial)
	}
	e.onTrial = false
	if wasUp {
		// A target that got everything may call itself UpToDate before we hear of it:
		// it is not to be taken for one that cannot be promoted.
		if c := e.state.Conn(); (c == wire.SyncSource || c == wire.PausedSyncS) && e.targetMayBeDone() {
			ns = ns.WithPeerDisk(wire.DUnknown)
			if e.unheard = endLikely; e.resync.total == 0 {
				e.unheard = endOfNothing
			}
		}
		if e.unbegun {
			ns = ns.WithPeerDisk(wire.DUnknown)
		}
		if e.state.Peer() == wire.Primary {
			// Whatever its disk is, it reads what is there of it until it is out of the way.
			ns = ns.WithPeerDisk(wire.DUnknown)
		}
		if e.untold {
			ns = ns.WithPeerDisk(wire.DUnknown)
			if e.super.UUID.Bitmap != 0 {
				e.unheard = endUnlikely
			}
		}
		e.beforeLoss()
	}
	if e.peer.equal {
		ns = ns.WithPeerDisk(wire.DUnknown)
	}
	e.untold, e.peer.equal = false, false
	e.keepAdded()
	e.change(ns, hard)
	if e.hasDisk && e.state.Disk() == wire.Diskless {
		e.abandonDisk() // it was being attached, and its data is old
	}
	if wasUp {
		e.afterLoss()
	}
}

// outdated is the state with the disks that val, within mask, says to be outdated. A disk that
// is worse stays that.
func (e *Engine) outdated(mask, val wire.State) wire.State {
	ns := e.state
	if mask&wire.MaskDisk != 0 {
		ns = ns.WithDisk(min(ns.Disk(), val.Disk()))
	}
	if mask&wire.MaskPeerDisk != 0 {
		ns = ns.WithPeerDisk(min(ns.PeerDisk(), val.PeerDisk()))
	}
	return ns
}

// beforeLoss marks what the peer may not have, while the old state is still known.
func (e *Engine) beforeLoss() {
	if !e.hasDisk {
		return
	}
	for _, o := range e.sending.log {
		if o.kind == appWrite && !o.dropped {
			e.bitmap.SetSectors(o.sector, o.sectors())
		}
	}
}

// peerLostDisk marks what the peer may have had in the cache of a disk it lost. A node
// of gcrm takes its acknowledgements back, too; the kernel does not. What is marked needs no extent of the activity log
// any more: of two Primaries the other one may wait for the answer to a write of its own, which without its disk needs
// one, too, before it answers ours.
func (e *Engine) peerLostDisk() {
	e.beforeLoss()
	for _, o := range e.sending.log {
		if o.kind == appWrite && !o.dropped && o.completed && !e.storedHere(o) {
			e.mayBeGone()
		}
		o.clearsNothing()
		if o.local == partOK {
			e.releaseLog(o)
		}
	}
}

// mayBeGone is heard when something that applications have an answer for was on no good disk but one that
// may have lost it from its cache. All flushes fail until one that began after that has.
func (e *Engine) mayBeGone() { e.sending.losses++ }

// afterLoss ends the peer's half of all requests once the new state is known.
func (e *Engine) afterLoss() {
	s := &e.sending
	log := s.log
	s.log, s.inFlight, s.giveUp = nil, 0, false
	for _, o := range log {
		o.dropped = true
		switch {
		case o.kind == appRead:
			if o.held {
				s.log = append(s.log, o)
				continue
			}
			o.inLog, o.net, o.restarted = false, partNone, !e.hasDisk
			e.runRead(o)
		case o.held:
			s.log = append(s.log, o)
		default:
			o.inLog = false
			wasPending := o.net == partPending
			if wasPending {
				o.net = partFailed
			}
			switch {
			case o.local == partPending:
				// Settled by DiskDone. The peer may have answered, but its epoch is not
				// confirmed.
				o.clearsNothing()
			case wasPending:
				e.settleWrite(o)
			default:
				// Answered, but its epoch is not confirmed: the peer may lose it.
				if !e.storedHere(o) {
					e.mayBeGone()
				}
				o.net = partFailed
				e.retire(o)
			}
		}
	}
	for _, f := range append([]*op(nil), s.flushes...) {
		e.settleFlush(f)
	}
	e.dropPeerWork()
	e.pump()
}

// releaseHeld completes what a suspension held back, once it is over.
func (e *Engine) releaseHeld() {
	if e.state&anySuspended != 0 {
		return
	}
	s := &e.sending
	log := s.log
	s.log = nil
	var again []*op
	for _, o := range log {
		if !o.held {
			s.log = append(s.log, o)
			continue
		}
		again = append(again, o)
	}
	for _, o := range again {
		o.held, o.inLog = false, false
		switch {
		case o.kind == appRead:
			e.runRead(o)
		case e.stored(o):
			e.complete(o, nil, nil)
			e.retire(o)
		case e.link.up && e.state.PeerDisk() == wire.UpToDate, o.undone && e.state.Disk() == wire.UpToDate:
			// It waited for good data, which the peer has, or which came back from there.
			e.releaseLog(o)
			e.restart(o)
		default:
			e.complete(o, nil, ErrIO)
			e.retire(o)
		}
	}
	for _, f := range append([]*op(nil), s.flushes...) {
		e.settleFlush(f)
	}
	e.pump()
}
