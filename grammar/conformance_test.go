package grammar

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"gcrm/cib"
)

// corpus is where the cases made by the reference shell lie.
const corpus = "../../shared/conformance/crmsh"

// TestConformance runs the cases of the corpus that consist of statements
// alone through the package, and compares the CIB and the text.
func TestConformance(t *testing.T) {
	scripts, err := filepath.Glob(filepath.Join(corpus, "cases", "*.crm"))
	if err != nil || len(scripts) == 0 {
		t.Skip("the conformance corpus is not here: ", corpus)
	}
	run := 0
	for _, script := range scripts {
		name := strings.TrimSuffix(filepath.Base(script), ".crm")
		c := readCase(t, name)
		if !c.statementsOnly() {
			continue
		}
		run++
		t.Run(name, func(t *testing.T) { c.check(t) })
	}
	t.Logf("%d of %d cases consist of statements alone", run, len(scripts))
}

type conformanceCase struct {
	name  string
	meta  map[string]string
	text  string
	lines []Line
	err   string
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func caseFile(name, suffix string) string { return filepath.Join(corpus, "cases", name+suffix) }

func readCase(t *testing.T, name string) conformanceCase {
	c := conformanceCase{name: name, meta: map[string]string{}, text: readFile(t, caseFile(name, ".crm"))}
	for l := range strings.SplitSeq(readFile(t, caseFile(name, ".meta")), "\n") {
		if k, v, ok := strings.Cut(l, ":"); ok {
			c.meta[strings.TrimSpace(k)] = strings.TrimSpace(v)
		}
	}
	if b, err := os.ReadFile(caseFile(name, ".err")); err == nil {
		c.err = string(b)
	}
	c.lines = ReadScript(name+".crm", c.text)
	return c
}

func (c *conformanceCase) statementsOnly() bool {
	if c.meta["quirk"] != "" {
		return false
	}
	for i, l := range c.lines {
		switch w := l.Words[0].Text; {
		case w == "configure" && len(l.Words) == 1 && i == 0:
		case w == "commit" && i > 0 && (len(l.Words) == 1 || l.Words[1].Text == "force"):
		case w == "load" && i > 0 && len(l.Words) == 3:
		case !IsStatement(w) || i == 0:
			return false
		}
	}
	return true
}

// knownAgents are facts about a few agents that the corpus was made with.
type knownAgents struct{}

func (knownAgents) Providers(agentType string) []string {
	if agentType == "ping" || agentType == "Stateful" || agentType == "remote" {
		return []string{"pacemaker"}
	}
	return nil
}

func (knownAgents) Agent(n cib.AgentName) (AgentInfo, bool) {
	switch n.Type {
	case "Stateful":
		return AgentInfo{Actions: []string{"start", "stop", "monitor", "promote", "demote"}}, true
	case "IPaddr2":
		return AgentInfo{Parameters: []string{"ip", "cidr_netmask", "nic"}, Actions: []string{"start", "stop", "monitor"}}, true
	}
	return AgentInfo{}, false
}

func (c *conformanceCase) check(t *testing.T) {
	doc, err := cib.Parse(readFile(t, filepath.Join(corpus, "bases", c.meta["base"]+".xml")))
	if err != nil {
		t.Fatal(err)
	}
	edit := NewEdit(doc, knownAgents{})
	var said []string
	failed := false
	note := func(err error) {
		if err != nil {
			failed = true
			said = append(said, err.Error())
		}
	}
	for _, l := range c.lines {
		switch l.Words[0].Text {
		case "configure", "commit":
			continue
		case "load":
			method, err := ParseMethod(l.Words[1].Text)
			if err != nil {
				note(err)
				continue
			}
			file := l.Words[2].Text
			text := readFile(t, filepath.Join(caseFile(c.name, ".files"), file))
			remarks, err := Load(edit, method, file, text)
			note(err)
			for _, r := range remarks {
				said = append(said, r.Error())
			}
			continue
		}
		st, err := Parse(l, Command)
		if err != nil {
			note(err)
			continue
		}
		remarks, err := edit.Apply(st)
		note(err)
		for _, r := range remarks {
			said = append(said, r.Error())
		}
	}
	for _, p := range cib.Verify(doc, nil, cib.VerifyOptions{}) {
		if p.Severity == cib.Error {
			failed = true
		}
		said = append(said, p.String())
	}
	reject := strings.Contains(c.err, "verdict: reject")
	if reject {
		if !failed {
			// Refused by verification of agents or constraints, which is not
			// the language's business.
			if strings.Contains(c.err, "remote resource") || strings.Contains(c.err, "not found in Resource Agent") {
				t.Skip("refused by verification, not by the language")
			}
			t.Errorf("accepted, must be rejected:\n%s", c.err)
		}
		return
	}
	if failed {
		t.Fatalf("rejected, must be accepted:\n%s", strings.Join(said, "\n"))
	}
	if want, got := trimLines(readFile(t, caseFile(c.name, ".show"))), trimLines(Print(doc, PrintOptions{Obscure: []string{"passw*"}})); want != got {
		t.Errorf("show differs\nwant:\n%s\ngot:\n%s", want, got)
	}
	want, err := cib.ParseElement(readFile(t, caseFile(c.name, ".xml")), cib.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	w, g := canonical(want), canonical(Obscure(Display(doc.Configuration()), []string{"passw*"}))
	if w != g {
		t.Errorf("XML differs\nwant:\n%s\ngot:\n%s", w, g)
	}
}

func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \t")
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}

// canonical writes a configuration so that what does not count is equal:
// order of attributes and of objects within a section, empty sections.
func canonical(conf *cib.Element) string {
	if conf.Name != "configuration" {
		conf = conf.Child("configuration")
	}
	var sections []string
	for s := range conf.Elements() {
		var objects []string
		for _, o := range s.Children {
			objects = append(objects, canonicalElement(o, 1))
		}
		if s.Name != "fencing-topology" {
			sort.Strings(objects)
		}
		if len(objects) > 0 {
			sections = append(sections, s.Name+"\n"+strings.Join(objects, ""))
		}
	}
	sort.Strings(sections)
	return strings.Join(sections, "")
}

func canonicalElement(e *cib.Element, depth int) string {
	var b strings.Builder
	b.WriteString(strings.Repeat("  ", depth) + e.Name)
	attrs := slices.Clone(e.Attrs)
	slices.SortFunc(attrs, func(a, b cib.Attr) int { return strings.Compare(a.Name, b.Name) })
	for _, a := range attrs {
		fmt.Fprintf(&b, " %s=%q", a.Name, a.Value)
	}
	b.WriteString(" " + strings.TrimSpace(e.Text) + "\n")
	for _, c := range e.Children {
		b.WriteString(canonicalElement(c, depth+1))
	}
	return b.String()
}
