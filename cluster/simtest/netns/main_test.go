package netns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/cluster/node/daemon"
	"gcrm/drivers"
	"gcrm/fencing"
)

// task is what a process of a host is to do; it comes in the environment.
type task struct {
	Do, Root, Name, Address, Contact, Token string
	Detection                               time.Duration
}

const taskVariable = "GCRM_NETNS_TASK"

func (k task) dir() string     { return filepath.Join(k.Root, k.Name) }
func (k task) pidFile() string { return filepath.Join(k.dir(), "pid") }

// TestMain makes the test's binary the daemon, too.
func TestMain(m *testing.M) {
	if v := os.Getenv(taskVariable); v != "" {
		if err := serve(v); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func serve(v string) error {
	var k task
	if err := json.Unmarshal([]byte(v), &k); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	state := filepath.Join(k.dir(), "state")
	switch k.Do {
	case "init":
		_, err := daemon.Init(daemon.InitOptions{StateDir: state, Cluster: "netns", Node: k.Name, Address: k.Address, Detection: k.Detection})
		return err
	case "join":
		_, err := daemon.Join(ctx, daemon.JoinOptions{StateDir: state, Node: k.Name, Address: k.Address, Contact: k.Contact, Token: k.Token})
		return err
	}
	if err := os.WriteFile(k.pidFile(), []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return err
	}
	return daemon.Run(ctx, daemon.Options{StateDir: state, RunDir: filepath.Join(k.dir(), "run"), Socket: filepath.Join(k.dir(), "api.sock"),
		Program: "/bin/true", EvacuationLimit: 10 * time.Second,
		Agents: drivers.NewRegistry(map[drivers.Name]drivers.Agent{
			{Class: "ocf", Provider: "sim", Type: "File"}: file{k},
			{Class: "stonith", Type: "fence_netns"}:       idle{},
		}, nil, drivers.Preferences{Default: drivers.PreferNative}),
		Fencing: fencing.NewRegistry(map[string]fencing.Method{"fence_netns": power{k}}, nil, nil),
		Log:     slog.New(slog.NewTextHandler(os.Stderr, nil))})
}

// file is an agent whose resource is a file of the host. It notices when the
// resource is active elsewhere.
type file struct{ task }

func (file) Metadata(context.Context) (string, error) {
	return `<resource-agent name="File"><version>1.0</version><parameters/><actions>
<action name="start" timeout="20s"/><action name="stop" timeout="20s"/><action name="monitor" timeout="20s" interval="10s"/></actions></resource-agent>`, nil
}

func (f file) path(resource, host string) string {
	return filepath.Join(f.Root, "active", resource+"@"+host)
}

func (f file) journal(format string, args ...any) {
	w, err := os.OpenFile(filepath.Join(f.Root, "journal"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer w.Close()
	fmt.Fprintf(w, "%s %d %s: %s\n", time.Now().Format("15:04:05.000"), os.Getpid(), f.Name, fmt.Sprintf(format, args...))
}

// Run implements drivers.Agent.
func (f file) Run(_ context.Context, r drivers.Request) drivers.Result {
	mine := f.path(r.Resource, f.Name)
	switch r.Action {
	case drivers.Start:
		f.journal("start %s", r.Resource)
		if err := os.WriteFile(mine, nil, 0o600); err != nil {
			return drivers.Result{RC: drivers.GenericError, Reason: err.Error()}
		}
		if on, _ := filepath.Glob(f.path(r.Resource, "*")); len(on) > 1 {
			f.journal("VIOLATION: %s is active on %v", r.Resource, on)
		}
	case drivers.Stop:
		f.journal("stop %s", r.Resource)
		if err := os.Remove(mine); err != nil && !os.IsNotExist(err) {
			return drivers.Result{RC: drivers.GenericError, Reason: err.Error()}
		}
	case drivers.Monitor:
		if _, err := os.Stat(mine); err != nil {
			return drivers.Result{RC: drivers.NotRunning}
		}
	default:
		return drivers.Result{RC: drivers.Unimplemented}
	}
	return drivers.Result{}
}

// idle stands for the resource of the power switch.
type idle struct{}

func (idle) Metadata(context.Context) (string, error) {
	return `<resource-agent name="fence_netns"><parameters/><actions><action name="off"/></actions></resource-agent>`, nil
}

func (idle) Run(_ context.Context, r drivers.Request) drivers.Result {
	if r.Action == drivers.Monitor && r.Interval == 0 {
		return drivers.Result{RC: drivers.NotRunning}
	}
	return drivers.Result{}
}

// power is the switch of all hosts. It does one thing at a time.
type power struct{ task }

func (power) Metadata(context.Context) (string, error) {
	return `<resource-agent name="fence_netns"><parameters/><actions>
<action name="on"/><action name="off"/><action name="reboot"/><action name="status"/><action name="monitor"/></actions></resource-agent>`, nil
}

// Do implements fencing.Method.
func (p power) Do(_ context.Context, c fencing.Call) fencing.Outcome {
	switch c.Action {
	case "off", "reboot":
		lock, err := os.OpenFile(filepath.Join(p.Root, "power"), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return fencing.Fail("", "%v", err)
		}
		defer lock.Close()
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
			return fencing.Fail("", "%v", err)
		}
		t := p.task
		t.Name = c.Target
		if err := switchOff(t); err != nil {
			return fencing.Fail("", "%v", err)
		}
		file(p).journal("fenced %s", c.Target)
		return fencing.Outcome{Power: fencing.PowerOff, Text: "its process is gone"}
	case "status":
		t := p.task
		t.Name = c.Target
		if pid := t.pid(); pid == 0 || ended(pid) {
			return fencing.Outcome{Power: fencing.PowerOff}
		}
		return fencing.Outcome{Power: fencing.PowerOn}
	}
	return fencing.Outcome{}
}

func (k task) pid() int {
	b, err := os.ReadFile(k.pidFile())
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return pid
}

// switchOff kills a host's daemon and takes what it ran.
func switchOff(k task) error {
	if pid := k.pid(); pid > 0 {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
		for limit := time.Now().Add(5 * time.Second); !ended(pid); time.Sleep(time.Millisecond) {
			if time.Now().After(limit) {
				return fmt.Errorf("process %d of %s does not end", pid, k.Name)
			}
		}
	}
	on, err := filepath.Glob(file{k}.path("*", k.Name))
	for _, f := range on {
		err = errors.Join(err, os.Remove(f))
	}
	return err
}

// ended reports whether a process is gone, or only waited for.
func ended(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X")
}
