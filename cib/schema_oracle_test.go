package cib

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const rngDir = "/usr/share/pacemaker"

// corpus reads the CIBs among the conformance cases; a lone configuration
// element becomes a CIB of the schema 3.9.
func corpus(t testing.TB) map[string]*Element {
	t.Helper()
	root := "../../shared/conformance"
	if _, err := os.Stat(root); err != nil {
		t.Skip("no conformance cases beside the repository (../shared/conformance): ", err)
	}
	out := map[string]*Element{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".xml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		e, err := ParseElement(string(text), DefaultLimits)
		if err != nil {
			t.Logf("%s: %v", path, err)
			return nil
		}
		switch e.Name {
		case "configuration":
			e = NewElement("cib", "validate-with", "pacemaker-3.9", "admin_epoch", "0", "epoch", "0", "num_updates", "0").Add(e, &Element{Name: "status"})
		case "cib":
		default:
			return nil
		}
		out[strings.TrimPrefix(path, root+"/")] = e
		return nil
	})
	if err != nil || len(out) == 0 {
		t.Fatal("no CIBs found", err)
	}
	return out
}

// rngVerdicts asks the real schema about documents.
func rngVerdicts(t testing.TB, version string, docs []*Element) []bool {
	t.Helper()
	rng := filepath.Join(rngDir, version+".rng")
	dir := t.TempDir()
	args := []string{"--noout", "--relaxng", rng}
	for i, d := range docs {
		name := filepath.Join(dir, fmt.Sprintf("%06d.xml", i))
		if err := os.WriteFile(name, []byte(d.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, name)
	}
	out, _ := exec.Command("xmllint", args...).CombinedOutput()
	verdict := make([]bool, len(docs))
	known := 0
	for line := range strings.Lines(string(out)) {
		var i int
		rest, ok := strings.CutPrefix(line, dir+"/")
		if !ok {
			continue
		}
		if n, err := fmt.Sscanf(rest, "%06d.xml validates", &i); n == 1 && err == nil {
			verdict[i] = true
			known++
		} else if n, err := fmt.Sscanf(rest, "%06d.xml fails to validate", &i); n == 1 && err == nil {
			known++
		}
	}
	if known != len(docs) {
		t.Fatalf("%s: xmllint judged %d of %d documents:\n%.2000s", version, known, len(docs), out)
	}
	return verdict
}

func needOracle(t testing.TB) []string {
	t.Helper()
	if _, err := exec.LookPath("xmllint"); err != nil {
		t.Skip("xmllint is not installed (Debian: libxml2-utils)")
	}
	files, _ := filepath.Glob(rngDir + "/pacemaker-[1-9]*.rng")
	if len(files) == 0 {
		t.Skip("no schemas in " + rngDir + " (Debian: pacemaker-common, pacemaker-cli-utils)")
	}
	var out []string
	for _, f := range files {
		v := strings.TrimSuffix(filepath.Base(f), ".rng")
		if n, ok := parseSchemaVersion(strings.TrimPrefix(v, "pacemaker-")); ok && n <= completeSchema {
			out = append(out, v)
		}
	}
	return out
}

func valid(e *Element, version string) (bool, []Problem) {
	c := &CIB{Root: e}
	p := CheckSchema(c, version)
	for _, x := range p {
		if x.Severity == Error {
			return false, p
		}
	}
	return true, p
}

// TestSchemaAgainstOracle compares verdicts with the real schema, on all
// versions: on the corpus as it is, and with random damage.
func TestSchemaAgainstOracle(t *testing.T) {
	versions := needOracle(t)
	docs := corpus(t)
	var names []string
	for n := range docs {
		names = append(names, n)
	}
	slices.Sort(names)
	rnd := rand.New(rand.NewPCG(1, 2))
	mutants := 3
	if testing.Short() {
		mutants = 1
	}
	judged, accepted, wrong := 0, 0, 0
	for _, v := range versions {
		var batch []*Element
		for i := 0; i < 40*mutants; i++ {
			e := docs[names[rnd.IntN(len(names))]].Clone()
			if st := e.Child("status"); st != nil {
				st.Children = nil
			}
			e.Set("validate-with", v)
			if e.Child("configuration") == nil || e.Child("configuration").Child("nodes") == nil {
				continue
			}
			if i%4 != 0 {
				mutate(e, rnd)
			}
			batch = append(batch, e)
		}
		for i, want := range rngVerdicts(t, v, batch) {
			judged++
			if want {
				accepted++
			}
			if got, problems := valid(batch[i], v); got != want {
				wrong++
				if wrong <= 8 {
					t.Errorf("%s: accepted %v, the schema says %v; %v\n%.3000s", v, got, want, problems, batch[i].Child("configuration"))
				}
			}
		}
	}
	t.Logf("%d documents, %d of them valid, %d judged differently", judged, accepted, wrong)
}

// mutate does one random damage (or none) somewhere in a document.
func mutate(root *Element, rnd *rand.Rand) {
	var all, parents []*Element
	root.Child("configuration").Walk(func(e *Element) bool {
		if !e.IsComment() {
			all = append(all, e)
			if len(e.Children) > 0 {
				parents = append(parents, e)
			}
		}
		return true
	})
	e := all[rnd.IntN(len(all))]
	values := []string{"", "1", "true", "yes", "INFINITY", "Promoted", "Master", "x y", "1abc", "-5", "start", "0", "exclusive", "12,a", "moon"}
	attrs := []string{"id-ref", "score", "kind", "rsc", "node", "template", "role", "influence", "require-all", "name", "value", "type", "start-delay", "interval-origin", "bogus", "score-attribute", "rsc-pattern"}
	switch p := parents[rnd.IntN(len(parents))]; rnd.IntN(9) {
	case 0: // lose an attribute
		if len(e.Attrs) > 0 {
			e.Unset(e.Attrs[rnd.IntN(len(e.Attrs))].Name)
		}
	case 1, 2: // another value
		if len(e.Attrs) > 0 {
			e.Attrs[rnd.IntN(len(e.Attrs))].Value = values[rnd.IntN(len(values))]
		}
	case 3, 4: // one attribute more
		e.Set(attrs[rnd.IntN(len(attrs))], values[rnd.IntN(len(values))])
	case 5: // lose a child
		i := rnd.IntN(len(p.Children))
		p.Children = append(p.Children[:i:i], p.Children[i+1:]...)
	case 6: // a child in another place
		p.Add(NewElement(all[rnd.IntN(len(all))].Name, "id", fmt.Sprintf("new%d", rnd.IntN(100)), "name", "a"))
	case 7: // order of children
		rnd.Shuffle(len(p.Children), func(i, j int) { p.Children[i], p.Children[j] = p.Children[j], p.Children[i] })
	case 8: // a copy of an element somewhere
		p.Add(all[rnd.IntN(len(all))].Clone())
	}
}
