package engine

import (
	"fmt"
	"strings"
	"testing"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// TestGrowthThatIsCutShortInOldProtocols: the connection or a node is lost at any message from the request for the new size to the
// first block. Before 91 a peer knows nothing of rules 34 to 37, 51 and 71: both nodes stand alone then, as two kernels do, and
// never connect as equals that are none. A person makes metadata anew on the node that would be the target.
func TestGrowthThatIsCutShortInOldProtocols(t *testing.T) {
	refused := map[int]int{}
	for _, version := range []int{90, 91} {
		for i := range 32 {
			primary, asker, resolver, crash := i&1 != 0, i>>1&1, i>>2&1, i>>3
			for cut, over := 1, false; !over && !t.Failed(); cut++ {
				what := fmt.Sprintf("protocol %d, primary %v, asked by %d, resolver %d, cut at %d, crash %d", version, primary, asker, resolver, cut, crash)
				cfg := Defaults()
				cfg.MaxVersion = version
				p := growingPair(t, cfg, resolver, 0, 1)
				a, b := p.nodes[0], p.nodes[1]
				if !primary {
					p.tell(a, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
					p.run(true)
				}
				p.tell(p.nodes[asker], func(e *Engine, tag uint64) { e.Resize(p.now, ResizeOptions{User: sizeAfter}, tag) })
				seen := 0
				p.tap = func(_ int, m *wire.Message) { seen, over = seen+1, m.Command == wire.CmdResyncRequest }
				for seen < cut && !over && p.step(true) {
				}
				p.tap, over = nil, over || seen < cut
				if a.e.Size() != b.e.Size() && crash&(2>>asker) == 0 {
					continue // the other node's settings are the older ones: they do not agree on the size
				}
				p.meetLarger(crash, 1-resolver)
				p.run(true)
				if a.e.State().Conn() == wire.StandAlone || b.e.State().Conn() == wire.StandAlone {
					refused[version]++
					if !strings.Contains(p.out.String(), "can only be compared with a newer protocol") {
						t.Errorf("%s: they stand alone: %v, %v\n%s", what, a.e.State(), b.e.State(), p.out.String())
					}
					p.makeAnew()
				}
				p.alike(what, sizeAfter)
			}
		}
	}
	if refused[90] == 0 || refused[91] > 0 {
		t.Errorf("refused, by protocol: %v", refused)
	}
}

// makeAnew gives new metadata to the node that is the worse one or, if both are as good, that no resync was begun for on
// its peer, and connects both again.
func (p *pair) makeAnew() {
	lose, keep := p.nodes[0], p.nodes[1]
	worse := lose.e.State().Disk() < keep.e.State().Disk()
	if lose.e.State().Disk() == keep.e.State().Disk() {
		worse = lose.e.Generations().Bitmap == 0
	}
	if !worse {
		lose, keep = keep, lose
	}
	if lose.e.State().Role() == wire.Primary {
		p.t.Errorf("the Primary would have to give way: %v", lose.e.State())
	}
	p.crash(lose)
	p.drop()
	_, err := metadata.Create(lose.disk, p.size, metadata.Internal, metadata.CreateOptions{})
	p.must(err)
	p.up(lose)
	if keep.e.State().Conn() == wire.StandAlone {
		p.tell(keep, func(e *Engine, tag uint64) { e.Connect(p.now, false, tag) })
	}
	p.link(keep.id)
}
