package consensus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gcrm/cib"
)

func TestApplyAnywhereReadEverywhere(t *testing.T) {
	c := newCluster(t, 3, t.TempDir())
	c.leader()
	for i, name := range c.names {
		n := c.nodes[name]
		want := fmt.Sprint(i + 1)
		if _, err := n.Apply(within(t, 30*time.Second), NewRequest(), increment("count")); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		own, _ := n.State()
		if got := counter(own.CIB, "count"); got != want {
			t.Errorf("%s does not see its own write: %q, want %q", name, got, want)
		}
		for _, reader := range c.names {
			s, err := c.nodes[reader].Read(within(t, 30*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			if got := counter(s.CIB, "count"); got != want {
				t.Errorf("%s read %q after the acknowledgement of %q", reader, got, want)
			}
		}
	}
}

func TestConflict(t *testing.T) {
	c := newCluster(t, 3, t.TempDir())
	base := c.leader().current().machine.state.CIB.Version()
	results := make(chan error, 6)
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			_, err := c.nodes[c.names[i%3]].Apply(within(t, 30*time.Second), NewRequest(), configuration(base, fmt.Sprint(i)))
			results <- err
		})
	}
	wg.Wait()
	close(results)
	won := 0
	for err := range results {
		var conflict *cib.ConflictError
		switch {
		case err == nil:
			won++
		case !errors.Is(err, cib.ErrConflict) || !errors.As(err, &conflict) || conflict.Current.Epoch != base.Epoch+1:
			t.Errorf("loser got %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d of 6 changes from the same version were committed", won)
	}
	s, _ := c.leader().State()
	if len(s.History) != 1 || s.History[0].Version != s.CIB.Version() || s.History[0].Origin.User != "test" {
		t.Errorf("history: %+v", s.History)
	}
}

func TestRepeatedRequestAppliesOnce(t *testing.T) {
	c := newCluster(t, 3, t.TempDir())
	c.leader()
	id := NewRequest()
	var first Result
	for i := range 5 {
		r, err := c.nodes[c.names[i%3]].Apply(within(t, 30*time.Second), id, increment("once"))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = r
		} else if r != first {
			t.Errorf("repetition got %+v, the first %+v", r, first)
		}
	}
	// A snapshot carries the answers, too.
	if err := c.leader().Snapshot(); err != nil {
		t.Fatal(err)
	}
	for _, name := range c.names {
		c.kill(name)
	}
	for _, name := range c.names {
		c.start(name, c.names)
	}
	c.leader()
	if r, err := c.nodes["node1"].Apply(within(t, 30*time.Second), id, increment("once")); err != nil || r != first {
		t.Errorf("after a restart: %+v, %v", r, err)
	}
	s, _ := c.leader().State()
	if got := counter(s.CIB, "once"); got != "1" {
		t.Errorf("applied %s times", got)
	}
}

func TestRefusedCommand(t *testing.T) {
	c := newCluster(t, 3, t.TempDir())
	bad := Command{Change: &cib.Change{Configuration: &cib.ConfigurationChange{XML: "<nonsense/>"}}}
	_, err := c.follower().Apply(within(t, 30*time.Second), NewRequest(), bad)
	var refused *RefusedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("got %v", err)
	}
}

func TestNewLeaderAndNoMajority(t *testing.T) {
	c := newCluster(t, 3, t.TempDir())
	old := c.leader()
	if _, err := old.Apply(within(t, 30*time.Second), NewRequest(), increment("x")); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	c.kill(old.node)
	fresh := c.leader()
	took := time.Since(begin)
	t.Logf("new leader after %v", took)
	if took > 20*time.Second { // a busy machine takes its time
		t.Errorf("the new leader took %v", took)
	}
	if _, err := fresh.Apply(within(t, 30*time.Second), NewRequest(), increment("x")); err != nil {
		t.Fatal(err)
	}
	other := c.follower()
	if _, err := other.Read(within(t, 30*time.Second)); err != nil {
		t.Fatal(err)
	}
	c.kill(fresh.node)
	if _, err := other.Apply(within(t, time.Second), NewRequest(), increment("x")); err == nil {
		t.Error("one of three nodes committed a change")
	}
	if _, err := other.Read(within(t, 500*time.Millisecond)); !errors.Is(err, ErrNoLeader) {
		t.Errorf("linearizable read without a majority: %v", err)
	}
	// The one that is left still shows what it has.
	if s, _ := other.State(); counter(s.CIB, "x") != "2" {
		t.Errorf("local state: %q", counter(s.CIB, "x"))
	}
}

// A leader that is cut off neither commits nor answers linearizable reads, and
// all nodes see the same sequence of versions.
func TestPartition(t *testing.T) {
	c := newCluster(t, 3, t.TempDir())
	old := c.leader()
	var rest []string
	for _, n := range c.names {
		if n != old.node {
			rest = append(rest, n)
			c.separate(old.node, n)
		}
	}
	lost := make(chan error, 1)
	go func() {
		_, err := old.Apply(within(t, 20*time.Second), NewRequest(), increment("x"))
		lost <- err
	}()
	if _, err := c.nodes[rest[0]].Apply(within(t, 10*time.Second), NewRequest(), increment("x")); err != nil {
		t.Fatal(err)
	}
	if s, err := old.Read(within(t, 300*time.Millisecond)); err == nil {
		t.Errorf("the old leader answered a read with %q", counter(s.CIB, "x"))
	}
	c.heal()
	// The waiting change goes through after all, once.
	if err := <-lost; err != nil {
		t.Fatal(err)
	}
	if _, err := old.Read(within(t, 30*time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, name := range c.names {
		s, err := c.nodes[name].Read(within(t, 30*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if got := counter(s.CIB, "x"); got != "2" {
			t.Errorf("%s: x=%q, want 2", name, got)
		}
		n := c.nodes[name]
		n.mu.Lock()
		if !slices.IsSortedFunc(n.seen, cib.Version.Compare) {
			t.Errorf("%s saw versions out of order: %v", name, n.seen)
		}
		n.mu.Unlock()
	}
}

func TestRestartFromDisk(t *testing.T) {
	dir := t.TempDir()
	c := newCluster(t, 3, dir)
	base := cib.Version{}
	for i := range 5 {
		r, err := c.leader().Apply(within(t, 30*time.Second), NewRequest(), configuration(base, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		base = r.Version
		if i == 2 {
			if err := c.leader().Snapshot(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range c.names {
		c.kill(name)
	}
	for _, name := range c.names {
		c.start(name, c.names)
	}
	for _, name := range c.names {
		s, err := c.nodes[name].Read(within(t, 10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if s.CIB.Version() != base || len(s.History) != 5 || !strings.Contains(s.CIB.String(), `value="4"`) {
			t.Errorf("%s: version %v with %d revisions, want %v with 5", name, s.CIB.Version(), len(s.History), base)
		}
	}
}

// A node that starts without the others shows what it knew to be committed.
func TestAloneAfterRestartShowsThePast(t *testing.T) {
	c := newCluster(t, 3, t.TempDir())
	c.leader()
	n := c.nodes["node2"]
	for i := range 5 {
		if _, err := n.Apply(within(t, 30*time.Second), NewRequest(), increment("x")); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			if err := n.Snapshot(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range c.names {
		c.kill(name)
	}
	n = c.start("node2", c.names)
	// The last entries may not have been known to be committed on its disk.
	if s, _ := n.State(); counter(s.CIB, "x") < "3" || counter(s.CIB, "x") > "5" {
		t.Errorf("x=%q", counter(s.CIB, "x"))
	}
	if _, err := n.Read(within(t, 300*time.Millisecond)); !errors.Is(err, ErrNoLeader) {
		t.Errorf("linearizable read: %v", err)
	}
	c.start("node1", c.names)
	if s, err := n.Read(within(t, 30*time.Second)); err != nil || counter(s.CIB, "x") != "5" {
		t.Errorf("with a majority: %v, %v", s, err)
	}
}

func TestDamageIsNamed(t *testing.T) {
	dir := t.TempDir()
	c := newCluster(t, 1, dir)
	l := c.leader()
	for range 3 {
		if _, err := l.Apply(within(t, 30*time.Second), NewRequest(), increment("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Snapshot(); err != nil {
		t.Fatal(err)
	}
	c.kill("node1")
	snaps, _ := filepath.Glob(filepath.Join(dir, "node1", snapshotsDir, "*"+snapshotSuffix))
	if len(snaps) != 1 {
		t.Fatalf("snapshots: %v", snaps)
	}
	good, err := os.ReadFile(snaps[0])
	if err != nil {
		t.Fatal(err)
	}
	spoil := func(path string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		n, err := c.open("node1", nil)
		var d *DamageError
		if !errors.As(err, &d) || d.Path != path {
			t.Errorf("got %v", err)
		}
		if err == nil {
			n.wire.Close()
			n.Close()
		}
	}
	for _, at := range []int{0, 10, 40, len(good) / 2, len(good) - 1} {
		bad := slices.Clone(good)
		bad[at] ^= 0x10
		spoil(snaps[0], bad)
	}
	spoil(snaps[0], good[:len(good)/2])
	spoil(snaps[0], nil)
	if err := os.WriteFile(snaps[0], good, 0o600); err != nil {
		t.Fatal(err)
	}
	// A flipped bit in a log entry.
	db := filepath.Join(dir, "node1", logFile)
	data, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(data), `"Attribute"`)
	if at < 0 {
		t.Fatal("no log entry found in the file")
	}
	bad := slices.Clone(data)
	for i := at; i >= 0 && i < len(bad); {
		bad[i] ^= 1
		next := strings.Index(string(bad[i+1:]), `"Attribute"`)
		if next < 0 {
			break
		}
		i += 1 + next
	}
	spoil(db, bad)
	if err := os.WriteFile(db, data, 0o600); err != nil {
		t.Fatal(err)
	}
	c.start("node1", nil)
	if s, err := c.nodes["node1"].Read(within(t, 30*time.Second)); err != nil || counter(s.CIB, "x") != "3" {
		t.Errorf("repaired folder: %v", err)
	}
}

// A damaged snapshot that an older one and the log make up for is set aside.
func TestDamagedSnapshotIsMadeUpFor(t *testing.T) {
	dir := t.TempDir()
	c := newCluster(t, 1, dir)
	l := c.leader()
	for range 2 {
		if _, err := l.Apply(within(t, 30*time.Second), NewRequest(), increment("x")); err != nil {
			t.Fatal(err)
		}
		if err := l.Snapshot(); err != nil {
			t.Fatal(err)
		}
	}
	c.kill("node1")
	snaps, _ := filepath.Glob(filepath.Join(dir, "node1", snapshotsDir, "*"+snapshotSuffix))
	if len(snaps) != 2 {
		t.Fatalf("snapshots: %v", snaps)
	}
	for _, bad := range slices.Backward(snaps) { // an older one makes up for the newer one, and is needless beside it
		data, err := os.ReadFile(bad)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(bad, 100); err != nil {
			t.Fatal(err)
		}
		c.start("node1", nil)
		if s, err := c.nodes["node1"].Read(within(t, 30*time.Second)); err != nil || counter(s.CIB, "x") != "2" {
			t.Errorf("got %v", err)
		}
		c.kill("node1")
		if err := os.Rename(bad+".damaged", bad); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(bad, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSurvivorOfTwo(t *testing.T) {
	c := newCluster(t, 2, t.TempDir())
	lost := c.leader()
	if _, err := lost.Apply(within(t, 30*time.Second), NewRequest(), increment("x")); err != nil {
		t.Fatal(err)
	}
	survivor := c.follower()
	if err := survivor.Force(within(t, 30*time.Second), "", survivor.LastIndex(), Command{}); err == nil {
		t.Error("the electorate was forced without a proof")
	}
	// What the lost node has beyond the common past must not come back.
	c.separate(lost.node, survivor.node)
	orphan := make(chan error, 1)
	go func() {
		_, err := lost.Apply(within(t, 300*time.Millisecond), NewRequest(), increment("orphan"))
		orphan <- err
	}()
	if err := <-orphan; !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("a change without majority: %v", err)
	}
	c.kill(lost.node)
	begin := time.Now()
	if err := survivor.Force(within(t, 30*time.Second), "fenced before the last entry", survivor.LastIndex()-1, Command{}); !errors.Is(err, ErrMeanwhile) {
		t.Errorf("forced by a proof from before a quorum: %v", err)
	}
	if err := survivor.Force(within(t, 30*time.Second), "fenced by test at noon, power is off", survivor.LastIndex(), Command{}); err != nil {
		t.Fatal(err)
	}
	t.Logf("survivor leads after %v", time.Since(begin))
	if _, err := survivor.Apply(within(t, 30*time.Second), NewRequest(), increment("x")); err != nil {
		t.Fatal(err)
	}
	s, _ := survivor.State()
	if s.Epoch <= 1 || len(s.Forced) != 1 || s.Forced[0].Removed[0] != lost.node || counter(s.CIB, "x") != "2" {
		t.Errorf("state: epoch %d, %+v, x=%s", s.Epoch, s.Forced, counter(s.CIB, "x"))
	}
	// The lost one comes back, finds itself behind, and starts over.
	c.heal()
	back := c.start(lost.node, nil)
	if err := survivor.AddLearner(lost.node); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if s, _ := back.State(); s.Epoch > 1 && counter(s.CIB, "x") == "2" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the returned node did not catch up")
		}
	}
	if err := survivor.AddVoter(lost.node); err != nil {
		t.Fatal(err)
	}
	if _, err := back.Apply(within(t, 30*time.Second), NewRequest(), increment("x")); err != nil {
		t.Fatal(err)
	}
	b, err := back.Read(within(t, 30*time.Second))
	if err != nil || counter(b.CIB, "x") != "3" || counter(b.CIB, "orphan") != "" {
		t.Errorf("after the return: %v x=%q orphan=%q", err, counter(b.CIB, "x"), counter(b.CIB, "orphan"))
	}
}
