package fencing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Check is what a rehearsal found out about one device on one node, without
// switching anything.
type Check struct {
	Device, Agent, Node string
	Level               int // 0 without topology
	Reached             bool
	Knows               bool // it knows the target
	Power               Power
	Took                time.Duration
	Text, Hint          string
}

// Good reports whether the device could do its work from that node.
func (c Check) Good() bool { return c.Reached && c.Knows }

// Rehearse looks, from every node that may execute them, whether the devices
// that are to fence a node are reached, take the credentials, know the node and
// tell its power. Nothing is switched. Actions go past the machine's limits, so
// devices that do one thing at a time are asked from one node after the other.
func (r *Runner) Rehearse(ctx context.Context, target string) ([]Check, error) {
	r.mu.Lock()
	conf, online := r.conf, slices.Clone(r.machine.online)
	r.mu.Unlock()
	if conf == nil {
		return nil, &Error{"test the fencing of", target, errors.New("this node has no configuration yet"), ""}
	}
	type entry struct {
		d     *Device
		level int
	}
	var entries []entry
	levels, _ := conf.Plan(target)
	for _, l := range levels {
		for _, id := range l.Devices {
			if d := conf.Devices[id]; d != nil {
				entries = append(entries, entry{d, l.Index})
			}
		}
	}
	if len(entries) == 0 {
		return nil, &Error{"test the fencing of", target, errors.New("no fence device is configured for it"), "add a stonith: device that can fence the node"}
	}
	checks := make([][]Check, len(entries))
	var wg sync.WaitGroup
	for i, e := range entries {
		wg.Go(func() {
			for _, node := range online {
				if e.d.Banned[strings.ToLower(node)] || strings.EqualFold(node, target) {
					continue
				}
				c := r.check(ctx, conf, e.d, node, target)
				c.Level = e.level
				checks[i] = append(checks[i], c)
			}
		})
	}
	wg.Wait()
	return slices.Concat(checks...), ctx.Err()
}

// check asks one device from one node.
func (r *Runner) check(ctx context.Context, conf *Configuration, d *Device, node, target string) (c Check) {
	begun := time.Now()
	c = Check{Device: d.ID, Agent: d.Agent, Node: node}
	defer func() { c.Took = time.Since(begun) }()
	ask := func(action, target string) Outcome {
		if ctx.Err() != nil {
			return Outcome{Code: TimedOut, Text: ctx.Err().Error()}
		}
		x := Execute{Node: node, Device: d.ID, Action: d.command(action), Target: target, Timeout: d.timeout(conf.Timeout, action)}
		return r.execute(x)
	}
	o := ask(Monitor, "")
	if c.Text, c.Hint = o.Text, o.Hint; o.Code != Succeeded {
		c.Text = nonEmpty(c.Text, o.Code.String())
		return c
	}
	c.Reached, c.Knows = true, d.Check == NoCheck || d.static(target)
	if d.HasAction(List) {
		if o = ask(List, ""); o.Code == Succeeded {
			if c.Knows = listed(o.Hosts, d.Plug(target)); !c.Knows {
				c.Text, c.Hint = fmt.Sprintf("the device does not list %s", d.Plug(target)), "correct pcmk_host_map; it lists: "+strings.Join(o.Hosts, ", ")
				return c
			}
		}
	}
	if d.HasAction(Status) {
		if o = ask(Status, target); o.Code != Succeeded {
			c.Knows, c.Text, c.Hint = false, "status: "+nonEmpty(o.Text, o.Code.String()), o.Hint
			return c
		}
		c.Knows, c.Power, c.Text = true, o.Power, o.Text
	}
	return c
}
