package iscsi

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"gcrm/drivers"
	"gcrm/drivers/native"
)

// tgtTarget is a target as tgtd reports it.
type tgtTarget struct {
	tid, name   string
	connections []connection
	units       map[string]string // backing path by number
	accounts    []string
}

type connection struct{ sid, cid string }

// parseTargets reads "tgtadm --op show --mode target".
func parseTargets(text string) []tgtTarget {
	var out []tgtTarget
	section, nexus, unit := "", "", ""
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		if tid, ok := strings.CutPrefix(key, "Target "); ok && !strings.HasPrefix(line, " ") {
			out = append(out, tgtTarget{tid: tid, name: value, units: map[string]string{}})
			continue
		}
		if len(out) == 0 {
			continue
		}
		t := &out[len(out)-1]
		switch {
		case strings.HasSuffix(key, " information"):
			section = key
		case key == "I_T nexus":
			nexus = value
		case key == "Connection" && section == "I_T nexus information":
			t.connections = append(t.connections, connection{nexus, value})
		case key == "LUN":
			unit = value
		case key == "Backing store path":
			t.units[unit] = value
		case section == "Account information" && key != "":
			t.accounts = append(t.accounts, strings.TrimSuffix(key, " (outgoing)"))
		}
	}
	return out
}

// errNoDaemon says that tgtd does not run, and with it no target.
var errNoDaemon = errors.New("tgtd does not run: start it on all nodes (systemctl enable --now tgt)")

// absent tells whether an error means that there is no tgtd, running or
// installed, and so nothing that it could serve.
func absent(err error) bool {
	var tool *native.ToolError
	return errors.Is(err, errNoDaemon) || errors.As(err, &tool)
}

// unconnected is how tgtadm ends when there is no daemon (ENOTCONN).
const unconnected = 107

func tgtadm(mode, op string, more ...string) []string {
	return append([]string{"tgtadm", "--lld", "iscsi", "--mode", mode, "--op", op}, more...)
}

// tgtTarget finds a target by name among all.
func (h host) tgtTarget(ctx context.Context, c *native.Call, iqn string) (t tgtTarget, ok bool, all []tgtTarget, err error) {
	out, err := c.Ask(ctx, tgtadm("target", "show")...)
	var exit *native.ExitError
	if errors.As(err, &exit) && exit.Outcome.Code == unconnected {
		return t, false, nil, errNoDaemon
	}
	if err != nil {
		return t, false, nil, err
	}
	all = parseTargets(out)
	for _, x := range all {
		if x.name == iqn {
			return x, true, all, nil
		}
	}
	return t, false, all, nil
}

func (h host) tgtMonitorTarget(ctx context.Context, c *native.Call) drivers.Result {
	_, ok, _, err := h.tgtTarget(ctx, c, c.Params.String("iqn"))
	switch {
	case absent(err):
		return native.NotRunning()
	case err != nil:
		return native.Failed(err)
	case !ok:
		return native.NotRunning()
	}
	return native.OK()
}

func (h host) tgtStartTarget(ctx context.Context, c *native.Call) drivers.Result {
	iqn, tid := c.Params.String("iqn"), strconv.Itoa(c.Params.Int("tid"))
	_, ok, all, err := h.tgtTarget(ctx, c, iqn)
	if err != nil || ok {
		return native.Failed(err)
	}
	for _, t := range all {
		if t.tid == tid {
			return native.Fail(drivers.GenericError, "parameter tid: %s is the number of target %s already", tid, t.name)
		}
	}
	commands := [][]string{tgtadm("target", "new", "--tid", tid, "--targetname", iqn)}
	for _, p := range c.Params.Words("additional_parameters") {
		name, value, _ := strings.Cut(p, "=")
		commands = append(commands, tgtadm("target", "update", "--tid", tid, "--name", name, "--value", value))
	}
	if user := c.Params.String("incoming_username"); user != "" {
		create := tgtadm("account", "new", "--user", user, "--password")
		if err := c.Change(ctx, commands[0]...); err != nil {
			return native.Failed(err)
		}
		if err := c.Do(native.Quote(create)+" (concealed)", func() error {
			_, err := c.Ask(ctx, append(create, c.Params.String("incoming_password"))...)
			return err
		}); err != nil {
			return native.Failed(err)
		}
		commands = append(commands[1:], tgtadm("account", "bind", "--tid", tid, "--user", user))
	}
	// Who may connect comes last: until then nobody can.
	allowed := c.Params.Words("allowed_initiators")
	if len(allowed) == 0 {
		allowed = []string{"ALL"}
	}
	for _, i := range allowed {
		option := "--initiator-address"
		if strings.HasPrefix(i, "iqn.") || strings.HasPrefix(i, "eui.") || strings.HasPrefix(i, "naa.") {
			option = "--initiator-name"
		}
		commands = append(commands, tgtadm("target", "bind", "--tid", tid, option, i))
	}
	for _, argv := range commands {
		if err := c.Change(ctx, argv...); err != nil {
			return native.Failed(err)
		}
	}
	if c.Dry() {
		return native.OK()
	}
	return h.tgtMonitorTarget(ctx, c)
}

func (h host) tgtStopTarget(ctx context.Context, c *native.Call) drivers.Result {
	iqn := c.Params.String("iqn")
	var last error
	for {
		t, ok, _, err := h.tgtTarget(ctx, c, iqn)
		switch {
		case absent(err):
			return native.OK()
		case err != nil:
			return native.Fail(drivers.GenericError, "target %s cannot be stopped: %v", iqn, errors.Join(last, err))
		case !ok:
			return native.OK()
		}
		for _, x := range t.connections {
			// An initiator that has left meanwhile is as good.
			_ = c.Change(ctx, tgtadm("connection", "delete", "--tid", t.tid, "--sid", x.sid, "--cid", x.cid)...)
		}
		for _, user := range t.accounts {
			if user == c.Params.String("incoming_username") {
				if last = c.Change(ctx, tgtadm("account", "unbind", "--tid", t.tid, "--user", user)...); last == nil {
					last = c.Change(ctx, tgtadm("account", "delete", "--user", user)...)
				}
			}
		}
		if err := c.Change(ctx, tgtadm("target", "delete", "--tid", t.tid)...); err != nil {
			last = err
		} else if !c.Dry() {
			continue
		}
		if c.Dry() {
			return native.OK()
		}
		if native.Sleep(ctx, h.pause) != nil {
			return native.Fail(drivers.GenericError, "target %s is still in use: %v", iqn, last)
		}
	}
}

func (h host) tgtMonitorUnit(ctx context.Context, c *native.Call) drivers.Result {
	iqn, lun, path := c.Params.String("target_iqn"), strconv.Itoa(c.Params.Int("lun")), c.Params.String("path")
	t, ok, _, err := h.tgtTarget(ctx, c, iqn)
	switch {
	case absent(err):
		return native.NotRunning()
	case err != nil:
		return native.Failed(err)
	case !ok || t.units[lun] == "":
		return native.NotRunning()
	case t.units[lun] == path:
		return native.OK()
	case c.Probe():
		return native.Fail(drivers.NotRunning, "unit %s of %s serves %s instead", lun, iqn, t.units[lun])
	}
	return native.Fail(drivers.GenericError, "unit %s of %s serves %s instead of %s", lun, iqn, t.units[lun], path)
}

func (h host) tgtStartUnit(ctx context.Context, c *native.Call) drivers.Result {
	iqn, lun, path := c.Params.String("target_iqn"), strconv.Itoa(c.Params.Int("lun")), c.Params.String("path")
	t, ok, _, err := h.tgtTarget(ctx, c, iqn)
	switch {
	case err != nil:
		return native.Failed(err)
	case !ok && !c.Dry():
		return native.Fail(drivers.GenericError, "target %s is not there: start its iSCSITarget before (a group or an order does)", iqn)
	case t.units[lun] == path:
		return native.OK()
	case t.units[lun] != "":
		return native.Fail(drivers.GenericError, "unit %s of %s serves %s already", lun, iqn, t.units[lun])
	}
	create := tgtadm("logicalunit", "new", "--tid", t.tid, "--lun", lun)
	flags := c.Params.String("tgt_bsoflags")
	if c.Params.String("tgt_bstype") == "aio" && flags == "direct" {
		flags = "" // aio is always direct, and refuses to be told so
	}
	for _, x := range []struct{ option, value string }{{"--bstype", c.Params.String("tgt_bstype")}, {"--bsoflags", flags},
		{"--bsopts", c.Params.String("tgt_bsopts")}, {"--device-type", c.Params.String("tgt_device_type")}, {"--backing-store", path}} {
		if x.value != "" {
			create = append(create, x.option, x.value)
		}
	}
	params := []string{"scsi_id=" + identity(c), "scsi_sn=" + serial(c)}
	for _, name := range []string{"vendor_id", "product_id"} {
		if v := c.Params.String(name); v != "" {
			params = append(params, name+"="+v)
		}
	}
	params = append(params, c.Params.Words("additional_parameters")...)
	for _, argv := range [][]string{create, tgtadm("logicalunit", "update", "--tid", t.tid, "--lun", lun, "--params", strings.Join(params, ","))} {
		if err := c.Change(ctx, argv...); err != nil {
			return native.Failed(err)
		}
	}
	if c.Dry() {
		return native.OK()
	}
	return h.tgtMonitorUnit(ctx, c)
}

func (h host) tgtStopUnit(ctx context.Context, c *native.Call) drivers.Result {
	iqn, lun := c.Params.String("target_iqn"), strconv.Itoa(c.Params.Int("lun"))
	var last error
	for {
		t, ok, _, err := h.tgtTarget(ctx, c, iqn)
		switch {
		case absent(err):
			return native.OK()
		case err != nil:
			return native.Fail(drivers.GenericError, "unit %s of %s cannot be stopped: %v", lun, iqn, errors.Join(last, err))
		case !ok || t.units[lun] != c.Params.String("path"):
			return native.OK() // gone, or somebody else's
		}
		last = c.Change(ctx, tgtadm("logicalunit", "delete", "--tid", t.tid, "--lun", lun)...)
		if c.Dry() {
			return native.OK()
		}
		if last == nil {
			continue
		}
		if native.Sleep(ctx, h.pause) != nil {
			return native.Fail(drivers.GenericError, "unit %s of %s is in use by an initiator: %v", lun, iqn, last)
		}
	}
}
