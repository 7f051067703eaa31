package consensus

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/transport"
)

func testTiming() Timing {
	return Timing{Heartbeat: 300 * time.Millisecond, Election: 300 * time.Millisecond, Lease: 200 * time.Millisecond,
		Commit: 10 * time.Millisecond, IO: 2 * time.Second}
}

// testCluster runs real nodes over loopback.
type testCluster struct {
	t         testing.TB
	dir       string
	authority *transport.Authority
	names     []string
	patience  time.Duration // with an answer

	mu    sync.Mutex
	addrs map[string]string
	cut   map[[2]string]bool
	nodes map[string]*testNode
	since map[string]Place // when nodes joined
}

type testNode struct {
	*Consensus
	wire *transport.Transport
	mu   sync.Mutex
	seen []cib.Version
}

func newCluster(t testing.TB, n int, dir string) *testCluster {
	return newPatientCluster(t, n, dir, testTiming().IO)
}

// newPatientCluster is newCluster whose nodes wait so long for an answer.
func newPatientCluster(t testing.TB, n int, dir string, patience time.Duration) *testCluster {
	a, err := transport.NewAuthority("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c := &testCluster{t: t, dir: dir, authority: a, patience: patience, addrs: map[string]string{}, cut: map[[2]string]bool{}, nodes: map[string]*testNode{}, since: map[string]Place{}}
	for i := range n {
		c.names = append(c.names, fmt.Sprintf("node%d", i+1))
	}
	for _, name := range c.names {
		c.start(name, c.names)
	}
	t.Cleanup(func() {
		for name := range c.nodes {
			c.kill(name)
		}
	})
	return c
}

func (c *testCluster) start(name string, bootstrap []string) *testNode {
	c.t.Helper()
	n, err := c.open(name, bootstrap)
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

func (c *testCluster) open(name string, bootstrap []string) (*testNode, error) {
	creds, err := c.authority.Issue(name, "", time.Now())
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.addrs[name] = l.Addr().String()
	c.mu.Unlock()
	n := &testNode{}
	timing := testTiming()
	timing.IO = c.patience
	n.wire, err = transport.Listen(transport.Config{Cluster: "test", Node: name, Incarnation: 1, Credentials: creds, Listener: l, HandshakeTimeout: c.patience,
		Resolve: func(node string) []string {
			c.mu.Lock()
			defer c.mu.Unlock()
			return []string{c.addrs[node]}
		},
		Cut: func(peer string) bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.cut[[2]string{name, peer}] || c.cut[[2]string{peer, name}]
		},
		NewerEpoch: func(_ string, epoch uint64) {
			c.mu.Lock()
			n := c.nodes[name]
			c.mu.Unlock()
			if n != nil {
				n.StartOver(epoch)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	n.Consensus, err = Open(Config{Dir: filepath.Join(c.dir, name), Transport: n.wire, Timing: timing, Bootstrap: bootstrap, Since: c.since[name],
		Observe: func(s Step) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.seen = append(n.seen, s.State.CIB.Version())
		}})
	if err != nil {
		n.wire.Close()
		return nil, err
	}
	c.mu.Lock()
	c.nodes[name] = n
	c.mu.Unlock()
	return n, nil
}

// kill stops a node without any farewell to the others.
func (c *testCluster) kill(name string) {
	c.mu.Lock()
	n := c.nodes[name]
	delete(c.nodes, name)
	c.mu.Unlock()
	if n != nil {
		n.wire.Close()
		n.Close()
	}
}

func (c *testCluster) separate(a, b string) {
	c.mu.Lock()
	c.cut[[2]string{a, b}] = true
	x, y := c.nodes[a], c.nodes[b]
	c.mu.Unlock()
	x.wire.Disconnect(b)
	y.wire.Disconnect(a)
}

// silence kills a node, and lets whoever connects to its address wait for as long
// as the cluster is patient. It returns when somebody does.
func (c *testCluster) silence(name string) {
	c.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	asked := make(chan net.Conn, 16)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				close(asked)
				return
			}
			asked <- conn
		}
	}()
	c.mu.Lock()
	c.addrs[name] = l.Addr().String()
	c.mu.Unlock()
	c.kill(name)
	conn := <-asked
	c.t.Cleanup(func() {
		conn.Close()
		l.Close()
	})
}

func (c *testCluster) heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = map[[2]string]bool{}
}

// leader waits until somebody leads and is ready.
func (c *testCluster) leader() *testNode {
	c.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		c.mu.Lock()
		for _, n := range c.nodes {
			if l, _ := n.Leadership(); l.Self {
				c.mu.Unlock()
				return n
			}
		}
		c.mu.Unlock()
	}
	c.t.Fatal("no leader within 10 s")
	return nil
}

func (c *testCluster) follower() *testNode {
	l := c.leader()
	for _, n := range c.nodes {
		if n != l {
			return n
		}
	}
	c.t.Fatal("no follower")
	return nil
}

func configuration(base cib.Version, marker string) Command {
	return Command{Change: &cib.Change{Origin: cib.Origin{User: "test"}, Configuration: &cib.ConfigurationChange{Base: base,
		XML: `<configuration><crm_config><cluster_property_set id="s"><nvpair id="n" name="marker" value="` + marker + `"/></cluster_property_set></crm_config></configuration>`}}}
}

func increment(name string) Command {
	return Command{Change: &cib.Change{Status: &cib.StatusChange{Edits: []cib.StatusEdit{
		{Attribute: &cib.AttributeEdit{Node: "1", Name: name, Value: "1", Add: true}}}}}}
}

// counter reads a transient attribute of node 1.
func counter(c *cib.CIB, name string) string {
	var value string
	c.Status().Walk(func(e *cib.Element) bool {
		if e.Name == "nvpair" && e.Get("name") == name {
			value = e.Get("value")
		}
		return true
	})
	return value
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
