package libvirt

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
	"gcrm/drivers/libvirt/rpc/rpctest"
)

func xenName() drivers.Name { return drivers.Name{Class: "ocf", Provider: "heartbeat", Type: "Xen"} }

// xenSubject is a Xen resource with a configuration on a daemon.
func xenSubject(t *testing.T, uri, config string) agenttest.Subject {
	t.Helper()
	path := filepath.Join(t.TempDir(), "web.cfg")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return agenttest.Subject{Agent: xen(uri), Name: xenName(), Resource: "web", Node: agenttest.NewNode(t, "node1"),
		Params: map[string]string{"xmfile": path}}
}

func TestXenMetadataIsTheScripts(t *testing.T) {
	agenttest.SameAsScript(t, xenName(), Agents()[xenName()], nil, nil)
}

func TestXenContract(t *testing.T) {
	t.Run("xl configuration", func(t *testing.T) {
		h := rpctest.New(t, "xen")
		s := xenSubject(t, h.URI, "# a guest\nname = \"vm1\"\nmemory = 512\n")
		s.Break = func(*testing.T) { h.Crash("vm1") }
		agenttest.Contract(t, s)
	})
	t.Run("libvirtd", func(t *testing.T) {
		agenttest.Contract(t, xenSubject(t, rpctest.Daemon(t), "<domain type='test'><name>vm1</name><memory>524288</memory><os><type>hvm</type></os></domain>"))
	})
}

// TestXenNames: the parameter, else the configuration, else the resource.
func TestXenNames(t *testing.T) {
	xml := "<domain type='xen'><title><name>not this</name></title><name>vm1</name><memory>1</memory></domain>"
	for _, c := range []struct{ config, param, want string }{
		{"name = \"vm1\"\n", "", "vm1"}, {"name = \"vm1\"\n", "a&b", "a&b"}, {"memory = 512\n", "", "web"},
		{xml, "", "vm1"}, {xml, "other", "other"},
	} {
		h := rpctest.New(t, "xen")
		s := xenSubject(t, h.URI, c.config)
		if c.param != "" {
			s.Params["name"] = c.param
		}
		s.Want(t, drivers.Start, drivers.OK)
		if _, ok := h.Machine(c.want); !ok {
			t.Errorf("%q with name %q: domain %s does not run", c.config, c.param, c.want)
		}
		s.Want(t, drivers.Stop, drivers.OK)
		if _, ok := h.Machine(c.want); ok {
			t.Errorf("%q with name %q: domain %s runs after the stop", c.config, c.param, c.want)
		}
	}
	for text, want := range map[string]string{"name = 'vm1'  # as is\n": "vm1", " name=\"a b\"": "a b", "names = 'x'\n": "", "name = bare": "", "": ""} {
		if got := xlName(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestXenMigration(t *testing.T) {
	s := xenSubject(t, rpctest.New(t, "xen").URI, "name = \"vm1\"\n")
	s.Meta = map[string]string{"migrate_source": "node1", "migrate_target": "node2"}
	s.Params["node_ip_attribute"] = "address"
	s.Timeout = 4 * time.Second
	s.Want(t, drivers.Start, drivers.OK)
	// Without the attribute nothing is tried.
	if res := s.Want(t, drivers.MigrateTo, drivers.GenericError); res.Reason != "node node2 has no attribute address with its address for migrations" {
		t.Errorf("%q", res.Reason)
	}
	s.Want(t, drivers.Monitor, drivers.OK)
}

func TestXenPatience(t *testing.T) {
	s := xenSubject(t, rpctest.New(t, "xen").URI, "name = \"vm1\"\n")
	s.Params["shutdown_timeout"] = "soon"
	s.Want(t, drivers.Validate, drivers.NotConfigured)
	s.Params["shutdown_timeout"] = "30"
	s.Want(t, drivers.Validate, drivers.OK)
	s.Params["allow_mem_management"] = "1"
	s.Want(t, drivers.Start, drivers.NotConfigured)
}
