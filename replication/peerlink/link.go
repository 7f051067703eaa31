package peerlink

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"gcrm/replication/blockdev"
	"gcrm/replication/promptio"
	"gcrm/replication/wire"
)

// ErrIntegrity says that data was changed on its way (data-integrity-alg).
var ErrIntegrity = errors.New("the digest of received data does not fit")

// Link is a running connection.
type Link struct {
	Resolver bool

	pool       *blockdev.Pool
	data, meta *sender
	pair       *Pair
	// integrity computes the digest of data, nil without one.
	integrity func([]byte) []byte
	dialect   atomic.Pointer[wire.Dialect]
	broken    sync.Once
	onBroken  func(error)
	closed    atomic.Bool
	received  atomic.Uint64
}

// Receiver takes what comes over a link. Data is called in the order of the data
// socket, Meta in the order of the meta socket, each from its own goroutine. A
// Message is valid until the call returns, except Data and Digest, which are the
// receiver's.
type Receiver interface {
	Data(l *Link, m *wire.Message)
	Meta(l *Link, m *wire.Message)
	// Broken is called once, unless Close came first.
	Broken(l *Link, err error)
}

// NewLink takes a pair over. Start makes it run.
func NewLink(p *Pair, pool *blockdev.Pool, timeout time.Duration) *Link {
	l := &Link{Resolver: p.Resolver, pair: p, pool: pool}
	l.dialect.Store(&wire.Dialect{})
	l.data = newSender(p.Data, 0)
	l.meta = newSender(p.Meta, timeout)
	return l
}

// Start begins to send and receive.
func (l *Link) Start(r Receiver) {
	l.onBroken = func(err error) { r.Broken(l, err) }
	go l.data.run(l.fail)
	go l.meta.run(l.fail)
	go l.read(l.pair.Data, true, r)
	go l.read(l.pair.Meta, false, r)
}

// SetDialect changes the language: from now on for what is sent, and, since the
// peer sends nothing new before it has heard the same, for what is received.
func (l *Link) SetDialect(d wire.Dialect) {
	if *l.dialect.Load() != d {
		own := d // only what is kept has to live longer
		l.dialect.Store(&own)
	}
}

// SetIntegrity makes every block carry a digest of alg from now on; the dialect must
// have its length.
func (l *Link) SetIntegrity(alg string) {
	l.integrity = func(b []byte) []byte {
		h, ok := wire.NewHash(alg)
		if !ok {
			return nil
		}
		d := h()
		d.Write(b)
		return d.Sum(nil)
	}
}

// Send queues a message on the socket it belongs to.
func (l *Link) Send(m *wire.Message) {
	d := *l.dialect.Load()
	if m.Command == wire.CmdFeatures {
		d = wire.Dialect{}
	}
	if d.IntegrityLen > 0 && m.Command.HasBlock() {
		m.Digest = l.integrity(m.Data)
	}
	s := l.data
	if m.Command.OnMeta() && !m.Command.OnData() {
		s = l.meta
	}
	s.queue(d, m)
}

// Queued is how much was given to the data socket so far; Sent how much it has
// taken. Data sent before Queued gave n is not referred to any more when Sent
// reaches n.
func (l *Link) Queued() uint64 { return l.data.queued.Load() }

// Sent is the counterpart of Queued. After the end of the connection it is the
// largest number.
func (l *Link) Sent() uint64 { return l.data.sent.Load() }

// Received counts bytes of blocks.
func (l *Link) Received() uint64 { return l.received.Load() }

// Close ends the connection; nothing is reported any more once the calls to the
// receiver that are under way have returned. What was queued, such as the consent to
// a disconnect, still goes out if the peer takes it soon.
func (l *Link) Close() {
	l.closed.Store(true)
	l.data.finish()
	l.meta.finish()
	go func() {
		limit := time.NewTimer(2 * lastWords)
		defer limit.Stop()
		defer l.end()
		for _, s := range []*sender{l.data, l.meta} {
			select {
			case <-s.ended:
			case <-limit.C:
				return
			}
		}
	}()
}

// Abort ends the connection at once.
func (l *Link) Abort() {
	l.closed.Store(true)
	l.end()
}

func (l *Link) end() {
	l.data.close()
	l.meta.close()
	l.pair.close()
}

func (l *Link) fail(err error) {
	l.broken.Do(func() {
		if !l.closed.Load() {
			l.onBroken(err)
		}
		l.end()
	})
}

func (l *Link) read(c net.Conn, onData bool, r Receiver) {
	size := 64 << 10
	if !onData {
		size = 8 << 10
	}
	in := bufio.NewReaderSize(promptio.Reader(c), size)
	f := reader{l: l, in: in, onData: onData}
	var m wire.Message
	for !l.closed.Load() {
		if err := f.next(&m); err != nil {
			if err == io.EOF {
				err = errors.New("the peer closed the connection")
			}
			l.fail(err)
			return
		}
		if l.closed.Load() {
			return
		}
		if onData {
			r.Data(l, &m)
			continue
		}
		if m.Command == wire.CmdPing {
			// Nothing may delay this.
			l.Send(&wire.Message{Command: wire.CmdPingAck})
		}
		r.Meta(l, &m)
	}
}

// reader decodes one socket.
type reader struct {
	l       *Link
	in      *bufio.Reader
	onData  bool
	scratch [256]byte
}

func (f *reader) next(m *wire.Message) error {
	// The first byte is waited for with the old dialect; the next one may be in force
	// when it comes.
	if _, err := f.in.Peek(1); err != nil {
		return err
	}
	d := *f.l.dialect.Load()
	head := f.scratch[:d.HeaderSize()]
	if _, err := io.ReadFull(f.in, head); err != nil {
		return unexpected(err)
	}
	h, err := d.DecodeHeader(head)
	if err != nil {
		return err
	}
	if f.onData && !h.Command.OnData() || !f.onData && !h.Command.OnMeta() {
		return fmt.Errorf("%w: %v on the wrong socket", wire.ErrProtocol, h.Command)
	}
	fixed := d.FixedLen(h)
	var body []byte
	if fixed <= len(f.scratch) && !h.Command.KeepsPayload() {
		body = f.scratch[:fixed]
	} else {
		body = make([]byte, fixed)
	}
	if _, err := io.ReadFull(f.in, body); err != nil {
		return unexpected(err)
	}
	n := int(h.Length) - fixed
	if n == 0 && !h.Command.HasBlock() {
		return d.Decode(h, body, m)
	}
	var data []byte
	if n > 0 {
		data = f.l.pool.Get(n)
		if _, err := io.ReadFull(f.in, data); err != nil {
			f.l.pool.Put(data)
			return unexpected(err)
		}
		f.l.received.Add(uint64(n))
	}
	if err := d.DecodeSplit(h, body, data, m); err != nil {
		f.l.pool.Put(data)
		return err
	}
	if d.IntegrityLen > 0 {
		if n > 0 && !bytes.Equal(f.l.integrity(data), m.Digest) {
			f.l.pool.Put(data)
			return ErrIntegrity
		}
		m.Digest = nil
	}
	return nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
