package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// TestConcurrentPrimaries lets both nodes write to the same few sectors at once,
// with every order of messages and disk operations. Every write ends, and both
// disks hold the same.
func TestConcurrentPrimaries(t *testing.T) {
	conflicts := 0
	for seed := uint64(1); seed <= 80; seed++ {
		r := rand.New(rand.NewPCG(seed, 5))
		cfg := Defaults()
		cfg.TwoPrimaries = true
		p := connectedPair(t, pairDisk, cfg, r.IntN(2))
		p.nodes[1].e.Promote(p.now, false, 2)
		p.effects(p.nodes[1])
		p.run(true)
		if s := p.nodes[1].e.State(); s.Role() != wire.Primary || s.Peer() != wire.Primary {
			t.Fatalf("seed %d: %v", seed, s)
		}
		p.tap = func(_ int, m *wire.Message) {
			if m.Command == wire.CmdSuperseded || m.Command == wire.CmdRetryWrite {
				conflicts++
			}
		}
		left := 60
		for steps := 0; ; steps++ {
			if steps > 20000 {
				t.Fatalf("seed %d: no end", seed)
			}
			if left > 0 && r.IntN(3) == 0 {
				left--
				n := p.nodes[r.IntN(2)]
				sector := 100 + r.Uint64N(12)
				data := bytes.Repeat([]byte{byte(1 + r.IntN(255))}, (1+r.IntN(6))*metadata.SectorSize)
				n.e.Write(p.now, n.tag(), sector, data, false)
				p.effects(n)
				continue
			}
			if !p.shuffle(r) && left == 0 {
				break
			}
		}
		for i, n := range p.nodes {
			if n.e.sending.requests != 0 || !n.e.link.up {
				t.Errorf("seed %d: node %d has %d writes without an end, %v", seed, i, n.e.sending.requests, n.e.State())
			}
		}
		for s := uint64(90); s < 130; s++ {
			if !bytes.Equal(p.nodes[0].disk.sector(s), p.nodes[1].disk.sector(s)) {
				t.Errorf("seed %d: sector %d differs: %d and %d", seed, s, p.nodes[0].disk.sector(s)[0], p.nodes[1].disk.sector(s)[0])
			}
		}
		if t.Failed() {
			t.Fatal(fmt.Sprintf("seed %d:\n", seed) + p.out.String())
		}
	}
	if conflicts < 60 {
		t.Errorf("only %d conflicts", conflicts)
	}
	t.Logf("%d conflicts", conflicts)
}

// shuffle delivers the first message of a random socket, or ends a random disk
// operation.
func (p *pair) shuffle(r *rand.Rand) bool {
	var sockets [4]int
	for i := range sockets {
		sockets[i] = -1
	}
	for i, w := range p.wire {
		k := w.to * 2
		if w.meta {
			k++
		}
		if sockets[k] < 0 {
			sockets[k] = i
		}
	}
	for _, k := range r.Perm(6) {
		switch {
		case k >= 4:
			if n := p.nodes[k-4]; len(n.work) > 0 {
				i := r.IntN(len(n.work))
				n.work[0], n.work[i] = n.work[i], n.work[0]
				rest := p.wire
				p.wire = nil
				other := p.nodes[1-(k-4)].work
				p.nodes[1-(k-4)].work = nil
				p.step(true)
				p.wire = append(rest, p.wire...)
				p.nodes[1-(k-4)].work = other
				return true
			}
		case sockets[k] >= 0:
			i := sockets[k]
			first := p.wire[i]
			rest := append(append([]pending(nil), p.wire[:i]...), p.wire[i+1:]...)
			p.wire = []pending{first}
			p.step(true)
			p.wire = append(rest, p.wire...)
			return true
		}
	}
	return false
}
