package xvm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// source is an address of this node from which requests are sent.
type source struct {
	addr  netip.Addr
	index int // of the interface
}

func (c *client) sources(group netip.Addr) ([]source, error) {
	ifaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var out []source
	for _, i := range ifaces {
		if i.Flags&net.FlagUp == 0 || c.iface != "" && i.Name != c.iface {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err != nil || p.Addr().Is4() != group.Is4() {
				continue
			}
			out = append(out, source{p.Addr().WithZone(""), i.Index})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("this node has no address of the family of %s (interface %q)", group, c.iface)
	}
	return out, nil
}

// sendMulticast sends one packet from an address, two hops far.
func sendMulticast(s source, group netip.Addr, port uint16, packet []byte) error {
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		var err error
		if e := rc.Control(func(fd uintptr) {
			if group.Is4() {
				err = errors.Join(unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, 2),
					unix.SetsockoptInet4Addr(int(fd), unix.IPPROTO_IP, unix.IP_MULTICAST_IF, s.addr.As4()))
			} else {
				err = errors.Join(unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 2),
					unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, s.index))
			}
		}); e != nil {
			return e
		}
		return err
	}}
	network := "udp4"
	local := net.JoinHostPort(s.addr.String(), "0")
	if group.Is6() {
		network = "udp6"
		if s.addr.IsLinkLocalUnicast() {
			local = "[::]:0"
		}
	}
	conn, err := lc.ListenPacket(context.Background(), network, local)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.WriteTo(packet, net.UDPAddrFromAddrPort(netip.AddrPortFrom(group, port)))
	return err
}

// dialVsock connects to a context id of AF_VSOCK.
func dialVsock(ctx context.Context, cid, port uint32) (net.Conn, error) {
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	err = unix.Connect(fd, &unix.SockaddrVM{CID: cid, Port: port})
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		unix.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	f := os.NewFile(uintptr(fd), fmt.Sprintf("vsock %d:%d", cid, port))
	conn := &fileConn{f}
	if err != nil { // in progress: wait until it can be written to
		stop := context.AfterFunc(ctx, func() { f.SetDeadline(time.Unix(1, 0)) })
		defer stop()
		rc, e := f.SyscallConn()
		if e != nil {
			f.Close()
			return nil, e
		}
		first := true
		var status int
		e = rc.Write(func(fd uintptr) bool {
			if first {
				first = false
				return false
			}
			status, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
			return true
		})
		if e == nil && status != 0 {
			e = os.NewSyscallError("connect", syscall.Errno(status))
		}
		if e != nil {
			f.Close()
			return nil, e
		}
	}
	return conn, nil
}

// fileConn is a connected socket of a family that package net does not know.
type fileConn struct{ *os.File }

func (fileConn) LocalAddr() net.Addr  { return nil }
func (fileConn) RemoteAddr() net.Addr { return nil }
