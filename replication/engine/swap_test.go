package engine

import (
	"testing"

	"gcrm/replication/wire"
)

// TestSourceBecomesTarget: the node that was source of a resync is target of the next one
// on the same connection. It has the identifiers of its peer then, not those that the peer
// had when they met.
func TestSourceBecomesTarget(t *testing.T) {
	cfg := Defaults()
	cfg.PlanAhead, cfg.ResyncRate = 0, 100000
	p := connectedPair(t, pairDisk, cfg, 1)
	a, b := p.nodes[0], p.nodes[1]
	p.tell(a, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
	current := b.e.Generations().Current
	p.tell(a, func(e *Engine, tag uint64) { e.Invalidate(p.now, false, tag) })
	p.run(true)
	if s := a.e.State(); s.Conn() != wire.SyncTarget {
		t.Fatal(s)
	}
	p.awaitSync()
	p.run(true)
	if x, y := a.e.Generations(), b.e.Generations(); x != y || x.Current != current {
		t.Errorf("a has %X, b has %X", x, y)
	}
	p.tell(a, func(e *Engine, tag uint64) { e.Promote(p.now, false, tag) })
	p.run(true)
	p.drop() // a begins a generation
	p.link(1)
	p.awaitSync()
}
