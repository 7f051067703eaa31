// Package native puts all fencing methods together that need no package of the
// distribution, under the names of the agents they stand for.
package native

import (
	"maps"

	"gcrm/fencing"
	"gcrm/fencing/agent"
	"gcrm/fencing/apcsmart"
	"gcrm/fencing/ipmilan"
	"gcrm/fencing/kdump"
	"gcrm/fencing/laboratory"
	"gcrm/fencing/redfish"
	"gcrm/fencing/sbd"
	"gcrm/fencing/snmp"
	"gcrm/fencing/virsh"
	"gcrm/fencing/watchdog"
	"gcrm/fencing/xvm"
)

// Methods returns the native methods by the names of their agents. Some have
// two: the older one of a plug-in, and the one with fence_ in front. program finds
// the agents of the distribution, for what a native one leaves to them; it may be
// nil.
func Methods(program func(name string) (fencing.Method, error)) map[string]fencing.Method {
	all := map[string]fencing.Method{
		"fence_xvm":      xvm.New("fence_xvm"),
		"fence_virt":     xvm.New("fence_virt"),
		"fence_kdump":    kdump.New(),
		"fence_redfish":  redfish.New(),
		"fence_sbd":      sbd.New(),
		"apcsmart":       apcsmart.New(),
		"fence_watchdog": watchdog.NewMethod(),
		"fence_ssh":      laboratory.NewSSH(),
		"ssh":            laboratory.NewSSH(),
		"external/ssh":   laboratory.NewSSH(),
		"fence_null":     laboratory.NewNull(),
		"null":           laboratory.NewNull(),
		"fence_manual":   laboratory.NewManual(),
		"meatware":       laboratory.NewManual(),
	}
	all["fence_virsh"] = virsh.New(program)
	for name, m := range ipmilan.All() {
		all[name] = m
	}
	maps.Copy(all, snmp.All())
	return all
}

// Registry finds the native methods, and for other names the programs that are
// installed on this node in the folders, or the usual ones if none are given.
func Registry(dirs ...string) *fencing.Registry {
	f := agent.Finder{Dirs: dirs}
	return fencing.NewRegistry(Methods(f.Find), f.Find, f.Names)
}
