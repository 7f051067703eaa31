package engine

import (
	"testing"

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
	if len(slow) != 1 || b.disk.sector(5*8)[0] != 0x21 {
		t.Fatalf("%d operations, b has %#x", len(slow), b.disk.sector(5*8)[0])
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
