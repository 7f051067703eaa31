// Package drbd is the agent of DRBD, ocf:linbit:drbd: on the kernel's module, of
// versions 8.4 and 9, or on the native core of package replication where there is
// none.
package drbd

import (
	"os"
	"strings"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
)

// Agents returns the agent of this package by name.
func Agents() map[drivers.Name]drivers.Agent {
	h := host{proc: "/proc/drbd", pause: time.Second, patience: 5 * time.Second, calm: 15 * time.Second, device: "loop"}
	if self, err := os.Executable(); err == nil {
		h.gcrm = self
	}
	return map[drivers.Name]drivers.Agent{{Class: "ocf", Provider: "linbit", Type: "drbd"}: agent(h, nil)}
}

// host is where the agent looks, and how long it waits between attempts.
type host struct {
	proc  string // is there while the module is loaded
	pause time.Duration
	// patience is how long stop tries to tell the cluster something.
	patience time.Duration
	// calm is the least time a failed promotion takes, so that recovery does
	// not go round in a tight loop.
	calm time.Duration
	// gcrm is this program, for the native core; empty for a host without it.
	gcrm   string
	device string // --device of gcrm volume up
}

const second = time.Second

func agent(h host, path []string) *native.Agent {
	return &native.Agent{
		Table: meta.Agent{
			Name: "drbd", Version: "LINBIT 1.4", API: "1.0", Short: "DRBD resource, promotable",
			Long: "Runs a resource of the DRBD configuration, as a promotable clone with notify=true: on the kernel's module, or in user space where the host has none.",
			Params: []meta.Param{
				{Name: "drbd_resource", Type: meta.String, Required: true, Unique: true, Short: "Name of the resource in the DRBD configuration"},
				{Name: "drbdconf", Type: meta.String, Default: "/etc/drbd.conf", Short: "DRBD configuration file"},
				{Name: "core", Type: meta.String, Default: "auto", Short: "kernel, native or auto",
					Long: "kernel is the DRBD module, native is gcrm's own replication in user space; auto takes the module if the host has it. Both speak the same protocol."},
				{Name: "adjust_master_score", Type: meta.String, Default: "0 10 1000 10000", Short: "Promotion scores",
					Long: "Four ascending numbers: local data only known to be consistent; good data at a peer alone; local data good and a peer's not known; everything known and good. 0 withdraws the score."},
				{Name: "stop_outdates_secondary", Type: meta.Boolean, Default: "false", Short: "Mark the data outdated on stop while another node is promoted"},
				{Name: "ignore_missing_notifications", Type: meta.Boolean, Default: "false", Short: "Run without notify=true"},
				{Name: "wfc_timeout", Type: meta.Integer, Default: "5", Short: "Seconds a start waits for connections"},
				{Name: "remove_master_score_if_peer_primary", Type: meta.String, Default: "false", Short: "Withdraw the promotion score while a healthy peer is Primary"},
				{Name: "fail_promote_early_if_peer_primary", Type: meta.Boolean, Default: "false", Short: "Promote once only while a peer is Primary that the cluster does not know of"},
				{Name: "unfence_if_all_uptodate", Type: meta.Boolean, Default: "false", Short: "Run the unfence handler once everything is up to date"},
				// A list of options, although the script calls it boolean.
				{Name: "unfence_extra_args", Type: meta.String, Default: "--quiet --flock-required --flock-timeout 0 --unfence-only-if-owner-match", Short: "Further arguments of the unfence handler"},
				{Name: "require_drbd_module_version_ge", Type: meta.String, Default: "8.0.0", Short: "Lowest version of the module; empty for any"},
				{Name: "require_drbd_module_version_lt", Type: meta.String, Default: "10.0.0", Short: "Version the module must be below; empty for any"},
				{Name: "connect_only_after_promote", Type: meta.Boolean, Default: "false", Short: "Stay disconnected until promoted"},
			},
			Actions: []meta.Action{
				{Name: "start", Timeout: 240 * second}, {Name: "reload", Timeout: 30 * second},
				{Name: "promote", Timeout: 90 * second}, {Name: "demote", Timeout: 90 * second},
				{Name: "notify", Timeout: 90 * second}, {Name: "stop", Timeout: 100 * second},
				{Name: "monitor", Role: "Unpromoted", Timeout: 20 * second, Interval: 20 * second},
				{Name: "monitor", Role: "Promoted", Timeout: 20 * second, Interval: 10 * second},
				{Name: "meta-data", Timeout: 5 * second}, {Name: "validate-all"},
			},
		},
		Path:  path,
		Check: check,
		Actions: map[string]native.Action{
			drivers.Start: h.start, drivers.Stop: h.stop, drivers.Monitor: h.monitor, drivers.Promote: h.promote,
			drivers.Demote: h.demote, drivers.Notify: h.notify, drivers.Reload: h.reload, drivers.Validate: h.validate,
		},
	}
}

// check looks at what can be known without the host's tools.
func check(c *native.Call) drivers.Result {
	for _, name := range []string{"drbd_resource", "drbdconf"} {
		if v := c.Params.String(name); strings.ContainsFunc(v, func(r rune) bool {
			return !strings.ContainsRune("%+./:=@_-", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
		}) {
			return native.Fail(drivers.NotConfigured, "parameter %s: %q may only have letters, digits and any of %%+./:=@_-", name, v)
		}
	}
	if v := c.Params.String("core"); v != "" && v != "auto" && v != "kernel" && v != "native" {
		return native.Fail(drivers.NotConfigured, "parameter core: %q is none of auto, kernel, native", v)
	}
	if _, err := parseScores(c.Params.String("adjust_master_score")); err != nil {
		return native.Fail(drivers.NotConfigured, "%v", err)
	}
	for _, name := range []string{"require_drbd_module_version_ge", "require_drbd_module_version_lt"} {
		if v := c.Params.String(name); v != "" {
			if _, ok := parseVersion(v); !ok {
				return native.Fail(drivers.NotConfigured, "parameter %s: %q is not a version such as 8.4.11", name, v)
			}
		}
	}
	if v := c.Params.String("remove_master_score_if_peer_primary"); v != "" {
		if _, ok := meta.ParseBool(v); !ok {
			return native.Fail(drivers.NotConfigured, "parameter remove_master_score_if_peer_primary: %q is not served, use true or false", v)
		}
	}
	return limits(c)
}

// limits checks the numbers of instances: two of them cannot share a node.
func limits(c *native.Call) drivers.Result {
	promoted := promotedMax(c)
	switch {
	case c.MetaInt("clone_node_max", 1) != 1:
		return native.Fail(drivers.NotConfigured, "clone-node-max is %d: DRBD can run once on a node, set it to 1", c.MetaInt("clone_node_max", 1))
	case c.MetaInt("promoted_node_max", c.MetaInt("master_node_max", 1)) != 1:
		return native.Fail(drivers.NotConfigured, "promoted-node-max must be 1")
	case promoted > 2:
		return native.Fail(drivers.NotConfigured, "promoted-max is %d: DRBD has at most two Primaries", promoted)
	case promoted == 2 && c.MetaInt("clone_max", 2) > 2:
		return native.Fail(drivers.NotConfigured, "clone-max is %d: with two Primaries (promoted-max=2) it can be 2 at most", c.MetaInt("clone_max", 2))
	}
	if c.Action != drivers.Validate && !c.Params.Bool("ignore_missing_notifications") && !c.MetaTrue("notify") {
		if _, ok := c.Meta["notify_start_uname"]; !ok {
			return native.Fail(drivers.NotConfigured, "the clone of %s has no notifications: set its meta attribute notify=true, or the parameter ignore_missing_notifications=true", c.Resource)
		}
	}
	return native.OK()
}

func promotedMax(c *native.Call) int { return c.MetaInt("promoted_max", c.MetaInt("master_max", 1)) }
