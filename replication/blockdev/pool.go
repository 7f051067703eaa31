package blockdev

import (
	"math/bits"
	"sync"
	"unsafe"
)

// Align is what direct I/O asks of memory and places, in bytes.
const Align = 4096

// classes are the sizes of buffers: 4 KiB to 1 MiB in powers of two.
const classes = 9

// MaxBuffer is the largest buffer of a Pool, in bytes.
const MaxBuffer = Align << (classes - 1)

// Pool hands out buffers for blocks and takes them back. The zero value is ready. A
// buffer that is never given back is collected like any other memory.
type Pool struct {
	mu   sync.Mutex
	free [classes][][]byte
	held int // bytes in free
}

// maxHeld bounds what an idle pool keeps, in bytes.
const maxHeld = 64 << 20

func class(n int) int { return max(0, bits.Len(uint(n-1))-12) }

// Get gives a buffer of n bytes, at most MaxBuffer, with whatever it held before.
func (p *Pool) Get(n int) []byte {
	if n > MaxBuffer {
		return Aligned(n)
	}
	c := class(n)
	p.mu.Lock()
	if last := len(p.free[c]) - 1; last >= 0 {
		b := p.free[c][last]
		p.free[c][last] = nil
		p.free[c] = p.free[c][:last]
		p.held -= cap(b)
		p.mu.Unlock()
		return b[:n]
	}
	p.mu.Unlock()
	return Aligned(Align << c)[:n]
}

// Put takes a buffer back that Get gave; nobody may use it any more. Others are
// ignored.
func (p *Pool) Put(b []byte) {
	size := cap(b)
	if size < Align || size > MaxBuffer || size&(size-1) != 0 || !isAligned(b) {
		return
	}
	c := class(size)
	p.mu.Lock()
	if p.held+size <= maxHeld {
		p.free[c] = append(p.free[c], b[:0:size])
		p.held += size
	}
	p.mu.Unlock()
}

// Aligned makes a buffer whose memory is fit for direct I/O.
func Aligned(n int) []byte {
	room := make([]byte, n+Align)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(room))) & (Align - 1))
	return room[skip : skip+n : skip+n]
}

func isAligned(b []byte) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))&(Align-1) == 0
}
