package consensus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// bbolt maps its file into memory and trusts what it finds there: on a torn
// file, or one with a damaged page, it ends the program instead of returning an
// error. So the tree of pages is walked with ordinary reads before bbolt gets
// the file. What is in the entries has checksums of its own.

const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	boltPageHead    = 16 // id, flags, count, overflow
	boltElementHead = 16
	boltMetaSize    = 64
	boltBucketHead  = 16 // root page, sequence

	boltBranch = 0x01
	boltLeaf   = 0x02
	boltBucket = 0x01 // flag of a leaf element
	boltDeep   = 64   // levels that a sound tree never has
)

// checkPages verifies the tree of pages of a bbolt file. It returns nil without
// looking if there is no file, or if another process has it.
func checkPages(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil
	}
	st, err := f.Stat()
	if err != nil || st.Size() == 0 { // bbolt makes an empty file a new one
		return err
	}
	if what := verifyPages(f, st.Size()); what != nil {
		return &DamageError{path, what.Error()}
	}
	return nil
}

func verifyPages(f io.ReaderAt, size int64) error {
	root, pageSize, high, err := boltRoot(f, size)
	if err != nil {
		return err
	}
	if int64(high)*pageSize > size {
		return fmt.Errorf("it is cut short: %d bytes of %d", size, int64(high)*pageSize)
	}
	w := &pageWalk{file: f, pageSize: pageSize, high: high, seen: map[uint64]bool{}}
	return w.page(root, nil, 0)
}

// boltRoot reads the newer one of the two heads. A head lies within one sector,
// which a disk writes whole or not at all: one that is not whole is damage, not
// what a crash left. It may be the newer one, and who went on with the other
// would have forgotten the last thing that it acknowledged.
func boltRoot(f io.ReaderAt, size int64) (root uint64, pageSize int64, high uint64, err error) {
	var newest uint64
	for i := range int64(2) {
		b := make([]byte, boltPageHead+boltMetaSize)
		if _, err := f.ReadAt(b, i*pageSize); err != nil {
			return 0, 0, 0, fmt.Errorf("it is cut short: %d bytes", size)
		}
		m := b[boltPageHead:]
		u32, u64 := binary.NativeEndian.Uint32, binary.NativeEndian.Uint64
		sum := fnv.New64a()
		sum.Write(m[:boltMetaSize-8])
		if u32(m) != boltMagic || u32(m[4:]) != boltVersion || sum.Sum64() != u64(m[boltMetaSize-8:]) {
			return 0, 0, 0, fmt.Errorf("head %d of 2 is not valid", i+1)
		}
		pageSize = int64(u32(m[8:]))
		if tx := u64(m[48:]); i == 0 || tx > newest {
			newest, root, high = tx, u64(m[16:]), u64(m[40:])
		}
	}
	return root, pageSize, high, nil
}

// pageWalk visits every page of a tree once.
type pageWalk struct {
	file     io.ReaderAt
	pageSize int64
	high     uint64 // pages from here on are not in use
	seen     map[uint64]bool
	last     []byte // the last key of the bucket that is walked
}

// page verifies a page and those below it. Their keys are not less than min.
func (w *pageWalk) page(id uint64, min []byte, depth int) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("page %d: %s", id, fmt.Sprintf(format, args...))
	}
	if id < 2 || id >= w.high || depth > boltDeep {
		return bad("it cannot be where the tree has it")
	}
	head := make([]byte, boltPageHead)
	if _, err := w.file.ReadAt(head, int64(id)*w.pageSize); err != nil {
		return bad("%v", err)
	}
	overflow := uint64(binary.NativeEndian.Uint32(head[12:]))
	if binary.NativeEndian.Uint64(head) != id || overflow >= w.high-id {
		return bad("wrong head")
	}
	for i := id; i <= id+overflow; i++ {
		if w.seen[i] {
			return bad("it is in the tree twice")
		}
		w.seen[i] = true
	}
	data := make([]byte, int64(overflow+1)*w.pageSize)
	if _, err := w.file.ReadAt(data, int64(id)*w.pageSize); err != nil {
		return bad("%v", err)
	}
	return w.elements(data, min, depth, bad)
}

func (w *pageWalk) elements(data, min []byte, depth int, bad func(string, ...any) error) error {
	flags, count := binary.NativeEndian.Uint16(data[8:]), int(binary.NativeEndian.Uint16(data[10:]))
	if flags != boltBranch && flags != boltLeaf {
		return bad("wrong type")
	}
	if boltPageHead+count*boltElementHead > len(data) || flags == boltBranch && count == 0 {
		return bad("wrong number of elements")
	}
	for i := range count {
		at := boltPageHead + i*boltElementHead
		e := data[at:]
		u32 := binary.NativeEndian.Uint32
		pos, keySize, valueSize := uint64(u32(e[4:])), uint64(u32(e[8:])), uint64(u32(e[12:]))
		if flags == boltBranch {
			pos, keySize, valueSize = uint64(u32(e)), uint64(u32(e[4:])), 0
		}
		if pos < boltElementHead || uint64(at)+pos+keySize+valueSize > uint64(len(data)) {
			return bad("element %d lies outside", i)
		}
		key := e[pos : pos+keySize]
		if flags == boltBranch {
			if i > 0 && bytes.Compare(key, w.last) <= 0 || i == 0 && bytes.Compare(key, min) < 0 {
				return bad("element %d is out of order", i)
			}
			if err := w.page(binary.NativeEndian.Uint64(e[8:]), bytes.Clone(key), depth+1); err != nil {
				return err
			}
			continue
		}
		if bytes.Compare(key, min) < 0 || w.last != nil && bytes.Compare(key, w.last) <= 0 {
			return bad("element %d is out of order", i)
		}
		w.last = bytes.Clone(key)
		if u32(e)&boltBucket != 0 {
			if err := w.bucket(e[pos+keySize:pos+keySize+valueSize], depth, bad); err != nil {
				return err
			}
		}
	}
	return nil
}

// bucket walks a bucket within a bucket: its value is the head of one, with its
// only page behind it if the bucket is small.
func (w *pageWalk) bucket(value []byte, depth int, bad func(string, ...any) error) error {
	if len(value) < boltBucketHead {
		return bad("a bucket is too short")
	}
	outer := w.last
	w.last = nil
	defer func() { w.last = outer }()
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return w.page(root, nil, depth+1)
	}
	inline := value[boltBucketHead:]
	if len(inline) < boltPageHead || binary.NativeEndian.Uint16(inline[8:]) != boltLeaf {
		return bad("a bucket has no page")
	}
	return w.elements(inline, nil, depth+1, bad)
}
