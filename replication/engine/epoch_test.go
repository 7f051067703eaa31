package engine

import (
	"fmt"
	"strings"
	"testing"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// TestEpochsWithoutEnd: a Secondary remembers the writes of an epoch until the barrier.
// Many epochs of the largest size that the kernel makes leave nothing behind; a peer
// that never ends one is dropped, which is what bounds the memory.
func TestEpochsWithoutEnd(t *testing.T) {
	const epoch = 20000
	p := connectedPair(t, pairDisk, Defaults(), 0)
	b := p.nodes[1]
	id, remembered := uint64(1000), 0
	write := func() {
		id++
		m := wire.Message{
			Command: wire.CmdData, Sector: id % 8192, ID: id, Seq: uint32(id), Size: metadata.SectorSize, Data: make([]byte, metadata.SectorSize),
			Flags: wire.FlagWantWriteAck,
		}
		b.e.Receive(p.now, &m)
		p.effects(b)
		for len(b.work) > 0 {
			p.wire = nil // acknowledgements that a did not wait for
			p.step(true)
		}
		remembered = max(remembered, len(b.e.unflushed))
	}
	for number := range uint32(5) {
		for range epoch {
			write()
		}
		if n := len(b.e.unflushed); n != epoch {
			t.Fatalf("%d writes remembered of %d", n, epoch)
		}
		p.wire = nil
		b.e.Receive(p.now, &wire.Message{Command: wire.CmdBarrier, Number: number})
		p.effects(b)
		for len(b.work) > 0 {
			p.step(true)
		}
		if got := p.wire; len(got) != 1 || got[0].m.Command != wire.CmdBarrierAck || got[0].m.Count != epoch || got[0].m.Number != number {
			t.Fatalf("the end of epoch %d is answered with %+v", number, got)
		}
		if len(b.e.unflushed) != 0 || b.e.receiving.epoch != 0 {
			t.Fatalf("after a barrier: %d writes remembered, %d counted", len(b.e.unflushed), b.e.receiving.epoch)
		}
	}
	for range maxReceivedEpoch {
		write()
	}
	if s := b.e.State(); s.Conn() != wire.Connected {
		t.Fatalf("dropped after %d writes: %v", maxReceivedEpoch, s)
	}
	write()
	want := fmt.Sprintf("more than %d writes without the end of an epoch", maxReceivedEpoch)
	if s := b.e.State(); s.Conn() >= wire.Connected || len(b.e.unflushed) != 0 || !strings.Contains(p.out.String(), want) {
		t.Errorf("after %d writes: %v, %d remembered\n%s", maxReceivedEpoch+1, s, len(b.e.unflushed), p.out.String())
	}
	if remembered > maxReceivedEpoch {
		t.Errorf("%d writes were remembered", remembered)
	}
}
