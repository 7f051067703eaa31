package node

import (
	"errors"
	"os"
	"path/filepath"

	"gcrm/durable"
)

// Files are the small files of a node's state folder. What a write returned
// without an error for outlives a crash.
type Files interface {
	// Read gives an error that is fs.ErrNotExist for a file that is not there.
	Read(name string) ([]byte, error)
	// Replace writes a file anew: a crash leaves the old content or the new.
	Replace(name string, data []byte) error
	// Append adds to a file; a crash may leave a part of it.
	Append(name string, data []byte) error
}

// folder is the Files in a real folder.
type folder string

// Read implements Files.
func (f folder) Read(name string) ([]byte, error) { return os.ReadFile(filepath.Join(string(f), name)) }

// Replace implements Files.
func (f folder) Replace(name string, data []byte) error {
	return durable.Write(filepath.Join(string(f), name), data, 0o600)
}

// Append implements Files.
func (f folder) Append(name string, data []byte) error {
	w, err := os.OpenFile(filepath.Join(string(f), name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return errors.Join(err, w.Sync(), w.Close())
}
