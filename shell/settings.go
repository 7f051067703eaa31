package shell

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// settingsFile is where options save keeps the settings: below the user's XDG
// configuration folder, or where CRM_CONFIG_FILE says; "" without a home.
func (s *Session) settingsFile() string {
	if file := s.cfg.Environ("CRM_CONFIG_FILE"); file != "" {
		return file
	}
	dir := s.cfg.Environ("XDG_CONFIG_HOME")
	if dir == "" {
		home := s.cfg.Environ("HOME")
		if home == "" {
			return ""
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "gcrm", "settings")
}

// LoadSettings takes over the settings that the user saved, except those that
// given names: they were chosen on the command line. A file that is not there
// is no error. Every line that cannot be used is told; the others count.
func (s *Session) LoadSettings(given map[string]bool) error {
	path := s.settingsFile()
	if path == "" {
		return nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	var bad []error
	number := 0
	for line := range strings.Lines(string(b)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok {
			bad = append(bad, fmt.Errorf("%s:%d: %q is no name = value", path, number, line))
			continue
		}
		o := findOption(name)
		switch {
		case o == nil || o.name == "force":
			bad = append(bad, fmt.Errorf("%s:%d: %q cannot be set here", path, number, name))
		case given[o.name]:
		default:
			if err := o.set(s, value); err != nil {
				bad = append(bad, fmt.Errorf("%s:%d: %s: %w", path, number, name, err))
			}
		}
	}
	return errors.Join(bad...)
}

// findOption returns a setting by its name, written with - or _, or nil.
func findOption(name string) *sessionOption {
	for _, o := range sessionOptions() {
		if o.name == strings.ReplaceAll(name, "_", "-") {
			return &o
		}
	}
	return nil
}

func runOptionsSave(ctx context.Context, s *Session, c *call) error {
	path := s.settingsFile()
	if path == "" {
		return problemf("%s: there is no home folder to save in", c.path).hinting("set HOME or XDG_CONFIG_HOME")
	}
	var b strings.Builder
	b.WriteString("# Settings of gcrm at a terminal; written by options save.\n")
	for _, o := range sessionOptions() {
		if o.name != "force" { // overriding errors is a decision of the moment
			fmt.Fprintf(&b, "%s = %s\n", o.name, o.get(s))
		}
	}
	if s.rehearsing {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return writeFile(path, b.String())
}

func runOptionsLoad(ctx context.Context, s *Session, c *call) error { return s.LoadSettings(nil) }
