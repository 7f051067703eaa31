package engine

import (
	"encoding/binary"
	"fmt"
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// phase is how far the handshake of a connection has come.
type phase uint8

const (
	phaseFeatures  phase = iota // features sent, waiting for the peer's
	phaseChallenge              // waiting for the peer's challenge
	phaseResponse               // waiting for the answer to ours
	phaseParams                 // settings, sizes, identifiers and state have been sent
)

// link is the connection.
type link struct {
	up       bool
	phase    phase
	resolver bool // this node accepted the meta socket
	dialect  wire.Dialect

	challenge []byte

	lastHeard, lastSent time.Duration
	pingAt              time.Duration // a ping without answer was sent then; 0: none
	pingDone            []func()      // to be called when the ping that is under way is answered
	pingNext            []func()      // that wait for one which is sent then
	opening             bool          // OpenConnection is in force
}

// Dialect is what the runner encodes and decodes with.
func (r *Resource) Dialect() wire.Dialect { return r.link.dialect }

// handshaking tells whether the two nodes are between their states and a decision.
func (e *Engine) handshaking() bool {
	return e.link.up && e.state.Conn() == wire.WFReportParams
}

// Connect starts the network side. discardMyData gives up own changes in a split
// brain, once.
func (r *Resource) Connect(now time.Duration, discardMyData bool, tag uint64) {
	r.now = now
	if r.lowest() != wire.StandAlone || r.away {
		r.reply(tag, wire.InTransient)
		return
	}
	if discardMyData && r.any(func(e *Engine) bool { return e.state.Role() == wire.Primary }) {
		r.reply(tag, wire.RefusedByPeer)
		return
	}
	for _, e := range r.volumes {
		e.discardMyData = discardMyData
	}
	r.connState(wire.Unconnected)
	r.startConnecting()
	r.reply(tag, wire.ResultOK)
}

func (r *Resource) startConnecting() {
	r.connState(wire.WFConnection)
	r.link.opening = true
	r.emit(Effect{Kind: OpenConnection})
}

// offered are the abilities of this node. The kernel expects a digest in front of
// zeroes, but sends none: with digests they are not used.
func (r *Resource) offered() *wire.Features {
	f := &wire.Features{Min: wire.MinVersion, Max: wire.MaxVersion, Flags: features}
	if len(r.volumes) > 1 {
		f.Min = 100 // before, no packet says which volume it is about
	}
	if v := r.settings().MaxVersion; v != 0 {
		f.Max = v
	}
	if r.settings().IntegrityAlg != "" {
		f.Flags &^= wire.FeatureZeroes
	}
	return f
}

// ConnectionUp reports a pair of sockets. resolver is true when this node accepted
// the meta socket.
func (r *Resource) ConnectionUp(now time.Duration, resolver bool) {
	r.now = now
	if r.lowest() != wire.WFConnection || r.link.up {
		return
	}
	r.link = link{up: true, resolver: resolver, lastHeard: now, lastSent: now}
	r.epochs.connect()
	r.receiving, r.agreed = receiveSide{}, false
	for _, e := range r.volumes {
		e.peer, e.growing, e.running, e.olderAttach = peerInfo{}, false, false, false
		e.seq, e.peerSeq, e.bitmapIn, e.beginSync = 0, 0, wire.BitmapCursor{}, nil
	}
	r.tell(wire.Message{Command: wire.CmdFeatures, Features: r.offered()})
}

// ConnectionLost reports that the sockets broke.
func (r *Resource) ConnectionLost(now time.Duration) {
	r.now = now
	if r.link.up {
		r.dropLink(wire.BrokenPipe)
	}
}

// Receive takes a message that arrived, in the order of its socket.
func (r *Resource) Receive(now time.Duration, m *wire.Message) {
	r.now = now
	if !r.link.up {
		return
	}
	r.link.lastHeard = now
	if r.link.phase != phaseParams {
		r.opening(m)
		return
	}
	if m.Command.OnMeta() {
		r.receiveMeta(m)
		return
	}
	if s := &r.receiving; len(s.queue) == 0 && !s.barrier && !s.pumping && !r.tooEarly(m) {
		s.pumping = true
		r.receiveData(m)
		r.receiving.pumping = false
		r.pumpData() // what it may have left behind
		return
	}
	if s := &r.receiving; len(s.queue) == 0 {
		s.queue = append(s.room[:0], *m)
		s.room = s.queue[:0]
	} else {
		s.queue = append(s.queue, *m)
	}
	r.pumpData()
}

// protocolError drops a connection whose peer does not keep to the protocol.
func (r *Resource) protocolError(why string) {
	r.note("protocol error: " + why)
	r.dropLink(wire.ProtocolError)
}

// standAlone ends the connection for good: the administrator has to look at it.
func (r *Resource) standAlone(why string) {
	r.note(why)
	r.dropLink(wire.Disconnecting)
}

// dropLink ends the connection. With Disconnecting it stays ended, else a new one is
// looked for.
func (r *Resource) dropLink(cause wire.Conn) { r.endLink(cause, 0, 0, nil) }

// endLink is dropLink with disks that are outdated from then on, own or the peer's, and with a
// last message, which goes out when that is durable.
func (r *Resource) endLink(cause wire.Conn, mask, val wire.State, last *wire.Message) {
	wasUp := r.link.up
	r.link.up, r.link.opening = false, false
	if last == nil {
		r.emit(Effect{Kind: CloseConnection})
	}
	if wasUp {
		r.epochs.connect()
	}
	for _, e := range r.volumes {
		e.loseLink(e.outdated(mask, val).WithConn(cause), wasUp)
	}
	if last != nil {
		r.emit(Effect{Kind: Send, Msg: *last})
		r.emit(Effect{Kind: CloseConnection})
	}
	r.link = link{}
	r.receiving = receiveSide{}
	if cause == wire.Disconnecting {
		r.connState(wire.StandAlone)
	} else {
		r.connState(wire.Unconnected)
		r.startConnecting()
	}
	for _, e := range r.volumes {
		e.maybeDemote() // what is unconfirmed is in the bitmap now, of a new generation
	}
	r.fenceAgain()
	if c := &r.cmd; c.active && c.asked {
		// The peer will not answer any more. A promotion is tried without it.
		c.asked = false
		if c.promote {
			c.of.tryPromote()
			return
		}
		r.finishCommand(wire.InTransient)
	}
}

// opening handles the packets before the settings.
func (r *Resource) opening(m *wire.Message) {
	cfg := r.settings()
	switch {
	case r.link.phase == phaseFeatures && m.Command == wire.CmdFeatures:
		version, flags, ok := r.offered().Agree(*m.Features)
		if !ok {
			r.standAlone(foreignVersions(r.offered(), m.Features))
			return
		}
		if version < 101 {
			flags = 0 // peers of that age have none
		}
		r.link.dialect = wire.Dialect{Version: version, Features: flags}
		if alg := cfg.IntegrityAlg; alg != "" {
			r.link.dialect.IntegrityLen = len(digestOf(alg, nil))
		}
		if cfg.CramHMACAlg == "" {
			r.sendParams()
			return
		}
		r.link.challenge = make([]byte, wire.ChallengeLen)
		for i := 0; i < len(r.link.challenge); i += 8 {
			binary.BigEndian.PutUint64(r.link.challenge[i:], cfg.Rand())
		}
		r.link.phase = phaseChallenge
		r.tell(wire.Message{Command: wire.CmdAuthChallenge, Data: r.link.challenge})
	case r.link.phase == phaseChallenge:
		c := m.Data
		if m.Command != wire.CmdAuthChallenge || len(c) < wire.ChallengeLen || len(c) > wire.MaxChallengeLen || string(c) == string(r.link.challenge) {
			r.standAlone("authentication: expected a challenge of the peer")
			return
		}
		answer, ok := wire.AuthResponse(cfg.CramHMACAlg, cfg.SharedSecret, c)
		if !ok {
			r.standAlone("authentication: unknown algorithm " + cfg.CramHMACAlg)
			return
		}
		r.link.phase = phaseResponse
		r.tell(wire.Message{Command: wire.CmdAuthResponse, Data: answer})
	case r.link.phase == phaseResponse:
		want, _ := wire.AuthResponse(cfg.CramHMACAlg, cfg.SharedSecret, r.link.challenge)
		if m.Command != wire.CmdAuthResponse {
			r.protocolError("authentication: expected an answer")
			return
		}
		if !wire.AuthMatches(want, m.Data) {
			r.standAlone("authentication: the peer does not know the shared secret")
			return
		}
		r.sendParams()
	case m.Command == wire.CmdPing:
		r.tell(wire.Message{Command: wire.CmdPingAck})
	default:
		r.protocolError("unexpected " + m.Command.String() + " in the handshake")
	}
}

// foreignVersions says why two nodes cannot talk and what helps.
func foreignVersions(own, peer *wire.Features) string {
	text := fmt.Sprintf("incompatible protocol versions: this node speaks %d to %d, the peer %d to %d", own.Min, own.Max, peer.Min, max(peer.Min, peer.Max))
	if peer.Max < own.Min {
		if peer.Max >= wire.MinVersion {
			return text + ": the peer is DRBD 8.3, which cannot do several volumes in one resource"
		}
		return text + ": the peer is older than DRBD 8.3; it has to be upgraded first (the metadata stay as they are)"
	}
	return text + ": the peer is newer and does not speak the protocol of DRBD 8.4 any more"
}

// sendParams sends all settings and goes to WFReportParams.
func (r *Resource) sendParams() {
	r.link.phase = phaseParams
	flags, cfg := uint32(0), r.settings()
	if r.volumes[0].discardMyData {
		flags |= wire.ConnDiscardMyData
	}
	r.tell(wire.Message{Command: wire.CmdProtocol, Protocol: &wire.Protocol{
		Protocol: cfg.Protocol, AfterSB: cfg.AfterSB, Flags: flags, TwoPrimaries: cfg.TwoPrimaries, IntegrityAlg: cfg.IntegrityAlg,
	}})
	for _, e := range r.volumes {
		e.introduce()
	}
	r.connState(wire.WFReportParams)
	r.pumpData()
}

// introduce sends what is to be known of a volume.
func (e *Engine) introduce() {
	command := wire.CmdSyncParam89
	if e.link.dialect.Version < 89 {
		command = wire.CmdSyncParam
	}
	e.send(wire.Message{Command: command, Sync: &wire.SyncParam{
		Rate: uint32(e.cfg.ResyncRate), VerifyAlg: e.cfg.VerifyAlg, CsumsAlg: e.cfg.CsumsAlg,
		PlanAhead: uint32(e.cfg.PlanAhead / (100 * time.Millisecond)), DelayTarget: uint32(e.cfg.DelayTarget / (100 * time.Millisecond)),
		FillTarget: uint32(e.cfg.FillTarget), MaxRate: uint32(e.cfg.MaxRate),
	}})
	// Writes that waited for the fence of the peer are on our disk alone, in the same
	// generation as the peer's data. A new generation now would look like a split
	// brain if this node crashed and the peer went on; to say that this is a crashed
	// Primary makes us the source all the same.
	e.crashed = e.crashed || e.missesHeld()
	if e.hasDisk && e.state.PeerDisk() == wire.Outdated && e.super.UUID.Bitmap == 0 {
		e.peer.equal = true
		e.persist()
	}
	e.told = e.size
	e.sendSizes()
	e.sendUUIDs()
	e.sendState()
}

func (e *Engine) sendUUIDs() {
	if !e.hasDisk {
		return
	}
	u := e.super.UUID
	m := &wire.UUIDs{Current: u.Current, Bitmap: u.Bitmap, History: u.History, SetBits: e.bitmap.Count()}
	if e.discardMyData {
		m.Flags |= wire.UUIDDiscardMyData
	}
	if e.crashed {
		m.Flags |= wire.UUIDCrashedPrimary
	}
	if e.state.Disk() == wire.Negotiating && e.attachAs == wire.Inconsistent {
		m.Flags |= wire.UUIDInconsistent
	}
	e.sending.bitsTold = m.SetBits
	e.send(wire.Message{Command: wire.CmdUUIDs, UUIDs: m})
}

func (e *Engine) sendState() { e.send(wire.Message{Command: wire.CmdState, State: e.state}) }

// receiveProtocol compares the settings that must be alike.
func (r *Resource) receiveProtocol(p *wire.Protocol) {
	mirror := func(policy uint32) uint32 {
		switch policy {
		case SBDiscardLocal:
			return SBDiscardRemote
		case SBDiscardRemote:
			return SBDiscardLocal
		}
		return policy
	}
	sb, cfg := p.AfterSB, r.settings()
	for i := range sb {
		sb[i] = mirror(sb[i])
	}
	switch {
	case p.Flags&wire.ConnDryRun != 0:
		r.protocolError("the peer only tries")
	case p.Protocol != cfg.Protocol:
		r.standAlone("incompatible protocol settings")
	case sb != cfg.AfterSB:
		r.standAlone("incompatible after-sb settings")
	case p.TwoPrimaries != cfg.TwoPrimaries:
		r.standAlone("incompatible allow-two-primaries settings")
	case p.IntegrityAlg != cfg.IntegrityAlg: // also where protocol 86 has no word for it
		r.standAlone("incompatible data-integrity-alg settings")
	case p.Flags&wire.ConnDiscardMyData != 0 && r.volumes[0].discardMyData:
		r.standAlone("incompatible discard-my-data settings")
	default:
		r.agreed = true
	}
}

func (e *Engine) receiveSyncParam(p *wire.SyncParam) {
	// What the dialect has no room for was not said.
	if v := e.link.dialect.Version; v < 88 {
		p.VerifyAlg = e.cfg.VerifyAlg
	}
	if e.link.dialect.Version < 89 {
		p.CsumsAlg = e.cfg.CsumsAlg
	}
	if !e.peer.sync && (p.VerifyAlg != e.cfg.VerifyAlg || p.CsumsAlg != e.cfg.CsumsAlg) {
		e.standAlone("incompatible verify-alg or csums-alg settings")
		return
	}
	e.peer.sync = true
	e.cfg.VerifyAlg, e.cfg.CsumsAlg = p.VerifyAlg, p.CsumsAlg
	// As the kernel does: the settings that came last count on both nodes.
	e.cfg.ResyncRate = uint64(p.Rate)
	if e.link.dialect.Version < 95 {
		return
	}
	e.cfg.FillTarget, e.cfg.MaxRate = uint64(p.FillTarget), uint64(p.MaxRate)
	e.cfg.PlanAhead = time.Duration(p.PlanAhead) * 100 * time.Millisecond
	e.cfg.DelayTarget = time.Duration(p.DelayTarget) * 100 * time.Millisecond
}

func (e *Engine) receiveUUIDs(u *wire.UUIDs) {
	e.peer.uuids = u
	switch {
	case e.hasDisk:
	case e.state.Conn() >= wire.Connected && e.state.PeerDisk() < wire.Inconsistent && e.workedWithNewer(u.Current):
		// It attaches a disk; its state follows, and is answered with a refusal.
		e.olderAttach = true
	case e.state.Conn() >= wire.Connected:
		// The peer began a new generation with us looking on: that is our data now.
		e.exposed = u.Current
	case e.state.Role() == wire.Primary && e.exposed != 0 && !metadata.SameGeneration(u.Current, e.exposed):
		e.standAlone("the peer has other data than this Primary without a disk")
		return
	}
	if u.Flags&wire.UUIDSkipInitialResync != 0 && e.hasDisk && e.state.Conn() == wire.Connected &&
		e.super.UUID.Current == metadata.JustCreated {
		e.super.UUID.SetCurrent(u.Current, e.state.Role() == wire.Primary)
		e.super.UUID.Bitmap = 0
		e.bitmap.ClearAll()
		e.change(e.state.WithDisk(wire.UpToDate).WithPeerDisk(wire.UpToDate), hard)
		e.persist()
	}
}
