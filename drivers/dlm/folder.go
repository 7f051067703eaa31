package dlm

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"gcrm/drivers/process"
)

// Folder is a node's folder for what lives as long as the boot; the control
// process keeps its files below it.
type Folder string

func (f Folder) file(name string) string { return filepath.Join(string(f), "dlm", name) }

// Identity is the file with pid and start time of the control process. It is
// written before the kernel is touched, and stays when the process is killed:
// so the node's daemon sees what became of it.
func (f Folder) Identity() string { return f.file("control.id") }

// Socket is where the control process tells how it is.
func (f Folder) Socket() string { return f.file("control.sock") }

// Log is what it logs.
func (f Folder) Log() string { return f.file("control.log") }

// Control returns the control process that is noted, and whether it lives.
func (f Folder) Control() (id process.Identity, lives bool, err error) {
	b, err := os.ReadFile(f.Identity())
	if errors.Is(err, fs.ErrNotExist) {
		return id, false, nil
	}
	if err == nil {
		id, err = process.ParseIdentity(string(b))
	}
	return id, err == nil && id.Alive(), err
}

// Make makes the folder of the files.
func (f Folder) Make() error { return os.MkdirAll(filepath.Dir(f.Identity()), 0o700) }
