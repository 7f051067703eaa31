package nfs

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/reconnect"
)

// clientele is the network of a server in a test.
type clientele struct {
	mu       sync.Mutex
	here     []netip.Addr
	provoked []reconnect.Connection
	asked    int
}

func (n *clientele) addresses() []netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	return n.here
}

func (n *clientele) provoke(list []reconnect.Connection) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.provoked = append(n.provoked, list...)
	return nil
}

func (n *clientele) until(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		n.mu.Lock()
		ok := yes()
		n.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

const twoClients = `  sl  local_address rem_address   st
   1: C80200C0:0801 830200C0:02C3 01
   2: C80200C0:0801 840200C0:02C3 01
   3: 640200C0:0801 840200C0:02C4 01
   4: C80200C0:0016 840200C0:02C5 01
`

func TestClientsAreCalledBackWhenTheirAddressComes(t *testing.T) {
	p, path, dir := fakeServer(t)
	net := &clientele{}
	p.net = network{dir, net.addresses, net.provoke}
	shared := filepath.Join(dir, "shared")
	s := subject(t, "nfsserver", p, path, map[string]string{"nfs_shared_infodir": shared, "rpcpipefs_dir": filepath.Join(dir, "pipes"), "nfsv4_only": "true"})
	tables := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "tcp"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kept := func() string {
		t.Helper()
		raw, err := os.ReadFile(filepath.Join(shared, "connections"))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	tables(twoClients)
	if res := s.Want(t, drivers.Start, drivers.OK); strings.Contains(res.Output, "connect again") {
		t.Error("nobody was connected before the first start")
	}
	// A recurring monitor writes down who is there; power may go at any time.
	s.Meta = map[string]string{"interval": "10000"}
	s.Want(t, drivers.Monitor, drivers.OK)
	all := "192.0.2.100:2049 192.0.2.132:708\n192.0.2.200:2049 192.0.2.131:707\n192.0.2.200:2049 192.0.2.132:707\n"
	if got := kept(); got != all {
		t.Errorf("kept: %s", got)
	}
	if res := s.Want(t, drivers.Monitor, drivers.OK); res.Output != "" {
		t.Errorf("the same list is written again: %s", res.Output)
	}
	// So does a stop, unless the kernel has ended the connections with their address.
	tables(strings.Replace(twoClients, "830200C0:02C3", "830200C0:02C6", 1))
	s.Want(t, drivers.Stop, drivers.OK)
	moved := strings.Replace(all, "131:707", "131:710", 1)
	if got := kept(); got != moved {
		t.Errorf("kept at the stop: %s", got)
	}
	s.Want(t, drivers.Start, drivers.OK)
	tables("")
	s.Want(t, drivers.Monitor, drivers.OK)
	s.Want(t, drivers.Stop, drivers.OK)
	if got := kept(); got != moved {
		t.Errorf("kept when the address has gone before: %s", got)
	}

	// The next server waits for the address; of one that is there already nobody is called.
	net.here = []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.100")}
	s.Want(t, drivers.Start, drivers.OK)
	net.until(t, "the address is looked for", func() bool { return net.asked > 2 })
	net.mu.Lock()
	if len(net.provoked) > 0 {
		t.Errorf("called back before their address is there: %v", net.provoked)
	}
	net.here = append(net.here, netip.MustParseAddr("192.0.2.200"))
	net.mu.Unlock()
	net.until(t, "each client is called several times", func() bool { return len(net.provoked) >= 4 })
	net.mu.Lock()
	for _, x := range net.provoked {
		if x.Local != netip.MustParseAddrPort("192.0.2.200:2049") {
			t.Errorf("called back: %v", x)
		}
	}
	net.mu.Unlock()
	s.Want(t, drivers.Stop, drivers.OK)
}

func TestNobodyIsCalledBackToAServerThatHasStopped(t *testing.T) {
	p, path, dir := fakeServer(t)
	net := &clientele{}
	p.net = network{dir, net.addresses, net.provoke}
	shared := filepath.Join(dir, "shared")
	if err := os.MkdirAll(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(shared, "connections"), []byte("192.0.2.200:2049 192.0.2.131:707\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := subject(t, "nfsserver", p, path, map[string]string{"nfs_shared_infodir": shared, "rpcpipefs_dir": filepath.Join(dir, "pipes"), "nfsv4_only": "true"})
	s.Want(t, drivers.Start, drivers.OK)
	net.until(t, "the address is looked for", func() bool { return net.asked > 2 })
	s.Want(t, drivers.Stop, drivers.OK)
	net.mu.Lock()
	net.here = []netip.Addr{netip.MustParseAddr("192.0.2.200")}
	net.mu.Unlock()
	time.Sleep(5 * addressLook)
	net.mu.Lock()
	defer net.mu.Unlock()
	if len(net.provoked) > 0 {
		t.Errorf("called back: %v", net.provoked)
	}
}
