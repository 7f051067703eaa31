package admin

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestStacked has a resource on top of another one, replicated to a third node: it goes
// where the one below is Primary, without a resync.
func TestStacked(t *testing.T) {
	for _, dev := range []string{"/dev/fuse", "/dev/loop-control"} {
		if f, err := os.OpenFile(dev, os.O_RDWR, 0); err != nil {
			t.Skipf("SKIPPED: no %s here: %v", dev, err)
		} else {
			f.Close()
		}
	}
	if _, err := exec.LookPath("qemu-io"); err != nil {
		t.Skip("SKIPPED: qemu-io is not installed (package qemu-utils)")
	}
	const third, upper = "gamma", "r0-U"
	s := newSite(t, 32, "disk { resync-rate 400M; c-plan-ahead 0; c-min-rate 0; }")
	disk := filepath.Join(s.dir, "disk-"+third)
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 32<<20); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(s.conf)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("resource %s {\n  net { protocol C; } disk { resync-rate 400M; c-plan-ahead 0; c-min-rate 0; }\n"+
		"  stacked-on-top-of r0 { device minor 250; address 127.0.0.4:%d; }\n"+
		"  on %s { device minor 250; disk %s; meta-disk internal; address 127.0.0.3:%d; }\n}\n", upper, freePort(t), third, disk, freePort(t))
	if err := os.WriteFile(s.conf, append(before, text...), 0o600); err != nil {
		t.Fatal(err)
	}
	on := func(name string, args ...string) string {
		t.Helper()
		out, code := s.runAs(name, nil, args...)
		if code != 0 {
			t.Fatalf("%s on %s: exit code %d\n%s", strings.Join(args, " "), name, code, out)
		}
		return out
	}
	// What is stacked has to go before what is below.
	t.Cleanup(func() {
		for _, name := range append([]string{third}, nodes...) {
			if t.Failed() {
				log, _ := os.ReadFile(s.folderOf(name).Log(upper))
				t.Logf("log of %s on %s:\n%s", upper, name, log)
			}
			s.killAt(name, upper)
		}
	})
	io := func(name string, commands ...string) {
		t.Helper()
		argv := []string{"--image-opts", fmt.Sprintf("driver=raw,file.driver=nbd,file.server.type=unix,file.server.path=%s,file.export=%s", s.folderOf(name).NBD(upper), upper)}
		for _, c := range commands {
			argv = append(argv, "-c", c)
		}
		if out, err := exec.CommandContext(t.Context(), "qemu-io", argv...).CombinedOutput(); err != nil || strings.Contains(string(out), "failed") {
			t.Fatalf("qemu-io on %s: %v\n%s", name, err, out)
		}
	}
	s.firstSync("--device", "loop")
	if out, code := s.run(1, "create-md", upper); code == 0 {
		t.Errorf("metadata on the device of a Secondary:\n%s", out)
	}
	for _, name := range []string{"alpha", third} {
		on(name, "create-md", upper)
		on(name, "up", upper)
	}
	on("alpha", "wait-connect", "--timeout", "60s", upper)
	on("alpha", "primary", "--force", upper)
	on("alpha", "wait-sync", "--timeout", "60s", upper)
	on(third, "wait-sync", "--timeout", "60s", upper)
	io("alpha", "write -P 41 1M 1M", "flush")
	if out, code := s.run(0, "secondary", "r0"); code == 0 {
		t.Errorf("the resource below was demoted under the one on top:\n%s", out)
	}
	on("alpha", "down", "--stacked", "all")
	s.ok(0, "secondary", "r0")
	s.ok(1, "primary", "r0")
	on("beta", "up", upper)
	on("beta", "wait-connect", "--timeout", "60s", upper)
	on("beta", "wait-sync", "--timeout", "60s", upper)
	if log, err := os.ReadFile(s.folderOf("beta").Log(upper)); err != nil || strings.Contains(string(log), "resync done") {
		t.Errorf("a resync after the move: %v\n%s", err, log)
	}
	on("beta", "primary", upper)
	io("beta", "read -P 41 1M 1M", "write -P 42 2M 1M", "flush")
	on("beta", "down", upper)
	on(third, "primary", upper)
	io(third, "read -P 41 1M 1M", "read -P 42 2M 1M")
	on(third, "down", upper)
	for i := range nodes {
		s.ok(i, "down", "all")
	}
}
