package fusefile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"gcrm/replication/volume"
)

// Device is what the file shows; *volume.Volume is one.
type Device interface {
	Open() error
	Release()
	Size() uint64
	Buffer(n int) []byte
	Free(b []byte)
	Submit(r *volume.Request)
}

// Server answers the requests of one file.
type Server struct {
	fd   int
	dev  Device
	jobs sync.Pool
	// opens counts the opens that were not released.
	opens atomic.Int64
	wg    sync.WaitGroup
	stop  atomic.Bool
}

var le = binary.LittleEndian

// job is one request that waits for the volume.
type job struct {
	s      *Server
	unique uint64
	parts  []volume.Request
	one    [1]volume.Request
	left   atomic.Int32
	failed atomic.Bool
	gone   atomic.Bool
	head   [headerOut + 8]byte
}

// New takes a channel over.
func New(channel *os.File, dev Device) *Server {
	s := &Server{fd: int(channel.Fd()), dev: dev}
	s.jobs.New = func() any { return new(job) }
	return s
}

// Resume asks for what a predecessor left unanswered. The file counts as open, since
// only then there can be anything.
func (s *Server) Resume() error {
	if s.dev.Open() == nil {
		s.opens.Add(1)
	}
	var b [headerOut]byte
	le.PutUint32(b[:], headerOut)
	le.PutUint32(b[4:], notifyResend)
	if _, err := unix.Write(s.fd, b[:]); err != nil {
		return fmt.Errorf("requests of the process before this one are lost (the kernel cannot send them again): %w", err)
	}
	return nil
}

// Grown makes the kernel ask for the size of the file again.
func (s *Server) Grown() {
	var b [headerOut + 24]byte
	le.PutUint32(b[:], uint32(len(b)))
	le.PutUint32(b[4:], notifyInvalidate)
	le.PutUint64(b[headerOut:], 1)            // inode
	le.PutUint64(b[headerOut+8:], ^uint64(0)) // -1: its attributes only
	_, _ = unix.Write(s.fd, b[:])             // no file is open, no size is known
}

// readers is how many goroutines take requests.
const readers = 4

// Serve answers until the file is unmounted.
func (s *Server) Serve() error {
	errs := make(chan error, readers)
	for range readers {
		s.wg.Go(func() { errs <- s.read() })
	}
	s.wg.Wait()
	close(errs)
	var all error
	for err := range errs {
		all = errors.Join(all, err)
	}
	return all
}

func (s *Server) read() error {
	head := make([]byte, writeHead)
	data := s.dev.Buffer(maxTransfer)
	defer func() { s.dev.Free(data) }()
	for !s.stop.Load() {
		n, err := unix.Readv(s.fd, [][]byte{head, data})
		switch {
		case err == unix.EINTR, err == unix.ENOENT, err == unix.EAGAIN:
			continue
		case err == unix.ENODEV:
			return nil // unmounted
		case err != nil:
			return fmt.Errorf("FUSE: %w", err)
		case n < headerIn || int(le.Uint32(head)) != n:
			return fmt.Errorf("FUSE: a request of %d bytes", n)
		}
		if s.request(head, data, n) {
			data = s.dev.Buffer(maxTransfer)
		}
	}
	return nil
}

// smallWrite is copied, so that it does not keep a large buffer.
const smallWrite = 128 << 10

// request handles one request; it gives true when data was passed on.
func (s *Server) request(head, data []byte, n int) bool {
	unique, body := le.Uint64(head[8:]), head[headerIn:]
	switch op := le.Uint32(head[4:]); op {
	case opInit:
		s.init(unique, body)
	case opGetattr, opSetattr:
		// The size cannot be changed from here; the rest does not matter.
		s.reply(unique, s.attributes())
	case opOpen:
		if err := s.dev.Open(); err != nil {
			s.fail(unique, unix.EROFS)
			break
		}
		s.opens.Add(1)
		var out [16]byte
		le.PutUint32(out[8:], openDirectIO|openParallelDIO)
		s.reply(unique, out[:])
	case opRelease:
		if s.opens.Add(-1) >= 0 {
			s.dev.Release()
		} else {
			s.opens.Add(1)
		}
		s.reply(unique, nil)
	case opRead:
		s.submit(unique, volume.Request{Kind: volume.Read}, le.Uint64(body[8:]), uint64(le.Uint32(body[16:])))
	case opWrite:
		at, size := le.Uint64(body[8:]), int(le.Uint32(body[16:]))
		if n != writeHead+size || size > len(data) {
			s.fail(unique, unix.EINVAL)
			break
		}
		block := data[:size]
		if size <= smallWrite {
			block = s.dev.Buffer(size)
			copy(block, data)
		}
		if at%512 != 0 || size%512 != 0 || size == 0 {
			s.fail(unique, unix.EINVAL)
			s.dev.Free(block)
			return size > smallWrite
		}
		s.submit(unique, volume.Request{Kind: volume.Write, Data: block}, at, uint64(size))
		return size > smallWrite
	case opFsync:
		s.submit(unique, volume.Request{Kind: volume.Flush}, 0, 0)
	case opFlush:
		s.reply(unique, nil)
	case opFallocate:
		mode := le.Uint32(body[24:])
		if mode&^(fallocKeepSize|fallocPunchHole|fallocZeroRange) != 0 || mode&(fallocPunchHole|fallocZeroRange) == 0 {
			s.fail(unique, unix.EOPNOTSUPP)
			break
		}
		s.submit(unique, volume.Request{Kind: volume.Zero, Discard: mode&fallocPunchHole != 0}, le.Uint64(body[8:]), le.Uint64(body[16:]))
	case opStatfs:
		var out [80]byte
		le.PutUint64(out[:], s.dev.Size()/4096)
		le.PutUint32(out[40:], 4096)
		le.PutUint32(out[44:], 255)
		le.PutUint32(out[48:], 4096)
		s.reply(unique, out[:])
	case opForget, opBatchForget, opInterrupt: // no answer
	case opDestroy:
		s.reply(unique, nil)
	default:
		s.fail(unique, unix.ENOSYS)
	}
	return false
}

func (s *Server) init(unique uint64, body []byte) {
	flags := le.Uint32(body[12:]) & (initAsyncRead | initBigWrites | initAsyncDIO | initMaxPages | initExtended)
	var out [64]byte
	le.PutUint32(out[0:], protocolMajor)
	le.PutUint32(out[4:], min(protocolMinor, le.Uint32(body[4:])))
	le.PutUint32(out[8:], le.Uint32(body[8:])) // read-ahead as offered
	le.PutUint32(out[12:], flags)
	le.PutUint16(out[16:], maxBackground)
	le.PutUint16(out[18:], maxBackground*3/4)
	le.PutUint32(out[20:], maxTransfer)
	le.PutUint32(out[24:], 1)
	le.PutUint16(out[28:], maxTransfer/4096)
	if flags&initExtended != 0 {
		le.PutUint32(out[32:], initHasResend)
	}
	s.reply(unique, out[:])
}

func (s *Server) attributes() []byte {
	out := make([]byte, 104)
	le.PutUint64(out[0:], attrValidSeconds)
	a := out[16:]
	size := s.dev.Size()
	le.PutUint64(a[0:], 1) // inode
	le.PutUint64(a[8:], size)
	le.PutUint64(a[16:], size/512)
	le.PutUint32(a[60:], unix.S_IFREG|0o600)
	le.PutUint32(a[64:], 1) // links
	le.PutUint32(a[80:], 4096)
	return out
}

// submit gives a request to the volume, in parts if it is too large for one.
func (s *Server) submit(unique uint64, r volume.Request, at, size uint64) {
	if at%512 != 0 || size%512 != 0 {
		s.fail(unique, unix.EINVAL)
		return
	}
	j := s.jobs.Get().(*job)
	j.s, j.unique = s, unique
	j.failed.Store(false)
	j.gone.Store(false)
	if limit := uint64(volume.MaxZero); r.Kind == volume.Zero && size > limit {
		j.parts = make([]volume.Request, (size+limit-1)/limit)
	} else {
		j.parts = j.one[:]
	}
	parts := j.parts
	j.left.Store(int32(len(parts)))
	for i := range parts {
		n := size
		if len(parts) > 1 {
			n = min(size, volume.MaxZero)
		}
		parts[i] = r
		parts[i].Sector, parts[i].Size, parts[i].Owner, parts[i].Done = at/512, uint32(n), j, finished
		at, size = at+n, size-n
	}
	for i := range parts {
		s.dev.Submit(&parts[i])
	}
}

// finished is the end of a part. The volume is locked; an answer to the kernel does
// not wait for anything.
func finished(r *volume.Request, data []byte, err error) {
	j := r.Owner.(*job)
	if err != nil {
		j.failed.Store(true)
		if errors.Is(err, volume.ErrClosed) {
			j.gone.Store(true)
		}
	}
	if j.left.Add(-1) > 0 {
		return
	}
	s, size := j.s, len(j.parts)
	switch {
	case j.gone.Load():
		// No answer: the kernel gives the request to the successor.
	case j.failed.Load():
		s.fail(j.unique, unix.EIO)
	case r.Kind == volume.Read:
		le.PutUint32(j.head[0:], uint32(headerOut+len(data)))
		le.PutUint32(j.head[4:], 0)
		le.PutUint64(j.head[8:], j.unique)
		_, _ = unix.Writev(s.fd, [][]byte{j.head[:headerOut], data})
	case r.Kind == volume.Write:
		var out [8]byte
		le.PutUint32(out[:], r.Size)
		s.reply(j.unique, out[:])
	default:
		s.reply(j.unique, nil)
	}
	if data != nil {
		s.dev.Free(data)
	}
	if size == 1 {
		s.jobs.Put(j)
	}
}

// reply answers with success. The kernel refuses answers to requests that were
// interrupted or are gone with the mount, which changes nothing.
func (s *Server) reply(unique uint64, body []byte) {
	b := make([]byte, headerOut, headerOut+len(body))
	le.PutUint32(b, uint32(headerOut+len(body)))
	le.PutUint64(b[8:], unique)
	_, _ = unix.Write(s.fd, append(b, body...))
}

func (s *Server) fail(unique uint64, errno unix.Errno) {
	var b [headerOut]byte
	le.PutUint32(b[:], headerOut)
	le.PutUint32(b[4:], uint32(-int32(errno)))
	le.PutUint64(b[8:], unique)
	_, _ = unix.Write(s.fd, b[:])
}
