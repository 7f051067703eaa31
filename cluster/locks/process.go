package locks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gcrm/cluster/client"
	"gcrm/cluster/node"
	"gcrm/cluster/node/daemon"
	"gcrm/cluster/transport"
	"gcrm/drivers/dlm"
	"gcrm/drivers/dlm/dlmc"
	"gcrm/drivers/dlm/kernel"
	"gcrm/drivers/dlm/lockspace"
	"gcrm/drivers/process"
	"gcrm/durable"
)

// Options say how the control process of a host runs.
type Options struct {
	StateDir string // of the node's daemon
	// Folder is where the process keeps its files.
	Folder dlm.Folder
	Socket string // of the daemon's API
	SCTP   bool
	Port   int // of the kernel's lock manager; 0 is its own
	// WithoutFencing works although nodes that are lost cannot be fenced.
	WithoutFencing bool
	Log            *slog.Logger
	// Journal has what was logged, for who asks.
	Journal *dlm.Journal
}

// portStep is added to the port of a node's daemon for that of its control
// process.
const portStep = 1

// Run controls the kernel's lock manager until ctx is done and no lockspace is
// left. Any other end of the process costs the node its life.
func Run(ctx context.Context, o Options) error {
	settings, err := daemon.Load(o.StateDir)
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(settings.ID)
	if err != nil || number <= 0 {
		return fmt.Errorf("node %s has id %q, and the kernel's lock manager knows nodes by positive numbers", settings.Name, settings.ID)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	api, err := client.Dial(o.Socket, "gcrm dlm")
	if err != nil {
		return err
	}
	defer api.Close()
	first, err := firstView(ctx, api, o.Log)
	if err != nil {
		return err
	}
	if !first.Fencing && !o.WithoutFencing {
		return errNoFencing
	}
	release, err := claim(o.Folder)
	if err != nil {
		return err
	}
	err = o.run(ctx, settings, api, first, lockspace.Life{Node: number, Boot: strings.TrimSpace(string(boot))})
	if err == nil {
		// Otherwise it stays, and says that this process ended by itself.
		release()
	}
	return err
}

// errNoFencing refuses to work where nothing keeps two nodes from writing the
// same.
var errNoFencing = errors.New("fencing is switched off, and without it whoever loses a node loses data: " +
	"set stonith-enabled=true and configure fence devices (or allow_fencing_disabled=true for the resource)")

func (o Options) run(ctx context.Context, settings *daemon.Settings, api *client.HTTP, first *client.LockspaceView, self lockspace.Life) error {
	host, err := kernel.Open(ctx)
	if err != nil {
		return err
	}
	l, err := listen(settings.Addresses)
	if err != nil {
		host.Close()
		return err
	}
	keys := &node.Keystore{Dir: filepath.Join(o.StateDir, "pki"), Cluster: settings.Cluster, Node: settings.Name, ID: settings.ID}
	loaded, err := keys.Load(time.Now())
	if err != nil {
		host.Close()
		return err
	}
	return serve(ctx, setup{
		Self: self, Node: settings.Name, Cluster: settings.Cluster,
		Settings: kernel.Settings{Cluster: first.Cluster, SCTP: o.SCTP, Port: o.Port}, Host: host, Daemon: api, Listener: l,
		Credentials: loaded.Credentials, Addresses: controlAddresses, Folder: o.Folder, Log: o.Log, Journal: o.Journal, Tools: true,
		Renew: func() (transport.Credentials, error) {
			k, err := keys.Load(time.Now())
			return k.Credentials, err
		},
	})
}

// firstView waits until the daemon is a member of the cluster.
func firstView(ctx context.Context, api *client.HTTP, log *slog.Logger) (*client.LockspaceView, error) {
	for {
		v, err := api.Lockspaces(ctx, "")
		if err == nil {
			return v, nil
		}
		log.Info("waits for the node's daemon", "err", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// claim notes this process in its folder; there is only one.
func claim(f dlm.Folder) (release func(), err error) {
	if err := f.Make(); err != nil {
		return nil, err
	}
	if id, lives, err := f.Control(); err != nil {
		return nil, err
	} else if lives && id.Pid != os.Getpid() {
		return nil, fmt.Errorf("the lock manager is controlled already, by process %d", id.Pid)
	}
	st, err := process.Look(os.Getpid())
	if err != nil {
		return nil, err
	}
	if err := durable.Write(f.Identity(), []byte(st.Identity.String()+"\n"), 0o600); err != nil {
		return nil, err
	}
	return func() { os.Remove(f.Identity()) }, nil
}

// listen opens the port of the control process on all networks of the node.
func listen(addresses []string) (net.Listener, error) {
	var all []net.Listener
	for _, a := range shifted(addresses) {
		l, err := net.Listen("tcp", a)
		if err != nil {
			for _, l := range all {
				l.Close()
			}
			return nil, fmt.Errorf("TCP port of the lock manager's control, the one after the node's: %w", err)
		}
		all = append(all, l)
	}
	return transport.Merge(all...), nil
}

// controlAddresses are where the control process of a node listens.
func controlAddresses(n client.LockNode) []string { return shifted(n.Addresses) }

func shifted(addresses []string) []string {
	var out []string
	for _, a := range addresses {
		if p, err := netip.ParseAddrPort(a); err == nil {
			out = append(out, netip.AddrPortFrom(p.Addr(), p.Port()+portStep).String())
		}
	}
	return out
}

// setup is what a control process is made of.
type setup struct {
	Self          lockspace.Life
	Node, Cluster string
	Settings      kernel.Settings
	Host          dlm.Host
	Daemon        daemonAPI
	Listener      net.Listener
	Credentials   transport.Credentials
	// Renew, if set, reads the credentials again from time to time.
	Renew     func() (transport.Credentials, error)
	Addresses func(client.LockNode) []string
	Folder    dlm.Folder
	Log       *slog.Logger
	Journal   *dlm.Journal
	// Tools serves the sockets that dlm_tool and lvmlockd ask at, of which a
	// host has one each.
	Tools bool
}

// renewInterval is how often credentials are read again.
const renewInterval = time.Minute

// serve runs the control process.
func serve(ctx context.Context, s setup) error {
	link := &link{daemon: s.Daemon, networks: 1, log: s.Log}
	if s.Settings.SCTP {
		link.networks = 3
	}
	mesh, err := newMesh(meshConfig{Self: s.Self, Cluster: s.Cluster, Node: s.Node, Credentials: s.Credentials, Listener: s.Listener,
		Find: link.node, Addresses: s.Addresses, Log: s.Log.With("room", "mesh")})
	if err != nil {
		return errors.Join(err, s.Host.Close())
	}
	defer mesh.close()
	link.mesh = mesh
	control := dlm.NewControl(dlm.Config{Self: s.Self, Settings: s.Settings, Host: s.Host, Cluster: link, Log: s.Log})
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	window, err := dlm.OpenWindow(s.Folder, control, s.Journal)
	if err != nil {
		return errors.Join(err, s.Host.Close())
	}
	defer window.Close()
	if s.Tools {
		// Programs only look; without them the lock manager works as well.
		tools, err := dlmc.Listen(dlmc.Source{Report: control.Report, Debug: s.Journal.Text})
		if err != nil {
			s.Log.Warn("dlm_tool cannot ask: another control daemon has its sockets", "err", err)
		} else {
			defer tools.Close()
		}
	}
	if s.Renew != nil {
		go renew(work, s, mesh)
	}
	return control.Run(ctx)
}

// renew takes over credentials that the daemon replaced.
func renew(ctx context.Context, s setup, m *mesh) {
	for t := time.NewTicker(renewInterval); ; {
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
		c, err := s.Renew()
		if err != nil {
			s.Log.Warn("the node's keys cannot be read", "err", err)
			continue
		}
		m.wire.Rotate(c)
	}
}
