package drivers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ProgramName is the name under which agents find the program itself in
// HelperDir (the demonstration's web server is started by it).
const ProgramName = "gcrm"

// InstallHelpers fills a node's HelperDir: a link to the program for each of
// its names. What is there already is replaced if it points elsewhere.
func InstallHelpers(dir, program string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("helper folder: %w", err)
	}
	for _, name := range append(HelperCommands(), ProgramName) {
		path := filepath.Join(dir, name)
		if at, err := os.Readlink(path); err == nil && at == program {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("helper command %s: %w", name, err)
		}
		if err := os.Symlink(program, path); err != nil {
			return fmt.Errorf("helper command %s: %w", name, err)
		}
	}
	return nil
}
