package nbd

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// The kernel's NBD driver is told by generic netlink what to do.

// Commands and attributes of the family "nbd".
const (
	genlConnect     = 1
	genlDisconnect  = 2
	genlReconfigure = 3

	attrIndex       = 1
	attrSize        = 2
	attrBlockSize   = 3
	attrTimeout     = 4
	attrServerFlags = 5
	attrClientFlags = 6
	attrSockets     = 7
	attrDeadTimeout = 8
	attrBackend     = 10

	attrSockItem = 1
	attrSockFD   = 1
)

// Of the controller, which knows the families.
const (
	ctrlID         = 0x10
	ctrlGetFamily  = 3
	ctrlFamilyID   = 1
	ctrlFamilyName = 2
)

var native = binary.NativeEndian

// attribute appends one attribute, padded.
func attribute(b []byte, kind uint16, value []byte) []byte {
	b = native.AppendUint16(b, uint16(4+len(value)))
	b = native.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, -len(value)&3)...)
}

func attribute32(b []byte, kind uint16, v uint32) []byte {
	return attribute(b, kind, native.AppendUint32(nil, v))
}

func attribute64(b []byte, kind uint16, v uint64) []byte {
	return attribute(b, kind, native.AppendUint64(nil, v))
}

// attributes calls f for each attribute.
func attributes(b []byte, f func(kind uint16, value []byte)) {
	for len(b) >= 4 {
		n := int(native.Uint16(b))
		if n < 4 || n > len(b) {
			return
		}
		f(native.Uint16(b[2:])&0x3fff, b[4:n])
		b = b[min(len(b), (n+3)&^3):]
	}
}

// request is a message of generic netlink.
func request(family uint16, command uint8, sequence uint32, attrs []byte) []byte {
	b := native.AppendUint32(nil, uint32(20+len(attrs)))
	b = native.AppendUint16(b, family)
	b = native.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	b = native.AppendUint32(b, sequence)
	b = native.AppendUint32(b, 0)
	b = append(b, command, 1, 0, 0)
	return append(b, attrs...)
}

// answers reads what belongs to a request: f gets the attributes of every answer. It
// gives the error that the kernel reports, and done once that has come.
func answers(b []byte, sequence uint32, f func(attrs []byte)) (done bool, err error) {
	for len(b) >= 16 {
		n := int(native.Uint32(b))
		if n < 16 || n > len(b) {
			return true, errors.New("netlink: a message that is cut off")
		}
		kind, body := native.Uint16(b[4:]), b[16:n]
		switch {
		case native.Uint32(b[8:]) != sequence:
		case kind == unix.NLMSG_ERROR:
			if len(body) < 4 {
				return true, errors.New("netlink: a message that is cut off")
			}
			if code := int32(native.Uint32(body)); code != 0 {
				return true, unix.Errno(-code)
			}
			return true, nil
		case len(body) >= 4:
			f(body[4:])
		}
		b = b[min(len(b), (n+3)&^3):]
	}
	return false, nil
}

// generic is a conversation with the kernel.
type generic struct {
	fd       int
	sequence uint32
}

func openGeneric() (*generic, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	g := &generic{fd: fd}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		g.close()
		return nil, fmt.Errorf("netlink: %w", err)
	}
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10})
	return g, nil
}

func (g *generic) close() { _ = unix.Close(g.fd) }

// call sends one command and waits for its end.
func (g *generic) call(family uint16, command uint8, attrs []byte, f func(attrs []byte)) error {
	g.sequence++
	if err := unix.Sendto(g.fd, request(family, command, g.sequence, attrs), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	b := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(g.fd, b, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("netlink: %w", err)
		}
		if done, err := answers(b[:n], g.sequence, f); done {
			return err
		}
	}
}

// family looks the driver up.
func (g *generic) family(name string) (id uint16, err error) {
	err = g.call(ctrlID, ctrlGetFamily, attribute(nil, ctrlFamilyName, append([]byte(name), 0)), func(attrs []byte) {
		attributes(attrs, func(kind uint16, value []byte) {
			if kind == ctrlFamilyID && len(value) >= 2 {
				id = native.Uint16(value)
			}
		})
	})
	return id, err
}
