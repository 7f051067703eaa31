package metadata

import (
	"fmt"
	"slices"
	"testing"
)

// TestMove moves internal metadata to the end of a device that grew, by much and by
// less than their own size, and finds set, bitmap and super block again.
func TestMove(t *testing.T) {
	const old = 16 << 20
	for _, size := range []uint64{old + 512, old + 4096, old + 40960, 64 << 20, 3 << 30} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			dev := &sparseDevice{blocks: map[int64][]byte{}}
			a, err := Create(dev, old, Internal, CreateOptions{DeviceUUID: 9})
			if err != nil {
				t.Fatal(err)
			}
			b := NewBitmap(a.Layout.DataSectors)
			b.SetRange(100, 130)
			set := NewActiveSet(a.Layout, 257)
			for _, e := range []uint32{0, 3, 1} {
				tr, _, ok := set.Begin(e, e)
				if !ok {
					t.Fatal("no transaction")
				}
				if err := a.WriteLog(tr); err != nil {
					t.Fatal(err)
				}
				set.Commit()
			}
			s := a.Super
			s.Magic, s.Flags, s.AgreedSectors = MagicUnclean, FlagPrimary|FlagConsistent, a.Layout.DataSectors
			l, err := a.Layout.Grown(size)
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Move(l, s, b, set.Rewrite(l)); err != nil {
				t.Fatal(err)
			}
			got, err := Open(dev, size, Internal)
			if err != nil {
				t.Fatal(err)
			}
			if got.Layout != l || got.Super.DeviceUUID != 9 {
				t.Errorf("layout %+v, want %+v", got.Layout, l)
			}
			if r := got.ReadLog(); !slices.Equal(r.Extents, []uint32{0, 1, 3}) {
				t.Errorf("active extents %v", r.Extents)
			}
			back, err := got.ReadBitmap()
			if err != nil {
				t.Fatal(err)
			}
			if back.Count() != 30 || !back.Test(100) || !back.Test(129) {
				t.Errorf("%d bits", back.Count())
			}
			// The next transaction is newer than those that moved.
			tr, _, _ := set.Begin(2, 2)
			if err := got.WriteLog(tr); err != nil {
				t.Fatal(err)
			}
			if r := got.ReadLog(); !slices.Equal(r.Extents, []uint32{0, 1, 2, 3}) {
				t.Errorf("active extents %v after one more", r.Extents)
			}
			if size >= 64<<20 {
				if _, err := Open(dev, old, Internal); err == nil {
					t.Error("the old metadata are still there")
				}
			}
		})
	}
	l, err := NewLayout(Internal, old, 1, 8)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Grown(old - 4096); err == nil {
		t.Error("a device that shrank was accepted")
	}
}

// sparseDevice keeps only blocks that were written.
type sparseDevice struct{ blocks map[int64][]byte }

func (d *sparseDevice) ReadAt(b []byte, off int64) (int, error) {
	for n := 0; n < len(b); n += BlockSize {
		clear(b[n:min(len(b), n+BlockSize)])
		copy(b[n:], d.blocks[off+int64(n)])
	}
	return len(b), nil
}

func (d *sparseDevice) WriteAt(b []byte, off int64) (int, error) {
	for n := 0; n < len(b); n += BlockSize {
		d.blocks[off+int64(n)] = slices.Clone(b[n:min(len(b), n+BlockSize)])
	}
	return len(b), nil
}

func (d *sparseDevice) Sync() error { return nil }
