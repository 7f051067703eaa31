// Package gfs2 reads GFS2 file systems from their devices, without mounting
// them: what lock table one has, how many nodes can mount it at once, and
// whether the kernel withdrew from it.
package gfs2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// On-disk format, big-endian.
const (
	superblockAt = 64 << 10
	magic        = 0x01161970

	typeSuperblock = 1
	typeDinode     = 4
	headerSize     = 24
	dinodeSize     = 232
	direntSize     = 40

	minBlock, maxBlock = 512, 64 << 10
)

// Superblock is what a file system says of itself.
type Superblock struct {
	// Protocol is lock_dlm, or lock_nolock for one that a single node mounts.
	Protocol string
	// Table is CLUSTER:NAME; NAME is that of the lockspace.
	Table string
	// BlockSize is in bytes.
	BlockSize int
	UUID      [16]byte

	master uint64 // block of the folder with the file system's own files
}

// Cluster and Space are the two parts of the lock table.
func (s Superblock) Cluster() string { c, _, _ := strings.Cut(s.Table, ":"); return c }

// Space is the name of the lockspace.
func (s Superblock) Space() string { _, n, _ := strings.Cut(s.Table, ":"); return n }

// ErrNotGFS2 says that a device has no GFS2 file system.
var ErrNotGFS2 = errors.New("there is no GFS2 file system")

// Read reads the superblock of a device.
func Read(dev io.ReaderAt) (Superblock, error) {
	b := make([]byte, 512)
	if _, err := dev.ReadAt(b, superblockAt); err != nil {
		if errors.Is(err, io.EOF) {
			return Superblock{}, ErrNotGFS2
		}
		return Superblock{}, err
	}
	n := binary.BigEndian
	if n.Uint32(b) != magic || n.Uint32(b[4:]) != typeSuperblock {
		return Superblock{}, ErrNotGFS2
	}
	s := Superblock{BlockSize: int(n.Uint32(b[36:])), master: n.Uint64(b[56:]), Protocol: text(b[96:160]), Table: text(b[160:224]), UUID: [16]byte(b[256:272])}
	if s.BlockSize < minBlock || s.BlockSize > maxBlock || s.BlockSize&(s.BlockSize-1) != 0 {
		return s, fmt.Errorf("the superblock is damaged: blocks of %d bytes", s.BlockSize)
	}
	return s, nil
}

func text(b []byte) string {
	t, _, _ := bytes.Cut(b, []byte{0})
	return string(t)
}

// Journals counts the journals: so many nodes can mount it at once.
func (s Superblock) Journals(dev io.ReaderAt) (int, error) {
	master, err := s.dinode(dev, s.master)
	if err != nil {
		return 0, fmt.Errorf("the file system's own folder: %w", err)
	}
	at, err := master.entry("jindex")
	if err != nil {
		return 0, err
	}
	index, err := s.dinode(dev, at)
	if err != nil {
		return 0, fmt.Errorf("the folder of journals: %w", err)
	}
	const dots = 2 // the entries . and ..
	count := binary.BigEndian.Uint32(index[148:])
	if count < dots || count > math.MaxInt16 {
		return 0, fmt.Errorf("the folder of journals is damaged: it has %d entries", count)
	}
	return int(count) - dots, nil
}

// dinode is the block of a file or folder.
type dinode []byte

func (s Superblock) dinode(dev io.ReaderAt, block uint64) (dinode, error) {
	if block > math.MaxInt64/uint64(s.BlockSize) {
		return nil, fmt.Errorf("block %d is beyond any device", block)
	}
	b := make(dinode, s.BlockSize)
	if _, err := dev.ReadAt(b, int64(block)*int64(s.BlockSize)); err != nil {
		return nil, err
	}
	n := binary.BigEndian
	if n.Uint32(b) != magic || n.Uint32(b[4:]) != typeDinode {
		return nil, fmt.Errorf("block %d is not the begin of a file", block)
	}
	return b, nil
}

// entry finds a name in a small folder, whose entries are in its block itself.
func (d dinode) entry(name string) (uint64, error) {
	n := binary.BigEndian
	for at := dinodeSize; at+direntSize <= len(d); {
		e := d[at:]
		length, size := int(n.Uint16(e[20:])), int(n.Uint16(e[22:]))
		if length < direntSize || length > len(e) || direntSize+size > length {
			return 0, errors.New("the file system's own folder is damaged")
		}
		if string(e[direntSize:direntSize+size]) == name && n.Uint64(e) != 0 {
			return n.Uint64(e[8:]), nil
		}
		at += length
	}
	return 0, fmt.Errorf("the file system's own folder has no %s", name)
}

// Device reads superblock and number of journals of a device or file.
func Device(path string) (Superblock, int, error) {
	f, err := os.Open(path)
	if err != nil {
		return Superblock{}, 0, err
	}
	defer f.Close()
	s, err := Read(f)
	if err != nil {
		return s, 0, fmt.Errorf("%s: %w", path, err)
	}
	journals, err := s.Journals(f)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return s, journals, err
}

// Withdrawn tells whether the kernel gave up a mounted file system: it found it
// damaged, or could not write its journal. Nothing can be written any more until
// the node is restarted.
func Withdrawn(table string) (bool, error) { return withdrawn("/sys/fs/gfs2", table) }

func withdrawn(root, table string) (bool, error) {
	b, err := os.ReadFile(filepath.Join(root, table, "withdraw"))
	if err != nil {
		return false, err
	}
	return strings.TrimSpace(string(b)) == "1", nil
}
