package anything

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gcrm/cmd/gcrm/demoweb"
	"gcrm/drivers"
	"gcrm/drivers/agenttest"
	"gcrm/drivers/native"
	"gcrm/drivers/process"
)

// The test binary is also the program of the demonstration.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "demo-web" {
		os.Exit(demoweb.Main(os.Args[2:]))
	}
	os.Exit(m.Run())
}

func subject(t *testing.T, params map[string]string) agenttest.Subject {
	s := agenttest.Subject{Name: drivers.Name{Class: "ocf", Provider: "heartbeat", Type: "anything"}, Agent: Agent(),
		Resource: "web", Params: params, Node: agenttest.NewNode(t, "node1")}
	t.Cleanup(func() { s.Agent.Run(context.Background(), s.Request(drivers.Stop)) })
	return s
}

func pid(t *testing.T, s agenttest.Subject) process.Identity {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.Node.StateDir, "anything_web.id"))
	if err != nil {
		t.Fatal(err)
	}
	id, err := process.ParseIdentity(string(raw))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestContract(t *testing.T) {
	s := subject(t, map[string]string{"binfile": "sleep", "cmdline_options": "60"})
	s.Break = func(t *testing.T) {
		if err := pid(t, s).Signal(syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		for range 100 {
			if !pid(t, s).Alive() {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	agenttest.Contract(t, s)
}

func TestMetadataAgreesWithTheScript(t *testing.T) {
	agenttest.SameAsScript(t, subject(t, nil).Name, Agent(), nil, []string{"pidfile"})
}

func TestWebServerFromTheHelperFolder(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	s := subject(t, map[string]string{"binfile": "gcrm", "cmdline_options": "demo-web --listen " + address + ` --page "Hello from the cluster"`})
	s.Node.HelperDir = t.TempDir()
	if err := drivers.InstallHelpers(s.Node.HelperDir, self); err != nil {
		t.Fatal(err)
	}
	// The port is taken: the failure says so.
	if res := s.Want(t, drivers.Start, drivers.GenericError); !strings.Contains(res.Reason, "address "+address+" is in use") ||
		!strings.Contains(res.Reason, "exit code 1") {
		t.Error(res.Reason)
	}
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	l.Close()
	s.Want(t, drivers.Start, drivers.OK)
	s.Want(t, drivers.Monitor, drivers.OK)
	res, err := http.Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Gcrm-Node"); got != "node1" {
		t.Errorf("served by %q", got)
	}
	s.Want(t, drivers.Stop, drivers.OK)
	if _, err := http.Get("http://" + address); err == nil {
		t.Error("still served after stop")
	}
	if files, _ := os.ReadDir(s.Node.StateDir); len(files) != 0 {
		t.Errorf("stop left %v", files)
	}
}

func TestReusedPidIsNotTakenForTheProcess(t *testing.T) {
	other := exec.Command("sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	s := subject(t, map[string]string{"binfile": "sleep", "cmdline_options": "60"})
	st, err := process.Look(other.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	// As if our process had died and its pid had been given to another one.
	st.Start--
	if err := os.WriteFile(filepath.Join(s.Node.StateDir, "anything_web.id"), []byte(st.Identity.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	s.Want(t, drivers.Stop, drivers.OK)
	if !(process.Identity{Pid: other.Process.Pid}).Alive() {
		t.Fatal("stop ended a foreign process")
	}
	s.Want(t, drivers.Start, drivers.OK)
	s.Want(t, drivers.Stop, drivers.OK)
	if !(process.Identity{Pid: other.Process.Pid}).Alive() {
		t.Fatal("stop ended a foreign process")
	}
}

func TestStopEscalatesAndTakesChildrenAlong(t *testing.T) {
	dir := t.TempDir()
	child := filepath.Join(dir, "child")
	s := subject(t, map[string]string{"binfile": "/bin/sh", "stop_timeout": "1",
		"cmdline_options": `-c "trap '' TERM; setsid sleep 60 & echo \$! > ` + child + `; while :; do sleep 1; done"`})
	s.Want(t, drivers.Start, drivers.OK)
	var childPid int
	raw, err := os.ReadFile(child)
	if _, scanErr := fmt.Sscan(string(raw), &childPid); err != nil || scanErr != nil {
		t.Fatal(err, scanErr)
	}
	if !(process.Identity{Pid: childPid}).Alive() {
		t.Fatal("no child")
	}
	began := time.Now()
	res := s.Want(t, drivers.Stop, drivers.OK)
	if took := time.Since(began); took < 900*time.Millisecond || took > 4*time.Second {
		t.Errorf("stop took %v", took)
	}
	if !strings.Contains(res.Output, "kill -TERM") || !strings.Contains(res.Output, "kill -KILL") {
		t.Errorf("steps: %s", res.Output)
	}
	if (process.Identity{Pid: childPid}).Alive() {
		t.Error("a child in a session of its own survived stop")
		_ = syscall.Kill(childPid, syscall.SIGKILL)
	}
}

func TestProgramThatEndsAtOnce(t *testing.T) {
	for options, want := range map[string]string{
		`-c "echo cannot open the thing >&2; exit 3"`: "exit code 3 right after its start; it last said: cannot open the thing",
		`-c "sleep 60 & exit 0"`:                      "goes into the background by itself",
		`-c "kill -SEGV $$"`:                          "signal 11",
	} {
		s := subject(t, map[string]string{"binfile": "sh", "cmdline_options": options})
		if res := s.Want(t, drivers.Start, drivers.GenericError); !strings.Contains(res.Reason, want) {
			t.Errorf("%s: %s", options, res.Reason)
		}
		s.Want(t, drivers.Stop, drivers.OK)
		if left := leftovers(&native.Call{Request: s.Request(drivers.Stop)}); len(left) > 0 {
			t.Errorf("%s: %v left", options, left)
		}
	}
}

func TestUserFolderLogsAndEnvironment(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("changing the user needs root")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	log, errlog := filepath.Join(dir, "out"), filepath.Join(dir, "err")
	s := subject(t, map[string]string{"binfile": "/bin/sh", "user": "nobody", "workdir": "/usr", "logfile": log, "errlogfile": errlog,
		"pidfile":         filepath.Join(dir, "sub", "pid"),
		"cmdline_options": `-c 'id -u; pwd; echo $OCF_RESOURCE_INSTANCE $GCRM_NODE $HOME; echo wrong >&2; exec sleep 60'`})
	s.Want(t, drivers.Start, drivers.OK)
	text, _ := os.ReadFile(log)
	if want := nobody.Uid + "\n/usr\nweb node1 " + nobody.HomeDir + "\n"; string(text) != want {
		t.Errorf("log %q, want %q", text, want)
	}
	if text, _ := os.ReadFile(errlog); string(text) != "wrong\n" {
		t.Errorf("errlog %q", text)
	}
	raw, _ := os.ReadFile(filepath.Join(dir, "sub", "pid"))
	if want := fmt.Sprintf("%d\n", pid(t, s).Pid); string(raw) != want {
		t.Errorf("pid file %q, want %q", raw, want)
	}
	_ = pid(t, s).Signal(syscall.SIGKILL)
	time.Sleep(100 * time.Millisecond)
	if res := s.Want(t, drivers.Monitor, drivers.NotRunning); !strings.Contains(res.Reason, "is gone; it last said: wrong") {
		t.Error(res.Reason)
	}
}

func TestMonitorHook(t *testing.T) {
	flag := filepath.Join(t.TempDir(), "ready")
	s := subject(t, map[string]string{"binfile": "sh", "monitor_hook": "test -e " + flag,
		"cmdline_options": "-c 'sleep 1; touch " + flag + "; exec sleep 60'"})
	began := time.Now()
	s.Want(t, drivers.Start, drivers.OK)
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("start did not wait for the hook: %v", took)
	}
	os.Remove(flag)
	if res := s.Want(t, drivers.Monitor, drivers.GenericError); !strings.Contains(res.Reason, "monitor_hook failed") {
		t.Error(res.Reason)
	}
	s.Want(t, drivers.Stop, drivers.OK)
	// A start that never becomes ready leaves nothing behind.
	s.Params["cmdline_options"] = "60"
	s.Params["binfile"] = "sleep"
	s.Timeout = 700 * time.Millisecond
	if res := s.Do(t.Context(), drivers.Start); res.Status != drivers.TimedOut {
		t.Errorf("%+v", res)
	}
	s.Timeout = 0
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	if left := leftovers(&native.Call{Request: s.Request(drivers.Stop)}); len(left) > 0 {
		t.Errorf("%v left", left)
	}
}

func TestBadParameters(t *testing.T) {
	for _, c := range []struct {
		params map[string]string
		rc     drivers.RC
		want   string
	}{
		{nil, drivers.NotConfigured, "required parameter binfile"},
		{map[string]string{"binfile": "no-such-program"}, drivers.NotInstalled, "no-such-program is not installed: looked in"},
		{map[string]string{"binfile": "sleep", "workdir": "/no/where"}, drivers.NotInstalled, "/no/where is no folder on node1"},
		{map[string]string{"binfile": "sleep", "user": "nobody-knows"}, drivers.NotInstalled, "no user nobody-knows"},
		{map[string]string{"binfile": "sleep", "cmdline_options": "'x"}, drivers.NotConfigured, "not closed"},
		{map[string]string{"binfile": "sleep", "stop_timeout": "x"}, drivers.BadArgs, "stop_timeout"},
	} {
		s := subject(t, c.params)
		if res := s.Want(t, drivers.Start, c.rc); !strings.Contains(res.Reason, c.want) {
			t.Errorf("%v: %s", c.params, res.Reason)
		}
		s.Want(t, drivers.Stop, drivers.OK)
	}
}

func TestSplitWords(t *testing.T) {
	for in, want := range map[string]string{
		`a  b`:           "a|b",
		`--page "a b" c`: "--page|a b|c",
		`'a "b"' ""`:     `a "b"||`,
		`a\ b "\"x\""`:   `a b|"x"`,
	} {
		l, err := splitWords(in)
		if got := strings.Join(l.words, "|"); err != nil || got != strings.TrimSuffix(want, "|") && got != want || l.shell {
			t.Errorf("%s: %q %v %v, want %q", in, l.words, l.shell, err, want)
		}
	}
	for _, in := range []string{"a > b", "$HOME", `"$x"`, "a;b"} {
		if l, err := splitWords(in); err != nil || !l.shell {
			t.Errorf("%s needs no shell? %+v %v", in, l, err)
		}
	}
	for _, in := range []string{`'a`, `"a`, `a\`} {
		if _, err := splitWords(in); err == nil {
			t.Errorf("%s was accepted", in)
		}
	}
}
