package peerlink

import (
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"gcrm/replication/promptio"
	"gcrm/replication/wire"
)

// sender writes to one socket. Everything queued while it is busy goes out in one
// call.
type sender struct {
	conn    net.Conn
	timeout time.Duration // of a write that does not get on; 0 for none

	mu     sync.Mutex
	cond   sync.Cond
	ready  promptio.Batch
	spare  promptio.Batch
	closed bool
	ended  chan struct{}

	queued, sent atomic.Uint64
}

// keptRoom is what a batch keeps for the next one, in bytes.
const keptRoom = 4 << 20

func newSender(c net.Conn, timeout time.Duration) *sender {
	s := &sender{conn: c, timeout: timeout, ended: make(chan struct{})}
	s.cond.L = &s.mu
	return s
}

func (s *sender) queue(d wire.Dialect, m *wire.Message) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	b, n := &s.ready, len(s.ready.Bytes)
	if m.Command.HasBlock() {
		b.Bytes = d.AppendHead(b.Bytes, m)
		n = len(b.Bytes) - n + len(m.Data)
		b.Block(m.Data)
	} else {
		b.Bytes = d.Append(b.Bytes, m)
		n = len(b.Bytes) - n
	}
	s.queued.Add(uint64(n))
	s.mu.Unlock()
	s.cond.Signal()
}

func (s *sender) run(fail func(error)) {
	defer close(s.ended)
	w := promptio.NewBatchWriter(s.conn)
	for {
		s.mu.Lock()
		for len(s.ready.Bytes) == 0 && !s.closed {
			s.cond.Wait()
		}
		if len(s.ready.Bytes) == 0 {
			s.mu.Unlock()
			s.sent.Store(math.MaxUint64)
			return
		}
		closed := s.closed
		out := s.ready
		s.ready, s.spare = s.spare, promptio.Batch{}
		target := s.queued.Load()
		s.mu.Unlock()
		switch {
		case closed:
			s.conn.SetWriteDeadline(time.Now().Add(lastWords))
		case s.timeout > 0:
			s.conn.SetWriteDeadline(time.Now().Add(s.timeout))
		}
		err := w.Write(&out)
		if err != nil {
			s.close()
			s.sent.Store(math.MaxUint64)
			fail(err)
			return
		}
		s.sent.Store(target)
		out.Reset(keptRoom, nil)
		s.spare = out
	}
}

// lastWords is how long what was queued before the end may take.
const lastWords = 500 * time.Millisecond

// finish takes nothing more; what is queued still goes out.
func (s *sender) finish() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cond.Broadcast()
}

// close drops what is queued.
func (s *sender) close() {
	s.mu.Lock()
	s.closed = true
	s.ready = promptio.Batch{}
	s.mu.Unlock()
	s.cond.Broadcast()
}
