package engine

import (
	"bytes"
	"testing"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// runUntil delivers what is under way until a message is next that stop knows, which stays
// undelivered.
func (p *pair) runUntil(stop func(from int, m *wire.Message) bool) {
	p.t.Helper()
	for i := 0; ; i++ {
		if len(p.wire) > 0 && stop(1-p.wire[0].to, &p.wire[0].m) {
			return
		}
		if !p.step(true) {
			p.tick()
		}
		if i > 100000 {
			p.t.Fatalf("that message never comes\n%s", p.out.String())
		}
	}
}

// tell lets a node do something and what follows from it.
func (p *pair) tell(n *pairNode, do func(e *Engine, tag uint64)) {
	do(n.e, n.tag())
	p.effects(n)
}

// fenced ends the handler that fences the peer, if it runs.
func (p *pair) fenced(n *pairNode) {
	n.e.HandlerDone(p.now, "fence-peer", fencePeerStonithed)
	p.effects(n)
}

// alone breaks the connection, and writes a block on a node that goes on without its peer.
func (p *pair) alone(n *pairNode, block uint64, v byte) {
	p.drop()
	p.fenced(n)
	p.writeBlock(n, block, v)
}

// missedEndPair is a pair whose source a does not know that its target b has everything: the
// connection broke when b had just finished.
func missedEndPair(t *testing.T, cfg Config) *pair {
	t.Helper()
	cfg.PlanAhead, cfg.ResyncRate = 0, 100000
	p := connectedPair(t, pairDisk, cfg, 1)
	a, b := p.nodes[0], p.nodes[1]
	p.alone(a, 3, 0x33)
	p.link(1)
	p.runUntil(func(from int, m *wire.Message) bool {
		return from == 1 && m.Command == wire.CmdState && m.State.Conn() == wire.Connected
	})
	p.drop()
	if s, g := b.e.State(), b.e.Generations(); s.Disk() != wire.UpToDate || g.Bitmap != 0 {
		t.Fatalf("b has not finished: %v %X", s, g)
	}
	if a.e.Generations().Bitmap == 0 {
		t.Fatal("a knows that the resync is over")
	}
	return p
}

func filled(v byte) []byte { return bytes.Repeat([]byte{v}, metadata.BlockSize) }

// writeBlock writes a block on a node, and runs what is under way.
func (p *pair) writeBlock(n *pairNode, block uint64, v byte) {
	p.tell(n, func(e *Engine, tag uint64) { e.Write(p.now, tag, block*8, filled(v), false) })
	p.run(true)
}

// meetAgain breaks the connection, by a crash of a node if crash is set, and lets the
// nodes come to rest.
func (p *pair) meetAgain(n *pairNode, crash bool) {
	if crash {
		p.crash(n)
	}
	p.drop()
	if crash {
		p.up(n)
	}
	p.link(1)
	p.awaitSync()
	p.run(true)
}

// TestCorrectionIsNoEnd: a source that missed the end of a resync goes on alone, and
// writes. When it meets its peer it corrects its identifiers (rule 34): the nodes have the
// same ones from then on. If it crashes before the resync that follows has begun, or only
// the connection breaks, the difference must not be forgotten.
func TestCorrectionIsNoEnd(t *testing.T) {
	for _, crash := range []bool{false, true} {
		p := missedEndPair(t, Defaults())
		a, b := p.nodes[0], p.nodes[1]
		p.writeBlock(a, 7, 0x77)
		p.tell(a, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
		p.run(true)
		p.link(1)
		p.runUntil(func(int, *wire.Message) bool { return a.e.State().Conn() == wire.WFBitMapS })
		p.meetAgain(a, crash)
		if got := b.disk.sector(7 * 8)[0]; got != 0x77 {
			t.Errorf("crash %v: both nodes are UpToDate, and b has %#x where a wrote 0x77", crash, got)
		}
		if n := a.e.OutOfSync(); n != 0 {
			t.Errorf("crash %v: %d sectors are out of sync", crash, n)
		}
	}
}

// TestSplitBrainAfterMissedEnd: the source of a resync does not know that its target has
// everything and may be promoted. When both are used alone, that is a split brain, however
// the source lost sight of its target.
func TestSplitBrainAfterMissedEnd(t *testing.T) {
	promote := func(p *pair, n *pairNode) {
		p.tell(n, func(e *Engine, tag uint64) { e.Promote(p.now, false, tag) })
	}
	demote := func(p *pair, n *pairNode) {
		p.run(true)
		p.tell(n, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
	}
	for name, lose := range map[string]func(p *pair, a *pairNode){
		"it goes on":                         func(p *pair, a *pairNode) {},
		"it is promoted again":               func(p *pair, a *pairNode) { demote(p, a); promote(p, a) },
		"it crashes":                         func(p *pair, a *pairNode) { p.crash(a); p.up(a); promote(p, a) },
		"it is stopped, crashes, comes back": func(p *pair, a *pairNode) { demote(p, a); p.crash(a); p.up(a); promote(p, a) },
	} {
		for _, used := range []bool{true, false} {
			p := missedEndPair(t, Defaults())
			a, b := p.nodes[0], p.nodes[1]
			lose(p, a)
			p.writeBlock(a, 7, 0x77)
			demote(p, a)
			if used {
				promote(p, b)
				p.writeBlock(b, 9, 0x99)
			}
			p.link(1)
			if !used {
				p.awaitSync()
				if b.disk.sector(7 * 8)[0] != 0x77 {
					t.Errorf("%s: the peer does not have what was written", name)
				}
				continue
			}
			p.run(true)
			for i, n := range p.nodes {
				if s := n.e.State(); s.Conn() >= wire.Connected {
					t.Errorf("%s: node %d does not see a split brain: %v", name, i, s)
				}
			}
			if a.disk.sector(7 * 8)[0] != 0x77 || b.disk.sector(9 * 8)[0] != 0x99 {
				t.Errorf("%s: data was overwritten", name)
			}
		}
	}
}

// TestSourceThatCrashedGoesOn: a source that crashes in the middle of a resync, and is used
// alone, goes on with the resync where it was; it does not begin from the start.
func TestSourceThatCrashedGoesOn(t *testing.T) {
	cfg := Defaults()
	cfg.PlanAhead, cfg.ResyncRate = 0, 100000
	p := connectedPair(t, pairDisk, cfg, 1)
	a, b := p.nodes[0], p.nodes[1]
	p.drop()
	p.writeBlock(a, 3, 0x33)
	p.link(1)
	p.runUntil(func(from int, m *wire.Message) bool { return m.Command == wire.CmdResyncReply })
	p.crash(a)
	p.drop()
	p.up(a)
	p.tell(a, func(e *Engine, tag uint64) { e.Promote(p.now, false, tag) })
	p.writeBlock(a, 7, 0x77)
	known := a.e.OutOfSync()
	p.link(1)
	p.runUntil(func(int, *wire.Message) bool { return a.e.State().Conn() == wire.SyncSource })
	if n := a.e.OutOfSync(); n > known || known == a.e.Size() {
		t.Errorf("%d sectors are out of sync of %d, the bitmap had %d", n, a.e.Size(), known)
	}
	p.awaitSync()
	if b.disk.sector(7 * 8)[0] != 0x77 || b.disk.sector(3 * 8)[0] != 0x33 {
		t.Error("the peer does not have what was written")
	}
}

// TestFencedPeerNeedsNoGeneration: with the peer fenced, nobody can use it alone, and the
// identifiers stay those of the resync that was cut short.
func TestFencedPeerNeedsNoGeneration(t *testing.T) {
	cfg := Defaults()
	cfg.Fencing = FencingStonith
	p := missedEndPair(t, cfg)
	a := p.nodes[0]
	before := a.e.Generations()
	p.fenced(a)
	p.writeBlock(a, 7, 0x77)
	if s := a.e.State(); s&anySuspended != 0 || a.e.Generations() != before {
		t.Errorf("%v, identifiers %X, before %X", s, a.e.Generations(), before)
	}
}

// TestVictimThatMissedTheResync: after a split brain the data of b is thrown away, there is
// nothing to copy, and b stops before it has noted that the resync began. The data that was
// given up is given up again; it must not count as unrelated.
func TestVictimThatMissedTheResync(t *testing.T) {
	p := connectedPair(t, pairDisk, Defaults(), 1)
	a, b := p.nodes[0], p.nodes[1]
	p.drop()
	p.tell(b, func(e *Engine, tag uint64) { e.Promote(p.now, false, tag) })
	p.tell(b, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
	rejoin := func() {
		for i, n := range p.nodes {
			if n.e.State().Conn() != wire.StandAlone {
				p.tell(n, func(e *Engine, tag uint64) { e.Disconnect(p.now, true, tag) })
			}
			p.tell(n, func(e *Engine, tag uint64) { e.Connect(p.now, i == 1, tag) })
		}
		p.link(1)
	}
	rejoin()
	p.runUntil(func(_ int, m *wire.Message) bool { return m.Command == wire.CmdSyncUUID })
	p.crash(b)
	p.drop()
	p.up(b)
	p.writeBlock(a, 7, 0x77)
	rejoin()
	p.awaitSync()
	p.run(true)
	if b.disk.sector(7 * 8)[0] != 0x77 {
		t.Error("b does not have what was written")
	}
}

// TestResyncOfNothingCutShort: a resync without anything to be copied is cut short when its target
// has noted it, and the one that follows before that. The target's data is that of the source, and not unrelated.
func TestResyncOfNothingCutShort(t *testing.T) {
	p := connectedPair(t, pairDisk, Defaults(), 1)
	a, b := p.nodes[0], p.nodes[1]
	p.drop()
	for i := range uint64(2) {
		p.link(1)
		p.runUntil(func(from int, m *wire.Message) bool {
			return i == 0 && b.e.State().Conn() == wire.SyncTarget || i > 0 && from == 0 && m.Command == wire.CmdSyncUUID
		})
		if i == 0 && a.e.OutOfSync() > 0 {
			t.Fatal("there is something to be copied")
		}
		p.crash(b)
		p.drop()
		p.up(b)
		p.writeBlock(a, 7+i, 0x77)
	}
	p.link(1)
	p.awaitSync()
	for i := range uint64(2) {
		if b.disk.sector((7 + i) * 8)[0] != 0x77 {
			t.Error("b does not have what was written")
		}
	}
}

// TestBeginningsMissed: the target misses the beginning of any number of resyncs, after the first of which the source
// crashes and is used alone. The history, which has two places, has forgotten by then what the target has.
func TestBeginningsMissed(t *testing.T) {
	p := connectedPair(t, pairDisk, Defaults(), 1)
	a, b := p.nodes[0], p.nodes[1]
	p.drop()
	p.writeBlock(a, 7, 0x77)
	had := b.e.Generations().Current
	for i := range 4 {
		p.link(1)
		p.runUntil(func(from int, m *wire.Message) bool { return from == 0 && m.Command == wire.CmdSyncUUID })
		p.crash(b)
		if i == 0 {
			p.crash(a)
		}
		p.drop()
		p.up(b)
		if i == 0 {
			p.up(a)
			p.tell(a, func(e *Engine, tag uint64) { e.Promote(p.now, false, tag) })
			p.writeBlock(a, 8, 0x88)
		}
		if got := b.e.Generations().Current; got != had {
			t.Fatalf("b has noted a resync: %X, it had %X", got, had)
		}
	}
	p.link(1)
	p.awaitSync()
	for block, want := range map[uint64]byte{7: 0x77, 8: 0x88} {
		if got := b.disk.sector(block * 8)[0]; got != want {
			t.Errorf("b has %#x in block %d, a wrote %#x", got, block, want)
		}
	}
}

// TestVictimThatMissedTheDecision: a split brain is decided by policy, and the node that shall give way stops before it
// has noted the resync, once or more often. The split brain is still there, and is decided again; the data is not unrelated.
func TestVictimThatMissedTheDecision(t *testing.T) {
	for missed := 1; missed < 4; missed++ {
		cfg := Defaults()
		cfg.AfterSB = [3]uint32{SBDiscardLeastChanges, SBDiscardSecondary, SBDisconnect}
		p := connectedPair(t, pairDisk, cfg, 1)
		a, b := p.nodes[0], p.nodes[1]
		for i := range uint64(2) { // no zeroes in the histories, which would count as alike
			p.drop()
			p.writeBlock(a, i, 0x11)
			p.link(1)
			p.awaitSync()
		}
		p.drop()
		p.tell(b, func(e *Engine, tag uint64) { e.Promote(p.now, false, tag) })
		p.writeBlock(b, 9, 0x99)
		p.tell(b, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
		for i := range missed {
			p.writeBlock(a, uint64(7+i), 0x77)
			p.link(1)
			p.runUntil(func(_ int, m *wire.Message) bool { return m.Command == wire.CmdSyncUUID })
			p.crash(b)
			p.drop()
			p.up(b)
		}
		p.link(1)
		p.awaitSync()
		p.run(true)
		if sector, differs := a.disk.differs(b.disk, a.e.Size()); differs {
			t.Errorf("missed %d times: sector %d differs", missed, sector)
		}
		for i := range missed {
			if got := b.disk.sector(uint64(7+i) * 8)[0]; got != 0x77 {
				t.Errorf("missed %d times: b has %#x in block %d", missed, got, 7+i)
			}
		}
	}
}

// TestEndBehindAllAnswers: the target of a resync is done when the source has seen its answers for all blocks. The answer to a
// ping that went out before them does not say so: a source that misses the last ones takes its target for harmless when the
// connection breaks, and goes on without a fence.
func TestEndBehindAllAnswers(t *testing.T) {
	cfg := Defaults()
	cfg.Fencing = FencingStonith
	p := connectedPair(t, pairDisk, cfg, 1)
	a, b := p.nodes[0], p.nodes[1]
	p.alone(a, 3, 0x33)
	p.link(1)
	p.runUntil(reply(0, wire.CmdResyncReply))
	p.tell(b, func(e *Engine, _ uint64) { e.ping(func() {}) }) // for whatever reason
	p.runUntil(reply(0, wire.CmdPingAck))
	early := p.wire[0]
	p.wire = p.wire[1:]
	p.runUntil(reply(1, wire.CmdResyncWriteAck))
	p.wire = []pending{early} // overtakes in the other direction; the block's answer is lost with the connection
	p.step(true)
	p.wire = nil
	p.drop()
	if s, peer := a.e.State(), b.e.State(); peer.Disk() > wire.Inconsistent && s&wire.SuspendedFence == 0 {
		t.Errorf("a goes on, and b may be promoted: %v, %v", s, peer)
	}
	p.fenced(a)
	p.writeBlock(a, 5, 0x55)
	p.link(1)
	p.awaitSync()
	if got := b.disk.sector(5 * 8)[0]; got != 0x55 {
		t.Errorf("b has %#x", got)
	}
}
