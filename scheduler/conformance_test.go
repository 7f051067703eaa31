package scheduler

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
)

// The corpus of Pacemaker's own answers lies beside the repository; its
// levels are those of its grader: L1 the revised status, L2 also summary and
// executed actions in any order, L3 the whole text, S the score lines.
const corpus = "../../shared/conformance/scheduler"

func TestConformanceDoesNotFall(t *testing.T) {
	table, err := os.ReadFile(filepath.Join(corpus, "cases.tsv"))
	if err != nil {
		t.Skipf("the conformance corpus is not beside the repository: %v", err)
	}
	got := map[string]int{}
	cases := 0
	for line := range strings.Lines(string(table)) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(f) < 5 || strings.HasPrefix(line, "#") {
			continue
		}
		cases++
		for _, level := range gradeCase(t, f[0], f[3]) {
			got[level]++
		}
	}
	floor := readFloor(t)
	for _, level := range []string{"L1", "L2", "L3", "S"} {
		t.Logf("%s: %d of %d (floor %d)", level, got[level], cases, floor[level])
		switch {
		case got[level] < floor[level]:
			t.Errorf("%s fell from %d to %d of %d cases", level, floor[level], got[level], cases)
		case got[level] > floor[level]:
			t.Logf("%s rose: write %d into testdata/floor", level, got[level])
		}
	}
}

func readFloor(t *testing.T) map[string]int {
	b, err := os.ReadFile("testdata/floor")
	if err != nil {
		t.Fatal(err)
	}
	floor := map[string]int{}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 2 {
			if floor[f[0]], err = strconv.Atoi(f[1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	return floor
}

// gradeCase returns the levels that a case reaches.
func gradeCase(t *testing.T, name, args string) []string {
	read := func(dir, ext string) string {
		b, err := os.ReadFile(filepath.Join(corpus, dir, name+ext))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	doc, err := cib.Parse(read("xml", ".xml"))
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return nil
	}
	opt := SimulateOptions{Execute: true, Scores: true, ExecutionTime: time.Unix(1767225600, 0)}
	if at, ok := strings.CutPrefix(args, "-t "); ok {
		opt.NowText = strings.Trim(at, "'")
		if opt.Now, ok = ParseTime(opt.NowText); !ok {
			t.Fatalf("%s: time %s", name, at)
		}
	} else if !doc.Root.Has("execution-date") {
		opt.Now = opt.ExecutionTime
	}
	quiet := opt
	quiet.Quiet = true
	opt.Scores = false
	text, err := Simulate(doc, opt)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return nil
	}
	scores, err := Simulate(doc, quiet)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return nil
	}
	var out []string
	want, have := sectionsOf(read("summary", ".summary")), sectionsOf(text.Text)
	if slices.Equal(want["revised"], have["revised"]) {
		out = append(out, "L1")
		if sameBag(want["summary"], have["summary"]) && sameBag(want["execute"], have["execute"]) {
			out = append(out, "L2")
			if slices.Equal(want["all"], have["all"]) {
				out = append(out, "L3")
			}
		}
	}
	if sameBag(scoreLinesOf(read("scores", ".scores")), scoreLinesOf(scores.Text)) {
		out = append(out, "S")
	}
	return out
}

func sameBag(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

func scoreLinesOf(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, " score ") {
			out = append(out, strings.Join(strings.Fields(line), " "))
		}
	}
	return out
}

// sectionsOf splits a report; white space does not count.
func sectionsOf(text string) map[string][]string {
	out := map[string][]string{}
	section := ""
	for line := range strings.Lines(text) {
		line = strings.Join(strings.Fields(line), " ")
		if line == "" || strings.HasPrefix(line, "Schema validation of configuration is disabled") {
			continue
		}
		out["all"] = append(out["all"], line)
		switch strings.ToLower(line) {
		case "transition summary:":
			section = "summary"
			continue
		case "executing cluster transition:":
			section = "execute"
			continue
		case "revised cluster status:":
			section = "revised"
			continue
		case "current cluster status:":
			section = "current"
			continue
		}
		if strings.HasPrefix(line, "Using the original execution date") || strings.HasPrefix(line, "Setting effective cluster time") {
			continue
		}
		out[section] = append(out[section], line)
	}
	return out
}

// TestOwnCases compares the report of every folder in testdata/cases with its
// want.summary. With UPDATE=1 in the environment the files are rewritten.
func TestOwnCases(t *testing.T) {
	dirs, err := filepath.Glob("testdata/cases/*/cib.xml")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range dirs {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			doc, err := cib.Parse(string(b))
			if err != nil {
				t.Fatal(err)
			}
			before := doc.String()
			sim, err := Simulate(doc, SimulateOptions{Execute: true})
			if err != nil {
				t.Fatal(err)
			}
			if doc.String() != before {
				t.Error("the CIB was changed")
			}
			if !sim.Complete {
				t.Error("the transition cannot be executed to its end")
			}
			again, err := Simulate(doc, SimulateOptions{Execute: true})
			if err != nil {
				t.Fatal(err)
			}
			if again.Text != sim.Text || again.Plan.GraphXML() != sim.Plan.GraphXML() {
				t.Error("the same CIB gave two different results")
			}
			wantPath := filepath.Join(dir, "want.summary")
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(wantPath, []byte(sim.Text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(wantPath)
			if err != nil {
				t.Fatal(err)
			}
			if string(want) != sim.Text {
				t.Errorf("got:\n%s\nwant:\n%s", sim.Text, want)
			}
		})
	}
}

func TestDigests(t *testing.T) {
	for _, c := range []struct {
		params []cib.Attr
		want   string
	}{
		{nil, emptyDigest},
		{[]cib.Attr{{Name: "CRM_meta_timeout", Value: "20000"}}, emptyDigest},
		{[]cib.Attr{{Name: "CRM_meta_interval", Value: "10000"}, {Name: "CRM_meta_timeout", Value: "20000"}, {Name: "CRM_meta_on_node", Value: "a"}}, defaultMonitorDigest},
	} {
		if got := Digest(c.params); got != c.want {
			t.Errorf("Digest(%v) = %s, want %s", c.params, got, c.want)
		}
	}
	params := []cib.Attr{{Name: "ip", Value: "10.0.0.1"}, {Name: "passwd", Value: "x"}}
	if SecureDigest(params, []string{"passwd"}) != Digest(params[:1]) {
		t.Error("a private parameter counts in the secure digest")
	}
	if RestartDigest(params, []string{"ip"}) != Digest(params[:1]) {
		t.Error("a reloadable parameter counts in the restart digest")
	}
}

func ExampleParseTime() {
	for _, s := range []string{"2005-020T12:30", "2009-W53-7", "20260101T000000Z", "2014-05-07 00:28:00 +02:00"} {
		at, ok := ParseTime(s)
		fmt.Println(at.Format(time.RFC3339), ok)
	}
	// Output:
	// 2005-01-20T12:30:00Z true
	// 2010-01-03T00:00:00Z true
	// 2026-01-01T00:00:00Z true
	// 2014-05-06T22:28:00Z true
}

// TestNewerFeatureSetIsRefused: what a newer cluster wrote may mean something
// else.
func TestNewerFeatureSetIsRefused(t *testing.T) {
	for set, ok := range map[string]bool{"": true, "3.0.1": true, cib.FeatureSet: true, "3.20.9": true, "3.21.0": false, "4.0": false} {
		c := drawCIB(1)
		c.Root.Set("crm_feature_set", set)
		_, err := Schedule(c, Options{})
		if ok != (err == nil) {
			t.Errorf("feature set %q: %v", set, err)
		}
	}
}

// TestDroppedResources: classes that are gone count as not configured, and
// nothing runs on nodes of type ping.
func TestDroppedResources(t *testing.T) {
	c := cib.New()
	root := c.Root
	root.Set("have-quorum", "1")
	c.Configuration().Ensure("crm_config").Add(nvset("cluster_property_set", "cib-bootstrap-options", "fencing-enabled", "false"))
	for _, n := range [][2]string{{"1", "member"}, {"2", "ping"}} {
		c.Section("nodes").Add(cib.NewElement("node", "id", n[0], "uname", "node"+n[0], "type", n[1]))
		c.Status().Add(cib.NewElement("node_state", "id", n[0], "uname", "node"+n[0], "in_ccm", "true", "crmd", "online", "join", "member", "expected", "member"))
	}
	dummy := func(id, class string) *cib.Element {
		el := cib.NewElement("primitive", "id", id, "class", class, "type", "Dummy")
		if class == "ocf" {
			el.Set("provider", "pacemaker")
		}
		return el
	}
	c.Section("resources").Add(
		dummy("old", "nagios"),
		cib.NewElement("clone", "id", "oldclone").Add(dummy("oldchild", "upstart")),
		cib.NewElement("group", "id", "half").Add(dummy("m0", "nagios"), dummy("m1", "ocf")),
		dummy("a", "ocf"), dummy("b", "ocf"))
	c.Section("constraints").Add(cib.NewElement("rsc_order", "id", "o", "first", "old", "then", "b"))
	s, err := Simulate(c, SimulateOptions{Execute: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"* m1\\t(ocf:pacemaker:Dummy):\\t Started node1", "* a\\t(ocf:pacemaker:Dummy):\\t Started node1", "* b\\t(ocf:pacemaker:Dummy):\\t Started node1"} {
		want = strings.ReplaceAll(want, "\\t", "\t")
		if !strings.Contains(s.Text, want) {
			t.Errorf("no %q in\n%s", want, s.Text)
		}
	}
	for _, not := range []string{"old", "m0", "on node2"} {
		if strings.Contains(s.Text, not) {
			t.Errorf("%q in\n%s", not, s.Text)
		}
	}
}
