package embedded

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/drivers/agenttest"
)

// A replicated MariaDB as the cluster runs it: the scheduler's notifications,
// the agents' scores and attributes in the replicated CIB, and a node that
// loses its power while somebody writes.
func TestReplicatedDatabaseFailsOver(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the server changes its user, which needs root")
	}
	for _, tool := range []string{"mariadbd", "mysqld_safe", "mariadb-install-db", "mysql"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s (Debian: mariadb-server) is not installed", tool)
		}
	}
	dir, err := os.MkdirTemp("", "gcrm-dbs-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	shell := func(command string) {
		t.Helper()
		if out, err := exec.Command("sh", "-ec", command).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s", command, err, out)
		}
	}
	port := agenttest.Port(t)
	shell("chmod 755 " + dir + "; mariadb-install-db --no-defaults --datadir=" + dir + "/data --user=mysql --skip-test-db >/dev/null")
	init := "CREATE USER IF NOT EXISTS repl@'127.0.%' IDENTIFIED BY 'r';GRANT ALL ON *.* TO repl@'127.0.%';CREATE USER IF NOT EXISTS repl@localhost IDENTIFIED BY 'r';GRANT ALL ON *.* TO repl@localhost;\n"
	if err := os.WriteFile(filepath.Join(dir, "init.sql"), []byte("SET sql_log_bin=0;\n"+strings.ReplaceAll(init, ";", ";\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	address := func(i int) string { return fmt.Sprintf("127.0.9.%d", i) }
	for i := 1; i <= 2; i++ {
		at := fmt.Sprintf("%s/node%d", dir, i)
		shell("mkdir -p " + at + "/run; cp -a " + dir + "/data " + at + "/data; chown mysql " + at + "/run")
		text := fmt.Sprintf("[mysqld]\nbind_address=%s\nport=%s\nserver_id=%d\nlog_bin=log\ninit_file=%s/init.sql\ninnodb_buffer_pool_size=8M\ninnodb_log_file_size=8M\nperformance_schema=off\nskip_name_resolve\n", address(i), port, i, dir)
		if err := os.WriteFile(at+"/my.cnf", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sql := func(i int, text string) (string, error) {
		out, err := exec.Command("timeout", "-s", "KILL", "30", "mysql", "--no-defaults", "-urepl", "-pr", "-h", address(i), "-P", port, "--protocol=tcp", "-N", "-B", "-e", text).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}

	c := start(t, Config{Nodes: 3})
	h := connect(t, c, 3)
	alter(t, h, func(conf *cib.Element) {
		pair := func(id, name, value string) *cib.Element {
			return cib.NewElement("nvpair", "id", id+"-"+name, "name", name, "value", value)
		}
		// Kill is a power failure, so that nobody needs to be fenced.
		conf.Child("crm_config").Child("cluster_property_set").Add(pair("options", "stonith-enabled", "false"))
		p := cib.NewElement("primitive", "id", "db", "class", "ocf", "provider", "heartbeat", "type", "mariadb")
		for i := 1; i <= 2; i++ {
			node, at := fmt.Sprintf("node%d", i), fmt.Sprintf("%s/node%d", dir, i)
			set := cib.NewElement("instance_attributes", "id", "db-"+node).Add(
				cib.NewElement("rule", "id", "db-"+node+"-rule", "score", "INFINITY").Add(
					cib.NewElement("expression", "id", "db-"+node+"-expr", "attribute", "#uname", "operation", "eq", "value", node)))
			for name, value := range map[string]string{"config": at + "/my.cnf", "datadir": at + "/data", "pid": at + "/run/pid", "socket": at + "/run/sock", "log": at + "/run/log"} {
				set.Add(pair("db-"+node, name, value))
			}
			p.Add(set)
			for n := range conf.Child("nodes").Named("node") {
				if n.Get("uname") == node {
					n.Add(cib.NewElement("instance_attributes", "id", "at-"+node).Add(pair("at-"+node, "db_mysql_master_IP", address(i))))
				}
			}
		}
		p.Add(cib.NewElement("instance_attributes", "id", "db-all").Add(pair("db-all", "replication_user", "repl"), pair("db-all", "replication_passwd", "r"),
			pair("db-all", "replication_port", port), pair("db-all", "node_list", "node1 node2")))
		ops := cib.NewElement("operations")
		for _, role := range []string{"Promoted", "Unpromoted"} {
			interval := map[string]string{"Promoted": "1s", "Unpromoted": "1100ms"}[role]
			ops.Add(cib.NewElement("op", "id", "db-"+role, "name", "monitor", "role", role, "interval", interval, "timeout", "60s"))
		}
		for _, name := range []string{"start", "stop", "promote", "demote", "notify"} {
			ops.Add(cib.NewElement("op", "id", "db-"+name, "name", name, "interval", "0s", "timeout", "120s"))
		}
		p.Add(ops)
		conf.Child("resources").Add(cib.NewElement("clone", "id", "dbs").Add(
			cib.NewElement("meta_attributes", "id", "dbs-meta").Add(pair("dbs", "promotable", "true"), pair("dbs", "notify", "true"), pair("dbs", "clone-max", "2")), p))
		conf.Ensure("constraints").Add(cib.NewElement("rsc_location", "id", "not3", "rsc", "dbs", "node", "node3", "score", "-INFINITY"))
	})
	// What is promoted is seen at the servers themselves.
	primary := func() int {
		for i := 1; i <= 2; i++ {
			if out, err := sql(i, "SELECT @@read_only"); err == nil && strings.HasSuffix(out, "0") {
				return i
			}
		}
		return 0
	}
	standing := func(node, want string) func() bool {
		return func() bool {
			n, ok := document(t, h).Node(node)
			if !ok {
				return false
			}
			for set := range n.Element.Named("instance_attributes") {
				if v, ok := cib.PairValue(set, "db-data-status"); ok {
					return v == want
				}
			}
			return false
		}
	}
	limit := 3 * patience
	eventually(t, limit, "a primary", func() bool { return primary() != 0 })
	first := primary()
	other := 3 - first
	eventually(t, limit, "a synchronous replica", standing(fmt.Sprintf("node%d", other), "STREAMING|SYNC"))
	if out, err := sql(first, "CREATE DATABASE test; CREATE TABLE test.journal (n int)"); err != nil {
		t.Fatal(out)
	}
	stop, done := make(chan bool), make(chan []int)
	go func() {
		var acked []int
		for i := 1; ; i++ {
			select {
			case <-stop:
				done <- acked
				return
			default:
			}
			if _, err := sql(first, fmt.Sprintf("INSERT INTO test.journal VALUES (%d)", i)); err == nil {
				acked = append(acked, i)
			} else {
				time.Sleep(20 * time.Millisecond)
			}
		}
	}()
	rows := func(i int) string { out, _ := sql(i, "SELECT COUNT(*) FROM test.journal"); return out }
	eventually(t, limit, "rows", func() bool {
		return len(rows(first)) > 0 && !strings.HasSuffix(rows(first), "\n0") && rows(first) != "0"
	})
	if err := c.Kill(first); err != nil {
		t.Fatal(err)
	}
	took := eventually(t, limit, "the other as primary", func() bool { return primary() == other })
	close(stop)
	acked := <-done
	out, err := sql(other, "SELECT n FROM test.journal")
	if err != nil {
		t.Fatal(out)
	}
	have := map[string]bool{}
	for _, n := range strings.Fields(out) {
		have[n] = true
	}
	for _, n := range acked {
		if !have[fmt.Sprint(n)] {
			t.Fatalf("row %d was acknowledged and is lost", n)
		}
	}
	t.Logf("%d rows were acknowledged, %d are there; the other was primary after %v", len(acked), len(have), took)
	if err := c.Restart(first); err != nil {
		t.Fatal(err)
	}
	eventually(t, limit, "the former primary as synchronous replica", standing(fmt.Sprintf("node%d", first), "STREAMING|SYNC"))
	if got := primary(); got != other {
		t.Errorf("primary is now node%d", got)
	}
}
