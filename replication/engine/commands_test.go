package engine

import (
	"slices"
	"strings"
	"testing"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// reply is the next message of that kind from a node.
func reply(node int, c wire.Command) func(int, *wire.Message) bool {
	return func(from int, m *wire.Message) bool { return from == node && m.Command == c }
}

// spoil changes a block of a disk.
func (p *pair) spoil(n *pairNode, block uint64) {
	if _, err := n.disk.WriteAt(filled(0xee), int64(block)*metadata.BlockSize); err != nil {
		p.t.Fatal(err)
	}
	p.must(n.disk.Sync())
}

func invalidate(p *pair) func(e *Engine, tag uint64) {
	return func(e *Engine, tag uint64) { e.Invalidate(p.now, false, tag) }
}

// TestInvalidateIsNotForgotten: the node that was told to throw its data away crashes, or is cut
// off, before the resync has an identifier, or before its peer knows that it agreed.
func TestInvalidateIsNotForgotten(t *testing.T) {
	for _, remote := range []bool{false, true} {
		for _, crash := range []bool{false, true} {
			p := connectedPair(t, pairDisk, Defaults(), 1)
			a, b := p.nodes[0], p.nodes[1]
			p.writeBlock(a, 5, 0x55)
			p.tell(a, func(e *Engine, tag uint64) { e.Demote(p.now, tag) }) // a Primary alone begins a generation
			p.run(true)
			p.spoil(b, 5)
			if remote {
				p.tell(a, func(e *Engine, tag uint64) { e.Invalidate(p.now, true, tag) })
				p.runUntil(reply(1, wire.CmdStateReply))
			} else {
				p.tell(b, invalidate(p))
				p.runUntil(reply(0, wire.CmdSyncUUID))
			}
			p.meetAgain(b, crash)
			if got := b.disk.sector(5 * 8)[0]; got != 0x55 {
				t.Errorf("remote %v, crash %v: both nodes are UpToDate, and b has %#x, which was to be thrown away", remote, crash, got)
			}
		}
	}
}

// TestInvalidateKeepsNoWrite: what was written just before belongs to the data that is thrown away, too, also when its end
// comes while all bits are set: of an own write the end of its epoch, of the peer's that of the disk.
func TestInvalidateKeepsNoWrite(t *testing.T) {
	const block = 900 // which is not the first to be copied
	cfg := Defaults()
	cfg.PlanAhead, cfg.ResyncRate = 0, 2000
	for _, own := range []bool{true, false} {
		p := connectedPair(t, pairDisk, cfg, 1)
		a, b := p.nodes[0], p.nodes[1]
		writer := a
		if !own {
			writer = b
			p.tell(a, func(e *Engine, tag uint64) { e.Demote(p.now, tag) })
		}
		p.tell(b, invalidate(p))
		p.runUntil(func(int, *wire.Message) bool {
			return b.e.State().Conn() == wire.SyncTarget && b.e.OutOfSync() < pairDisk/metadata.SectorSize/4
		})
		p.run(true)
		if !own {
			p.tell(b, func(e *Engine, tag uint64) { e.Promote(p.now, false, tag) })
			p.run(true)
		}
		p.tell(writer, func(e *Engine, tag uint64) { e.Write(p.now, tag, block*8, filled(0x77), false) })
		var barrier, end []pending
		var work Effect
		if own {
			p.runUntil(reply(0, wire.CmdBarrier))
			barrier, p.wire = p.wire[:1:1], p.wire[1:]
		} else {
			for len(a.work) == 0 || a.work[0].Kind != WriteDisk {
				if !p.step(true) {
					t.Fatalf("the write does not come: %v\n%s", b.e.State(), p.out.String())
				}
			}
			work, a.work = a.work[0], a.work[1:]
		}
		p.awaitSync()
		if own {
			p.wire = barrier
			p.runUntil(reply(1, wire.CmdBarrierAck))
			end, p.wire = p.wire, nil
		}
		p.tell(b, func(e *Engine, tag uint64) { e.Invalidate(p.now, true, tag) })
		p.runUntil(reply(0, wire.CmdStateReply))
		p.spoil(a, block)
		p.wire = append(end, p.wire...)
		p.runUntil(func(int, *wire.Message) bool { return a.e.State().Conn() == wire.SyncTarget })
		if !own {
			a.e.DiskDone(p.now, work.Tag, nil, nil)
			p.effects(a)
		}
		p.awaitSync()
		if want, got := b.disk.sector(block * 8)[0], a.disk.sector(block * 8)[0]; got != want {
			t.Errorf("own write %v: both nodes are UpToDate, and a has %#x, which was to be thrown away, b %#x", own, got, want)
		}
	}
}

// TestPeerThatDoesNotKnowItsAnswer: a agrees to be the source of all data; until b has heard
// of that it may be promoted, and nothing is acknowledged that it does not have.
func TestPeerThatDoesNotKnowItsAnswer(t *testing.T) {
	cfg := Defaults()
	cfg.Fencing = FencingStonith
	p := connectedPair(t, pairDisk, cfg, 1)
	a, b := p.nodes[0], p.nodes[1]
	p.tell(b, invalidate(p))
	p.runUntil(reply(0, wire.CmdStateReply))
	p.tell(a, func(e *Engine, tag uint64) { e.Write(p.now, tag, 7*8, filled(0x77), false) })
	p.drop()
	p.run(true)
	if s := a.e.State(); s&wire.SuspendedFence == 0 || strings.Contains(p.out.String(), "write done") || b.e.State().Disk() != wire.UpToDate {
		t.Errorf("a: %v, b: %v\n%s", s, b.e.State(), p.out.String())
	}
}

// TestDisconnectOutdates: who is left behind by a Primary in good order is outdated, also after
// a crash in that moment; so is who leaves.
func TestDisconnectOutdates(t *testing.T) {
	for asks := range 2 {
		cfg := Defaults()
		cfg.Fencing = FencingStonith
		p := connectedPair(t, pairDisk, cfg, 1)
		a, b := p.nodes[0], p.nodes[1]
		p.tell(p.nodes[asks], func(e *Engine, tag uint64) { e.Disconnect(p.now, false, tag) })
		answers := 0
		p.runUntil(func(from int, m *wire.Message) bool {
			if from == 1-asks && m.Command == wire.CmdConnReply && m.Code.OK() {
				answers++
			}
			return answers > 0
		})
		p.crash(b) // the answer is on its way
		if asks == 0 {
			p.run(true)
		} else {
			p.drop()
		}
		p.up(b)
		if s := b.e.State(); s.Disk() != wire.Outdated {
			t.Errorf("node %d asked: b is %v", asks, s)
		}
		if s := a.e.State(); s.PeerDisk() != wire.Outdated || s&anySuspended != 0 {
			t.Errorf("node %d asked: a is %v", asks, s)
		}
	}
}

// TestOutdatedPeerThatIsGoodAgain: a peer that left in good order comes back, and finds the same data. It counts as good from the
// first words on; when the connection breaks, or this node crashes, before it hears of that, this node must not take the peer
// for outdated, and go on without a fence.
func TestOutdatedPeerThatIsGoodAgain(t *testing.T) {
	for _, crash := range []bool{false, true} {
		cfg := Defaults()
		cfg.Fencing = FencingStonith
		p := connectedPair(t, pairDisk, cfg, 1)
		a, b := p.nodes[0], p.nodes[1]
		p.tell(a, func(e *Engine, tag uint64) { e.SuspendIO(p.now, tag) }) // begins no generation
		p.tell(b, func(e *Engine, tag uint64) { e.Disconnect(p.now, false, tag) })
		p.run(true)
		if s := a.e.State(); s.PeerDisk() != wire.Outdated {
			t.Fatalf("a does not know: %v", s)
		}
		p.tell(b, func(e *Engine, tag uint64) { e.Connect(p.now, false, tag) })
		p.link(1)
		for b.e.State().Disk() != wire.UpToDate && p.step(true) {
			p.wire = slices.DeleteFunc(p.wire, func(w pending) bool { return w.to == 0 && w.m.Command == wire.CmdState }) // on its way for long
		}
		if s := a.e.State(); s.Conn() >= wire.Connected {
			t.Fatalf("a has heard of it: %v", s)
		}
		if crash {
			p.crash(a)
		}
		if p.drop(); crash {
			p.up(a)
		}
		if s := a.e.State(); s.PeerDisk() == wire.Outdated {
			t.Errorf("crash %v: a takes b for outdated: %v, %v", crash, s, b.e.State())
		}
		p.link(0)
		p.run(true)
		if s := a.e.State(); s.Conn() != wire.Connected || s.Disk() != wire.UpToDate || s.PeerDisk() != wire.UpToDate {
			t.Errorf("crash %v: %v", crash, s)
		}
	}
}

// TestDisconnectOfAllVolumes: one volume is in the middle of a resync, and its data cannot be
// outdated any more.
func TestDisconnectOfAllVolumes(t *testing.T) {
	r := NewResource(Defaults(), Defaults())
	connected := wire.State(0).WithRole(wire.Secondary).WithPeer(wire.Primary).WithPeerDisk(wire.UpToDate)
	r.volumes[0].state = connected.WithConn(wire.Connected).WithDisk(wire.UpToDate)
	r.volumes[1].state = connected.WithConn(wire.SyncTarget).WithDisk(wire.Inconsistent)
	r.link.up = true
	answer := wire.InTransient
	r.cmd = command{active: true, asked: true, mask: wire.MaskConn | wire.MaskDisk, val: wire.State(0).WithConn(wire.Disconnecting).WithDisk(wire.Outdated),
		then: func(r wire.Result) { answer = r }}
	r.connAnswered(wire.ResultOK)
	for i, want := range []wire.Disk{wire.Outdated, wire.Inconsistent} {
		if s := r.volumes[i].State(); s.Conn() != wire.StandAlone || s.Disk() != want {
			t.Errorf("volume %d: %v", i, s)
		}
	}
	if !answer.OK() {
		t.Error(answer)
	}
}

// TestSuspendedSecondary: a Secondary whose own I/O is suspended is written by a Primary without
// a disk all the same, in a generation of its own.
func TestSuspendedSecondary(t *testing.T) {
	p := connectedPair(t, pairDisk, Defaults(), 1)
	a, b := p.nodes[0], p.nodes[1]
	p.tell(b, func(e *Engine, tag uint64) { e.SuspendIO(p.now, tag) })
	before := b.e.Generations().Current
	p.tell(a, func(e *Engine, tag uint64) { e.Detach(p.now, tag) })
	p.run(true)
	if now := b.e.Generations().Current; metadata.SameGeneration(now, before) {
		t.Errorf("still in the generation that a has on its disk: %X", now)
	}
}

// TestFenceKeepsSuspension: I/O that an administrator suspended waits for resume-io, not for the
// fence of a peer.
func TestFenceKeepsSuspension(t *testing.T) {
	cfg := Defaults()
	cfg.Fencing = FencingStonith
	p := connectedPair(t, pairDisk, cfg, 1)
	a := p.nodes[0]
	p.tell(a, func(e *Engine, tag uint64) { e.SuspendIO(p.now, tag) })
	p.alone(a, 3, 0x33)
	if s := a.e.State(); s&anySuspended != wire.Suspended || strings.Contains(p.out.String(), "write done") {
		t.Errorf("%v\n%s", s, p.out.String())
	}
	p.tell(a, func(e *Engine, tag uint64) { e.ResumeIO(p.now, tag) })
	p.run(true)
	if !strings.Contains(p.out.String(), "write done") {
		t.Errorf("the write does not go on: %v", a.e.State())
	}
}

// TestResumeInAHandshake: a Primary whose I/O is suspended lost its peer, and put off the new generation. When both meet again
// it does not begin one after the peer was told of the old one, and takes both nodes for equal.
func TestResumeInAHandshake(t *testing.T) {
	p := connectedPair(t, pairDisk, Defaults(), 1)
	a, b := p.nodes[0], p.nodes[1]
	p.tell(a, func(e *Engine, tag uint64) { e.SuspendIO(p.now, tag) })
	p.drop()
	p.link(1)
	p.runUntil(func(from int, m *wire.Message) bool { return from == 1 && m.Command == wire.CmdState })
	p.out.Reset()
	p.tell(a, func(e *Engine, tag uint64) { e.ResumeIO(p.now, tag) })
	if answer := "answer: " + wire.InTransient.String(); !strings.Contains(p.out.String(), answer) {
		t.Errorf("no %q:\n%s", answer, p.out.String())
	}
	p.run(true)
	if u, v := a.e.Generations(), b.e.Generations(); u.Current&^1 != v.Current&^1 || !p.synced() {
		t.Errorf("%v %X, %v %X", a.e.State(), u, b.e.State(), v)
	}
	p.tell(a, func(e *Engine, tag uint64) { e.ResumeIO(p.now, tag) })
	p.writeBlock(a, 3, 0x33)
	if got := b.disk.sector(3 * 8)[0]; got != 0x33 {
		t.Errorf("b has %#x", got)
	}
}

// TestDiskBackWhileSuspended: the peer gives its disk up and takes it back while I/O of the Primary is suspended, and no new
// generation tells what it misses. It does not count as equal, and what is completed later leaves no bit that nobody clears.
func TestDiskBackWhileSuspended(t *testing.T) {
	for _, late := range []bool{false, true} {
		p := connectedPair(t, pairDisk, Defaults(), 1)
		a, b := p.nodes[0], p.nodes[1]
		p.writeBlock(a, 3, 0x33)
		p.tell(a, func(e *Engine, tag uint64) { e.Write(p.now, tag, 3*8, filled(0x44), false) })
		p.runUntil(reply(0, wire.CmdData))
		p.tell(a, func(e *Engine, tag uint64) { e.SuspendIO(p.now, tag) })
		p.tell(b, func(e *Engine, tag uint64) { e.Detach(p.now, tag) })
		p.run(true)
		if s := a.e.State(); s.PeerDisk() != wire.Diskless {
			t.Fatal(s)
		}
		p.attach(b)
		if late {
			p.run(true)
			p.awaitSync()
		}
		p.tell(a, func(e *Engine, tag uint64) { e.ResumeIO(p.now, tag) })
		p.run(true)
		p.awaitSync()
		for i, n := range p.nodes {
			if got, bits := n.disk.sector(3 * 8)[0], n.e.OutOfSync(); got != 0x44 || bits != 0 {
				t.Errorf("late %v: both are UpToDate, and node %d has %#x, %d sectors out of sync", late, i, got, bits)
			}
		}
	}
}

// TestCommandsNeedTwoGoodDisks: a verify or a full resync does not make a disk good that is not,
// and does not throw the only data away.
func TestCommandsNeedTwoGoodDisks(t *testing.T) {
	commands := map[string]func(p *pair) func(e *Engine, tag uint64){
		"verify":     func(p *pair) func(e *Engine, tag uint64) { return func(e *Engine, tag uint64) { e.Verify(p.now, tag) } },
		"invalidate": invalidate,
		"invalidate-remote": func(p *pair) func(e *Engine, tag uint64) {
			return func(e *Engine, tag uint64) { e.Invalidate(p.now, true, tag) }
		},
	}
	cfg := Defaults()
	cfg.VerifyAlg = "crc32c"
	for name, command := range commands {
		p := freshPair(t, pairDisk, cfg, 1)
		p.tell(p.nodes[1], command(p))
		p.run(true)
		for i, n := range p.nodes {
			if s := n.e.State(); s.Disk() != wire.Inconsistent || s.Conn() != wire.Connected {
				t.Errorf("%s without any data: node %d is %v", name, i, s)
			}
		}
		p = connectedPair(t, pairDisk, cfg, 1)
		p.tell(p.nodes[0], func(e *Engine, tag uint64) { e.Detach(p.now, tag) })
		p.run(true)
		for _, n := range p.nodes {
			p.out.Reset()
			p.tell(n, command(p))
			p.run(true)
			if b := p.nodes[1].e; b.State().Disk() != wire.UpToDate || b.OutOfSync() != 0 || strings.Contains(p.out.String(), "Success") {
				t.Errorf("%s with one disk: %v, %d sectors out of sync\n%s", name, b.State(), b.OutOfSync(), p.out.String())
			}
		}
	}
}

// TestProtocolAWithoutDisk: the only copy of a write is the peer's, and it is acknowledged when
// that exists.
func TestProtocolAWithoutDisk(t *testing.T) {
	cfg := Defaults()
	cfg.Protocol = ProtocolA
	p := withoutDisk(t, cfg)
	a, b := p.nodes[0], p.nodes[1]
	p.tell(a, func(e *Engine, tag uint64) { e.Write(p.now, tag, 3*8, filled(0x33), false) })
	if strings.Contains(p.out.String(), "write done") {
		t.Error("a write is acknowledged that is nowhere yet")
	}
	p.run(true)
	if !strings.Contains(p.out.String(), "write done") || b.disk.sector(3 * 8)[0] != 0x33 {
		t.Errorf("b has %#x\n%s", b.disk.sector(3 * 8)[0], p.out.String())
	}
	if len(a.e.active) != 0 {
		t.Errorf("%d operations stay", len(a.e.active))
	}
}

// TestResumeInTheMiddleOfAResync: a write was held when the connection broke; its completion
// later must not mark the block again, which the target has by then.
func TestResumeInTheMiddleOfAResync(t *testing.T) {
	cfg := Defaults()
	cfg.PlanAhead, cfg.ResyncRate = 0, 100000
	p := connectedPair(t, pairDisk, cfg, 1)
	a := p.nodes[0]
	p.tell(a, func(e *Engine, tag uint64) { e.Write(p.now, tag, 3*8, filled(0x33), false) })
	p.tell(a, func(e *Engine, tag uint64) { e.Write(p.now, tag, 9*8, filled(0x99), false) })
	p.runUntil(reply(0, wire.CmdData))
	p.tell(a, func(e *Engine, tag uint64) { e.SuspendIO(p.now, tag) })
	p.drop()
	p.run(true)
	p.link(1)
	p.runUntil(func(from int, m *wire.Message) bool {
		return from == 1 && m.Command == wire.CmdState && m.State.Conn() == wire.Connected
	})
	if s := a.e.State(); s.Conn() != wire.SyncSource {
		t.Fatal(s)
	}
	p.tell(a, func(e *Engine, tag uint64) { e.ResumeIO(p.now, tag) })
	p.awaitSync()
}

// TestDetachedDiskIsOutdated: who goes on without a disk in good order leaves it behind.
func TestDetachedDiskIsOutdated(t *testing.T) {
	cfg := Defaults()
	cfg.Fencing = FencingStonith
	p := connectedPair(t, pairDisk, cfg, 1)
	a, b := p.nodes[0], p.nodes[1]
	p.tell(b, func(e *Engine, tag uint64) { e.Detach(p.now, tag) })
	p.run(true)
	p.writeBlock(a, 3, 0x33)
	p.crash(a)
	p.drop()
	p.crash(b)
	p.up(b)
	if s := b.e.State(); s.Disk() != wire.Outdated {
		t.Errorf("b does not know what a wrote, and is %v", s)
	}
}
