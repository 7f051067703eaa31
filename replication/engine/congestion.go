package engine

import (
	"time"

	"gcrm/replication/wire"
)

// aheadRest is how long an Ahead node waits, with nothing on its way, before the resync.
const aheadRest = time.Second

// congested does what is configured when too much is on its way to the peer. It is
// looked at before a write is mirrored. In the middle of a resync writes wait: a block
// that is on its way could not be told from one that was written since.
func (e *Engine) congested() {
	c := &e.cfg
	if c.OnCongestion == CongestionBlock || c.Protocol != ProtocolA || e.link.dialect.Version < 96 ||
		e.state.Conn() != wire.Connected || !e.hasDisk || e.state.Disk() != wire.UpToDate {
		return
	}
	if (c.CongestionFill == 0 || e.sending.inFlight < c.CongestionFill) && (c.CongestionExtents == 0 || e.log.Used() < c.CongestionExtents) {
		return
	}
	e.note("congestion: too much is on its way to the peer")
	if c.OnCongestion == CongestionDisconnect {
		e.sending.giveUp = true // at the next tick: this is the middle of a write
		return
	}
	e.closeEpoch()
	e.sending.quietSince = 0
	e.change(e.state.WithConn(wire.Ahead), hard)
}

// tickCongestion lets an Ahead node become source of a resync once the network has
// taken everything.
func (e *Engine) tickCongestion() {
	s := &e.sending
	if s.giveUp {
		s.giveUp = false
		if e.state.Conn() >= wire.Connected {
			e.standAlone("congestion: disconnecting, as configured")
		}
		return
	}
	if e.state.Conn() != wire.Ahead {
		return
	}
	busy := s.inFlight > 0
	for _, o := range e.active {
		busy = busy || o.kind == resyncRead
	}
	switch {
	case busy:
		s.quietSince = 0
	case s.quietSince == 0:
		s.quietSince = max(e.now, 1)
	case e.now-s.quietSince >= aheadRest:
		e.note("the network has room again")
		e.change(e.state.WithConn(wire.SyncSource), hard)
	}
}

// fallBehind ends a resync of a target whose source pulls ahead. What was asked for is
// answered, if only by a cancellation.
func (e *Engine) fallBehind() { e.resync.running, e.resync.finish = false, false }

// outstanding is how many sectors of a resync were asked for and are not stored yet.
func (e *Engine) outstanding() uint64 {
	n := uint64(0)
	for _, o := range e.active {
		if o.kind == resyncFetch {
			n += o.sectors()
		}
	}
	return n
}
