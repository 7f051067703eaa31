package engine

import (
	"testing"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// TestAnswerBeforeOwnDisk: a resync target answers a write (which it then has) before
// this node's own disk is done, and is lost before it confirms the epoch. What it had in
// its cache may be gone: the block counts as different, also once the own disk is done.
func TestAnswerBeforeOwnDisk(t *testing.T) {
	const sector, sectors = 80, metadata.BlockSize / metadata.SectorSize
	cfg := Defaults()
	cfg.PlanAhead, cfg.ResyncRate = 0, 400
	p := connectedPair(t, pairDisk, cfg, 0)
	a := p.nodes[0]
	write := func() {
		a.e.Write(p.now, a.tag(), sector, make([]byte, metadata.BlockSize), false)
		p.effects(a)
	}
	write() // its extent is in the activity log from now on
	p.run(true)
	a.e.Invalidate(p.now, true, a.tag())
	p.effects(a)
	p.run(true)
	if s := a.e.State(); s.Conn() != wire.SyncSource {
		t.Fatal(s)
	}
	answered := false
	p.tap = func(from int, m *wire.Message) {
		answered = answered || from == 1 && m.Command == wire.CmdResyncWriteAck && m.ID != wire.SyncerID
	}
	write()
	own := a.work
	a.work = nil
	p.run(true)
	if len(own) != 1 || own[0].Kind != WriteDisk || !answered {
		t.Fatalf("own disk: %+v, answered: %v", own, answered)
	}
	p.drop()
	p.run(true)
	a.work = own
	p.run(true)
	if !a.e.bitmap.AnySectors(sector, sectors) {
		t.Error("the block counts as equal on both nodes")
	}
}
