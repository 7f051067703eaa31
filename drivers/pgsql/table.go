// Package pgsql is the agent of PostgreSQL servers, ocf:heartbeat:pgsql: one
// whose data moves with shared or replicated storage, or several that
// replicate among themselves (rep_mode sync or async, a promotable clone).
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
	replication := func(name string, kind meta.Type, def, short string) meta.Param {
		return meta.Param{Name: name, Type: kind, Default: def, Short: short}
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
				{Name: "rep_mode", Type: meta.String, Default: "none", Short: "How servers replicate: none, sync, async, slave",
					Long: "none: one server. sync: commits wait for every standby that follows, and no acknowledged commit is lost when another takes over. " +
						"async: a standby may take over without the last commits. slave: the server follows a primary outside of the resource."},
				{Name: "node_list", Type: meta.String, Short: "Names of the nodes with a copy", Long: "Names of the nodes that have a copy of the data base; left out, all nodes of the cluster."},
				replication("restore_command", meta.String, "", "Command that fetches archived WAL"),
				replication("archive_cleanup_command", meta.String, "", "Command that cleans the archive"),
				replication("recovery_end_command", meta.String, "", "Command at the end of recovery"),
				replication("master_ip", meta.String, "", "Address of the primary, which moves with it"),
				{Name: "repuser", Type: meta.String, Default: "postgres", Short: "User who replicates", Long: "User as whom standbys connect. " +
					"A server that was primary and crashed is taken back by pg_rewind as this user, which therefore must be a superuser or have the grants of pg_rewind."},
				replication("primary_conninfo_opt", meta.String, "", "Further words of the connection to the primary"),
				replication("restart_on_promote", meta.Boolean, "false", "Promote by a restart, which keeps the timeline"),
				replication("replication_slot_name", meta.String, "", "Prefix of replication slots"),
				replication("tmpdir", meta.String, "/var/lib/pgsql/tmp", "Folder of the agent's files"),
				{Name: "xlog_check_count", Type: meta.Integer, Default: "3", Short: "How often positions are compared", Long: "How often in a row the comparison of positions must come out the same before a copy stands for election."},
				{Name: "crm_attr_timeout", Type: meta.Integer, Default: "5", Short: "Seconds that writing an attribute may take", Long: "Seconds that writing an attribute in the cluster may take before the action fails."},
				replication("stop_escalate_in_slave", meta.Integer, "90", "As stop_escalate, for a standby"),
				replication("check_wal_receiver", meta.Boolean, "false", "Tell in a node attribute whether the standby receives"),
			},
			Actions: []meta.Action{
				{Name: "start", Timeout: 120 * second}, {Name: "stop", Timeout: 120 * second}, {Name: "status", Timeout: 60 * second},
				{Name: "monitor", Timeout: 30 * second, Interval: 30 * second}, {Name: "monitor", Role: "Promoted", Timeout: 30 * second, Interval: 29 * second},
				{Name: "promote", Timeout: 120 * second}, {Name: "demote", Timeout: 120 * second}, {Name: "notify", Timeout: 90 * second},
				{Name: "meta-data", Timeout: 5 * second}, {Name: "validate-all", Timeout: 5 * second}, {Name: "methods", Timeout: 5 * second},
			},
		},
		Check: check,
		Actions: map[string]native.Action{drivers.Start: start, drivers.Stop: stop, drivers.Monitor: monitor, "status": monitor,
			drivers.Promote: promote, drivers.Demote: demote, drivers.Notify: notify},
	}
}

func check(c *native.Call) drivers.Result {
	v := c.Params
	switch mode := v.String("rep_mode"); mode {
	case "none", "":
		if c.MetaInt("promoted_max", c.MetaInt("master_max", 0)) > 0 {
			return native.Fail(drivers.NotConfigured, "a promotable pgsql needs rep_mode=sync or async")
		}
	case "sync", "async":
		if c.Action == drivers.Start && c.MetaInt("promoted_max", c.MetaInt("master_max", 0)) < 1 {
			return native.Fail(drivers.NotConfigured, "rep_mode=%s needs a promotable clone (ms) of the resource", mode)
		}
		fallthrough
	case "slave":
		if v.String("master_ip") == "" {
			return native.Fail(drivers.NotConfigured, "rep_mode=%s needs parameter master_ip", mode)
		}
	default:
		return native.Fail(drivers.NotConfigured, "rep_mode=%s is none of none, sync, async, slave", mode)
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
