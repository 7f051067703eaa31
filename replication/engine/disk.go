package engine

import (
	"errors"
	"fmt"
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// LocalDisk is what Attach needs to know about the disk.
type LocalDisk struct {
	Capacity uint64 // sectors for data
	Super    metadata.Superblock
	Bitmap   *metadata.Bitmap // for Super.AgreedSectors
	Layout   metadata.Layout
}

// Errors of Attach.
var (
	ErrUnclean  = errors.New("the activity log of the disk must be applied first")
	ErrAttached = errors.New("a disk is attached already")
	ErrShrunk   = errors.New("the disk is smaller than the volume")
	ErrOldData  = errors.New("this Primary works with newer data than the disk has: connect the peer first")
	ErrBusy     = errors.New("the nodes are comparing their data; try again")
)

// Attach takes the local disk into use. Attached while connected, its state is
// decided when the two nodes have compared their data: until then nothing is read
// from it.
func (e *Engine) Attach(now time.Duration, d LocalDisk) error {
	e.now = now
	switch {
	case e.hasDisk || e.state.Disk() != wire.Diskless:
		return ErrAttached
	case !d.Super.Clean():
		return ErrUnclean
	case d.Super.AgreedSectors > d.Capacity:
		return fmt.Errorf("%w: %d sectors of %d", ErrShrunk, d.Capacity, d.Super.AgreedSectors)
	}
	connected := e.state.Conn() >= wire.Connected
	switch {
	case e.handshaking():
		return ErrBusy
	case (!connected || e.state.PeerDisk() < wire.Inconsistent) && e.workedWithNewer(d.Super.UUID.Current):
		return ErrOldData
	case connected && e.size > d.Capacity:
		return fmt.Errorf("%w: %d sectors of %d", ErrShrunk, d.Capacity, e.size)
	}
	known := e.size
	e.hasDisk, e.capacity, e.super, e.layout = true, d.Capacity, d.Super, d.Layout
	flags := d.Super.Flags
	e.crashed = flags&(metadata.FlagPrimary|metadata.FlagCrashedPrimary) != 0
	e.unheard = endHeard
	if flags&metadata.FlagConnected != 0 && e.super.UUID.Bitmap != 0 {
		e.unheard = endUnlikely
	}
	e.size, e.bitmap = d.Super.AgreedSectors, d.Bitmap
	if e.size == 0 {
		if e.size = known; !connected || known == 0 {
			e.size = e.limitSize(d.Capacity)
		}
		e.bitmap = metadata.NewBitmap(e.size)
		e.bitmap.SetAll()
	}
	if connected && known != 0 && e.size != known {
		e.size, e.bitmap = known, e.bitmap.Resize(known, true)
	}
	if flags&metadata.FlagFullSync != 0 || flags&metadata.FlagLogDisabled != 0 && flags&metadata.FlagPrimary != 0 {
		e.bitmap.SetAll()
		e.super.Flags &^= metadata.FlagFullSync
	}
	if e.cfg.ALExtents == 0 {
		e.cfg.ALExtents = 1237
	}
	e.log = metadata.NewActiveSet(d.Layout, e.cfg.ALExtents)
	e.super.LogExtents = uint32(e.log.Size())
	disk := wire.Inconsistent
	if flags&metadata.FlagConsistent != 0 {
		disk = wire.Outdated
		if flags&metadata.FlagWasUpToDate != 0 {
			disk = wire.Consistent
			if flags&metadata.FlagPeerOutdated != 0 || e.cfg.Fencing == FencingDontCare {
				disk = wire.UpToDate
			}
		}
	}
	ns := e.state.WithDisk(disk)
	if flags&metadata.FlagPeerOutdated != 0 {
		ns = ns.WithPeerDisk(wire.Outdated)
	}
	e.super.UUID.MarkPrimary(e.state.Role() == wire.Primary)
	if connected {
		e.attachAs = disk
		e.peer.uuids = nil // they come again with the peer's answer
		e.change(e.state.WithDisk(wire.Negotiating), hard)
		e.persist()
		e.sendSizes()
		e.sendUUIDs()
		e.sendState()
		return nil
	}
	e.change(ns, hard)
	e.persist()
	e.exposed, e.takenAlone = e.super.UUID.Current, e.state.Role() == wire.Primary
	return nil
}

// workedWithNewer tells whether this Primary, by its peer, has worked with other data
// than that of the given generation.
func (e *Engine) workedWithNewer(current uint64) bool {
	return e.state.Role() == wire.Primary && e.exposed != 0 && !metadata.SameGeneration(e.exposed, current)
}

func (e *Engine) limitSize(sectors uint64) uint64 {
	if e.cfg.UserSize != 0 {
		return min(sectors, e.cfg.UserSize)
	}
	return sectors
}

// ioError notes that the blocks are not here, and does what the configuration says about an error in reading or writing data.
func (e *Engine) ioError(o *op) {
	if !e.hasDisk {
		return
	}
	e.differs(o.sector, o.sectors())
	if e.cfg.OnIOError != IOErrorPassOn {
		e.giveUpDisk()
		return
	}
	if e.state.Disk() > wire.Inconsistent {
		e.merged = e.state.Disk() == wire.UpToDate
		e.note("local disk failed: its data does not count as good any more")
		e.change(e.state.WithDisk(wire.Inconsistent), hard)
	}
}

// giveUpDisk is loseDisk with the handler that may be configured for it.
func (e *Engine) giveUpDisk() {
	if e.hasDisk && e.cfg.OnIOError == IOErrorCall {
		e.emit(Effect{Kind: RunHandler, Name: "local-io-error"})
	}
	e.loseDisk()
}

// loseDisk gives up the local disk after an error.
func (e *Engine) loseDisk() {
	if !e.hasDisk {
		return
	}
	e.note("local disk failed")
	if s := e.state; s.Role() == wire.Primary && s.Disk() == wire.UpToDate && s.PeerDisk() != wire.UpToDate {
		e.mayBeGone() // when it comes back
	}
	e.change(e.state.WithDisk(wire.Failed), hard)
	e.abandonDisk()
	e.sendState()
	// What has not been started can go to the peer; what waits for the log or for
	// an answer of the disk ends with an error of its own.
	e.pump()
}

// abandonDisk forgets the disk; nothing refers to its log any more.
func (e *Engine) abandonDisk() {
	e.hasDisk, e.merged, e.takenAlone, e.added, e.unbegun = false, false, false, false, false
	e.takeBack()
	for _, list := range [][]*op{e.waiting, e.active, e.sending.log} {
		for _, o := range list {
			o.logged = false
			if o.local != partNone {
				o.clearsNothing() // of the disk that is attached next, which may have lost it
			}
		}
	}
	e.change(e.state.WithDisk(wire.Diskless), hard)
}

// Detach gives up the local disk in good order.
func (e *Engine) Detach(now time.Duration, tag uint64) {
	e.now = now
	if !e.hasDisk {
		e.reply(tag, wire.IsDiskless)
		return
	}
	if e.state.Role() == wire.Primary && e.state.PeerDisk() != wire.UpToDate {
		e.reply(tag, wire.NeedUpToDate)
		return
	}
	if e.localWork() || e.sending.refused {
		e.reply(tag, wire.InTransient)
		return
	}
	if e.state.Conn() >= wire.Connected && e.state.PeerDisk() == wire.UpToDate {
		// The peer goes on with its disk: if this one is attached again without it, the node
		// must not be promoted with what it has now.
		e.leaving = true
		e.persist()
	}
	e.change(e.state.WithDisk(wire.Failed), hard)
	e.abandonDisk()
	e.leaving = false
	e.sendState()
	e.reply(tag, wire.ResultOK)
}

// localWork tells whether operations of the local disk are under way.
func (e *Engine) localWork() bool { return len(e.ops) > 0 }
