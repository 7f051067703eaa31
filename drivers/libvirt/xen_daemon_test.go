package libvirt

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/libvirt/rpc"
	"gcrm/drivers/libvirt/rpc/rpctest"
)

// The life of a Xen resource with the real libvirtd on its test hypervisor (Debian's
// libvirt-daemon-system; skipped without). That one makes domains as Xen's driver does, of
// libvirt's XML and transient, and suspends, resumes, shuts down and destroys them. It does
// not migrate, does not read xl configurations, and its guests obey at once: those are
// tested with a scripted daemon (xen_test.go). Without Xen below it the daemon has no driver
// for xen:///system, and that is tested, too.

const xenGuest = "<domain type='test'><name>vm1</name><memory>524288</memory><vcpu>2</vcpu><os><type>hvm</type></os></domain>"

// daemon is a second connection to a daemon, for what an administrator does.
func daemon(t *testing.T, uri string) *rpc.Conn {
	t.Helper()
	c, err := rpc.Dial(t.Context(), uri, rpc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestXenLifeOnTheRealDaemon(t *testing.T) {
	uri := rpctest.Daemon(t)
	c, s := daemon(t, uri), xenSubject(t, uri, xenGuest)
	r := &recorder{s.Node.Cluster, map[string]string{}}
	s.Node.Cluster = r
	s.Params["name"], s.Params["autoset_utilization_cpu"], s.Params["autoset_utilization_hv_memory"] = "web-1", "yes", "yes"
	find := func() rpc.Domain {
		t.Helper()
		dom, err := c.LookupByName(t.Context(), "web-1")
		if err != nil {
			t.Fatal(err)
		}
		return dom
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	// A definition that somebody left gives way to the file.
	_, err := c.DefineXML(t.Context(), strings.NewReplacer("vm1", "web-1", "524288", "1024").Replace(xenGuest))
	must(err)
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	s.Want(t, drivers.Start, drivers.OK)
	info, err := c.Info(t.Context(), find())
	must(err)
	if persistent, err := c.IsPersistent(t.Context(), find()); persistent || err != nil || info.MaxMemory != 524288 {
		t.Errorf("persistent %v, %v, %+v", persistent, err, info)
	}
	if r.set["web cpu"] != "2" || r.set["web hv_memory"] != "512" {
		t.Errorf("utilization %v", r.set)
	}
	s.Want(t, drivers.Monitor, drivers.OK)
	s.Want(t, drivers.Start, drivers.OK) // it runs
	must(c.Suspend(t.Context(), find()))
	s.Want(t, drivers.Monitor, drivers.OK) // paused by hand is not failed
	must(c.Resume(t.Context(), find()))
	if res := s.Want(t, drivers.Stop, drivers.OK); !strings.HasPrefix(res.Output, "virsh shutdown web-1\nunlink ") {
		t.Errorf("stop: %q", res.Output)
	}
	if _, err := c.LookupByName(t.Context(), "web-1"); !rpc.IsNoDomain(err) {
		t.Errorf("after the stop: %v", err)
	}
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	s.Want(t, drivers.Stop, drivers.OK)

	// Whoever is gone behind the agent's back is gone.
	s.Want(t, drivers.Start, drivers.OK)
	must(c.Destroy(t.Context(), find()))
	s.Want(t, drivers.Monitor, drivers.NotRunning)

	// A paused guest is stopped as well.
	s.Want(t, drivers.Start, drivers.OK)
	must(c.Suspend(t.Context(), find()))
	s.Want(t, drivers.Stop, drivers.OK)
	s.Want(t, drivers.Monitor, drivers.NotRunning)
}

// TestXenMigrationOnTheRealDaemon: its hypervisor cannot, and then the guest stays where it
// is, running.
func TestXenMigrationOnTheRealDaemon(t *testing.T) {
	s := xenSubject(t, rpctest.Daemon(t), xenGuest)
	s.Meta = map[string]string{"migrate_source": "node1", "migrate_target": "node2"}
	s.Want(t, drivers.Start, drivers.OK)
	if res := s.Want(t, drivers.MigrateTo, drivers.GenericError); !strings.Contains(res.Reason, "cannot migrate between daemons") || res.Output != "" {
		t.Errorf("%+v", res)
	}
	s.Want(t, drivers.Monitor, drivers.OK)
	// What has arrived is recognized.
	s.Meta = map[string]string{"migrate_source": "node2", "migrate_target": "node1"}
	s.Want(t, drivers.MigrateFrom, drivers.OK)
	s.Want(t, drivers.Stop, drivers.OK)
}

// TestXenConfigurationOnTheRealDaemon: what the daemon does not understand is not started,
// and its words are told.
func TestXenConfigurationOnTheRealDaemon(t *testing.T) {
	uri := rpctest.Daemon(t)
	s := xenSubject(t, uri, "name = \"vm1\"\nmemory = 512\n")
	res := s.Do(t.Context(), drivers.Start)
	if res.RC == drivers.OK || !strings.Contains(res.Reason, "web.cfg") {
		t.Errorf("%+v", res)
	}
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	s.Want(t, drivers.Stop, drivers.OK)
	if err := os.WriteFile(s.Params["xmfile"], []byte("<domain type='test'><name>vm1</name><memory>nothing</memory></domain>"), 0o600); err != nil {
		t.Fatal(err)
	}
	if res := s.Do(t.Context(), drivers.Start); res.RC == drivers.OK || res.Reason == "" {
		t.Errorf("%+v", res)
	}
	s.Want(t, drivers.Monitor, drivers.NotRunning)
}

// TestXenWithoutXen: the daemon is there, the hypervisor is not. Nothing may be taken for
// running, and a stop of what never ran is no failure that would have the node fenced.
func TestXenWithoutXen(t *testing.T) {
	if _, err := os.Stat("/proc/xen/capabilities"); err == nil {
		t.Skip("this is a Xen host")
	}
	uri := strings.Replace(rpctest.Daemon(t), "test+unix:///default", "xen+unix:///system", 1)
	s := xenSubject(t, uri, "name = \"vm1\"\nmemory = 512\n")
	s.Timeout = 5 * time.Second
	if res := s.Want(t, drivers.Start, drivers.NotInstalled); !strings.Contains(res.Reason, "xen:///system") {
		t.Errorf("start: %+v", res)
	}
	began := time.Now()
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	// Even if it was started before the host was booted without Xen.
	memo := filepath.Join(s.Node.StateDir, "Xen-web")
	if err := os.WriteFile(memo, []byte("vm1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Want(t, drivers.Stop, drivers.OK)
	if _, err := os.Stat(memo); err == nil {
		t.Error("it is remembered as started")
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("that took %v", took)
	}
	// A machine of another hypervisor says nothing about that one.
	v := subject(t, strings.Replace(uri, "xen+unix:///system", "nonsense+unix:///x", 1))
	v.Timeout = 4 * time.Second
	if res := v.Do(t.Context(), drivers.Monitor); res.RC == drivers.OK || res.RC == drivers.NotRunning {
		t.Errorf("VirtualDomain: %+v", res)
	}
}
