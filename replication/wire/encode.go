package wire

import (
	"encoding/binary"
	"fmt"
)

// Append adds the bytes of a message, header and all, to dst.
func (d Dialect) Append(dst []byte, m *Message) []byte {
	dst = d.AppendHead(dst, m)
	if m.carriesData() {
		dst = append(dst, m.Data...)
	}
	return dst
}

// AppendHead is Append without m.Data, which the caller sends after it, so that data
// need not be copied. The length in the header includes it.
func (d Dialect) AppendHead(dst []byte, m *Message) []byte {
	info := commands[m.Command]
	if info.form == formNone {
		panic(fmt.Sprintf("wire: unknown command %#x", uint16(m.Command)))
	}
	h := Header{Volume: m.Volume, Command: m.Command, Length: uint32(d.bodySize(info.form, m))}
	if m.carriesData() {
		h.Length += uint32(len(m.Data))
	}
	if m.Command.connectionWide() {
		h.Volume = 0
	}
	dst = d.appendHeader(dst, h)
	be := binary.BigEndian
	switch info.form {
	case formEmpty, formBytes:
	case formData, formSized:
		dst = be.AppendUint64(dst, m.Sector)
		dst = be.AppendUint64(dst, m.ID)
		dst = be.AppendUint32(dst, m.Seq)
		dst = be.AppendUint32(dst, uint32(m.Flags))
		if info.form == formSized {
			dst = be.AppendUint32(dst, m.Size)
		}
		dst = append(dst, m.Digest...)
	case formRequest:
		dst = be.AppendUint64(dst, m.Sector)
		dst = be.AppendUint64(dst, m.ID)
		dst = be.AppendUint32(dst, m.Size)
		dst = be.AppendUint32(dst, m.pad)
		dst = append(dst, m.Digest...)
	case formAck:
		dst = be.AppendUint64(dst, m.Sector)
		dst = be.AppendUint64(dst, m.ID)
		dst = be.AppendUint32(dst, m.Size)
		dst = be.AppendUint32(dst, m.Seq)
	case formBarrier:
		dst = be.AppendUint32(dst, m.Number)
		if m.Command == CmdBarrierAck {
			dst = be.AppendUint32(dst, m.Count)
		} else {
			dst = be.AppendUint32(dst, m.pad)
		}
	case formChange:
		dst = be.AppendUint32(dst, uint32(m.Mask))
		dst = be.AppendUint32(dst, uint32(m.State))
	case formState:
		dst = be.AppendUint32(dst, uint32(m.State))
	case formResult:
		dst = be.AppendUint32(dst, uint32(m.Code))
	case formRange:
		dst = be.AppendUint64(dst, m.Sector)
		dst = be.AppendUint32(dst, m.Size)
		dst = be.AppendUint32(dst, m.pad)
	case formUUID:
		dst = be.AppendUint64(dst, m.UUID)
	case formProbe:
		dst = be.AppendUint32(dst, m.Seq)
		dst = be.AppendUint32(dst, m.pad)
	default:
		dst = d.appendHandshake(dst, info.form, m)
	}
	return dst
}

// carriesData tells whether m.Data is part of the packet.
func (m *Message) carriesData() bool {
	switch commands[m.Command].form {
	case formData, formBytes:
		return true
	}
	return m.Command == CmdWriteSame
}

// bodySize is the length of the payload without m.Data.
func (d Dialect) bodySize(f form, m *Message) int {
	switch f {
	case formData:
		return 24 + len(m.Digest)
	case formSized:
		return 28 + len(m.Digest)
	case formRequest:
		return 24 + len(m.Digest)
	case formAck:
		return 24
	case formBarrier, formChange, formUUID, formProbe:
		return 8
	case formState, formResult:
		return 4
	case formRange:
		return 16
	case formFeatures:
		return 72
	case formProtocol:
		if d.Version < 87 {
			return 24
		}
		return 24 + len(m.Protocol.IntegrityAlg) + 1
	case formSyncParam:
		switch {
		case m.Command == CmdSyncParam && d.Version < 88:
			return 4
		case m.Command == CmdSyncParam:
			return 4 + len(m.Sync.VerifyAlg) + 1
		case d.Version < 95:
			return 4 + 2*algLen
		}
		return 4 + 2*algLen + 16
	case formUUIDs:
		return 48
	case formSizes:
		if d.Features&FeatureWriteSame == 0 {
			return 32
		}
		return 56
	}
	return 0
}

func (d Dialect) appendHandshake(dst []byte, f form, m *Message) []byte {
	be := binary.BigEndian
	u32 := func(values ...uint32) {
		for _, v := range values {
			dst = be.AppendUint32(dst, v)
		}
	}
	u64 := func(values ...uint64) {
		for _, v := range values {
			dst = be.AppendUint64(dst, v)
		}
	}
	flag := func(b bool) uint8 {
		if b {
			return 1
		}
		return 0
	}
	switch f {
	case formFeatures:
		u32(uint32(m.Features.Min), uint32(m.Features.Flags), uint32(m.Features.Max), 0)
		u64(0, 0, 0, 0, 0, 0, 0)
	case formProtocol:
		p := m.Protocol
		u32(p.Protocol, p.AfterSB[0], p.AfterSB[1], p.AfterSB[2], p.Flags, uint32(flag(p.TwoPrimaries)))
		if d.Version >= 87 {
			dst = append(append(dst, p.IntegrityAlg...), 0)
		}
	case formSyncParam:
		p := m.Sync
		u32(p.Rate)
		if m.Command == CmdSyncParam {
			if d.Version >= 88 {
				dst = append(append(dst, p.VerifyAlg...), 0)
			}
			break
		}
		for _, alg := range []string{p.VerifyAlg, p.CsumsAlg} {
			var room [algLen]byte
			copy(room[:algLen-1], alg)
			dst = append(dst, room[:]...)
		}
		if d.Version >= 95 {
			u32(p.PlanAhead, p.DelayTarget, p.FillTarget, p.MaxRate)
		}
	case formUUIDs:
		v := m.UUIDs
		u64(v.Current, v.Bitmap, v.History[0], v.History[1], v.SetBits, v.Flags)
	case formSizes:
		s := m.Sizes
		u64(s.Device, s.User, s.Current)
		u32(s.MaxBioSize)
		dst = be.AppendUint16(dst, s.QueueOrder)
		dst = be.AppendUint16(dst, s.Flags)
		if d.Features&FeatureWriteSame != 0 {
			l := s.Limits
			u32(l.PhysicalBlockSize, l.LogicalBlockSize, l.AlignmentOffset, l.IOMin, l.IOOpt)
			dst = append(dst, flag(l.DiscardEnabled), flag(l.DiscardZeroesData), flag(l.WriteSameCapable), 0)
		}
	}
	return dst
}
