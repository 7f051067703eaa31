package whole

import (
	"runtime"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/scheduler"
)

// breakage is what is deliberately wrong with a build.
type breakage struct {
	lying     bool // the fence device reports success and does nothing
	leftovers bool // agents outlive the daemon
	disks     bool // disks acknowledge what they have not written
	unordered bool // starts do not wait for stops
	unclean   bool // lost nodes are planned for as if they were down
	founding  bool // a node that lost its log founds the cluster again
}

func (w *world) breakThings() {
	w.lying = w.broken.lying
	for _, h := range w.hosts {
		h.disk.lies = w.broken.disks
	}
}

func (w *world) brokenSchedule(doc *cib.CIB, o scheduler.Options) (*scheduler.Plan, error) {
	if w.broken.unclean {
		doc = doc.Clone()
		for s := range doc.Status().Named("node_state") {
			if s.Get("crmd") != "online" {
				s.Set("expected", "down")
				s.Set("join", "down")
				// As if it had been fenced: nothing is known to be active there.
				s.Children = nil
			}
		}
	}
	p, err := scheduler.Schedule(doc, o)
	if err == nil && w.broken.unordered {
		for _, a := range p.Actions {
			a.Inputs = nil
		}
	}
	return p, err
}

// sabotage goes on beside the schedules.
func (w *world) sabotage(stop <-chan struct{}) {
	if !w.broken.founding {
		return
	}
	for {
		select {
		case <-stop:
			return
		case <-time.After(w.detection / 2):
		}
		for _, h := range w.hosts {
			if !h.powered() {
				h.disk.replace()
			}
		}
	}
}

// Every breakage has to be noticed; that a sound build survives the same
// seeds is what TestSchedules shows.
func TestBreakagesAreCaught(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, c := range []struct {
		name   string
		broken breakage
		// tune makes it matter more often.
		tune func(*plan)
	}{
		{"the fence device lies", breakage{lying: true}, nil},
		{"agents outlive the daemon", breakage{leftovers: true}, func(p *plan) {
			p.faults = []string{"power failure", "agents are slow", "daemon killed in the middle of a start", "daemon killed in the middle of a start"}
		}},
		{"disks acknowledge before they write", breakage{disks: true}, nil},
		{"starts do not wait for stops", breakage{unordered: true}, nil},
		{"lost nodes are not fenced", breakage{unclean: true}, func(p *plan) { p.nodes, p.policy, p.faults = 3, "freeze", []string{"one is cut off", "network splits"} }},
		{"an emptied node founds the cluster again", breakage{founding: true}, func(p *plan) {
			p.faults = []string{"power failure", "power failure", "one is cut off", "network splits"}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := uint64(1); seed <= 40; seed++ {
				p := draw(seed)
				p.broken = c.broken
				if c.tune != nil {
					c.tune(&p)
				}
				w := live(t, p, 6)
				if len(w.violations) > 0 {
					t.Logf("caught by seed %d, schedule %d: %s", seed, w.stats.Schedules, w.violations[0])
					return
				}
			}
			t.Error("nobody noticed in 40 worlds of 6 schedules")
		})
	}
}
