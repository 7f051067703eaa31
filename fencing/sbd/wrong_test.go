package sbd

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/fencing"
	"gcrm/fencing/methodtest"
)

// TestSBDGoesWrong: on a loop device that the real sbd initialized.
func TestSBDGoesWrong(t *testing.T) {
	dev := loop(t)
	sbd(t, dev, "-1", "1", "-4", "2", "-2", "0", "create")
	sbd(t, dev, "allocate", "n1")
	methodtest.Run(t, map[methodtest.Situation]methodtest.Case{
		methodtest.WrongPassword: {Cannot: "a disk has no password; who reaches it may write"},
		methodtest.Timeout: {Text: "shorter than the disk's msgwait", Hint: "pcmk_off_timeout", Do: func(t *testing.T) fencing.Outcome {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return do(ctx, dev, fencing.Off, "n1")
		}},
		methodtest.Garbage: {Text: "disk", Hint: "initialized", Do: func(t *testing.T) fencing.Outcome {
			path := file(t)
			if err := os.WriteFile(path, []byte(strings.Repeat("no mailbox ", 1<<16)), 0o600); err != nil {
				t.Fatal(err)
			}
			return do(t.Context(), path, fencing.Off, "n1")
		}},
		methodtest.AlreadyOff: {Fine: "nobody reads the mailbox of a node that is off: the message is waited for as any other", Text: "message on 1 of 1 disks", Do: func(t *testing.T) fencing.Outcome {
			begun := time.Now()
			o := do(t.Context(), dev, fencing.Off, "n1")
			if d := time.Since(begun); d < 2*time.Second {
				t.Errorf("waited only %s", d)
			}
			if out := sbd(t, dev, "list"); !strings.Contains(out, "n1\toff\tn9") {
				t.Errorf("sbd sees:\n%s", out)
			}
			return o
		}},
		methodtest.GoneMidway: {Text: "reading", Hint: "reaches the disks", Do: func(t *testing.T) fencing.Outcome {
			path := created(t, "n1")
			out, err := exec.Command("losetup", "-f", "--show", path).CombinedOutput()
			if err != nil {
				t.Skipf("SKIPPED: no loop device can be had: %s", out)
			}
			short := strings.TrimSpace(string(out))
			defer exec.Command("losetup", "-d", short).Run()
			if err := os.Truncate(path, 512); err != nil { // the header is still there
				t.Fatal(err)
			}
			return do(t.Context(), short, fencing.Off, "n1")
		}},
	})
}

// TestDiskThatHangs: an access that does not end holds nobody up for longer than
// its time, and the buffer that the kernel may still write into is let go.
func TestDiskThatHangs(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the time of an access")
	}
	path := created(t, "n1")
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	begun := time.Now()
	err = d.access("reading", 0, 512, func(int64) (int, error) { <-release; return 512, nil })
	if err == nil || !strings.Contains(err.Error(), "takes longer than") || time.Since(begun) < ioTimeout {
		t.Errorf("%v after %s", err, time.Since(begun))
	}
	if _, err := d.Header(); err == nil || !strings.Contains(err.Error(), "earlier access hangs") {
		t.Error(err)
	}
	d.Close()
	close(release)
	methodtest.Until(t, "the file is closed when the access ends", func() bool {
		_, err := d.f.Stat()
		return errors.Is(err, os.ErrClosed)
	})
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		t.Error(err)
	}
}
