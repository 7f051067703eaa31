package engine

import (
	"strings"
	"testing"

	"gcrm/replication/wire"
)

// disk finishes the operations of a node's disk, which is faster than the network.
func (p *pair) disk(n *pairNode) {
	queue := p.wire
	p.wire = nil
	for len(n.work) > 0 {
		p.step(true)
		queue = append(queue, p.wire...)
		p.wire = nil
	}
	p.wire = queue
}

// TestDemotedBeforeTheEndOfAnEpoch: a node is told to become Secondary when its writes are answered, but the peer
// has not said that it has them for good. Whatever breaks then, the peer must not count as equal without them: as an
// orderly Secondary in the generation of its peer the node would have forgotten what the peer may not have.
func TestDemotedBeforeTheEndOfAnEpoch(t *testing.T) {
	stop := func(p *pair, nodes ...*pairNode) {
		for _, n := range nodes {
			p.crash(n)
		}
		p.drop()
		for _, n := range nodes {
			p.up(n)
		}
	}
	for name, c := range map[string]struct {
		protocol uint32
		fencing  FencingPolicy
		until    wire.Command // the message that is not delivered any more
		cut      bool         // before the demotion
		crash    [2]bool
	}{
		"protocol A, the node stops":            {protocol: ProtocolA, until: wire.CmdData, crash: [2]bool{true, false}},
		"protocol A, the connection breaks":     {protocol: ProtocolA, until: wire.CmdData},
		"protocol A, what came is not stored":   {protocol: ProtocolA, until: wire.CmdBarrier, crash: [2]bool{true, true}},
		"protocol B, both stop":                 {protocol: ProtocolB, until: wire.CmdBarrier, crash: [2]bool{true, true}},
		"protocol C, both stop":                 {protocol: ProtocolC, until: wire.CmdBarrier, crash: [2]bool{true, true}},
		"protocol C, the peer stops":            {protocol: ProtocolC, until: wire.CmdBarrier, crash: [2]bool{false, true}},
		"I/O waits for a fence, both stop":      {protocol: ProtocolC, fencing: FencingStonith, until: wire.CmdBarrier, cut: true, crash: [2]bool{true, true}},
		"I/O waits for a fence, the peer stops": {protocol: ProtocolC, fencing: FencingStonith, until: wire.CmdBarrier, cut: true, crash: [2]bool{false, true}},
		"cut before the demotion, both stop":    {protocol: ProtocolC, until: wire.CmdBarrier, cut: true, crash: [2]bool{true, true}},
	} {
		cfg := Defaults()
		cfg.Protocol, cfg.Fencing = c.protocol, c.fencing
		p := connectedPair(t, pairDisk, cfg, 1)
		a, b := p.nodes[0], p.nodes[1]
		p.writeBlock(a, 6, 0x66) // its extent is in the activity log from now on
		p.out.Reset()
		p.tell(a, func(e *Engine, tag uint64) { e.Write(p.now, tag, 7*8, filled(0x77), false) })
		p.disk(a)
		if c.until != wire.CmdData {
			p.runUntil(func(from int, m *wire.Message) bool { return from == 0 && m.Command == c.until })
		}
		if !strings.Contains(p.out.String(), "a: write done") {
			t.Fatalf("%s: not answered yet", name)
		}
		p.must(a.disk.Sync()) // it stays there, whatever comes
		var lost []*pairNode
		for i, crash := range c.crash {
			if crash {
				lost = append(lost, p.nodes[i])
			}
		}
		if c.cut && c.crash[1] {
			p.crash(b)
			p.drop()
			p.up(b)
			lost = lost[:len(lost)-1]
		}
		p.tell(a, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
		stop(p, lost...)
		p.link(1)
		p.awaitSync()
		p.run(true)
		if got := b.disk.sector(7 * 8)[0]; got != 0x77 {
			t.Errorf("%s: both nodes are UpToDate, and b has %#x where a wrote 0x77", name, got)
		}
		if n := a.e.OutOfSync(); n != 0 {
			t.Errorf("%s: %d sectors are out of sync", name, n)
		}
	}
}

// TestDemotionWaits: the answer to a demotion comes with the confirmation of the last epoch, or with the end of the
// connection, which begins a generation. Until then the node is Primary, and whoever opens it, or promotes it, keeps it that.
func TestDemotionWaits(t *testing.T) {
	answer := func(p *pair, n *pairNode) string {
		p.effects(n)
		_, text, _ := strings.Cut(p.out.String(), "a: answer: ")
		return strings.TrimSpace(text)
	}
	ok := wire.ResultOK.String()
	for name, c := range map[string]struct {
		then func(p *pair, a *pairNode)
		role wire.Role
		want string
	}{
		"confirmed":              {func(p *pair, a *pairNode) { p.run(true) }, wire.Secondary, ok},
		"the connection breaks":  {func(p *pair, a *pairNode) { p.drop() }, wire.Secondary, ok},
		"opened meanwhile":       {func(p *pair, a *pairNode) { a.e.Opened(true); p.run(true) }, wire.Primary, wire.DeviceInUse.String()},
		"promoted meanwhile":     {func(p *pair, a *pairNode) { a.e.Promote(p.now, false, 0); p.run(true) }, wire.Primary, wire.InTransient.String() + "\na: answer: " + ok},
		"nothing is unconfirmed": {nil, wire.Secondary, ok},
	} {
		cfg := Defaults()
		cfg.Protocol = ProtocolA
		p := connectedPair(t, pairDisk, cfg, 1)
		a := p.nodes[0]
		p.writeBlock(a, 6, 0x66)
		if c.then != nil {
			p.tell(a, func(e *Engine, tag uint64) { e.Write(p.now, tag, 7*8, filled(0x77), false) })
			p.disk(a)
		}
		before := a.e.Generations()
		p.out.Reset()
		p.tell(a, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
		if c.then != nil {
			if got := answer(p, a); got != "" || a.e.State().Role() != wire.Primary {
				t.Errorf("%s: answered at once: %q, %v", name, got, a.e.State())
			}
			c.then(p, a)
		}
		if got := answer(p, a); got != c.want || a.e.State().Role() != c.role {
			t.Errorf("%s: the answer is %q, %v", name, got, a.e.State())
		}
		if s, g := a.e.State(), a.e.Generations(); s.Conn() < wire.Connected && (g.Bitmap != before.Current || a.e.OutOfSync() == 0) {
			t.Errorf("%s: %X with %d sectors out of sync, before %X", name, g, a.e.OutOfSync(), before)
		}
	}
}

// TestDemotedWhileConnecting: a Primary is demoted between the first packets of a connection. The peer, which waits for the
// proof that it knows the secret, gets no word about a volume, for which it would stand alone.
func TestDemotedWhileConnecting(t *testing.T) {
	cfg := Defaults()
	cfg.CramHMACAlg, cfg.SharedSecret = "sha256", "secret"
	p := connectedPair(t, pairDisk, cfg, 1)
	a, b := p.nodes[0], p.nodes[1]
	p.drop()
	p.link(1)
	p.runUntil(func(from int, m *wire.Message) bool { return from == 1 && m.Command == wire.CmdAuthChallenge })
	p.tell(a, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
	p.run(true)
	p.awaitSync()
	if s := b.e.State(); s.Conn() != wire.Connected || s.Peer() != wire.Secondary {
		t.Error(s)
	}
}

// takesBack breaks the disk of a node that has a BARRIER coming. What it takes back, and the end of the epoch, overtake
// its word on the disk.
func (p *pair) takesBack(n *pairNode) {
	p.t.Helper()
	n.broken = true
	p.step(true) // BARRIER
	for len(n.work) > 0 {
		p.disk(n)
	}
	var meta, data []pending
	for _, w := range p.wire {
		if w.meta {
			meta = append(meta, w)
		} else {
			data = append(data, w)
		}
	}
	p.wire = append(meta, data...)
	refused := false
	p.tap = func(from int, m *wire.Message) { refused = refused || from == n.id && m.Command == wire.CmdNegAck }
	for len(p.wire) > 0 && p.wire[0].meta {
		p.step(true)
	}
	if !refused || p.nodes[1-n.id].e.unconfirmed() {
		p.t.Fatalf("nothing is taken back, or something is unconfirmed\n%s", p.out.String())
	}
}

// TestDemotedBetweenARefusalAndItsReason: the peer's disk fails with a write that it had acknowledged, and what it takes
// back overtakes its word on the disk. A Secondary would begin no generation, and the disk, attached again, would be equal.
func TestDemotedBetweenARefusalAndItsReason(t *testing.T) {
	for _, ending := range []string{"the word comes", "cut", "crash"} {
		p := connectedPair(t, pairDisk, Defaults(), 1)
		a, b := p.nodes[0], p.nodes[1]
		p.out.Reset()
		p.tell(a, func(e *Engine, tag uint64) { e.Write(p.now, tag, 7*8, filled(0x77), false) })
		p.runUntil(func(from int, m *wire.Message) bool { return from == 0 && m.Command == wire.CmdBarrier })
		p.tell(a, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
		p.takesBack(b)
		switch ending {
		case "the word comes":
			p.run(true)
		case "crash":
			p.must(a.disk.Sync())
			p.crash(a)
			p.drop()
			p.up(a)
			p.link(1)
		default:
			p.drop()
			p.link(1)
		}
		p.run(true)
		if s := a.e.State(); s.Role() != wire.Secondary || len(a.e.demoting) > 0 {
			t.Errorf("%s: not demoted: %v", ending, s)
		}
		b.broken = false
		b.disk.lose()
		p.attach(b)
		p.run(true)
		p.awaitSync()
		if got := b.disk.sector(7 * 8)[0]; got != 0x77 {
			t.Errorf("%s: both nodes are UpToDate, and b has %#x where a wrote 0x77", ending, got)
		}
	}
}

// TestDetachedBetweenARefusalAndItsReason: what the peer took back is on the own disk only, which may not go now.
func TestDetachedBetweenARefusalAndItsReason(t *testing.T) {
	p := connectedPair(t, pairDisk, Defaults(), 1)
	a, b := p.nodes[0], p.nodes[1]
	p.tell(a, func(e *Engine, tag uint64) { e.Write(p.now, tag, 7*8, filled(0x77), false) })
	p.runUntil(func(from int, m *wire.Message) bool { return from == 0 && m.Command == wire.CmdBarrier })
	p.takesBack(b)
	for _, want := range []wire.Result{wire.InTransient, wire.NeedUpToDate} {
		p.out.Reset()
		p.tell(a, func(e *Engine, tag uint64) { e.Detach(p.now, tag) })
		if got := p.out.String(); got != "a: answer: "+want.String()+"\n" {
			t.Errorf("detached: %q, want %q", got, want)
		}
		p.run(true)
	}
}
