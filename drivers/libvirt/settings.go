package libvirt

import (
	"context"
	"fmt"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/libvirt/rpc"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
)

// machine is an agent of virtual machines. VirtualDomain and Xen differ in
// their parameters; what they do to libvirt is the same.
type machine struct {
	kind     string // the agent's type
	settings func(c *native.Call) settings
	route    func(ctx context.Context, c *native.Call) (route, error)
}

// settings are an agent's parameters in libvirt's terms.
type settings struct {
	config string // path of the definition
	xl     bool   // which may be in xl's format
	name   string // of the domain, if not the definition's
	uri    string // of the hypervisor here

	force    bool          // stop by switching off
	patience time.Duration // with a shutdown; 0 is as long as there is time
	mode     uint32        // of the shutdown
	snapshot string        // folder for the memory of stopped domains

	saveConfig     bool
	startResources bool
	scripts        []string // run by each monitor
	migrateOptions []string
	speed          int // MiB/s
	downtime       int // ms
	utilization    share
}

func virtualSettings(c *native.Call) settings {
	v := c.Params
	mode, _ := shutdownFlags(v.String("shutdown_mode"))
	names := []string{"cpu", "host_memory", "hv_memory"}
	return settings{config: v.String("config"), uri: v.String("hypervisor"), force: v.Bool("force_stop"), mode: mode,
		snapshot: v.String("snapshot"), saveConfig: v.Bool("save_config_on_stop"), startResources: v.Bool("start_resources"),
		scripts: v.Words("monitor_scripts"), migrateOptions: v.Words("migrate_options"), speed: v.Int("migration_speed"),
		downtime: v.Int("migration_downtime"), utilization: shareOf(c, names, names)}
}

func virtualRoute(_ context.Context, c *native.Call) (route, error) {
	v := c.Params
	return route{node: target(c), hypervisor: v.String("hypervisor"), transport: v.String("migration_transport"),
		user: v.String("migration_user"), suffix: v.String("migration_network_suffix"),
		remote: v.String("remoteuri"), data: v.String("migrateuri"), port: v.Int("migrateport")}, nil
}

func (v machine) checkVirtual(c *native.Call) drivers.Result {
	p := c.Params
	for _, name := range []string{"backingfile", "copyindirs"} {
		if p.String(name) != "" {
			return unserved(name)
		}
	}
	for _, name := range []string{"stateless", "sync_config_on_stop"} {
		if p.Bool(name) {
			return unserved(name)
		}
	}
	if p.Bool("force_stop") && p.String("snapshot") != "" {
		return native.Fail(drivers.NotConfigured, "force_stop and snapshot exclude each other")
	}
	if _, err := shutdownFlags(p.String("shutdown_mode")); err != nil {
		return native.Fail(drivers.NotConfigured, "%v", err)
	}
	if _, err := parseOptions(p.Words("migrate_options")); err != nil {
		return native.Fail(drivers.NotConfigured, "%v", err)
	}
	if _, err := rpc.ParseAddress(p.String("hypervisor")); err != nil {
		return native.Fail(drivers.NotConfigured, "hypervisor: %v", err)
	}
	return v.checkDefinition(c)
}

func (v machine) checkDefinition(c *native.Call) drivers.Result {
	if _, err := v.define(c); err != nil {
		return native.Fail(drivers.NotInstalled, "%v", err)
	}
	return native.OK()
}

func unserved(param string) drivers.Result {
	return native.Fail(drivers.NotConfigured, "%s is not served by the native agent: prefer the script for this resource", param)
}

func xenSettings(c *native.Call, uri string) settings {
	v := c.Params
	s := settings{config: v.String("xmfile"), xl: true, name: v.String("name"), uri: uri, scripts: v.Words("monitor_scripts"),
		utilization: shareOf(c, []string{"cpu", "hv_memory"}, nil)}
	if v.Bool("shutdown_acpi") {
		s.mode = rpc.ShutdownACPI
	}
	if s.patience, _ = meta.ParseTime(v.String("shutdown_timeout")); s.patience == 0 {
		s.patience = c.Timeout * 2 / 3
	}
	return s
}

// xenRoute is by ssh, as xl itself migrates, to the node's name or the
// address that a node attribute has.
func xenRoute(ctx context.Context, c *native.Call) (route, error) {
	r := route{node: target(c), hypervisor: "xen:///system", transport: "ssh"}
	attribute := c.Params.String("node_ip_attribute")
	if attribute == "" {
		return r, nil
	}
	address, ok, err := c.Node.Cluster.Attribute(ctx, r.node, attribute)
	switch {
	case err != nil:
		return r, fmt.Errorf("attribute %s of node %s: %w", attribute, r.node, err)
	case !ok || address == "":
		return r, fmt.Errorf("node %s has no attribute %s with its address for migrations", r.node, attribute)
	}
	r.remote, r.data = "xen+ssh://"+address+"/system", address
	return r, nil
}

func (v machine) checkXen(c *native.Call) drivers.Result {
	if c.Params.Bool("allow_mem_management") {
		return unserved("allow_mem_management")
	}
	if text := c.Params.String("shutdown_timeout"); text != "" {
		if _, err := meta.ParseTime(text); err != nil {
			return native.Fail(drivers.NotConfigured, "shutdown_timeout: %v", err)
		}
	}
	return v.checkDefinition(c)
}
