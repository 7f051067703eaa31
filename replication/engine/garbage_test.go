package engine

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// nonsense is a message of any kind with values that are often nearly right.
func nonsense(r *rand.Rand, n *pairNode) wire.Message {
	commands := []wire.Command{
		wire.CmdData, wire.CmdDataReply, wire.CmdResyncReply, wire.CmdBarrier, wire.CmdBitmap, wire.CmdUnplug, wire.CmdDataRequest,
		wire.CmdResyncRequest, wire.CmdProtocol, wire.CmdUUIDs, wire.CmdSizes, wire.CmdState, wire.CmdSyncUUID, wire.CmdAuthChallenge,
		wire.CmdStateChange, wire.CmdPing, wire.CmdPingAck, wire.CmdReceiveAck, wire.CmdWriteAck, wire.CmdResyncWriteAck,
		wire.CmdSuperseded, wire.CmdNegAck, wire.CmdNegDataReply, wire.CmdNegResyncReply, wire.CmdBarrierAck, wire.CmdStateReply,
		wire.CmdVerifyRequest, wire.CmdVerifyReply, wire.CmdVerifyResult, wire.CmdChecksumRequest, wire.CmdInSync, wire.CmdSyncParam89,
		wire.CmdPackedBitmap, wire.CmdOutOfSync, wire.CmdResyncCancel, wire.CmdConnChange, wire.CmdConnReply, wire.CmdRetryWrite,
		wire.CmdProtocolUpdate, wire.CmdTrim, wire.CmdThinRequest, wire.CmdDeallocated, wire.CmdZeroes, wire.CmdFeatures,
	}
	pick := func(v ...uint64) uint64 { return v[r.IntN(len(v))] }
	bits := func() uint64 { return pick(0, 4, 0x1011, 0x1010, r.Uint64()) }
	m := wire.Message{
		Command: commands[r.IntN(len(commands))],
		Sector:  pick(0, 8, 100, n.e.Size()-8, n.e.Size(), 1<<40), Size: uint32(pick(512, 4096, 1<<20, 4096)),
		ID: pick(wire.SyncerID, r.Uint64N(100)), Seq: uint32(r.Uint64N(50)), Flags: wire.DataFlags(r.Uint32()),
		Number: uint32(r.Uint64N(4)), Count: uint32(r.Uint64N(4)), Mask: wire.State(r.Uint32()), State: wire.State(r.Uint32()),
		Code: wire.Result(r.IntN(8) - 4), UUID: bits(),
	}
	if r.IntN(2) == 0 {
		m.State = n.e.State()
		m.Mask = []wire.State{wire.MaskRole, wire.MaskConn, wire.MaskDisk, wire.MaskPeerDisk}[r.IntN(4)]
	}
	if r.IntN(40) == 0 && m.Command.OfVolume() {
		m.Volume = 9
	}
	switch m.Command {
	case wire.CmdData, wire.CmdDataReply, wire.CmdResyncReply:
		m.Data = make([]byte, m.Size)
	case wire.CmdBitmap, wire.CmdPackedBitmap:
		m.Data = make([]byte, r.IntN(300))
		for i := range m.Data {
			m.Data[i] = byte(r.Uint32())
		}
	case wire.CmdAuthChallenge:
		m.Data = make([]byte, 64)
	case wire.CmdProtocol, wire.CmdProtocolUpdate:
		m.Protocol = &wire.Protocol{Protocol: uint32(pick(1, 3, 3, 3)), Flags: uint32(pick(0, 0, 1, 2))}
	case wire.CmdUUIDs:
		m.UUIDs = &wire.UUIDs{Current: bits(), Bitmap: bits(), History: [2]uint64{bits(), bits()}, SetBits: bits(), Flags: pick(0, 1, 2, 4, 8)}
	case wire.CmdSizes:
		m.Sizes = &wire.Sizes{Device: pick(0, n.e.Size(), n.e.Size()/2, n.e.Size()*2, 1<<30), Current: pick(0, n.e.Size())}
	case wire.CmdSyncParam89:
		m.Sync = &wire.SyncParam{Rate: uint32(bits()), PlanAhead: uint32(pick(0, 20, 300)), FillTarget: uint32(bits()), MaxRate: uint32(bits())}
	case wire.CmdFeatures:
		m.Features = &wire.Features{Min: 86, Max: int(pick(80, 99, 101, 120)), Flags: wire.FeatureFlags(bits())}
	}
	return m
}

// TestGarbage lets a peer send anything at any time. The node may drop the
// connection; it must not break, write outside of its volume, or lose what it has.
func TestGarbage(t *testing.T) {
	for seed := uint64(1); seed <= 60; seed++ {
		r := rand.New(rand.NewPCG(seed, 8))
		cfg := Defaults()
		cfg.TwoPrimaries = seed%3 == 0
		cfg.AlwaysASBP, cfg.AfterSB = seed%2 == 0, [3]uint32{SBDiscardZeroChanges, SBDiscardSecondary, SBCallHelper}
		p := &pair{t: t, size: pairDisk}
		p.reset([2]Config{cfg, cfg})
		a := p.nodes[0]
		for _, n := range p.nodes {
			p.up(n)
		}
		for step := range 400 {
			switch c := r.IntN(30); {
			case c == 0 || !a.linked && r.IntN(3) == 0:
				if a.e.State().Conn() == wire.StandAlone {
					a.e.Connect(p.now, false, 0)
					p.effects(a)
				}
				if b := p.nodes[1]; b.e.State().Conn() == wire.StandAlone {
					b.e.Connect(p.now, false, 0)
					p.effects(b)
				}
				p.drop()
				p.link(r.IntN(2))
				p.run(true)
			case c == 1:
				a.e.Promote(p.now, r.IntN(4) == 0, a.tag())
				p.effects(a)
			case c == 2:
				a.e.Demote(p.now, a.tag())
				p.effects(a)
			case c == 3:
				a.e.Write(p.now, a.tag(), r.Uint64N(1000)*8, make([]byte, 4096), false)
				p.effects(a)
			case c == 4:
				p.now += 100 * time.Millisecond
				a.e.Tick(p.now)
				p.effects(a)
			case c == 5:
				p.run(true)
			default:
				m := nonsense(r, a)
				d := a.e.Dialect()
				if !a.linked || d.Version == 0 && m.Command != wire.CmdFeatures {
					continue
				}
				if m.Command == wire.CmdFeatures {
					d = wire.Dialect{}
				}
				raw := d.Append(nil, &m)
				h, err := d.DecodeHeader(raw)
				if err != nil {
					continue
				}
				var got wire.Message
				if d.Decode(h, raw[d.HeaderSize():], &got) != nil {
					continue
				}
				a.e.Receive(p.now, &got)
				p.effects(a)
			}
			for _, f := range a.work {
				end := f.Sector + uint64(f.Size)/metadata.SectorSize
				if (f.Kind == WriteDisk || f.Kind == ReadDisk) && end > a.area.Layout.DataSectors {
					t.Fatalf("seed %d step %d: %v of sectors %d to %d", seed, step, f.Kind, f.Sector, end)
				}
			}
		}
		p.run(true)
		// What is on the disk is still metadata of this node.
		p.crash(a)
		p.up(a)
		if slices.Contains([]wire.Disk{wire.Diskless, wire.Failed}, a.e.State().Disk()) {
			t.Errorf("seed %d: %v", seed, a.e.State())
		}
	}
}

// TestDiskWithoutIdentifiers: a peer that has a disk and does not say which data is on it must not count as equal.
func TestDiskWithoutIdentifiers(t *testing.T) {
	p := connectedPair(t, pairDisk, Defaults(), 1)
	a, b := p.nodes[0], p.nodes[1]
	p.alone(a, 3, 0x33)
	p.tap = func(from int, m *wire.Message) {
		if from == 1 && m.Command == wire.CmdUUIDs {
			*m = wire.Message{Command: wire.CmdUnplug}
		}
	}
	p.link(1)
	p.run(true)
	if s := a.e.State(); s.Conn() >= wire.Connected || s.PeerDisk() == wire.UpToDate {
		t.Errorf("connected to data that nobody knows: %v, the peer %v\n%s", s, b.e.State(), p.out.String())
	}
	p.tap = nil
	p.drop()
	p.link(1)
	p.run(true)
	p.awaitSync()
	if got := b.disk.sector(3 * 8)[0]; got != 0x33 {
		t.Errorf("the peer has %#x", got)
	}
}
