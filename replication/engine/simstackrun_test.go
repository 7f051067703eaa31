package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

type stackKind struct {
	name string
	set  func(seed uint64, below, above *Config)
	make func(*simStack)
	// split: it begins in sync, and split brains are what it is about; disks: they fail.
	split, disks bool
}

// stackKinds are schedules of three machines.
var stackKinds = []stackKind{
	{"stonith", nil, nil, false, false},
	{"protocols A and B on top", func(seed uint64, _, above *Config) {
		above.Protocol, above.Fencing = ProtocolA+uint32(seed%2), FencingResourceOnly
		// Always: a resync that was interrupted before the target heard of its identifier
		// leaves a split brain of the second order.
		above.AfterSB, above.AlwaysASBP = [3]uint32{SBDiscardLeastChanges, SBDiscardSecondary, SBDisconnect}, true
	}, func(s *simStack) { s.upper.weak, s.upper.attended = true, true }, false, false},
	{"one disk at a time below", func(seed uint64, below, _ *Config) {
		below.OnIOError = IOErrorPolicy(seed % 2)
	}, func(s *simStack) { s.lower.badDisks, s.lower.oneFault, s.lower.attended = true, true, true }, false, true},
	{"split brain on top", func(_ uint64, _, above *Config) { above.Fencing = FencingDontCare }, func(s *simStack) {
		s.upper.weak, s.upper.split = true, newSimSplit(splitSectors(s.upper.blocks))
	}, true, false},
	{"split brain below", func(_ uint64, below, _ *Config) { below.Fencing = FencingDontCare }, func(s *simStack) {
		s.lower.split = newSimSplit(splitSectors(s.upper.blocks))
	}, true, false},
	{"on a target below", func(_ uint64, below, _ *Config) {
		below.Fencing = FencingDontCare
		below.ResyncRate, below.MaxRate = 4000, 4000 // a resync takes longer than a move
	}, func(s *simStack) {
		s.lower.split, s.lower.parting = newSimSplit(splitSectors(s.upper.blocks)), true
		s.upper.attended = true // without a good disk below it does not take older data, and stands alone
	}, true, false},
}

func simulateStack(t testing.TB, kind int, seed uint64, verbose bool, span time.Duration, broken string) *simStack {
	k := stackKinds[kind]
	below, above := simConfig(), simConfig()
	if k.set != nil {
		k.set(seed, &below, &above)
	}
	s := newSimStack(t, seed, verbose, below, above, k.split || seed%8 != 0)
	if where, what, ok := strings.Cut(broken, ": "); !ok {
		s.broken = broken
	} else if where == "below" {
		s.lower.broken = what
	} else {
		s.upper.broken = what
	}
	if k.make != nil {
		k.make(s)
	}
	s.play(span)
	return s
}

// TestSimulationOfStacks runs schedules of three machines, each kind in turn.
func TestSimulationOfStacks(t *testing.T) {
	count, first := uint64(16), *simFirst
	if *simCount > 0 {
		count = uint64(*simCount)
	}
	if *simSeed != 0 {
		count, first = 1, *simSeed
	}
	for i, k := range stackKinds {
		t.Run(k.name, func(t *testing.T) {
			acked, crashes, moves, equal, brains, looked, disks := 0, 0, 0, 0, 0, 0, tally{}
			for seed := first; seed < first+count; seed++ {
				s := simulateStack(t, i, seed, *simSeed != 0, min(*simSpan, 8*time.Second), "")
				if *simSeed != 0 {
					name := filepath.Join(os.TempDir(), fmt.Sprintf("engine-sim-stack-%d.log", i))
					if err := os.WriteFile(name, []byte(s.log.String()), 0o600); err != nil {
						t.Fatal(err)
					}
					t.Logf("%+v, %+v, log in %s", s.lower.stats, s.upper.stats, name)
				}
				if s.failed != "" {
					t.Errorf("seed %d: %s", seed, s.failed)
				}
				acked += s.upper.stats.acked
				crashes += s.lower.stats.crashes + s.upper.stats.crashes
				moves += s.moves
				equal += s.upper.stats.equal
				for _, w := range []*world{s.lower, s.upper} {
					if w.split != nil {
						brains += w.split.found
						looked += w.split.checked
					}
				}
				disks.add(s.lower.happened)
			}
			t.Logf("%d schedules: %d writes acknowledged, %d crashes, %d moves to the other machine, %d split brains, %d writes looked for, %d compared, %v",
				count, acked, crashes, moves, brains, looked, equal, disks)
			happened := acked > 0 && crashes > 0 && moves > 0 && equal > 0 && (!k.split || brains > 0 && looked > 0) && (!k.disks || disks[cacheLost] > 0)
			if *simSeed == 0 && *simSpan >= 8*time.Second && !happened {
				t.Error("what these schedules are about did not happen")
			}
		})
	}
}

// TestBrokenStacksAreCaught breaks one rule at a time, below, on top or between them.
func TestBrokenStacksAreCaught(t *testing.T) {
	for _, c := range []struct {
		kind, broken string
		first        uint64 // a seed that is known to show it, so that the test is short
	}{
		{"stonith", "flushes go nowhere", 8},
		{"stonith", "no activity log on top", 5},
		{"stonith", "metadata on one disk", 1},
		{"stonith", "generations not written on top", 24},
		{"stonith", "below: a flush that does nothing", 11},
		{"stonith", "below: writes reported before they are done", 1},
		{"stonith", "below: a fence that does not fence", 1},
		{"stonith", "below: no activity log", 10},
		{"stonith", "above: a fence that does not fence", 1},
		{"stonith", "above: messages out of order", 157},
		{"one disk at a time below", "below: a disk that fails and does not say so", 1},
		{"one disk at a time below", "below: a flush that does nothing", 15},
		{"one disk at a time below", "below: identifiers are not compared", 3},
		{"one disk at a time below", "below: writes reported before they are done", 1},
		{"split brain on top", "above: every node gives way", 15},
		{"split brain on top", "above: identifiers are not compared", 1},
		{"split brain on top", "generations not written on top", 1},
		{"split brain on top", "no activity log on top", 3},
		{"split brain below", "below: every node gives way", 46},
		{"split brain below", "below: identifiers are not compared", 1},
		{"split brain below", "below: bitmap not written", 1},
	} {
		t.Run(c.kind+", "+c.broken, func(t *testing.T) {
			kind := slices.IndexFunc(stackKinds, func(k stackKind) bool { return k.name == c.kind })
			for seed := c.first; seed < c.first+80; seed++ {
				if s := simulateStack(t, kind, seed, false, 8*time.Second, c.broken); s.failed != "" {
					t.Logf("seed %d: %s", seed, s.failed)
					return
				}
			}
			t.Error("not noticed in 80 schedules")
		})
	}
}

// TestBrokenLogIsCaught: power fails between a transaction and the flush after it, and extents have left the log
// whose data is gone.
func TestBrokenLogIsCaught(t *testing.T) {
	kind := slices.IndexFunc(stackKinds, func(k stackKind) bool { return k.name == "on a target below" })
	s := simulateStack(t, kind, 2026114304987, false, 4*time.Second, brokenLog)
	if t.Logf("%s", s.failed); !strings.Contains(s.failed, "differs") {
		t.Errorf("not noticed: %q", s.failed)
	}
}

// TestStacksThatFailed repeats what long runs found.
func TestStacksThatFailed(t *testing.T) {
	for _, c := range []struct {
		kind string
		seed uint64
		what string
	}{
		{"split brain below", 1006447, "a write that the peer had answered and lost again counted as equal once the own disk was done"},
		{"split brain on top", 1006388, "a person who changed its mind about whose data to keep"},
		{"split brain on top", 2026112470051, "the target of a resync had noted the end when its source crashed: that it wrote alone then is no split brain"},
		{"split brain below", 2026112620598, "a Primary that is target of a resync lost its source: an error is right, and the side on top does not start"},
		{"on a target below", 2026114304987, "an extent left the activity log before what was written there was durable"},
		{"on a target below", 2026112921901, "the disk on top had failed, and the word of it came after its refusal of a write"},
		{"on a target below", 2026114100820, "somebody wrote below to the owner while it was being demoted; that was refused, and the side on top, which knew nothing of it, went on there"},
		{"one disk at a time below", 2026112471095, "a disk that forgot what it had acknowledged while nobody used it: nobody can know"},
	} {
		kind := slices.IndexFunc(stackKinds, func(k stackKind) bool { return k.name == c.kind })
		if s := simulateStack(t, kind, c.seed, false, 4*time.Second, ""); s.failed != "" {
			t.Errorf("%s, seed %d (%s): %s", c.kind, c.seed, c.what, s.failed)
		}
	}
}
