package admin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/replication/drbdconf"
)

func load(t *testing.T, text string) *drbdconf.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "drbd.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	conf, err := LoadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	return conf
}

const hosts = `
  on a { device /dev/drbd1 minor 1; disk /dev/null; meta-disk internal; address 127.0.0.1:7001; }
  on b { device /dev/drbd1 minor 1; disk /dev/null; meta-disk internal; address 127.0.0.2:7001; }`

// TestOptions: what has no effect is named, what cannot be is refused, and the rest
// arrives.
func TestOptions(t *testing.T) {
	for _, c := range []struct{ options, ignored, refused string }{
		{"", "", ""},
		{"net { protocol A; on-congestion pull-ahead; congestion-fill 1M; } options { cpu-mask 3; } handlers { before-resync-target true; }", "", ""},
		{"disk { resync-after r1; c-min-rate 0; }", "", ""},
		{"disk { max-bio-bvecs 1; }", "max-bio-bvecs", ""},
		{"disk { disk-timeout 30; }", "", ""},
		{"disk { c-min-rate 1M; }", "", ""},
		{"net { on-congestion pull-ahead; congestion-fill 1M; }", "", "needs protocol A"},
		{"net { protocol A; } disk { fencing resource-and-stonith; }", "", "excludes protocol A"},
		{"net { verify-alg rot13; }", "", "unknown algorithm"},
	} {
		r, err := Find(load(t, "resource r0 { "+c.options+hosts+"\n}\nresource r1 {"+strings.NewReplacer("drbd1 minor 1", "drbd2 minor 2", "7001", "7002", "/dev/null", "/dev/zero").Replace(hosts)+"\n}\n"), "r0", drbdconf.Node{Name: "a"})
		if err != nil {
			t.Fatalf("%s: %v", c.options, err)
		}
		if got := strings.Join(r.Ignored, "; "); !strings.Contains(got, c.ignored) || c.ignored == "" && got != "" {
			t.Errorf("%s: ignored %q, want %q", c.options, got, c.ignored)
		}
		s, err := r.Settings()
		switch {
		case c.refused == "" && err != nil, c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
			t.Errorf("%s: %v, want %q", c.options, err, c.refused)
		case err == nil && (s[0].Engine.DiskTimeout == 3*time.Second) != strings.Contains(c.options, "disk-timeout"):
			t.Errorf("%s: a hanging disk is given up after %v", c.options, s[0].Engine.DiskTimeout)
		case err == nil && strings.Contains(c.options, "c-min-rate 1M") && s[0].Engine.MinRate != 1024:
			t.Errorf("%s: %d KiB/s", c.options, s[0].Engine.MinRate)
		case err == nil && strings.Contains(c.options, "pull-ahead"):
			if e := s[0].Engine; e.OnCongestion == 0 || e.CongestionFill != 2048 || !e.BeforeTarget || e.BeforeSource {
				t.Errorf("%s: %+v", c.options, e)
			}
		}
		if p, err := r.Volumes[0].after(); err != nil || strings.Contains(c.options, "resync-after") != (p != nil && p.resource == "r1") {
			t.Errorf("%s: after %v, %v", c.options, p, err)
		}
	}
	for mask, want := range map[string]int{"1": 1, "ff": 8, "00000003,00000001": 3, "0": 0, "xyz": 0} {
		if set, err := cpuSet(mask); set.Count() != want || (err == nil) != (want > 0) {
			t.Errorf("cpu-mask %s: %d processors, %v", mask, set.Count(), err)
		}
	}
}
