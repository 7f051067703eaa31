package libvirt

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
	"gcrm/drivers/libvirt/rpc"
	"gcrm/drivers/libvirt/rpc/rpctest"
)

func agentName() drivers.Name {
	return drivers.Name{Class: "ocf", Provider: "heartbeat", Type: "VirtualDomain"}
}

// subject is a resource for a domain "vm1" on a daemon.
func subject(t *testing.T, uri string) agenttest.Subject {
	t.Helper()
	config := filepath.Join(t.TempDir(), "vm1.xml")
	text := "<domain type='test'><name>vm1</name><memory>524288</memory><vcpu>2</vcpu><os><type>hvm</type></os></domain>"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return agenttest.Subject{Agent: Agents()[agentName()], Name: agentName(), Resource: "vm", Node: agenttest.NewNode(t, "node1"),
		Params: map[string]string{"config": config, "hypervisor": uri}}
}

func TestMetadataIsTheScripts(t *testing.T) {
	agenttest.SameAsScript(t, agentName(), Agents()[agentName()], nil, nil)
}

func TestContract(t *testing.T) {
	t.Run("scripted daemon", func(t *testing.T) {
		h := rpctest.New(t, "qemu")
		s := subject(t, h.URI)
		s.Break = func(*testing.T) { h.Crash("vm1") }
		agenttest.Contract(t, s)
	})
	t.Run("libvirtd", func(t *testing.T) {
		uri := rpctest.Daemon(t)
		s := subject(t, uri)
		s.Break = func(t *testing.T) {
			c, err := rpc.Dial(t.Context(), uri, rpc.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			dom, err := c.LookupByName(t.Context(), "vm1")
			if err == nil {
				err = c.Destroy(t.Context(), dom)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		agenttest.Contract(t, s)
	})
}

func TestSnapshotOnTheRealDaemon(t *testing.T) {
	s := subject(t, rpctest.Daemon(t))
	dir := t.TempDir()
	s.Params["snapshot"] = dir
	s.Want(t, drivers.Start, drivers.OK)
	s.Want(t, drivers.Stop, drivers.OK)
	if _, err := os.Stat(filepath.Join(dir, "vm1.state")); err != nil {
		t.Fatalf("nothing saved: %v", err)
	}
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	res := s.Want(t, drivers.Start, drivers.OK)
	if !strings.Contains(res.Output, "virsh restore") {
		t.Errorf("not restored: %s", res.Output)
	}
	if _, err := os.Stat(filepath.Join(dir, "vm1.state")); err == nil {
		t.Error("the saved memory is still there and would be restored twice")
	}
	delete(s.Params, "snapshot")
	s.Want(t, drivers.Stop, drivers.OK)
}

func TestDefinitionGivesWayToTheFile(t *testing.T) {
	uri := rpctest.Daemon(t)
	s := subject(t, uri)
	c, err := rpc.Dial(t.Context(), uri, rpc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.DefineXML(t.Context(), "<domain type='test'><name>vm1</name><memory>1024</memory><os><type>hvm</type></os></domain>"); err != nil {
		t.Fatal(err)
	}
	s.Params["start_resources"] = "true"
	s.Want(t, drivers.Start, drivers.OK)
	dom, err := c.LookupByName(t.Context(), "vm1")
	if err != nil {
		t.Fatal(err)
	}
	info, _ := c.Info(t.Context(), dom)
	if persistent, err := c.IsPersistent(t.Context(), dom); persistent || err != nil || info.MaxMemory != 524288 {
		t.Errorf("persistent %v, %v, %+v", persistent, err, info)
	}
	s.Want(t, drivers.Stop, drivers.OK)
}

func TestShutdownThatIsNotHeardIsForced(t *testing.T) {
	h := rpctest.New(t, "qemu")
	s := subject(t, h.URI)
	s.Want(t, drivers.Start, drivers.OK)
	h.Answer(rpc.ProcShutdownFlags, func([]byte) error { return rpctest.ErrIgnored })
	s.Timeout = 3 * time.Second
	res := s.Want(t, drivers.Stop, drivers.OK)
	if !strings.Contains(res.Output, "virsh shutdown vm1\nvirsh destroy vm1") {
		t.Errorf("steps: %s", res.Output)
	}
	if _, ok := h.Machine("vm1"); ok {
		t.Error("it still runs")
	}
	h.Answer(rpc.ProcShutdownFlags, nil)
	s.Want(t, drivers.Start, drivers.OK)
	s.Params["force_stop"] = "yes"
	if res := s.Want(t, drivers.Stop, drivers.OK); strings.Contains(res.Output, "shutdown") {
		t.Errorf("force_stop asked: %s", res.Output)
	}
}

func TestDestroyThatFailsIsNoStop(t *testing.T) {
	h := rpctest.New(t, "qemu")
	s := subject(t, h.URI)
	s.Want(t, drivers.Start, drivers.OK)
	s.Params["force_stop"] = "yes"
	h.Answer(rpc.ProcDestroyFlags, func([]byte) error {
		return &rpc.Error{Code: rpc.CodeSystem, Message: "Failed to terminate process 1: Device or resource busy"}
	})
	if res := s.Want(t, drivers.Stop, drivers.GenericError); !strings.Contains(res.Reason, "busy") {
		t.Errorf("%+v", res)
	}
}

func TestUnknownIsNeverStopped(t *testing.T) {
	h := rpctest.New(t, "qemu")
	s := subject(t, h.URI)
	s.Want(t, drivers.Start, drivers.OK)
	s.Timeout = 4 * time.Second
	h.Answer(rpc.ProcLookupByName, func([]byte) error { return errors.New("out of order") })
	s.Want(t, drivers.Stop, drivers.GenericError)
	if res := s.Do(t.Context(), drivers.Monitor); res.RC != drivers.GenericError {
		t.Errorf("%+v", res)
	}
	h.Answer(rpc.ProcLookupByName, nil)
	// Without its configuration the domain is still found and stopped.
	s.Params["config"] = "/nowhere/vm1.xml"
	s.Want(t, drivers.Monitor, drivers.OK)
	s.Want(t, drivers.Stop, drivers.OK)
	if _, ok := h.Machine("vm1"); ok {
		t.Error("it still runs")
	}
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	s.Want(t, drivers.Start, drivers.NotInstalled)
}

func TestStates(t *testing.T) {
	h := rpctest.New(t, "qemu")
	s := subject(t, h.URI)
	s.Want(t, drivers.Start, drivers.OK)
	for _, c := range []struct {
		state  rpc.State
		reason int32
		want   drivers.RC
	}{{rpc.Running, 2, drivers.OK}, {rpc.Blocked, 0, drivers.OK}, {rpc.Paused, 1, drivers.OK}, {rpc.Paused, rpc.PausedIOError, drivers.GenericError},
		{rpc.InShutdown, 1, drivers.OK}, {rpc.ShutOff, 4, drivers.NotRunning}, {rpc.Crashed, 1, drivers.GenericError}} {
		h.Set("vm1", c.state, c.reason)
		if res := s.Do(t.Context(), drivers.Monitor); res.RC != c.want {
			t.Errorf("%v/%d: %+v", c.state, c.reason, res)
		}
	}
	h.Set("vm1", rpc.Running, 1)
	s.Params["monitor_scripts"] = "/bin/true /bin/false"
	s.Want(t, drivers.Monitor, drivers.GenericError)
	s.Params["monitor_scripts"] = "/bin/true"
	s.Want(t, drivers.Monitor, drivers.OK)
}

// recorder is a cluster that takes utilization.
type recorder struct {
	drivers.Cluster
	set map[string]string
}

func (r *recorder) SetUtilization(_ context.Context, resource, name string, value *string) error {
	r.set[resource+" "+name] = "removed"
	if value != nil {
		r.set[resource+" "+name] = *value
	}
	return nil
}

func TestUtilization(t *testing.T) {
	s := subject(t, rpctest.New(t, "qemu").URI)
	r := &recorder{s.Node.Cluster, map[string]string{}}
	s.Node.Cluster = r
	s.Params["autoset_utilization_host_memory"] = "no"
	s.Params["autoset_utilization_cpu"], s.Params["unset_utilization_cpu"] = "no", "yes"
	s.Want(t, drivers.Start, drivers.OK)
	if len(r.set) != 2 || r.set["vm hv_memory"] != "512" || r.set["vm cpu"] != "removed" {
		t.Errorf("%v", r.set)
	}
}

func TestChecksBeforeStart(t *testing.T) {
	h := rpctest.New(t, "qemu")
	s := subject(t, h.URI)
	for _, c := range []struct {
		param, value string
		rc           drivers.RC
	}{{"shutdown_mode", "politely", drivers.NotConfigured}, {"migrate_options", "--timeout 5", drivers.NotConfigured}, {"backingfile", "/x", drivers.NotConfigured},
		{"hypervisor", "qemu+pigeon:///system", drivers.NotConfigured}, {"config", "/nowhere", drivers.NotInstalled}} {
		old, had := s.Params[c.param]
		s.Params[c.param] = c.value
		s.Want(t, drivers.Validate, c.rc)
		s.Want(t, drivers.Start, c.rc)
		if delete(s.Params, c.param); had {
			s.Params[c.param] = old
		}
	}
	for part, want := range map[string]string{"<emulator>/nowhere/qemu</emulator>": "emulator", "<disk device='disk'><source file='/nowhere/d'/></disk>": "disk",
		"<interface><source bridge='nobridge0'/></interface>": "bridge"} {
		text := "<domain type='qemu'><name>vm1</name><devices>" + part + "</devices></domain>"
		if err := os.WriteFile(s.Params["config"], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if res := s.Want(t, drivers.Start, drivers.NotInstalled); !strings.Contains(res.Reason, want) {
			t.Errorf("%+v", res)
		}
	}
	if slices.Contains(h.Calls(), rpc.ProcCreateXML) {
		t.Error("something was started")
	}
}
