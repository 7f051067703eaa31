package blockdev

import (
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// OpKind is what a Queue does.
type OpKind uint8

const (
	Read OpKind = iota + 1
	Write
	Zero
	Flush
)

// Op is one operation. Done is called from a goroutine of the queue when it is over.
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

// Queue runs operations of a device: asynchronously in the kernel if they are direct I/O, in several workers else.
type Queue struct {
	dev   *Device
	wg    sync.WaitGroup
	async *async // nil without

	mu      sync.Mutex
	more    sync.Cond // operations for the workers
	flush   sync.Cond // flushes for the flusher
	ops     []*Op     // not begun, from next on
	next    int
	flushes []*Op // that wait for the next call of Sync
	// syncing are those that the kernel does now, by one operation, which is one.
	syncing []*Op
	one     Op
	spare   []*Op
	closed  bool

	fault func(*Op) error
}

// ErrClosed ends operations of a queue that was closed.
var ErrClosed = errors.New("the device was closed")

// NewQueue starts workers for a device.
func NewQueue(dev *Device, workers int) *Queue {
	q := &Queue{dev: dev}
	q.more.L, q.flush.L = &q.mu, &q.mu
	if q.async = newAsync(dev, q.asyncDone); q.async != nil {
		q.wg.Go(q.async.run)
	}
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
	if op.Kind != Flush && q.begin(op) {
		return
	}
	q.mu.Lock()
	switch {
	case q.closed:
		q.mu.Unlock()
		// The caller may hold a lock that Done wants.
		go op.Done(op, ErrClosed)
		return
	case op.Kind == Flush:
		q.flushes = append(q.flushes, op)
		q.sync()
	default:
		q.ops = append(q.ops, op)
		q.more.Signal()
	}
	q.mu.Unlock()
}

// begin has the kernel do an operation, if it can.
func (q *Queue) begin(op *Op) bool {
	if q.async == nil || q.fault != nil || !q.dev.fit(len(op.Data), op.Offset) || !isAligned(op.Data) {
		return false
	}
	switch op.Kind {
	case Read:
		return q.async.begin(op, asyncRead, op.Data, 0)
	case Write:
		flags := uint32(0)
		if op.FUA && !q.dev.noSync {
			flags = unix.RWF_DSYNC
		}
		return q.async.begin(op, asyncWrite, op.Data, flags)
	}
	return false
}

// sync begins a flush for all that wait, unless one is under way. The queue is locked.
func (q *Queue) sync() {
	if len(q.syncing) > 0 || len(q.flushes) == 0 {
		return
	}
	if q.async != nil && q.fault == nil && !q.dev.noSync {
		q.one = Op{Kind: Flush}
		if q.async.begin(&q.one, asyncDataSync, nil, 0) {
			q.syncing, q.flushes, q.spare = q.flushes, q.spare[:0], nil
			return
		}
	}
	q.flush.Signal()
}

// asyncDone is the end of an operation in the kernel.
func (q *Queue) asyncDone(op *Op, result int64) {
	errno := unix.Errno(-min(result, 0))
	if op == &q.one {
		q.synced(errno)
		return
	}
	switch {
	case result == int64(len(op.Data)):
		op.Done(op, nil)
	case result >= 0 || errno == unix.EAGAIN || errno == unix.EINVAL || errno == unix.EOPNOTSUPP:
		// Done in part, only by waiting, or not in this manner: a worker does all of it.
		if errno == unix.EOPNOTSUPP {
			q.async.refused()
		}
		q.mu.Lock()
		closed := q.closed
		if !closed {
			q.ops = append(q.ops, op)
			q.more.Signal()
		}
		q.mu.Unlock()
		if closed {
			op.Done(op, ErrClosed)
		}
	default:
		name := "write"
		if op.Kind == Read {
			name = "read"
		}
		op.Done(op, &os.PathError{Op: name, Path: q.dev.path, Err: errno})
	}
}

// synced is the end of a flush in the kernel, which is one of all that waited when it began.
func (q *Queue) synced(errno unix.Errno) {
	q.mu.Lock()
	batch, closed := q.syncing, q.closed
	q.syncing = nil
	var err error
	switch unsupported := errno == unix.EINVAL || errno == unix.EOPNOTSUPP || errno == unix.EAGAIN; {
	case unsupported && !closed:
		q.flushes = append(batch, q.flushes...)
		q.flush.Signal()
		q.mu.Unlock()
		return
	case unsupported:
		err = ErrClosed
	case errno != 0:
		err = &os.PathError{Op: "flush", Path: q.dev.path, Err: errno}
	}
	if !closed {
		q.sync()
	}
	q.mu.Unlock()
	for _, op := range batch {
		op.Done(op, err)
	}
	clear(batch)
	q.mu.Lock()
	q.spare = batch[:0]
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
	if q.async != nil {
		q.async.end()
	}
	done := make(chan struct{})
	go func() { q.wg.Wait(); close(done) }()
	select {
	case <-done:
		return true
	case <-time.After(patience):
		return false
	}
}
