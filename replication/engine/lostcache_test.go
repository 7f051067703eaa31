package engine

import (
	"bytes"
	"strings"
	"testing"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// TestAcknowledgedButNeverFlushed lets the disk of the Secondary fail between two writes
// of one epoch, and lose its cache. The write that it had acknowledged must count as
// missing there, although the end of the epoch is confirmed: also towards a peer that
// takes nothing back, as the kernel.
func TestAcknowledgedButNeverFlushed(t *testing.T) {
	for _, tells := range []bool{true, false} {
		cfg := Defaults()
		cfg.ResyncRate, cfg.MaxRate = 100000, 0
		p := connectedPair(t, pairDisk, cfg, 0)
		a, b := p.nodes[0], p.nodes[1]

		for i, sector := range []uint64{80, 160} {
			a.e.Write(p.now, a.tag(), sector, bytes.Repeat([]byte{byte(7 + i)}, metadata.BlockSize), false)
			p.effects(a)
		}
		for len(a.work) > 0 || len(p.wire) > 0 {
			if len(b.work) == 2 && len(p.wire) == 0 {
				break
			}
			p.step(true)
		}
		if len(b.work) != 2 {
			t.Fatalf("%d operations on the peer's disk", len(b.work))
		}
		confirmed := false
		p.tap = func(from int, m *wire.Message) {
			confirmed = confirmed || from == 1 && m.Command == wire.CmdBarrierAck
			if from == 1 && m.Command == wire.CmdNegAck && m.Sector == 80 && !tells {
				m.Command = wire.CmdPing // it says something else instead
			}
		}
		second := b.work[1]
		b.work = b.work[:1]
		for len(b.work) > 0 {
			p.step(true)
		}
		b.broken, b.work = true, append(b.work, second)
		p.run(true)
		if !a.e.link.up || !confirmed {
			t.Errorf("the end of the epoch was not confirmed: %v", a.e.State())
		}
		if s := a.e.State(); s.PeerDisk() != wire.Diskless {
			t.Fatalf("the peer's disk did not fail: %v", s)
		}
		if n := a.e.OutOfSync(); n != 16 {
			t.Errorf("%d sectors are out of sync, want those of both writes", n)
		}
		b.disk.lose()
		b.broken = false
		p.attach(b)
		p.run(true)
		p.awaitSync()
		for i, sector := range []uint64{80, 160} {
			if got := b.disk.sector(sector)[0]; got != byte(7+i) {
				t.Errorf("the peer has %d at %d after the resync", got, sector)
			}
		}
		if t.Failed() {
			t.Fatal(p.out.String())
		}
	}
}

// TestAnsweredBeforeTheDiskWasLost: the target of a resync is Primary, and writes a block that both have. Its disk fails, loses
// that from its cache, and is attached again before the end of the epoch, which says nothing about this disk.
func TestAnsweredBeforeTheDiskWasLost(t *testing.T) {
	p := primaryTarget(t, Defaults())
	a, b := p.nodes[0], p.nodes[1]
	p.tell(a, func(e *Engine, tag uint64) { e.Write(p.now, tag, 900*8, filled(0x77), false) })
	p.runUntil(func(from int, m *wire.Message) bool { return from == 1 && m.Command == wire.CmdBarrierAck })
	if !strings.Contains(p.out.String(), "write done\n") {
		t.Fatal("the write is not answered")
	}
	late := p.wire[:1:1]
	p.wire = p.wire[1:]
	a.broken = true
	p.tell(a, func(e *Engine, _ uint64) { e.giveUpDisk() })
	a.broken, a.work = false, nil
	a.disk.lose()
	p.run(true)
	p.attach(a)
	p.runUntil(func(from int, m *wire.Message) bool { return from == 0 && m.Command == wire.CmdResyncRequest })
	p.wire = append(late, p.wire...)
	p.run(true)
	p.awaitSync()
	if got, want := a.disk.sector(900 * 8)[0], b.disk.sector(900 * 8)[0]; got != want {
		t.Errorf("both nodes are UpToDate, and have %#x and %#x", got, want)
	}
}
