package blockdev

import (
	"encoding/binary"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"gcrm/replication/promptio"
)

// async has the kernel do direct I/O without a thread for each operation (io_submit(2)). A thread
// that waits in a system call costs more than the call: the Go runtime looks for it, takes its processor
// away and wakes another one. Who submits is not held up, and all that is over is learnt from one descriptor.
type async struct {
	ctx   uintptr
	ring  *asyncRing
	event *os.File // counts what is over
	done  func(op *Op, res int64)

	mu    sync.Mutex
	calls [asyncDepth]asyncCall
	ops   [asyncDepth]*Op
	free  []int
	room  int // what may still be given to the kernel, in parts of asyncPart
	block bool
	// unsure is set once the kernel did not know how to refuse what it would have to wait for.
	unsure bool
	ended  bool
}

const (
	// asyncDepth is how many operations are under way at once, of at most asyncPart bytes each; larger ones
	// count that often. Workers do the rest. A disk that hangs must not hold up whoever has to find that out,
	// and would if more is submitted than it takes: devices have room for as many requests, and what the kernel
	// would have to wait for it gives back (RWF_NOWAIT), except large operations of a block device, which it
	// cannot do in one part.
	asyncDepth = 32
	asyncPart  = 128 << 10
)

func parts(bytes uint64) int { return max(1, int((bytes+asyncPart-1)/asyncPart)) }

// asyncCall is struct iocb of linux/aio_abi.h, where the low byte comes first.
type asyncCall struct {
	data    uint64
	_       uint32 // of the kernel
	rwFlags uint32
	opcode  uint16
	_       int16
	fd      uint32
	buf     uint64
	bytes   uint64
	offset  int64
	_       uint64
	flags   uint32
	eventFD uint32
}

const (
	asyncRead     = 0
	asyncWrite    = 1
	asyncDataSync = 3
	asyncEventFD  = 1 // in flags: eventFD is told
)

// asyncRing is struct aio_ring of the kernel's fs/aio.c, which is mapped at the address that names the
// context, and which fio reads as well.
type asyncRing struct {
	id, size         uint32
	head, tail       uint32
	magic            uint32
	compat, incompat uint32
	headerLength     uint32
}

const (
	asyncMagic     = 0xa10a10a1
	asyncEventSize = 32 // struct io_event: data, call, result, second result
)

// newAsync gives nil where the kernel or the device does not do it; done is told the result of an operation:
// bytes, or a negative error number.
func newAsync(dev *Device, done func(op *Op, res int64)) *async {
	if dev.direct == nil || binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		// The page cache may hold up who submits.
		return nil
	}
	a := &async{done: done, room: asyncDepth, block: dev.block}
	if _, _, errno := unix.Syscall(unix.SYS_IO_SETUP, asyncDepth, uintptr(unsafe.Pointer(&a.ctx)), 0); errno != 0 {
		return nil
	}
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		a.destroy()
		return nil
	}
	a.event = os.NewFile(uintptr(fd), "eventfd")
	a.ring = *(**asyncRing)(unsafe.Pointer(&a.ctx))
	if a.ring.magic != asyncMagic || a.ring.incompat != 0 || a.ring.size == 0 {
		a.event.Close()
		a.destroy()
		return nil
	}
	for i := range a.calls {
		a.calls[i] = asyncCall{data: uint64(i), fd: uint32(dev.direct.Fd()), flags: asyncEventFD, eventFD: uint32(fd)}
		a.free = append(a.free, i)
	}
	return a
}

func (a *async) destroy() { _, _, _ = unix.Syscall(unix.SYS_IO_DESTROY, a.ctx, 0, 0) }

// begin has an operation done. It gives false when the kernel does not take it now. Memory that the kernel uses
// stays where it is and in use: op refers to it, and the collector moves nothing.
func (a *async) begin(op *Op, opcode uint16, data []byte, flags uint32) bool {
	a.mu.Lock()
	last, size := len(a.free)-1, parts(uint64(len(data)))
	noWait := opcode != asyncDataSync && (!a.block || size == 1)
	if size > a.room || a.ended || noWait && a.unsure && !a.block {
		a.mu.Unlock()
		return false
	}
	if noWait && !a.unsure {
		flags |= unix.RWF_NOWAIT
	}
	slot := a.free[last]
	a.free, a.ops[slot], a.room = a.free[:last], op, a.room-size
	c := &a.calls[slot]
	c.opcode, c.rwFlags, c.offset = opcode, flags, op.Offset
	c.buf, c.bytes = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(data)))), uint64(len(data))
	a.mu.Unlock()
	list := [1]*asyncCall{c}
	for { // promptly, see package promptio
		n, _, errno := unix.RawSyscall(unix.SYS_IO_SUBMIT, a.ctx, 1, uintptr(unsafe.Pointer(&list)))
		if n == 1 && errno == 0 {
			return true
		}
		if errno != unix.EINTR {
			a.release(slot)
			return false
		}
	}
}

func (a *async) release(slot int) *Op {
	a.mu.Lock()
	defer a.mu.Unlock()
	op := a.ops[slot]
	a.free, a.ops[slot], a.room = append(a.free, slot), nil, a.room+parts(a.calls[slot].bytes)
	return op
}

// refused is told that the kernel does not do operations in this manner.
func (a *async) refused() {
	a.mu.Lock()
	a.unsure = true
	a.mu.Unlock()
}

// run tells of what is over until the end.
func (a *async) run() {
	var count [8]byte
	event := promptio.Reader(a.event)
	for !a.over() {
		if _, err := event.Read(count[:]); err != nil {
			panic("eventfd: " + err.Error()) // it is neither closed nor anything that fails
		}
		a.reap()
	}
	a.event.Close()
	a.destroy()
}

func (a *async) over() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ended && len(a.free) == asyncDepth
}

// reap takes all results that are there.
func (a *async) reap() {
	r := a.ring
	for head := r.head; head != atomic.LoadUint32(&r.tail); {
		event := (*[4]uint64)(unsafe.Add(unsafe.Pointer(r), uintptr(r.headerLength)+uintptr(head)*asyncEventSize))
		slot, result := int(event[0]), int64(event[2])
		if head++; head == r.size {
			head = 0
		}
		atomic.StoreUint32(&r.head, head)
		a.done(a.release(slot), result)
	}
}

// end lets what is under way end, and takes nothing more.
func (a *async) end() {
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
	one := [8]byte{1}
	_, _ = a.event.Write(one[:])
}
