package drivers

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// ProgramName is the name under which agents find the program itself in
// HelperDir (the demonstration's web server is started by it).
const ProgramName = "gcrm"

// VolumeHandlers are the names under which the program is a handler of the kernel's
// DRBD, in the place of the scripts that drbd-utils has under them, with whether each
// undoes the fencing of the peer.
func VolumeHandlers() map[string]bool {
	return map[string]bool{"crm-fence-peer.sh": false, "crm-fence-peer.9.sh": false, "crm-unfence-peer.sh": true, "crm-unfence-peer.9.sh": true}
}

// InstallHelpers fills a node's HelperDir: a link to the program for each of
// its names, and links to programs of the host. What is there already is
// replaced if it points elsewhere.
func InstallHelpers(dir, program string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("helper folder: %w", err)
	}
	// Scripts take the folder for /usr/sbin, where other cluster stacks have the
	// commands: nfsnotify calls sm-notify there.
	links := map[string]string{"sm-notify": "/usr/sbin/sm-notify"}
	for _, name := range slices.Concat(HelperCommands(), slices.Collect(maps.Keys(VolumeHandlers())), []string{ProgramName}) {
		links[name] = program
	}
	for _, name := range slices.Sorted(maps.Keys(links)) {
		path, target := filepath.Join(dir, name), links[name]
		if at, err := os.Readlink(path); err == nil && at == target {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("helper command %s: %w", name, err)
		}
		if err := os.Symlink(target, path); err != nil {
			return fmt.Errorf("helper command %s: %w", name, err)
		}
	}
	return nil
}
