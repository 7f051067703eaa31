package simtest

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/executor/operation"
	"gcrm/scheduler"
)

var (
	seeds = flag.Int("seeds", 100, "how many random clusters to simulate")
	one   = flag.Uint64("seed", 0, "simulate this cluster alone")
)

// planners are what plans can come from.
var schedule func(*cib.CIB, scheduler.Options) (*scheduler.Plan, error) = miniPlan

// build makes a cluster that is about to start.
func build(seed uint64) *world {
	w := &world{seed: seed, rng: rand.New(rand.NewPCG(seed, 0x6763726d)), now: epoch, schedule: schedule,
		active: map[string]map[string]bool{}, busy: map[string]bool{}, shared: map[string]bool{"fencer": true}}
	size := 3
	if w.chance(0.3) {
		size = 5
	}
	doc := cib.New()
	conf := configuration(size, 2+w.rng.IntN(5))
	next, err := doc.Apply(cib.Change{Configuration: &cib.ConfigurationChange{XML: conf}})
	if err != nil {
		panic(err)
	}
	next.Root.Set("have-quorum", "1")
	w.docs = []*cib.CIB{next}
	for i := range size {
		w.addNode(fmt.Sprintf("node%d", i+1), fmt.Sprint(i+1))
	}
	for _, n := range w.nodes {
		n.start()
	}
	w.after(time.Second, w.elect)
	w.after(1500*time.Millisecond, w.members)
	return w
}

func configuration(nodes, primitives int) string {
	var b strings.Builder
	b.WriteString(`<configuration><crm_config><cluster_property_set id="cib-bootstrap-options">
<nvpair id="o1" name="stonith-enabled" value="true"/><nvpair id="o2" name="startup-fencing" value="false"/>
</cluster_property_set></crm_config><nodes>`)
	for i := range nodes {
		fmt.Fprintf(&b, `<node id="%d" uname="node%d"/>`, i+1, i+1)
	}
	b.WriteString(`</nodes><resources><primitive id="fencer" class="stonith" type="fence_sim"/>`)
	for i := range primitives {
		fmt.Fprintf(&b, `<primitive id="p%d" class="ocf" provider="pacemaker" type="Dummy"><operations>
<op id="p%d-monitor" name="monitor" interval="5s" timeout="10s"/><op id="p%d-start" name="start" interval="0" timeout="10s"/>
<op id="p%d-stop" name="stop" interval="0" timeout="10s"/></operations></primitive>`, i, i, i, i)
	}
	b.WriteString(`</resources><constraints/></configuration>`)
	return b.String()
}

// idle reports whether the leader has nothing left to do.
func (w *world) idle() bool {
	l := w.leader
	if l == nil || !l.progress.Idle {
		return false
	}
	for _, n := range w.nodes {
		if !n.up || !l.thinksOnline(n) || n.applied != len(w.log) {
			return false
		}
	}
	return len(w.proposals) == 0
}

// settle ends the faults, cleans up, and lets the cluster come to rest.
func (w *world) calm() {
	w.faults, w.loss, w.duplication, w.delay = false, 0, 0, 0
	for _, n := range w.nodes {
		n.isolated = false
		if !n.up {
			w.revive(n, time.Second)
		}
	}
	w.note("--- calm")
	w.run(2*time.Minute, nil)
	for try := 0; try < 3 && len(w.violations) == 0; try++ {
		if !w.run(10*time.Minute, w.idle) {
			continue
		}
		w.cleanup()
		w.run(time.Second, nil)
	}
	if len(w.violations) == 0 && !w.run(20*time.Minute, w.idle) {
		w.violated("the cluster does not come to rest: leader %v", w.leader)
	}
}

// check compares the cluster at rest with its CIB.
func (w *world) check() {
	doc := w.docs[len(w.docs)-1]
	roles := map[string]string{}
	doc.Configuration().Child("resources").Walk(func(e *cib.Element) bool {
		if e.Name == "primitive" {
			roles[e.ID()], _ = cib.SetValue(e, "meta_attributes", "target-role")
		}
		return true
	})
	placeable := false
	for _, n := range doc.Nodes() {
		if v, _ := cib.SetValue(n.Element, "instance_attributes", "standby"); v != "on" {
			placeable = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(roles)) {
		if w.shared[id] {
			continue
		}
		want := 1
		if roles[id] == "Stopped" || !placeable {
			want = 0
		}
		if len(w.active[id]) != want {
			w.violated("%s is active on %v at rest, wanted on %d nodes", id, slices.Sorted(maps.Keys(w.active[id])), want)
		}
	}
	// Every replica is the same, and is what the log makes of the beginning.
	for _, n := range w.nodes {
		if n.ctl.CIB() != doc {
			w.violated("the replica of %s is at %s, not at %s", n.name, n.ctl.CIB().Version(), doc.Version())
		}
	}
	again := w.docs[0]
	for i, ch := range w.log {
		var err error
		if again, err = again.Apply(ch); err != nil {
			w.violated("entry %d can not be applied again: %v", i, err)
			return
		}
	}
	if w.acked > len(w.log) || again.String() != doc.String() {
		w.violated("a committed version was lost")
	}
	for state := range doc.Status().Named("node_state") {
		for r := range operation.Resources(state) {
			for op := range r.Named("lrm_rsc_op") {
				if operation.IsPending(op) {
					w.violated("%s on %s is pending at rest", op.Get("operation_key"), state.Get("uname"))
				}
			}
		}
	}
}

func simulate(seed uint64) *world {
	w := build(seed)
	w.run(20*time.Second, nil)
	w.faults = true
	w.loss = w.rng.Float64() * 0.1
	w.duplication = w.rng.Float64() * 0.1
	w.delay = w.rng.Float64() * 0.03
	w.failures = w.rng.Float64() * 0.1
	w.after(time.Second, w.trouble)
	w.run(3*time.Minute, nil)
	if len(w.violations) == 0 {
		w.calm()
	}
	if len(w.violations) == 0 {
		w.check()
	}
	if len(w.violations) == 0 {
		w.monitored()
	}
	return w
}

// monitored has every resource die, which the monitors must notice.
func (w *world) monitored() {
	w.note("--- everything dies")
	for _, id := range slices.Sorted(maps.Keys(w.active)) {
		if !w.shared[id] {
			clear(w.active[id])
		}
	}
	w.run(15*time.Second, nil)
	if !w.run(10*time.Minute, w.idle) {
		w.violated("the cluster does not come to rest after everything died")
		return
	}
	w.check()
}

func TestRandomClusters(t *testing.T) {
	if *one != 0 {
		w := simulate(*one)
		t.Log(strings.Join(w.journal, "\n"))
		t.Logf("%+v", w.stats)
		for _, v := range w.violations {
			t.Error(v)
		}
		return
	}
	var total stats
	for seed := uint64(1); seed <= uint64(*seeds); seed++ {
		w := simulate(seed)
		if len(w.violations) > 0 {
			t.Errorf("seed %d: %s\n%s\nreplay: go test ./cluster/simtest -seed %d -v", seed, strings.Join(w.violations, "; "), w.lastLines(40), seed)
			return
		}
		total.add(w.stats)
	}
	t.Logf("%d clusters: %+v", *seeds, total)
}

func (s *stats) add(o stats) {
	s.actions += o.actions
	s.starts += o.starts
	s.commits += o.commits
	s.leaders += o.leaders
	s.fences += o.fences
	s.crashes += o.crashes
	s.isolations += o.isolations
	s.restarts += o.restarts
	s.deaths += o.deaths
	s.refused += o.refused
}
