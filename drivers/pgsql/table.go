// Package pgsql is the agent of a PostgreSQL server whose data moves with
// shared or replicated storage: ocf:heartbeat:pgsql. Replication between
// servers (rep_mode other than none) is left to the script of that name.
package pgsql

import (
	"os"
	"os/user"
	"path/filepath"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
)

// Agents returns the agent of this package by name.
func Agents() map[drivers.Name]drivers.Agent {
	return map[drivers.Name]drivers.Agent{{Class: "ocf", Provider: "heartbeat", Type: "pgsql"}: Agent()}
}

const second = time.Second

// Agent is ocf:heartbeat:pgsql for a single server.
func Agent() *native.Agent {
	text := func(name, def, short string) meta.Param {
		return meta.Param{Name: name, Type: meta.String, Default: def, Short: short}
	}
	replication := func(name string, kind meta.Type, def string) meta.Param {
		return meta.Param{Name: name, Type: kind, Default: def, Short: "For replication (not supported)",
			Long: "Replication between servers is served by the script of this name only; the built-in agent refuses rep_mode other than none."}
	}
	return &native.Agent{
		Table: meta.Agent{
			Name: "pgsql", Version: "1.0", API: "1.0", Short: "PostgreSQL server",
			Long: "Starts a PostgreSQL server on data that moves with the resource, and asks it a query on every monitor.",
			Params: []meta.Param{
				{Name: "pgctl", Type: meta.String, Default: "/usr/bin/pg_ctl", Short: "Path of pg_ctl"},
				text("start_opt", "", "Further arguments of the server"),
				text("ctl_opt", "", "Further arguments of pg_ctl"),
				text("psql", "/usr/bin/psql", "Path of psql"),
				text("pgdata", "/var/lib/pgsql/data", "Folder of the data"),
				text("pgdba", "postgres", "User of the server"),
				{Name: "pghost", Type: meta.String, Short: "Address or folder of the socket", Long: "Address to listen on, or folder of the socket for psql."},
				{Name: "pgport", Type: meta.Integer, Default: "5432", Short: "Port"},
				text("pglibs", "/usr/lib", "Folder of the libraries"),
				text("monitor_user", "", "User who asks the query"),
				text("monitor_password", "", "Password of that user"),
				text("monitor_sql", "select now();", "Query that monitor asks"),
				{Name: "config", Type: meta.String, Default: "/var/lib/pgsql/data/postgresql.conf", Short: "Configuration file", Long: "Configuration file; left out, postgresql.conf in the folder of the data."},
				text("pgdb", "template1", "Data base that is asked"),
				text("logfile", "/dev/null", "File for the output of the server"),
				text("socketdir", "", "Folder of the socket"),
				{Name: "stop_escalate", Type: meta.Integer, Default: "90", Short: "Seconds until a stop becomes immediate"},
				replication("rep_mode", meta.String, "none"), replication("node_list", meta.String, ""),
				replication("restore_command", meta.String, ""), replication("archive_cleanup_command", meta.String, ""),
				replication("recovery_end_command", meta.String, ""), replication("master_ip", meta.String, ""),
				replication("repuser", meta.String, "postgres"), replication("primary_conninfo_opt", meta.String, ""),
				replication("restart_on_promote", meta.Boolean, "false"), replication("replication_slot_name", meta.String, ""),
				replication("tmpdir", meta.String, "/var/lib/pgsql/tmp"), replication("xlog_check_count", meta.Integer, "3"),
				replication("crm_attr_timeout", meta.Integer, "5"), replication("stop_escalate_in_slave", meta.Integer, "90"),
				replication("check_wal_receiver", meta.Boolean, "false"),
			},
			Actions: []meta.Action{
				{Name: "start", Timeout: 120 * second}, {Name: "stop", Timeout: 120 * second}, {Name: "status", Timeout: 60 * second},
				{Name: "monitor", Timeout: 30 * second, Interval: 30 * second}, {Name: "monitor", Role: "Promoted", Timeout: 30 * second, Interval: 29 * second},
				{Name: "promote", Timeout: 120 * second}, {Name: "demote", Timeout: 120 * second}, {Name: "notify", Timeout: 90 * second},
				{Name: "meta-data", Timeout: 5 * second}, {Name: "validate-all", Timeout: 5 * second}, {Name: "methods", Timeout: 5 * second},
			},
		},
		Check:   check,
		Actions: map[string]native.Action{drivers.Start: start, drivers.Stop: stop, drivers.Monitor: monitor, "status": monitor},
	}
}

func check(c *native.Call) drivers.Result {
	v := c.Params
	if mode := v.String("rep_mode"); mode != "none" && mode != "" {
		return native.Fail(drivers.NotConfigured, "rep_mode=%s: the built-in pgsql agent serves a single server on storage that moves; "+
			"for replication between servers install the resource-agents package, whose script of this name does it", mode)
	}
	for _, tool := range []string{"pgctl", "psql"} {
		if _, err := c.Tool(v.String(tool)); err != nil {
			return native.Fail(drivers.NotInstalled, "parameter %s: %v", tool, err)
		}
	}
	if _, err := user.Lookup(v.String("pgdba")); err != nil {
		return native.Fail(drivers.NotInstalled, "parameter pgdba: there is no user %s on %s", v.String("pgdba"), c.Node.Name)
	}
	if _, err := os.Stat(filepath.Join(v.String("pgdata"), "PG_VERSION")); err != nil {
		return native.Fail(drivers.NotInstalled, "parameter pgdata: %s has no data base on %s; is its file system mounted before this resource starts?", v.String("pgdata"), c.Node.Name)
	}
	if _, err := os.Stat(config(c)); err != nil {
		return native.Fail(drivers.NotInstalled, "parameter config: %v", err)
	}
	return native.OK()
}

// config is the configuration file: beside the data unless it is named.
func config(c *native.Call) string {
	if p := c.Params.String("config"); c.Params.Set("config") && p != "" {
		return p
	}
	return filepath.Join(c.Params.String("pgdata"), "postgresql.conf")
}
