package rpc_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gcrm/drivers/libvirt/rpc"
	"gcrm/drivers/libvirt/rpc/rpctest"
)

// TestMain lets the test program stand in for netcat.
func TestMain(m *testing.M) {
	path := os.Getenv("BRIDGE_TO")
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

// TestOverACommand puts a program in the place of ssh that carries out the
// remote command on this host.
func TestOverACommand(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	netcat := "#!/bin/sh\n[ \"$1\" = -U ] || exit 1\nBRIDGE_TO=\"$2\" exec " + self + "\n"
	if err := os.WriteFile(filepath.Join(dir, "nc"), []byte(netcat), 0o755); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\nfor last; do :; done\nexec sh -c \"$last\"\n"
	if err := os.WriteFile(filepath.Join(dir, "ssh"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	h := rpctest.New(t, "qemu")
	_, socket, _ := strings.Cut(h.URI, "=")
	c := dial(t, "qemu+ssh://root@node2/system?socket="+socket, rpc.Options{})
	if _, err := c.CreateXML(t.Context(), "<domain><name>a</name></domain>"); err != nil {
		t.Fatal(err)
	}
	if _, ok := h.Machine("a"); !ok {
		t.Error("the daemon was not reached")
	}
}

func TestWhatTheCommandComplainsOf(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\necho 'Permission denied (publickey).' >&2\nexit 255\n"
	if err := os.WriteFile(filepath.Join(dir, "ssh"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	if _, err := rpc.Dial(t.Context(), "qemu+ssh://node2/system", rpc.Options{}); !rpc.IsLost(err) || !strings.Contains(err.Error(), "Permission denied") {
		t.Errorf("%v", err)
	}
}
