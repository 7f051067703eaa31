package engine

import (
	"strings"
	"testing"

	"gcrm/replication/wire"
)

// primaryTarget is a pair whose Primary a is the target of a resync that goes slowly.
func primaryTarget(t *testing.T, cfg Config) *pair {
	t.Helper()
	cfg.PlanAhead, cfg.ResyncRate = 0, 40
	p := connectedPair(t, pairDisk, cfg, 1)
	a := p.nodes[0]
	p.tell(a, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
	p.tell(a, func(e *Engine, tag uint64) { e.Invalidate(p.now, false, tag) })
	p.run(true)
	p.tell(a, func(e *Engine, tag uint64) { e.Promote(p.now, false, tag) })
	p.run(true)
	if s := a.e.State(); s.Conn() != wire.SyncTarget || s.Role() != wire.Primary {
		t.Fatal(s)
	}
	p.out.Reset()
	return p
}

// lostOnItsWay writes a block that is on the own disk when the connection breaks, and on
// its way to the peer.
func (p *pair) lostOnItsWay(n *pairNode, block uint64, v byte) {
	p.tell(n, func(e *Engine, tag uint64) { e.Write(p.now, tag, block*8, filled(v), false) })
	p.runUntil(func(_ int, m *wire.Message) bool { return m.Command == wire.CmdData && m.Sector == block*8 })
	p.wire = nil
	p.run(true)
	p.drop()
	p.run(true)
}

// TestTargetAloneAcknowledgesNothing: what only the target of a resync has is not stored:
// the next resync would overwrite it.
func TestTargetAloneAcknowledgesNothing(t *testing.T) {
	p := primaryTarget(t, Defaults())
	p.lostOnItsWay(p.nodes[0], 900, 0x77)
	if out := p.out.String(); !strings.Contains(out, "write done: "+ErrIO.Error()) {
		t.Errorf("the write ended so:\n%s", out)
	}
}

// TestTargetAloneWaits: with on-no-data-accessible suspend-io such a write waits for the
// good data, and is done again then.
func TestTargetAloneWaits(t *testing.T) {
	cfg := Defaults()
	cfg.SuspendNoData = true
	p := primaryTarget(t, cfg)
	a, b := p.nodes[0], p.nodes[1]
	p.lostOnItsWay(a, 900, 0x77)
	if out := p.out.String(); strings.Contains(out, "write done") {
		t.Errorf("the write did not wait:\n%s", out)
	}
	p.link(1)
	p.run(true)
	p.tick()
	p.run(true)
	if out := p.out.String(); !strings.Contains(out, "write done\n") {
		t.Errorf("the write is not done again: %v\n%s", a.e.State(), out)
	}
	for i, n := range []*pairNode{a, b} {
		if got := n.disk.sector(900 * 8)[0]; got != 0x77 {
			t.Errorf("node %d has %#x", i, got)
		}
	}
}

// TestHeldWriteOfATarget: somebody suspends I/O while a write is on its way, and the connection breaks. The resync to this node
// that follows brings back what was there before: the write is done again, and not answered as it is.
func TestHeldWriteOfATarget(t *testing.T) {
	write := func(p *pair, a *pairNode) {
		p.tell(a, func(e *Engine, tag uint64) { e.Write(p.now, tag, 900*8, filled(0x77), false) })
		p.runUntil(func(_ int, m *wire.Message) bool { return m.Command == wire.CmdData && m.Sector == 900*8 })
		p.wire = nil
		p.tell(a, func(e *Engine, tag uint64) { e.SuspendIO(p.now, tag) })
	}
	again := func(p *pair, a *pairNode) {
		for _, n := range p.nodes {
			n.e.cfg.ResyncRate = 100000
		}
		p.link(1)
		p.runUntil(func(int, *wire.Message) bool { return a.e.State().Conn() == wire.SyncTarget })
	}
	cutOff := func() *pair {
		p := primaryTarget(t, Defaults())
		a := p.nodes[0]
		write(p, a)
		p.run(true)
		p.drop()
		again(p, a)
		return p
	}
	for name, trouble := range map[string]func() *pair{
		"resumed in the resync": cutOff,
		"resumed after the resync": func() *pair {
			p := cutOff()
			p.awaitSync()
			return p
		},
		"the disk is slow": func() *pair {
			p := primaryTarget(t, Defaults())
			a := p.nodes[0]
			write(p, a)
			work := a.work
			a.work = nil
			p.drop()
			again(p, a)
			a.work = append(a.work, work...)
			p.awaitSync()
			return p
		},
		"the peer was used meanwhile": func() *pair {
			cfg := Defaults()
			cfg.RRConflict = SBViolently
			p := connectedPair(t, pairDisk, cfg, 1)
			a, b := p.nodes[0], p.nodes[1]
			write(p, a)
			p.run(true)
			p.drop()
			p.tell(b, func(e *Engine, tag uint64) { e.Promote(p.now, false, tag) })
			p.writeBlock(b, 3, 0x33)
			p.tell(b, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
			p.out.Reset()
			again(p, a)
			p.awaitSync()
			return p
		},
	} {
		p := trouble()
		a := p.nodes[0]
		if strings.Contains(p.out.String(), "write done") {
			t.Errorf("%s: answered while I/O is suspended", name)
		}
		p.tell(a, func(e *Engine, tag uint64) { e.ResumeIO(p.now, tag) })
		p.run(true)
		p.awaitSync()
		if !strings.Contains(p.out.String(), "write done\n") {
			t.Errorf("%s: not answered\n%s", name, p.out.String())
		}
		for i, n := range p.nodes {
			if got := n.disk.sector(900 * 8)[0]; got != 0x77 {
				t.Errorf("%s: node %d has %#x where 0x77 was acknowledged", name, i, got)
			}
		}
	}
}
