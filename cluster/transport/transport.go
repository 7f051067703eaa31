package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is given by everything after Close.
var ErrClosed = errors.New("transport is closed")

// Config is what a transport needs to know.
type Config struct {
	Cluster, Node string
	// Incarnation of this node: a number that grows with every start.
	Incarnation uint64
	// Epoch of the electorate at start; [Transport.SetEpoch] raises it.
	Epoch       uint64
	Credentials Credentials
	// Listener is the node's port; the transport owns it from now on.
	Listener net.Listener
	// Resolve gives the addresses (host:port) of a node, the best first.
	Resolve func(node string) []string
	// Build is the version of gcrm, for people.
	Build string
	// Met, if set, is told what every accepted peer says of itself.
	Met func(Hello)
	// Judge, if set, may refuse a peer for reasons of the caller's.
	Judge func(Hello) *Refusal
	// NewerEpoch, if set, is called in a goroutine of its own when a peer
	// turns out to be of a newer epoch.
	NewerEpoch func(peer string, epoch uint64)
	// Refused, if set, is called in a goroutine of its own when a peer refuses
	// this node for another reason.
	Refused func(peer string, r *Refusal)
	// Join, if set, answers a stranger who wants to become a member; see
	// [Join].
	Join func(ctx context.Context, request []byte) (answer []byte, err error)
	// Cut, if set, tells whether traffic with a peer is to be lost; for
	// tests of partitions.
	Cut func(peer string) bool
	// Dial makes the connections under TLS; TCP if nil.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// HandshakeTimeout bounds TLS and hello; 0 means 5 s.
	HandshakeTimeout time.Duration
	// MaxFrame bounds one request or answer; 0 means 64 MiB.
	MaxFrame int
	Log      *slog.Logger
}

// Transport is a node's port and its connections to other nodes.
type Transport struct {
	cfg    Config
	creds  atomic.Pointer[Credentials]
	epoch  atomic.Uint64
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	streams   chan net.Conn
	door      atomic.Pointer[door]
	strangers crowd

	mu       sync.Mutex
	barred   map[string]int // how often each peer is
	conns    map[net.Conn]known
	made     int // conns
	peers    map[string]*peerConn
	handlers map[string]Handler
}

// Listen starts to accept connections on cfg.Listener.
func Listen(cfg Config) (*Transport, error) {
	if cfg.Node == "" || cfg.Listener == nil || cfg.Resolve == nil || cfg.Credentials.Authority == nil {
		return nil, errors.New("transport: node, listener, resolver and credentials are needed")
	}
	if cfg.HandshakeTimeout == 0 {
		cfg.HandshakeTimeout = 5 * time.Second
	}
	if cfg.MaxFrame == 0 {
		cfg.MaxFrame = 64 << 20
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		}
	}
	t := &Transport{cfg: cfg, streams: make(chan net.Conn),
		barred: map[string]int{}, conns: map[net.Conn]known{}, peers: map[string]*peerConn{}, handlers: map[string]Handler{}}
	t.creds.Store(&cfg.Credentials)
	t.epoch.Store(cfg.Epoch)
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.wg.Go(t.accept)
	return t, nil
}

// Addr is the address the transport listens on.
func (t *Transport) Addr() net.Addr { return t.cfg.Listener.Addr() }

// Node is the name of this node.
func (t *Transport) Node() string { return t.cfg.Node }

// Rotate replaces the node's certificate for connections made from now on.
func (t *Transport) Rotate(c Credentials) { t.creds.Store(&c) }

// Epoch returns the epoch that the transport says and demands.
func (t *Transport) Epoch() uint64 { return t.epoch.Load() }

// SetEpoch raises the epoch and drops all connections; lowering does nothing.
func (t *Transport) SetEpoch(epoch uint64) {
	for {
		old := t.epoch.Load()
		if epoch <= old {
			return
		}
		if t.epoch.CompareAndSwap(old, epoch) {
			break
		}
	}
	t.dropAll(func(string) bool { return true })
}

// Disconnect drops all connections with a peer.
func (t *Transport) Disconnect(peer string) {
	t.dropAll(func(p string) bool { return p == peer })
}

// Bar keeps a peer out until lift is called: what it sends after Bar returned
// is not heard, and it hears nothing.
func (t *Transport) Bar(peer string) (lift func()) {
	t.mu.Lock()
	t.barred[peer]++
	t.mu.Unlock()
	t.Disconnect(peer)
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.barred[peer]--; t.barred[peer] == 0 {
			delete(t.barred, peer)
		}
	})
}

func (t *Transport) dropAll(which func(peer string) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	// The oldest first, so that a simulation does the same every time.
	for _, c := range slices.SortedFunc(maps.Keys(t.conns), func(a, b net.Conn) int { return t.conns[a].number - t.conns[b].number }) {
		if which(t.conns[c].peer) {
			c.Close()
		}
	}
}

// known is what the transport knows of a connection.
type known struct {
	peer   string
	number int
}

// Close ends all connections at once and stops listening.
func (t *Transport) Close() error {
	t.cancel()
	err := t.cfg.Listener.Close()
	t.dropAll(func(string) bool { return true })
	t.wg.Wait()
	return err
}

func (t *Transport) self(p Purpose) Hello {
	return Hello{Version: ProtocolVersion, Cluster: t.cfg.Cluster, Node: t.cfg.Node,
		Incarnation: t.cfg.Incarnation, Epoch: t.epoch.Load(), Purpose: p, Build: t.cfg.Build}
}

func (t *Transport) tlsConfig(serves ...string) *tls.Config {
	c := t.creds.Load()
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{c.Certificate},
		RootCAs:      c.Authority,
		ClientCAs:    c.Authority,
		// Only who wants to join comes without a certificate; see greet.
		ClientAuth: tls.VerifyClientCertIfGiven,
		// Administrators choose the API by it; nodes do not choose.
		NextProtos: serves,
		// Connections live long; tickets would only keep old certificates alive.
		SessionTicketsDisabled: true,
	}
}

// register makes conn known for dropping; false if the transport is closed or
// the peer is barred.
func (t *Transport) register(conn net.Conn, peer string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx.Err() != nil || t.barred[peer] > 0 {
		return false
	}
	t.made++
	t.conns[conn] = known{peer, t.made}
	return true
}

func (t *Transport) forget(conn net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, conn)
}

func (t *Transport) cut(peer string) bool {
	t.mu.Lock()
	barred := t.barred[peer] > 0
	t.mu.Unlock()
	return barred || t.cfg.Cut != nil && t.cfg.Cut(peer)
}

func (t *Transport) accept() {
	for {
		raw, err := t.cfg.Listener.Accept()
		if err != nil {
			if t.ctx.Err() != nil {
				return
			}
			// Out of file descriptors and the like: the port must survive it.
			t.cfg.Log.Error("cannot accept connections", "err", err)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-t.ctx.Done():
			}
			continue
		}
		leave, ok := t.strangers.enter(raw.RemoteAddr())
		if !ok {
			raw.Close()
			continue
		}
		t.wg.Go(func() {
			defer leave()
			t.greet(raw)
		})
	}
}

// greet takes a fresh connection through TLS and hello.
func (t *Transport) greet(raw net.Conn) {
	deadline := time.Now().Add(t.cfg.HandshakeTimeout)
	raw.SetDeadline(deadline)
	if !t.register(raw, "") {
		raw.Close()
		return
	}
	conn := tls.Server(raw, t.tlsConfig(apiProtocol))
	fail := func(err error) {
		t.forget(raw)
		raw.Close()
		if t.ctx.Err() == nil {
			t.cfg.Log.Warn("connection refused", "from", raw.RemoteAddr().String(), "err", err)
		}
	}
	if err := conn.HandshakeContext(t.ctx); err != nil {
		fail(fmt.Errorf("TLS: %w", err))
		return
	}
	if len(conn.ConnectionState().PeerCertificates) == 0 {
		if err := t.meet(conn); err != nil {
			fail(err)
			return
		}
		t.forget(raw)
		conn.Close()
		return
	}
	leaf := conn.ConnectionState().PeerCertificates[0]
	if conn.ConnectionState().NegotiatedProtocol == apiProtocol {
		if err := t.letIn(conn, leaf); err != nil {
			fail(err)
			return
		}
		t.forget(raw)
		return
	}
	name := leaf.Subject.CommonName
	if err := leaf.VerifyHostname(serverName(name)); err != nil {
		fail(fmt.Errorf("%w: this certificate is not a node's", ErrStranger))
		return
	}
	if t.cut(name) {
		fail(errors.New("link is cut"))
		return
	}
	h, err := t.hearHello(conn, name)
	if err != nil {
		fail(err)
		return
	}
	conn.SetDeadline(time.Time{})
	t.forget(raw)
	c := &trackedConn{Conn: conn, t: t}
	if !t.register(c, h.Node) {
		conn.Close()
		return
	}
	switch h.Purpose {
	case purposeRaft:
		select {
		case t.streams <- c:
		case <-t.ctx.Done():
			c.Close()
		}
	case purposeRPC:
		t.wg.Go(func() { t.serve(c, Peer{Name: h.Node, Incarnation: h.Incarnation, ID: h.ID}) })
	default:
		c.Close()
	}
}

// dial connects to a peer over the first of its addresses that answers.
func (t *Transport) dial(ctx context.Context, peer string, purpose Purpose) (net.Conn, error) {
	if t.ctx.Err() != nil {
		return nil, ErrClosed
	}
	if t.cut(peer) {
		return nil, fmt.Errorf("no route to node %s", peer)
	}
	addrs := t.cfg.Resolve(peer)
	if len(addrs) == 0 {
		return nil, fmt.Errorf("no address is known for node %s", peer)
	}
	var errs []error
	for _, addr := range addrs {
		conn, err := t.dialAddr(ctx, peer, addr, purpose)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, fmt.Errorf("node %s at %s: %w", peer, addr, err))
	}
	return nil, errors.Join(errs...)
}

func (t *Transport) dialAddr(ctx context.Context, peer, addr string, purpose Purpose) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.HandshakeTimeout)
	defer cancel()
	stop := context.AfterFunc(t.ctx, cancel)
	defer stop()
	raw, err := t.cfg.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	cfg := t.tlsConfig()
	cfg.ServerName = serverName(peer)
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("TLS: %w", err)
	}
	if d, ok := ctx.Deadline(); ok {
		conn.SetDeadline(d)
	}
	release := context.AfterFunc(ctx, func() { raw.Close() })
	_, err = t.sayHello(conn, peer, purpose)
	if !release() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	c := &trackedConn{Conn: conn, t: t}
	if !t.register(c, peer) {
		conn.Close()
		return nil, ErrClosed
	}
	return c, nil
}

// trackedConn is a connection that the transport can drop.
type trackedConn struct {
	*tls.Conn
	t    *Transport
	once sync.Once
}

// Close drops the connection without waiting for the peer.
func (c *trackedConn) Close() error {
	var err error
	c.once.Do(func() {
		err = c.NetConn().Close()
		go c.t.forget(c)
	})
	return err
}

// Streams is the listener and dialler of raw streams between nodes; peers are
// named by node, not by address.
type Streams struct{ t *Transport }

// Streams returns the transport's stream layer.
func (t *Transport) Streams() Streams { return Streams{t} }

// Accept waits for the next stream from a peer.
func (s Streams) Accept() (net.Conn, error) { return s.AcceptUntil(nil) }

// AcceptUntil is Accept that also ends when stop is closed.
func (s Streams) AcceptUntil(stop <-chan struct{}) (net.Conn, error) {
	select {
	case c := <-s.t.streams:
		return c, nil
	case <-stop:
		return nil, ErrClosed
	case <-s.t.ctx.Done():
		return nil, ErrClosed
	}
}

// Addr returns the transport's address.
func (s Streams) Addr() net.Addr { return s.t.Addr() }

// Dial opens a stream to a node.
func (s Streams) Dial(ctx context.Context, node string) (net.Conn, error) {
	return s.t.dial(ctx, node, purposeRaft)
}
