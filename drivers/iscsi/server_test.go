package iscsi

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
	"gcrm/drivers/native"
)

func name(kind string) drivers.Name {
	return drivers.Name{Class: "ocf", Provider: "heartbeat", Type: kind}
}

// kernelTree behaves as the target's configfs does: a new folder has the
// attributes of its object, and one with objects of the administrator's below
// it, or links, cannot be removed.
func kernelTree(t *testing.T) tree {
	root := filepath.Join(t.TempDir(), "target")
	if err := os.MkdirAll(filepath.Join(root, "core"), 0o755); err != nil {
		t.Fatal(err)
	}
	attributes := func(path string) []string {
		rel, _ := filepath.Rel(root, path)
		p := strings.Split(rel, "/")
		switch {
		case p[0] == "core" && len(p) == 3:
			return []string{"control", "enable", "udev_path", "wwn/vpd_unit_serial", "wwn/vendor_id", "wwn/product_id", "attrib/emulate_tpu", "attrib/emulate_3pc", "attrib/emulate_caw"}
		case p[0] == "iscsi" && len(p) == 3:
			return []string{"enable", "np/", "lun/", "acls/", "param/MaxBurstLength", "auth/userid", "auth/password",
				"attrib/authentication", "attrib/demo_mode_write_protect", "attrib/generate_node_acls", "attrib/cache_dynamic_acls"}
		case p[0] == "iscsi" && len(p) == 5 && p[3] == "np":
			return []string{"iser"}
		case p[0] == "iscsi" && len(p) == 5 && p[3] == "acls":
			return []string{"auth/userid", "auth/password"}
		}
		return nil
	}
	return tree{root: root,
		mkdir: func(path string) error {
			if err := os.Mkdir(path, 0o755); err != nil {
				return err
			}
			for _, a := range attributes(path) {
				file := filepath.Join(path, a)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					return err
				}
				if strings.HasSuffix(a, "/") {
					if err := os.MkdirAll(file, 0o755); err != nil {
						return err
					}
				} else if err := os.WriteFile(file, []byte("\n"), 0o644); err != nil {
					return err
				}
			}
			return nil
		},
		rmdir: func(path string) error {
			given := map[string]bool{".": true}
			for _, a := range attributes(path) {
				given[filepath.Clean(a)], given[filepath.Dir(a)] = true, true
			}
			if err := filepath.WalkDir(path, func(p string, _ fs.DirEntry, err error) error {
				if rel, _ := filepath.Rel(path, p); err == nil && !given[rel] {
					return fmt.Errorf("%w: %s", syscall.ENOTEMPTY, rel)
				}
				return err
			}); err != nil {
				return err
			}
			// A device that a unit links to is in use.
			busy := false
			_ = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
				if err == nil && d.Type()&fs.ModeSymlink != 0 {
					to, _ := os.Readlink(p)
					busy = busy || to == path
				}
				return nil
			})
			if busy {
				return syscall.EBUSY
			}
			return os.RemoveAll(path)
		}}
}

func lio(t *testing.T) (host, agenttest.Subject, agenttest.Subject) {
	h := host{tree: kernelTree(t), pause: 20 * time.Millisecond}
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(disk, make([]byte, 4096), 0o644); err != nil {
		t.Fatal(err)
	}
	node := agenttest.NewNode(t, "node1")
	all := agents(h, []string{"/usr/bin"})
	return h, agenttest.Subject{Name: name("iSCSITarget"), Agent: all[name("iSCSITarget")], Resource: "p_target", Node: node,
			Params: map[string]string{"iqn": "iqn.2011-01.org.example:t1", "implementation": "lio-t"}},
		agenttest.Subject{Name: name("iSCSILogicalUnit"), Agent: all[name("iSCSILogicalUnit")], Resource: "p_lun", Node: node,
			Params: map[string]string{"target_iqn": "iqn.2011-01.org.example:t1", "implementation": "lio", "lun": "0", "path": disk}}
}

func wantFile(t *testing.T, want string, parts ...string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(parts...))
	if got := strings.TrimSpace(string(raw)); err != nil || got != want {
		t.Errorf("%s: %q (%v), want %q", filepath.Join(parts...), got, err, want)
	}
}

func TestKernelTargetContract(t *testing.T) {
	h, target, unit := lio(t)
	target.Break = func(t *testing.T) {
		if err := os.WriteFile(h.tree.path("iscsi", target.Params["iqn"], "tpgt_1", "enable"), []byte("0\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	agenttest.Contract(t, target)
	target.Want(t, drivers.Start, drivers.OK)
	unit.Break = func(t *testing.T) {
		dir := h.tree.path("iscsi", target.Params["iqn"], "tpgt_1", "lun", "lun_0")
		if err := errors.Join(os.Remove(filepath.Join(dir, "p_lun")), os.Remove(dir)); err != nil {
			t.Fatal(err)
		}
	}
	agenttest.Contract(t, unit)
	target.Want(t, drivers.Stop, drivers.OK)
}

func TestKernelTargetInDetail(t *testing.T) {
	h, target, unit := lio(t)
	target.Params["portals"] = "127.0.0.1:3270 [::1]:3270 127.0.0.2"
	target.Params["allowed_initiators"] = "iqn.a:1 iqn.a:2"
	target.Params["incoming_username"], target.Params["incoming_password"] = "user", "s3cret"
	target.Params["additional_parameters"] = "MaxBurstLength=65536"
	target.Params["iser_portals"] = "127.0.0.2"
	res := target.Want(t, drivers.Start, drivers.OK)
	if strings.Contains(res.Output, "s3cret") {
		t.Errorf("the password is shown: %s", res.Output)
	}
	tpg := h.tree.path("iscsi", target.Params["iqn"], "tpgt_1")
	for _, p := range []string{"127.0.0.1:3270", "[::1]:3270", "127.0.0.2:3260"} {
		if _, err := os.Stat(filepath.Join(tpg, "np", p)); err != nil {
			t.Error(err)
		}
	}
	wantFile(t, "1", tpg, "np/127.0.0.2:3260/iser")
	wantFile(t, "1", tpg, "attrib/authentication")
	wantFile(t, "0", tpg, "attrib/generate_node_acls")
	wantFile(t, "65536", tpg, "param/MaxBurstLength")
	wantFile(t, "s3cret", tpg, "acls/iqn.a:2/auth/password")

	unit.Params["allowed_initiators"], unit.Params["liot_bstype"], unit.Params["emulate_tpu"], unit.Params["product_id"] = "iqn.a:1", "fileio", "1", "disk"
	unit.Want(t, drivers.Start, drivers.OK)
	dev := h.tree.path("core", "fileio_0", "p_lun")
	wantFile(t, "fd_dev_name="+unit.Params["path"]+",fd_dev_size=4096", dev, "control")
	wantFile(t, "1", dev, "attrib/emulate_tpu")
	wantFile(t, "disk", dev, "wwn/product_id")
	wantFile(t, "b605d2c1", dev, "wwn/vpd_unit_serial") // md5sum of p_lun
	if to, err := os.Readlink(filepath.Join(tpg, "acls/iqn.a:1/lun_0/default")); err != nil || to != filepath.Join(tpg, "lun/lun_0") {
		t.Errorf("%s, %v", to, err)
	}
	// The disk of another resource is neither taken nor removed.
	other := unit
	other.Resource, other.Params = "p_other", map[string]string{"target_iqn": target.Params["iqn"], "implementation": "lio", "lun": "0", "path": h.tree.root}
	if res := other.Want(t, drivers.Start, drivers.GenericError); !strings.Contains(res.Reason, "serves "+unit.Params["path"]) {
		t.Error(res.Reason)
	}
	other.Want(t, drivers.Monitor, drivers.NotRunning)
	other.Want(t, drivers.Stop, drivers.OK)
	unit.Want(t, drivers.Monitor, drivers.OK)
	// A target stopped before its units leaves their devices to them.
	target.Want(t, drivers.Stop, drivers.OK)
	if res := unit.Want(t, drivers.Monitor, drivers.GenericError); !strings.Contains(res.Reason, "without its unit") {
		t.Error(res.Reason)
	}
	unit.Want(t, drivers.Stop, drivers.OK)
	if left, _ := os.ReadDir(h.tree.path("core")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if res := unit.Want(t, drivers.Start, drivers.GenericError); !strings.Contains(res.Reason, "start its iSCSITarget before") {
		t.Error(res.Reason)
	}
}

func TestRefused(t *testing.T) {
	for _, x := range []struct {
		unit                bool
		param, value, words string
	}{
		{false, "implementation", "iet", "not served"}, {false, "tid", "3", "parameter tid"}, {false, "incoming_username", "u", "need each other"},
		{false, "iqn", "a/b", "not the name"}, {false, "additional_parameters", "Max", "not name=value"}, {false, "additional_parameters", "Nonsense=1", "does not take Nonsense=1"},
		{true, "lun", "-1", "at least 0"}, {true, "scsi_id", "abc", "parameter scsi_id"}, {true, "tgt_bstype", "aio", "parameter tgt_bstype"}, {true, "liot_bstype", "pscsi", "use block or fileio"},
	} {
		_, target, unit := lio(t)
		s := target
		if x.unit {
			s = unit
		}
		s.Params[x.param] = x.value
		if res := s.Want(t, drivers.Start, drivers.NotConfigured); !strings.Contains(res.Reason, x.words) {
			t.Errorf("%s=%s: %s", x.param, x.value, res.Reason)
		}
		s.Want(t, drivers.Stop, drivers.OK)
	}
	_, target, _ := lio(t)
	steps, res := target.Agent.(*native.Agent).DryRun(t.Context(), target.Request(drivers.Start))
	if res.RC != drivers.OK || len(steps) < 6 || !strings.HasPrefix(steps[0], "mkdir ") {
		t.Errorf("%+v %q", res, steps)
	}
	target.Want(t, drivers.Monitor, drivers.NotRunning)
}

func TestMetadataAgreesWithTheScripts(t *testing.T) {
	// Their defaults are made of the host's tools and of the resource id.
	for n, a := range Agents() {
		agenttest.SameAsScript(t, n, a, nil, []string{"implementation", "scsi_id", "scsi_sn"})
	}
}

// tgtd starts Debian's tgtd on loopback, with a control socket of its own.
func tgtd(t *testing.T) (dir string) {
	program, err := exec.LookPath("tgtd")
	admin, err2 := exec.LookPath("tgtadm")
	if err := errors.Join(err, err2); err != nil {
		t.Skipf("tgt is not installed: %v", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("tgtd needs root")
	}
	dir = t.TempDir()
	control := strconv.Itoa(20000 + os.Getpid()%10000)
	if err := os.WriteFile(filepath.Join(dir, "tgtadm"), []byte("#!/bin/sh\nexec "+admin+" -C "+control+" \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-f", "-C", control, "--iscsi", "portal=127.0.0.1:0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it stays for SIGTERM while it has targets
		_ = cmd.Wait()
		os.Remove("/var/run/tgtd/socket." + control)
		os.Remove("/var/run/tgtd/socket." + control + ".lock")
	})
	for range 100 {
		if exec.Command(filepath.Join(dir, "tgtadm"), "--lld", "iscsi", "--mode", "target", "--op", "show").Run() == nil {
			return dir
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Skip("tgtd does not run here")
	return ""
}

func TestRealTgtd(t *testing.T) {
	dir := tgtd(t)
	all := agents(host{tree: tree{root: filepath.Join(dir, "none")}, pause: 20 * time.Millisecond}, []string{dir, "/usr/bin", "/bin"})
	_, target, unit := lio(t)
	target.Agent, unit.Agent = all[target.Name], all[unit.Name]
	target.Params = map[string]string{"implementation": "tgt", "iqn": "iqn.2011-01.org.example:t1", "tid": "4",
		"incoming_username": "user", "incoming_password": "s3cret", "allowed_initiators": "127.0.0.1 iqn.a:1", "additional_parameters": "MaxBurstLength=65536"}
	unit.Params["implementation"], unit.Params["lun"], unit.Params["vendor_id"] = "tgt", "1", "gcrm"
	agenttest.Contract(t, target)
	if res := target.Want(t, drivers.Start, drivers.OK); strings.Contains(res.Output, "s3cret") {
		t.Error("the password is shown")
	}
	agenttest.Contract(t, unit)
	unit.Want(t, drivers.Start, drivers.OK)
	out, err := exec.Command(filepath.Join(dir, "tgtadm"), "--lld", "iscsi", "--mode", "target", "--op", "show").Output()
	for _, words := range []string{"SCSI ID: p_lun", "SCSI SN: b605d2c1", "iqn.a:1", "127.0.0.1", "Backing store path: " + unit.Params["path"]} {
		if !strings.Contains(string(out), words) {
			t.Errorf("%q is not in (%v)\n%s", words, err, out)
		}
	}
	second := target
	second.Params = map[string]string{"implementation": "tgt", "iqn": "iqn.2011-01.org.example:t2", "tid": "4"}
	if res := second.Want(t, drivers.Start, drivers.GenericError); !strings.Contains(res.Reason, "number of target iqn.2011-01.org.example:t1") {
		t.Error(res.Reason)
	}
	second.Want(t, drivers.Stop, drivers.OK)
	target.Want(t, drivers.Monitor, drivers.OK)
	target.Want(t, drivers.Stop, drivers.OK)
	unit.Want(t, drivers.Monitor, drivers.NotRunning)
	unit.Want(t, drivers.Stop, drivers.OK)
	if res := unit.Want(t, drivers.Start, drivers.GenericError); !strings.Contains(res.Reason, "start its iSCSITarget before") {
		t.Error(res.Reason)
	}
	unit.Params["lun"] = "0"
	unit.Want(t, drivers.Start, drivers.NotConfigured)
	delete(target.Params, "tid")
	target.Want(t, drivers.Start, drivers.NotConfigured)
}

func TestNoTgtd(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tgtadm"), []byte("#!/bin/sh\necho 'tgtadm: failed to send request hdr to tgt daemon, Transport endpoint is not connected' >&2\nexit 107\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, target, unit := lio(t)
	all := agents(host{tree: tree{root: filepath.Join(dir, "none")}}, []string{dir, "/bin"})
	target.Agent, unit.Agent = all[target.Name], all[unit.Name]
	target.Params = map[string]string{"iqn": "iqn.a:t", "tid": "1"} // tgtadm is what the host has
	unit.Params["implementation"], unit.Params["lun"] = "tgt", "1"
	for _, s := range []agenttest.Subject{target, unit} {
		s.Want(t, drivers.Monitor, drivers.NotRunning)
		s.Want(t, drivers.Stop, drivers.OK)
		if res := s.Want(t, drivers.Start, drivers.GenericError); !strings.Contains(res.Reason, "tgtd does not run") {
			t.Error(res.Reason)
		}
	}
	if err := os.Remove(filepath.Join(dir, "tgtadm")); err != nil {
		t.Fatal(err)
	}
	target.Params["implementation"] = "tgt"
	for _, s := range []agenttest.Subject{target, unit} {
		s.Want(t, drivers.Monitor, drivers.NotRunning)
		s.Want(t, drivers.Stop, drivers.OK)
		s.Want(t, drivers.Start, drivers.NotInstalled)
	}
}
