package nbd

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"

	"golang.org/x/sys/unix"

	"gcrm/replication/engine"
	"gcrm/replication/promptio"
	"gcrm/replication/volume"
)

// session is a connection in transmission.
type session struct {
	c          net.Conn
	dev        Device
	size       uint64
	structured bool
	in         *bufio.Reader
	out        *replies
	jobs       sync.Pool

	mu     sync.Mutex
	idle   sync.Cond
	busy   int // jobs under way
	memory int // bytes they hold
}

// Limits of what one connection may have under way.
const (
	maxJobs   = 256
	maxMemory = 64 << 20
)

// job is one request of the client, done in one part or several.
type job struct {
	s      *session
	cookie uint64
	kind   uint16
	offset uint64
	length uint32
	memory int
	fua    bool
	parts  []volume.Request
	one    [1]volume.Request
	data   [][]byte // of a read, in the order of the parts
	oneBuf [1][]byte

	mu   sync.Mutex
	left int
	err  error
}

func newSession(c net.Conn, dev Device, structured bool) *session {
	if u, ok := c.(*net.UnixConn); ok {
		// Only a wish: with less, a large answer takes several turns of both sides.
		growBuffer(u)
	}
	s := &session{c: c, dev: dev, size: dev.Size(), structured: structured, in: bufio.NewReaderSize(promptio.Reader(c), 64<<10)}
	s.idle.L = &s.mu
	s.out = newReplies(c, dev)
	s.jobs.New = func() any { return new(job) }
	return s
}

// sendBuffer is how many bytes a local connection holds on their way to the client: some
// large answers.
const sendBuffer = 4 << 20

func growBuffer(c *net.UnixConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) != nil {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)
		}
	})
}

// run serves the client until it goes away. It returns when nothing of it is under
// way any more.
func (s *session) run() {
	go s.out.run()
	s.requests()
	s.mu.Lock()
	for s.busy > 0 {
		s.idle.Wait()
	}
	s.mu.Unlock()
	s.out.close()
}

// requests reads requests until the client disconnects or breaks the protocol.
func (s *session) requests() {
	var head [28]byte
	for {
		if _, err := io.ReadFull(s.in, head[:]); err != nil || be.Uint32(head[:]) != magicRequest {
			return
		}
		flags, kind := be.Uint16(head[4:]), be.Uint16(head[6:])
		cookie, offset, length := be.Uint64(head[8:]), be.Uint64(head[16:]), be.Uint32(head[24:])
		if kind == cmdDisconnect {
			return
		}
		if kind == cmdWrite && length > maxPayload {
			return // too much even to skip
		}
		code := s.check(flags, kind, offset, length)
		if code != 0 {
			if kind == cmdWrite {
				if _, err := s.in.Discard(int(length)); err != nil {
					return
				}
			}
			s.out.fail(s.structured, kind, cookie, code)
			continue
		}
		j := s.jobs.Get().(*job)
		*j = job{s: s, cookie: cookie, kind: kind, offset: offset, length: length, fua: flags&cmdFUA != 0}
		if kind == cmdRead || kind == cmdWrite {
			j.memory = int(length)
		}
		s.enter(j)
		if !s.prepare(j, flags) {
			s.leave(j)
			return
		}
		j.left = len(j.parts)
		parts := j.parts
		for i := range parts {
			s.dev.Submit(&parts[i])
		}
	}
}

// check gives the error of a request that cannot be done.
func (s *session) check(flags, kind uint16, offset uint64, length uint32) uint32 {
	allowed := uint16(cmdFUA)
	switch kind {
	case cmdRead:
		if s.structured {
			allowed |= cmdDF
		}
		if length > maxPayload {
			return errInvalid
		}
	case cmdFlush:
		if flags&^allowed != 0 || offset != 0 || length != 0 {
			return errInvalid
		}
		return 0
	case cmdWriteZeroes:
		allowed |= cmdNoHole
	case cmdWrite, cmdTrim:
	default:
		return errInvalid
	}
	if flags&^allowed != 0 || length == 0 || (offset|uint64(length))%minBlock != 0 || offset > s.size || uint64(length) > s.size-offset {
		return errInvalid
	}
	return 0
}

// enter waits until the client may have one more request under way.
func (s *session) enter(j *job) {
	s.mu.Lock()
	for s.busy > 0 && (s.busy >= maxJobs || s.memory+j.memory > maxMemory) {
		s.idle.Wait()
	}
	s.busy++
	s.memory += j.memory
	s.mu.Unlock()
}

func (s *session) leave(j *job) {
	s.mu.Lock()
	s.busy--
	s.memory -= j.memory
	s.mu.Unlock()
	s.idle.Broadcast()
}

// prepare makes the parts of a job and reads the data of a write. It gives false
// when the client is gone.
func (s *session) prepare(j *job, flags uint16) bool {
	limit, kind := uint64(volume.MaxTransfer), volume.Read
	switch j.kind {
	case cmdWrite:
		kind = volume.Write
	case cmdTrim, cmdWriteZeroes:
		limit, kind = volume.MaxZero, volume.Zero
	case cmdFlush:
		kind = volume.Flush
	}
	n := max(1, int((uint64(j.length)+limit-1)/limit))
	if n == 1 {
		j.parts, j.data = j.one[:], j.oneBuf[:]
	} else {
		j.parts, j.data = make([]volume.Request, n), make([][]byte, n)
	}
	at, left := j.offset, uint64(j.length)
	for i := range j.parts {
		size := min(left, limit)
		r := &j.parts[i]
		*r = volume.Request{Kind: kind, Sector: at / 512, Size: uint32(size), FUA: j.fua, Owner: j, Done: done,
			Discard: j.kind == cmdTrim || flags&cmdNoHole == 0}
		if kind == volume.Write {
			r.Data = s.dev.Buffer(int(size))
			if _, err := io.ReadFull(s.in, r.Data); err != nil {
				for k := range j.parts[:i+1] {
					s.dev.Free(j.parts[k].Data)
				}
				return false
			}
		}
		at, left = at+size, left-size
	}
	return true
}

// done is the end of a part. The volume is locked.
func done(r *volume.Request, data []byte, err error) {
	j := r.Owner.(*job)
	j.mu.Lock()
	if err != nil && j.err == nil {
		j.err = err
	}
	if r.Kind == volume.Read {
		for i := range j.parts {
			if &j.parts[i] == r {
				j.data[i] = data
			}
		}
	}
	j.left--
	last := j.left == 0
	j.mu.Unlock()
	if !last {
		return
	}
	if r.Kind == volume.Zero && j.fua && j.err == nil {
		// The zeroes have to be durable before the answer.
		j.left = 1
		*r = volume.Request{Kind: volume.Flush, Owner: j, Done: done}
		go j.s.dev.Submit(r)
		return
	}
	s := j.s
	switch {
	case errors.Is(j.err, volume.ErrClosed):
		// No answer: the client will ask the successor.
		s.c.Close()
		s.out.drop(j.data)
	case j.err != nil:
		s.out.drop(j.data)
		s.out.fail(s.structured, j.kind, j.cookie, code(j.err))
	default:
		s.out.succeed(s.structured, j)
	}
	s.leave(j)
	j.parts, j.data = nil, nil
	s.jobs.Put(j)
}

func code(err error) uint32 {
	switch {
	case errors.Is(err, engine.ErrNotPrimary):
		return errPerm
	case errors.Is(err, engine.ErrRange):
		return errInvalid
	}
	return errIO
}
