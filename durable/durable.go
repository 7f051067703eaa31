// Package durable replaces files so that a crash, a full disk or a reader at
// any moment finds the old content or the new, never a part of one. Every room
// that keeps small files uses it; it knows none of them.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Write gives a file a new content and mode, and returns when both are on the
// disk. What else the file needs before anyone can see it (an owner, a label)
// prepare does to it, in order. A symbolic link is replaced, not followed: the
// folder may belong to somebody who must not choose what is written to.
//
// After an error the old file is as it was, but for one of the folder's own
// sync: then the new content is there and may be gone after a crash.
func Write(path string, data []byte, mode fs.FileMode, prepare ...func(*os.File) error) error {
	dir := filepath.Dir(path)
	next, err := os.CreateTemp(dir, "."+filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	err = fill(next, data, mode, prepare)
	err = errors.Join(err, next.Close())
	if err == nil {
		err = os.Rename(next.Name(), path)
	}
	if err != nil {
		os.Remove(next.Name())
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// fill writes a new file and forces it to the disk.
func fill(f *os.File, data []byte, mode fs.FileMode, prepare []func(*os.File) error) error {
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	for _, p := range prepare {
		if err := p(f); err != nil {
			return err
		}
	}
	return f.Sync()
}
