package cib

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// File is a CIB file opened for editing, or for reading only. One opened for
// editing holds an advisory lock until [File.Close], so that two programs that
// use this package do not edit it at once.
type File struct {
	// CIB is the document as it was read, or as it was last saved.
	CIB *CIB

	path string
	sum  [sha256.Size]byte // of what CIB was read from
	made bool              // the file did not exist when it was opened
	mode fs.FileMode
	lock *os.File
}

// FileError says what could not be done with a CIB file, and what to do.
type FileError struct {
	Op, Path string
	Err      error
	Hint     string
}

func (e *FileError) Error() string {
	s := fmt.Sprintf("%s %s: %v", e.Op, e.Path, e.Err)
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

func (e *FileError) Unwrap() error { return e.Err }

// ErrLocked is what [OpenFile] gets while somebody else edits the file.
var ErrLocked = errors.New("the file is being edited by another process")

// OpenFile opens a CIB file for editing. With create, a file that does not
// exist stands for an empty CIB; it is made by the first [File.Save]. The
// caller closes the result.
func OpenFile(path string, create bool) (*File, error) {
	// A symbolic link is followed, so that saving keeps it.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	f := &File{path: path, mode: 0o600}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !create {
		return nil, &FileError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	if err := f.acquire(); err != nil {
		return nil, err
	}
	_ = os.Remove(f.newName()) // of a writer that was killed
	data, mode, err := readLimited(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && create:
		f.CIB, f.made = New(), true
		return f, nil
	case err != nil:
		f.Close()
		return nil, &FileError{Op: "open", Path: path, Err: err}
	}
	f.mode, f.sum = mode, sha256.Sum256(data)
	if f.CIB, err = parseFile(path, data); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// pathCause strips the path and operation that a [FileError] tells anyway.
func pathCause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// acquire takes the advisory lock. It is on a file beside the document,
// because the document itself is replaced on every save. Who gives the lock
// back removes that file; so a lock counts only if its file still has its name.
func (f *File) acquire() error {
	name := f.lockName()
	for range 100 {
		l, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return &FileError{Op: "lock", Path: f.path, Err: pathCause(err), Hint: "its folder must be writable to edit it"}
		}
		if err := syscall.Flock(int(l.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			l.Close()
			if errors.Is(err, syscall.EWOULDBLOCK) {
				return &FileError{Op: "lock", Path: f.path, Err: ErrLocked, Hint: "try again when it is done"}
			}
			return &FileError{Op: "lock", Path: f.path, Err: err}
		}
		held, err1 := l.Stat()
		named, err2 := os.Stat(name)
		if err1 == nil && err2 == nil && os.SameFile(held, named) {
			f.lock = l
			return nil
		}
		l.Close() // its last holder was just leaving
	}
	return &FileError{Op: "lock", Path: f.path, Err: ErrLocked, Hint: "try again when it is done"}
}

func (f *File) lockName() string {
	return filepath.Join(filepath.Dir(f.path), "."+filepath.Base(f.path)+".lock")
}

// newName is where a new document is written before it replaces the old one.
func (f *File) newName() string {
	return filepath.Join(filepath.Dir(f.path), "."+filepath.Base(f.path)+".new")
}

// Path returns the name of the file, symbolic links resolved.
func (f *File) Path() string { return f.path }

// Save replaces the file's content by c, durably: when it returns without an
// error the new document is on disk, and whatever happens before that, the
// file holds either the old or the new document. If the file was changed since
// it was read, by a program that ignores the lock, it is left alone and the
// error is an [ErrConflict].
func (f *File) Save(c *CIB) error {
	if f.lock == nil {
		return &FileError{Op: "save", Path: f.path, Err: fs.ErrClosed}
	}
	if err := f.unchanged(); err != nil {
		return err
	}
	text := c.String()
	// Under the lock the new file can have one name, so that what a killed
	// writer left behind is overwritten by the next.
	tmp, err := os.OpenFile(f.newName(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err == nil {
		err = writeReplacing(f.path, text, f.mode, tmp)
	}
	if err != nil {
		return &FileError{Op: "save", Path: f.path, Err: pathCause(err), Hint: "the file is as it was before"}
	}
	f.CIB, f.sum, f.made = c, sha256.Sum256([]byte(text)), false
	return nil
}

func (f *File) unchanged() error {
	data, _, err := readLimited(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && f.made:
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return &FileError{Op: "save", Path: f.path, Err: err}
	case err == nil && !f.made && sha256.Sum256(data) == f.sum:
		return nil
	}
	return &FileError{Op: "save", Path: f.path, Err: ErrConflict, Hint: "read it again and repeat the change"}
}

// writeReplacing writes the file tmp, forces it to disk, and puts it in the
// place of another one in the same folder.
func writeReplacing(path, text string, mode fs.FileMode, tmp *os.File) (err error) {
	dir := filepath.Dir(path)
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	if err = tmp.Chmod(mode); err != nil {
		return err
	}
	// The owner is kept where that is allowed: the cluster's files belong to
	// a user of their own, and root edits them.
	if st, serr := os.Stat(path); serr == nil {
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			if cerr := tmp.Chown(int(sys.Uid), int(sys.Gid)); cerr != nil && os.Geteuid() == 0 {
				return cerr
			}
		}
	}
	if _, err = io.WriteString(tmp, text); err != nil {
		return err
	}
	if err = tmp.Sync(); err != nil {
		return err
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Close gives the lock back. Closing twice does no harm.
func (f *File) Close() error {
	if f.lock == nil {
		return nil
	}
	os.Remove(f.lockName())
	err := f.lock.Close()
	f.lock = nil
	return err
}

// SaveFile writes a CIB to a file that is not being edited: it is created, or
// replaced whatever it holds, as durably as [File.Save].
func SaveFile(path string, c *CIB) error {
	mode := fs.FileMode(0o600)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if st, err := os.Stat(path); err == nil {
		mode = st.Mode().Perm()
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".new-*")
	if err == nil {
		err = writeReplacing(path, c.String(), mode, tmp)
	}
	if err != nil {
		return &FileError{Op: "save", Path: path, Err: pathCause(err)}
	}
	return nil
}
