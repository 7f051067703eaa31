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

// pauseOrResume is what people do to resyncs.
func (w *world) pauseOrResume() {
	for _, n := range w.nodes {
		if !n.up {
			continue
		}
		for _, c := range n.copies {
			s := c.e.State()
			switch {
			case s&wire.PausedByUser != 0 && (w.quiet || w.r.IntN(3) == 0):
				c.e.ResumeSync(w.now, n.reply(nil))
			case s&wire.PausedAfter != 0 && (w.quiet || w.r.IntN(3) == 0):
				c.e.WaitForOthers(w.now, false)
			case !w.quiet && w.r.IntN(6) == 0:
				c.e.PauseSync(w.now, n.reply(nil))
			case !w.quiet && w.r.IntN(6) == 0:
				c.e.WaitForOthers(w.now, true)
			}
		}
		n.do()
	}
}

type simKind struct {
	name    string
	volumes int
	set     func(seed uint64, c *Config)
	world   func(*world)
	must    []string // what has to happen in some of the schedules
}

// kinds are schedules in which something besides the usual happens.
var kinds = []simKind{
	{"pauses", 2, func(_ uint64, c *Config) { c.MaxRate, c.PlanAhead = 2000, 0; c.ResyncRate, c.MinRate = 1000, 250 }, func(w *world) { w.pausing = true }, nil},
	{"handlers before a resync", 1, func(_ uint64, c *Config) { c.BeforeSource, c.BeforeTarget = true, true }, func(w *world) { w.attended = true }, nil},
	{"pull-ahead", 2, func(seed uint64, c *Config) {
		c.Protocol, c.Fencing, c.OnCongestion = ProtocolA, FencingResourceOnly, CongestionPullAhead
		c.CongestionFill = 24 + 8*(seed%4)
		c.AfterSB = [3]uint32{SBDiscardLeastChanges, SBDiscardSecondary, SBDisconnect}
		if seed%3 == 0 {
			c.CsumsAlg = "crc32c"
		}
	}, func(w *world) { w.weak = true }, nil},
	{"congestion disconnects", 1, func(seed uint64, c *Config) {
		c.Protocol, c.Fencing, c.OnCongestion, c.CongestionExtents = ProtocolA, FencingResourceOnly, CongestionDisconnect, 3
		c.AfterSB = [3]uint32{SBDiscardLeastChanges, SBDiscardSecondary, SBDisconnect}
	}, func(w *world) { w.weak, w.attended = true, true }, nil},
	{"disk-timeout", 1, func(seed uint64, c *Config) {
		c.DiskTimeout = 300 * time.Millisecond
		c.AfterSB = [3]uint32{SBDiscardLeastChanges, SBDiscardSecondary, SBDisconnect}
	}, func(w *world) { w.weak, w.badDisks = true, true }, nil},
	{"one disk at a time", 1, func(seed uint64, c *Config) {
		c.OnIOError = IOErrorPolicy(seed % 2)
		if seed%3 == 0 {
			c.DiskTimeout = 300 * time.Millisecond
		}
	}, func(w *world) { w.badDisks, w.oneFault, w.attended = true, true, true }, nil},
	{"old protocols", 1, func(seed uint64, c *Config) { c.MaxVersion = 86 + int(seed%15) }, func(w *world) { w.attended = true }, nil},
	{"old protocols, A and B", 1, func(seed uint64, c *Config) {
		c.MaxVersion, c.Protocol, c.Fencing = 86+int(seed%15), ProtocolA+uint32(seed/15)%2, FencingResourceOnly
		c.AfterSB = [3]uint32{SBDiscardLeastChanges, SBDiscardSecondary, SBDisconnect}
	}, func(w *world) { w.weak, w.attended = true, true }, nil},
	{"commands", 2, func(_ uint64, c *Config) { c.VerifyAlg = "crc32c" }, func(w *world) { w.commanding, w.attended = true, true },
		[]string{"invalidate", "invalidate-remote", "data thrown away", "suspend-io", "resume-io", "outdate", "disconnect", "detach", "verify"}},
	{"commands, weaker policies", 1, func(seed uint64, c *Config) {
		c.Protocol, c.Fencing, c.VerifyAlg = ProtocolA+uint32(seed%3), FencingPolicy((seed/3)%2), "crc32c"
		c.AfterSB, c.AlwaysASBP = [3]uint32{SBDiscardLeastChanges, SBDiscardSecondary, SBDisconnect}, true
		if seed%2 == 0 {
			c.OnCongestion, c.CongestionFill = CongestionPullAhead, 24
		}
	}, func(w *world) { w.commanding, w.attended, w.weak = true, true, true },
		[]string{"invalidate", "invalidate-remote", "data thrown away", "suspend-io", "resume-io", "outdate", "disconnect", "detach", "verify"}},
	{"no own disk", 2, func(seed uint64, c *Config) { c.SuspendNoData = seed%2 == 0 }, func(w *world) { w.stripping, w.attended, w.undisturbed = true, true, w.r.IntN(3) == 0 },
		[]string{"detach", onlyOnThePeer, flushFailed, cacheLost}},
	{"verify", 1, func(_ uint64, c *Config) { c.VerifyAlg, c.ResyncRate = "crc32c", 100000 }, func(w *world) { w.small(); w.inspecting, w.attended = true, true },
		[]string{"verify", "online verify done"}},
	{"verify on disks that change", 1, func(_ uint64, c *Config) { c.VerifyAlg, c.ResyncRate = "crc32c", 100000 }, func(w *world) { w.small(); w.inspecting, w.corrupting, w.attended = true, true, true },
		[]string{"a disk changed a block", "a verify found a difference", "repaired after a verify"}},
	{"size", 1, func(_ uint64, c *Config) {}, func(w *world) { w.resizing, w.attended = true, true },
		[]string{"made larger", "made smaller", "other data behind the end", "resync of what was added to the volume",
			"crashed while it grows", "cut short when both have noted the size"}},
	{"size, weaker policies", 1, func(seed uint64, c *Config) {
		c.Protocol, c.Fencing = ProtocolA+uint32(seed%3), FencingPolicy((seed/3)%3)
		if c.Protocol == ProtocolA && c.Fencing == FencingStonith {
			c.Protocol = ProtocolC
		}
		if seed%5 == 0 {
			c.MaxVersion = 86 + int(seed/5%15)
		}
		c.AfterSB, c.AlwaysASBP = [3]uint32{SBDiscardLeastChanges, SBDiscardSecondary, SBDisconnect}, true
	}, func(w *world) {
		w.resizing, w.attended = true, true
		w.weak = w.cfg.Protocol != ProtocolC || w.cfg.Fencing != FencingStonith
	}, []string{"made larger", "made smaller", "other data behind the end", "resync of what was added to the volume",
		"crashed while it grows", "cut short when both have noted the size"}},
	{"power", 1, func(_ uint64, c *Config) {}, func(w *world) { w.cutting = true },
		[]string{"power lost while metadata are written", "power lost before what follows new metadata", "power lost in a transaction of the log",
			"power lost before a transaction of the log", "power lost while the activity log is applied"}},
	{"power, split brains, protocol A", 2, func(seed uint64, c *Config) {
		c.Protocol, c.Fencing, c.OnCongestion = ProtocolA+uint32(seed%3), FencingPolicy((seed/3)%2), CongestionPullAhead
		c.CongestionFill = 24
		c.AfterSB, c.AlwaysASBP = [3]uint32{SBDiscardLeastChanges, SBDiscardSecondary, SBDisconnect}, true
	}, func(w *world) { w.cutting, w.weak, w.attended = true, true, true },
		[]string{"power lost while metadata are written", "power lost before what follows new metadata"}},
	{"demotions", 2, func(seed uint64, c *Config) {
		c.Protocol, c.Fencing = ProtocolA+uint32(seed%3), FencingPolicy((seed/3)%3)
		if c.Protocol == ProtocolA && c.Fencing == FencingStonith {
			c.Protocol = ProtocolC
		}
		if seed%2 == 0 {
			c.OnCongestion, c.CongestionFill = CongestionPullAhead, 24
		}
		c.AfterSB, c.AlwaysASBP = [3]uint32{SBDiscardLeastChanges, SBDiscardSecondary, SBDisconnect}, true
	}, func(w *world) {
		w.parting, w.attended = true, true
		w.weak = w.cfg.Protocol != ProtocolC || w.cfg.Fencing != FencingStonith
	}, []string{"demoted in the middle of an epoch", "something broke at a demotion"}},
}

func simulateKind(t testing.TB, kind int, seed uint64, verbose bool, span time.Duration, broken string) *world {
	k := kinds[kind]
	cfg := simConfig()
	k.set(seed, &cfg)
	w := newWorld(t, seed, cfg, verbose, k.volumes)
	w.broken = broken
	if seed%8 != 0 {
		w.settle()
	}
	k.world(w)
	w.play(span)
	return w
}

// TestSimulationOfKinds runs schedules of each kind.
func TestSimulationOfKinds(t *testing.T) {
	for i, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			count, first := uint64(4), *simFirst
			switch {
			case *simSeed != 0:
				count, first = 1, *simSeed
			case *simCount > 0:
				count = uint64(*simCount)
			case k.must != nil:
				count = 24
			}
			seen, acked, crashes, happened := 0, 0, 0, tally{}
			for seed := first; seed < first+count; seed++ {
				w := simulateKind(t, i, seed, *simSeed != 0, min(*simSpan, 6*time.Second), "")
				if *simSeed != 0 {
					name := filepath.Join(os.TempDir(), fmt.Sprintf("engine-sim-kind-%d.log", i))
					if err := os.WriteFile(name, []byte(w.log.String()), 0o600); err != nil {
						t.Fatal(err)
					}
					t.Logf("%+v, log in %s", w.stats, name)
				}
				if w.failed != "" {
					t.Errorf("seed %d: %s", seed, w.failed)
				}
				seen += w.stats.unusual
				happened.add(w.happened)
				acked, crashes = acked+w.stats.acked, crashes+w.stats.crashes
			}
			if len(happened) > 0 {
				t.Logf("%d schedules: %d writes acknowledged, %d crashes, %v", count, acked, crashes, happened)
			}
			for _, what := range k.must {
				if happened[what] == 0 && *simSeed == 0 {
					t.Errorf("not in any of these schedules: %s", what)
				}
			}
			if k.must == nil && seen == 0 && *simSeed == 0 {
				t.Error("what these schedules are about did not happen")
			}
		})
	}
}

// TestBrokenKindsAreCaught breaks something that only a kind of schedules depends on.
func TestBrokenKindsAreCaught(t *testing.T) {
	for _, c := range []struct {
		kind, broken string
		first        uint64 // a seed that is known to show it
	}{
		{"pull-ahead", "bits of a node that is ahead are lost", 4},
		{"pauses", "blocks that come in a pause are lost", 82},
		{"disk-timeout", "a disk that hangs is taken back at once", 10},
		{"one disk at a time", "identifiers are not compared", 1},
		{"one disk at a time", "writes reported before they are done", 1},
		{"commands", "suspend-io is not heard", 1},
		{"commands", "flags not written", 9},
		{"no own disk", "losses are forgotten", 68},
		{"verify on disks that change", "digests are not compared", 1},
		{"size", "what is new counts as equal", 1},
		{"power", "messages overtake metadata", 1},
		{"power", "bitmap not written", 1},
		{"old protocols", "only the newest protocol acknowledges", 60},
	} {
		t.Run(c.broken, func(t *testing.T) {
			kind := slices.IndexFunc(kinds, func(k simKind) bool { return k.name == c.kind })
			for seed := c.first; seed < c.first+80; seed++ {
				if w := simulateKind(t, kind, seed, false, 8*time.Second, c.broken); w.failed != "" {
					t.Logf("seed %d: %s", seed, w.failed)
					return
				}
			}
			t.Error("not noticed in 80 schedules")
		})
	}
}

// TestKindsThatFailed repeats what long runs found.
func TestKindsThatFailed(t *testing.T) {
	for _, c := range []struct {
		kind string
		seed uint64
		what string
	}{
		{"pull-ahead", 2026112250094, "the identifier of a resync of nothing that was cut short was replaced: its target had unrelated data"},
		{"pull-ahead", 2026112360263, "demoted before the peer had stored what was acknowledged, and crashed: it knew nothing of it any more"},
		{"demotions", 27, "the same"},
		{"demotions", 899, "the same"},
		{"disk-timeout", 568, "a write of a Primary that was target of a resync was overwritten by the block that had been on its way"},
		{"disk-timeout", 513, "a node began a generation on old data, for a Primary without a disk that did not accept it: a split brain"},
		{"disk-timeout", 30424, "a write that waited for the activity log went to the disk after it was given up, in no log and no bitmap"},
		{"disk-timeout", 32102, "a Primary without a disk wrote to a disk that came back, in the generation of its own: no resync"},
		{"commands", 2026112470173, "a block that a Primary had written before its data was thrown away counted as in sync at the end of the epoch"},
		{"old protocols, A and B", 574, "data that an old protocol cannot compare: somebody has to make metadata anew"},
		{"size, weaker policies", 2026112600030, "the same after growth that was cut short, before the first promotion: no disk was UpToDate, and nobody made them anew"},
		{"size", 2026112700186, "a late fence switched the peer off before it had noted that the volume is smaller: they did not agree on the size any more"},
	} {
		kind := slices.IndexFunc(kinds, func(k simKind) bool { return k.name == c.kind })
		if w := simulateKind(t, kind, c.seed, false, 4*time.Second, ""); w.failed != "" {
			t.Errorf("%s, seed %d (%s): %s", c.kind, c.seed, c.what, w.failed)
		}
	}
}
