// Package laboratory holds fencing methods that prove nothing by themselves:
// for trying things out, and in front of others.
package laboratory

import (
	"bytes"
	"cmp"
	"context"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"gcrm/fencing"
)

// Null says that everything succeeds, and does nothing.
type Null struct{ fencing.Description }

// NewNull returns the method null.
func NewNull() *Null {
	return &Null{fencing.Description{Name: "fence_null", Short: "does nothing (laboratories only)",
		Long:    "Says that everything succeeds. That is no proof: nothing is recovered by it alone.",
		Actions: []string{fencing.On, fencing.Off, fencing.Reboot, fencing.Status, fencing.Monitor},
		Params:  []fencing.Param{{Name: "plug", Obsoletes: "port", Short: "node"}}}}
}

// Proves implements [fencing.Judge].
func (*Null) Proves() fencing.Proves { return fencing.Never }

// Do implements [fencing.Method].
func (*Null) Do(_ context.Context, c fencing.Call) fencing.Outcome {
	if c.Action == fencing.Status {
		return fencing.Outcome{Text: "it is not known"}
	}
	return fencing.Outcome{Text: "nothing was done"}
}

// Manual waits for an administrator: it fails when its time is over, and the
// request ends when somebody confirms that the node is down.
type Manual struct{ fencing.Description }

// NewManual returns the method manual.
func NewManual() *Manual {
	return &Manual{fencing.Description{Name: "fence_manual", Short: "waits for an administrator (laboratories only)",
		Long:    "Asks for somebody to switch the node off and to say so with: gcrm fence confirm NODE",
		Actions: []string{fencing.Off, fencing.Monitor},
		Params:  []fencing.Param{{Name: "nodename", Short: "node; the cluster gives it"}}}}
}

// Proves implements [fencing.Judge].
func (*Manual) Proves() fencing.Proves { return fencing.Never }

// Do implements [fencing.Method].
func (*Manual) Do(ctx context.Context, c fencing.Call) fencing.Outcome {
	if c.Action != fencing.Off && c.Action != fencing.Reboot {
		return fencing.Outcome{}
	}
	<-ctx.Done()
	return fencing.Outcome{Code: fencing.TimedOut, Text: "nobody confirmed that the node is down",
		Hint: "switch " + c.Target + " off and run: gcrm fence confirm " + c.Target}
}

// SSH asks the node itself, over ssh, to reset itself at once.
type SSH struct {
	fencing.Description
	// Program is the ssh client.
	Program string
}

// NewSSH returns the method ssh.
func NewSSH() *SSH {
	return &SSH{Program: "ssh", Description: fencing.Description{Name: "fence_ssh", Short: "asks the node itself (laboratories only)",
		Long: "Logs into the node over ssh and resets its kernel without a word to its programs. A node that does not answer cannot be fenced so, " +
			"and one that does gives no proof: nothing is recovered by it alone.",
		Actions: []string{fencing.Off, fencing.Reboot, fencing.Monitor},
		Params: []fencing.Param{
			{Name: "plug", Obsoletes: "port", Short: "name or address of the node"},
			{Name: "username", Default: "root", Short: "user on the node"},
			{Name: "identity_file", Short: "file with the private key"},
			{Name: "ssh_options", Short: "more options for ssh"},
		}}}
}

// Proves implements [fencing.Judge].
func (*SSH) Proves() fencing.Proves { return fencing.Never }

// Do implements [fencing.Method].
func (s *SSH) Do(ctx context.Context, c fencing.Call) fencing.Outcome {
	path, err := exec.LookPath(s.Program)
	if err != nil {
		return fencing.Fail("install the ssh client", "%v", err)
	}
	if c.Action == fencing.Monitor {
		return fencing.Outcome{}
	}
	key := map[string]string{fencing.Off: "o", fencing.Reboot: "b"}[c.Action]
	if key == "" {
		return fencing.Fail("", "fence_ssh cannot do %s", c.Action)
	}
	host := c.Param("plug", "port", c.Plug)
	if host == "" || strings.HasPrefix(host, "-") {
		return fencing.Fail("set plug or pcmk_host_map", "%q is no name of a node", host)
	}
	args := []string{"-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=3", "-l", c.Param("username", "root")}
	if f := c.Param("identity_file", ""); f != "" {
		args = append(args, "-i", f)
	}
	args = append(args, strings.Fields(c.Param("ssh_options", ""))...)
	// The answer comes before the reset, so that the connection can end.
	args = append(args, "--", host, "echo 1 >/proc/sys/kernel/sysrq && echo accepted && (sleep 1; echo "+key+" >/proc/sysrq-trigger) >/dev/null 2>&1 </dev/null &")
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out, msg bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &msg
	err = cmd.Run()
	said := strings.TrimSpace(msg.String())
	switch {
	case ctx.Err() != nil:
		return fencing.Outcome{Code: fencing.TimedOut, Text: host + " does not answer", Hint: "a node that hangs or is off cannot be reset by itself: add another level behind this one"}
	case strings.Contains(said, "Permission denied") || strings.Contains(said, "Host key verification"):
		return fencing.Fail("let "+host+" in from this node by ssh with a key (identity_file), and log in by hand once", "%s: %s", host, said)
	case err != nil:
		return fencing.Fail("a node that hangs or is off cannot be reset by itself: add another level behind this one", "%s: %s", host, cmp.Or(said, err.Error()))
	case !strings.Contains(out.String(), "accepted"):
		return fencing.Fail("give the user a shell on the node, and the right to use /proc/sysrq-trigger", "%s did not accept the reset: %s", host, said)
	}
	return fencing.Outcome{Text: "the node accepted to reset itself"}
}
