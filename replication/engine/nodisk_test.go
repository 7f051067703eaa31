package engine

import (
	"strings"
	"testing"

	"gcrm/replication/wire"
)

// withoutDisk is a pair whose Primary a was told to detach.
func withoutDisk(t *testing.T, cfg Config) *pair {
	t.Helper()
	p := connectedPair(t, pairDisk, cfg, 1)
	p.tell(p.nodes[0], func(e *Engine, tag uint64) { e.Detach(p.now, tag) })
	p.run(true)
	p.out.Reset()
	return p
}

// TestReadWaitsForTheDataAndIsAnswered: with on-no-data-accessible suspend-io a read goes to the peer when that is back.
func TestReadWaitsForTheDataAndIsAnswered(t *testing.T) {
	cfg := Defaults()
	cfg.SuspendNoData = true
	for _, sent := range []bool{false, true} {
		p := withoutDisk(t, cfg)
		a := p.nodes[0]
		read := func() {
			p.tell(a, func(e *Engine, tag uint64) {
				a.reads[tag] = true
				e.Read(p.now, tag, 3*8, 4096)
			})
		}
		if sent {
			read()
		}
		p.drop()
		if !sent {
			read()
		}
		p.run(true)
		if s := a.e.State(); s&wire.SuspendedNoData == 0 || strings.Contains(p.out.String(), "read done") {
			t.Fatalf("does not wait: %v\n%s", s, p.out.String())
		}
		p.link(1)
		p.run(true)
		if s := a.e.State(); s&anySuspended != 0 || s.Conn() != wire.Connected || !strings.Contains(p.out.String(), "read done: 0") {
			t.Errorf("sent before %v: %v\n%s", sent, s, p.out.String())
		}
	}
}

// TestDataIsBackButThePeerDoesNotKnow: a Primary waits for data, has its own disk again, and is the source for its peer, whose
// data counts as good until it hears of that. What waits is not answered before: the peer might be promoted without it.
func TestDataIsBackButThePeerDoesNotKnow(t *testing.T) {
	cfg := Defaults()
	cfg.SuspendNoData, cfg.Fencing = true, FencingStonith
	p := connectedPair(t, pairDisk, cfg, 1)
	a, b := p.nodes[0], p.nodes[1]
	p.tell(a, func(e *Engine, tag uint64) { e.Write(p.now, tag, 3*8, filled(0x33), false) })
	p.wire = nil // of this the peer hears nothing
	p.disk(a)
	p.tell(a, func(e *Engine, tag uint64) { e.Detach(p.now, tag) })
	p.wire = nil
	p.attach(a)
	p.wire = nil
	p.drop()
	if s := a.e.State(); s&wire.SuspendedNoData == 0 {
		t.Fatalf("a has data: %v", s)
	}
	p.link(1)
	p.runUntil(func(int, *wire.Message) bool { return a.e.State().Conn() == wire.WFBitMapS })
	if s := b.e.State(); strings.Contains(p.out.String(), "write done") && s.Disk() > wire.Outdated {
		t.Errorf("answered, and the peer could be promoted: %v, %v", a.e.State(), s)
	}
	p.awaitSync()
	if got := b.disk.sector(3 * 8)[0]; got != 0x33 || !strings.Contains(p.out.String(), "write done\n") {
		t.Errorf("b has %#x: %v\n%s", got, a.e.State(), p.out.String())
	}
}

// TestDataIsBackWithTheOwnDisk: it does not need the peer for that.
func TestDataIsBackWithTheOwnDisk(t *testing.T) {
	cfg := Defaults()
	cfg.SuspendNoData = true
	p := connectedPair(t, pairDisk, cfg, 1)
	a := p.nodes[0]
	p.alone(a, 3, 0x33)
	p.tell(a, func(e *Engine, _ uint64) { e.giveUpDisk() })
	p.out.Reset()
	p.writeBlock(a, 5, 0x55)
	if s := a.e.State(); s&wire.SuspendedNoData == 0 || strings.Contains(p.out.String(), "write done") {
		t.Fatalf("does not wait: %v\n%s", s, p.out.String())
	}
	p.attach(a)
	p.run(true)
	if s := a.e.State(); s&anySuspended != 0 || !strings.Contains(p.out.String(), "write done\n") {
		t.Errorf("still waits: %v\n%s", s, p.out.String())
	}
}

// TestOlderDiskOfAPrimary: the peer was used while a Primary without a disk was cut off from it, and that is refused. Its own
// disk, older still, changes nothing: the data must not change under applications.
func TestOlderDiskOfAPrimary(t *testing.T) {
	p := connectedPair(t, pairDisk, Defaults(), 1)
	a, b := p.nodes[0], p.nodes[1]
	p.tell(a, func(e *Engine, tag uint64) { e.Detach(p.now, tag) })
	p.wire = nil // the peer does not hear of it
	p.drop()
	p.tell(b, func(e *Engine, tag uint64) { e.Promote(p.now, true, tag) })
	p.writeBlock(b, 3, 0x33)
	p.tell(b, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
	for _, attach := range []bool{false, true} {
		if attach {
			p.attach(a)
		}
		p.link(1)
		p.run(true)
		if s := a.e.State(); s.Conn() != wire.StandAlone {
			t.Errorf("with a disk %v: %v\n%s", attach, s, p.out.String())
		}
		p.tell(a, func(e *Engine, tag uint64) { e.Connect(p.now, false, tag) })
	}
}

// TestReadsWhenTheDiskIsBack: a Primary that is target of a resync loses its disk for a while. When that is back, its own bits do
// not tell what was written meanwhile: until it has those of the source, everything is read there.
func TestReadsWhenTheDiskIsBack(t *testing.T) {
	p := primaryTarget(t, Defaults())
	a := p.nodes[0]
	for i := 0; a.e.bitmap.AnySectors(3*8, 8); i++ {
		if p.tick(); i > 100 {
			t.Fatal("block 3 is not copied")
		}
		p.run(true)
	}
	p.tell(a, func(e *Engine, tag uint64) { e.Detach(p.now, tag) })
	p.run(true)
	p.writeBlock(a, 3, 0x33)
	p.attach(a)
	for cut := range 2 {
		if cut == 0 {
			p.runUntil(func(int, *wire.Message) bool { return a.e.State().Conn() == wire.WFBitMapT })
		} else {
			p.drop()
		}
		p.out.Reset()
		p.tell(a, func(e *Engine, tag uint64) {
			a.reads[tag] = true
			e.Read(p.now, tag, 3*8, 4096)
		})
		p.disk(a)
		if out := p.out.String(); strings.Contains(out, "read done: 0") {
			t.Errorf("in %v it reads what is old:\n%s", a.e.State(), out)
		}
	}
}

// TestErrorOfAnOutdatedDisk: an error that is passed on makes a disk Inconsistent. If its data was outdated, its bits tell no more
// for that: what it misses is read where the good data is.
func TestErrorOfAnOutdatedDisk(t *testing.T) {
	cfg := Defaults()
	cfg.OnIOError = IOErrorPassOn
	p := withoutDisk(t, cfg)
	a := p.nodes[0]
	p.writeBlock(a, 3, 0x33)
	p.attach(a)
	p.runUntil(func(int, *wire.Message) bool { return a.e.State().Conn() == wire.WFBitMapT })
	if s := a.e.State(); s.Disk() != wire.Outdated || a.e.bitmap.AnySectors(3*8, 8) {
		t.Fatalf("not outdated, or a knows already: %v", s)
	}
	p.tell(a, func(e *Engine, _ uint64) { e.ioError(e.newOp(resyncRead, 900*8, 4096)) })
	p.out.Reset()
	p.tell(a, func(e *Engine, tag uint64) {
		a.reads[tag] = true
		e.Read(p.now, tag, 3*8, 4096)
	})
	p.disk(a)
	if out := p.out.String(); a.e.State().Disk() != wire.Inconsistent || strings.Contains(out, "read done: 0") {
		t.Errorf("in %v it reads what is old:\n%s", a.e.State(), out)
	}
}
