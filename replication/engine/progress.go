package engine

import (
	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// Progress is how far a resync or verify is, in bits of 4 KiB.
func (e *Engine) Progress() (left, total uint64, running bool) {
	switch c := e.state.Conn(); {
	case inSync(c) && e.bitmap != nil:
		total = e.resync.total
		return min(e.bitmap.Count(), total), total, true
	case c == wire.VerifyS || c == wire.VerifyT:
		total = (e.size + metadata.SectorsPerBit - 1) / metadata.SectorsPerBit
		return total - min(total, e.verify.sector/metadata.SectorsPerBit), total, true
	}
	return 0, 0, false
}

// Pending counts requests: sent to the peer and not answered, received from it and
// not answered, and those of applications that are not completed.
func (e *Engine) Pending() (peer, unanswered, application int) {
	for _, o := range e.sending.log {
		if o.net == partPending && !o.dropped {
			peer++
		}
	}
	for _, o := range e.active {
		switch o.kind {
		case resyncFetch:
			peer++
		case peerWrite, peerRead, resyncRead, resyncStore, verifyRead:
			unanswered++
		}
	}
	return peer, unanswered, e.sending.requests
}
