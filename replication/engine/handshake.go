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
	phaseParams                 // settings, sizes, identifiers and state cross
	phaseRunning
)

// link is the connection.
type link struct {
	up       bool
	phase    phase
	resolver bool // this node accepted the meta socket
	dialect  wire.Dialect
	seq      uint32 // of the last message sent that counts
	peerSeq  uint32 // of the last one seen

	challenge []byte
	// told: our own state of this connection was sent.
	told bool

	lastHeard, lastSent time.Duration
	pingAt              time.Duration // a ping without answer was sent then; 0: none
	koLeft              int
	pingDone            []func() // to be called when the ping that is under way is answered
	opening             bool     // OpenConnection is in force
}

// Dialect is what the runner encodes and decodes with.
func (e *Engine) Dialect() wire.Dialect { return e.link.dialect }

// handshaking tells whether the two nodes are between their states and a decision.
func (e *Engine) handshaking() bool {
	return e.link.up && e.state.Conn() == wire.WFReportParams
}

// Connect starts the network side. discardMyData gives up own changes in a split
// brain, once.
func (e *Engine) Connect(now time.Duration, discardMyData bool, tag uint64) {
	e.now = now
	if e.state.Conn() != wire.StandAlone {
		e.reply(tag, wire.InTransient)
		return
	}
	if discardMyData && e.state.Role() == wire.Primary {
		e.reply(tag, wire.RefusedByPeer)
		return
	}
	e.discardMyData = discardMyData
	e.change(e.state.WithConn(wire.Unconnected), hard)
	e.startConnecting()
	e.reply(tag, wire.ResultOK)
}

func (e *Engine) startConnecting() {
	e.change(e.state.WithConn(wire.WFConnection), hard)
	e.link.opening = true
	e.emit(Effect{Kind: OpenConnection})
}

// offered are the abilities of this node. The kernel expects a digest in front of
// zeroes, but sends none: with digests they are not used.
func (e *Engine) offered() *wire.Features {
	f := &wire.Features{Min: 100, Max: wire.MaxVersion, Flags: features}
	if e.cfg.IntegrityAlg != "" {
		f.Flags &^= wire.FeatureZeroes
	}
	return f
}

// ConnectionUp reports a pair of sockets. resolver is true when this node accepted
// the meta socket.
func (e *Engine) ConnectionUp(now time.Duration, resolver bool) {
	e.now = now
	if e.state.Conn() != wire.WFConnection || e.link.up {
		return
	}
	e.link = link{up: true, resolver: resolver, lastHeard: now, lastSent: now, koLeft: e.cfg.KOCount}
	e.peer, e.growing = peerInfo{}, false
	e.sending.connect()
	e.receiving = receiveSide{}
	e.send(wire.Message{Command: wire.CmdFeatures, Features: e.offered()})
}

// ConnectionLost reports that the sockets broke.
func (e *Engine) ConnectionLost(now time.Duration) {
	e.now = now
	if e.link.up {
		e.dropLink(wire.BrokenPipe)
	}
}

// Receive takes a message that arrived, in the order of its socket.
func (e *Engine) Receive(now time.Duration, m *wire.Message) {
	e.now = now
	if !e.link.up {
		return
	}
	e.link.lastHeard = now
	if m.Command.OfVolume() && m.Volume != e.cfg.Volume && e.link.dialect.Version >= 100 {
		switch m.Command {
		case wire.CmdSyncParam89, wire.CmdSizes, wire.CmdUUIDs, wire.CmdState, wire.CmdDelayProbe, wire.CmdUnplug:
			// Settings of a volume that only the peer has.
		default:
			e.protocolError("a packet for another volume")
		}
		return
	}
	if e.link.phase != phaseRunning && e.link.phase != phaseParams {
		e.opening(m)
		return
	}
	if m.Command.OnMeta() {
		e.receiveMeta(m)
		return
	}
	if r := &e.receiving; len(r.queue) == 0 && !r.barrier && !r.pumping && !e.tooEarly(m) {
		r.pumping = true
		e.receiveData(m)
		e.receiving.pumping = false
		e.pumpData() // what it may have left behind
		return
	}
	if r := &e.receiving; len(r.queue) == 0 {
		r.queue = append(r.room[:0], *m)
		r.room = r.queue[:0]
	} else {
		r.queue = append(r.queue, *m)
	}
	e.pumpData()
}

// protocolError drops a connection whose peer does not keep to the protocol.
func (e *Engine) protocolError(why string) {
	e.note("protocol error: " + why)
	e.dropLink(wire.ProtocolError)
}

// standAlone ends the connection for good: the administrator has to look at it.
func (e *Engine) standAlone(why string) {
	e.note(why)
	e.dropLink(wire.Disconnecting)
}

// dropLink ends the connection. With Disconnecting it stays ended, else a new one is
// looked for.
func (e *Engine) dropLink(cause wire.Conn) {
	wasUp := e.link.up
	e.link.up, e.link.opening = false, false
	e.emit(Effect{Kind: CloseConnection})
	ns := e.state.WithConn(cause)
	if wasUp {
		// A target that got everything may call itself UpToDate before we hear of it:
		// it is not to be taken for one that cannot be promoted.
		if c := e.state.Conn(); (c == wire.SyncSource || c == wire.PausedSyncS) && e.targetMayBeDone() {
			ns = ns.WithPeerDisk(wire.DUnknown)
		}
		e.beforeLoss()
	}
	e.change(ns, hard)
	if e.hasDisk && e.state.Disk() == wire.Diskless {
		e.abandonDisk() // it was being attached, and its data is old
	}
	if wasUp {
		e.afterLoss()
	}
	e.link = link{}
	e.receiving = receiveSide{}
	if cause == wire.Disconnecting {
		e.change(e.state.WithConn(wire.StandAlone), hard)
	} else {
		e.change(e.state.WithConn(wire.Unconnected), hard)
		e.startConnecting()
	}
	if e.cmd.active && e.cmd.asked {
		// The peer will not answer any more. A promotion is tried without it.
		e.cmd.asked = false
		if e.cmd.promote {
			e.tryPromote()
			return
		}
		e.finishCommand(wire.InTransient)
	}
}

// opening handles the packets before the settings.
func (e *Engine) opening(m *wire.Message) {
	switch {
	case e.link.phase == phaseFeatures && m.Command == wire.CmdFeatures:
		version, flags, ok := e.offered().Agree(*m.Features)
		if !ok {
			e.standAlone(foreignVersions(e.offered(), m.Features))
			return
		}
		e.link.dialect = wire.Dialect{Version: version, Features: flags}
		if alg := e.cfg.IntegrityAlg; alg != "" {
			e.link.dialect.IntegrityLen = len(digestOf(alg, nil))
		}
		if e.cfg.CramHMACAlg == "" {
			e.sendParams()
			return
		}
		e.link.challenge = make([]byte, wire.ChallengeLen)
		for i := 0; i < len(e.link.challenge); i += 8 {
			binary.BigEndian.PutUint64(e.link.challenge[i:], e.cfg.Rand())
		}
		e.link.phase = phaseChallenge
		e.send(wire.Message{Command: wire.CmdAuthChallenge, Data: e.link.challenge})
	case e.link.phase == phaseChallenge:
		c := m.Data
		if m.Command != wire.CmdAuthChallenge || len(c) < wire.ChallengeLen || len(c) > wire.MaxChallengeLen || string(c) == string(e.link.challenge) {
			e.standAlone("authentication: expected a challenge of the peer")
			return
		}
		answer, ok := wire.AuthResponse(e.cfg.CramHMACAlg, e.cfg.SharedSecret, c)
		if !ok {
			e.standAlone("authentication: unknown algorithm " + e.cfg.CramHMACAlg)
			return
		}
		e.link.phase = phaseResponse
		e.send(wire.Message{Command: wire.CmdAuthResponse, Data: answer})
	case e.link.phase == phaseResponse:
		want, _ := wire.AuthResponse(e.cfg.CramHMACAlg, e.cfg.SharedSecret, e.link.challenge)
		if m.Command != wire.CmdAuthResponse {
			e.protocolError("authentication: expected an answer")
			return
		}
		if !wire.AuthMatches(want, m.Data) {
			e.standAlone("authentication: the peer does not know the shared secret")
			return
		}
		e.sendParams()
	case m.Command == wire.CmdPing:
		e.send(wire.Message{Command: wire.CmdPingAck})
	default:
		e.protocolError("unexpected " + m.Command.String() + " in the handshake")
	}
}

// foreignVersions says why two nodes cannot talk and what helps.
func foreignVersions(own, peer *wire.Features) string {
	text := fmt.Sprintf("incompatible protocol versions: this node speaks %d to %d, the peer %d to %d", own.Min, own.Max, peer.Min, max(peer.Min, peer.Max))
	if peer.Max < own.Min {
		return text + ": the peer is DRBD 8.3 or older; it has to be upgraded to 8.4 first (the metadata stay as they are)"
	}
	return text + ": the peer is newer and does not speak the protocol of DRBD 8.4 any more"
}

// sendParams sends all settings and goes to WFReportParams.
func (e *Engine) sendParams() {
	e.link.phase = phaseParams
	flags := uint32(0)
	if e.discardMyData {
		flags |= wire.ConnDiscardMyData
	}
	e.send(wire.Message{Command: wire.CmdProtocol, Protocol: &wire.Protocol{
		Protocol: e.cfg.Protocol, AfterSB: e.cfg.AfterSB, Flags: flags, TwoPrimaries: e.cfg.TwoPrimaries,
		IntegrityAlg: e.cfg.IntegrityAlg,
	}})
	e.send(wire.Message{Command: wire.CmdSyncParam89, Sync: &wire.SyncParam{
		Rate: uint32(e.cfg.ResyncRate), VerifyAlg: e.cfg.VerifyAlg, CsumsAlg: e.cfg.CsumsAlg,
		PlanAhead: uint32(e.cfg.PlanAhead / (100 * time.Millisecond)), DelayTarget: uint32(e.cfg.DelayTarget / (100 * time.Millisecond)),
		FillTarget: uint32(e.cfg.FillTarget), MaxRate: uint32(e.cfg.MaxRate),
	}})
	// Writes that waited for the fence of the peer are on our disk alone, in the same
	// generation as the peer's data. A new generation now would look like a split
	// brain if this node crashed and the peer went on; to say that this is a crashed
	// Primary makes us the source all the same.
	if e.newUUIDPending && e.hasDisk && e.bitmap.Count() > 0 {
		e.crashed = true
	}
	e.sendSizes()
	e.sendUUIDs()
	e.sendState()
	e.link.told = true
	e.change(e.state.WithConn(wire.WFReportParams), hard)
	e.pumpData()
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
func (e *Engine) receiveProtocol(p *wire.Protocol) {
	mirror := func(policy uint32) uint32 {
		switch policy {
		case SBDiscardLocal:
			return SBDiscardRemote
		case SBDiscardRemote:
			return SBDiscardLocal
		}
		return policy
	}
	sb := p.AfterSB
	for i := range sb {
		sb[i] = mirror(sb[i])
	}
	switch {
	case p.Flags&wire.ConnDryRun != 0:
		e.protocolError("the peer only tries")
	case p.Protocol != e.cfg.Protocol:
		e.standAlone("incompatible protocol settings")
	case sb != e.cfg.AfterSB:
		e.standAlone("incompatible after-sb settings")
	case p.TwoPrimaries != e.cfg.TwoPrimaries:
		e.standAlone("incompatible allow-two-primaries settings")
	case p.IntegrityAlg != e.cfg.IntegrityAlg:
		e.standAlone("incompatible data-integrity-alg settings")
	case p.Flags&wire.ConnDiscardMyData != 0 && e.discardMyData:
		e.standAlone("incompatible discard-my-data settings")
	default:
		e.peer.protocol = true
	}
}

func (e *Engine) receiveSyncParam(p *wire.SyncParam) {
	if !e.peer.sync && (p.VerifyAlg != e.cfg.VerifyAlg || p.CsumsAlg != e.cfg.CsumsAlg) {
		e.standAlone("incompatible verify-alg or csums-alg settings")
		return
	}
	e.peer.sync = true
	e.cfg.VerifyAlg, e.cfg.CsumsAlg = p.VerifyAlg, p.CsumsAlg
	// As the kernel does: the settings that came last count on both nodes.
	e.cfg.ResyncRate, e.cfg.FillTarget, e.cfg.MaxRate = uint64(p.Rate), uint64(p.FillTarget), uint64(p.MaxRate)
	e.cfg.PlanAhead = time.Duration(p.PlanAhead) * 100 * time.Millisecond
	e.cfg.DelayTarget = time.Duration(p.DelayTarget) * 100 * time.Millisecond
}

func (e *Engine) receiveUUIDs(u *wire.UUIDs) {
	e.peer.uuids = u
	switch {
	case e.hasDisk:
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
