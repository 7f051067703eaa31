package keeper

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gcrm/fencing/sbd"
)

// timer is a watchdog that notes when it would have fired.
type timer struct {
	mu       sync.Mutex
	timeout  time.Duration
	last     time.Time
	fired    bool
	disarmed bool
}

func (w *timer) Feed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.last.IsZero() && time.Since(w.last) > w.timeout {
		w.fired = true
	}
	w.last = time.Now()
	return nil
}

func (w *timer) starving() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fired || time.Since(w.last) > w.timeout
}

func (w *timer) Disarm() error          { w.disarmed = true; return nil }
func (w *timer) Timeout() time.Duration { return w.timeout }

// disk is a place at a disk in memory.
type disk struct {
	mu      sync.Mutex
	command sbd.Command
	broken  error
	hangs   chan struct{}
}

func (d *disk) Look() (sbd.Command, error) {
	d.mu.Lock()
	c, err, hangs := d.command, d.broken, d.hangs
	d.mu.Unlock()
	if hangs != nil {
		<-hangs
	}
	return c, err
}
func (d *disk) Every() time.Duration { return time.Second }
func (d *disk) Close()               {}

func (d *disk) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

type bench struct {
	k     *Keeper
	w     *timer
	disks []*disk
	mu    sync.Mutex
	reset []string
}

func (b *bench) resets() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.reset)
}

func setUp(t *testing.T, disks int, cluster bool) *bench {
	t.Helper()
	b := &bench{w: &timer{timeout: 5 * time.Second}}
	var names []string
	for i := range disks {
		b.disks = append(b.disks, &disk{})
		names = append(names, string(rune('0'+i)))
	}
	k, err := Start(Config{Node: "n1", Watchdog: b.w, Disks: names, Cluster: cluster,
		Open: func(_ context.Context, name string) (Station, error) { return b.disks[name[0]-'0'], nil },
		Reset: func(how sbd.Command, why string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.reset = append(b.reset, how.String()+": "+why)
		}})
	if err != nil {
		t.Fatal(err)
	}
	b.k = k
	return b
}

// tell lets the cluster say the same for a time.
func (b *bench) tell(d time.Duration, quorate bool) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		b.k.Told(quorate, true)
	}
}

func TestKeeperWithoutDisks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, 0, true)
		time.Sleep(time.Minute) // it was never part of a cluster
		b.tell(time.Minute, true)
		if b.w.starving() || len(b.resets()) > 0 {
			t.Fatalf("a healthy node is reset: %v", b.resets())
		}
		b.tell(3*time.Second, false) // an election takes no longer
		b.tell(20*time.Second, true)
		if b.w.starving() || len(b.resets()) > 0 {
			t.Fatalf("reset during an election: %v", b.resets())
		}
		b.tell(12*time.Second, false)
		if got := b.resets(); !b.w.starving() || len(got) != 1 || got[0] != "reset: there is no quorum" {
			t.Errorf("without quorum: %v", got)
		}
		if err := b.k.Stop(); err != nil || !b.w.disarmed {
			t.Error("not disarmed")
		}
	})
}

func TestKeeperOfASilentDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, 0, true)
		b.tell(10*time.Second, true)
		time.Sleep(12 * time.Second)
		if got := b.resets(); !b.w.starving() || len(got) != 1 || !strings.Contains(got[0], "silent") {
			t.Errorf("%v", got)
		}
		b.k.Stop()
	})
}

// A node that is to be fenced by its watchdog is told to; it is not fed any more.
func TestKeeperIsToldToReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, 0, true)
		b.tell(10*time.Second, true)
		b.k.Reset("the cluster fences it")
		b.tell(12*time.Second, true)
		if got := b.resets(); !b.w.starving() || len(got) != 1 || got[0] != "reset: the cluster fences it" {
			t.Errorf("%v", got)
		}
		b.k.Stop()
	})
}

func TestKeeperReadsMailboxes(t *testing.T) {
	for command, want := range map[sbd.Command]string{sbd.Reset: "reset: a message on 1", sbd.Off: "off: a message on 1", sbd.CrashDump: "crashdump: a message on 1"} {
		synctest.Test(t, func(t *testing.T) {
			b := setUp(t, 3, false)
			time.Sleep(10 * time.Second)
			if b.w.starving() || len(b.resets()) > 0 {
				t.Fatal("reset without a message")
			}
			b.disks[1].set(func() { b.disks[1].command = command })
			time.Sleep(2 * time.Second)
			if got := b.resets(); len(got) != 1 || got[0] != want {
				t.Errorf("%v", got)
			}
			// What resets the machine may hang: then the watchdog does it.
			time.Sleep(6 * time.Second)
			if !b.w.starving() {
				t.Error("the watchdog is still fed")
			}
			b.k.Stop()
		})
	}
}

func TestKeeperLosesDisks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, 3, true)
		b.tell(10*time.Second, true)
		release := make(chan struct{})
		b.disks[0].set(func() { b.disks[0].hangs = release })
		b.tell(30*time.Second, false)
		if b.w.starving() {
			t.Fatal("two of three disks are enough")
		}
		b.disks[1].set(func() { b.disks[1].broken = errors.New("input/output error") })
		b.tell(30*time.Second, true)
		if b.w.starving() {
			t.Fatal("the cluster is well, so that disks may be lost")
		}
		b.tell(15*time.Second, false)
		if got := b.resets(); !b.w.starving() || len(got) != 1 || got[0] != "reset: 1 of 3 disks answer, and there is no quorum" {
			t.Errorf("%v", got)
		}
		close(release)
		b.k.Stop()
		b.k.disks.Wait()
	})
}

// TestPoisonPill: a real disk image in sbd's format; fence_sbd of another node
// puts the message there.
func TestPoisonPill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := sbd.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	h := sbd.DefaultHeader()
	h.Allocate = 0
	if err := d.Create(h); err != nil {
		t.Fatal(err)
	}
	reset := make(chan string, 9)
	k, err := Start(Config{Node: "n1", Timeout: 5 * time.Second, Disks: []string{path},
		Open:  func(ctx context.Context, p string) (Station, error) { return sbd.OpenStation(ctx, p, "n1", false) },
		Reset: func(how sbd.Command, why string) { reset <- how.String() + ": " + why }})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Stop()
	var slot sbd.Slot
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if slot, err = d.Find(h, "n1"); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	time.Sleep(100 * time.Millisecond) // the place is taken; what was there before is cleared
	for deadline := time.Now().Add(20 * time.Second); ; {
		if err := d.Send(slot, sbd.Reset, "n2"); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-reset:
			if got != "reset: a message on "+path {
				t.Error(got)
			}
			return
		case <-time.After(3 * time.Second):
		}
		if time.Now().After(deadline) {
			t.Fatal("the message was not read")
		}
	}
}

func TestParseSettings(t *testing.T) {
	s, err := ParseSettings("# a comment\nSBD_DEVICE=\"/dev/a;/dev/b\"\nSBD_WATCHDOG_TIMEOUT=7\nSBD_STARTMODE=clean\nSBD_WATCHDOG_DEV=/dev/watchdog1 # the second\nSBD_OPTS=\"-n x\"\n")
	if err != nil || !slices.Equal(s.Devices, []string{"/dev/a", "/dev/b"}) || s.Timeout != 7*time.Second || !s.Clean || s.Watchdog != "/dev/watchdog1" {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := ParseSettings(""); err != nil || s.Watchdog != DefaultWatchdog || s.Timeout != 5*time.Second {
		t.Errorf("%+v, %v", s, err)
	}
	for _, bad := range []string{"SBD_WATCHDOG_TIMEOUT=soon", "nonsense", "SBD_DEVICE=\"/dev/a"} {
		if _, err := ParseSettings(bad); err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
