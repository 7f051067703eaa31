package sbd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Where things are: sector 0 is the header; slot n, with a node's name, is in
// sector 1+2n and its mailbox in sector 2+2n.
const (
	magic   = "SBD_SBD_"
	version = 2
	minor   = 1
	slots   = 255
	nameMax = 63
)

// Header is what a disk says about itself.
type Header struct {
	Slots      int
	SectorSize int
	UUID       [16]byte
	Watchdog   time.Duration
	Allocate   time.Duration
	Loop       time.Duration
	MsgWait    time.Duration
}

// DefaultHeader has the times that disks get if nobody says otherwise.
func DefaultHeader() Header {
	return Header{Slots: slots, Watchdog: 5 * time.Second, Allocate: 2 * time.Second, Loop: time.Second, MsgWait: 10 * time.Second}
}

func seconds(d time.Duration) uint32 { return uint32(d / time.Second) }

func (h Header) encode(sector []byte) {
	clear(sector)
	copy(sector, magic)
	sector[8], sector[9] = version, byte(h.Slots)
	be := binary.BigEndian
	be.PutUint32(sector[12:], uint32(len(sector)))
	be.PutUint32(sector[16:], seconds(h.Watchdog))
	be.PutUint32(sector[20:], seconds(h.Allocate))
	be.PutUint32(sector[24:], seconds(h.Loop))
	be.PutUint32(sector[28:], seconds(h.MsgWait))
	sector[32] = minor
	copy(sector[33:49], h.UUID[:])
}

var errNoSBD = errors.New("the disk is not initialized for SBD")

func decodeHeader(sector []byte) (Header, error) {
	if len(sector) < 49 || string(sector[:8]) != magic {
		return Header{}, errNoSBD
	}
	if sector[8] != version {
		return Header{}, fmt.Errorf("the disk has version %d of SBD's format, which is not known", sector[8])
	}
	be := binary.BigEndian
	duration := func(at int) time.Duration { return time.Duration(be.Uint32(sector[at:])) * time.Second }
	h := Header{Slots: int(sector[9]), SectorSize: int(be.Uint32(sector[12:])), Watchdog: duration(16), Allocate: duration(20), Loop: duration(24), MsgWait: duration(28)}
	copy(h.UUID[:], sector[33:49])
	if h.SectorSize != len(sector) {
		return h, fmt.Errorf("the disk was initialized with sectors of %d bytes, and has ones of %d", h.SectorSize, len(sector))
	}
	return h, nil
}

// Command is what a mailbox can hold.
type Command byte

const (
	Clear Command = iota
	Test
	Reset
	Off
	Exit
	CrashDump
)

func (c Command) String() string {
	if int(c) < len(commandNames) {
		return commandNames[c]
	}
	return fmt.Sprintf("unknown(%d)", byte(c))
}

var commandNames = [...]string{"clear", "test", "reset", "off", "exit", "crashdump"}

// kills reports whether a node that reads the command is gone after it.
func (c Command) kills() bool { return c == Reset || c == Off || c == CrashDump }

func encodeSlot(sector []byte, name string) {
	clear(sector)
	sector[0] = 1
	copy(sector[1:1+nameMax], name)
}

func decodeName(b []byte) string {
	b = b[1 : 1+nameMax+1]
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

func encodeMail(sector []byte, c Command, from string) {
	clear(sector)
	sector[0] = byte(c)
	copy(sector[1:1+nameMax], from)
}

// checkName tells whether a node can have a slot.
func checkName(name string) error {
	if name == "" || len(name) > nameMax || strings.ContainsRune(name, 0) {
		return fmt.Errorf("%q cannot have a slot: names have 1 to %d bytes", name, nameMax)
	}
	return nil
}
