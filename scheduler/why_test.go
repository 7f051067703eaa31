package scheduler

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gcrm/cib"
)

// Everything that is done, and everything that does not run, has a reason.
func checkReasons(c *cib.CIB) string {
	p, err := Schedule(c, Options{Scores: true, Origins: true})
	if err != nil {
		return ""
	}
	var wrong []string
	bad := func(what ...string) { wrong = append(wrong, strings.Join(what, " ")) }
	s := p.Story()
	for _, ch := range s.Changes {
		if len(ch.Reasons) == 0 {
			bad(ch.Verb, ch.Resource, "without a reason; the scheduler says", ch.Reason)
		}
	}
	for _, i := range slices.Concat(s.Idle, s.Held) {
		if len(i.Reasons) == 0 {
			bad(i.Resource, "without a reason")
		}
	}
	for _, n := range s.Nodes {
		if len(n.Reasons) == 0 {
			bad(n.Node, "without a reason")
		}
	}
	for _, d := range p.Actions {
		if d.Task == taskStonith && !slices.ContainsFunc(s.Nodes, func(n NodeReason) bool { return n.Node == d.Node && n.Action != "" }) {
			bad("fencing of", d.Node, "is not told of")
		}
		if p.Because(d).Text == "" {
			bad(d.Key, "without a reason")
		}
	}
	var walk func(r *resource)
	walk = func(r *resource) {
		if w, ok := p.Why(r.id); !ok && !r.internal {
			bad("no answer for", r.id)
		} else if ok {
			for _, i := range w.Instances {
				wrong = append(wrong, checkInstance(&i)...)
			}
			if w.Text("", Style{}) == "" {
				bad("no text for", r.id)
			}
		}
		for _, c := range r.children {
			walk(c)
		}
	}
	for _, r := range p.engine.resources {
		walk(r)
	}
	if text := s.Text(Style{}); strings.Contains(text, "%!") || text == "" {
		bad(text)
	}
	return strings.Join(wrong, "\n")
}

// checkInstance compares what is said of one instance with itself.
func checkInstance(i *Instance) (wrong []string) {
	bad := func(what ...string) { wrong = append(wrong, i.Resource+": "+strings.Join(what, " ")) }
	if len(i.Reasons) == 0 {
		bad("no reason")
	}
	chosen := 0
	for _, p := range i.Places {
		sum := 0
		for _, o := range p.Origin {
			sum = addScores(sum, o.Value)
		}
		if sum != p.Score {
			bad("score of", p.Node, "is", scoreText(p.Score), "but its origins give", scoreText(sum))
		}
		if p.Text == "" {
			bad(p.Node, "without words")
		}
		if p.Chosen {
			chosen++
			if !p.Possible && !i.Unmanaged && !i.Impossible && p.State == "online" && i.Verb != "Stop" {
				bad(p.Node, "is chosen but not possible:", p.Text)
			}
		}
	}
	for _, r := range i.Reasons {
		if r.Text == "" || strings.Contains(r.Text, "%!") || strings.HasSuffix(r.Text, " ") {
			bad("a reason without words:", string(r.Code), r.Text)
		}
	}
	return wrong
}

func TestReasonsOnTheCorpus(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(corpus, "xml", "*.xml"))
	if len(files) == 0 {
		t.Skip("the conformance corpus is not beside the repository")
	}
	for _, f := range files {
		c, err := cib.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := checkReasons(c); wrong != "" {
			t.Errorf("%s:\n%s", filepath.Base(f), wrong)
		}
	}
}

func TestReasonsOnRandomClusters(t *testing.T) {
	for i := range *outcomesN {
		seed := *outcomesSeed + uint64(i)
		if wrong := checkReasons(drawCIB(seed)); wrong != "" {
			t.Errorf("seed %d:\n%s", seed, wrong)
		}
	}
}

func TestWhyOfNodes(t *testing.T) {
	for i := range *outcomesN / 3 {
		seed := *outcomesSeed + uint64(i)
		p, err := Schedule(drawCIB(seed), Options{Origins: true})
		if err != nil {
			continue
		}
		for _, n := range p.engine.sorted {
			w, ok := p.WhyNode(n.name)
			if !ok || len(w.Reasons) == 0 || w.Reasons[0].Text == "" || w.Text(Style{}) == "" {
				t.Errorf("seed %d: %s is not explained: %+v", seed, n.name, w)
			}
		}
	}
	p, err := Schedule(drawCIB(1), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := p.WhyNode("no such node"); ok {
		t.Error("a node that does not exist is explained")
	}
}
