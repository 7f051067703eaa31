package engine

import (
	"testing"
	"time"

	"gcrm/replication/wire"
)

// freshPair is two nodes with empty disks that have just met. resolver is the node that
// accepted the meta socket.
func freshPair(t testing.TB, size uint64, cfg Config, resolver int) *pair {
	p := &pair{t: t, size: size}
	p.reset([2]Config{cfg, cfg})
	for _, n := range p.nodes {
		p.up(n)
	}
	p.link(resolver)
	p.run(true)
	return p
}

// connectedPair is a Primary a and a Secondary b, in sync.
func connectedPair(t testing.TB, size uint64, cfg Config, resolver int) *pair {
	t.Helper()
	p := freshPair(t, size, cfg, resolver)
	a := p.nodes[0]
	a.e.Promote(p.now, true, a.tag())
	p.effects(a)
	p.run(true)
	p.awaitSync()
	p.out.Reset()
	return p
}

// tick is a step of time in which nothing is delivered yet.
func (p *pair) tick() {
	p.now += 100 * time.Millisecond
	for _, n := range p.nodes {
		if n.e != nil {
			n.e.Tick(p.now)
			p.effects(n)
		}
	}
}

// synced tells whether both nodes have all data, as a sees it.
func (p *pair) synced() bool {
	s := p.nodes[0].e.State()
	return s.Conn() == wire.Connected && s.Disk() == wire.UpToDate && s.PeerDisk() == wire.UpToDate
}

func (p *pair) awaitSync() {
	p.t.Helper()
	for i := 0; !p.synced(); i++ {
		if i > 300 {
			p.t.Fatalf("no end of the resync: %v, %d sectors out of sync\n%s", p.nodes[0].e.State(), p.nodes[0].e.OutOfSync(), p.out.String())
		}
		p.tick()
		p.run(true)
	}
}
