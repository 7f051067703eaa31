package engine

import (
	"testing"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// TestResyncYields: while applications are busy a resync goes on at c-min-rate, and at
// full speed as soon as they are not, or when the rate is 0.
func TestResyncYields(t *testing.T) {
	for _, c := range []struct {
		min uint64

		lo, hi  uint64 // KiB fetched in ten seconds
		sectors uint64 // the application writes in each step
	}{
		{250, 30000, 1 << 40, 0},
		{250, 30000, 1 << 40, 64},
		{250, 2500, 4500, 80},
		{1000, 10000, 12000, 80},
		{0, 30000, 1 << 40, 80},
	} {
		cfg := Defaults()
		cfg.MinRate, cfg.MaxRate, cfg.PlanAhead, cfg.ResyncRate = c.min, 0, 0, 4000
		p := freshPair(t, 64<<20, cfg, 0)
		a := p.nodes[0]
		a.e.Promote(p.now, true, 1)
		p.effects(a)
		p.run(true)
		fetched := uint64(0)
		p.tap = func(from int, m *wire.Message) {
			if m.Command == wire.CmdResyncReply {
				fetched += uint64(m.Size) >> 10
			}
		}
		for range 100 {
			for left := c.sectors; left > 0; left -= min(left, 8) {
				a.e.Write(p.now, a.tag(), 8*left, make([]byte, min(left, 8)*metadata.SectorSize), false)
				p.effects(a)
			}
			p.run(true)
			p.tick()
			p.run(true)
		}
		if fetched < c.lo || fetched > c.hi {
			t.Errorf("c-min-rate %d, %d sectors written in each step: %d KiB came in ten seconds, want %d to %d", c.min, c.sectors, fetched, c.lo, c.hi)
		}
	}
}
