package engine

import (
	"testing"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// TestFullResyncThatNeverBegins: the target of a full resync, whose generation is in the history of the source, is lost again and
// again before it has noted the identifier. The nodes stay related.
func TestFullResyncThatNeverBegins(t *testing.T) {
	p := connectedPair(t, pairDisk, Defaults(), 1)
	a, b := p.nodes[0], p.nodes[1]
	p.alone(a, 3, 0x33)
	p.link(1)
	p.awaitSync() // a generation later
	p.drop()
	area, err := metadata.Open(b.disk, p.size, metadata.Internal)
	p.must(err)
	s := area.Super
	s.UUID = metadata.Generations{Current: a.e.Generations().History[0]}
	p.crash(b)
	p.must(area.WriteSuperblock(s))
	p.must(b.disk.Sync())
	for i := range 6 {
		p.up(b)
		p.link(i % 2)
		p.runUntil(func(int, *wire.Message) bool { return a.e.State().Conn() == wire.SyncSource })
		if s := a.e.State(); s.Conn() != wire.SyncSource {
			t.Fatalf("the resync begins no more the time number %d: %v %X, %X", i+1, s, a.e.Generations(), b.e.Generations())
		}
		p.crash(b)
		p.alone(a, uint64(10+i), 0x44)
	}
	p.up(b)
	p.link(1)
	p.awaitSync()
	if sector, differs := a.disk.differs(b.disk, a.e.Size()); differs {
		t.Errorf("sector %d differs", sector)
	}
}
