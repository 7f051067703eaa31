package metadata

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

// cached is a device whose cache is lost when it dies: every sector that was written and
// not synced is there or not.
type cached struct {
	memory
	safe  []byte
	dirty map[int64]bool // sectors
	steps int
	last  int // steps that succeed
}

func newCached(data []byte) *cached {
	return &cached{memory: memory{data: slices.Clone(data)}, safe: slices.Clone(data), dirty: map[int64]bool{}, last: 1 << 30}
}

func (c *cached) WriteAt(b []byte, off int64) (int, error) {
	if c.steps++; c.steps > c.last {
		return 0, errDead
	}
	for at := off; at < off+int64(len(b)); at += SectorSize {
		c.dirty[at/SectorSize] = true
	}
	return c.memory.WriteAt(b, off)
}

func (c *cached) Sync() error {
	if c.steps++; c.steps > c.last {
		return errDead
	}
	for n := range c.dirty {
		copy(c.safe[n*SectorSize:(n+1)*SectorSize], c.data[n*SectorSize:])
	}
	clear(c.dirty)
	return nil
}

// crash is the loss of power.
func (c *cached) crash(r *rand.Rand, keep float64) {
	lost := make([]int64, 0, len(c.dirty))
	for n := range c.dirty {
		lost = append(lost, n)
	}
	slices.Sort(lost)
	for _, n := range lost {
		from, to := c.data, c.safe
		if r.Float64() >= keep {
			from, to = to, from
		}
		copy(to[n*SectorSize:(n+1)*SectorSize], from[n*SectorSize:])
	}
	clear(c.dirty)
	c.steps, c.last = 0, 1<<30
}

func openOn(t testing.TB, dev Device, size uint64) *Area {
	t.Helper()
	a, err := Open(dev, size, Internal)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestApplyLogLosesPower: the disk loses power, or only the process is killed, anywhere in
// ApplyLog, several times in a row. The next one finds what it needs, and in the end every
// extent of the log is marked.
func TestApplyLogLosesPower(t *testing.T) {
	base, a := crashedPrimary(t)
	for i := range a.Layout.LogBlocks {
		tr := Transaction{Number: i + 100, Size: 67, Context: []uint32{0, 1, 2}}
		if err := a.WriteLog(tr); err != nil {
			t.Fatal(err)
		}
	}
	dev, meta := newCached(base.data), a.Layout.Bitmap*SectorSize
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 3))
		copy(dev.data[meta:], base.data[meta:])
		copy(dev.safe[meta:], base.data[meta:])
		for range r.IntN(4) {
			dev.last = r.IntN(30)
			if _, err := openOn(t, dev, uint64(len(base.data))).ApplyLog(); err != nil && !errors.Is(err, errDead) {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if dev.last = 1 << 30; r.IntN(3) > 0 {
				dev.crash(r, r.Float64())
			}
			dev.steps = 0
		}
		if _, err := openOn(t, dev, uint64(len(base.data))).ApplyLog(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		dev.crash(r, 0)
		b, err := openOn(t, dev, uint64(len(base.data))).ReadBitmap()
		if err != nil {
			t.Fatal(err)
		}
		for e := range uint64(3) {
			end := min((e+1)*BitsPerExtent, b.Len())
			if got := b.CountRange(e*BitsPerExtent, end); got != end-e*BitsPerExtent {
				t.Fatalf("seed %d: extent %d has %d bits", seed, e, got)
			}
		}
	}
}
