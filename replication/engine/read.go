package engine

import (
	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// runRead reads here when the data here is good, else from the peer.
func (e *Engine) runRead(o *op) {
	local := e.hasDisk && (e.state.Disk() == wire.UpToDate || e.state.Disk() == wire.Inconsistent && e.merged && !e.bitmap.AnySectors(o.sector, o.sectors()))
	if local && !o.restarted && e.readsRemote(o) {
		o.chosen, local = true, false
	}
	if local && !o.restarted {
		o.local = partPending
		e.readDisk(o)
		return
	}
	if e.link.up && e.state.Conn() >= wire.Connected && e.state.PeerDisk() == wire.UpToDate {
		o.net, o.dropped, o.sentAt = partPending, false, e.now
		e.sending.log = append(e.sending.log, o)
		o.inLog = true
		o.data = nil
		e.sendParts(o, wire.Message{Command: wire.CmdDataRequest, Sector: o.sector, ID: o.tag, Size: o.size})
		return
	}
	if e.state&anySuspended != 0 {
		o.held = true
		e.sending.keep(o)
		return
	}
	e.complete(o, nil, ErrIO)
	e.free(o)
}

// readsRemote tells whether a read that could be done here goes to the peer
// (read-balancing). A read goes there once at most.
func (e *Engine) readsRemote(o *op) bool {
	if o.chosen || e.cfg.ReadBalancing == ReadLocal || e.state.Disk() != wire.UpToDate || e.state.PeerDisk() != wire.UpToDate ||
		!e.link.up || e.state.Conn() < wire.Connected {
		return false
	}
	switch b := e.cfg.ReadBalancing; {
	case b == ReadRemote:
		return true
	case b == ReadRoundRobin:
		e.sending.turn = !e.sending.turn
		return e.sending.turn
	case b == ReadLeastPending:
		return len(e.ops) > len(e.sending.log)
	case b >= Stripes32K:
		return o.sector>>(6+uint(b-Stripes32K))&1 != 0
	}
	return false
}

// readDone is the end of a local read. One that failed is tried on the peer.
func (e *Engine) readDone(o *op, data []byte, err error) {
	if err == nil {
		e.complete(o, data, nil)
		e.free(o)
		return
	}
	e.ioError(o)
	o.restarted = true
	e.runRead(o)
}

// readAnswered is the peer's answer to a read.
func (e *Engine) readAnswered(m *wire.Message) {
	o := e.transferred(m.ID, m.Sector)
	if o == nil || o.kind != appRead || m.Command == wire.CmdDataReply && m.Size != min(e.maxBlock(), uint32(o.end()-m.Sector)*metadata.SectorSize) {
		e.protocolError("answer to an unknown read")
		return
	}
	if m.Command == wire.CmdDataReply && o.size > e.maxBlock() {
		if o.data == nil {
			o.data = make([]byte, o.size)
		}
		copy(o.data[(m.Sector-o.sector)*metadata.SectorSize:], m.Data)
		if o.parts--; o.parts > 0 {
			return
		}
		m.Data = o.data
	}
	e.forget(o)
	if m.Command == wire.CmdDataReply {
		e.complete(o, m.Data, nil)
	} else if o.chosen && e.hasDisk {
		o.net = partNone
		e.runRead(o)
		return
	} else {
		e.complete(o, nil, ErrIO)
	}
	e.free(o)
}

// forget takes an operation out of the transfer log.
func (e *Engine) forget(o *op) {
	s := &e.sending
	for i, x := range s.log {
		if x == o {
			s.log = append(s.log[:i], s.log[i+1:]...)
			o.inLog = false
			if o.kind == appWrite {
				s.inFlight -= o.sectors()
			}
			return
		}
	}
}
