package metadata

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestBitmapLikeBools compares every operation with a slice of bools.
func TestBitmapLikeBools(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sectors := rapid.Uint64Range(1, 5000).Draw(t, "sectors")
		b := NewBitmap(sectors)
		model := make([]bool, b.Len())
		count := func(first, end uint64) (n uint64) {
			for i := first; i < min(end, b.Len()); i++ {
				if model[i] {
					n++
				}
			}
			return n
		}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			sector := rapid.Uint64Range(0, sectors-1).Draw(t, "sector")
			n := rapid.Uint64Range(1, sectors-sector).Draw(t, "n")
			before := b.Count()
			if rapid.Bool().Draw(t, "set") {
				for i := sector / 8; i <= (sector+n-1)/8; i++ {
					model[i] = true
				}
				if got := b.SetSectors(sector, n); b.Count() != before+got {
					t.Fatalf("set says %d new bits, count went from %d to %d", got, before, b.Count())
				}
			} else {
				for i := range model {
					first, end := uint64(i)*8, min(uint64(i)*8+8, sectors)
					if first >= sector && end <= sector+n {
						model[i] = false
					}
				}
				if got := b.ClearSectors(sector, n, sectors); b.Count() != before-got {
					t.Fatalf("clear says %d bits, count went from %d to %d", got, before, b.Count())
				}
			}
			if b.Count() != count(0, b.Len()) {
				t.Fatalf("count %d, want %d", b.Count(), count(0, b.Len()))
			}
			from := rapid.Uint64Range(0, b.Len()).Draw(t, "from")
			to := rapid.Uint64Range(from, b.Len()+3).Draw(t, "to")
			if got := b.CountRange(from, to); got != count(from, to) {
				t.Fatalf("count of [%d,%d) is %d, want %d", from, to, got, count(from, to))
			}
			for _, want := range []bool{true, false} {
				next := b.NextClear
				if want {
					next = b.NextSet
				}
				got, ok := next(from)
				i := int(min(from, b.Len()))
				for i < len(model) && model[i] != want {
					i++
				}
				if int(got) != i || ok != (i < len(model)) {
					t.Fatalf("next %v from %d is %d %v, want %d", want, from, got, ok, i)
				}
			}
			if got := b.AnySectors(sector, n); got != (count(sector/8, (sector+n-1)/8+1) > 0) {
				t.Fatalf("any of %d+%d: %v", sector, n, got)
			}
		}
	})
}

// TestBitmapPagesSurvive writes only the changed pages and reads everything back.
func TestBitmapPagesSurvive(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	const size = 1 << 30
	dev := &memory{data: make([]byte, size)}
	a, err := Create(dev, size, Internal, CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := a.Super
	s.AgreedSectors = a.Layout.DataSectors - 5
	if err := a.WriteSuperblock(s); err != nil {
		t.Fatal(err)
	}
	b := NewBitmap(s.AgreedSectors)
	for range 20 {
		at := r.Uint64N(b.Len())
		if r.IntN(3) > 0 {
			b.SetRange(at, at+r.Uint64N(50000))
		} else {
			b.ClearRange(at, at+r.Uint64N(50000))
		}
		if err := a.WriteBitmap(b); err != nil {
			t.Fatal(err)
		}
		again, err := a.ReadBitmap()
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(again.Words(), b.Words()) || again.Count() != b.Count() {
			t.Fatal("the bitmap on disk is another one")
		}
	}
	// Garbage beyond the end of the device does not become bits.
	for i := range BlockSize {
		dev.data[(a.Layout.Log*SectorSize)-BlockSize+uint64(i)] = 0xff
	}
	again, err := a.ReadBitmap()
	if err != nil {
		t.Fatal(err)
	}
	if again.Count() > b.Len() || again.Test(b.Len()) {
		t.Error("bits beyond the end")
	}
}

// crashedPrimary is a device of 16 MiB, and its metadata, that a Primary was using.
func crashedPrimary(t *testing.T) (*memory, *Area) {
	t.Helper()
	base := &memory{data: make([]byte, 16<<20)}
	a, err := Create(base, uint64(len(base.data)), Internal, CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := a.Super
	s.AgreedSectors = a.Layout.DataSectors
	s.Magic, s.Flags = MagicUnclean, FlagConsistent|FlagWasUpToDate|FlagPrimary
	if err := a.WriteSuperblock(s); err != nil {
		t.Fatal(err)
	}
	return base, a
}

// TestApplyLogCrashes stops ApplyLog after every single write, tears that write, and
// runs it again: the result is always the same.
func TestApplyLogCrashes(t *testing.T) {
	base, a := crashedPrimary(t)
	set := NewActiveSet(a.Layout, 67)
	for _, e := range []uint32{0, 3, 2} {
		tr, _, ok := set.Begin(e, e)
		if !ok {
			t.Fatal("no transaction")
		}
		if err := a.WriteLog(tr); err != nil {
			t.Fatal(err)
		}
		set.Commit()
	}
	whole := &memory{data: slices.Clone(base.data)}
	if _, err := open(t, whole, Internal).ApplyLog(); err != nil {
		t.Fatal(err)
	}
	for _, tear := range []int{0, 512, 4096} {
		for after := 1; ; after++ {
			dev := &memory{data: slices.Clone(base.data), failAfter: after, tear: tear}
			_, err := open(t, dev, Internal).ApplyLog()
			if err == nil {
				if after < 9 {
					t.Fatalf("only %d writes", after)
				}
				break
			}
			if !errors.Is(err, errDead) {
				t.Fatal(err)
			}
			dev.failAfter = 0
			if _, err := open(t, dev, Internal).ApplyLog(); err != nil {
				t.Fatalf("after %d writes: %v", after, err)
			}
			b, err := open(t, dev, Internal).ReadBitmap()
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range []uint64{0, 2, 3} {
				end := min((e+1)*BitsPerExtent, b.Len())
				if got := b.CountRange(e*BitsPerExtent, end); got != end-e*BitsPerExtent {
					t.Errorf("tear %d after %d writes: extent %d has %d bits", tear, after, e, got)
				}
			}
			firstDifference(t, whole.data, dev.data)
		}
	}
}

// TestLostLog: a crashed primary without a log is refused, a secondary is not.
func TestLostLog(t *testing.T) {
	const size = 16 << 20
	for _, primary := range []bool{true, false} {
		dev := &memory{data: make([]byte, size)}
		a, err := Create(dev, size, Internal, CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s := a.Super
		s.Magic, s.Flags = MagicUnclean, FlagConsistent
		if primary {
			s.Flags |= FlagPrimary
		}
		if err := a.WriteSuperblock(s); err != nil {
			t.Fatal(err)
		}
		clear(dev.data[a.Layout.Log*SectorSize : a.Layout.Superblock*SectorSize])
		if _, err := a.ApplyLog(); errors.Is(err, ErrLogLost) != primary {
			t.Errorf("primary %v: %v", primary, err)
		}
	}
}

// TestActiveSetSurvivesCrash drives the active set at random, crashes with the last
// transaction torn, and checks that the replay covers every extent with writes.
func TestActiveSetSurvivesCrash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stripes := rapid.SampledFrom([]uint32{1, 3}).Draw(t, "stripes")
		l, err := NewLayout(Internal, 64<<20, stripes, 8)
		if err != nil {
			t.Fatal(err)
		}
		set := NewActiveSet(l, rapid.SampledFrom([]int{3, 67, 1500, 65000}).Draw(t, "size"))
		ring := make([][]byte, l.LogBlocks)
		for i := range ring {
			ring[i] = make([]byte, BlockSize)
			(&Transaction{Initialised: true}).Encode(ring[i])
		}
		type span struct{ first, last uint32 }
		var held []span
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			if len(held) > 0 && rapid.Bool().Draw(t, "release") {
				i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
				set.Release(held[i].first, held[i].last)
				held = slices.Delete(held, i, i+1)
				continue
			}
			first := rapid.Uint32Range(0, 5000).Draw(t, "extent")
			s := span{first, first + rapid.Uint32Range(0, 2).Draw(t, "more")}
			if !set.Hot(s.first, s.last) {
				tr, evicted, ok := set.Begin(s.first, s.last)
				if !ok {
					continue
				}
				for _, e := range evicted {
					if slices.ContainsFunc(held, func(h span) bool { return e >= h.first && e <= h.last }) {
						t.Fatalf("extent %d is evicted while in use", e)
					}
				}
				block := ring[l.BlockOf(tr.Number)]
				if rapid.IntRange(0, 9).Draw(t, "crash") == 0 {
					copy(block, make([]byte, 100)) // torn: the write was not done
					break
				}
				tr.Encode(block)
				set.Commit()
			}
			held = append(held, s)
		}
		r := ReplayLog(ring)
		for _, h := range held {
			for e := h.first; e <= h.last; e++ {
				if !slices.Contains(r.Extents, e) {
					t.Fatalf("extent %d has writes under way and is not in the log: %v", e, r.Extents)
				}
			}
		}
	})
}

// TestMeasuredGenerations repeats the chain of identifiers that two kernels showed.
func TestMeasuredGenerations(t *testing.T) {
	const a, sync = 0xE457000000000061, 0xA3C100000000004F
	var seen []string
	g := Generations{Current: JustCreated}
	note := func() {
		seen = append(seen, fmt.Sprintf("%X:%X:%X:%X", g.Current, g.Bitmap, g.History[0], g.History[1]))
	}
	note()
	g.NewCurrent(a, true)
	note()
	if got := g.StartSource(sync); got != sync {
		t.Errorf("sync identifier %X", got)
	}
	note()
	g.FinishSource()
	note()
	g.NewCurrent(0x651400000000004A, true)
	note()
	second := g.StartSource(1)
	note()
	target := Generations{Current: a, History: [2]uint64{sync | 1, JustCreated}}
	source := g
	source.Bitmap = a // as it was at the handshake
	source.History = [2]uint64{sync, JustCreated}
	target.StartTarget(second, true)
	g.FinishSource()
	note()
	target.FinishTarget(source, true)
	if target != g {
		t.Errorf("after the resync the source has %X, the target %X", g, target)
	}
	want := []string{
		"4:0:0:0", "E457000000000061:4:0:0", "E457000000000061:A3C100000000004F:4:0", "E457000000000061:0:A3C100000000004F:4",
		"651400000000004B:E457000000000061:A3C100000000004F:4", "651400000000004B:E458000000000061:E457000000000061:A3C100000000004F",
		"651400000000004B:0:E458000000000061:E457000000000061",
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("generations (-measured +gcrm):\n%s", diff)
	}
}

// TestLayoutExamples are figures measured with drbdmeta.
func TestLayoutExamples(t *testing.T) {
	for _, c := range []struct {
		size           uint64
		p              Placement
		stripes, block uint32
		super          uint64 // byte
		log, bitmap    int64
		meta           uint64
		data           uint64
	}{
		{4 << 30, Internal, 1, 8, 4294963200, -64, -320, 328, 8388280},
		{512 << 20, Internal, 1, 8, 536866816, -64, -96, 104, 1048472},
		{16 << 20, Internal, 1, 8, 16773120, -64, -72, 80, 32688},
		{33554945, Internal, 1, 8, 33550336, -64, -72, 80, 33550336/512 - 72},
		{8 << 20, Internal, 4, 16, 8384512, -512, -520, 528, 8384512/512 - 520},
		{1 << 20, Flexible, 1, 8, 0, 8, 72, 2048, (2048 - 72) * 32768},
		{257 << 20, 1, 1, 8, 134217728, 8, 72, 262144, (262144 - 72) * 32768},
	} {
		l, err := NewLayout(c.p, c.size, c.stripes, c.block)
		if err != nil {
			t.Errorf("%d %v: %v", c.size, c.p, err)
			continue
		}
		log, bitmap := int64(l.Log)-int64(l.Superblock), int64(l.Bitmap)-int64(l.Superblock)
		if l.Superblock*SectorSize != c.super || log != c.log || bitmap != c.bitmap || l.MetaSectors != c.meta || l.DataSectors != c.data {
			t.Errorf("%d %v: %+v", c.size, c.p, l)
		}
	}
	for _, c := range []struct {
		size uint64
		p    Placement
	}{{4095, Internal}, {8192, Internal}, {1<<20 - 1, Flexible}, {128<<20 - 1, 0}, {1 << 20, -1}, {1<<50 + 512, Internal}} {
		if l, err := NewLayout(c.p, c.size, 1, 8); err == nil {
			t.Errorf("%d %v is accepted: %+v", c.size, c.p, l)
		}
	}
}

// TestOpenRefuses names what is wrong with a device.
func TestOpenRefuses(t *testing.T) {
	const size = 16 << 20
	for _, c := range []struct {
		name   string
		change func(*Superblock)
		want   error
	}{
		{"no magic", func(s *Superblock) { s.Magic = 0 }, ErrNoMetadata},
		{"v07", func(s *Superblock) { s.Magic = Magic07 }, ErrWrongFormat},
		{"v09", func(s *Superblock) { s.Magic = Magic09 }, ErrWrongFormat},
		{"bitmap before the device", func(s *Superblock) { s.BitmapOffset = -1 << 30 }, ErrCorrupt},
		{"log elsewhere", func(s *Superblock) { s.LogOffset = -72 }, ErrCorrupt},
		{"log larger than its room", func(s *Superblock) { s.LogStripes = 2 }, ErrCorrupt},
		{"agreed size too large", func(s *Superblock) { s.AgreedSectors = 1 << 40 }, ErrCorrupt},
		{"bits of another size", func(s *Superblock) { s.BytesPerBit = 512 }, ErrCorrupt},
		{"area too large", func(s *Superblock) { s.MetaSectors = 81 }, ErrCorrupt},
	} {
		dev := &memory{data: make([]byte, size)}
		a, err := Create(dev, size, Internal, CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s := a.Super
		c.change(&s)
		if err := a.WriteSuperblock(s); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dev, size, Internal); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// FuzzOpen: no super block leads outside of the device or to a panic.
func FuzzOpen(f *testing.F) {
	const size = 1 << 20
	for _, p := range []Placement{Internal, Flexible} {
		dev := &memory{data: make([]byte, size)}
		a, err := Create(dev, size, p, CreateOptions{})
		if err != nil {
			f.Fatal(err)
		}
		s := a.Super
		s.AgreedSectors = 1000
		f.Add(s.Encode()[:96], p == Internal)
	}
	f.Fuzz(func(t *testing.T, super []byte, internal bool) {
		dev := &memory{data: make([]byte, size)}
		p, at := Flexible, 0
		if internal {
			p, at = Internal, size-BlockSize
		}
		copy(dev.data[at:], super[:min(len(super), 96)])
		a, err := Open(dev, size, p)
		if err != nil {
			return
		}
		if a.Super.AgreedSectors > 1<<32 {
			return // the bitmap would be large, not wrong
		}
		if _, err := a.ReadBitmap(); err != nil {
			t.Errorf("accepted, but the bitmap is unreadable: %v", err)
		}
		if _, err := a.ApplyLog(); err != nil && !errors.Is(err, ErrLogLost) {
			t.Errorf("accepted, but the log does not apply: %v", err)
		}
	})
}

// FuzzParseDump: what is read is restored or refused.
func FuzzParseDump(f *testing.F) {
	dev := &memory{data: make([]byte, 4<<20)}
	a, err := Create(dev, 4<<20, Internal, CreateOptions{})
	if err != nil {
		f.Fatal(err)
	}
	s := a.Super
	s.AgreedSectors = 4000
	if err := a.WriteSuperblock(s); err != nil {
		f.Fatal(err)
	}
	var text strings.Builder
	if err := a.Dump(&text, DumpOptions{RealFlags: true}); err != nil {
		f.Fatal(err)
	}
	f.Add(text.String())
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "la-size-sect") && len(text) > 4000 {
			return
		}
		d, err := ParseDump(strings.NewReader(text))
		if err != nil {
			if !strings.Contains(err.Error(), "metadata dump") {
				t.Errorf("error without a context: %v", err)
			}
			return
		}
		if d.Super.AgreedSectors > 1<<24 {
			return
		}
		_, _ = Restore(&memory{data: make([]byte, 4<<20)}, 4<<20, Internal, d)
	})
}
