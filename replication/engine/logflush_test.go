package engine

import (
	"slices"
	"testing"
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
