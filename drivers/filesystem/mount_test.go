package filesystem

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
	"gcrm/drivers/process"
)

func subject(t *testing.T, params map[string]string) agenttest.Subject {
	return agenttest.Subject{Name: drivers.Name{Class: "ocf", Provider: "heartbeat", Type: "Filesystem"}, Agent: Agent(),
		Resource: "fs", Params: params, Node: agenttest.NewNode(t, "node1")}
}

// place returns a folder to mount on, free again after the test.
func place(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := filepath.Join(t.TempDir(), "a mount", "point")
	t.Cleanup(func() {
		for unix.Unmount(dir, unix.MNT_DETACH) == nil {
		}
	})
	return dir
}

// device returns a loop device with an ext4 file system.
func device(t *testing.T) string {
	t.Helper()
	img := image(t)
	out, err := exec.Command("losetup", "--show", "-f", img).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device to be had: %v %s", err, out)
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() { _ = exec.Command("losetup", "-d", dev).Run() })
	return dev
}

func image(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	img := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(img, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(img, 16<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", img).CombinedOutput(); err != nil {
		t.Skipf("mkfs.ext4 is needed: %v %s", err, out)
	}
	return img
}

func TestContract(t *testing.T) {
	src := t.TempDir()
	for name, params := range map[string]map[string]string{
		"ext4 on a loop device": {"device": "DEVICE", "fstype": "ext4", "options": "noatime"},
		"ext4 in a file":        {"device": "IMAGE", "fstype": "ext4", "options": "loop,ro"},
		"type found by trying":  {"device": "DEVICE", "fstype": "auto"},
		"tmpfs":                 {"device": "tmpfs", "fstype": "tmpfs", "options": "size=1m"},
		"bound folder":          {"device": src, "fstype": "none", "options": "bind,ro"},
	} {
		t.Run(name, func(t *testing.T) {
			params["directory"] = place(t)
			switch params["device"] {
			case "DEVICE":
				params["device"] = device(t)
			case "IMAGE":
				params["device"] = image(t)
			}
			s := subject(t, params)
			s.Break = func(t *testing.T) {
				if err := unix.Unmount(params["directory"], 0); err != nil {
					t.Error(err)
				}
			}
			agenttest.Contract(t, s)
		})
	}
}

func TestMetadataAgreesWithTheScript(t *testing.T) {
	agenttest.SameAsScript(t, subject(t, nil).Name, Agent(), []string{"term_signals", "kill_signals", "signal_delay"}, []string{"force_unmount"})
}

func TestOptionsTakeEffect(t *testing.T) {
	dir := place(t)
	s := subject(t, map[string]string{"device": device(t), "directory": dir, "fstype": "ext4", "options": "ro,nosuid,nodev,noatime"})
	s.Want(t, drivers.Start, drivers.OK)
	ms, _ := mounts()
	if m, _ := top(ms, dir); m.options != "ro,nosuid,nodev,noatime" {
		t.Errorf("%+v", m)
	}
	s.Want(t, drivers.Stop, drivers.OK)

	src := t.TempDir()
	s.Params = map[string]string{"device": src, "directory": dir, "fstype": "none", "options": "bind,ro,noexec"}
	s.Want(t, drivers.Start, drivers.OK)
	ms, _ = mounts()
	if m, _ := top(ms, dir); !strings.HasPrefix(m.options, "ro,noexec") {
		t.Errorf("%+v", m)
	}
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); err == nil {
		t.Error("a read-only bind can be written")
	}
	s.Want(t, drivers.Stop, drivers.OK)
}

func TestCheckLevels(t *testing.T) {
	for _, fstype := range []string{"ext4", "tmpfs"} {
		dir := place(t)
		s := subject(t, map[string]string{"device": "tmpfs", "directory": dir, "fstype": fstype})
		if fstype == "ext4" {
			s.Params["device"] = device(t)
		}
		s.Want(t, drivers.Start, drivers.OK)
		file := filepath.Join(dir, ".Filesystem_status", "fs_node1")
		for level, rc := range map[string]drivers.RC{"0": drivers.OK, "10": drivers.OK, "20": drivers.OK, "5": drivers.NotConfigured, "x": drivers.NotConfigured} {
			s.Params["OCF_CHECK_LEVEL"] = level
			if res := s.Do(t.Context(), drivers.Monitor); res.RC != rc {
				t.Errorf("%s level %s: %v %s", fstype, level, res.RC, res.Reason)
			}
		}
		if text, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(text), "fs\n") {
			t.Errorf("status file: %.10q, %v", text, err)
		}
		if fstype == "ext4" { // a file system that cannot be written any more
			if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
				t.Fatal(err)
			}
			s.Params["OCF_CHECK_LEVEL"] = "20"
			if res := s.Want(t, drivers.Monitor, drivers.GenericError); !strings.Contains(res.Reason, "read-only file system") {
				t.Error(res.Reason)
			}
		}
		s.Params["OCF_CHECK_LEVEL"] = "20"
		s.Want(t, drivers.Stop, drivers.OK)
	}
}

// hold starts a process with its working folder in dir that ignores TERM.
func hold(t *testing.T, dir, script string) process.Identity {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = cmd.Wait() }()
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	time.Sleep(50 * time.Millisecond)
	st, err := process.Look(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return st.Identity
}

func TestStopMakesUsersLetGo(t *testing.T) {
	for _, mode := range []string{"true", "safe"} {
		dir := place(t)
		s := subject(t, map[string]string{"device": device(t), "directory": dir, "fstype": "ext4", "force_unmount": mode})
		s.Want(t, drivers.Start, drivers.OK)
		gentle := hold(t, dir, "exec sleep 60")
		stubborn := hold(t, "/", "trap '' TERM; exec 7> '"+dir+"/file'; while :; do sleep 1; done")
		s.Timeout = 4 * time.Second
		res := s.Want(t, drivers.Stop, drivers.OK)
		if gentle.Alive() || stubborn.Alive() {
			t.Errorf("%s: alive after stop: %v %v", mode, gentle.Alive(), stubborn.Alive())
		}
		if !strings.Contains(res.Output, "(sleep, cwd)") || !strings.Contains(res.Output, "kill -KILL") || !strings.Contains(res.Output, "fd 7") {
			t.Errorf("%s: %s", mode, res.Output)
		}
		s.Want(t, drivers.Monitor, drivers.NotRunning)
	}
}

func TestStopNamesWhoBlocks(t *testing.T) {
	dir := place(t)
	s := subject(t, map[string]string{"device": device(t), "directory": dir, "fstype": "ext4", "force_unmount": "false"})
	s.Want(t, drivers.Start, drivers.OK)
	id := hold(t, dir, "exec sleep 60")
	s.Timeout = time.Second
	res := s.Want(t, drivers.Stop, drivers.GenericError)
	if !strings.Contains(res.Reason, "in use by sleep (pid ") || !strings.Contains(res.Reason, "force_unmount is off") {
		t.Error(res.Reason)
	}
	s.Want(t, drivers.Monitor, drivers.OK)
	_ = id.Signal(syscall.SIGKILL)
	time.Sleep(50 * time.Millisecond)
	s.Want(t, drivers.Stop, drivers.OK)

	// A loop device on a file in it holds it too, and no signal helps.
	s.Want(t, drivers.Start, drivers.OK)
	inner := filepath.Join(dir, "inner.img")
	if err := os.WriteFile(inner, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--show", "-f", inner).CombinedOutput()
	if err != nil {
		t.Fatal(err, string(out))
	}
	loop := strings.TrimSpace(string(out))
	res = s.Want(t, drivers.Stop, drivers.GenericError)
	_ = exec.Command("losetup", "-d", loop).Run()
	if !strings.Contains(res.Reason, loop+" on file "+inner) {
		t.Error(res.Reason)
	}
	s.Want(t, drivers.Stop, drivers.OK)
}

func TestStopTakesAwayEverythingOnTheDevice(t *testing.T) {
	dir, other := place(t), place(t)
	s := subject(t, map[string]string{"device": device(t), "directory": dir, "fstype": "ext4"})
	s.Want(t, drivers.Start, drivers.OK)
	for _, d := range []string{filepath.Join(dir, "sub"), filepath.Join(dir, "part"), other} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount("tmpfs", filepath.Join(dir, "sub"), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(filepath.Join(dir, "part"), other, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	s.Want(t, drivers.Stop, drivers.OK)
	ms, _ := mounts()
	for _, d := range []string{dir, other} {
		if m, ok := top(ms, d); ok {
			t.Errorf("still mounted: %+v", m)
		}
	}
}

func TestAnotherFileSystemInItsPlace(t *testing.T) {
	dir := place(t)
	s := subject(t, map[string]string{"device": device(t), "directory": dir, "fstype": "ext4"})
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("foreign", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if res := s.Want(t, drivers.Monitor, drivers.NotRunning); !strings.Contains(res.Reason, "foreign is mounted on") {
		t.Error(res.Reason)
	}
	req := s.Request(drivers.Monitor)
	req.Interval = 20 * time.Second
	if res := s.Agent.Run(t.Context(), req); res.RC != drivers.GenericError {
		t.Errorf("%+v", res)
	}
	s.Want(t, drivers.Start, drivers.GenericError)
	s.Want(t, drivers.Stop, drivers.OK)
	ms, _ := mounts()
	if m, _ := top(ms, dir); m.source != "foreign" {
		t.Error("stop unmounted a foreign file system")
	}
}

func TestFailuresHaveReasons(t *testing.T) {
	dir := place(t)
	file := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	clone := map[string]string{"clone_max": "2"}
	for _, c := range []struct {
		device, directory, fstype, options string
		meta                               map[string]string
		rc                                 drivers.RC
		want                               string
	}{
		{"/dev/nothing-here", dir, "ext4", "", nil, drivers.NotInstalled, "/dev/nothing-here is not on node1"},
		{file, dir, "ext4", "", nil, drivers.NotInstalled, "needs the option loop"},
		{"DEVICE", dir, "xfs", "", nil, drivers.GenericError, "has no xfs file system"},
		{"DEVICE", dir, "ext4", "nosuchoption", nil, drivers.GenericError, "an option is wrong"},
		{"DEVICE", dir, "nosuchfs", "", nil, drivers.NotInstalled, "no file system type nosuchfs"},
		{"DEVICE", "/", "ext4", "", nil, drivers.NotConfigured, "/ cannot be a resource"},
		{"DEVICE", "relative", "ext4", "", nil, drivers.NotConfigured, "not an absolute path"},
		{"DEVICE", dir + " ", "ext4", "", nil, drivers.NotConfigured, "ends with a blank"},
		{"DEVICE", dir, "ext4", "", clone, drivers.NotConfigured, "a clone would mount"},
		{"DEVICE", dir, "gfs2", "", clone, drivers.NotInstalled, "gfs2"},
	} {
		s := subject(t, map[string]string{"device": c.device, "directory": c.directory, "fstype": c.fstype, "options": c.options})
		s.Meta = c.meta
		if c.device == "DEVICE" {
			s.Params["device"] = device(t)
		}
		if res := s.Want(t, drivers.Start, c.rc); !strings.Contains(res.Reason, c.want) {
			t.Errorf("%+v: %s", c, res.Reason)
		}
		s.Want(t, drivers.Stop, drivers.OK)
	}
	s := subject(t, map[string]string{"device": device(t), "directory": dir, "fstype": "ext4", "options": "ro"})
	s.Meta = clone
	s.Want(t, drivers.Start, drivers.OK)
	s.Want(t, drivers.Stop, drivers.OK)
}

func TestDamagedFileSystemIsNotMounted(t *testing.T) {
	dir := place(t)
	dev := device(t)
	s := subject(t, map[string]string{"device": dev, "directory": dir, "fstype": "ext4", "run_fsck": "force"})
	s.Want(t, drivers.Start, drivers.OK)
	s.Want(t, drivers.Stop, drivers.OK)
	f, err := os.OpenFile(dev, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 4<<20), 4096); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if res := s.Want(t, drivers.Start, drivers.GenericError); !strings.Contains(res.Reason, "file system check of "+dev) {
		t.Error(res.Reason)
	}
	s.Want(t, drivers.Monitor, drivers.NotRunning)
}

func TestDryRun(t *testing.T) {
	dir := place(t)
	dev := device(t)
	s := subject(t, map[string]string{"device": dev, "directory": dir, "fstype": "ext4", "options": "ro"})
	steps, res := Agent().DryRun(t.Context(), s.Request(drivers.Start))
	want := "mkdir -p " + dir + "\nmount -t ext4 -o ro " + dev + " " + dir
	if got := strings.Join(steps, "\n"); got != want || res.RC != drivers.OK {
		t.Errorf("%s, %+v; want %s", got, res, want)
	}
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	s.Want(t, drivers.Start, drivers.OK)
	steps, _ = Agent().DryRun(t.Context(), s.Request(drivers.Stop))
	if got := strings.Join(steps, "\n"); got != "umount "+dir {
		t.Error(got)
	}
	s.Want(t, drivers.Monitor, drivers.OK)
	s.Want(t, drivers.Stop, drivers.OK)
}
