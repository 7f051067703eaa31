package shell

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeAgents are a few agents with known metadata.
type fakeAgents struct{}

const dummyMeta = `<resource-agent name="Dummy" version="1.0"><version>1.1</version>
<shortdesc lang="en">Example agent</shortdesc>
<parameters>
<parameter name="state" unique="1"><shortdesc lang="en">State file</shortdesc><content type="string" default="/run/x"/></parameter>
<parameter name="ip" required="1"><shortdesc lang="en">Address</shortdesc><content type="string"/></parameter>
<parameter name="fast"><shortdesc lang="en">Speed</shortdesc><content type="boolean" default="false"/></parameter>
</parameters>
<actions><action name="start" timeout="20s"/><action name="stop" timeout="20s"/><action name="monitor" timeout="21s" interval="11s"/><action name="meta-data" timeout="5s"/></actions>
</resource-agent>`

func (fakeAgents) Agents(ctx context.Context, class, provider string) ([]string, error) {
	switch {
	case class == "":
		return []string{"ocf", "systemd"}, nil
	case class == "systemd":
		return []string{"nginx"}, nil
	case provider == "" || provider == "heartbeat":
		return []string{"Dummy", "Delay", "IPaddr2"}, nil
	case provider == "pacemaker":
		return []string{"Stateful"}, nil
	}
	return nil, nil
}

func (fakeAgents) Providers(ctx context.Context, agentType string) ([]string, error) {
	return []string{"heartbeat", "pacemaker"}, nil
}

func (fakeAgents) Metadata(ctx context.Context, agent string) (string, string, error) {
	if !strings.HasPrefix(agent, "ocf:") {
		return "", "systemd", nil
	}
	return dummyMeta, "native", nil
}

const sampleScript = `configure
node node1
node node2
rsc_template tmpl Dummy params ip=1
primitive web Dummy params ip=192.0.2.1
primitive db ocf:pacemaker:Stateful params ip=2
primitive free Dummy params ip=3
group g web
clone db-clone db meta promotable=true
tag mytag web
property stonith-enabled=false
`

// newSession makes a session on a CIB file with a small configuration.
func newSession(t testing.TB, script string) *Session {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cib.xml")
	c, err := OpenFile(path, fakeAgents{})
	if err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	s := NewSession(Config{Cluster: c, Offline: true, Source: "test", Force: true, Err: &errs})
	if script != "" && !s.RunScript(t.Context(), "sample", script) {
		t.Fatalf("the sample does not load:\n%s", errs.String())
	}
	return s
}

func TestComplete(t *testing.T) {
	s := newSession(t, sampleScript)
	for _, c := range []struct {
		line string
		want []string // each must be offered
		not  []string
	}{
		{"", []string{"configure", "resource", "node", "help", "quit"}, []string{"primitive"}},
		{"conf", []string{"configure"}, []string{"resource"}},
		{"configure ", []string{"primitive", "show", "commit", "up"}, []string{"rm"}},
		{"configure prim", []string{"primitive"}, nil},
		{"configure primitive x ", []string{"ocf:", "systemd:", "@tmpl"}, nil},
		{"configure primitive x ocf:", []string{"ocf:heartbeat:", "ocf:pacemaker:"}, nil},
		{"configure primitive x ocf:heartbeat:", []string{"ocf:heartbeat:Dummy", "ocf:heartbeat:IPaddr2"}, []string{"ocf:heartbeat:Stateful"}},
		{"configure primitive x D", []string{"Dummy", "Delay"}, nil},
		{"configure primitive x Dummy ", []string{"params", "meta", "op", "ip="}, nil},
		{"configure primitive x Dummy params ", []string{"ip=", "state=", "fast="}, nil},
		{"configure primitive x Dummy params ip=1 ", []string{"state=", "op"}, []string{"ip="}},
		{"configure primitive x Dummy params fast=", []string{"fast=true", "fast=false"}, nil},
		{"configure primitive x Dummy meta target-role=", []string{"target-role=Started", "target-role=Stopped"}, nil},
		{"configure primitive x Dummy op ", []string{"start", "stop", "monitor"}, []string{"meta-data"}},
		{"configure primitive x Dummy op monitor ", []string{"interval=", "timeout="}, nil},
		{"configure primitive x Dummy op monitor interval=", []string{"interval=11s"}, nil},
		{"configure primitive x Dummy op monitor timeout=", []string{"timeout=21s"}, nil},
		{"configure group h ", []string{"free"}, []string{"web", "db", "g"}},
		{"configure clone c ", []string{"free", "g"}, []string{"web", "db"}},
		{"configure location l ", []string{"web", "g", "db-clone", "mytag"}, []string{"node1"}},
		{"configure location l web ", []string{"inf:", "100:", "rule", "role="}, nil},
		{"configure location l web 100: ", []string{"node1", "node2"}, nil},
		{"configure location l web rule #uname eq ", []string{"node1"}, nil},
		{"configure colocation c inf: ", []string{"web", "db-clone"}, nil},
		{"configure colocation c inf: web db-clone:", []string{"db-clone:Promoted"}, nil},
		{"configure order o ", []string{"Mandatory:", "web"}, nil},
		{"configure order o Mandatory: db-clone:", []string{"db-clone:promote"}, nil},
		{"configure order o Mandatory: db-clone:promote web ", []string{"symmetrical=false"}, nil},
		{"configure property ", []string{"stonith-enabled=", "no-quorum-policy="}, nil},
		{"configure property no-quorum-policy=", []string{"no-quorum-policy=freeze"}, nil},
		{"configure show ", []string{"web", "xml", "changed", "type:primitive", "tag:mytag"}, nil},
		{"configure delete ", []string{"web", "g", "tmpl"}, nil},
		{"configure modgroup g add free ", []string{"after", "before"}, nil},
		{"configure load ", []string{"xml", "update", "replace", "push"}, nil},
		{"resource ", []string{"start", "stop", "status"}, []string{"primitive"}},
		{"resource start ", []string{"web", "g", "db-clone"}, []string{"node1"}},
		{"resource move web ", []string{"node1", "node2", "force"}, nil},
		{"resource param web set ", []string{"ip", "state"}, nil},
		{"resource meta web ", []string{"set", "delete", "show"}, nil},
		{"node standby ", []string{"node1", "node2"}, []string{"web"}},
		{"ra info ocf:pacemaker:", []string{"ocf:pacemaker:Stateful"}, nil},
		{"help conf", []string{"configure"}, nil},
		{"help configure pri", []string{"primitive"}, nil},
		{"cd ", []string{"configure", "resource", ".."}, nil},
		{"cd configure/", []string{"configure/ra", "configure/.."}, nil},
		{"configure primitive x nosuch:::: ", nil, []string{"params"}},
		{"bogus ", nil, []string{"configure"}},
	} {
		var got []string
		for _, k := range s.Complete(t.Context(), c.line, len(c.line)) {
			got = append(got, k.Text)
		}
		for _, w := range c.want {
			if !slices.Contains(got, w) {
				t.Errorf("%q: %q is not offered, only %q", c.line, w, got)
			}
		}
		for _, w := range c.not {
			if slices.Contains(got, w) {
				t.Errorf("%q: %q is offered", c.line, w)
			}
		}
	}
}

func TestCompleteInsideALevel(t *testing.T) {
	s := newSession(t, sampleScript)
	s.path = []*Level{s.root.Levels[slices.IndexFunc(s.root.Levels, func(l *Level) bool { return l.Name == "resource" })]}
	var got []string
	for _, k := range s.Complete(t.Context(), "sto", 3) {
		got = append(got, k.Text)
	}
	if !slices.Equal(got, []string{"stop"}) {
		t.Errorf("got %q", got)
	}
}

func TestParametersCarryDefaultAndMeaning(t *testing.T) {
	s := newSession(t, "")
	line := "configure primitive x Dummy params "
	var texts []string
	for _, k := range s.Complete(t.Context(), line, len(line)) {
		texts = append(texts, k.Text+" "+k.Description)
	}
	if len(texts) < 3 || texts[0] != "ip= (required, string) Address" || !slices.Contains(texts, "state= (string, default /run/x) State file") {
		t.Errorf("got %q", texts)
	}
}

func TestCommonInsert(t *testing.T) {
	for _, c := range []struct {
		candidates []Candidate
		want       string
	}{
		{nil, ""},
		{[]Candidate{{Text: "configure", Typed: 4}}, "igure "},
		{[]Candidate{{Text: "state=", Typed: 2, Open: true}}, "ate="},
		{[]Candidate{{Text: "start", Typed: 1}, {Text: "status", Typed: 1}}, "ta"},
		{[]Candidate{{Text: "start", Typed: 3}, {Text: "stop", Typed: 3}}, ""},
		{[]Candidate{{Text: "web", Typed: 3}, {Text: "web2", Typed: 3}}, ""},
		{[]Candidate{{Text: "né", Typed: 1}, {Text: "nè", Typed: 1}}, ""},
	} {
		if got := commonInsert("", c.candidates); got != c.want {
			t.Errorf("%v: %q, want %q", c.candidates, got, c.want)
		}
	}
}

// scriptsForFuzzing returns the lines of the tutorials.
func scriptsForFuzzing(t testing.TB) []string {
	files, err := filepath.Glob("../testdata/tutorials/*.crm")
	if err != nil || len(files) == 0 {
		t.Fatal("no tutorials: ", err)
	}
	var lines []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.NewReplacer("\\\n", " ").Replace(string(b))
		for l := range strings.SplitSeq(text, "\n") {
			if l = strings.TrimSpace(l); l != "" && l[0] != '#' {
				lines = append(lines, "configure "+l, l)
			}
		}
	}
	return lines
}

// checkCompletion completes a line at a place and checks what a line editor
// relies on.
func checkCompletion(t testing.TB, s *Session, line string, pos int) {
	got := s.Complete(context.Background(), line, pos)
	pos = max(0, min(pos, len(line)))
	for _, c := range got {
		if c.Typed < 0 || c.Typed > len(c.Text) || c.Typed > pos {
			t.Fatalf("%q at %d: candidate %+v overlaps more than is there", line, pos, c)
		}
	}
	_ = commonInsert(line[:pos], got)
	_ = candidateList(got, 20, 5, palette{})
}

// TestCompleteEveryPrefix completes every prefix of every line of the
// tutorials.
func TestCompleteEveryPrefix(t *testing.T) {
	s := newSession(t, sampleScript)
	n := 0
	for _, l := range scriptsForFuzzing(t) {
		for i := range len(l) + 1 {
			checkCompletion(t, s, l[:i], i)
			n++
		}
	}
	t.Logf("%d prefixes", n)
}

func FuzzComplete(f *testing.F) {
	for _, l := range scriptsForFuzzing(f) {
		f.Add(l, len(l)/2)
		f.Add(l, len(l)+7)
	}
	s := newSession(f, sampleScript)
	f.Fuzz(func(t *testing.T, line string, pos int) {
		checkCompletion(t, s, line, pos)
	})
}

func TestNameMatching(t *testing.T) {
	entries := [][]string{{"configure"}, {"resource"}, {"refresh"}, {"rename"}, {"quit", "exit"}, {"delete"}, {"Mixed"}}
	for typed, want := range map[string]string{
		"configure": "configure", "conf": "configure", "cfg": "configure", "CONF": "configure", "re": "", "ref": "refresh",
		"ex": "quit", "exit": "quit", "zzz": "", "": "", "mixed": "Mixed",
	} {
		m := matchName(entries, typed)
		got := ""
		if m.index >= 0 {
			got = entries[m.index][0]
		}
		if got != want {
			t.Errorf("%q means %q, want %q", typed, got, want)
		}
	}
	if m := matchName(entries, "re"); !slices.Equal(m.candidates, []string{"resource", "refresh", "rename"}) {
		t.Errorf("re could be %q", m.candidates)
	}
}
