package lvm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
)

// Agents returns the agents of this package by name.
func Agents() map[drivers.Name]drivers.Agent { return agents(places{"/sys/block", "/dev"}, nil) }

func agents(p places, path []string) map[drivers.Name]drivers.Agent {
	a, b := haLVM(p), activate(p)
	a.Path, b.Path = path, path
	return map[drivers.Name]drivers.Agent{
		{Class: "ocf", Provider: "heartbeat", Type: "LVM"}:          a,
		{Class: "ocf", Provider: "heartbeat", Type: "LVM-activate"}: b,
	}
}

const second = time.Second

// haLVM is ocf:heartbeat:LVM.
func haLVM(p places) *native.Agent {
	h := halvm{p}
	return &native.Agent{
		Table: meta.Agent{
			Name: "LVM", Version: "1.0", API: "1.0", Short: "Active volume group",
			Long: "Activates a volume group of shared storage. With exclusive=true a tag on the group makes sure that only the cluster, and only one node, activates it.",
			Params: []meta.Param{
				{Name: "volgrpname", Type: meta.String, Required: true, Unique: true, Short: "Volume group"},
				{Name: "exclusive", Type: meta.Boolean, Default: "false", Short: "Activate on one node only",
					Long: "Marks the group with a tag when it is activated, which it keeps. Needs activation/volume_list in lvm.conf."},
				{Name: "tag", Type: meta.String, Default: "pacemaker", Short: "That tag"},
				{Name: "partial_activation", Type: meta.String, Default: "false", Short: "Activate a group that lacks physical volumes"},
			},
			Actions: []meta.Action{
				{Name: "start", Timeout: 30 * second}, {Name: "stop", Timeout: 30 * second}, {Name: "status", Timeout: 30 * second},
				{Name: "monitor", Timeout: 30 * second, Interval: 10 * second}, {Name: "methods", Timeout: 5 * second},
				{Name: "meta-data", Timeout: 5 * second}, {Name: "validate-all", Timeout: 5 * second},
			},
		},
		Check: func(c *native.Call) drivers.Result {
			if c.Cloned() && c.Params.Bool("exclusive") {
				return native.Fail(drivers.NotConfigured, "a clone cannot have exclusive=true: the group would be active on several nodes")
			}
			if text := c.Params.String("partial_activation"); text != "" {
				if _, ok := meta.ParseBool(text); !ok {
					return native.Fail(drivers.NotConfigured, "parameter partial_activation: %q is not true or false", text)
				}
			}
			return native.OK()
		},
		Actions: map[string]native.Action{
			drivers.Start: h.start, drivers.Stop: h.stop, drivers.Monitor: h.monitor, "status": h.monitor, drivers.Validate: h.validate,
			"methods": func(context.Context, *native.Call) drivers.Result {
				return drivers.Result{Output: "start\nstop\nstatus\nmonitor\nmethods\nvalidate-all\nmeta-data\n"}
			},
		},
	}
}

type halvm struct{ places }

func (h halvm) validate(ctx context.Context, c *native.Call) drivers.Result {
	g, res := h.usable(ctx, c)
	if res.RC == drivers.OK && g.missing == 0 {
		if _, err := c.Ask(ctx, "vgck", g.name); err != nil {
			return native.Failed(err)
		}
	}
	return res
}

// usable tells whether the group is one that may be activated here, and what it is like.
// Its metadata are not checked: activation does that as well.
func (h halvm) usable(ctx context.Context, c *native.Call) (group, drivers.Result) {
	vg := c.Params.String("volgrpname")
	// Two questions at the same time: LVM is not quick to answer.
	var g group
	var err error
	guarded := native.OK()
	native.Together(
		func() { g, err = report(ctx, c, vg) },
		func() {
			if c.Params.Bool("exclusive") {
				guarded = volumeList(ctx, c, vg, c.Params.String("tag"), drivers.GenericError)
			}
		})
	if guarded.RC != drivers.OK {
		return group{}, guarded
	}
	switch {
	case err != nil:
		return g, native.Failed(err)
	case g.clustered || g.lockType == "dlm" || g.lockType == "clvm":
		return g, native.Fail(drivers.GenericError, "volume group %s belongs to a cluster's lock manager (lock type %q); use LVM-activate for it", vg, g.lockType)
	case (g.missing > 0 || g.partial) && !c.Params.Bool("partial_activation"):
		return g, native.Fail(drivers.GenericError, "%d physical volumes of volume group %s are missing; partial_activation=true would activate the rest", g.missing, vg)
	}
	return g, native.OK()
}

// start asks LVM as little as it can: each of its commands reads all disks.
func (h halvm) start(ctx context.Context, c *native.Call) drivers.Result {
	vg, tag := c.Params.String("volgrpname"), c.Params.String("tag")
	g, res := h.usable(ctx, c)
	if res.RC != drivers.OK {
		return res
	}
	if res := h.monitor(ctx, c); res.RC == drivers.OK {
		return res
	}
	argv := []string{"vgchange", "-aly"}
	if c.Params.Bool("exclusive") {
		if err := own(ctx, c, g, tag); err != nil {
			return native.Failed(err)
		}
		argv = append(argv, "--config", letThrough(tag))
	}
	if c.Params.Bool("partial_activation") {
		argv = append(argv, "--partial")
	}
	if err := c.Change(ctx, append(argv, vg)...); err != nil {
		return native.Failed(err)
	}
	if c.Dry() {
		return native.OK()
	}
	if left, err := h.active(vg, ""); err != nil || len(left) == 0 {
		return native.Fail(drivers.GenericError, "volume group %s is not active after vgchange%s", vg, because(ctx, c, vg))
	}
	return native.OK()
}

// because says why a group may show nothing active.
func because(ctx context.Context, c *native.Call, vg string) string {
	if g, err := report(ctx, c, vg); err == nil && g.volumes == 0 {
		return ": it has no logical volume"
	}
	return ""
}

func (h halvm) stop(ctx context.Context, c *native.Call) drivers.Result {
	vg := c.Params.String("volgrpname")
	if vg == "" {
		return native.OK()
	}
	// The tag stays: it guards nothing that is not active, a stop need not write to the
	// storage for it, which may be gone, and the next start finds it. Each change of the
	// metadata has udev look at the disks again besides.
	left, err := h.active(vg, "")
	if err != nil {
		return native.Failed(err)
	}
	if len(left) == 0 {
		return native.OK()
	}
	var last error
	for attempt := range 10 {
		if attempt > 0 {
			c.Waiting("volume group %s to be free: %v", vg, last)
			if _, err := c.Tool("udevadm"); err == nil {
				_, _ = c.Ask(ctx, "udevadm", "settle", "--timeout=5")
			}
			if err := native.Sleep(ctx, 200*time.Millisecond); err != nil {
				return native.Failed(errors.Join(err, last))
			}
		}
		last = c.Change(ctx, "vgchange", "-aln", vg)
		if c.Dry() {
			return native.OK()
		}
		if left, err = h.active(vg, ""); err != nil {
			return native.Failed(err)
		}
		if len(left) == 0 {
			return native.OK()
		}
		if notFound(last) {
			return native.Fail(drivers.GenericError, "volume group %s is not to be seen any more, but its volumes %s are active", vg, strings.Join(left, ", "))
		}
	}
	return native.Fail(drivers.GenericError, "volume group %s cannot be deactivated, %s is still active: %v", vg, strings.Join(left, ", "), last)
}

func (h halvm) monitor(ctx context.Context, c *native.Call) drivers.Result {
	vg, tag := c.Params.String("volgrpname"), c.Params.String("tag")
	volumes, err := h.active(vg, "")
	if err != nil {
		return native.Failed(err)
	}
	if len(volumes) == 0 {
		return native.NotRunning()
	}
	if !c.Params.Bool("exclusive") {
		return native.OK()
	}
	g, err := report(ctx, c, vg)
	if err != nil {
		return native.Failed(err)
	}
	if !slices.Contains(g.tags, tag) {
		return native.Fail(drivers.GenericError, "volume group %s is active without the cluster's tag %s%s", vg, tag, tagsOf(g))
	}
	return native.OK()
}

func tagsOf(g group) string {
	if len(g.tags) == 0 {
		return " (it has no tag)"
	}
	return fmt.Sprintf(" (it has %s)", strings.Join(g.tags, ", "))
}
