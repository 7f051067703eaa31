// Package filesystem is the agent that mounts file systems:
// ocf:heartbeat:Filesystem. It mounts and unmounts by system call wherever a
// type needs no helper program, and names who keeps a file system busy.
package filesystem

import (
	"slices"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
)

// Agents returns the agent of this package by name.
func Agents() map[drivers.Name]drivers.Agent {
	return map[drivers.Name]drivers.Agent{{Class: "ocf", Provider: "heartbeat", Type: "Filesystem"}: Agent()}
}

// Agent is ocf:heartbeat:Filesystem.
func Agent() *native.Agent {
	const s = time.Second
	return &native.Agent{
		Table: meta.Agent{
			Name: "Filesystem", Version: "1.1", API: "1.0", Short: "Mounted file system",
			Long: "Mounts a file system, watches that it is mounted, and unmounts it, ending the processes that use it. " +
				"Check level 10 reads from the device, level 20 writes to the file system.",
			Params: []meta.Param{
				{Name: "device", Type: meta.String, Required: true, Short: "What to mount",
					Long: "Block device, -U and a UUID or -L and a label, server:/path, or the folder to bind."},
				{Name: "directory", Type: meta.String, Required: true, Short: "Mount point", Long: "Mount point; it is created if it does not exist."},
				{Name: "fstype", Type: meta.String, Required: true, Short: "Type of the file system", Long: "Type of the file system; none with the option bind to bind a folder."},
				{Name: "options", Type: meta.String, Short: "Mount options, separated by commas"},
				{Name: "statusfile_prefix", Type: meta.String, Default: ".Filesystem_status/", Short: "Beginning of the path of the file that check level 20 writes"},
				{Name: "run_fsck", Type: meta.String, Default: "auto", Short: "Check the file system before mounting",
					Long: "auto checks types that need it, force all, no none."},
				{Name: "fast_stop", Type: meta.Boolean, Default: "no", Short: "Give a stop 6 seconds at most",
					Long: "Give up unmounting after 6 seconds instead of using the whole timeout."},
				{Name: "force_clones", Type: meta.Boolean, Default: "false", Short: "Allow clones of any type",
					Long: "Allow to mount a file system on several nodes although its type cannot bear that. It destroys data unless the devices differ."},
				{Name: "force_unmount", Type: meta.String, Default: "true", Short: "End processes that use the file system on stop",
					Long: "true ends every process with a file on the device, safe only those whose open files, folders or programs lie below the mount point, false none."},
				{Name: "term_signals", Type: meta.String, Default: "TERM", Short: "Signals sent first to processes that use the file system"},
				{Name: "kill_signals", Type: meta.String, Default: "KILL", Short: "Signals sent in the second half of the time"},
				{Name: "signal_delay", Type: meta.Time, Default: "1", Short: "Seconds between signals"},
			},
			Actions: []meta.Action{
				{Name: "start", Timeout: 60 * s}, {Name: "stop", Timeout: 60 * s},
				{Name: "monitor", Timeout: 40 * s, Interval: 20 * s},
				{Name: "validate-all", Timeout: 5 * s}, {Name: "meta-data", Timeout: 5 * s},
			},
		},
		Check:   check,
		Actions: map[string]native.Action{drivers.Start: start, drivers.Stop: stop, drivers.Monitor: monitor, "status": monitor},
	}
}

func check(c *native.Call) drivers.Result {
	t, err := read(c)
	if err != nil {
		return native.Fail(drivers.NotConfigured, "%v", err)
	}
	if _, err := readPressure(c.Params); err != nil {
		return native.Fail(drivers.NotConfigured, "%v", err)
	}
	if mode := c.Params.String("run_fsck"); !slices.Contains([]string{"", "auto", "force", "no"}, mode) {
		return native.Fail(drivers.NotConfigured, "parameter run_fsck: %q is neither auto, force nor no", mode)
	}
	if c.Cloned() && slices.Contains(singleNode, t.fstype) && !t.options.readOnly && !c.Params.Bool("force_clones") {
		return native.Fail(drivers.NotConfigured, "a clone would mount %s on several nodes, and type %s cannot bear that: "+
			"use gfs2 or ocfs2, mount it ro, or set force_clones=true if every node has a device of its own", t.device, t.fstype)
	}
	return native.OK()
}
