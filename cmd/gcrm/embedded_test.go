package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// freeAddress returns an address on loopback that nobody listens on. Its port is
// below those that the kernel gives to outgoing connections, which would take it
// away before it is used.
func freeAddress(t *testing.T) string {
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000))
		tcp, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		udp, err := net.ListenPacket("udp", address)
		tcp.Close()
		if err != nil {
			continue
		}
		udp.Close()
		return address
	}
	t.Fatal("no port is free")
	return ""
}

// webScript is the tutorial's script on an address of its own.
func webScript(t *testing.T, dir string) (file, address string) {
	b, err := os.ReadFile("../../testdata/tutorials/web.crm")
	if err != nil {
		t.Fatal(err)
	}
	address = freeAddress(t)
	// What a killed cluster leaves running must not outlive a failed test.
	t.Cleanup(func() {
		if pid := servingProcess(t, dir); pid > 0 {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	file = filepath.Join(dir, "web.crm")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(b), "127.0.0.1:8080", address)), 0o644); err != nil {
		t.Fatal(err)
	}
	return file, address
}

// page fetches the demonstration's page.
func page(address string) (string, error) {
	c := http.Client{Timeout: time.Second}
	resp, err := c.Get("http://" + address + "/")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// The README's tour: three nodes run the web service; it moves away from a
// node in standby within two seconds, and comes back when its process is
// killed.
func TestConsoleEmbeddedCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	dir := t.TempDir()
	file, address := webScript(t, dir)
	c := startConsole(t, dir, "--embedded", "3", "--state-dir", filepath.Join(dir, "s"), "-f", file, "-i")
	c.expectWithin("webserver\t(ocf:heartbeat:anything):\t Started node1", 60*time.Second)
	c.expectWithin("gcrm(live/node1)# ", 10*time.Second)
	if p, err := page(address); err != nil || p == "" {
		t.Errorf("the page is not served: %v", err)
	}

	c.ask("node standby node1")
	began := time.Now()
	moved := regexp.MustCompile(`resource webserver is running on: node[23]`)
	for !moved.MatchString(c.ask("resource status webserver")) {
		if time.Since(began) > 2*time.Second {
			t.Fatalf("webserver has not left node1 after %v", time.Since(began))
		}
	}
	t.Logf("moved after %v", time.Since(began).Round(time.Millisecond))
	if out := c.ask("status"); !strings.Contains(out, "Node node1: standby") {
		t.Errorf("node1 is not in standby:\n%s", out)
	}
	c.ask("node online node1")

	for {
		if _, err := page(address); err == nil {
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal("the page is not served after the move")
		}
		time.Sleep(20 * time.Millisecond)
	}
	c.ask("cluster wait") // the start is recorded, monitors run
	pid := servingProcess(t, dir)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		if _, err := page(address); err == nil && servingProcess(t, dir) != pid {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the killed web server did not come back")
		}
		time.Sleep(50 * time.Millisecond)
	}
	c.typing("status\r")
	c.expect("Failed Resource Actions:")
	c.expect("webserver 1s-interval monitor on node")
	c.expect("# ")
	c.typing("quit\r")
	c.expectWithin("stopping the cluster", 10*time.Second)
	if status := c.exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if _, err := page(address); err == nil {
		t.Error("the web server outlives the cluster")
	}
}

// ask runs a command at the prompt and returns what it printed.
func (c *console) ask(command string) string {
	c.t.Helper()
	c.mu.Lock()
	c.from = c.seen.Len()
	start := c.from
	c.mu.Unlock()
	c.typing(command + "\r")
	c.expect(command + "\n")
	c.expect("# ")
	return c.text()[start:]
}

// servingProcess finds the process that serves the page of the cluster whose
// state is below dir.
func servingProcess(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Skip("no /proc: ", err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.Contains(string(cmdline), "demo-web") && strings.Contains(string(cmdline), dir) {
			return pid
		}
	}
	return -1
}

// TestEmbeddedScript runs the README's first command: every resource starts,
// and the exit status says so. A resource that cannot start makes it 1, with the
// reason.
func TestEmbeddedScript(t *testing.T) {
	if testing.Short() {
		t.Skip("starts clusters")
	}
	dir := t.TempDir()
	file, _ := webScript(t, dir)
	c := startConsole(t, dir, "--embedded", "3", "-f", file)
	c.expectWithin("webserver\t(ocf:heartbeat:anything):\t Started node1", 60*time.Second)
	c.expectWithin("Promoted: [ node1 ]", 10*time.Second)
	if status := c.exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}

	bad := filepath.Join(dir, "bad.crm")
	script := "configure\nproperty stonith-enabled=false\nprimitive gone ocf:heartbeat:nosuchagent\nprimitive a ocf:heartbeat:Dummy\ncommit\n"
	if err := os.WriteFile(bad, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	c = startConsole(t, dir, "--embedded", "2", "-f", bad)
	c.expectWithin("a\t(ocf:heartbeat:Dummy):\t Started", 60*time.Second)
	c.expect("gcrm: resource gone does not run")
	c.expect("not installed")
	if status := c.exit(); status != 1 {
		t.Errorf("exit status %d", status)
	}
}

// kill -9 at any time loses nothing that was committed.
func TestEmbeddedSurvivesKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts clusters")
	}
	dir := t.TempDir()
	state := filepath.Join(dir, "s")
	c := startConsole(t, dir, "--embedded", "3", "--state-dir", state)
	c.expectWithin("gcrm(live/node1)# ", 60*time.Second)
	c.typing("configure property stonith-enabled=false\r")
	c.expect("# ")
	c.typing("configure primitive kept ocf:heartbeat:Dummy\r")
	c.expect("# ")
	c.typing("configure show kept\r")
	c.expect("primitive kept Dummy")
	c.expect("# ")
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c.exit()
	c = startConsole(t, dir, "--embedded", "3", "--state-dir", state)
	c.expectWithin("gcrm(live/node1)# ", 60*time.Second)
	c.typing("configure show\r")
	c.expect("primitive kept Dummy")
	c.expect("stonith-enabled=false")
	c.expect("# ")
	c.typing("quit\r")
	if status := c.exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// resource restart ends the process and starts another one, and leaves the
// configuration as it was.
func TestEmbeddedRestart(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	dir := t.TempDir()
	file, address := webScript(t, dir)
	c := startConsole(t, dir, "--embedded", "2", "--state-dir", filepath.Join(dir, "s"), "-f", file, "-i")
	c.expectWithin("webserver\t(ocf:heartbeat:anything):\t Started node1", 60*time.Second)
	c.expectWithin("gcrm(live/node1)# ", 10*time.Second)
	before, pid := c.ask("configure show webserver"), servingProcess(t, dir)
	if pid < 0 {
		t.Fatal("no process serves the page")
	}
	c.typing("resource restart webserver\r")
	c.expect("resource restart webserver\n")
	c.expectWithin("# ", 30*time.Second)
	if after := servingProcess(t, dir); after < 0 || after == pid {
		t.Errorf("process %d serves the page, before the restart %d", after, pid)
	}
	if p, err := page(address); err != nil || p == "" {
		t.Errorf("the page is not served: %v", err)
	}
	if after := c.ask("configure show webserver"); after != before {
		t.Errorf("the configuration changed from\n%s\nto\n%s", before, after)
	}
	if got := c.ask("resource status webserver"); !strings.Contains(got, "resource webserver is running on: node1") {
		t.Errorf("got %s", got)
	}
	c.typing("quit\r")
	if status := c.exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// Settings that were saved hold in the next session, and give way to options.
func TestConsoleSettings(t *testing.T) {
	dir := t.TempDir()
	c := startConsole(t, dir, "--cib", "cib.xml")
	c.expect("# ")
	c.typing("options set output json\r")
	c.expect("# ")
	c.typing("options save\r")
	c.expect("# ")
	c.typing("quit\r")
	c.exit()
	c = startConsole(t, dir, "--cib", "cib.xml", "template", "list")
	c.expect(`"template": "fencing"`)
	c.exit()
	c = startConsole(t, dir, "--cib", "cib.xml", "-o", "text", "template", "list")
	c.expect("Template")
	c.exit()
}
