package peerlink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/replication/wire"
)

// Dialer knows both ends of a connection.
type Dialer struct {
	Local, Peer netip.AddrPort
	// Interval is how long one attempt waits for the peer (connect-int).
	Interval time.Duration
	// PingTimeout bounds waiting for the first packet of an accepted socket.
	PingTimeout time.Duration
	// Check is how long the pair is left alone before it is believed
	// (socket-check-timeout); 0 means PingTimeout.
	Check                     time.Duration
	SendBuffer, ReceiveBuffer int // bytes, 0 for automatic
	// Note is told what stands in the way; it may be nil.
	Note func(string)
}

// Pair is a connection to the peer.
type Pair struct {
	Data, Meta net.Conn
	// Resolver says that this node accepted the meta socket.
	Resolver bool
}

func (p *Pair) close() {
	for _, c := range []net.Conn{p.Data, p.Meta} {
		if c != nil {
			c.Close()
		}
	}
}

// Dial tries until it has a pair or ctx ends.
func (d *Dialer) Dial(ctx context.Context) (*Pair, error) {
	var last string
	note := func(text string) {
		if d.Note != nil && text != last {
			last = text
			d.Note(text)
		}
	}
	for {
		p, err := d.attempt(ctx, note)
		if err == nil {
			return p, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		note(err.Error())
		if !sleep(ctx, time.Second) {
			return nil, ctx.Err()
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt listens until a pair is there. It fails only when it cannot listen.
func (d *Dialer) attempt(ctx context.Context, note func(string)) (_ *Pair, err error) {
	l, err := (&net.ListenConfig{Control: d.tune}).Listen(ctx, "tcp", d.Local.String())
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %v: %w", d.Local, cause(err))
	}
	listener := l.(*net.TCPListener)
	defer listener.Close()
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	pair := &Pair{}
	defer func() {
		if err != nil {
			pair.close()
		}
	}()
	for ctx.Err() == nil {
		if c, err := d.connect(ctx); err == nil {
			if err := d.place(pair, c); err != nil {
				note(err.Error())
			}
		} else {
			note(fmt.Sprintf("cannot connect to %v: %v", d.Peer, cause(err)))
		}
		if d.complete(ctx, pair) {
			return pair, nil
		}
		for again := true; again && ctx.Err() == nil; {
			again = d.accept(listener, pair, note)
		}
		if d.complete(ctx, pair) {
			return pair, nil
		}
	}
	return nil, ctx.Err()
}

// connect makes a socket to the peer, from the configured address.
func (d *Dialer) connect(ctx context.Context) (net.Conn, error) {
	n := net.Dialer{
		Timeout:   d.Interval,
		LocalAddr: &net.TCPAddr{IP: d.Local.Addr().AsSlice(), Zone: d.Local.Addr().Zone()},
		KeepAlive: -1,
		Control:   d.tune,
	}
	return n.DialContext(ctx, "tcp", d.Peer.String())
}

// place uses a socket that this node made: the first for data, the second for meta.
func (d *Dialer) place(p *Pair, c net.Conn) error {
	first := wire.CmdInitialData
	if p.Data != nil {
		first = wire.CmdInitialMeta
		if p.Meta != nil {
			c.Close()
			return nil
		}
	}
	c.SetWriteDeadline(time.Now().Add(4 * d.PingTimeout))
	if _, err := c.Write(wire.Dialect{}.Append(nil, &wire.Message{Command: first})); err != nil {
		c.Close()
		return err
	}
	c.SetWriteDeadline(time.Time{})
	if first == wire.CmdInitialData {
		p.Data = c
		return nil
	}
	p.Meta, p.Resolver = c, false
	return nil
}

// accept waits for a socket of the peer. It gives true when it should be called
// again before the next attempt to connect.
func (d *Dialer) accept(l *net.TCPListener, p *Pair, note func(string)) bool {
	// A random length keeps two nodes from missing each other for ever.
	wait := d.Interval - d.Interval/7 + rand.N(2*d.Interval/7+1)
	l.SetDeadline(time.Now().Add(wait))
	c, err := l.Accept()
	if err != nil {
		return false
	}
	from := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().WithZone("")
	if from != d.Peer.Addr().WithZone("") {
		note(fmt.Sprintf("refused a connection from %v, which is not the peer", from))
		c.Close()
		return false
	}
	command, err := firstPacket(c, 4*d.PingTimeout)
	if err != nil {
		note(fmt.Sprintf("no greeting from %v: %v", from, cause(err)))
		c.Close()
		return false
	}
	crossed := false
	switch command {
	case wire.CmdInitialData:
		if crossed = p.Data != nil; crossed {
			p.Data.Close()
		}
		p.Data = c
	default:
		if crossed = p.Meta != nil; crossed {
			p.Meta.Close()
		}
		p.Meta, p.Resolver = c, true
	}
	// Both made the same socket at once. One of the two nodes has to wait for the
	// other; which, is left to chance.
	return crossed && rand.N(2) == 0
}

func firstPacket(c net.Conn, limit time.Duration) (wire.Command, error) {
	c.SetReadDeadline(time.Now().Add(limit))
	defer c.SetReadDeadline(time.Time{})
	var b [8]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return 0, err
	}
	h, err := wire.Dialect{}.DecodeHeader(b[:])
	if err != nil {
		return 0, err
	}
	if h.Length != 0 || h.Command != wire.CmdInitialData && h.Command != wire.CmdInitialMeta {
		return 0, fmt.Errorf("%v is no greeting", h.Command)
	}
	return h.Command, nil
}

// complete tells whether both sockets are there and stay.
func (d *Dialer) complete(ctx context.Context, p *Pair) bool {
	if p.Data == nil || p.Meta == nil {
		d.check(p)
		return false
	}
	wait := d.Check
	if wait == 0 {
		wait = d.PingTimeout
	}
	if !sleep(ctx, wait) {
		return false
	}
	return d.check(p)
}

// check drops sockets that the peer has closed.
func (d *Dialer) check(p *Pair) bool {
	if p.Data != nil && !alive(p.Data) {
		p.Data.Close()
		p.Data = nil
	}
	if p.Meta != nil && !alive(p.Meta) {
		p.Meta.Close()
		p.Meta, p.Resolver = nil, false
	}
	return p.Data != nil && p.Meta != nil
}

// alive looks whether a socket has been closed, without taking data from it.
func alive(c net.Conn) bool {
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return false
	}
	ok := true
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		ok = n > 0 || err == unix.EAGAIN || err == unix.EINTR
	})
	return err == nil && ok
}

// tune sets the options of a socket before it is used.
func (d *Dialer) tune(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		set := func(level, option, value int) {
			if err := unix.SetsockoptInt(int(fd), level, option, value); err != nil && failed == nil {
				failed = os.NewSyscallError("setsockopt", err)
			}
		}
		set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		set(unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		if d.SendBuffer > 0 {
			set(unix.SOL_SOCKET, unix.SO_SNDBUF, d.SendBuffer)
		}
		if d.ReceiveBuffer > 0 {
			set(unix.SOL_SOCKET, unix.SO_RCVBUF, d.ReceiveBuffer)
		}
	})
	return errors.Join(err, failed)
}

// cause is the last error of a chain, without the addresses that the text around it
// has already.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		err = sys.Err
	}
	return err
}
