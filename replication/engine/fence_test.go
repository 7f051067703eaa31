package engine

import (
	"strings"
	"testing"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// handlers are those that a node was told to run since the last time it was asked.
func (p *pair) handlers() string {
	var out []string
	for line := range strings.Lines(p.out.String()) {
		if name, ok := strings.CutPrefix(line, "a: handler "); ok {
			out = append(out, strings.TrimSpace(name))
		}
	}
	p.out.Reset()
	return strings.Join(out, ", ")
}

// suspended is a Primary a whose fence of b runs.
func suspended(t *testing.T) *pair {
	cfg := Defaults()
	cfg.Fencing = FencingStonith
	p := connectedPair(t, pairDisk, cfg, 1)
	p.slowUnfence = true
	a := p.nodes[0]
	p.writeBlock(a, 3, 0x11)
	p.run(true)
	p.out.Reset()
	p.tell(a, func(e *Engine, tag uint64) { e.Write(p.now, tag, 5*8, filled(0x22), false) })
	p.drop()
	p.run(true)
	if got := p.handlers(); got != "fence-peer" || a.e.State()&wire.SuspendedFence == 0 {
		t.Fatalf("after the loss of the peer: %q, %v", got, a.e.State())
	}
	return p
}

// unfencing is a Primary a whose peer was fenced, is back, and is being unfenced.
func unfencing(t *testing.T) *pair {
	p := suspended(t)
	p.fenced(p.nodes[0])
	p.link(1)
	p.run(true)
	p.awaitSync()
	p.asks("the peer has everything", "unfence-peer")
	return p
}

func (p *pair) asks(what, want string) {
	p.t.Helper()
	if got := p.handlers(); got != want {
		p.t.Errorf("%s: handlers %q, want %q: %v", what, got, want, p.nodes[0].e.State())
	}
}

// TestUnfenceWaitsForTheFence: the peer is back and has everything before the handler that fences it has ended. What that
// does is undone after it, not before.
func TestUnfenceWaitsForTheFence(t *testing.T) {
	p := suspended(t)
	a := p.nodes[0]
	p.link(1)
	p.run(true)
	p.awaitSync()
	p.asks("the peer has everything", "")
	p.fenced(a)
	p.asks("the fence has ended", "unfence-peer")
	if s := a.e.State(); s.PeerDisk() != wire.UpToDate {
		t.Error(s)
	}
}

// TestFenceOfBeforeDoesNotCount: and is lost again before that. What the handler has done may have been before it.
func TestFenceOfBeforeDoesNotCount(t *testing.T) {
	p := suspended(t)
	a := p.nodes[0]
	p.link(1)
	p.run(true)
	p.awaitSync()
	p.writeBlock(a, 6, 0x33)
	p.run(true)
	p.drop()
	p.asks("lost again", "")
	p.fenced(a)
	p.asks("the first fence has ended", "fence-peer")
	if s := a.e.State(); s.PeerDisk() != wire.DUnknown || s&wire.SuspendedFence == 0 {
		t.Errorf("the first fence counts: %v", s)
	}
	p.fenced(a)
	p.asks("the second fence has ended", "")
	if s := a.e.State(); s.PeerDisk() != wire.Outdated || s&wire.SuspendedFence != 0 {
		t.Errorf("the second fence does not: %v", s)
	}
}

// TestFenceWaitsForTheUnfence: the peer is lost while the handler runs that lets it be used again.
func TestFenceWaitsForTheUnfence(t *testing.T) {
	p := unfencing(t)
	a := p.nodes[0]
	p.drop()
	p.asks("lost", "")
	p.tell(a, func(e *Engine, _ uint64) { e.HandlerDone(p.now, "unfence-peer", 0) })
	p.asks("unfenced", "fence-peer")
	p.fenced(a)
	if s := a.e.State(); s.PeerDisk() != wire.Outdated || s&wire.SuspendedFence != 0 {
		t.Error(s)
	}
}

// TestFenceEndsInTheHandshake: a connection that is about to be there knows better, but breaks. I/O must not wait for ever.
func TestFenceEndsInTheHandshake(t *testing.T) {
	p := suspended(t)
	a := p.nodes[0]
	p.link(1)
	p.runUntil(func(from int, m *wire.Message) bool { return from == 1 && m.Command == wire.CmdState })
	if s := a.e.State(); s.Conn() != wire.WFReportParams {
		t.Fatal(s)
	}
	p.fenced(a)
	p.drop()
	p.asks("the handshake breaks", "fence-peer")
	p.fenced(a)
	if s := a.e.State(); s.PeerDisk() != wire.Outdated || s&wire.SuspendedFence != 0 {
		t.Error(s)
	}
}

// TestPromotionWaitsForANewFence: a node is promoted that lost its peer; that was back meanwhile, and is lost again.
func TestPromotionWaitsForANewFence(t *testing.T) {
	cfg := Defaults()
	cfg.Fencing = FencingStonith
	p := connectedPair(t, pairDisk, cfg, 1)
	a, b := p.nodes[0], p.nodes[1]
	p.slowUnfence = true
	p.writeBlock(a, 3, 0x11)
	p.run(true)
	p.must(a.disk.Sync())
	p.crash(a)
	p.drop()
	p.up(a)
	p.out.Reset()
	p.tell(a, func(e *Engine, tag uint64) { e.Promote(p.now, false, tag) })
	p.asks("promoted", "fence-peer")
	p.link(1)
	p.run(true)
	p.awaitSync()
	p.asks("the peer has everything", "")
	p.crash(b)
	p.drop()
	p.fenced(a)
	p.asks("the first fence has ended", "fence-peer")
	p.fenced(a)
	if s := a.e.State(); s.Role() != wire.Primary || s.PeerDisk() != wire.Outdated {
		t.Errorf("%v\n%s", s, p.out.String())
	}
}

// TestFenceOfTwoVolumes: both are lost at once, and one fence is enough for them.
func TestFenceOfTwoVolumes(t *testing.T) {
	cfg := Defaults()
	cfg.Fencing, cfg.Rand = FencingStonith, func() uint64 { return 0x1000 }
	second := cfg
	second.Volume = 1
	r := NewResource(cfg, second)
	for _, e := range r.Volumes() {
		e.hasDisk, e.bitmap = true, metadata.NewBitmap(1024)
		e.state = e.state.WithRole(wire.Primary).WithConn(wire.Connected).WithDisk(wire.UpToDate).WithPeerDisk(wire.UpToDate)
	}
	r.link.up = true
	count := func() (n int) {
		for _, f := range r.Take() {
			if f.Kind == RunHandler && f.Name == "fence-peer" {
				n++
			}
		}
		return n
	}
	r.ConnectionLost(0)
	if n := count(); n != 1 {
		t.Errorf("%d fences", n)
	}
	r.HandlerDone(0, "fence-peer", fencePeerStonithed)
	if n := count(); n != 0 {
		t.Errorf("%d more", n)
	}
	for i, e := range r.Volumes() {
		if s := e.State(); s.PeerDisk() != wire.Outdated || s&wire.SuspendedFence != 0 {
			t.Errorf("volume %d: %v", i, s)
		}
	}
}

// TestPromotionDuringAnUnfence: a node is promoted that has lost its peer, which cannot be fenced yet, and is there again when it can.
func TestPromotionDuringAnUnfence(t *testing.T) {
	for _, back := range []bool{true, false} {
		p := unfencing(t)
		a := p.nodes[0]
		p.tell(a, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
		p.run(true)
		p.drop()
		p.out.Reset()
		p.tell(a, func(e *Engine, tag uint64) { e.Promote(p.now, false, tag) })
		p.asks("promoted", "")
		if back {
			p.link(1)
			p.run(true)
		}
		p.tell(a, func(e *Engine, _ uint64) { e.HandlerDone(p.now, "unfence-peer", 0) })
		if !back {
			p.asks("unfenced", "fence-peer")
			p.fenced(a)
		}
		p.run(true)
		if s := a.e.State(); s.Role() != wire.Primary || a.e.cmd.active {
			t.Errorf("back %v: %v\n%s", back, s, p.out.String())
		}
	}
}
