package secret

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"gcrm/durable"
)

// Files of a value: itself, its checksum, and the version of the entry. The
// version stays when the value is removed, so that a node that was away then
// does not bring it back.
const (
	signSuffix    = ".sign"
	versionSuffix = ".version"
)

// Entry is what nodes tell each other of a value without telling it.
type Entry struct {
	Resource, Parameter string
	// Version grows with every change, in the whole cluster; 0 for values that
	// cibsecret stored.
	Version uint64
	// Held is false once the value was removed.
	Held bool
}

// Store keeps the values of one node. It is safe for concurrent use.
type Store struct {
	dir string
	mu  sync.Mutex
}

// NewStore returns the store in a folder, which need not exist yet.
func NewStore(dir string) *Store { return &Store{dir: dir} }

// Dir is the folder.
func (s *Store) Dir() string { return s.dir }

// ErrOutdated says that a store holds the same version or a later one.
var ErrOutdated = errors.New("another value of the same version or a later one is stored already; somebody else changed it at the same time")

// Check tells what is wrong with the name of a resource, of a parameter, or a
// value; nil for nothing.
func Check(resource, parameter, value string) error {
	for _, name := range []string{resource, parameter} {
		if name == "" || len(name) > 200 || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\x00\n") {
			return fmt.Errorf("%q cannot be the name of a file, so it cannot name a secret parameter", name)
		}
	}
	for _, suffix := range []string{signSuffix, versionSuffix} {
		if strings.HasSuffix(parameter, suffix) {
			return fmt.Errorf("a secret parameter cannot end in %s, which names a file beside its value", suffix)
		}
	}
	if strings.ContainsAny(value, "\x00\r\n") {
		return errors.New("a secret value is one line of text")
	}
	return nil
}

// Put stores a value, or removes it if the entry does not hold one. An entry
// that is not newer than the one stored gives ErrOutdated, unless it says the
// same. A crash leaves the old value, the new one, or one whose checksum does
// not match, with the old version.
func (s *Store) Put(e Entry, value string) error {
	if err := Check(e.Resource, e.Parameter, value); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	have, err := s.entry(e.Resource, e.Parameter)
	if err != nil {
		return err
	}
	if have.Version >= e.Version {
		if text, err := read(s.dir, e.Resource, e.Parameter); have == e && (!e.Held || err == nil && text == value) {
			return nil
		}
		return ErrOutdated
	}
	folder := filepath.Join(s.dir, e.Resource)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if err := sweep(folder); err != nil {
		return err
	}
	path := filepath.Join(folder, e.Parameter)
	state := "held"
	if e.Held {
		err = errors.Join(write(path, value), write(path+signSuffix, sum(value)))
	} else {
		state = "removed"
		for _, p := range []string{path, path + signSuffix} {
			if e := os.Remove(p); e != nil && !errors.Is(e, fs.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
	}
	if err != nil {
		return err
	}
	return write(path+versionSuffix, strconv.FormatUint(e.Version, 10)+" "+state)
}

// Get returns a value. Without one, the entry tells whether it was removed and
// the error is fs.ErrNotExist.
func (s *Store) Get(resource, parameter string) (string, Entry, error) {
	if err := Check(resource, parameter, ""); err != nil {
		return "", Entry{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.entry(resource, parameter)
	if err != nil {
		return "", e, err
	}
	text, err := read(s.dir, resource, parameter)
	if errors.Is(err, fs.ErrNotExist) && e.Version == 0 {
		if text, err = read(DefaultDir, resource, parameter); err == nil {
			e.Held = true
		}
	}
	return text, e, err
}

// List returns the entries of all values, also of those that were removed.
func (s *Store) List() ([]Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Entry
	resources, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, r := range resources {
		if !r.IsDir() {
			continue
		}
		files, e := os.ReadDir(filepath.Join(s.dir, r.Name()))
		err = errors.Join(err, e)
		for _, f := range files {
			parameter, ok := strings.CutSuffix(f.Name(), versionSuffix)
			if !ok {
				continue
			}
			entry, e := s.entry(r.Name(), parameter)
			if e != nil {
				err = errors.Join(err, e)
				continue
			}
			out = append(out, entry)
		}
	}
	return out, err
}

// entry reads the version of a value; the lock is held.
func (s *Store) entry(resource, parameter string) (Entry, error) {
	e := Entry{Resource: resource, Parameter: parameter}
	path := filepath.Join(s.dir, resource, parameter+versionSuffix)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if err != nil {
		return e, err
	}
	number, state, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	e.Version, err = strconv.ParseUint(number, 10, 64)
	if err != nil || state != "held" && state != "removed" {
		return e, fmt.Errorf("%s is damaged; remove it and set the value again", path)
	}
	e.Held = state == "held"
	return e, nil
}

// write replaces a file with a line.
func write(path, text string) error { return durable.Write(path, []byte(text+"\n"), 0o600) }

// sweep removes what a crash left of values that were being written.
func sweep(folder string) error {
	files, err := os.ReadDir(folder)
	for _, f := range files {
		if strings.HasPrefix(f.Name(), ".") {
			err = errors.Join(err, os.Remove(filepath.Join(folder, f.Name())))
		}
	}
	return err
}
