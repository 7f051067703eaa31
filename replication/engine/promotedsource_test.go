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
