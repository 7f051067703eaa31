package engine

import "testing"

// TestZeroesForPeerWithoutThem: a peer that knows neither trims nor zeroes gets as much data, in as many packets as that
// takes. Bits instead would leave it UpToDate with what was there before.
func TestZeroesForPeerWithoutThem(t *testing.T) {
	for _, version := range []int{100, 95, 90} {
		cfg := Defaults()
		cfg.MaxVersion = version
		p := connectedPair(t, pairDisk, cfg, 1)
		a, b := p.nodes[0], p.nodes[1]
		const first, blocks = 3, 900 // 3.5 MiB
		for _, block := range []uint64{first - 1, first, first + blocks/2, first + blocks - 1, first + blocks} {
			p.writeBlock(a, block, 0x55)
		}
		for _, trim := range []bool{false, true} {
			p.writeBlock(a, first+7, 0x66)
			p.tell(a, func(e *Engine, tag uint64) { e.Zero(p.now, tag, first*8, blocks*4096, trim) })
			p.run(true)
			if n := a.e.OutOfSync(); n != 0 || !p.synced() {
				t.Errorf("protocol %d: %d sectors are out of sync, %v", version, n, a.e.State())
			}
			for i, n := range []*pairNode{a, b} {
				for block := uint64(first); block < first+blocks; block++ {
					if v := n.disk.sector(block * 8)[0]; v != 0 {
						t.Fatalf("protocol %d, node %d: block %d has %#x", version, i, block, v)
					}
				}
				if n.disk.sector((first - 1) * 8)[0] != 0x55 || n.disk.sector((first + blocks) * 8)[0] != 0x55 {
					t.Errorf("protocol %d, node %d: more is zero than was asked for", version, i)
				}
			}
		}
	}
}
