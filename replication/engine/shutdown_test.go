package engine

import (
	"errors"
	"testing"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// TestShutdownLeavesCleanMetadata: what a node leaves is attached again without a
// replay, and looks to drbdmeta like what the kernel leaves after apply-al.
func TestShutdownLeavesCleanMetadata(t *testing.T) {
	p := connectedPair(t, pairDisk, Defaults(), 1)
	a, b := p.nodes[0], p.nodes[1]
	a.e.Write(p.now, a.tag(), 800, make([]byte, 4096), false)
	p.effects(a)
	p.run(true)
	if err := a.area.Seal(); !errors.Is(err, metadata.ErrPrimary) {
		t.Errorf("metadata of a Primary is sealed: %v", err)
	}
	a.e.Shutdown(p.now, a.tag())
	p.effects(a)
	a.e.Demote(p.now, a.tag())
	p.effects(a)
	p.run(true)
	for _, n := range p.nodes {
		n.e.Shutdown(p.now, n.tag())
		p.effects(n)
		p.run(true)
		if err := n.area.Seal(); err != nil {
			t.Fatal(err)
		}
		area, err := metadata.Open(n.disk, pairDisk, metadata.Internal)
		if err != nil {
			t.Fatal(err)
		}
		if !area.Super.Clean() || area.Super.Flags != 0x91 || area.ReadLog().Updates != 0 || area.Super.CrashedPrimary() {
			t.Errorf("node %d leaves %+v, log %+v", n.id, area.Super, area.ReadLog())
		}
	}
	if a.area.Super.UUID != b.area.Super.UUID || a.area.Super.UUID.Current&metadata.PrimaryMark != 0 {
		t.Errorf("the nodes leave %X and %X", a.area.Super.UUID, b.area.Super.UUID)
	}
	// Nothing begins on what was put away.
	p.out.Reset()
	a.e.Connect(p.now, false, a.tag())
	a.e.Promote(p.now, false, a.tag())
	p.effects(a)
	if got, no := p.out.String(), "a: answer: "+wire.InTransient.String()+"\n"; got != no+no || a.e.State().Role() == wire.Primary {
		t.Errorf("after it was put away:\n%s%v", got, a.e.State())
	}
	// And they meet again without a resync.
	p.up(a)
	p.up(b)
	p.out.Reset()
	p.link(0)
	p.run(true)
	if got := p.out.String(); got != "a: compare=0 by rule 40\nb: compare=0 by rule 40\n" && got != "b: compare=0 by rule 40\na: compare=0 by rule 40\n" {
		t.Errorf("they meet with\n%s", got)
	}
}
