package engine

import (
	"errors"
	"slices"
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// Errors that requests of applications end with.
var (
	ErrNotPrimary = errors.New("the volume is not Primary on this node")
	ErrRange      = errors.New("the request is outside of the volume or not a multiple of a sector")
	ErrIO         = errors.New("no copy of the data could be written or read")
)

// maxDiscard is the largest trim in one request, in bytes.
const maxDiscard = 128 << 20

// sendSide is what a node keeps about its own writes.
type sendSide struct {
	log      []*op // transfer log: mirrored writes whose epoch is not confirmed
	logFor   *op   // the write whose transaction is under way
	flushes  []*op // that wait for the peer
	bitsTold uint64
	inUse    bool
	turn     bool // of reads, when they alternate
	requests int  // of applications, not completed
	// inFlight are the sectors sent whose epoch is not confirmed.
	inFlight   uint64
	quietSince time.Duration // since when an Ahead node has nothing on its way
	giveUp     bool          // congestion: end the connection at the next tick
	// losses counts how often something that was answered may have got lost, told those that a flush behind them has
	// failed for.
	losses, told uint32
	// refused: the peer could not store a write, or took one back, and its word on its disk is under way.
	refused bool
}

// epochs are those of the own writes of all volumes.
type epochs struct {
	epoch      uint32 // number of the epoch that is open
	inEpoch    int    // writes sent in it
	closed     bool   // the open epoch is to be closed before the next write
	unanswered []epochSent
}

// epochSent is an epoch whose barrier was sent.
type epochSent struct {
	number uint32
	writes int
	at     time.Duration
}

// connect begins a new connection; the number of the epoch goes on.
func (s *epochs) connect() {
	s.inEpoch, s.closed, s.unanswered = 0, false, nil
}

func (s *sendSide) busy() bool { return s.requests > 0 }

// Opened tells the engine whether somebody has the device open; a Primary in use is
// not demoted.
func (e *Engine) Opened(inUse bool) { e.sending.inUse = inUse }

// Write starts a write. data belongs to the engine until the request completes.
func (e *Engine) Write(now time.Duration, tag, sector uint64, data []byte, fua bool) {
	e.now = now
	o := e.newOp(appWrite, sector, uint32(len(data)))
	o.appTag, o.data, o.fua = tag, data, fua
	e.accept(o, 1<<20)
}

// Zero writes zeroes; with trim the room may be given back.
func (e *Engine) Zero(now time.Duration, tag, sector uint64, size uint32, trim bool) {
	e.now = now
	o := e.newOp(appWrite, sector, size)
	o.appTag, o.zero, o.trim = tag, true, trim
	e.accept(o, maxDiscard)
}

// Read starts a read.
func (e *Engine) Read(now time.Duration, tag, sector uint64, size uint32) {
	e.now = now
	o := e.newOp(appRead, sector, size)
	o.appTag = tag
	e.accept(o, 1<<20)
}

// Flush completes when all writes that completed before it are durable. One that fails says that some may be gone. All
// fail until one that began after the loss has said so, and no more then, as fsync does it.
func (e *Engine) Flush(now time.Duration, tag uint64) {
	e.now = now
	o := e.newOp(appFlush, 0, 0)
	o.appTag = tag
	e.accept(o, 0)
}

func (e *Engine) accept(o *op, limit uint32) {
	e.sending.requests++
	switch {
	case e.state.Role() != wire.Primary:
		e.complete(o, nil, ErrNotPrimary)
	case o.kind != appFlush && (o.size == 0 || o.size%metadata.SectorSize != 0 || o.size > limit || o.sector > e.size || o.sectors() > e.size-o.sector):
		e.complete(o, nil, ErrRange)
	default:
		if o.kind == appFlush {
			o.losses, o.told = e.sending.losses, e.sending.told
		}
		e.applied += o.sectors()
		e.enqueue(o)
	}
}

// complete answers the application.
func (e *Engine) complete(o *op, data []byte, err error) {
	if o.completed {
		return
	}
	o.completed = true
	e.sending.requests--
	e.emit(Effect{Kind: Complete, Tag: o.appTag, Data: data, Err: err, Kept: o.abandoned})
}

// mayStartWrite tells whether the state lets writes of applications through.
func (e *Engine) mayStartWrite() bool {
	if e.state&anySuspended != 0 || e.untold {
		return false
	}
	switch e.state.Conn() {
	case wire.WFBitMapT, wire.WFSyncUUID, wire.StartingSyncT, wire.WFReportParams:
		return false
	case wire.WFBitMapS, wire.StartingSyncS:
		if e.link.dialect.Version < 96 {
			return false // nothing tells the target what is written meanwhile
		}
		// Not before the peer knows that its data is outdated: it might be promoted
		// with it when the connection breaks now.
		return e.peerKnowsItIsTarget()
	}
	return e.state.Disk() != wire.Attaching && e.state.Disk() != wire.Negotiating
}

// mirrors tells whether writes go to the peer as data.
func (e *Engine) mirrors() bool {
	s := e.state
	if !e.link.up {
		return false
	}
	return s.PeerDisk() == wire.UpToDate && s.Conn() >= wire.Connected && s.Conn() < wire.Ahead && s.Conn() != wire.WFBitMapS ||
		s.PeerDisk() >= wire.Inconsistent && s.Conn() >= wire.WFBitMapT && s.Conn() < wire.Ahead
}

// run starts an operation that nothing stands in the way of. It gives true when
// others may have become startable by it.
func (e *Engine) run(o *op) bool {
	switch o.kind {
	case appWrite:
		e.runWrite(o)
	case appRead:
		e.runRead(o)
	case appFlush:
		e.runFlush(o)
	case peerWrite, resyncStore:
		e.activate(o)
		e.writeDisk(o)
	case peerRead, resyncRead, verifyRead, resyncSum:
		e.activate(o)
		e.readDisk(o)
	}
	return o.completed
}

func (e *Engine) writeDisk(o *op) {
	e.startOp(o)
	e.emit(Effect{Kind: WriteDisk, Tag: o.tag, Sector: o.sector, Size: o.size, Data: o.data, Zero: o.zero, Discard: o.trim, FUA: o.fua,
		Peer: o.kind != appWrite})
}

func (e *Engine) readDisk(o *op) {
	e.startOp(o)
	e.emit(Effect{Kind: ReadDisk, Tag: o.tag, Sector: o.sector, Size: o.size})
}

// runWrite sends a write to the disk and to the peer.
func (e *Engine) runWrite(o *op) {
	if e.mirrors() {
		e.congested()
	}
	conn := e.state.Conn()
	mirror := e.mirrors()
	if !e.hasDisk && !mirror || e.hasDisk && e.state.Disk() < wire.UpToDate && !mirror && e.state.PeerDisk() != wire.UpToDate {
		if e.hasDisk && o.written {
			e.differs(o.sector, o.sectors())
		}
		e.releaseLog(o)
		e.complete(o, nil, ErrIO)
		return
	}
	e.activate(o)
	if e.hasDisk {
		o.local = partPending
		e.writeDisk(o)
	}
	switch {
	case mirror:
		e.mirror(o)
	case conn == wire.WFBitMapS || conn == wire.Ahead:
		// The bitmap is on its way; what changes after it was read is told apart.
		if e.differs(o.sector, o.sectors()) > 0 {
			e.send(wire.Message{Command: wire.CmdOutOfSync, Sector: o.sector, Size: o.size})
		}
	case e.hasDisk:
		e.differs(o.sector, o.sectors())
	}
	if o.net == partOK && o.local == partNone {
		e.settleWrite(o) // an old dialect of protocol A: nobody answers
	}
}

// mirror sends a write to the peer, in the epoch that is open.
func (e *Engine) mirror(o *op) {
	if s := &e.epochs; s.closed || s.inEpoch >= max(1, e.cfg.MaxEpochSize) {
		e.closeEpoch()
	}
	m := wire.Message{Command: wire.CmdData, Sector: o.sector, ID: o.tag, Data: o.data, Size: o.size, Flags: wire.FlagSync}
	switch {
	case o.zero && o.trim && e.link.dialect.Features&wire.FeatureTrim != 0:
		m.Command, m.Flags = wire.CmdTrim, m.Flags|wire.FlagDiscard
	case o.zero && e.link.dialect.Features&wire.FeatureZeroes != 0:
		m.Command, m.Flags = wire.CmdZeroes, m.Flags|wire.FlagZeroes
		if o.trim {
			m.Flags |= wire.FlagDiscard
		}
	} // else a peer that knows neither gets the zeroes themselves
	if o.fua {
		m.Flags |= wire.FlagFUA
	}
	e.transfer(o, &m)
}

func (e *Engine) transfer(o *op, m *wire.Message) {
	o.net, o.epoch, o.sentAt, o.inLog = partPending, e.epochs.epoch, e.now, true
	e.epochs.inEpoch += e.packets(o, m.Command)
	e.sending.inFlight += o.sectors()
	e.sending.log = append(e.sending.log, o)
	syncing := e.state.Conn() >= wire.SyncSource && e.state.Conn() <= wire.PausedSyncT
	if syncing {
		m.Flags |= wire.FlagMayClear
	}
	switch {
	case !e.saysWhichAnswer():
		m.Flags &= e.link.dialect.KnownFlags()
		syncing = false
	case e.cfg.Protocol == ProtocolC || syncing || o.local == partNone:
		// Without an own disk there is no copy before the peer has one.
		syncing = true
		m.Flags |= wire.FlagWantWriteAck
	case e.cfg.Protocol == ProtocolB:
		m.Flags |= wire.FlagWantReceiveAck
	}
	e.sendParts(o, *m)
	if e.cfg.Protocol == ProtocolA && !syncing {
		o.net = partOK
	}
}

// closeEpoch sends the barrier of the open epoch, if it has writes.
func (r *Resource) closeEpoch() {
	s := &r.epochs
	s.closed = false
	if s.inEpoch == 0 || !r.link.up {
		return
	}
	// The number is opaque for the peer.
	r.tell(wire.Message{Command: wire.CmdBarrier, Number: s.epoch})
	s.unanswered = append(s.unanswered, epochSent{s.epoch, s.inEpoch, r.now})
	s.epoch++
	s.inEpoch = 0
}

// appDiskDone is the local half of a request of an application.
func (e *Engine) appDiskDone(o *op, data []byte, err error) {
	switch o.kind {
	case appRead:
		e.readDone(o, data, err)
		return
	case appFlush:
		o.local = partOK
		if err != nil {
			o.local = partFailed
			e.giveUpDisk()
		}
		// Losing the disk settles all flushes that wait for nothing else, this one, too.
		if slices.Contains(e.sending.flushes, o) {
			e.settleFlush(o)
		}
		return
	}
	o.local = partOK
	if err != nil {
		o.local = partFailed
		e.ioError(o)
	}
	if e.state.PeerDisk() < wire.Inconsistent { // its bits are set, see peerLostDisk
		e.releaseLog(o)
	}
	e.settleWrite(o)
}

// settleWrite completes a write whose halves are both done.
func (e *Engine) settleWrite(o *op) {
	if o.local == partPending || o.net == partPending {
		return
	}
	e.deactivate(o)
	if o.postponed {
		e.restart(o)
		return
	}
	if !o.completed {
		switch {
		case e.mustHold(o):
			o.held = true
			e.sending.keep(o)
			return
		case !e.stored(o):
			e.complete(o, nil, ErrIO)
		default:
			e.complete(o, nil, nil)
		}
		if o.inLog && o.epoch == e.epochs.epoch && e.link.up {
			// The application knows of a write in the open epoch: what it writes next
			// belongs behind a barrier.
			e.closeEpoch()
		}
	}
	if !o.inLog {
		e.retire(o)
	}
}

// mustHold tells whether a completion has to wait: the write is not on the peer, and
// the peer is not yet known to be out of the way, or good data may come back.
func (e *Engine) mustHold(o *op) bool {
	return e.state&anySuspended != 0 && (o.net != partOK || !e.stored(o))
}

// stored tells whether a write is on a disk whose data is good. One that only the target of
// a resync has would be overwritten by the next resync, or is missed where the good data is.
func (e *Engine) stored(o *op) bool {
	return e.storedHere(o) || o.net == partOK && e.state.PeerDisk() != wire.Inconsistent
}

func (e *Engine) storedHere(o *op) bool {
	return o.local == partOK && e.state.Disk() == wire.UpToDate && !o.undone
}

// keep remembers a request that is done but not completed.
func (s *sendSide) keep(o *op) {
	if !o.inLog {
		o.inLog = true
		s.log = append(s.log, o)
	}
}

// retire ends a write: its epoch is confirmed or the peer is gone. What the peer does not have has its bits since
// that was known: set again, they might come behind a resync whose target does not know of them.
func (e *Engine) retire(o *op) {
	o.inLog = false
	if e.hasDisk {
		switch {
		case o.local == partFailed:
			e.differs(o.sector, o.sectors())
		case o.local == partOK && o.net == partOK && o.inSync:
			e.bitmap.ClearSectors(o.sector, o.sectors(), e.size)
		}
	}
	e.releaseLog(o)
	e.free(o)
}

// writeAnswered is the peer's half of a write.
func (e *Engine) writeAnswered(m *wire.Message) {
	o := e.transferred(m.ID, m.Sector)
	if o == nil {
		if m.Command == wire.CmdNegAck {
			if e.hasDisk {
				e.differs(m.Sector, uint64(m.Size)/metadata.SectorSize)
			}
			return
		}
		e.protocolError("acknowledgement of an unknown write")
		return
	}
	switch m.Command {
	case wire.CmdNegAck:
		o.net = partFailed
		e.sending.refused = e.state.PeerDisk() > wire.Inconsistent
		if e.hasDisk {
			e.differs(o.sector, o.sectors())
		}
		if o.completed && !e.storedHere(o) {
			e.mayBeGone()
		}
	case wire.CmdRetryWrite:
		e.forget(o)
		o.net, o.postponed = partNone, true
	default:
		// Of several packets the weakest answer counts.
		inSync := m.Command == wire.CmdResyncWriteAck
		if o.parts--; o.parts > 0 {
			o.partly = o.partly || !inSync
			return
		}
		if inSync {
			o.inSync = !o.partly
		}
		if o.net == partPending || inSync && o.net != partFailed {
			o.net = partOK
		}
	}
	e.settleWrite(o)
	e.pump()
}

func (e *Engine) transferred(id, sector uint64) *op {
	for _, o := range e.sending.log {
		if o.tag == id && (o.sector == sector || o.size > e.maxBlock() && o.sector < sector && sector < o.end()) && !o.dropped {
			return o
		}
	}
	return nil
}

// unconfirmed tells whether the peer may not have something for good that was written here.
func (e *Engine) unconfirmed() bool {
	return slices.ContainsFunc(e.sending.log, func(o *op) bool { return o.kind == appWrite && !o.dropped })
}

// barrierAnswered ends the oldest epoch.
func (r *Resource) barrierAnswered(m *wire.Message) {
	s := &r.epochs
	if len(s.unanswered) == 0 || s.unanswered[0].number != m.Number || s.unanswered[0].writes != int(m.Count) {
		r.protocolError("acknowledgement of an epoch that does not fit")
		return
	}
	s.unanswered = slices.Delete(s.unanswered, 0, 1)
	for _, e := range r.volumes {
		if !e.confirmEpoch(m.Number) {
			r.protocolError("an epoch ends before its writes")
			return
		}
	}
	for _, e := range r.volumes {
		e.maybeDemote()
	}
}

// confirmEpoch ends the writes of an epoch. It gives false when the peer has not
// answered all of them.
func (e *Engine) confirmEpoch(number uint32) bool {
	s, complete := &e.sending, true
	kept := s.log[:0]
	for _, o := range s.log {
		switch {
		case o.dropped || o.held || o.kind != appWrite || o.epoch != number:
			kept = append(kept, o)
		case o.net == partPending:
			kept = append(kept, o)
			complete = false
		case o.local == partPending:
			// The disk is slower than the peer; retired by settleWrite.
			o.inLog = false
			s.inFlight -= o.sectors()
		default:
			s.inFlight -= o.sectors()
			e.retire(o)
		}
	}
	clear(s.log[len(kept):])
	s.log = kept
	for _, f := range append([]*op(nil), s.flushes...) {
		e.settleFlush(f)
	}
	e.pump()
	return complete
}

// runFlush closes the epoch and flushes the local disk.
func (e *Engine) runFlush(o *op) {
	e.closeEpoch()
	o.local, o.net = partOK, partOK
	if len(e.epochs.unanswered) > 0 {
		o.net, o.epoch = partPending, e.epochs.epoch-1
	}
	e.sending.flushes = append(e.sending.flushes, o)
	if e.hasDisk {
		o.local = partPending
		e.startOp(o)
		e.emit(Effect{Kind: FlushDisk, Tag: o.tag})
	}
	e.settleFlush(o)
}

func (e *Engine) settleFlush(o *op) {
	s := &e.sending
	if o.net == partPending && !e.awaitsEpochs(o) {
		o.net = partOK
	}
	if o.local == partPending || o.net == partPending {
		return
	}
	for i, f := range s.flushes {
		if f == o {
			s.flushes = append(s.flushes[:i], s.flushes[i+1:]...)
			break
		}
	}
	var err error
	if s.losses != o.told {
		// One that nobody had been told of when this flush began, or that came since: then only the next one is behind it.
		s.told = max(s.told, o.losses)
		err = ErrIO
	}
	if !e.mirrors() && (o.local == partFailed || !e.hasDisk || e.state.Disk() < wire.UpToDate) {
		// What was written before is, if at all, where good data is, out of reach.
		err = ErrIO
	}
	e.complete(o, nil, err)
	e.free(o)
}

// awaitsEpochs tells whether a flush waits for what is durable on the peer: always in protocol C, and in the others
// unless there is a good copy here.
func (e *Engine) awaitsEpochs(o *op) bool {
	if e.cfg.Protocol != ProtocolC && o.local == partOK && e.state.Disk() == wire.UpToDate {
		return false
	}
	return !e.link.up && e.state&anySuspended != 0 ||
		slices.ContainsFunc(e.epochs.unanswered, func(u epochSent) bool { return int32(u.number-o.epoch) <= 0 })
}
