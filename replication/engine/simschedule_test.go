package engine

import (
	"slices"
	"strings"
	"testing"
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// heal mends the network. What was in flight is lost, and both ends learn it.
func (w *world) heal() {
	if !w.cut {
		return
	}
	w.logf("network healed")
	w.cut = false
	for _, n := range w.nodes {
		if n.up && n.conn != 0 {
			n.conn = 0
			n.act(func() { n.r.ConnectionLost(n.clock()) })
		}
	}
	w.dial()
}

// cutFor cuts the network for some time, at most for longest.
func (w *world) cutFor(longest time.Duration) {
	w.logf("network cut")
	w.cut = true
	w.after(w.between(50*time.Millisecond, longest), w.heal)
}

// trouble makes things go wrong.
func (w *world) trouble() {
	if w.quiet {
		return
	}
	w.after(w.between(300*time.Millisecond, 4*time.Second), w.trouble)
	if !w.mayFail() {
		return
	}
	kinds := 5
	if w.badDisks {
		kinds = 8
	}
	kind, longest := w.r.IntN(kinds), 4*time.Second
	if w.split != nil && w.r.IntN(2) == 0 {
		kind, longest = 2, 8*time.Second // it takes a while until both notice
	}
	switch kind {
	case 5, 6, 7:
		n := w.nodes[w.r.IntN(2)]
		if w.dual != nil && kind == 7 {
			n.copies[0].takeAway(n.life, 200, func() {})
			return
		}
		n.breakDisk()
	case 0, 1:
		w.nodes[w.r.IntN(2)].crash()
	case 2:
		if !w.cut {
			w.cutFor(longest)
		}
	case 3:
		w.logf("connection reset")
		n := w.nodes[w.r.IntN(2)]
		if n.up && n.conn != 0 && !w.cut {
			n.hangUp()
			n.act(func() { n.r.ConnectionLost(n.clock()) })
		}
	case 4: // everything at once: both nodes lose power
		if w.r.IntN(4) == 0 {
			w.nodes[0].crash()
			w.nodes[1].crash()
		}
	}
}

// mayFail tells whether something may go wrong now.
func (w *world) mayFail() bool {
	if w.measuring || w.undisturbed {
		return false
	}
	if !w.oneFault {
		return true
	}
	for _, n := range w.nodes {
		if !n.up || n.broken || n.hung > w.now || w.cut {
			return false
		}
		for _, c := range n.copies {
			s := c.e.State()
			if s.Conn() != wire.Connected || s.Disk() != wire.UpToDate || s.PeerDisk() != wire.UpToDate || c.e.OutOfSync() > 0 {
				return false
			}
		}
	}
	return true
}

// simulate runs one schedule: trouble, then peace, then everything must be well.
func simulate(t testing.TB, seed uint64, cfg Config, verbose bool) *world {
	return simulateFor(t, seed, cfg, verbose, *simSpan)
}

// simulateFor is simulate for a given time; a negative one lets either node be
// promoted by force at first, which early failed schedules did.
func simulateFor(t testing.TB, seed uint64, cfg Config, verbose bool, span time.Duration) *world {
	return simulateBroken(t, seed, cfg, verbose, span, "")
}

func simulateBroken(t testing.TB, seed uint64, cfg Config, verbose bool, span time.Duration, broken string) *world {
	return simulateVolumes(t, seed, cfg, verbose, span, broken, 1)
}

func simulateVolumes(t testing.TB, seed uint64, cfg Config, verbose bool, span time.Duration, broken string, volumes int) *world {
	w := newWorld(t, seed, cfg, verbose, volumes)
	w.broken = broken
	if broken == "" && span > 0 && seed%8 != 0 {
		w.settle()
	}
	w.wild = span < 0
	w.weak = cfg.Protocol != ProtocolC || cfg.Fencing != FencingStonith
	w.attended = cfg.Fencing == FencingDontCare // two Primaries that meet stand alone
	w.play(max(span, -span))
	return w
}

// play is the schedule itself: trouble for some time, then peace.
func (w *world) play(span time.Duration) {
	for _, n := range w.nodes {
		n.boot()
	}
	w.after(0, w.manage)
	w.after(0, w.work)
	w.after(min(3*time.Second, span/3), w.trouble)
	if w.commanding {
		w.after(0, w.command)
	}
	if w.inspecting {
		w.after(0, w.inspect)
	}
	if w.stripping {
		w.after(0, w.strip)
	}
	if w.resizing {
		w.after(0, w.resize)
	}
	w.run(span)
	if w.failed == "" {
		w.peace()
	}
}

// settle lets a schedule begin with nodes that are in sync already: a first full sync
// of empty disks shows little and takes long.
func (w *world) settle() {
	w.settled = true
	for v := range w.volumes {
		w.settleVolume(v)
	}
}

func (w *world) settleVolume(v int) {
	u := w.r.Uint64() | 16
	for _, n := range w.nodes {
		w.settleDisk(n.copies[v].disk, n.copies[v].disk.bytes(), u&^1, 0)
	}
}

// settleDisk makes a disk one that was in sync. sectors is the agreed size, 0 for all.
func (w *world) settleDisk(d metadata.Device, size, generation, sectors uint64) {
	a, err := metadata.Open(d, size, metadata.Internal)
	if err != nil {
		w.t.Fatal(err)
	}
	s := a.Super
	s.UUID = metadata.Generations{Current: generation}
	s.Flags |= metadata.FlagConsistent | metadata.FlagWasUpToDate
	if s.AgreedSectors = sectors; sectors == 0 {
		s.AgreedSectors = a.Layout.DataSectors
	}
	if err := a.WriteSuperblock(s); err != nil {
		w.t.Fatal(err)
	}
}

// peace ends the trouble. The nodes must find each other, get in sync, and answer
// every request; then both disks are equal.
func (w *world) peace() {
	w.quiet = true
	w.logf("peace")
	w.heal()
	deadline := w.now + 60*time.Second
	for w.failed == "" && w.now < deadline && !w.good() {
		w.run(w.now + 100*time.Millisecond)
	}
	if w.failed != "" {
		return
	}
	if !w.good() {
		w.noPeace()
		return
	}
	w.run(w.now + 200*time.Millisecond)
	if w.inspecting {
		w.inspectAll()
	}
	if !w.compare() {
		return
	}
	w.takeOver(w.nodes[max(w.primary, 0)])
	w.run(w.now + time.Second)
}

// good tells whether both nodes have everything and nothing is under way.
func (w *world) good() bool {
	for _, n := range w.nodes {
		if !n.up {
			return false
		}
		for _, c := range n.copies {
			s := c.e.State()
			if s.Conn() != wire.Connected || s.Disk() != wire.UpToDate || s.PeerDisk() != wire.UpToDate || len(c.requests) > 0 || c.e.OutOfSync() > 0 && !w.commanding {
				return false
			}
		}
	}
	return w.primary >= 0
}

// noPeace tells what is in the way.
func (w *world) noPeace() {
	for _, n := range append(append([]*simCopy(nil), w.nodes[0].copies...), w.nodes[1].copies...) {
		if n.up {
			w.logf("%d: %v bits=%d requests=%d waiting=%d active=%d log=%d %X", n.id, n.e.State(), n.e.OutOfSync()/8, len(n.requests),
				len(n.e.waiting), len(n.e.active), len(n.e.sending.log), n.e.Generations())
			for _, o := range slices.Concat(n.e.active, n.e.waiting) {
				w.logf("  kind %d at %d, %d bytes, tag %d: local %d net %d logged %v held %v completed %v dropped %v", o.kind, o.sector, o.size, o.tag,
					o.local, o.net, o.logged, o.held, o.completed, o.dropped)
			}
		}
	}
	w.fail("no peace after a minute: %v, %v", w.describe(0), w.describe(1))
}

// compare tells whether it could compare both disks; it could not after one of the rare
// crashes at a persist.
func (w *world) compare() bool {
	a, b := w.nodes[0], w.nodes[1]
	if !a.up || !b.up {
		return false
	}
	w.stats.equal++
	for v, c := range b.copies {
		if sector, differs := c.disk.content().differs(a.copies[v].disk.content(), c.e.Size()); differs {
			w.fail("sector %d of volume %d differs after the resync", sector, v)
			return false
		}
	}
	return true
}

func (w *world) describe(i int) string {
	if !w.nodes[i].up {
		return "down"
	}
	var out []string
	for _, c := range w.nodes[i].copies {
		out = append(out, c.e.State().String())
	}
	return strings.Join(out, " and ")
}
