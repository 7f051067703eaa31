package engine

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// TestPrimaryWritesAsSyncTarget promotes the target of a full sync and writes there: no
// block of the resync may overwrite what was written since the source read it, in
// whatever order messages arrive and disks finish. Few extents fit into the activity
// log, so that writes often wait for it while their block is on its way.
func TestPrimaryWritesAsSyncTarget(t *testing.T) {
	const size = 20 << 20
	waited := 0
	for seed := uint64(1); seed <= 2; seed++ {
		r := rand.New(rand.NewPCG(seed, 6))
		cfg := Defaults()
		cfg.ALExtents = 2
		cfg.ResyncRate, cfg.MaxRate, cfg.FillTarget = 4000, 4000, 20000
		p := connectedPair(t, size, cfg, r.IntN(2))
		a := p.nodes[0]
		a.e.Demote(p.now, 2)
		p.effects(a)
		p.run(true)
		a.e.Invalidate(p.now, false, 3)
		p.effects(a)
		for p.run(true); a.e.State().Conn() != wire.SyncTarget; p.run(true) {
			p.tick()
		}
		a.e.Promote(p.now, false, 4)
		p.effects(a)
		want := map[uint64]byte{}
		for steps, left := 0, 300; !p.synced(); steps++ {
			if steps > 200000 {
				t.Fatalf("seed %d: no end: %v\n%s", seed, a.e.State(), p.out.String())
			}
			switch c := r.IntN(40); {
			case c < 8 && left > 0 && a.e.State().Role() == wire.Primary:
				left--
				sector, v := r.Uint64N(size/metadata.BlockSize-300)*8, byte(1+r.IntN(255))
				if _, again := want[sector]; again {
					continue // two writes to a block have no order
				}
				want[sector] = v
				a.e.Write(p.now, a.tag(), sector, bytes.Repeat([]byte{v}, metadata.BlockSize), false)
				if a.e.fetchesAt(sector) {
					waited++
				}
				p.effects(a)
			case c == 8:
				p.tick()
			default:
				if !p.shuffle(r) {
					p.tick()
				}
			}
		}
		p.run(true)
		for sector, v := range want {
			for i, n := range p.nodes {
				if got := n.disk.sector(sector)[0]; got != v {
					t.Fatalf("seed %d: node %d has %d at %d, %d was written", seed, i, got, sector, v)
				}
			}
		}
	}
	if waited < 50 {
		t.Errorf("only %d writes came while their block was on its way", waited)
	}
	t.Logf("%d writes came while their block was on its way", waited)
}

// fetchesAt tells whether the block at a sector was asked for in a resync.
func (e *Engine) fetchesAt(sector uint64) bool {
	for _, o := range e.active {
		if o.kind == resyncFetch && o.sector <= sector && sector < o.end() {
			return true
		}
	}
	return false
}
