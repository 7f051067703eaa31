package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// TestTranscripts runs testdata/*.txt: two nodes, a and b, driven step by step. The
// commands:
//
//	nodes [fencing=stonith|resource] [protocol=A|B|C] [sb0= sb1= sb2= rr=N] [two] [verify-alg=X] [secret=X] [secret-b=Y]
//	        two fresh nodes; the policies are numbers of the wire protocol
//	up X            attach the disk of X and start to connect
//	link [resolver=b]  the sockets come up; b accepted the meta socket unless told otherwise
//	run             deliver messages and finish disk operations until nothing is left
//	drop            the connection breaks, both nodes notice
//	crash X         X stops, its cache is lost; up X starts it again
//	promote X [force] | demote X | outdate X | disconnect X | connect X [discard]
//	invalidate X [remote] | resume X | verify X
//	spoil X block=N       a block of X's disk changes behind its back
//	write X block=N [count=M] | read X block=N | flush X
//	handler X NAME CODE   the handler ends
//	break X         from now on the disk of X fails
//	tick DURATION   time passes in steps of 100 ms; messages and disks work
//	state           what both nodes know
//
// Every step prints what the nodes send, run and answer. -rewrite writes the output
// into the files; commit that only when you can say why each change is right.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		p := &pair{t: t, size: pairDisk}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			p.out.Reset()
			p.command(t, d)
			return p.out.String()
		})
	})
}

// pair is two nodes with perfect disks and a network that delivers on demand.
type pair struct {
	t     testing.TB
	size  uint64 // of the disks, bytes
	now   time.Duration
	cfg   [2]Config
	nodes [2]*pairNode
	wire  []pending // in order of sending
	conn  int
	uuid  uint64
	out   strings.Builder
	tap   func(from int, m *wire.Message)
	// slowUnfence: the handler takes as long as the test wants.
	slowUnfence bool
}

type pending struct {
	to, conn int
	meta     bool
	eof      bool // the peer closed its sockets
	m        wire.Message
}

type pairNode struct {
	id      int
	disk    *simDisk
	area    *metadata.Area
	e       *Engine
	linked  bool
	broken  bool     // every operation of the disk fails
	work    []Effect // disk effects under way
	reads   map[uint64]bool
	nextTag uint64
}

// pairDisk is the usual size of a disk, in bytes.
const pairDisk = 8 << 20

var errBroken = errors.New("broken disk")

func (p *pair) reset(cfg [2]Config) {
	*p = pair{t: p.t, size: p.size, cfg: cfg, uuid: 0x1000, tap: p.tap}
	for i := range p.nodes {
		// Identifiers are numbers in a row, so that transcripts read well.
		p.cfg[i].Rand = func() uint64 { p.uuid += 0x10; return p.uuid }
		n := &pairNode{id: i, disk: newSimDisk(p.size)}
		if _, err := metadata.Create(n.disk, p.size, metadata.Internal, metadata.CreateOptions{}); err != nil {
			p.t.Fatal(err)
		}
		p.nodes[i] = n
	}
}

func nodeName(i int) string { return string("ab"[i]) }

func (p *pair) printf(format string, args ...any) { fmt.Fprintf(&p.out, format+"\n", args...) }

// effects carries out what a node asks for, except disk operations, which are kept.
func (p *pair) effects(n *pairNode) {
	for {
		list := append([]Effect(nil), n.e.Take()...)
		if len(list) == 0 {
			return
		}
		metaFailed := false
		for _, f := range list {
			name := nodeName(n.id)
			switch f.Kind {
			case Send:
				p.wire = append(p.wire, pending{to: 1 - n.id, conn: p.conn, meta: f.Msg.Command.OnMeta(), m: f.Msg})
			case ReadDisk, WriteDisk, FlushDisk, WriteLog:
				if f.Kind == WriteLog {
					p.must(n.area.WritePages(n.e.Bitmap(), f.Pages))
				}
				n.work = append(n.work, f)
			case Persist:
				if n.broken {
					metaFailed = true
					continue
				}
				p.must(n.disk.Sync())
				p.must(n.area.WritePages(n.e.Bitmap(), f.Pages))
				p.must(n.area.WriteSuperblock(f.Super))
			case Complete:
				what := "write done"
				if n.reads[f.Tag] {
					what = "read done"
					if f.Data != nil {
						what += fmt.Sprintf(": %d", f.Data[0])
					}
				}
				if f.Err != nil {
					what += ": " + f.Err.Error()
				}
				p.printf("%s: %s", name, what)
			case Reply:
				p.printf("%s: answer: %s", name, f.Result.String())
			case RunHandler:
				p.printf("%s: handler %s", name, f.Name)
				if f.Name == "unfence-peer" && !p.slowUnfence {
					n.e.HandlerDone(p.now, f.Name, 0)
				}
			case OpenConnection, Note:
				if f.Kind == Note && !strings.HasPrefix(f.Name, "cs:") {
					p.printf("%s: %s", name, f.Name)
				}
			case CloseConnection:
				if n.linked {
					p.wire = append(p.wire, pending{to: 1 - n.id, conn: p.conn, eof: true})
				}
				n.linked = false
			}
		}
		if metaFailed {
			n.e.MetaFailed(p.now)
		}
	}
}

func (p *pair) must(err error) {
	if err != nil {
		p.t.Fatal(err)
	}
}

// describeMessage is one line about a message.
func describeMessage(m *wire.Message) string {
	s := m.Command.String()
	switch m.Command {
	case wire.CmdState:
		s += " " + m.State.String()
	case wire.CmdStateChange, wire.CmdConnChange:
		s += fmt.Sprintf(" mask=%#x val=%#x", uint32(m.Mask), uint32(m.State))
	case wire.CmdStateReply, wire.CmdConnReply:
		s += fmt.Sprintf(" %d", m.Code)
	case wire.CmdUUIDs:
		u := m.UUIDs
		s += fmt.Sprintf(" %X:%X:%X:%X bits=%d flags=%d", u.Current, u.Bitmap, u.History[0], u.History[1], u.SetBits, u.Flags)
	case wire.CmdSyncUUID:
		s += fmt.Sprintf(" %X", m.UUID)
	case wire.CmdBarrier:
		s += fmt.Sprintf(" %d", m.Number)
	case wire.CmdBarrierAck:
		s += fmt.Sprintf(" %d set=%d", m.Number, m.Count)
	case wire.CmdBitmap, wire.CmdPackedBitmap:
		s += fmt.Sprintf(" %x", m.Data)
	}
	if m.Size > 0 && m.Command != wire.CmdBitmap {
		s += fmt.Sprintf(" block=%d size=%d", m.Sector/8, m.Size)
	}
	return s
}

// step delivers one message, or finishes one disk operation.
func (p *pair) step(quiet bool) bool {
	for len(p.wire) > 0 {
		w := p.wire[0]
		p.wire = p.wire[1:]
		n, from := p.nodes[w.to], p.nodes[1-w.to]
		if w.conn != p.conn || n.e == nil || !n.linked {
			continue
		}
		if w.eof {
			n.linked = false
			n.e.ConnectionLost(p.now)
			p.effects(n)
			return true
		}
		if p.tap != nil {
			p.tap(1-w.to, &w.m)
		}
		if !quiet {
			sock := "D"
			if w.meta {
				sock = "M"
			}
			p.printf("%s>%s %s %s", nodeName(1-w.to), nodeName(w.to), sock, describeMessage(&w.m))
		}
		d := n.e.Dialect()
		if w.m.Command == wire.CmdFeatures {
			d = wire.Dialect{}
		} else if from.e != nil {
			d = from.e.Dialect()
		}
		raw := d.Append(nil, &w.m)
		h, err := d.DecodeHeader(raw)
		p.must(err)
		var m wire.Message
		p.must(d.Decode(h, raw[d.HeaderSize():], &m))
		n.e.Receive(p.now, &m)
		p.effects(n)
		return true
	}
	for _, n := range p.nodes {
		if n.e == nil || len(n.work) == 0 {
			continue
		}
		f := n.work[0]
		n.work = n.work[1:]
		var data []byte
		if n.broken {
			n.e.DiskDone(p.now, f.Tag, nil, errBroken)
			p.effects(n)
			return true
		}
		switch f.Kind {
		case WriteDisk:
			b := f.Data
			if f.Zero {
				b = make([]byte, f.Size)
			}
			_, err := n.disk.WriteAt(b, int64(f.Sector*metadata.SectorSize))
			p.must(err)
		case ReadDisk:
			data = make([]byte, f.Size)
			_, err := n.disk.ReadAt(data, int64(f.Sector*metadata.SectorSize))
			p.must(err)
		case FlushDisk:
			p.must(n.disk.Sync())
		case WriteLog:
			p.must(n.area.WriteLog(f.Log))
		}
		n.e.DiskDone(p.now, f.Tag, data, nil)
		p.effects(n)
		return true
	}
	return false
}

func (p *pair) run(quiet bool) {
	for i := 0; p.step(quiet); i++ {
		if i > 100000 {
			p.t.Fatal("no end of messages")
		}
	}
}

// open reads the metadata of a node, as a runner does.
func (p *pair) open(n *pairNode) LocalDisk {
	area, err := metadata.Open(n.disk, p.size, metadata.Internal)
	p.must(err)
	_, err = area.ApplyLog()
	p.must(err)
	bm, err := area.ReadBitmap()
	p.must(err)
	n.area = area
	return LocalDisk{Capacity: area.Layout.DataSectors, Super: area.Super, Bitmap: bm, Layout: area.Layout}
}

func (p *pair) up(n *pairNode) {
	n.e, n.work, n.reads = New(p.cfg[n.id]), nil, map[uint64]bool{}
	p.must(n.e.Attach(p.now, p.open(n)))
	n.e.Connect(p.now, false, 0)
	n.e.Take()
}

func (p *pair) link(resolver int) {
	p.conn++
	p.wire = nil
	for i, n := range p.nodes {
		n.linked = true
		n.e.ConnectionUp(p.now, i == resolver)
		p.effects(n)
	}
}

func (p *pair) drop() {
	p.conn++
	for _, n := range p.nodes {
		if n.e != nil && n.linked {
			n.linked = false
			n.e.ConnectionLost(p.now)
			p.effects(n)
		}
	}
}

func (p *pair) crash(n *pairNode) {
	n.disk.lose()
	n.e, n.linked, n.work = nil, false, nil
}

func (n *pairNode) tag() uint64 { n.nextTag++; return n.nextTag }

func (p *pair) command(t *testing.T, d *datadriven.TestData) {
	node := func() *pairNode { return p.nodes[strings.Index("ab", d.CmdArgs[0].Key)] }
	number := func(key string, def int) int {
		if d.HasArg(key) {
			d.ScanArgs(t, key, &def)
		}
		return def
	}
	if d.Cmd == "nodes" {
		var cfg [2]Config
		for i := range cfg {
			c := Defaults()
			c.ALExtents = 2
			c.PlanAhead, c.ResyncRate = 0, 100000
			if d.HasArg("protocol") {
				var s string
				d.ScanArgs(t, "protocol", &s)
				c.Protocol = uint32(s[0]-'A') + 1
			}
			if d.HasArg("fencing") {
				var s string
				d.ScanArgs(t, "fencing", &s)
				c.Fencing = map[string]FencingPolicy{"resource": FencingResourceOnly, "stonith": FencingStonith}[s]
			}
			c.AfterSB = [3]uint32{uint32(number("sb0", 0)), uint32(number("sb1", 0)), uint32(number("sb2", 0))}
			c.RRConflict = uint32(number("rr", 0))
			c.TwoPrimaries = d.HasArg("two")
			if d.HasArg("verify-alg") {
				d.ScanArgs(t, "verify-alg", &c.VerifyAlg)
			}
			if d.HasArg("secret") {
				c.CramHMACAlg = "sha1"
				d.ScanArgs(t, "secret", &c.SharedSecret)
				if i == 1 && d.HasArg("secret-b") {
					d.ScanArgs(t, "secret-b", &c.SharedSecret)
				}
			}
			cfg[i] = c
		}
		p.reset(cfg)
		return
	}
	switch d.Cmd {
	case "up":
		p.up(node())
	case "link":
		resolver := 1
		if d.HasArg("resolver") {
			var s string
			d.ScanArgs(t, "resolver", &s)
			resolver = strings.Index("ab", s)
		}
		p.link(resolver)
		p.run(d.HasArg("quiet"))
	case "run":
		p.run(d.HasArg("quiet"))
	case "drop":
		p.drop()
	case "break":
		node().broken = true
	case "crash":
		p.crash(node())
	case "tick":
		span, err := time.ParseDuration(d.CmdArgs[0].Key)
		p.must(err)
		for end := p.now + span; p.now < end; {
			p.tick()
			p.run(d.HasArg("quiet"))
		}
	case "state":
		for i, n := range p.nodes {
			if n.e == nil {
				p.printf("%s: down", nodeName(i))
				continue
			}
			g := n.e.Generations()
			p.printf("%s: %v %X:%X:%X:%X bits=%d", nodeName(i), n.e.State(), g.Current, g.Bitmap, g.History[0], g.History[1], n.e.OutOfSync()/8)
			if n.e.State()&anySuspended != 0 {
				p.printf("%s: suspended", nodeName(i))
			}
		}
	default:
		p.drive(d, node(), number)
		p.effects(node())
		p.run(d.HasArg("quiet"))
	}
}

// drive is a command to one node.
func (p *pair) drive(d *datadriven.TestData, n *pairNode, number func(string, int) int) {
	e := n.e
	switch d.Cmd {
	case "promote":
		e.Promote(p.now, d.HasArg("force"), n.tag())
	case "demote":
		e.Demote(p.now, n.tag())
	case "verify":
		e.Verify(p.now, n.tag())
	case "spoil":
		_, err := n.disk.WriteAt(make([]byte, metadata.BlockSize), int64(number("block", 0))*metadata.BlockSize)
		p.must(err)
	case "outdate":
		e.Outdate(p.now, n.tag())
	case "disconnect":
		e.Disconnect(p.now, false, n.tag())
	case "connect":
		e.Connect(p.now, d.HasArg("discard"), n.tag())
	case "invalidate":
		e.Invalidate(p.now, d.HasArg("remote"), n.tag())
	case "resume":
		e.ResumeIO(p.now, n.tag())
	case "handler":
		var code int
		fmt.Sscan(d.CmdArgs[2].Key, &code)
		e.HandlerDone(p.now, d.CmdArgs[1].Key, code)
	case "write":
		for i := range number("count", 1) {
			block := number("block", 0) + i
			b := make([]byte, metadata.BlockSize)
			for j := range b {
				b[j] = byte(block + number("value", 1))
			}
			e.Write(p.now, n.tag(), uint64(block)*8, b, false)
		}
	case "read":
		tag := n.tag()
		n.reads[tag] = true
		e.Read(p.now, tag, uint64(number("block", 0))*8, metadata.BlockSize)
	case "flush":
		e.Flush(p.now, n.tag())
	default:
		d.Fatalf(p.t.(*testing.T), "unknown command")
	}
}
