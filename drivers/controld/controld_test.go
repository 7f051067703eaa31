package controld

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/dlm"
	"gcrm/drivers/dlm/kernel"
	"gcrm/drivers/dlm/kernel/kerneltest"
	"gcrm/drivers/dlm/lockspace"
	"gcrm/drivers/dlm/plock"
	"gcrm/drivers/process"
)

func request(t *testing.T, action string, params map[string]string) drivers.Request {
	return drivers.Request{Agent: name, Resource: "dlm", Action: action, Params: params, Timeout: 30 * time.Second, Interval: time.Second,
		Node: drivers.Node{Name: "node1", StateDir: t.TempDir(), HelperDir: t.TempDir(), Home: t.TempDir(), Socket: "/nowhere"}}
}

func TestOptions(t *testing.T) {
	for args, want := range map[string]string{
		"": "", "-s 0": "", "-s0": "", "--enable_startup_fencing=0": "", "-r tcp": "", "-r sctp -s 0": "--sctp", "--protocol=1": "--sctp", "-p 21065": "--port 21065",
		"-L 1": "--log-level debug", "-K 0": "", "-D": "--log-level debug", "-s 1": "!startup-fencing", "-q 0": "!option -q is not served", "-f0": "!option -f is not served", "-r ipx": "!tcp or sctp",
	} {
		got, err := options(args)
		text := strings.Join(got, " ")
		if err != nil {
			text = "!" + err.Error()
		}
		if wrong, refused := strings.CutPrefix(want, "!"); refused && !strings.Contains(text, wrong) || !refused && text != want {
			t.Errorf("%q: %q; want %q", args, text, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		params, meta map[string]string
		want         string
	}{
		{map[string]string{"daemon": "ocfs2_controld.pcmk"}, nil, "o2cb"},
		{map[string]string{"args": "-f 0"}, nil, "-f is not served"},
		{nil, map[string]string{"globally_unique": "true"}, "globally-unique"},
	} {
		r := request(t, drivers.Start, c.params)
		r.Meta = c.meta
		if res := Agent().Run(t.Context(), r); res.RC != drivers.NotConfigured || !strings.Contains(res.Reason, c.want) {
			t.Errorf("%+v: %+v", c.params, res)
		}
	}
	if _, err := options("-s 0"); err != nil || (drivers.Name{Class: "ocf", Provider: "pacemaker", Type: "controld"}) != name {
		t.Error(err)
	}
}

// program is what the agent starts in the place of gcrm.
func program(t *testing.T, r drivers.Request, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.Node.HelperDir, drivers.ProgramName), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestStartThatFails passes on why the control process ended.
func TestStartThatFails(t *testing.T) {
	for script, want := range map[string]drivers.RC{"echo gcrm: dlm: fencing is switched off >&2\nexit 6\n": drivers.NotConfigured, "echo gcrm: dlm: no module >&2\nexit 1\n": drivers.GenericError} {
		r := request(t, drivers.Start, nil)
		program(t, r, script)
		words := strings.TrimPrefix(strings.Split(strings.TrimPrefix(script, "echo "), " >&2")[0], "echo ")
		if res := Agent().Run(t.Context(), r); res.RC != want || !strings.Contains(res.Reason, words) {
			t.Errorf("%+v; want %d %q", res, want, words)
		}
	}
}

// standIn is a control daemon in this process with another process noted as its
// own.
func standIn(t *testing.T, r drivers.Request) *exec.Cmd {
	t.Helper()
	f := dlm.Folder(r.Node.StateDir)
	cmd := exec.Command("sleep", "3600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	st, err := process.Look(cmd.Process.Pid)
	if err == nil {
		err = f.Make()
	}
	if err == nil {
		err = os.WriteFile(f.Identity(), []byte(st.Identity.String()), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	host := kerneltest.NewNet().Host(1)
	c := dlm.NewControl(dlm.Config{Self: lockspace.Life{Node: 1, Boot: "b"}, Settings: kernel.Settings{Cluster: "c"}, Host: host, Cluster: alone{}})
	w, err := dlm.OpenWindow(f, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() { cancel(); host.Close(); <-ended; w.Close() })
	return cmd
}

// alone is a cluster that never says anything.
type alone struct{}

func (alone) Follow(ctx context.Context, _ func(dlm.View)) error     { <-ctx.Done(); return ctx.Err() }
func (alone) Propose(context.Context, lockspace.Entry) error         { return nil }
func (alone) Fence(context.Context, string) error                    { return nil }
func (alone) Send(context.Context, int, string, plock.Message) error { return nil }
func (alone) Receive(ctx context.Context, _ func(string, plock.Message), _ func(string)) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestMonitorAndStop(t *testing.T) {
	r := request(t, drivers.Monitor, nil)
	if res := Agent().Run(t.Context(), r); res.RC != drivers.NotRunning {
		t.Errorf("%+v", res)
	}
	cmd := standIn(t, r)
	// It lives and answers, and has not heard of the cluster yet.
	if res := Agent().Run(t.Context(), r); res.RC != drivers.GenericError || !strings.Contains(res.Reason, "has not taken over") {
		t.Errorf("%+v", res)
	}
	r.Action = drivers.Stop
	if res := Agent().Run(t.Context(), r); res.RC != drivers.OK {
		t.Errorf("%+v", res)
	}
	if id, lives, err := dlm.Folder(r.Node.StateDir).Control(); err != nil || lives || id.Pid != 0 {
		t.Errorf("%+v %v %v, process %d", id, lives, err, cmd.Process.Pid)
	}
	if res := Agent().Run(t.Context(), r); res.RC != drivers.OK {
		t.Errorf("%+v", res)
	}
}
