package consensus

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func TestFeatureLevels(t *testing.T) {
	s := on(t, NewState(), Command{Members: []Member{{Name: "a", State: Online, Level: 3}, {Name: "b", State: Online}, {Name: "c", State: Left, Level: 2}}})
	if s.Works() != 1 || s.Raise(s.Members) != 0 || strings.Join(s.Behind(3), " ") != "b c" {
		t.Errorf("level %d, raise %d, behind %v", s.Works(), s.Raise(s.Members), s.Behind(3))
	}
	trial := with(s, "gcrm", "resources", dummy("d"), time.Minute)
	if _, err := s.Apply(9, trial); err == nil || !strings.Contains(err.Error(), "update b first") {
		t.Errorf("a trial among old nodes: %v", err)
	}
	s = on(t, s, with(s, "gcrm", "resources", dummy("plain"), 0))
	s = on(t, s, Command{Members: []Member{{Name: "b", State: Online, Level: 3}}})
	if got := s.Raise(s.Members); got != 2 {
		t.Errorf("raise to %d", got)
	}
	s = on(t, s, Command{Level: 2})
	if _, err := s.Apply(9, with(s, "gcrm", "resources", dummy("d"), time.Minute)); err != nil {
		t.Errorf("a trial at level 2: %v", err)
	}
	// It never goes down, though an old node comes in.
	s = on(t, s, Command{Members: []Member{{Name: "d", State: Joining, Level: 1}}})
	s = on(t, s, Command{Level: 1})
	if s.Works() != 2 || s.Raise(s.Members) != 0 {
		t.Errorf("level %d after an old node came in", s.Works())
	}
	// A build that knows less stops rather than guess.
	m := newMachine()
	m.level = 1
	var fatal error
	m.fatal = func(err error) { fatal = err }
	data, err := encodeEntry(entry{Command: Command{Level: 2}})
	if err != nil {
		t.Fatal(err)
	}
	m.Apply(&raft.Log{Index: 1, Data: data})
	var old *TooOldError
	if !errors.As(fatal, &old) || old.Cluster != 2 || old.Build != 1 {
		t.Errorf("an old build: %v", fatal)
	}
	// Raft hands it what comes next all the same.
	if data, err = encodeEntry(entry{Command: Command{Members: []Member{{Name: "z", State: Online}}}}); err != nil {
		t.Fatal(err)
	}
	m.Apply(&raft.Log{Index: 2, Data: data})
	if state, _ := m.current(); state.Index != 0 {
		t.Error("the old build went on")
	}
	// Neither does it hang with a snapshot of such a cluster.
	newer := newMachine()
	if data, err = encodeEntry(entry{Command: Command{Level: 2}}); err != nil {
		t.Fatal(err)
	}
	newer.Apply(&raft.Log{Index: 1, Data: data})
	f, err := newer.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	sink := memorySink{}
	if err := f.Persist(&sink); err != nil {
		t.Fatal(err)
	}
	m, fatal = newMachine(), nil
	m.level, m.fatal = 1, func(err error) { fatal = err }
	if err := m.Restore(io.NopCloser(&sink)); !errors.As(err, &old) || !errors.As(fatal, &old) {
		t.Errorf("a snapshot on an old build: %v, %v", err, fatal)
	}
}

// memorySink is a snapshot in memory.
type memorySink struct{ bytes.Buffer }

func (*memorySink) ID() string    { return "s" }
func (*memorySink) Cancel() error { return nil }
func (*memorySink) Close() error  { return nil }
