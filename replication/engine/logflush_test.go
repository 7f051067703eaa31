package engine

import (
	"slices"
	"strings"
	"testing"

	"gcrm/replication/wire"
)

// TestExtentsLeaveTheLogAfterTheirData: a transaction that takes an extent out of the log comes after a flush. If
// power fails between the two, what was written there and confirmed by the peer may be gone here, and nothing tells of it.
func TestExtentsLeaveTheLogAfterTheirData(t *testing.T) {
	const extent = 4 << 20 / 512
	cfg := Defaults()
	cfg.ALExtents = 2
	p := connectedPair(t, 40<<20, cfg, 1)
	a := p.nodes[0]
	for i := range uint64(5) {
		p.tell(a, func(e *Engine, tag uint64) { e.Write(p.now, tag, i*extent, filled(0x11), false) })
		k := slices.IndexFunc(a.work, func(f Effect) bool { return f.Kind == WriteLog })
		if k < 0 {
			t.Fatalf("write %d: no transaction", i)
		}
		if leaves := i >= 2; a.work[k].Flush != leaves {
			t.Errorf("write %d: flush %v, an extent leaves the log: %v", i, !leaves, leaves)
		}
		p.run(true)
	}
}

// TestLogOfWhatThePeerLost: what the peer, which lost its disk, has not answered yet is in the bitmap, and keeps no extent
// from what comes later: of two Primaries the other one may answer only when that is done.
func TestLogOfWhatThePeerLost(t *testing.T) {
	for _, slow := range []bool{false, true} { // the own disk
		cfg := Defaults()
		cfg.ALExtents = 1
		p := connectedPair(t, pairDisk, cfg, 1)
		a, b := p.nodes[0], p.nodes[1]
		p.writeBlock(a, 3, 0x11)
		p.run(true)
		p.out.Reset()
		p.tell(a, func(e *Engine, tag uint64) { e.Write(p.now, tag, 5*8, filled(0x22), false) })
		if !slow {
			p.disk(a)
		}
		late, held := p.wire, a.work
		p.wire, a.work = nil, nil
		p.tell(b, func(e *Engine, _ uint64) { e.giveUpDisk() })
		p.run(true)
		a.work = held
		p.disk(a)
		if s := a.e.State(); s.PeerDisk() != wire.Diskless || strings.Contains(p.out.String(), "done") {
			t.Fatalf("own disk slow %v: %v\n%s", slow, s, p.out.String())
		}
		p.out.Reset()
		p.tell(a, func(e *Engine, tag uint64) { e.Write(p.now, tag, 4<<20/512, filled(0x33), false) })
		p.disk(a)
		if got := p.out.String(); got != "a: write done\n" {
			t.Errorf("own disk slow %v: a write to another extent: %q", slow, got)
		}
		p.wire = append(late, p.wire...)
		p.run(true)
		if got := p.out.String(); got != "a: write done\na: write done\n" || a.e.OutOfSync() != 16 {
			t.Errorf("own disk slow %v: in the end %d sectors are out of sync\n%s", slow, a.e.OutOfSync(), got)
		}
	}
}
