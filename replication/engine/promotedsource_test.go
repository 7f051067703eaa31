package engine

import (
	"testing"

	"gcrm/replication/wire"
)

// TestPromotedBeforeTheResync: two Primaries crash, in the same generation. One of them becomes source of the difference, is
// used before the resync has an identifier, and is stopped in good order; the connection breaks. The other one must not
// become the source then, whoever accepted the socket.
func TestPromotedBeforeTheResync(t *testing.T) {
	cfg := Defaults()
	cfg.TwoPrimaries, cfg.BeforeSource = true, true
	p := freshPair(t, pairDisk, cfg, 1)
	a, b := p.nodes[0], p.nodes[1]
	begin := func() {
		for _, n := range p.nodes {
			p.tell(n, func(e *Engine, _ uint64) { e.HandlerDone(p.now, "before-resync-source", 0) })
		}
	}
	p.tell(a, func(e *Engine, tag uint64) { e.Promote(p.now, true, tag) })
	p.run(true)
	begin()
	p.awaitSync()
	p.tell(b, func(e *Engine, tag uint64) { e.Promote(p.now, false, tag) })
	p.run(true)
	p.writeBlock(a, 3, 0x33)
	p.writeBlock(b, 4, 0x44)
	for _, n := range p.nodes {
		p.crash(n)
	}
	p.drop()
	for _, n := range p.nodes {
		p.up(n)
	}
	p.link(1) // b accepted the socket: it is the target
	p.run(true)
	if s := a.e.State(); s.Conn() != wire.WFBitMapS || b.e.State().Disk() != wire.Outdated {
		t.Fatalf("%v, %v: the handler before the resync does not hold it up", s, b.e.State())
	}
	p.tell(a, func(e *Engine, tag uint64) { e.Promote(p.now, false, tag) })
	p.run(true)
	p.writeBlock(a, 7, 0x77)
	if a.disk.sector(7 * 8)[0] != 0x77 {
		t.Fatal("the write waits")
	}
	p.tell(a, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
	p.run(true)
	if s := a.e.State(); s.Role() != wire.Secondary || s.Conn() != wire.WFBitMapS {
		t.Fatal(s)
	}
	p.drop()
	p.link(0) // now a did
	p.run(true)
	begin()
	p.awaitSync()
	for i, n := range p.nodes {
		if got := n.disk.sector(7 * 8)[0]; got != 0x77 {
			t.Errorf("node %d has %#x where 0x77 was acknowledged", i, got)
		}
	}
}

// TestFencedTargetWasPrimary: both are Primary when the target of a resync finishes, and crashes before the source hears of
// that. The source fences it and goes on, in the same generation; they meet, it corrects its identifiers, and crashes before
// it has heard that the other one knows that it is the target. That must not become the source.
func TestFencedTargetWasPrimary(t *testing.T) {
	for resolver := range 2 {
		cfg := Defaults()
		cfg.TwoPrimaries, cfg.Fencing, cfg.PlanAhead, cfg.ResyncRate = true, FencingStonith, 0, 100000
		p := connectedPair(t, pairDisk, cfg, 1)
		a, b := p.nodes[0], p.nodes[1]
		p.crash(b)
		p.drop()
		p.fenced(a)
		p.writeBlock(a, 3, 0x33)
		p.up(b)
		p.link(1)
		p.runUntil(func(from int, m *wire.Message) bool { return from == 1 && m.Command == wire.CmdResyncRequest })
		p.tell(b, func(e *Engine, tag uint64) { e.Promote(p.now, false, tag) })
		p.runUntil(func(from int, m *wire.Message) bool {
			return from == 1 && m.Command == wire.CmdState && m.State.Conn() == wire.Connected
		})
		if s := b.e.State(); s.Role() != wire.Primary || s.Disk() != wire.UpToDate {
			t.Fatal(s)
		}
		p.crash(b)
		p.drop()
		p.fenced(a)
		p.writeBlock(a, 7, 0x77)
		if a.disk.sector(7 * 8)[0] != 0x77 || a.e.Generations().Bitmap == 0 {
			t.Fatalf("%v %X", a.e.State(), a.e.Generations())
		}
		p.up(b)
		p.link(1)
		p.runUntil(func(from int, m *wire.Message) bool {
			return from == 1 && m.Command == wire.CmdState && m.State.Disk() == wire.Outdated
		})
		p.must(a.disk.Sync())
		p.crash(a)
		p.drop()
		p.up(a)
		p.link(resolver)
		p.run(true)
		p.awaitSync()
		for i, n := range p.nodes {
			if got := n.disk.sector(7 * 8)[0]; got != 0x77 {
				t.Errorf("resolver %d: node %d has %#x where 0x77 was acknowledged", resolver, i, got)
			}
		}
	}
}
