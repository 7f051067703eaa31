package engine

import (
	"fmt"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// receiveState takes the peer's state: the end of the handshake, or news.
func (e *Engine) receiveState(ps wire.State) {
	os := e.state
	if os.Conn() < wire.WFReportParams {
		return
	}
	e.peer.state = ps
	e.unbegun = e.unbegun && !e.peerKnowsItIsTarget()
	disk := ps.Disk()
	if disk == wire.Negotiating {
		disk = wire.Consistent
		if e.peer.uuids != nil && e.peer.uuids.Flags&wire.UUIDInconsistent != 0 {
			disk = wire.Inconsistent
		}
	}
	if older := e.olderAttach; older && os.Conn() >= wire.Connected {
		e.olderAttach = false
		if ps.Disk() == wire.Negotiating {
			e.refuse("this Primary worked with newer data")
			return
		}
	}
	if os.Disk() == wire.Negotiating && os.Conn() >= wire.Connected {
		switch {
		case e.peer.uuids != nil && ps.Conn() >= wire.Connected && ps.PeerDisk() == wire.Diskless:
			e.refuse("the peer does not accept this data")
			return
		case disk < wire.Inconsistent && e.workedWithNewer(e.super.UUID.Current):
			// The peer's disk, which has the data, went away meanwhile.
			e.refuse("this Primary works with newer data than the disk has")
			return
		}
	}
	if os.Conn() == wire.WFReportParams && (!e.agreed || e.peer.sizes == nil) {
		e.protocolError("state before the settings")
		return
	}
	if os.Conn() == wire.WFReportParams && ps.Disk() >= wire.Inconsistent && e.peer.uuids == nil {
		e.protocolError("the peer has a disk and does not tell the identifiers of its data")
		return
	}
	if os.PeerDisk() == wire.Inconsistent && disk == wire.UpToDate && os.Disk() == wire.UpToDate && os.Conn() > wire.Connected {
		switch {
		case ps.Conn() > wire.Connected && ps.Conn() < wire.SyncSource:
			disk = wire.Inconsistent
		case inSync(os.Conn()) && ps.Conn() == wire.Connected:
			e.resync.peerDone = true
			e.maybeFinishSource()
			return
		}
	}
	ns := os
	if os.Conn() == wire.VerifyT && ps.Conn() == wire.Connected {
		ns = ns.WithConn(wire.Connected) // the peer has compared everything
	}
	if ns.Conn() == wire.WFReportParams {
		ns = ns.WithConn(wire.Connected)
	}
	if ps.Conn() == wire.Ahead && os.Conn() >= wire.Connected && os.Conn() != wire.Behind {
		ns = ns.WithConn(wire.Behind)
	}
	if e.hasDisk && disk >= wire.Inconsistent && e.peer.uuids != nil {
		fresh := os.Conn() < wire.Connected
		forced := os.Conn() == wire.Connected && os.Disk() == wire.Inconsistent && disk == wire.UpToDate &&
			(e.considerResync || os.PeerDisk() == wire.Inconsistent)
		asked := os.Conn() == wire.Connected && ps.Conn() >= wire.StartingSyncS && ps.Conn() <= wire.WFBitMapT
		attaching := os.Conn() == wire.Connected && (os.Disk() == wire.Negotiating || ps.Disk() == wire.Negotiating)
		if attaching && ps.Disk() == wire.Negotiating {
			e.crashed = e.crashed || e.missesHeld() // as when nodes meet, see introduce
		}
		if fresh || forced || asked || attaching {
			conn, ok := e.settle(ps, disk)
			if !ok {
				return
			}
			if fresh && conn == wire.Connected && e.state.Disk() > wire.Inconsistent && disk > wire.Inconsistent && e.grewUnseen(ps.Role()) {
				// Identifiers do not tell of it: as a crashed Primary this node is the source.
				e.note("resync of what was added to the volume")
				conn, e.crashed = wire.WFBitMapS, true
				e.persist()
				e.sendUUIDs()
			}
			ns = e.state.WithConn(conn)
		}
	}
	if ns.Disk() == wire.Negotiating && (e.peer.uuids != nil || disk < wire.Negotiating) {
		ns = ns.WithDisk(e.attachAs)
		if ns.Conn() == wire.Connected {
			e.exposed = e.super.UUID.Current
		}
	}
	e.considerResync = false
	ns = ns.WithPeer(ps.Role()).WithPeerDisk(disk) &^ wire.PausedByPeer
	if ps&(wire.PausedAfter|wire.PausedByUser) != 0 {
		ns |= wire.PausedByPeer
	}
	if ns.Conn() >= wire.Connected && ns.PeerDisk() >= wire.Inconsistent && (ns.Conn() != wire.WFBitMapS || e.peerKnowsItIsTarget()) {
		ns &^= wire.SuspendedFence
		if e.bitmap == nil || e.bitmap.Count() == 0 {
			e.newUUIDPending = false
		}
	}
	switch {
	case !e.hasDisk || disk >= wire.Inconsistent || ps.Role() != wire.Primary || os.Role() == wire.Primary:
	case os.Conn() == wire.WFReportParams:
		e.onTrial, e.beforeTrial = true, os.Disk()
	case ps.Conn() >= wire.Connected:
		e.accepted()
	}
	e.running = true
	e.newerThanCrashed(ns)
	if e.valid(e.sanitize(os, ns)) == wire.TwoPrimaries {
		e.standAlone("both nodes are Primary and the configuration does not allow it")
		return
	}
	if r := e.change(ns, hard); !r.OK() {
		e.standAlone("the peer's state does not fit: " + r.String())
		return
	}
	if !e.hasDisk && e.peer.uuids != nil && e.exposed == 0 {
		e.exposed = e.peer.uuids.Current
	}
	if os.Conn() > wire.WFReportParams && ns.Conn() > wire.Connected && ps.Conn() <= wire.Connected && ps.Disk() != wire.Negotiating {
		e.sendUUIDs()
		e.sendState()
	}
	e.discardMyData = false
	e.pump() // a peer without its disk keeps no extents any more
	e.pumpData()
	e.maybeDemote()
}

// newerThanCrashed begins a generation on a Primary that is source for a peer that crashed as
// Primary in the same generation, as soon as that has said that its data is outdated. If this
// node crashed, too, before the resync has an identifier, nothing would tell whose data is newer.
func (e *Engine) newerThanCrashed(ns wire.State) {
	u := e.peer.uuids
	if ns.Role() == wire.Primary && ns.Conn() == wire.WFBitMapS && e.hasDisk && u != nil && u.Flags&wire.UUIDCrashedPrimary != 0 &&
		e.super.UUID.Bitmap == 0 && metadata.SameGeneration(u.Current, e.super.UUID.Current) && e.peerKnowsItIsTarget() {
		e.tellGeneration()
	}
}

// peerKnowsItIsTarget tells whether the peer has said that its data is outdated.
func (e *Engine) peerKnowsItIsTarget() bool {
	p := e.peer.state
	return p.Disk() >= wire.Inconsistent && p.Disk() <= wire.Outdated || p.Conn() >= wire.WFBitMapT && p.Conn() < wire.Ahead
}

// refuse ends what needed the comparison of data: the attach of either disk, or the
// connection.
func (e *Engine) refuse(why string) {
	switch {
	case e.state.Disk() == wire.Negotiating:
		e.note(why + ": the disk is not attached")
		e.change(e.state.WithDisk(wire.Failed), hard)
		e.abandonDisk()
		e.sendState()
	case e.peer.state.Disk() == wire.Negotiating && e.state.Conn() >= wire.Connected:
		e.note(why + ": the peer's disk is not taken")
		e.change(e.state.WithPeerDisk(wire.Diskless), hard)
		if e.hasDisk {
			e.sendUUIDs()
		} else {
			// Without them the peer could not tell the refusal from a state that crossed its own.
			e.send(wire.Message{Command: wire.CmdUUIDs, UUIDs: &wire.UUIDs{Current: e.exposed}})
		}
		e.sendState()
	default:
		e.standAlone(why)
	}
}

// settle compares the data of both nodes and says in which state the connection goes
// on. It gives false when the connection, or an attach, was ended instead.
func (e *Engine) settle(ps wire.State, peerDisk wire.Disk) (wire.Conn, bool) {
	u, peerRole := e.peer.uuids, ps.Role()
	primary := e.state.Role() == wire.Primary
	self := side{e.super.UUID, e.crashed, primary}
	peer := side{metadata.Generations{Current: u.Current, Bitmap: u.Bitmap, History: u.History}, u.Flags&wire.UUIDCrashedPrimary != 0, peerRole == wire.Primary}
	c := compare(self, peer, e.link.resolver, e.link.dialect.Version, e.link.dialect.Features&wire.FeatureWriteSame != 0)
	e.note(c.String())
	v := c.verdict
	if v <= unrelated {
		if v == unrelated {
			e.refuse("unrelated data, aborting")
		} else {
			e.refuse("the data can only be compared with a newer protocol")
		}
		return 0, false
	}
	if c.self != e.super.UUID {
		if c.rule == missedEnd && e.bitmap.Count() > 0 {
			// From here on the identifiers of both nodes are the same, and only the bits
			// tell what this node wrote since. A crash, or the end of the connection,
			// before the resync has an identifier must not make them forgotten: a
			// crashed Primary is the source again, or the target of a Primary.
			e.crashed = true
		}
		e.super.UUID = c.self
		if c.rule == missedEnd && e.bitmap.Count() > 0 && primary && peer.crashed && e.state.PeerDisk() == wire.Outdated {
			// As newerThanCrashed does; the peer is fenced, and it must not be durable that both have the same.
			e.unheard = endHeard
			e.tellGeneration()
		} else {
			e.persist()
		}
	}
	if !metadata.SameGeneration(c.self.Current, c.peer.Current) || c.self.Bitmap == 0 {
		e.unheard = endHeard
	}
	u.Current, u.Bitmap, u.History = c.peer.Current, c.peer.Bitmap, c.peer.History
	disk := e.state.Disk()
	if disk == wire.Negotiating {
		disk = e.attachAs
	}
	if disk == wire.Inconsistent && peerDisk > wire.Inconsistent || peerDisk == wire.Inconsistent && disk > wire.Inconsistent {
		full := v == splitRefused || v == fullSource || v == fullTarget
		v = bitmapTarget
		if disk > wire.Inconsistent {
			v = bitmapSource
		}
		if full {
			v *= 2
		}
	}
	if c.rule == bothPrimaries && v == splitRefused && e.state&wire.SuspendedFence != 0 && !e.cfg.AlwaysASBP {
		// Writes were under way when the connection broke, and neither node has gone on: that is
		// no split brain, and who stays is what the fence decides. To stand alone would keep the
		// one that is fenced from coming back.
		e.note("both nodes are Primary and wait for the fence of the other; connecting again")
		e.dropLink(wire.NetworkFailure)
		return 0, false
	}
	if v == splitBrain || v == splitRefused {
		var ok bool
		if v, ok = e.settleSplitBrain(v, peer); !ok {
			return 0, false
		}
	}
	if v > 0 && disk <= wire.Inconsistent {
		e.refuse("should be the source of a resync without consistent data")
		return 0, false
	}
	if v < 0 && primary && (e.state.Disk() >= wire.Consistent || e.takenAlone && e.workedWithNewer(c.peer.Current)) {
		if c.rule == missedFinish {
			// The peer was source of a resync that ended here, and crashed before it knew.
			// It has corrected itself now, as the kernel does: the next comparison finds
			// the same generation, and the Primary is the source.
			e.note("the peer had not heard of the end of the last resync; connecting again")
			e.dropLink(wire.NetworkFailure)
			return 0, false
		}
		switch e.cfg.RRConflict {
		case SBViolently:
			e.note("becoming target of a resync as Primary, as configured")
		case SBCallHelper:
			e.emit(Effect{Kind: RunHandler, Name: "pri-lost"})
			fallthrough
		default:
			e.refuse("a Primary would have to become target of a resync")
			return 0, false
		}
	}
	if v == fullSource || v == fullTarget {
		e.setAllBits()
	}
	switch {
	case v > 0:
		return wire.WFBitMapS, true
	case v < 0:
		return wire.WFBitMapT, true
	}
	return wire.Connected, true
}

// settleSplitBrain asks the policies and then the administrator's choice.
func (e *Engine) settleSplitBrain(v verdict, peer side) (verdict, bool) {
	u := e.peer.uuids
	if e.peer.state.Disk() == wire.Negotiating && e.state.Conn() >= wire.Connected {
		// It attaches a disk, and will decide by what it is told next.
		e.sending.bitsTold = e.bitmap.Count()
	}
	e.emit(Effect{Kind: RunHandler, Name: "initial-split-brain"})
	if v == splitBrain || e.cfg.AlwaysASBP {
		q := quarrel{
			self: e.super.UUID, peer: peer.Generations, selfBits: e.sending.bitsTold, peerBits: u.SetBits,
			selfPri: e.state.Role() == wire.Primary, peerPri: peer.primary, resolver: e.link.resolver,
		}
		forced := v == splitRefused
		decided, demote := q.decide(e.cfg.AfterSB)
		if demote && !e.demoteForResync() {
			e.emit(Effect{Kind: RunHandler, Name: "pri-lost-after-sb"})
			decided = splitRefused
		}
		v = decided
		if forced && v != splitRefused {
			v *= 2
		}
		if v != splitRefused {
			e.note(fmt.Sprintf("split brain, decided by policy: %d", v))
		}
	}
	if v == splitRefused {
		mine, theirs := e.discardMyData, u.Flags&wire.UUIDDiscardMyData != 0
		switch {
		case mine && !theirs:
			v = bitmapTarget
		case theirs && !mine:
			v = bitmapSource
		default:
			e.emit(Effect{Kind: RunHandler, Name: "split-brain"})
			e.refuse("split brain detected but unresolved, dropping connection")
			return v, false
		}
	}
	return v, true
}

// demoteForResync makes a Primary that nobody uses Secondary.
func (e *Engine) demoteForResync() bool {
	if e.sending.inUse || e.sending.busy() {
		return false
	}
	return e.change(e.state.WithRole(wire.Secondary), soft).OK()
}

// setAllBits marks everything out of sync in a way that survives a crash halfway.
func (e *Engine) setAllBits() {
	e.super.Flags |= metadata.FlagFullSync
	e.super.Magic = metadata.MagicUnclean
	e.emit(Effect{Kind: Persist, Super: e.super})
	e.bitmap.SetAll()
	e.super.Flags &^= metadata.FlagFullSync
	e.persist()
}
