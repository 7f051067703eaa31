package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// permissions refuses to work with folders that others can write, and with keys
// that others can read: whoever can do that is root of every node.
func permissions(stateDir, runDir string) error {
	keys := filepath.Join(stateDir, pkiDir)
	var errs []error
	for _, dir := range []string{stateDir, runDir, keys} {
		errs = append(errs, private(dir, 0o022))
	}
	list, err := os.ReadDir(keys)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, f := range list {
		forbidden := fs.FileMode(0o022)
		if strings.HasSuffix(f.Name(), ".key") {
			forbidden = 0o077
		}
		errs = append(errs, private(filepath.Join(keys, f.Name()), forbidden))
	}
	return errors.Join(errs...)
}

// private refuses a file or folder that is not the daemon's own, or gives
// others a right that is forbidden. One that is not there is none.
func private(path string, forbidden fs.FileMode) error {
	i, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if s, ok := i.Sys().(*syscall.Stat_t); ok && s.Uid != 0 && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, who could change what the cluster does; correct it with 'chown root %[1]s'", path, s.Uid)
	}
	if i.Mode().Perm()&forbidden != 0 {
		return fmt.Errorf("%s gives others rights that they must not have (mode %04o); correct it with 'chmod %04o %[1]s'", path, i.Mode().Perm(), i.Mode().Perm()&^forbidden)
	}
	return nil
}
