// Package ping is the agent that measures how much of the network a node
// reaches: ocf:pacemaker:ping.
package ping

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/icmp"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
)

// Agents returns the agent of this package by name.
func Agents() map[drivers.Name]drivers.Agent {
	return map[drivers.Name]drivers.Agent{{Class: "ocf", Provider: "pacemaker", Type: "ping"}: Agent()}
}

// Agent is ocf:pacemaker:ping. It sends ICMP itself.
func Agent() *native.Agent {
	const s = time.Second
	return &native.Agent{
		Table: meta.Agent{
			Name: "ping", Version: "1.2", API: "1.1", Short: "Number of hosts this node reaches, as a node attribute",
			Long: "Sets a node attribute to the number of hosts that answer, times a multiplier. Rules of location constraints can refer to it.",
			Params: []meta.Param{
				{Name: "pidfile", Type: meta.String, Default: "/var/run/ping-x", UniqueGroup: "pidfile", Short: "File whose presence means started",
					Long: "Left out, every node has one of its own."},
				{Name: "dampen", Type: meta.Time, Default: "5s", Reloadable: true, Short: "How long a lower value must last",
					Long: "When fewer hosts answer than before, they are tried again after this time before the attribute changes."},
				{Name: "name", Type: meta.String, Default: "pingd", UniqueGroup: "name", Short: "Name of the attribute"},
				{Name: "multiplier", Type: meta.Integer, Default: "1", Short: "What each host counts"},
				{Name: "host_list", Type: meta.String, Required: true, Short: "Hosts to try, separated by blanks"},
				{Name: "attempts", Type: meta.Integer, Default: "3", Reloadable: true, Short: "How often a host is tried"},
				{Name: "timeout", Type: meta.Integer, Default: "2", Reloadable: true, Short: "Seconds to wait for each answer"},
				{Name: "options", Type: meta.String, Short: "Options of the ping program (not supported)",
					Long: "Options of a program that the built-in agent does not use. It refuses to start with them."},
				{Name: "failure_score", Type: meta.Integer, Short: "Value below which monitor fails"},
				{Name: "use_fping", Type: meta.Boolean, Default: "1", Short: "Which program the script prefers",
					Long: "Means something to the script of this name only; the built-in agent uses no program."},
				{Name: "debug", Type: meta.String, Default: "false", Reloadable: true, Short: "Tell every host's answer in the output"},
			},
			Actions: []meta.Action{
				{Name: "start", Timeout: 60 * s}, {Name: "stop", Timeout: 20 * s},
				{Name: "monitor", Timeout: 60 * s, Interval: 10 * s},
				{Name: "meta-data", Timeout: 5 * s}, {Name: "validate-all", Timeout: 30 * s}, {Name: "reload-agent", Timeout: 20 * s},
			},
		},
		Check: func(c *native.Call) drivers.Result {
			switch v := c.Params; {
			case len(v.Words("host_list")) == 0:
				return native.Fail(drivers.NotConfigured, "host_list names no host")
			case v.String("options") != "":
				return native.Fail(drivers.NotConfigured, "options %q are for a program that the built-in agent does not use; use attempts and timeout", v.String("options"))
			case v.Int("attempts") < 1 || v.Int("timeout") < 1:
				return native.Fail(drivers.NotConfigured, "attempts and timeout must be at least 1")
			}
			return native.OK()
		},
		Actions: map[string]native.Action{
			drivers.Start: start, drivers.Stop: stop, drivers.Monitor: monitor,
			drivers.ReloadAgent: func(ctx context.Context, c *native.Call) drivers.Result { return update(ctx, c, false) },
		},
	}
}

func stateFile(c *native.Call) (string, error) {
	if p := c.Params.String("pidfile"); c.Params.Set("pidfile") && p != "" {
		return p, nil
	}
	return c.StateFile("ping-" + c.Instance())
}

func start(ctx context.Context, c *native.Call) drivers.Result {
	path, err := stateFile(c)
	if err != nil {
		return native.Failed(err)
	}
	if there, err := native.Exists(path); err != nil || there {
		return native.Failed(err)
	}
	if err := c.WriteState(path, "started\n"); err != nil {
		return native.Failed(err)
	}
	return update(ctx, c, false)
}

func stop(ctx context.Context, c *native.Call) drivers.Result {
	path, err := stateFile(c)
	if err == nil {
		err = c.Remove(path)
	}
	if err == nil {
		err = c.SetAttribute(ctx, c.Params.String("name"), nil)
	}
	return native.Failed(err)
}

func monitor(ctx context.Context, c *native.Call) drivers.Result {
	path, err := stateFile(c)
	if err != nil {
		return native.Failed(err)
	}
	there, err := native.Exists(path)
	if err != nil {
		return native.Failed(err)
	}
	if !there {
		return native.NotRunning()
	}
	return update(ctx, c, true)
}

// update tries the hosts and sets the attribute. With patience, a value that
// has fallen is looked at again after the dampening time, so that one lost
// packet, or nodes that notice at different moments, move nothing.
func update(ctx context.Context, c *native.Call, patient bool) drivers.Result {
	alive, lines := count(ctx, c)
	value := alive * c.Params.Int("multiplier")
	name := c.Params.String("name")
	if dampen := c.Params.Duration("dampen"); patient && dampen > 0 && !c.Dry() {
		old, set, err := c.Node.Cluster.Attribute(ctx, c.Node.Name, name)
		if err != nil {
			return native.Failed(err)
		}
		if before, err := strconv.Atoi(old); set && err == nil && value < before {
			c.Waiting("the %v of parameter dampen", dampen)
			if err := native.Sleep(ctx, dampen); err != nil {
				return native.Failed(err)
			}
			alive, lines = count(ctx, c)
			value = alive * c.Params.Int("multiplier")
		}
	}
	if ctx.Err() != nil {
		return native.Failed(ctx.Err())
	}
	text := strconv.Itoa(value)
	if err := c.SetAttribute(ctx, name, &text); err != nil {
		return native.Failed(err)
	}
	res := native.OK()
	if c.Params.Set("failure_score") && value < c.Params.Int("failure_score") {
		res = native.Fail(drivers.GenericError, "%s is %d, below failure_score %d: %s", name, value, c.Params.Int("failure_score"), strings.Join(lines, ", "))
	}
	if on, _ := meta.ParseBool(c.Params.String("debug")); on {
		res.Output = strings.Join(lines, "\n") + "\n"
	}
	return res
}

// count tries all hosts at once and tells how many answered, with a line for
// each.
func count(ctx context.Context, c *native.Call) (alive int, lines []string) {
	hosts := c.Params.Words("host_list")
	lines = make([]string, len(hosts))
	answered := make([]bool, len(hosts))
	var wg sync.WaitGroup
	for i, host := range hosts {
		wg.Go(func() {
			err := reach(ctx, host, c.Params.Int("attempts"), time.Duration(c.Params.Int("timeout"))*time.Second)
			answered[i], lines[i] = err == nil, host+" answers"
			if err != nil {
				lines[i] = fmt.Sprintf("%s: %v", host, err)
			}
		})
	}
	wg.Wait()
	for _, ok := range answered {
		if ok {
			alive++
		}
	}
	return alive, lines
}

func reach(ctx context.Context, host string, attempts int, timeout time.Duration) error {
	address, err := netip.ParseAddr(host)
	if err != nil {
		lookup, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		list, err := net.DefaultResolver.LookupNetIP(lookup, "ip", host)
		if err != nil {
			return err
		}
		address = list[0]
	}
	for range attempts {
		if _, err = icmp.Echo(ctx, address.Unmap(), timeout); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}
