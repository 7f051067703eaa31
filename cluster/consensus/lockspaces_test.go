package consensus

import (
	"bytes"
	"io"
	"testing"

	"gcrm/drivers/dlm/lockspace"
)

// TestLockspacesFollowTheMembership: a lost node bars its lockspaces until it
// is down, and the table survives a snapshot.
func TestLockspacesFollowTheMembership(t *testing.T) {
	s := NewState()
	apply := func(cmd Command) {
		t.Helper()
		next, err := s.Apply(s.Index+1, cmd)
		if err != nil {
			t.Fatal(err)
		}
		s = next
	}
	say := func(kind lockspace.Kind, node int, generation uint64) {
		t.Helper()
		e := lockspace.Entry{Kind: kind, Life: lockspace.Life{Node: node, Boot: "boot"}, Generation: generation}
		if kind != lockspace.Hello {
			e.Space = "gfs"
		}
		apply(Command{Lockspace: &e})
	}
	member := func(name, id string, state MemberState) {
		t.Helper()
		apply(Command{Members: []Member{{Name: name, ID: id, State: state}}})
	}
	apply(Command{Level: FeatureLevel})
	member("node1", "1", Online)
	member("node2", "2", Online)
	say(lockspace.Hello, 1, 0)
	say(lockspace.Hello, 2, 0)
	say(lockspace.Join, 1, 0)
	say(lockspace.Stopped, 1, 1)
	say(lockspace.Join, 2, 0)
	say(lockspace.Stopped, 1, 2)
	say(lockspace.Stopped, 2, 2)
	runs := func() bool { g, _ := s.Lockspaces.Space("gfs"); return g.Running }
	if !runs() {
		t.Fatalf("%+v", s.Lockspaces)
	}
	member("node2", "2", Lost)
	say(lockspace.Stopped, 1, 3)
	if c := s.Lockspaces.Condemned(); runs() || len(c) != 1 || c[0] != 2 {
		t.Fatalf("%+v", s.Lockspaces)
	}
	for _, e := range []lockspace.Entry{{Kind: lockspace.Join, Life: lockspace.Life{Node: 2, Boot: "boot"}, Space: "gfs"}, {}} {
		if _, err := s.Apply(s.Index+1, Command{Lockspace: &e}); err == nil {
			t.Errorf("%+v was taken", e)
		}
	}
	var image bytes.Buffer
	m := newMachine()
	m.state = s
	snapshot, err := m.Snapshot()
	if err == nil {
		err = snapshot.Persist(&sink{Writer: &image})
	}
	back := newMachine()
	if err == nil {
		err = back.Restore(io.NopCloser(&image))
	}
	if err != nil {
		t.Fatal(err)
	}
	s = back.state
	member("node2", "2", Left) // which proves nothing
	if runs() {
		t.Fatalf("%+v", s.Lockspaces)
	}
	member("node2", "2", Down)
	if !runs() {
		t.Fatalf("%+v", s.Lockspaces)
	}
}

// sink is a snapshot in memory.
type sink struct{ io.Writer }

func (*sink) ID() string    { return "" }
func (*sink) Cancel() error { return nil }
func (*sink) Close() error  { return nil }
