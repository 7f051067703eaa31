package nfs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
	"gcrm/drivers/process"
)

// serverAgent is ocf:heartbeat:nfsserver.
func serverAgent(p paths) *native.Agent {
	n := nfsServer{p}
	return &native.Agent{
		Table: meta.Agent{
			Name: "nfsserver", Version: "1.0", API: "1.0", Short: "NFS server",
			Long: "Starts the kernel's NFS server and the programs it needs, with its state in a folder of shared storage, so that clients keep their locks when the server moves.",
			Params: []meta.Param{
				{Name: "nfs_init_script", Type: meta.String, Default: "auto detected", Short: "Init script (not used)",
					Long: "Means something to the script of this name only; the built-in agent uses systemd units where systemd runs, and the programs themselves elsewhere."},
				{Name: "nfsv4_only", Type: meta.Boolean, Default: "false", Short: "Serve NFSv4 only", Long: "Leaves out the programs that only NFSv3 needs."},
				{Name: "nfs_no_notify", Type: meta.Boolean, Default: "false", Short: "Do not notify NFSv3 clients after a start"},
				{Name: "nfs_notify_foreground", Type: meta.Boolean, Default: "false", Short: "Wait until clients have been notified"},
				{Name: "nfs_smnotify_retry_time", Type: meta.Integer, Short: "Minutes to go on trying to notify clients"},
				{Name: "nfs_server_scope", Type: meta.String, Short: "Scope of the server's state", Long: "Name under which NFSv4 clients recognise the server on every node."},
				{Name: "nfs_ip", Type: meta.String, Short: "Addresses of the server", Long: "Addresses clients know, separated by commas; NFSv3 clients are notified from each."},
				{Name: "nfs_shared_infodir", Type: meta.String, Short: "Folder for the server's state", Long: "Folder on shared storage that takes the place of /var/lib/nfs while the server runs. The clients' connections are kept there, too, so that clients find the server at once where it starts next."},
				{Name: "rpcpipefs_dir", Type: meta.String, Default: "/var/lib/nfs/rpc_pipefs", Short: "Mount point of rpc_pipefs"},
			},
			Actions: []meta.Action{
				{Name: "start", Timeout: 40 * second}, {Name: "stop", Timeout: 20 * second},
				{Name: "monitor", Timeout: 20 * second, Interval: 10 * second},
				{Name: "meta-data", Timeout: 5 * second}, {Name: "validate-all", Timeout: 30 * second},
			},
		},
		Check: func(c *native.Call) drivers.Result {
			switch v := c.Params; {
			case v.String("nfs_shared_infodir") != "" && c.Cloned():
				return native.Fail(drivers.NotConfigured, "a clone cannot share nfs_shared_infodir: two servers would write the same state")
			case v.String("nfs_shared_infodir") != "" && !filepath.IsAbs(v.String("nfs_shared_infodir")):
				return native.Fail(drivers.NotConfigured, "nfs_shared_infodir %q is not an absolute path", v.String("nfs_shared_infodir"))
			case v.String("nfs_server_scope") != "" && p.systemd(c):
				return native.Fail(drivers.NotConfigured, "nfs_server_scope needs a server started without systemd; set scope= in the nfsd section of /etc/nfs.conf instead")
			}
			return native.OK()
		},
		Actions: map[string]native.Action{drivers.Start: n.start, drivers.Stop: n.stop, drivers.Monitor: n.monitor},
	}
}

type nfsServer struct{ paths }

// serverUnit is systemd's for the threads of the kernel.
const serverUnit = "nfs-server.service"

// defaultThreads is how many threads the server gets if /etc/nfs.conf does
// not say.
const defaultThreads = "8"

// threads is how many threads of the kernel serve; zero without a server.
func (n nfsServer) threads() (int, error) {
	raw, err := os.ReadFile(filepath.Join(n.nfsd, "threads"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(raw)))
}

func (n nfsServer) monitor(_ context.Context, c *native.Call) drivers.Result {
	threads, err := n.threads()
	if err != nil {
		return native.Failed(err)
	}
	if threads == 0 {
		return native.NotRunning()
	}
	if dir := c.Params.String("nfs_shared_infodir"); dir != "" {
		if mounted, err := n.mountedOn(n.state); err != nil {
			return native.Failed(err)
		} else if !mounted {
			return native.Fail(drivers.GenericError, "the server runs, but %s is not mounted on %s: its state is on this node only", dir, n.state)
		}
	}
	on := running()
	for _, s := range n.needed(c) {
		if !s.weak && len(on[s.name]) == 0 {
			if s.name == "rpc.statd" {
				return native.Fail(drivers.GenericError, "the server runs, but %s does not: NFSv3 clients cannot lock", s.name)
			}
			return native.Fail(drivers.NotRunning, "%s does not run", s.name)
		}
	}
	if c.Action == drivers.Monitor && !c.Probe() {
		n.keepConnections(c)
	}
	return native.OK()
}

func (n nfsServer) needed(c *native.Call) []service {
	all := services()
	if c.Params.Bool("nfsv4_only") {
		all = slices.DeleteFunc(all, func(s service) bool { return s.v3 })
	}
	return all
}

func (n nfsServer) mountedOn(point string) (bool, error) {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) > 4 && unescape(f[4]) == point {
			return true, nil
		}
	}
	return false, nil
}

func (n nfsServer) start(ctx context.Context, c *native.Call) drivers.Result {
	if res := n.monitor(ctx, c); res.RC == drivers.OK {
		return res
	}
	if _, err := c.Tool("rpc.nfsd"); err != nil {
		return native.Failed(err)
	}
	on := running()
	for _, step := range []func(context.Context, *native.Call) error{
		func(ctx context.Context, c *native.Call) error { return n.takeState(ctx, c, on) },
		n.mountKernel,
		func(ctx context.Context, c *native.Call) error { return n.serve(ctx, c, on) },
		n.notifyClients, n.callBack,
	} {
		if err := step(ctx, c); err != nil {
			return native.Failed(err)
		}
	}
	if c.Dry() {
		return native.OK()
	}
	// The programs are in the background before they are ready.
	res := n.monitor(ctx, c)
	wait, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for res.RC != drivers.OK {
		c.Waiting("the server: %s", res.Reason)
		if native.Sleep(wait, 50*time.Millisecond) != nil {
			break
		}
		res = n.monitor(ctx, c)
	}
	if res.RC == drivers.NotRunning {
		res.RC = drivers.GenericError
		if res.Reason == "" {
			res.Reason = "the NFS server has no threads after its start; see the kernel log"
		}
	}
	return res
}

// takeState puts the shared folder in the place of the node's own. What it has to end for
// that it takes out of the list of services that run.
func (n nfsServer) takeState(ctx context.Context, c *native.Call, on map[string][]process.Identity) error {
	dir := c.Params.String("nfs_shared_infodir")
	if dir == "" {
		return nil
	}
	mounted, err := n.mountedOn(n.state)
	if err != nil || mounted {
		return err
	}
	// What has the node's own folder open would go on using it.
	for _, s := range services() {
		if (s.name == "nfsdcld" || s.name == "rpc.statd") && len(on[s.name]) > 0 {
			if err := n.stopService(ctx, c, s); err != nil {
				return err
			}
			delete(on, s.name)
		}
	}
	if err := n.unmount(ctx, c, c.Params.String("rpcpipefs_dir")); err != nil {
		return err
	}
	if err := c.Do("prepare "+dir, func() error { return n.prepare(dir) }); err != nil {
		return err
	}
	return c.Do("mount --bind "+dir+" "+n.state, func() error {
		if err := os.MkdirAll(n.state, 0o755); err != nil {
			return err
		}
		return unix.Mount(dir, n.state, "", unix.MS_BIND, "")
	})
}

// prepare creates in a new folder what the programs expect, owned as in the
// node's own folder.
func (n nfsServer) prepare(dir string) error {
	for _, d := range []string{"v4recovery", "nfsdcld", "sm", "sm.bak", "sm.ha", "rpc_pipefs"} {
		path := filepath.Join(dir, d)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		if strings.HasPrefix(d, "sm") {
			if err := ownedAs(path, filepath.Join(n.state, "sm")); err != nil {
				return err
			}
		}
	}
	for _, f := range []string{"etab", "rmtab", "xtab", "state"} {
		path := filepath.Join(dir, f)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		var content []byte
		if f == "state" { // any odd or even number will do, but a fresh one
			content = make([]byte, 4)
			_, _ = rand.Read(content) // never fails
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
		if f == "state" {
			if err := ownedAs(path, filepath.Join(n.state, "sm")); err != nil {
				return err
			}
		}
	}
	return nil
}

func ownedAs(path, pattern string) error {
	var st unix.Stat_t
	if unix.Stat(pattern, &st) != nil || os.Geteuid() != 0 {
		return nil
	}
	return os.Chown(path, int(st.Uid), int(st.Gid))
}

// mountKernel makes the kernel's interfaces visible.
func (n nfsServer) mountKernel(ctx context.Context, c *native.Call) error {
	pipes := c.Params.String("rpcpipefs_dir")
	if mounted, err := n.mountedOn(pipes); err == nil && !mounted && slices.Contains(n.kernelTypes(), "rpc_pipefs") {
		err := c.Do("mount -t rpc_pipefs sunrpc "+pipes, func() error {
			if err := os.MkdirAll(pipes, 0o755); err != nil {
				return err
			}
			return unix.Mount("sunrpc", pipes, "rpc_pipefs", 0, "")
		})
		if err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(n.nfsd, "threads")); err == nil {
		return nil
	}
	if !slices.Contains(n.kernelTypes(), "nfsd") {
		if err := c.Change(ctx, "modprobe", "nfsd"); err != nil {
			return fmt.Errorf("this kernel has no NFS server: %w", err)
		}
	}
	return c.Do("mount -t nfsd nfsd "+n.nfsd, func() error { return unix.Mount("nfsd", n.nfsd, "nfsd", 0, "") })
}

func (n nfsServer) kernelTypes() []string {
	raw, _ := os.ReadFile("/proc/filesystems")
	return strings.Fields(string(raw))
}

// serve starts the programs and the threads of the kernel.
func (n nfsServer) serve(ctx context.Context, c *native.Call, on map[string][]process.Identity) error {
	if n.systemd(c) {
		// One question starts all, each as soon as what it needs is there. Whatever is
		// missing afterwards is started alone, for the sake of its reason.
		argv := []string{"systemctl", "start"}
		for _, s := range n.needed(c) {
			if len(on[s.name]) == 0 {
				argv = append(argv, s.unit)
			}
		}
		if c.Change(ctx, append(argv, serverUnit)...) == nil {
			return nil
		}
	}
	for _, s := range n.needed(c) {
		if err := n.startService(ctx, c, s); err != nil {
			return err
		}
	}
	if n.systemd(c) {
		return c.Change(ctx, "systemctl", "start", serverUnit)
	}
	argv := []string{"rpc.nfsd"}
	if c.Params.Bool("nfsv4_only") {
		argv = append(argv, "-N", "3")
	}
	argv = append(argv, defaultThreads)
	if scope := c.Params.String("nfs_server_scope"); scope != "" {
		// The kernel takes the scope from the host name that it sees when it
		// starts; a name space of its own keeps that of the host.
		return c.Change(ctx, "unshare", "--uts", "sh", "-c", "hostname "+native.Quote([]string{scope})+" && exec "+native.Quote(argv))
	}
	return c.Change(ctx, argv...)
}

// notifyClients tells NFSv3 clients to claim their locks again.
func (n nfsServer) notifyClients(ctx context.Context, c *native.Call) error {
	v := c.Params
	if v.Bool("nfs_no_notify") || v.Bool("nfsv4_only") {
		return nil
	}
	base := []string{"sm-notify", "-f"}
	if v.Bool("nfs_notify_foreground") {
		base = append(base, "-d")
	}
	if v.Set("nfs_smnotify_retry_time") {
		base = append(base, "-m", strconv.Itoa(v.Int("nfs_smnotify_retry_time")))
	}
	addresses := strings.FieldsFunc(v.String("nfs_ip"), func(r rune) bool { return r == ',' || r == ' ' })
	if len(addresses) == 0 {
		return c.Change(ctx, base...)
	}
	for _, ip := range addresses {
		if err := c.Change(ctx, append(slices.Clone(base), "-v", ip)...); err != nil {
			return err
		}
	}
	return nil
}

func (n nfsServer) stop(ctx context.Context, c *native.Call) drivers.Result {
	threads, err := n.threads()
	if err != nil {
		return native.Failed(err)
	}
	bound := false
	if c.Params.String("nfs_shared_infodir") != "" {
		if bound, err = n.mountedOn(n.state); err != nil {
			return native.Failed(err)
		}
	}
	if threads == 0 && !bound {
		return native.OK()
	}
	if threads > 0 && bound {
		n.keepConnections(c)
	}
	if n.systemd(c) {
		argv := []string{"systemctl", "stop", serverUnit}
		for _, s := range services() {
			if s.name != "rpcbind" {
				argv = append(argv, s.unit)
			}
		}
		// One that does not stop is asked again below, alone.
		if err = n.stopUnits(ctx, c, argv); err != nil {
			err = c.Change(ctx, "systemctl", "stop", serverUnit)
		}
	} else if threads > 0 {
		err = c.Change(ctx, "rpc.nfsd", "0")
	}
	if err != nil {
		return native.Failed(err)
	}
	c.Waiting("the threads of the NFS server to end")
	err = c.Poll(ctx, 50*time.Millisecond, func() bool { t, err := n.threads(); return err == nil && t == 0 })
	if err != nil {
		return native.Failed(err)
	}
	// In reverse; rpcbind stays, it serves others too. nfsdcld keeps its
	// data base below the state folder open and must go before that can.
	all, on := services(), running()
	slices.Reverse(all)
	for _, s := range all {
		if s.name == "rpcbind" || len(on[s.name]) == 0 {
			continue
		}
		if err := n.stopService(ctx, c, s); err != nil {
			return native.Failed(err)
		}
	}
	if !bound {
		return native.OK()
	}
	if err := n.unmount(ctx, c, c.Params.String("rpcpipefs_dir")); err != nil {
		return native.Failed(err)
	}
	return native.Failed(n.unmount(ctx, c, n.state))
}

// unmount unmounts what may be mounted, trying again while it is busy.
func (n nfsServer) unmount(ctx context.Context, c *native.Call, point string) error {
	for {
		mounted, err := n.mountedOn(point)
		if err != nil || !mounted {
			return err
		}
		err = c.Do("umount "+point, func() error { return unix.Unmount(point, unix.UMOUNT_NOFOLLOW) })
		if c.Dry() || err != nil && !errors.Is(err, unix.EBUSY) {
			return err
		}
		if err != nil {
			c.Waiting("%s to be free", point)
			if native.Sleep(ctx, 200*time.Millisecond) != nil {
				return fmt.Errorf("%s stays mounted: %w", point, err)
			}
		}
	}
}
