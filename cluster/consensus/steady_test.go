package consensus

import (
	"errors"
	"log/slog"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// faulty is a storage whose disk can be full.
type faulty struct {
	*files
	full bool
}

func (f *faulty) StoreLogs(l []*raft.Log) error {
	if f.full {
		return syscall.ENOSPC
	}
	return f.files.StoreLogs(l)
}

func (f *faulty) SetUint64(k []byte, v uint64) error {
	if f.full {
		return syscall.ENOSPC
	}
	return f.files.SetUint64(k, v)
}

func newSteady(t *testing.T) (*steady, *faulty, chan struct{}) {
	files, err := openFiles(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { files.Close() })
	disk, restarted := &faulty{files: files}, make(chan struct{}, 1)
	return &steady{Storage: disk, stop: make(chan struct{}), failed: func(error) {}, restart: func() { restarted <- struct{}{} }}, disk, restarted
}

func entries(from, to uint64) []*raft.Log {
	var out []*raft.Log
	for i := from; i <= to; i++ {
		out = append(out, &raft.Log{Index: i, Term: 1, Type: raft.LogNoop})
	}
	return out
}

func voters(names ...string) raft.Configuration {
	return servers(names)
}

func store(t *testing.T, s *steady, from, to uint64) {
	t.Helper()
	if err := s.StoreLogs(entries(from, to)); err != nil {
		t.Fatal(err)
	}
}

func snap(t *testing.T, s *steady, index uint64, conf raft.Configuration) {
	t.Helper()
	k, err := s.Create(1, index, 1, conf, 1, nil)
	if err == nil {
		err = k.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A snapshot that ends before the log does takes its place: raft has to start
// again, since it does not notice that its log is gone.
func TestSnapshotShorterThanTheLog(t *testing.T) {
	s, _, restarted := newSteady(t)
	store(t, s, 1, 20)
	snap(t, s, 10, voters("a"))
	if err := s.DeleteRange(1, 20); err != nil {
		t.Fatal(err)
	}
	select {
	case <-restarted:
	case <-time.After(10 * time.Second):
		t.Fatal("raft goes on with a log that it thinks ends at 20")
	}
	if err := s.StoreLogs(entries(21, 21)); err == nil {
		t.Error("entry 21 was stored after a snapshot at 10 and an empty log")
	}
	store(t, s, 11, 12)
}

// A crash between a snapshot and the removal of the log leaves entries that
// the snapshot covers; they must not end up before a gap.
func TestLogBeforeASnapshotGivesWay(t *testing.T) {
	s, _, _ := newSteady(t)
	store(t, s, 1, 5)
	snap(t, s, 30, voters("a"))
	if err := s.StoreLogs(entries(32, 32)); err == nil {
		t.Error("entry 32 was stored, and 31 is missing")
	}
	store(t, s, 31, 33)
	first, err := s.FirstIndex()
	if err != nil || first != 31 {
		t.Errorf("the log begins with %d: %v", first, err)
	}
}

// The term of the entry before the log is known from the snapshot, and only that of
// the entry it ends with.
func TestEntryBeforeTheLog(t *testing.T) {
	s, _, _ := newSteady(t)
	k, err := s.Create(1, 25, 3, voters("a"), 1, nil)
	if err == nil {
		err = k.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	store(t, s, 26, 35)
	for index, want := range map[uint64]uint64{24: 0, 25: 3, 26: 1, 35: 1, 36: 0} {
		var l raft.Log
		if err := s.GetLog(index, &l); (err == nil) != (want > 0) || l.Term != want || want > 0 && l.Index != index {
			t.Errorf("entry %d: %+v, %v; want term %d", index, l, err, want)
		}
	}
}

func TestPossibleElectorates(t *testing.T) {
	s, _, _ := newSteady(t)
	change := func(index uint64, names ...string) {
		t.Helper()
		if err := s.StoreLogs([]*raft.Log{{Index: index, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(voters(names...))}}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(committed uint64, want ...[]string) {
		t.Helper()
		var got [][]string
		for _, e := range s.possible(committed) {
			got = append(got, e.voters)
		}
		if !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("committed up to %d: %v, want %v", committed, got, want)
		}
	}
	ab, abc, bc := []string{"a", "b"}, []string{"a", "b", "c"}, []string{"b", "c"}
	change(1, ab...)
	store(t, s, 2, 4)
	change(5, abc...)
	change(6, bc...)
	want(4, ab, abc, bc)
	want(5, abc, bc)
	want(9, bc)
	if err := s.DeleteRange(6, 6); err != nil {
		t.Fatal(err)
	}
	want(5, abc)
	again := &steady{Storage: s.Storage}
	if err := again.findElectorates(); err != nil {
		t.Fatal(err)
	}
	s = again
	want(4, ab, abc)
}

// A full disk is remembered from its first failure to its next success, and
// storing the term waits for space.
func TestFullDisk(t *testing.T) {
	s, disk, _ := newSteady(t)
	store(t, s, 1, 1)
	disk.full = true
	if err := s.StoreLogs(entries(2, 2)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk: %v", err)
	}
	since, err := s.failing()
	if since.IsZero() || err == nil {
		t.Error("the failure is not remembered")
	}
	if err := s.SetUint64([]byte("LastVoteTerm"), 1); err == nil {
		t.Error("a vote was promised that is not stored")
	}
	over := make(chan struct{})
	close(over)
	s.stop = over
	if err := s.SetUint64(keyTerm, 7); err != nil {
		t.Errorf("the end of raft would be a panic: %v", err)
	}
	disk.full = false
	store(t, s, 2, 2)
	if since, err := s.failing(); !since.IsZero() || err != nil {
		t.Errorf("still failing since %v: %v", since, err)
	}
}
