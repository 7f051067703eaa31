// Package controld is the agent that puts the kernel's distributed lock manager
// under the cluster's control on a node: ocf:pacemaker:controld. It starts and
// ends the control process of drivers/dlm; no other cluster stack is needed.
package controld

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/dlm"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
)

// name is the agent's.
var name = drivers.Name{Class: "ocf", Provider: "pacemaker", Type: "controld"}

// Agents returns the agent of this package by name.
func Agents() map[drivers.Name]drivers.Agent {
	return map[drivers.Name]drivers.Agent{name: Agent()}
}

// Agent is ocf:pacemaker:controld.
func Agent() *native.Agent {
	const s = time.Second
	return &native.Agent{
		Table: meta.Agent{
			Name: "controld", Version: "1.4", API: "1.1", Short: "Control of the kernel's distributed lock manager",
			Long: "Puts the kernel's distributed lock manager (DLM) under the cluster's control, which GFS2 and shared volume groups need. " +
				"Membership, quorum and fencing are those of this cluster. Make it a clone with interleave=true, and start what uses it after it on the same node. " +
				"A node that loses control of its lock manager while locks are in use is fenced; a stop waits until no lockspace is left.",
			Params: []meta.Param{
				{Name: "args", Type: meta.String, Default: "-s 0", Short: "Options of the control process",
					Long: "Options in the form of dlm_controld: -r or --protocol (tcp or sctp; sctp uses all networks of a node), -p or --port for the kernel's TCP port, " +
						"-D, -L and -K for a log with details, -s 0 (nodes that are missing at start are the scheduler's business in any case)."},
				{Name: "daemon", Type: meta.String, Default: "dlm_controld", Short: "The daemon to run", Long: "dlm_controld, which stands for the control of this cluster."},
				{Name: "allow_fencing_disabled", Type: meta.Boolean, Default: "false", Short: "Work without fencing",
					Long: "Work although fencing is switched off. Whoever loses a node then loses data."},
				{Name: "allow_stonith_disabled", Type: meta.Boolean, Default: "false", Short: "Old name of allow_fencing_disabled", ReplacedBy: "allow_fencing_disabled"},
			},
			Actions: []meta.Action{
				{Name: "start", Timeout: 90 * s}, {Name: "stop", Timeout: 100 * s},
				{Name: "monitor", Timeout: 20 * s, Interval: 10 * s},
				{Name: "validate-all", Timeout: 30 * s}, {Name: "meta-data", Timeout: 5 * s},
			},
		},
		Check:   check,
		Actions: map[string]native.Action{drivers.Start: start, drivers.Stop: stop, drivers.Monitor: monitor},
	}
}

func check(c *native.Call) drivers.Result {
	if d := c.Params.String("daemon"); strings.TrimSuffix(d, ".pcmk") != "dlm_controld" {
		return native.Fail(drivers.NotConfigured, "parameter daemon: %s is not served: this cluster controls the kernel's lock manager itself; "+
			"gfs2 needs no daemon of its own, and OCFS2 can use its own stack o2cb with its file systems outside of the cluster's control", d)
	}
	if c.MetaTrue("globally_unique") {
		return native.Fail(drivers.NotConfigured, "a node has one lock manager: the clone of this resource must not be globally-unique")
	}
	if _, err := options(c.Params.String("args")); err != nil {
		return native.Fail(drivers.NotConfigured, "parameter args: %v", err)
	}
	return native.OK()
}

// options turns those of dlm_controld into those of gcrm dlm control.
func options(args string) ([]string, error) {
	var out []string
	words := strings.Fields(args)
	for i := 0; i < len(words); i++ {
		word, value, given := strings.Cut(words[i], "=")
		if len(word) > 2 && word[0] == '-' && word[1] != '-' {
			word, value, given = word[:2], word[2:], true
		}
		next := func() string {
			if !given && i+1 < len(words) {
				i++
				return words[i]
			}
			return value
		}
		switch word {
		case "-s", "--enable_startup_fencing":
			if v := next(); v != "0" {
				return nil, fmt.Errorf("%s %s: the scheduler fences nodes that are missing at start (property startup-fencing); give 0 or leave it out", word, v)
			}
		case "-r", "--protocol":
			switch v := next(); v {
			case "0", "tcp", "TCP", "detect", "2", "DETECT":
			case "1", "sctp", "SCTP":
				out = append(out, "--sctp")
			default:
				return nil, fmt.Errorf("%s %s: the protocol is tcp or sctp", word, v)
			}
		case "-p", "--port":
			out = append(out, "--port", next())
		case "-D", "-L", "-K", "--daemon_debug", "--log_debug", "--debug_logfile":
			if !given && i+1 < len(words) && (words[i+1] == "0" || words[i+1] == "1") {
				i++
				if words[i] == "0" {
					continue
				}
			}
			out = append(out, "--log-level", "debug")
		default:
			return nil, fmt.Errorf("option %s is not served", word)
		}
	}
	return out, nil
}

func folder(c *native.Call) dlm.Folder { return dlm.Folder(c.Node.StateDir) }

// lockspaces are those that the kernel has.
func lockspaces() []string {
	list, err := os.ReadDir("/sys/kernel/dlm")
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func monitor(ctx context.Context, c *native.Call) drivers.Result {
	id, lives, err := folder(c).Control()
	switch {
	case err != nil:
		return native.Failed(err)
	case !lives:
		if spaces := lockspaces(); id.Pid != 0 && len(spaces) > 0 {
			return native.Fail(drivers.GenericError, "the control process ended with lockspaces in use (%s): this node has to be fenced", strings.Join(spaces, ", "))
		}
		return native.NotRunning()
	}
	c.Waiting("an answer of the control process %d", id.Pid)
	r, err := folder(c).Report(ctx)
	if err != nil {
		return native.Fail(drivers.GenericError, "control process %d: %v", id.Pid, err)
	}
	if !r.Ready {
		return native.Fail(drivers.GenericError, "control process %d has not taken over the lock manager", id.Pid)
	}
	return native.OK()
}

func start(ctx context.Context, c *native.Call) drivers.Result {
	f := folder(c)
	if c.Node.Home == "" || c.Node.HelperDir == "" {
		return native.Fail(drivers.NotConfigured, "the lock manager can only be controlled on a host with a node of its own")
	}
	if spaces := lockspaces(); len(spaces) > 0 {
		if _, lives, err := f.Control(); err == nil && !lives {
			return native.Fail(drivers.GenericError, "the kernel has lockspaces that nobody controls (%s): restart this node", strings.Join(spaces, ", "))
		}
	}
	argv, err := command(c)
	if err != nil {
		return native.Fail(drivers.NotConfigured, "%v", err)
	}
	var ended <-chan *os.ProcessState
	if _, lives, err := f.Control(); err != nil {
		return native.Failed(err)
	} else if !lives {
		if err := c.Do(native.Quote(argv), func() (err error) { ended, err = launch(f, argv); return err }); err != nil {
			return native.Failed(err)
		}
	}
	c.Waiting("the control process to take over the lock manager")
	var exit *os.ProcessState
	err = c.Poll(ctx, 100*time.Millisecond, func() bool {
		select {
		case exit = <-ended:
			return true
		default:
		}
		r, err := f.Report(ctx)
		return err == nil && r.Ready
	})
	switch {
	case exit != nil:
		rc := drivers.GenericError
		if code := drivers.RC(exit.ExitCode()); code == drivers.NotConfigured || code == drivers.NotInstalled {
			rc = code
		}
		return native.Fail(rc, "the control process ended: %s", lastWords(f.Log()))
	case err != nil:
		return native.Fail(drivers.GenericError, "%v: %s", err, lastWords(f.Log()))
	}
	return native.OK()
}

// command is what is started.
func command(c *native.Call) ([]string, error) {
	more, err := options(c.Params.String("args"))
	if err != nil {
		return nil, err
	}
	argv := []string{filepath.Join(c.Node.HelperDir, drivers.ProgramName), "dlm", "control", "--state-dir", c.Node.Home, "--run-dir", c.Node.StateDir, "--socket", c.Node.Socket}
	if c.Params.Bool("allow_fencing_disabled") || c.Params.Bool("allow_stonith_disabled") {
		argv = append(argv, "--without-fencing")
	}
	return append(argv, more...), nil
}

// launch starts the control process, which outlives the daemon.
func launch(f dlm.Folder, argv []string) (<-chan *os.ProcessState, error) {
	if err := f.Make(); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(f.Log(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	cmd.Env = []string{"PATH=" + strings.Join(native.DefaultPath(), ":")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan *os.ProcessState, 1)
	go func() {
		_ = cmd.Wait() // how it ended is in the state
		ended <- cmd.ProcessState
	}()
	return ended, nil
}

// lastWords is the last line of a log.
func lastWords(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "its log cannot be read: " + err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

func stop(ctx context.Context, c *native.Call) drivers.Result {
	f := folder(c)
	id, lives, err := f.Control()
	if err != nil {
		return native.Failed(err)
	}
	if !lives {
		if spaces := lockspaces(); id.Pid != 0 && len(spaces) > 0 {
			return native.Fail(drivers.GenericError, "the control process ended with lockspaces in use (%s): this node has to be fenced", strings.Join(spaces, ", "))
		}
		return native.OK()
	}
	err = c.Do(fmt.Sprintf("kill -TERM %d (control process)", id.Pid), func() error {
		if err := id.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		return nil
	})
	if err != nil {
		return native.Failed(err)
	}
	err = c.Poll(ctx, 100*time.Millisecond, func() bool {
		c.Waiting("the control process to end: %s", users(ctx, f))
		return !id.Alive()
	})
	if err != nil {
		return native.Fail(drivers.GenericError, "%v", err)
	}
	if err := os.Remove(f.Identity()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return native.Failed(err)
	}
	return native.OK()
}

// users says what keeps the control process from ending.
func users(ctx context.Context, f dlm.Folder) string {
	r, err := f.Report(ctx)
	if err != nil {
		return "no lockspace is known to be in use"
	}
	var names []string
	for _, s := range r.Spaces {
		if s.Here {
			names = append(names, s.Name)
		}
	}
	if len(names) == 0 {
		return "no lockspace is in use"
	}
	return "in use are the lockspaces " + strings.Join(names, ", ") + "; stop their file systems and volume groups first (an ordering constraint does)"
}
