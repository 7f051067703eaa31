package rpc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Options tune a connection; the zero value is what libvirt's own clients do.
type Options struct {
	// Silence is after how long without a byte from the daemon a ping is
	// sent, Misses after how many unanswered ones the connection is given up;
	// 5 s and 5 if zero.
	Silence time.Duration
	Misses  int
	// Events is how many events wait to be read; 64 if zero.
	Events int
}

// ErrClosed says that the connection is gone: the daemon ended (they do when
// idle), the network broke, or Close was called. Whether a call that was
// under way took effect is unknown.
var ErrClosed = errors.New("connection to the libvirt daemon is closed")

// Conn is a connection to a daemon, safe for concurrent use. The daemon
// reads no more than five unanswered calls of one connection.
type Conn struct {
	stream  io.ReadWriteCloser
	options Options
	events  chan Lifecycle

	write sync.Mutex // held for one message

	mu       sync.Mutex
	serial   uint32
	pending  map[uint32]chan answer
	err      error
	heard    time.Time
	misses   int
	overflow bool
	done     chan struct{}
}

type answer struct {
	payload []byte
	err     error
}

// NewConn takes over a stream on which the daemon waits for the first call.
func NewConn(stream io.ReadWriteCloser, o Options) *Conn {
	if o.Silence <= 0 {
		o.Silence = 5 * time.Second
	}
	if o.Misses <= 0 {
		o.Misses = 5
	}
	if o.Events <= 0 {
		o.Events = 64
	}
	c := &Conn{stream: stream, options: o, events: make(chan Lifecycle, o.Events),
		pending: map[uint32]chan answer{}, heard: time.Now(), done: make(chan struct{})}
	go c.read()
	go c.watch()
	return c
}

// Events delivers lifecycle events after SubscribeLifecycle; the channel is
// closed with the connection. When Overflowed tells true, events were left
// out: list the domains anew.
func (c *Conn) Events() <-chan Lifecycle { return c.events }

// Overflowed tells whether events were left out since it was last asked.
func (c *Conn) Overflowed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.overflow
	c.overflow = false
	return was
}

// Done is closed with the connection.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Close ends the connection. A migration under way goes on in the daemon.
func (c *Conn) Close() error {
	c.fail(ErrClosed)
	return nil
}

func (c *Conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	if !errors.Is(err, ErrClosed) {
		err = fmt.Errorf("%w: %w", ErrClosed, err)
	}
	c.err = err
	for _, ch := range c.pending {
		ch <- answer{err: err}
	}
	clear(c.pending)
	close(c.done)
	c.stream.Close()
}

// read is the one reader.
func (c *Conn) read() {
	defer close(c.events)
	r := bufio.NewReader(c.stream)
	for {
		h, payload, err := ReadMessage(r)
		if err != nil {
			c.fail(err)
			return
		}
		c.mu.Lock()
		c.heard, c.misses = time.Now(), 0
		c.mu.Unlock()
		switch {
		case h.Program == ProgramKeepalive && h.Procedure == keepalivePing:
			// Aside, so that a daemon that does not read cannot stop us reading.
			go func() { _ = c.send(Header{Program: ProgramKeepalive, Procedure: keepalivePong, Kind: Message}, nil) }()
		case h.Program == ProgramRemote && h.Kind == Reply:
			c.route(h, payload)
		case h.Program == ProgramRemote && h.Kind == Message && h.Procedure == procEventLifecycle:
			d := NewDecoder(payload)
			event := d.Lifecycle()
			if d.Err() != nil {
				c.fail(fmt.Errorf("lifecycle event: %w", d.Err()))
				return
			}
			select {
			case c.events <- event:
			default:
				c.mu.Lock()
				c.overflow = true
				c.mu.Unlock()
			}
		}
	}
}

func (c *Conn) route(h Header, payload []byte) {
	c.mu.Lock()
	ch := c.pending[h.Serial]
	delete(c.pending, h.Serial)
	c.mu.Unlock()
	if ch == nil {
		return // its caller did not wait for it
	}
	if h.Status == StatusOK {
		ch <- answer{payload: payload}
		return
	}
	d := NewDecoder(payload)
	e := d.Error()
	if d.Err() != nil {
		ch <- answer{err: fmt.Errorf("error reply of the libvirt daemon cannot be read: %w", d.Err())}
		return
	}
	ch <- answer{err: e}
}

// watch sends pings into silence and gives a dead connection up.
func (c *Conn) watch() {
	ticker := time.NewTicker(c.options.Silence)
	defer ticker.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-ticker.C:
		}
		c.mu.Lock()
		silent := time.Since(c.heard) >= c.options.Silence*9/10
		if silent {
			c.misses++
		}
		misses := c.misses
		c.mu.Unlock()
		switch {
		case !silent:
		case misses > c.options.Misses:
			c.fail(fmt.Errorf("no sign of life for %v", time.Duration(misses)*c.options.Silence))
			return
		default:
			go func() { _ = c.send(Header{Program: ProgramKeepalive, Procedure: keepalivePing, Kind: Message}, nil) }()
		}
	}
}

func (c *Conn) send(h Header, payload []byte) error {
	h.Version = version
	message := h.Append(nil, payload)
	c.write.Lock()
	defer c.write.Unlock()
	if _, err := c.stream.Write(message); err != nil {
		c.fail(err)
		return err
	}
	return nil
}

// Invoke makes one call and returns the payload of the reply. If ctx is done
// first the call goes on in the daemon and its reply is dropped.
func (c *Conn) Invoke(ctx context.Context, procedure uint32, payload []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if HeaderSize+len(payload) > MaxMessage {
		return nil, fmt.Errorf("call of %d bytes is longer than libvirt takes", len(payload))
	}
	ch := make(chan answer, 1)
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return nil, c.err
	}
	serial := c.serial
	c.serial++
	c.pending[serial] = ch
	c.mu.Unlock()
	// A daemon that reads nothing must not hold the caller beyond ctx.
	go func() {
		_ = c.send(Header{Program: ProgramRemote, Procedure: procedure, Kind: Call, Serial: serial}, payload)
	}()
	select {
	case a := <-ch:
		return a.payload, a.err
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.pending, serial)
		c.mu.Unlock()
		return nil, ctx.Err()
	}
}

// Is tells whether err is an error reply with one of the codes.
func Is(err error, codes ...Code) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	for _, c := range codes {
		if e.Code == c {
			return true
		}
	}
	return false
}

// IsNoDomain tells that the daemon knows no such domain: it is not running.
func IsNoDomain(err error) bool { return Is(err, CodeNoDomain) }

// IsWrongState tells that a call does not fit the domain's state.
func IsWrongState(err error) bool { return Is(err, CodeOperationInvalid) }

// IsUnsupported tells that the hypervisor's driver has no such call.
func IsUnsupported(err error) bool { return Is(err, CodeNoSupport, CodeOperationUnsupported) }

// IsBusy tells that another job holds the domain: try again.
func IsBusy(err error) bool { return Is(err, CodeOperationTimeout, CodeResourceBusy) }

// IsLost tells that the connection broke, so that the effect of the call is
// unknown.
func IsLost(err error) bool { return errors.Is(err, ErrClosed) }
