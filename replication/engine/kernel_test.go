package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// symbols replaces random identifiers by names in order of appearance, keeping what
// matters: equality, the Primary mark, and the step of a sync identifier.
type symbols map[uint64]string

func (s symbols) name(u uint64) string {
	plain := u &^ metadata.PrimaryMark
	mark := map[bool]string{true: "*"}[u&metadata.PrimaryMark != 0]
	if plain <= metadata.JustCreated {
		return fmt.Sprintf("%d%s", plain, mark)
	}
	if n, ok := s[plain]; ok {
		return n + mark
	}
	if n, ok := s[plain-1<<48]; ok {
		return n + "+" + mark
	}
	s[plain] = string(rune('A' + len(s)))
	return s[plain] + mark
}

// conversation is what went over the four directions, without pings and hints.
type conversation struct {
	lines map[string][]string // by "n1>n2 D"
	ids   symbols
}

func newConversation() *conversation { return &conversation{map[string][]string{}, symbols{}} }

func (c *conversation) add(dir, line string) { c.lines[dir] = append(c.lines[dir], line) }

// sortReplies puts neighbouring answers of a resync into order, which is free.
func (c *conversation) sortReplies() {
	for _, l := range c.lines {
		for i := 0; i < len(l); {
			j := i
			for j < len(l) && strings.HasPrefix(l[j], "RS_DATA_REPLY") {
				j++
			}
			slices.Sort(l[i:j])
			i = max(j, i+1)
		}
	}
}

var (
	kernelLine = regexp.MustCompile(`^ *([0-9.]+) (n\d>n\d [DM]) (\S+) +vol=0 len=\d+ *(.*)$`)
	fieldOf    = regexp.MustCompile(`(\w+)=(\S+)`)
)

// kernelConversation reads the reference decoding up to a time.
func kernelConversation(t *testing.T, until float64) *conversation {
	path := filepath.Join("..", "..", "..", "shared", "reference", "drbd-samples", "kernel-session.decoded.txt")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("the reference session is not here: %v", err)
	}
	c := newConversation()
	for _, l := range strings.Split(string(text), "\n") {
		m := kernelLine.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		if at, _ := strconv.ParseFloat(m[1], 64); at > until {
			break
		}
		f := map[string]string{}
		for _, kv := range fieldOf.FindAllStringSubmatch(m[4], -1) {
			f[kv[1]] = kv[2]
		}
		line := m[3]
		switch line {
		case "PING", "PING_ACK", "UNPLUG_REMOTE", "INITIAL_DATA", "INITIAL_META", "CONNECTION_FEATURES":
			continue
		case "STATE":
			line += " " + strings.Fields(m[4])[0]
		case "STATE_CHG_REQ", "CONN_ST_CHG_REQ":
			line += " " + f["mask"] + " " + f["val"]
		case "STATE_CHG_REPLY", "CONN_ST_CHG_REPLY":
			line += " " + f["ret"]
		case "SIZES":
			line += fmt.Sprintf(" %s %s %s %s", f["d"], f["u"], f["c"], f["maxbio"])
		case "SYNC_PARAM89", "PROTOCOL":
			line += " " + m[4]
		case "UUIDS":
			p := strings.Split(strings.TrimPrefix(m[4], "uuids "), ":")
			for i, x := range p {
				u, _ := strconv.ParseUint(strings.TrimSpace(x), 16, 64)
				if i < 4 {
					line += " " + c.ids.name(u)
				} else {
					line += fmt.Sprintf(" %d", u)
				}
			}
		case "SYNC_UUID":
			u, _ := strconv.ParseUint(m[4], 16, 64)
			line += " " + c.ids.name(u)
		case "COMPRESSED_BITMAP":
			line += " " + m[4]
		case "BARRIER", "BARRIER_ACK":
			raw, _ := strconv.ParseUint(regexp.MustCompile(`raw\)=(\w\w)`).FindStringSubmatch(m[4])[1], 16, 64)
			line += fmt.Sprintf(" %d %s", raw, f["set"])
		default:
			size := f["size"]
			if size == "" {
				size = f["data"]
			}
			line += fmt.Sprintf(" %s %s %s %s", f["sec"], size, f["seq"], f["fl"])
		}
		c.add(m[2], strings.TrimSpace(line))
	}
	c.sortReplies()
	return c
}

// own notes a message of ours in the same form.
func (c *conversation) own(from int, m *wire.Message) {
	dir := []string{"n1>n2", "n2>n1"}[from] + " D"
	if m.Command.OnMeta() {
		dir = dir[:len(dir)-1] + "M"
	}
	line := m.Command.String()
	switch m.Command {
	case wire.CmdPing, wire.CmdPingAck, wire.CmdFeatures:
		return
	case wire.CmdState:
		line += fmt.Sprintf(" 0x%08x", uint32(m.State))
	case wire.CmdStateChange, wire.CmdConnChange:
		line += fmt.Sprintf(" 0x%08x 0x%08x", uint32(m.Mask), uint32(m.State))
	case wire.CmdStateReply, wire.CmdConnReply:
		line += fmt.Sprintf(" %d", m.Code)
	case wire.CmdSizes:
		line += fmt.Sprintf(" %d %d %d %d", m.Sizes.Device, m.Sizes.User, m.Sizes.Current, m.Sizes.MaxBioSize)
	case wire.CmdSyncParam89:
		p := m.Sync
		line += fmt.Sprintf(" rate=%d v=b'%s' c=b'%s'(%d, %d, %d, %d)", p.Rate, p.VerifyAlg, p.CsumsAlg, p.PlanAhead, p.DelayTarget, p.FillTarget, p.MaxRate)
	case wire.CmdProtocol:
		p := m.Protocol
		line += fmt.Sprintf(` (%d, %d, %d, %d, %d, %d) alg=b'\x00'`, p.Protocol, p.AfterSB[0], p.AfterSB[1], p.AfterSB[2], p.Flags, map[bool]int{true: 1}[p.TwoPrimaries])
	case wire.CmdUUIDs:
		u := m.UUIDs
		for _, x := range []uint64{u.Current, u.Bitmap, u.History[0], u.History[1]} {
			line += " " + c.ids.name(x)
		}
		line += fmt.Sprintf(" %d %d", u.SetBits, u.Flags)
	case wire.CmdSyncUUID:
		line += " " + c.ids.name(m.UUID)
	case wire.CmdPackedBitmap, wire.CmdBitmap:
		line += fmt.Sprintf(" %x", m.Data)
	case wire.CmdBarrier:
		line += fmt.Sprintf(" %d", m.Number)
	case wire.CmdBarrierAck:
		line += fmt.Sprintf(" %d %d", m.Number, m.Count)
	default:
		flags, seq := "", fmt.Sprint(m.Seq)
		if f := m.Command; f == wire.CmdData || f == wire.CmdTrim || f == wire.CmdZeroes || f == wire.CmdResyncReply {
			flags = fmt.Sprintf("%#x", uint32(m.Flags))
		}
		if m.Command == wire.CmdResyncRequest {
			seq = ""
		}
		line += fmt.Sprintf(" %d %d %s %s", m.Sector, m.Size, seq, flags)
	}
	c.add(dir, strings.TrimSpace(line))
}

// TestSpeaksLikeTheKernel repeats the captured session of two kernels with two
// engines and compares everything that was said: first sync, writes of all kinds,
// a second Primary, disconnect, writes alone, reconnect and resync of the
// difference. Only pings and hints are left out, and the order of resync answers.
func TestSpeaksLikeTheKernel(t *testing.T) {
	want := kernelConversation(t, 9)
	cfg := Defaults()
	cfg.TwoPrimaries, cfg.AfterSB = true, [3]uint32{SBDiscardZeroChanges, SBDiscardSecondary, SBDisconnect}
	cfg.VerifyAlg = "crc32c"
	cfg.PlanAhead, cfg.ResyncRate = 0, 102400
	got := newConversation()
	p := &pair{t: t, size: 2200 * metadata.SectorSize, tap: got.own}
	p.reset([2]Config{cfg, cfg})
	// Far apart, so that no identifier looks like the next step of another; odd, since
	// the kernel's random sync identifier happened to be.
	for i := range p.cfg {
		p.cfg[i].Rand = func() uint64 { p.uuid += 0x0123456789abcdee; return p.uuid | 1 }
	}
	a, b := p.nodes[0], p.nodes[1]
	do := func(n *pairNode, f func(e *Engine)) {
		f(n.e)
		p.effects(n)
		p.run(true)
	}
	pass := func(d time.Duration) {
		for end := p.now + d; p.now < end; {
			p.tick()
			p.run(true)
		}
	}
	write := func(n *pairNode, sector uint64, size int) {
		do(n, func(e *Engine) { e.Write(p.now, n.tag(), sector, make([]byte, size), false) })
	}
	p.up(a)
	p.up(b)
	p.link(1)
	p.run(true)
	do(a, func(e *Engine) { e.Promote(p.now, true, a.tag()) })
	pass(time.Second)
	write(a, 8, 512)
	write(a, 32, 4096)
	write(a, 40, 4096)
	write(a, 256, 65536)
	do(a, func(e *Engine) { e.Zero(p.now, a.tag(), 512, 65536, true) })
	do(a, func(e *Engine) { e.Zero(p.now, a.tag(), 640, 65536, false) })
	do(b, func(e *Engine) { e.Promote(p.now, false, b.tag()) })
	write(b, 160, 4096)
	do(b, func(e *Engine) { e.Demote(p.now, b.tag()) })
	do(b, func(e *Engine) { e.Disconnect(p.now, false, b.tag()) })
	p.drop()
	write(a, 240, 12288)
	write(a, 800, 4096)
	do(b, func(e *Engine) { e.Connect(p.now, false, b.tag()) })
	p.link(1)
	p.run(true)
	pass(time.Second)
	got.sortReplies()
	for dir, lines := range want.lines {
		if diff := cmp.Diff(lines, got.lines[dir]); diff != "" {
			t.Errorf("%s (-kernel +gcrm):\n%s", dir, diff)
		}
	}
	if n := len(want.lines["n1>n2 D"]); n < 30 {
		t.Errorf("the reference has only %d packets in the first direction", n)
	}
}
