package cib

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

func TestFileStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cib.xml")
	if _, err := OpenFile(path, false); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	f, err := OpenFile(path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := OpenFile(path, true); !errors.Is(err, ErrLocked) {
		t.Errorf("second editor: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("opening made the file")
	}
	if err := f.Save(f.CIB); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := f.Save(f.CIB); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("save after close: %v", err)
	}

	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if f, err = OpenFile(link, false); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	next := f.CIB.Clone()
	next.Section("nodes").Add(NewElement("node", "id", "1", "uname", "a"))
	if err := f.Save(next); err != nil {
		t.Fatal(err)
	}
	if err := f.Save(next); err != nil {
		t.Errorf("saving twice: %v", err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("permissions: %v %v", st.Mode(), err)
	}
	if fi, _ := os.Lstat(link); fi.Mode()&fs.ModeSymlink == 0 {
		t.Error("the link was replaced")
	}
	back, err := ReadFile(path)
	if err != nil || !back.Root.Equal(next.Root) {
		t.Errorf("read back: %v\n%v", err, back)
	}

	// Somebody who does not know the lock.
	if err := os.WriteFile(path, []byte(next.String()+"\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := f.Save(New()); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), path) {
		t.Errorf("overwrote a foreign change: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := f.Save(New()); !errors.Is(err, ErrConflict) {
		t.Errorf("recreated a removed file: %v", err)
	}
	entries, _ := os.ReadDir(filepath.Dir(path))
	for _, e := range entries {
		if strings.Contains(e.Name(), ".new") {
			t.Errorf("left behind: %s", e.Name())
		}
	}
}

// TestFileLockExcludes lets many editors increment a number in one file; none
// of the increments may be lost, and no lock file may stay.
func TestFileLockExcludes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cib.xml")
	const editors, rounds = 6, 20
	var wg sync.WaitGroup
	for range editors {
		wg.Go(func() {
			for range rounds {
				var f *File
				for {
					var err error
					if f, err = OpenFile(path, true); err == nil {
						break
					}
					if !errors.Is(err, ErrLocked) {
						t.Error(err)
						return
					}
					time.Sleep(100 * time.Microsecond)
				}
				next := f.CIB.Clone()
				v := next.Version()
				v.Epoch++
				next.SetVersion(v)
				if err := f.Save(next); err != nil {
					t.Error(err)
				}
				f.Close()
			}
		})
	}
	wg.Wait()
	c, err := ReadFile(path)
	if err != nil || c.Version().Epoch != editors*rounds {
		t.Errorf("%v, %v; want %d", c.Version(), err, editors*rounds)
	}
	entries, _ := os.ReadDir(filepath.Dir(path))
	if len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestSaveFileFailure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "cib.xml")
	err := SaveFile(path, New())
	fe, ok := errors.AsType[*FileError](err)
	if !ok || fe.Path != path || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	bad := filepath.Join(t.TempDir(), "bad.xml")
	if err := os.WriteFile(bad, []byte("<cib>\n<oops"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(bad, false); err == nil || !strings.Contains(err.Error(), "xml:2:") {
		t.Errorf("%v", err)
	}
	f, err := OpenFile(bad, true)
	if err == nil {
		f.Close()
		t.Error("a broken file counts as an empty CIB")
	}
	if _, err := ReadFile(t.TempDir()); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("%v", err)
	}
}

func TestReadIsBounded(t *testing.T) {
	text := New().String()
	lim := FileLimits
	lim.Bytes = len(text)
	c, err := Read(iotest.OneByteReader(strings.NewReader(text)), lim)
	if err != nil || c.String() != text {
		t.Fatalf("%v\n%v", err, c)
	}
	for _, expected := range []int64{0, 7, int64(len(text)), int64(len(text)) + 100} {
		data, err := readAll(strings.NewReader(text), expected, FileLimits)
		if err != nil || string(data) != text {
			t.Errorf("expected %d: %v %q", expected, err, data)
		}
		lim.Bytes = len(text) - 1
		if data, err = readAll(strings.NewReader(text), expected, lim); err == nil {
			t.Errorf("expected %d: read %d bytes with a limit of %d", expected, len(data), lim.Bytes)
		}
	}
	if _, err := Read(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(text))), FileLimits); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("error of the reader: %v", err)
	}
	if _, err := Read(strings.NewReader(""), FileLimits); err == nil {
		t.Error("read a CIB from nothing")
	}
}

// A large file is read into memory of another kind; nothing else is different.
func TestReadLargeFile(t *testing.T) {
	var b strings.Builder
	b.WriteString(`<cib><configuration><resources>`)
	for i := range 30000 {
		fmt.Fprintf(&b, `<primitive id="r%d" class="ocf" provider="p%d" type="T"><meta_attributes id="r%d-m"><nvpair id="r%d-n" name="a" value="%d &lt;"/></meta_attributes></primitive>`, i, i%7, i, i, i)
	}
	b.WriteString(`</resources></configuration></cib>`)
	if b.Len() < largeDocument {
		t.Fatalf("%d bytes are not large", b.Len())
	}
	path := filepath.Join(t.TempDir(), "cib.xml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	large, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Parse(b.String())
	if err != nil || !large.Root.Equal(want.Root) || large.String() != want.String() {
		t.Errorf("read another document than was written: %v", err)
	}
	s := inLargePages[Element](100000)
	for i := range s {
		if s[i].Name != "" || s[i].Attrs != nil {
			t.Fatalf("element %d is not empty: %v", i, s[i])
		}
		s[i].Name = "x"
	}
	if len(inLargePages[Attr](0)) != 0 || len(inLargePages[byte](1)) != 1 {
		t.Error("small pieces have another length")
	}
}
