package nfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"gcrm/drivers/native"
	"gcrm/drivers/process"
)

// service is one of the programs around the kernel's NFS server.
type service struct {
	name string   // of the process
	unit string   // of systemd
	argv []string // to start it without systemd; it puts itself into the background
	v3   bool     // only NFSv3 needs it
	weak bool     // the server does without
}

func services() []service {
	return []service{
		{name: "rpcbind", unit: "rpcbind.service", argv: []string{"rpcbind", "-w"}, v3: true},
		{name: "rpc.statd", unit: "rpc-statd.service", argv: []string{"rpc.statd", "--no-notify"}, v3: true},
		{name: "rpc.mountd", unit: "nfs-mountd.service", argv: []string{"rpc.mountd"}},
		{name: "rpc.idmapd", unit: "nfs-idmapd.service", argv: []string{"rpc.idmapd"}, weak: true},
		{name: "nfsdcld", unit: "nfsdcld.service", argv: []string{"nfsdcld"}, weak: true},
	}
}

// running lists the live processes of all services by name, those that share this host's
// network: those of containers do not count. It looks at every process of the host, which
// takes a while: ask once for all services. The list is never nil.
func running() map[string][]process.Identity {
	out := map[string][]process.Identity{}
	all, err := process.All()
	if err != nil {
		return out
	}
	list := services()
	own, _ := os.Readlink("/proc/self/ns/net")
	for _, p := range all {
		if p.State == 'Z' || !slices.ContainsFunc(list, func(s service) bool { return s.name == p.Name }) {
			continue
		}
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", p.Pid)); err == nil && ns == own {
			out[p.Name] = append(out[p.Name], p.Identity)
		}
	}
	return out
}

// find lists the processes of one service.
func (s service) find() []process.Identity { return running()[s.name] }

// systemd tells whether systemd manages services on this host.
func (p paths) systemd(c *native.Call) bool {
	st, err := os.Stat(p.booted)
	if err != nil || !st.IsDir() {
		return false
	}
	_, err = c.Tool("systemctl")
	return err == nil
}

// startService starts a service that does not run; a weak one that is not
// installed is left out.
func (p paths) startService(ctx context.Context, c *native.Call, s service) error {
	if len(s.find()) > 0 {
		return nil
	}
	var err error
	if p.systemd(c) {
		err = c.Change(ctx, "systemctl", "start", s.unit)
	} else {
		err = c.Change(ctx, s.argv...)
	}
	if s.weak {
		var tool *native.ToolError
		var exit *native.ExitError
		if errors.As(err, &tool) || errors.As(err, &exit) && (exit.Outcome.Code == 5 || p.masked(ctx, c, s.unit)) { // no such unit
			return nil
		}
	}
	return err
}

// masked tells whether an administrator keeps a unit from being started.
func (p paths) masked(ctx context.Context, c *native.Call, unit string) bool {
	out, err := c.Ask(ctx, "systemctl", "show", "-p", "LoadState", "--value", unit)
	return err == nil && strings.TrimSpace(out) == "masked"
}

// stopUnits runs a systemctl that stops units; those that do not exist are stopped.
func (p paths) stopUnits(ctx context.Context, c *native.Call, argv []string) error {
	err := c.Change(ctx, argv...)
	var exit *native.ExitError
	if errors.As(err, &exit) && exit.Outcome.Code == 5 {
		return nil
	}
	return err
}

// stopService ends a service; it gets SIGTERM, after five seconds SIGKILL.
func (p paths) stopService(ctx context.Context, c *native.Call, s service) error {
	if len(s.find()) > 0 && p.systemd(c) {
		if err := p.stopUnits(ctx, c, []string{"systemctl", "stop", s.unit}); err != nil {
			return err
		}
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		left := s.find()
		if len(left) == 0 {
			return nil
		}
		for _, id := range left {
			err := c.Do(fmt.Sprintf("kill -%d %d (%s)", int(sig), id.Pid, s.name), func() error { return id.Signal(sig) })
			if err != nil && !errors.Is(err, os.ErrProcessDone) {
				return err
			}
		}
		c.Waiting("%s to end", s.name)
		limit, cancel := context.WithTimeout(ctx, 5*time.Second)
		_ = c.Poll(limit, 20*time.Millisecond, func() bool { return len(s.find()) == 0 })
		cancel()
	}
	if len(s.find()) > 0 && !c.Dry() {
		return fmt.Errorf("%s does not end", s.name)
	}
	return nil
}
