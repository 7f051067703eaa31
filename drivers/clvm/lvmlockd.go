// Package clvm has the agents of volume groups that several nodes use at once:
// ocf:heartbeat:lvmlockd, and ocf:heartbeat:clvm, whose daemon LVM no longer has
// and whose work lvmlockd does. Both need the lock manager that
// ocf:pacemaker:controld controls.
package clvm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/dlm"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
	"gcrm/drivers/process"
	"gcrm/durable"
)

const second = time.Second

// places are where things are on the host.
type places struct {
	comms string // nodes that the lock manager knows
	conf  string // lvm.conf
}

func hostPlaces() places {
	return places{comms: "/sys/kernel/config/dlm/cluster/comms", conf: "/etc/lvm/lvm.conf"}
}

// Agents returns the agents of this package by name.
func Agents() map[drivers.Name]drivers.Agent {
	p := hostPlaces()
	return map[drivers.Name]drivers.Agent{
		{Class: "ocf", Provider: "heartbeat", Type: "lvmlockd"}: lvmlockd(p),
		{Class: "ocf", Provider: "heartbeat", Type: "clvm"}:     clvm(p),
	}
}

func actions() []meta.Action {
	return []meta.Action{
		{Name: "start", Timeout: 90 * second}, {Name: "stop", Timeout: 90 * second},
		{Name: "monitor", Timeout: 90 * second, Interval: 30 * second},
		{Name: "meta-data", Timeout: 10 * second}, {Name: "validate-all", Timeout: 20 * second},
	}
}

// lvmlockd is ocf:heartbeat:lvmlockd.
func lvmlockd(p places) *native.Agent {
	return &native.Agent{
		Table: meta.Agent{
			Name: "lvmlockd", Version: "1.1", API: "1.0", Short: "Locks of shared volume groups",
			Long: "Runs lvmlockd, which takes the locks of LVM from the kernel's lock manager. Make it a clone with interleave=true, after a clone of ocf:pacemaker:controld on the same nodes.",
			Params: []meta.Param{
				{Name: "pidfile", Type: meta.String, Default: "/run/lvmlockd.pid", Short: "File with the daemon's pid"},
				{Name: "socket_path", Type: meta.String, Default: "/run/lvm/lvmlockd.socket", Short: "The daemon's socket"},
				{Name: "syslog_priority", Type: meta.String, Default: "warning", Short: "What it logs, from this priority on"},
				{Name: "adopt", Type: meta.Integer, Default: "1", Short: "Take over locks of an lvmlockd that died"},
			},
			Actions: actions(),
		},
		Check: func(c *native.Call) drivers.Result {
			if p := c.Params.String("syslog_priority"); !regexp.MustCompile(`^(warning|info|debug|err)$`).MatchString(p) {
				return native.Fail(drivers.NotConfigured, "parameter syslog_priority: %q is none of err, warning, info, debug", p)
			}
			return native.OK()
		},
		Actions: map[string]native.Action{
			drivers.Start:   func(ctx context.Context, c *native.Call) drivers.Result { return of(p, c).start(ctx, c) },
			drivers.Stop:    func(ctx context.Context, c *native.Call) drivers.Result { return of(p, c).stop(ctx, c) },
			drivers.Monitor: func(_ context.Context, c *native.Call) drivers.Result { return of(p, c).monitor(c) },
		},
	}
}

// lockDaemon is lvmlockd as a resource wants it.
type lockDaemon struct {
	places
	pidfile, socket, priority, adopt string
}

func of(p places, c *native.Call) lockDaemon {
	return lockDaemon{p, c.Params.String("pidfile"), c.Params.String("socket_path"), c.Params.String("syslog_priority"), strconv.Itoa(c.Params.Int("adopt"))}
}

// running is the process, if it is there.
func (d lockDaemon) running() (process.Identity, bool) {
	b, err := os.ReadFile(d.pidfile)
	if err != nil {
		return process.Identity{}, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return process.Identity{}, false
	}
	st, err := process.Look(pid)
	return st.Identity, err == nil && st.Name == "lvmlockd" && st.State != 'Z'
}

func (d lockDaemon) monitor(c *native.Call) drivers.Result {
	if _, ok := d.running(); ok {
		return native.OK()
	}
	if left := spaces(context.Background(), c); len(left) > 0 && !c.Probe() {
		return native.Fail(drivers.GenericError, "lvmlockd is gone, and its lockspaces are not: %s; started again with adopt=1 it takes them over", strings.Join(left, ", "))
	}
	return native.NotRunning()
}

// spaces are the lockspaces of LVM that this node's kernel has.
func spaces(ctx context.Context, c *native.Call) (names []string) {
	r, err := dlm.Folder(c.Node.StateDir).Report(ctx)
	if err != nil {
		return nil // without control there are none that could be asked for
	}
	for _, s := range r.Spaces {
		if s.Here && strings.HasPrefix(s.Name, "lvm_") {
			names = append(names, s.Name)
		}
	}
	return names
}

func (d lockDaemon) start(ctx context.Context, c *native.Call) drivers.Result {
	if _, ok := d.running(); ok {
		return native.OK()
	}
	if entries, err := os.ReadDir(d.comms); err != nil || len(entries) == 0 {
		return native.Fail(drivers.GenericError, "the lock manager does not run on %s: order this resource after a clone of ocf:pacemaker:controld, and colocate it with it", c.Node.Name)
	}
	if _, err := c.Tool("lvmlockd"); err != nil {
		return native.Fail(drivers.NotInstalled, "%v (package lvm2-lockd)", err)
	}
	if err := d.useLockd(c); err != nil {
		return native.Failed(err)
	}
	if err := c.Change(ctx, "lvmlockd", "-p", d.pidfile, "-s", d.socket, "-S", d.priority, "-A", d.adopt, "-g", "dlm"); err != nil {
		return native.Failed(err)
	}
	c.Waiting("lvmlockd to write %s", d.pidfile)
	if err := c.Poll(ctx, 100*time.Millisecond, func() bool { _, ok := d.running(); return ok }); err != nil {
		return native.Fail(drivers.GenericError, "%v", err)
	}
	return native.OK()
}

var useLockdLine = regexp.MustCompile(`(?m)^[ \t]*(#[ \t]*)?use_lvmlockd[ \t]*=.*$`)

// withLockd is lvm.conf with the setting that makes LVM ask lvmlockd.
func withLockd(conf string) string {
	if regexp.MustCompile(`(?m)^[ \t]*(global/)?use_lvmlockd[ \t]*=[ \t]*1[ \t]*$`).MatchString(conf) {
		return conf
	}
	if at := useLockdLine.FindStringIndex(conf); at != nil {
		return conf[:at[0]] + "\tuse_lvmlockd = 1" + conf[at[1]:]
	}
	if conf != "" && !strings.HasSuffix(conf, "\n") {
		conf += "\n"
	}
	return conf + "global/use_lvmlockd = 1\n"
}

// useLockd makes LVM ask lvmlockd.
func (d lockDaemon) useLockd(c *native.Call) error {
	b, err := os.ReadFile(d.conf)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	next := withLockd(string(b))
	if next == string(b) {
		return nil
	}
	return c.Do("set use_lvmlockd = 1 in "+d.conf, func() error { return durable.Write(d.conf, []byte(next), 0o644) })
}

func (d lockDaemon) stop(ctx context.Context, c *native.Call) drivers.Result {
	id, ok := d.running()
	if !ok {
		return native.OK()
	}
	if len(spaces(ctx, c)) > 0 {
		if err := c.Change(ctx, "lvmlockctl", "--stop-lockspaces"); err != nil {
			return native.Failed(err)
		}
		err := c.Poll(ctx, 100*time.Millisecond, func() bool {
			left := spaces(ctx, c)
			c.Waiting("the lockspaces %s to end; volumes of shared groups may still be active", strings.Join(left, ", "))
			return len(left) == 0
		})
		if err != nil {
			return native.Fail(drivers.GenericError, "%v", err)
		}
	}
	err := c.Do(fmt.Sprintf("kill -TERM %d (lvmlockd)", id.Pid), func() error {
		if err := id.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		return nil
	})
	if err != nil {
		return native.Failed(err)
	}
	c.Waiting("lvmlockd to end")
	if err := c.Poll(ctx, 50*time.Millisecond, func() bool { return !id.Alive() }); err != nil {
		return native.Fail(drivers.GenericError, "lvmlockd does not end: %v", err)
	}
	return native.OK()
}
