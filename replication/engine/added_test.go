package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

const (
	sizeBefore = 4 << 20 / metadata.SectorSize
	sizeAfter  = 6 << 20 / metadata.SectorSize
)

// growingPair is a Primary a and a Secondary b, in sync, whose disks hold different data behind the end
// of the volume. limited are the nodes whose settings say where that is.
func growingPair(t *testing.T, cfg Config, resolver int, limited ...int) *pair {
	t.Helper()
	cfg.PlanAhead, cfg.ResyncRate = 0, 100000
	p := &pair{t: t, size: pairDisk}
	cfgs := [2]Config{cfg, cfg}
	for _, i := range limited {
		cfgs[i].UserSize = sizeBefore
	}
	p.reset(cfgs)
	for i, n := range p.nodes {
		p.up(n)
		for sector := uint64(sizeBefore); sector < sizeAfter; sector += 64 {
			_, err := n.disk.WriteAt(filled(byte(1+i)), int64(sector*metadata.SectorSize))
			p.must(err)
		}
		p.must(n.disk.Sync())
	}
	p.link(resolver)
	p.run(true)
	p.tell(p.nodes[0], func(e *Engine, tag uint64) { e.Promote(p.now, true, tag) })
	p.run(true)
	p.awaitSync()
	p.out.Reset()
	return p
}

// attach takes a disk into use again on a node that is connected.
func (p *pair) attach(n *pairNode) {
	p.must(n.e.Attach(p.now, p.open(n)))
	p.effects(n)
}

// limit changes the settings with which a node starts.
func (p *pair) limit(n *pairNode, size uint64) { p.cfg[n.id].UserSize = size }

// meetLarger breaks the connection, crashes the nodes of the given bits, and lets both meet with settings that have the new size.
func (p *pair) meetLarger(crash, resolver int) {
	for i, n := range p.nodes {
		if crash&(1<<i) != 0 {
			p.crash(n)
		}
	}
	p.drop()
	for _, n := range p.nodes {
		if p.limit(n, sizeAfter); n.e == nil {
			p.up(n)
		}
	}
	p.link(resolver)
}

// alike waits for the end of what the nodes have to do, and compares their disks.
func (p *pair) alike(what string, size uint64) {
	p.t.Helper()
	p.awaitSync()
	for range 50 { // of a verify
		p.run(true)
		p.tick()
	}
	for i, n := range p.nodes {
		if s := n.e.State(); s.Conn() != wire.Connected || s.Disk() != wire.UpToDate || n.e.OutOfSync() != 0 || n.e.Size() != size {
			p.t.Errorf("%s: node %d: %v, %d sectors of %d are out of sync, of %d that there should be", what, i, s, n.e.OutOfSync(), n.e.Size(), size)
		}
	}
	for i, n := range p.nodes {
		if n.e.added || n.e.growing || n.area.Super.Flags&metadata.FlagCrashedPrimary != 0 {
			p.t.Errorf("%s: node %d still counts as a crashed Primary", what, i)
		}
	}
	if sector, differs := p.nodes[0].disk.differs(p.nodes[1].disk, size); differs {
		p.t.Errorf("%s: sector %d differs", what, sector)
	}
}

// TestGrowthThatIsCutShort: both nodes have noted the new size, or only the one that was asked for it, and
// the connection or a node is lost before the resync of what was added has an identifier. Both have
// the same identifiers then; they must not connect as equals.
func TestGrowthThatIsCutShort(t *testing.T) {
	const asker, other = 1, 2
	for _, c := range []struct {
		noted   bool // the peer has noted the size
		primary bool // the asker is Primary
		crash   int
	}{
		{noted: true},
		{noted: true, crash: asker},
		{noted: true, crash: other},
		{noted: true, crash: asker | other},
		{noted: true, primary: true},
		{noted: true, primary: true, crash: asker},
		{noted: true, primary: true, crash: other},
		{noted: true, primary: true, crash: asker | other},
		{crash: other},
		{crash: asker | other},
		{primary: true, crash: other},
		{primary: true, crash: asker | other},
	} {
		for resolver := range 2 {
			for again := range 2 {
				what := fmt.Sprintf("%+v, resolver %d, then %d", c, resolver, again)
				p := growingPair(t, Defaults(), resolver, 0, 1)
				a, b := p.nodes[0], p.nodes[1]
				if !c.primary {
					p.tell(a, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
					p.run(true)
				}
				p.tell(a, func(e *Engine, tag uint64) { e.Resize(p.now, ResizeOptions{User: sizeAfter}, tag) })
				p.runUntil(func(from int, m *wire.Message) bool {
					return m.Command == wire.CmdSizes && (c.noted || from == 0) && (!c.noted || from == 1)
				})
				if got := b.e.Size() == sizeAfter; got != c.noted {
					t.Fatalf("%s: b has noted the size: %v", what, got)
				}
				p.meetLarger(c.crash, again)
				p.alike(what, sizeAfter)
			}
		}
	}
}

// TestPromotedWhileGrowing: of two Secondaries that have noted the new size one is promoted, before they
// have agreed on a resync or when they have lost each other, and writes. What it wrote must be what is left.
func TestPromotedWhileGrowing(t *testing.T) {
	wrote := 0
	for _, alone := range []bool{false, true} {
		for _, crash := range []int{0, 1, 2, 3} {
			for i := range 8 {
				promoted, resolver, again := i&1, i>>1&1, i>>2
				cfg := Defaults()
				cfg.Protocol = ProtocolA
				what := fmt.Sprintf("promoted %d alone %v, crash %d, resolver %d, then %d", promoted, alone, crash, resolver, again)
				p := growingPair(t, cfg, resolver, 0, 1)
				a, n := p.nodes[0], p.nodes[promoted]
				p.tell(a, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
				p.run(true)
				p.tell(a, func(e *Engine, tag uint64) { e.Resize(p.now, ResizeOptions{User: sizeAfter}, tag) })
				p.runUntil(func(from int, m *wire.Message) bool { return from == 1 && m.Command == wire.CmdSizes })
				if !alone {
					p.wire = nil // the answer about the size, and what follows it, is on its way for long
					p.tell(n, func(e *Engine, tag uint64) { e.Promote(p.now, false, tag) })
					p.run(true)
				} else {
					p.drop()
					p.tell(n, func(e *Engine, tag uint64) { e.Promote(p.now, false, tag) })
				}
				if n.e.State().Role() != wire.Primary {
					if n.e.State().Disk() == wire.Outdated || !alone && n == a {
						continue // it is the target of the resync, or does not know whether it is
					}
					t.Fatalf("%s: not promoted: %v\n%s", what, n.e.State(), p.out.String())
				}
				p.tell(n, func(e *Engine, tag uint64) { e.Write(p.now, tag, 7*8, filled(0x77), false) })
				p.disk(n) // and nothing of it reaches the peer
				p.must(n.disk.Sync())
				acked := strings.Contains(p.out.String(), "write done")
				if wrote++; acked == (n.e.State().Conn() == wire.SyncSource) { // which waits for the peer
					t.Fatalf("%s: the write is acknowledged: %v\n%s", what, acked, p.out.String())
				}
				p.meetLarger(crash, again)
				p.alike(what, sizeAfter)
				for i, n := range p.nodes {
					if got := n.disk.sector(7 * 8)[0]; got != 0x77 && acked {
						t.Errorf("%s: node %d has %#x where 0x77 was written and acknowledged", what, i, got)
					}
				}
			}
		}
	}
	if wrote < 32 {
		t.Errorf("only %d of the promotions succeeded", wrote)
	}
}

// TestGrownWhileApart: the volume becomes larger when the nodes meet, since the limits are larger than they were.
// Identifiers do not tell of that.
func TestGrownWhileApart(t *testing.T) {
	for _, primary := range []bool{false, true} {
		for resolver := range 2 {
			what := fmt.Sprintf("primary %v, resolver %d", primary, resolver)
			cfg := Defaults()
			cfg.Fencing = FencingStonith // a Primary waits for it, and begins no generation
			p := growingPair(t, cfg, resolver, 1)
			a, b := p.nodes[0], p.nodes[1]
			if !primary {
				p.tell(a, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
				p.run(true)
				p.crash(a)
			}
			p.crash(b)
			p.meetLarger(0, resolver)
			p.run(true)
			if s := a.e.State(); s&anySuspended != 0 {
				t.Errorf("%s: still suspended: %v", what, s)
			}
			p.alike(what, sizeAfter)
		}
	}
}

// TestPromotedBeforeItGrows: a Secondary asks for the new size, and its peer, which does not know of it, is promoted. What
// that wrote is what is left, though it has the older size and both crash.
func TestPromotedBeforeItGrows(t *testing.T) {
	for _, crash := range []bool{false, true} {
		for again := range 2 {
			cfg := Defaults()
			cfg.Protocol = ProtocolA
			p := growingPair(t, cfg, 1, 0, 1)
			a, b := p.nodes[0], p.nodes[1]
			p.tell(a, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
			p.run(true)
			p.tell(a, func(e *Engine, tag uint64) { e.Resize(p.now, ResizeOptions{User: sizeAfter}, tag) })
			p.tell(b, func(e *Engine, tag uint64) { e.Promote(p.now, false, tag) })
			p.wire = slices.DeleteFunc(p.wire, func(w pending) bool { return w.to == 1 && !w.meta }) // is on its way for long
			p.run(true)
			p.out.Reset()
			p.tell(b, func(e *Engine, tag uint64) { e.Write(p.now, tag, 7*8, filled(0x77), false) })
			p.disk(b)
			if p.must(b.disk.Sync()); b.e.Size() != sizeBefore || !strings.Contains(p.out.String(), "write done") {
				t.Fatalf("%v, %d sectors: %s", b.e.State(), b.e.Size(), p.out.String())
			}
			if p.crash(b); crash {
				p.crash(a)
			}
			p.meetLarger(0, again)
			p.alike(fmt.Sprintf("crash %v, resolver %d", crash, again), sizeAfter)
			if got := a.disk.sector(7 * 8)[0]; got != 0x77 {
				t.Errorf("crash %v, resolver %d: %#x where 0x77 was written and acknowledged", crash, again, got)
			}
		}
	}
}

// TestDemotedWhileGrowing: the role by which the peer tells who is the source does not change before it has.
func TestDemotedWhileGrowing(t *testing.T) {
	for resolver := range 2 {
		p := growingPair(t, Defaults(), resolver, 0, 1)
		a := p.nodes[0]
		p.tell(a, func(e *Engine, tag uint64) { e.Resize(p.now, ResizeOptions{User: sizeAfter}, tag) })
		p.tell(a, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
		p.run(true)
		p.alike(fmt.Sprintf("resolver %d", resolver), sizeAfter)
		if s := a.e.State(); s.Role() != wire.Secondary {
			t.Errorf("resolver %d: not demoted: %v", resolver, s)
		}
	}
}

// TestDiskGoneWhileGrowing: the peer's disk goes when it is asked to grow, and comes back.
func TestDiskGoneWhileGrowing(t *testing.T) {
	for resolver := range 2 {
		p := growingPair(t, Defaults(), resolver, 0, 1)
		a, b := p.nodes[0], p.nodes[1]
		p.tell(a, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
		p.run(true)
		p.tell(a, func(e *Engine, tag uint64) { e.Resize(p.now, ResizeOptions{User: sizeAfter}, tag) })
		p.tell(b, func(e *Engine, tag uint64) { e.Detach(p.now, tag) })
		p.run(true)
		if s := a.e.State(); s.PeerDisk() != wire.Diskless {
			t.Fatal(s)
		}
		p.attach(b)
		p.run(true)
		p.alike(fmt.Sprintf("resolver %d", resolver), sizeAfter)
	}
}

// TestTargetThatDoesNotKnow: the Primary is the source of what was added, and its peer, whose data is good, has not heard of it
// when the connection breaks: it may be promoted. The Primary fences it before it goes on, or begins a generation; if both go on,
// that is a split brain.
func TestTargetThatDoesNotKnow(t *testing.T) {
	for _, asker := range []int{0, 1} {
		for _, c := range []struct {
			fencing FencingPolicy
			used    bool // the peer is promoted, too
		}{{FencingStonith, false}, {FencingDontCare, false}, {FencingDontCare, true}} {
			what := fmt.Sprintf("asked by %d, %+v", asker, c)
			cfg := Defaults()
			cfg.Fencing = c.fencing
			p := growingPair(t, cfg, 1, 0, 1)
			a, b := p.nodes[0], p.nodes[1]
			p.tell(p.nodes[asker], func(e *Engine, tag uint64) { e.Resize(p.now, ResizeOptions{User: sizeAfter}, tag) })
			p.runUntil(func(int, *wire.Message) bool { return a.e.State().Conn() == wire.SyncSource })
			if p.drop(); asker == 1 && b.e.State().Disk() != wire.UpToDate {
				t.Fatalf("%s: the target knows already: %v", what, b.e.State())
			}
			if s := a.e.State(); s.PeerDisk() != wire.DUnknown || (s&wire.SuspendedFence != 0) != (c.fencing == FencingStonith) {
				t.Errorf("%s: the peer is not unknown: %v", what, s)
			}
			p.fenced(a)
			p.writeBlock(a, 7, 0x77)
			if c.used {
				p.tell(b, func(e *Engine, tag uint64) { e.Promote(p.now, true, tag) })
				p.writeBlock(b, 9, 0x99)
				p.tell(a, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
				p.tell(b, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
			}
			p.link(1)
			if c.used {
				p.run(true)
				for i, n := range p.nodes {
					if s := n.e.State(); s.Conn() >= wire.Connected {
						t.Errorf("%s: node %d does not see a split brain: %v", what, i, s)
					}
				}
				continue
			}
			p.alike(what, sizeAfter)
			if got := b.disk.sector(7 * 8)[0]; got != 0x77 {
				t.Errorf("%s: %#x where 0x77 was written", what, got)
			}
		}
	}
}

// TestTargetThatLosesItsDisk: the same, but what goes is the peer's disk, whose data is good wherever it comes back.
func TestTargetThatLosesItsDisk(t *testing.T) {
	p := growingPair(t, Defaults(), 1, 0, 1)
	a, b := p.nodes[0], p.nodes[1]
	before := a.e.Generations().Current
	p.tell(b, func(e *Engine, tag uint64) { e.Resize(p.now, ResizeOptions{User: sizeAfter}, tag) })
	p.runUntil(func(int, *wire.Message) bool { return a.e.State().Conn() == wire.SyncSource })
	p.wire = slices.DeleteFunc(p.wire, func(w pending) bool { return w.to == 1 }) // is on its way for long
	p.tell(b, func(e *Engine, _ uint64) { e.giveUpDisk() })
	p.run(true)
	if g := a.e.Generations(); a.e.State().PeerDisk() != wire.Diskless || metadata.SameGeneration(g.Current, before) || !metadata.SameGeneration(g.Bitmap, before) {
		t.Errorf("no new generation: %v %X, before %X", a.e.State(), g, before)
	}
}

// TestRolesWhileGrowing: roles change, or a verify is asked for, when a volume grows. Whatever crosses what, and in whatever
// order messages of the two sockets arrive, the nodes agree on who is the source, and what was acknowledged stays.
func TestRolesWhileGrowing(t *testing.T) {
	done, refused := 0, 0
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 9))
		cfg := Defaults()
		cfg.Protocol, cfg.VerifyAlg = ProtocolA+uint32(seed%3), "crc32c"
		p := growingPair(t, cfg, r.IntN(2), 0, 1)
		a := p.nodes[0]
		if r.IntN(2) == 0 {
			p.tell(a, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
			p.run(true)
		}
		asker := p.nodes[r.IntN(2)]
		at, cut := r.IntN(8), r.IntN(60)
		for i := range 40 {
			if i == at {
				p.out.Reset()
				p.tell(asker, func(e *Engine, tag uint64) { e.Resize(p.now, ResizeOptions{User: sizeAfter}, tag) })
				if refused++; strings.Contains(p.out.String(), "Success") {
					done, refused = done+1, refused-1
				}
			}
			switch n := p.nodes[r.IntN(2)]; r.IntN(16) {
			case 0:
				p.tell(n, func(e *Engine, tag uint64) { e.Promote(p.now, false, tag) })
			case 1:
				p.tell(n, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
			case 2:
				if seed%4 == 0 {
					p.tell(n, func(e *Engine, tag uint64) { e.Verify(p.now, tag) })
				}
			case 3, 4:
				if n.e.State().Role() == wire.Primary {
					p.tell(n, func(e *Engine, tag uint64) { e.Write(p.now, tag, r.Uint64N(8)*8, filled(byte(0x10+i)), false) })
				}
			default:
				p.shuffle(r)
			}
			if e, o := p.nodes[0].e, p.nodes[1].e; i >= cut && e.Size() == o.Size() && !e.cmd.active && !o.cmd.active {
				// Else they would stand alone, or both be promoted without the other one.
				p.drop()
				p.link(r.IntN(2))
				p.run(true)
				cut = 40
			}
		}
		for p.shuffle(r) {
		}
		want := uint64(sizeBefore)
		if asker.e.Size() == sizeAfter {
			want = sizeAfter
		}
		p.alike(fmt.Sprintf("seed %d", seed), want)
		if t.Failed() {
			t.Fatal(p.out.String())
		}
	}
	t.Logf("%d grew, %d were refused", done, refused)
}
