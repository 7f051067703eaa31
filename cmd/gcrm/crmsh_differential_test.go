package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	crmshSeed       = flag.Uint64("crmsh.seed", 1, "seed of the first session with crmsh")
	crmshStatements = flag.Int("crmsh.statements", 60, "random statements that TestDifferentialCrmsh gives to both shells")
)

var crmshFile = flag.String("crmsh.file", "", "file of statements to compare instead of random ones, one in a line (;; separates what it needs)")

var crmshSequences = flag.Int("crmsh.sequences", 2, "random sequences of edits that TestDifferentialCrmshEdits gives to both shells")

// perSession is how many statements one process of crmsh gets.
const perSession = 250

// Random statements go through the crm shell of the system and through this
// program: the same ones are refused, and XML and text are the same afterwards.
func TestDifferentialCrmsh(t *testing.T) {
	them := oracle(t)
	if *crmshFile != "" {
		text, err := os.ReadFile(*crmshFile)
		if err != nil {
			t.Fatal(err)
		}
		var items [][]string
		for l := range strings.Lines(string(text)) {
			items = append(items, strings.Split(strings.TrimSpace(l), ";;"))
		}
		compareStatements(t, them, 0, items)
		return
	}
	left := *crmshStatements
	for seed := *crmshSeed; left > 0; seed++ {
		g := &statementMaker{r: rand.New(rand.NewPCG(seed, 3))}
		var items [][]string
		for range min(left, perSession) {
			items = append(items, g.item())
		}
		left -= len(items)
		compareStatements(t, them, seed, items)
	}
}

// Random sequences of edits go through both.
func TestDifferentialCrmshEdits(t *testing.T) {
	them := oracle(t)
	if *crmshFile != "" {
		text, err := os.ReadFile(*crmshFile)
		if err != nil {
			t.Fatal(err)
		}
		var items [][]string
		for l := range strings.Lines(string(text)) {
			items = append(items, strings.Split(strings.TrimSpace(l), ";;"))
		}
		compareSequences(t, them, 0, &editMaker{}, items)
		return
	}
	left := *crmshSequences
	for seed := *crmshSeed; left > 0; seed++ {
		g := &editMaker{statementMaker{r: rand.New(rand.NewPCG(seed, 5))}, map[string]string{}}
		var items [][]string
		for range min(left, perSession/10) {
			items = append(items, g.sequence())
		}
		left -= len(items)
		compareSequences(t, them, seed, g, items)
	}
}

func compareStatements(t *testing.T, them peer, seed uint64, items [][]string) {
	t.Helper()
	theirs := them.talk(t, crmshNodes, crmshBase, items, nil, false)
	ours := here().talk(t, crmshNodes, crmshBase, items, nil, false)
	suspects := map[int]bool{}
	crashes := 0
	// A session tells who is suspect; the experiment is then done alone.
	for i := range items {
		switch {
		case ours[i].crashed:
			t.Errorf("seed %d: crash: %s\n%s", seed, items[i], ours[i].said)
		case theirs[i].crashed:
			crashes++
		case theirs[i].scolded != ours[i].scolded:
			suspects[i] = true
		}
	}
	a, b := theirs[len(items)], ours[len(items)]
	if len(a.xml) == 0 || a.text == "" { // to show it was too much for crmsh
		for i := range items {
			suspects[i] = true
		}
		a, b = outcome{}, outcome{}
	}
	orderA, textA := texts(a.text)
	orderB, textB := texts(b.text)
	for _, key := range slices.Concat(unequal(a.xml, b.xml), unequal(textA, textB)) {
		found := false
		for i, it := range items {
			if mentions(it, key) {
				suspects[i], found = true, true
			}
		}
		for i, it := range items { // something of the base: containers move constraints to themselves
			verb, _, _ := strings.Cut(it[len(it)-1], " ")
			if !found && slices.Contains([]string{"group", "clone", "bundle"}, verb) {
				suspects[i] = true
			}
		}
	}
	if len(suspects) == 0 && !slices.Equal(orderA, orderB) {
		t.Errorf("seed %d: order\n%s\n%s", seed, orderA, orderB)
	}
	var again [][]string
	for i := range items {
		if suspects[i] {
			again = append(again, items[i])
		}
	}
	excused := map[string]int{}
	if len(again) > 0 {
		theirs := them.talk(t, crmshNodes, crmshBase, again, nil, true)
		ours := here().talk(t, crmshNodes, crmshBase, again, nil, true)
		for i := range again {
			what := compareOutcomes(theirs[i], ours[i])
			if what == "" {
				continue
			}
			statement := again[i][len(again[i])-1]
			if e := excuse(t, statement, theirs[i], ours[i]); e != "" {
				excused[e]++
				continue
			}
			t.Errorf("seed %d: %s\n%s", seed, strings.Join(again[i], "\n"), what)
		}
	}
	t.Logf("seed %d: %d statements, %d of them crash crmsh, %d looked at alone, excused %v", seed, len(items), crashes, len(again), excused)
}

// mentions reports whether a statement may be about an object, by the last word
// of its key.
func mentions(lines []string, key string) bool {
	w := strings.Fields(strings.TrimRight(key, "+"))
	if len(w) == 0 { // a text that begins with no name: anybody's
		return true
	}
	id := w[len(w)-1]
	l := lines[len(lines)-1]
	for verb, set := range map[string]string{"property": "cib-bootstrap-options", "rsc_defaults": "rsc-options", "op_defaults": "op-options", "fencing_topology": "fencing-topology"} {
		if (id == set || id == verb) && strings.HasPrefix(l, verb) {
			return true
		}
	}
	return regexp.MustCompile(`[\s$="]` + regexp.QuoteMeta(id) + `($|[\s:"])`).MatchString(l)
}

// compareOutcomes tells what is different, or "".
func compareOutcomes(theirs, ours outcome) string {
	var b strings.Builder
	switch {
	case ours.crashed:
		return "crash: " + ours.said
	case theirs.crashed:
		return ""
	case theirs.refused != ours.refused && !(theirs.scolded && ours.scolded):
		fmt.Fprintf(&b, "refused by crmsh: %v, here: %v\ncrmsh: %s\nhere:  %s", theirs.refused, ours.refused, strings.TrimSpace(theirs.said), strings.TrimSpace(ours.said))
		return b.String()
	case theirs.scolded && ours.refused:
		return ""
	}
	for _, k := range unequal(theirs.xml, ours.xml) {
		fmt.Fprintf(&b, "XML %s\ncrmsh: %s\nhere:  %s\n", k, theirs.xml[k], ours.xml[k])
	}
	if b.Len() > 0 {
		return b.String()
	}
	if theirs.text != ours.text {
		_, x := texts(theirs.text)
		_, y := texts(ours.text)
		for _, k := range unequal(x, y) {
			fmt.Fprintf(&b, "text %s\ncrmsh: %s\nhere:  %s\n", k, x[k], y[k])
		}
		if b.Len() == 0 {
			fmt.Fprintf(&b, "text in another order\ncrmsh:\n%s\nhere:\n%s\n", theirs.text, ours.text)
		}
	}
	return b.String()
}
