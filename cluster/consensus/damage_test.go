package consensus

import (
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"gcrm/cib"
)

var damages = flag.Int("damages", 20, "flipped bytes and torn files that TestDamageNeverGoesUnseen tries")

// Any byte of a node's files is flipped, or their end is missing. Either the
// node says which file is damaged, or it has what it had: never a document that
// nobody committed.
func TestDamageNeverGoesUnseen(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 7))
	dir := t.TempDir()
	c := newCluster(t, 1, dir)
	l := c.leader()
	base := cib.Version{}
	for i := range 12 {
		res, err := l.Apply(within(t, 10*time.Second), NewRequest(), configuration(base, string(rune('a'+i))))
		if err != nil {
			t.Fatal(err)
		}
		base = res.Version
		if i == 3 || i == 7 {
			if err := l.Snapshot(); err != nil {
				t.Fatal(err)
			}
		}
	}
	s, _ := l.State()
	want := s.CIB.String()
	c.kill("node1")
	files, err := filepath.Glob(filepath.Join(dir, "node1", snapshotsDir, "*"+snapshotSuffix))
	if err != nil || len(files) == 0 {
		t.Fatalf("snapshots: %v, %v", files, err)
	}
	files = append(files, filepath.Join(dir, "node1", logFile))
	good := map[string][]byte{}
	for _, f := range files {
		if good[f], err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	named, healed, harmless := 0, 0, 0
	for range *damages {
		f := files[r.IntN(len(files))]
		bad := slices.Clone(good[f])
		at := r.IntN(len(bad))
		how := "flipped"
		if r.IntN(4) == 0 {
			bad, how = bad[:at], "torn"
		} else {
			bad[at] ^= 1 << r.IntN(8)
		}
		if err := os.WriteFile(f, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		n, err := c.open("node1", nil)
		var d *DamageError
		switch {
		case errors.As(err, &d):
			if d.Path != f {
				t.Errorf("%s %s at %d: the damage is said to be in %s", f, how, at, d.Path)
			}
			named++
		case err != nil:
			t.Errorf("%s %s at %d: %v", f, how, at, err)
		default:
			got, err := n.Read(within(t, 10*time.Second))
			if err != nil {
				t.Errorf("%s %s at %d: %v", f, how, at, err)
			} else if got.CIB.String() != want {
				t.Errorf("%s %s at %d: the node has another document:\n%s", f, how, at, got.CIB)
			}
			if _, err := os.Stat(f + ".damaged"); err == nil {
				healed++
			} else {
				harmless++
			}
			c.kill("node1")
		}
		// Back to how it was, whatever the node did meanwhile.
		now, _ := filepath.Glob(filepath.Join(dir, "node1", snapshotsDir, "*"))
		for _, f := range now {
			os.Remove(f)
		}
		for f, data := range good {
			if err := os.WriteFile(f, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d damages named, %d made up for by an older snapshot and the log, %d in unused places", named, healed, harmless)
	if named == 0 {
		t.Error("no damage was noticed")
	}
}
