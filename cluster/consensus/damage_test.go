package consensus

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

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
	t.Logf("%d damages named, %d made up for by another snapshot and the log, %d in unused places", named, healed, harmless)
	if named+healed == 0 {
		t.Error("no damage was noticed")
	}
}

var allBits = flag.Bool("all-bits", false, "TestEveryBitOfTheLog flips each bit of the file, not one in fifty-three")

// A bit of the log's file is flipped: the damage is noticed, or everything is
// there as it was written last. The pages that make up the file's structure
// have no checksums of their own.
func TestEveryBitOfTheLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), logFile)
	s, err := openLogStore(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	long := make([]byte, 700)
	store := func(from, to, term uint64) {
		t.Helper()
		var logs []*raft.Log
		for i := from; i <= to; i++ {
			logs = append(logs, &raft.Log{Index: i, Term: term, Data: long[:10+i*7%600]})
		}
		check(s.StoreLogs(logs))
	}
	// Pages of older states stay in the file, with other entries of the same
	// number, and with settings from before the last vote.
	check(s.SetUint64([]byte(SettingEpoch), 3))
	for i := range uint64(5) {
		store(1+i*8, 8+i*8, 1)
	}
	check(s.DeleteRange(30, 40))
	store(30, 36, 2)
	check(s.DeleteRange(1, 12))
	check(s.SetUint64(keyTerm, 2))
	check(s.SetUint64(keyTerm, 3))
	content := func(s *logStore) string {
		var b strings.Builder
		check(s.db.View(func(tx *bbolt.Tx) error {
			return tx.ForEach(func(name []byte, bucket *bbolt.Bucket) error {
				fmt.Fprintf(&b, "%s\n", name)
				return bucket.ForEach(func(k, v []byte) error {
					fmt.Fprintf(&b, "%q %q\n", k, v)
					return nil
				})
			})
		}))
		return b.String()
	}
	want := content(s)
	check(s.close())
	good, err := os.ReadFile(path)
	check(err)
	step := 53
	if *allBits {
		step = 1
	}
	noticed, harmless := 0, 0
	bad := path + ".bad"
	for bit := 0; bit < len(good)*8; bit += step {
		data := slices.Clone(good)
		data[bit/8] ^= 1 << (bit % 8)
		check(os.WriteFile(bad, data, 0o600))
		s, err := openLogStore(bad)
		var d *DamageError
		if errors.As(err, &d) {
			noticed++
			continue
		}
		if err != nil {
			t.Fatalf("bit %d of byte %d: %v", bit%8, bit/8, err)
		}
		if content(s) != want {
			t.Errorf("bit %d of byte %d: something else is there, and nothing is said", bit%8, bit/8)
		}
		harmless++
		check(s.close())
	}
	t.Logf("%d bytes: %d noticed, %d harmless", len(good), noticed, harmless)
	if noticed == 0 {
		t.Error("no damage was noticed")
	}
}

// The log goes on from a snapshot: without it, what it held is not taken for
// nothing.
func TestMissingSnapshotIsDamage(t *testing.T) {
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	f, err := openFiles(dir, log)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(f.StoreLogs([]*raft.Log{{Index: 1}, {Index: 2}, {Index: 3}}), f.DeleteRange(1, 2), f.Close())
	if err != nil {
		t.Fatal(err)
	}
	_, err = openFiles(dir, log)
	var d *DamageError
	if !errors.As(err, &d) || d.Path != filepath.Join(dir, snapshotsDir) {
		t.Errorf("got %v", err)
	}
}

// A file of the time before seals is taken over as it is, and sealed; one that has
// lost its seal is not.
func TestLogBeforeSeals(t *testing.T) {
	for _, format := range []byte{1, logFormat} {
		path := filepath.Join(t.TempDir(), logFile)
		s, err := openLogStore(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.StoreLogs([]*raft.Log{{Index: 1, Data: []byte("a")}, {Index: 2, Data: []byte("b")}}); err != nil {
			t.Fatal(err)
		}
		err = s.db.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(bucketLog))
			for i := range uint64(2) {
				v := slices.Clone(b.Get(key(i + 1)))
				v[0] = format
				body := v[:len(v)-logTail]
				if err := b.Put(key(i+1), binary.BigEndian.AppendUint32(slices.Clone(body), checksum(i+1, body))); err != nil {
					return err
				}
			}
			return tx.Bucket([]byte(bucketStable)).Delete([]byte(settingSeal))
		})
		if err := errors.Join(err, s.close()); err != nil {
			t.Fatal(err)
		}
		s, err = openLogStore(path)
		var d *DamageError
		if format == logFormat {
			if !errors.As(err, &d) {
				t.Errorf("without its seal: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // as it was, and with something new
			if last, err := s.LastIndex(); err != nil || last < 2 {
				t.Errorf("the log ends with %d, %v", last, err)
			}
			if err := errors.Join(s.StoreLog(&raft.Log{Index: 3}), s.close()); err != nil {
				t.Fatal(err)
			}
			if s, err = openLogStore(path); err != nil {
				t.Fatal(err)
			}
		}
		s.close()
	}
}
