package daemon

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The unit is one that systemd understands.
func TestUnit(t *testing.T) {
	var out bytes.Buffer
	if status := Command(t.Context(), []string{"--unit"}, nil, Streams{Out: &out, Err: os.Stderr}); status != 0 {
		t.Fatal(status)
	}
	text := out.String()
	for _, want := range []string{"Type=notify", "WatchdogSec=30s", "KillMode=process", "RestartSec=100ms", fmt.Sprintf("RestartPreventExitStatus=%d\n", exitRemoved), "StartLimitIntervalSec=0", " daemon\n", "WantedBy=multi-user.target"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	path := filepath.Join(t.TempDir(), "gcrm.service")
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	said, err := exec.Command(tool, "verify", path).CombinedOutput()
	if err != nil && !strings.Contains(string(said), "gcrm.service") {
		t.Skipf("systemd-analyze does not work here: %v\n%s", err, said)
	}
	if strings.Contains(string(said), "gcrm.service") {
		t.Errorf("systemd-analyze verify:\n%s", said)
	}
}

// The daemon says when it is ready and that it lives.
func TestNotify(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "n")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "400000")
	h := newHost(t)
	if _, err := Init(InitOptions{StateDir: h.dir, Cluster: "c", Node: "n1", Address: freeAddress(t)}); err != nil {
		t.Fatal(err)
	}
	h.run()
	counts := map[string]int{}
	l.SetReadDeadline(time.Now().Add(20 * time.Second))
	buf := make([]byte, 4096)
	for counts["WATCHDOG=1"] < 3 {
		n, _, err := l.ReadFromUnix(buf)
		if err != nil {
			t.Fatalf("%v; heard %v", err, counts)
		}
		for line := range strings.SplitSeq(string(buf[:n]), "\n") {
			counts[line]++
		}
	}
	if counts["READY=1"] != 1 || counts["STATUS=node n1 of cluster c"] != 1 {
		t.Errorf("heard %v", counts)
	}
	h.stop()
	if n, _, err := l.ReadFromUnix(buf); err == nil {
		for !strings.Contains(string(buf[:n]), "STOPPING=1") {
			if n, _, err = l.ReadFromUnix(buf); err != nil {
				t.Fatal("the end was not told")
			}
		}
	}
}
