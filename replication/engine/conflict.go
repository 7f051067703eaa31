package engine

import "gcrm/replication/wire"

// Two Primaries that write to the same place at the same time: the node that accepted
// the meta socket decides, so that both disks end with the same data. Its own write
// wins. The other node lets the winner's write wait until its own is answered.

// conflict tells whether a write of the peer must not be done, and what it is
// answered.
func (e *Engine) conflict(o *op) (wire.Command, bool) {
	if !e.cfg.TwoPrimaries || !e.link.resolver {
		return 0, false
	}
	for _, own := range e.active {
		// One that the peer has answered was there before this one began, and one that was not
		// sent is nothing to the peer: this one comes after both, also on our disk.
		if own.kind != appWrite || own.net != partPending || !own.overlaps(o) {
			continue
		}
		e.note("concurrent writes of both nodes")
		if own.sector <= o.sector && o.end() <= own.end() {
			// All of it would be overwritten by ours.
			return wire.CmdSuperseded, true
		}
		if e.link.dialect.Version < 100 {
			return wire.CmdSuperseded, true // there is no other word
		}
		return wire.CmdRetryWrite, true
	}
	return 0, false
}

// restart does a write again after the peer's, which waits for it.
func (e *Engine) restart(o *op) {
	o.postponed, o.undone, o.dropped, o.written = false, false, false, true
	o.local, o.net, o.epoch, o.inSync, o.partly = partNone, partNone, 0, false, false
	e.enqueue(o)
}
