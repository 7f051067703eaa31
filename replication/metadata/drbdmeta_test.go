package metadata

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// These tests compare with the real drbdmeta on loop devices; they skip without it.

func randomImage(r *rand.Rand, size int) []byte {
	b := make([]byte, size)
	for i := 0; i+8 <= size; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return b
}

func TestCreateLikeDrbdmeta(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, c := range []struct {
		size int
		p    Placement
		opts CreateOptions
		args []string
	}{
		{4 << 20, Internal, CreateOptions{}, nil},
		{5<<20 + 512, Internal, CreateOptions{}, nil},
		{9<<20 + 3*4096 + 1536, Internal, CreateOptions{LogStripes: 3, LogStripeBlocks: 8, PeerMaxBioSize: 4096},
			[]string{"--al-stripes", "3", "--al-stripe-size-kB", "32", "--peer-max-bio-size", "4096"}},
		{2 << 20, Flexible, CreateOptions{}, nil},
		{8<<20 + 512, Flexible, CreateOptions{LogStripes: 2, LogStripeBlocks: 16}, []string{"--al-stripes", "2", "--al-stripe-size-kB", "64"}},
		{129 << 20, 0, CreateOptions{}, nil},
	} {
		t.Run(fmt.Sprintf("%v-%d", c.p, c.size), func(t *testing.T) {
			image := randomImage(r, c.size)
			d := newDrbdmeta(t, image, c.p.String())
			if _, code := d.run(append([]string{"create-md"}, c.args...)...); code != 0 {
				t.Fatalf("drbdmeta create-md: exit %d", code)
			}
			dev := &memory{data: image}
			if _, err := Create(dev, uint64(c.size), c.p, c.opts); err != nil {
				t.Fatal(err)
			}
			firstDifference(t, d.image(), dev.data)
		})
	}
}

// fileDevice is a file as a device.
type fileDevice struct{ *os.File }

// TestDumpLikeDrbdmeta writes bitmaps of all kinds of texture and compares dumps.
func TestDumpLikeDrbdmeta(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, size := range []uint64{4 << 20, 300 << 20, 40 << 30} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			d := newDrbdmetaOfSize(t, int64(size), "internal")
			f, err := os.OpenFile(d.loop, os.O_RDWR|os.O_SYNC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			a, err := Create(fileDevice{f}, size, Internal, CreateOptions{DeviceUUID: r.Uint64()})
			if err != nil {
				t.Fatal(err)
			}
			for round := range 4 {
				s := a.Super
				s.AgreedSectors = a.Layout.DataSectors - uint64(round)*7
				s.UUID = Generations{r.Uint64(), r.Uint64(), [2]uint64{r.Uint64(), 0}}
				s.LogExtents = 1237
				if err := a.WriteSuperblock(s); err != nil {
					t.Fatal(err)
				}
				b := NewBitmap(s.AgreedSectors)
				for range 40 {
					at := r.Uint64N(b.Len())
					length := r.Uint64N(uint64([]int{3, 70, 1000, 300000}[r.IntN(4)]) + 1)
					b.SetRange(at, at+length)
				}
				// Runs of short length around the limits of the run notation.
				for w := uint64(0); w < 400 && (w+1)*wordBits < b.Len(); w++ {
					if w/uint64(1+r.IntN(6))%2 == 0 {
						b.SetRange(w*wordBits, w*wordBits+wordBits)
					}
				}
				b.TakeDirty(nil)
				b = b.Resize(s.AgreedSectors, false) // every page is dirty
				if err := a.WriteBitmap(b); err != nil {
					t.Fatal(err)
				}
				want, code := d.run("dump-md")
				if code != 0 {
					t.Fatalf("drbdmeta dump-md: exit %d", code)
				}
				var got strings.Builder
				if err := a.Dump(&got, DumpOptions{}); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(body(want), body(got.String())); diff != "" {
					t.Fatalf("round %d (-drbdmeta +gcrm):\n%.4000s", round, diff)
				}
				parsed, err := ParseDump(strings.NewReader(body(want)))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(b.Words(), parsed.Words[:len(b.Words())]); diff != "" {
					t.Fatalf("the bitmap changes in dump and parse:\n%.2000s", diff)
				}
			}
		})
	}
}

// TestApplyLogLikeDrbdmeta lets both replay logs of random histories, whole and
// with one torn block.
func TestApplyLogLikeDrbdmeta(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 3))
			const size = 160 << 20
			dev := &memory{data: make([]byte, size)}
			opts := CreateOptions{}
			if seed%3 == 1 {
				opts = CreateOptions{LogStripes: 2, LogStripeBlocks: 8}
			}
			a, err := Create(dev, size, Internal, opts)
			if err != nil {
				t.Fatal(err)
			}
			s := a.Super
			s.AgreedSectors = a.Layout.DataSectors
			s.Magic, s.Flags = MagicUnclean, FlagConsistent|FlagWasUpToDate|FlagPrimary
			if seed%4 == 3 {
				s.Flags &^= FlagPrimary
			}
			s.LogExtents = uint32([]int{7, 100, 1237, 2000}[r.IntN(4)])
			if err := a.WriteSuperblock(s); err != nil {
				t.Fatal(err)
			}
			set := NewActiveSet(a.Layout, int(s.LogExtents))
			extents := uint32(s.AgreedSectors / ExtentSectors)
			for range r.IntN(60) {
				first := r.Uint32N(extents)
				last := min(first+r.Uint32N(3), extents-1)
				if set.Hot(first, last) {
					set.Release(first, last)
					continue
				}
				tr, _, ok := set.Begin(first, last)
				if !ok {
					continue
				}
				if err := a.WriteLog(tr); err != nil {
					t.Fatal(err)
				}
				set.Commit()
				set.Release(first, last)
			}
			if seed%2 == 1 {
				block := a.Layout.Log + uint64(r.Uint32N(a.Layout.LogBlocks))*sectorsPerBlock
				dev.data[block*SectorSize+uint64(r.IntN(BlockSize))] ^= 0x55
			}
			d := newDrbdmeta(t, dev.data, "internal")
			_, code := d.run("apply-al")
			_, err = a.ApplyLog()
			if (code == 0) != (err == nil) {
				t.Fatalf("drbdmeta exit %d, gcrm %v", code, err)
			}
			firstDifference(t, d.image(), dev.data)
		})
	}
}

// TestFlagsLikeDrbdmeta compares get-gi, show-gi, dstate, outdate and invalidate for
// every combination of flags that can occur.
func TestFlagsLikeDrbdmeta(t *testing.T) {
	const size = 4 << 20
	d := newDrbdmeta(t, make([]byte, size), "internal")
	f, err := os.OpenFile(d.loop, os.O_RDWR|os.O_SYNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a, err := Create(fileDevice{f}, size, Internal, CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(4, 4))
	for round := range 40 {
		s := a.Super
		s.Flags = Flags(r.Uint32N(0x200))
		s.Magic = MagicClean
		if round%5 == 0 {
			s.Magic = MagicUnclean
		}
		s.AgreedSectors = []uint64{0, 8, 4000}[r.IntN(3)]
		s.PeerMaxBioSize = 1 << 20
		s.UUID.Current = r.Uint64()
		if err := a.WriteSuperblock(s); err != nil {
			t.Fatal(err)
		}
		for command, want := range map[string]string{"get-gi": s.GI() + "\n", "show-gi": s.ShowGI(), "dstate": s.DiskState().String() + "\n"} {
			got, code := d.run(command)
			if code != 0 || got != want {
				t.Errorf("flags %#x, %s: exit %d (-drbdmeta +gcrm):\n%s", s.Flags, command, code, cmp.Diff(got, want))
			}
		}
		if !s.Clean() {
			continue // drbdmeta refuses to change these
		}
		for command, change := range map[string]func(*Superblock) bool{
			"outdate": (*Superblock).Outdate, "invalidate": func(s *Superblock) bool { s.Invalidate(); return true },
		} {
			if err := a.WriteSuperblock(s); err != nil {
				t.Fatal(err)
			}
			want := s
			ok := change(&want)
			if _, code := d.run(command); ok != (code == 0) {
				t.Errorf("flags %#x, %s: drbdmeta exit %d, gcrm %v", s.Flags, command, code, ok)
			}
			after, err := Open(fileDevice{f}, size, Internal)
			if err != nil {
				t.Fatal(err)
			}
			if ok && after.Super != want {
				t.Errorf("flags %#x, %s (-drbdmeta +gcrm):\n%s", s.Flags, command, cmp.Diff(after.Super, want))
			}
		}
	}
}

func TestRestoreLikeDrbdmeta(t *testing.T) {
	const size = 40 << 20
	dev := &memory{data: make([]byte, size)}
	a, err := Create(dev, size, Internal, CreateOptions{DeviceUUID: 77, LogStripes: 2, LogStripeBlocks: 4})
	if err != nil {
		t.Fatal(err)
	}
	s := a.Super
	s.AgreedSectors, s.PeerMaxBioSize = 50000, 1<<20
	s.UUID = Generations{1, 2, [2]uint64{3, 4}}
	s.Flags |= FlagConsistent | FlagWasUpToDate
	if err := a.WriteSuperblock(s); err != nil {
		t.Fatal(err)
	}
	b := NewBitmap(s.AgreedSectors)
	b.SetRange(100, 1111)
	b.SetRange(b.Len()-3, b.Len())
	if err := a.WriteBitmap(b); err != nil {
		t.Fatal(err)
	}
	d := newDrbdmeta(t, make([]byte, size), "internal")
	for _, real := range []bool{false, true} {
		file := d.file + ".dump"
		var text strings.Builder
		if err := a.Dump(&text, DumpOptions{RealFlags: real}); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, code := d.run("restore-md", file); code != 0 {
			t.Fatalf("drbdmeta restore-md: exit %d", code)
		}
		want := d.image()
		parsed, err := ParseDump(strings.NewReader(text.String()))
		if err != nil {
			t.Fatal(err)
		}
		restored := &memory{data: make([]byte, size)}
		ra, err := Restore(restored, size, Internal, parsed)
		if err != nil {
			t.Fatal(err)
		}
		if real && ra.Super.Flags != s.Flags {
			t.Errorf("flags %#x restored as %#x", s.Flags, ra.Super.Flags)
		}
		// drbdmeta drops the flags of a dump; here the log is said to be clean, which it is.
		at := ra.Layout.Superblock*SectorSize + 56
		copy(want[at:at+4], restored.data[at:at+4])
		// And drbdmeta leaves the log without a valid block, for apply-al to repair.
		log := ra.Layout.Log * SectorSize
		copy(want[log:ra.Layout.Superblock*SectorSize], restored.data[log:])
		firstDifference(t, want, restored.data)
	}
}
