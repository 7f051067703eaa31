package filesystem

import (
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseOptions(t *testing.T) {
	for in, want := range map[string]mountOptions{
		"":                             {},
		"defaults,noatime,ro":          {flags: unix.MS_NOATIME | unix.MS_RDONLY, readOnly: true},
		"-o ro,rw,_netdev,x-systemd.y": {},
		"rw,data=ordered,errors=panic": {data: []string{"data=ordered", "errors=panic"}},
		"rbind,ro,rslave":              {bind: true, recursive: true, flags: unix.MS_RDONLY, readOnly: true, propagation: unix.MS_SLAVE | unix.MS_REC},
		"loop=/dev/loop3,offset=4096":  {loop: true, loopDevice: "/dev/loop3", offset: 4096},
		`context="a:b,c",nosuid`:       {flags: unix.MS_NOSUID, data: []string{`context="a:b,c"`}},
		"noexec,exec,sync,suid,nodev":  {flags: unix.MS_SYNCHRONOUS | unix.MS_NODEV},
		" lazytime , size=1m,":         {flags: unix.MS_LAZYTIME, data: []string{"size=1m"}},
	} {
		got, err := parseOptions(in)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v; want %+v", in, got, err, want)
		}
	}
	if _, err := parseOptions("loop,offset=x"); err == nil {
		t.Error("a bad offset was accepted")
	}
}

// The lines are of a Debian 12 host, one with a blank in the mount point.
const recorded = `24 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
36 24 253:2 / /srv/data rw,relatime shared:20 - ext4 /dev/mapper/vg-data rw
37 24 253:2 /export /exports/my\040share rw,relatime shared:20 - ext4 /dev/mapper/vg-data rw
38 36 0:40 / /srv/data/cache rw shared:21 master:3 - tmpfs tmpfs rw,size=65536k
39 24 253:2 / /mnt rw - ext4 /dev/mapper/vg-data rw
40 24 0:52 /@home /home rw - btrfs /dev/sdb rw,subvol=/@home
41 24 0:52 /@var /var rw - btrfs /dev/sdb rw,subvol=/@var`

func table(t *testing.T) []mount {
	var out []mount
	for line := range strings.Lines(recorded) {
		m, err := parseMount(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

func points(ms []mount) string {
	var out []string
	for _, m := range ms {
		out = append(out, m.point)
	}
	return strings.Join(out, " ")
}

func TestMountTable(t *testing.T) {
	ms := table(t)
	if m := ms[2]; m.point != "/exports/my share" || m.root != "/export" || m.major != 253 || m.minor != 2 || m.fstype != "ext4" || m.source != "/dev/mapper/vg-data" {
		t.Errorf("%+v", m)
	}
	if got := points(below(ms, "/srv/data")); got != "/srv/data/cache" {
		t.Errorf("below: %s", got)
	}
	if got := points(below(ms, "/srv/dat")); got != "" {
		t.Errorf("below a part of a name: %s", got)
	}
	data, _ := top(ms, "/srv/data")
	if got := points(siblings(ms, data)); got != "/mnt /exports/my share" {
		t.Errorf("siblings: %s", got)
	}
	// Subvolumes are not parts of each other.
	home, _ := top(ms, "/home")
	if got := points(siblings(ms, home)); got != "" {
		t.Errorf("siblings of a subvolume: %s", got)
	}
	s := situation{table: ms, at: data, any: true, ours: true}
	if got := points(unmountOrder(target{directory: "/srv/data", block: true}, s)); got != "/srv/data/cache /mnt /exports/my share /srv/data" {
		t.Errorf("order: %s", got)
	}
	for _, bad := range []string{"", "1 2 3", "x 1 1:1 / / rw - a b c", "1 1 11 / / rw - a b c"} {
		if _, err := parseMount(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestNamedDevices(t *testing.T) {
	for in, want := range map[string]string{"-U 12-34": "uuid 12-34", "--uuid=12": "uuid 12", "LABEL=my disk": "label my disk", "-Lx": "label x", "/dev/sda": ""} {
		kind, name, ok := namedDevice(in)
		if got := strings.TrimSpace(kind + " " + name); got != want || ok != (want != "") {
			t.Errorf("%q: %q %v", in, got, ok)
		}
	}
	if got := udevName("my disk/ä"); got != `my\x20disk\x2fä` {
		t.Error(got)
	}
}

func FuzzParseMount(f *testing.F) {
	for line := range strings.Lines(recorded) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if m, err := parseMount(line); err == nil && m.point == "" {
			t.Errorf("%q gives an empty mount point", line)
		}
	})
}
