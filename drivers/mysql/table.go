// Package mysql has the agents of MySQL and MariaDB servers:
// ocf:heartbeat:mysql for one whose data moves with shared or replicated
// storage, and it and ocf:heartbeat:mariadb as promotable clones for MariaDB
// servers that replicate among themselves. Replication of MySQL servers is
// left to the script of that name.
package mysql

import (
	"os"
	"os/user"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
)

// Agents returns the agents of this package by name.
func Agents() map[drivers.Name]drivers.Agent {
	return map[drivers.Name]drivers.Agent{
		{Class: "ocf", Provider: "heartbeat", Type: "mysql"}:   Agent(),
		{Class: "ocf", Provider: "heartbeat", Type: "mariadb"}: MariaDB(),
	}
}

const second = time.Second

func text(name, def, short string) meta.Param {
	return meta.Param{Name: name, Type: meta.String, Default: def, Short: short}
}

// server are the parameters that both agents have.
func server() []meta.Param {
	return []meta.Param{
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
		{Name: "replication_user", Type: meta.String, Default: "root", Short: "User who replicates",
			Long: "User as whom replicas connect, and as whom the agent changes the settings of the server over its socket; it needs SUPER, REPLICATION SLAVE, REPLICATION CLIENT, PROCESS and RELOAD."},
		text("replication_passwd", "", "Password of that user"),
		text("replication_port", "3306", "Port of the primary"),
	}
}

func actions() []meta.Action {
	return []meta.Action{
		{Name: "start", Timeout: 120 * second}, {Name: "stop", Timeout: 120 * second}, {Name: "status", Timeout: 60 * second},
		{Name: "monitor", Timeout: 30 * second, Interval: 20 * second},
		{Name: "monitor", Role: "Promoted", Timeout: 30 * second, Interval: 10 * second},
		{Name: "monitor", Role: "Unpromoted", Timeout: 30 * second, Interval: 30 * second},
		{Name: "promote", Timeout: 120 * second}, {Name: "demote", Timeout: 120 * second}, {Name: "notify", Timeout: 90 * second},
		{Name: "validate-all", Timeout: 5 * second}, {Name: "meta-data", Timeout: 5 * second},
	}
}

func does() map[string]native.Action {
	return map[string]native.Action{drivers.Start: start, drivers.Stop: stop, drivers.Monitor: monitor, "status": monitor,
		drivers.Promote: promote, drivers.Demote: demote, drivers.Notify: notify}
}

const replicationText = " Of servers that replicate, the primary acknowledges a commit when a replica has it (semi-synchronous replication), " +
	"and only a copy with every acknowledged commit is promoted. Every server needs log_bin and a server_id of its own; " +
	"the node attribute RESOURCE_mysql_master_IP is the address of a node for its replicas, the name of the node if it is not set. The clone needs notify=true."

// Agent is ocf:heartbeat:mysql.
func Agent() *native.Agent {
	return &native.Agent{
		Table: meta.Agent{
			Name: "mysql", Version: "1.0", API: "1.0", Short: "MySQL or MariaDB server",
			Long: "Starts a database server on data that moves with the resource; as a promotable clone, MariaDB servers that replicate. Check level 10 asks for a table." + replicationText,
			Params: append(server(),
				text("replication_require_ssl", "false", "Replicas connect with TLS"),
				text("replication_master_ssl_ca", "", "Certificate authority for that"),
				text("replication_master_ssl_cert", "", "Certificate for that"),
				text("replication_master_ssl_key", "", "Key for that"),
				meta.Param{Name: "max_slave_lag", Type: meta.Integer, Default: "3600", Short: "Seconds a replica may be behind to count as readable"},
				meta.Param{Name: "evict_outdated_slaves", Type: meta.Boolean, Default: "false", Short: "A replica farther behind fails"},
				meta.Param{Name: "reader_attribute", Type: meta.String, Default: "readable", Unique: true, Short: "Node attribute that is 1 where reading is allowed"}),
			Actions: actions(),
		},
		Check: check, Actions: does(),
	}
}

// MariaDB is ocf:heartbeat:mariadb.
func MariaDB() *native.Agent {
	return &native.Agent{
		Table: meta.Agent{
			Name: "mariadb", Version: "1.0", API: "1.0", Short: "MariaDB servers that replicate",
			Long: "Starts MariaDB servers that replicate, one of them the primary. Needs a promotable clone." + replicationText,
			Params: append(server(),
				meta.Param{Name: "node_list", Type: meta.String, Required: true, Short: "Names of the nodes with a copy",
					Long: "Names of the nodes that have a copy. Before the first promotion all of them must have told how far their copies are."}),
			Actions: actions(),
		},
		Check: check, Actions: does(),
	}
}

func check(c *native.Call) drivers.Result {
	v := c.Params
	if c.Agent.Type == "mariadb" && c.Action == drivers.Start && c.MetaInt("promoted_max", c.MetaInt("master_max", 0)) < 1 {
		return native.Fail(drivers.NotConfigured, "mariadb needs a promotable clone (ms); for a single server use ocf:heartbeat:mysql")
	}
	if replicated(c) && c.Action == drivers.Start && !c.MetaTrue("notify") {
		return native.Fail(drivers.NotConfigured, "replication needs notifications: set notify=true on the clone")
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
