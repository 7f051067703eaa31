// Package all builds the registry of a node: every native agent, and the
// finders of all classes on the host.
package all

import (
	"maps"

	"gcrm/drivers"
	"gcrm/drivers/anything"
	"gcrm/drivers/clvm"
	"gcrm/drivers/controld"
	"gcrm/drivers/drbd"
	"gcrm/drivers/dummy"
	"gcrm/drivers/filesystem"
	"gcrm/drivers/ipaddr"
	"gcrm/drivers/iscsi"
	"gcrm/drivers/libvirt"
	"gcrm/drivers/lsb"
	"gcrm/drivers/lvm"
	"gcrm/drivers/mdraid"
	"gcrm/drivers/multipath"
	"gcrm/drivers/mysql"
	"gcrm/drivers/nfs"
	"gcrm/drivers/ocf"
	"gcrm/drivers/pgsql"
	"gcrm/drivers/ping"
	"gcrm/drivers/systemd"
	"gcrm/drivers/web"
)

// Options say where agents are and which are preferred; the zero value is a
// normal host that prefers scripts.
type Options struct {
	// OCFRoot is $OCF_ROOT; ocf.DefaultRoot if empty.
	OCFRoot string
	// InitDir has the init scripts; lsb.DefaultDir if empty.
	InitDir string
	// Systemd says where systemd is.
	Systemd systemd.Options
	// Preferences choose between scripts and native agents. Nodes that share
	// a host (the embedded cluster) must prefer native ones: scripts keep
	// files in places that all of them see.
	Preferences drivers.Preferences
}

// Registry builds the registry.
func Registry(o Options) *drivers.Registry {
	return drivers.NewRegistry(Natives(), map[string]drivers.Finder{
		"ocf":     ocf.NewFinder(o.OCFRoot),
		"lsb":     lsb.NewFinder(o.InitDir),
		"systemd": systemd.NewFinder(o.Systemd),
	}, withoutForeign(o.Preferences))
}

// withoutForeign prefers native agents whose scripts work with another cluster
// stack only, unless somebody chose.
func withoutForeign(p drivers.Preferences) drivers.Preferences {
	agents := map[drivers.Name]drivers.Preference{
		{Class: "ocf", Provider: "pacemaker", Type: "controld"}: drivers.PreferNative,
		{Class: "ocf", Provider: "heartbeat", Type: "clvm"}:     drivers.PreferNative,
		{Class: "ocf", Provider: "heartbeat", Type: "lvmlockd"}: drivers.PreferNative,
	}
	maps.Copy(agents, p.Agents)
	p.Agents = agents
	return p
}

// Natives returns all native agents by name.
func Natives() map[drivers.Name]drivers.Agent {
	out := map[drivers.Name]drivers.Agent{}
	for _, agents := range []map[drivers.Name]drivers.Agent{
		drbd.Agents(), dummy.Agents(), anything.Agents(), ipaddr.Agents(), filesystem.Agents(), ping.Agents(), lvm.Agents(), nfs.Agents(), web.Agents(), mysql.Agents(), multipath.Agents(), mdraid.Agents(), pgsql.Agents(), iscsi.Agents(), libvirt.Agents(), controld.Agents(), clvm.Agents(),
	} {
		maps.Copy(out, agents)
	}
	return out
}
