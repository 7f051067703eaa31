package scheduler

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gcrm/cib"
)

// The differential test gives random CIBs to this scheduler and to Debian's
// crm_simulate, and compares the status after the transition and the executed
// actions. Case i of a run has the seed -differential.seed + i; a failing
// case prints its seed and a CIB shrunk as far as the difference stays.
var (
	differentialN    = flag.Int("differential.n", 100, "random CIBs that TestDifferential compares")
	differentialSeed = flag.Uint64("differential.seed", 1, "seed of the first CIB of TestDifferential")
	differentialKeep = flag.String("differential.keep", "", "folder that TestDifferential writes shrunk CIBs and explanations to")
	differentialRule = flag.String("differential.rule", "", "take what falls under rules with this text for unexplained, to look at it")
	differentialUse  = flag.String("differential.use", "", "compare only CIBs that use this feature of the generator")
	differentialFast = flag.Bool("differential.fast", false, "spare the peer the check against its schema, which takes two thirds of its time; what it would refuse for it is compared too")
	differentialMax  = flag.Int("differential.max", 10, "differing cases that TestDifferential shrinks and shows")
)

// unexplainedPerMille is the share of compared CIBs that may differ for causes
// not yet found. Every other difference was proved to vanish with the changes
// taken back. DESIGN.md has the figures of the last long run.
const unexplainedPerMille = 1

// peerVersion is the crm_simulate whose differences explain knows.
const peerVersion = "Pacemaker 2.1.5"

func TestDifferential(t *testing.T) {
	peer := newPeer(t)
	var mu sync.Mutex
	var failed []uint64
	known := map[string]int{}
	coverage := map[string]*[3]int{} // by feature: compared, equal, differing for no known cause
	compared, equal, refused := 0, 0, 0
	next := make(chan uint64)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for seed := range next {
				c := drawCIB(seed)
				d, err := peer.compare(t.Context(), c)
				why := ""
				if d != nil {
					why = explain(c, d)
				}
				mu.Lock()
				switch {
				case err != nil && strings.Contains(err.Error(), "signal: "):
					known["the peer crashes"]++
				case err != nil:
					refused++
					t.Logf("seed %d: the peer refuses the CIB: %v", seed, err)
				case d == nil:
					equal++
				case why != "":
					known[why]++
				default:
					failed = append(failed, seed)
				}
				if err == nil {
					compared++
					for _, f := range featuresOf(seed) {
						n := coverage[f]
						if n == nil {
							n = &[3]int{}
							coverage[f] = n
						}
						n[0]++
						if d == nil {
							n[1]++
						} else if why == "" {
							n[2]++
						}
					}
				}
				mu.Unlock()
			}
		})
	}
	drawn := 0
	for i := range *differentialN {
		if seed := *differentialSeed + uint64(i); *differentialUse == "" || slices.Contains(featuresOf(seed), *differentialUse) {
			drawn++
			next <- seed
		}
	}
	close(next)
	wg.Wait()
	slices.Sort(failed)
	t.Logf("seeds %d to %d: %d compared, %d equal, %d differ by a known rule, %d differ otherwise, %d refused by the peer",
		*differentialSeed, *differentialSeed+uint64(*differentialN)-1, compared, equal, compared-equal-len(failed), len(failed), drawn-compared)
	for _, name := range slices.Sorted(maps.Keys(known)) {
		t.Logf("known: %4d  %s", known[name], name)
	}
	for _, name := range slices.Sorted(maps.Keys(coverage)) {
		t.Logf("feature %-12s %5d compared, %5d equal, %d differ for no known cause", name, coverage[name][0], coverage[name][1], coverage[name][2])
	}
	if refused > compared/20 {
		t.Errorf("the peer refuses %d of %d CIBs: the generator draws what it does not read", refused, refused+compared)
	}
	report := t.Errorf
	if len(failed) <= 1+compared*unexplainedPerMille/1000 { // one more, for short runs
		report = t.Logf // below the ceiling that lowers with every cause found
	}
	if len(failed) > *differentialMax {
		report("%d further cases differ: seeds %v", len(failed)-*differentialMax, failed[*differentialMax:])
		failed = failed[:*differentialMax]
	}
	slots := make(chan struct{}, 2)
	for _, seed := range failed {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			small := peer.shrink(t.Context(), drawCIB(seed))
			d, _ := peer.compare(t.Context(), small)
			report("seed %d:\n%s\n%s", seed, d, small)
			if *differentialKeep != "" {
				keepCase(t, filepath.Join(*differentialKeep, fmt.Sprintf("seed%d", seed)), small, d)
			}
		})
	}
	wg.Wait()
}

func keepCase(t *testing.T, base string, c *cib.CIB, d *difference) {
	if err := os.WriteFile(base+".xml", []byte(c.String()), 0o644); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(base+".txt", []byte(d.String()), 0o644); err != nil {
		t.Error(err)
	}
}

// invalidTransition says that a transition could not be executed to its end.
const invalidTransition = "An invalid transition was produced"

// peer runs Debian's crm_simulate.
type peer struct {
	path, dir string
	mu        sync.Mutex
	count     int
}

func newPeer(t *testing.T) *peer {
	path, err := exec.LookPath("crm_simulate")
	if err != nil {
		t.Skipf("SKIPPED: the differential test needs crm_simulate of %s (Debian: pacemaker-cli-utils): %v", peerVersion, err)
	}
	out, err := exec.Command(path, "--version").Output()
	if err != nil || !strings.HasPrefix(string(out), peerVersion) {
		t.Skipf("SKIPPED: the differential test needs crm_simulate of %s; %s says %q (%v)", peerVersion, path, out, err)
	}
	return &peer{path: path, dir: t.TempDir()}
}

// simulate returns the peer's report of a CIB.
func (p *peer) simulate(ctx context.Context, c *cib.CIB) (string, error) {
	p.mu.Lock()
	p.count++
	file := filepath.Join(p.dir, fmt.Sprintf("%d.xml", p.count))
	p.mu.Unlock()
	if *differentialFast {
		c = c.Clone()
		c.Root.Set("validate-with", "none")
	}
	if err := os.WriteFile(file, []byte(c.String()), 0o644); err != nil {
		return "", err
	}
	defer os.Remove(file)
	ctx, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	cmd := exec.CommandContext(ctx, p.path, "-S", "-x", file)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	// A transition that cannot be executed to its end is an answer too.
	if err != nil && !strings.Contains(errs.String(), invalidTransition) {
		return "", fmt.Errorf("%w: %.300s", err, errs.String())
	}
	text := string(out)
	if err != nil {
		text = strings.Replace(text, "Executing Cluster Transition:\n", "Executing Cluster Transition:\n"+invalidTransition+"\n", 1)
	}
	return text, nil
}

// difference is what two reports disagree on.
type difference struct {
	theirs, ours      map[string][]string
	minus, plus       []string // executed by the peer alone, by us alone
	revised           bool     // the status after the transition differs
	revMinus, revPlus []string
	textOnly          string // the text rules after which nothing differs
}

// compare returns nil if both schedulers agree.
func (p *peer) compare(ctx context.Context, c *cib.CIB) (*difference, error) {
	// first here, so that what makes the peer crash is tried here too
	sim, err := Simulate(c, SimulateOptions{Execute: true})
	if err != nil {
		return nil, err
	}
	theirs, err := p.simulate(ctx, c)
	if err != nil {
		return nil, err
	}
	raw := newDifference(sectionsOf(theirs), reportOf(sim))
	if raw == nil {
		return nil, nil
	}
	used := map[string]bool{}
	d := newDifference(commonText(raw.theirs, used), commonText(raw.ours, used))
	if d == nil {
		raw.textOnly = strings.Join(slices.Sorted(maps.Keys(used)), " + ")
		return raw, nil
	}
	return d, nil
}

// reportOf returns the sections of a simulation's report, with a word of its
// not having come to its end.
func reportOf(sim *Simulated) map[string][]string {
	ours := sectionsOf(sim.Text)
	if !sim.Complete && !slices.Contains(ours["execute"], invalidTransition) {
		ours["execute"] = append(ours["execute"], invalidTransition)
	}
	return ours
}

// sameAnswer compares two reports but for their wording.
func sameAnswer(a, b map[string][]string) bool {
	used := map[string]bool{}
	return newDifference(commonText(a, used), commonText(b, used)) == nil
}

func newDifference(theirs, ours map[string][]string) *difference {
	d := &difference{theirs: theirs, ours: ours}
	d.minus, d.plus = bagDifference(d.theirs["execute"], d.ours["execute"])
	d.revised = !slices.Equal(d.theirs["revised"], d.ours["revised"])
	d.revMinus, d.revPlus = bagDifference(d.theirs["revised"], d.ours["revised"])
	if !d.revised && len(d.minus)+len(d.plus) == 0 {
		return nil
	}
	return d
}

// bagDifference returns what only a and what only b holds, repeats counted.
func bagDifference(a, b []string) (onlyA, onlyB []string) {
	count := map[string]int{}
	for _, s := range b {
		count[s]++
	}
	for _, s := range a {
		if count[s]--; count[s] < 0 {
			onlyA = append(onlyA, s)
		}
	}
	for _, s := range b {
		if count[s] > 0 {
			count[s]--
			onlyB = append(onlyB, s)
		}
	}
	return onlyA, onlyB
}

func (d *difference) String() string {
	var b strings.Builder
	write := func(title string, minus, plus []string) {
		if len(minus)+len(plus) == 0 {
			return
		}
		fmt.Fprintf(&b, "%s (- peer alone, + here alone):\n", title)
		for _, s := range minus {
			fmt.Fprintf(&b, "  - %s\n", s)
		}
		for _, s := range plus {
			fmt.Fprintf(&b, "  + %s\n", s)
		}
	}
	if d == nil {
		return "no difference"
	}
	write("executed", d.minus, d.plus)
	write("revised status", d.revMinus, d.revPlus)
	if d.revised && len(d.revMinus)+len(d.revPlus) == 0 {
		b.WriteString("the revised status differs in order only\n")
	}
	m, p := bagDifference(d.theirs["summary"], d.ours["summary"])
	write("summary", m, p)
	return b.String()
}

// shrink removes elements and attributes while an unexplained difference
// stays. Constraints go before resources, so that references stay whole.
func (p *peer) shrink(ctx context.Context, c *cib.CIB) *cib.CIB {
	differs := func(c *cib.CIB) bool {
		if len(c.Configuration().Child("nodes").Children) == 0 {
			return false
		}
		d, err := p.compare(ctx, c)
		return err == nil && d != nil && explain(c, d) == ""
	}
	for changed := true; changed; {
		changed = false
		for _, path := range removable(c.Root) {
			smaller := c.Clone()
			if remove(smaller.Root, path) && differs(smaller) {
				c, changed = smaller, true
			}
		}
	}
	return c
}

// place is an element by the ids and names on the way to it, stable while
// other elements go.
type place struct {
	steps []string
	attr  string
}

func stepTo(e *cib.Element) string { return e.Name + "\x00" + e.ID() + "\x00" + e.Get("operation_key") }

// removable lists what can be removed, larger parts first within a section.
func removable(root *cib.Element) []place {
	var out []place
	fixed := map[string]bool{"configuration": true, "status": true, "crm_config": true, "nodes": true, "resources": true, "constraints": true}
	var walk func(e *cib.Element, steps []string)
	walk = func(e *cib.Element, steps []string) {
		for _, child := range slices.Backward(e.Children) {
			at := append(slices.Clone(steps), stepTo(child))
			if !fixed[child.Name] {
				out = append(out, place{steps: at})
			}
			walk(child, at)
			for _, name := range []string{"interleave", "role", "rsc-role", "with-rsc-role", "first-action", "then-action", "kind", "symmetrical", "require-all", "score", "node-attribute", "influence", "resource-discovery", "on-fail", "sequential", "op-digest", "boolean-op"} {
				if child.Has(name) && (name != "score" || child.Name != "rsc_location") {
					out = append(out, place{at, name})
				}
			}
		}
	}
	walk(root, nil)
	// constraints first, then the status, then resources
	rank := func(p place) int {
		text := strings.Join(p.steps, "\n")
		for i, s := range []string{"constraints", "tags", "status", "rsc_defaults", "op_defaults", "resources", "nodes"} {
			if strings.Contains(text, s+"\x00") {
				return i
			}
		}
		return 9
	}
	slices.SortStableFunc(out, func(a, b place) int { return rank(a) - rank(b) })
	return out
}

// remove takes a place out of a document; false if it is gone already.
func remove(root *cib.Element, p place) bool {
	e := root
	for i, s := range p.steps {
		at := slices.IndexFunc(e.Children, func(c *cib.Element) bool { return stepTo(c) == s })
		if at < 0 {
			return false
		}
		if i == len(p.steps)-1 && p.attr == "" {
			e.Children = slices.Delete(slices.Clone(e.Children), at, at+1)
			return true
		}
		e = e.Children[at]
	}
	if !e.Has(p.attr) {
		return false
	}
	e.Unset(p.attr)
	return true
}
