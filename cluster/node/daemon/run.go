package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"gcrm/cib"
	"gcrm/cluster/node"
	"gcrm/drivers"
	"gcrm/drivers/all"
	"gcrm/fencing"
	"gcrm/fencing/agent"
	"gcrm/fencing/keeper"
	"gcrm/fencing/sbd"
	"gcrm/scheduler"
)

// Options say how to run a host's node.
type Options struct {
	StateDir string // DefaultStateDir if empty
	RunDir   string // DefaultRunDir if empty
	Socket   string // RunDir/api.sock if empty
	// Program is the gcrm binary that helper commands link to; os.Executable
	// if empty.
	Program  string
	Agents   *drivers.Registry                                          // those of the host if nil
	Schedule func(*cib.CIB, scheduler.Options) (*scheduler.Plan, error) // the scheduler if nil
	// Fencing are the methods of fence devices; the fence agents installed on
	// the host if nil. Fencer, if set, is used instead of devices.
	Fencing *fencing.Registry
	Fencer  node.Fencer
	// Keeper says how the host watches over itself: a watchdog, shared disks;
	// nil for neither. Reset is how it ends itself, keeper.ResetMachine if nil.
	Keeper *keeper.Settings
	Reset  func(how sbd.Command, why string)
	// LeaveRunning makes the end of the daemon leave resources alone. To the
	// others that looks like a crash: a daemon that does not start again soon
	// has its host fenced.
	LeaveRunning bool
	// EvacuationLimit is how long the end of the daemon waits for resources
	// to move or stop; 20 minutes if 0 (shutdown-escalation).
	EvacuationLimit time.Duration
	Log             *slog.Logger

	// Build names the version of gcrm, for people. Level is the highest feature
	// level it knows; consensus.FeatureLevel if 0.
	Build string
	Level int

	// crash, if it is closed, ends the daemon as kill -9 does; for tests.
	crash chan struct{}
	// nodeLife is how long certificates of the node are good, for tests.
	nodeLife time.Duration
	// die, if set, is called instead of killing the process, for tests.
	die func(time.Duration)
}

// Run runs the node of a state folder until ctx ends, and then leaves the
// cluster in order: resources are moved away, and the others take the vote.
// It starts the node again whenever the cluster went on without it.
func Run(ctx context.Context, o Options) error {
	if err := o.complete(); err != nil {
		return err
	}
	if err := permissions(o.StateDir, o.RunDir); err != nil {
		return err
	}
	s, err := Load(o.StateDir)
	if err != nil {
		return err
	}
	notify := newNotifier(os.Getenv("NOTIFY_SOCKET"))
	defer notify.send("STOPPING=1")
	if err := o.hold(ctx, notify); err != nil {
		return err
	}
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	k, armed, err := o.watchOver(s.Name, quit)
	if err != nil {
		return err
	}
	for {
		again, err := o.runOnce(ctx, s, k, armed, notify)
		if k != nil && !again && o.ended(err) {
			err = errors.Join(err, k.Stop())
		}
		if err != nil || !again {
			return err
		}
		o.Log.Warn("the node starts again")
	}
}

func (o *Options) complete() error {
	if o.StateDir == "" {
		o.StateDir = DefaultStateDir
	}
	if o.RunDir == "" {
		o.RunDir = DefaultRunDir
	}
	if o.Socket == "" {
		o.Socket = filepath.Join(o.RunDir, "api.sock")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if o.Agents == nil {
		o.Agents = all.Registry(all.Options{})
	}
	if o.Schedule == nil {
		o.Schedule = func(c *cib.CIB, so scheduler.Options) (*scheduler.Plan, error) { return scheduler.Schedule(c, so) }
	}
	if o.Fencing == nil {
		o.Fencing = fencing.NewRegistry(nil, agent.Finder{}.Find, agent.Finder{}.Names)
	}
	if o.EvacuationLimit == 0 {
		o.EvacuationLimit = 20 * time.Minute
	}
	if o.Program == "" {
		var err error
		if o.Program, err = os.Executable(); err != nil {
			return err
		}
	}
	return os.MkdirAll(o.RunDir, 0o755)
}

// runOnce runs one incarnation; again tells that another one has to follow.
func (o *Options) runOnce(ctx context.Context, s *Settings, k *keeper.Keeper, armed time.Duration, notify *notifier) (again bool, err error) {
	calm := hurry()
	defer calm()
	store := &node.Keystore{Dir: filepath.Join(o.StateDir, pkiDir), Cluster: s.Cluster, Node: s.Name, ID: s.ID, NodeLife: o.nodeLife}
	keys, err := store.Load(time.Now())
	if err != nil {
		return false, err
	}
	l, links, err := listen(s.Addresses)
	if err != nil {
		return false, err
	}
	expelled, leave, quit, fatal := make(chan string, 1), make(chan struct{}, 1), make(chan struct{}, 1), make(chan error, 1)
	once := func(ch chan struct{}) func() {
		return func() {
			select {
			case ch <- struct{}{}:
			default:
			}
		}
	}
	var pulse func(bool)
	var reset func(string)
	if k != nil {
		pulse = func(quorate bool) { k.Told(quorate, true) }
		reset = k.Reset
	}
	n, err := node.Start(node.Config{Cluster: s.Cluster, Name: s.Name, ID: s.ID, StateDir: o.StateDir, RunDir: filepath.Join(o.RunDir, "agents"),
		Socket: o.Socket, Program: o.Program, Seeds: s.Seeds, Bootstrap: s.First, Epoch: s.Epoch, Since: s.Since, Past: s.Past,
		Detection: time.Duration(s.DetectionMilliseconds) * time.Millisecond, FencingTime: time.Duration(s.FencingMilliseconds) * time.Millisecond, Credentials: keys.Credentials, Authority: keys.Authority, Keystore: store,
		HeartbeatKeys: keys.Heartbeats, Listener: l, Links: links, Agents: o.Agents, Schedule: o.Schedule, Fencer: o.Fencer, Fencing: o.Fencing,
		Expelled: func(why string) { expelled <- why },
		Watchdog: armed, Pulse: pulse, Reset: reset,
		Leave: once(leave),
		Quit:  once(quit),
		Die:   o.fail,
		Build: o.Build, Level: o.Level,
		Fatal: func(err error) {
			select {
			case fatal <- err:
			default:
			}
		},
		Log: o.Log})
	if err != nil {
		return false, err
	}
	calm()
	notify.send("READY=1\nSTATUS=node " + s.Name + " of cluster " + s.Cluster)
	alive := time.NewTicker(notify.interval())
	defer alive.Stop()
	for {
		select {
		case <-alive.C:
			notify.send("WATCHDOG=1")
		case why := <-expelled:
			o.Log.Warn("the cluster went on without this node", "why", why)
			n.Crash()
			return ctx.Err() == nil, nil
		case err := <-fatal:
			n.Crash()
			return false, err
		case <-o.crash:
			n.Crash()
			return false, errCrashed
		case <-leave:
			n.Stop()
			return false, nil
		case <-quit:
			notify.send("STOPPING=1")
			return false, o.end(n, s)
		case <-ctx.Done():
			notify.send("STOPPING=1")
			return false, o.end(n, s)
		}
	}
}

// end leaves the cluster in order. Only a node that runs nothing any more may
// say farewell: the others would start elsewhere what it runs.
func (o *Options) end(n *node.Node, s *Settings) error {
	if o.LeaveRunning {
		n.Crash()
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), o.EvacuationLimit)
	defer cancel()
	if err := n.Evacuate(ctx, s.Name); err != nil {
		o.Log.Error("not all resources were moved away; the node ends without a farewell", "err", err)
		n.Crash()
		return err
	}
	n.Stop()
	return nil
}

// notifier speaks to systemd.
type notifier struct{ conn net.Conn }

func newNotifier(socket string) *notifier {
	if socket == "" {
		return &notifier{}
	}
	c, err := net.Dial("unixgram", socket)
	if err != nil {
		return &notifier{}
	}
	return &notifier{c}
}

func (n *notifier) send(state string) {
	if n.conn != nil {
		// There is nobody to tell if it fails.
		_, _ = n.conn.Write([]byte(state))
	}
}

// interval is half of what systemd waits for a sign of life.
func (n *notifier) interval() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("WATCHDOG_USEC") + "us"); err == nil && d > 0 {
		return d / 2
	}
	return time.Minute
}
