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
	uri := "test+unix:///default?socket=" + filepath.Join(dir, "libvirt-sock")
	// The hypervisor forgets everything with its last connection.
	hold := Serving(t, cmd, log, uri, os.Interrupt)
	t.Cleanup(func() { hold.Close() })
	return uri
}

// Serving starts a daemon that writes to a log and returns a connection with it. The test
// is skipped where the daemon does not run; at its end the daemon gets a signal, and is
// killed if it has not ended ten seconds later.
func Serving(t testing.TB, cmd *exec.Cmd, log *os.File, uri string, end os.Signal) *rpc.Conn {
	t.Helper()
	said := func() string {
		text, _ := os.ReadFile(log.Name())
		return string(text)
	}
	if err := cmd.Start(); err != nil {
		t.Skip("SKIPPED: ", err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(end)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("the daemon of %s: %s", uri, said())
		}
	})
	for range 300 {
		if c, err := rpc.Dial(t.Context(), uri, rpc.Options{}); err == nil {
			return c
		}
		select {
		case <-ended:
			t.Skipf("SKIPPED: the real daemon does not run here: %s", said())
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Fatalf("the real daemon does not answer: %s", said())
	return nil
}
