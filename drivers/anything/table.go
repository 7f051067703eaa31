// Package anything is the agent that supervises a program which stays in the
// foreground: ocf:heartbeat:anything.
package anything

import (
	"context"
	"os"
	"os/user"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
)

// Agents returns the agent of this package by name.
func Agents() map[drivers.Name]drivers.Agent {
	return map[drivers.Name]drivers.Agent{{Class: "ocf", Provider: "heartbeat", Type: "anything"}: Agent()}
}

// Agent is ocf:heartbeat:anything.
//
// The program runs in a session of its own and outlives the daemon. It is
// known by pid and start time, so that a reused pid is never taken for it.
func Agent() *native.Agent {
	const s = time.Second
	return &native.Agent{
		Table: meta.Agent{
			Name: "anything", Version: "1.0", API: "1.0", Short: "Supervises a program that stays in the foreground",
			Long: "Starts a program, watches that it lives, and ends it with SIGTERM, later SIGKILL. " +
				"The program must not put itself into the background.",
			Params: []meta.Param{
				{Name: "binfile", Type: meta.String, Required: true, Short: "Program",
					Long: "Path of the program, or its name to be found in PATH."},
				{Name: "cmdline_options", Type: meta.String, Short: "Arguments",
					Long: "Arguments, in quotes where they have blanks. With variables, redirections or other shell characters a shell takes the line."},
				{Name: "workdir", Type: meta.String, Short: "Folder to start the program in", Long: "Folder to start the program in; / if left out."},
				{Name: "pidfile", Type: meta.String, Default: "/var/run/anything_RESOURCE_ID.pid", Short: "File for the process id",
					Long: "File that the process id is written to. Left out, it lies in the node's own state folder."},
				{Name: "logfile", Type: meta.String, Default: "/dev/null", Short: "File the standard output is appended to"},
				{Name: "errlogfile", Type: meta.String, Short: "File the standard error is appended to",
					Long: "File the standard error is appended to. Left out, it goes where the standard output goes; " +
						"without a logfile its last part is kept for the reasons of failures."},
				{Name: "user", Type: meta.String, Default: "root", Short: "User to run the program as"},
				{Name: "monitor_hook", Type: meta.String, Short: "Shell command that checks the service",
					Long: "Shell command that monitor runs while the program lives; another exit code than 0 is a failure. Start waits until it succeeds."},
				{Name: "stop_timeout", Type: meta.String, Short: "Seconds between SIGTERM and SIGKILL",
					Long: "How long the program may take to end after SIGTERM before it is killed; two thirds of the action's timeout if left out."},
			},
			Actions: []meta.Action{
				{Name: "start", Timeout: 20 * s}, {Name: "stop", Timeout: 20 * s},
				{Name: "monitor", Timeout: 20 * s, Interval: 10 * s},
				{Name: "meta-data", Timeout: 5 * s}, {Name: "validate-all", Timeout: 5 * s},
			},
		},
		Check: check,
		Actions: map[string]native.Action{
			drivers.Start: start, drivers.Stop: stop,
			drivers.Monitor: func(ctx context.Context, c *native.Call) drivers.Result { return monitor(ctx, c) },
		},
	}
}

func check(c *native.Call) drivers.Result {
	if _, err := program(c); err != nil {
		return native.Fail(drivers.NotInstalled, "parameter binfile: %v", err)
	}
	if dir := c.Params.String("workdir"); dir != "" {
		if st, err := os.Stat(dir); err != nil || !st.IsDir() {
			return native.Fail(drivers.NotInstalled, "parameter workdir: %s is no folder on %s", dir, c.Node.Name)
		}
	}
	if name := c.Params.String("user"); c.Params.Set("user") && name != "" {
		if _, err := user.Lookup(name); err != nil {
			return native.Fail(drivers.NotInstalled, "parameter user: there is no user %s on %s", name, c.Node.Name)
		}
	}
	if text := c.Params.String("stop_timeout"); text != "" {
		if _, err := meta.ParseTime(text); err != nil {
			return native.Fail(drivers.BadArgs, "parameter stop_timeout: %v", err)
		}
	}
	if _, err := splitWords(c.Params.String("cmdline_options")); err != nil {
		return native.Fail(drivers.NotConfigured, "parameter cmdline_options: %v", err)
	}
	return native.OK()
}
