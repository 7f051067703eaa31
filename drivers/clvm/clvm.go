package clvm

import (
	"context"
	"regexp"
	"strings"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
)

// clvm is ocf:heartbeat:clvm. Its daemon clvmd is of LVM before 2.03: here
// lvmlockd takes its place, and the groups that it had as clustered are shared.
func clvm(p places) *native.Agent {
	return &native.Agent{
		Table: meta.Agent{
			Name: "clvm", Version: "1.1", API: "1.0", Short: "Shared volume groups (legacy name)",
			Long: "Starts lvmlockd in the place of clvmd, which LVM no longer has, and activates the shared volume groups of this node. " +
				"New configurations use ocf:heartbeat:lvmlockd and ocf:heartbeat:LVM-activate.",
			Params: []meta.Param{
				{Name: "with_cmirrord", Type: meta.Boolean, Default: "false", Short: "Run cmirrord too", Long: "Refused: mirrors of shared groups are raid1 volumes today."},
				{Name: "daemon_options", Type: meta.String, Default: "-d0", Short: "Options of clvmd", Long: "-d0 to -d2; from -d1 on lvmlockd logs details."},
				{Name: "activate_vgs", Type: meta.Boolean, Default: "true", Short: "Activate the shared volume groups"},
				{Name: "exclusive", Type: meta.Boolean, Default: "false", Short: "Activate them on one node only"},
			},
			Actions: actions(),
		},
		Check: func(c *native.Call) drivers.Result {
			switch {
			case c.Params.Bool("with_cmirrord"):
				return native.Fail(drivers.NotConfigured, "with_cmirrord: mirrors of shared volume groups need no cmirrord today; convert them (lvconvert --type raid1) and leave the parameter out")
			case !regexp.MustCompile(`^(-d[0-2])?$`).MatchString(c.Params.String("daemon_options")):
				return native.Fail(drivers.NotConfigured, "daemon_options: lvmlockd runs in the place of clvmd, and of the options of that one only -d0 to -d2 have a meaning")
			}
			return native.OK()
		},
		Actions: map[string]native.Action{
			drivers.Start:   func(ctx context.Context, c *native.Call) drivers.Result { return legacy(p, c).start(ctx, c) },
			drivers.Stop:    func(ctx context.Context, c *native.Call) drivers.Result { return legacy(p, c).stop(ctx, c) },
			drivers.Monitor: func(_ context.Context, c *native.Call) drivers.Result { return legacy(p, c).monitor(c) },
		},
	}
}

// groups is what clvm does on top of lvmlockd.
type groups struct{ lockDaemon }

func legacy(p places, c *native.Call) groups {
	priority := "warning"
	if d := c.Params.String("daemon_options"); d == "-d1" || d == "-d2" {
		priority = "debug"
	}
	return groups{lockDaemon{p, "/run/lvmlockd.pid", "/run/lvm/lvmlockd.socket", priority, "1"}}
}

// shared lists the volume groups whose locks are the lock manager's, and those
// that still carry the mark of clvmd.
func (g groups) shared(ctx context.Context, c *native.Call) (shared, clustered []string, err error) {
	out, err := c.Ask(ctx, "vgs", "--noheadings", "--separator", ",", "-o", "vg_name,vg_lock_type,vg_clustered")
	if err != nil {
		return nil, nil, err
	}
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSpace(line), ",")
		switch {
		case len(f) < 3:
		case f[1] == "dlm":
			shared = append(shared, f[0])
		case f[2] == "clustered":
			clustered = append(clustered, f[0])
		}
	}
	return shared, clustered, nil
}

func (g groups) start(ctx context.Context, c *native.Call) drivers.Result {
	if res := g.lockDaemon.start(ctx, c); res.RC != drivers.OK {
		return res
	}
	vgs, clustered, err := g.shared(ctx, c)
	if err != nil {
		return native.Failed(err)
	}
	if len(clustered) > 0 {
		return native.Fail(drivers.NotConfigured, "volume groups of clvmd cannot be used any more: %s; convert each once, while it is active nowhere: vgchange --lock-type none --force VG, then vgchange --lock-type dlm VG",
			strings.Join(clustered, ", "))
	}
	if len(vgs) == 0 {
		return native.OK()
	}
	if err := c.Change(ctx, append([]string{"vgchange", "--lockstart"}, vgs...)...); err != nil {
		return native.Failed(err)
	}
	if !c.Params.Bool("activate_vgs") {
		return native.OK()
	}
	how := "-asy"
	if c.Params.Bool("exclusive") {
		how = "-aey"
	}
	return native.Failed(c.Change(ctx, append([]string{"vgchange", how}, vgs...)...))
}

func (g groups) stop(ctx context.Context, c *native.Call) drivers.Result {
	if _, ok := g.running(); !ok {
		return native.OK()
	}
	vgs, _, err := g.shared(ctx, c)
	if err != nil {
		return native.Failed(err)
	}
	for _, how := range []string{"-an", "--lockstop"} {
		if len(vgs) == 0 {
			break
		}
		if err := c.Change(ctx, append([]string{"vgchange", how}, vgs...)...); err != nil {
			return native.Failed(err)
		}
	}
	return g.lockDaemon.stop(ctx, c)
}
