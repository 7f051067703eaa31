package watchdog

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernel is a fake of the watchdog driver.
type kernel struct {
	bytes.Buffer
	granted  int32
	disabled bool
	closed   bool
	refuse   bool
}

func (k *kernel) Close() error { k.closed = true; return nil }

func (k *kernel) ioctl(request uint, arg unsafe.Pointer) error {
	if k.refuse {
		return unix.ENOTTY
	}
	switch request {
	case setTimeout:
		if k.granted > 0 {
			*(*int32)(arg) = k.granted
		}
		k.granted = *(*int32)(arg)
	case setOptions:
		k.disabled = *(*int32)(arg) == disable
	case getSupport:
		copy(unsafe.Slice((*byte)(unsafe.Add(arg, 8)), 32), "Software Watchdog\x00")
	}
	return nil
}

func TestDevice(t *testing.T) {
	k := &kernel{}
	d, err := arm(k, k.ioctl, "/dev/watchdog", 5*time.Second)
	if err != nil || d.Timeout() != 5*time.Second || d.Name() != "Software Watchdog" {
		t.Fatalf("%+v, %v", d, err)
	}
	if n := testing.AllocsPerRun(100, func() { d.Feed() }); n > 1 { // the fake's buffer may grow
		t.Errorf("feeding allocates %v times", n)
	}
	if strings.Contains(k.String(), "V") {
		t.Error("disarmed while it is fed")
	}
	if err := d.Disarm(); err != nil || !strings.HasSuffix(k.String(), "V") || !k.closed || !k.disabled {
		t.Errorf("%v, %+v", err, k)
	}
}

func TestDeviceThatIsTooSlowOrNone(t *testing.T) {
	k := &kernel{granted: 60}
	if _, err := arm(k, k.ioctl, "w", 5*time.Second); err == nil || !strings.Contains(err.Error(), "grants 1m0s") || !k.closed {
		t.Errorf("%v, %+v", err, k)
	}
	k = &kernel{refuse: true}
	if _, err := arm(k, k.ioctl, "w", 5*time.Second); !errors.Is(err, unix.ENOTTY) || !k.closed {
		t.Errorf("%v, %+v", err, k)
	}
	if _, err := Open(t.TempDir()+"/none", time.Second); err == nil || !strings.Contains(err.Error(), "softdog") {
		t.Error(err)
	}
}

func TestGuard(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	for _, c := range []struct {
		name string
		rule Rule
		do   func(*Guard)
		now  int
		feed bool
		why  string
	}{
		{"disks: just begun", Rule{Disks: 1, Patience: 4 * time.Second}, func(*Guard) {}, 3, true, ""},
		{"disks: never read", Rule{Disks: 1, Patience: 4 * time.Second}, func(*Guard) {}, 5, false, "0 of 1 disks"},
		{"disks: two of three", Rule{Disks: 3, Patience: 4 * time.Second}, func(g *Guard) { g.Answered(0, at(8)); g.Answered(2, at(9)) }, 10, true, ""},
		{"disks: one of two", Rule{Disks: 2, Patience: 4 * time.Second}, func(g *Guard) { g.Answered(0, at(8)) }, 10, false, "1 of 2"},
		{"disks lost, cluster well", Rule{Disks: 1, Patience: time.Second, Cluster: true, Stale: 2 * time.Second}, func(g *Guard) { g.Told(at(9), true, true) }, 10, true, ""},
		{"disks lost, no quorum", Rule{Disks: 1, Patience: time.Second, Cluster: true, Stale: 2 * time.Second}, func(g *Guard) { g.Told(at(9), false, true) }, 10, false, "no quorum"},
		{"no disks, never in a cluster", Rule{Cluster: true, Stale: time.Second}, func(*Guard) {}, 100, true, ""},
		{"no disks, only ever without quorum", Rule{Cluster: true, Stale: time.Second}, func(g *Guard) { g.Told(at(1), false, true) }, 100, true, ""},
		{"no disks, quorum lost", Rule{Cluster: true, Stale: time.Second}, func(g *Guard) { g.Told(at(1), true, true); g.Told(at(10), false, true) }, 10, false, "no quorum"},
		{"no disks, daemon silent", Rule{Cluster: true, Stale: time.Second}, func(g *Guard) { g.Told(at(1), true, true) }, 3, false, "silent"},
		{"no disks, daemon ill", Rule{Cluster: true, Stale: time.Second}, func(g *Guard) { g.Told(at(1), true, true); g.Told(at(2), true, false) }, 2, false, "not well"},
	} {
		g := NewGuard(c.rule, start)
		c.do(g)
		if feed, why := g.Feed(at(c.now)); feed != c.feed || !strings.Contains(why, c.why) {
			t.Errorf("%s: %v %q", c.name, feed, why)
		}
	}
}
