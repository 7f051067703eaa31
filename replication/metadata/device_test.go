package metadata

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// memory is a device in memory that can fail from the nth write on.
type memory struct {
	data      []byte
	writes    int
	failAfter int // writes that succeed; 0 never fails
	tear      int // bytes of the failing write that still arrive
}

var errDead = errors.New("the device is dead")

func (m *memory) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(m.data)) {
		return 0, io.EOF
	}
	n := copy(b, m.data[off:])
	if n < len(b) {
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}

func (m *memory) WriteAt(b []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(b)) > int64(len(m.data)) {
		return 0, errors.New("write outside of the device")
	}
	m.writes++
	if m.failAfter > 0 && m.writes > m.failAfter {
		if m.writes == m.failAfter+1 {
			copy(m.data[off:], b[:min(m.tear, len(b))])
		}
		return 0, errDead
	}
	return copy(m.data[off:], b), nil
}

func (m *memory) Sync() error {
	if m.failAfter > 0 && m.writes >= m.failAfter {
		return errDead
	}
	return nil
}

func sharedDir(t testing.TB, sub string) string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "shared", sub)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("reference material is not here: %v", err)
	}
	return dir
}

// gunzip reads a compressed sample.
func gunzip(t testing.TB, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// drbdmeta is the real tool on a loop device over a file.
type drbdmeta struct {
	t    *testing.T
	file string
	loop string
	fmt  string // internal, flex-external or a number
}

// newDrbdmeta puts image on a loop device. It skips without the tool or without
// the right to make loop devices.
func newDrbdmeta(t *testing.T, image []byte, format string) *drbdmeta {
	t.Helper()
	d := newDrbdmetaOfSize(t, int64(len(image)), format)
	if err := os.WriteFile(d.loop, image, 0); err != nil {
		t.Fatal(err)
	}
	return d
}

// newDrbdmetaOfSize makes a sparse disk of size bytes.
func newDrbdmetaOfSize(t *testing.T, size int64, format string) *drbdmeta {
	t.Helper()
	if _, err := exec.LookPath("drbdmeta"); err != nil {
		t.Skipf("drbdmeta is not installed (apt-get install drbd-utils): %v", err)
	}
	d := &drbdmeta{t: t, file: filepath.Join(t.TempDir(), "disk"), fmt: format}
	if err := os.WriteFile(d.file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.file, size); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "-f", "--show", d.file).Output()
	if err != nil {
		t.Skipf("no loop devices here: %v", err)
	}
	d.loop = strings.TrimSpace(string(out))
	t.Cleanup(func() {
		// While anybody looks at the device (udev, blkid), it is only marked.
		for range 200 {
			_ = exec.Command("losetup", "-d", d.loop).Run()
			if exec.Command("losetup", d.loop).Run() != nil {
				return
			}
			time.Sleep(25 * time.Millisecond)
		}
		t.Errorf("%s is left attached", d.loop)
	})
	return d
}

// run gives standard output and the exit code.
func (d *drbdmeta) run(args ...string) (string, int) {
	d.t.Helper()
	cmd := exec.Command("drbdmeta", append([]string{"--force", "7", "v08", d.loop, d.fmt}, args...)...)
	cmd.Stdin = strings.NewReader("yes\n")
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		d.t.Fatal(err)
	}
	code := cmd.ProcessState.ExitCode()
	if code != 0 {
		d.t.Logf("drbdmeta %v: exit %d %s", args, code, stderr.String())
	}
	return out.String(), code
}

// image is what is on the disk now.
func (d *drbdmeta) image() []byte {
	d.t.Helper()
	f, err := os.Open(d.loop)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		d.t.Fatal(err)
	}
	return b
}

// body is a dump from its version line on: without time, host and command.
func body(dump string) string {
	if i := strings.Index(dump, "version \"v08\""); i >= 0 {
		return dump[i:]
	}
	return dump
}

// firstDifference describes where two images differ.
func firstDifference(t testing.TB, want, got []byte) {
	t.Helper()
	if len(want) != len(got) {
		t.Errorf("images of %d and %d bytes", len(want), len(got))
	}
	n := 0
	for i := range want {
		if want[i] != got[i] {
			if n++; n <= 5 {
				t.Errorf("byte %d (block %d + %d): want %02x, got %02x", i, i/BlockSize, i%BlockSize, want[i], got[i])
			}
		}
	}
	if n > 5 {
		t.Errorf("%d bytes differ", n)
	}
}
