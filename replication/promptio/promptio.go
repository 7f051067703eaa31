// Package promptio reads and writes connections and event descriptors with system calls that the Go runtime does
// not hear of. It is used by the rooms that carry requests: nbd, peerlink and blockdev.
//
// A descriptor in the runtime's poller never blocks: a call on it gives what there is and returns. All the same the
// runtime takes each for one that may block: the first after a pause wakes its watcher (sysmon), which from then on
// looks every twenty microseconds whether a processor has to be taken away. A process that does little work often,
// as one that serves a request at a time, spends more on being watched than on its work. What waits, waits in the
// poller, and deadlines hold, as ever.
//
// The contract: one goroutine reads and one writes at a time. Large pieces, whose copying takes long enough to hold
// up the collector, go the usual way.
package promptio

import (
	"cmp"
	"io"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// small is the largest piece that goes out or comes in by one call unheard, in bytes: a tenth of a millisecond.
const small = 1 << 20

// Reader gives a reader of c's descriptor, or c itself if it has none (TLS).
func Reader(c io.Reader) io.Reader {
	raw := rawConn(c)
	if raw == nil {
		return c
	}
	r := &reader{usual: c}
	r.wait, r.try = raw.Read, r.once
	return r
}

// Writer gives a writer to c's descriptor, or c itself if it has none (TLS).
func Writer(c io.Writer) io.Writer {
	raw := rawConn(c)
	if raw == nil {
		return c
	}
	w := &writer{usual: c}
	w.wait, w.try = raw.Write, w.once
	return w
}

func rawConn(c any) syscall.RawConn {
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// transfer is the piece that is being read or written. Its functions are made one time.
type transfer struct {
	wait func(try func(fd uintptr) bool) error // tries again, whenever the descriptor is ready, until that says true
	try  func(fd uintptr) bool

	b   []byte
	n   int
	err error
}

func (t *transfer) do(b []byte) (int, error) {
	t.b, t.n, t.err = b, 0, nil
	err := t.wait(t.try)
	t.b = nil
	return t.n, cmp.Or(err, t.err)
}

type reader struct {
	usual io.Reader
	transfer
}

func (r *reader) Read(b []byte) (int, error) {
	if len(b) == 0 || len(b) > small {
		return r.usual.Read(b)
	}
	n, err := r.do(b)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// once reads; false says that there is nothing yet.
func (r *reader) once(fd uintptr) bool {
	n, errno := call(unix.SYS_READ, fd, r.b)
	switch errno {
	case 0:
		r.n = n
	case unix.EAGAIN:
		return false
	default:
		r.err = errno
	}
	return true
}

type writer struct {
	usual io.Writer
	transfer
}

func (w *writer) Write(b []byte) (int, error) {
	if len(b) == 0 || len(b) > small {
		return w.usual.Write(b)
	}
	return w.do(b)
}

// once writes until all is out; false says that there is no room.
func (w *writer) once(fd uintptr) bool {
	for w.n < len(w.b) {
		n, errno := call(unix.SYS_WRITE, fd, w.b[w.n:])
		switch errno {
		case 0:
			w.n += n
		case unix.EAGAIN:
			return false
		default:
			w.err = errno
			return true
		}
	}
	return true
}

func call(number, fd uintptr, b []byte) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall(number, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}
