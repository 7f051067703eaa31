package gfs2

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// makeFilesystem makes a file system in a file.
func makeFilesystem(t *testing.T, args ...string) string {
	t.Helper()
	mkfs, err := exec.LookPath("mkfs.gfs2")
	if err != nil {
		t.Skip("SKIPPED: no mkfs.gfs2 here (package gfs2-utils)")
	}
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 100<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), mkfs, append(append([]string{"-O", "-q", "-K", "-J", "8"}, args...), path)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

func TestRealFilesystems(t *testing.T) {
	for _, c := range []struct {
		args     []string
		protocol string
		table    string
		journals int
	}{
		{[]string{"-p", "lock_dlm", "-t", "cluster1:kvm1", "-j", "2"}, "lock_dlm", "cluster1:kvm1", 2},
		{[]string{"-p", "lock_dlm", "-t", "a:b", "-j", "5", "-b", "1024"}, "lock_dlm", "a:b", 5},
		{[]string{"-p", "lock_nolock", "-j", "1"}, "lock_nolock", "", 1},
	} {
		s, journals, err := Device(makeFilesystem(t, c.args...))
		if err != nil || s.Protocol != c.protocol || s.Table != c.table || journals != c.journals {
			t.Errorf("%v: %+v, %d journals, %v", c.args, s, journals, err)
		}
		if got := fmt.Sprint(s.Cluster(), ":", s.Space()); c.table != "" && got != c.table {
			t.Error(got)
		}
	}
}

func TestWhatIsNone(t *testing.T) {
	for _, b := range [][]byte{nil, make([]byte, 1<<20), bytes.Repeat([]byte{1, 0x16, 0x19, 0x70, 0, 0, 0, 1}, 1<<15)} {
		s, err := Read(bytes.NewReader(b))
		if err == nil {
			_, err = s.Journals(bytes.NewReader(b))
		}
		if err == nil {
			t.Errorf("%d bytes were taken", len(b))
		}
	}
	if _, err := Read(bytes.NewReader(make([]byte, 1<<20))); !errors.Is(err, ErrNotGFS2) {
		t.Error(err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte{}, []byte{1, 22, 25, 112, 0, 0, 0, 4})
	f.Fuzz(func(t *testing.T, super, rest []byte) {
		image := make([]byte, superblockAt+512+len(rest))
		copy(image[superblockAt:], super)
		copy(image[superblockAt+512:], rest)
		if s, err := Read(bytes.NewReader(image)); err == nil {
			_, _ = s.Journals(bytes.NewReader(image))
		}
	})
}

func TestWithdrawn(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "cluster1:kvm1")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"0\n": false, "1\n": true} {
		if err := os.WriteFile(filepath.Join(dir, "withdraw"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := withdrawn(root, "cluster1:kvm1"); got != want || err != nil {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
	if _, err := withdrawn(root, "none"); err == nil {
		t.Error("a file system that is not mounted")
	}
}
