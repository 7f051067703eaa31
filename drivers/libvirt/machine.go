package libvirt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/libvirt/rpc"
	"gcrm/drivers/native"
)

// Pauses between looks at a domain.
const (
	lookAgain = 200 * time.Millisecond
	lastWord  = 5 * time.Second // kept for switching off after a shutdown
)

// condition is what a domain is in, as the cluster sees it.
type condition int

const (
	stopped condition = iota
	running
	incoming // the memory of a migration is on its way
	broken   // its process is there and it does not work
	unclear
)

// judge tells what a state means.
func judge(s rpc.State, reason int32) condition {
	switch s {
	case rpc.Running, rpc.Blocked, rpc.InShutdown, rpc.PMSuspended:
		return running
	case rpc.Paused:
		switch reason {
		case rpc.PausedIOError, rpc.PausedCrashed, rpc.PausedPostcopyF:
			return broken
		case rpc.PausedMigration, rpc.PausedStartingUp, rpc.PausedPostcopy:
			return incoming
		}
		return running
	case rpc.ShutOff:
		return stopped
	case rpc.Crashed:
		return broken
	}
	return unclear
}

// seen is a domain as a daemon shows it.
type seen struct {
	domain rpc.Domain
	known  bool // to the daemon, running or defined
	condition
	state  rpc.State
	reason int32
}

// look asks a daemon. An error never means that the domain is stopped.
func look(ctx context.Context, conn *rpc.Conn, name string) (seen, error) {
	dom, err := conn.LookupByName(ctx, name)
	if rpc.IsNoDomain(err) {
		return seen{}, nil
	}
	if err != nil {
		return seen{condition: unclear}, fmt.Errorf("domain %s: %w", name, err)
	}
	s := seen{domain: dom, known: true}
	s.state, s.reason, err = conn.State(ctx, dom)
	if rpc.IsNoDomain(err) {
		return seen{}, nil
	}
	if err != nil {
		return seen{condition: unclear}, fmt.Errorf("state of domain %s: %w", name, err)
	}
	if s.condition = judge(s.state, s.reason); s.state == rpc.Crashed {
		// Its process may be kept for looking into.
		if active, err := conn.IsActive(ctx, dom); err == nil && !active {
			s.condition = stopped
		}
	}
	return s, nil
}

func open(ctx context.Context, uri string) (*rpc.Conn, error) {
	return rpc.Dial(ctx, uri, rpc.Options{})
}

// failed is the result of a libvirt error.
func failed(err error) drivers.Result {
	var none *rpc.NoDaemonError
	switch {
	case errors.As(err, &none):
		return native.Fail(drivers.NotInstalled, "%v", err)
	case rpc.Is(err, rpc.CodeOperationDenied, rpc.CodeAccessDenied, rpc.CodeAuthFailed):
		return native.Fail(drivers.Permission, "%v", err)
	}
	return native.Failed(err)
}

// memoFile has the domain's name, for a stop without configuration.
func (v machine) memoFile(c *native.Call) string {
	return filepath.Join(c.Node.StateDir, v.kind+"-"+c.Instance())
}

func (v machine) remember(c *native.Call, name string) error {
	if old, err := os.ReadFile(v.memoFile(c)); err == nil && string(old) == name+"\n" {
		return nil
	}
	path, err := c.StateFile(v.kind + "-" + c.Instance())
	if err != nil {
		return err
	}
	return c.WriteState(path, name+"\n")
}

// name is the domain's name from its configuration, else as remembered; empty
// if both are not there.
func (v machine) name(c *native.Call) string {
	if d, err := v.define(c); err == nil {
		return d.name
	}
	b, _ := os.ReadFile(v.memoFile(c))
	return strings.TrimSpace(string(b))
}

func (v machine) start(ctx context.Context, c *native.Call) drivers.Result {
	definition, err := v.define(c)
	if err != nil {
		return native.Fail(drivers.NotInstalled, "%v", err)
	}
	conn, err := open(ctx, v.settings(c).uri)
	if err != nil && v.noHypervisor() {
		return native.Fail(drivers.NotInstalled, "this host does not run on Xen: %v", err)
	}
	if err != nil {
		return failed(err)
	}
	defer conn.Close()
	d, err := definition.describe(ctx, conn)
	if err != nil {
		return failed(err)
	}
	s, err := look(ctx, conn, d.Name)
	switch {
	case err != nil:
		return failed(err)
	case s.condition == running:
		if err := v.remember(c, d.Name); err != nil {
			return native.Failed(err)
		}
		return native.OK()
	case s.condition != stopped:
		return native.Fail(drivers.GenericError, "domain %s cannot be started: it is %s (reason %d)", d.Name, s.state, s.reason)
	}
	if res := d.ready(); res.RC != drivers.OK {
		return res
	}
	if v.settings(c).startResources {
		if err := startResources(ctx, c, conn, d); err != nil {
			return failed(err)
		}
	}
	if s.known {
		// The file is to be the only definition.
		if err := c.Do("virsh undefine "+d.Name, func() error {
			err := conn.Undefine(ctx, s.domain, rpc.UndefineManagedSave|rpc.UndefineSnapshots|rpc.UndefineKeepNVRAM)
			if rpc.Is(err, rpc.CodeInvalidArg) { // hypervisors without NVRAM
				err = conn.Undefine(ctx, s.domain, rpc.UndefineManagedSave)
			}
			return err
		}); err != nil {
			return failed(err)
		}
	}
	if err := v.remember(c, d.Name); err != nil {
		return native.Failed(err)
	}
	if err := v.begin(ctx, c, conn, d); err != nil {
		return failed(err)
	}
	c.Waiting("domain %s to run", d.Name)
	if err := c.Poll(ctx, lookAgain, func() bool {
		s, err = look(ctx, conn, d.Name)
		return err == nil && (s.condition == running || s.condition == broken)
	}); err != nil {
		return native.Failed(err)
	}
	if s.condition == broken {
		return native.Fail(drivers.GenericError, "domain %s is %s (reason %d) after its start", d.Name, s.state, s.reason)
	}
	return recordUtilization(ctx, c, conn, s.domain, v.settings(c).utilization)
}

// begin restores the domain from its saved memory, or boots it.
func (v machine) begin(ctx context.Context, c *native.Call, conn *rpc.Conn, d description) error {
	if dir := v.settings(c).snapshot; dir != "" {
		path := filepath.Join(dir, d.Name+".state")
		there, err := native.Exists(path)
		if err != nil {
			return err
		}
		if there {
			if err := c.Do("virsh restore "+path, func() error { return conn.Restore(ctx, path) }); err != nil {
				return err
			}
			return c.Remove(path)
		}
	}
	return c.Do("virsh create "+v.settings(c).config, func() error {
		_, err := conn.CreateXML(ctx, d.text)
		return err
	})
}

func startResources(ctx context.Context, c *native.Call, conn *rpc.Conn, d description) error {
	done := map[string]bool{}
	for _, disk := range d.Disks {
		if pool := disk.Source.Pool; pool != "" && !done["pool "+pool] {
			done["pool "+pool] = true
			if err := c.Do("virsh pool-start "+pool, func() error { return conn.StartPool(ctx, pool) }); err != nil {
				return err
			}
		}
	}
	for _, i := range d.Interfaces {
		if net := i.Source.Network; net != "" && !done["net "+net] {
			done["net "+net] = true
			if err := c.Do("virsh net-start "+net, func() error { return conn.StartNetwork(ctx, net) }); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v machine) monitor(ctx context.Context, c *native.Call) drivers.Result {
	name := v.name(c)
	if name == "" {
		if c.Probe() {
			return native.NotRunning()
		}
		return native.Fail(drivers.NotInstalled, "configuration %s cannot be read", v.settings(c).config)
	}
	var s seen
	var err error
	for {
		var conn *rpc.Conn
		if conn, err = open(ctx, v.settings(c).uri); err == nil {
			s, err = look(ctx, conn, name)
			conn.Close()
		}
		if err == nil && s.condition != unclear {
			break
		}
		if v.noHypervisor() {
			return native.NotRunning()
		}
		// A daemon that is being restarted leaves its machines running.
		if emulated(name) {
			s.condition = running
			break
		}
		var none *rpc.NoDaemonError
		if c.Probe() && errors.As(err, &none) {
			return failed(err)
		}
		c.Waiting("the libvirt daemon: %v", err)
		if native.Sleep(ctx, second) != nil {
			return failed(fmt.Errorf("domain %s: nothing is known of it: %w", name, err))
		}
	}
	switch s.condition {
	case stopped:
		return native.NotRunning()
	case broken:
		return native.Fail(drivers.GenericError, "domain %s is %s (reason %d)", name, s.state, s.reason)
	}
	for _, script := range v.settings(c).scripts {
		if _, err := c.Ask(ctx, script); err != nil {
			return native.Fail(drivers.GenericError, "monitor script of domain %s: %v", name, err)
		}
	}
	return native.OK()
}

// emulated tells whether an emulator of that name runs.
func emulated(name string) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		b, _ := os.ReadFile(f)
		words := strings.Split(string(b), "\x00")
		if !strings.Contains(words[0], "qemu") && !strings.Contains(words[0], "kvm") {
			continue
		}
		for i, w := range words[:len(words)-1] {
			if w == "-name" {
				first, _, _ := strings.Cut(words[i+1], ",")
				if first == name || first == "guest="+name {
					return true
				}
			}
		}
	}
	return false
}

// noHypervisor tells that no domain can be here, whatever the daemon says: the host was
// booted without Xen. The daemon has no words of its own for that.
func (v machine) noHypervisor() bool {
	if v.kind != "Xen" {
		return false
	}
	kind, err := os.ReadFile("/sys/hypervisor/type")
	if err != nil && !os.IsNotExist(err) || strings.TrimSpace(string(kind)) == "xen" {
		return false
	}
	for _, sign := range []string{"/proc/xen", "/dev/xen"} {
		if there, err := native.Exists(sign); there || err != nil {
			return false
		}
	}
	return true
}

func (v machine) stop(ctx context.Context, c *native.Call) drivers.Result {
	name := v.name(c)
	if name == "" {
		return native.OK() // neither configured nor ever started here
	}
	var conn *rpc.Conn
	var s seen
	var err error
	for attempt := range 3 {
		if attempt > 0 && native.Sleep(ctx, second) != nil {
			break
		}
		if conn, err = open(ctx, v.settings(c).uri); err != nil {
			continue
		}
		if s, err = look(ctx, conn, name); err == nil && s.condition != unclear {
			break
		}
		if err == nil {
			err = fmt.Errorf("libvirt says %s", s.state)
		}
		conn.Close()
		conn = nil
	}
	if conn == nil && v.noHypervisor() {
		return native.Failed(c.Remove(v.memoFile(c)))
	}
	if conn == nil {
		var none *rpc.NoDaemonError
		if _, memo := os.Stat(v.memoFile(c)); errors.As(err, &none) && memo != nil && !emulated(name) {
			return native.OK() // no daemon, no process, never started since boot
		}
		return native.Fail(drivers.GenericError, "domain %s: whether it runs is unknown: %v", name, err)
	}
	defer conn.Close()
	if s.condition == stopped {
		return native.Failed(c.Remove(v.memoFile(c)))
	}
	if v.settings(c).saveConfig {
		text, err := conn.XMLDesc(ctx, s.domain, rpc.XMLSecure|rpc.XMLMigratable)
		if rpc.Is(err, rpc.CodeInvalidArg) {
			text, err = conn.XMLDesc(ctx, s.domain, rpc.XMLSecure)
		}
		if err == nil {
			err = c.WriteState(v.settings(c).config, text)
		}
		if err != nil {
			return failed(fmt.Errorf("save the configuration of domain %s: %w", name, err))
		}
	}
	gone := func() bool {
		s, err = look(ctx, conn, name)
		return err == nil && s.condition == stopped
	}
	if !v.gently(ctx, c, conn, s, gone) && !c.Dry() {
		err := c.Do("virsh destroy "+name, func() error {
			err := conn.Destroy(ctx, s.domain)
			if rpc.IsNoDomain(err) || rpc.IsWrongState(err) {
				return nil
			}
			return err
		})
		if err != nil && !gone() {
			return failed(err)
		}
		c.Waiting("domain %s to be gone", name)
		if err := c.Poll(ctx, lookAgain, gone); err != nil {
			return native.Failed(err)
		}
	}
	return native.Failed(c.Remove(v.memoFile(c)))
}

// gently saves the domain or lets it shut down in the time there is, and
// tells whether it is gone.
func (v machine) gently(ctx context.Context, c *native.Call, conn *rpc.Conn, s seen, gone func() bool) bool {
	name, set := s.domain.Name, v.settings(c)
	if set.force || s.condition == broken {
		return false
	}
	rest := native.Remaining(ctx)
	patience := rest - min(lastWord, rest/2)
	if set.patience > 0 {
		patience = min(patience, set.patience)
	}
	soft, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if dir := set.snapshot; dir != "" {
		path := filepath.Join(dir, name+".state")
		if c.Do("virsh save "+name+" "+path, func() error { return conn.Save(soft, s.domain, path) }) == nil {
			return true
		}
	}
	err := c.Do("virsh shutdown "+name, func() error { return conn.Shutdown(soft, s.domain, set.mode) })
	if err != nil && !rpc.IsNoDomain(err) && !rpc.IsWrongState(err) {
		return false
	}
	c.Waiting("domain %s to shut down", name)
	return c.Poll(soft, lookAgain, gone) == nil
}
