package process

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
)

// Runs that are still under way are noted in a folder, one file each, so that
// a daemon that was killed finds at its next start what its predecessor had
// begun: it must not act beside the new one.

// note writes that a process runs; it is taken back by the function returned.
func note(dir string, pid int) (func(), error) {
	s, err := Look(pid)
	if err != nil {
		return func() {}, nil // it has ended already
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, strconv.Itoa(pid))
	if err := os.WriteFile(path, []byte(s.Identity.String()+"\n"), 0o600); err != nil {
		return nil, err
	}
	return func() { os.Remove(path) }, nil
}

// EndLeftovers kills what an earlier daemon had begun and noted in a folder,
// with everything that it started, waits until it is gone, and returns what it
// killed. What had ended by itself, and what an agent left running on purpose,
// is not touched.
func EndLeftovers(dir string) (killed []Identity, err error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		text, rerr := os.ReadFile(path)
		if rerr != nil {
			err = errors.Join(err, rerr)
			continue
		}
		if id, perr := ParseIdentity(string(text)); perr == nil && id.Start != 0 && id.Alive() {
			killGroup(id.Pid)
			killed = append(killed, id)
		}
		if rerr := os.Remove(path); rerr != nil && !errors.Is(rerr, os.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	return killed, err
}
