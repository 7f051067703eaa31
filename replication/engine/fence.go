package engine

import (
	"time"

	"gcrm/replication/wire"
)

// fenceRun is the run of the fence-peer handler, or of unfence-peer: they undo each other, and never run at once.
type fenceRun struct {
	running   bool
	unfencing bool
	stale     bool // the peer was connected since the fence began
	again     bool // the peer may have to be fenced when this ends
}

// Exit codes of the fence-peer handler.
const (
	fencePeerInconsistent = 3
	fencePeerOutdated     = 4
	fencePeerUnreachable  = 5
	fencePeerPrimary      = 6
	fencePeerStonithed    = 7
)

// mustFence tells whether the peer was lost in a way that asks for its fencing.
func (e *Engine) mustFence(os, ns wire.State) bool {
	return e.cfg.Fencing != FencingDontCare && lostPeer(ns) && !lostPeer(os)
}

// awaitsFence tells whether the peer is lost and was not fenced since.
func (e *Engine) awaitsFence() bool {
	return e.cfg.Fencing != FencingDontCare && lostPeer(e.state) && e.state.Disk() >= wire.Consistent
}

// lostPeer: a Primary does not know where its peer is, whose data may be good.
func lostPeer(s wire.State) bool {
	return s.Role() == wire.Primary && s.Conn() < wire.Connected && s.PeerDisk() >= wire.DUnknown
}

// startFence fences the peer of a Primary that lost it. Without good data there is
// nothing to protect, and I/O goes on.
func (e *Engine) startFence() {
	if e.state.Disk() < wire.Consistent {
		e.change(e.state&^wire.SuspendedFence, hard)
		return
	}
	e.runFence()
}

func (r *Resource) runFence() {
	f := &r.fence
	if f.running || f.unfencing {
		f.again = true // unless this one counts
		return
	}
	f.running = true
	r.emit(Effect{Kind: RunHandler, Name: "fence-peer"})
}

// runUnfence lets the peer be used again.
func (r *Resource) runUnfence() {
	f := &r.fence
	if f.running || f.unfencing {
		return // HandlerDone sees to it
	}
	f.unfencing = true
	r.emit(Effect{Kind: RunHandler, Name: "unfence-peer"})
}

// HandlerDone reports the exit code of a handler.
func (r *Resource) HandlerDone(now time.Duration, name string, code int) {
	r.now = now
	f := &r.fence
	unfenced := name == "unfence-peer" && f.unfencing
	if !unfenced && (name != "fence-peer" || !f.running) {
		return
	}
	stale := f.stale
	*f = fenceRun{again: f.again}
	switch {
	case unfenced:
		r.fenceAgain()
	case r.lowest() >= wire.WFReportParams:
		// A connection that is there again knows better, if it lasts.
		f.again = true
		if r.peerHasAll() {
			r.runUnfence()
		}
	case stale:
		f.again = true
		r.fenceAgain()
	default:
		f.again = false
		for _, e := range r.volumes {
			e.fenced(code)
		}
	}
	if r.cmd.promote && r.cmd.fenced && !r.cmd.asked && !f.running {
		r.cmd.of.tryPromote()
	}
}

// peerHasAll tells whether the peer is connected and has everything.
func (r *Resource) peerHasAll() bool {
	return !r.any(func(e *Engine) bool { return !e.state.SameData() })
}

// fenceAgain fences a peer for which another handler had to end first, or a connection broke that was about to be
// there again, if that is still asked for.
func (r *Resource) fenceAgain() {
	f := &r.fence
	if !f.again || f.running || f.unfencing || r.lowest() == wire.WFReportParams {
		return
	}
	f.again = false
	if r.lowest() < wire.Connected && (r.cmd.promote && r.cmd.fenced || r.any((*Engine).awaitsFence)) {
		r.runFence()
	}
}

// fenced is what the end of fence-peer means for a volume.
func (e *Engine) fenced(code int) {
	ns := e.state
	switch code {
	case fencePeerInconsistent:
		ns = ns.WithPeerDisk(wire.Inconsistent)
	case fencePeerOutdated, fencePeerStonithed:
		ns = ns.WithPeerDisk(wire.Outdated)
	case fencePeerUnreachable:
		if ns.Disk() == wire.UpToDate || ns.Disk() == wire.Consistent && e.cmd.promote {
			ns = ns.WithPeerDisk(wire.Outdated)
		}
	case fencePeerPrimary:
		if ns.Role() != wire.Primary {
			ns = ns.WithDisk(min(ns.Disk(), wire.Outdated))
		}
	default:
		e.note("the fence-peer handler is broken")
	}
	if ns.PeerDisk() > wire.Outdated || ns.PeerDisk() < wire.Inconsistent {
		if ns != e.state {
			e.change(ns, hard)
		}
		return
	}
	if ns.Role() == wire.Primary {
		e.thaw(ns, wire.SuspendedFence) // not what an administrator suspended
		return
	}
	e.change(ns, hard)
	e.persist()
}
