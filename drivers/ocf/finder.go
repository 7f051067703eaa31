// Package ocf runs unmodified OCF resource agent scripts.
package ocf

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"gcrm/drivers"
)

// DefaultRoot is where agent packages install ($OCF_ROOT).
const DefaultRoot = "/usr/lib/ocf"

// Finder finds scripts below ROOT/resource.d/PROVIDER/TYPE.
type Finder struct {
	root string

	mu    sync.Mutex
	cache map[string]cached // meta-data by path
}

type cached struct {
	modified time.Time
	size     int64
	xml      string
}

// NewFinder looks below root, DefaultRoot if it is empty.
func NewFinder(root string) *Finder {
	if root == "" {
		root = DefaultRoot
	}
	return &Finder{root: root, cache: map[string]cached{}}
}

// Find implements drivers.Finder.
func (f *Finder) Find(name drivers.Name) (drivers.Agent, drivers.Source, error) {
	path := filepath.Join(f.root, "resource.d", name.Provider, name.Type)
	missing := &drivers.NotFoundError{Name: name, Places: []string{path}}
	if !agentName(name.Provider) || !agentName(name.Type) {
		return nil, drivers.Source{}, missing
	}
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, drivers.Source{}, missing
	case err != nil:
		return nil, drivers.Source{}, &drivers.UnusableError{Name: name, Path: path, Why: "cannot be read: " + err.Error()}
	case !st.Mode().IsRegular():
		return nil, drivers.Source{}, &drivers.UnusableError{Name: name, Path: path, Why: "is not a file"}
	case st.Mode()&0o111 == 0:
		return nil, drivers.Source{}, &drivers.UnusableError{Name: name, Path: path, Why: "is not executable (chmod 755 makes it so)"}
	}
	return &Script{name: name, path: path, root: f.root, finder: f}, drivers.Source{Kind: "script", Path: path}, nil
}

// Providers implements drivers.Finder.
func (f *Finder) Providers() []string {
	entries, _ := os.ReadDir(filepath.Join(f.root, "resource.d"))
	var out []string
	for _, e := range entries {
		if agentName(e.Name()) && len(f.types(e.Name())) > 0 {
			out = append(out, e.Name())
		}
	}
	return out
}

// Types implements drivers.Finder.
func (f *Finder) Types(provider string) []string {
	if provider != "" {
		return f.types(provider)
	}
	var out []string
	for _, p := range f.Providers() {
		out = append(out, f.types(p)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (f *Finder) types(provider string) []string {
	dir := filepath.Join(f.root, "resource.d", provider)
	entries, _ := os.ReadDir(dir)
	var out []string
	for _, e := range entries {
		if !agentName(e.Name()) {
			continue
		}
		st, err := os.Stat(filepath.Join(dir, e.Name())) // follows links
		if err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			out = append(out, e.Name())
		}
	}
	return out
}

// agentName tells names of agents from those of the files lying beside them.
func agentName(s string) bool {
	return s != "" && !strings.HasPrefix(s, ".") && !strings.ContainsAny(s, "/\x00") &&
		!strings.HasSuffix(s, ".sh") && !strings.HasSuffix(s, ".metadata")
}

// metadata asks the script, once per version of its file.
func (f *Finder) metadata(ctx context.Context, s *Script) (string, error) {
	st, err := os.Stat(s.path)
	if err != nil {
		return "", fmt.Errorf("agent %s: %w", s.name, err)
	}
	f.mu.Lock()
	c, ok := f.cache[s.path]
	f.mu.Unlock()
	if ok && c.modified.Equal(st.ModTime()) && c.size == st.Size() {
		return c.xml, nil
	}
	xml, err := s.askMetadata(ctx)
	if err != nil {
		return "", err
	}
	f.mu.Lock()
	f.cache[s.path] = cached{st.ModTime(), st.Size(), xml}
	f.mu.Unlock()
	return xml, nil
}
