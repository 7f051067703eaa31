package rpctest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gcrm/drivers/libvirt/rpc"
)

// Daemon starts the real libvirtd on a private socket with a test hypervisor
// and returns its URI; it skips the test where libvirtd is not installed. The
// hypervisor has one running domain, "test".
func Daemon(t testing.TB) string { t.Helper(); return PingingDaemon(t, 20) }

// PingingDaemon is [Daemon] with a daemon that pings its clients each second and gives
// one up after so many pings without an answer.
func PingingDaemon(t testing.TB, pings int) string {
	t.Helper()
	program, err := exec.LookPath("libvirtd")
	if err != nil {
		t.Skipf("the real daemon is not here: %v", err)
	}
	// Two daemons on one host get in each other's way: other tests wait.
	turn, err := os.OpenFile(filepath.Join(os.TempDir(), "libvirtd-of-tests.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { turn.Close() })
	if err := syscall.Flock(int(turn.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	// A path of a socket has at most 107 bytes.
	dir, err := os.MkdirTemp("", "lv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	conf := filepath.Join(dir, "conf")
	text := fmt.Sprintf("unix_sock_dir = %q\nauth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\nkeepalive_interval = 1\nkeepalive_count = %d\n", dir, pings)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, "-f", conf, "-p", filepath.Join(dir, "pid"))
	cmd.Stderr = log
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+dir, "HOME="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	socket := filepath.Join(dir, "libvirt-sock")
	for range 100 {
		if _, err := os.Stat(socket); err == nil {
			uri := "test+unix:///default?socket=" + socket
			// The hypervisor forgets everything with its last connection.
			hold, err := rpc.Dial(t.Context(), uri, rpc.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { hold.Close() })
			return uri
		}
		select {
		case <-ended:
			said, _ := os.ReadFile(log.Name())
			t.Skipf("the real daemon does not run here: %s", said)
		case <-time.After(100 * time.Millisecond):
		}
	}
	said, _ := os.ReadFile(log.Name())
	t.Skipf("the real daemon does not listen: %s", said)
	return ""
}
