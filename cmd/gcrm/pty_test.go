package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// console is a program on a pseudo-terminal of its own.
type console struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File

	mu   sync.Mutex
	seen strings.Builder // everything so far, escape sequences removed
	from int             // where expect goes on
	more chan struct{}
	gone chan struct{}
	raw  strings.Builder
}

// escapes matches what only moves the cursor or colours text.
var escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]|\r`)

// startConsole starts the program under test on a terminal of 40 lines and 120
// columns.
func startConsole(t *testing.T, dir string, args ...string) *console {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 120})
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), asProgram+"=1", "TERM=xterm", "NO_COLOR=1", "HOME="+dir, "XDG_STATE_HOME="+filepath.Join(dir, "state"), "XDG_CONFIG_HOME=", "CIB_file=")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &console{t: t, cmd: cmd, master: master, more: make(chan struct{}, 1), gone: make(chan struct{})}
	go c.read()
	t.Cleanup(func() {
		select {
		case <-c.gone:
		default:
			cmd.Process.Kill()
		}
		cmd.Wait()
		master.Close()
		if t.Failed() {
			t.Logf("the terminal showed:\n%s", c.text())
		}
	})
	return c
}

func (c *console) read() {
	defer close(c.gone)
	buf := make([]byte, 4096)
	for {
		n, err := c.master.Read(buf)
		c.mu.Lock()
		c.raw.Write(buf[:n])
		clean := escapes.ReplaceAllString(c.raw.String(), "")
		c.seen.Reset()
		c.seen.WriteString(clean)
		c.mu.Unlock()
		select {
		case c.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (c *console) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen.String()
}

// typing sends keys.
func (c *console) typing(keys string) {
	c.t.Helper()
	if _, err := c.master.WriteString(keys); err != nil {
		c.t.Fatalf("typing %q: %v", keys, err)
	}
}

// expect waits for a text to appear after what was expected before.
func (c *console) expect(want string) {
	c.t.Helper()
	c.expectWithin(want, 10*time.Second)
}

func (c *console) expectWithin(want string, limit time.Duration) {
	c.t.Helper()
	deadline := time.After(limit)
	for {
		c.mu.Lock()
		all := c.seen.String()
		i := -1
		if c.from <= len(all) {
			i = strings.Index(all[c.from:], want)
		}
		if i >= 0 {
			c.from += i + len(want)
		}
		c.mu.Unlock()
		if i >= 0 {
			return
		}
		select {
		case <-c.more:
		case <-c.gone:
			c.mu.Lock()
			found := strings.Contains(c.seen.String()[min(c.from, c.seen.Len()):], want)
			c.mu.Unlock()
			if !found {
				c.t.Fatalf("the program ended before %q appeared", want)
			}
		case <-deadline:
			c.t.Fatalf("%q did not appear", want)
		}
	}
}

// exit waits for the end of the program and returns its status.
func (c *console) exit() int {
	c.t.Helper()
	done := make(chan error, 1)
	go func() { done <- c.cmd.Wait() }()
	select {
	case err := <-done:
		var e *exec.ExitError
		if errors.As(err, &e) {
			return e.ExitCode()
		}
		return 0
	case <-time.After(10 * time.Second):
		c.t.Fatal("the program does not end")
		return -1
	}
}

// The path of section "Shown by" 2: TAB completes commands, agents and
// parameters.
func TestConsoleCompletion(t *testing.T) {
	c := startConsole(t, t.TempDir(), "--cib", "cib.xml")
	c.expect("gcrm(cib.xml)# ")
	c.typing("conf\t")
	c.expect("configure ")
	c.typing("\r")
	c.expect("gcrm(cib.xml)configure# ")
	c.typing("primitive web ocf:heartbeat:\t")
	c.expect("Dummy")
	c.expect("anything")
	c.typing("Dum\t")
	c.expect("ocf:heartbeat:Dummy ")
	c.typing("params \t")
	c.expect("state=")
	c.expect("default")
	c.typing("st\t")
	c.expect("params state=")
	c.typing("/run/web\r")
	c.expect("configure# ")
	c.typing("show\r")
	c.expect(`params state="/run/web"`)
}

// Leaving with uncommitted changes asks: commit, discard or stay.
func TestConsoleLeavingAsks(t *testing.T) {
	dir := t.TempDir()
	c := startConsole(t, dir, "--cib", "cib.xml")
	c.expect("# ")
	c.typing("configure\r")
	c.expect("configure# ")
	c.typing("property stonith-enabled=false\r")
	c.expect("configure# ")
	c.typing("quit\r")
	c.expect("There are changes pending:")
	c.expect("+\tstonith-enabled=false")
	c.expect("(c/d/s)? ")
	c.typing("s\r")
	c.expect("configure# ")
	c.typing("up\r")
	c.expect("(c/d/s)? ")
	c.typing("x\r")
	c.expect("Please answer")
	c.expect("(c/d/s)? ")
	c.typing("c\r")
	c.expect("gcrm(cib.xml)# ")
	c.typing("configure show\r")
	c.expect("stonith-enabled=false")
	c.typing("configure\r")
	c.expect("configure# ")
	c.typing("delete cib-bootstrap-options\r")
	c.expect("configure# ")
	c.typing("quit\r")
	c.expect("(c/d/s)? ")
	c.typing("d\r")
	c.expect("discarded")
	c.expect("bye")
	if status := c.exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	b, err := os.ReadFile(filepath.Join(dir, "cib.xml"))
	if err != nil || !strings.Contains(string(b), `name="stonith-enabled"`) {
		t.Errorf("the discarded change was made: %v\n%s", err, b)
	}
}

// Ctrl-C abandons the line and not the session; pasted text with tabs and
// several lines is taken as it is; a question ends with Ctrl-D as "stay".
func TestConsoleKeys(t *testing.T) {
	c := startConsole(t, t.TempDir(), "--cib", "cib.xml", "configure")
	c.expect("configure# ")
	c.typing("primitive broken Dum\x03")
	c.expect("configure# ")
	c.typing("primitive broken \\\r")
	c.expect("> ")
	c.typing("\x03")
	c.expect("configure# ")
	c.typing("\x1b[200~primitive a Dummy \\\n\tparams state=/run/a\nprimitive b Dummy\n\x1b[201~")
	c.expect("params state=/run/a")
	c.expect("configure# ")
	c.expect("primitive b Dummy")
	c.expect("configure# ")
	c.typing("bogus\r")
	c.expect("ERROR: configure.bogus: No such command")
	c.typing("show a\r")
	c.expect("primitive a Dummy \\")
	c.expect("configure# ") // outside of the prompt the terminal takes Ctrl-D itself
	c.typing("\x04")
	c.expect("(c/d/s)? ")
	c.typing("\x04")
	c.expect("configure# ")
	c.typing("refresh\r")
	c.expect("(y/n)? ")
	c.typing("y\r")
	c.expect("configure# ")
	c.typing("show\r")
	c.expect("configure# ")
	c.typing("quit\r")
	c.expect("bye")
	if status := c.exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if strings.Contains(c.text(), "broken Dummy") {
		t.Error("an abandoned line was carried out")
	}
}

// The history survives the session, without secrets.
func TestConsoleHistory(t *testing.T) {
	dir := t.TempDir()
	c := startConsole(t, dir, "--cib", "cib.xml", "configure")
	c.expect("configure# ")
	c.typing("primitive f stonith:fence_x params passwd=geheim\r")
	c.expect("configure# ")
	c.typing("primitive web Dummy\r")
	c.expect("configure# ")
	c.typing("refresh\r")
	c.expect("(y/n)? ")
	c.typing("y\r")
	c.expect("configure# ")
	c.typing("quit\r")
	c.exit()
	b, err := os.ReadFile(filepath.Join(dir, "state", "gcrm", "history"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), "primitive web Dummy") || strings.Contains(string(b), "geheim") {
		t.Errorf("history is\n%s", b)
	}
	if st, _ := os.Stat(filepath.Join(dir, "state", "gcrm", "history")); st.Mode().Perm() != 0o600 {
		t.Errorf("history has mode %v", st.Mode())
	}
	c = startConsole(t, dir, "--cib", "cib.xml", "configure")
	c.expect("configure# ")
	c.typing("\x1b[A\x1b[A\x1b[A") // three times up: quit, refresh, the primitive
	c.expect("primitive web Dummy")
	c.typing("\x03")
}
