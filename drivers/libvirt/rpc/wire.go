// Package rpc speaks libvirt's remote protocol: the messages (wire.go,
// values.go), a client connection (conn.go), the ways to a daemon
// (address.go, dial.go) and the calls a cluster needs (calls.go).
//
// wire.go and values.go only turn values into bytes and back. A Conn has one
// goroutine that reads: it routes replies by serial, answers keepalive pings
// and queues events. Errors the daemon reports are *Error; decide by their
// Code, the text is the daemon's own and may be translated.
package rpc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Programs that share a connection.
const (
	ProgramRemote    = 0x20008086
	ProgramKeepalive = 0x6b656570
	version          = 1
)

// Kind is what a message is.
type Kind uint32

// Kinds of messages this package uses.
const (
	Call    Kind = 0
	Reply   Kind = 1
	Message Kind = 2 // events, keepalive
)

// Status of a message.
const (
	StatusOK    = 0
	StatusError = 1
)

// Procedures of the keepalive program.
const (
	keepalivePing = 1
	keepalivePong = 2
)

// Limits of the protocol, in bytes.
const (
	HeaderSize = 28 // with the length in front
	MaxMessage = 33554432 + 4
	MaxString  = 4 << 20
	maxItems   = 1 << 20
)

// Header stands in front of every message.
type Header struct {
	Program   uint32
	Version   uint32
	Procedure uint32
	Kind      Kind
	Serial    uint32
	Status    uint32
}

// Append writes a whole message: length, header, payload.
func (h Header) Append(b, payload []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(HeaderSize+len(payload)))
	for _, v := range []uint32{h.Program, h.Version, h.Procedure, uint32(h.Kind), h.Serial, h.Status} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return append(b, payload...)
}

// ReadMessage reads one message. The error is io.EOF if the stream ends
// between messages. Memory is taken as the bytes come in, so a wrong length
// costs nothing.
func ReadMessage(r io.Reader) (Header, []byte, error) {
	var head [HeaderSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Header{}, nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < HeaderSize || n > MaxMessage {
		return Header{}, nil, fmt.Errorf("message of %d bytes: not libvirt's protocol, or a broken stream", n)
	}
	field := func(i int) uint32 { return binary.BigEndian.Uint32(head[4*i:]) }
	h := Header{field(1), field(2), field(3), Kind(field(4)), field(5), field(6)}
	payload, err := io.ReadAll(io.LimitReader(r, int64(n-HeaderSize)))
	if err == nil && len(payload) < int(n-HeaderSize) {
		err = io.ErrUnexpectedEOF
	}
	return h, payload, err
}

// ErrShort says that a payload ends before its last value.
var ErrShort = errors.New("payload is too short")

// Encoder appends values in XDR.
type Encoder struct{ b []byte }

// Bytes returns what was encoded.
func (e *Encoder) Bytes() []byte { return e.b }

// Uint32 also writes booleans, enumerations and characters.
func (e *Encoder) Uint32(v uint32) { e.b = binary.BigEndian.AppendUint32(e.b, v) }

// Int32 writes a signed number.
func (e *Encoder) Int32(v int32) { e.Uint32(uint32(v)) }

// Uint64 writes a hyper.
func (e *Encoder) Uint64(v uint64) { e.b = binary.BigEndian.AppendUint64(e.b, v) }

// Bool writes a truth value.
func (e *Encoder) Bool(v bool) {
	if v {
		e.Uint32(1)
	} else {
		e.Uint32(0)
	}
}

// Fixed writes bytes of a length both sides know, padded to four.
func (e *Encoder) Fixed(b []byte) {
	e.b = append(e.b, b...)
	for n := len(b); n%4 != 0; n++ {
		e.b = append(e.b, 0)
	}
}

// Opaque writes bytes with their length.
func (e *Encoder) Opaque(b []byte) {
	e.Uint32(uint32(len(b)))
	e.Fixed(b)
}

// String writes a string.
func (e *Encoder) String(s string) { e.Opaque([]byte(s)) }

// Optional writes a string that may be absent: nil is absent.
func (e *Encoder) Optional(s *string) {
	e.Bool(s != nil)
	if s != nil {
		e.String(*s)
	}
}

// Decoder reads values in XDR. After the first error every reader gives zero
// values; Err tells.
type Decoder struct {
	b   []byte
	err error
}

// NewDecoder reads from a payload.
func NewDecoder(b []byte) *Decoder { return &Decoder{b: b} }

// Err is the first error.
func (d *Decoder) Err() error { return d.err }

// Rest is the number of bytes not read yet.
func (d *Decoder) Rest() int { return len(d.b) }

func (d *Decoder) take(n int) []byte {
	if d.err == nil && n > len(d.b) {
		d.err = ErrShort
	}
	if d.err != nil {
		return nil
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}

// Uint32 reads an unsigned number.
func (d *Decoder) Uint32() uint32 {
	if b := d.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// Int32 reads a signed number.
func (d *Decoder) Int32() int32 { return int32(d.Uint32()) }

// Uint64 reads a hyper.
func (d *Decoder) Uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Float64 reads a double.
func (d *Decoder) Float64() float64 { return math.Float64frombits(d.Uint64()) }

// Bool reads a truth value; anything but 0 and 1 is an error.
func (d *Decoder) Bool() bool {
	v := d.Uint32()
	if d.err == nil && v > 1 {
		d.err = fmt.Errorf("truth value %d", v)
	}
	return v == 1
}

// Fixed reads n bytes and their padding.
func (d *Decoder) Fixed(n int) []byte {
	padded := (n + 3) &^ 3
	if b := d.take(padded); b != nil {
		return b[:n:n]
	}
	return nil
}

// Opaque reads bytes with their length.
func (d *Decoder) Opaque() []byte {
	n := d.Uint32()
	if d.err == nil && n > MaxMessage {
		d.err = fmt.Errorf("opaque of %d bytes", n)
	}
	if d.err != nil {
		return nil
	}
	return d.Fixed(int(n))
}

// String reads a string.
func (d *Decoder) String() string {
	b := d.Opaque()
	if d.err == nil && len(b) > MaxString {
		d.err = fmt.Errorf("string of %d bytes", len(b))
	}
	if d.err != nil {
		return ""
	}
	return string(b)
}

// Optional reads a string that may be absent.
func (d *Decoder) Optional() *string {
	if !d.Bool() || d.err != nil {
		return nil
	}
	s := d.String()
	if d.err != nil {
		return nil
	}
	return &s
}

// Count reads the number of items that follow.
func (d *Decoder) Count() int {
	n := d.Uint32()
	// Every item takes at least four bytes.
	if d.err == nil && (n > maxItems || int(n) > len(d.b)/4) {
		d.err = fmt.Errorf("%w for %d items", ErrShort, n)
	}
	if d.err != nil {
		return 0
	}
	return int(n)
}
