package engine

import (
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// agreeSize computes the size of the volume from both nodes' disks.
func (e *Engine) agreeSize() (uint64, bool) {
	own, peer := uint64(0), uint64(0)
	if e.hasDisk {
		own = e.capacity
	}
	p := e.peer.sizes
	if p != nil {
		peer = p.Device
	}
	var size uint64
	switch {
	case own != 0 && peer != 0:
		size = min(own, peer)
	case own != 0:
		size = own
		if e.size != 0 {
			size = min(own, e.size)
		}
	case peer != 0:
		if size = peer; p.Current != 0 {
			size = p.Current
		}
	}
	user := e.cfg.UserSize
	if p != nil && p.User != 0 && (user == 0 || p.User < user) {
		user = p.User
	}
	if user != 0 && user < size {
		size = user
	}
	// Only who asks for it while connected may make a volume with data smaller.
	asked := p != nil && p.Current == 0 && e.state.Conn() >= wire.Connected && p.Device != 0
	if e.hasDisk && size < e.size && e.state.Disk() >= wire.Outdated && !asked {
		return size, false
	}
	return size, true
}

// setSize takes over the agreed size. What is new counts as different unless clean is
// set.
func (e *Engine) setSize(size uint64, clean bool) {
	if size == e.size || size == 0 {
		return
	}
	s, grew := e.state, size > e.size
	e.size = size
	if e.hasDisk {
		e.bitmap = e.bitmap.Resize(size, !clean)
		inSync := s.Conn() == wire.Connected && s.Disk() == wire.UpToDate && s.PeerDisk() == wire.UpToDate
		e.added = e.bitmap.Count() > 0 && (e.added || grew && inSync)
		e.persist()
	}
}

// ownsAdded tells whether this node has to come back as a crashed Primary if nothing more happens:
// identifiers do not tell of bits that were set for what was added, and two nodes with the same ones
// would connect as equals. A Primary does so anyway, or begins a generation, and is the source of what
// its peer misses; next to it nobody else may be.
func (e *Engine) ownsAdded() bool {
	return e.added && e.state.Role() != wire.Primary && e.state.Peer() != wire.Primary
}

// keepAdded makes sure that the next comparison leads to the resync of what was added; on this
// connection there will be none.
func (e *Engine) keepAdded() {
	e.crashed = e.crashed || e.ownsAdded()
	e.added, e.growing = false, false
}

// grewUnseen tells whether a volume that both nodes have alike grew when they met: one of them was away when
// the other one grew, or both disks are larger than they were. Then the one that says so has to be the source:
// the Primary, or else the node that accepted the meta socket. Among two Primaries nobody can be, and
// old protocols do not know what a crashed Primary means to another one.
func (e *Engine) grewUnseen(peer wire.Role) bool {
	p, role := e.peer.sizes, e.state.Role()
	had := func(size uint64) bool { return size == 0 || size >= e.size }
	if p == nil || e.bitmap.Count() == 0 || had(e.told) && had(p.Current) {
		return false
	}
	if role == peer {
		return role != wire.Primary && e.link.resolver
	}
	return role == wire.Primary && e.link.dialect.Features&wire.FeatureWriteSame != 0
}

// DiskGrew says that the disk has room for capacity sectors now. Metadata at its end
// move to layout. The size of the volume does not change by this.
func (e *Engine) DiskGrew(now time.Duration, capacity uint64, layout metadata.Layout) {
	e.now = now
	if !e.hasDisk || capacity <= e.capacity {
		return
	}
	e.capacity = capacity
	if layout == e.layout {
		return
	}
	e.layout = layout
	ring := e.log.Rewrite(layout)
	e.super.Flags, e.super.Magic, e.super.AgreedSectors = e.flags(), metadata.MagicUnclean, e.size
	e.super.MetaSectors = uint32(layout.MetaSectors)
	e.super.LogOffset = int32(int64(layout.Log) - int64(layout.Superblock))
	e.super.BitmapOffset = int32(int64(layout.Bitmap) - int64(layout.Superblock))
	e.bitmap.TakeDirty(nil) // the whole bitmap is written
	e.emit(Effect{Kind: MoveMeta, Super: e.super, Layout: layout, Ring: ring})
	e.note("the disk has grown: metadata moved to its new end")
}

// ResizeOptions are the choices of Resize.
type ResizeOptions struct {
	User uint64 // the new size in sectors, 0 for all there is
	// Clean: what is new is alike on both nodes, or nobody cares.
	Clean bool
	// Force takes the room here for the room of a peer that is not connected.
	Force bool
}

// Resize makes the volume as large as both disks allow (DiskGrew comes before), or as
// the options say. A volume becomes smaller only while connected; its users must have
// shrunk before.
func (e *Engine) Resize(now time.Duration, o ResizeOptions, tag uint64) {
	e.now = now
	connected := e.state.Conn() >= wire.Connected
	switch {
	case !e.hasDisk || e.state.Disk() <= wire.Negotiating:
		e.reply(tag, wire.NoLocalDisk)
		return
	case e.state.Conn() > wire.Connected || e.growing:
		e.reply(tag, wire.ResyncRunning)
		return
	case e.handshaking() || e.cmd.asked && e.cmd.of == e:
		e.reply(tag, wire.InTransient)
		return
	case !connected && !o.Force:
		e.reply(tag, wire.NeedConnection)
		return
	case connected && e.state.PeerDisk() < wire.Inconsistent:
		e.reply(tag, wire.NoRemoteDisk)
		return
	}
	before := e.cfg.UserSize
	e.cfg.UserSize = o.User
	size := e.capacity
	if connected && e.peer.sizes != nil {
		// What the peer was limited to before is no reason not to grow.
		e.peer.sizes.User = o.User
		size = min(size, e.peer.sizes.Device)
	}
	if o.User != 0 {
		if o.User > size && !connected || o.User > e.capacity {
			e.cfg.UserSize = before
			e.reply(tag, wire.NoLocalDisk)
			return
		}
		size = min(size, o.User)
	}
	if size < e.size && (!connected || size == 0) {
		e.cfg.UserSize = before
		e.reply(tag, wire.NeedConnection)
		return
	}
	grew := size > e.size
	e.setSize(size, o.Clean)
	if connected {
		e.growing = grew
		e.sendUUIDs()
		e.sendSizesAs(0, sizesFlags(o))
	}
	e.reply(tag, wire.ResultOK)
}

func sizesFlags(o ResizeOptions) uint16 {
	var f uint16
	if o.Clean {
		f |= wire.SizesNoResync
	}
	if o.Force {
		f |= wire.SizesForced
	}
	return f
}

func (e *Engine) sendSizes() { e.sendSizesAs(e.size, 0) }

// sendSizesAs tells the sizes; current is 0 in a request to change the size, which is
// answered in kind.
func (e *Engine) sendSizesAs(current uint64, flags uint16) {
	s := &wire.Sizes{User: e.cfg.UserSize, Current: current, MaxBioSize: e.maxBlock(), Flags: flags}
	if e.hasDisk {
		s.Device = e.capacity
	}
	s.Limits = wire.QueueLimits{PhysicalBlockSize: 512, LogicalBlockSize: 512, IOMin: 512, DiscardEnabled: true}
	e.send(wire.Message{Command: wire.CmdSizes, Sizes: s})
}

// receiveSizes takes the peer's sizes: in the handshake, with a disk that it attaches,
// or because the volume changes its size.
func (e *Engine) receiveSizes(s *wire.Sizes) {
	e.peer.sizes = s
	running := e.state.Conn() >= wire.Connected
	if running && s.Current == 0 {
		e.cfg.UserSize = s.User
	}
	size, ok := e.agreeSize()
	if !ok {
		e.standAlone("the peer's disk size is too small")
		return
	}
	before, clean := e.size, s.Flags&wire.SizesNoResync != 0
	e.setSize(size, clean)
	if !running {
		return
	}
	grew := e.size > before && before != 0
	if s.Current == 0 || e.size != before && s.Current != e.size {
		e.sendSizesAs(e.size, s.Flags)
	}
	if e.growing || grew && e.state.Conn() == wire.Connected {
		e.growing = false
		switch {
		case e.state.Disk() < wire.Inconsistent || e.state.PeerDisk() < wire.Inconsistent:
			e.keepAdded()
		case clean:
			e.note("the new part of the volume is taken for equal")
		default:
			e.syncGrown()
		}
		e.maybeDemote()
	}
}

// syncGrown makes the new part of the volume alike. The Primary is the source; if
// both are or none is, the node that accepted the meta socket.
func (e *Engine) syncGrown() {
	source := e.state.Role() == wire.Primary
	if e.state.Role() == e.state.Peer() {
		source = e.link.resolver
	}
	e.note("resync of what was added to the volume")
	if source {
		e.unbegun = true
		e.change(e.state.WithConn(wire.SyncSource), hard)
		return
	}
	e.change(e.state.WithConn(wire.WFSyncUUID), hard)
	e.sendState()
}
