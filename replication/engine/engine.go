package engine

import (
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// Engine is one node's side of a volume. It is not safe for concurrent use.
type Engine struct {
	*Resource
	index int // among the volumes
	cfg   Config

	state wire.State
	// running: the peer's state of this connection came.
	running      bool
	seq, peerSeq uint32 // of the last message sent that counts, and of the last one seen
	peerWrites   int    // of the peer, under way
	// unflushed are the writes of the peer's epoch that are done.
	unflushed []written
	bitmapIn  wire.BitmapCursor
	// Local disk; super and bitmap have a meaning while hasDisk.
	hasDisk  bool
	capacity uint64 // sectors the disk has room for
	layout   metadata.Layout
	// growing: this node asked the peer to grow. Its answer starts the resync of what is new; until then the role, by
	// which both nodes tell who is the source, does not change.
	growing bool
	size    uint64 // agreed sectors
	// told is the size that this node had when it met its peer.
	told uint64
	// added: what was added to the volume counts as different, and no resync has an identifier for it yet.
	added bool
	// unbegun: this node became the source for what was added to the volume, and the peer may not know that it is the
	// target; its data is good, and it may be promoted.
	unbegun bool
	super   metadata.Superblock
	bitmap  *metadata.Bitmap
	log     *metadata.ActiveSet
	crashed bool // was a crashed primary and has not been in sync since
	// merged: the bits tell of all that this disk misses. When a resync to it has to begin, only the source knows
	// what was written while the disk or this node was away.
	merged bool
	// attachAs is what a disk that was attached while connected becomes, once the
	// nodes have compared their data; until then it is Negotiating.
	attachAs wire.Disk
	// onTrial: a Primary without a disk was met that has not said yet whether this is the
	// data it works with. If it is not, the disk is again what it was before.
	onTrial     bool
	beforeTrial wire.Disk
	// olderAttach: the peer attaches a disk with older data than this Primary, which has no
	// disk, worked with.
	olderAttach bool
	// leaving: this node goes, and the peer goes on; metadata that are written meanwhile say
	// that the data is outdated.
	leaving bool
	// exposed is the generation of the data the applications see.
	exposed uint64
	// takenAlone: a Primary without a disk took this one without its peer. It may be older than what it worked with.
	takenAlone bool
	// unheard is what may have happened to the last resync, whose source this node was.
	unheard unheardEnd
	// demoting are the commands that wait for the end of a demotion.
	demoting []uint64
	// newUUIDPending: a new generation is due as soon as I/O is thawed.
	newUUIDPending bool
	// untold: the peer asked for all data of this node, and may not have the answer yet. It is
	// not known to have noted that its own is no good.
	untold bool

	peer peerInfo

	sending sendSide
	applied uint64 // sectors that applications read and wrote, here or on the peer, since the last step of a resync
	resync  resyncRun
	verify  verifyRun

	ops     map[uint64]*op // disk and network operations by tag
	active  []*op          // those that exclude overlapping ones
	waiting []*op          // not started yet, in order of arrival
	freeOps []*op
	pumping bool
	nextTag uint64

	discardMyData bool
	// beginSync goes on with a resync when the handler before it has ended.
	beginSync func()
	// considerResync: the peer's disk became good by force while both were
	// Inconsistent; its next state leads to a resync.
	considerResync bool
}

// peerInfo is what the peer told on this connection, or before (identifiers).
type peerInfo struct {
	uuids *wire.UUIDs
	sizes *wire.Sizes
	state wire.State
	sync  bool // the settings of the resync came
	// equal: it was outdated, in the generation of this node. What it is told in the handshake makes
	// it good, also if nobody here hears of that.
	equal bool
}

// State is the present state.
func (e *Engine) State() wire.State { return e.state }

// Size is the agreed size in sectors, 0 when unknown.
func (e *Engine) Size() uint64 { return e.size }

// Bitmap is the bitmap of the local disk, nil without one. The runner reads it while
// it carries out Persist and WriteLog.
func (e *Engine) Bitmap() *metadata.Bitmap { return e.bitmap }

// Generations are the identifiers of the local data.
func (e *Engine) Generations() metadata.Generations { return e.super.UUID }

// OutOfSync is the number of sectors known to differ from the peer's.
func (e *Engine) OutOfSync() uint64 {
	if e.bitmap == nil {
		return 0
	}
	return e.bitmap.Count() * metadata.SectorsPerBit
}

func (e *Engine) emit(f Effect) {
	f.Volume = e.index
	e.out = append(e.out, f)
}

func (e *Engine) note(text string) { e.emit(Effect{Kind: Note, Name: text}) }

// send queues a message to the peer, if there is one that knows of the volume. While the connection is opened,
// a word about a volume would end it.
func (e *Engine) send(m wire.Message) {
	if !e.link.up || e.link.phase != phaseParams {
		return
	}
	m.Volume = e.cfg.Volume
	if m.Command.CountsInSequence() {
		e.seq++
		m.Seq = e.seq
	}
	e.link.lastSent = e.now
	e.emit(Effect{Kind: Send, Msg: m})
}

// persist writes the super block with flags that fit the state, and the changed
// pages of the bitmap.
func (e *Engine) persist() {
	if !e.hasDisk {
		return
	}
	e.super.Flags = e.flags()
	e.super.Magic = metadata.MagicUnclean
	e.super.AgreedSectors = e.size
	e.emit(Effect{Kind: Persist, Super: e.super, Pages: e.bitmap.TakeDirty(nil)})
}

// flags are the metadata flags of the present state.
func (e *Engine) flags() metadata.Flags {
	s := e.state
	f := e.super.Flags & metadata.FlagFullSync
	set := func(on bool, flag metadata.Flags) {
		if on {
			f |= flag
		}
	}
	disk, pdsk := s.Disk(), s.PeerDisk()
	if e.onTrial {
		disk = e.beforeTrial
	}
	if disk <= wire.Negotiating {
		// Going away or not yet decided: what was known of the data stays.
		f |= e.super.Flags & (metadata.FlagConsistent | metadata.FlagWasUpToDate)
	}
	set(disk > wire.Inconsistent, metadata.FlagConsistent)
	set(s.Role() == wire.Primary || pdsk < wire.Inconsistent && s.Peer() == wire.Primary && !e.onTrial, metadata.FlagPrimary)
	set(s.Conn() > wire.WFReportParams || e.unheard != endHeard, metadata.FlagConnected)
	set(disk > wire.Outdated && !e.leaving, metadata.FlagWasUpToDate)
	// A target becomes good by itself, and this node may never hear of it.
	syncing := s.Conn() == wire.SyncSource || s.Conn() == wire.PausedSyncS
	set(pdsk >= wire.Inconsistent && pdsk <= wire.Outdated && !syncing && !e.peer.equal, metadata.FlagPeerOutdated)
	set(e.crashed || e.ownsAdded(), metadata.FlagCrashedPrimary)
	set(e.cfg.NoALUpdates, metadata.FlagLogDisabled)
	return f
}

// how says with which authority a state is changed.
type how bool

const (
	soft how = false // asked for; may be refused
	hard how = true  // a fact
)

// change goes to the wanted state, corrected by sanitize, or says why not.
func (e *Engine) change(ns wire.State, h how) wire.Result {
	os := e.state
	ns = e.sanitize(os, ns)
	if ns == os {
		return wire.ResultNothing
	}
	if h == soft {
		if r := e.permitted(os, ns); !r.OK() {
			return r
		}
	}
	if r := possible(os, ns); !r.OK() {
		return r
	}
	e.state = ns
	e.afterChange(os, ns)
	return wire.ResultOK
}

// permitted are the checks of a soft change. A state that was already invalid in the
// same way does not stand in the way of a change.
func (e *Engine) permitted(os, ns wire.State) wire.Result {
	if r := e.valid(ns); !r.OK() && e.valid(os) != r {
		return r
	}
	if r := e.allowed(os, ns); !r.OK() {
		return r
	}
	return possible(os, ns)
}

// check tells what a soft change would give, without making it.
func (e *Engine) check(ns wire.State) wire.Result {
	ns = e.sanitize(e.state, ns)
	if ns == e.state {
		return wire.ResultNothing
	}
	return e.permitted(e.state, ns)
}

// afterChange does what follows from a change of state, in the kernel's order.
func (e *Engine) afterChange(os, ns wire.State) {
	e.note(ns.String())
	if ns.Disk() == wire.UpToDate && ns.PeerDisk() == wire.UpToDate && e.crashed {
		e.crashed = false
	}
	if os.Disk() == wire.Inconsistent && os.PeerDisk() == wire.Inconsistent && ns.Disk() == wire.Inconsistent && ns.PeerDisk() == wire.UpToDate &&
		ns.Conn() == wire.Connected {
		e.considerResync = true
	}
	if os.PeerDisk() != ns.PeerDisk() || ns.Conn() < wire.Connected {
		e.sending.refused = false
	}
	flagsBefore := e.super.Flags
	if os.Role() == wire.Primary && ns.Role() != wire.Primary {
		e.super.UUID.MarkPrimary(false)
		e.sending.told = e.sending.losses // nobody is left who could be told
		// The peer misses writes in the same generation: a crash must not make it an equal.
		e.crashed = e.crashed || ns.Conn() == wire.Ahead || e.missesHeld()
	}
	if os.Role() != wire.Primary && ns.Role() == wire.Primary && e.hasDisk {
		// Before anything is persisted: a disk must not become UpToDate by force in
		// the generation it had before.
		e.startPrimary(ns)
	}
	if inSync(os.Conn()) && ns.Conn() <= wire.Connected {
		e.stopFetching()
	}
	if ns.Conn() == wire.Behind && os.Conn() != wire.Behind {
		e.fallBehind()
	}
	if ns.Conn() == wire.VerifyS && os.Conn() != wire.VerifyS {
		e.verify = verifyRun{running: true, next: e.now}
	}
	if os.Conn() >= wire.Connected && ns.Conn() >= wire.Connected && os.PeerDisk() >= wire.Inconsistent && ns.PeerDisk() < wire.Inconsistent {
		e.peerLostDisk()
	}
	if e.unbegun && ns.Conn() <= wire.Connected {
		// The connection or the peer's disk is gone; that has the same generation, as if the resync had
		// ended, and may be promoted.
		e.unbegun, e.unheard = false, endLikely
	}
	bumped := e.newGenerationIfAlone(os, ns)
	if e.hasDisk && (bumped || e.flags() != flagsBefore || os.Disk() != ns.Disk() || os.Role() != ns.Role()) {
		e.persist()
	}
	if bumped {
		e.sendUUIDs()
	}
	primaryWithoutData := func(s wire.State) bool {
		return s.Role() == wire.Primary && s.Disk() < wire.UpToDate && s.PeerDisk() < wire.UpToDate
	}
	if primaryWithoutData(ns) && !primaryWithoutData(os) {
		e.emit(Effect{Kind: RunHandler, Name: "pri-on-incon-degr"})
	}
	// Became the source: the target waits for the identifier of this resync.
	isSource := func(s wire.State) bool { return s.Conn() == wire.SyncSource || s.Conn() == wire.PausedSyncS }
	if isSource(ns) && !isSource(os) {
		e.startSource()
	}
	leftHandshake := os.Conn() == wire.WFReportParams && ns.Conn() >= wire.Connected
	e.merged = e.merged && (ns.Conn() != wire.WFBitMapT || os.Conn() == wire.WFBitMapT)
	if leftHandshake {
		e.peer.equal, e.takenAlone, e.fence.stale = false, false, e.fence.running
	}
	gone := os.Disk() > wire.Failed && ns.Disk() <= wire.Failed
	worse := os.Disk() == wire.UpToDate && ns.Disk() == wire.Inconsistent && ns.Conn() >= wire.Connected && ns.Conn() != wire.StartingSyncT // which the peer knows
	paused := os&(wire.PausedAfter|wire.PausedByUser) != ns&(wire.PausedAfter|wire.PausedByUser)
	finished := os.Disk() < wire.UpToDate && os.Conn() >= wire.SyncSource && ns.Conn() == wire.Connected
	peerAttached := os.Conn() >= wire.Connected && ns.Conn() >= wire.Connected && os.PeerDisk() <= wire.Failed && ns.PeerDisk() >= wire.Negotiating
	if peerAttached {
		e.sendUUIDs()
	}
	pulledAhead := ns.Conn() == wire.Ahead && os.Conn() != wire.Ahead
	if pulledAhead || leftHandshake || gone || worse || paused || finished || peerAttached {
		e.sendState()
	}
	if ns.Conn() == wire.WFBitMapS && os.Conn() != wire.WFBitMapS {
		e.sendBitmapFirst()
	}
	if ns&anySuspended == 0 && os&anySuspended != 0 || os.Conn() != ns.Conn() || os.Disk() != ns.Disk() || os.PeerDisk() != ns.PeerDisk() {
		e.releaseHeld()
	}
	if e.mustFence(os, ns) {
		e.startFence()
	}
}

// newGenerationIfAlone starts a new generation when the peer's data was lost sight
// of, so that what is written from now on is known to be newer.
func (e *Engine) newGenerationIfAlone(os, ns wire.State) bool {
	if !e.hasDisk || ns.Disk() != wire.UpToDate || !e.mayFork(ns) || e.onTrial {
		return false
	}
	known := func(d wire.Disk) bool { return d >= wire.Inconsistent && d != wire.DUnknown && d != wire.Outdated }
	lost := known(os.PeerDisk()) && !known(ns.PeerDisk()) || os.PeerDisk() == wire.Outdated && os.Conn() >= wire.Connected && ns.Conn() < wire.Connected
	inUse := ns.Role() == wire.Primary || ns.Peer() == wire.Primary || os.Conn() == wire.Ahead // or was, and the peer misses it
	// A Primary without a disk writes here from now on: what its own disk holds is older.
	diskless := ns.PeerDisk() < wire.Inconsistent && ns.Peer() == wire.Primary && (os.Peer() != wire.Primary || os.Disk() < wire.UpToDate)
	if !(lost && inUse) && !diskless {
		return false
	}
	if ns.Role() == wire.Primary && ns&anySuspended != 0 {
		// Nothing is written before the thaw. A Secondary is written by its peer whether its
		// own I/O is suspended or not.
		e.newUUIDPending = true
		return false
	}
	e.newGeneration()
	return true
}

// missesHeld tells whether the peer may miss writes in the same generation, since the new one
// waits for the end of a suspension.
func (e *Engine) missesHeld() bool {
	return e.newUUIDPending && e.hasDisk && e.bitmap.Count() > 0
}

// mayFork tells whether a new generation can begin: the bitmap describes no differences to
// another one, or the peer, which may have finished the resync from it, is not known to be
// out of the way.
func (e *Engine) mayFork(ns wire.State) bool {
	away := ns.PeerDisk() == wire.Inconsistent || ns.PeerDisk() == wire.Outdated
	return e.super.UUID.Bitmap == 0 || e.unheard != endHeard && !away
}

// accepted ends the trial: the Primary without a disk works with the data of this node,
// which writes it from now on alone.
func (e *Engine) accepted() {
	if !e.onTrial {
		return
	}
	e.onTrial = false
	if e.state.Disk() == wire.UpToDate && e.super.UUID.Bitmap == 0 {
		e.tellGeneration()
		return
	}
	e.persist()
}

// tellGeneration starts a new generation, and tells the peer when that is durable.
func (e *Engine) tellGeneration() {
	e.newGeneration()
	e.persist()
	e.sendUUIDs()
}

// newGeneration starts a new generation of the data; the caller persists.
func (e *Engine) newGeneration() {
	g, random, primary := &e.super.UUID, e.randomUUID(), e.state.Role() == wire.Primary
	switch e.unheard {
	case endUnlikely:
		g.Fork(random, primary)
	case endLikely:
		g.FinishSource()
		g.NewCurrent(random, primary)
	default:
		g.NewCurrent(random, primary) // in the place of the identifier of a resync of nothing
	}
	e.newUUIDPending, e.unheard = false, endHeard
	e.exposed = e.super.UUID.Current
	e.note("new current UUID")
}

// randomUUID never gives one of the special values.
func (e *Engine) randomUUID() uint64 {
	for {
		if u := e.cfg.Rand(); u&^metadata.PrimaryMark > metadata.JustCreated {
			return u
		}
	}
}

// MetaFailed says that the metadata could not be written: the disk is given up.
func (e *Engine) MetaFailed(now time.Duration) {
	e.now = now
	e.giveUpDisk()
}
