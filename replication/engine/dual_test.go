package engine

import (
	"bytes"
	"strings"
	"testing"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// primariesPair is a pair whose nodes are both Primary. resolver decides about conflicts.
func primariesPair(t *testing.T, cfg Config, resolver int) *pair {
	t.Helper()
	cfg.TwoPrimaries = true
	p := connectedPair(t, pairDisk, cfg, resolver)
	p.tell(p.nodes[1], func(e *Engine, tag uint64) { e.Promote(p.now, false, tag) })
	p.run(true)
	if s := p.nodes[1].e.State(); s.Role() != wire.Primary || s.Peer() != wire.Primary {
		t.Fatal(s)
	}
	p.out.Reset()
	return p
}

// TestConflictIsOver: the peer has stored a write and answered it, and then writes the same
// place, while the disk of the node that decides is still busy with the first one. That is
// no conflict: the second write came later.
func TestConflictIsOver(t *testing.T) {
	p := primariesPair(t, Defaults(), 0)
	a, b := p.nodes[0], p.nodes[1]
	p.writeBlock(a, 5, 0x11) // the extent is in the log of both
	p.writeBlock(b, 5, 0x12)
	p.tell(a, func(e *Engine, tag uint64) { e.Write(p.now, tag, 5*8, filled(0x21), false) })
	slow := a.work
	a.work = nil
	p.run(true)
	if len(slow) != 1 || b.disk.sector(5 * 8)[0] != 0x21 {
		t.Fatalf("%d operations, b has %#x", len(slow), b.disk.sector(5 * 8)[0])
	}
	p.writeBlock(b, 5, 0x22)
	a.work = append(slow, a.work...)
	p.run(true)
	for i, n := range p.nodes {
		if got := n.disk.sector(5 * 8)[0]; got != 0x22 {
			t.Errorf("node %d has %#x", i, got)
		}
	}
}

// write begins a write of several sectors, which the peer does not hear of yet.
func (p *pair) write(n *pairNode, sector, sectors uint64, v byte) {
	p.tell(n, func(e *Engine, tag uint64) {
		e.Write(p.now, tag, sector, bytes.Repeat([]byte{v}, int(sectors)*metadata.SectorSize), false)
	})
}

// sameEverywhere fails unless every write has its end and both disks are alike.
func (p *pair) sameEverywhere() {
	p.t.Helper()
	for i, n := range p.nodes {
		if n.e.sending.requests != 0 {
			p.t.Errorf("node %d has %d requests without an end", i, n.e.sending.requests)
		}
	}
	if s, differs := p.nodes[0].disk.differs(p.nodes[1].disk, p.nodes[0].e.Size()); differs {
		p.t.Errorf("sector %d differs", s)
	}
}

// TestLetInIsBeforeWhatHasNotBegun: a write of the peer that has no conflict waits for an own
// one that only the disk is still busy with. An own one that came later and is in the way of
// both does not begin before it: each node would wait for the other.
func TestLetInIsBeforeWhatHasNotBegun(t *testing.T) {
	p := primariesPair(t, Defaults(), 0)
	a, b := p.nodes[0], p.nodes[1]
	p.write(a, 0, 32, 0x11) // the extent is in the log of both
	p.run(true)
	p.write(b, 0, 32, 0x12)
	p.run(true)
	p.write(a, 0, 8, 0x21)
	p.write(a, 16, 8, 0x22)
	slow := a.work
	a.work = nil
	p.run(true)
	p.write(a, 8, 16, 0x23) // waits for the second
	p.write(b, 0, 16, 0x31) // waits for the first, on a
	p.run(true)
	if len(slow) != 2 {
		t.Fatalf("%d operations", len(slow))
	}
	a.work = slow[1:]
	p.run(true)
	a.work = append(slow[:1:1], a.work...)
	p.run(true)
	p.sameEverywhere()
}

// TestRetryDoesNotWaitForTheLog: a write that has to be done again has its place in the
// activity log, for which another one waits that came after it.
func TestRetryDoesNotWaitForTheLog(t *testing.T) {
	cfg := Defaults()
	cfg.ALExtents = 1
	p := primariesPair(t, cfg, 0)
	a, b := p.nodes[0], p.nodes[1]
	retried := false
	p.tap = func(_ int, m *wire.Message) { retried = retried || m.Command == wire.CmdRetryWrite }
	for _, n := range p.nodes {
		p.write(n, 0, 32, 0x11) // the extent is in the log
		p.run(true)
	}
	p.write(a, 4, 8, 0x21)
	p.write(b, 0, 8, 0x31)
	p.write(b, metadata.ExtentSectors, 8, 0x32)
	p.run(true)
	if !retried {
		t.Fatal("no conflict")
	}
	p.sameEverywhere()
}

// TestPrimaryTargetIsFenced: a Primary that is target of a resync reads what it has. When it
// is lost, its source, Primary or promoted then, goes on only when it is out of the way.
func TestPrimaryTargetIsFenced(t *testing.T) {
	for _, both := range []bool{false, true} {
		cfg := Defaults()
		cfg.Fencing, cfg.TwoPrimaries = FencingStonith, both
		p := primaryTarget(t, cfg)
		b := p.nodes[1]
		promote := func() { p.tell(b, func(e *Engine, tag uint64) { e.Promote(p.now, false, tag) }) }
		if both {
			promote()
			p.run(true)
			p.out.Reset()
		}
		p.drop()
		promote()
		p.writeBlock(b, 5, 0x55)
		if out := p.out.String(); !strings.Contains(out, "b: handler fence-peer") || strings.Contains(out, "b: write done\n") {
			t.Errorf("both Primary %v: the source goes on, and the target is not fenced:\n%s", both, out)
		}
		p.fenced(b)
		p.run(true)
		if s := b.e.State(); s.Role() != wire.Primary || s.PeerDisk() != wire.Outdated {
			t.Errorf("both Primary %v: after the fence %v", both, s)
		}
	}
}

// TestTwoPrimariesWaitForTheFence: the connection of two Primaries breaks while both write and
// is there again before either is fenced. Neither has gone on, and neither stands alone: who is
// fenced comes back.
func TestTwoPrimariesWaitForTheFence(t *testing.T) {
	cfg := Defaults()
	cfg.Fencing = FencingStonith
	p := primariesPair(t, cfg, 0)
	a, b := p.nodes[0], p.nodes[1]
	p.writeBlock(a, 3, 0x11)
	p.writeBlock(b, 4, 0x12)
	p.write(a, 3*8, 8, 0x21)
	p.write(b, 4*8, 8, 0x22)
	p.wire = nil
	p.drop()
	p.run(true)
	p.link(1)
	p.run(true)
	for i, n := range p.nodes {
		if s := n.e.State(); s.Conn() == wire.StandAlone || s&wire.SuspendedFence == 0 {
			t.Errorf("node %d: %v", i, s)
		}
	}
	p.crash(b)
	p.fenced(a)
	p.run(true)
	p.up(b)
	p.link(1)
	p.awaitSync()
	p.run(true)
	p.sameEverywhere()
	if got := b.disk.sector(3 * 8)[0]; got != 0x21 {
		t.Errorf("b has %#x", got)
	}
}

// TestNewerThanCrashedPrimary: one of two Primaries crashes and is back before it is fenced. The
// other one is its source, goes on, and crashes before the resync has begun. Both crashed as
// Primary then, and it still is the one that has the newer data.
func TestNewerThanCrashedPrimary(t *testing.T) {
	for resolver := range 2 {
		cfg := Defaults()
		cfg.Fencing = FencingStonith
		p := primariesPair(t, cfg, 0)
		a, b := p.nodes[0], p.nodes[1]
		p.writeBlock(a, 3, 0x11)
		p.write(a, 3*8, 8, 0x21)
		p.crash(b)
		p.drop()
		p.run(true)
		if strings.Contains(p.out.String(), "write done: ") || strings.Count(p.out.String(), "write done") != 1 {
			t.Fatalf("a did not wait for the fence:\n%s", p.out.String())
		}
		p.up(b)
		p.link(1)
		p.runUntil(func(int, *wire.Message) bool { return strings.Count(p.out.String(), "write done") == 2 })
		p.must(a.disk.Sync())
		p.crash(a)
		p.drop()
		p.up(a)
		p.link(resolver)
		p.awaitSync()
		p.run(true)
		for i, n := range p.nodes {
			if got := n.disk.sector(3 * 8)[0]; got != 0x21 {
				t.Errorf("resolver %d: node %d has %#x", resolver, i, got)
			}
		}
	}
}

// TestWriteOvertakesReadOfPeer: a read of the peer waits for an own write that the peer has not
// answered. A write of the peer does not wait behind that read: the peer may not get to the own
// write before it has the answer.
func TestWriteOvertakesReadOfPeer(t *testing.T) {
	p := primariesPair(t, Defaults(), 1)
	a := p.nodes[0]
	p.write(a, 0, 32, 0x11)
	p.run(true)
	p.write(a, 0, 8, 0x21)
	p.wire = nil // b hears nothing of it
	p.run(true)
	a.e.Receive(p.now, &wire.Message{Command: wire.CmdDataRequest, Sector: 4, ID: 1000, Size: 8 * metadata.SectorSize})
	a.e.Receive(p.now, &wire.Message{
		Command: wire.CmdData, Sector: 8, ID: 1001, Seq: 1000, Size: metadata.BlockSize, Data: filled(0x31), Flags: wire.FlagWantWriteAck,
	})
	p.effects(a)
	for _, f := range a.work {
		if f.Kind == WriteDisk && f.Sector == 8 {
			return
		}
	}
	t.Errorf("the write of the peer waits: %+v", a.work)
}

// TestRetriedWriteThatFails: a Primary that is target of a resync has to do a write again, and loses its source before it can.
// The write fails, but it is on the disk, and the peer does not have it: the next resync puts that right.
func TestRetriedWriteThatFails(t *testing.T) {
	cfg := Defaults()
	cfg.TwoPrimaries = true
	p := primaryTarget(t, cfg)
	a, b := p.nodes[0], p.nodes[1]
	p.tell(b, func(e *Engine, tag uint64) { e.Promote(p.now, false, tag) })
	p.run(true)
	for _, n := range p.nodes {
		p.write(n, 900*8, 32, 0x11) // the extent is in the log
		p.run(true)
	}
	if a.e.bitmap.AnySectors(900*8, 32) {
		t.Fatal("what both nodes have is out of sync")
	}
	p.write(b, 900*8, 8, 0x22)
	p.wire = nil // for long on its way
	p.write(a, 900*8+4, 20, 0x33)
	slow := a.work
	a.work = nil
	p.runUntil(reply(1, wire.CmdRetryWrite))
	p.step(true)
	p.drop()
	a.work = slow
	p.out.Reset()
	p.run(true)
	if !strings.Contains(p.out.String(), "a: write done: "+ErrIO.Error()) || a.disk.sector(901 * 8)[0] != 0x33 {
		t.Fatalf("a has %#x\n%s", a.disk.sector(901 * 8)[0], p.out.String())
	}
	for _, n := range p.nodes {
		n.e.cfg.ResyncRate = 100000
	}
	p.link(1)
	p.awaitSync()
	for s := uint64(900 * 8); s < 904*8; s++ {
		if x, y := a.disk.sector(s)[0], b.disk.sector(s)[0]; x != y {
			t.Fatalf("both are UpToDate, and a has %#x in sector %d, b %#x", x, s, y)
		}
	}
}
