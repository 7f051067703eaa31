package engine

import (
	"testing"

	"gcrm/replication/wire"
)

// TestOutdatedDataStaysThat: data that is outdated does not become good since the disk with the newer data fails, in
// the middle of the handshake or before; also not when the node that had it is Primary.
func TestOutdatedDataStaysThat(t *testing.T) {
	for _, primary := range []bool{false, true} {
		for _, before := range []bool{false, true} {
			cfg := Defaults()
			cfg.Fencing = FencingStonith
			p := connectedPair(t, pairDisk, cfg, 1)
			a, b := p.nodes[0], p.nodes[1]
			p.tell(b, func(e *Engine, tag uint64) { e.Disconnect(p.now, false, tag) })
			p.writeBlock(a, 3, 0x33)
			if !primary {
				p.tell(a, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
				p.run(true)
			}
			p.tell(b, func(e *Engine, tag uint64) { e.Connect(p.now, false, tag) })
			if s := b.e.State(); s.Disk() != wire.Outdated {
				t.Fatal(s)
			}
			fail := func() {
				p.tell(a, func(e *Engine, _ uint64) { e.giveUpDisk() })
				a.work = nil
			}
			if before {
				fail()
			}
			p.link(1)
			if !before {
				p.runUntil(func(int, *wire.Message) bool { return b.e.State().Conn() == wire.WFBitMapT })
				fail()
			}
			p.run(true)
			for i, n := range p.nodes {
				if s := n.e.State(); i == 1 && s.Disk() == wire.UpToDate || i == 0 && s.PeerDisk() == wire.UpToDate {
					t.Errorf("primary %v, failed before %v: on node %d outdated data counts as good: %v", primary, before, i, s)
				}
			}
			p.tell(b, func(e *Engine, tag uint64) { e.Promote(p.now, false, tag) })
			p.run(true)
			if s := b.e.State(); s.Role() == wire.Primary {
				t.Errorf("primary %v, failed before %v: promoted with outdated data: %v", primary, before, s)
			}
			if !primary && before {
				answer := wire.ResultOK
				p.tap = func(from int, m *wire.Message) {
					if from == 1 && m.Command == wire.CmdStateReply {
						answer = m.Code
					}
				}
				a.e.send(wire.Message{Command: wire.CmdStateChange, Mask: wire.MaskRole, State: wire.State(wire.Primary)}) // as a kernel
				p.effects(a)
				p.run(true)
				if p.tap = nil; answer.OK() {
					t.Errorf("a node without a disk may be promoted, and nobody has good data: %v", answer)
				}
			}
			// The newer data is back.
			for _, n := range p.nodes {
				if n.e.State().Conn() == wire.StandAlone {
					p.tell(n, func(e *Engine, tag uint64) { e.Connect(p.now, false, tag) })
				}
			}
			p.attach(a)
			if !b.linked {
				p.link(1)
			}
			p.awaitSync()
			if got := b.disk.sector(3 * 8)[0]; got != 0x33 {
				t.Errorf("primary %v, failed before %v: b has %#x", primary, before, got)
			}
		}
	}
}
