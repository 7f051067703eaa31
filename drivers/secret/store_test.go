package secret

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStoreKeepsTheLatest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "secrets")
	s := NewStore(dir)
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("a folder that is not there: %v %v", list, err)
	}
	at := func(version uint64, held bool) Entry { return Entry{"db", "password", version, held} }
	if err := s.Put(at(5, true), "geheim"); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"db/password", "db/password.sign", "db/password.version"} {
		if st, err := os.Stat(filepath.Join(dir, f)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f, st, err)
		}
	}
	if st, err := os.Stat(filepath.Join(dir, "db")); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v %v", st, err)
	}
	if f, err := Fill(dir, "db", map[string]string{"password": Marker}); err != nil || f.Params["password"] != "geheim" {
		t.Errorf("filled: %v %v", f.Params, err)
	}
	if err := s.Put(at(5, true), "geheim"); err != nil {
		t.Errorf("the same again: %v", err)
	}
	for _, e := range []Entry{at(5, true), at(4, true), at(4, false)} {
		if err := s.Put(e, "older"); !errors.Is(err, ErrOutdated) {
			t.Errorf("%v: %v", e, err)
		}
	}
	if err := s.Put(at(6, false), ""); err != nil {
		t.Fatal(err)
	}
	if text, e, err := s.Get("db", "password"); !errors.Is(err, fs.ErrNotExist) || text != "" || e != at(6, false) {
		t.Errorf("removed: %q %v %v", text, e, err)
	}
	if err := s.Put(at(5, true), "geheim"); !errors.Is(err, ErrOutdated) {
		t.Errorf("what was removed came back: %v", err)
	}
	if list, err := s.List(); err != nil || len(list) != 1 || list[0] != at(6, false) {
		t.Errorf("list: %v %v", list, err)
	}
	if err := s.Put(at(7, true), "again"); err != nil {
		t.Fatal(err)
	}
	if text, _, err := s.Get("db", "password"); err != nil || text != "again" {
		t.Errorf("%q %v", text, err)
	}
	// A crash between the files: the version is the old one, the value is told
	// to be damaged, and a newer one mends it.
	if err := os.WriteFile(filepath.Join(dir, "db", "password"), []byte("torn\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, e, err := s.Get("db", "password"); err == nil || !strings.Contains(err.Error(), "does not match") || e.Version != 7 {
		t.Errorf("damaged: %v %v", e, err)
	}
	if err := s.Put(at(8, true), "mended"); err != nil {
		t.Error(err)
	}
}

func TestNamesStayInTheFolder(t *testing.T) {
	for _, bad := range [][3]string{{"../x", "p", ""}, {"r", "../../etc/passwd", ""}, {"", "p", ""}, {"r", "", ""}, {"..", "p", ""},
		{"r", "p.sign", ""}, {"r", "p.version", ""}, {"r", "p", "two\nlines"}, {"r", "p\x00", ""}, {"r", strings.Repeat("x", 300), ""}} {
		if Check(bad[0], bad[1], bad[2]) == nil {
			t.Errorf("%q is accepted", bad)
		}
		if NewStore(t.TempDir()).Put(Entry{bad[0], bad[1], 1, true}, bad[2]) == nil {
			t.Errorf("%q is stored", bad)
		}
	}
}
