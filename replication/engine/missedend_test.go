package engine

import (
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
			p.t.Fatal("that message never comes")
		}
	}
}

// tell lets a node do something and what follows from it.
func (p *pair) tell(n *pairNode, do func(e *Engine, tag uint64)) {
	do(n.e, n.tag())
	p.effects(n)
}

// missedEndPair is a pair whose source a does not know that its target b has everything: the
// connection broke when b had just finished.
func missedEndPair(t *testing.T, cfg Config) *pair {
	t.Helper()
	cfg.PlanAhead, cfg.ResyncRate = 0, 100000
	p := connectedPair(t, pairDisk, cfg, 1)
	a, b := p.nodes[0], p.nodes[1]
	p.drop()
	p.writeBlock(a, 3, 0x33)
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

// writeBlock writes a block on a node, and runs what is under way.
func (p *pair) writeBlock(n *pairNode, block uint64, v byte) {
	data := make([]byte, metadata.BlockSize)
	for i := range data {
		data[i] = v
	}
	p.tell(n, func(e *Engine, tag uint64) { e.Write(p.now, tag, block*8, data, false) })
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
		if crash {
			p.crash(a)
		}
		p.drop()
		if crash {
			p.up(a)
		}
		p.link(1)
		p.awaitSync()
		p.run(true)
		if got := b.disk.sector(7 * 8)[0]; got != 0x77 {
			t.Errorf("crash %v: both nodes are UpToDate, and b has %#x where a wrote 0x77", crash, got)
		}
		if n := a.e.OutOfSync(); n != 0 {
			t.Errorf("crash %v: %d sectors are out of sync", crash, n)
		}
	}
}
