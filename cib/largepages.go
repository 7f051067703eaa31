package cib

import (
	"os"
	"syscall"
	"unsafe"
)

// A large file is read once, from the first byte to the last, into memory that
// is new. On ordinary pages the kernel hands out that memory 4 kB at a time,
// which takes a quarter of the whole time of reading and scheduling.

const (
	largeDocument = 4 << 20 // bytes of text from which on large pages pay
	largeSlab     = 8 << 20 // bytes of memory taken at once for such a document
)

// inLargePages allocates a slice whose memory the kernel may back by large
// pages, if it has any: it is advice, and does no harm where it is not followed.
func inLargePages[T any](n int) []T {
	s := make([]T, n)
	if n == 0 {
		return s
	}
	b := unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), n*int(unsafe.Sizeof(s[0])))
	page := os.Getpagesize()
	skip := (page - int(uintptr(unsafe.Pointer(&b[0])))%page) % page
	if skip < len(b) {
		b = b[skip:]
		_ = syscall.Madvise(b[:len(b)/page*page], syscall.MADV_HUGEPAGE)
	}
	return s
}

// slab allocates n values of T for a parser, or many more for a large document.
func slab[T any](large bool, n int) []T {
	if !large {
		return make([]T, n)
	}
	var v T
	return inLargePages[T](max(n, largeSlab/int(unsafe.Sizeof(v))))
}
