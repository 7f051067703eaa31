package ipaddr

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
)

// network is two namespaces with a cable between them: "a" where the agent
// works, "b" the neighbour.
type network struct {
	t    *testing.T
	a, b string
}

func newNetwork(t *testing.T) network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("the ip command sets up the namespaces and is not here")
	}
	n := network{t, fmt.Sprintf("gcrm-a-%d", os.Getpid()), fmt.Sprintf("gcrm-b-%d", os.Getpid())}
	for _, ns := range []string{n.a, n.b} {
		if out, err := exec.Command("ip", "netns", "add", ns).CombinedOutput(); err != nil {
			t.Skipf("no network namespaces here: %s", out)
		}
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
	}
	n.ip("-n", n.a, "link", "add", "net0", "type", "veth", "peer", "name", "net0", "netns", n.b)
	n.ip("-n", n.a, "link", "add", "net1", "type", "veth", "peer", "name", "net1", "netns", n.b)
	for i, ns := range []string{n.a, n.b} {
		n.ip("-n", ns, "link", "set", "lo", "up")
		n.ip("-n", ns, "link", "set", "net0", "up")
		n.ip("-n", ns, "addr", "add", fmt.Sprintf("198.51.100.%d/24", i+1), "dev", "net0")
		n.ip("-n", ns, "addr", "add", fmt.Sprintf("fd00:77::%d/64", i+1), "dev", "net0", "nodad")
	}
	n.ip("-n", n.a, "link", "set", "net1", "up")
	return n
}

func (n network) ip(args ...string) string {
	n.t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (n network) subject(t *testing.T, typ string, params map[string]string) agenttest.Subject {
	name := drivers.Name{Class: "ocf", Provider: "heartbeat", Type: typ}
	if params == nil {
		params = map[string]string{}
	}
	if typ == "IPaddr2" {
		params["network_namespace"] = n.a
	}
	return agenttest.Subject{Name: name, Agent: Agents()[name], Resource: "ip", Params: params, Node: agenttest.NewNode(t, "node1")}
}

// listen collects frames of one type that arrive at the neighbour.
func (n network) listen(kind uint16) (stop func() [][]byte) {
	n.t.Helper()
	h, err := openHost(n.b)
	if err != nil {
		n.t.Fatal(err)
	}
	defer h.close()
	i, err := h.nic("net0")
	if err != nil {
		n.t.Fatal(err)
	}
	fd, err := h.packets(i, kind)
	if err != nil {
		n.t.Fatal(err)
	}
	_ = setPatience(fd, 20*time.Millisecond)
	quit, frames := make(chan struct{}), make(chan [][]byte)
	go func() {
		var got [][]byte
		buf := make([]byte, 2048)
		for {
			k, _, err := unix.Recvfrom(fd, buf, 0)
			if err == nil {
				got = append(got, append([]byte(nil), buf[:k]...))
				continue
			}
			select {
			case <-quit:
				unix.Close(fd)
				frames <- got
				return
			default:
			}
		}
	}()
	return func() [][]byte { close(quit); return <-frames }
}

func TestContract(t *testing.T) {
	n := newNetwork(t)
	for name, params := range map[string]map[string]string{
		"IPv4":         {"ip": "198.51.100.77", "arp_interval": "10"},
		"IPv4 and nic": {"ip": "203.0.113.5", "nic": "net1", "cidr_netmask": "255.255.255.0", "iflabel": "web"},
		"IPv6":         {"ip": "fd00:77::77", "arp_interval": "10"},
	} {
		t.Run(name, func(t *testing.T) {
			s := n.subject(t, "IPaddr2", params)
			s.Break = func(t *testing.T) {
				where := strings.Fields(n.ip("-n", n.a, "-o", "addr", "show", "to", params["ip"]))
				n.ip("-n", n.a, "addr", "del", where[3], "dev", where[1])
			}
			agenttest.Contract(t, s)
		})
	}
}

func TestAddressIsAddedAsWished(t *testing.T) {
	n := newNetwork(t)
	s := n.subject(t, "IPaddr2", map[string]string{"ip": "198.51.100.77", "iflabel": "web"})
	s.Want(t, drivers.Start, drivers.OK)
	if out := n.ip("-n", n.a, "-o", "addr", "show", "dev", "net0"); !strings.Contains(out, "inet 198.51.100.77/24 brd 198.51.100.255 scope global secondary net0:web") {
		t.Error(out)
	}
	s.Params["iflabel"] = "db"
	if res := s.Want(t, drivers.Monitor, drivers.GenericError); !strings.Contains(res.Reason, `label "net0:web" instead of "net0:db"`) {
		t.Error(res.Reason)
	}
	s.Want(t, drivers.Start, drivers.OK) // takes it anew
	s.Want(t, drivers.Monitor, drivers.OK)
	s.Want(t, drivers.Stop, drivers.OK)

	s = n.subject(t, "IPaddr2", map[string]string{"ip": "fd00:77::78", "nodad": "true", "noprefixroute": "true", "preferred_lft": "0",
		"lvs_ipv6_addrlabel": "true", "lvs_ipv6_addrlabel_value": "55"})
	s.Want(t, drivers.Start, drivers.OK)
	if out := n.ip("-n", n.a, "addr", "show", "to", "fd00:77::78"); !strings.Contains(out, "nodad") || !strings.Contains(out, "deprecated") ||
		!strings.Contains(out, "noprefixroute") || !strings.Contains(out, "valid_lft forever preferred_lft 0sec") {
		t.Error(out)
	}
	if out := n.ip("-n", n.a, "addrlabel", "list"); !strings.Contains(out, "prefix fd00:77::78/128 label 55") {
		t.Error(out)
	}
	s.Want(t, drivers.Stop, drivers.OK)
	if out := n.ip("-n", n.a, "addrlabel", "list"); strings.Contains(out, "label 55") {
		t.Error(out)
	}
}

func TestNeighboursAreTold(t *testing.T) {
	n := newNetwork(t)
	stop := n.listen(etherARP)
	s := n.subject(t, "IPaddr2", map[string]string{"ip": "198.51.100.77", "arp_count": "3", "arp_interval": "20", "arp_bg": "no"})
	s.Want(t, drivers.Start, drivers.OK)
	time.Sleep(50 * time.Millisecond)
	asks, tells := 0, 0
	for _, f := range stop() {
		if p, ok := parseARP(f[14:]); ok && p.senderIP.String() == "198.51.100.77" && p.targetIP == p.senderIP {
			if p.op == arpRequest {
				asks++
			} else {
				tells++
			}
		}
	}
	if asks != 3 || tells != 3 {
		t.Errorf("%d requests and %d replies, want 3 of each", asks, tells)
	}
	s.Want(t, drivers.Stop, drivers.OK)

	// A neighbour that has the address at another host learns the new one.
	n.ip("-n", n.b, "neigh", "replace", "fd00:77::77", "lladdr", "02:00:00:00:00:99", "dev", "net0", "nud", "stale")
	n.ip("-n", n.b, "neigh", "replace", "198.51.100.77", "lladdr", "02:00:00:00:00:99", "dev", "net0", "nud", "stale")
	for _, ip := range []string{"fd00:77::77", "198.51.100.77"} {
		s = n.subject(t, "IPaddr2", map[string]string{"ip": ip, "arp_count": "2", "arp_interval": "10", "arp_bg": "no", "nodad": "true"})
		s.Want(t, drivers.Start, drivers.OK)
		mac := strings.Fields(n.ip("-n", n.a, "-o", "link", "show", "net0"))
		want := mac[len(mac)-5]
		for i, w := range mac {
			if w == "link/ether" {
				want = mac[i+1]
			}
		}
		if out := n.ip("-n", n.b, "neigh", "show", ip); !strings.Contains(out, want) {
			t.Errorf("the neighbour has %q, want %s", strings.TrimSpace(out), want)
		}
		s.Want(t, drivers.Stop, drivers.OK)
	}
}

func TestBackgroundAnnouncementEndsWithTheAddress(t *testing.T) {
	n := newNetwork(t)
	s := n.subject(t, "IPaddr2", map[string]string{"ip": "198.51.100.77", "arp_count": "100", "arp_interval": "50"})
	began := time.Now()
	s.Want(t, drivers.Start, drivers.OK)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("start waited for the announcement: %v", took)
	}
	s.Want(t, drivers.Stop, drivers.OK)
	time.Sleep(100 * time.Millisecond)
	stop := n.listen(etherARP)
	time.Sleep(200 * time.Millisecond)
	for _, f := range stop() {
		if p, ok := parseARP(f[14:]); ok && p.senderIP.String() == "198.51.100.77" {
			t.Fatal("the address is still announced after stop")
		}
	}
}

func TestDuplicateAddresses(t *testing.T) {
	n := newNetwork(t)
	n.ip("-n", n.b, "addr", "add", "198.51.100.77/24", "dev", "net0")
	n.ip("-n", n.b, "addr", "add", "fd00:77::77/64", "dev", "net0", "nodad")
	s := n.subject(t, "IPaddr2", map[string]string{"ip": "198.51.100.77", "run_arping": "true"})
	if res := s.Want(t, drivers.Start, drivers.GenericError); !strings.Contains(res.Reason, "already in use by the host with hardware address") {
		t.Error(res.Reason)
	}
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	s = n.subject(t, "IPaddr2", map[string]string{"ip": "fd00:77::77"})
	if res := s.Want(t, drivers.Start, drivers.GenericError); !strings.Contains(res.Reason, "already in use by another host") {
		t.Error(res.Reason)
	}
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	s = n.subject(t, "IPaddr2", map[string]string{"ip": "198.51.100.78", "run_arping": "true"})
	s.Want(t, drivers.Start, drivers.OK)
	s.Want(t, drivers.Stop, drivers.OK)
}

func TestAddressOnAnotherInterface(t *testing.T) {
	n := newNetwork(t)
	n.ip("-n", n.a, "addr", "add", "198.51.100.77/32", "dev", "net1")
	s := n.subject(t, "IPaddr2", map[string]string{"ip": "198.51.100.77", "nic": "net0"})
	if res := s.Want(t, drivers.Monitor, drivers.NotRunning); !strings.Contains(res.Reason, "is on net1 instead of net0") {
		t.Error(res.Reason)
	}
	req := s.Request(drivers.Monitor)
	req.Interval = 10 * time.Second
	if res := s.Agent.Run(t.Context(), req); res.RC != drivers.GenericError {
		t.Errorf("recurring monitor: %+v", res)
	}
	if res := s.Want(t, drivers.Start, drivers.GenericError); !strings.Contains(res.Reason, "already on net1") {
		t.Error(res.Reason)
	}
	s.Want(t, drivers.Stop, drivers.OK)
	if out := n.ip("-n", n.a, "addr", "show", "dev", "net1"); !strings.Contains(out, "198.51.100.77") {
		t.Error("stop removed a foreign address")
	}
	// Without nic it is the resource's, wherever it is.
	delete(s.Params, "nic")
	s.Want(t, drivers.Monitor, drivers.OK)
	s.Want(t, drivers.Stop, drivers.OK)
	s.Want(t, drivers.Monitor, drivers.NotRunning)
}

func TestUniqueCloneAddresses(t *testing.T) {
	n := newNetwork(t)
	s := n.subject(t, "IPaddr2", map[string]string{"ip": "198.51.100.77", "unique_clone_address": "true"})
	s.Meta = map[string]string{"clone": "2", "clone_max": "3", "globally_unique": "true"}
	s.Want(t, drivers.Start, drivers.OK)
	if out := n.ip("-n", n.a, "addr"); !strings.Contains(out, "198.51.100.79/24") || strings.Contains(out, "100.77") {
		t.Error(out)
	}
	s.Want(t, drivers.Stop, drivers.OK)
}

func TestBehindABalancer(t *testing.T) {
	n := newNetwork(t)
	n.ip("-n", n.a, "addr", "add", "198.51.100.77/32", "dev", "lo", "label", "lo:vip")
	s := n.subject(t, "IPaddr2", map[string]string{"ip": "198.51.100.77", "lvs_support": "true"})
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	s.Want(t, drivers.Start, drivers.OK)
	if out := n.ip("-n", n.a, "addr", "show", "dev", "lo"); strings.Contains(out, "198.51.100.77") {
		t.Error("still on lo: " + out)
	}
	s.Want(t, drivers.Monitor, drivers.OK)
	s.Want(t, drivers.Stop, drivers.OK)
	if out := n.ip("-n", n.a, "addr", "show", "dev", "lo"); !strings.Contains(out, "198.51.100.77/32") || !strings.Contains(out, "lo:vip") {
		t.Error("not back on lo: " + out)
	}
}

func TestParametersThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		typ, param, value string
		meta              map[string]string
		want              string
	}{
		{"IPaddr2", "ip", "10.0.0.300", nil, "is not an IP address"},
		{"IPaddr2", "mac", "01:00:5e:00:00:01", nil, "not supported"},
		{"IPaddr2", "send_arp_opts", "-x", nil, "send_arp_opts"},
		{"IPaddr2", "arp_sender", "ipoibarping", nil, "ipoibarping is not supported"},
		{"IPaddr2", "arp_bg", "maybe", nil, "arp_bg"},
		{"IPaddr2", "preferred_lft", "long", nil, "preferred_lft"},
		{"IPaddr2", "lvs_ipv6_addrlabel", "true", nil, "IPv6 only"},
		{"IPaddr2", "unique_clone_address", "true", nil, "globally-unique=true"},
		{"IPaddr2", "clusterip_hash", "sourceip", map[string]string{"clone_max": "2", "globally_unique": "true"}, "cluster IP"},
		{"IPaddr2", "nosuch", "1", nil, "no parameter nosuch"},
		{"IPaddr", "ip", "fd00::1", nil, "use IPaddr2"},
		{"IPaddr", "ARP_NETMASK", "ff", nil, "six bytes"},
	} {
		name := drivers.Name{Class: "ocf", Provider: "heartbeat", Type: c.typ}
		s := agenttest.Subject{Name: name, Agent: Agents()[name], Params: map[string]string{"ip": "198.51.100.77"}, Meta: c.meta,
			Node: agenttest.NewNode(t, "node1")}
		s.Params[c.param] = c.value
		if res := s.Want(t, drivers.Validate, drivers.NotConfigured); !strings.Contains(res.Reason, c.want) {
			t.Errorf("%s=%s: %s", c.param, c.value, res.Reason)
		}
	}
	name := drivers.Name{Class: "ocf", Provider: "heartbeat", Type: "IPaddr2"}
	s := agenttest.Subject{Name: name, Agent: Agents()[name], Node: agenttest.NewNode(t, "node1")}
	s.Want(t, drivers.Start, drivers.NotConfigured)
	s.Want(t, drivers.Stop, drivers.OK)
	// An address in no network of this host: probe and stop say it is not here.
	s.Params = map[string]string{"ip": "203.0.113.77"}
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	s.Want(t, drivers.Stop, drivers.OK)
	if res := s.Want(t, drivers.Start, drivers.NotInstalled); !strings.Contains(res.Reason, "no connected network") {
		t.Error(res.Reason)
	}
}

func TestMetadataAgreesWithTheScripts(t *testing.T) {
	for name, a := range Agents() {
		t.Run(name.Type, func(t *testing.T) { agenttest.SameAsScript(t, name, a, nil, nil) })
	}
}

// IPaddr knows no namespaces, so it works on a loopback address of the host.
func TestIPaddrUsesNumberedLabels(t *testing.T) {
	n := newNetwork(t)
	log := filepath.Join(t.TempDir(), "log")
	script := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho $1 >> "+log+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	have := []address{{prefix: netip.MustParsePrefix("10.0.0.1/8"), nic: "net0", label: "net0:0"}}
	if got := freeLabel("net0", have); got != "net0:1" {
		t.Errorf("free label %s", got)
	}
	agent := Agents()[drivers.Name{Class: "ocf", Provider: "heartbeat", Type: "IPaddr"}]
	s := agenttest.Subject{Name: drivers.Name{Class: "ocf", Provider: "heartbeat", Type: "IPaddr"}, Agent: agent, Resource: "ip",
		Params: map[string]string{"ip": "127.77.0.5", "nic": "lo:3", "cidr_netmask": "32", "local_start_script": script, "local_stop_script": script},
		Node:   agenttest.NewNode(t, "node1")}
	if out, err := exec.Command("ip", "addr", "show", "to", "127.77.0.5").CombinedOutput(); err != nil || len(out) > 0 {
		t.Skipf("127.77.0.5 is in use here: %s %v", out, err)
	}
	agenttest.Contract(t, s)
	s.Want(t, drivers.Start, drivers.OK)
	if out := n.ip("-o", "addr", "show", "to", "127.77.0.5"); !strings.Contains(out, "lo:0") {
		t.Error(out)
	}
	req := s.Request(drivers.Monitor)
	req.Params["OCF_CHECK_LEVEL"] = "10"
	if res := s.Agent.Run(t.Context(), req); res.RC != drivers.OK {
		t.Errorf("ping of the own address: %+v", res)
	}
	s.Want(t, drivers.Stop, drivers.OK)
	text, err := os.ReadFile(log)
	if err != nil || !strings.HasSuffix(string(text), "start\nstop\n") {
		t.Errorf("scripts: %q %v", text, err)
	}
	if _, err := openHost("no-such-namespace"); err == nil || !errors.As(err, new(*placeError)) {
		t.Errorf("%v", err)
	}
}
