package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sharedDir finds the folder of reference material beside the repository.
func sharedDir(t testing.TB, sub string) string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "shared", sub)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("reference material is not here: %v", err)
	}
	return dir
}

// stream is one direction of one TCP connection, put together again.
type stream struct {
	from, to string // IP:port
	data     []byte
	next     uint32
	order    int
}

// readStreams gives the TCP streams of a capture (pcap, microseconds, Ethernet or
// Linux cooked), ordered by their first packet. A new SYN on a pair of ports is a
// new stream.
func readStreams(t testing.TB, capture []byte) []*stream {
	t.Helper()
	le := binary.LittleEndian
	if le.Uint32(capture) != 0xa1b2c3d4 {
		t.Fatalf("capture with magic %#x", le.Uint32(capture))
	}
	link := le.Uint32(capture[20:])
	var all []*stream
	current := map[string]*stream{}
	for p := capture[24:]; len(p) >= 16; {
		n := int(le.Uint32(p[8:]))
		frame := p[16 : 16+n]
		p = p[16+n:]
		var ip []byte
		switch link {
		case 1:
			ip = frame[14:]
		case 113:
			ip = frame[16:]
		default:
			t.Fatalf("link type %d", link)
		}
		be := binary.BigEndian
		if ip[0]>>4 != 4 || ip[9] != 6 {
			continue
		}
		ipLen, hdr := int(be.Uint16(ip[2:])), int(ip[0]&15)*4
		if ipLen == 0 {
			ipLen = len(ip)
		}
		tcp := ip[hdr:min(ipLen, len(ip))]
		name := func(addr []byte, port uint16) string {
			return fmt.Sprintf("%d.%d.%d.%d:%d", addr[0], addr[1], addr[2], addr[3], port)
		}
		src, dst := name(ip[12:], be.Uint16(tcp)), name(ip[16:], be.Uint16(tcp[2:]))
		seq, flags := be.Uint32(tcp[4:]), tcp[13]
		body := tcp[int(tcp[12]>>4)*4:]
		key := src + ">" + dst
		s := current[key]
		if flags&2 != 0 {
			s = &stream{from: src, to: dst, next: seq + 1, order: len(all)}
			current[key] = s
			all = append(all, s)
			continue
		}
		if s == nil || len(body) == 0 {
			continue
		}
		switch skip := int32(s.next - seq); {
		case skip < 0:
			t.Fatalf("a hole of %d bytes in %s", -skip, key)
		case int(skip) < len(body):
			s.data = append(s.data, body[skip:]...)
			s.next = seq + uint32(len(body))
		}
	}
	return all
}

// describe writes a message like the reference decoding.
func describe(m *Message, h Header) string {
	line := fmt.Sprintf("%-19v vol=%d len=%-5d ", m.Command, m.Volume, h.Length)
	be := func(n uint32) string { return fmt.Sprintf("%08x", n) }
	switch f := commands[m.Command].form; f {
	case formData, formSized:
		line += fmt.Sprintf("sec=%d id=%016x seq=%d fl=%#x ", m.Sector, m.ID, m.Seq, uint32(m.Flags))
		if f == formData {
			line += fmt.Sprintf("data=%d", len(m.Data))
		} else {
			line += fmt.Sprintf("size=%d", m.Size)
		}
	case formRequest:
		line += fmt.Sprintf("sec=%d id=%016x size=%d pad=%d digest=%x", m.Sector, m.ID, m.Size, m.pad, m.Digest)
	case formAck:
		line += fmt.Sprintf("sec=%d id=%016x size=%d seq=%d", m.Sector, m.ID, m.Size, m.Seq)
	case formBarrier:
		line += "barrier(raw)=" + be(m.Number)
		if m.Command == CmdBarrier {
			line += " pad=" + be(m.pad)
		} else {
			line += fmt.Sprintf(" set=%d", m.Count)
		}
	case formState:
		line += words(m.State)
	case formChange:
		line += fmt.Sprintf("mask=0x%08x val=", uint32(m.Mask)) + words(m.State)
	case formResult:
		line += fmt.Sprintf("ret=%d", m.Code)
	case formBytes:
		line += hex.EncodeToString(m.Data)
	case formUUID:
		line += fmt.Sprintf("%016X", m.UUID)
	case formUUIDs:
		u := m.UUIDs
		line += fmt.Sprintf("uuids %016X:%016X:%016X:%016X:%016X:%016X", u.Current, u.Bitmap, u.History[0], u.History[1], u.SetBits, u.Flags)
	case formFeatures:
		line += fmt.Sprintf("min=%d feat=%#x max=%d pad..=zero", m.Features.Min, uint32(m.Features.Flags), m.Features.Max)
	case formProtocol:
		p := m.Protocol
		two := map[bool]int{true: 1}[p.TwoPrimaries]
		line += fmt.Sprintf(`(%d, %d, %d, %d, %d, %d) alg=b'%s\x00'`, p.Protocol, p.AfterSB[0], p.AfterSB[1], p.AfterSB[2], p.Flags, two, p.IntegrityAlg)
	case formSyncParam:
		p := m.Sync
		line += fmt.Sprintf("rate=%d v=b'%s' c=b'%s'(%d, %d, %d, %d)", p.Rate, p.VerifyAlg, p.CsumsAlg, p.PlanAhead, p.DelayTarget, p.FillTarget, p.MaxRate)
	case formSizes:
		s, l := m.Sizes, m.Sizes.Limits
		n := func(b bool) int { return map[bool]int{true: 1}[b] }
		line += fmt.Sprintf("d=%d u=%d c=%d maxbio=%d qo=%d dds=%d qlim=(%d, %d, %d, %d, %d, %d, %d, %d, 0)", s.Device, s.User, s.Current, s.MaxBioSize, s.QueueOrder, s.Flags,
			l.PhysicalBlockSize, l.LogicalBlockSize, l.AlignmentOffset, l.IOMin, l.IOOpt, n(l.DiscardEnabled), n(l.DiscardZeroesData), n(l.WriteSameCapable))
	}
	return strings.TrimRight(line, " ")
}

func words(s State) string {
	return fmt.Sprintf("0x%08x role=%v peer=%v conn=%v disk=%v pdsk=%v rest=%d", uint32(s), s.Role(), s.Peer(), s.Conn(), s.Disk(), s.PeerDisk(), s>>17)
}

// TestKernelSession decodes the captured session of two kernels packet by packet,
// compares with the reference decoding, and encodes every packet again to the same
// bytes.
func TestKernelSession(t *testing.T) {
	capture, err := os.ReadFile(filepath.Join(sharedDir(t, "lab/samples/drbd84"), "drbd84-session.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	reference, err := os.ReadFile(filepath.Join(sharedDir(t, "reference/drbd-samples"), "kernel-session.decoded.txt"))
	if err != nil {
		t.Fatal(err)
	}
	node := map[string]string{"10.9.1.1": "n1", "10.9.1.2": "n2"}
	got := map[string][]string{} // by "n1>n2 D"
	packets := 0
	seen := map[Command]int{}
	for _, s := range readStreams(t, capture) {
		if len(s.data) == 0 {
			continue
		}
		ip := func(a string) string { return node[a[:strings.IndexByte(a, ':')]] }
		dir := ip(s.from) + ">" + ip(s.to)
		var d Dialect
		meta := streamIsMeta(t, capture, s)
		if meta {
			dir += " M"
		} else {
			dir += " D"
		}
		for data := s.data; len(data) > 0; {
			if meta && len(data) >= 4 && binary.BigEndian.Uint32(data) == magic100 {
				d = Dialect{Version: 101, Features: 0xf}
			}
			h, err := d.DecodeHeader(data)
			if err != nil {
				t.Fatalf("%s packet %d: %v", dir, packets, err)
			}
			size := d.HeaderSize() + int(h.Length)
			var m Message
			if err := d.Decode(h, data[d.HeaderSize():size], &m); err != nil {
				t.Fatalf("%s: %v", dir, err)
			}
			if again := d.Append(nil, &m); !bytes.Equal(again, data[:size]) {
				t.Fatalf("%s %v encodes to\n%x, was\n%x", dir, m.Command, again, data[:size])
			}
			if meta && !m.Command.OnMeta() || !meta && !m.Command.OnData() {
				t.Errorf("%v on the wrong socket", m.Command)
			}
			got[dir] = append(got[dir], describe(&m, h))
			seen[m.Command]++
			packets++
			data = data[size:]
			if m.Command == CmdFeatures {
				d = Dialect{Version: 101, Features: 0xf}
			}
		}
	}
	t.Logf("%d packets of %d kinds", packets, len(seen))
	// The reference text leaves out repetitions, so its lines are a part of ours, in
	// the same order per direction and socket.
	line := regexp.MustCompile(`^ *[0-9.]+ (n\d>n\d [DM]) (.*)$`)
	compared := 0
	at := map[string]int{}
	for _, l := range strings.Split(strings.TrimRight(string(reference), "\n"), "\n") {
		f := line.FindStringSubmatch(l)
		if f == nil {
			continue
		}
		want := strings.TrimRight(f[2], " ")
		i := slices.Index(got[f[1]][at[f[1]]:], want)
		if i < 0 {
			t.Errorf("the reference has %s %s, not found among\n%s", f[1], want, strings.Join(got[f[1]][at[f[1]]:min(len(got[f[1]]), at[f[1]]+4)], "\n"))
			continue
		}
		at[f[1]] += i + 1
		compared++
	}
	if compared < 170 || packets < 1000 {
		t.Errorf("only %d lines compared, %d packets", compared, packets)
	}
}

// streamIsMeta tells which of the two sockets a stream is, by the first packet of
// its connection.
func streamIsMeta(t testing.TB, capture []byte, s *stream) bool {
	for _, other := range readStreams(t, capture) {
		same := other.from == s.from && other.to == s.to || other.from == s.to && other.to == s.from
		near := other.order-s.order <= 1 && s.order-other.order <= 1
		if same && near && len(other.data) >= 8 {
			switch Command(binary.BigEndian.Uint16(other.data[4:])) {
			case CmdInitialMeta:
				return true
			case CmdInitialData:
				return false
			}
		}
	}
	t.Fatalf("no initial packet for %s>%s", s.from, s.to)
	return false
}
