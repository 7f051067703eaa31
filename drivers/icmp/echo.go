// Package icmp sends echo requests and waits for the replies.
package icmp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/drivers/inetsum"
)

// Echo sends one echo request and waits for its reply; it returns the time
// that took. Without a reply within the timeout the error is
// os.ErrDeadlineExceeded. It needs CAP_NET_RAW, or a group in the kernel's
// ping_group_range.
func Echo(ctx context.Context, to netip.Addr, timeout time.Duration) (time.Duration, error) {
	fd, raw, err := open(to)
	if err != nil {
		return 0, fmt.Errorf("ICMP socket: %w", err)
	}
	defer unix.Close(fd)
	id, seq := uint16(rand.Uint32()), uint16(rand.Uint32())
	message := request(to, id, seq)
	if err := unix.Sendto(fd, message, 0, sockaddr(to)); err != nil {
		return 0, fmt.Errorf("ICMP to %s: %w", to, err)
	}
	began := time.Now()
	end := began.Add(timeout)
	buf := make([]byte, 1500)
	for {
		left := time.Until(end)
		if left <= 0 {
			return 0, fmt.Errorf("no answer from %s within %v: %w", to, timeout, os.ErrDeadlineExceeded)
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		tv := unix.NsecToTimeval(max(min(left, 100*time.Millisecond), time.Millisecond).Nanoseconds())
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
			return 0, err
		}
		n, _, err := unix.Recvfrom(fd, buf, 0)
		switch {
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, fmt.Errorf("no answer from %s: %w", to, err)
		}
		if isReply(to, buf[:n], id, seq, raw) {
			return time.Since(began), nil
		}
	}
}

// open prefers the socket type that needs no capability. A raw socket is told
// apart because its packets carry the IPv4 header and their own id.
func open(to netip.Addr) (fd int, raw bool, err error) {
	domain, proto := unix.AF_INET, unix.IPPROTO_ICMP
	if to.Is6() {
		domain, proto = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	if fd, err = unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, proto); err == nil {
		return fd, false, nil
	}
	fd, err = unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, proto)
	return fd, true, err
}

func sockaddr(a netip.Addr) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Addr: a.As16()}
}

func request(to netip.Addr, id, seq uint16) []byte {
	kind := byte(8)
	if to.Is6() {
		kind = 128
	}
	b := []byte{kind, 0, 0, 0}
	b = binary.BigEndian.AppendUint16(b, id)
	b = binary.BigEndian.AppendUint16(b, seq)
	b = append(b, "gcrm reachability"...)
	if to.Is4() { // the kernel fills in the checksum of ICMPv6
		binary.BigEndian.PutUint16(b[2:], inetsum.Of(b))
	}
	return b
}

func isReply(from netip.Addr, b []byte, id, seq uint16, raw bool) bool {
	kind := byte(0)
	if from.Is6() {
		kind = 129
	} else if raw {
		if len(b) < 20 || len(b) < int(b[0]&15)*4 {
			return false
		}
		b = b[int(b[0]&15)*4:]
	}
	// On a datagram socket the kernel chose the id and delivers only ours.
	return len(b) >= 8 && b[0] == kind && b[1] == 0 && binary.BigEndian.Uint16(b[6:]) == seq &&
		(!raw || binary.BigEndian.Uint16(b[4:]) == id)
}
