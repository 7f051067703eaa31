package drbdconf

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func parse(t testing.TB, text string) *Config {
	t.Helper()
	cfg, err := Parse(noFiles(), "c", text)
	if err != nil {
		t.Fatal(err.(ErrorList).Detail())
	}
	return cfg
}

func TestDefaults(t *testing.T) {
	cfg := parse(t, "resource r {"+twoHosts+"}")
	r := cfg.Resources[0]
	want := Net{
		Protocol: ProtocolC, Timeout: 6 * time.Second, MaxEpochSize: 2048, MaxBuffers: 2048, UnplugWatermark: 128,
		ConnectInterval: 10 * time.Second, PingInterval: 10 * time.Second, PingTimeout: 500 * time.Millisecond,
		KOCount: 7, UseRLE: true, TCPCork: true, OnCongestion: "block", CongestionExtents: 1237,
	}
	if diff := cmp.Diff(want, cfg.Net(r, nil)); diff != "" {
		t.Errorf("net (-want +got):\n%s", diff)
	}
	wantDisk := Disk{
		OnIOError: Detach, Flushes: true, Drain: true, MDFlushes: true, ResyncRate: 250, ALExtents: 1237, ALUpdates: true,
		PlanAhead: 2 * time.Second, DelayTarget: time.Second, FillTarget: 100, MaxRate: 102400, MinRate: 250,
		ReadBalancing: "prefer-local", DiscardZeroesIfAligned: true,
	}
	if diff := cmp.Diff(wantDisk, cfg.Disk(r, r.Hosts[0].Volumes[0])); diff != "" {
		t.Errorf("disk (-want +got):\n%s", diff)
	}
}

// TestInheritance: the volume wins over the volume of the resource, that over the
// resource, that over common; in one section the last one wins.
func TestInheritance(t *testing.T) {
	cfg := parse(t, `
common { disk { resync-rate 10M; c-max-rate 1G; c-min-rate 1M; fencing resource-only; } net { timeout 30; } handlers { split-brain common; } }
resource r {
  net { timeout 40; timeout 50; after-sb-0pri discard-node-bob; }
  disk { resync-rate 20M; c-max-rate 2G; c-min-rate 2M; }
  handlers { pri-lost first; pri-lost second; }
  volume 0 { device minor 0; disk /dev/a; meta-disk internal; disk { resync-rate 30M; c-max-rate 3G; size 3k; } }
  on alice { address 10.0.0.1:1; volume 0 { disk { resync-rate 40M; c-fill-target 1k; } } options { cpu-mask 3; } }
  on bob { address 10.0.0.2:1; }
}`)
	r := cfg.Resource("r")
	alice, bob := r.Local(Node{Name: "alice"}), r.Local(Node{Name: "bob"})
	if got := cfg.Net(r, alice); got.Timeout != 5*time.Second || got.AfterSB0 != SBDiscardRemote {
		t.Errorf("alice: %+v", got)
	}
	if got := cfg.Net(r, bob).AfterSB0; got != SBDiscardLocal {
		t.Errorf("bob discards %v", got)
	}
	d := cfg.Disk(r, alice.Volumes[0])
	got := []uint64{d.ResyncRate, d.MaxRate, d.MinRate, d.FillTarget, d.Size}
	if diff := cmp.Diff([]uint64{40 << 10, 3 << 20, 2 << 10, 2, 6}, got); diff != "" {
		t.Errorf("alice's disk (-want +got):\n%s", diff)
	}
	if got := cfg.Disk(r, bob.Volumes[0]).ResyncRate; got != 30<<10 {
		t.Errorf("bob's rate %d", got)
	}
	if d.Fencing != FencingResource || cfg.Handler(r, "pri-lost") != "first" || cfg.Handler(r, "split-brain") != "common" {
		t.Error("fencing or handlers are not inherited")
	}
	if cfg.ResourceOptions(r, alice).CPUMask != "3" || cfg.ResourceOptions(r, bob).CPUMask != "" {
		t.Error("host options")
	}
}

func TestNumbersRoundUpToTheirUnit(t *testing.T) {
	for _, c := range []struct {
		text string
		unit unit
		want uint64
	}{
		{"10", unitKiB, 10}, {"10k", unitKiB, 10}, {"1M", unitKiB, 1024}, {"1s", unitKiB, 1}, {"3s", unitKiB, 2},
		{"2K", unitOne, 2048}, {"24M", unitSector, 49152}, {"5", unitSector, 5},
	} {
		if got, err := parseNumber(c.text, c.unit); err != nil || got != c.want {
			t.Errorf("%s in units of %d: got %d, %v, want %d", c.text, c.unit, got, err, c.want)
		}
	}
	for _, bad := range []string{"", "k", "-1", "+1", "1T", "1.5", "99999999999999999999", "18446744073709551615G"} {
		if got, err := parseNumber(bad, unitOne); err == nil {
			t.Errorf("%q is taken as %d", bad, got)
		}
	}
}

func TestOldSpellingsWarn(t *testing.T) {
	cfg := parse(t, `common { syncer { rate 10M; verify-alg shal; throttle-threshold 3; } }
resource r { disk { no-disk-flushes; al-extents 7; } handlers { outdate-peer /x; } net { protocol A; allow-two-primaries; } `+twoHosts+"}")
	r := cfg.Resources[0]
	if cfg.Disk(r, r.Hosts[0].Volumes[0]).ResyncRate != 10240 || cfg.Net(r, nil).VerifyAlg != "shal" || cfg.Disk(r, r.Hosts[0].Volumes[0]).Flushes {
		t.Error("an old spelling is lost")
	}
	if got := cfg.Disk(r, r.Hosts[0].Volumes[0]).ALExtents; got != 67 {
		t.Errorf("al-extents %d", got)
	}
	var got []string
	for _, w := range cfg.Warnings {
		got = append(got, w.Error())
	}
	want := []string{
		"c:1:10: the syncer section is of DRBD 8.3 (write its options into disk, net and options)",
		"c:1:40: verify-alg: \"shal\" is no hash algorithm known here (did you mean sha1?)",
		"c:1:46: throttle-threshold has no effect (remove it)",
		"c:2:21: no-disk-flushes is the spelling of DRBD 8.3 (write disk-flushes no)",
		"c:2:49: al-extents 7 is outside [67..65534], 67 is used",
		"c:2:65: outdate-peer is the spelling of DRBD 8.3 (write fence-peer)",
		"c:2:102: resource r: allow-two-primaries needs protocol C (use protocol C)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestLocalHost(t *testing.T) {
	cfg := parse(t, `
resource low { `+twoHosts+` }
resource up {
  stacked-on-top-of low { device minor 3; address 10.1.0.1:1; }
  on carol { device minor 3; disk /dev/c; meta-disk internal; address 10.1.0.2:1; }
}
resource fl { device minor 4; disk /dev/f; meta-disk internal; floating 10.2.0.1:1; floating ipv6 [fe80::2%eth0]:1; }
resource ig { device minor 5; disk /dev/g; meta-disk internal; ignore-on alice; on alice { address 10.3.0.1:1; } on bob { address 10.3.0.2:1; } }`)
	alice := Node{Name: "alice", Addresses: []netip.Addr{netip.MustParseAddr("fe80::2")}}
	up := cfg.Resource("up").Local(alice)
	if up == nil || up.Kind != StackedHost || up.Volumes[0].Disk != "/dev/drbd0" || up.Volumes[0].MetaIndex != MetaInternal {
		t.Errorf("stacked: %+v", up)
	}
	if h := cfg.Resource("fl").Local(alice); h == nil || h.Address.Host != "fe80::2%eth0" {
		t.Errorf("floating: %+v", h)
	}
	if cfg.Resource("fl").Local(Node{Name: "bob"}) != nil || cfg.Resource("ig").Local(alice) != nil {
		t.Error("a resource of other nodes is taken as local")
	}
	if p := cfg.Resource("up").Peers(up); len(p) != 1 || p[0].Names[0] != "carol" {
		t.Errorf("peers: %v", p)
	}
}
