package transport

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// A frame is: version (1 byte), kind (1), request number (8), length of the
// body (4), body. The body of a request is the length of the method's name
// (1), the name, and JSON; of an answer JSON; of a failure a JSON
// [RemoteError]; of a cancellation nothing.
const (
	frameVersion = 1
	frameHeader  = 14

	kindRequest = 1
	kindAnswer  = 2
	kindFailure = 3
	kindCancel  = 4
)

// maxInFlight bounds the requests of one connection that are at work.
const maxInFlight = 512

// writeTimeout is how long a peer may leave a frame unread before the
// connection is given up.
const writeTimeout = 10 * time.Second

// Peer is the node at the other end.
type Peer struct {
	Name        string
	Incarnation uint64
	// ID is the node's from its certificate; empty in those that have none, and
	// when a node calls itself.
	ID string
}

// Handler answers a request. The answer is encoded as JSON. ctx ends when the
// caller gives up or the connection is lost.
type Handler func(ctx context.Context, from Peer, body json.RawMessage) (any, error)

// RemoteError is an error that a handler returned. Code is what its error's
// RPCCode method said, if it has one.
type RemoteError struct {
	Code string `json:",omitempty"`
	Text string
	// Detail is what the error's RPCDetail method said, if it has one.
	Detail json.RawMessage `json:",omitempty"`
}

func (e *RemoteError) Error() string { return e.Text }

// ErrUnavailable wraps failures to reach a peer or to get its answer; whether
// the peer did what was asked is unknown.
var ErrUnavailable = errors.New("no answer from the node")

// Handle sets the handler of a method; it must be set before peers call it.
func (t *Transport) Handle(method string, h Handler) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.handlers[method] = h
}

// Call asks a node and decodes its answer into answer (nil to ignore it). A
// call of the own node is answered without a connection.
func (t *Transport) Call(ctx context.Context, node, method string, request, answer any) error {
	body, err := encodeJSON(request)
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if node == t.cfg.Node {
		raw, err = t.callSelf(ctx, method, body)
	} else {
		raw, err = t.callPeer(ctx, node, method, body)
	}
	if err != nil {
		return err
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return fmt.Errorf("%s of node %s: unreadable answer: %w", method, node, err)
	}
	return nil
}

// encodeJSON leaves < and > as they are, of which XML has many.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

func (t *Transport) handler(method string) Handler {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.handlers[method]
}

func (t *Transport) callSelf(ctx context.Context, method string, body []byte) (json.RawMessage, error) {
	h := t.handler(method)
	if h == nil {
		return nil, &RemoteError{Code: "unknown-method", Text: "unknown method " + method}
	}
	v, err := h(ctx, Peer{Name: t.cfg.Node, Incarnation: t.cfg.Incarnation}, body)
	if err != nil {
		return nil, remoteError(err)
	}
	return json.Marshal(v)
}

func remoteError(err error) *RemoteError {
	var re *RemoteError
	if errors.As(err, &re) {
		return re
	}
	re = &RemoteError{Text: err.Error()}
	var coded interface{ RPCCode() string }
	if errors.As(err, &coded) {
		re.Code = coded.RPCCode()
	}
	var detailed interface{ RPCDetail() json.RawMessage }
	if errors.As(err, &detailed) {
		re.Detail = detailed.RPCDetail()
	}
	return re
}

// peerConn is the connection to one peer for calls; it is made on demand.
type peerConn struct {
	turn chan struct{} // holds a token while somebody dials
	live *caller
}

func (t *Transport) callPeer(ctx context.Context, node, method string, body []byte) (json.RawMessage, error) {
	t.mu.Lock()
	p := t.peers[node]
	if p == nil {
		p = &peerConn{turn: make(chan struct{}, 1)}
		t.peers[node] = p
	}
	t.mu.Unlock()

	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	c := p.live
	if c == nil || c.dead() {
		conn, err := t.dial(ctx, node, purposeRPC)
		if err != nil {
			<-p.turn
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		c = newCaller(conn, t.cfg.MaxFrame)
		p.live = c
	}
	<-p.turn
	raw, err := c.call(ctx, method, body)
	var re *RemoteError
	if err != nil && !errors.As(err, &re) {
		return nil, fmt.Errorf("%w: %s of %s: %w", ErrUnavailable, method, node, err)
	}
	return raw, err
}

// caller is the client's end of a connection with any number of calls on it.
type caller struct {
	conn     net.Conn
	maxFrame int
	wmu      sync.Mutex

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan frame
	err     error
}

type frame struct {
	kind byte
	id   uint64
	body []byte
}

func newCaller(conn net.Conn, maxFrame int) *caller {
	c := &caller{conn: conn, maxFrame: maxFrame, waiting: map[uint64]chan frame{}}
	go c.read()
	return c
}

func (c *caller) dead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil
}

func (c *caller) fail(err error) {
	c.conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	for id, ch := range c.waiting {
		close(ch)
		delete(c.waiting, id)
	}
}

func (c *caller) read() {
	r := bufio.NewReader(c.conn)
	for {
		f, err := readFrame(r, c.maxFrame)
		if err != nil {
			c.fail(err)
			return
		}
		c.mu.Lock()
		ch := c.waiting[f.id]
		delete(c.waiting, f.id)
		c.mu.Unlock()
		if ch != nil {
			ch <- f
		}
	}
}

func (c *caller) call(ctx context.Context, method string, body []byte) (json.RawMessage, error) {
	if len(method) > 255 || len(body)+len(method)+1 > c.maxFrame {
		return nil, fmt.Errorf("request of %d bytes is too long", len(body))
	}
	ch := make(chan frame, 1)
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return nil, c.err
	}
	c.next++
	id := c.next
	c.waiting[id] = ch
	c.mu.Unlock()

	payload := append(append([]byte{byte(len(method))}, method...), body...)
	if err := c.write(frame{kindRequest, id, payload}); err != nil {
		c.fail(err)
		return nil, err
	}
	select {
	case f, ok := <-ch:
		if !ok {
			c.mu.Lock()
			defer c.mu.Unlock()
			return nil, fmt.Errorf("connection lost: %w", c.err)
		}
		if f.kind == kindFailure {
			re := &RemoteError{}
			if err := json.Unmarshal(f.body, re); err != nil {
				return nil, fmt.Errorf("unreadable failure: %w", err)
			}
			return nil, re
		}
		return f.body, nil
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.waiting, id)
		c.mu.Unlock()
		if err := c.write(frame{kindCancel, id, nil}); err != nil {
			c.fail(err)
		}
		return nil, ctx.Err()
	}
}

func (c *caller) write(f frame) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	return writeFrame(c.conn, f)
}

// serve answers a peer's calls until the connection ends.
func (t *Transport) serve(conn net.Conn, from Peer) {
	ctx, cancel := context.WithCancel(t.ctx)
	var handlers sync.WaitGroup
	var wmu, mu sync.Mutex
	cancels := map[uint64]context.CancelFunc{}
	slots := make(chan struct{}, maxInFlight)
	defer func() {
		cancel()
		conn.Close()
		handlers.Wait()
	}()
	r := bufio.NewReader(conn)
	for {
		f, err := readFrame(r, t.cfg.MaxFrame)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				t.cfg.Log.Debug("connection lost", "peer", from.Name, "err", err)
			}
			return
		}
		if f.kind == kindCancel {
			mu.Lock()
			if stop := cancels[f.id]; stop != nil {
				stop()
			}
			mu.Unlock()
			continue
		}
		if f.kind != kindRequest || len(f.body) < 1 || len(f.body) < 1+int(f.body[0]) {
			t.cfg.Log.Warn("malformed request", "peer", from.Name)
			return
		}
		n := 1 + int(f.body[0])
		method, body := string(f.body[1:n]), f.body[n:]
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		rctx, stop := context.WithCancel(ctx)
		mu.Lock()
		cancels[f.id] = stop
		mu.Unlock()
		handlers.Go(func() {
			answer := t.answer(rctx, from, f.id, method, body)
			mu.Lock()
			delete(cancels, f.id)
			mu.Unlock()
			stop()
			wmu.Lock()
			conn.SetWriteDeadline(time.Now().Add(writeTimeout))
			err := writeFrame(conn, answer)
			wmu.Unlock()
			if err != nil {
				conn.Close()
			}
			<-slots
		})
	}
}

func (t *Transport) answer(ctx context.Context, from Peer, id uint64, method string, body []byte) frame {
	fail := func(err error) frame {
		b, _ := json.Marshal(remoteError(err))
		return frame{kindFailure, id, b}
	}
	h := t.handler(method)
	if h == nil {
		return fail(&RemoteError{Code: "unknown-method", Text: "unknown method " + method})
	}
	v, err := h(ctx, from, body)
	if err != nil {
		return fail(err)
	}
	b, err := encodeJSON(v)
	if err != nil {
		return fail(err)
	}
	if len(b) > t.cfg.MaxFrame {
		return fail(fmt.Errorf("answer of %d bytes is too long", len(b)))
	}
	return frame{kindAnswer, id, b}
}

func writeFrame(w io.Writer, f frame) error {
	b := make([]byte, 0, frameHeader+len(f.body))
	b = append(b, frameVersion, f.kind)
	b = binary.BigEndian.AppendUint64(b, f.id)
	b = binary.BigEndian.AppendUint32(b, uint32(len(f.body)))
	_, err := w.Write(append(b, f.body...))
	return err
}

// readFrame reads one frame. Memory grows with what really arrives, not with
// what the header promises.
func readFrame(r io.Reader, limit int) (frame, error) {
	var h [frameHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return frame{}, err
	}
	if h[0] != frameVersion {
		return frame{}, fmt.Errorf("frame of unknown version %d", h[0])
	}
	n := binary.BigEndian.Uint32(h[10:])
	if int64(n) > int64(limit) {
		return frame{}, fmt.Errorf("frame of %d bytes is too long", n)
	}
	f := frame{kind: h[1], id: binary.BigEndian.Uint64(h[2:])}
	if n <= 64<<10 {
		f.body = make([]byte, n)
		_, err := io.ReadFull(r, f.body)
		return f, err
	}
	body, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && len(body) < int(n) {
		err = io.ErrUnexpectedEOF
	}
	f.body = body
	return f, err
}
