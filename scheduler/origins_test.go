package scheduler

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gcrm/cib"
)

// The origins of every score add up to it, and asking for them changes nothing.
func checkOrigins(c *cib.CIB, opt Options) string {
	opt.Scores = true
	plain, err := Schedule(c, opt)
	if err != nil {
		return ""
	}
	opt.Origins = true
	p, err := Schedule(c, opt)
	if err != nil {
		return err.Error()
	}
	if len(p.Scores) != len(plain.Scores) || p.GraphXML() != plain.GraphXML() {
		return "asking for origins changes the plan"
	}
	var wrong []string
	for i, s := range p.Scores {
		if x := plain.Scores[i]; x.Value != s.Value || x.Resource != s.Resource || x.Node != s.Node {
			return fmt.Sprintf("asking for origins changes the score of %s on %s", s.Resource, s.Node)
		}
		sum := 0
		for _, o := range s.Origin {
			sum = addScores(sum, o.Value)
			if o.Text == "" || o.By == ByOther {
				wrong = append(wrong, fmt.Sprintf("%s on %s: an origin says nothing: %+v", s.Resource, s.Node, o))
			}
		}
		if sum != s.Value {
			wrong = append(wrong, fmt.Sprintf("%s: %s on %s is %s, its origins give %s: %+v", s.Phase, s.Resource, s.Node, scoreText(s.Value), scoreText(sum), s.Origin))
		}
	}
	return strings.Join(wrong, "\n")
}

func TestOriginsAddUpOnTheCorpus(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(corpus, "xml", "*.xml"))
	if len(files) == 0 {
		t.Skip("the conformance corpus is not beside the repository")
	}
	slices.Sort(files)
	scores := 0
	for _, f := range files {
		c, err := cib.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := checkOrigins(c, Options{}); wrong != "" {
			t.Errorf("%s:\n%s", filepath.Base(f), wrong)
		}
		if p, err := Schedule(c, Options{Scores: true}); err == nil {
			scores += len(p.Scores)
		}
	}
	t.Logf("%d scores in %d cases", scores, len(files))
}

func TestOriginsAddUpOnRandomClusters(t *testing.T) {
	for i := range *outcomesN {
		seed := *outcomesSeed + uint64(i)
		if wrong := checkOrigins(drawCIB(seed), Options{}); wrong != "" {
			t.Errorf("seed %d:\n%s", seed, wrong)
		}
	}
}
