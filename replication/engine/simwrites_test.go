package engine

import (
	"encoding/binary"
	"slices"
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// splitWrite is a write to a resource without fencing.
type splitWrite struct {
	sector, value uint64
	node          int // on whose disk it was when it was acknowledged
	issued        time.Duration
	acked         bool
	// conn is the last connection at the time when it was acknowledged alone: a resync on a
	// later one brings it to the peer.
	conn int
	// thrown: a person gave it up, with the data of its node.
	thrown bool
	// lost are the nodes that had it in a cache when they crashed, and not afterwards: nobody
	// asks for a flush here.
	lost [2]bool
	// gone: a person kept data that had lost it.
	gone bool
}

// mayBeGone tells whether an acknowledged write may be gone: a person said so, or the node that
// wrote it crashed, and one of the nodes lost it from its cache.
func (v *splitWrite) mayBeGone(w *world) bool {
	return v.thrown || v.gone || w.nodes[v.node].crashed >= v.issued && (v.lost[0] || v.lost[1])
}

// issue notes the beginning of a write.
func (s *simSplit) issue(n *simNode, sector, value uint64) *splitWrite {
	v := &splitWrite{sector: sector, value: value, node: n.id, issued: n.w.now}
	s.writes[sector] = append(s.writes[sector], v)
	return v
}

// issueAll is issue for a request of any size and place. One that is not about the sectors that
// are looked at, like those for metadata, counts as a write, too.
func (s *simSplit) issueAll(n *simNode, first uint64, data []byte) (out []*splitWrite) {
	for _, sector := range s.sectors {
		if at := (sector - first) * metadata.SectorSize; sector >= first && at < uint64(len(data)) {
			out = append(out, s.issue(n, sector, binary.LittleEndian.Uint64(data[at:])))
		}
	}
	if out == nil {
		out = []*splitWrite{{sector: first, value: binary.LittleEndian.Uint64(data), node: n.id, issued: n.w.now}}
	}
	return out
}

// acknowledged is the end of a write.
func (s *simSplit) acknowledged(n *simNode, v *splitWrite) {
	v.acked = true
	switch {
	case n.copies[0].e.State().Disk() < wire.UpToDate:
		v.node = 1 - n.id // it counts because the source of the resync has it
		return
	case n.r.lowest() >= wire.Connected:
		return
	}
	if v.conn = n.w.conn; n.conn != 0 && s.met[n.id] != n.conn {
		v.conn-- // the nodes have not compared their data on this one
	}
	s.alone[n.id] = append(s.alone[n.id], v)
}

// giveUp marks what is gone when the data of a node is thrown away: it is target of the resync.
func (s *simSplit) giveUp(w *world, loser int) {
	keep := w.nodes[1-loser]
	s.givenUp = true
	for _, v := range s.alone[loser] {
		v.thrown = keep.has(v.sector) != v.value // it may have come there, and the answer not back
	}
	for _, list := range s.writes {
		for _, v := range list {
			v.gone = v.gone || v.node == loser && v.lost[keep.id]
		}
	}
}

// beforeCrash and afterCrash find out what a node lost: for the side on top that is when it
// starts again.
func (s *simSplit) beforeCrash(n *simNode) {
	if len(s.had[n.id]) > 0 {
		return // it has not come to start again
	}
	for _, sector := range s.sectors {
		s.had[n.id][sector] = n.has(sector)
	}
}

func (s *simSplit) afterCrash(n *simNode) {
	for sector, had := range s.had[n.id] {
		list := s.writes[sector]
		last := func(value uint64) int {
			for i, v := range slices.Backward(list) {
				if v.value == value {
					return i
				}
			}
			return -1
		}
		for i := last(n.has(sector)) + 1; i <= last(had); i++ {
			list[i].lost[n.id] = list[i].lost[n.id] || !slices.Contains(s.alone[1-n.id], list[i])
		}
	}
	clear(s.had[n.id])
}

// has is what a node has in a place.
func (n *simNode) has(sector uint64) uint64 {
	return binary.LittleEndian.Uint64(n.copies[0].disk.content().sector(sector))
}

// noted is told of every super block of a node that is durable. That of the end of a resync
// says that this node and its peer have all that either had when they met; whether the peer
// hears of it, and is still there, does not matter.
func (s *simSplit) noted(n *simNode, super metadata.Superblock) {
	end := s.ended[n.id]
	if end.conn == 0 || super.Flags&metadata.FlagWasUpToDate == 0 {
		return
	}
	s.ended[n.id] = resyncEnd{}
	for i := range s.alone {
		s.alone[i] = slices.DeleteFunc(s.alone[i], func(v *splitWrite) bool { return v.conn < end.conn })
	}
	s.carriedOut(n.w, end.at, n)
}

// resyncEnd is the end of a resync that a node has not noted yet.
type resyncEnd struct {
	conn int
	at   time.Duration
}

// carriedOut is the end of what separated the nodes: those given have to have everything.
func (s *simSplit) carriedOut(w *world, at time.Duration, nodes ...*simNode) {
	keep := w.nodes[1-s.loser]
	for _, n := range nodes {
		for _, sector := range s.sectors {
			if s.survivor == nil || keep.crashed > s.at && keep.crashed < at {
				break // it may have lost what was in its cache
			}
			if got, v := n.has(sector), s.survivor[sector]; got != v {
				w.fail("node %d has %d at %d, the data that was kept has %d", n.id, got, sector, v)
			}
		}
		s.check(w, n)
	}
	if s.decided && s.brain {
		s.found++
	}
	s.decided, s.brain, s.givenUp, s.survivor = false, false, false, nil
}

// check looks for every acknowledged write, or one that came after it, on a node that has to
// have everything but what its peer acknowledged alone since.
func (s *simSplit) check(w *world, n *simNode) {
	for _, sector := range s.sectors {
		list, got := s.writes[sector], n.has(sector)
		for i, v := range slices.Backward(list) {
			if !v.acked || v.mayBeGone(w) || slices.Contains(s.alone[1-n.id], v) {
				continue
			}
			s.checked++
			if !slices.ContainsFunc(list[i:], func(o *splitWrite) bool { return o.value == got && !o.thrown }) {
				w.fail("node %d has %d at %d, node %d acknowledged %d at %v, and nobody gave it up", n.id, got, sector, v.node, v.value, v.issued)
			}
			break
		}
	}
}

// forget drops what was overwritten. What both nodes have is the truth from now on.
func (s *simSplit) forget(w *world) {
	for sector, list := range s.writes {
		got := w.nodes[0].has(sector)
		if got != w.nodes[1].has(sector) {
			continue // it is being written
		}
		for i, v := range slices.Backward(list) {
			if v.value == got && !v.thrown {
				v.acked, v.gone, v.lost, v.issued = true, false, [2]bool{}, w.now
				s.writes[sector] = list[i:]
				break
			}
		}
	}
}
