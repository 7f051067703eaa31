package engine

import (
	"time"

	"gcrm/replication/wire"
)

// PauseSync keeps a resync from going on, now and later, until ResumeSync.
func (e *Engine) PauseSync(now time.Duration, tag uint64) { e.pause(now, wire.PausedByUser, true, tag) }

// ResumeSync takes PauseSync back.
func (e *Engine) ResumeSync(now time.Duration, tag uint64) {
	e.pause(now, wire.PausedByUser, false, tag)
}

func (e *Engine) pause(now time.Duration, why wire.State, on bool, tag uint64) {
	e.now = now
	e.setPaused(why, on)
	e.reply(tag, wire.ResultOK)
}

// WaitForOthers tells whether the resync has to wait for another volume of this node
// (resync-after).
func (e *Engine) WaitForOthers(now time.Duration, wait bool) {
	e.now = now
	e.setPaused(wire.PausedAfter, wait)
}

func (e *Engine) setPaused(why wire.State, on bool) {
	ns := e.state &^ why
	if on {
		ns |= why
	}
	e.change(ns, hard)
	e.tickResync()
}

// KeepsOthersWaiting tells whether a volume whose resync comes after this one has to
// wait.
func (e *Engine) KeepsOthersWaiting() bool {
	s := e.state
	c := s.Conn()
	return s&anyPaused != 0 || c == wire.SyncSource || c == wire.SyncTarget || c == wire.PausedSyncS || c == wire.PausedSyncT
}

// beforeResync runs a handler that may refuse a resync; then, or when there is none,
// start is called. Meanwhile nothing from the data socket is looked at.
func (e *Engine) beforeResync(name string, configured bool, start func()) {
	if !configured {
		start()
		return
	}
	e.beginSync = start
	e.emit(Effect{Kind: RunHandler, Name: name})
}

// HandlerDone reports the exit code of a handler.
func (e *Engine) HandlerDone(now time.Duration, name string, code int) {
	e.now = now
	start := e.beginSync
	switch name {
	case "before-resync-target", "before-resync-source":
		e.beginSync = nil
		switch {
		case start == nil:
		case code > 0 && !(name == "before-resync-source" && code == 3):
			e.standAlone("the handler " + name + " refuses the resync")
		default:
			start()
			e.pumpData()
		}
	default:
		e.Resource.HandlerDone(now, name, code)
	}
}
