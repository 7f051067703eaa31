package engine

import (
	"errors"
	"time"

	"gcrm/replication/metadata"
)

// opKind is what an operation is for.
type opKind uint8

const (
	appWrite opKind = iota + 1
	appRead         // of the local disk or the peer's
	appFlush
	peerWrite   // mirrored write of the peer
	peerRead    // read on behalf of a peer without a disk
	resyncRead  // a block the target asked for
	resyncFetch // a block this target asked for and does not have yet
	resyncStore // a block that came
	verifyRead  // a block whose digest is compared with the peer's
	epochFlush  // end of an epoch of the peer's
	resyncSum   // an own block whose digest goes to the source
	logWrite    // transaction of the activity log
)

// part is how far one half of a request is.
type part uint8

const (
	partNone part = iota // not involved
	partPending
	partOK
	partFailed
)

// op is a request or a step of one.
type op struct {
	kind   opKind
	tag    uint64 // ours
	appTag uint64
	sector uint64
	size   uint32 // bytes
	data   []byte
	zero   bool // trim or zeroes
	trim   bool
	fua    bool

	id     uint64 // of the peer's request
	digest []byte // to compare with; nil when the peer only wants ours
	flags  uint32 // of the peer's write

	local, net part
	epoch      uint32
	// of a flush: how many losses there were when it began, and how many had been told
	losses, told uint32
	parts        int  // packets of it that are not answered
	partly       bool // one of them left blocks that may differ, or it clears no bits for another reason
	sentAt       time.Duration
	began        time.Duration // on the disk
	inSync       bool          // the peer says that the blocks are in sync now
	logged       bool          // references in the activity log are held
	inLog        bool          // part of the transfer log, until the epoch is confirmed
	held         bool          // done, but the completion waits for the end of a suspension
	completed    bool
	restarted    bool
	dropped      bool // the connection it belongs to is gone
	postponed    bool // the peer wants its own write first
	chosen       bool // a read that went to the peer by choice
	thin         bool // a block of zeroes need not be sent
	abandoned    bool // the disk was given up while it was doing this
	written      bool // and is done again: the disk may have it, the peer not
	undone       bool // a resync to this node brings back what was there before it
	here         bool // the block of a resync that was asked for came, and is being stored
}

func (o *op) sectors() uint64 { return uint64(o.size) / metadata.SectorSize }
func (o *op) end() uint64     { return o.sector + o.sectors() }

// clearsNothing: whatever the peer has said or says about it, the blocks stay out of sync.
func (o *op) clearsNothing() { o.inSync, o.partly = false, true }

// differs notes that blocks are not alike from now on, and gives how many of them were. Older writes to them
// whose epoch is not confirmed yet clear nothing any more. O(unconfirmed writes).
func (e *Engine) differs(sector, sectors uint64) uint64 {
	for _, o := range e.sending.log {
		if o.sector < sector+sectors && sector < o.end() {
			o.clearsNothing()
		}
	}
	return e.bitmap.SetSectors(sector, sectors)
}

func (o *op) overlaps(p *op) bool { return o.sector < p.end() && p.sector < o.end() }

// excludes tells whether two overlapping operations must not run at the same time.
func (o *op) excludes(p *op) bool {
	writes := func(k opKind) bool { return k == appWrite || k == peerWrite || k == resyncStore }
	reads := func(k opKind) bool { return k == resyncRead || k == verifyRead || k == resyncSum }
	a, b := o.kind, p.kind
	switch {
	case writes(a) && writes(b):
		return true
	case reads(a) && writes(b), writes(a) && reads(b):
		// What goes to the target, or is compared, must not be older than a write that
		// went before it.
		return true
	case a == resyncFetch && b == appWrite, a == appWrite && b == resyncFetch:
		// The answer must not overwrite what an application wrote meanwhile.
		return true
	case a == peerRead && writes(b), writes(a) && b == peerRead:
		return true
	}
	return false
}

func (e *Engine) newOp(kind opKind, sector uint64, size uint32) *op {
	var o *op
	if n := len(e.freeOps); n > 0 {
		o, e.freeOps = e.freeOps[n-1], e.freeOps[:n-1]
		*o = op{}
	} else {
		o = new(op)
	}
	e.nextTag++
	o.kind, o.tag, o.sector, o.size = kind, e.nextTag, sector, size
	return o
}

// free gives an operation back that nothing refers to any more.
func (e *Engine) free(o *op) {
	if o.kind == 0 {
		// Two requests would share it: better no volume than one that mixes them up.
		panic("engine: an operation is given back twice")
	}
	o.kind = 0
	e.freeOps = append(e.freeOps, o)
}

// enqueue runs an operation as soon as nothing excludes it, in order of arrival.
func (e *Engine) enqueue(o *op) {
	e.waiting = append(e.waiting, o)
	e.pump()
}

// pump starts every waiting operation that can start. An operation never overtakes
// an earlier one that it would exclude.
func (e *Engine) pump() {
	if e.pumping {
		return
	}
	e.pumping = true
	var refused []*op
	for again := true; again; {
		again = false
		kept := e.waiting[:0]
		blockedApp := false
		for i, o := range e.waiting {
			if !e.hasDisk && o.needsDisk() {
				refused = append(refused, o)
				continue
			}
			ok := true
			if o.kind == appWrite || o.kind == appFlush {
				// Writes of the application keep their order: the log and suspensions
				// hold back all that come later. One that is to be done again has its
				// extents already, which those before it may be waiting for.
				ok = (!blockedApp || o.logged) && e.mayStartWrite()
				blockedApp = blockedApp || !ok
			}
			for j := 0; ok && j < len(kept); j++ {
				// What the peer wants overtakes own writes that have not begun: between
				// the two there is no order yet, and the peer may wait for ours. So do
				// the read of a verify and the block of a resync, whose requests keep
				// them from beginning, and a write that is to be done again. A write of
				// the peer overtakes its reads, too: one may wait for an own write that
				// the peer does not get to before it has the answer to its own.
				overtakes := kept[j].kind == appWrite && (o.kind != appWrite || o.logged && !kept[j].logged) ||
					kept[j].kind == peerRead && o.kind == peerWrite
				ok = overtakes || !(kept[j].overlaps(o) && kept[j].excludes(o))
			}
			for j := 0; ok && j < len(e.active); j++ {
				ok = !(e.active[j].overlaps(o) && e.active[j].excludes(o))
			}
			// One of the peer that was let in comes first: it has no conflict with what has
			// not begun, and nobody would decide about one that begins now.
			for j := i + 1; ok && o.kind == appWrite && e.peerWrites > 0 && j < len(e.waiting); j++ {
				ok = !(e.waiting[j].kind == peerWrite && e.waiting[j].overlaps(o))
			}
			if ok && (o.kind == appWrite || o.kind == peerWrite && e.peerWriteNeedsLog()) {
				ok = e.acquireLog(o)
				blockedApp = blockedApp || !ok
			}
			if !ok {
				kept = append(kept, o)
				continue
			}
			again = e.run(o) || again
		}
		clear(e.waiting[len(kept):])
		e.waiting = kept
	}
	e.pumping = false
	for _, o := range refused {
		e.diskDone(o, nil, errNoDisk)
	}
	if refused != nil {
		e.pump()
	}
}

// errNoDisk is what an operation ends with that waited, for the log or for others, while
// the disk was given up. Nothing may touch that any more: no log and no bitmap would know.
var errNoDisk = errors.New("the disk was given up")

// needsDisk tells whether an operation is for the local disk and nothing else.
func (o *op) needsDisk() bool {
	switch o.kind {
	case peerWrite, resyncStore, peerRead, resyncRead, verifyRead, resyncSum:
		return true
	}
	return false
}

// activate puts an operation among those that exclude others.
func (e *Engine) activate(o *op) { e.active = append(e.active, o) }

// deactivate takes it out again.
func (e *Engine) deactivate(o *op) {
	for i, a := range e.active {
		if a == o {
			last := len(e.active) - 1
			e.active[i], e.active[last] = e.active[last], nil
			e.active = e.active[:last]
			return
		}
	}
}

// acquireLog makes the extents of a write active. It gives false when the write has
// to wait for a transaction.
func (e *Engine) acquireLog(o *op) bool {
	if !e.hasDisk || e.cfg.NoALUpdates {
		return true
	}
	if o.logged {
		return e.sending.logFor != o
	}
	first, last := metadata.Extents(o.sector, o.sectors())
	if e.log.Hot(first, last) {
		o.logged = true
		return true
	}
	t, evicted, ok := e.log.Begin(first, last)
	if !ok {
		return false
	}
	// Begin took the references, so o is hot once the transaction is durable.
	o.logged = true
	var pages []int
	for _, x := range evicted {
		if p, dirty := e.bitmap.TakeDirtyExtent(x); dirty {
			pages = append(pages, p)
		}
	}
	w := e.newOp(logWrite, 0, 0)
	e.startOp(w)
	e.sending.logFor = o
	e.emit(Effect{Kind: WriteLog, Tag: w.tag, Flush: len(evicted) > 0, Pages: pages, Log: t})
	return false
}

func (e *Engine) releaseLog(o *op) {
	if !o.logged {
		return
	}
	o.logged = false
	first, last := metadata.Extents(o.sector, o.sectors())
	e.log.Release(first, last)
}

// DiskDone reports the end of a disk effect. data is what was read.
func (e *Engine) DiskDone(now time.Duration, tag uint64, data []byte, err error) {
	e.now = now
	o := e.ops[tag]
	if o == nil {
		return
	}
	delete(e.ops, tag)
	e.diskDone(o, data, err)
	e.pump()
	e.pumpData()
	e.maybeFinishSource()
}

// diskDone goes on with an operation.
func (e *Engine) diskDone(o *op, data []byte, err error) {
	switch o.kind {
	case logWrite:
		e.logWritten(err)
		e.free(o)
	case appWrite, appRead, appFlush:
		e.appDiskDone(o, data, err)
	case peerWrite:
		e.peerWriteDone(o, err)
	case epochFlush:
		e.epochFlushed(o, err)
	case peerRead, resyncRead:
		e.readForPeerDone(o, data, err)
	case verifyRead:
		e.verifyReadDone(o, data, err)
	case resyncStore:
		e.resyncStored(o, err)
	case resyncSum:
		e.sumRead(o, data, err)
	}
}

func (e *Engine) logWritten(err error) {
	e.sending.logFor = nil
	if err != nil {
		e.giveUpDisk()
		return
	}
	e.log.Commit()
}
