package shell

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/scheduler"
)

// The situations of testdata/why: what an administrator asks about, and the
// answer. A folder has the cluster (script.crm, or cib.xml with its status),
// events that bring it into the situation, and the question: lines of the
// shell. The truth of want.txt is checked by hand; note.txt, where there is one,
// says how. After a change that is right, rewrite with -situations.rewrite and
// read the differences.
//
// Lines of events:
//
//	settle [-F OPERATION=RC]      the cluster does what is to be done
//	-f node1                      options of simulate: what happens
//	attribute NODE NAME VALUE     a transient attribute is set
//	state NODE NAME VALUE         an attribute of its node_state is set
//	pending RESOURCE TASK NODE    an operation has begun and not ended
//	later 1h                      time passes
var rewriteSituations = flag.Bool("situations.rewrite", false, "write the answers of testdata/why anew")

// situation is a cluster in the making.
type situation struct {
	t   *testing.T
	doc *cib.CIB
	now time.Time
}

func loadSituation(t *testing.T, dir string) *situation {
	t.Helper()
	s := &situation{t: t, now: time.Unix(1700000000, 0).UTC()}
	path := filepath.Join(t.TempDir(), "cib.xml")
	if b, err := os.ReadFile(filepath.Join(dir, "cib.xml")); err == nil {
		s.write(path, b)
	} else {
		script, err := os.ReadFile(filepath.Join(dir, "script.crm"))
		if err != nil {
			t.Fatal(err)
		}
		s.load(path, string(script))
	}
	s.read(path)
	return s
}

func (s *situation) read(path string) {
	doc, err := cib.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	s.doc = doc
}

// play lets the events of a folder happen, asks its question and compares the
// answer.
func (s *situation) play(dir string) {
	t := s.t
	question, err := os.ReadFile(filepath.Join(dir, "question"))
	if err != nil {
		t.Fatal(err)
	}
	events, _ := os.ReadFile(filepath.Join(dir, "events"))
	for line := range strings.Lines(string(events)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			s.happen(line)
		}
	}
	s.compareWithPeer()
	s.compare(filepath.Join(dir, "want.txt"), s.ask(string(question)))
	if drawing := filepath.Join(dir, "want.svg"); fileExists(drawing) {
		plan, err := scheduler.Schedule(s.doc, scheduler.Options{Now: s.now})
		if err != nil {
			t.Fatal(err)
		}
		s.compare(drawing, plan.SVG())
	}
}

// compare compares with what a file has, or writes it anew.
func (s *situation) compare(file, got string) {
	if *rewriteSituations {
		s.write(file, []byte(got))
		return
	}
	b, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	if string(b) != got {
		s.t.Errorf("%s: %s", file, unifiedDiff(string(b), got, palette{}))
	}
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// compareWithPeer checks, where Pacemaker's own simulator is installed, that
// the situation is what Pacemaker makes of it too: what is explained is the
// truth, not only what this program believes.
func (s *situation) compareWithPeer() {
	peer, err := exec.LookPath("crm_simulate")
	if err != nil {
		s.t.Log("crm_simulate (Debian: pacemaker-cli-utils) is not installed: the situation is not compared with it")
		return
	}
	doc := s.doc.Clone()
	doc.Root.Set("crm_feature_set", "3.16.0")
	doc.Root.Set("execution-date", strconv.FormatInt(s.now.Unix(), 10))
	path := filepath.Join(s.t.TempDir(), "peer.xml")
	if err := cib.SaveFile(path, doc); err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.CommandContext(s.t.Context(), peer, "-R", "-x", path)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	theirs, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("crm_simulate: %v", err)
	}
	ours, err := scheduler.Simulate(doc, scheduler.SimulateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	a, b := summaryOf(string(theirs)), summaryOf(ours.Text)
	if a != b {
		s.t.Errorf("Pacemaker would do\n%sand we\n%s", a, b)
	}
}

// summaryOf is the transition summary of a simulation, blanks not counting.
func summaryOf(text string) string {
	_, rest, _ := strings.Cut(text, "Transition Summary:\n")
	var b strings.Builder
	for line := range strings.Lines(rest) {
		if f := strings.Fields(line); len(f) > 0 {
			b.WriteString(strings.Join(f, " ") + "\n")
		}
	}
	return b.String()
}

// load runs a script on an empty file.
func (s *situation) load(path, script string) {
	c, err := OpenFile(path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	var errs bytes.Buffer
	session := NewSession(Config{Cluster: c, Offline: true, Source: "test", Err: &errs, Force: true})
	if !session.RunScript(s.t.Context(), "script", script) {
		s.t.Fatalf("the script fails: %s", &errs)
	}
}

func (s *situation) write(path string, b []byte) {
	if err := os.WriteFile(path, b, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// happen lets a line of events happen.
func (s *situation) happen(line string) {
	words := strings.Fields(line)
	switch words[0] {
	case "settle":
		s.settle(words[1:])
	case "later":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.now = s.now.Add(d)
	case "attribute":
		s.attribute(words[1], words[2], words[3])
	case "state":
		s.state(words[1]).Set(words[2], words[3])
	case "pending":
		s.pending(words[1], words[2], words[3])
	default:
		o, err := parseSimulate(words)
		if err != nil {
			s.t.Fatalf("%s: %v", line, err)
		}
		next, _, err := scheduler.Inject(s.doc, o.run.Events, s.now)
		if err != nil {
			s.t.Fatalf("%s: %v", line, err)
		}
		s.doc = next
	}
}

// settle carries out plans until nothing is to be done; operations that are
// told to fail end it.
func (s *situation) settle(args []string) {
	o, err := parseSimulate(append([]string{"-S"}, args...))
	if err != nil {
		s.t.Fatal(err)
	}
	last := ""
	for range 10 {
		o.run.Now = s.now
		r, err := scheduler.Simulate(s.doc, o.run)
		if err != nil {
			s.t.Fatal(err)
		}
		s.doc, last = r.After, r.Text
		real := slices.ContainsFunc(r.Executed, func(a *scheduler.Action) bool { return a.Kind != scheduler.Pseudo })
		if !real || len(args) > 0 {
			return
		}
	}
	s.t.Fatalf("the cluster does not settle:\n%s", last)
}

func (s *situation) attribute(node, name, value string) {
	n, ok := s.doc.Node(node)
	if !ok {
		s.t.Fatalf("no node %s", node)
	}
	next, err := s.doc.Apply(cib.Change{Status: &cib.StatusChange{Edits: []cib.StatusEdit{{Attribute: &cib.AttributeEdit{Node: n.ID, Name: name, Value: value}}}}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.doc = next
}

func (s *situation) state(node string) *cib.Element {
	n, ok := s.doc.Node(node)
	if !ok {
		s.t.Fatalf("no node %s", node)
	}
	s.doc = s.doc.Clone()
	return s.doc.NodeState(n.ID)
}

func (s *situation) pending(rsc, task, node string) {
	list := s.state(node).Ensure("lrm").Ensure("lrm_resources")
	l := list.ChildByID(rsc)
	if l == nil {
		l = cib.NewElement("lrm_resource", "id", rsc, "class", "ocf", "provider", "pacemaker", "type", "Dummy")
		list.Add(l)
	}
	key := "1:1:0:00000000-0000-0000-0000-000000000000"
	l.Add(cib.NewElement("lrm_rsc_op", "id", rsc+"_last_0", "operation_key", rsc+"_"+task+"_0", "operation", task, "crm_feature_set", cib.FeatureSet,
		"transition-key", key, "transition-magic", "-1:193;"+key, "call-id", "-1", "rc-code", "193", "op-status", "-1", "interval", "0", "op-digest", "f2317cad3d54cec5d7d7aa7d0bf35cf8"))
}

// ask runs lines of the shell and returns what it says.
func (s *situation) ask(question string) string {
	path := filepath.Join(s.t.TempDir(), "cib.xml")
	if err := cib.SaveFile(path, s.doc); err != nil {
		s.t.Fatal(err)
	}
	c, err := OpenFile(path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	var out bytes.Buffer
	session := NewSession(Config{Cluster: c, Offline: true, Source: "test", Out: &out, Err: &out, Now: func() time.Time { return s.now }})
	for line := range strings.Lines(question) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if out.Len() > 0 {
			out.WriteByte('\n')
		}
		out.WriteString("> " + line + "\n")
		session.run(s.t.Context(), &sourceLine{line: readTestLine(line), text: line})
	}
	return out.String()
}

func TestSituations(t *testing.T) {
	t.Setenv("TZ", "UTC")
	dirs, err := filepath.Glob("../testdata/why/*/question")
	if err != nil || len(dirs) < 30 {
		t.Fatalf("only %d situations: %v", len(dirs), err)
	}
	slices.Sort(dirs)
	for _, q := range dirs {
		dir := filepath.Dir(q)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			loadSituation(t, dir).play(dir)
		})
	}
}
