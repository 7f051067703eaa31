package durable

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, content := range []string{"first\n", "", "third, longer than the first\n"} {
		if err := Write(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		expect(t, path, content, 0o640)
	}
	alone(t, dir, "file")
}

// A failure on the way leaves the old file, and nothing beside it.
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := Write(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	for name, prepare := range map[string]func(*os.File) error{
		"refused": func(*os.File) error { return refused },
		"closed":  func(f *os.File) error { return f.Close() }, // the sync fails
	} {
		err := Write(path, []byte("new"), 0o644, prepare)
		if err == nil || name == "refused" && !errors.Is(err, refused) {
			t.Errorf("%s: error %v", name, err)
		}
		expect(t, path, "old", 0o600)
		alone(t, dir, "file")
	}
	if err := Write(filepath.Join(dir, "none", "file"), nil, 0o600); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a folder that does not exist: %v", err)
	}
	folder := filepath.Join(dir, "folder")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(folder, []byte("new"), 0o644); err == nil {
		t.Error("a folder was replaced")
	}
	alone(t, dir, "file", "folder")
}

// Who may write to the folder cannot turn the write on another file.
func TestWriteReplacesLinks(t *testing.T) {
	dir := t.TempDir()
	other, link := filepath.Join(dir, "other"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(other, []byte("precious"), 0o600), os.Symlink(other, link)); err != nil {
		t.Fatal(err)
	}
	if err := Write(link, []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	expect(t, other, "precious", 0o600)
	expect(t, link, "new", 0o644)
}

func expect(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != content {
		t.Errorf("%s has %q (%v), not %q", path, got, err, content)
	}
	st, err := os.Lstat(path)
	if err != nil || st.Mode() != mode {
		t.Errorf("%s: mode %v (%v), not %v", path, st.Mode(), err, mode)
	}
}

func alone(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(names) {
		t.Errorf("the folder has %v (%v), not %v", entries, err, names)
	}
}
