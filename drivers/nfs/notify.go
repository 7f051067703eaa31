package nfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
	"gcrm/drivers/process"
)

// notifyAgent is ocf:heartbeat:nfsnotify.
func notifyAgent(p paths) *native.Agent {
	n := notifier{p}
	return &native.Agent{
		Table: meta.Agent{
			Name: "nfsnotify", Version: "1.0", API: "1.0", Short: "Notice to NFSv3 clients that locks must be claimed again",
			Long: "Tells the clients of NFSv3 that the server has been started elsewhere, so that they claim their locks again. Needs rpc.statd.",
			Params: []meta.Param{
				{Name: "source_host", Type: meta.String, Short: "Addresses of the server, separated by commas", Long: "Addresses of the server that clients know, separated by commas; each is notified for."},
				{Name: "notify_args", Type: meta.String, Short: "Further arguments of sm-notify"},
			},
			Actions: []meta.Action{
				{Name: "start", Timeout: 90 * second}, {Name: "stop", Timeout: 90 * second},
				{Name: "monitor", Timeout: 90 * second, Interval: 30 * second}, {Name: "reload", Timeout: 90 * second},
				{Name: "meta-data", Timeout: 10 * second}, {Name: "validate-all", Timeout: 20 * second},
			},
		},
		Check: func(c *native.Call) drivers.Result {
			if _, err := c.Tool("sm-notify"); err != nil {
				return native.Failed(err)
			}
			return native.OK()
		},
		Actions: map[string]native.Action{drivers.Start: n.start, drivers.Stop: n.stop, drivers.Monitor: n.monitor, drivers.Reload: n.monitor},
	}
}

type notifier struct{ paths }

// statd is the running rpc.statd.
func statd() (process.Identity, bool) {
	all, err := process.All()
	if err != nil {
		return process.Identity{}, false
	}
	for _, p := range all {
		if p.Name == "rpc.statd" && p.State != 'Z' {
			return p.Identity, true
		}
	}
	return process.Identity{}, false
}

func statdFile(c *native.Call) (string, error) {
	return c.StateFile("rpc.statd_" + c.Instance() + ".pid")
}

func recordedStatd(file string) (process.Identity, bool, error) {
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return process.Identity{}, false, nil
	}
	if err != nil {
		return process.Identity{}, false, err
	}
	id, err := process.ParseIdentity(string(raw))
	return id, err == nil, err
}

func (n notifier) monitor(_ context.Context, c *native.Call) drivers.Result {
	file, err := statdFile(c)
	if err != nil {
		return native.Failed(err)
	}
	id, there, err := recordedStatd(file)
	switch {
	case err != nil:
		return native.Failed(err)
	case !there:
		return native.NotRunning()
	case id.Alive():
		return native.OK()
	}
	return native.Fail(drivers.GenericError, "rpc.statd (process %d) has ended or was started anew since clients were notified", id.Pid)
}

func (n notifier) start(ctx context.Context, c *native.Call) drivers.Result {
	if res := n.monitor(ctx, c); res.RC == drivers.OK {
		return res
	}
	id, ok := statd()
	if !ok {
		return native.Fail(drivers.NotRunning, "rpc.statd does not run on %s; order this resource after the NFS server, which must serve NFSv3", c.Node.Name)
	}
	file, err := statdFile(c)
	if err != nil {
		return native.Failed(err)
	}
	base := filepath.Join(c.Node.StateDir, "nfsnotify-"+c.Instance())
	previous, again, err := recordedStatd(file + ".prev")
	if err != nil {
		return native.Failed(err)
	}
	// The state that names the clients is used up by a notification; the
	// copy serves a second one for the same statd.
	if !again || previous != id {
		if err := n.saveState(c, base); err != nil {
			return native.Failed(err)
		}
	}
	if err := n.notify(ctx, c, base); err != nil {
		return native.Failed(err)
	}
	return native.Failed(errors.Join(c.WriteState(file, id.String()+"\n"), c.Remove(file+".prev")))
}

// statdDir is where statd keeps its clients: on some systems one level lower.
func (n notifier) statdDir() string {
	if st, err := os.Stat(filepath.Join(n.state, "statd", "sm")); err == nil && st.IsDir() {
		return filepath.Join(n.state, "statd")
	}
	return n.state
}

func (n notifier) saveState(c *native.Call, base string) error {
	return c.Do("copy "+n.statdDir()+" to "+base, func() error {
		if err := os.RemoveAll(base); err != nil {
			return err
		}
		return copyState(n.statdDir(), base)
	})
}

// copyState copies what sm-notify reads.
func copyState(from, to string) error {
	for _, d := range []string{"sm", "sm.bak"} {
		if err := os.MkdirAll(filepath.Join(to, d), 0o755); err != nil {
			return err
		}
		entries, err := os.ReadDir(filepath.Join(from, d))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			if err := copyFile(filepath.Join(from, d, e.Name()), filepath.Join(to, d, e.Name())); err != nil {
				return err
			}
		}
	}
	err := copyFile(filepath.Join(from, "state"), filepath.Join(to, "state"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func copyFile(from, to string) error {
	st, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return nil
	}
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, raw, 0o600); err != nil {
		return err
	}
	// sm-notify gives up root for the owner of its state.
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		if err := os.Chown(filepath.Dir(to), int(sys.Uid), int(sys.Gid)); err != nil {
			return err
		}
		return os.Chown(to, int(sys.Uid), int(sys.Gid))
	}
	return nil
}

// notify runs sm-notify for every address of the server, each on a copy of
// the state of its own.
func (n notifier) notify(ctx context.Context, c *native.Call, base string) error {
	hosts := strings.FieldsFunc(c.Params.String("source_host"), func(r rune) bool { return r == ',' || r == ' ' })
	arguments := c.Params.Words("notify_args")
	if len(hosts) == 0 {
		return c.Change(ctx, append(append([]string{"sm-notify", "-f"}, arguments...), "-P", base)...)
	}
	for i, h := range hosts {
		dir := fmt.Sprintf("%s.%d", base, i)
		err := c.Do("copy "+base+" to "+dir, func() error {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			return copyState(base, dir)
		})
		if err != nil {
			return err
		}
		if err := c.Change(ctx, append(append([]string{"sm-notify", "-f"}, arguments...), "-v", h, "-P", dir)...); err != nil {
			// It says why in the system log only.
			return fmt.Errorf("%w: see the system log; it needs a name for %s, from DNS or /etc/hosts", err, h)
		}
	}
	return nil
}

func (n notifier) stop(_ context.Context, c *native.Call) drivers.Result {
	file, err := statdFile(c)
	if err != nil {
		return native.Failed(err)
	}
	there, err := native.Exists(file)
	if err != nil || !there {
		return native.Failed(err)
	}
	return native.Failed(c.Do("mv "+file+" "+file+".prev", func() error { return os.Rename(file, file+".prev") }))
}
