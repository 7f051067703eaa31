package engine

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gcrm/replication/metadata"
)

// TestCompareRules has every rule of the comparison, seen from both nodes.
func TestCompareRules(t *testing.T) {
	gen := func(c, b, h1, h2 uint64) metadata.Generations {
		return metadata.Generations{Current: c, Bitmap: b, History: [2]uint64{h1, h2}}
	}
	const step = 1 << 48
	for _, c := range []struct {
		name             string
		a, b             side
		version          int
		want             verdict // for a; b gets the opposite
		ruleA, ruleB     int
		sameForBoth      bool
		correctA         metadata.Generations
		checkCorrections bool
	}{
		{name: "both just created", a: side{Generations: gen(4, 0, 0, 0)}, b: side{Generations: gen(4, 0, 0, 0)}, want: inSyncData, ruleA: 10, ruleB: 10},
		{name: "one just created", a: side{Generations: gen(4, 0, 0, 0)}, b: side{Generations: gen(16, 4, 0, 0)}, want: fullTarget, ruleA: 20, ruleB: 30},
		{name: "source missed the finish", a: side{Generations: gen(16, 32, 48, 0)}, b: side{Generations: gen(17, 0, 32, 48)}, want: bitmapSource, ruleA: 34, ruleB: 35,
			correctA: gen(16, 0, 32, 48), checkCorrections: true},
		{name: "target failed to write the sync UUID", a: side{Generations: gen(16, 32, 48, 0)}, b: side{Generations: gen(16, 0, 48, 0)}, want: bitmapSource, ruleA: 36, ruleB: 37},
		{name: "equal", a: side{Generations: gen(16, 0, 8, 0)}, b: side{Generations: gen(17, 0, 8, 0)}, want: inSyncData, ruleA: 40, ruleB: 40},
		{name: "crashed primary", a: side{Generations: gen(16, 0, 8, 0), crashed: true}, b: side{Generations: gen(16, 0, 8, 0)}, want: bitmapSource, ruleA: 40, ruleB: 40},
		{name: "both crashed", a: side{Generations: gen(16, 0, 8, 0), crashed: true}, b: side{Generations: gen(16, 0, 8, 0), crashed: true}, want: bitmapTarget, ruleA: 40, ruleB: 40},
		{name: "crashed, peer is Primary now", a: side{Generations: gen(16, 0, 8, 0), crashed: true}, b: side{Generations: gen(16, 0, 8, 0), primary: true}, want: bitmapTarget, ruleA: 41, ruleB: 41},
		{name: "crashed and both Primary", a: side{Generations: gen(16, 0, 8, 0), crashed: true, primary: true}, b: side{Generations: gen(16, 0, 8, 0), primary: true}, want: splitRefused, ruleA: 41, ruleB: 41, sameForBoth: true},
		{name: "peer went on alone", a: side{Generations: gen(16, 0, 8, 0)}, b: side{Generations: gen(32, 17, 8, 0)}, want: bitmapTarget, ruleA: 50, ruleB: 70},
		{name: "lost sync UUID", a: side{Generations: gen(16, 0, 8, 0)}, b: side{Generations: gen(32, 16+step, 16, 8)}, want: bitmapTarget, ruleA: 51, ruleB: 71},
		{name: "two generations behind", a: side{Generations: gen(16, 0, 8, 0)}, b: side{Generations: gen(64, 32, 48, 16)}, want: fullTarget, ruleA: 60, ruleB: 80},
		{name: "two resyncs cut short, and a fork", a: side{Generations: gen(16, 0, 8, 0)}, b: side{Generations: gen(32, 16+2*step, 16+step, 64)}, want: fullTarget, ruleA: 52, ruleB: 72},
		{name: "many resyncs cut short", a: side{Generations: gen(16, 0, 8, 0)}, b: side{Generations: gen(32, 16+9*step, 16+8*step, 16+7*step)}, want: fullTarget, ruleA: 52, ruleB: 72},
		{name: "in the middle of one that was replaced", a: side{Generations: gen(17+2*step, 0, 8, 0)}, b: side{Generations: gen(32, 96, 16, 64)}, want: fullTarget, ruleA: 52, ruleB: 72},
		{name: "has written since", a: side{Generations: gen(16, 40, 8, 0)}, b: side{Generations: gen(32, 16+2*step, 16+step, 64)}, want: unrelated, ruleA: 0, ruleB: 0, sameForBoth: true},
		{name: "other data, not of that line", a: side{Generations: gen(64, 0, 72, 80)}, b: side{Generations: gen(32, 96, 88, 104)}, want: unrelated, ruleA: 0, ruleB: 0, sameForBoth: true},
		{name: "decided split brain, beginning missed", a: side{Generations: gen(64, 16, 72, 80)}, b: side{Generations: gen(32, 17+step, 16, 88)}, want: splitBrain, ruleA: 92, ruleB: 92, sameForBoth: true},
		{name: "the same, three times", a: side{Generations: gen(64, 16, 72, 80)}, b: side{Generations: gen(32, 17+3*step, 16+2*step, 16+step)}, want: splitBrain, ruleA: 92, ruleB: 92, sameForBoth: true},
		{name: "split brain", a: side{Generations: gen(64, 16, 8, 0)}, b: side{Generations: gen(32, 17, 8, 0)}, want: splitBrain, ruleA: 90, ruleB: 90, sameForBoth: true},
		{name: "split brain long ago", a: side{Generations: gen(64, 0, 8, 2)}, b: side{Generations: gen(32, 0, 24, 9)}, want: splitRefused, ruleA: 100, ruleB: 100, sameForBoth: true},
		{name: "empty histories count as equal", a: side{Generations: gen(64, 0, 0, 0)}, b: side{Generations: gen(32, 0, 0, 0)}, want: splitRefused, ruleA: 100, ruleB: 100, sameForBoth: true},
		{name: "unrelated", a: side{Generations: gen(64, 0, 72, 80)}, b: side{Generations: gen(32, 0, 88, 96)}, want: unrelated, ruleA: 0, ruleB: 0, sameForBoth: true},
		{name: "needs protocol 91", a: side{Generations: gen(16, 32, 48, 0)}, b: side{Generations: gen(16, 0, 48, 0)}, version: 90, want: needProto91, ruleA: 34, ruleB: 35, sameForBoth: true},
	} {
		if c.version == 0 {
			c.version = 101
		}
		a := compare(c.a, c.b, true, c.version, true)
		b := compare(c.b, c.a, false, c.version, true)
		wantB := -c.want
		if c.sameForBoth {
			wantB = c.want
		}
		if a.verdict != c.want || b.verdict != wantB || a.rule != c.ruleA || b.rule != c.ruleB {
			t.Errorf("%s: %v on a and %v on b, want %d by rule %d and %d by rule %d", c.name, a, b, c.want, c.ruleA, wantB, c.ruleB)
		}
		if c.checkCorrections && a.self != c.correctA {
			t.Errorf("%s: own identifiers become %X", c.name, a.self)
		}
	}
}

// TestCompareIsOpposite lets two nodes live through random histories: promotions,
// writes apart, resyncs that finish or break off at every step. Whatever they
// compare, they come to opposite verdicts.
func TestCompareIsOpposite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		next := uint64(0x1000)
		random := func() uint64 { next += 0x100; return next }
		nodes := [2]side{{Generations: metadata.Generations{Current: random()}}, {}}
		nodes[1] = nodes[0]
		var log []string
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			i := rapid.IntRange(0, 1).Draw(t, "node")
			n, peer := &nodes[i], &nodes[1-i]
			switch rapid.IntRange(0, 3).Draw(t, "event") {
			case 0: // goes on alone as Primary
				n.primary = true
				if n.Bitmap == 0 {
					n.NewCurrent(random(), true)
				}
				log = append(log, fmt.Sprintf("%d alone", i))
			case 1:
				n.primary = false
				log = append(log, fmt.Sprintf("%d secondary", i))
			case 2:
				n.crashed, n.primary = n.crashed || n.primary, false
				log = append(log, fmt.Sprintf("%d crashes", i))
			case 3:
				c := compare(*n, *peer, true, 101, true)
				o := compare(*peer, *n, false, 101, true)
				opposite := c.verdict == -o.verdict
				if c.verdict == splitBrain || c.verdict == splitRefused || c.verdict == unrelated {
					opposite = c.verdict == o.verdict
				}
				if !opposite {
					t.Fatalf("%v on node %d, %v on the other after %s\n%+v\n%+v", c, i, o, strings.Join(log, ", "), *n, *peer)
				}
				if c.verdict < bitmapTarget || c.verdict > fullSource || c.verdict == inSyncData {
					continue
				}
				source, target := n, peer
				if c.verdict < 0 {
					source, target = peer, n
				}
				n.Generations, peer.Generations = c.self, o.self
				before := source.Generations
				target.primary = false
				how := rapid.IntRange(0, 3).Draw(t, "progress")
				log = append(log, fmt.Sprintf("resync %d by rule %d", how, c.rule))
				sync := source.StartSource(random())
				if how == 0 {
					continue // the target never got the identifier
				}
				target.StartTarget(sync, false)
				if how == 1 {
					continue
				}
				target.FinishTarget(before, false)
				target.crashed = false
				if how == 2 {
					continue // the source did not hear of it
				}
				source.FinishSource()
				source.crashed = false
			}
		}
	})
}

// TestPolicies has the tables of the after-sb policies, from both sides.
func TestPolicies(t *testing.T) {
	mark := func(on bool) metadata.Generations {
		g := metadata.Generations{Bitmap: 16}
		if on {
			g.Bitmap = 17
		}
		return g
	}
	for _, c := range []struct {
		name             string
		policies         [3]uint32
		aWas, bWas       bool // Primary when the split began
		aBits, bBits     uint64
		aPri, bPri       bool
		want             verdict // for a
		demoteA, demoteB bool
	}{
		{name: "disconnect", want: splitRefused},
		{name: "younger", policies: [3]uint32{SBDiscardYoungerPrimary}, bWas: true, want: bitmapTarget},
		{name: "older", policies: [3]uint32{SBDiscardOlderPrimary}, bWas: true, want: bitmapSource},
		{name: "younger, undecided, least changes", policies: [3]uint32{SBDiscardYoungerPrimary}, aBits: 1, bBits: 2, want: bitmapTarget},
		{name: "zero changes of b", policies: [3]uint32{SBDiscardZeroChanges}, aBits: 3, want: bitmapSource},
		{name: "zero changes of a", policies: [3]uint32{SBDiscardZeroChanges}, bBits: 3, want: bitmapTarget},
		{name: "no changes at all", policies: [3]uint32{SBDiscardZeroChanges}, want: bitmapTarget},
		{name: "changes on both", policies: [3]uint32{SBDiscardZeroChanges}, aBits: 1, bBits: 1, want: splitRefused},
		{name: "least changes", policies: [3]uint32{SBDiscardLeastChanges}, aBits: 5, bBits: 2, want: bitmapSource},
		{name: "one Primary, disconnect", policies: [3]uint32{SBDiscardZeroChanges}, aPri: true, aBits: 1, want: splitRefused},
		{name: "consensus", policies: [3]uint32{SBDiscardZeroChanges, SBConsensus}, aPri: true, aBits: 1, want: bitmapSource},
		{name: "no consensus", policies: [3]uint32{SBDiscardZeroChanges, SBConsensus}, aPri: true, bBits: 1, want: splitRefused},
		{name: "violently", policies: [3]uint32{SBDiscardZeroChanges, SBViolently}, aPri: true, bBits: 1, want: bitmapTarget},
		{name: "discard secondary", policies: [3]uint32{SBDisconnect, SBDiscardSecondary}, aPri: true, bBits: 9, want: bitmapSource},
		{name: "call helper", policies: [3]uint32{SBDiscardZeroChanges, SBCallHelper}, aPri: true, bBits: 1, want: bitmapTarget, demoteA: true},
		{name: "two Primaries, disconnect", policies: [3]uint32{SBDiscardZeroChanges}, aPri: true, bPri: true, aBits: 1, want: splitRefused},
		{name: "two Primaries, helper", policies: [3]uint32{SBDiscardZeroChanges, 0, SBCallHelper}, aPri: true, bPri: true, aBits: 1, want: bitmapSource, demoteB: true},
	} {
		a := quarrel{mark(c.aWas), mark(c.bWas), c.aBits, c.bBits, c.aPri, c.bPri, true}
		b := quarrel{mark(c.bWas), mark(c.aWas), c.bBits, c.aBits, c.bPri, c.aPri, false}
		va, da := a.decide(c.policies)
		vb, db := b.decide(c.policies)
		wantB := -c.want
		if c.want == splitRefused {
			wantB = splitRefused
		}
		if va != c.want || vb != wantB || da != c.demoteA || db != c.demoteB {
			t.Errorf("%s: a %d (demote %v), b %d (demote %v), want %d", c.name, va, da, vb, db, c.want)
		}
	}
}
