package sbd

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/fencing"
)

func file(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var quick = Header{Watchdog: 0, Allocate: 0, Loop: time.Second, MsgWait: time.Second}

func created(t *testing.T, nodes ...string) string {
	t.Helper()
	path := file(t)
	d := open(t, path)
	if err := d.Create(quick); err != nil {
		t.Fatal(err)
	}
	h, err := d.Header()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if _, err := d.Allocate(t.Context(), h, n); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func open(t *testing.T, path string) *Disk {
	t.Helper()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// loop makes a loop device of a file, for the real sbd.
func loop(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("sbd"); err != nil {
		t.Skip("the counterpart sbd is not installed (package sbd)")
	}
	out, err := exec.Command("losetup", "-f", "--show", file(t)).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device can be had: %s", out)
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() { exec.Command("losetup", "-d", dev).Run() })
	return dev
}

func sbd(t *testing.T, dev string, args ...string) string {
	t.Helper()
	out, err := exec.Command("sbd", append([]string{"-d", dev}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("sbd %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// TestDiskOfTheRealSBD: gcrm works on a disk that sbd initialized, and the
// other way round.
func TestDiskOfTheRealSBD(t *testing.T) {
	dev := loop(t)
	sbd(t, dev, "-1", "2", "-4", "4", "-2", "1", "create")
	sbd(t, dev, "allocate", "n1")
	d := open(t, dev)
	h, err := d.Header()
	if err != nil || h.Watchdog != 2*time.Second || h.MsgWait != 4*time.Second || h.Allocate != time.Second || h.Slots != 255 {
		t.Fatalf("%+v, %v", h, err)
	}
	if s, err := d.Allocate(t.Context(), h, "N2"); err != nil || s.Number != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	s, err := d.Find(h, "N1")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Send(s, Reset, "n9"); err != nil {
		t.Fatal(err)
	}
	if out := sbd(t, dev, "list"); !strings.Contains(out, "n1\treset\tn9") || !strings.Contains(out, "N2\tclear") {
		t.Errorf("sbd sees:\n%s", out)
	}
	sbd(t, dev, "message", "N2", "test")
	if s, err = d.Find(h, "n2"); err != nil || s.Command != Test || s.From == "" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestRealSBDReadsOurDisk(t *testing.T) {
	dev := loop(t)
	d := open(t, dev)
	if err := d.Create(DefaultHeader()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Header version     : 2.1", "Number of slots    : 255", "Sector size        : 512", "Timeout (watchdog) : 5", "Timeout (allocate) : 2", "Timeout (loop)     : 1", "Timeout (msgwait)  : 10"} {
		if out := sbd(t, dev, "dump"); !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
	sbd(t, dev, "allocate", "n1")
	h, _ := d.Header()
	if s, err := d.Find(h, "n1"); err != nil || s.Number != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func do(ctx context.Context, devices, action, plug string) fencing.Outcome {
	return New().Do(ctx, fencing.Call{Device: "d", Action: action, Plug: plug, Target: plug, Self: "n9", Params: map[string]string{"devices": devices}})
}

func TestMethod(t *testing.T) {
	a, b, c := created(t, "n1", "n2"), created(t, "n1", "n2"), created(t, "n1")
	three := strings.Join([]string{a, b, c}, ",")
	if o := do(t.Context(), three, fencing.List, ""); strings.Join(o.Hosts, " ") != "n1 n2" {
		t.Errorf("list: %+v", o)
	}
	if o := do(t.Context(), three, fencing.Status, "n1"); o.Power != fencing.PowerOn {
		t.Errorf("status: %+v", o)
	}
	begun := time.Now()
	if o := do(t.Context(), three, fencing.Reboot, "N1"); o.Code != fencing.Succeeded || time.Since(begun) < time.Second {
		t.Errorf("reboot after %s: %+v", time.Since(begun), o)
	}
	if o := do(t.Context(), three, fencing.Status, "n1"); o.Power != fencing.PowerUnknown || o.Code != fencing.Succeeded {
		t.Errorf("status with a message: %+v", o)
	}
	if o := do(t.Context(), three, fencing.On, "n1"); o.Code != fencing.Succeeded {
		t.Errorf("on: %+v", o)
	}
	if o := do(t.Context(), three, fencing.Status, "n1"); o.Power != fencing.PowerOn {
		t.Errorf("status after on: %+v", o)
	}
	// Two of three disks are enough, one of two is not.
	gone := filepath.Join(t.TempDir(), "gone")
	if o := do(t.Context(), strings.Join([]string{a, gone, b}, ","), fencing.Off, "n2"); o.Code != fencing.Succeeded {
		t.Errorf("one disk is gone: %+v", o)
	}
	if o := do(t.Context(), a+","+gone, fencing.Off, "n2"); o.Code != fencing.Failed || !strings.Contains(o.Text, "1 of 2 disks") {
		t.Errorf("one of two: %+v", o)
	}
	for name, o := range map[string]fencing.Outcome{
		"no slot":         do(t.Context(), a, fencing.Off, "n7"),
		"not initialized": do(t.Context(), file(t), fencing.Off, "n1"),
		"no disk":         do(t.Context(), "", fencing.Off, "n1"),
	} {
		if o.Code != fencing.Failed || o.Hint == "" {
			t.Errorf("%s: %+v", name, o)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if o := do(ctx, a, fencing.Off, "n1"); o.Code != fencing.Failed || !strings.Contains(o.Hint, "pcmk_off_timeout") {
		t.Errorf("too short: %+v", o)
	}
}

func TestTimesMustFit(t *testing.T) {
	if err := open(t, file(t)).Create(Header{Watchdog: 10 * time.Second, MsgWait: 15 * time.Second}); err == nil {
		t.Error("msgwait is too short, and nobody complains")
	}
}

func TestLongAndLostNames(t *testing.T) {
	path := created(t)
	d := open(t, path)
	h, _ := d.Header()
	if _, err := d.Allocate(t.Context(), h, strings.Repeat("x", 64)); err == nil {
		t.Error("a name of 64 bytes has a slot")
	}
	long := strings.Repeat("y", 63)
	if _, err := d.Allocate(t.Context(), h, long); err != nil {
		t.Fatal(err)
	}
	if s, err := d.Find(h, long); err != nil || s.Name != long {
		t.Errorf("%+v, %v", s, err)
	}
}

func FuzzHeader(f *testing.F) {
	b := make([]byte, 512)
	DefaultHeader().encode(b)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := decodeHeader(b); err == nil && h.SectorSize != len(b) {
			t.Errorf("%+v", h)
		}
	})
}
