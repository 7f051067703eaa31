package admin

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newSeveral is newSite with two volumes in the resource.
func newSeveral(t *testing.T) *site {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: needs root")
	}
	s := &site{t: t, dir: t.TempDir()}
	s.conf = filepath.Join(s.dir, "r0.res")
	var text strings.Builder
	text.WriteString("resource r0 {\n  net { verify-alg sha1; } disk { resync-rate 200M; c-plan-ahead 0; c-min-rate 0; }\n  volume 1 { disk { resync-after r0/0; } }\n  volume 0 { }\n")
	for i, n := range nodes {
		fmt.Fprintf(&text, "  on %s {\n    address 127.0.0.%d:%d;\n", n, i+1, freePort(t))
		for v := range 2 {
			disk := filepath.Join(s.dir, fmt.Sprintf("disk-%s-%d", n, v))
			if err := os.WriteFile(disk, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(disk, int64(16*(v+1))<<20); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&text, "    volume %d { device %s minor %d; disk %s; meta-disk internal; }\n", v, s.device(i, v), 220+10*i+v, disk)
		}
		text.WriteString("  }\n")
	}
	text.WriteString("}\n")
	if err := os.WriteFile(s.conf, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for i := range nodes {
			s.killNode(i)
			for v := range 2 {
				(&Keeper{Log: func(string) {}}).clear(s.folder(i).Mount(fmt.Sprintf("r0/%d", v)))
				_ = os.Remove(s.device(i, v))
				_ = os.Remove(fmt.Sprintf("/dev/drbd/by-res/r0/%d", v))
			}
			_ = os.Remove("/dev/drbd/by-res/r0")
			if t.Failed() {
				log, _ := os.ReadFile(s.folder(i).Log("r0"))
				t.Logf("log of %s:\n%s", nodes[i], log)
			}
		}
	})
	return s
}

func (s *site) device(node, volume int) string {
	return fmt.Sprintf("/dev/drbd_gcrm_two_%s_%d_%d", nodes[node], os.Getpid(), volume)
}

// TestSeveralVolumes goes through the life of a resource with two volumes: together,
// one by one, and taken over when its process dies.
func TestSeveralVolumes(t *testing.T) {
	t.Parallel()
	s := newSeveral(t)
	says := func(node int, want string, args ...string) {
		t.Helper()
		if out := s.ok(node, args...); !strings.Contains(out, want) {
			t.Errorf("%s does not say %q:\n%s", strings.Join(args, " "), want, out)
		}
	}
	s.ok(0, "create-md", "r0")
	s.ok(1, "create-md", "r0/0")
	if out, code := s.run(1, "up", "r0"); code == 0 || !strings.Contains(out, "volume 1") {
		t.Errorf("up without metadata of one volume: %d\n%s", code, out)
	}
	s.ok(1, "create-md", "r0/1")
	if out, code := s.run(1, "create-md", "r0/7"); code == 0 || !strings.Contains(out, "has no volume 7") {
		t.Errorf("a volume that is not there: %d\n%s", code, out)
	}
	if out, code := s.run(1, "up", "r0/1"); code != exitUsage || !strings.Contains(out, "all its volumes") {
		t.Errorf("up of a single volume: %d\n%s", code, out)
	}
	s.firstSync()
	says(0, "r0 role:Primary\n  volume:0 disk:UpToDate\n  volume:1 disk:UpToDate\n  peer role:Secondary\n"+
		"    volume:0 replication:Established peer-disk:UpToDate\n    volume:1 replication:Established peer-disk:UpToDate\n", "status", "r0")
	says(0, "Primary/Secondary\nPrimary/Secondary\n", "role", "r0")
	says(1, "231: cs:Connected ro:Secondary/Primary ds:UpToDate/UpToDate", "status", "--proc", "r0")
	says(1, "230:r0/0  Connected Secondary/Primary UpToDate/UpToDate\n231:r0/1  Connected", "status", "--overview", "r0")
	says(0, "nbd+unix:///r0%2F1?socket=", "nbd-uri", "r0/1")
	st := s.status(0)
	if len(st.Volumes) != 2 || st.Volumes[1].SizeKiB <= st.Volumes[0].SizeKiB || st.SizeKiB != st.Volumes[0].SizeKiB+st.Volumes[1].SizeKiB {
		t.Errorf("status: %+v", st)
	}
	if _, err := exec.LookPath("qemu-io"); err == nil {
		for v := range 2 {
			image := fmt.Sprintf("driver=raw,file.driver=nbd,file.server.type=unix,file.server.path=%s,file.export=r0/%d", s.folder(0).NBD("r0"), v)
			out, err := exec.CommandContext(t.Context(), "qemu-io", "--image-opts", image, "-c", fmt.Sprintf("write -P %d 1M 1M", 17+v), "-c", "flush").CombinedOutput()
			if err != nil {
				t.Fatalf("qemu-io: %v\n%s", err, out)
			}
		}
	} else {
		t.Log("SKIPPED in part: qemu-io is not installed (package qemu-utils)")
	}
	s.ok(1, "detach", "r0/1")
	says(1, "UpToDate/UpToDate\nDiskless/UpToDate\n", "dstate", "r0")
	// The process dies: the next one has the same volumes attached and Primary.
	for i := range nodes {
		kill(s.status(i).PID)
	}
	for i := range nodes {
		for limit := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			if _, err := s.folder(i).Call(t.Context(), "r0", Call{Command: "status"}); err == nil {
				break
			} else if time.Now().After(limit) {
				t.Fatal("no successor")
			}
		}
	}
	for limit := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if st := s.status(0); st.Role == "Primary" && !st.Takeover && st.connected() {
			break
		} else if time.Now().After(limit) {
			t.Fatalf("not Primary again: %+v", st)
		}
	}
	says(0, "Primary/Secondary\nPrimary/Secondary\n", "role", "r0")
	says(1, "Diskless", "dstate", "r0/1")
	s.ok(1, "attach", "r0/1")
	for i := range nodes {
		s.ok(i, "wait-sync", "--timeout", "60s", "r0")
	}
	s.ok(0, "verify", "r0/1")
	s.ok(0, "wait-sync", "--timeout", "60s", "r0")
	// The second volume's resync comes after the first's.
	s.ok(1, "pause-sync", "r0/0")
	s.within(1, "dependency", "status", "r0")
	s.ok(1, "invalidate", "r0/1")
	s.within(1, "volume:1 replication:PausedSyncT", "status", "r0")
	s.ok(1, "resume-sync", "r0/0")
	for i := range nodes {
		s.ok(i, "wait-sync", "--timeout", "60s", "r0")
	}
	s.ok(0, "secondary", "r0")
	s.ok(1, "primary", "r0")
	says(0, "Secondary/Primary\nSecondary/Primary\n", "role", "r0")
	s.ok(1, "secondary", "r0")
	for i := range nodes {
		s.ok(i, "down", "r0")
		says(i, "meta-data: clean", "show-gi", "r0/1")
	}
	for v := range 2 {
		var data [2][]byte
		for i, n := range nodes {
			var err error
			if data[i], err = os.ReadFile(filepath.Join(s.dir, fmt.Sprintf("disk-%s-%d", n, v))); err != nil {
				t.Fatal(err)
			}
			data[i] = data[i][:15<<20]
		}
		if string(data[0]) != string(data[1]) {
			t.Errorf("the disks of volume %d differ", v)
		}
	}
}

// within waits until a command says something.
func (s *site) within(node int, want string, args ...string) {
	s.t.Helper()
	for limit := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		out := s.ok(node, args...)
		if strings.Contains(out, want) {
			return
		}
		if time.Now().After(limit) {
			s.t.Fatalf("%s does not say %q:\n%s", strings.Join(args, " "), want, out)
		}
	}
}

// TestResyncAfterAnotherResource: the processes of two resources of a node take turns.
func TestResyncAfterAnotherResource(t *testing.T) {
	t.Parallel()
	s := newSite(t, 16, "disk { resync-rate 200M; c-plan-ahead 0; c-min-rate 0; }")
	text := "resource r1 {\n  disk { resync-after r0; }\n"
	for i, n := range nodes {
		disk := filepath.Join(s.dir, "second-"+n)
		if err := os.WriteFile(disk, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(disk, 16<<20); err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("  on %s { device minor %d; disk %s; meta-disk internal; address 127.0.0.%d:%d; }\n", n, 240+i, disk, i+1, freePort(t))
	}
	before, err := os.ReadFile(s.conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.conf, append(before, text+"}\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for i := range nodes {
			s.killOne(i, "r1")
		}
	})
	for i := range nodes {
		s.ok(i, "create-md", "r1")
		s.ok(i, "up", "r0")
		s.ok(i, "up", "r1")
	}
	for _, r := range []string{"r0", "r1"} {
		s.ok(0, "wait-connect", "--timeout", "60s", r)
	}
	s.ok(1, "pause-sync", "r0")
	s.within(1, "dependency", "status", "r1")
	s.ok(0, "primary", "--force", "r1")
	s.within(1, "replication:PausedSyncT", "status", "r1")
	s.within(0, "replication:PausedSyncS peer-disk:Inconsistent resync-suspended:", "status", "r1")
	// A resource that does not run keeps nobody waiting.
	s.ok(1, "down", "r0")
	s.ok(1, "wait-sync", "--timeout", "60s", "r1")
	s.ok(0, "wait-sync", "--timeout", "60s", "r1")
	s.ok(0, "secondary", "r1")
	for i := range nodes {
		s.ok(i, "down", "r1")
	}
}
