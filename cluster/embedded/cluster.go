package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/cluster/consensus"
	"gcrm/cluster/heartbeat"
	"gcrm/cluster/node"
	"gcrm/cluster/stonith"
	"gcrm/cluster/transport"
	"gcrm/drivers"
	"gcrm/drivers/all"
	"gcrm/fencing"
	"gcrm/fencing/native"
	"gcrm/scheduler"
)

// Config says what cluster to run.
type Config struct {
	// Nodes is how many; 0 means as many as StateDir has, or else 3.
	Nodes int
	// StateDir is kept; if it is empty, a temporary folder is used and
	// removed by Stop.
	StateDir string
	// Name of the cluster; "embedded" if empty. A resumed one keeps its name.
	Name string
	// Program is the path of the gcrm binary that agents' helper commands
	// link to; os.Executable if empty.
	Program string
	// Agents are the agents of all nodes; if nil, those of the host, native
	// ones preferred.
	Agents *drivers.Registry
	// Schedule computes plans; scheduler.Schedule if nil.
	Schedule func(*cib.CIB, scheduler.Options) (*scheduler.Plan, error)
	// Fencing, if set, lets the fence devices of the configuration switch the
	// nodes, by its methods. If it is nil, the cluster switches its nodes by
	// itself; fence devices are accepted, and not used.
	Fencing *fencing.Registry
	// Detection is how long the loss of a node may go unnoticed; 0 means
	// heartbeat.Embedded.
	Detection time.Duration
	// LeaveRunning makes Stop leave the resources running.
	LeaveRunning bool
	// LogLevel is that of the log file in the state folder.
	LogLevel slog.Level
}

// Cluster is a running cluster.
type Cluster struct {
	cfg       Config
	dir       string // state folder
	short     string // another path to it, short enough for sockets
	temporary bool
	lock      *os.File
	logFile   *os.File
	log       *slog.Logger
	authority *transport.Authority
	key       []byte

	power chan struct{} // held while a node is fenced

	mu       sync.Mutex
	members  []*member
	cuts     map[[2]string]bool
	stopping bool
	// evacuating is set while Stop stops the resources.
	evacuating bool
	wg         sync.WaitGroup
}

// member is one node, whether it runs or not.
type member struct {
	number   int
	name, id string
	dir      string
	// busy is held while the node is started or ended.
	busy sync.Mutex

	// Guarded by the cluster's lock.
	node *node.Node
	addr netip.AddrPort
	// off is set from Kill or fencing until the node is started again.
	off bool
}

// manifest is what a state folder says of itself.
type manifest struct {
	Format int
	Name   string
	Nodes  int
}

const (
	manifestFile = "cluster.json"
	lockFile     = "lock"
	logFile      = "gcrm.log"
	pkiDir       = "pki"
	keyFile      = "heartbeat.key"
	// maxSocketDir is the longest folder that a socket's path may have.
	maxSocketDir = 80
)

// Start brings a cluster up and waits until it has a leader and all its nodes
// are members.
func Start(ctx context.Context, cfg Config) (_ *Cluster, err error) {
	c := &Cluster{cfg: cfg, dir: cfg.StateDir, cuts: map[[2]string]bool{}, power: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.dir == "" {
		c.temporary = true
		if c.dir, err = os.MkdirTemp("", "gcrm-"); err != nil {
			return nil, err
		}
	} else {
		if err := os.MkdirAll(c.dir, 0o755); err != nil {
			return nil, fmt.Errorf("state folder: %w", err)
		}
		if c.dir, err = filepath.Abs(c.dir); err != nil {
			return nil, err
		}
	}
	if err := c.prepare(); err != nil {
		return nil, err
	}
	if err := c.startAll(); err != nil {
		return nil, err
	}
	if err := c.settle(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// prepare makes everything that the nodes have in common.
func (c *Cluster) prepare() error {
	var err error
	if c.lock, err = os.OpenFile(filepath.Join(c.dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	if err := unix.Flock(int(c.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("state folder %s is in use by another process; stop that one, or choose another folder", c.dir)
	}
	if err := c.readManifest(); err != nil {
		return err
	}
	if c.logFile, err = os.OpenFile(filepath.Join(c.dir, logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	c.log = slog.New(slog.NewTextHandler(c.logFile, &slog.HandlerOptions{Level: c.cfg.LogLevel}))
	if c.cfg.Detection == 0 {
		c.cfg.Detection = heartbeat.Embedded
	}
	if c.cfg.Schedule == nil {
		c.cfg.Schedule = defaultSchedule
	}
	if c.cfg.Agents == nil {
		c.cfg.Agents = all.Registry(all.Options{Preferences: drivers.Preferences{Default: drivers.PreferNative}})
	}
	if c.cfg.Fencing == nil {
		c.cfg.Agents = c.cfg.Agents.With(stonith.Class, stonith.Finder{Registry: native.Registry()})
	}
	if c.cfg.Program == "" {
		if c.cfg.Program, err = os.Executable(); err != nil {
			return err
		}
	}
	pki := filepath.Join(c.dir, pkiDir)
	if c.authority, err = transport.OpenAuthority(pki, c.cfg.Name, time.Now()); err != nil {
		return err
	}
	if c.key, err = node.OpenKey(filepath.Join(pki, keyFile)); err != nil {
		return err
	}
	c.short = c.dir
	if len(c.dir) > maxSocketDir {
		link, err := os.MkdirTemp("", "gcrm-")
		if err != nil {
			return err
		}
		c.short = filepath.Join(link, "s")
		if err := os.Symlink(c.dir, c.short); err != nil {
			return err
		}
	}
	for i := range c.cfg.Nodes {
		name := fmt.Sprintf("node%d", i+1)
		c.members = append(c.members, &member{number: i + 1, name: name, id: fmt.Sprint(i + 1), dir: filepath.Join(c.dir, name)})
	}
	return nil
}

func (c *Cluster) readManifest() error {
	path := filepath.Join(c.dir, manifestFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if c.cfg.Nodes == 0 {
			c.cfg.Nodes = 3
		}
		if c.cfg.Name == "" {
			c.cfg.Name = "embedded"
		}
		b, err := json.Marshal(manifest{1, c.cfg.Name, c.cfg.Nodes})
		if err != nil {
			return err
		}
		return os.WriteFile(path, append(b, '\n'), 0o600)
	}
	if err != nil {
		return err
	}
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil || m.Format != 1 || m.Nodes < 1 {
		return fmt.Errorf("%s is not the description of an embedded cluster; choose another state folder", path)
	}
	if c.cfg.Nodes != 0 && c.cfg.Nodes != m.Nodes {
		return fmt.Errorf("state folder %s holds a cluster of %d nodes, not %d; choose another folder or that number", c.dir, m.Nodes, c.cfg.Nodes)
	}
	c.cfg.Nodes, c.cfg.Name = m.Nodes, m.Name
	return nil
}

// startAll starts all nodes at the same time and lets the one that knows most
// ask for votes at once.
func (c *Cluster) startAll() error {
	// All ports first: each node needs those of the others.
	ports := make([]ports, len(c.members))
	for i, m := range c.members {
		var err error
		if ports[i], err = openPorts(); err != nil {
			for _, p := range ports[:i] {
				p.close()
			}
			return err
		}
		c.setAddr(m, ports[i].addr)
	}
	errs := make([]error, len(c.members))
	var wg sync.WaitGroup
	for i, m := range c.members {
		wg.Go(func() {
			m.busy.Lock()
			defer m.busy.Unlock()
			errs[i] = c.run(m, ports[i])
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	var best *node.Node
	for _, m := range c.members {
		n := c.nodes()[m.name]
		if n != nil && (best == nil || n.Consensus().LastIndex() > best.Consensus().LastIndex()) {
			best = n
		}
	}
	if best == nil {
		return errors.New("no node is up")
	}
	if err := best.Campaign(); err != nil {
		c.log.Info("no early election", "err", err) // there will be one in time
	}
	return nil
}

type ports struct {
	tcp  net.Listener
	udp  *net.UDPConn
	addr netip.AddrPort
}

func (p ports) close() {
	if p.tcp != nil {
		p.tcp.Close()
	}
	if p.udp != nil {
		p.udp.Close()
	}
}

// openPorts takes a TCP and a UDP port of the same number on loopback.
func openPorts() (ports, error) {
	var last error
	for range 20 {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return ports{}, err
		}
		addr := tcp.Addr().(*net.TCPAddr).AddrPort()
		udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
		if err == nil {
			return ports{tcp, udp, addr}, nil
		}
		tcp.Close()
		last = err
	}
	return ports{}, fmt.Errorf("no free pair of ports on loopback: %w", last)
}

func (c *Cluster) setAddr(m *member, a netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m.addr = a
}

// locate is where nodes find each other.
func (c *Cluster) locate(name string) []netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		if m.name == name && m.addr.IsValid() {
			return []netip.AddrPort{m.addr}
		}
	}
	return nil
}

// run starts one node on open ports. m.busy is held.
func (c *Cluster) run(m *member, p ports) error {
	creds, err := c.authority.OpenCredentials(filepath.Join(m.dir, pkiDir), m.name, m.id, time.Now())
	if err != nil {
		p.close()
		return err
	}
	seeds := make([]node.Seed, len(c.members))
	for i, s := range c.members {
		seeds[i] = node.Seed{Name: s.name, ID: s.id}
	}
	var own node.Fencer
	if c.cfg.Fencing == nil {
		own = &fencer{c, m}
	}
	n, err := node.Start(node.Config{
		Cluster: c.cfg.Name, Name: m.name, ID: m.id, StateDir: m.dir, RunDir: m.runDir(), Socket: c.socket(m), Program: c.cfg.Program,
		Seeds: seeds, Bootstrap: true, Detection: c.cfg.Detection, JoinPatience: 5 * c.cfg.Detection,
		Credentials: creds, HeartbeatKeys: [][]byte{c.key}, Listener: p.tcp, Links: []heartbeat.PacketConn{p.udp}, Locate: c.locate,
		Agents: c.cfg.Agents, Schedule: c.cfg.Schedule, Fencer: own, Fencing: c.cfg.Fencing,
		Expelled: func(why string) { c.later(func() { c.renew(m, why) }) },
		Leave:    func() { c.later(func() { c.leave(m) }) },
		Fatal: func(err error) {
			c.log.Error("node cannot go on", "node", m.name, "err", err)
			c.later(func() { c.crash(m) })
		},
		Cut: func(peer string) bool { return c.isCut(m.name, peer) },
		Log: c.log,
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	m.node, m.off = n, false
	c.mu.Unlock()
	return nil
}

func (m *member) runDir() string { return filepath.Join(m.dir, "run") }

func (c *Cluster) socket(m *member) string { return filepath.Join(c.short, m.name, "api.sock") }

// settle waits until there is a leader, everybody is a member, and the
// controller has looked at the cluster once.
func (c *Cluster) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		missing := ""
		nodes := c.nodes()
		for _, m := range c.members {
			if n := nodes[m.name]; n == nil || !n.Admitted() {
				missing = m.name
				continue
			}
			state, _ := nodes[m.name].Consensus().State()
			for name, n := range nodes {
				s, ok := state.Member(name)
				if _, entered := state.CIB.Node(name); !ok || !entered || s.State != consensus.Online || s.Incarnation != n.Incarnation() {
					missing = name
				}
			}
		}
		if missing == "" {
			return nil
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the cluster did not come up: %s is no member; see %s: %w", missing, filepath.Join(c.dir, logFile), ctx.Err())
		}
	}
}

// nodes are those that run.
func (c *Cluster) nodes() map[string]*node.Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]*node.Node{}
	for _, m := range c.members {
		if m.node != nil {
			out[m.name] = m.node
		}
	}
	return out
}

// Name is the name of the cluster.
func (c *Cluster) Name() string { return c.cfg.Name }

// Nodes is the number of nodes.
func (c *Cluster) Nodes() int { return len(c.members) }

// StateDir is the folder of the whole cluster.
func (c *Cluster) StateDir() string { return c.dir }

// LogFile is the path of the log of all nodes.
func (c *Cluster) LogFile() string { return filepath.Join(c.dir, logFile) }

// Socket is the path of the API socket of a node; nodes count from 1.
func (c *Cluster) Socket(i int) string { return c.socket(c.members[i-1]) }

// Client connects to a node, as any program does; nodes count from 1. The
// client survives a restart of the node.
func (c *Cluster) Client(i int) (*client.HTTP, error) {
	if i < 1 || i > len(c.members) {
		return nil, fmt.Errorf("there is no node %d; the cluster has nodes 1 to %d", i, len(c.members))
	}
	return client.Dial(c.Socket(i), "gcrm shell")
}

// Leader is the number of the node that leads, 0 if there is none.
func (c *Cluster) Leader() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		if m.node == nil {
			continue
		}
		if l, _ := m.node.Consensus().Leadership(); l.Self {
			return m.number
		}
	}
	return 0
}

// Running reports whether a node is on; nodes count from 1.
func (c *Cluster) Running(i int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.members[i-1].node != nil
}
