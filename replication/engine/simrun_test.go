package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func simConfig() Config {
	cfg := Defaults()
	cfg.Fencing = FencingStonith
	cfg.ALExtents = 3
	cfg.ResyncRate, cfg.MaxRate, cfg.MinRate = 20000, 100000, 0
	cfg.PingInterval = time.Second
	return cfg
}

// TestSimulationOfWeakerPolicies runs schedules in which writes may be lost, and
// split brains happen and are resolved by policy: afterwards the nodes are equal.
func TestSimulationOfWeakerPolicies(t *testing.T) {
	count, first := uint64(3), *simFirst
	if *simCount > 0 {
		count = uint64(*simCount)
	}
	if *simSeed != 0 {
		count, first = 1, *simSeed
	}
	for name, change := range map[string]func(*Config){
		"protocol A":    func(c *Config) { c.Protocol = ProtocolA },
		"protocol B":    func(c *Config) { c.Protocol = ProtocolB },
		"plain bitmaps": func(c *Config) { c.UseRLE = false; c.PlanAhead = 0 },
		"fill target":   func(c *Config) { c.FillTarget = 0; c.MaxRate = 0 },
		"al-updates no": func(c *Config) { c.NoALUpdates = true },
		"resource-only": func(c *Config) {
			c.Fencing = FencingResourceOnly
			c.AfterSB = [3]uint32{SBDiscardLeastChanges, SBDiscardSecondary, SBDisconnect}
		},
		"authentication": func(c *Config) { c.CramHMACAlg, c.SharedSecret = "sha256", "secret" },
		"checksums":      func(c *Config) { c.CsumsAlg, c.ReadBalancing = "crc32c", ReadRoundRobin },
		"no fencing": func(c *Config) {
			c.Fencing = FencingDontCare
			c.AfterSB = [3]uint32{SBDiscardYoungerPrimary, SBDiscardSecondary, SBCallHelper}
			c.AlwaysASBP, c.RRConflict = true, SBViolently
		},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := first; seed < first+count; seed++ {
				cfg := simConfig()
				change(&cfg)
				verbose := *simSeed == seed
				w := simulate(t, seed, cfg, verbose)
				if verbose {
					if err := os.WriteFile(filepath.Join(os.TempDir(), "engine-sim-weak.log"), []byte(w.log.String()), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if w.failed != "" {
					t.Errorf("seed %d: %s", seed, w.failed)
				}
			}
		})
	}
}

// TestSimulation runs random schedules. A failing one is repeated with -seed.
func TestSimulation(t *testing.T) {
	if *simSeed != 0 {
		w := simulate(t, *simSeed, simConfig(), true)
		name := filepath.Join(os.TempDir(), fmt.Sprintf("engine-sim-%d.log", *simSeed))
		if err := os.WriteFile(name, []byte(w.log.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v, log in %s", w.stats, name)
		if w.failed != "" {
			t.Fatal(w.failed)
		}
		return
	}
	count := *simCount
	if count == 0 {
		count = 25
		if testing.Short() {
			count = 10
		}
	}
	total := world{}.stats
	for seed := *simFirst; seed < *simFirst+uint64(count); seed++ {
		w := simulate(t, seed, simConfig(), false)
		if w.failed != "" {
			t.Errorf("seed %d: %s (repeat with -run TestSimulation -seed %s)", seed, w.failed, strconv.FormatUint(seed, 10))
		}
		total.acked += w.stats.acked
		total.flushed += w.stats.flushed
		total.promotions += w.stats.promotions
		total.crashes += w.stats.crashes
		total.resyncs += w.stats.resyncs
		total.reads += w.stats.reads
		total.equal += w.stats.equal
	}
	t.Logf("%d schedules: %+v", count, total)
	if *simSpan >= 20*time.Second && (total.promotions < count || total.crashes < count || total.acked < 100*count) {
		t.Errorf("the schedules do too little: %+v", total)
	}
}

// TestSimulationOfTwoVolumes is TestSimulation with two volumes on the connection, which
// the application uses and moves together.
func TestSimulationOfTwoVolumes(t *testing.T) {
	count, first := uint64(6), *simFirst
	if *simCount > 0 {
		count = uint64(*simCount)
	}
	if *simSeed != 0 {
		count, first = 1, *simSeed
	}
	for seed := first; seed < first+count; seed++ {
		w := simulateVolumes(t, seed, simConfig(), *simSeed != 0, *simSpan, "", 2)
		if *simSeed != 0 {
			name := filepath.Join(os.TempDir(), "engine-sim-two.log")
			if err := os.WriteFile(name, []byte(w.log.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v, log in %s", w.stats, name)
		}
		if w.failed != "" {
			t.Errorf("seed %d: %s", seed, w.failed)
		}
	}
}

// TestSchedulesThatFailed repeats what long runs found.
func TestSchedulesThatFailed(t *testing.T) {
	for _, c := range []struct {
		seed uint64
		span time.Duration
		what string
	}{
		{1000441, -4 * time.Second, "the target finished while the source had bits of unconfirmed writes: the resync never ended there"},
		{3010900, 4 * time.Second, "the source of a resync crashed before it heard of the end: the target, Primary by then, stood alone"},
		{1008394, -4 * time.Second, "both lost power as the resync ended: the source believed its own note that the target was not good"},
	} {
		if w := simulateFor(t, c.seed, simConfig(), false, c.span); w.failed != "" {
			t.Errorf("seed %d for %v (%s): %s", c.seed, c.span, c.what, w.failed)
		}
	}
}

// TestBrokenRunnersAreCaught breaks one rule of the contract at a time: the invariants
// of the simulation must notice.
func TestBrokenRunnersAreCaught(t *testing.T) {
	for _, c := range []struct {
		broken  string
		first   uint64 // a seed that is known to show it, so that the test is short
		volumes int    // 0 for one
	}{
		{"no activity log", 17, 0}, {"a flush that does nothing", 4, 0}, {"writes reported before they are done", 1, 0}, {"bitmap not written", 2, 0},
		{"generations not written", 13, 0}, {"flags not written", 1, 0}, {"a fence that does not fence", 3, 0},
		{"messages out of order", 7, 0}, {"metadata durable before the data", 57, 0},
		{"an epoch that is flushed on one disk", 1, 2}, {"all messages about the first volume", 1, 2},
	} {
		t.Run(c.broken, func(t *testing.T) {
			for seed := c.first; seed < c.first+80; seed++ {
				if w := simulateVolumes(t, seed, simConfig(), false, 20*time.Second, c.broken, max(1, c.volumes)); w.failed != "" {
					t.Logf("seed %d: %s", seed, w.failed)
					return
				}
			}
			t.Error("not noticed in 80 schedules")
		})
	}
}
