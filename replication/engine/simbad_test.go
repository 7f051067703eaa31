package engine

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"gcrm/replication/wire"
)

// cacheLost is what happened to a disk that failed, when somebody noticed.
const cacheLost = "a disk failed and lost its cache"

// breakDisk makes every operation of the disk fail for a while, and until somebody who uses it has
// noticed. Then what was in its cache is gone, and it is attached again, as often as it takes. A disk that
// forgets what it has acknowledged while nobody asks it for anything, and does not say so
// afterwards, is none that a replication could survive.
func (n *simNode) breakDisk() {
	w := n.w
	if !n.up || n.broken {
		return
	}
	w.logf("%d: the disk fails", n.id)
	if w.cfg.DiskTimeout > 0 && w.r.IntN(2) == 0 {
		w.logf("%d: the disk hangs", n.id)
		n.hung = w.now + w.between(100*time.Millisecond, 3*time.Second)
		for _, c := range n.copies {
			c.attachAgain(n.life)
		}
		return
	}
	n.broken, n.noticed = true, false
	n.mendDisk(n.life)
}

// mendDisk ends the failure of a disk after a while.
func (n *simNode) mendDisk(life int) {
	w := n.w
	w.after(w.between(10*time.Millisecond, 2*time.Second), func() {
		switch {
		case !n.up || n.life != life:
			return
		case n.noticed || !n.r.any(func(e *Engine) bool { return e.hasDisk }):
			n.noticed = true
			w.did(cacheLost)
			n.crashed = w.now
		case w.quiet:
			w.did("a disk failed and nobody noticed")
		default:
			n.mendDisk(life)
			return
		}
		n.broken = false
		for _, c := range n.copies {
			if n.noticed {
				c.disk.content().lose()
				if w.dual != nil {
					w.dual.forgot(n.id)
				}
			}
			c.attachAgain(life)
		}
	})
}

func (n *simCopy) attachAgain(life int) {
	w := n.w
	if !n.up || n.life != life || n.simNode.broken {
		return
	}
	again := func() { w.after(w.between(50*time.Millisecond, 400*time.Millisecond), func() { n.attachAgain(life) }) }
	if n.e.State().Disk() != wire.Diskless || len(n.diskBusy) > 0 && w.broken != "a disk that hangs is taken back at once" {
		// It may still fail on what it was doing, or is being compared; a runner opens
		// a disk only when nothing is under way on it any more.
		again()
		return
	}
	if err := n.attach(); err != nil {
		w.logf("%d: attach: %v", n.id, err)
	}
	n.do()
	again()
}

// administer is what people do: a node that stands alone, because its peer does not have
// the data that this Primary worked with, is connected again. Metadata that an old
// protocol cannot compare are made anew on the node that gives way.
func (w *world) administer() {
	for _, n := range w.nodes {
		if peer := w.nodes[1-n.id]; n.incomparable && n.up && peer.up && n.givesWay(peer) {
			n.createMeta()
			continue
		}
		takesNone := func(e *Engine) bool {
			s := e.State()
			return s.Role() == wire.Primary && s.Disk() == wire.Diskless && s.PeerDisk() == wire.Diskless
		}
		if w.undisturbed && w.quiet && w.now > 15*time.Second && n.up && n.r.any(takesNone) {
			// It knows of a generation that the failing disk could not note.
			w.did("a Primary without good data was reset")
			n.crash()
			continue
		}
		if n.up && n.r.lowest() == wire.StandAlone {
			// A resync after a split brain that was interrupted early leaves one that no
			// policy decides: the data that was given up already is given up again.
			peer := w.nodes[1-n.id]
			givenUp := n.copies[0].e.State().Disk() < wire.UpToDate && peer.up && peer.copies[0].e.State().Disk() == wire.UpToDate
			if w.cfg.SuspendNoData && n.r.any(func(e *Engine) bool { return e.State().Role() == wire.Primary && e.State().Disk() < wire.UpToDate }) {
				w.did("a Primary without good data was reset") // it waits, and cannot be demoted
				n.crash()
				continue
			}
			n.r.Connect(w.now, givenUp, n.reply(nil))
			n.do()
		}
	}
}

// givesWay tells whether a person throws away the data of a node that cannot be compared with its peer's: that which is
// known to be older, or, if both are as good, that which newer protocols would make the target (rules 34 to 37).
func (n *simNode) givesWay(peer *simNode) bool {
	own, other := n.copies[0].e, peer.copies[0].e
	switch disk, better := own.State().Disk(), other.State().Disk(); {
	case better == wire.UpToDate && disk < wire.UpToDate:
		return true
	case better == wire.Consistent && disk < wire.Consistent:
		return disk == wire.Outdated || disk == wire.Inconsistent
	default:
		return own.State().Role() != wire.Primary && disk == better && disk >= wire.Consistent && own.Generations().Bitmap == 0 && other.Generations().Bitmap != 0
	}
}

// createMeta does what an administrator does with a node whose data shall be thrown away.
func (n *simNode) createMeta() {
	w := n.w
	for _, c := range n.copies {
		c.e.Detach(w.now, n.reply(nil))
		n.do()
		if !n.up || c.e.State().Disk() != wire.Diskless || len(c.diskBusy) > 0 {
			return
		}
		n.incomparable = false
		w.stats.unusual++
		w.logf("%d: new metadata", n.id)
		c.createMeta()
		if err := c.attach(); err != nil {
			w.fail("node %d: %v", n.id, err)
		}
		n.do()
	}
}

// TestSimulationOfFailingDisks: disks fail in the middle of everything and return. What
// was acknowledged may be lost when the last good disk is one of them; but every
// request is answered, no node hangs, and in the end both are equal.
func TestSimulationOfFailingDisks(t *testing.T) {
	count, first := uint64(10), *simFirst
	if *simCount > 0 {
		count = uint64(*simCount)
	}
	if *simSeed != 0 {
		count, first = 1, *simSeed
	}
	for seed := first; seed < first+count; seed++ {
		w := simulateBadDisks(t, seed, *simSpan, *simSeed != 0)
		if *simSeed != 0 {
			name := filepath.Join(os.TempDir(), "engine-sim-bad.log")
			if err := os.WriteFile(name, []byte(w.log.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Logf("log in %s", name)
		}
		if w.failed != "" {
			t.Errorf("seed %d: %s", seed, w.failed)
		}
	}
}

func simulateBadDisks(t *testing.T, seed uint64, span time.Duration, verbose bool) *world {
	cfg := simConfig()
	cfg.OnIOError = IOErrorPolicy(seed % 2)
	cfg.AfterSB = [3]uint32{SBDiscardLeastChanges, SBDiscardSecondary, SBDisconnect}
	w := newWorld(t, seed, cfg, verbose, 1)
	w.weak, w.badDisks = true, true
	w.settle()
	w.play(span)
	return w
}

// TestBadDisksThatFailed repeats what long runs found.
func TestBadDisksThatFailed(t *testing.T) {
	for _, c := range []struct {
		seed uint64
		what string
	}{
		{6, "a Primary whose peer had gone on without it took its own old disk for good when the peer's failed, too; a refused attach hung"},
		{1004187, "a Primary that had lost its disk went on with older data that its peer attached"},
		{77402602, "two nodes counted different bits in a split brain over a disk that was attached, and both became target"},
		{2026131020120, "the end of an epoch cleared the bit of a disk that was attached after its writes"},
		{2026132025644, "a write that had not begun when the disk failed kept its bit on the source of a resync for ever"},
		{209, "a flush that failed was settled twice, and its operation used for two requests"},
	} {
		if w := simulateBadDisks(t, c.seed, 4*time.Second, false); w.failed != "" {
			t.Errorf("seed %d (%s): %s", c.seed, c.what, w.failed)
		}
	}
}
