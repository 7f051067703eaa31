package reconnect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"gcrm/drivers/inetsum"
)

const (
	protocolTCP = 6
	flagACK     = 0x10
	tcpHeader   = 20
)

// Provoke sends the other end of each connection a segment that does not belong into it.
// A connection that is alive is not disturbed by that. All are tried; the error tells of
// those that could not be sent. It needs CAP_NET_RAW.
func Provoke(list []Connection) error {
	var failed []error
	sockets := map[int]int{}
	defer func() {
		for _, fd := range sockets {
			unix.Close(fd)
		}
	}()
	for _, c := range list {
		if err := provoke(sockets, c); err != nil {
			failed = append(failed, fmt.Errorf("TCP segment from %s to %s: %w", c.Local, c.Remote, err))
		}
	}
	return errors.Join(failed...)
}

func provoke(sockets map[int]int, c Connection) error {
	family := unix.AF_INET
	if c.Remote.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, ok := sockets[family]
	if !ok {
		// The header of the packet is part of what is sent.
		var err error
		if fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW); err != nil {
			return err
		}
		sockets[family] = fd
	}
	var to unix.Sockaddr = &unix.SockaddrInet4{Addr: as4(c.Remote.Addr())}
	if family == unix.AF_INET6 {
		to = &unix.SockaddrInet6{Addr: c.Remote.Addr().As16()}
	}
	return unix.Sendto(fd, packet(c), 0, to)
}

func as4(a netip.Addr) (out [4]byte) {
	if a.Is4() {
		out = a.As4()
	}
	return out
}

// packet is the segment with its IP header: an acknowledgement of nothing, with a
// sequence number that only by chance is expected. Even then it says nothing new.
func packet(c Connection) []byte {
	from, to := c.Local.Addr(), c.Remote.Addr()
	tcp := make([]byte, tcpHeader)
	binary.BigEndian.PutUint16(tcp[0:], c.Local.Port())
	binary.BigEndian.PutUint16(tcp[2:], c.Remote.Port())
	tcp[12] = tcpHeader / 4 << 4
	tcp[13] = flagACK
	binary.BigEndian.PutUint16(tcp[14:], 1024) // window
	binary.BigEndian.PutUint16(tcp[16:], inetsum.Transport(from, to, protocolTCP, tcp))
	if from.Is6() {
		ip := make([]byte, 8, 40+tcpHeader)
		ip[0] = 6 << 4
		binary.BigEndian.PutUint16(ip[4:], tcpHeader)
		ip[6], ip[7] = protocolTCP, 64 // next header, hop limit
		ip = append(append(ip, from.AsSlice()...), to.AsSlice()...)
		return append(ip, tcp...)
	}
	ip := make([]byte, 12, 20+tcpHeader)
	ip[0] = 4<<4 | 5 // version, length of the header in words
	binary.BigEndian.PutUint16(ip[2:], 20+tcpHeader)
	ip[8], ip[9] = 64, protocolTCP // time to live; the kernel fills in the header's checksum
	ip = append(append(ip, from.AsSlice()...), to.AsSlice()...)
	return append(ip, tcp...)
}
