package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"gcrm/replication/wire"
)

// manageDual is the manager of a volume that both nodes use: each is Primary, unless it is
// stopped for a while.
func (w *world) manageDual() {
	w.after(w.between(30*time.Millisecond, 300*time.Millisecond), w.manageDual)
	d := w.dual
	for i, n := range w.nodes {
		if !n.up {
			continue
		}
		c := n.copies[0]
		s := c.e.State()
		switch {
		case s.Role() == wire.Primary:
			if !d.leaving[i] && !w.quiet && w.r.IntN(30) == 0 {
				d.leaving[i] = true
			}
			if d.leaving[i] && len(c.requests) == 0 {
				n.act(func() {
					c.e.Demote(n.clock(), n.reply(func(r wire.Result) {
						d.leaving[i] = false
						if r.OK() {
							w.did("demotion")
						}
					}))
				})
			}
		case !w.mayPromote(n) || !w.quiet && w.r.IntN(3) != 0:
		default:
			syncing := s.Conn() > wire.Connected
			n.act(func() {
				c.e.Promote(n.clock(), false, n.reply(func(r wire.Result) {
					w.logf("%d promotion: %v", i, r)
					if r.OK() {
						w.stats.promotions++
						w.happened["promotion"]++
						if syncing && c.e.State().Disk() < wire.UpToDate {
							w.happened["promotion of the target of a resync"]++
						}
					}
				}))
			})
		}
	}
}

// mayPromote tells whether a node that is not Primary may become it: with good data, in some
// schedules also with that of the source of a resync, or alone, after the fence of the peer.
func (w *world) mayPromote(n *simNode) bool {
	s := n.copies[0].e.State()
	switch {
	case s.Conn() >= wire.Connected && s.Disk() == wire.UpToDate:
		return true
	case s.Conn() >= wire.Connected:
		return w.dual.targets && s.PeerDisk() == wire.UpToDate
	}
	return s.Disk() > wire.Outdated && (w.only < 0 || w.only == n.id) && w.r.IntN(6) == 0
}

// simulateDual runs one schedule; with badDisks disks fail, too, one at a time.
func simulateDual(t testing.TB, seed uint64, verbose bool, span time.Duration, broken string, badDisks bool) *world {
	cfg := simConfig()
	cfg.TwoPrimaries = true
	if seed%3 == 0 {
		cfg.ResyncRate, cfg.MaxRate, cfg.PlanAhead = 2000, 4000, 0 // there is time for something in a resync
	}
	cfg.SuspendNoData = seed%5 == 0
	if badDisks {
		cfg.OnIOError = IOErrorPolicy(seed % 2)
	}
	w := newWorld(t, seed, cfg, verbose, 1)
	w.broken, w.badDisks, w.oneFault = broken, badDisks, badDisks
	w.settle()
	w.shareBlocks()
	w.dual.targets, w.cutting, w.dual.resting = seed%2 == 0, seed%7 == 0, badDisks && seed%4 < 2
	for _, n := range w.nodes {
		n.boot()
	}
	w.after(0, w.manageDual)
	w.after(0, w.workDual)
	w.after(min(time.Second, span/3), w.trouble)
	w.run(span)
	if w.failed == "" {
		w.peaceDual()
	}
	return w
}

// peaceDual ends the trouble: everything is answered, both nodes are Primary and have the
// same, which is nothing that was overwritten.
func (w *world) peaceDual() {
	w.quiet = true
	w.logf("peace")
	w.heal()
	for deadline := w.now + 60*time.Second; w.failed == "" && w.now < deadline && !w.goodDual(); {
		w.run(w.now + 100*time.Millisecond)
	}
	if w.failed != "" {
		return
	}
	if !w.goodDual() {
		w.noPeace()
		return
	}
	if !w.compare() {
		return
	}
	w.now++
	for i, n := range w.nodes {
		for _, s := range w.dual.all() {
			w.checkSector(i, s, n.copies[0].disk.content().sector(s), w.now)
		}
	}
	for _, n := range w.nodes {
		for _, s := range w.dual.shared {
			w.readDual(n, s, dualArea)
		}
	}
	w.run(w.now + time.Second)
}

// goodDual tells whether both nodes are Primary, have everything and nothing is under way.
func (w *world) goodDual() bool {
	for _, n := range w.nodes {
		if !n.up {
			return false
		}
		c := n.copies[0]
		s := c.e.State()
		if s.Role() != wire.Primary || s.Conn() != wire.Connected || s.Disk() != wire.UpToDate || s.PeerDisk() != wire.UpToDate ||
			len(c.requests) > 0 || c.e.OutOfSync() > 0 || len(c.diskBusy) > 0 {
			return false
		}
	}
	return true
}

// dualMust is what has to happen in some of the schedules.
var dualMust = []string{
	"both nodes Primary", "both nodes Primary in a resync", "promotion", "promotion of the target of a resync", "demotion", "resync", "fenced",
	"the target of a resync writes", "several requests of one node on one place", "both write one place", "both write places that overlap in part",
	"SUPERSEDED", "RETRY_WRITE", "connected again before the fence",
}

// TestSimulationOfTwoPrimaries: both nodes write and read the same volume, also the same
// places at the same time.
func TestSimulationOfTwoPrimaries(t *testing.T) { dualSchedules(t, false) }

// TestSimulationOfTwoPrimariesAndDisks: the same with disks that fail, one at a time: nothing that was acknowledged is lost.
func TestSimulationOfTwoPrimariesAndDisks(t *testing.T) { dualSchedules(t, true) }

func dualSchedules(t *testing.T, badDisks bool) {
	count, first := uint64(16), *simFirst
	switch {
	case *simSeed != 0:
		count, first = 1, *simSeed
	case *simCount > 0:
		count = uint64(*simCount)
	}
	acked, reads, flushed, crashes, happened := 0, 0, 0, 0, tally{}
	for seed := first; seed < first+count; seed++ {
		w := simulateDual(t, seed, *simSeed != 0, min(*simSpan, 6*time.Second), "", badDisks)
		if *simSeed != 0 {
			name := filepath.Join(os.TempDir(), fmt.Sprintf("engine-sim-dual-%d.log", seed))
			if err := os.WriteFile(name, []byte(w.log.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v, log in %s", w.stats, name)
		}
		if w.failed != "" {
			t.Errorf("seed %d: %s", seed, w.failed)
		}
		acked, reads, flushed, crashes = acked+w.stats.acked, reads+w.stats.reads, flushed+w.stats.flushed, crashes+w.stats.crashes
		happened.add(w.happened)
	}
	t.Logf("%d schedules: %d writes acknowledged, %d reads, %d flushes, %d crashes, %v", count, acked, reads, flushed, crashes, happened)
	must := dualMust
	if badDisks {
		must = append(slices.Clone(must), cacheLost, "detach")
	}
	for _, what := range must {
		if happened[what] == 0 && *simSeed == 0 && count >= 16 {
			t.Errorf("not in any of these schedules: %s", what)
		}
	}
}

// diskTime is how long a disk takes. Where both nodes write, one sometimes takes so long
// that the other node does several things meanwhile.
func (w *world) diskTime() time.Duration {
	longest := 8 * time.Millisecond
	if w.dual != nil && w.r.IntN(40) == 0 {
		longest = 120 * time.Millisecond
	}
	return w.between(50*time.Microsecond, longest)
}

// TestBrokenPrimariesAreCaught breaks something that only two Primaries depend on.
func TestBrokenPrimariesAreCaught(t *testing.T) {
	for _, c := range []struct {
		broken string
		first  uint64 // a seed that is known to show it
	}{
		{"nobody decides about conflicts", 10}, {"each node decides about conflicts", 1}, {"a write that has to be done again is not", 1},
		{"the order across both sockets does not count", 42}, {"a fence that does not fence", 8}, {"no activity log", 18},
		{"a flush that does nothing", 1}, {"writes reported before they are done", 1}, {"bits cleared before the data is durable", 2026112513348},
	} {
		t.Run(c.broken, func(t *testing.T) {
			for seed := c.first; seed < c.first+80; seed++ {
				if w := simulateDual(t, seed, false, 4*time.Second, c.broken, false); w.failed != "" {
					t.Logf("seed %d: %s", seed, w.failed)
					return
				}
			}
			t.Error("not noticed in 80 schedules")
		})
	}
}
