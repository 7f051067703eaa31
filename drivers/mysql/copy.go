package mysql

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"gcrm/drivers"
	"gcrm/drivers/native"
	"gcrm/drivers/succession"
)

// Servers that replicate use MariaDB's global transaction ids and its
// semi-synchronous replication: the primary acknowledges a commit when one
// replica has it. The server's own rule that commits go on alone after a
// while is off; the agent allows it, after it recorded what the replicas are
// worth. Which copy may become the primary is decided by package succession.

// replicated tells whether the resource is a promotable clone.
func replicated(c *native.Call) bool {
	return c.MetaInt("promoted_max", c.MetaInt("master_max", 0)) > 0 || c.Agent.Type == "mariadb"
}

func rule() succession.Rule { return succession.Rule{Compare: compareGTID} }

func open(ctx context.Context, c *native.Call) (*succession.Ledger, error) {
	var nodes []string
	if c.Agent.Type == "mariadb" {
		nodes = c.Params.Words("node_list")
	}
	l, err := succession.Open(ctx, c, nodes, "gtid")
	if err != nil {
		return nil, err
	}
	l.Seen = len(nodes) == 0
	return l, nil
}

func base(c *native.Call) string {
	id, _, _ := strings.Cut(c.Resource, ":")
	return id
}

// admin is the account that changes the server's settings.
func admin(c *native.Call) account {
	return account{c.Params.String("replication_user"), c.Params.String("replication_passwd")}
}

func query(ctx context.Context, c *native.Call, sql string) (string, error) {
	out, err := ask(ctx, c, admin(c), sql)
	return strings.TrimRight(out, "\n"), err
}

// apply runs a statement that changes the server; shown is what may be told
// of it, the statement itself if empty.
func apply(ctx context.Context, c *native.Call, sql, shown string) error {
	if shown == "" {
		shown = sql
	}
	return c.Do(native.Quote([]string{c.Params.String("client_binary"), "-e", shown}), func() error {
		_, err := ask(ctx, c, admin(c), sql)
		return err
	})
}

func literal(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// options writes the file of options the server runs on: the administrator's
// and what its role asks for. After a crash a replica gives up commits that
// no other copy acknowledged, a primary keeps them.
func options(c *native.Call, role string) (string, error) {
	path, err := c.StateFile("mysql-" + c.Instance() + ".cnf")
	if err != nil {
		return "", err
	}
	text := "!include " + c.Params.String("config") + "\n[mysqld]\nloose_init_rpl_role=" + role + "\nrpl_semi_sync_slave_enabled=ON\n" +
		"rpl_semi_sync_master_wait_point=AFTER_SYNC\ngtid_strict_mode=ON\nlog_slave_updates=ON\nskip_slave_start=ON\nread_only=ON\n" +
		"sync_binlog=1\ninnodb_flush_log_at_trx_commit=1\nsync_relay_log=1\nreport_host=" + c.Node.Name + "\n"
	if old, err := os.ReadFile(path); err == nil && string(old) == text {
		return path, nil
	}
	return path, c.WriteState(path, text)
}

func startCopy(ctx context.Context, c *native.Call) drivers.Result {
	if _, alive, err := running(c); err != nil {
		return native.Failed(err)
	} else if alive {
		return standing(ctx, c)
	}
	l, err := open(ctx, c)
	if err != nil {
		return native.Failed(err)
	}
	if err := l.Leave(ctx); err != nil { // what a server that died left
		return native.Failed(err)
	}
	copies, err := l.Copies(ctx)
	if err != nil {
		return native.Failed(err)
	}
	role := "SLAVE"
	switch succession.Of(copies, c.Node.Name).Standing {
	case succession.Latest, succession.Unknown:
		role = "MASTER"
	case succession.Synchronous:
		// What it had received and not applied yet may be gone.
		if err := l.Record(ctx, c.Node.Name, succession.Potential); err != nil {
			return native.Failed(err)
		}
	}
	path, err := options(c, role)
	if err != nil {
		return native.Failed(err)
	}
	if res := startServer(ctx, c, path); res.RC != drivers.OK || c.Dry() {
		return res
	}
	if res := usable(ctx, c); res.RC != drivers.OK {
		return res
	}
	return standing(ctx, c)
}

// usable refuses servers that cannot replicate as the agent does.
func usable(ctx context.Context, c *native.Call) drivers.Result {
	row, err := query(ctx, c, "SELECT VERSION(), @@log_bin, @@server_id")
	if err != nil {
		return native.Fail(drivers.GenericError, "replication_user %s cannot ask the server: %v", admin(c).user, err)
	}
	f := strings.Split(row, "\t")
	switch {
	case len(f) != 3:
		return native.Fail(drivers.GenericError, "the server answers %.80q", row)
	case !strings.Contains(f[0], "MariaDB"):
		return native.Fail(drivers.NotConfigured, "the server is %s: the built-in agent replicates MariaDB servers; for MySQL servers install the resource-agents package, whose script does it", f[0])
	case f[1] != "1":
		return native.Fail(drivers.NotConfigured, "the server keeps no binary log; set log_bin in %s", c.Params.String("config"))
	case f[2] == "0":
		return native.Fail(drivers.NotConfigured, "set a server_id in %s, another one on every node", c.Params.String("config"))
	}
	return native.OK()
}

// ownPosition is everything the server has, applied or only received.
func ownPosition(ctx context.Context, c *native.Call) (string, error) {
	row, err := query(ctx, c, "SELECT CONCAT_WS(',', @@gtid_binlog_pos, @@gtid_slave_pos)")
	if err != nil {
		return "", err
	}
	status, err := replica(ctx, c)
	if err != nil {
		return "", err
	}
	g, err := parseGTID(row + "," + status["Gtid_IO_Pos"])
	return g.String(), err
}

// replica is the state of replication on a replica; empty on a server that
// follows none.
func replica(ctx context.Context, c *native.Call) (map[string]string, error) {
	out, err := ask(ctx, c, admin(c), "SHOW SLAVE STATUS", "--column-names")
	if err != nil {
		return nil, err
	}
	names, values, _ := strings.Cut(strings.TrimRight(out, "\n"), "\n")
	status := map[string]string{}
	row := strings.Split(values, "\t")
	for i, n := range strings.Split(names, "\t") {
		if i < len(row) && n != "" {
			status[n] = row[i]
		}
	}
	return status, nil
}

// follow has the server follow a primary; one that does already is left alone.
func follow(ctx context.Context, c *native.Call, primary string) error {
	host, ok, err := c.Node.Cluster.Attribute(ctx, primary, base(c)+"_mysql_master_IP")
	if err != nil {
		return err
	}
	if !ok {
		host = primary
	}
	v := c.Params
	status, err := replica(ctx, c)
	if err != nil {
		return err
	}
	if status["Master_Host"] != host || status["Master_Port"] != v.String("replication_port") || status["Using_Gtid"] != "Current_Pos" {
		sql := fmt.Sprintf("CHANGE MASTER TO MASTER_HOST=%s, MASTER_PORT=%s, MASTER_USER=%s, MASTER_USE_GTID=current_pos, MASTER_CONNECT_RETRY=2, MASTER_HEARTBEAT_PERIOD=2",
			literal(host), v.String("replication_port"), literal(v.String("replication_user")))
		if ssl(c) {
			sql += ", MASTER_SSL=1"
			for param, option := range map[string]string{"ca": "MASTER_SSL_CA", "cert": "MASTER_SSL_CERT", "key": "MASTER_SSL_KEY"} {
				if s := v.String("replication_master_ssl_" + param); s != "" {
					sql += ", " + option + "=" + literal(s)
				}
			}
		}
		secret := ", MASTER_PASSWORD=" + literal(v.String("replication_passwd"))
		if err := apply(ctx, c, "STOP SLAVE; "+sql+secret, "STOP SLAVE; "+sql+", MASTER_PASSWORD=..."); err != nil {
			return err
		}
	}
	if status["Slave_SQL_Running"] != "Yes" || status["Slave_IO_Running"] == "No" || status["Master_Host"] != host {
		return apply(ctx, c, "START SLAVE", "")
	}
	return nil
}

func ssl(c *native.Call) bool {
	return c.Agent.Type == "mysql" && strings.EqualFold(c.Params.String("replication_require_ssl"), "true")
}

// acknowledge has the replica acknowledge commits, or not any more: only one
// whose standing says so may, or a commit could be on a copy nobody asks for.
func acknowledge(ctx context.Context, c *native.Call, want bool) error {
	value := "OFF"
	if want {
		value = "ON"
	}
	now, err := query(ctx, c, "SELECT IF(@@rpl_semi_sync_slave_enabled, 'ON', 'OFF')")
	if err != nil || now == value {
		return err
	}
	// The setting counts from the next connection on; follow starts it.
	return apply(ctx, c, "SET GLOBAL rpl_semi_sync_slave_enabled="+value+"; STOP SLAVE IO_THREAD", "")
}

// standing has a replica follow the primary, and sets its status and score.
func standing(ctx context.Context, c *native.Call) drivers.Result {
	l, err := open(ctx, c)
	if err != nil {
		return native.Failed(err)
	}
	copies, err := l.Copies(ctx)
	if err != nil {
		return native.Failed(err)
	}
	readable := "0"
	status := "HS:alone"
	if p := succession.PrimaryOf(copies, c.Node.Name); p != "" {
		is := succession.Of(copies, c.Node.Name).Standing
		if err := acknowledge(ctx, c, is == succession.Synchronous || is == succession.Potential); err != nil {
			return native.Failed(err)
		}
		if err := follow(ctx, c, p); err != nil {
			return native.Failed(err)
		}
		s, err := replica(ctx, c)
		if err != nil {
			return native.Failed(err)
		}
		if res := healthy(c, s, p); res.RC != drivers.OK {
			return res
		}
		if status = "HS:potential"; is == succession.Synchronous {
			status = "HS:sync"
		}
		res, fresh := lag(c, s)
		if res.RC != drivers.OK {
			return res
		}
		if fresh {
			readable = "1"
		}
	}
	if err := l.SetStatus(ctx, status); err != nil {
		return native.Failed(err)
	}
	if err := c.SetAttribute(ctx, readerAttribute(c), &readable); err != nil {
		return native.Failed(err)
	}
	why, err := l.Stand(ctx, rule(), func() (string, error) { return ownPosition(ctx, c) })
	if err != nil {
		return native.Failed(err)
	}
	return drivers.Result{Output: why}
}

// healthy finds errors of replication that do not go away by themselves.
func healthy(c *native.Call, s map[string]string, primary string) drivers.Result {
	if n := s["Last_SQL_Errno"]; n != "" && n != "0" {
		return native.Fail(drivers.GenericError, "replication from %s has stopped (error %s): %s", primary, n, s["Last_SQL_Error"])
	}
	switch s["Last_IO_Errno"] {
	case "1236":
		return native.Fail(drivers.GenericError, "the copy on %s has commits that the primary %s does not have, or lacks some that it has no more (%s): make it anew from the primary",
			c.Node.Name, primary, s["Last_IO_Error"])
	case "1045", "1593":
		return native.Fail(drivers.GenericError, "replication from %s: %s", primary, s["Last_IO_Error"])
	}
	return native.OK()
}

// lag judges how far a replica is behind, by the parameters of agent mysql.
func lag(c *native.Call, s map[string]string) (_ drivers.Result, fresh bool) {
	if s["Slave_SQL_Running"] != "Yes" || s["Slave_IO_Running"] != "Yes" {
		return native.OK(), false
	}
	if c.Agent.Type != "mysql" {
		return native.OK(), true
	}
	behind, err := strconv.Atoi(s["Seconds_Behind_Master"])
	if err != nil || behind <= c.Params.Int("max_slave_lag") {
		return native.OK(), err == nil
	}
	if c.Params.Bool("evict_outdated_slaves") {
		return native.Fail(drivers.GenericError, "the replica is %d s behind, max_slave_lag is %d", behind, c.Params.Int("max_slave_lag")), false
	}
	return native.OK(), false
}

func readerAttribute(c *native.Call) string {
	if c.Agent.Type == "mysql" {
		return c.Params.String("reader_attribute")
	}
	return "readable"
}

func monitorCopy(ctx context.Context, c *native.Call) drivers.Result {
	readOnly, err := query(ctx, c, "SELECT @@read_only")
	if err != nil {
		return native.Fail(drivers.GenericError, "replication_user %s cannot ask the server: %v", admin(c).user, err)
	}
	if readOnly != "0" {
		return standing(ctx, c)
	}
	if err := keepBooks(ctx, c); err != nil {
		return native.Fail(drivers.GenericError, "what the replicas are worth cannot be recorded: %v", err)
	}
	return drivers.Result{RC: drivers.RunningPromoted}
}

func stopCopy(ctx context.Context, c *native.Call) drivers.Result {
	if _, alive, err := running(c); err == nil && alive {
		// An orderly end of a replica leaves nothing unapplied behind.
		limit, cancel := context.WithTimeout(ctx, native.Remaining(ctx)/4)
		if readOnly, err := query(limit, c, "SELECT @@read_only"); err == nil && readOnly == "0" {
			_ = calm(limit, c) // the server ends in any case
		}
		cancel()
	}
	if res := stopServer(ctx, c); res.RC != drivers.OK {
		return res
	}
	l, err := open(ctx, c)
	if err != nil {
		return native.Failed(err)
	}
	if err := c.SetAttribute(ctx, readerAttribute(c), nil); err != nil {
		return native.Failed(err)
	}
	return native.Failed(l.Leave(ctx))
}

// notify has every copy look at once when another came, went or changed.
func notify(ctx context.Context, c *native.Call) drivers.Result {
	if !replicated(c) || c.Meta["notify_type"] != "post" {
		return native.OK()
	}
	if _, alive, err := running(c); err != nil || !alive {
		return native.Failed(err)
	}
	res := monitorCopy(ctx, c)
	if res.RC == drivers.RunningPromoted {
		return native.OK()
	}
	return res
}
