package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// tally counts what happened in schedules, by its name.
type tally map[string]int

func (t tally) add(o tally) {
	for what, n := range o {
		t[what] += n
	}
}

func (t tally) String() string {
	var out []string
	for _, what := range slices.Sorted(maps.Keys(t)) {
		out = append(out, fmt.Sprintf("%s: %d", what, t[what]))
	}
	return strings.Join(out, ", ")
}

// did counts something that happened.
func (w *world) did(what string) {
	w.logf("%s", what)
	w.happened[what]++
}

// asked is the tag of a command of an administrator; the answer is counted.
func (c *simCopy) asked(what string, then func(ok bool)) uint64 {
	return c.reply(func(r wire.Result) {
		if r.OK() {
			c.w.did(what)
		} else {
			c.w.logf("%d: %s: %v", c.id, what, r)
			c.w.happened[what+" refused"]++
		}
		if then != nil {
			then(r.OK())
		}
	})
}

// command is what people do to a resource that is in use; whatever is wrong now is refused.
// They do not lift the suspension of a Primary whose peer is not fenced.
func (w *world) command() {
	w.after(w.between(30*time.Millisecond, 600*time.Millisecond), w.command)
	n := w.nodes[w.r.IntN(2)]
	if !n.up {
		return
	}
	c := n.copies[w.r.IntN(len(n.copies))]
	if w.quiet {
		for _, n := range w.nodes {
			for _, c := range n.copies {
				c.resumeIO()
			}
		}
		return
	}
	life := n.life
	switch w.r.IntN(12) {
	case 0, 1:
		n.act(func() { c.e.Invalidate(n.clock(), false, c.asked("invalidate", nil)) })
	case 2, 3:
		n.act(func() { c.e.Invalidate(n.clock(), true, c.asked("invalidate-remote", nil)) })
	case 4, 5, 6:
		if c.suspended == 0 {
			c.suspended = max(w.now, 1)
			if w.broken != "suspend-io is not heard" {
				n.act(func() { c.e.SuspendIO(n.clock(), c.asked("suspend-io", nil)) })
			}
			w.after(w.between(10*time.Millisecond, 900*time.Millisecond), func() {
				if n.up && n.life == life {
					c.resumeIO()
				}
			})
		}
	case 7:
		n.act(func() { c.e.Outdate(n.clock(), c.asked("outdate", nil)) })
	case 8, 9:
		if n.r.lowest() > wire.StandAlone {
			n.act(func() { n.r.Disconnect(n.clock(), false, c.asked("disconnect", nil)) })
		}
	case 10:
		n.act(func() {
			c.e.Detach(n.clock(), c.asked("detach", func(ok bool) {
				if ok {
					w.after(w.between(time.Millisecond, 500*time.Millisecond), func() { c.attachAgain(life) })
				}
			}))
		})
	case 11:
		n.act(func() { c.e.Verify(n.clock(), c.asked("verify", nil)) })
	}
}

// resumeIO takes a suspension back, unless there is another one under it.
func (c *simCopy) resumeIO() {
	n := c.simNode
	if c.suspended == 0 || !n.up || c.e.State()&wire.SuspendedFence != 0 && !c.w.quiet {
		return
	}
	if c.e.State()&wire.SuspendedFence != 0 {
		return
	}
	suspended, life := c.suspended, n.life
	c.suspended = 0
	n.act(func() {
		c.e.ResumeIO(n.clock(), c.asked("resume-io", func(ok bool) {
			if !ok { // the nodes compare their data
				c.suspended = suspended
				c.w.after(50*time.Millisecond, func() {
					if n.up && n.life == life {
						c.resumeIO()
					}
				})
			}
		}))
	})
}

// heldBack: what an application asks for after suspend-io waits for resume-io.
func (c *simCopy) heldBack(q *request, err error) {
	if c.suspended == 0 || q.began <= c.suspended || q.read || q.then != nil {
		return
	}
	if err == nil {
		c.w.fail("node %d: a request that came after suspend-io is done, and resume-io was not called: %v", c.id, c.e.State())
	}
}

// invalidated is the moment in which a node has noted that its data is not good, and a full
// resync has to follow: what it has is replaced with something else.
func (c *simCopy) invalidated() {
	w := c.w
	for _, f := range c.diskBusy {
		if f.Kind == ReadDisk {
			return // it is too late for that
		}
	}
	w.did("data thrown away")
	d := c.disk.content()
	for _, b := range w.blocks {
		if b.volume == c.index {
			c.garbage(d, b.sector)
		}
	}
	for range 8 {
		c.garbage(d, w.r.Uint64N(c.e.Size()/8)*8)
	}
	_ = d.Sync()
}

func (c *simCopy) garbage(d *simDisk, sector uint64) {
	if _, err := d.WriteAt(payload(1<<63|c.w.r.Uint64()), int64(sector*metadata.SectorSize)); err != nil {
		c.w.fail("node %d: %v", c.id, err)
	}
}

// inspect lets people compare the nodes while anything goes wrong, with a disk that changed
// a block by itself now and then.
func (w *world) inspect() {
	w.after(w.between(50*time.Millisecond, 900*time.Millisecond), w.inspect)
	n := w.nodes[w.r.IntN(2)]
	if !n.up {
		return
	}
	c := n.copies[w.r.IntN(len(n.copies))]
	s := c.e.State()
	if w.quiet || w.r.IntN(3) == 0 {
		w.repair(c)
	}
	if w.quiet {
		if s.Role() == wire.Primary && c.e.OutOfSync() == 0 && w.nodes[1-n.id].up && w.nodes[1-n.id].copies[c.index].e.OutOfSync() > 0 {
			n.act(func() { c.e.Verify(n.clock(), c.asked("verify", nil)) }) // what this node knew of it was lost in a crash
		}
		return
	}
	if s.Conn() == wire.Connected && w.corrupting && w.r.IntN(3) == 0 {
		w.corrupt(c)
	}
	n.act(func() { c.e.Verify(n.clock(), c.asked("verify", nil)) })
}

// corrupt changes a block that no application uses, behind the back of everybody.
func (w *world) corrupt(c *simCopy) {
	sector := w.r.Uint64N(c.e.Size()/8) * 8
	if c.e.Size() == 0 || slices.ContainsFunc(w.blocks, func(b *block) bool { return b.sector == sector }) {
		return
	}
	d := c.disk.content()
	c.garbage(d, sector)
	_ = d.Sync()
	w.did("a disk changed a block")
}

// repair brings in sync what a verify has found: a Primary that is connected again is the
// source of it.
func (w *world) repair(c *simCopy) {
	n, s := c.simNode, c.e.State()
	if s.Conn() == wire.Connected && s.Role() == wire.Primary && s.Disk() == wire.UpToDate && c.e.OutOfSync() > 0 && n.conn != 0 {
		w.did("repaired after a verify")
		n.hangUp()
		n.act(func() { n.r.ConnectionLost(n.clock()) })
	}
}

// small makes volumes that a verify is soon through with.
func (w *world) small() {
	const sectors = 3 << 20 / metadata.SectorSize
	w.settled, w.cfg.UserSize = true, sectors
	for v := range w.volumes {
		u := w.r.Uint64() | 16
		for _, n := range w.nodes {
			w.settleDisk(n.copies[v].disk, n.copies[v].disk.bytes(), u&^1, sectors)
		}
	}
	for i, b := range w.blocks {
		b.sector = uint64(i*31) * 8 % sectors
	}
}

// inspectAll verifies everything at the end, until there is nothing left to be repaired.
func (w *world) inspectAll() {
	await := func(done func() bool) {
		for deadline := w.now + 60*time.Second; w.failed == "" && w.now < deadline && !done(); {
			w.run(w.now + 100*time.Millisecond)
		}
	}
	for range 20 {
		await(w.good)
		if w.failed != "" {
			return
		}
		c := w.nodes[w.r.IntN(2)].copies[0]
		answered, before := false, w.happened["online verify done"]
		c.act(func() { c.e.Verify(c.clock(), c.asked("verify at the end", func(bool) { answered = true })) })
		await(func() bool { return answered && c.e.State().Conn() == wire.Connected })
		w.run(w.now + 100*time.Millisecond)
		if w.happened["online verify done"] > before && c.e.OutOfSync() == 0 {
			return
		}
	}
	w.fail("twenty verifies, and still something to be repaired: %v, %v", w.describe(0), w.describe(1))
}

// resize makes the volume larger and smaller again. What lies behind its end is different
// on the two disks.
func (w *world) resize() {
	w.after(w.between(100*time.Millisecond, 1500*time.Millisecond), w.resize)
	n := w.nodes[w.r.IntN(2)]
	if w.quiet || !n.up || w.measuring {
		return
	}
	c := n.copies[0]
	last := w.blocks[0].sector
	for _, b := range w.blocks {
		last = max(last, b.sector+8)
	}
	if w.hidden() {
		for _, n := range w.nodes {
			d := n.copies[0].disk.content()
			for range 6 {
				n.copies[0].garbage(d, c.e.Size()+w.r.Uint64N((n.copies[0].area.Layout.DataSectors-c.e.Size())/8)*8)
			}
			_ = d.Sync()
		}
		w.did("other data behind the end")
	}
	size := (last + w.r.Uint64N(c.area.Layout.DataSectors-last)) / 8 * 8
	if !w.calm() {
		return // nodes that do not agree on the size stand alone, with the kernel, too
	}
	what := "made larger"
	if size < c.e.Size() {
		what = "made smaller"
	}
	before := w.cfg.UserSize
	w.cfg.UserSize, w.measuring = size, true
	n.act(func() {
		c.e.Resize(n.clock(), ResizeOptions{User: size, Clean: w.broken == "what is new counts as equal"}, c.asked(what, func(ok bool) {
			if !ok {
				w.cfg.UserSize = before
			}
		}))
	})
	if what == "made larger" && w.r.IntN(3) == 0 {
		// The node that asked may crash only with the other one, whose settings would be the older ones. While a
		// volume becomes smaller neither may: two nodes that do not agree on that stand alone.
		w.after(w.between(0, 4*time.Millisecond), func() {
			if !w.quiet {
				w.did("crashed while it grows")
				if w.nodes[1-n.id].crash(); w.r.IntN(3) == 0 {
					n.crash()
				}
			}
		})
	}
	w.awaitSize()
}

// awaitSize keeps trouble away until both nodes have noted the new size.
func (w *world) awaitSize() {
	w.after(100*time.Microsecond, func() {
		a, b := w.nodes[0].copies[0], w.nodes[1].copies[0]
		done := !a.up || !b.up || a.e.Size() == b.e.Size() && a.area.Super.AgreedSectors == a.e.Size() && b.area.Super.AgreedSectors == b.e.Size()
		if w.measuring = !done; !done {
			w.awaitSize()
			return
		}
		if w.quiet || !a.up || !b.up || w.cut || w.r.IntN(4) != 0 {
			return
		}
		w.did("cut short when both have noted the size")
		switch n := w.nodes[w.r.IntN(2)]; w.r.IntN(4) {
		case 0:
			n.crash()
		case 1:
			w.cutFor(4 * time.Second)
		default:
			n.hangUp()
			n.act(func() { n.r.ConnectionLost(n.clock()) })
		}
	})
}

// calm tells whether both nodes are in sync and use all of their disks.
func (w *world) calm() bool {
	for _, n := range w.nodes {
		c := n.copies[0]
		if !n.up || c.e.State().Conn() != wire.Connected || c.e.State().Disk() != wire.UpToDate || c.e.OutOfSync() > 0 || c.e.growing {
			return false
		}
	}
	return !w.cut
}

// hidden tells whether both nodes agree that the volume ends before their disks do, and
// nothing is going on there.
func (w *world) hidden() bool {
	if !w.calm() {
		return false
	}
	a, b := w.nodes[0].copies[0], w.nodes[1].copies[0]
	for _, c := range []*simCopy{a, b} {
		if c.area.Super.AgreedSectors != c.e.Size() || c.e.Size()+64 > c.area.Layout.DataSectors {
			return false
		}
		for _, f := range c.diskBusy {
			if f.Sector+uint64(f.Size)/metadata.SectorSize > c.e.Size() {
				return false
			}
		}
	}
	return a.e.Size() == b.e.Size()
}
