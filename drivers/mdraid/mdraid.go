// Package mdraid is the agent of Linux software RAID arrays on shared
// storage: ocf:heartbeat:mdraid.
package mdraid

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
	"gcrm/drivers/process"
)

// Agents returns the agent of this package by name.
func Agents() map[drivers.Name]drivers.Agent {
	return map[drivers.Name]drivers.Agent{{Class: "ocf", Provider: "heartbeat", Type: "mdraid"}: agent("/proc/mdstat", nil)}
}

const second = time.Second

// agent works on a given table of arrays, with tools looked for in path.
func agent(mdstat string, path []string) *native.Agent {
	m := raid{mdstat}
	return &native.Agent{
		Table: meta.Agent{
			Name: "mdraid", Version: "1.0", API: "1.0", Short: "Software RAID array on shared storage",
			Long: "Assembles an array of a configuration file of its own, which must not be the host's: the host must not assemble the array at boot.",
			Params: []meta.Param{
				{Name: "mdadm_conf", Type: meta.String, Required: true, Short: "Configuration file of mdadm with the array"},
				{Name: "md_dev", Type: meta.String, Required: true, Short: "Device of the array", Long: "Device such as /dev/md0, or auto for all arrays of the file."},
				{Name: "force_stop", Type: meta.Boolean, Default: "false", Short: "End processes that use the array on stop"},
				{Name: "wait_for_udev", Type: meta.Boolean, Default: "true", Short: "Wait for udev after assembling and stopping"},
				{Name: "force_clones", Type: meta.Boolean, Default: "false", Short: "Allow clones of any array",
					Long: "Allow to assemble an array on several nodes although its type cannot bear that. It destroys data unless the disks differ."},
			},
			Actions: []meta.Action{
				{Name: "start", Timeout: 20 * second}, {Name: "stop", Timeout: 20 * second},
				{Name: "monitor", Timeout: 20 * second, Interval: 10 * second},
				{Name: "validate-all", Timeout: 5 * second}, {Name: "meta-data", Timeout: 5 * second},
			},
		},
		Path: path,
		Check: func(c *native.Call) drivers.Result {
			if _, err := os.ReadFile(c.Params.String("mdadm_conf")); err != nil {
				return native.Fail(drivers.BadArgs, "parameter mdadm_conf: %v", err)
			}
			if _, err := c.Tool("mdadm"); err != nil {
				return native.Failed(err)
			}
			if _, err := arrays(c); err != nil {
				return native.Fail(drivers.BadArgs, "%v", err)
			}
			return native.OK()
		},
		Actions: map[string]native.Action{drivers.Start: m.start, drivers.Stop: m.stop, drivers.Monitor: m.monitor},
	}
}

type raid struct{ mdstat string }

// arrays lists the devices of the resource.
func arrays(c *native.Call) ([]string, error) {
	dev := c.Params.String("md_dev")
	if dev != "auto" {
		if !strings.HasPrefix(dev, "/dev/") {
			return nil, fmt.Errorf("parameter md_dev: %q is neither a path below /dev nor auto", dev)
		}
		return []string{dev}, nil
	}
	file := c.Params.String("mdadm_conf")
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if w := strings.Fields(lines.Text()); len(w) > 1 && strings.EqualFold(w[0], "ARRAY") && strings.HasPrefix(w[1], "/") {
			out = append(out, w[1])
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("parameter mdadm_conf: %s has no ARRAY with a device", file)
	}
	return out, lines.Err()
}

// present tells whether the kernel has the array, and its RAID level.
func (m raid) present(dev string) (level string, ok bool, err error) {
	real, err := filepath.EvalSymlinks(dev)
	if errors.Is(err, fs.ErrNotExist) {
		real = dev
	} else if err != nil {
		return "", false, err
	}
	raw, err := os.ReadFile(m.mdstat)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil // a kernel without software RAID has no array
	}
	if err != nil {
		return "", false, err
	}
	for line := range strings.Lines(string(raw)) {
		w := strings.Fields(line)
		if len(w) > 2 && w[1] == ":" && w[0] == filepath.Base(real) {
			for _, word := range w[3:] {
				if strings.HasPrefix(word, "raid") || word == "linear" || word == "multipath" {
					return word, true, nil
				}
			}
			return "", true, nil
		}
	}
	return "", false, nil
}

func (m raid) monitor(ctx context.Context, c *native.Call) drivers.Result {
	list, err := arrays(c)
	if err != nil {
		if c.Probe() {
			return native.Fail(drivers.NotRunning, "%v", err)
		}
		return native.Fail(drivers.BadArgs, "%v", err)
	}
	up := 0
	var bad drivers.Result
	for _, dev := range list {
		level, ok, err := m.present(dev)
		if err != nil {
			return native.Failed(err)
		}
		if !ok {
			continue
		}
		up++
		if res := m.healthy(ctx, c, dev, level); res.RC != drivers.OK {
			bad = res
		}
	}
	switch {
	case up == 0:
		return native.NotRunning()
	case bad.RC != drivers.OK:
		return bad
	case up < len(list):
		return native.Fail(drivers.GenericError, "%d of %d arrays are assembled", up, len(list))
	}
	return native.OK()
}

// healthy asks mdadm about an array and reads from it.
func (m raid) healthy(ctx context.Context, c *native.Call, dev, level string) drivers.Result {
	_, err := c.Ask(ctx, "mdadm", "--detail", "--test", dev)
	var exit *native.ExitError
	if errors.As(err, &exit) && exit.Outcome.Code == 1 {
		// Degraded: it serves, and lost disks that are back may be taken in.
		if depth, _ := c.Level(); depth > 0 && level != "raid0" && level != "linear" {
			// Disks that are not back cannot be taken in; the array serves on.
			_ = c.Change(ctx, "mdadm", dev, "--re-add", "missing")
		}
		err = nil
	}
	if err != nil {
		return native.Fail(drivers.GenericError, "array %s has failed: %v", dev, err)
	}
	f, err := os.Open(dev)
	if err != nil {
		return native.Failed(err)
	}
	defer f.Close()
	if _, err := io.ReadFull(f, make([]byte, 512)); err != nil {
		return native.Fail(drivers.GenericError, "array %s cannot be read: %v", dev, err)
	}
	return native.OK()
}

func (m raid) start(ctx context.Context, c *native.Call) drivers.Result {
	list, err := arrays(c)
	if err != nil {
		return native.Fail(drivers.BadArgs, "%v", err)
	}
	if res := m.monitor(ctx, c); res.RC == drivers.OK {
		return res
	}
	file := c.Params.String("mdadm_conf")
	for _, dev := range list {
		if _, ok, err := m.present(dev); err != nil {
			return native.Failed(err)
		} else if ok {
			continue
		}
		if err := c.Change(ctx, "mdadm", "--assemble", dev, "--config="+file); err != nil {
			return native.Failed(err)
		}
		if c.Cloned() && !c.Params.Bool("force_clones") && !c.Dry() {
			if level, _, err := m.present(dev); err != nil || level != "raid0" && level != "linear" && !m.clustered(ctx, c, dev) {
				_ = c.Change(context.WithoutCancel(ctx), "mdadm", "--stop", dev)
				return native.Fail(drivers.NotConfigured, "array %s (%s) cannot be assembled on several nodes: only raid0, linear and clustered arrays can; "+
					"force_clones=true overrides this", dev, level)
			}
		}
	}
	settle(ctx, c)
	if c.Dry() {
		return native.OK()
	}
	res := m.monitor(ctx, c)
	if res.RC == drivers.NotRunning {
		return native.Fail(drivers.GenericError, "the array is not there after mdadm --assemble")
	}
	return res
}

func (m raid) clustered(ctx context.Context, c *native.Call, dev string) bool {
	out, err := c.Ask(ctx, "mdadm", "--detail", dev)
	return err == nil && strings.Contains(out, "Cluster Name")
}

func settle(ctx context.Context, c *native.Call) {
	if !c.Params.Bool("wait_for_udev") || c.Dry() {
		return
	}
	if _, err := c.Tool("udevadm"); err == nil {
		_, _ = c.Ask(ctx, "udevadm", "settle", "--timeout=5")
	}
}

func (m raid) stop(ctx context.Context, c *native.Call) drivers.Result {
	list, err := arrays(c)
	if err != nil {
		return native.OK() // with such parameters nothing can have been assembled
	}
	slices.Reverse(list) // an array may lie on one before it
	for _, dev := range list {
		_, ok, err := m.present(dev)
		if err != nil {
			return native.Failed(err)
		}
		if !ok {
			continue
		}
		if err := c.Change(ctx, "mdadm", "--stop", dev, "--config="+c.Params.String("mdadm_conf"), "-W"); err != nil {
			if c.Params.Bool("force_stop") {
				release(c, dev)
				err = c.Change(ctx, "mdadm", "--stop", dev, "--config="+c.Params.String("mdadm_conf"), "-W")
			}
			if err != nil {
				// Whatever still has it open shall at least write no more.
				_ = c.Change(ctx, "mdadm", "--readonly", dev)
				return native.Fail(drivers.GenericError, "array %s cannot be stopped: %v", dev, err)
			}
		}
		if _, ok, err := m.present(dev); !c.Dry() && (err != nil || ok) {
			return native.Fail(drivers.GenericError, "array %s is still there after mdadm --stop (%v)", dev, err)
		}
	}
	settle(ctx, c)
	return native.OK()
}

// release ends the processes that have the device open.
func release(c *native.Call, dev string) {
	all, _ := process.All()
	for _, p := range all {
		links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.Pid))
		for _, l := range links {
			if to, err := os.Readlink(l); err == nil && to == dev && p.Pid != os.Getpid() {
				_ = c.Do(fmt.Sprintf("kill -KILL %d (%s)", p.Pid, p.Name), func() error { return p.Identity.Signal(syscall.SIGKILL) })
				break
			}
		}
	}
}
