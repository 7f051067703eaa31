package simtest

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/executor/operation"
	"gcrm/scheduler"
)

var (
	seeds = flag.Int("seeds", 100, "how many random clusters to simulate")
	first = flag.Uint64("first", 1, "the first of these seeds")
	pcmk  = flag.Bool("pacemaker", false, "have plans made by crm_simulate")
	one   = flag.Uint64("seed", 0, "simulate this cluster alone")
)

// planner is where plans come from.
type planner func(*cib.CIB, scheduler.Options) (*scheduler.Plan, error)

// thePlanner is the real scheduler, unless Pacemaker's was asked for.
func thePlanner(t *testing.T) planner {
	if *pcmk {
		return pacemaker(t.TempDir())
	}
	return scheduler.Schedule
}

// build makes a cluster that is about to start.
func build(seed uint64, schedule planner) *world {
	w := &world{seed: seed, rng: rand.New(rand.NewPCG(seed, 0x6763726d)), now: epoch, schedule: schedule,
		active: map[string]map[string]bool{}, promoted: map[string]map[string]bool{}, busy: map[string]bool{},
		shared: map[string]bool{"fencer": true}, promotable: map[string]bool{}, dependent: map[string]bool{}}
	size := 3
	if w.chance(0.3) {
		size = 5
	}
	doc := cib.New()
	conf := w.configuration(size)
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
	up := 0 // nodes that may run resources
	for _, n := range doc.Nodes() {
		if v, _ := cib.SetValue(n.Element, "instance_attributes", "standby"); v != "on" {
			up++
		}
	}
	stopped := false // a resource of the group is
	for _, id := range slices.Sorted(maps.Keys(roles)) {
		if id == "fencer" {
			continue
		}
		want := min(up, 1)
		if w.shared[id] {
			want = up
		}
		inGroup := w.group != "" && strings.HasPrefix(id, w.group)
		if roles[id] == "Stopped" {
			want = 0
			stopped = stopped || inGroup
		}
		if stopped && inGroup {
			want = 0
		}
		if n := len(w.active[id]); n != want && !(n == 0 && w.dependent[id] && roles["p0"] == "Stopped") {
			w.violated("%s is active on %v at rest, wanted on %d nodes", id, slices.Sorted(maps.Keys(w.active[id])), want)
		}
		if w.promotable[id] && want > 0 && len(w.promoted[id]) != 1 {
			w.violated("%s is promoted on %v at rest", id, slices.Sorted(maps.Keys(w.promoted[id])))
		}
		for _, n := range w.nodes {
			if believed(doc, n.id, id) != w.active[id][n.name] {
				w.violated("%s on %s: the CIB says active=%t, the agent %t", id, n.name, believed(doc, n.id, id), w.active[id][n.name])
			}
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

// believed is whether a node's history says that a resource is active.
func believed(doc *cib.CIB, nodeID, id string) bool {
	last, active := -1, false
	for op := range operation.Entries(doc, nodeID, id) {
		call, _ := strconv.Atoi(op.Get("call-id"))
		if call < last {
			continue
		}
		switch op.Get("operation") {
		case "start", "promote", "demote":
			last, active = call, true
		case "stop":
			last, active = call, false
		case "monitor":
			last, active = call, op.Get("rc-code") == "0" || op.Get("rc-code") == "8"
		}
	}
	return active
}

func simulate(seed uint64, schedule planner) *world {
	w := build(seed, schedule)
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
		clear(w.active[id])
		clear(w.promoted[id])
	}
	w.run(15*time.Second, nil)
	if !w.run(10*time.Minute, w.idle) {
		w.violated("the cluster does not come to rest after everything died")
		return
	}
	w.check()
}

func TestRandomClusters(t *testing.T) {
	schedule := thePlanner(t)
	if *one != 0 {
		w := simulate(*one, schedule)
		t.Log(strings.Join(w.journal, "\n"))
		t.Logf("%+v", w.stats)
		for _, v := range w.violations {
			t.Error(v)
		}
		return
	}
	var total stats
	for seed := *first; seed < *first+uint64(*seeds); seed++ {
		w := simulate(seed, schedule)
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
	s.shutdowns += o.shutdowns
}
