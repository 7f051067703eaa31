package engine

import (
	"bytes"
	"fmt"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// receiveSide is what a node keeps about the peer's writes on one connection.
type receiveSide struct {
	queue  []wire.Message // of the data socket, not looked at yet
	room   []wire.Message // for the next queue
	epoch  int            // writes since the last barrier, of all volumes
	writes int            // of the peer, under way
	// barrier is set while the end of an epoch holds up the queue.
	barrier  bool
	number   uint32
	flushing int // disks that are flushed for it
	pumping  bool
}

// maxReceivedEpoch is how many writes a peer may send in one epoch: every one is
// remembered until its end. max-epoch-size goes up to 20000; one request may be several
// packets of an old protocol.
const maxReceivedEpoch = 1 << 16

// Backlog is how many messages of the data socket wait for the disk. A runner stops
// reading when there are many.
func (r *Resource) Backlog() int { return len(r.receiving.queue) }

// pumpData handles the messages of the data socket until one has to wait.
func (r *Resource) pumpData() {
	s := &r.receiving
	if s.pumping {
		return
	}
	s.pumping = true
	for r.link.up && len(s.queue) > 0 && !s.barrier {
		if r.tooEarly(&s.queue[0]) {
			break
		}
		m := s.queue[0]
		s.queue[0] = wire.Message{}
		s.queue = s.queue[1:]
		if len(s.queue) == 0 {
			s.queue = nil
		}
		r.receiveData(&m)
	}
	r.receiving.pumping = false
}

// tooEarly tells whether a message overtook one that the peer sent before it on the
// other socket and that has to be known first.
func (r *Resource) tooEarly(m *wire.Message) bool {
	if r.any(func(e *Engine) bool { return e.beginSync != nil }) {
		return true // a handler decides whether the resync begins
	}
	switch m.Command {
	case wire.CmdSyncUUID:
		return r.cmd.asked && r.cmd.fullSync != 0 && r.of(m) == r.cmd.of
	case wire.CmdSizes:
		// The peer agreed to a promotion, or did not, before it hears our answer: by the roles
		// both nodes tell who is the source of what is new.
		return r.cmd.asked && m.Sizes.Current == 0 && r.of(m) == r.cmd.of
	case wire.CmdData, wire.CmdTrim, wire.CmdZeroes:
		// Only the node that decides about conflicts looks at the order.
		if !r.link.resolver || !r.settings().TwoPrimaries {
			return false
		}
		e := r.of(m)
		return e != nil && int32(m.Seq-1-e.peerSeq) > 0
	}
	return false
}

// sawSequence notes the sequence number of a message of the peer.
func (e *Engine) sawSequence(m *wire.Message) {
	if m.Command.CountsInSequence() && int32(m.Seq-e.peerSeq) > 0 {
		e.peerSeq = m.Seq
	}
}

// receiveData handles one message of the data socket.
func (r *Resource) receiveData(m *wire.Message) {
	switch m.Command {
	case wire.CmdDelayProbe, wire.CmdUnplug:
	case wire.CmdProtocol:
		r.receiveProtocol(m.Protocol)
	case wire.CmdProtocolUpdate:
		// The settings of the peer changed; nothing here depends on them.
	case wire.CmdConnChange:
		r.receiveConnChange(m, wire.CmdConnReply)
	case wire.CmdBarrier:
		if !r.any(func(e *Engine) bool { return e.running }) {
			r.protocolError("unexpected BARRIER in the handshake")
			return
		}
		r.receiving.barrier, r.receiving.number = true, m.Number
		r.endEpoch()
	default:
		if e := r.of(m); e != nil {
			e.receiveOwn(m)
		}
	}
}

// receiveOwn handles a message of the data socket about this volume.
func (e *Engine) receiveOwn(m *wire.Message) {
	switch m.Command {
	case wire.CmdSyncParam89, wire.CmdSyncParam:
		e.receiveSyncParam(m.Sync)
	case wire.CmdSizes:
		e.receiveSizes(m.Sizes)
	case wire.CmdUUIDs:
		e.receiveUUIDs(m.UUIDs)
	case wire.CmdState:
		e.receiveState(m.State)
	case wire.CmdStateChange:
		e.receiveChange(m)
	default:
		if !e.running {
			e.protocolError("unexpected " + m.Command.String() + " in the handshake")
			return
		}
		e.receiveBlocks(m)
	}
}

func (e *Engine) receiveBlocks(m *wire.Message) {
	switch m.Command {
	case wire.CmdData, wire.CmdTrim, wire.CmdZeroes:
		e.receiveWrite(m)
	case wire.CmdDataRequest, wire.CmdResyncRequest, wire.CmdThinRequest:
		e.receiveReadRequest(m)
	case wire.CmdChecksumRequest, wire.CmdVerifyRequest:
		e.receiveCompare(m)
	case wire.CmdVerifyReply:
		e.verifyArrived(m)
	case wire.CmdDataReply:
		e.readAnswered(m)
	case wire.CmdResyncReply, wire.CmdDeallocated:
		e.resyncArrived(m)
	case wire.CmdBitmap, wire.CmdPackedBitmap:
		e.receiveBitmap(m)
	case wire.CmdSyncUUID:
		e.receiveSyncUUID(m.UUID)
	case wire.CmdOutOfSync:
		if e.hasDisk && e.inside(m) {
			e.differs(m.Sector, uint64(m.Size)/metadata.SectorSize)
			e.resync.rewind(m.Sector / metadata.SectorsPerBit)
		}
	default:
		e.protocolError("unexpected " + m.Command.String())
	}
}

// receiveMeta handles a message of the meta socket.
func (r *Resource) receiveMeta(m *wire.Message) {
	switch m.Command {
	case wire.CmdPing:
		r.tell(wire.Message{Command: wire.CmdPingAck})
	case wire.CmdPingAck:
		r.pingAnswered()
	case wire.CmdBarrierAck:
		r.barrierAnswered(m)
	case wire.CmdConnReply:
		r.connAnswered(m.Code)
	default:
		if e := r.of(m); e != nil {
			e.sawSequence(m)
			e.receiveAnswer(m)
		}
	}
	for _, e := range r.volumes {
		e.maybeFinishSource()
	}
	r.pumpData()
}

// receiveAnswer handles a message of the meta socket about this volume.
func (e *Engine) receiveAnswer(m *wire.Message) {
	switch m.Command {
	case wire.CmdWriteAck, wire.CmdReceiveAck, wire.CmdSuperseded, wire.CmdRetryWrite, wire.CmdNegAck, wire.CmdResyncWriteAck:
		if m.ID == wire.SyncerID {
			e.resyncAnswered(m)
			return
		}
		e.writeAnswered(m)
	case wire.CmdNegDataReply:
		e.readAnswered(m)
	case wire.CmdNegResyncReply, wire.CmdResyncCancel:
		e.resyncRefused(m)
	case wire.CmdInSync:
		e.alreadyInSync(m)
	case wire.CmdStateReply:
		e.changeAnswered(m.Code)
	case wire.CmdVerifyResult:
		e.verifyAnswered(m)
	case wire.CmdDelayProbe:
	default:
		// The kernel never connects again after this; a new attempt may heal it here.
		e.protocolError("unexpected " + m.Command.String())
	}
}

// inside tells whether the blocks of a message are inside of the volume.
func (e *Engine) inside(m *wire.Message) bool {
	n := uint64(m.Size) / metadata.SectorSize
	return m.Sector <= e.size && n <= e.size-m.Sector
}

// receiveWrite takes a mirrored write.
func (e *Engine) receiveWrite(m *wire.Message) {
	e.sawSequence(m)
	if !e.inside(m) {
		e.protocolError("a write outside of the volume")
		return
	}
	e.accepted()
	e.applied += uint64(m.Size) / metadata.SectorSize
	if e.receiving.epoch++; e.receiving.epoch > maxReceivedEpoch {
		e.protocolError(fmt.Sprintf("more than %d writes without the end of an epoch (BARRIER)", maxReceivedEpoch))
		return
	}
	if m.Command == wire.CmdData && m.Size == 0 {
		return
	}
	o := e.newOp(peerWrite, m.Sector, m.Size)
	o.id, o.data, o.flags, o.fua = m.ID, m.Data, uint32(m.Flags), m.Flags&wire.FlagFUA != 0
	o.zero = m.Command != wire.CmdData
	o.trim = o.zero && m.Flags&wire.FlagDiscard != 0
	if !e.hasDisk {
		e.answerWrite(o, wire.CmdNegAck)
		e.free(o)
		return
	}
	if e.wantsReceived(m.Flags) {
		e.answerWrite(o, wire.CmdReceiveAck)
	}
	if answer, conflict := e.conflict(o); conflict {
		e.answerWrite(o, answer)
		e.free(o)
		return
	}
	// With no disk of its own, the writer leaves the bookkeeping to us.
	if e.state.PeerDisk() < wire.Inconsistent {
		e.differs(o.sector, o.sectors())
	}
	e.receiving.writes++
	e.peerWrites++
	e.enqueue(o)
}

// peerWriteNeedsLog tells whether writes of the peer go through our activity log:
// when we hold the only copy.
func (e *Engine) peerWriteNeedsLog() bool { return e.state.PeerDisk() < wire.Inconsistent }

func (e *Engine) answerWrite(o *op, c wire.Command) {
	e.send(wire.Message{Command: c, Sector: o.sector, ID: o.id, Size: o.size})
}

// peerWriteDone acknowledges a mirrored write.
func (e *Engine) peerWriteDone(o *op, err error) {
	e.deactivate(o)
	e.releaseLog(o)
	flags := wire.DataFlags(o.flags)
	if !o.dropped {
		switch {
		case err != nil || !e.hasDisk:
			e.answerWrite(o, wire.CmdNegAck)
		case !e.wantsWritten(flags):
		case inSync(e.state.Conn()) && flags&wire.FlagMayClear != 0:
			e.bitmap.ClearSectors(o.sector, o.sectors(), e.size)
			e.answerWrite(o, wire.CmdResyncWriteAck)
		default:
			e.answerWrite(o, wire.CmdWriteAck)
		}
		e.receiving.writes--
		e.peerWrites--
		if err == nil && e.hasDisk && !e.cfg.NoFlushes {
			e.unflushed = append(e.unflushed, written{o.id, o.sector, o.size})
		}
	}
	if err != nil {
		e.ioError(o)
	}
	e.free(o)
	e.endEpoch()
	e.maybeFinishTarget()
}

// written is a write of the peer that is done, but in no flush yet.
type written struct {
	id, sector uint64
	size       uint32
}

// takeBack tells the peer that the disk was lost with writes that were acknowledged and
// never flushed: the end of their epoch must not make the peer forget them.
func (e *Engine) takeBack() {
	for _, w := range e.unflushed {
		e.send(wire.Message{Command: wire.CmdNegAck, Sector: w.sector, ID: w.id, Size: w.size})
	}
	e.unflushed = e.unflushed[:0]
}

// endEpoch goes on with a barrier: first all writes, then a flush, then the answer.
func (r *Resource) endEpoch() {
	s := &r.receiving
	if !s.barrier || s.writes > 0 || s.flushing > 0 {
		return
	}
	for _, e := range r.volumes {
		if len(e.unflushed) > 0 {
			s.flushing++
			o := e.newOp(epochFlush, 0, 0)
			e.startOp(o)
			e.emit(Effect{Kind: FlushDisk, Tag: o.tag})
		}
	}
	if s.flushing == 0 {
		r.answerBarrier()
	}
}

func (r *Resource) answerBarrier() {
	s := &r.receiving
	r.tell(wire.Message{Command: wire.CmdBarrierAck, Number: s.number, Count: uint32(s.epoch)})
	s.epoch, s.barrier = 0, false
	r.pumpData()
}

func (e *Engine) epochFlushed(o *op, err error) {
	defer e.free(o)
	if o.dropped {
		return
	}
	e.receiving.flushing--
	if err != nil {
		// What the peer believes to be safe is not: it is taken back with the disk.
		e.giveUpDisk()
	}
	e.unflushed = e.unflushed[:0]
	if e.receiving.flushing == 0 {
		e.answerBarrier()
	}
}

// receiveReadRequest reads for a peer that has no data, or for its resync.
func (e *Engine) receiveReadRequest(m *wire.Message) {
	if !e.inside(m) {
		e.protocolError("a read outside of the volume")
		return
	}
	e.accepted()
	kind, refusal := resyncRead, wire.CmdNegResyncReply
	if m.Command == wire.CmdDataRequest {
		kind, refusal = peerRead, wire.CmdNegDataReply
	}
	e.unbegun = e.unbegun && kind != resyncRead
	o := e.newOp(kind, m.Sector, m.Size)
	o.id, o.thin = m.ID, m.Command == wire.CmdThinRequest
	if kind == resyncRead && e.state.Conn() == wire.Ahead {
		refusal = wire.CmdResyncCancel
	}
	if !e.hasDisk || e.state.Disk() != wire.UpToDate || refusal == wire.CmdResyncCancel {
		e.answerWrite(o, refusal)
		e.free(o)
		return
	}
	e.enqueue(o)
}

func (e *Engine) readForPeerDone(o *op, data []byte, err error) {
	e.deactivate(o)
	if !o.dropped {
		reply, refusal := wire.CmdResyncReply, wire.CmdNegResyncReply
		if o.kind == peerRead {
			reply, refusal = wire.CmdDataReply, wire.CmdNegDataReply
		}
		switch {
		case err != nil:
			e.answerWrite(o, refusal)
		case o.kind == resyncRead && e.state.Conn() == wire.Ahead:
			e.answerWrite(o, wire.CmdResyncCancel)
		case o.digest != nil && bytes.Equal(digestOf(e.cfg.CsumsAlg, data), o.digest):
			// The target has it already.
			e.bitmap.ClearSectors(o.sector, o.sectors(), e.size)
			e.answerWrite(o, wire.CmdInSync)
		case o.thin && allZero(data):
			e.send(wire.Message{Command: wire.CmdDeallocated, Sector: o.sector, Size: o.size})
		default:
			e.send(wire.Message{Command: reply, Sector: o.sector, ID: o.id, Size: o.size, Data: data})
		}
	}
	if err != nil {
		e.ioError(o)
	}
	e.free(o)
}

// dropPeerWork forgets what was under way for a connection that is gone. Disk
// operations that run go on, but nobody is told.
func (e *Engine) dropPeerWork() {
	forPeer := func(k opKind) bool {
		return k == peerWrite || k == peerRead || k == resyncRead || k == resyncStore || k == resyncFetch || k == verifyRead || k == resyncSum || k == epochFlush
	}
	for _, o := range e.ops {
		if forPeer(o.kind) {
			o.dropped = true
		}
	}
	kept := e.waiting[:0]
	for _, o := range e.waiting {
		if forPeer(o.kind) {
			e.releaseLog(o)
			continue
		}
		kept = append(kept, o)
	}
	clear(e.waiting[len(kept):])
	e.waiting = kept
	e.peerWrites, e.unflushed = 0, e.unflushed[:0]
	e.stopFetching()
}
