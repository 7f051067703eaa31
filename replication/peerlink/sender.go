package peerlink

import (
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"gcrm/replication/promptio"
	"gcrm/replication/wire"
)

// copied is the largest block that is copied into the buffer of a sender.
const copied = 8 << 10

// sender writes to one socket. Everything queued while it is busy goes out in one
// call.
type sender struct {
	conn    net.Conn
	prompt  io.Writer     // conn
	timeout time.Duration // of a write that does not get on; 0 for none

	mu     sync.Mutex
	cond   sync.Cond
	batch  batch
	spare  batch
	closed bool
	ended  chan struct{}

	queued, sent atomic.Uint64
}

// batch is a run of bytes with larger blocks spliced in.
type batch struct {
	bytes   []byte
	splices []splice
}

type splice struct {
	at   int // in bytes
	data []byte
}

func newSender(c net.Conn, timeout time.Duration) *sender {
	s := &sender{conn: c, prompt: promptio.Writer(c), timeout: timeout, ended: make(chan struct{})}
	s.cond.L = &s.mu
	return s
}

func (s *sender) queue(d wire.Dialect, m *wire.Message) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	b := &s.batch
	before := len(b.bytes)
	if m.Command.HasBlock() && len(m.Data) > copied {
		b.bytes = d.AppendHead(b.bytes, m)
		b.splices = append(b.splices, splice{len(b.bytes), m.Data})
		s.queued.Add(uint64(len(m.Data)))
	} else {
		b.bytes = d.Append(b.bytes, m)
	}
	s.queued.Add(uint64(len(b.bytes) - before))
	s.mu.Unlock()
	s.cond.Signal()
}

func (s *sender) run(fail func(error)) {
	defer close(s.ended)
	var vector net.Buffers
	for {
		s.mu.Lock()
		for len(s.batch.bytes) == 0 && !s.closed {
			s.cond.Wait()
		}
		if len(s.batch.bytes) == 0 {
			s.mu.Unlock()
			s.sent.Store(math.MaxUint64)
			return
		}
		closed := s.closed
		b := s.batch
		s.batch = s.spare
		target := s.queued.Load()
		s.mu.Unlock()
		switch {
		case closed:
			s.conn.SetWriteDeadline(time.Now().Add(lastWords))
		case s.timeout > 0:
			s.conn.SetWriteDeadline(time.Now().Add(s.timeout))
		}
		var err error
		if len(b.splices) == 0 {
			_, err = s.prompt.Write(b.bytes)
		} else {
			vector = vector[:0]
			from := 0
			for _, p := range b.splices {
				vector = append(vector, b.bytes[from:p.at], p.data)
				from = p.at
			}
			if from < len(b.bytes) {
				vector = append(vector, b.bytes[from:])
			}
			v := vector
			_, err = v.WriteTo(s.conn)
		}
		if err != nil {
			s.close()
			s.sent.Store(math.MaxUint64)
			fail(err)
			return
		}
		s.sent.Store(target)
		clear(b.splices)
		s.spare = batch{b.bytes[:0], b.splices[:0]}
		if cap(s.spare.bytes) > 4<<20 {
			s.spare = batch{}
		}
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
	s.batch = batch{}
	s.mu.Unlock()
	s.cond.Broadcast()
}
