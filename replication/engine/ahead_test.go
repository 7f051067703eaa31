package engine

import (
	"testing"

	"gcrm/replication/wire"
)

// TestDemotedWhileAhead: a node pulls ahead, is demoted, and loses its peer, or crashes,
// before the resync that makes up for it. The peer does not have what was written
// meanwhile, in the same generation: the nodes must not connect as equals.
func TestDemotedWhileAhead(t *testing.T) {
	for _, crash := range []bool{false, true} {
		cfg := Defaults()
		cfg.Protocol, cfg.OnCongestion, cfg.CongestionFill = ProtocolA, CongestionPullAhead, 8
		p := connectedPair(t, pairDisk, cfg, 1)
		a, b := p.nodes[0], p.nodes[1]
		for block := uint64(1); block < 6; block++ {
			p.tell(a, func(e *Engine, tag uint64) { e.Write(p.now, tag, block*8, filled(0x77), false) })
			p.disk(a)
		}
		p.run(true)
		if s := a.e.State(); s.Conn() != wire.Ahead {
			t.Fatal(s)
		}
		p.tell(a, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
		p.run(true)
		p.meetAgain(a, crash)
		for block := uint64(1); block < 6; block++ {
			if got := b.disk.sector(block * 8)[0]; got != 0x77 {
				t.Errorf("crash %v: both nodes are UpToDate, and b has %#x in block %d", crash, got, block)
			}
		}
		if n := a.e.OutOfSync(); n != 0 {
			t.Errorf("crash %v: %d sectors are out of sync", crash, n)
		}
	}
}

// TestOlderWriteClearsNothingNewer: a write in the middle of a resync is answered, and its epoch not confirmed, when a newer one
// to the same block does not go to the peer any more, since this node has pulled ahead.
func TestOlderWriteClearsNothingNewer(t *testing.T) {
	cfg := Defaults()
	cfg.Protocol, cfg.OnCongestion, cfg.CongestionFill = ProtocolA, CongestionPullAhead, 8
	cfg.PlanAhead, cfg.ResyncRate = 0, 100000
	p := connectedPair(t, pairDisk, cfg, 1)
	a := p.nodes[0]
	p.alone(a, 900, 0x33)
	p.link(1)
	p.runUntil(func(int, *wire.Message) bool { return a.e.State().Conn() == wire.SyncSource })
	write := func(v byte) {
		p.tell(a, func(e *Engine, tag uint64) { e.Write(p.now, tag, 5*8, filled(v), false) })
	}
	write(0x55)
	p.runUntil(func(int, *wire.Message) bool { return a.e.State().Conn() == wire.Connected })
	write(0x77)
	p.disk(a)
	if s := a.e.State(); s.Conn() != wire.Ahead {
		t.Fatal(s)
	}
	p.run(true)
	if n := a.e.OutOfSync(); n != 8 {
		t.Errorf("%d sectors are out of sync: %v", n, a.e.State())
	}
}
