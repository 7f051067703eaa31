package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/fencing"
	"gcrm/fencing/keeper"
	"gcrm/fencing/sbd"
)

// A message on a shared disk kills a node: it ends itself when it reads it, and
// the others know that it did once msgwait is over.
func TestPoisonPill(t *testing.T) {
	t.Parallel() // it waits more than it works
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(disk, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := sbd.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	h := sbd.DefaultHeader()
	h.Allocate, h.Watchdog, h.MsgWait = 0, 2*time.Second, 4*time.Second
	if err := d.Create(h); err != nil {
		t.Fatal(err)
	}
	d.Close()
	methods := fencing.NewRegistry(map[string]fencing.Method{"fence_sbd": sbd.New()}, nil, nil)
	died := make(chan string, 9)
	k := 0
	hosts := cluster(t, 2, func(h *host) {
		h.methods = methods
		h.keeper = &keeper.Settings{Devices: []string{disk}, Timeout: 5 * time.Second}
		if h.reset = func(how sbd.Command, why string) { t.Errorf("the wrong node dies: %s", why) }; k == 1 {
			h.reset = func(how sbd.Command, why string) {
				died <- how.String() + ": " + why
				h.crash()
			}
		}
		k++
	})
	c1 := hosts[0].client()
	edit(t, c1, func(conf *cib.Element) {
		conf.Ensure("resources").Add(cib.NewElement("primitive", "id", "pill", "class", "stonith", "type", "fence_sbd").Add(
			cib.NewElement("instance_attributes", "id", "pill-ia").Add(cib.NewElement("nvpair", "id", "pill-devices", "name", "devices", "value", disk))))
	})
	wait(t, "the disk knows n2", func() error {
		r, err := c1.FenceTest(t.Context(), client.FenceTestRequest{Node: "n2"})
		if err == nil && !slices.ContainsFunc(r.Checks, func(k client.FenceCheck) bool { return k.Reached && k.Knows }) {
			err = fmt.Errorf("%+v", r)
		}
		return err
	})
	begun := time.Now()
	proof, err := c1.Fence(t.Context(), "n2", "reboot")
	if err != nil || !strings.HasPrefix(proof, "reported: ") || !strings.Contains(proof, "waited 4s") {
		t.Errorf("%s, %v", proof, err)
	}
	if took := time.Since(begun); took < h.MsgWait {
		t.Errorf("the proof came after %s, before msgwait was over", took)
	}
	select {
	case how := <-died:
		if how != "reset: a message on "+disk {
			t.Error(how)
		}
	case <-time.After(patience):
		t.Error("the node did not read the message")
	}
}

func TestKeeperSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sbd")
	if err := os.WriteFile(file, []byte("SBD_DEVICE=/dev/x\nSBD_WATCHDOG_TIMEOUT=9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file, dog string
		timeout   time.Duration
		disks     string
		want      *keeper.Settings
		err       string
	}{
		{"", "", 0, "", nil, ""},
		{"", "", time.Second, "", nil, "needs --watchdog"},
		{"", "/dev/w", 0, "", &keeper.Settings{Watchdog: "/dev/w", Timeout: 5 * time.Second}, ""},
		{"", "", 0, "/a;/b", &keeper.Settings{Devices: []string{"/a", "/b"}, Timeout: 5 * time.Second}, ""},
		{file, "", 0, "", &keeper.Settings{Devices: []string{"/dev/x"}, Watchdog: keeper.DefaultWatchdog, Timeout: 9 * time.Second}, ""},
		{file, "/dev/w", 7 * time.Second, "/c", &keeper.Settings{Devices: []string{"/c"}, Watchdog: "/dev/w", Timeout: 7 * time.Second}, ""},
		{file + "x", "", 0, "", nil, "no such file"},
	} {
		got, err := keeperSettings(c.file, c.dog, c.timeout, c.disks)
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%+v: %v", c, err)
			}
		case err != nil || (got == nil) != (c.want == nil):
			t.Errorf("%+v: %+v, %v", c, got, err)
		case got != nil && (got.Watchdog != c.want.Watchdog || got.Timeout != c.want.Timeout || !slices.Equal(got.Devices, c.want.Devices)):
			t.Errorf("%+v: %+v", c, got)
		}
	}
}
