package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Magic numbers of the three headers.
const (
	magic80  = 0x83740267
	magic95  = 0x835a
	magic100 = 0x8620ec20
)

// Header announces a payload.
type Header struct {
	Volume  uint16
	Command Command
	Length  uint32 // bytes after the header
}

// ErrProtocol is wrapped by everything that means the peer does not speak the
// protocol: drop the connection and connect again.
var ErrProtocol = errors.New("protocol error")

func protocolError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, args...))
}

// Dialect is what two nodes have agreed on.
type Dialect struct {
	// Version is the agreed protocol version; 0 before it is agreed.
	Version  int
	Features FeatureFlags
	// IntegrityLen is the length of the digest in front of the data of every write
	// (data-integrity-alg), 0 without.
	IntegrityLen int
}

// HeaderSize is the number of bytes of a header.
func (d Dialect) HeaderSize() int {
	if d.Version >= 100 {
		return 16
	}
	return 8
}

// KnownFlags are the flags of writes that the dialect has.
func (d Dialect) KnownFlags() DataFlags {
	switch {
	case d.Version >= 100:
		return ^DataFlags(0)
	case d.Version >= 95:
		return FlagSync | FlagMayClear | FlagFUA | FlagFlush | FlagDiscard
	}
	return FlagSync | FlagMayClear
}

// MaxPayload bounds what DecodeHeader accepts: the largest write with its head and
// digest.
const MaxPayload = maxBlock + 24 + 4 + 128

// maxBlock is the largest amount of data in one packet, in bytes.
const maxBlock = 1 << 20

// maxDiscard is the largest area of a trim or zeroes packet, in bytes.
const maxDiscard = 128 << 20

// DecodeHeader reads HeaderSize bytes.
func (d Dialect) DecodeHeader(b []byte) (Header, error) {
	if len(b) < d.HeaderSize() {
		return Header{}, protocolError("header of %d bytes", len(b))
	}
	be := binary.BigEndian
	var h Header
	switch {
	case d.Version >= 100:
		if m := be.Uint32(b); m != magic100 {
			return h, protocolError("magic number %#08x in a header of protocol %d", m, d.Version)
		}
		h = Header{Volume: be.Uint16(b[4:]), Command: Command(be.Uint16(b[6:])), Length: be.Uint32(b[8:])}
		if pad := be.Uint32(b[12:]); pad != 0 {
			return h, protocolError("header with padding %#x", pad)
		}
	case be.Uint32(b) == magic80:
		h = Header{Command: Command(be.Uint16(b[4:])), Length: uint32(be.Uint16(b[6:]))}
	case d.Version >= 95 && be.Uint16(b) == magic95:
		h = Header{Command: Command(be.Uint16(b[2:])), Length: be.Uint32(b[4:])}
	default:
		return h, protocolError("magic number %#08x in a header of protocol %d", be.Uint32(b), d.Version)
	}
	if h.Length > MaxPayload {
		return h, protocolError("%v with %d bytes", h.Command, h.Length)
	}
	return h, nil
}

// appendHeader writes the header the kernel would choose.
func (d Dialect) appendHeader(dst []byte, h Header) []byte {
	be := binary.BigEndian
	switch {
	case d.Version >= 100:
		dst = be.AppendUint32(dst, magic100)
		dst = be.AppendUint16(dst, h.Volume)
		dst = be.AppendUint16(dst, uint16(h.Command))
		dst = be.AppendUint32(dst, h.Length)
		return be.AppendUint32(dst, 0)
	case d.Version >= 95 && h.Length > maxLength80:
		dst = be.AppendUint16(dst, magic95)
		dst = be.AppendUint16(dst, uint16(h.Command))
		return be.AppendUint32(dst, h.Length)
	}
	dst = be.AppendUint32(dst, magic80)
	dst = be.AppendUint16(dst, uint16(h.Command))
	return be.AppendUint16(dst, uint16(h.Length))
}

// maxLength80 is the largest payload the kernel sends with the oldest header once
// it has a choice.
const maxLength80 = 32768
