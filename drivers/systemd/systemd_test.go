package systemd

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/prop"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
)

// bus starts a message bus of its own for the test.
func bus(t *testing.T) (address string) {
	t.Helper()
	path, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Skip("dbus-daemon is not installed, so there is no bus to test on")
	}
	config := filepath.Join(t.TempDir(), "bus.conf")
	text := `<busconfig><type>session</type><listen>unix:dir=` + t.TempDir() + `</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--nofork", "--print-address", "--config-file="+config)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// manager speaks for systemd on the bus: jobs take a moment, units go through
// activating and deactivating.
type manager struct {
	t    *testing.T
	conn *dbus.Conn

	mu      sync.Mutex
	units   map[string]*prop.Properties
	result  string // of the next jobs
	slow    time.Duration
	calls   []string
	nextJob uint32
}

func newManager(t *testing.T, address string) *manager {
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	m := &manager{t: t, conn: conn, units: map[string]*prop.Properties{}, result: "done", slow: 50 * time.Millisecond}
	if err := conn.Export(m, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.RequestName("org.freedesktop.systemd1", 0); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *manager) unit(name, load, active string) {
	p, err := prop.Export(m.conn, dbus.ObjectPath("/org/freedesktop/systemd1/unit/"+sd.PathBusEscape(name)), prop.Map{
		"org.freedesktop.systemd1.Unit": {
			"LoadState":   {Value: load, Emit: prop.EmitFalse},
			"ActiveState": {Value: active, Emit: prop.EmitFalse},
			"Description": {Value: "The test's service", Emit: prop.EmitFalse},
		}})
	if err != nil {
		m.t.Fatal(err)
	}
	m.units[name] = p
}

func (m *manager) set(name, active string) {
	m.units[name].SetMust("org.freedesktop.systemd1.Unit", "ActiveState", active)
}

func (m *manager) job(name, during, after string) (dbus.ObjectPath, *dbus.Error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.units[name] == nil {
		return "", dbus.NewError("org.freedesktop.systemd1.NoSuchUnit", []any{"Unit " + name + " not found."})
	}
	m.nextJob++
	id, result, slow := m.nextJob, m.result, m.slow
	path := dbus.ObjectPath("/org/freedesktop/systemd1/job/" + string(rune('0'+id%10)))
	m.set(name, during)
	go func() {
		time.Sleep(slow)
		if result == "done" {
			m.set(name, after)
		} else {
			m.set(name, "failed")
		}
		_ = m.conn.Emit("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager.JobRemoved", id, path, name, result)
	}()
	return path, nil
}

// The methods below are called over the bus.

func (m *manager) StartUnit(name, mode string) (dbus.ObjectPath, *dbus.Error) {
	m.log("start " + name + " " + mode)
	return m.job(name, "activating", "active")
}

func (m *manager) StopUnit(name, mode string) (dbus.ObjectPath, *dbus.Error) {
	m.log("stop " + name + " " + mode)
	return m.job(name, "deactivating", "inactive")
}

func (m *manager) Reload() *dbus.Error    { m.log("reload"); return nil }
func (m *manager) Subscribe() *dbus.Error { return nil }

// taken returns the calls since it was asked last.
func (m *manager) taken() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	calls := m.calls
	m.calls = nil
	return calls
}

func (m *manager) log(s string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, s)
}

func setUp(t *testing.T) (*manager, *Finder, Options) {
	address := bus(t)
	m := newManager(t, address)
	units := t.TempDir()
	for _, f := range []string{"web.service", "vm@.service", "data.mount", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(units, f), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{UnitDirs: []string{units}, RuntimeDir: t.TempDir(), Dial: func(context.Context) (*sd.Conn, error) {
		return sd.NewConnection(func() (*dbus.Conn, error) { return dbus.Connect(address) })
	}}
	return m, NewFinder(o), o
}

func subject(t *testing.T, f *Finder, unit string) agenttest.Subject {
	t.Helper()
	name := drivers.Name{Class: "systemd", Type: unit}
	agent, src, err := f.Find(name)
	if err != nil || src.Kind != "systemd" {
		t.Fatal(err, src)
	}
	return agenttest.Subject{Agent: agent, Name: name, Node: agenttest.NewNode(t, "node1")}
}

func TestContract(t *testing.T) {
	m, f, o := setUp(t)
	m.unit("web.service", "loaded", "inactive")
	s := subject(t, f, "web")
	s.Break = func(*testing.T) { m.set("web.service", "failed") }
	agenttest.Contract(t, s)

	m.taken()
	s.Want(t, drivers.Start, drivers.OK)
	dropin := filepath.Join(o.RuntimeDir, "web.service.d", "50-gcrm.conf")
	text, err := os.ReadFile(dropin)
	if err != nil || !strings.Contains(string(text), "Restart=no") || !strings.Contains(string(text), "Before=gcrm.service") {
		t.Errorf("drop-in %q, %v", text, err)
	}
	s.Want(t, drivers.Stop, drivers.OK)
	if _, err := os.Stat(dropin); err == nil {
		t.Error("the drop-in stayed after stop")
	}
	want := []string{"reload", "start web.service replace", "reload", "stop web.service replace"}
	if got := m.taken(); !slices.Equal(got, want) {
		t.Errorf("calls %q, want %q", got, want)
	}
}

func TestStates(t *testing.T) {
	m, f, _ := setUp(t)
	m.unit("web.service", "loaded", "active")
	s := subject(t, f, "web")
	s.Timeout = time.Second
	for active, rc := range map[string]drivers.RC{"active": drivers.OK, "reloading": drivers.OK, "inactive": drivers.NotRunning, "failed": drivers.NotRunning} {
		m.set("web.service", active)
		s.Want(t, drivers.Monitor, rc)
	}
	// In transition: the answer comes when it has arrived, or never.
	m.set("web.service", "activating")
	time.AfterFunc(300*time.Millisecond, func() { m.set("web.service", "active") })
	s.Want(t, drivers.Monitor, drivers.OK)
	m.set("web.service", "deactivating")
	if res := s.Want(t, drivers.Monitor, drivers.GenericError); res.Status != drivers.TimedOut || !strings.Contains(res.Reason, "still deactivating") {
		t.Errorf("%+v", res)
	}
	for load, want := range map[string]string{"not-found": "has no unit", "masked": "is masked"} {
		m.units["web.service"].SetMust("org.freedesktop.systemd1.Unit", "LoadState", load)
		if res := s.Want(t, drivers.Monitor, drivers.NotInstalled); !strings.Contains(res.Reason, want) {
			t.Error(res.Reason)
		}
	}
}

func TestJobsThatFail(t *testing.T) {
	m, f, _ := setUp(t)
	m.unit("web.service", "loaded", "inactive")
	s := subject(t, f, "web")
	m.mu.Lock()
	m.result = "dependency"
	m.mu.Unlock()
	if res := s.Want(t, drivers.Start, drivers.GenericError); !strings.Contains(res.Reason, "could not start unit web.service: job dependency") {
		t.Error(res.Reason)
	}
	m.mu.Lock()
	m.result, m.slow = "done", 5*time.Second
	m.mu.Unlock()
	s.Timeout = 300 * time.Millisecond
	began := time.Now()
	if res := s.Do(t.Context(), drivers.Start); res.Status != drivers.TimedOut || time.Since(began) > 2*time.Second {
		t.Errorf("%+v after %v", res, time.Since(began))
	}
	// A template's instance that systemd cannot load.
	s = subject(t, f, "vm@one")
	if res := s.Want(t, drivers.Start, drivers.NotInstalled); !strings.Contains(res.Reason, "vm@one.service not found") {
		t.Error(res.Reason)
	}
}

func TestWithoutBus(t *testing.T) {
	units := t.TempDir()
	if err := os.WriteFile(filepath.Join(units, "web.service"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	f := NewFinder(Options{UnitDirs: []string{units}, Dial: func(context.Context) (*sd.Conn, error) {
		return sd.NewConnection(func() (*dbus.Conn, error) { return dbus.Connect("unix:path=" + filepath.Join(units, "no-bus")) })
	}})
	s := subject(t, f, "web")
	for _, action := range []string{drivers.Start, drivers.Monitor, drivers.Stop} {
		if res := s.Want(t, action, drivers.NotInstalled); !strings.Contains(res.Reason, "systemd does not run on node1") {
			t.Error(res.Reason)
		}
	}
	if _, err := s.Agent.Metadata(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestFinder(t *testing.T) {
	_, f, o := setUp(t)
	if got := f.Types(""); !slices.Equal(got, []string{"data.mount", "vm@", "web"}) {
		t.Errorf("%q", got)
	}
	_, _, err := f.Find(drivers.Name{Class: "systemd", Type: "nginx"})
	if err == nil || !strings.Contains(err.Error(), filepath.Join(o.UnitDirs[0], "nginx.service")) {
		t.Error(err)
	}
	for in, want := range map[string]string{"web": "web.service", "data.mount": "data.mount", "a.b": "a.b.service", "vm@1": "vm@1.service"} {
		if got := unitName(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}
