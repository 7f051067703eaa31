package ping

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
	"gcrm/drivers/icmp"
)

// dark is an address of the loopback network that nothing answers from: the
// kernel refuses the broadcast address of the network.
const dark = "127.255.255.255"

func subject(t *testing.T, params map[string]string) agenttest.Subject {
	if _, err := icmp.Echo(t.Context(), netip.MustParseAddr("127.0.0.1"), time.Second); errors.Is(err, fs.ErrPermission) {
		t.Skip(err)
	}
	return agenttest.Subject{Name: drivers.Name{Class: "ocf", Provider: "pacemaker", Type: "ping"}, Agent: Agent(), Resource: "net",
		Params: params, Node: agenttest.NewNode(t, "node1")}
}

func attribute(s agenttest.Subject, name string) string {
	return s.Node.Cluster.(*agenttest.Cluster).Attributes()[name]
}

func TestContract(t *testing.T) {
	s := subject(t, map[string]string{"host_list": "127.0.0.1 ::1"})
	s.Break = func(t *testing.T) { os.Remove(filepath.Join(s.Node.StateDir, "ping-net")) }
	agenttest.Contract(t, s)
}

func TestMetadataAgreesWithTheScript(t *testing.T) {
	agenttest.SameAsScript(t, subject(t, nil).Name, Agent(), nil, []string{"dampen", "pidfile"})
}

func TestAttributeFollowsTheHosts(t *testing.T) {
	s := subject(t, map[string]string{"host_list": "127.0.0.1 127.0.0.2 " + dark, "multiplier": "100", "timeout": "1", "attempts": "1", "dampen": "1s", "debug": "true"})
	res := s.Want(t, drivers.Start, drivers.OK)
	if got := attribute(s, "pingd"); got != "200" {
		t.Errorf("pingd is %q: %s", got, res.Output)
	}
	if !strings.Contains(res.Output, "127.0.0.1 answers") || !strings.Contains(res.Output, dark+": ") {
		t.Errorf("output %s", res.Output)
	}
	// A fall is looked at twice, a rise is not.
	s.Params["host_list"] = "127.0.0.1 " + dark
	began := time.Now()
	s.Want(t, drivers.Monitor, drivers.OK)
	if took := time.Since(began); attribute(s, "pingd") != "100" || took < time.Second {
		t.Errorf("pingd is %q after %v", attribute(s, "pingd"), took)
	}
	s.Params["failure_score"] = "150"
	if res := s.Want(t, drivers.Monitor, drivers.GenericError); !strings.Contains(res.Reason, "pingd is 100, below failure_score 150") {
		t.Error(res.Reason)
	}
	s.Want(t, drivers.Stop, drivers.OK)
	if got := attribute(s, "pingd"); got != "" {
		t.Errorf("pingd is %q after stop", got)
	}
}

func TestBadParameters(t *testing.T) {
	for _, c := range [][3]string{{"host_list", " ", "host_list"}, {"options", "-I eth0", "does not use"}, {"attempts", "0", "at least 1"}, {"dampen", "soon", "not a time"}} {
		s := subject(t, map[string]string{"host_list": "127.0.0.1"})
		s.Params[c[0]] = c[1]
		if res := s.Want(t, drivers.Start, drivers.NotConfigured); !strings.Contains(res.Reason, c[2]) {
			t.Errorf("%v: %s", c, res.Reason)
		}
	}
}
