package drbd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"gcrm/drivers"
	"gcrm/drivers/native"
)

// state asks the kernel about the resource.
func (h host) state(ctx context.Context, c *native.Call) (state, error) {
	name := c.Params.String("drbd_resource")
	if name != "" && h.nativeCore(ctx, c) {
		return h.nativeState(ctx, c)
	}
	loaded, err := native.Exists(h.proc)
	if err != nil || !loaded || name == "" {
		return state{}, err
	}
	out, err := c.Ask(ctx, "drbdsetup", "events2", "--now", name)
	var exit *native.ExitError
	if errors.As(err, &exit) && exit.Outcome.Code == 10 && strings.Contains(exit.Outcome.Stderr+exit.Outcome.Stdout, "No such resource") {
		return state{}, nil
	}
	if err != nil {
		return state{}, fmt.Errorf("state of DRBD resource %s: %w", name, err)
	}
	return parseEvents(out, name)
}

// admin8 is the argument list of a drbdadm command about the resource.
func admin8(c *native.Call, words ...string) []string {
	argv := []string{"drbdadm"}
	if conf := c.Params.String("drbdconf"); conf != "" {
		argv = append(argv, "-c", conf)
	}
	return append(append(argv, words...), c.Params.String("drbd_resource"))
}

// devices lists the device nodes of the resource, which also shows that the
// configuration has it for this node.
func (h host) devices(ctx context.Context, c *native.Call) ([]string, drivers.Result) {
	if h.nativeCore(ctx, c) {
		return h.nativeDevices(c)
	}
	conf, name := c.Params.String("drbdconf"), c.Params.String("drbd_resource")
	if conf != "" {
		f, err := os.Open(conf)
		if err != nil {
			return nil, native.Fail(drivers.NotInstalled, "DRBD configuration: %v", err)
		}
		f.Close()
	}
	out, err := c.Ask(ctx, h.admin(ctx, c, "sh-dev")...)
	var tool *native.ToolError
	switch {
	case errors.As(err, &tool):
		return nil, native.Failed(err)
	case err != nil:
		return nil, native.Fail(drivers.NotInstalled, "DRBD resource %s is not in %s for this host: %v (its \"on\" sections must name the host as \"uname -n\" does)", name, conf, err)
	}
	devices := strings.Fields(out)
	if len(devices) == 0 {
		return nil, native.Fail(drivers.NotInstalled, "DRBD resource %s has no device in %s", name, conf)
	}
	return devices, native.OK()
}

// module finds the version of the module, loaded or to be loaded, and holds it
// against what the parameters ask for.
func (h host) module(ctx context.Context, c *native.Call) (version, drivers.Result) {
	if h.nativeCore(ctx, c) {
		if c.MetaInt("clone_max", 2) > 2 {
			return version{8, 4, 11}, native.Fail(drivers.NotConfigured, "clone-max is %d: the native core has two nodes at most", c.MetaInt("clone_max", 2))
		}
		return version{8, 4, 11}, native.OK()
	}
	var v version
	ok := false
	raw, err := os.ReadFile(h.proc)
	switch {
	case err == nil:
		v, ok = loadedVersion(string(raw))
	case errors.Is(err, os.ErrNotExist):
		var out string
		if out, err = c.Ask(ctx, "modinfo", "-F", "version", "drbd"); err == nil {
			v, ok = parseVersion(out)
		}
	}
	if !ok {
		return v, native.Fail(drivers.NotInstalled, "the kernel of this host has no DRBD module (%v): install the one for the running kernel", cause(err, h.proc))
	}
	least, _ := parseVersion(c.Params.String("require_drbd_module_version_ge"))
	if v.less(least) {
		return v, native.Fail(drivers.NotInstalled, "the DRBD module is %v, require_drbd_module_version_ge asks for %v or later", v, least)
	}
	if bound, ok := parseVersion(c.Params.String("require_drbd_module_version_lt")); ok && !v.less(bound) {
		return v, native.Fail(drivers.NotInstalled, "the DRBD module is %v, require_drbd_module_version_lt asks for one before %v", v, bound)
	}
	if v[0] < 9 && c.MetaInt("clone_max", 2) > 2 {
		return v, native.Fail(drivers.NotConfigured, "clone-max is %d: DRBD %v has two nodes at most", c.MetaInt("clone_max", 2), v)
	}
	return v, native.OK()
}

func cause(err error, proc string) error {
	if err == nil {
		return fmt.Errorf("%s names no version", proc)
	}
	return err
}

// suitable makes sure that the host and the configuration can serve the
// resource. What cannot run here must not be chosen for promotion either.
func (h host) suitable(ctx context.Context, c *native.Call) (version, []string, drivers.Result) {
	v, res := h.module(ctx, c)
	if res.RC != drivers.OK {
		return v, nil, res
	}
	devices, res := h.devices(ctx, c)
	if res.RC == drivers.OK && promotedMax(c) > 1 {
		dump, err := c.Ask(ctx, h.admin(ctx, c, "dump")...)
		if err != nil {
			res = native.Failed(err)
		} else if !twoPrimaries(dump) {
			res = native.Fail(drivers.NotConfigured, "promoted-max is %d, but DRBD resource %s does not have allow-two-primaries in its net section", promotedMax(c), c.Params.String("drbd_resource"))
		}
	}
	return v, devices, res
}

// others lists the nodes of notify variables that are not this one.
func others(c *native.Call, variables ...string) []string {
	var out []string
	for _, name := range variables {
		for _, n := range strings.Fields(c.Meta[name]) {
			if !strings.EqualFold(n, c.Node.Name) && !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	return out
}

// promotedElsewhere are the other nodes that the cluster has promoted.
func promotedElsewhere(c *native.Call) []string {
	return others(c, "notify_promoted_uname", "notify_master_uname")
}

// publish tells the cluster how fit this node is for promotion.
func (h host) publish(ctx context.Context, c *native.Call, s state) error {
	n, err := parseScores(c.Params.String("adjust_master_score"))
	if err != nil { // start refuses it; what runs must still be judged
		n = scores{0, 10, 1000, 10000}
	}
	yield := c.Params.String("remove_master_score_if_peer_primary")
	v := judge(s, n, yield != "" && meansTrue(yield))
	if v.keep {
		return nil
	}
	if good, of := s.upToDatePeers(); c.Params.Bool("unfence_if_all_uptodate") && s.primary() && s.everyDisk("UpToDate") && of > 0 && good == of {
		// The handler's failure leaves a constraint behind, which it tries to
		// take away again next time; the data is good all the same.
		_ = c.Change(ctx, append([]string{"env", "OCF_RESKEY_unfence_extra_args=" + c.Params.String("unfence_extra_args")}, h.admin(ctx, c, "unfence-peer")...)...)
	}
	if v.score <= 0 {
		return c.SetPromotionScore(ctx, nil)
	}
	return c.SetPromotionScore(ctx, &v.score)
}
