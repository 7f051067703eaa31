// Package systemd runs systemd units as cluster resources, over D-Bus.
package systemd

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	sd "github.com/coreos/go-systemd/v22/dbus"

	"gcrm/drivers"
)

// Options say where systemd is; the zero value is that of the host.
type Options struct {
	// Dial opens a connection to systemd; nil is the system bus, or
	// systemd's own socket where there is no bus.
	Dial func(ctx context.Context) (*sd.Conn, error)
	// UnitDirs are searched for unit files; nil are the usual places.
	UnitDirs []string
	// RuntimeDir takes the drop-ins written while a unit is a resource;
	// empty is /run/systemd/system.
	RuntimeDir string
}

// Finder finds units by their files.
type Finder struct{ o Options }

// NewFinder returns the finder of class systemd.
func NewFinder(o Options) *Finder {
	if o.Dial == nil {
		o.Dial = sd.NewWithContext
	}
	if o.UnitDirs == nil {
		o.UnitDirs = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}
	}
	if o.RuntimeDir == "" {
		o.RuntimeDir = "/run/systemd/system"
	}
	return &Finder{o}
}

// Find implements drivers.Finder. An instance of a template is found by the
// template's file.
func (f *Finder) Find(name drivers.Name) (drivers.Agent, drivers.Source, error) {
	unit := unitName(name.Type)
	missing := &drivers.NotFoundError{Name: name}
	if strings.ContainsAny(name.Type, "/\x00") || name.Type == "" {
		return nil, drivers.Source{}, missing
	}
	files := []string{unit}
	if before, after, ok := strings.Cut(unit, "@"); ok {
		files = append(files, before+"@"+after[strings.LastIndexByte(after, '.'):])
	}
	for _, dir := range f.o.UnitDirs {
		for _, file := range files {
			path := filepath.Join(dir, file)
			if _, err := os.Stat(path); err == nil {
				return &Unit{name: name, unit: unit, o: f.o}, drivers.Source{Kind: "systemd", Path: path}, nil
			}
		}
		missing.Places = append(missing.Places, filepath.Join(dir, unit))
	}
	return nil, drivers.Source{}, missing
}

// Providers implements drivers.Finder: the class has none.
func (f *Finder) Providers() []string { return nil }

// Types implements drivers.Finder.
func (f *Finder) Types(string) []string {
	var out []string
	for _, dir := range f.o.UnitDirs {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			name := e.Name()
			switch filepath.Ext(name) {
			case ".service":
				out = append(out, strings.TrimSuffix(name, ".service"))
			case ".socket", ".mount", ".timer", ".path", ".target":
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// unitName completes a name without suffix to that of a service.
func unitName(typ string) string {
	switch filepath.Ext(typ) {
	case ".service", ".socket", ".mount", ".timer", ".path", ".target", ".device", ".automount", ".swap", ".slice", ".scope":
		return typ
	}
	return typ + ".service"
}
