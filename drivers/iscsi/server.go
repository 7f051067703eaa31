package iscsi

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"strings"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
)

const (
	kernel = "lio-t"
	daemon = "tgt"
)

// implementation is what serves the targets: what the parameter says, or what
// the host has; "" if it has none.
func (h host) implementation(c *native.Call) string {
	switch name := c.Params.String("implementation"); name {
	case "":
	case "lio":
		return kernel
	default:
		return name
	}
	if ok, err := native.Exists(h.tree.root); err == nil && ok {
		return kernel
	}
	if _, err := c.Tool("targetcli"); err == nil {
		return kernel
	}
	if _, err := c.Tool("tgtadm"); err == nil {
		return daemon
	}
	return ""
}

func (h host) check(c *native.Call) (string, drivers.Result) {
	switch name := h.implementation(c); name {
	case "":
		return "", native.Fail(drivers.NotInstalled, "this host has no iSCSI target: install targetcli-fb for the kernel's (and set implementation=lio-t) or tgt")
	case kernel, daemon:
		return name, native.OK()
	default:
		return "", native.Fail(drivers.NotConfigured, "parameter implementation: %s is not served, use lio-t or tgt", name)
	}
}

// unserved refuses parameters that have no effect with an implementation; one
// set to its default has none anyway.
func unserved(c *native.Call, implementation string, names ...string) drivers.Result {
	for _, n := range names {
		p, _ := tableOf(c).Param(n)
		if v := strings.TrimSpace(c.Params.String(n)); c.Params.Set(n) && v != "" && v != p.Default {
			return native.Fail(drivers.NotConfigured, "parameter %s: %s cannot do that, take the parameter away", n, implementation)
		}
	}
	return native.OK()
}

func (h host) checkTarget(c *native.Call) drivers.Result {
	name, res := h.check(c)
	if res.RC != drivers.OK {
		return res
	}
	if strings.ContainsAny(c.Params.String("iqn"), "/ \t") {
		return native.Fail(drivers.NotConfigured, "parameter iqn: %q is not the name of a target", c.Params.String("iqn"))
	}
	for _, p := range c.Params.Words("additional_parameters") {
		if key, _, ok := strings.Cut(p, "="); !ok || key == "" || strings.Contains(key, "/") {
			return native.Fail(drivers.NotConfigured, "parameter additional_parameters: %q is not name=value", p)
		}
	}
	if (c.Params.String("incoming_username") == "") != (c.Params.String("incoming_password") == "") {
		return native.Fail(drivers.NotConfigured, "incoming_username and incoming_password need each other")
	}
	if name == kernel {
		return unserved(c, name, "tid")
	}
	if c.Params.Int("tid") < 1 {
		return native.Fail(drivers.NotConfigured, "tgt needs the parameter tid, a number from 1 that no other target has")
	}
	return unserved(c, name, "portals", "iser_portals")
}

func (h host) checkUnit(c *native.Call) drivers.Result {
	name, res := h.check(c)
	if res.RC != drivers.OK {
		return res
	}
	least := 0
	if name == daemon {
		least = 1
	}
	if c.Params.Int("lun") < least {
		return native.Fail(drivers.NotConfigured, "parameter lun: it must be at least %d with %s", least, name)
	}
	if name == daemon {
		return unserved(c, name, "allowed_initiators", "lio_iblock", "emulate_tpu", "emulate_3pc", "emulate_caw", "liot_bstype")
	}
	if kind := c.Params.String("liot_bstype"); kind != "block" && kind != "fileio" {
		return native.Fail(drivers.NotConfigured, "parameter liot_bstype: %q is not served, use block or fileio", kind)
	}
	return unserved(c, name, "scsi_id", "tgt_bstype", "tgt_bsoflags", "tgt_bsopts", "tgt_device_type", "additional_parameters")
}

// identity is the SCSI id of a unit, the same on all nodes.
func identity(c *native.Call) string {
	if id := c.Params.String("scsi_id"); id != "" {
		return id
	}
	return c.Resource[:min(len(c.Resource), 24)]
}

// serial is the SCSI serial number of a unit, the same on all nodes and the
// one the script makes, so that initiators keep their disk.
func serial(c *native.Call) string {
	if sn := c.Params.String("scsi_sn"); sn != "" {
		return sn
	}
	sum := md5.Sum([]byte(c.Resource))
	return hex.EncodeToString(sum[:4])
}

func (h host) startTarget(ctx context.Context, c *native.Call) drivers.Result {
	if res := h.monitorTarget(ctx, c); res.RC == drivers.OK {
		return res
	}
	if h.implementation(c) == daemon {
		return h.tgtStartTarget(ctx, c)
	}
	return h.lioStartTarget(ctx, c)
}

func (h host) stopTarget(ctx context.Context, c *native.Call) drivers.Result {
	switch {
	case c.Params.String("iqn") == "":
		return native.OK()
	case h.implementation(c) == daemon:
		return h.tgtStopTarget(ctx, c)
	}
	return h.lioStopTarget(c)
}

func (h host) monitorTarget(ctx context.Context, c *native.Call) drivers.Result {
	if h.implementation(c) == daemon {
		return h.tgtMonitorTarget(ctx, c)
	}
	return h.lioTarget(c)
}

func (h host) startUnit(ctx context.Context, c *native.Call) drivers.Result {
	path := c.Params.String("path")
	if ok, err := native.Exists(path); c.Params.String("tgt_bstype") != "rbd" && (err != nil || !ok) {
		return native.Fail(drivers.NotInstalled, "parameter path: %s is not there (what provides it must start before)", path)
	}
	if h.implementation(c) == daemon {
		return h.tgtStartUnit(ctx, c)
	}
	return h.lioStartUnit(ctx, c)
}

func (h host) stopUnit(ctx context.Context, c *native.Call) drivers.Result {
	switch {
	case c.Params.String("target_iqn") == "" || c.Params.String("lun") == "":
		return native.OK()
	case h.implementation(c) == daemon:
		return h.tgtStopUnit(ctx, c)
	}
	return h.lioStopUnit(c)
}

func (h host) monitorUnit(ctx context.Context, c *native.Call) drivers.Result {
	if h.implementation(c) == daemon {
		return h.tgtMonitorUnit(ctx, c)
	}
	return h.lioUnit(c)
}

func tableOf(c *native.Call) *meta.Agent {
	t := targetTable()
	if c.Agent.Type == "iSCSILogicalUnit" {
		t = unitTable()
	}
	return &t
}
