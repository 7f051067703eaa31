package engine

import (
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// command is the administrator's command that is under way. There is one at a time.
type command struct {
	active bool
	of     *Engine // the volume it is about; nil for the connection
	tag    uint64
	// asked: a request for this change was sent to the peer.
	asked     bool
	mask, val wire.State
	promote   bool
	force     bool
	fenced    bool // the fence handler has run for this promotion
	tries     int
	retryAt   time.Duration
	fullSync  wire.Conn         // the side of a full resync to take on success
	then      func(wire.Result) // instead of a reply
}

// finishCommand answers the command under way.
func (r *Resource) finishCommand(result wire.Result) {
	c := r.cmd
	r.cmd = command{}
	if c.then != nil {
		c.then(result)
		return
	}
	if result == wire.ResultNothing {
		result = wire.ResultOK
	}
	r.reply(c.tag, result)
}

// begin takes the place of the command under way, or refuses.
func (r *Resource) begin(of *Engine, tag uint64) bool {
	if r.cmd.active || r.away {
		r.reply(tag, wire.InTransient)
		return false
	}
	r.cmd = command{active: true, of: of, tag: tag}
	return true
}

// request makes a change that the peer has to agree to. Without a connection it is
// only checked here.
func (e *Engine) request(mask, val wire.State) {
	ns := e.state&^mask | val&mask
	if e.growing {
		e.requestDone(wire.InTransient)
		return
	}
	if r := e.check(ns); !r.OK() || r == wire.ResultNothing {
		e.requestDone(r)
		return
	}
	if e.state.Conn() < wire.Connected {
		e.requestDone(e.change(ns, soft))
		return
	}
	e.cmd.asked, e.cmd.mask, e.cmd.val = true, mask, val
	e.send(wire.Message{Command: wire.CmdStateChange, Mask: mask, State: val})
}

// changeAnswered is the peer's word on our request about this volume.
func (e *Engine) changeAnswered(r wire.Result) {
	if e.cmd.of == nil && e.link.dialect.Version < 100 {
		e.connAnswered(r)
		return
	}
	if !e.cmd.active || !e.cmd.asked || e.cmd.of != e {
		return
	}
	e.cmd.asked = false
	defer e.pumpData() // an identifier of a resync may have waited for this
	if !r.OK() {
		e.note("the peer refuses: " + r.String())
		e.requestDone(wire.RefusedByPeer)
		return
	}
	if conn := e.cmd.fullSync; conn != 0 {
		if r := e.compared(conn); !r.OK() {
			e.finishCommand(r)
			return
		}
		e.startFullSync(conn)
		e.finishCommand(wire.ResultOK)
		return
	}
	e.requestDone(e.change(e.state&^e.cmd.mask|e.cmd.val&e.cmd.mask, soft))
}

func (e *Engine) requestDone(r wire.Result) {
	if e.cmd.promote {
		e.promotionAnswered(r)
		return
	}
	e.finishCommand(r)
}

// connAnswered is the peer's word on our request about the connection.
func (r *Resource) connAnswered(result wire.Result) {
	c := &r.cmd
	if !c.active || !c.asked || c.of != nil {
		return
	}
	c.asked = false
	if !result.OK() {
		r.note("the peer refuses: " + result.String())
		r.finishCommand(wire.RefusedByPeer)
		return
	}
	mask, val := c.mask, c.val
	if mask&wire.MaskConn != 0 && val.Conn() == wire.Disconnecting {
		// All volumes, whatever the disk of one of them is.
		r.endLink(wire.Disconnecting, mask, val, nil)
		r.finishCommand(wire.ResultOK)
		return
	}
	for _, e := range r.volumes {
		if answer := e.change(e.state&^mask|val&mask, soft); !answer.OK() {
			result = answer
		}
	}
	r.finishCommand(result)
}

// receiveConnChange decides about a change of the connection that the peer asks for.
func (r *Resource) receiveConnChange(m *wire.Message, answer wire.Command) {
	if r.cmd.asked && r.link.resolver {
		r.tell(wire.Message{Command: answer, Code: wire.ConcurrentChange})
		return
	}
	mask, val := mirroredMask(m.Mask), mirrored(m.State)
	result := wire.ResultOK
	end := mask&wire.MaskConn != 0 && val.Conn() == wire.TearDown
	for _, e := range r.volumes {
		ns := e.state&^mask | val&mask
		if end {
			ns = e.outdated(mask, val).WithConn(wire.TearDown)
		}
		one := e.check(ns)
		if one.OK() && e.handshaking() {
			one = wire.InTransient
		}
		if !one.OK() {
			result = one
			break
		}
	}
	for _, e := range r.volumes {
		if result.OK() && !end {
			if one := e.change(e.state&^mask|val&mask, soft); !one.OK() {
				result = one
			}
		}
	}
	reply := wire.Message{Command: answer, Code: result}
	if !result.OK() || !end {
		r.tell(reply)
		return
	}
	// Who asks goes on alone as soon as it has the answer: an own disk that it wants outdated
	// is that before.
	r.endLink(wire.TearDown, mask, val, &reply)
}

// receiveChange decides about a change of the volume that the peer asks for.
func (e *Engine) receiveChange(m *wire.Message) {
	const answer = wire.CmdStateReply
	if e.cmd.asked && e.link.resolver {
		// Both ask at once: one of the two has to win.
		e.send(wire.Message{Command: answer, Code: wire.ConcurrentChange})
		return
	}
	mask, val := mirroredMask(m.Mask), mirrored(m.State)
	ns := e.state&^mask | val&mask
	if mask&wire.MaskConn != 0 && ns.Conn() == wire.TearDown {
		// How protocols before 100 say it.
		e.receiveConnChange(m, answer)
		return
	}
	if e.growing && mask&wire.MaskConn != 0 {
		// A verify or another resync; that of what is new comes first.
		e.send(wire.Message{Command: answer, Code: wire.InTransient})
		return
	}
	if ns.Conn() == wire.StartingSyncS || ns.Conn() == wire.StartingSyncT {
		if r := e.compared(ns.Conn()); !r.OK() {
			e.send(wire.Message{Command: answer, Code: r})
			return
		}
		if mask&wire.MaskConn != 0 {
			if ns.Conn() == wire.StartingSyncT {
				// The identifier of the resync comes as soon as the peer has our answer.
				e.startFullSync(ns.Conn())
				e.send(wire.Message{Command: answer, Code: wire.ResultOK})
				return
			}
			e.send(wire.Message{Command: answer, Code: wire.ResultOK})
			e.untold = true
			e.startFullSync(ns.Conn())
			e.ping(func() {
				e.untold = false
				e.pump()
			})
			return
		}
	}
	r := e.check(ns)
	if r.OK() && e.handshaking() {
		r = wire.InTransient
	}
	if r.OK() {
		if r2 := e.change(ns, soft); !r2.OK() {
			r = r2
		}
	}
	e.send(wire.Message{Command: answer, Code: r})
}

// Promote makes the node Primary. With force it takes data that is not known to be
// up to date, or a peer that is not known to be outdated.
func (e *Engine) Promote(now time.Duration, force bool, tag uint64) {
	e.now = now
	if e.state.Role() == wire.Primary {
		e.answerDemotion(wire.InTransient) // what was said last counts
		e.reply(tag, wire.ResultOK)
		return
	}
	if !e.begin(e, tag) {
		return
	}
	e.cmd.promote, e.cmd.force = true, force
	e.cmd.mask, e.cmd.val = wire.MaskRole, wire.State(wire.Primary)
	e.tryPromote()
}

func (e *Engine) tryPromote() {
	e.cmd.tries++
	e.request(e.cmd.mask, e.cmd.val)
}

// promotionAnswered goes on after an attempt: done, another attempt, or refused.
func (e *Engine) promotionAnswered(r wire.Result) {
	c := &e.cmd
	disk, mask := e.state.Disk(), c.mask
	withDisk := func() {
		c.mask |= wire.MaskDisk
		c.val = c.val.WithDisk(wire.UpToDate)
	}
	switch {
	case r.OK():
		e.promoted(mask)
		return
	case c.tries >= 4:
	case r == wire.NeedUpToDate && c.force && disk >= wire.Inconsistent && disk < wire.UpToDate && mask&wire.MaskDisk == 0:
		withDisk()
		e.tryPromote()
		return
	case (r == wire.NeedUpToDate && disk == wire.Consistent || r == wire.PeerNotOutdated) && !c.fenced && e.cfg.Fencing != FencingDontCare:
		c.fenced = true
		e.runFence()
		return
	case r == wire.NeedUpToDate && disk == wire.Consistent && e.state.PeerDisk() <= wire.Outdated && mask&wire.MaskDisk == 0:
		withDisk()
		e.tryPromote()
		return
	case r == wire.PeerNotOutdated && c.force && mask&wire.MaskPeerDisk == 0:
		e.note("forced into a split brain situation")
		c.mask |= wire.MaskPeerDisk
		c.val = c.val.WithPeerDisk(wire.Outdated)
		e.tryPromote()
		return
	case r == wire.TwoPrimaries && c.retryAt == 0:
		// The peer may be about to be demoted, or to be found dead.
		c.retryAt = e.now + e.cfg.PingTimeout + 100*time.Millisecond
		e.ping(func() {})
		return
	}
	e.finishCommand(r)
}

// promoted sets the generation of a new Primary.
func (e *Engine) promoted(mask wire.State) {
	force := mask&wire.MaskDisk != 0 && e.cmd.force
	e.discardMyData = false
	e.newerThanCrashed(e.state)
	e.persist()
	if e.state.Conn() >= wire.WFReportParams {
		if force {
			e.sendUUIDs()
		}
		e.sendState()
	}
	e.finishCommand(wire.ResultOK)
}

// startPrimary sets the generation of a new Primary; the caller persists.
func (e *Engine) startPrimary(ns wire.State) {
	forced := e.cmd.of == e && e.cmd.promote && e.cmd.force && e.cmd.mask&wire.MaskDisk != 0
	alone := ns.Conn() < wire.Connected || ns.PeerDisk() <= wire.Failed
	if e.cmd.of == e && e.cmd.mask&wire.MaskPeerDisk != 0 {
		ns = ns.WithPeerDisk(wire.DUnknown) // it is only said to be outdated, by force
	}
	if forced || alone && e.mayFork(ns) && ns.Disk() == wire.UpToDate {
		e.newGeneration()
	}
	e.super.UUID.MarkPrimary(true)
	e.exposed = e.super.UUID.Current
}

// Demote makes the node Secondary, as soon as the peer has confirmed the epochs of all writes.
// The node stays a Primary until then: a Secondary that crashes, or loses the connection, would
// not know that its peer may miss some of them, in the same generation.
func (e *Engine) Demote(now time.Duration, tag uint64) {
	e.now = now
	switch {
	case e.state.Role() != wire.Primary:
		e.reply(tag, wire.ResultOK)
	case e.sending.inUse || e.sending.busy():
		e.reply(tag, wire.DeviceInUse)
	default:
		e.demoting = append(e.demoting, tag)
		e.maybeDemote()
	}
}

// maybeDemote goes on with a demotion once nothing is unconfirmed, the peer has said how large it is, and, if it could not
// store something, what has become of its disk: that begins a generation as long as the node is Primary.
func (e *Engine) maybeDemote() {
	if len(e.demoting) == 0 || e.growing {
		return
	}
	e.closeEpoch()
	if e.unconfirmed() || e.sending.refused {
		return
	}
	e.answerDemotion(e.demote())
}

func (e *Engine) demote() wire.Result {
	if e.sending.inUse || e.sending.busy() {
		return wire.DeviceInUse // again, meanwhile
	}
	r := e.change(e.state.WithRole(wire.Secondary), soft)
	if r.OK() {
		e.persist()
		e.sendState()
	}
	return r
}

func (e *Engine) answerDemotion(r wire.Result) {
	tags := e.demoting
	e.demoting = nil
	for _, tag := range tags {
		e.reply(tag, r)
	}
}

// Outdate marks the local data as older than the peer's, so that it cannot be
// promoted by itself.
func (e *Engine) Outdate(now time.Duration, tag uint64) {
	e.now = now
	switch {
	case e.state.Disk() < wire.Outdated:
		e.reply(tag, wire.LowerThanOutdated)
	case e.state.Conn() >= wire.Connected:
		e.reply(tag, wire.ConnectedOutdates)
	case e.state.Role() == wire.Primary:
		e.reply(tag, wire.DeviceInUse)
	default:
		r := e.change(e.state.WithDisk(wire.Outdated), soft)
		if r == wire.ResultNothing {
			r = wire.ResultOK
		}
		e.reply(tag, r)
	}
}

// Invalidate throws the local data away and fetches it from the peer; with remote
// the peer's is thrown away.
func (e *Engine) Invalidate(now time.Duration, remote bool, tag uint64) {
	e.now = now
	if !e.begin(e, tag) {
		return
	}
	conn := wire.StartingSyncT
	if remote {
		conn = wire.StartingSyncS
	}
	if e.state.Conn() < wire.Connected || !e.hasDisk {
		e.finishCommand(wire.NeedConnection)
		return
	}
	mask, val := wire.MaskConn, wire.State(0).WithConn(conn)
	if r := e.compared(conn); !r.OK() {
		e.finishCommand(r)
		return
	}
	if !remote && e.state.Role() == wire.Primary {
		e.finishCommand(wire.DeviceInUse)
		return
	}
	e.cmd.asked, e.cmd.mask, e.cmd.val = true, mask, val
	e.cmd.fullSync = conn
	e.send(wire.Message{Command: wire.CmdStateChange, Mask: mask, State: val})
}

// compared tells whether a full resync or a verify can begin, for which both disks have to be
// there. (Without one of them the state of the connection would just stay what it is.)
func (e *Engine) compared(conn wire.Conn) wire.Result {
	switch {
	case !e.hasDisk || e.state.Disk() < wire.Inconsistent:
		return wire.NoLocalDisk
	case e.state.Conn() >= wire.Connected && e.state.PeerDisk() < wire.Inconsistent:
		return wire.NoRemoteDisk
	}
	return e.check(e.state.WithConn(conn))
}

// startFullSync sets all bits on a node that was told to; no bitmaps are exchanged.
func (e *Engine) startFullSync(conn wire.Conn) {
	ns := e.state.WithConn(conn)
	if conn == wire.StartingSyncT {
		// At once, and with the note that all bits count: identifiers do not tell of this
		// resync before it has begun. If the connection breaks now, the nodes would connect
		// as equals, and data that somebody threw away would count as good.
		ns = ns.WithDisk(wire.Inconsistent)
		e.super.Flags |= metadata.FlagFullSync
	}
	e.change(ns, hard)
	e.setAllBits()
	e.stayOutOfSync()
	if conn == wire.StartingSyncT {
		e.change(e.state.WithConn(wire.WFSyncUUID), hard)
		return
	}
	e.beforeResync("before-resync-source", e.cfg.BeforeSource, func() {
		if e.state.Conn() == wire.StartingSyncS {
			e.change(e.state.WithConn(wire.SyncSource), hard)
		}
	})
}

// stayOutOfSync keeps what began before all bits were set from clearing any: it is a part of
// the data that somebody threw away.
func (e *Engine) stayOutOfSync() {
	for _, o := range e.sending.log {
		o.clearsNothing()
	}
	for _, o := range e.active {
		o.flags &^= uint32(wire.FlagMayClear)
	}
}

// Disconnect ends the connection, in agreement with the peer unless forced.
func (r *Resource) Disconnect(now time.Duration, force bool, tag uint64) {
	r.now = now
	if r.lowest() == wire.StandAlone {
		r.reply(tag, wire.ResultOK)
		return
	}
	if !r.begin(nil, tag) {
		return
	}
	end := func() {
		if r.lowest() != wire.StandAlone {
			r.dropLink(wire.Disconnecting)
		}
		r.reply(tag, wire.ResultOK)
	}
	if force || r.lowest() < wire.Connected {
		r.cmd = command{}
		end()
		return
	}
	request := wire.CmdConnChange
	if r.link.dialect.Version < 100 {
		request = wire.CmdStateChange
	}
	primary := r.any(func(e *Engine) bool { return e.state.Role() == wire.Primary })
	try := 0
	var attempt func(mask, val wire.State)
	attempt = func(mask, val wire.State) {
		r.cmd = command{active: true, tag: tag, asked: true, mask: mask, val: val}
		r.cmd.then = func(result wire.Result) {
			try++
			r.stay(result.OK())
			refused := result == wire.RefusedByPeer || result == wire.PeerNotOutdated
			switch {
			case result.OK() || !r.link.up:
				end()
			case refused && try == 1 && !primary:
				// The Primary has to know that we cannot take over with old data.
				r.leave()
				attempt(wire.MaskConn|wire.MaskDisk, wire.State(0).WithConn(wire.Disconnecting).WithDisk(wire.Outdated))
			case refused && try == 1:
				attempt(wire.MaskConn|wire.MaskPeerDisk, wire.State(0).WithConn(wire.Disconnecting).WithPeerDisk(wire.Outdated))
			default:
				r.reply(tag, result)
			}
		}
		for _, e := range r.volumes {
			if result := e.check(e.state&^mask | val&mask); !result.OK() && try == 0 {
				r.finishCommand(result)
				return
			}
		}
		r.tell(wire.Message{Command: request, Mask: mask, State: val})
	}
	attempt(wire.MaskConn, wire.State(0).WithConn(wire.Disconnecting))
}

// leave makes sure that this node comes back as outdated if it crashes now: the peer may have
// agreed that it is.
func (r *Resource) leave() {
	for _, e := range r.volumes {
		e.leaving = true
		e.persist()
	}
}

// stay is the end of that. Without an answer the node is outdated.
func (r *Resource) stay(agreed bool) {
	for _, e := range r.volumes {
		if !e.leaving {
			continue
		}
		e.leaving = false
		if !agreed && !r.link.up && e.state.Disk() > wire.Outdated {
			e.change(e.state.WithDisk(wire.Outdated), hard)
			continue
		}
		e.persist()
	}
}

// ResumeIO ends a suspension by decision of the administrator. A generation that was put off begins,
// but not after the peer was told of the one before, and has not decided by that.
func (e *Engine) ResumeIO(now time.Duration, tag uint64) {
	e.now = now
	if e.handshaking() {
		e.reply(tag, wire.InTransient)
		return
	}
	e.thaw(e.state, anySuspended)
	e.reply(tag, wire.ResultOK)
}

// SuspendIO freezes I/O by decision of the administrator.
func (e *Engine) SuspendIO(now time.Duration, tag uint64) {
	e.now = now
	e.change(e.state|wire.Suspended, hard)
	e.reply(tag, wire.ResultOK)
}

// thaw ends suspensions and goes on with ns. A generation that was put off comes first.
func (e *Engine) thaw(ns, suspensions wire.State) {
	if e.newUUIDPending && e.hasDisk && e.mayFork(ns) {
		e.newGeneration()
		e.persist()
	}
	e.newUUIDPending = false
	e.change(ns&^suspensions, hard)
}

// tickCommand tries a promotion again that met another Primary.
func (r *Resource) tickCommand() {
	if c := &r.cmd; c.active && c.promote && !c.asked && c.retryAt > 0 && r.now >= c.retryAt && !r.fence.running {
		c.retryAt = -1
		c.of.tryPromote()
	}
}

// Shutdown puts a resource that is Secondary away in good order: the connection ends and everything
// is on the disk. The runner then seals the metadata (metadata.Area.Seal), so that
// the next attach, also by a kernel, needs no replay. The engine is of no use after.
func (r *Resource) Shutdown(now time.Duration, tag uint64) {
	r.now = now
	if r.any(func(e *Engine) bool { return e.state.Role() == wire.Primary }) {
		r.reply(tag, wire.DeviceInUse)
		return
	}
	if r.cmd.active {
		r.reply(tag, wire.InTransient) // it may end with a Primary
		return
	}
	if r.lowest() != wire.StandAlone {
		r.dropLink(wire.Disconnecting)
	}
	if r.any((*Engine).localWork) {
		// Writes of the peer that are under way have to end first.
		r.reply(tag, wire.InTransient)
		return
	}
	for _, e := range r.volumes {
		e.persist()
		e.hasDisk = false
	}
	r.away = true
	r.reply(tag, wire.ResultOK)
}
