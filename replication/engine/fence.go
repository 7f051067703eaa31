package engine

import (
	"time"

	"gcrm/replication/wire"
)

// fenceRun is a run of the fence-peer handler.
type fenceRun struct {
	running bool
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
	lost := func(s wire.State) bool {
		return s.Role() == wire.Primary && s.Conn() < wire.Connected && s.PeerDisk() >= wire.DUnknown
	}
	return e.cfg.Fencing != FencingDontCare && lost(ns) && !lost(os)
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
	if r.fence.running {
		return
	}
	r.fence.running = true
	r.emit(Effect{Kind: RunHandler, Name: "fence-peer"})
}

// HandlerDone reports the exit code of a handler.
func (r *Resource) HandlerDone(now time.Duration, name string, code int) {
	r.now = now
	if name != "fence-peer" || !r.fence.running {
		return
	}
	r.fence.running = false
	// A connection that is there again knows better.
	if r.lowest() < wire.WFReportParams {
		for _, e := range r.volumes {
			e.fenced(code)
		}
	}
	if r.cmd.promote && r.cmd.fenced && !r.cmd.asked {
		r.cmd.of.tryPromote()
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
