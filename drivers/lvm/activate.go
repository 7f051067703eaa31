package lvm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
)

// activate is ocf:heartbeat:LVM-activate.
func activate(p places) *native.Agent {
	a := activator{p}
	return &native.Agent{
		Table: meta.Agent{
			Name: "LVM-activate", Version: "1.0", API: "1.0", Short: "Active logical volumes",
			Long: "Activates a volume group, or one logical volume of it, under the protection that vg_access_mode names.",
			Params: []meta.Param{
				{Name: "vgname", Type: meta.String, Required: true, Short: "Volume group"},
				{Name: "lvname", Type: meta.String, Short: "Only this logical volume"},
				{Name: "vg_access_mode", Type: meta.String, Required: true, Short: "lvmlockd, system_id or tagging",
					Long: "What keeps the group from being used by two nodes: lvmlockd (lock manager), system_id (the group belongs to a host), tagging (a tag and volume_list). clvmd is of LVM before 2.03 and is refused."},
				{Name: "activation_mode", Type: meta.String, Default: "exclusive", Short: "exclusive or shared", Long: "shared, with lvmlockd only, for cluster file systems."},
				{Name: "tag", Type: meta.String, Default: "pacemaker", Short: "Tag of the mode tagging"},
				{Name: "partial_activation", Type: meta.String, Default: "false", Short: "Activate a group that lacks physical volumes"},
			},
			Actions: []meta.Action{
				{Name: "start", Timeout: 90 * second}, {Name: "stop", Timeout: 90 * second},
				{Name: "monitor", Timeout: 90 * second, Interval: 30 * second},
				{Name: "meta-data", Timeout: 10 * second}, {Name: "validate-all", Timeout: 20 * second},
			},
		},
		Check: func(c *native.Call) drivers.Result {
			mode, how := c.Params.String("vg_access_mode"), c.Params.String("activation_mode")
			switch {
			case mode == "clvmd":
				return native.Fail(drivers.NotConfigured, "vg_access_mode=clvmd is of LVM before 2.03; convert the group (vgchange --lock-type dlm) and use lvmlockd")
			case !slices.Contains([]string{"lvmlockd", "system_id", "tagging"}, mode):
				return native.Fail(drivers.NotConfigured, "vg_access_mode %q is none of lvmlockd, system_id, tagging", mode)
			case how != "exclusive" && how != "shared":
				return native.Fail(drivers.NotConfigured, "activation_mode %q is neither exclusive nor shared", how)
			case how == "shared" && mode != "lvmlockd":
				return native.Fail(drivers.NotConfigured, "activation_mode=shared needs vg_access_mode=lvmlockd")
			case c.Cloned() && how != "shared":
				return native.Fail(drivers.NotConfigured, "a clone needs activation_mode=shared")
			}
			return native.OK()
		},
		Actions: map[string]native.Action{drivers.Start: a.start, drivers.Stop: a.stop, drivers.Monitor: a.monitor, drivers.Validate: a.validate},
	}
}

type activator struct{ places }

func (a activator) validate(ctx context.Context, c *native.Call) drivers.Result {
	_, res := a.ready(ctx, c)
	return res
}

// ready checks that the group can be activated in the mode asked for.
func (a activator) ready(ctx context.Context, c *native.Call) (group, drivers.Result) {
	v := c.Params
	vg := v.String("vgname")
	g, err := report(ctx, c, vg)
	if err != nil {
		return g, native.Failed(err)
	}
	fail := func(rc drivers.RC, format string, args ...any) (group, drivers.Result) {
		return g, native.Fail(rc, format, args...)
	}
	partial, _ := meta.ParseBool(v.String("partial_activation"))
	switch {
	case g.missing > 0 && !partial:
		return fail(drivers.GenericError, "%d physical volumes of volume group %s are missing; partial_activation=true would activate the rest", g.missing, vg)
	case g.volumes == 0:
		return fail(drivers.NotConfigured, "volume group %s has no logical volume", vg)
	}
	if lv := v.String("lvname"); lv != "" {
		out, err := c.Ask(ctx, "lvs", "--foreign", "--noheadings", "-o", "lv_name", vg)
		if err != nil {
			return g, native.Failed(err)
		}
		if !slices.Contains(strings.Fields(out), lv) {
			return fail(drivers.NotConfigured, "volume group %s has no logical volume %s", vg, lv)
		}
	}
	switch v.String("vg_access_mode") {
	case "lvmlockd":
		if g.lockType != "dlm" && g.lockType != "sanlock" {
			return fail(drivers.NotConfigured, "volume group %s is not shared (lock type %q); vgchange --lock-type dlm makes it so", vg, g.lockType)
		}
		if use, _, err := setting(ctx, c, "global/use_lvmlockd"); err != nil || use != "1" {
			return fail(drivers.BadArgs, "lvm.conf has no use_lvmlockd = 1 (%v)", err)
		}
	case "system_id":
		if g.systemID == "" {
			return fail(drivers.NotConfigured, "volume group %s has no system id; vgchange --systemid gives it one", vg)
		}
		if source, _, err := setting(ctx, c, "global/system_id_source"); err != nil || source == "" || source == "none" {
			return fail(drivers.BadArgs, "lvm.conf has no system_id_source (uname is usual), so this host has no system id")
		}
		if _, set, err := setting(ctx, c, "activation/volume_list"); err != nil || set {
			return fail(drivers.BadArgs, "lvm.conf has a volume_list, which goes with vg_access_mode=tagging and not with system_id")
		}
	case "tagging":
		if res := volumeList(ctx, c, vg, v.String("tag"), drivers.BadArgs); res.RC != drivers.OK {
			return g, res
		}
	}
	return g, native.OK()
}

func (a activator) start(ctx context.Context, c *native.Call) drivers.Result {
	v := c.Params
	vg, lv := v.String("vgname"), v.String("lvname")
	if active, err := a.active(vg, lv); err == nil && len(active) > 0 {
		return a.monitor(ctx, c)
	}
	g, res := a.ready(ctx, c)
	if res.RC != drivers.OK {
		return res
	}
	what := vg
	if lv != "" {
		what += "/" + lv
	}
	partial := []string{}
	if yes, _ := meta.ParseBool(v.String("partial_activation")); yes {
		partial = []string{"--partial"}
	}
	var err error
	switch v.String("vg_access_mode") {
	case "lvmlockd":
		if err = c.Change(ctx, "vgchange", "--lockstart", vg); err == nil {
			how := "-aey"
			if v.String("activation_mode") == "shared" {
				how = "-asy"
			}
			err = c.Change(ctx, append(append([]string{"lvchange", how}, partial...), what)...)
		}
	case "system_id":
		if err = a.takeOver(ctx, c, g); err == nil {
			err = c.Change(ctx, append(append([]string{"lvchange", "-ay"}, partial...), what)...)
		}
	case "tagging":
		tag := v.String("tag")
		if err = own(ctx, c, g, tag); err == nil {
			err = c.Change(ctx, append(append([]string{"lvchange", "-ay", "--config", letThrough(tag)}, partial...), what)...)
		}
	}
	if err != nil {
		return native.Failed(err)
	}
	if c.Dry() {
		return native.OK()
	}
	res = a.monitor(ctx, c)
	if res.RC == drivers.NotRunning {
		return native.Fail(drivers.GenericError, "%s is not active after lvchange", what)
	}
	return res
}

// takeOver makes the group belong to this host. The owner before has been
// stopped or fenced when this runs.
func (a activator) takeOver(ctx context.Context, c *native.Call, g group) error {
	out, err := c.Ask(ctx, "lvm", "systemid")
	if err != nil {
		return err
	}
	_, id, _ := strings.Cut(out, ":")
	if id = strings.TrimSpace(id); id == "" {
		return errors.New("this host has no LVM system id (global/system_id_source of lvm.conf)")
	}
	if g.systemID != id {
		if err := c.Change(ctx, "vgchange", "-y", "--config", fmt.Sprintf(`local/extra_system_ids=["%s"]`, g.systemID), "--systemid", id, g.name); err != nil {
			return err
		}
	}
	// Nothing may activate the group at boot, before the cluster says so.
	return c.Change(ctx, "vgchange", "--setautoactivation", "n", g.name)
}

func (a activator) stop(ctx context.Context, c *native.Call) drivers.Result {
	vg, lv := c.Params.String("vgname"), c.Params.String("lvname")
	if vg == "" {
		return native.OK()
	}
	active, err := a.active(vg, lv)
	if err != nil {
		return native.Failed(err)
	}
	if len(active) == 0 {
		return native.OK()
	}
	what := vg
	if lv != "" {
		what += "/" + lv
	}
	argv := []string{"lvchange", "-an", what}
	if c.Params.String("vg_access_mode") == "tagging" {
		argv = []string{"lvchange", "-an", "--config", letThrough(c.Params.String("tag")), what}
	}
	change := c.Change(ctx, argv...)
	if c.Dry() {
		return native.OK()
	}
	if active, err = a.active(vg, lv); err != nil || len(active) > 0 {
		return native.Fail(drivers.GenericError, "%s cannot be deactivated: %s still active (%v)", what, strings.Join(active, ", "), errors.Join(err, change))
	}
	if c.Params.String("vg_access_mode") == "lvmlockd" {
		if rest, err := a.active(vg, ""); err == nil && len(rest) == 0 {
			return native.Failed(c.Change(ctx, "vgchange", "--lockstop", vg))
		}
	}
	return native.OK()
}

func (a activator) monitor(_ context.Context, c *native.Call) drivers.Result {
	vg, lv := c.Params.String("vgname"), c.Params.String("lvname")
	active, err := a.active(vg, lv)
	if err != nil {
		return native.Failed(err)
	}
	if len(active) == 0 {
		if c.Action == drivers.Monitor && !c.Probe() {
			return native.Fail(drivers.GenericError, "no logical volume of %s is active any more", vg)
		}
		return native.NotRunning()
	}
	level, err := c.Level()
	switch {
	case err != nil:
		return native.Fail(drivers.NotConfigured, "%v", err)
	case level == 0:
		return native.OK()
	case level != 10:
		return native.Fail(drivers.NotConfigured, "OCF_CHECK_LEVEL %d is not supported: use 0 or 10 (read)", level)
	}
	path := filepath.Join(a.dev, vg, active[0])
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return native.Failed(err)
	}
	defer f.Close()
	if _, err := io.ReadFull(f, make([]byte, 1)); err != nil {
		return native.Fail(drivers.GenericError, "%s cannot be read: %v", path, err)
	}
	return native.OK()
}
