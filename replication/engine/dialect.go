package engine

import (
	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// What older protocols say otherwise. Everything else that they lack is not offered to
// them: package wire knows the shapes of the packets.

// maxBlock is the largest block in one packet, in bytes.
func (r *Resource) maxBlock() uint32 {
	switch v := r.link.dialect.Version; {
	case v >= 100:
		return 1 << 20
	case v >= 95:
		return 128 << 10
	}
	return 32 << 10
}

// saysWhichAnswer tells whether each write says how it wants to be acknowledged; before,
// the protocol of replication says it for all.
func (r *Resource) saysWhichAnswer() bool { return r.link.dialect.Version >= 100 }

// wantsReceived and wantsWritten tell which acknowledgement a write of the peer gets.
func (e *Engine) wantsReceived(f wire.DataFlags) bool {
	if e.saysWhichAnswer() {
		return f&wire.FlagWantReceiveAck != 0
	}
	return e.cfg.Protocol == ProtocolB
}

func (e *Engine) wantsWritten(f wire.DataFlags) bool {
	if e.saysWhichAnswer() {
		return f&wire.FlagWantWriteAck != 0
	}
	return e.cfg.Protocol == ProtocolC
}

// packets is how many packets the dialect needs for a message about an operation's
// blocks.
func (e *Engine) packets(o *op, c wire.Command) int {
	limit := e.maxBlock()
	if o.size <= limit || c == wire.CmdTrim || c == wire.CmdZeroes {
		return 1
	}
	return int((o.size + limit - 1) / limit)
}

// zeroes are sent to a peer that does not know of any. Nobody writes to what is sent.
var zeroes = make([]byte, 1<<20)

// sendParts sends a message in as many packets as the dialect needs, all with the id of
// the operation; so many answers are due.
func (e *Engine) sendParts(o *op, m wire.Message) {
	limit := e.maxBlock()
	o.parts = e.packets(o, m.Command)
	blank := o.zero && m.Command == wire.CmdData
	if o.parts == 1 {
		if blank {
			m.Data = zeroes[:o.size]
		}
		e.send(m)
		return
	}
	for at := uint32(0); at < o.size; at += limit {
		part := m
		part.Sector, part.Size = o.sector+uint64(at)/metadata.SectorSize, min(limit, o.size-at)
		switch {
		case blank:
			part.Data = zeroes[:part.Size]
		case m.Data != nil:
			part.Data = m.Data[at : at+part.Size]
		}
		e.send(part)
	}
}
