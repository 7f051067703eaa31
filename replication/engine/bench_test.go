package engine

import (
	"testing"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// benchPair is two connected engines whose messages and disk operations cost
// nothing, so that the benchmark sees the engines alone.
type benchPair struct {
	nodes [2]*Engine
	queue []pending
	disk  []struct {
		node int
		tag  uint64
	}
	done int
}

func (p *benchPair) effects(i int) {
	for _, f := range p.nodes[i].Take() {
		switch f.Kind {
		case Send:
			p.queue = append(p.queue, pending{to: 1 - i, m: f.Msg})
		case WriteDisk, FlushDisk, WriteLog:
			p.disk = append(p.disk, struct {
				node int
				tag  uint64
			}{i, f.Tag})
		case Complete:
			p.done++
		}
	}
}

func (p *benchPair) settle() {
	for len(p.queue)+len(p.disk) > 0 {
		for k := 0; k < len(p.disk); k++ {
			d := p.disk[k]
			p.nodes[d.node].DiskDone(0, d.tag, nil, nil)
			p.effects(d.node)
		}
		p.disk = p.disk[:0]
		for k := 0; k < len(p.queue); k++ {
			to := p.queue[k].to
			p.nodes[to].Receive(0, &p.queue[k].m)
			p.effects(to)
		}
		p.queue = p.queue[:0]
	}
}

func newBenchPair(b testing.TB) *benchPair {
	b.Helper()
	p := &benchPair{}
	for i := range p.nodes {
		cfg := Defaults()
		n := uint64(i)*7 + 1000
		cfg.Rand = func() uint64 { n += 2; return n }
		disk := newSimDisk(256 << 20)
		area, err := metadata.Create(disk, 256<<20, metadata.Internal, metadata.CreateOptions{})
		if err != nil {
			b.Fatal(err)
		}
		s := area.Super
		s.AgreedSectors = area.Layout.DataSectors
		s.UUID.Current = 0x1000
		s.Flags |= metadata.FlagConsistent | metadata.FlagWasUpToDate
		p.nodes[i] = New(cfg)
		if err := p.nodes[i].Attach(0, LocalDisk{Capacity: s.AgreedSectors, Super: s, Bitmap: metadata.NewBitmap(s.AgreedSectors), Layout: area.Layout}); err != nil {
			b.Fatal(err)
		}
		p.nodes[i].Connect(0, false, 0)
		p.nodes[i].Take()
	}
	for i, n := range p.nodes {
		n.ConnectionUp(0, i == 1)
		p.effects(i)
	}
	p.settle()
	p.nodes[0].Promote(0, false, 1)
	p.effects(0)
	p.settle()
	if s := p.nodes[0].State(); s.Role() != wire.Primary || s.PeerDisk() != wire.UpToDate {
		b.Fatal(s)
	}
	return p
}

// BenchmarkWrite is both engines' work for one replicated write of 4 KiB, at several
// depths.
func BenchmarkWrite(b *testing.B) {
	for _, depth := range []int{1, 16, 128} {
		b.Run(map[int]string{1: "depth1", 16: "depth16", 128: "depth128"}[depth], func(b *testing.B) {
			p := newBenchPair(b)
			data := make([]byte, 4096)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				p.nodes[0].Write(0, uint64(i), uint64(i%16384)*8, data, false)
				p.effects(0)
				if i++; i%depth == 0 {
					p.settle()
				}
			}
		})
	}
}

// TestSteadyStateDoesNotAllocate: a replicated write costs no memory once the
// buffers have their size.
func TestSteadyStateDoesNotAllocate(t *testing.T) {
	p := newBenchPair(t)
	data := make([]byte, 4096)
	i := 0
	write := func() {
		for range 8 {
			i++
			p.nodes[0].Write(0, uint64(i), uint64(i%64)*8, data, false)
			p.effects(0)
		}
		p.settle()
	}
	for range 1000 {
		write()
	}
	if n := testing.AllocsPerRun(200, write); n > 0 {
		t.Errorf("%v allocations for 8 writes", n)
	}
}
