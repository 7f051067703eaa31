package cib

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"unsafe"
)

// FileLimits hold for a document that a person hands to a program of their
// own: a file, or standard input. They pay for its memory themselves, so that
// it may be larger than what comes over a network ([DefaultLimits]); the
// largest clusters, 10,000 resources on 100 nodes, need a quarter of it. They
// hold also for what a cluster stored itself.
var FileLimits = Limits{Bytes: math.MaxInt32, Depth: 64, Nodes: 32 << 20, Attrs: 512}

// Read reads a CIB from r to its end.
func Read(r io.Reader, lim Limits) (*CIB, error) {
	data, err := readAll(r, int64(min(64<<10, lim.Bytes)), lim)
	if err != nil {
		return nil, err
	}
	return parseOwned(data, lim)
}

// ReadFile reads a CIB file without locking it. The result cannot be saved.
func ReadFile(path string) (*CIB, error) {
	data, _, err := readLimited(path)
	if err != nil {
		return nil, &FileError{Op: "read", Path: path, Err: err}
	}
	return parseFile(path, data)
}

func readLimited(path string) ([]byte, fs.FileMode, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, 0, pathCause(err)
	}
	defer r.Close()
	st, err := r.Stat()
	if err != nil {
		return nil, 0, pathCause(err)
	}
	if !st.Mode().IsRegular() {
		return nil, 0, errors.New("not a regular file")
	}
	data, err := readAll(r, st.Size(), FileLimits)
	if err != nil {
		return nil, 0, pathCause(err)
	}
	return data, st.Mode().Perm(), nil
}

// readAll reads r to its end, into one piece of memory if expected, a number
// of bytes, is right.
func readAll(r io.Reader, expected int64, lim Limits) ([]byte, error) {
	tooLarge := fmt.Errorf("a document of more than %d bytes is not accepted", lim.Bytes)
	if expected > int64(lim.Bytes) {
		return nil, tooLarge
	}
	expected++ // so that the end is seen without growing
	var data []byte
	if expected >= largeDocument {
		data = inLargePages[byte](int(expected))[:0]
	} else {
		data = make([]byte, 0, expected)
	}
	for {
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case len(data) > lim.Bytes:
			return nil, tooLarge
		case err == io.EOF:
			return data, nil
		case err != nil:
			return nil, err
		case len(data) == cap(data):
			data = append(data, 0)[:len(data)]
		}
	}
}

func parseFile(path string, data []byte) (*CIB, error) {
	c, err := parseOwned(data, FileLimits)
	if err != nil {
		return nil, &FileError{Op: "read", Path: path, Err: err}
	}
	return c, nil
}

// parseOwned reads a CIB from bytes that nobody changes any more: the
// document's strings are these bytes. (A copy would be a third of the memory
// that reading a large document takes.)
func parseOwned(data []byte, lim Limits) (*CIB, error) {
	p := &xmlParser{s: unsafe.String(unsafe.SliceData(data), len(data)), lim: lim, large: len(data) >= largeDocument}
	root, err := p.parse()
	if err != nil {
		return nil, err
	}
	return FromElement(root)
}
