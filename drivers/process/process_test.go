package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func shell(script string) Command {
	return Command{Path: "/bin/sh", Args: []string{"-c", script}, Env: []string{"PATH=/usr/bin:/bin"}}
}

func TestRunKeepsStreamsApart(t *testing.T) {
	out := Run(t.Context(), shell(`echo one; echo two >&2; read x; echo "[$x]"; exit 7`))
	if out.Code != 7 || out.Stdout != "one\n[]\n" || out.Stderr != "two\n" || out.Err != nil {
		t.Errorf("%+v", out)
	}
	c := shell(`cat`)
	c.Stdin = "given\n"
	if out := Run(t.Context(), c); out.Stdout != "given\n" {
		t.Errorf("stdin: %+v", out)
	}
	if out := Run(t.Context(), shell(`kill -SEGV $$`)); out.Signal != syscall.SIGSEGV || out.Code != -1 {
		t.Errorf("signal: %+v", out)
	}
}

func TestBackgroundProcessDoesNotHoldTheResult(t *testing.T) {
	pidfile := filepath.Join(t.TempDir(), "pid")
	began := time.Now()
	out := Run(t.Context(), shell(`sleep 30 & echo $! > `+pidfile+`; echo started`))
	if took := time.Since(began); took > 5*time.Second || out.Stdout != "started\n" || out.Code != 0 {
		t.Errorf("took %v: %+v", took, out)
	}
	pid := readPid(t, pidfile)
	if !(Identity{Pid: pid}).Alive() {
		t.Error("the background process was killed although the run ended by itself")
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

// One that greets late must not be ended by that.
func TestBackgroundProcessMayWriteAfterTheResult(t *testing.T) {
	dir := t.TempDir()
	Run(t.Context(), shell(fmt.Sprintf(`(sleep 0.3; head -c 200000 /dev/zero; echo hello >&2; touch %s/wrote; exec sleep 60) & echo $! > %[1]s/pid`, dir)))
	pid := readPid(t, filepath.Join(dir, "pid"))
	defer syscall.Kill(pid, syscall.SIGKILL)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "wrote")); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it could not write")
		}
	}
	if !(Identity{Pid: pid}).Alive() {
		t.Error("it ended when it wrote")
	}
}

func TestTimeoutKillsGroupAndDescendants(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	// One in the group that ignores TERM, one in a session of its own, one
	// grandchild of that.
	out := Run(ctx, shell(fmt.Sprintf(`
		trap '' TERM
		sleep 60 & echo $! > %[1]s/a
		setsid sh -c 'echo $$ > %[1]s/b; sleep 60 & echo $! > %[1]s/c; wait' &
		echo early; wait`, dir)))
	if !errors.Is(out.Err, context.DeadlineExceeded) || out.Stuck || out.Stdout != "early\n" {
		t.Errorf("%+v", out)
	}
	for _, f := range []string{"a", "b", "c"} {
		pid := readPid(t, filepath.Join(dir, f))
		for range 100 {
			if !(Identity{Pid: pid}).Alive() {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if (Identity{Pid: pid}).Alive() {
			t.Errorf("process %s (%d) survived", f, pid)
		}
	}
}

func TestOutputIsBounded(t *testing.T) {
	c := shell(`echo begin; head -c 3000000 /dev/zero | tr '\0' x; echo end`)
	c.Limit = 1000
	out := Run(t.Context(), c)
	if n := len(out.Stdout); n > 1100 || !strings.HasPrefix(out.Stdout, "begin\n") || !strings.HasSuffix(out.Stdout, "xend\n") ||
		!strings.Contains(out.Stdout, "bytes left out") {
		t.Errorf("%d bytes, %.60q", n, out.Stdout)
	}
}

func TestReasonsForNotStarting(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "absent"):                    "no such file or directory",
		write("noexec", "#!/bin/sh\n", 0o644):           "permission denied",
		write("badint", "#!/opt/lang/none -x\n", 0o755): "interpreter /opt/lang/none does not exist",
		write("text", "just words\n", 0o755):            "neither a program nor a script",
	} {
		out := Run(t.Context(), Command{Path: path})
		if out.Err == nil || !strings.Contains(out.Err.Error(), want) || out.Code != -1 {
			t.Errorf("%s: %v, want %q", path, out.Err, want)
		}
	}
}

func TestIdentityTellsAReusedPid(t *testing.T) {
	cmd := exec.Command("sleep", "30")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s, err := Look(cmd.Process.Pid)
	if err != nil || s.Name != "sleep" || s.Parent != os.Getpid() {
		t.Fatalf("%+v, %v", s, err)
	}
	back, err := ParseIdentity(s.Identity.String())
	if err != nil || back != s.Identity || !back.Alive() {
		t.Errorf("%v, %v", back, err)
	}
	other := Identity{Pid: s.Pid, Start: s.Start + 1}
	if other.Alive() {
		t.Error("a process with another start time counts as alive")
	}
	if err := other.Signal(syscall.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal to the wrong process: %v", err)
	}
	if err := back.Signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	for range 200 { // a zombie until waited for
		if s, err := Look(back.Pid); err == nil && s.State == 'Z' {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if back.Alive() {
		t.Error("a zombie counts as alive")
	}
	_ = cmd.Wait()
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("12 (a) b) S 1 12 12 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 777 0"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := parseStat(12, raw)
		if err == nil && s.Pid != 12 {
			t.Error("wrong pid")
		}
	})
}

func readPid(t *testing.T, file string) int {
	t.Helper()
	for range 200 {
		raw, err := os.ReadFile(file)
		if pid, convErr := strconv.Atoi(strings.TrimSpace(string(raw))); err == nil && convErr == nil {
			return pid
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no pid in %s", file)
	return 0
}
