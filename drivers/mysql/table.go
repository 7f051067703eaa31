// Package mysql is the agent of MySQL and MariaDB servers whose data moves
// with shared or replicated storage: ocf:heartbeat:mysql. Replication between
// servers (a promotable clone) is left to the script of that name.
package mysql

import (
	"os"
	"os/user"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
)

// Agents returns the agent of this package by name.
func Agents() map[drivers.Name]drivers.Agent {
	return map[drivers.Name]drivers.Agent{{Class: "ocf", Provider: "heartbeat", Type: "mysql"}: Agent()}
}

const second = time.Second

// Agent is ocf:heartbeat:mysql for a single server.
func Agent() *native.Agent {
	text := func(name, def, short string) meta.Param {
		return meta.Param{Name: name, Type: meta.String, Default: def, Short: short}
	}
	replication := func(name, def string) meta.Param {
		return meta.Param{Name: name, Type: meta.String, Default: def, Short: "For replication (not supported)",
			Long: "Replication between servers is served by the script of this name only; the built-in agent refuses a promotable clone."}
	}
	return &native.Agent{
		Table: meta.Agent{
			Name: "mysql", Version: "1.0", API: "1.0", Short: "MySQL or MariaDB server",
			Long: "Starts a database server on data that moves with the resource. Check level 10 asks for a table.",
			Params: []meta.Param{
				text("binary", "/usr/bin/mysqld_safe", "Program that starts the server"),
				text("client_binary", "mysql", "Client program"),
				text("config", "/etc/mysql/my.cnf", "Configuration file"),
				text("datadir", "/var/lib/mysql", "Folder of the data"),
				text("user", "mysql", "User of the server"),
				text("group", "mysql", "Group of the server"),
				text("log", "/var/log/mysql/error.log", "Log of errors"),
				text("pid", "/var/run/mysqld/mysqld.pid", "Pid file"),
				text("socket", "/var/run/mysqld/mysqld.sock", "Socket"),
				text("test_table", "mysql.user", "Table that check level 10 counts"),
				text("test_user", "root", "User who counts it"),
				text("test_passwd", "", "Password of that user"),
				{Name: "enable_creation", Type: meta.Boolean, Default: "0", Short: "Create the data base if there is none"},
				text("additional_parameters", "", "Further arguments of the server"),
				replication("replication_user", "root"), replication("replication_passwd", ""), replication("replication_port", "3306"),
				replication("replication_require_ssl", "false"), replication("replication_master_ssl_ca", ""),
				replication("replication_master_ssl_cert", ""), replication("replication_master_ssl_key", ""),
				{Name: "max_slave_lag", Type: meta.Integer, Default: "3600", Short: "For replication (not supported)"},
				{Name: "evict_outdated_slaves", Type: meta.Boolean, Default: "false", Short: "For replication (not supported)"},
				{Name: "reader_attribute", Type: meta.String, Default: "readable", Unique: true, Short: "For replication (not supported)"},
			},
			Actions: []meta.Action{
				{Name: "start", Timeout: 120 * second}, {Name: "stop", Timeout: 120 * second}, {Name: "status", Timeout: 60 * second},
				{Name: "monitor", Timeout: 30 * second, Interval: 20 * second},
				{Name: "monitor", Role: "Promoted", Timeout: 30 * second, Interval: 10 * second},
				{Name: "monitor", Role: "Unpromoted", Timeout: 30 * second, Interval: 30 * second},
				{Name: "promote", Timeout: 120 * second}, {Name: "demote", Timeout: 120 * second}, {Name: "notify", Timeout: 90 * second},
				{Name: "validate-all", Timeout: 5 * second}, {Name: "meta-data", Timeout: 5 * second},
			},
		},
		Check:   check,
		Actions: map[string]native.Action{drivers.Start: start, drivers.Stop: stop, drivers.Monitor: monitor, "status": monitor},
	}
}

func check(c *native.Call) drivers.Result {
	v := c.Params
	if c.MetaInt("promoted_max", c.MetaInt("master_max", 0)) > 0 {
		return native.Fail(drivers.NotConfigured, "the built-in mysql agent serves a single server on storage that moves; "+
			"for replication between servers install the resource-agents package, whose script of this name does it")
	}
	for _, tool := range []string{"binary", "client_binary"} {
		if _, err := c.Tool(v.String(tool)); err != nil {
			return native.Fail(drivers.NotInstalled, "parameter %s: %v", tool, err)
		}
	}
	if _, err := os.Stat(v.String("config")); err != nil {
		return native.Fail(drivers.NotInstalled, "parameter config: %v", err)
	}
	if st, err := os.Stat(v.String("datadir")); err != nil || !st.IsDir() {
		return native.Fail(drivers.NotInstalled, "parameter datadir: %s is no folder on %s; is its file system mounted before this resource starts?", v.String("datadir"), c.Node.Name)
	}
	if _, err := user.Lookup(v.String("user")); err != nil {
		return native.Fail(drivers.NotInstalled, "parameter user: there is no user %s on %s", v.String("user"), c.Node.Name)
	}
	if _, err := user.LookupGroup(v.String("group")); err != nil {
		return native.Fail(drivers.NotInstalled, "parameter group: there is no group %s on %s", v.String("group"), c.Node.Name)
	}
	return native.OK()
}
