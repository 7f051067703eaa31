package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// examples has one message of every command that a version has.
func examples(d Dialect) []*Message {
	var out []*Message
	for c, info := range commands {
		if d.Version < info.min {
			continue
		}
		m := &Message{Command: c, Volume: 3}
		if c.connectionWide() || d.Version < 100 {
			m.Volume = 0
		}
		switch info.form {
		case formData:
			m.Sector, m.ID, m.Seq, m.Flags = 8, 0x1122334455667788, 9, FlagSync|FlagWantWriteAck
			m.Digest, m.Data, m.Size = bytes.Repeat([]byte{7}, d.IntegrityLen), bytes.Repeat([]byte{5}, 1024), 1024
		case formSized:
			m.Sector, m.ID, m.Seq, m.Size = 1<<33, 5, 6, 1<<20
			if c == CmdWriteSame {
				m.Digest, m.Data = bytes.Repeat([]byte{7}, d.IntegrityLen), make([]byte, 512)
			}
		case formRequest:
			m.Sector, m.ID, m.Size = 16, SyncerID, 4096
			if c == CmdVerifyReply || c == CmdChecksumRequest {
				m.Digest = []byte{1, 2, 3, 4}
			}
		case formAck:
			m.Sector, m.ID, m.Size, m.Seq = 16, VerifyInSync, 4096, 77
		case formBarrier:
			m.Number = 0x01000000
			if c == CmdBarrierAck {
				m.Count = 5
			}
		case formChange:
			m.Mask, m.State = MaskRole, State(Primary)
		case formState:
			m.State = 0x000110a6
		case formResult:
			m.Code = ConcurrentChange
		case formRange:
			m.Sector, m.Size = 128, 65536
		case formUUID:
			m.UUID = 0xA915872B92776BD1
		case formBytes:
			m.Data = []byte{1, 2, 3}
		case formProbe:
			m.Seq = 5
		case formFeatures:
			m.Features = &Features{Min: 86, Max: 101, Flags: 0xf}
		case formProtocol:
			m.Protocol = &Protocol{Protocol: 3, AfterSB: [3]uint32{3, 8, 0}, TwoPrimaries: true}
			if d.Version >= 87 {
				m.Protocol.IntegrityAlg = "sha1"
			}
		case formSyncParam:
			m.Sync = &SyncParam{Rate: 250}
			if d.Version >= 88 {
				m.Sync.VerifyAlg = "md5"
			}
			if c == CmdSyncParam89 {
				m.Sync.CsumsAlg = "sha1"
				if d.Version >= 95 {
					m.Sync.PlanAhead, m.Sync.MaxRate = 20, 102400
				}
			}
		case formUUIDs:
			m.UUIDs = &UUIDs{1, 2, [2]uint64{3, 4}, 5, 6}
		case formSizes:
			m.Sizes = &Sizes{Device: 2120, Current: 2120, MaxBioSize: 1 << 20, Flags: SizesNoResync}
			if d.Features&FeatureWriteSame != 0 {
				m.Sizes.Limits = QueueLimits{PhysicalBlockSize: 4096, LogicalBlockSize: 512, DiscardEnabled: true}
			}
		}
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b *Message) int { return int(a.Command) - int(b.Command) })
	return out
}

func dialects() []Dialect {
	var out []Dialect
	for v := MinVersion; v <= MaxVersion; v++ {
		if v > 97 && v < 100 {
			continue
		}
		for _, f := range []FeatureFlags{0, 0xf} {
			out = append(out, Dialect{Version: v, Features: f}, Dialect{Version: v, Features: f, IntegrityLen: 20})
		}
	}
	return out
}

// split reads one message from the front of b.
func split(d Dialect, b []byte, m *Message) (rest []byte, err error) {
	h, err := d.DecodeHeader(b)
	if err != nil {
		return nil, err
	}
	n := d.HeaderSize() + int(h.Length)
	if n > len(b) {
		return nil, errors.New("cut off")
	}
	return b[n:], d.Decode(h, b[d.HeaderSize():n], m)
}

func TestRoundTrip(t *testing.T) {
	for _, d := range dialects() {
		for _, m := range examples(d) {
			b := d.Append(nil, m)
			var got Message
			rest, err := split(d, b, &got)
			if err != nil || len(rest) > 0 {
				t.Errorf("%+v %v: %v, %d bytes left", d, m.Command, err, len(rest))
				continue
			}
			if diff := cmp.Diff(m, &got, cmp.AllowUnexported(Message{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%+v %v (-sent +received):\n%s", d, m.Command, diff)
			}
			// Every other length is refused, and never read past its end.
			h, _ := d.DecodeHeader(b)
			info := commands[m.Command].form
			variable := info == formBytes || info == formData || m.Command == CmdWriteSame || m.Command == CmdVerifyReply || m.Command == CmdChecksumRequest
			for n := range len(b) - d.HeaderSize() {
				h.Length = uint32(n)
				if err := d.Decode(h, b[d.HeaderSize():d.HeaderSize()+n], &got); err == nil && !variable {
					t.Errorf("%+v %v is accepted with %d bytes", d, m.Command, n)
				} else if err != nil && !errors.Is(err, ErrProtocol) {
					t.Errorf("%+v %v: %v", d, m.Command, err)
				}
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	long := &Message{Command: CmdData, Data: make([]byte, 65536)}
	short := &Message{Command: CmdData, Data: make([]byte, 512)}
	for _, c := range []struct {
		version int
		m       *Message
		want    string
	}{
		{86, short, "8374026700000218"}, {95, short, "8374026700000218"}, {95, long, "835a000000010018"},
		{100, short, "8620ec20000000000000021800000000"},
	} {
		d := Dialect{Version: c.version}
		if got := hex.EncodeToString(d.Append(nil, c.m)[:d.HeaderSize()]); got != c.want {
			t.Errorf("protocol %d: header %s, want %s", c.version, got, c.want)
		}
	}
	if got := hex.EncodeToString(Dialect{}.Append(nil, &Message{Command: CmdInitialData})); got != "83740267fff20000" {
		t.Errorf("initial packet %s", got)
	}
	for _, c := range []struct {
		version int
		b       string
	}{
		{101, "8620ec20000000000000021800000001"}, {101, "83740267000002180000000000000000"}, {94, "835a000000010018"},
		{101, "8620ec20000000004000000000000000"}, {86, "00000000"}, {101, "8620ec2000000000ffffffff00000000"},
	} {
		b, _ := hex.DecodeString(c.b)
		if h, err := (Dialect{Version: c.version}).DecodeHeader(b); !errors.Is(err, ErrProtocol) {
			t.Errorf("protocol %d: header %s is read as %+v, %v", c.version, c.b, h, err)
		}
	}
}

func TestRefusedBlocks(t *testing.T) {
	d := Dialect{Version: 101, Features: 0xf}
	for _, m := range []*Message{
		{Command: CmdData, Data: make([]byte, 100)},
		{Command: CmdData, Data: make([]byte, 1<<20+512)},
		{Command: CmdDataRequest, Size: 0},
		{Command: CmdResyncRequest, Size: 1<<20 + 512},
		{Command: CmdTrim, Size: 128<<20 + 512},
		{Command: CmdTrim, Size: 1000},
		{Command: CmdDataRequest, Size: 512, Sector: 1 << 60},
	} {
		var got Message
		if _, err := split(d, d.Append(nil, m), &got); !errors.Is(err, ErrProtocol) {
			t.Errorf("%v of %d bytes at %d: %v", m.Command, max(int(m.Size), len(m.Data)), m.Sector, err)
		}
	}
}

func TestAgree(t *testing.T) {
	own := Features{Min: 86, Max: 101, Flags: 0xd}
	for _, c := range []struct {
		peer    Features
		version int
		flags   FeatureFlags
		ok      bool
	}{
		{Features{86, 101, 0xf}, 101, 0xd, true}, {Features{86, 96, 0}, 96, 0, true}, {Features{90, 0, 2}, 90, 0, true},
		{Features{102, 120, 0xf}, 0, 0, false}, {Features{80, 85, 0}, 0, 0, false}, {Features{100, 121, 1}, 101, 1, true},
	} {
		v, f, ok := own.Agree(c.peer)
		if v != c.version || f != c.flags || ok != c.ok {
			t.Errorf("%+v: %d %x %v", c.peer, v, f, ok)
		}
	}
}

// TestPackedVectors are packets of real kernels and computed ones.
func TestPackedVectors(t *testing.T) {
	ones := func(n uint64, set ...uint64) Bits {
		b := Bits{Words: make([]uint64, (n+63)/64), Len: n}
		for _, i := range set {
			b.Words[i/64] |= 1 << (i % 64)
		}
		return b
	}
	all := func(n uint64) Bits {
		b := ones(n)
		for i := range n {
			b.Words[i/64] |= 1 << (i % 64)
		}
		return b
	}
	d := Dialect{Version: 101}
	for _, c := range []struct {
		bits Bits
		want string
	}{
		{all(265), "a21f36"}, {ones(265, 30, 31, 32, 100), "52afe593e09b03"}, {ones(265, 50, 60, 61), "125f00073f4d"},
		{ones(265), "221f36"}, {all(1048535), "b27fa6de0f"},
	} {
		cur, m := NewBitmapCursor(c.bits.Len), Message{}
		d.NextPiece(&cur, c.bits, true, nil, &m)
		if got := hex.EncodeToString(m.Data); m.Command != CmdPackedBitmap || got != c.want || !cur.Done {
			t.Errorf("%d bits: %v %s, want %s", c.bits.Len, m.Command, got, c.want)
		}
	}
}

// TestBitmapTransfer sends bitmaps of every texture, packed and plain, and merges
// them on the other side.
func TestBitmapTransfer(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		d := Dialect{Version: []int{86, 90, 101}[r.IntN(3)]}
		b := Bits{Len: 1 + r.Uint64N([]uint64{70, 3000, 2000000}[r.IntN(3)])}
		b.Words = make([]uint64, (b.Len+63)/64)
		// Runs of random length, from noise to a few long ones.
		mean := []uint64{2, 40, 5000, 400000}[r.IntN(4)]
		set := r.IntN(2) == 0
		for at := uint64(0); at < b.Len; set = !set {
			end := min(at+1+r.Uint64N(2*mean), b.Len)
			for ; at < end; at++ {
				if set {
					b.Words[at/64] |= 1 << (at % 64)
				}
			}
		}
		got := make([]uint64, len(b.Words))
		send, take := NewBitmapCursor(b.Len), NewBitmapCursor(b.Len)
		rle := r.IntN(3) > 0
		packed := 0
		for pieces := 0; !send.Done; pieces++ {
			var m, recv Message
			d.NextPiece(&send, b, rle, nil, &m)
			raw := d.Append(nil, &m)
			if len(raw) > 4096 {
				t.Fatalf("a piece of %d bytes", len(raw))
			}
			if m.Command == CmdPackedBitmap {
				packed++
			}
			if _, err := split(d, raw, &recv); err != nil {
				t.Fatal(err)
			}
			err := d.TakePiece(&take, &recv, func(first, end uint64) {
				for i := first; i < end; i++ {
					got[i/64] |= 1 << (i % 64)
				}
			}, func(i int, w uint64) { got[i] |= w })
			if err != nil {
				t.Fatal(err)
			}
			if take != send {
				t.Fatalf("the sender is at %+v, the receiver at %+v", send, take)
			}
			if pieces > 10000 {
				t.Fatal("no end")
			}
		}
		if !slices.Equal(b.Words, got) {
			t.Fatalf("round %d: %d bits, mean run %d, rle %v: another bitmap arrives", round, b.Len, mean, rle)
		}
		if rle && d.Version >= 90 && mean >= 40 && b.Len > 3000 && packed == 0 {
			t.Errorf("nothing was packed: %d bits, mean run %d", b.Len, mean)
		}
		if d.Version < 90 && packed > 0 {
			t.Error("packed pieces for an old peer")
		}
	}
}

func TestBadPieces(t *testing.T) {
	d := Dialect{Version: 101}
	none := func(uint64, uint64) {}
	word := func(int, uint64) {}
	for _, c := range []struct {
		name string
		m    Message
	}{
		{"wrong size", Message{Command: CmdBitmap, Data: make([]byte, 16)}},
		{"empty packed", Message{Command: CmdPackedBitmap}},
		{"other encoding", Message{Command: CmdPackedBitmap, Data: []byte{0xa1, 0x1f, 0x36}}},
		{"run beyond the end", Message{Command: CmdPackedBitmap, Data: []byte{0xb2, 0x7f, 0xa6, 0xde, 0x0f}}},
		{"cut code", Message{Command: CmdPackedBitmap, Data: []byte{0xa2, 0x1f}}},
	} {
		cur := NewBitmapCursor(265)
		if err := d.TakePiece(&cur, &c.m, none, word); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	cur := BitmapCursor{Bit: 265, Bits: 265, Done: true}
	if err := d.TakePiece(&cur, &Message{Command: CmdBitmap}, none, word); !errors.Is(err, ErrProtocol) {
		t.Errorf("a piece after the end: %v", err)
	}
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	d := Dialect{Version: 101, Features: 0xf, IntegrityLen: 20}
	steady := []Command{
		CmdData, CmdDataReply, CmdResyncReply, CmdBarrier, CmdBarrierAck, CmdUnplug, CmdDataRequest, CmdResyncRequest, CmdWriteAck,
		CmdReceiveAck, CmdResyncWriteAck, CmdPing, CmdPingAck, CmdTrim, CmdZeroes, CmdOutOfSync, CmdVerifyRequest, CmdVerifyReply,
		CmdVerifyResult, CmdChecksumRequest, CmdInSync, CmdState, CmdBitmap, CmdPackedBitmap,
	}
	buf := make([]byte, 0, 1<<21)
	var got Message
	for _, m := range examples(d) {
		if !slices.Contains(steady, m.Command) {
			continue
		}
		if n := testing.AllocsPerRun(100, func() {
			buf = d.Append(buf[:0], m)
			if _, err := split(d, buf, &got); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%v: %v allocations", m.Command, n)
		}
	}
}

func TestDigests(t *testing.T) {
	for _, c := range []struct{ alg, text, want string }{
		// The check value of CRC-32C is e3069283; the kernel sends its low byte first.
		{"crc32c", "123456789", "839206e3"},
		{"md5", "abcdef", "e80b5017098950fc58aad83c8c14978e"},
		{"sha1", "abcdef", "1f8ac10f23c5b5bc1167bda84b833e5c057a77d2"},
	} {
		h, ok := NewHash(c.alg)
		if !ok {
			t.Fatalf("no %s", c.alg)
		}
		d := h()
		d.Write([]byte(c.text))
		if got := hex.EncodeToString(d.Sum(nil)); got != c.want {
			t.Errorf("%s: %s, want %s", c.alg, got, c.want)
		}
	}
	a, ok := AuthResponse("sha1", "key", []byte("The quick brown fox jumps over the lazy dog"))
	if want := "de7c9b85b8b78aa6bc8a7a36f70a90701c9db4d9"; !ok || hex.EncodeToString(a) != want {
		t.Errorf("hmac: %x", a)
	}
	if _, ok := AuthResponse("crc32c", "key", nil); ok {
		t.Error("a checksum is no authentication")
	}
}

// FuzzDecode: any bytes are refused or decode to a message that encodes to the same
// bytes.
func FuzzDecode(f *testing.F) {
	all := dialects()
	for i, d := range all {
		for _, m := range examples(d) {
			f.Add(uint8(i), d.Append(nil, m))
		}
	}
	f.Fuzz(func(t *testing.T, dialect uint8, b []byte) {
		d := all[int(dialect)%len(all)]
		if len(b) < d.HeaderSize() {
			return
		}
		var m Message
		rest, err := split(d, b, &m)
		if err != nil {
			return
		}
		again := d.Append(nil, &m)
		var second Message
		if _, err := split(d, again, &second); err != nil {
			t.Fatalf("%v does not decode again: %v\n%x\n%x", m.Command, err, b, again)
		}
		if d.Version >= 100 && !m.Command.connectionWide() && commands[m.Command].form < formFeatures {
			if !bytes.Equal(again, b[:len(b)-len(rest)]) {
				t.Errorf("%v:\n%x became\n%x", m.Command, b, again)
			}
		}
	})
}

// FuzzPieces: no piece of a bitmap leads outside of it.
func FuzzPieces(f *testing.F) {
	f.Add(uint32(265), []byte{0x52, 0xaf, 0xe5, 0x93, 0xe0, 0x9b, 0x03}, true)
	f.Add(uint32(64), make([]byte, 8), false)
	f.Fuzz(func(t *testing.T, n uint32, piece []byte, packed bool) {
		bits := uint64(n%(1<<20)) + 1
		m := Message{Command: CmdBitmap, Data: piece}
		if packed {
			m.Command = CmdPackedBitmap
		}
		cur := NewBitmapCursor(bits)
		_ = Dialect{Version: 101}.TakePiece(&cur, &m, func(first, end uint64) {
			if first > end || end > bits {
				t.Errorf("run [%d,%d) of %d bits", first, end, bits)
			}
		}, func(i int, _ uint64) {
			if uint64(i) >= (bits+63)/64 {
				t.Errorf("word %d of %d bits", i, bits)
			}
		})
		if cur.Bit > bits {
			t.Errorf("cursor at %d of %d", cur.Bit, bits)
		}
	})
}

func BenchmarkDecodeData(b *testing.B) {
	d := Dialect{Version: 101, Features: 0xf}
	buf := d.Append(nil, &Message{Command: CmdData, Data: make([]byte, 4096)})
	var m Message
	b.ReportAllocs()
	for b.Loop() {
		if _, err := split(d, buf, &m); err != nil {
			b.Fatal(err)
		}
	}
}
