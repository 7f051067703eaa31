package engine

import (
	"time"

	"gcrm/replication/wire"
)

const (
	onlyOnThePeer = "the only good disk was lost sight of"
	flushFailed   = "a flush failed when all was well again"
)

// strip takes the disk away from the Primary for a while: what it writes then is on the peer alone, which
// crashes, or is cut off, in the middle of it, or whose disk fails, too; then nothing else does.
func (w *world) strip() {
	w.after(w.between(50*time.Millisecond, 1500*time.Millisecond), w.strip)
	if w.quiet || w.primary < 0 || !w.nodes[w.primary].up {
		return
	}
	n := w.nodes[w.primary]
	c, life := n.copies[w.r.IntN(len(n.copies))], n.life
	c.takeAway(life, 20, func() {
		w.after(w.between(0, 300*time.Millisecond), func() {
			if w.quiet || w.cut || !n.up || n.life != life || c.e.State().Disk() == wire.UpToDate {
				return
			}
			w.did(onlyOnThePeer)
			switch {
			case w.undisturbed:
				w.nodes[1-n.id].breakDisk()
			case w.r.IntN(2) == 0:
				w.nodes[1-n.id].crash()
			default:
				w.cutFor(500 * time.Millisecond)
			}
		})
	})
}

// takeAway detaches a disk for a while, which is refused while it is busy.
func (c *simCopy) takeAway(life, tries int, then func()) {
	w, n := c.w, c.simNode
	if w.quiet || tries == 0 || !n.up || n.life != life || c.e.State().Role() != wire.Primary {
		return
	}
	n.act(func() {
		c.e.Detach(n.clock(), c.asked("detach", func(ok bool) {
			if !ok {
				w.after(w.between(0, time.Millisecond), func() { c.takeAway(life, tries-1, then) })
				return
			}
			w.after(w.between(100*time.Millisecond, 2*time.Second), func() { c.attachAgain(life) })
			then()
		}))
	})
}
