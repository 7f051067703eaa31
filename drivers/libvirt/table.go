// Package libvirt has the agents of virtual machines, on libvirt's own
// protocol: ocf:heartbeat:VirtualDomain and ocf:heartbeat:Xen.
package libvirt

import (
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
)

// Agents returns the agents of this package by name.
func Agents() map[drivers.Name]drivers.Agent {
	return map[drivers.Name]drivers.Agent{
		{Class: "ocf", Provider: "heartbeat", Type: "VirtualDomain"}: virtualDomain(),
		{Class: "ocf", Provider: "heartbeat", Type: "Xen"}:           xen("xen:///system"),
	}
}

const second = time.Second

func virtualDomain() *native.Agent {
	v := machine{kind: "VirtualDomain", settings: virtualSettings, route: virtualRoute}
	text := func(name, def, short, long string) meta.Param {
		return meta.Param{Name: name, Type: meta.String, Default: def, Short: short, Long: long}
	}
	flag := func(name, def, short string) meta.Param {
		return meta.Param{Name: name, Type: meta.Boolean, Default: def, Short: short}
	}
	number := func(name, def, short string) meta.Param {
		return meta.Param{Name: name, Type: meta.Integer, Default: def, Short: short}
	}
	return &native.Agent{
		Table: meta.Agent{
			Name: "VirtualDomain", Version: "1.1", API: "1.0", Short: "Virtual machine under libvirt",
			Long: "Runs a virtual machine from its libvirt XML file. The machine is transient in libvirt: the file, the same on every node, is the only definition.",
			Params: []meta.Param{
				{Name: "config", Type: meta.String, Required: true, Unique: true, Short: "XML file of the domain", Long: "Path of the domain's libvirt XML, the same on every node."},
				text("hypervisor", "", "URI of the hypervisor", "Such as qemu:///system; absent, the daemon of the node chooses."),
				flag("force_stop", "0", "Stop by switching off, without shutdown"),
				text("migration_transport", "", "Way to the other node's daemon", "ssh, tls or tcp."),
				text("migration_user", "", "User on the other node", ""),
				number("migration_downtime", "0", "Longest pause of a live migration, in ms; 0 is libvirt's default"),
				number("migration_speed", "0", "Bandwidth of a live migration, in MiB/s; 0 is unlimited"),
				text("migration_network_suffix", "", "Suffix of node names in the migration network", "Put behind the first label of the node's name."),
				text("migrateuri", "", "URI the memory is sent to", "%n is the name of the other node."),
				text("migrate_options", "", "Options of a live migration, as virsh writes them", ""),
				text("monitor_scripts", "", "Programs that each monitor runs too, separated by blanks", ""),
				flag("autoset_utilization_cpu", "true", "Set the resource's utilization cpu from the domain"),
				flag("autoset_utilization_host_memory", "true", "Set the resource's utilization host_memory from the domain"),
				flag("autoset_utilization_hv_memory", "true", "Set the resource's utilization hv_memory from the domain"),
				flag("unset_utilization_cpu", "false", "Remove the resource's utilization cpu"),
				flag("unset_utilization_host_memory", "false", "Remove the resource's utilization host_memory"),
				flag("unset_utilization_hv_memory", "false", "Remove the resource's utilization hv_memory"),
				number("migrateport", "", "Port in the migration network"),
				text("remoteuri", "", "URI of the other node's daemon", "%n is the name of the other node."),
				flag("save_config_on_stop", "", "Write the running domain's XML to the file before a stop"),
				flag("sync_config_on_stop", "", "Copy that file to the other nodes too"),
				text("snapshot", "", "Folder for the memory of stopped domains", "A stop saves the domain there instead of shutting it down, a start restores it."),
				text("backingfile", "", "Backing file of a copy-on-write disk", ""),
				flag("stateless", "false", "Make that disk anew at each start"),
				text("copyindirs", "", "Folders copied into the disk before start", ""),
				text("shutdown_mode", "", "Ways of shutdown, such as acpi,agent", "Any of acpi, agent, initctl, signal, paravirt; separated by commas."),
				flag("start_resources", "false", "Start the storage pools and networks of the domain first"),
			},
			Actions: []meta.Action{
				{Name: "start", Timeout: 90 * second}, {Name: "stop", Timeout: 90 * second},
				{Name: "status", Timeout: 30 * second, Interval: 10 * second}, {Name: "monitor", Timeout: 30 * second, Interval: 10 * second},
				{Name: "migrate_from", Timeout: 60 * second}, {Name: "migrate_to", Timeout: 120 * second},
				{Name: "meta-data", Timeout: 5 * second}, {Name: "validate-all", Timeout: 5 * second},
			},
		},
		Check:   v.checkVirtual,
		Actions: v.actions(),
	}
}

func (v machine) actions() map[string]native.Action {
	return map[string]native.Action{drivers.Start: v.start, drivers.Stop: v.stop, drivers.Monitor: v.monitor, "status": v.monitor,
		drivers.MigrateTo: v.migrateTo, drivers.MigrateFrom: v.migrateFrom}
}

// xen is the Xen agent on the hypervisor of the URI.
func xen(uri string) *native.Agent {
	v := machine{kind: "Xen", settings: func(c *native.Call) settings { return xenSettings(c, uri) }, route: xenRoute}
	flag := func(name, def, short string) meta.Param {
		return meta.Param{Name: name, Type: meta.Boolean, Default: def, Short: short}
	}
	return &native.Agent{
		Table: meta.Agent{
			Name: "Xen", Version: "1.0", API: "1.0", Short: "Virtual machine under Xen",
			Long: "Runs a Xen domain through libvirt from its xl configuration or its libvirt XML file, the same on every node. Domains that the hosts start themselves at boot (xendomains) must not be the cluster's too.",
			Params: []meta.Param{
				{Name: "xmfile", Type: meta.String, Required: true, Default: "/etc/xen/vm/MyDomU", Short: "Configuration of the domain", Long: "Path of the domain's xl configuration or libvirt XML, the same on every node."},
				{Name: "name", Type: meta.String, Short: "Name of the domain", Long: "Takes the place of the configuration's; without either it is the resource's id."},
				{Name: "shutdown_timeout", Type: meta.String, Short: "Seconds a shutdown may take", Long: "The domain is switched off afterwards. Two thirds of the stop's timeout by default."},
				flag("shutdown_acpi", "0", "Shut down by the ACPI power button"),
				flag("allow_mem_management", "0", "Give and take memory of Dom0"),
				{Name: "node_ip_attribute", Type: meta.String, Short: "Node attribute with the address for migrations"},
				{Name: "reserved_Dom0_memory", Type: meta.String, Default: "512", Short: "Memory left to Dom0, in MB"},
				flag("autoset_utilization_cpu", "false", "Set the resource's utilization cpu from the domain"),
				flag("autoset_utilization_hv_memory", "false", "Set the resource's utilization hv_memory from the domain"),
				{Name: "monitor_scripts", Type: meta.String, Short: "Programs that each monitor runs too, separated by blanks"},
			},
			Actions: []meta.Action{
				{Name: "start", Timeout: 60 * second}, {Name: "stop", Timeout: 40 * second},
				{Name: "migrate_from", Timeout: 120 * second}, {Name: "migrate_to", Timeout: 120 * second},
				{Name: "monitor", Timeout: 30 * second, Interval: 10 * second},
				{Name: "meta-data", Timeout: 5 * second}, {Name: "validate-all", Timeout: 5 * second},
			},
		},
		Check:   v.checkXen,
		Actions: v.actions(),
	}
}
