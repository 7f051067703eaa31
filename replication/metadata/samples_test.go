package metadata

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func open(t testing.TB, dev *memory, p Placement) *Area {
	t.Helper()
	a, err := Open(dev, uint64(len(dev.data)), p)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func dumpText(t testing.TB, a *Area) string {
	t.Helper()
	var b strings.Builder
	if err := a.Dump(&b, DumpOptions{Unclean: true}); err != nil {
		t.Fatal(err)
	}
	return body(b.String())
}

// TestCreateEqualsSamples: metadata that drbdmeta created is created here byte for byte.
func TestCreateEqualsSamples(t *testing.T) {
	dir := sharedDir(t, "reference/drbd-samples")
	for _, c := range []struct {
		name      string
		placement Placement
		opts      CreateOptions
	}{
		{"int-4MiB", Internal, CreateOptions{}},
		{"int-stripes-8MiB", Internal, CreateOptions{LogStripes: 4, LogStripeBlocks: 16}},
		{"flexext-1MiB", Flexible, CreateOptions{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := gunzip(t, filepath.Join(dir, c.name+".img.gz"))
			dev := &memory{data: make([]byte, len(want))}
			a, err := Create(dev, uint64(len(want)), c.placement, c.opts)
			if err != nil {
				t.Fatal(err)
			}
			firstDifference(t, want, dev.data)
			again := open(t, dev, c.placement)
			if again.Layout != a.Layout || again.Super != a.Super {
				t.Errorf("created %+v, opened %+v", a, again)
			}
			text, err := os.ReadFile(filepath.Join(dir, c.name+".dump"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(body(string(text)), dumpText(t, again)); diff != "" {
				t.Errorf("dump (-drbdmeta +gcrm):\n%s", diff)
			}
		})
	}
}

// TestApplyLogEqualsSample: the image of a crashed Primary becomes what drbdmeta
// apply-al made of it.
func TestApplyLogEqualsSample(t *testing.T) {
	dir := sharedDir(t, "reference/drbd-samples")
	dev := &memory{data: gunzip(t, filepath.Join(dir, "crashed-primary-16MiB.img.gz"))}
	a := open(t, dev, Internal)
	if a.Super.Clean() || !a.Super.CrashedPrimary() {
		t.Errorf("super block %+v is not taken for that of a crashed primary", a.Super)
	}
	forced := string(gunzip(t, filepath.Join(dir, "crashed-primary-16MiB.forced-dump.gz")))
	head, _, _ := strings.Cut(body(forced), "# al {\n")
	if diff := cmp.Diff(head, dumpText(t, a)); diff != "" {
		t.Errorf("forced dump (-drbdmeta +gcrm):\n%s", diff)
	}
	if err := a.Dump(&bytes.Buffer{}, DumpOptions{}); !errors.Is(err, ErrUnclean) {
		t.Errorf("dump of unclean metadata: %v", err)
	}
	r, err := a.ApplyLog()
	if err != nil {
		t.Fatal(err)
	}
	if r.NewBits != 2048 || !r.CrashedPrimary || len(r.Log.Extents) != 2 || r.Log.Updates != 4 {
		t.Errorf("applied %+v", r)
	}
	firstDifference(t, gunzip(t, filepath.Join(dir, "after-apply-al-16MiB.img.gz")), dev.data)
	text, err := os.ReadFile(filepath.Join(dir, "after-apply-al-16MiB.dump"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(body(string(text)), dumpText(t, open(t, dev, Internal))); diff != "" {
		t.Errorf("dump (-drbdmeta +gcrm):\n%s", diff)
	}
	if r, err := a.ApplyLog(); err != nil || !r.AlreadyClean {
		t.Errorf("a second time: %+v, %v", r, err)
	}
}

// TestKernelArea reads the metadata area that kernel DRBD left, with dirty bits.
func TestKernelArea(t *testing.T) {
	dir := sharedDir(t, "lab/samples/drbd84")
	area := gunzip(t, filepath.Join(dir, "metadata-area-dirty.node1.bin.gz"))
	const size = 512 << 20
	dev := &memory{data: make([]byte, size)}
	copy(dev.data[size-len(area):], area)
	a := open(t, dev, Internal)
	text, err := os.ReadFile(filepath.Join(dir, "dump-md-3-dirty.node1.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(body(string(text)), dumpText(t, a)); diff != "" {
		t.Errorf("dump (-drbdmeta +gcrm):\n%s", diff)
	}
	if a.Layout.DataSectors != 1048472 || a.Super.LogExtents != 1237 {
		t.Errorf("layout %+v, super block %+v", a.Layout, a.Super)
	}
}

// TestKernelDumpsRestore: dumps of the lab are read, restored and printed alike.
func TestKernelDumpsRestore(t *testing.T) {
	dir := sharedDir(t, "lab/samples/drbd84")
	for _, name := range []string{"dump-md-0-created.node1.txt", "dump-md-2-clean.node1.txt", "dump-md-2-clean.node2.txt", "dump-md-3-dirty.node1.txt"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		d, err := ParseDump(strings.NewReader(body(string(text))))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		dev := &memory{data: make([]byte, 512<<20)}
		a, err := Restore(dev, uint64(len(dev.data)), Internal, d)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		// The size of the active set is a comment in a dump, and so is not restored.
		want := strings.Replace(body(string(text)), "# al-extents 1237;", "# al-extents 257;", 1)
		if diff := cmp.Diff(want, dumpText(t, a)); diff != "" {
			t.Errorf("%s (-dump +restored):\n%s", name, diff)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "dump-md-1-used.node1.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseDump(strings.NewReader(body(string(text)))); !errors.Is(err, ErrUnclean) {
		t.Errorf("dump of unclean metadata: %v", err)
	}
}
