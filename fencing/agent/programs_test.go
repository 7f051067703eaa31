package agent_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gcrm/drivers/libvirt/rpc/rpctest"
	"gcrm/fencing/methodtest"
)

// TestDummyProgram: Debian's agent without a device, whose power is a file.
func TestDummyProgram(t *testing.T) {
	methodtest.NeedPrograms(t)
	path := filepath.Join(t.TempDir(), "power")
	if err := os.WriteFile(path, []byte("on"), 0o600); err != nil {
		t.Fatal(err)
	}
	methodtest.Program(t, "fence_dummy", "1", map[string]string{"type": "file", "status_file": path})
}

// TestSBDProgram: Debian's fence_sbd, with the real sbd, on a loop device.
func TestSBDProgram(t *testing.T) {
	methodtest.NeedPrograms(t)
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "-f", "--show", path).CombinedOutput()
	if err != nil {
		t.Skipf("SKIPPED: no loop device can be had: %s", out)
	}
	dev := strings.TrimSpace(string(out))
	defer exec.Command("losetup", "-d", dev).Run()
	for _, args := range [][]string{{"-1", "1", "-4", "2", "create"}, {"allocate", "n1"}} {
		if out, err := exec.Command("sbd", append([]string{"-d", dev}, args...)...).CombinedOutput(); err != nil {
			t.Skipf("SKIPPED: sbd %v: %v: %s", args, err, out)
		}
	}
	methodtest.Program(t, "fence_sbd", "n1", map[string]string{"devices": dev})
}

// TestVirshProgram: Debian's fence_virsh over OpenSSH, and at the far end virsh
// with libvirtd and its test hypervisor. The agent works at a prompt.
func TestVirshProgram(t *testing.T) {
	methodtest.NeedPrograms(t)
	dir := t.TempDir()
	virsh := fmt.Sprintf("#!/bin/sh\nexec /usr/bin/virsh -c '%s' \"$@\"\n", rpctest.Daemon(t))
	if err := os.WriteFile(filepath.Join(dir, "virsh"), []byte(virsh), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/usr/bin/virsh"); err != nil {
		t.Skip("SKIPPED: virsh is not installed (package libvirt-clients)")
	}
	d := methodtest.StartSSHD(t, fmt.Sprintf("export PATH=%s:$PATH; exec sh -c \"$SSH_ORIGINAL_COMMAND\"", dir))
	methodtest.Program(t, "fence_virsh", "test", map[string]string{"ip": "127.0.0.1", "ipport": d.Port, "username": d.User, "identity_file": d.Key,
		"ssh_options": "-F none -t -o IdentitiesOnly=yes -o UserKnownHostsFile=" + d.KnownHosts + " '/bin/bash -c \"PS1=\\\\[EXPECT\\\\]#\\\\  /bin/bash --noprofile --norc\"'", "login_timeout": "30", "shell_timeout": "30"}, "ssh")
}
