package whole

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// network connects the hosts. Datagrams are lost, doubled, delayed and
// overtake each other; streams keep their order and wait while they are cut,
// as TCP does.
type network struct {
	mu    sync.Mutex
	seed  uint64
	hosts map[string]*host
	// cut holds directions that nothing passes, on one link or (-1) on all.
	cut   map[direction]bool
	lines map[direction]*line
	// stalled are directions in which streams carry nothing, on all links, as
	// where large packets are lost: what is sent arrives late.
	stalled map[direction]bool
	pipes   map[*pipe]bool
	made    int // pipes

	// How bad datagrams fare, and everything else.
	loss, doubling, spike float64
	tardy                 time.Duration // how late what is late may be; 300 ms if 0
	datagrams, bytes      uint64
	// writes to connections: a TLS record each.
	writes uint64
	digest digest
}

type direction struct {
	from, to string
	link     int
}

// line is what is random about one direction.
type line struct{ rng *rand.Rand }

func newNetwork(seed uint64) *network {
	return &network{seed: seed, hosts: map[string]*host{}, cut: map[direction]bool{}, lines: map[direction]*line{}, stalled: map[direction]bool{}, pipes: map[*pipe]bool{}}
}

// line returns the random numbers of a direction; the lock is held.
func (n *network) line(d direction) *line {
	l := n.lines[d]
	if l == nil {
		h := n.seed
		for _, c := range fmt.Sprint(d) {
			h = h*1099511628211 + uint64(c)
		}
		l = &line{rand.New(rand.NewPCG(n.seed, h))}
		n.lines[d] = l
	}
	return l
}

func (n *network) delay(d direction) time.Duration {
	r := n.line(d).rng
	t := 100*time.Microsecond + time.Duration(r.Int64N(int64(400*time.Microsecond)))
	if n.spike > 0 && r.Float64() < n.spike {
		t += time.Duration(r.Int64N(int64(cmp.Or(n.tardy, 300*time.Millisecond))))
	}
	return t
}

func (n *network) isCut(from, to string, link int) bool {
	return n.cut[direction{from, to, -1}] || n.cut[direction{from, to, link}]
}

// set cuts or mends a direction; link -1 means all.
func (n *network) set(from, to string, link int, cut bool) {
	n.mu.Lock()
	if cut {
		n.cut[direction{from, to, link}] = true
	} else {
		delete(n.cut, direction{from, to, link})
	}
	n.mu.Unlock()
	if !cut {
		n.kick()
	}
}

func (n *network) heal() {
	n.mu.Lock()
	clear(n.cut)
	clear(n.stalled)
	n.loss, n.doubling, n.spike, n.tardy = 0, 0, 0, 0
	for _, h := range n.hosts {
		h.hangs = time.Time{}
	}
	n.mu.Unlock()
	n.kick()
}

// hang keeps everything from and to a host for a while.
func (n *network) hang(h *host, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h.hangs = time.Now().Add(d)
}

// stall keeps what a host sends to another in streams until it is said to go on.
func (n *network) stall(from, to string, on bool) {
	n.mu.Lock()
	n.stalled[direction{from, to, -1}] = on
	n.mu.Unlock()
	if !on {
		n.kick()
	}
}

// awake returns when the host does not hang any more, or ctx or life end.
func (l *life) awake(ctx context.Context) {
	for {
		l.host.w.net.mu.Lock()
		wait := time.Until(l.host.hangs)
		l.host.w.net.mu.Unlock()
		if wait <= 0 {
			return
		}
		select {
		case <-time.After(wait):
		case <-l.over:
			return
		case <-ctx.Done():
			return
		}
	}
}

// kick lets streams go on that were cut.
func (n *network) kick() {
	n.mu.Lock()
	list := slices.SortedFunc(maps.Keys(n.pipes), func(a, b *pipe) int { return a.number - b.number })
	n.mu.Unlock()
	for _, p := range list {
		p.pump()
	}
}

// both reports whether two hosts can talk in both directions over some link.
func (n *network) both(a, b string, links int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for l := range links {
		if !n.isCut(a, b, l) && !n.isCut(b, a, l) {
			return true
		}
	}
	return false
}

// address of a host on a link: 10.0.LINK.NUMBER.
func address(number, link int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(link), byte(number)}), 7488)
}

// find gives the host and link of an address; the lock is held.
func (n *network) find(a netip.AddrPort) (*host, int) {
	for _, h := range n.hosts {
		for l := range h.w.links {
			if address(h.number, l) == a {
				return h, l
			}
		}
	}
	return nil, 0
}

// socket is a UDP port of one life of a daemon on one link.
type socket struct {
	life  *life
	link  int
	queue chan []byte
	done  chan struct{}
	once  sync.Once
}

func newSocket(l *life, link int) *socket {
	return &socket{life: l, link: link, queue: make(chan []byte, 512), done: make(chan struct{})}
}

func (s *socket) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case d := <-s.queue:
		return copy(b, d), netip.AddrPort{}, nil
	case <-s.done:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (s *socket) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	n := s.life.host.w.net
	n.mu.Lock()
	defer n.mu.Unlock()
	h, link := n.find(to)
	if h == nil || s.life.dead || link != s.link {
		return len(b), nil
	}
	n.datagrams++
	n.digest.mix(uint64(time.Now().UnixNano()), uint64(s.life.host.number<<16|h.number<<8|link))
	n.bytes += uint64(len(b))
	d := direction{s.life.host.name, h.name, link}
	if n.isCut(d.from, d.to, link) {
		return len(b), nil
	}
	copies, r := 1, n.line(d).rng
	if n.loss > 0 && r.Float64() < n.loss {
		copies = 0
	} else if n.doubling > 0 && r.Float64() < n.doubling {
		copies = 2
	}
	data := append([]byte(nil), b...)
	for range copies {
		time.AfterFunc(max(n.delay(d), time.Until(s.life.host.hangs), time.Until(h.hangs)), func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			l := h.life
			if l == nil || l.dead || n.isCut(d.from, d.to, link) {
				return
			}
			select {
			case l.sockets[link].queue <- data:
			default:
			}
		})
	}
	return len(b), nil
}

func (s *socket) Close() error {
	s.once.Do(func() { close(s.done) })
	return nil
}

// port accepts connections of one life of a daemon, on all links.
type port struct {
	life  *life
	queue chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPort(l *life) *port {
	return &port{life: l, queue: make(chan net.Conn, 128), done: make(chan struct{})}
}

func (p *port) Accept() (net.Conn, error) {
	select {
	case c := <-p.queue:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *port) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *port) Addr() net.Addr { return net.TCPAddrFromAddrPort(address(p.life.host.number, 0)) }

// dial connects from a life to an address.
func (l *life) dial(ctx context.Context, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	n := l.host.w.net
	for wait := 100 * time.Millisecond; ; wait *= 2 { // SYN and its repetitions
		n.mu.Lock()
		h, link := n.find(to)
		if h == nil {
			n.mu.Unlock()
			return nil, syscall.EHOSTUNREACH
		}
		there, back := direction{l.host.name, h.name, link}, direction{h.name, l.host.name, link}
		reaches := !l.dead && h.on && !time.Now().Before(h.hangs) && !time.Now().Before(l.host.hangs) && !n.isCut(there.from, there.to, link) && !n.isCut(back.from, back.to, link)
		rtt := n.delay(there) + n.delay(back)
		n.mu.Unlock()
		if !reaches {
			select {
			case <-time.After(wait):
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		select {
		case <-time.After(rtt):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		n.mu.Lock()
		other := h.life
		if other == nil || other.dead || other.port == nil {
			n.mu.Unlock()
			return nil, syscall.ECONNREFUSED
		}
		a, b := &conn{life: l, peer: h.name}, &conn{life: other, peer: l.host.name}
		n.made += 2
		a.in, b.in = &pipe{net: n, number: n.made, d: back, from: b, to: a}, &pipe{net: n, number: n.made + 1, d: there, from: a, to: b}
		a.out, b.out = b.in, a.in
		a.changed, b.changed = make(chan struct{}), make(chan struct{})
		n.pipes[a.in], n.pipes[b.in] = true, true
		l.conns[a], other.conns[b] = true, true
		n.mu.Unlock()
		select {
		case other.port.queue <- b:
			return a, nil
		case <-other.port.done:
			return nil, syscall.ECONNREFUSED
		default:
			return nil, syscall.ECONNREFUSED
		}
	}
}

// pipe is one direction of a stream.
type pipe struct {
	net      *network
	number   int
	d        direction
	from, to *conn
	chunks   []chunk // under net.mu
	last     time.Time
	armed    bool
}

type chunk struct {
	at   time.Time
	data []byte
	err  error
}

// send queues what is to arrive at the other end.
func (p *pipe) send(data []byte, err error) {
	n := p.net
	n.mu.Lock()
	at := time.Now().Add(n.delay(p.d))
	if at.Before(p.last) {
		at = p.last
	}
	p.last = at
	n.bytes += uint64(len(data))
	n.writes++
	n.digest.mix(uint64(time.Now().UnixNano()), uint64(p.number))
	p.chunks = append(p.chunks, chunk{at, append([]byte(nil), data...), err})
	n.mu.Unlock()
	p.pump()
}

// pump delivers what is due and sees to the rest.
func (p *pipe) pump() {
	n := p.net
	n.mu.Lock()
	defer n.mu.Unlock()
	p.pumpLocked()
}

func (p *pipe) pumpLocked() {
	if p.armed {
		return
	}
	for len(p.chunks) > 0 {
		if p.net.isCut(p.d.from, p.d.to, p.d.link) || p.net.stalled[direction{p.d.from, p.d.to, -1}] {
			return // heal comes back to it
		}
		c := p.chunks[0]
		if wait := max(time.Until(c.at), time.Until(p.from.life.host.hangs), time.Until(p.to.life.host.hangs)); wait > 0 {
			p.armed = true
			time.AfterFunc(wait, func() {
				p.net.mu.Lock()
				defer p.net.mu.Unlock()
				p.armed = false
				p.pumpLocked()
			})
			return
		}
		p.chunks = p.chunks[1:]
		if p.to.life.dead {
			if p.to.life.host.on {
				p.from.fail(syscall.ECONNRESET)
			}
			continue
		}
		p.to.arrive(c.data, c.err)
	}
}

// conn is one end of a stream.
type conn struct {
	life    *life
	peer    string
	in, out *pipe

	mu       sync.Mutex
	buf      []byte
	err      error // after buf
	closed   bool
	changed  chan struct{}
	deadline time.Time
	timer    *time.Timer
}

func (c *conn) wakeLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *conn) arrive(data []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.buf = append(c.buf, data...)
	c.err = err
	c.wakeLocked()
}

func (c *conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	c.wakeLocked()
}

func (c *conn) Read(b []byte) (int, error) {
	for {
		c.mu.Lock()
		switch {
		case c.closed:
			c.mu.Unlock()
			return 0, net.ErrClosed
		case len(c.buf) > 0:
			k := copy(b, c.buf)
			c.buf = c.buf[k:]
			c.mu.Unlock()
			return k, nil
		case c.err != nil:
			err := c.err
			c.mu.Unlock()
			return 0, err
		case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
			c.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		}
		ch := c.changed
		c.mu.Unlock()
		<-ch
	}
}

func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	closed, err := c.closed, c.err
	c.mu.Unlock()
	switch {
	case closed:
		return 0, net.ErrClosed
	case err != nil && !errors.Is(err, io.EOF):
		return 0, err
	}
	c.life.host.w.net.mu.Lock()
	dead := c.life.dead
	c.life.host.w.net.mu.Unlock()
	if !dead {
		c.out.send(b, nil)
	}
	return len(b), nil
}

func (c *conn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return net.ErrClosed
	}
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
	}
	c.wakeLocked()
	c.mu.Unlock()
	n := c.life.host.w.net
	n.mu.Lock()
	dead := c.life.dead
	delete(c.life.conns, c)
	if c.in.from.closedOrDead() {
		delete(n.pipes, c.in)
		delete(n.pipes, c.out)
	}
	n.mu.Unlock()
	if !dead {
		c.out.send(nil, io.EOF)
	}
	return nil
}

func (c *conn) closedOrDead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed || c.life.dead
}

func (c *conn) LocalAddr() net.Addr  { return nameAddr(c.life.host.name) }
func (c *conn) RemoteAddr() net.Addr { return nameAddr(c.peer) }

type nameAddr string

func (nameAddr) Network() string  { return "simulation" }
func (a nameAddr) String() string { return string(a) }

func (c *conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	if c.closed {
		return net.ErrClosed
	}
	if !t.IsZero() {
		c.timer = time.AfterFunc(time.Until(t), func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.wakeLocked()
		})
	}
	c.wakeLocked()
	return nil
}
func (c *conn) SetReadDeadline(t time.Time) error { return c.SetDeadline(t) }

// SetWriteDeadline does nothing: writing never waits.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// sever ends all streams of a life that is over: with a host that is still on
// its kernel says so to the others, without power nobody does.
func (n *network) sever(l *life, told bool) {
	n.mu.Lock()
	l.dead = true
	list := slices.SortedFunc(maps.Keys(l.conns), func(a, b *conn) int { return a.in.number - b.in.number })
	n.mu.Unlock()
	for _, c := range list {
		if told {
			c.out.send(nil, syscall.ECONNRESET)
		}
		c.fail(net.ErrClosed)
	}
}
