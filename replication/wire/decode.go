package wire

import (
	"bytes"
	"encoding/binary"
)

// Decode reads a payload into m. m.Digest and m.Data alias payload.
func (d Dialect) Decode(h Header, payload []byte, m *Message) error {
	*m = Message{Command: h.Command, Volume: h.Volume}
	info, known := commands[h.Command]
	if !known || d.Version != 0 && d.Version < info.min {
		return protocolError("unknown command %#04x in protocol %d", uint16(h.Command), d.Version)
	}
	if uint32(len(payload)) != h.Length {
		return protocolError("%v: payload of %d bytes, header says %d", h.Command, len(payload), h.Length)
	}
	f := fields{b: payload}
	switch info.form {
	case formEmpty:
	case formData:
		d.blockHead(&f, m)
		m.Digest = f.bytes(d.IntegrityLen)
		m.Data = f.rest()
		m.Size = uint32(len(m.Data))
	case formSized:
		d.blockHead(&f, m)
		m.Size = f.u32()
		if h.Command == CmdWriteSame {
			m.Digest = f.bytes(d.IntegrityLen)
			m.Data = f.rest()
		}
	case formRequest:
		m.Sector, m.ID, m.Size, m.pad = f.u64(), f.u64(), f.u32(), f.u32()
		if h.Command == CmdVerifyReply || h.Command == CmdChecksumRequest {
			m.Digest = f.rest()
		}
	case formAck:
		m.Sector, m.ID, m.Size, m.Seq = f.u64(), f.u64(), f.u32(), f.u32()
	case formBarrier:
		m.Number = f.u32()
		if h.Command == CmdBarrierAck {
			m.Count = f.u32()
		} else {
			m.pad = f.u32()
		}
	case formChange:
		m.Mask, m.State = State(f.u32()), State(f.u32())
	case formState:
		m.State = State(f.u32())
	case formResult:
		m.Code = Result(int32(f.u32()))
	case formRange:
		m.Sector, m.Size, m.pad = f.u64(), f.u32(), f.u32()
	case formUUID:
		m.UUID = f.u64()
	case formBytes:
		m.Data = f.rest()
	case formProbe:
		m.Seq, m.pad = f.u32(), f.u32()
	case formFeatures:
		m.Features = decodeFeatures(&f)
	case formProtocol:
		m.Protocol = d.decodeProtocol(&f)
	case formSyncParam:
		m.Sync = d.decodeSyncParam(&f, h.Command)
	case formUUIDs:
		m.UUIDs = &UUIDs{Current: f.u64(), Bitmap: f.u64(), History: [2]uint64{f.u64(), f.u64()}, SetBits: f.u64(), Flags: f.u64()}
	case formSizes:
		m.Sizes = d.decodeSizes(&f)
	}
	if f.short || len(f.b) > 0 {
		return protocolError("%v with %d bytes", h.Command, h.Length)
	}
	return m.checkBlock(info.form)
}

// FixedLen is how much of a payload comes before the blocks it carries; all of it for
// a message without.
func (d Dialect) FixedLen(h Header) int {
	if commands[h.Command].form != formData {
		return int(h.Length)
	}
	return min(int(h.Length), 24+d.IntegrityLen)
}

// DecodeSplit is Decode for a payload in two parts: the first FixedLen bytes, and the
// blocks, which may lie elsewhere.
func (d Dialect) DecodeSplit(h Header, fixed, data []byte, m *Message) error {
	if commands[h.Command].form != formData || len(data) == 0 {
		return d.Decode(h, fixed, m)
	}
	if uint32(len(fixed)+len(data)) != h.Length {
		return protocolError("%v: payload of %d bytes, header says %d", h.Command, len(fixed)+len(data), h.Length)
	}
	*m = Message{Command: h.Command, Volume: h.Volume}
	f := fields{b: fixed}
	d.blockHead(&f, m)
	m.Digest = f.bytes(d.IntegrityLen)
	if f.short || len(f.b) > 0 {
		return protocolError("%v with %d bytes", h.Command, h.Length)
	}
	m.Data, m.Size = data, uint32(len(data))
	return m.checkBlock(formData)
}

func (d Dialect) blockHead(f *fields, m *Message) {
	m.Sector, m.ID, m.Seq, m.Flags = f.u64(), f.u64(), f.u32(), DataFlags(f.u32())
}

// checkBlock refuses areas that no device has. Whether they are inside of this
// device is for the engine to say.
func (m *Message) checkBlock(f form) error {
	limit := uint32(maxBlock)
	switch f {
	case formData, formRequest:
	case formSized, formRange:
		limit = maxDiscard
	default:
		return nil
	}
	if m.Size%512 != 0 || m.Size > limit || m.Size == 0 && m.Command != CmdData {
		return protocolError("%v of %d bytes", m.Command, m.Size)
	}
	if m.Sector > 1<<55 {
		return protocolError("%v at sector %d", m.Command, m.Sector)
	}
	return nil
}

func decodeFeatures(f *fields) *Features {
	v := &Features{Min: int(f.u32()), Flags: FeatureFlags(f.u32()), Max: int(f.u32())}
	f.bytes(4 + 7*8)
	return v
}

func (d Dialect) decodeProtocol(f *fields) *Protocol {
	p := &Protocol{Protocol: f.u32(), AfterSB: [3]uint32{f.u32(), f.u32(), f.u32()}, Flags: f.u32(), TwoPrimaries: f.u32() != 0}
	if d.Version >= 87 {
		p.IntegrityAlg = f.text(f.rest())
	}
	return p
}

// algLen is the room for the name of an algorithm, with its end.
const algLen = 64

func (d Dialect) decodeSyncParam(f *fields, c Command) *SyncParam {
	p := &SyncParam{Rate: f.u32()}
	if c == CmdSyncParam {
		if d.Version >= 88 {
			p.VerifyAlg = f.text(f.rest())
		}
		return p
	}
	p.VerifyAlg, p.CsumsAlg = f.padded(algLen), f.padded(algLen)
	if d.Version >= 95 {
		p.PlanAhead, p.DelayTarget, p.FillTarget, p.MaxRate = f.u32(), f.u32(), f.u32(), f.u32()
	}
	return p
}

func (d Dialect) decodeSizes(f *fields) *Sizes {
	s := &Sizes{Device: f.u64(), User: f.u64(), Current: f.u64(), MaxBioSize: f.u32(), QueueOrder: f.u16(), Flags: f.u16()}
	if d.Features&FeatureWriteSame != 0 {
		s.Limits = QueueLimits{
			PhysicalBlockSize: f.u32(), LogicalBlockSize: f.u32(), AlignmentOffset: f.u32(), IOMin: f.u32(), IOOpt: f.u32(),
			DiscardEnabled: f.u8() != 0, DiscardZeroesData: f.u8() != 0, WriteSameCapable: f.u8() != 0,
		}
		f.u8()
	}
	return s
}

// fields reads a payload from the front and remembers whether it was too short.
type fields struct {
	b     []byte
	short bool
}

func (f *fields) bytes(n int) []byte {
	if len(f.b) < n {
		f.short, f.b = true, nil
		return nil
	}
	b := f.b[:n:n]
	f.b = f.b[n:]
	return b
}

func (f *fields) rest() []byte { return f.bytes(len(f.b)) }

func (f *fields) u8() uint8 {
	if b := f.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (f *fields) u16() uint16 {
	if b := f.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (f *fields) u32() uint32 {
	if b := f.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (f *fields) u64() uint64 {
	if b := f.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// text is a name that ends with a zero byte at the end of b.
func (f *fields) text(b []byte) string {
	if len(b) == 0 || len(b) > algLen || b[len(b)-1] != 0 || bytes.IndexByte(b, 0) != len(b)-1 {
		f.short = true
		return ""
	}
	return string(b[:len(b)-1])
}

// padded is a name in a field of n bytes, filled up with zero bytes.
func (f *fields) padded(n int) string {
	b := f.bytes(n)
	end := bytes.IndexByte(b, 0)
	if end < 0 {
		f.short = true
		return ""
	}
	return string(b[:end])
}
