package engine

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// pass lets time go by; messages for which lost is true do not arrive.
func (p *pair) pass(d time.Duration, lost func(m *wire.Message) bool) {
	for end := p.now + d; p.now < end; {
		p.tick()
		for {
			p.wire = slices.DeleteFunc(p.wire, func(w pending) bool { return !w.eof && lost != nil && lost(&w.m) })
			if !p.step(true) {
				break
			}
		}
	}
}

// TestKeepAlive: a connection without traffic lives by pings; one that says nothing
// ends after ping-int and ping-timeout.
func TestKeepAlive(t *testing.T) {
	p := connectedPair(t, pairDisk, Defaults(), 1)
	pings := 0
	p.tap = func(_ int, m *wire.Message) {
		if m.Command == wire.CmdPing {
			pings++
		}
	}
	p.pass(35*time.Second, nil)
	if s := p.nodes[0].e.State(); s.Conn() != wire.Connected || pings < 3 || pings > 8 {
		t.Errorf("after 35 idle seconds: %v, %d pings", s, pings)
	}
	p.nodes[0].e.Write(p.now, 9, 80, make([]byte, 4096), false)
	p.effects(p.nodes[0])
	p.run(true) // both have heard from each other now
	silent := func(*wire.Message) bool { return true }
	p.pass(10*time.Second, silent)
	before := p.nodes[0].e.State().Conn()
	p.pass(1500*time.Millisecond, silent)
	if after := p.nodes[0].e.State().Conn(); before != wire.Connected || after == wire.Connected {
		t.Errorf("silence: %v after 10 s, %v after 11.5 s", before, after)
	}
}

// TestKOCount: a peer that answers pings but not a write is given up after ko-count
// times timeout, and the write completes with the local copy.
func TestKOCount(t *testing.T) {
	p := connectedPair(t, pairDisk, Defaults(), 1)
	a := p.nodes[0]
	a.e.Write(p.now, a.tag(), 80, make([]byte, 4096), false)
	p.effects(a)
	stuck := func(m *wire.Message) bool { return m.Command == wire.CmdWriteAck || m.Command == wire.CmdBarrierAck }
	p.pass(41*time.Second, stuck)
	if s := a.e.State(); s.Conn() != wire.Connected || strings.Contains(p.out.String(), "write done") {
		t.Fatalf("after 41 s: %v\n%s", s, p.out.String())
	}
	p.pass(2*time.Second, stuck)
	if s := a.e.State(); s.Conn() == wire.Connected || !strings.Contains(p.out.String(), "a: write done\n") || a.e.OutOfSync() != 8 {
		t.Errorf("after 43 s: %v, %d sectors out of sync\n%s", s, a.e.OutOfSync(), p.out.String())
	}
}

// TestChecksumRequests: a target that tells the digest of its block gets the block
// only when it differs.
func TestChecksumRequests(t *testing.T) {
	cfg := Defaults()
	cfg.CsumsAlg = "md5"
	p := connectedPair(t, pairDisk, cfg, 1)
	a := p.nodes[0]
	block := bytes.Repeat([]byte{7}, metadata.BlockSize)
	if _, err := a.disk.WriteAt(block, 0); err != nil {
		t.Fatal(err)
	}
	var got []wire.Command
	p.tap = func(from int, m *wire.Message) {
		if from == 0 && m.Sector == 0 {
			got = append(got, m.Command)
		}
	}
	for _, data := range [][]byte{block, make([]byte, metadata.BlockSize)} {
		a.e.bitmap.SetSectors(0, 8)
		a.e.Receive(p.now, &wire.Message{Command: wire.CmdChecksumRequest, ID: wire.SyncerID, Size: metadata.BlockSize, Digest: digestOf("md5", data)})
		p.effects(a)
		for len(a.work) > 0 {
			n := len(p.wire)
			p.step(true)
			got = append(got, func() (c []wire.Command) {
				for _, w := range p.wire[min(n, len(p.wire)):] {
					c = append(c, w.m.Command)
				}
				return c
			}()...)
		}
		p.wire = nil
		got = append(got, wire.Command(a.e.OutOfSync()))
	}
	want := []wire.Command{wire.CmdInSync, 0, wire.CmdResyncReply, 8}
	if !slices.Equal(got, want) {
		t.Errorf("answers %v, want %v", got, want)
	}
}

// TestOtherVolumes: settings of a volume that this node does not have are passed
// over, anything else about it ends the connection.
func TestOtherVolumes(t *testing.T) {
	p := connectedPair(t, pairDisk, Defaults(), 1)
	a := p.nodes[0].e
	before := a.State()
	a.Receive(p.now, &wire.Message{Command: wire.CmdState, Volume: 1, State: wire.State(0).WithDisk(wire.Failed)})
	p.effects(p.nodes[0])
	if a.State() != before {
		t.Errorf("the state of another volume changes %v to %v", before, a.State())
	}
	a.Receive(p.now, &wire.Message{Command: wire.CmdData, Volume: 1, Data: make([]byte, 512), Size: 512})
	p.effects(p.nodes[0])
	if a.State().Conn() == wire.Connected {
		t.Error("a write to another volume is taken")
	}
}
