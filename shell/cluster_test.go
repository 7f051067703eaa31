package shell

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// memoryCluster is a cluster whose replicated document lives in memory; it is
// always idle. Everything else of it is real: changes go through cib.Apply.
type memoryCluster struct {
	fakeAgents
	mu  sync.Mutex
	doc *cib.CIB
	log []cib.Change
	// before is called before a change is applied.
	before func(m *memoryCluster)
}

func newMemoryCluster(t testing.TB) *memoryCluster {
	t.Helper()
	doc, err := cib.Parse(`<cib validate-with="pacemaker-3.9" epoch="5" admin_epoch="0" num_updates="0"><configuration><crm_config>
		<cluster_property_set id="cib-bootstrap-options"><nvpair id="o-s" name="stonith-enabled" value="false"/></cluster_property_set></crm_config>
		<nodes><node id="1" uname="node1"/><node id="2" uname="node2"/></nodes><resources/><constraints/></configuration><status/></cib>`)
	if err != nil {
		t.Fatal(err)
	}
	return &memoryCluster{doc: doc}
}

func (m *memoryCluster) CIB(context.Context, bool) (*cib.CIB, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.doc, nil
}

func (m *memoryCluster) Apply(ctx context.Context, ch cib.Change) (cib.Version, error) {
	if f := m.before; f != nil {
		m.before = nil
		f(m)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	next, err := m.doc.Apply(ch)
	if err != nil {
		return cib.Version{}, err
	}
	m.doc = next
	m.log = append(m.log, ch)
	return next.Version(), nil
}

func (m *memoryCluster) Info(context.Context) (*client.Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &client.Info{Node: "node1", NodeID: "1", Leader: "node1", Quorate: true, Version: m.doc.Version(),
		Transition: client.Transition{Idle: true, ComputedAtVersion: m.doc.Version()}}, nil
}

func (m *memoryCluster) Watch(ctx context.Context) (<-chan client.Event, error) {
	return make(chan client.Event), nil
}

func (m *memoryCluster) Close() error { return nil }

func (m *memoryCluster) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.doc.Configuration().String()
}

// liveSession is a session on a memory cluster with its output.
func liveSession(t testing.TB, m *memoryCluster) (s *Session, out, errs *strings.Builder) {
	t.Helper()
	out, errs = &strings.Builder{}, &strings.Builder{}
	return NewSession(Config{Cluster: m, Source: "live/node1", Out: out, Err: errs}), out, errs
}

func TestScriptIsOneVersion(t *testing.T) {
	m := newMemoryCluster(t)
	s, _, errs := liveSession(t, m)
	if !s.RunScript(t.Context(), "x.crm", "configure\nprimitive a Dummy params ip=1\ncommit\nprimitive b Dummy params ip=2\ncommit -m \"two of them\"\n") {
		t.Fatal(errs)
	}
	if len(m.log) != 1 || m.doc.Version().Epoch != 6 || m.log[0].Origin.Message != "two of them" {
		t.Errorf("%d changes, version %s, %+v", len(m.log), m.doc.Version(), m.log)
	}
}

// A script with a mistake anywhere commits nothing, also not what stands
// before a command that acts on the running cluster.
func TestScriptWithMistakesCommitsNothing(t *testing.T) {
	for name, script := range map[string]string{
		"at the end":               "configure primitive a Dummy params ip=1\nbogus\n",
		"after a commit":           "configure\nprimitive a Dummy params ip=1\ncommit\nup\nbogus\n",
		"after looking at the run": "configure\nprimitive a Dummy params ip=1\ncommit\nup\nstatus\nbogus\n",
		"after waiting":            "configure\nprimitive a Dummy params ip=1\ncommit\nup\ncluster wait\nconfigure delete nosuch\n",
		"verification":             "configure\nprimitive a Dummy\n",
		"an open statement":        "configure\nprimitive a Dummy params ip=1 \\\n",
		"a status change":          "resource cleanup\nnode status-attr node1 set x 1\nbogus\n",
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemoryCluster(t)
			before := m.text()
			s, _, errs := liveSession(t, m)
			if s.RunScript(t.Context(), "x.crm", script) {
				t.Error("the script is taken for good")
			}
			if len(m.log) != 0 || m.text() != before {
				t.Errorf("%d changes were made", len(m.log))
			}
			if !strings.Contains(errs.String(), "ERROR: ") {
				t.Errorf("no error was shown: %s", errs)
			}
		})
	}
}

// Commands that look at what runs see the commits before them.
func TestScriptSendsCommitsBeforeLooking(t *testing.T) {
	m := newMemoryCluster(t)
	s, out, errs := liveSession(t, m)
	if !s.RunScript(t.Context(), "x.crm", "configure\nprimitive a Dummy params ip=1\nup\nstatus inactive\nresource stop a\nstatus inactive\n") {
		t.Fatal(errs)
	}
	if len(m.log) != 2 {
		t.Errorf("%d changes, want 2", len(m.log))
	}
	if n := strings.Count(out.String(), "Full List of Resources:"); n != 2 {
		t.Errorf("the status was shown %d times:\n%s", n, out)
	}
	if !strings.Contains(out.String(), "Stopped (disabled)") {
		t.Errorf("got\n%s", out)
	}
}

// A script may wait, look, and go on editing.
func TestScriptGoesOnAfterWaiting(t *testing.T) {
	m := newMemoryCluster(t)
	s, out, errs := liveSession(t, m)
	if !s.RunScript(t.Context(), "x.crm", "configure primitive a Dummy params ip=1\ncluster wait\ncluster status\nresource\nstop a\nlocate a\nup\nconfigure\ndelete a\n") {
		t.Fatal(errs)
	}
	if len(m.log) != 3 || strings.Contains(m.text(), `id="a"`) {
		t.Errorf("%d changes\n%s", len(m.log), m.text())
	}
	if n := strings.Count(out.String(), "leader node1"); n != 1 || !strings.Contains(out.String(), "resource a is NOT running") {
		t.Errorf("got %d times the leader:\n%s", n, out)
	}
}

// Two people change different objects: both changes land. They change the
// same: the second is told.
func TestCommitMergesOrTellsTheConflict(t *testing.T) {
	other := func(script string) func(*memoryCluster) {
		return func(m *memoryCluster) {
			s, _, errs := liveSession(t, m)
			if !s.RunScript(t.Context(), "other.crm", script) {
				t.Fatal(errs)
			}
		}
	}
	m := newMemoryCluster(t)
	s, _, errs := liveSession(t, m)
	m.before = other("configure primitive theirs Dummy params ip=1\n")
	run := func(lines ...string) {
		t.Helper()
		for _, l := range lines {
			s.run(t.Context(), &sourceLine{line: readTestLine(l), text: l})
		}
	}
	run("configure", "primitive mine Dummy params ip=2", "commit")
	if x := m.text(); !strings.Contains(x, `id="mine"`) || !strings.Contains(x, `id="theirs"`) {
		t.Errorf("one change is lost: %s\n%s", errs, x)
	}
	m.before = other("configure set mine.ip 4\n")
	run("set mine.ip 3", "commit")
	if !strings.Contains(errs.String(), "mine") || !strings.Contains(errs.String(), "not committed") || strings.Contains(m.text(), `value="3"`) {
		t.Errorf("the conflict went by: %s", errs)
	}
	if !s.changed() {
		t.Error("the staged change is gone")
	}
}

func TestCommitReplaceRefusesAfterAChange(t *testing.T) {
	m := newMemoryCluster(t)
	s, _, errs := liveSession(t, m)
	m.before = func(m *memoryCluster) {
		o, _, _ := liveSession(t, m)
		o.RunScript(t.Context(), "o", "configure primitive theirs Dummy params ip=1\n")
	}
	for _, l := range []string{"configure", "primitive mine Dummy params ip=2", "commit replace"} {
		s.run(t.Context(), &sourceLine{line: readTestLine(l), text: l})
	}
	if strings.Contains(m.text(), `id="mine"`) || !strings.Contains(errs.String(), "CIB changed in the meantime") {
		t.Errorf("%s", errs)
	}
}

// A resource command outside configure commits at once; with changes pending
// it is staged with them.
func TestResourceCommandsCommitAtOnce(t *testing.T) {
	m := newMemoryCluster(t)
	s, out, errs := liveSession(t, m)
	for _, l := range []string{"configure", "primitive a Dummy params ip=2", "commit", "up", "resource stop a"} {
		s.run(t.Context(), &sourceLine{line: readTestLine(l), text: l})
	}
	if !strings.Contains(m.text(), `value="Stopped"`) {
		t.Errorf("%s\n%s", errs, m.text())
	}
	for _, l := range []string{"configure primitive c Dummy params ip=4"} {
		s.run(t.Context(), &sourceLine{line: readTestLine(l), text: l})
	}
	if !strings.Contains(m.text(), `id="c"`) {
		t.Error("a line through configure and back was not committed")
	}
	for _, l := range []string{"configure primitive d Dummy"} { // refused: ip is required
		s.run(t.Context(), &sourceLine{line: readTestLine(l), text: l})
	}
	if strings.Contains(m.text(), `id="d"`) || s.changed() {
		t.Error("a refused line is committed or left behind")
	}
	s.edit(t.Context(), func(work *cib.CIB) error {
		work.Section("resources").Child("primitive").Set("description", "pending")
		return nil
	})
	for _, l := range []string{"resource start a"} {
		s.run(t.Context(), &sourceLine{line: readTestLine(l), text: l})
	}
	if !strings.Contains(out.String(), "is staged with the other changes") || strings.Contains(m.text(), `value="Started"`) {
		t.Errorf("%s", out)
	}
}

// An error in an edit leaves what is staged as it was.
func TestFailedEditLeavesTheStagedDocument(t *testing.T) {
	m := newMemoryCluster(t)
	s, _, _ := liveSession(t, m)
	s.cfg.Interactive = true
	run := func(l string) bool { return s.run(t.Context(), &sourceLine{line: readTestLine(l), text: l}) }
	run("configure")
	run("primitive a Dummy params ip=2")
	run("primitive b Dummy params ip=2")
	run("group g a")
	before := s.staged.work.String()
	for _, l := range []string{"group h a", "delete b nosuch", "rename a b", "modgroup g add nosuch", "set a.nosuch 1", "primitive a Dummy", "group k b b"} {
		if run(l) {
			t.Errorf("%q is accepted", l)
		}
		if after := s.staged.work.String(); after != before {
			t.Fatalf("%q changed what is staged:\n%s", l, unifiedDiff(before, after, palette{}))
		}
	}
}

func TestSettlingGivesUp(t *testing.T) {
	m := &stuckCluster{newMemoryCluster(t)}
	now := testClock()
	w := Settling{Cluster: m, Quiet: 5, Now: now}
	err := w.Wait(t.Context(), nil)
	if !errors.Is(err, ErrUnsettled) || !strings.Contains(fmt.Sprint(err), "web_start_0 on node1") {
		t.Errorf("got %v", err)
	}
}

// stuckCluster never gets on with its transition.
type stuckCluster struct{ *memoryCluster }

func (s *stuckCluster) Info(ctx context.Context) (*client.Info, error) {
	return &client.Info{Leader: "node1", Quorate: true, Transition: client.Transition{Number: 1, Total: 3, Running: []string{"web_start_0 on node1"}}}, nil
}

// Commands of the level either ask a running cluster or are about this host.
func TestAsksCluster(t *testing.T) {
	for _, v := range clusterLevel().Verbs {
		host := len(v.Args) > 0 && v.Args[0].Name == hostArgs()[0].Name
		if AsksCluster(v.Name) == host {
			t.Errorf("%s: asks the cluster %v, is about this host %v", v.Name, !host, host)
		}
	}
	if !AsksCluster("wait_for_startup") || AsksCluster("dance") {
		t.Error("another name of a command, and no command")
	}
}
