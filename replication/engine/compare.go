package engine

import (
	"fmt"

	"gcrm/replication/metadata"
)

// verdict of the comparison of two sets of generation identifiers, seen from the own
// side.
type verdict int

const (
	fullTarget   verdict = -2
	bitmapTarget verdict = -1
	inSyncData   verdict = 0
	bitmapSource verdict = 1
	fullSource   verdict = 2
	splitBrain   verdict = 100  // the policies may decide
	splitRefused verdict = -100 // disconnect, unless the administrator decides
	unrelated    verdict = -1000
	needProto91  verdict = -1091
)

const (
	// missedEnd is the rule by which this node is source of a resync that the peer has
	// finished already.
	missedEnd = 34
	// missedFinish is the same, seen from that peer.
	missedFinish = 35
	// bothPrimaries is the rule by which one of two Primaries says that the other may miss
	// something.
	bothPrimaries = 41
)

// side is what the comparison knows of one node.
type side struct {
	metadata.Generations
	crashed bool // was a crashed primary
	primary bool // is Primary now
}

// comparison is the outcome with the rule that made it.
type comparison struct {
	verdict verdict
	rule    int
	// self and peer are the sets after corrections of what one node missed.
	self, peer metadata.Generations
}

func (c comparison) String() string { return fmt.Sprintf("compare=%d by rule %d", c.verdict, c.rule) }

// compare decides who has the newer data. resolver is true on the node that accepted
// the meta socket. The two nodes come to opposite verdicts. version is the agreed
// protocol; writeSame whether that feature is agreed.
func compare(self, peer side, resolver bool, version int, writeSame bool) comparison {
	s, p := self.Generations, peer.Generations
	is := func(v verdict, rule int) comparison { return comparison{v, rule, s, p} }
	same := metadata.SameGeneration
	empty := func(u uint64) bool { return same(u, 0) }
	fresh := func(u uint64) bool { return u&^metadata.PrimaryMark == metadata.JustCreated }
	switch {
	case fresh(s.Current) && fresh(p.Current):
		return is(inSyncData, 10)
	case (fresh(s.Current) || empty(s.Current)) && !fresh(p.Current):
		return is(fullTarget, 20)
	case !fresh(s.Current) && (fresh(p.Current) || empty(p.Current)):
		return is(fullSource, 30)
	case same(s.Current, p.Current):
		switch {
		case empty(p.Bitmap) && !empty(s.Bitmap):
			if version < 91 {
				return is(needProto91, 34)
			}
			if same(s.Bitmap, p.History[0]) && same(s.History[0], p.History[1]) {
				s.SetBitmap(0)
				return is(bitmapSource, missedEnd)
			}
			return is(bitmapSource, 36)
		case empty(s.Bitmap) && !empty(p.Bitmap):
			if version < 91 {
				return is(needProto91, 35)
			}
			if same(s.History[0], p.Bitmap) && same(s.History[1], p.History[0]) {
				p.SetBitmap(0)
				return is(bitmapTarget, missedFinish)
			}
			return is(bitmapTarget, 37)
		case !self.crashed && !peer.crashed:
			return is(inSyncData, 40)
		case self.primary && peer.primary:
			return is(splitRefused, bothPrimaries)
		case self.primary || peer.primary:
			switch {
			case !writeSame:
				return is(unrelated-1, 41)
			case self.primary:
				return is(bitmapSource, 41)
			}
			return is(bitmapTarget, 41)
		case self.crashed && peer.crashed:
			if resolver {
				return is(bitmapTarget, 40)
			}
			return is(bitmapSource, 40)
		case self.crashed:
			return is(bitmapSource, 40)
		}
		return is(bitmapTarget, 40)
	}
	const step = 1 << 48
	switch {
	case same(s.Current, p.Bitmap):
		return is(bitmapTarget, 50)
	case same(s.Current, p.History[0]) && (version >= 96 && same(p.History[0]+step, p.Bitmap) || version < 96 && same(s.History[0], p.History[1])):
		if version < 91 {
			return is(needProto91, 51)
		}
		p.Bitmap, p.History[0] = p.History[0], p.History[1]
		return is(bitmapTarget, 51)
	case same(s.Current, p.History[0]) || same(s.Current, p.History[1]):
		return is(fullTarget, 60)
	case same(s.Bitmap, p.Current):
		return is(bitmapSource, 70)
	case same(s.History[0], p.Current) && (version >= 96 && same(s.History[0]+step, s.Bitmap) || version < 96 && same(s.History[1], p.History[0])):
		if version < 91 {
			return is(needProto91, 71)
		}
		s.Bitmap, s.History[0] = s.History[0], s.History[1]
		return is(bitmapSource, 71)
	case same(p.Current, s.History[0]) || same(p.Current, s.History[1]):
		return is(fullSource, 80)
	}
	// Resyncs that were begun and cut short, and whose identifiers the source has replaced since:
	// each follows from the one before. The kernel does not look for it.
	switch target, source := cutShort(s, p), cutShort(p, s); {
	case target && !source:
		return is(fullTarget, 52)
	case source && !target:
		return is(fullSource, 72)
	}
	if same(s.Bitmap, p.Bitmap) && !empty(s.Bitmap) {
		return is(splitBrain, 90)
	}
	// The same split brain: it was decided, but the node that was to give way missed the beginning of the resync. Both
	// bitmaps still tell what was written since. The kernel does not look for it.
	if metadata.SameLine(s.Bitmap, p.Bitmap) {
		return is(splitBrain, 92)
	}
	for _, a := range s.History {
		for _, b := range p.History {
			if same(a, b) {
				return is(splitRefused, 100)
			}
		}
	}
	return is(unrelated, 0)
}

// cutShort tells whether target's data is what a resync of source begins with or leaves behind when it is cut short:
// its generation is of the same line as one that source noted for its peer. A node that notes differences to
// another generation has written since, and is not.
func cutShort(target, source metadata.Generations) bool {
	if !metadata.SameGeneration(target.Bitmap, 0) {
		return false
	}
	for _, noted := range append(source.History[:], source.Bitmap) {
		if metadata.SameLine(target.Current, noted) {
			return true
		}
	}
	return false
}

// quarrel is what the policies for a split brain know.
type quarrel struct {
	self, peer         metadata.Generations
	selfBits, peerBits uint64 // changed blocks
	selfPri, peerPri   bool   // Primary now
	resolver           bool
}

// decide applies the policy for the number of Primaries. It gives bitmapTarget or
// bitmapSource, or splitRefused when the policy does not decide; demote says that the
// verdict (bitmapTarget) holds only if this Primary can be demoted first.
func (q quarrel) decide(policies [3]uint32) (v verdict, demote bool) {
	zero := q.zeroPrimaries(policies[0])
	switch {
	case !q.selfPri && !q.peerPri:
		return zero, false
	case q.selfPri && q.peerPri:
		switch policies[2] {
		case SBViolently:
			return zero, false
		case SBCallHelper:
			return zero, zero == bitmapTarget
		}
		return splitRefused, false
	}
	switch policies[1] {
	case SBConsensus:
		if zero == bitmapTarget && !q.selfPri || zero == bitmapSource && q.selfPri {
			return zero, false
		}
	case SBViolently:
		return zero, false
	case SBDiscardSecondary:
		if q.selfPri {
			return bitmapSource, false
		}
		return bitmapTarget, false
	case SBCallHelper:
		return zero, zero == bitmapTarget && q.selfPri
	}
	return splitRefused, false
}

func (q quarrel) zeroPrimaries(policy uint32) verdict {
	self, peer := q.self.Bitmap&metadata.PrimaryMark != 0, q.peer.Bitmap&metadata.PrimaryMark != 0
	tie := bitmapSource
	if q.resolver {
		tie = bitmapTarget
	}
	least := func() verdict {
		switch {
		case q.selfBits < q.peerBits:
			return bitmapTarget
		case q.selfBits > q.peerBits:
			return bitmapSource
		}
		return tie
	}
	switch policy {
	case SBDiscardYoungerPrimary:
		switch {
		case !self && peer:
			return bitmapTarget
		case self && !peer:
			return bitmapSource
		}
		return least()
	case SBDiscardOlderPrimary:
		switch {
		case !self && peer:
			return bitmapSource
		case self && !peer:
			return bitmapTarget
		}
		return least()
	case SBDiscardZeroChanges:
		switch {
		case q.selfBits == 0 && q.peerBits == 0:
			return tie
		case q.peerBits == 0:
			return bitmapSource
		case q.selfBits == 0:
			return bitmapTarget
		}
	case SBDiscardLeastChanges:
		return least()
	case SBDiscardLocal:
		return bitmapTarget
	case SBDiscardRemote:
		return bitmapSource
	}
	return splitRefused
}
