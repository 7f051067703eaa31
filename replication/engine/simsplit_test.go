package engine

import (
	"time"

	"gcrm/replication/wire"
)

// simSplit is about a resource without fencing, whose both nodes are promoted while they
// do not see each other. No policy decides about a split brain: it has to be found, and
// a person says whose data is thrown away. Nothing else may throw away what was acknowledged.
type simSplit struct {
	sectors []uint64                 // that are written
	writes  map[uint64][]*splitWrite // by sector, in their order
	// alone are the writes that were acknowledged alone, and did not come to the peer since.
	alone [2][]*splitWrite
	// decided: the data of loser is thrown away; survivor is what the other one had then.
	decided  bool
	brain    bool // both had something alone
	givenUp  bool // the resync has begun
	loser    int
	at       time.Duration
	survivor map[uint64]uint64
	met      [2]int  // the last connection on which a node was Connected
	synced   [2]bool // as the nodes see it
	equal    bool    // both do
	ended    [2]resyncEnd
	had      [2]map[uint64]uint64 // before a crash, by sector
	pending  [2]int               // writes under way
	found    int                  // split brains that were found and healed
	checked  int                  // acknowledged writes that were looked for
}

func newSimSplit(sectors []uint64) *simSplit {
	return &simSplit{sectors: sectors, writes: map[uint64][]*splitWrite{}, had: [2]map[uint64]uint64{{}, {}}}
}

// watch is called after everything that a node does.
func (w *world) watch() {
	s := w.split
	a, b := w.nodes[0], w.nodes[1]
	for i, n := range w.nodes {
		if !n.up || n.conn == 0 {
			s.synced[i] = false
			continue
		}
		c := n.copies[0]
		st := c.e.State()
		if st.Conn() >= wire.Connected {
			s.met[i] = n.conn
		}
		if a.up && b.up && a.conn == b.conn && st.Conn() >= wire.Connected && s.apart() && !s.decided {
			w.fail("both nodes wrote alone (%v), and they are connected again: %v, %v", s.counts(), w.describe(0), w.describe(1))
		}
		if st.Conn() == wire.SyncTarget {
			switch mayLose := s.decided && s.loser == i; {
			case mayLose && !s.givenUp:
				s.giveUp(w, i)
			case !mayLose && len(s.alone[i]) > 0:
				w.fail("node %d wrote alone (%v), and is target of a resync: %v, %v", i, s.counts(), w.describe(0), w.describe(1))
			}
		}
		s.synced[i] = st.Conn() == wire.Connected && st.Disk() == wire.UpToDate && st.PeerDisk() == wire.UpToDate && c.e.OutOfSync() == 0
	}
	equal := s.synced[0] && s.synced[1] && a.conn == b.conn
	if equal && !s.equal {
		s.alone = [2][]*splitWrite{}
		s.carriedOut(w, w.now, a, b)
		s.forget(w)
	}
	s.equal = equal
}

// apart tells whether both nodes have acknowledged what the other one does not have.
func (s *simSplit) apart() bool { return len(s.alone[0]) > 0 && len(s.alone[1]) > 0 }

func (s *simSplit) counts() [2]int { return [2]int{len(s.alone[0]), len(s.alone[1])} }

// scribble writes on a node that is Primary.
func (w *world) scribble(n *simNode) {
	s := w.split
	if !n.up || s.decided || s.pending[n.id] > 4 || n.copies[0].e.State().Role() != wire.Primary {
		return
	}
	w.seq++
	value, sector, life := uint64(w.seq), s.sectors[w.r.IntN(len(s.sectors))], n.life
	s.pending[n.id]++
	c, v := n.copies[0], s.issue(n, sector, value)
	n.act(func() {
		c.e.Write(n.clock(), c.request(&request{then: func(_ []byte, err error) {
			if n.life != life {
				return
			}
			s.pending[n.id]--
			if err == nil {
				w.stats.acked++
				s.acknowledged(n, v)
			}
		}}), sector, payload(value), false)
	})
}

// rejoin is what a person does when nodes stand alone. It takes several visits. An
// argument of -1 lets it choose whose data is thrown away.
func (w *world) rejoin(loser int) {
	s := w.split
	a, b := w.nodes[0], w.nodes[1]
	if !a.up || !b.up || a.r.lowest() != wire.StandAlone && b.r.lowest() != wire.StandAlone || w.cut {
		return
	}
	role := func(n *simNode) wire.Role { return n.copies[0].e.State().Role() }
	chosen := loser < 0
	switch {
	case s.decided:
		loser = s.loser // the resync may have begun
	case chosen:
		loser = w.r.IntN(2)
		if role(a) != role(b) && role(w.nodes[loser]) == wire.Primary {
			loser = 1 - loser
		}
	}
	lose, keep := w.nodes[loser], w.nodes[1-loser]
	switch {
	case role(lose) == wire.Primary:
		w.logf("%d is demoted, its data shall be thrown away", loser)
		lose.act(func() { lose.copies[0].e.Demote(lose.clock(), lose.reply(nil)) })
		return
	case lose.r.lowest() != wire.StandAlone:
		lose.act(func() { lose.r.Disconnect(lose.clock(), true, lose.reply(nil)) })
		return
	case s.pending[keep.id] > 0:
		return
	}
	w.logf("the data of %d is thrown away (writes alone: %v)", loser, s.counts())
	if chosen && !s.decided && s.apart() {
		s.survivor = map[uint64]uint64{}
		for _, sector := range s.sectors {
			s.survivor[sector] = keep.has(sector)
		}
	}
	if !s.decided {
		s.decided, s.brain, s.loser, s.at = true, s.apart(), loser, w.now
	}
	lose.act(func() { lose.r.Connect(lose.clock(), true, lose.reply(nil)) })
	if keep.r.lowest() == wire.StandAlone {
		keep.act(func() { keep.r.Connect(keep.clock(), false, keep.reply(nil)) })
	}
}

// manageSplit promotes and demotes both nodes as if each knew only itself.
func (w *world) manageSplit() {
	w.after(w.between(50*time.Millisecond, 400*time.Millisecond), w.manageSplit)
	w.primary = -1
	for i, n := range w.nodes {
		if !n.up || n.process != nil && w.stack.moving {
			continue
		}
		s := n.copies[0].e.State()
		peer := w.nodes[1-i]
		switch {
		case s.Role() == wire.Primary && w.primary < 0:
			w.primary = i
			if w.r.IntN(12) != 0 && s.Conn() != wire.StandAlone {
				continue
			}
			fallthrough
		case s.Role() == wire.Primary:
			if w.quiet && (i != w.primary || s.Conn() == wire.StandAlone) || !w.quiet && w.r.IntN(4) == 0 {
				n.act(func() { n.copies[0].e.Demote(n.clock(), n.reply(nil)) })
			}
		case w.r.IntN(3) == 0 && (s.Conn() < wire.Connected && !w.quiet || s.Conn() >= wire.Connected && s.Peer() != wire.Primary && peer.up):
			n.act(func() { n.copies[0].e.Promote(n.clock(), false, n.reply(nil)) })
		}
	}
	w.rejoin(-1)
}

func (w *world) workSplit() {
	w.after(w.between(100*time.Microsecond, 10*time.Millisecond), w.workSplit)
	if !w.quiet {
		w.scribble(w.nodes[w.r.IntN(2)])
	}
}

// startSplit replaces the manager and the application of a world.
func (w *world) startSplit() {
	w.after(0, w.manageSplit)
	w.after(0, w.workSplit)
}

// manageBelow is the manager of a lower resource without fencing. The side on top runs
// on one node, the owner; while that writes alone the other one may be promoted, too,
// and somebody writes there. The owner's data is what is kept.
func (s *simStack) manageBelow() {
	w := s.lower
	w.after(w.between(50*time.Millisecond, 400*time.Millisecond), s.manageBelow)
	if w.primary >= 0 {
		s.owner = w.primary
	}
	owner, rogue, odds := w.nodes[s.owner], w.nodes[1-s.owner], 8
	if w.parting {
		odds = 2
	}
	switch {
	case !owner.up:
	case w.primary < 0:
		owner.promote(0)
	case w.parting && owner.copies[0].e.State().Conn() == wire.SyncTarget && s.host == owner.id && !w.cut && !w.quiet && w.r.IntN(5) == 0:
		owner.hangUp()
		owner.act(func() { owner.r.ConnectionLost(owner.clock()) })
	case s.mayMoveBelow() && w.r.IntN(odds) == 0:
		s.leave(func() {
			if w.primary < 0 || !s.mayMoveBelow() {
				return // the other one may miss something by now
			}
			s.owner, w.primary = 1-s.owner, -1
			if w.parting && w.split.synced == [2]bool{true, true} {
				w.part(owner)
			}
			if rogue.copies[0].e.State().Conn() == wire.SyncTarget {
				w.did("the target of a resync takes over")
			}
			owner.demote(0)
		})
	}
	if !rogue.up || s.moving {
		return
	}
	switch e := rogue.copies[0].e; {
	case e.State().Role() == wire.Primary && (w.quiet || w.r.IntN(8) == 0) && w.primary == owner.id:
		rogue.act(func() { e.Demote(rogue.clock(), rogue.reply(nil)) })
	case w.primary < 0 && len(e.demoting) > 0:
		// It was the owner until now, and is it again if its demotion is refused: nobody else writes there.
	case e.State().Role() == wire.Primary:
		for range 4 {
			w.scribble(rogue)
		}
	case rogue.r.lowest() < wire.Connected && len(w.split.alone[owner.id]) > 0 && !w.quiet && w.primary == owner.id && w.r.IntN(2) == 0:
		w.logf("%d is promoted, too", rogue.id)
		rogue.act(func() { e.Promote(rogue.clock(), false, rogue.reply(nil)) })
	}
	w.rejoin(rogue.id)
}

// mayMoveBelow tells whether the other machine may be the owner: it misses nothing, or is
// target of a resync, and has the rest from its source, as long as that is there.
func (s *simStack) mayMoveBelow() bool {
	w := s.lower
	a, b := w.nodes[0], w.nodes[1]
	return w.split.synced == [2]bool{true, true} || w.parting && !w.split.decided && a.conn != 0 && a.conn == b.conn &&
		w.nodes[1-s.owner].copies[0].e.State().Conn() == wire.SyncTarget
}

// splitSectors are where the application writes.
func splitSectors(blocks []*block) []uint64 {
	var out []uint64
	for _, b := range blocks {
		out = append(out, b.sector)
	}
	return out
}
