package engine

import (
	"fmt"
	"strings"
	"testing"

	"gcrm/replication/wire"
)

// flushed tells what an application hears of a flush: "done", "failed", or "waits".
func (p *pair) flushed(n *pairNode) string {
	p.out.Reset()
	p.tell(n, func(e *Engine, tag uint64) { e.Flush(p.now, tag) })
	return p.heard()
}

// heard is what the last flush has come to.
func (p *pair) heard() string {
	p.run(true)
	switch out := p.out.String(); {
	case strings.Contains(out, "write done\n"):
		return "done"
	case strings.Contains(out, "write done: "+ErrIO.Error()):
		return "failed"
	default:
		return "waits"
	}
}

// TestFlushWithoutGoodData: a Primary without its disk has lost the peer, and perhaps what the
// peer had not flushed.
func TestFlushWithoutGoodData(t *testing.T) {
	p := withoutDisk(t, Defaults())
	a := p.nodes[0]
	p.writeBlock(a, 3, 0x33)
	p.drop()
	if got := p.flushed(a); got != "failed" {
		t.Errorf("a flush without any disk: %s", got)
	}
}

// TestFlushOfWhatMayBeGone: a write was answered, and was on no good disk but the peer's, perhaps in its cache, when that
// was lost sight of. The next flush says so, and only that.
func TestFlushOfWhatMayBeGone(t *testing.T) {
	for _, protocol := range []uint32{ProtocolA, ProtocolB, ProtocolC} {
		for _, target := range []bool{false, true} {
			for _, loss := range []string{"connection", "node", "disk"} {
				what := fmt.Sprintf("protocol %d, target %v, %s", protocol, target, loss)
				cfg := Defaults()
				cfg.Protocol = protocol
				begin := withoutDisk
				if target {
					begin = primaryTarget
				}
				p := begin(t, cfg)
				a, b := p.nodes[0], p.nodes[1]
				p.writeBlock(a, 3, 0x33)
				if got := p.flushed(a); got != "done" {
					t.Fatalf("%s: the first flush: %s", what, got)
				}
				p.out.Reset()
				p.tell(a, func(e *Engine, tag uint64) { e.Write(p.now, tag, 900*8, filled(0x77), false) })
				p.runUntil(func(int, *wire.Message) bool { return strings.Contains(p.out.String(), "write done\n") })
				if !strings.Contains(p.out.String(), "write done\n") || !a.e.unconfirmed() {
					t.Fatalf("%s: the write is not answered, or confirmed already:\n%s", what, p.out.String())
				}
				switch loss {
				case "disk":
					p.tell(b, func(e *Engine, _ uint64) { e.giveUpDisk() })
					b.work = nil
					p.run(true)
					b.disk.lose()
					p.attach(b)
				case "node":
					p.crash(b)
					p.drop()
					p.up(b)
					p.link(1)
				default:
					p.drop()
					p.link(1)
				}
				p.run(true)
				if first, second := p.flushed(a), p.flushed(a); first != "failed" || second != "done" {
					t.Errorf("%s: flushes afterwards: %s, %s: %v", what, first, second, a.e.State())
				}
			}
		}
	}
}

// TestFlushUnderWayWhenSomethingIsGone: it may have begun before the write was answered.
func TestFlushUnderWayWhenSomethingIsGone(t *testing.T) {
	p := withoutDisk(t, Defaults())
	a := p.nodes[0]
	p.tell(a, func(e *Engine, tag uint64) { e.Write(p.now, tag, 900*8, filled(0x77), false) })
	p.runUntil(func(int, *wire.Message) bool { return strings.Contains(p.out.String(), "write done\n") })
	p.out.Reset()
	p.tell(a, func(e *Engine, tag uint64) { e.Flush(p.now, tag) })
	p.drop()
	p.link(1)
	if got := p.heard(); got != "failed" {
		t.Errorf("the flush under way: %s", got)
	}
	if first, second := p.flushed(a), p.flushed(a); first != "failed" || second != "done" {
		t.Errorf("flushes afterwards: %s, %s", first, second)
	}
}

// TestFlushAfterTheDiskIsBack: the only good disk failed, and was attached again: what was in its cache may be gone.
func TestFlushAfterTheDiskIsBack(t *testing.T) {
	p := connectedPair(t, pairDisk, Defaults(), 1)
	a := p.nodes[0]
	p.alone(a, 3, 0x33)
	p.tell(a, func(e *Engine, _ uint64) { e.giveUpDisk() })
	a.disk.lose()
	p.attach(a)
	if s := a.e.State(); s.Disk() != wire.UpToDate {
		t.Fatal(s)
	}
	if first, second := p.flushed(a), p.flushed(a); first != "failed" || second != "done" {
		t.Errorf("flushes afterwards: %s, %s", first, second)
	}
}

// TestFlushWithoutDiskWaitsForThePeer: in every protocol, when only the peer has what was written.
func TestFlushWithoutDiskWaitsForThePeer(t *testing.T) {
	for _, protocol := range []uint32{ProtocolA, ProtocolB, ProtocolC} {
		cfg := Defaults()
		cfg.Protocol = protocol
		p := withoutDisk(t, cfg)
		a := p.nodes[0]
		p.tell(a, func(e *Engine, tag uint64) { e.Write(p.now, tag, 900*8, filled(0x77), false) })
		p.runUntil(func(int, *wire.Message) bool { return strings.Contains(p.out.String(), "write done\n") })
		p.out.Reset()
		p.tell(a, func(e *Engine, tag uint64) { e.Flush(p.now, tag) })
		if strings.Contains(p.out.String(), "write done") {
			t.Errorf("protocol %d: done before the peer has flushed", protocol)
		}
		if got := p.heard(); got != "done" {
			t.Errorf("protocol %d: the flush %s", protocol, got)
		}
	}
}

// TestFlushOfWhatWasTakenBack: the peer has the only good disk, which fails with a write that it had acknowledged; that it
// takes it back, and the end of the epoch, overtake its word on the disk.
func TestFlushOfWhatWasTakenBack(t *testing.T) {
	p := withoutDisk(t, Defaults())
	a, b := p.nodes[0], p.nodes[1]
	p.tell(a, func(e *Engine, tag uint64) { e.Write(p.now, tag, 900*8, filled(0x77), false) })
	p.runUntil(func(from int, m *wire.Message) bool { return from == 0 && m.Command == wire.CmdBarrier })
	p.takesBack(b)
	p.run(true)
	b.broken = false
	b.disk.lose()
	p.attach(b)
	p.run(true)
	if first, second := p.flushed(a), p.flushed(a); first != "failed" || second != "done" {
		t.Errorf("flushes afterwards: %s, %s: %v", first, second, a.e.State())
	}
}
