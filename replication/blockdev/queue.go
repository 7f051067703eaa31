package blockdev

import (
	"errors"
	"sync"
	"time"
)

// OpKind is what a Queue does.
type OpKind uint8

const (
	Read OpKind = iota + 1
	Write
	Zero
	Flush
)

// Op is one operation. Done is called from a worker when it is over.
type Op struct {
	Kind    OpKind
	Offset  int64
	Size    uint32 // of Zero
	Data    []byte // to write, or to read into
	FUA     bool
	Discard bool
	Tag     uint64
	Mark    bool // the caller's
	Done    func(op *Op, err error)
}

// Queue runs operations of a device in several workers.
type Queue struct {
	dev *Device
	wg  sync.WaitGroup

	mu      sync.Mutex
	more    sync.Cond // operations for the workers
	flush   sync.Cond // flushes for the flusher
	ops     []*Op     // not begun, from next on
	next    int
	flushes []*Op // that wait for the next call of Sync
	closed  bool

	fault func(*Op) error
}

// ErrClosed ends operations of a queue that was closed.
var ErrClosed = errors.New("the device was closed")

// NewQueue starts workers for a device.
func NewQueue(dev *Device, workers int) *Queue {
	q := &Queue{dev: dev}
	q.more.L, q.flush.L = &q.mu, &q.mu
	for range max(1, workers) {
		q.wg.Go(q.work)
	}
	q.wg.Go(q.flusher)
	return q
}

// Inject makes fault decide, before each operation, whether it fails. For tests of
// what lies above; call it before the first operation.
func (q *Queue) Inject(fault func(*Op) error) { q.fault = fault }

// Submit queues an operation; it does not block.
func (q *Queue) Submit(op *Op) {
	q.mu.Lock()
	switch {
	case q.closed:
		q.mu.Unlock()
		// The caller may hold a lock that Done wants.
		go op.Done(op, ErrClosed)
		return
	case op.Kind == Flush:
		q.flushes = append(q.flushes, op)
		q.flush.Signal()
	default:
		q.ops = append(q.ops, op)
		q.more.Signal()
	}
	q.mu.Unlock()
}

func (q *Queue) work() {
	for {
		q.mu.Lock()
		for q.next == len(q.ops) && !q.closed {
			q.more.Wait()
		}
		if q.next == len(q.ops) {
			q.mu.Unlock()
			return
		}
		op, closed := q.ops[q.next], q.closed
		q.ops[q.next] = nil
		if q.next++; q.next == len(q.ops) {
			q.ops, q.next = q.ops[:0], 0
		} else if q.next > 1024 {
			q.ops, q.next = q.ops[:copy(q.ops, q.ops[q.next:])], 0
		}
		q.mu.Unlock()
		err := error(ErrClosed)
		if !closed {
			err = q.do(op)
		}
		op.Done(op, err)
	}
}

func (q *Queue) do(op *Op) error {
	if q.fault != nil {
		if err := q.fault(op); err != nil {
			return err
		}
	}
	switch op.Kind {
	case Read:
		_, err := q.dev.ReadAt(op.Data, op.Offset)
		return err
	case Write:
		if op.FUA {
			return q.dev.WriteDurable(op.Data, op.Offset)
		}
		_, err := q.dev.WriteAt(op.Data, op.Offset)
		return err
	case Zero:
		err := q.dev.Zero(op.Offset, op.Size, op.Discard)
		if err == nil && op.FUA {
			err = q.dev.Sync()
		}
		return err
	}
	return errors.New("unknown operation")
}

// flusher serves all flushes that wait with one call; those that come meanwhile wait
// for the next.
func (q *Queue) flusher() {
	var batch []*Op
	for {
		q.mu.Lock()
		for len(q.flushes) == 0 && !q.closed {
			q.flush.Wait()
		}
		batch, q.flushes = q.flushes, batch[:0]
		closed := q.closed
		q.mu.Unlock()
		err := error(ErrClosed)
		switch {
		case closed && len(batch) == 0:
			return
		case !closed:
			err = nil
			for _, op := range batch {
				if q.fault != nil && err == nil {
					err = q.fault(op)
				}
			}
			if err == nil {
				err = q.dev.Sync()
			}
		}
		for i, op := range batch {
			batch[i] = nil
			op.Done(op, err)
		}
	}
}

// Close ends the queue. Operations under way are finished, up to patience long; the
// rest end with ErrClosed. It gives false when operations are still under way after
// that: the device must stay open then.
func (q *Queue) Close(patience time.Duration) bool {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return true
	}
	q.closed = true
	q.more.Broadcast()
	q.flush.Broadcast()
	q.mu.Unlock()
	done := make(chan struct{})
	go func() { q.wg.Wait(); close(done) }()
	select {
	case <-done:
		return true
	case <-time.After(patience):
		return false
	}
}
