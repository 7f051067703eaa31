// Package agent runs fence agents that are programs (fence agent API): it
// passes parameters as lines to their standard input, never as arguments or
// environment, and kills an agent's process group when its time is over.
package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"gcrm/cib"
	"gcrm/fencing"
)

// usualDirs are the folders in which fence agents are installed.
var usualDirs = [...]string{"/usr/sbin", "/sbin", "/usr/local/sbin"}

// Finder finds fence agents in folders.
type Finder struct {
	// Dirs are searched in this order; if empty, the usual ones are.
	Dirs []string
}

func (f Finder) dirs() []string {
	if len(f.Dirs) > 0 {
		return f.Dirs
	}
	return usualDirs[:]
}

// Find returns the agent with a name.
func (f Finder) Find(name string) (fencing.Method, error) {
	if !strings.HasPrefix(name, "fence_") || strings.ContainsAny(name, "/\x00") {
		return nil, fmt.Errorf("fence agent %s: %w (names of programs begin with fence_)", name, cib.ErrNoAgent)
	}
	for _, dir := range f.dirs() {
		path := filepath.Join(dir, name)
		st, err := os.Stat(path)
		if err != nil || st.IsDir() {
			continue
		}
		if st.Mode()&0o111 == 0 {
			return nil, fmt.Errorf("fence agent %s: %s is not executable", name, path)
		}
		return &Program{Path: path}, nil
	}
	return nil, fmt.Errorf("fence agent %s: %w (looked in %s)", name, cib.ErrNoAgent, strings.Join(f.dirs(), ", "))
}

// Names lists the agents that are installed.
func (f Finder) Names() []string {
	found := map[string]bool{}
	for _, dir := range f.dirs() {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), "fence_") || isDaemon(e.Name()) {
				continue
			}
			if st, err := os.Stat(filepath.Join(dir, e.Name())); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
				found[e.Name()] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// isDaemon are programs with an agent's name that are none.
func isDaemon(name string) bool {
	return strings.HasSuffix(name, "d") && (name == "fence_virtd" || name == "fence_sanlockd") || name == "fence_kdump_send" || name == "fence_ack_manual" || name == "fence_tool" || name == "fence_node"
}

// Program is one fence agent.
type Program struct{ Path string }

// Program is the path of the agent.
func (p *Program) Program() string { return p.Path }

// outputLimit bounds what is kept of an agent's output.
const outputLimit = 1 << 20

// Metadata implements [fencing.Method].
func (p *Program) Metadata(ctx context.Context) (string, error) {
	out, msg, err := p.run(ctx, map[string]string{"action": "metadata"})
	if err != nil {
		return "", fmt.Errorf("%s: metadata: %w %s", p.Path, err, lastLine(msg))
	}
	return out, nil
}

// Do implements [fencing.Method].
func (p *Program) Do(ctx context.Context, c fencing.Call) fencing.Outcome {
	params := maps.Clone(c.Params)
	if params == nil {
		params = map[string]string{}
	}
	params["action"] = c.Action
	out, msg, err := p.run(ctx, params)
	text := fencing.Redact(lastLine(msg), c.Params)
	if text == "" {
		text = fencing.Redact(lastLine(out), c.Params)
	}
	if ctx.Err() != nil {
		return fencing.Outcome{Code: fencing.TimedOut, Text: text}
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit):
		if c.Action == fencing.Status && exit.ExitCode() == 2 {
			return fencing.Outcome{Power: fencing.PowerOff}
		}
		meaning, hint := exitMeaning(exit, filepath.Base(p.Path))
		if text != "" {
			meaning += ": " + text
		}
		return fencing.Outcome{Code: fencing.Failed, Text: meaning, Hint: hint}
	default:
		return fencing.Fail("check that "+p.Path+" can be executed on node "+c.Self, "%v", err)
	}
	switch c.Action {
	case fencing.Status:
		return fencing.Outcome{Power: fencing.PowerOn}
	case fencing.List, "list-status":
		return fencing.Outcome{Hosts: fencing.ParseHosts(out)}
	}
	return fencing.Outcome{Text: text}
}

// run starts the program with parameters on its standard input.
func (p *Program) run(ctx context.Context, params map[string]string) (stdout, stderr string, err error) {
	var in strings.Builder
	for _, k := range slices.Sorted(maps.Keys(params)) {
		if strings.ContainsAny(params[k], "\n\x00") {
			return "", "", fmt.Errorf("the value of %s has a line break, which fence agents cannot take", k)
		}
		fmt.Fprintf(&in, "%s=%s\n", k, params[k])
	}
	cmd := exec.CommandContext(ctx, p.Path)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	cmd.Stdin = strings.NewReader(in.String())
	var out, msg bounded
	cmd.Stdout, cmd.Stderr = &out, &msg
	err = cmd.Run()
	if cmd.Process != nil {
		// Children that outlived the agent must not act later.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	// Agents that answer before they have read all their input are in order.
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) {
		err = nil
	}
	return out.String(), msg.String(), err
}

// bounded keeps the beginning of what is written to it.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if room := outputLimit - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// lastLine is what agents say last, which is mostly what matters; their dates
// in front are left off.
func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for len(lines) > 1 && (strings.TrimSpace(lines[len(lines)-1]) == "" || strings.Contains(lines[len(lines)-1], "use '-h' for usage")) {
		lines = lines[:len(lines)-1]
	}
	l := strings.TrimSpace(lines[len(lines)-1])
	if i := strings.Index(l, ": "); i > 0 && i < 40 && strings.HasSuffix(l[:i], "ERROR") {
		l = l[i+2:]
	}
	return l
}

// exitMeaning puts the exit code of an agent in words.
func exitMeaning(e *exec.ExitError, agent string) (text, hint string) {
	if ws, ok := e.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return agent + " was ended by signal " + ws.Signal().String(), ""
	}
	switch e.ExitCode() {
	case 1:
		return "failed", ""
	case 2:
		return "wrong parameters", "see: gcrm ra info stonith:" + agent
	case 3:
		return "login denied, or the device does not answer", "check address, user and password of the device"
	case 4:
		return "connection lost", "check the network to the device"
	case 5:
		return "the device timed out", "check the network to the device; raise power_timeout, login_timeout or shell_timeout"
	case 6, 7:
		return "the power did not change in time", "raise power_timeout and pcmk_off_timeout"
	case 8:
		return "the power state could not be read", "check plug or port of the node"
	case 9:
		return "the power state could not be read (HMC)", ""
	case 10:
		return "no password was given", "set passwd, passwd_script or the credential of the device"
	case 11:
		return "the user must not do it", "give the user of the device the right to switch the power"
	case 12:
		return "no such virtual machine (UUID)", "check plug or port of the node"
	case 127:
		return agent + " needs a program that is not installed", ""
	}
	return fmt.Sprintf("%s ended with code %d", agent, e.ExitCode()), ""
}
