package iscsi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gcrm/drivers"
	"gcrm/drivers/native"
)

// portal is the name the kernel gives a portal: address and port, IPv6 in
// brackets.
func portal(s string) string {
	if host, port, err := net.SplitHostPort(s); err == nil {
		return net.JoinHostPort(host, port)
	}
	return net.JoinHostPort(strings.Trim(s, "[]"), "3260")
}

// load makes sure that the kernel's target is there.
func (h host) load(ctx context.Context, c *native.Call) drivers.Result {
	if ok, err := native.Exists(h.tree.root); err != nil || ok {
		return native.Failed(err)
	}
	if err := c.Change(ctx, "modprobe", "iscsi_target_mod"); err != nil {
		return native.Fail(drivers.NotInstalled, "the kernel's iSCSI target cannot be loaded: %v", err)
	}
	if ok, err := native.Exists(h.tree.root); (err != nil || !ok) && !c.Dry() {
		return native.Fail(drivers.NotInstalled, "%s is not there after loading the kernel's target: mount configfs (mount -t configfs none /sys/kernel/config)", h.tree.root)
	}
	return native.OK()
}

func (h host) lioTarget(c *native.Call) drivers.Result {
	tpg := h.tree.path("iscsi", c.Params.String("iqn"), "tpgt_1")
	enabled, err := h.tree.get(tpg, "enable")
	switch {
	case err != nil:
		return native.Failed(err)
	case enabled != "1":
		return native.NotRunning()
	}
	return native.OK()
}

func (h host) lioStartTarget(ctx context.Context, c *native.Call) drivers.Result {
	if res := h.load(ctx, c); res.RC != drivers.OK {
		return res
	}
	t, iqn := h.tree, c.Params.String("iqn")
	if err := t.make(c, "iscsi", iqn, "tpgt_1"); err != nil {
		return native.Failed(err)
	}
	tpg := t.path("iscsi", iqn, "tpgt_1")
	for _, p := range c.Params.Words("portals") {
		if err := t.make(c, "iscsi", iqn, "tpgt_1", "np", portal(p)); err != nil {
			return native.Fail(drivers.GenericError, "portal %s of target %s: %v (is the address on this node, and the port free?)", p, iqn, err)
		}
	}
	for _, p := range c.Params.Words("iser_portals") {
		if err := t.set(c, filepath.Join(tpg, "np", portal(p)), "iser", "1"); err != nil {
			return native.Fail(drivers.GenericError, "portal %s of target %s cannot speak iSER: %v", p, iqn, err)
		}
	}
	for _, p := range c.Params.Words("additional_parameters") {
		name, value, _ := strings.Cut(p, "=")
		if err := t.set(c, filepath.Join(tpg, "param"), name, value); err != nil {
			return native.Fail(drivers.NotConfigured, "parameter additional_parameters: the kernel's target does not take %s: %v", p, err)
		}
	}
	if err := h.lioAccess(c, tpg); err != nil {
		return native.Failed(err)
	}
	if err := t.set(c, tpg, "enable", "1"); err != nil {
		return native.Failed(err)
	}
	if c.Dry() {
		return native.OK()
	}
	return h.lioTarget(c)
}

// lioAccess says who may log in: initiators known by name, or anybody.
func (h host) lioAccess(c *native.Call, tpg string) error {
	t, iqn := h.tree, c.Params.String("iqn")
	user, allowed := c.Params.String("incoming_username"), c.Params.Words("allowed_initiators")
	attributes := map[bool]string{true: "1", false: "0"}
	open := len(allowed) == 0
	for _, a := range []struct{ name, value string }{
		{"authentication", attributes[user != ""]}, {"demo_mode_write_protect", attributes[!open]},
		{"generate_node_acls", attributes[open]}, {"cache_dynamic_acls", attributes[open]},
	} {
		if err := t.set(c, filepath.Join(tpg, "attrib"), a.name, a.value); err != nil {
			return err
		}
	}
	places := []string{tpg}
	if !open {
		places = nil
	}
	for _, i := range allowed {
		if err := t.make(c, "iscsi", iqn, "tpgt_1", "acls", i); err != nil {
			return err
		}
		places = append(places, filepath.Join(tpg, "acls", i))
	}
	if user == "" {
		return nil
	}
	for _, p := range places {
		if err := errors.Join(t.set(c, filepath.Join(p, "auth"), "userid", user),
			t.conceal(c, filepath.Join(p, "auth"), "password", c.Params.String("incoming_password"))); err != nil {
			return err
		}
	}
	return nil
}

// lioStopTarget takes a target apart from the leaves to the root. The devices
// behind its units stay: they are resources of their own.
func (h host) lioStopTarget(c *native.Call) drivers.Result {
	t, target := h.tree, h.tree.path("iscsi", c.Params.String("iqn"))
	groups, err := folders(target, "tpgt_")
	if err != nil {
		return native.Failed(err)
	}
	for _, tpg := range groups {
		if enabled, err := t.get(tpg, "enable"); err == nil && enabled == "1" {
			if err := t.set(c, tpg, "enable", "0"); err != nil {
				return native.Failed(err)
			}
		}
		initiators, err := folders(filepath.Join(tpg, "acls"), "")
		for _, i := range initiators {
			err = errors.Join(err, t.clear(c, i), t.remove(c, i))
		}
		err = errors.Join(err, t.clear(c, filepath.Join(tpg, "lun")))
		portals, err2 := folders(filepath.Join(tpg, "np"), "")
		for _, p := range portals {
			err2 = errors.Join(err2, t.remove(c, p))
		}
		if err := errors.Join(err, err2, t.remove(c, tpg)); err != nil {
			return native.Fail(drivers.GenericError, "target %s cannot be taken apart: %v", c.Params.String("iqn"), err)
		}
	}
	if err := t.remove(c, target); err != nil {
		return native.Failed(err)
	}
	return native.OK()
}

// backing is the kernel's device behind the unit.
type backing struct{ dir, device string }

// unitBacking is what the unit's number serves on the target, if anything.
func (h host) unitBacking(c *native.Call) (backing, bool, error) {
	dir := h.tree.path("iscsi", c.Params.String("target_iqn"), "tpgt_1", "lun", "lun_"+c.Params.String("lun"))
	links, err := filepath.Glob(filepath.Join(globQuote(dir), "*"))
	if err != nil {
		return backing{}, false, err
	}
	for _, l := range links {
		if st, err := os.Lstat(l); err != nil || st.Mode()&os.ModeSymlink == 0 {
			continue
		}
		to, err := filepath.EvalSymlinks(l)
		if err != nil {
			return backing{}, false, err
		}
		device, err := h.tree.get(to, "udev_path")
		return backing{to, device}, true, err
	}
	return backing{}, false, nil
}

func globQuote(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(s)
}

// ownBacking is the kernel's device that has the resource's name, if any.
func (h host) ownBacking(c *native.Call) (backing, bool, error) {
	adapters, err := folders(h.tree.path("core"), "")
	for _, a := range adapters {
		dir := filepath.Join(a, c.Instance())
		if ok, err := native.Exists(dir); err != nil || !ok {
			continue
		}
		device, err := h.tree.get(dir, "udev_path")
		return backing{dir, device}, true, err
	}
	return backing{}, false, err
}

func (h host) lioUnit(c *native.Call) drivers.Result {
	path := c.Params.String("path")
	served, active, err := h.unitBacking(c)
	if err != nil {
		return native.Failed(err)
	}
	_, left, err := h.ownBacking(c)
	if err != nil {
		return native.Failed(err)
	}
	switch {
	case active && served.device == path:
		if ok, err := native.Exists(path); err == nil && !ok {
			return native.Fail(drivers.GenericError, "%s is gone, and unit %s of %s still serves it", path, c.Params.String("lun"), c.Params.String("target_iqn"))
		}
		return native.OK()
	case left:
		return native.Fail(drivers.GenericError, "the kernel has the device %s without its unit %s", c.Instance(), c.Params.String("lun"))
	case active && c.Probe():
		return native.Fail(drivers.NotRunning, "unit %s of %s serves %s instead", c.Params.String("lun"), c.Params.String("target_iqn"), served.device)
	case active:
		return native.Fail(drivers.GenericError, "unit %s of %s serves %s instead of %s", c.Params.String("lun"), c.Params.String("target_iqn"), served.device, path)
	}
	return native.NotRunning()
}

func (h host) lioStartUnit(ctx context.Context, c *native.Call) drivers.Result {
	if res := h.load(ctx, c); res.RC != drivers.OK {
		return res
	}
	t, iqn, path := h.tree, c.Params.String("target_iqn"), c.Params.String("path")
	unit := "lun_" + c.Params.String("lun")
	tpg := t.path("iscsi", iqn, "tpgt_1")
	if ok, err := native.Exists(tpg); (err != nil || !ok) && !c.Dry() {
		return native.Fail(drivers.GenericError, "target %s is not there: start its iSCSITarget before (a group or an order does)", iqn)
	}
	served, active, err := h.unitBacking(c)
	if err != nil {
		return native.Failed(err)
	}
	if active && served.device != path {
		return native.Fail(drivers.GenericError, "unit %s of %s serves %s already", c.Params.String("lun"), iqn, served.device)
	}
	own, exists, err := h.ownBacking(c)
	switch {
	case err != nil:
		return native.Failed(err)
	case exists && own.device != "" && own.device != path:
		return native.Fail(drivers.GenericError, "the kernel has a device %s of %s, not of %s", c.Instance(), own.device, path)
	}
	if !active {
		if own, err = h.createBacking(c, own, exists); err != nil {
			return native.Failed(err)
		}
		if err := t.make(c, "iscsi", iqn, "tpgt_1", "lun", unit); err != nil {
			return native.Failed(err)
		}
		if err := t.link(c, own.dir, filepath.Join(tpg, "lun", unit, c.Instance())); err != nil {
			return native.Failed(err)
		}
	}
	for _, i := range c.Params.Words("allowed_initiators") {
		if err := t.make(c, "iscsi", iqn, "tpgt_1", "acls", i, unit); err != nil {
			return native.Failed(err)
		}
		if err := t.link(c, filepath.Join(tpg, "lun", unit), filepath.Join(tpg, "acls", i, unit, "default")); err != nil {
			return native.Failed(err)
		}
	}
	if c.Dry() {
		return native.OK()
	}
	return h.lioUnit(c)
}

// createBacking makes the kernel's device, with its identity. One that is
// there already is completed.
func (h host) createBacking(c *native.Call, own backing, exists bool) (backing, error) {
	t, path := h.tree, c.Params.String("path")
	if !exists {
		adapter, control := "iblock_"+strconv.Itoa(c.Params.Int("lio_iblock")), "udev_path="+path
		if c.Params.String("liot_bstype") == "fileio" {
			st, err := os.Stat(path)
			if err != nil {
				return own, err
			}
			adapter, control = "fileio_"+strconv.Itoa(c.Params.Int("lio_iblock")), fmt.Sprintf("fd_dev_name=%s,fd_dev_size=%d", path, st.Size())
		}
		own = backing{t.path("core", adapter, c.Instance()), path}
		if err := t.make(c, "core", adapter, c.Instance()); err != nil {
			return own, err
		}
		if err := t.set(c, own.dir, "control", control); err != nil {
			return own, err
		}
	}
	if on, err := t.get(own.dir, "enable"); err != nil || on == "1" {
		return own, err
	}
	writes := []struct{ dir, name, value string }{{"", "udev_path", path}, {"", "enable", "1"}, {"wwn", "vpd_unit_serial", serial(c)},
		{"wwn", "vendor_id", c.Params.String("vendor_id")}, {"wwn", "product_id", c.Params.String("product_id")}}
	for _, name := range []string{"emulate_tpu", "emulate_3pc", "emulate_caw"} {
		writes = append(writes, struct{ dir, name, value string }{"attrib", name, c.Params.String(name)})
	}
	for _, w := range writes {
		if w.value == "" {
			continue
		}
		if err := t.set(c, filepath.Join(own.dir, w.dir), w.name, w.value); err != nil {
			return own, err
		}
	}
	return own, nil
}

func (h host) lioStopUnit(c *native.Call) drivers.Result {
	t := h.tree
	tpg := t.path("iscsi", c.Params.String("target_iqn"), "tpgt_1")
	unit := "lun_" + c.Params.String("lun")
	served, active, err := h.unitBacking(c)
	if err != nil {
		return native.Failed(err)
	}
	own, exists, err := h.ownBacking(c)
	if err != nil {
		return native.Failed(err)
	}
	if active && (served.device == c.Params.String("path") || exists && served.dir == own.dir) {
		initiators, err := folders(filepath.Join(tpg, "acls"), "")
		for _, i := range initiators {
			err = errors.Join(err, t.unlinkAll(c, filepath.Join(i, unit)), t.remove(c, filepath.Join(i, unit)))
		}
		if err = errors.Join(err, t.unlinkAll(c, filepath.Join(tpg, "lun", unit)), t.remove(c, filepath.Join(tpg, "lun", unit))); err != nil {
			return native.Failed(err)
		}
		if !exists {
			own, exists = served, true
		}
	}
	if exists {
		if err := t.remove(c, own.dir); err != nil {
			return native.Failed(err)
		}
		// An adapter with other devices stays.
		if rest, err := folders(filepath.Dir(own.dir), ""); err == nil && len(rest) == 0 {
			if err := t.remove(c, filepath.Dir(own.dir)); err != nil {
				return native.Failed(err)
			}
		}
	}
	return native.OK()
}
