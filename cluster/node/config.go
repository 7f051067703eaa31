package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/consensus"
	"gcrm/cluster/controller"
	"gcrm/cluster/heartbeat"
	"gcrm/cluster/transport"
	"gcrm/drivers"
	"gcrm/fencing"
	"gcrm/scheduler"
)

// Config is what a node is made of.
type Config struct {
	Cluster  string
	Name, ID string
	// StateDir holds everything that must outlive the daemon.
	StateDir string
	// RunDir holds what agents keep as long as the boot; StateDir/run if empty.
	RunDir string
	// Socket is the path of the API's socket; StateDir/api.sock if empty. With
	// NoAPI there is none, for simulations.
	Socket string
	NoAPI  bool
	// Storage and Files, if set, are used instead of StateDir, for simulations.
	Storage consensus.Storage
	Files   Files
	// Observe, if set, is told of every step of the replicated state, in order.
	// It must be quick.
	Observe func(consensus.Step)
	// Program is what the helper commands of agents link to; none are made
	// if it is empty.
	Program string
	// Secrets is the folder of secret parameters; StateDir/secrets if empty.
	Secrets string
	// Seeds are all nodes of a new cluster, this one among them. They count
	// as long as the node has no log of its own, and give the addresses of
	// nodes of this start; a node that joins a cluster has none.
	Seeds []Seed
	// Bootstrap makes the seeds the first electorate if the node has no log.
	Bootstrap bool
	// Detection is how long the crash of a node may go unnoticed, FencingTime
	// how long a fencing may take (heartbeat.DefaultFencing if 0): all timeouts
	// follow from them, see heartbeat.Derive.
	Detection, FencingTime time.Duration
	// Clock tells the date, which administrators and NTP may move; time.Now if
	// nil. Whatever is measured is measured by time.Now.
	Clock func() time.Time
	// JoinPatience, if set, is used instead of the one that follows.
	JoinPatience time.Duration

	// Epoch of the electorate as the cluster told a node that joined; 0 if
	// it is not known.
	Epoch uint64
	// Since is where the log was when the cluster took the node in.
	Since consensus.Place
	// Past is the highest incarnation that any node had by then: those of this
	// node are above it.
	Past        uint64
	Credentials transport.Credentials
	// Authority, if set, lets the node take others in.
	Authority *transport.Authority
	// Keystore, if set, is where Credentials, Authority and HeartbeatKeys come
	// from; without, they are never replaced.
	Keystore *Keystore
	// HeartbeatKeys authenticate heartbeats: the first one signs.
	HeartbeatKeys [][]byte
	// Listener accepts connections of other nodes on all networks of this one
	// (transport.Merge); Links are its UDP ports, one for each network.
	Listener net.Listener
	Links    []heartbeat.PacketConn
	// Dial makes connections to other nodes; TCP if nil.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Locate, if set, gives the present addresses of a node; it goes before
	// those in the committed membership.
	Locate func(node string) []netip.AddrPort

	Agents *drivers.Registry
	// Schedule computes plans; scheduler.Schedule outside of tests.
	Schedule func(*cib.CIB, scheduler.Options) (*scheduler.Plan, error)
	// Fencer makes sure that a node is down. If it is nil, the fence devices
	// of the configuration do, by the methods of Fencing.
	Fencer  Fencer
	Fencing *fencing.Registry
	// Watchdog is the timeout of this node's watchdog, 0 if it has none. Pulse,
	// if set, is told several times a second whether the node has a quorum; a
	// node that is not well is silent.
	Watchdog time.Duration
	Pulse    func(quorate bool)
	// Reset, if set, resets the machine at once.
	Reset func(why string)
	// Expelled is called, once, when the cluster went on without this
	// incarnation of the node and everything it ran is stopped: the caller
	// is to stop the node and start it again. Leave is called when the node
	// was told to leave.
	Expelled func(why string)
	Leave    func()
	// Quit, if set, is called when an administrator wants the daemon to end
	// in order.
	Quit func()
	// Build names the version of gcrm, for people; Level is the highest feature
	// level it knows, consensus.FeatureLevel if 0.
	Build string
	Level int
	// Die, if set, ends the daemon as a crash does, for a rehearsal, and keeps
	// it from starting again for so long.
	Die func(time.Duration)
	// Fatal is called when the node cannot go on at all.
	Fatal func(error)
	// Cut, if set, tells whether traffic with a peer is to be lost; for tests.
	Cut func(peer string) bool
	Log *slog.Logger
}

// Fencer makes sure that nodes are down, or up.
type Fencer interface {
	// Fence returns when it is known that the node is down (for action
	// "on": allowed to work), with how that is known. It waits for the
	// request's Delay first, and sees to it that it ends in time.
	Fence(ctx context.Context, request controller.Fence) (proof string, err error)
}

func (c *Config) complete() error {
	switch {
	case c.Cluster == "" || c.Name == "" || c.ID == "" || c.StateDir == "":
		return errors.New("a node needs a cluster, a name, an id and a state folder")
	case c.Listener == nil || len(c.Links) == 0:
		return fmt.Errorf("node %s has no ports", c.Name)
	case c.Agents == nil || c.Schedule == nil || len(c.HeartbeatKeys) == 0:
		return fmt.Errorf("node %s has no agents, no scheduler or no heartbeat key", c.Name)
	}
	c.completeBuild()
	if c.Files == nil {
		c.Files = folder(c.StateDir)
	}
	if c.RunDir == "" {
		c.RunDir = filepath.Join(c.StateDir, "run")
	}
	if c.Secrets == "" {
		c.Secrets = filepath.Join(c.StateDir, "secrets")
	}
	if c.Socket == "" {
		c.Socket = filepath.Join(c.StateDir, "api.sock")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Expelled == nil {
		c.Expelled = func(string) {}
	}
	if c.Leave == nil {
		c.Leave = func() {}
	}
	if c.Fatal == nil {
		c.Fatal = func(err error) { panic(err) }
	}
	return nil
}

const incarnationFile = "incarnation"

// nextIncarnation returns a number higher than at every start before, also if
// the state folder was lost, as long as the clock does not run backwards.
// past is the highest one of any node when this one joined.
func nextIncarnation(files Files, now time.Time, past uint64) (uint64, error) {
	var last uint64
	switch b, err := files.Read(incarnationFile); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return 0, err
	default:
		if last, err = strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64); err != nil {
			return 0, fmt.Errorf("%s is damaged: %w; remove it", incarnationFile, err)
		}
	}
	next := max(last+1, past+1, uint64(now.Unix()))
	return next, files.Replace(incarnationFile, []byte(strconv.FormatUint(next, 10)+"\n"))
}
