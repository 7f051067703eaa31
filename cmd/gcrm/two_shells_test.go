package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/cluster/embedded"
	"gcrm/shell"
)

var (
	twoShellsN    = flag.Int("twoshells.n", 40, "interleavings of two shells that TestTwoShells tries")
	twoShellsSeed = flag.Uint64("twoshells.seed", 1, "seed of the first of them")
)

// twoShellsBase is what each round begins with. Nothing of it runs, so that
// every object may be deleted at any time.
const twoShellsBase = `property stonith-enabled=false stop-all-resources=true maintenance-mode=true
primitive a ocf:pacemaker:Dummy params fake=0 op monitor interval=1h
primitive b ocf:pacemaker:Dummy params fake=0 op monitor interval=1h
primitive c ocf:pacemaker:Dummy params fake=0 op monitor interval=1h
primitive d ocf:pacemaker:Dummy params fake=0 op monitor interval=1h
primitive m ocf:pacemaker:Dummy op monitor interval=1h
group g m
location l-d d 10: node1
`

// shellEdit is a line of the language with the objects that it changes, and
// those it needs: nobody else may delete or move these at the same time.
type shellEdit struct {
	line          string
	writes, needs []string
	// moves says that it deletes what it changes, or moves it.
	moves bool
}

// shellEdits are edits that one of the two shells may make in a round. Values
// are the shell's own, so that two edits of one object always differ.
func shellEdits(r *rand.Rand, shellName string, round int) []shellEdit {
	v := fmt.Sprintf("%s%d", shellName, round)
	p := []string{"a", "b", "c", "d"}
	r.Shuffle(len(p), func(i, j int) { p[i], p[j] = p[j], p[i] })
	all := []shellEdit{
		{line: "set " + p[0] + ".fake " + v, writes: p[:1]},
		{line: "monitor " + p[0] + fmt.Sprintf(" %ds", 60+len(v)+r.IntN(1000)), writes: p[:1]},
		{line: "delete " + p[1], writes: p[1:2], moves: true},
		{line: "delete l-d", writes: []string{"l-d"}, moves: true},
		{line: "property p" + fmt.Sprint(r.IntN(4)) + "=" + v},
		{line: "rsc_defaults resource-stickiness=" + fmt.Sprint(r.IntN(100000)), writes: []string{"rsc-options"}},
		{line: "primitive new-" + v + " ocf:pacemaker:Dummy op monitor interval=1h", writes: []string{"new-" + v}},
		{line: "primitive both ocf:pacemaker:Dummy params fake=" + v + " op monitor interval=1h", writes: []string{"both"}},
		{line: "modgroup g add " + p[2], writes: []string{"g", p[2]}, moves: true},
		{line: "clone cl-" + v + " " + p[3], writes: []string{"cl-" + v, p[3]}, moves: true},
		{line: "order o-" + v + " " + p[0] + " " + p[1], writes: []string{"o-" + v}, needs: p[:2]},
		{line: "location l-" + v + " " + p[2] + " inf: node2", writes: []string{"l-" + v}, needs: p[2:3]},
		{line: "tag t-" + v + " " + p[0], writes: []string{"t-" + v}, needs: p[:1]},
		{line: "node node1 attributes rack=" + v, writes: []string{"node1"}},
	}
	for i := range all {
		if name, isProperty := strings.CutPrefix(all[i].line, "property "); isProperty {
			all[i].writes = []string{"property " + name[:2]}
		}
		if slices.Contains(all[i].writes, "d") && !strings.Contains(all[i].line, ".fake") && !strings.HasPrefix(all[i].line, "monitor") {
			// Its location goes with it, or names its container.
			all[i].writes = append(slices.Clone(all[i].writes), "l-d")
		}
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	all = all[:1+r.IntN(3)]
	for i, x := range all {
		for _, y := range all[i+1:] {
			if strings.HasPrefix(x.line, "delete") && slices.Contains(y.needs, x.writes[0]) {
				return all[:i+1] // what follows would name what is gone
			}
		}
	}
	return all
}

// editor is one of the two people: a session of its own on a node of its own.
// The daemons know both as the same user, so it is the node that tells them
// apart in the history.
type editor struct {
	name    string
	node    string
	client  *client.HTTP
	session *shell.Session
	out     strings.Builder
	lines   []string
	edits   []shellEdit
	ok      bool // the commit was acknowledged
}

func (e *editor) begin() {
	e.out.Reset()
	e.session = shell.NewSession(shell.Config{Cluster: e.client, Source: e.name, Out: &e.out, Err: &e.out, Force: true,
		Environ: func(name string) string { return map[string]string{"USER": e.name}[name] }})
	e.session.RunLine(context.Background(), "configure")
}

// step runs one line; the last one is the commit.
func (e *editor) step(i int) {
	ok := e.session.RunLine(context.Background(), e.lines[i])
	if i == len(e.lines)-1 {
		e.ok = ok
	}
}

func (e *editor) run() {
	for i := range e.lines {
		e.step(i)
	}
}

// Two people edit one cluster at the same time, each in a shell on another
// node. What does not touch the same objects lands, whatever the order of
// their steps. What does gives the later one a conflict that names the objects
// and the other person. The result is always that of one after the other.
func TestTwoShells(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	c, err := embedded.Start(t.Context(), embedded.Config{Nodes: 3, StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		c.Stop(ctx)
	})
	alice, bob := &editor{name: "alice", node: "node1"}, &editor{name: "bob", node: "node2"}
	for i, e := range []*editor{alice, bob} {
		if e.client, err = c.Client(i + 1); err != nil {
			t.Fatal(err)
		}
		defer e.client.Close()
	}
	base := twoShellsConfiguration(t, alice.client)
	reset := func() {
		t.Helper()
		now := readLinear(t, alice.client)
		if _, err := alice.client.Apply(t.Context(), cib.Change{Configuration: &cib.ConfigurationChange{Base: now.Version(), XML: base}}); err != nil {
			t.Fatal(err)
		}
	}
	var disjoint, overlapping, conflicts, merged int
	for n := range *twoShellsN {
		seed := *twoShellsSeed + uint64(n)
		r := rand.New(rand.NewPCG(seed, 5))
		for _, e := range []*editor{alice, bob} {
			e.edits = shellEdits(r, e.name, n)
			e.lines = nil
			for _, x := range e.edits {
				e.lines = append(e.lines, x.line)
			}
			e.lines = append(e.lines, "commit")
		}
		reset()
		alice.begin()
		bob.begin()
		concurrent := n%4 == 3
		if concurrent {
			var wg sync.WaitGroup
			wg.Go(alice.run)
			wg.Go(bob.run)
			wg.Wait()
		} else {
			i, j := 0, 0
			for i < len(alice.lines) || j < len(bob.lines) {
				if j == len(bob.lines) || i < len(alice.lines) && r.IntN(2) == 0 {
					alice.step(i)
					i++
				} else {
					bob.step(j)
					j++
				}
			}
		}
		got := readLinear(t, alice.client)
		outs := alice.out.String() + bob.out.String()
		complain := func(format string, args ...any) {
			t.Helper()
			t.Errorf("seed %d: %s\nalice: %s\n%s\nbob: %s\n%s", seed, fmt.Sprintf(format, args...),
				strings.Join(alice.lines, "; "), alice.out.String(), strings.Join(bob.lines, "; "), bob.out.String())
		}
		shared := sharedObjects(alice.edits, bob.edits)
		refused := strings.Count(outs, "ERROR: not committed")
		merged += strings.Count(outs, "merged with version")
		switch {
		case refused > 1:
			complain("both are refused")
		case refused == 1 && len(shared) == 0:
			complain("a conflict, though the edits share no object")
		case refused == 1:
			conflicts++
			loser, winner := alice, bob
			if alice.ok {
				loser, winner = bob, alice
			}
			text := loser.out.String()
			if loser.ok || !winner.ok {
				complain("a conflict, but alice's commit: %v, bob's: %v", alice.ok, bob.ok)
			}
			if strings.Count(text, "not committed") != 1 || !strings.Contains(text, " on "+winner.node+", version ") {
				complain("the conflict does not name who made the other commit, %s, or is told twice", winner.node)
			}
			if !slices.ContainsFunc(shared, func(o string) bool {
				return strings.Contains(text, strings.TrimPrefix(o, "property "))
			}) {
				complain("the conflict names none of %v", shared)
			}
		case !alice.ok || !bob.ok:
			// Refused for another reason: only if one came after the other and
			// its lines did not fit any more.
			if len(shared) == 0 {
				complain("a commit failed without a conflict")
			}
		}
		if len(shared) == 0 {
			disjoint++
		} else {
			overlapping++
		}

		// The same lines, one after the other, without those who lost.
		orders := [][]*editor{{alice, bob}, {bob, alice}}
		if refused == 1 {
			orders = [][]*editor{{alice}}
			if bob.ok {
				orders = [][]*editor{{bob}}
			}
		}
		was := map[string]string{"alice": alice.out.String(), "bob": bob.out.String()}
		serial := false
		var results []string
		for _, order := range orders {
			reset()
			for _, e := range order {
				e.begin()
				e.run()
			}
			want := readLinear(t, alice.client)
			results = append(results, want.Configuration().String())
			if serial = want.Configuration().Equal(got.Configuration()); serial {
				break
			}
		}
		if !serial {
			t.Errorf("seed %d, concurrent %v: the result is that of no serial order\nalice: %s\n%s\nbob: %s\n%s\ngot %s\nwant one of\n%s", seed, concurrent,
				strings.Join(alice.lines, "; "), was["alice"], strings.Join(bob.lines, "; "), was["bob"],
				got.Configuration(), strings.Join(results, "\n"))
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("%d disjoint and %d overlapping interleavings: %d merges, %d conflicts", disjoint, overlapping, merged, conflicts)
	if *twoShellsN >= 40 && (merged == 0 || conflicts == 0 || disjoint == 0) {
		t.Error("the interleavings do not cover merges and conflicts")
	}
}

// sharedObjects are the objects that both change, or that one deletes or
// moves and the other needs.
func sharedObjects(a, b []shellEdit) []string {
	var out []string
	for _, x := range a {
		for _, y := range b {
			for _, o := range x.writes {
				if slices.Contains(y.writes, o) || x.moves && slices.Contains(y.needs, o) {
					out = append(out, o)
				}
			}
			for _, o := range y.writes {
				if y.moves && slices.Contains(x.needs, o) {
					out = append(out, o)
				}
			}
		}
	}
	return out
}

func readLinear(t *testing.T, c client.Cluster) *cib.CIB {
	t.Helper()
	doc, err := c.CIB(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// twoShellsConfiguration commits the base and returns it.
func twoShellsConfiguration(t *testing.T, c client.Cluster) string {
	t.Helper()
	var out strings.Builder
	s := shell.NewSession(shell.Config{Cluster: c, Out: &out, Err: &out, Force: true})
	if !s.RunScript(t.Context(), "base", "configure\n"+twoShellsBase) {
		t.Fatal(out.String())
	}
	return readLinear(t, c).Configuration().String()
}
