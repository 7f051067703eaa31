package engine

import (
	"bytes"
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// resyncRun is a resync under way.
type resyncRun struct {
	running bool // as target
	cursor  uint64
	started time.Duration
	total   uint64 // bits at the start
	failed  uint64 // sectors that could not be synced
	// fetching are the sectors asked for and not stored yet.
	fetching uint64
	arrived  uint64 // sectors since the last step of the controller
	// owed, in sectors, is what was asked for beyond the rate while applications are busy.
	owed     int64
	plan     []int64
	planAt   int
	first    bool
	nextStep time.Duration
	finish   bool // the last ping of the target is under way
	// peerDone, on the source: the target says that it has everything. Bits of writes
	// whose epoch is not confirmed may be left; with the last one the resync ends.
	peerDone bool
}

// unheardEnd is what the source of a resync knows of its end. A target that finishes is
// as good as the source, in the same generation, and may be promoted before the source
// hears of it; a source that is used alone then has to begin a generation, or nobody would
// see the split brain. The kernel does not.
type unheardEnd uint8

const (
	endHeard unheardEnd = iota // the target has not finished, or this node knows that it has
	// endLikely: the connection broke when nothing was left to be done. A target that had
	// not finished gets all data again.
	endLikely
	// endOfNothing: the same, and there never was anything to be done; a target that does not
	// know of the resync yet is as likely.
	endOfNothing
	// endUnlikely: this node, or its process, stopped in the middle. A target that had
	// finished gets all data again.
	endUnlikely
)

const (
	// stepTime is how often the target asks for more.
	stepTime = 100 * time.Millisecond
	// resyncExtent is what one request never crosses, in bits: 16 MiB.
	resyncExtent = 16 << 20 / metadata.BlockSize
	// maxRequestBits is the largest request, 1 MiB.
	maxRequestBits = 1 << 20 / metadata.BlockSize
)

// rewind makes the next pass look at a bit again.
func (r *resyncRun) rewind(bit uint64) { r.cursor = min(r.cursor, bit) }

// sendBitmapFirst is the source's part of the exchange: it sends first.
func (e *Engine) sendBitmapFirst() {
	e.bitmapIn = wire.NewBitmapCursor(e.bitmap.Len())
	e.sendBitmap()
}

func (e *Engine) sendBitmap() {
	cursor := wire.NewBitmapCursor(e.bitmap.Len())
	bits := wire.Bits{Words: e.bitmap.Words(), Len: e.bitmap.Len()}
	for !cursor.Done {
		var m wire.Message
		e.link.dialect.NextPiece(&cursor, bits, e.cfg.UseRLE, nil, &m)
		e.send(m)
	}
}

// receiveBitmap merges a piece of the peer's bitmap; with the last one the resync
// goes on to its next stage.
func (e *Engine) receiveBitmap(m *wire.Message) {
	conn := e.state.Conn()
	if !e.hasDisk || conn != wire.WFBitMapS && conn != wire.WFBitMapT {
		e.protocolError("unexpected " + m.Command.String())
		return
	}
	r := &e.bitmapIn
	if r.Bits != e.bitmap.Len() {
		*r = wire.NewBitmapCursor(e.bitmap.Len())
	}
	err := e.link.dialect.TakePiece(r, m,
		func(first, end uint64) { e.bitmap.SetRange(first, end) },
		func(i int, w uint64) { e.bitmap.OrWord(i, w) })
	if err != nil {
		e.protocolError(err.Error())
		return
	}
	if !r.Done {
		return
	}
	*r = wire.BitmapCursor{}
	if conn == wire.WFBitMapT {
		e.sendBitmap()
		e.change(e.state.WithConn(wire.WFSyncUUID), hard)
		e.persist()
		return
	}
	e.persist()
	e.beforeResync("before-resync-source", e.cfg.BeforeSource, func() {
		if e.state.Conn() == wire.WFBitMapS {
			// A target that sent its bitmap knows that it is outdated, whether it said so or not.
			e.change(e.state.WithConn(wire.SyncSource)&^wire.SuspendedFence, hard)
		}
	})
}

// startSource makes the identifier of this resync and tells the target.
func (e *Engine) startSource() {
	// The target has said that its data is outdated (where the volume grew: see unbegun), and what it misses has an identifier.
	e.unheard, e.newUUIDPending, e.added = endHeard, false, false
	if u := e.peer.uuids; u != nil && e.bitmap.Count() == e.bitmap.Len() {
		// Else resyncs that the target does not live to note would push the generation it comes with out of the
		// history: unrelated data.
		e.super.UUID.DescribeAll(u.Current)
	}
	sync := e.super.UUID.StartSource(e.randomUUID())
	e.resync = resyncRun{total: e.bitmap.Count(), started: e.now}
	e.persist()
	e.send(wire.Message{Command: wire.CmdSyncUUID, UUID: sync})
}

// receiveSyncUUID starts the resync on the target.
func (e *Engine) receiveSyncUUID(sync uint64) {
	if c := e.state.Conn(); c != wire.WFSyncUUID && c != wire.Behind {
		e.protocolError("unexpected SYNC_UUID")
		return
	}
	e.beforeResync("before-resync-target", e.cfg.BeforeTarget, func() {
		if c := e.state.Conn(); c == wire.WFSyncUUID || c == wire.Behind {
			e.startTarget(sync)
		}
	})
}

// startTarget begins the resync.
func (e *Engine) startTarget(sync uint64) {
	e.super.UUID.StartTarget(sync, e.state.Role() == wire.Primary)
	e.added, e.merged = false, true
	for _, list := range [][]*op{e.sending.log, e.active} {
		for _, o := range list {
			o.undone = o.undone || o.kind == appWrite && o.net != partOK
		}
	}
	e.resync = resyncRun{running: true, total: e.bitmap.Count(), started: e.now, first: true, nextStep: e.now, fetching: e.outstanding()}
	e.change(e.state.WithConn(wire.SyncTarget), hard)
	e.persist()
	e.tickResync()
	e.maybeFinishTarget()
}

// tickResync asks for the next blocks, at the rate of the controller.
func (e *Engine) tickResync() {
	r := &e.resync
	if !r.running || e.state.Conn() != wire.SyncTarget || e.now < r.nextStep {
		return
	}
	for r.nextStep <= e.now {
		r.nextStep += stepTime
	}
	budget, yields := e.yieldToApplications(int64(e.resyncBudget()))
	window := uint64(max(e.cfg.MaxBuffers, 2)) / 2 * sectorsPerPage
	for budget > 0 && r.fetching < window {
		bits := e.nextRequest()
		if bits == 0 {
			break
		}
		budget -= int64(bits) * metadata.SectorsPerBit
	}
	if r.owed = 0; yields {
		r.owed = max(0, -budget)
	}
	e.maybeFinishTarget()
}

const sectorsPerPage = metadata.BlockSize / metadata.SectorSize

// busySectors is how much applications read and write in a step before a resync makes room
// for them, as in the kernel.
const busySectors = 64

// yieldToApplications cuts the budget of a step down to c-min-rate while applications are
// busy. A request may be larger than that: the next steps pay for it.
func (e *Engine) yieldToApplications(budget int64) (int64, bool) {
	busy := e.applied > busySectors
	e.applied = 0
	if !busy || e.cfg.MinRate == 0 {
		return budget, false
	}
	return min(budget, int64(perStep(e.cfg.MinRate))-e.resync.owed), true
}

// perStep is what a rate in KiB/s gives for a step, in sectors: a block at least.
func perStep(kib uint64) uint64 { return max(kib*2/10, metadata.SectorsPerBit) }

// resyncBudget is how many sectors may be asked for in this step.
func (e *Engine) resyncBudget() uint64 {
	r := &e.resync
	came := r.arrived
	r.arrived = 0
	steps := int(e.cfg.PlanAhead / stepTime)
	if steps == 0 {
		return perStep(e.cfg.ResyncRate)
	}
	if len(r.plan) != steps {
		r.plan, r.planAt = make([]int64, steps), 0
	}
	var want uint64
	switch {
	case r.first:
		want = perStep(e.cfg.ResyncRate) * uint64(steps)
		r.first = false
	case e.cfg.FillTarget != 0:
		want = e.cfg.FillTarget
	default:
		want = came * uint64(e.cfg.DelayTarget/stepTime)
	}
	correction := int64(want) - int64(r.fetching)
	for _, p := range r.plan {
		correction -= p
	}
	for i := range r.plan {
		r.plan[i] += correction / int64(steps)
	}
	head := r.plan[r.planAt]
	r.plan[r.planAt] = 0
	r.planAt = (r.planAt + 1) % steps
	budget := max(0, int64(came)+head)
	if e.cfg.MaxRate != 0 {
		budget = min(budget, int64(perStep(e.cfg.MaxRate)))
	}
	if budget == 0 && r.fetching == 0 {
		budget = metadata.SectorsPerBit // never stand still
	}
	return uint64(budget)
}

// nextRequest asks for the next run of dirty blocks and gives its length in bits, 0
// when nothing can be asked for now.
func (e *Engine) nextRequest() uint64 {
	r := &e.resync
	for range 2 {
		for bit, ok := e.bitmap.NextSet(r.cursor); ok; bit, ok = e.bitmap.NextSet(bit + 1) {
			n, thin := e.thinRun(bit, e.runOf(bit))
			sector := bit * metadata.SectorsPerBit
			size := min((bit+n)*metadata.SectorsPerBit, e.size) - sector
			o := e.newOp(resyncFetch, sector, uint32(size)*metadata.SectorSize)
			if e.fetchBlocked(o) {
				e.free(o)
				continue
			}
			o.id = wire.SyncerID
			e.activate(o)
			r.cursor = bit + n
			r.fetching += size
			request := wire.CmdResyncRequest
			if thin {
				request = wire.CmdThinRequest
			}
			if e.comparesFirst() {
				e.enqueue(e.newOp(resyncSum, sector, o.size))
			} else {
				e.send(wire.Message{Command: request, Sector: sector, ID: wire.SyncerID, Size: o.size})
			}
			return n
		}
		if r.cursor == 0 {
			break
		}
		r.cursor = 0 // blocks that were passed over
	}
	return 0
}

// comparesFirst tells whether a block is only fetched if its digest differs from the
// source's (csums-alg).
func (e *Engine) comparesFirst() bool {
	if !knownHash(e.cfg.CsumsAlg) || e.link.dialect.Version < 89 {
		return false
	}
	u := e.peer.uuids
	return !e.cfg.CsumsAfterCrashOnly || e.crashed || u != nil && u.Flags&wire.UUIDCrashedPrimary != 0
}

// sumRead sends the digest of an own block to the source.
func (e *Engine) sumRead(o *op, data []byte, err error) {
	e.deactivate(o)
	defer e.free(o)
	switch {
	case err != nil:
		e.ioError(o)
		if e.hasDisk && !o.dropped && e.resync.running {
			// Then the data itself has to come.
			e.send(wire.Message{Command: wire.CmdResyncRequest, Sector: o.sector, ID: wire.SyncerID, Size: o.size})
		}
	case !o.dropped && e.resync.running:
		e.send(wire.Message{Command: wire.CmdChecksumRequest, Sector: o.sector, ID: wire.SyncerID, Size: o.size, Digest: digestOf(e.cfg.CsumsAlg, data)})
	}
}

// alreadyInSync: the source's block has the digest of ours.
func (e *Engine) alreadyInSync(m *wire.Message) {
	// The kernel leaves garbage in the id.
	if !e.fetched(m.Sector, m.Size) {
		if !e.resyncIsOver() {
			e.protocolError("an unexpected answer to a digest")
		}
		return
	}
	n := uint64(m.Size) / metadata.SectorSize
	e.resync.arrived += n
	// A source that is Ahead may have written the block since.
	if e.hasDisk && e.state.Conn() != wire.Behind {
		e.bitmap.ClearSectors(m.Sector, n, e.size)
	}
	e.maybeFinishTarget()
}

// requestBits is the largest request.
func (e *Engine) requestBits() uint64 {
	return min(maxRequestBits, uint64(e.maxBlock())/metadata.BlockSize)
}

// runOf is the length of a request that begins at a dirty bit: it grows only as far
// as its start is aligned, and stays in its extent.
func (e *Engine) runOf(bit uint64) uint64 {
	n := uint64(1)
	for n < e.requestBits() && bit+n < e.bitmap.Len() && e.bitmap.Test(bit+n) && (bit+n)%resyncExtent != 0 {
		if n&(n-1) == 0 && bit%(2*n) != 0 {
			break
		}
		n++
	}
	return n
}

// thinRun fits a run of dirty blocks to the areas that may hold nothing but zeroes: it
// ends where an area ends, and thin tells that it is a whole one.
func (e *Engine) thinRun(bit, n uint64) (uint64, bool) {
	area := uint64(e.cfg.DiscardGranularity / metadata.BlockSize)
	if area == 0 || area > maxRequestBits || e.link.dialect.Features&wire.FeatureThinResync == 0 {
		return n, false
	}
	n = min(n, area-bit%area)
	return n, n == area && (bit+n)*metadata.SectorsPerBit <= e.size
}

func allZero(b []byte) bool {
	return len(b) > 0 && b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1])
}

// fetchBlocked tells whether blocks are being fetched or written already.
func (e *Engine) fetchBlocked(o *op) bool {
	for _, a := range e.active {
		if a.overlaps(o) && (a.kind == resyncFetch || a.kind == appWrite || a.kind == resyncStore) {
			return true
		}
	}
	for _, w := range e.waiting {
		if w.overlaps(o) && (w.kind == appWrite || w.kind == resyncStore) {
			return true
		}
	}
	return false
}

// fetchOf finds a request of ours that is not answered yet, or whose block is here and
// being stored.
func (e *Engine) fetchOf(sector uint64, size uint32, here bool) *op {
	for _, a := range e.active {
		if a.kind == resyncFetch && a.here == here && a.sector == sector && a.size == size {
			return a
		}
	}
	return nil
}

// endFetch lets own writes at the place of a request begin.
func (e *Engine) endFetch(a *op) {
	e.deactivate(a)
	e.resync.fetching -= a.sectors()
	e.free(a)
}

// fetched ends a request of ours that brought nothing to store.
func (e *Engine) fetched(sector uint64, size uint32) bool {
	a := e.fetchOf(sector, size, false)
	if a == nil {
		return false
	}
	e.endFetch(a)
	return true
}

// resyncIsOver tells whether the answer to a request may come late: the disk was lost in
// the middle of the resync.
func (e *Engine) resyncIsOver() bool {
	c := e.state.Conn()
	return !e.hasDisk || !inSync(c) && c != wire.Behind && c != wire.VerifyS
}

// resyncArrived stores a block that was asked for.
func (e *Engine) resyncArrived(m *wire.Message) {
	a := e.fetchOf(m.Sector, m.Size, false)
	switch {
	case a != nil:
	case e.resyncIsOver():
		e.send(wire.Message{Command: wire.CmdNegAck, Sector: m.Sector, ID: wire.SyncerID, Size: m.Size})
		return
	default:
		e.protocolError("an unexpected block of a resync")
		return
	}
	e.resync.arrived += uint64(m.Size) / metadata.SectorSize
	o := e.newOp(resyncStore, m.Sector, m.Size)
	o.data, o.id = m.Data, wire.SyncerID
	o.zero = m.Command == wire.CmdDeallocated
	o.trim = o.zero
	// The request stays in the way of own writes until the block is stored: one that
	// came in between would be overwritten with what the source had before it.
	a.here = true
	e.enqueue(o)
}

func (e *Engine) resyncStored(o *op, err error) {
	e.deactivate(o)
	if !o.dropped {
		if a := e.fetchOf(o.sector, o.size, true); a != nil {
			e.endFetch(a)
		}
		if err != nil || !e.hasDisk {
			e.answerWrite(o, wire.CmdNegAck)
		} else {
			e.bitmap.ClearSectors(o.sector, o.sectors(), e.size)
			e.answerWrite(o, wire.CmdResyncWriteAck)
		}
	}
	if err != nil {
		e.ioError(o)
		if e.hasDisk {
			e.resync.failed += o.sectors()
		}
	}
	e.free(o)
	e.maybeFinishTarget()
}

// resyncRefused: the source could not read a block; it stays out of sync.
func (e *Engine) resyncRefused(m *wire.Message) {
	if !e.fetched(m.Sector, m.Size) {
		if !e.resyncIsOver() {
			e.protocolError("refusal of an unknown request")
		}
		return
	}
	if e.verify.running {
		e.verify.failed++
		e.maybeFinishVerify()
		return
	}
	if m.Command == wire.CmdNegResyncReply {
		e.resync.failed += uint64(m.Size) / metadata.SectorSize
	}
	e.maybeFinishTarget()
}

// resyncAnswered: the target has stored a block.
func (e *Engine) resyncAnswered(m *wire.Message) {
	if !e.hasDisk || !e.inside(m) {
		return
	}
	n := uint64(m.Size) / metadata.SectorSize
	if m.Command == wire.CmdNegAck {
		e.resync.failed += n
		e.differs(m.Sector, n)
		return
	}
	e.bitmap.ClearSectors(m.Sector, n, e.size)
}

// maybeFinishTarget begins the end of the resync when everything is here. The ping
// makes sure that the source has seen all acknowledgements before it hears that the
// resync is done.
func (e *Engine) maybeFinishTarget() {
	r := &e.resync
	if !r.running || r.finish || e.state.Conn() != wire.SyncTarget || r.fetching > 0 || e.peerWrites > 0 {
		return
	}
	if e.bitmap.Count() > 0 && r.failed == 0 {
		return
	}
	r.finish = true
	e.ping(func() {
		if e.state.Conn() != wire.SyncTarget || !e.resync.running {
			e.resync.finish = false // paused at the last moment
			return
		}
		if e.bitmap.Count() > 0 && e.resync.failed == 0 || e.resync.fetching > 0 || e.peerWrites > 0 {
			e.resync.finish = false // more came meanwhile
			return
		}
		e.finishTarget()
	})
}

func (e *Engine) finishTarget() {
	failed := e.resync.failed > 0
	e.resync = resyncRun{}
	ns := e.state.WithConn(wire.Connected)
	if !failed {
		u := e.peer.uuids
		source := metadata.Generations{Current: u.Current, Bitmap: u.Bitmap, History: u.History}
		e.super.UUID.FinishTarget(source, e.state.Role() == wire.Primary)
		e.peerIsEqual()
		e.exposed = e.super.UUID.Current
		e.crashed = false
		ns = ns.WithDisk(wire.UpToDate)
	}
	e.note("resync done")
	e.change(ns, hard)
	e.persist()
	e.emit(Effect{Kind: RunHandler, Name: "after-resync-target"})
}

// targetMayBeDone tells whether the target may call itself UpToDate: all bits that are
// left are of writes it has acknowledged as in sync, whose epoch is not confirmed yet.
func (e *Engine) targetMayBeDone() bool {
	left := e.bitmap.Count()
	for _, o := range e.sending.log {
		if o.kind != appWrite || !o.inSync || o.dropped {
			continue
		}
		first := o.sector / metadata.SectorsPerBit
		n := e.bitmap.CountRange(first, (o.end()+metadata.SectorsPerBit-1)/metadata.SectorsPerBit)
		left -= min(left, n)
	}
	return left*metadata.SectorsPerBit <= e.resync.failed
}

// maybeFinishSource ends the resync on the source once no bits are left that the
// target does not know of.
func (e *Engine) maybeFinishSource() {
	r := &e.resync
	if v := e.link.dialect.Version; v != 0 && v < 96 && !r.peerDone && !r.finish && e.hasDisk && e.state.Conn() == wire.SyncSource && e.bitmap.Count()*metadata.SectorsPerBit <= r.failed {
		// The target says nothing in these protocols: the bitmap does.
		r.finish = true
		e.ping(func() {
			r.finish = false
			if e.state.Conn() == wire.SyncSource && e.bitmap.Count()*metadata.SectorsPerBit <= r.failed {
				r.peerDone = true
				e.maybeFinishSource()
			}
		})
		return
	}
	if e.resync.peerDone && e.hasDisk && inSync(e.state.Conn()) && e.bitmap.Count()*metadata.SectorsPerBit <= e.resync.failed {
		e.finishSource()
	}
}

// finishSource ends the resync on the source, on the word of the target.
func (e *Engine) finishSource() {
	e.resync, e.unbegun = resyncRun{}, false
	e.super.UUID.FinishSource()
	e.peerIsEqual()
	e.crashed = false
	e.note("resync done")
	e.change(e.state.WithConn(wire.Connected).WithPeerDisk(wire.UpToDate), hard)
	e.persist()
	if e.peerHasAll() {
		e.runUnfence()
	}
}

// peerIsEqual notes the identifiers that the peer has after a resync. It does not send them,
// and may be the source of the next one on this connection.
func (e *Engine) peerIsEqual() {
	if u := e.peer.uuids; u != nil {
		g := e.super.UUID
		u.Current, u.Bitmap, u.History = g.Current, g.Bitmap, g.History
	}
}

// stopFetching forgets what was asked for in a resync that ended early.
func (e *Engine) stopFetching() {
	active := e.active[:0]
	for _, o := range e.active {
		if o.kind != resyncFetch {
			active = append(active, o)
		}
	}
	clear(e.active[len(active):])
	e.active = active
	e.resync, e.verify = resyncRun{}, verifyRun{}
}
