package engine

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// TestVerifyUnderLoad verifies from either side while the Primary writes, with every
// order of messages and disk operations: no block is reported that is equal.
func TestVerifyUnderLoad(t *testing.T) {
	for seed := uint64(1); seed <= 12; seed++ {
		r := rand.New(rand.NewPCG(seed, 6))
		cfg := Defaults()
		cfg.VerifyAlg, cfg.ResyncRate, cfg.PlanAhead = "sha1", 1000, 0
		p := connectedPair(t, 1<<20, cfg, r.IntN(2))
		a := p.nodes[0]
		v := p.nodes[seed%2]
		v.e.Verify(p.now, v.tag())
		p.effects(v)
		for steps := 0; steps < 40000; steps++ {
			switch r.IntN(12) {
			case 0:
				data := bytes.Repeat([]byte{byte(r.Uint32())}, metadata.BlockSize)
				a.e.Write(p.now, a.tag(), r.Uint64N(230)*8, data, false)
				p.effects(a)
			case 1:
				if r.IntN(5) == 0 {
					p.tick()
				}
			default:
				p.shuffle(r)
			}
			if steps > 500 && a.e.State().Conn() == wire.Connected && v.e.State().Conn() == wire.Connected {
				break
			}
		}
		p.pass(10*time.Second, nil)
		for _, n := range p.nodes {
			if s := n.e.State(); s.Conn() != wire.Connected || n.e.OutOfSync() != 0 {
				t.Errorf("seed %d: node %d: %v, %d blocks out of sync", seed, n.id, s, n.e.OutOfSync()/8)
			}
		}
	}
}
