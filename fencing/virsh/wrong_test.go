package virsh

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gcrm/drivers/libvirt/rpc"
	"gcrm/drivers/libvirt/rpc/rpctest"
	"gcrm/fencing"
	"gcrm/fencing/methodtest"
)

// TestMain lets the test program stand in for netcat at the far end of ssh.
func TestMain(m *testing.M) {
	path := os.Getenv("GCRM_TEST_BRIDGE")
	if path == "" {
		os.Exit(m.Run())
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() { _, _ = io.Copy(conn, os.Stdin); conn.Close() }()
	_, _ = io.Copy(os.Stdout, conn)
}

// wrapped lets ssh find the host key of a test; what else fence_virsh says to it
// stays as it is. The host is known under the name "host".
func wrapped(t *testing.T, d *methodtest.SSHD) {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "conf")
	text := fmt.Sprintf("Host host\n HostName 127.0.0.1\n Port %s\n HostKeyAlias [127.0.0.1]:%s\nHost *\n UserKnownHostsFile %s\n GlobalKnownHostsFile none\n IdentitiesOnly yes\n IdentityAgent none\n", d.Port, d.Port, d.KnownHosts)
	real, err := lookSSH()
	if err != nil {
		t.Skip("SKIPPED: ", err)
	}
	for name, body := range map[string]string{conf: text, filepath.Join(dir, "ssh"): "#!/bin/sh\nexec " + real + " -F " + conf + " \"$@\"\n"} {
		if err := os.WriteFile(name, []byte(body), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func lookSSH() (string, error) {
	for _, p := range []string{"/usr/bin/ssh", "/bin/ssh"} {
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("ssh is not in its usual place")
}

// far is the command at the far end: what libvirt's own helper does there, for
// a daemon in a folder of the test's.
func far(t *testing.T, uri string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	_, socket, _ := strings.Cut(uri, "socket=")
	return fmt.Sprintf("case \"$SSH_ORIGINAL_COMMAND\" in *virt-ssh-helper*qemu:///system*) GCRM_TEST_BRIDGE=%s exec %s;; esac\necho \"unexpected: $SSH_ORIGINAL_COMMAND\" >&2; exit 1", socket, self)
}

// TestOverSSH: OpenSSH's client and daemon between the node and the real libvirtd
// with its test hypervisor.
func TestOverSSH(t *testing.T) {
	uri := rpctest.Daemon(t)
	d := methodtest.StartSSHD(t, strings.Replace(far(t, uri), "qemu:///system", "test:///default", 1))
	wrapped(t, d)
	params := map[string]string{"uri": "test+ssh://" + d.User + "@host/default?" + url.Values{"keyfile": {d.Key}}.Encode(), "stonith_status_sleep": "0", "login_timeout": "20"}
	for _, s := range []struct {
		action string
		power  fencing.Power
		text   string
	}{{fencing.Status, fencing.PowerOn, ""}, {fencing.Off, fencing.PowerOff, "read as off"}, {fencing.Off, fencing.PowerOff, "already"}, {fencing.On, fencing.PowerOn, ""}} {
		if o := do(t, New(nil), params, s.action, "test"); o.Code != fencing.Succeeded || o.Power != s.power || !strings.Contains(o.Text, s.text) {
			t.Fatalf("%s: %+v", s.action, o)
		}
	}
	if o := do(t, New(nil), params, fencing.List, ""); len(o.Hosts) < 2 {
		t.Errorf("list: %+v", o)
	}
}

// TestVirshGoesWrong: with address, user and key as the agent has them, OpenSSH
// for the way, and a libvirt daemon that can be made to fail.
func TestVirshGoesWrong(t *testing.T) {
	h := rpctest.New(t, "qemu")
	h.Set("test", rpc.Running, 1)
	d := methodtest.StartSSHD(t, far(t, h.URI))
	wrapped(t, d)
	params := map[string]string{"ip": "host", "username": d.User, "identity_file": d.Key, "login_timeout": "20", "power_timeout": "1"}
	if o := do(t, New(nil), params, fencing.Status, "test"); o.Power != fencing.PowerOn {
		t.Fatalf("nothing works: %+v", o)
	}
	methodtest.Run(t, map[methodtest.Situation]methodtest.Case{
		methodtest.WrongPassword: {Text: "Permission denied", Hint: "authorized_keys", Do: func(t *testing.T) fencing.Outcome {
			return do(t, New(nil), params, fencing.Off, "test", "identity_file", d.Stranger)
		}},
		methodtest.Timeout: {Text: "login_timeout", Hint: "libvirt runs", Do: func(t *testing.T) fencing.Outcome {
			d.Freeze(true)
			defer d.Freeze(false)
			return do(t, New(nil), params, fencing.Off, "test", "login_timeout", "1")
		}},
		methodtest.Garbage: {Hint: "libvirt", Do: func(t *testing.T) fencing.Outcome {
			other := methodtest.StartSSHD(t, "head -c 4096 /dev/zero | tr '\\0' '%'; sleep 1")
			wrapped(t, other)
			return do(t, New(nil), params, fencing.Off, "test", "identity_file", other.Key)
		}},
		methodtest.AlreadyOff: {Do: func(t *testing.T) fencing.Outcome {
			h.Set("test", rpc.ShutOff, 1)
			defer h.Set("test", rpc.Running, 1)
			h.Answer(rpc.ProcDestroyFlags, func([]byte) error { t.Error("what is off was switched"); return nil })
			defer h.Answer(rpc.ProcDestroyFlags, nil)
			return do(t, New(nil), params, fencing.Off, "test")
		}},
		methodtest.GoneMidway: {Hint: "libvirt", Do: func(t *testing.T) fencing.Outcome {
			h.Answer(rpc.ProcDestroyFlags, func([]byte) error { h.Disconnect(); return nil })
			return do(t, New(nil), params, fencing.Off, "test")
		}},
	})
	t.Run("unknown host key", func(t *testing.T) {
		if err := os.WriteFile(d.KnownHosts, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if o := do(t, New(nil), params, fencing.Off, "test"); o.Code != fencing.Failed || !strings.Contains(o.Hint, "log in by hand") {
			t.Errorf("%+v", o)
		}
	})
}
