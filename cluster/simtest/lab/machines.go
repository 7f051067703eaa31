package lab

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	program  = flag.String("lab", "", "the laboratory's program, as ../shared/lab/lab; without it tests on virtual machines are skipped")
	patience = flag.Float64("patience", 1, "multiply the time limits of tests on virtual machines")
	stretch  = flag.Float64("stretch", 3, "multiply the times that clusters on virtual machines are configured with")
	keep     = flag.Bool("keep", false, "use virtual machines that run already, and leave them running")
)

// Machines are the running machines of a laboratory, node1, node2 and so on, for one
// test or a part of it.
type Machines struct {
	t       *testing.T
	ctx     context.Context
	program string
	names   []string
}

// Boot switches machines on and waits until they answer; options are those of "lab up".
// They are switched off with the test.
func Boot(t *testing.T, nodes int, options ...string) *Machines {
	t.Helper()
	m := &Machines{t: t, ctx: t.Context(), program: find(t)}
	for n := range nodes {
		m.names = append(m.names, fmt.Sprintf("node%d", n+1))
	}
	status, err := m.lab(time.Minute, "status")
	if err != nil {
		t.Fatalf("lab status: %v\n%s", err, status)
	}
	begun := time.Now()
	if on := strings.Count(status, " on "); on < nodes || !*keep {
		if on > 0 {
			t.Fatalf("machines run already, perhaps of another test (-keep uses them):\n%s", status)
		}
		if !*keep {
			t.Cleanup(func() { _ = exec.Command(m.program, "down").Run() })
		}
		m.Lab(append([]string{"up", strconv.Itoa(nodes), "--no-wait"}, options...)...)
	}
	if *ahead < 0 {
		ended := make(chan struct{})
		go func() { defer close(ended); m.stayAhead(m.ctx, *ahead) }()
		t.Cleanup(func() { <-ended })
	}
	for _, n := range m.names {
		m.Answers(n)
	}
	_ = os.Remove(m.path("fence.log"))
	t.Logf("%d machines answer after %v; %s", nodes, time.Since(begun).Round(time.Second), HostLoad())
	return m
}

// find is the program that -lab names; the test is skipped if it names none.
func find(t *testing.T) string {
	t.Helper()
	if *program == "" {
		t.Skip("SKIPPED: needs the laboratory (-lab PATH) and its virtual machines")
	}
	at, err := filepath.Abs(*program)
	if err != nil {
		t.Fatal(err)
	}
	if there(at) {
		return at
	}
	if at = filepath.Join(root(t), *program); !there(at) {
		t.Fatalf("the laboratory's program is neither at %s nor at %s", *program, at)
	}
	return at
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// root is that of the repository.
func root(t *testing.T) string {
	t.Helper()
	at, err := filepath.Abs(".")
	for err == nil {
		if there(filepath.Join(at, "go.mod")) {
			return at
		}
		if filepath.Dir(at) == at {
			break
		}
		at = filepath.Dir(at)
	}
	t.Fatalf("no go.mod above the working directory (%v)", err)
	return ""
}

// In are the same machines for a part of the test, whose commands end with ctx.
func (m *Machines) In(ctx context.Context, t *testing.T) *Machines {
	other := *m
	other.ctx, other.t = ctx, t
	return &other
}

// Only are some of the machines, for what is done with all of them.
func (m *Machines) Only(names ...string) *Machines {
	other := *m
	other.names = names
	return &other
}

// Names are those of all machines.
func (m *Machines) Names() []string { return m.names }

// Patience is a limit of a test, stretched by -patience.
func Patience(d time.Duration) time.Duration { return time.Duration(float64(d) * *patience) }

// Slow is a time of a configuration that fits a real machine, stretched by -stretch for
// emulated ones.
func Slow(d time.Duration) time.Duration {
	return time.Duration(float64(d) * *stretch).Round(time.Second)
}

// Seconds writes a time as configurations have it.
func Seconds(d time.Duration) string { return fmt.Sprintf("%ds", int(d.Seconds())) }

// HostLoad tells how busy the host is, to be read beside times.
func HostLoad() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "load unknown"
	}
	return "load " + strings.Join(strings.Fields(string(b))[:2], " ")
}

// path is a file of the laboratory's run.
func (m *Machines) path(what string) string {
	return filepath.Join(cmp.Or(os.Getenv("LAB_DIR"), "/var/tmp/gcrm-lab"), "run", what)
}

// lab runs a command of the laboratory.
func (m *Machines) lab(limit time.Duration, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(m.ctx, limit)
	defer cancel()
	out, err := exec.CommandContext(ctx, m.program, args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// Lab runs a command of the laboratory, which has to succeed.
func (m *Machines) Lab(args ...string) string {
	m.t.Helper()
	out, err := m.lab(Patience(10*time.Minute), args...)
	if err != nil {
		m.t.Fatalf("lab %s: %v %v\n%s", strings.Join(args, " "), err, context.Cause(m.ctx), out)
	}
	return out
}

// Command is a program of the host, or, with "exec NODE --" before it, of a machine, as
// the laboratory runs it: for those with an input, or with much output.
func (m *Machines) Command(args ...string) *exec.Cmd {
	return exec.CommandContext(m.ctx, m.program, args...)
}

// Try runs a shell script in a machine; one that hangs is an error after a while.
func (m *Machines) Try(node, script string) (string, error) {
	return m.TryFor(5*time.Minute, node, script)
}

// TryFor is [Machines.Try] with another limit.
func (m *Machines) TryFor(limit time.Duration, node, script string) (string, error) {
	limit = Patience(limit)
	return m.lab(limit+10*time.Second, "sh", "-t", strconv.Itoa(int(limit.Seconds())), node, script)
}

// Run runs a shell script in a machine, which has to succeed.
func (m *Machines) Run(node, script string) string {
	m.t.Helper()
	out, err := m.Try(node, script)
	if err != nil {
		m.t.Fatalf("%s: %s: %v %v\n%s", node, script, err, context.Cause(m.ctx), out)
	}
	return out
}

// Copy copies files: the last argument, or the first, is NODE:PATH. What is copied to a
// machine is on its disk then, so that a loss of power does not damage it.
func (m *Machines) Copy(paths ...string) {
	m.t.Helper()
	m.Lab(append([]string{"cp"}, paths...)...)
	if node, _, ok := strings.Cut(paths[len(paths)-1], ":"); ok {
		m.Run(node, "sync")
	}
}

// Answers waits until a machine has started.
func (m *Machines) Answers(node string) {
	m.t.Helper()
	m.Lab("wait", node, strconv.Itoa(int(Patience(8*time.Minute).Seconds())))
}

// Until waits for a script to succeed in a machine, which may be away meanwhile, and
// tells how long that took.
func (m *Machines) Until(node, what, script string) time.Duration {
	m.t.Helper()
	var out string
	return m.Wait(node+": "+what, func() bool {
		var err error
		out, err = m.TryFor(30*time.Second, node, script)
		return err == nil
	}, &out)
}

// Wait waits for something and tells how long that took. What explain point at is
// printed if it is in vain.
func (m *Machines) Wait(what string, yes func() bool, explain ...*string) time.Duration {
	m.t.Helper()
	begun, limit := time.Now(), Patience(10*time.Minute)
	for !yes() {
		if time.Since(begun) > limit || m.ctx.Err() != nil {
			for _, e := range explain {
				what += "\n" + *e
			}
			m.t.Fatalf("not within %v (%s): %s", limit, HostLoad(), what)
		}
		select {
		case <-time.After(time.Second):
		case <-m.ctx.Done():
		}
	}
	took := time.Since(begun)
	m.t.Logf("%s after %v; %s", what, took.Round(100*time.Millisecond), HostLoad())
	return took
}

// OnFailure logs what a script says in each machine if the test fails.
func (m *Machines) OnFailure(script string) {
	m.t.Cleanup(func() {
		if !m.t.Failed() {
			return
		}
		late := *m
		late.ctx = context.Background()
		for _, n := range m.names {
			out, _ := late.TryFor(time.Minute, n, script)
			m.t.Logf("%s:\n%s\nconsole:\n%s", n, out, late.Console(n))
		}
	})
}
