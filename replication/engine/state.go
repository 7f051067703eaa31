package engine

import (
	"gcrm/replication/metadata"
	//lint:ignore ST1001 the states are the vocabulary of this file
	. "gcrm/replication/wire"
)

// anySuspended are the reasons for which I/O waits.
const anySuspended = Suspended | SuspendedNoData | SuspendedFence

// anyPaused are the reasons for which a resync waits.
const anyPaused = PausedAfter | PausedByPeer | PausedByUser

func inSync(c Conn) bool { return c >= SyncSource && c <= PausedSyncT }

// sanitize applies the corrections that every wanted state gets, in the kernel's
// order: what cannot be known without a connection is forgotten, resync without
// disks ends, disk states are fitted to the state of the connection.
func (e *Engine) sanitize(os, ns State) State {
	if ns.Conn() < Connected {
		ns = ns &^ PausedByPeer
		ns = ns.WithPeer(RoleUnknown)
		if ns.PeerDisk() > DUnknown || ns.PeerDisk() < Inconsistent {
			ns = ns.WithPeerDisk(DUnknown)
		}
	}
	if ns.Conn() == StandAlone && ns.Disk() == Diskless && ns.Role() == Secondary {
		ns &^= PausedAfter
	}
	if ns.Conn() > Connected && (ns.Disk() <= Failed || ns.PeerDisk() <= Failed) {
		ns = ns.WithConn(Connected)
	}
	if ns.Conn() < Connected && ns.Disk() == Negotiating {
		// Not decided, and now nobody is there to decide it with.
		disk := Diskless
		if ns.Role() != Primary || metadata.SameGeneration(e.exposed, e.super.UUID.Current) {
			disk = e.attachAs
		}
		ns = ns.WithDisk(disk)
	}
	if ns.Conn() >= Connected && ns.Conn() < Ahead {
		// Data that is outdated is good again when it was compared, or a Primary without a disk works with it.
		if ns.Disk() == Consistent || ns.Disk() == Outdated && (ns.PeerDisk() >= Inconsistent || e.onTrial) {
			ns = ns.WithDisk(UpToDate)
		}
		if ns.PeerDisk() == Consistent || ns.PeerDisk() == Outdated && ns.Disk() >= Inconsistent {
			ns = ns.WithPeerDisk(UpToDate)
		}
	}
	lo, hi, plo, phi := limits(ns.Conn())
	ns = ns.WithDisk(min(max(ns.Disk(), lo), hi)).WithPeerDisk(min(max(ns.PeerDisk(), plo), phi))
	if e.cfg.Fencing == FencingStonith && ns.Role() == Primary && ns.Conn() < Connected && ns.PeerDisk() > Outdated &&
		!(os.Role() == Primary && os.Conn() < Connected && os.PeerDisk() > Outdated) {
		ns |= SuspendedFence
	}
	lost := func(s State) bool { return s.Role() == Primary && s.Disk() < UpToDate && s.PeerDisk() < UpToDate }
	switch {
	case e.cfg.SuspendNoData && lost(ns) && !lost(os):
		ns |= SuspendedNoData
	case !lost(ns) && (ns.Conn() != WFBitMapS || e.peerKnowsItIsTarget()):
		// As for a fence: what waits is not answered before a peer whose data is older knows of that.
		ns &^= SuspendedNoData
	}
	if ns&anyPaused != 0 {
		switch ns.Conn() {
		case SyncSource:
			ns = ns.WithConn(PausedSyncS)
		case SyncTarget:
			ns = ns.WithConn(PausedSyncT)
		}
	} else {
		switch ns.Conn() {
		case PausedSyncS:
			ns = ns.WithConn(SyncSource)
		case PausedSyncT:
			ns = ns.WithConn(SyncTarget)
		}
	}
	return ns
}

// limits are the disk states that a state of the connection allows, own and peer's.
func limits(c Conn) (lo, hi, plo, phi Disk) {
	switch c {
	case WFBitMapT, PausedSyncT, StartingSyncT, WFSyncUUID, Behind:
		return Inconsistent, Outdated, UpToDate, UpToDate
	case SyncTarget:
		return Inconsistent, Inconsistent, UpToDate, UpToDate
	case WFBitMapS, PausedSyncS, StartingSyncS, Ahead:
		return UpToDate, UpToDate, Inconsistent, Consistent
	case SyncSource:
		return UpToDate, UpToDate, Inconsistent, Inconsistent
	case VerifyS, VerifyT:
		return UpToDate, UpToDate, UpToDate, UpToDate
	case Connected:
		return Diskless, UpToDate, Diskless, UpToDate
	}
	return Diskless, UpToDate, Inconsistent, DUnknown
}

// valid tells whether a state is allowed at all.
func (e *Engine) valid(s State) Result {
	conn, disk, pdsk := s.Conn(), s.Disk(), s.PeerDisk()
	primary := s.Role() == Primary
	switch {
	case primary && s.Peer() == Primary && !e.cfg.TwoPrimaries:
		return TwoPrimaries
	case primary && !e.cfg.TwoPrimaries && e.any(func(o *Engine) bool { return o != e && o.state.Peer() == Primary }):
		return OtherVolumePrimary
	case primary && conn < Connected && disk < UpToDate:
		return NeedUpToDate
	case e.cfg.Fencing >= FencingResourceOnly && primary && conn < Connected && pdsk >= DUnknown:
		return PeerNotOutdated
	case primary && disk <= Inconsistent && pdsk <= Inconsistent:
		return NeedUpToDate
	case conn > Connected && disk < Inconsistent:
		return NoLocalDisk
	case conn > Connected && pdsk < Inconsistent:
		return NoRemoteDisk
	case conn > Connected && disk < UpToDate && pdsk < UpToDate:
		return NeedUpToDate
	case (conn == Connected || conn == WFBitMapS || conn == SyncSource || conn == PausedSyncS) && disk == Outdated && (pdsk >= Inconsistent || s.Peer() == Primary):
		return ConnectedOutdates
	case (conn == VerifyS || conn == VerifyT) && !knownHash(e.cfg.VerifyAlg):
		return NoVerifyAlg
	case (conn == VerifyS || conn == VerifyT) && e.link.dialect.Version < 88:
		return NotSupported
	case primary && disk < UpToDate && pdsk < UpToDate:
		return NeedUpToDate
	case (conn == StartingSyncS || conn == StartingSyncT) && pdsk == DUnknown:
		return NeedConnection
	case conn >= Connected && pdsk == DUnknown:
		return ConnectedOutdates
	}
	return ResultOK
}

// allowed tells whether a requested change from os to ns is allowed.
func (e *Engine) allowed(os, ns State) Result {
	nc, oc := ns.Conn(), os.Conn()
	switch {
	case (nc == StartingSyncS || nc == StartingSyncT) && oc > Connected:
		return ResyncRunning
	case (nc == VerifyS || nc == VerifyT) && nc != oc && oc == Connected && (os.Disk() < UpToDate || os.PeerDisk() < UpToDate),
		nc == StartingSyncS && oc == Connected && os.Disk() == Inconsistent, nc == StartingSyncT && oc == Connected && os.PeerDisk() == Inconsistent:
		// These states of the connection take a disk for good, and would make it so. Which data
		// is the first is said by a forced promotion: it begins a generation.
		return NeedUpToDate
	case nc == Disconnecting && oc == StandAlone:
		return AlreadyStandAlone
	case ns.Disk() > Attaching && os.Disk() == Diskless:
		return IsDiskless
	case nc == WFConnection && oc < Unconnected:
		return NoNetConfig
	case ns.Disk() == Outdated && os.Disk() < Outdated && os.Disk() != Attaching:
		return LowerThanOutdated
	case nc == Disconnecting && oc == Unconnected:
		return InTransient
	case e.handshaking() && oc == nc:
		// Between our state and the peer's nothing else may change.
		return InTransient
	case os.Role() != Primary && ns.Role() == Primary && ns.PeerDisk() == UpToDate && ns.Disk() != UpToDate && ns.Disk() != Diskless &&
		nc >= WFBitMapS && nc <= WFSyncUUID:
		return InTransient
	case (nc == StartingSyncS || nc == StartingSyncT || nc == VerifyS || nc == VerifyT) && oc < Connected:
		return NeedConnection
	case (nc == VerifyS || nc == VerifyT) && oc > Connected && nc != oc:
		return ResyncRunning
	case nc == Disconnecting && ns.PeerDisk() == Outdated && oc < Connected && os.PeerDisk() > Outdated:
		return OutdateUnconnected
	}
	return ResultOK
}

// possible tells whether the connection can go from one state to another at all,
// even when nobody asks for permission.
func possible(os, ns State) Result {
	oc, nc := os.Conn(), ns.Conn()
	switch {
	case oc == nc:
	case oc == StandAlone && nc != Unconnected:
		return NeedConnection
	case oc < WFReportParams && nc >= Connected:
		return NeedConnection
	case oc >= Timeout && oc <= TearDown && nc != Unconnected && nc != Disconnecting:
		return InTransient
	case oc == Disconnecting && nc != StandAlone:
		return InTransient
	}
	if ns.Disk() == Failed && os.Disk() == Diskless {
		return IsDiskless
	}
	return ResultOK
}

// mirrored turns the value of a peer's request into our view.
func mirrored(s State) State {
	out := State(0)
	conn := s.Conn()
	switch conn {
	case StartingSyncS:
		conn = StartingSyncT
	case StartingSyncT:
		conn = StartingSyncS
	case Disconnecting:
		conn = TearDown
	case VerifyS:
		conn = VerifyT
	case WFReportParams, Connected:
	default:
		conn = StandAlone
	}
	out = out.WithConn(conn).WithRole(s.Peer()).WithPeer(s.Role()).WithDisk(s.PeerDisk()).WithPeerDisk(s.Disk())
	if s&(PausedAfter|PausedByUser) != 0 {
		out |= PausedByPeer
	}
	return out
}

// mirroredMask turns the mask of a peer's request into our view.
func mirroredMask(m State) State {
	out := m & MaskConn
	out = out.WithRole(m.Peer()).WithPeer(m.Role()).WithDisk(m.PeerDisk()).WithPeerDisk(m.Disk())
	if m&(PausedAfter|PausedByUser) != 0 {
		out |= PausedByPeer
	}
	return out
}
