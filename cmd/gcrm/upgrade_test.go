package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// edition is a build of the program, of a version of its own, that knows feature
// levels up to one. It is made as a release is, with the linker's options.
type edition struct{ program string }

func editionOf(t *testing.T, dir, version, level string) edition {
	t.Helper()
	path := filepath.Join(dir, "gcrm-"+version)
	cmd := exec.Command("go", "build", "-ldflags", "-X main.version="+version+" -X main.level="+level, "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return edition{program: path}
}

// limitOfTests is how long tests wait for what has to come, on a machine that is
// busy with other tests.
const limitOfTests = 3 * time.Minute

// updatable is a host whose gcrm can be replaced.
type updatable struct {
	t         *testing.T
	name, dir string
	address   string
	gcrm      edition
	cmd       *exec.Cmd
	done      chan error
}

func (m *updatable) run(args ...string) (string, error) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), limitOfTests)
	defer cancel()
	cmd := exec.CommandContext(ctx, m.gcrm.program, args...)
	cmd.Env = append(os.Environ(), "GCRM_SOCKET="+filepath.Join(m.dir, "api.sock"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (m *updatable) must(args ...string) string {
	m.t.Helper()
	out, err := m.run(args...)
	if err != nil {
		m.t.Fatalf("%s: gcrm %s: %v\n%s", m.name, strings.Join(args, " "), err, out)
	}
	return out
}

func (m *updatable) start() {
	m.t.Helper()
	log, err := os.OpenFile(filepath.Join(m.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close()
	m.cmd = exec.Command(m.gcrm.program, "daemon", "--state-dir", m.dir, "--run-dir", filepath.Join(m.dir, "run"), "--socket", filepath.Join(m.dir, "api.sock"))
	m.cmd.Stderr = log
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func(c *exec.Cmd) { done <- c.Wait() }(m.cmd)
	m.done = done
	m.t.Cleanup(func() {
		m.stop(syscall.SIGKILL)
		if m.t.Failed() {
			b, _ := os.ReadFile(filepath.Join(m.dir, "log"))
			m.t.Logf("log of %s:\n%s", m.name, b[max(0, len(b)-6000):])
		}
	})
}

// stop ends the daemon and waits for that.
func (m *updatable) stop(s syscall.Signal) error {
	if m.cmd == nil {
		return nil
	}
	// It may have ended already.
	if err := m.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		m.t.Errorf("%s: %v", m.name, err)
	}
	m.cmd = nil
	select {
	case err := <-m.done:
		return err
	case <-time.After(limitOfTests):
		m.t.Errorf("the daemon of %s does not end", m.name)
		return nil
	}
}

func (m *updatable) until(what string, f func(out string) bool, args ...string) {
	m.t.Helper()
	out := ""
	for deadline := time.Now().Add(limitOfTests); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if out, _ = m.run(args...); f(out) {
			return
		}
	}
	m.t.Fatalf("not within %v: %s\n%s", limitOfTests, what, out)
}

// Two versions work together; what only the newer one knows waits until both
// nodes have it, and from then on the older one is refused.
func TestRollingUpgrade(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: it builds the program twice")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("SKIPPED: there is no go command to build the program with: ", err)
	}
	dir := t.TempDir()
	older, newer := editionOf(t, dir, "1.0", "1"), editionOf(t, dir, "1.1", "2")
	var list []*updatable
	for _, name := range []string{"alpha", "beta"} {
		m := &updatable{t: t, name: name, dir: filepath.Join(dir, name), address: freeAddress(t), gcrm: older}
		if err := os.MkdirAll(m.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
	alpha, beta := list[0], list[1]
	alpha.must("cluster", "init", "--name", "c", "--node", "alpha", "--address", alpha.address, "--state-dir", alpha.dir, "--detection", "2s")
	alpha.start()
	online := func(n int) func(string) bool {
		return func(out string) bool { return strings.Count(out, " online ") == n }
	}
	alpha.until("alpha is up", online(1), "cluster", "status")
	token := strings.TrimSpace(alpha.must("cluster", "token"))
	beta.must("cluster", "join", alpha.address, "--token", token, "--node", "beta", "--address", beta.address, "--state-dir", beta.dir)
	beta.start()
	alpha.until("both are up", online(2), "cluster", "status")
	alpha.until("fencing is switched off", func(out string) bool { return !strings.Contains(out, "ERROR") }, "configure", "property", "stonith-enabled=false")

	// The first node is updated.
	if err := beta.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	beta.gcrm = newer
	beta.start()
	beta.until("the versions are told", func(out string) bool {
		return online(2)(out) && strings.Contains(out, "1.0") && strings.Contains(out, "1.1")
	}, "cluster", "status")
	beta.must("configure", "primitive", "one", "ocf:pacemaker:Dummy", "op", "monitor", "interval=10s", "timeout=20s")
	out, err := beta.run("--confirm", "1h", "configure", "primitive", "two", "ocf:pacemaker:Dummy", "op", "monitor", "interval=10s", "timeout=20s")
	if err == nil || !strings.Contains(out, "update alpha first") {
		t.Errorf("a feature that alpha does not know: %v\n%s", err, out)
	}
	if out, _ := beta.run("cluster", "health"); !strings.Contains(out, "an older gcrm on alpha keeps the cluster at feature level 1") {
		t.Errorf("health:\n%s", out)
	}

	// The second one follows.
	if err := alpha.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	alpha.gcrm = newer
	alpha.start()
	alpha.until("both are up", online(2), "cluster", "status")
	beta.until("the new feature works", func(out string) bool { return !strings.Contains(out, "ERROR") },
		"--confirm", "1h", "configure", "primitive", "two", "ocf:pacemaker:Dummy", "op", "monitor", "interval=10s", "timeout=20s")
	beta.must("configure", "commit", "confirmed")

	// Nobody goes back.
	if err := alpha.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	alpha.gcrm = older
	alpha.start()
	select {
	case err := <-alpha.done:
		alpha.cmd = nil
		b, _ := os.ReadFile(filepath.Join(alpha.dir, "log"))
		if err == nil || !bytes.Contains(b, []byte("the cluster works at feature level 2, and this build of gcrm knows 1 at most")) {
			t.Errorf("the older version: %v\n%s", err, b)
		}
	case <-time.After(limitOfTests):
		t.Error("the older version runs in a cluster that it does not understand")
	}
	token = strings.TrimSpace(beta.must("cluster", "token"))
	gamma := &updatable{t: t, name: "gamma", dir: filepath.Join(dir, "gamma"), address: freeAddress(t), gcrm: older}
	out, err = gamma.run("cluster", "join", beta.address, "--token", token, "--node", "gamma", "--address", gamma.address, "--state-dir", gamma.dir)
	if err == nil || !strings.Contains(out, "install version 1.1 there") {
		t.Errorf("an older version joined: %v\n%s", err, out)
	}
}
