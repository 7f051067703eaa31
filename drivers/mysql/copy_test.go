package mysql

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
	"gcrm/drivers/database"
)

// farm is several servers that hold copies of one data base.
type farm struct {
	*agenttest.Copies
	t    *testing.T
	dir  string
	port string
}

const password = "it's a se\\cret"

func address(node string) string { return "127.0.8." + node[len(node)-1:] }

// newFarm makes a data base and copies of it, as an administrator would
// before the resource is created.
func newFarm(t *testing.T, nodes ...string) *farm {
	t.Helper()
	one := realServer(t)
	dir := filepath.Dir(one.Params["datadir"])
	f := &farm{t: t, dir: dir, port: agenttest.Port(t)}
	one.Want(t, drivers.Start, drivers.OK)
	f.at(one.Params, "SET sql_log_bin=0; CREATE USER repl@'127.0.%' IDENTIFIED BY '"+strings.NewReplacer("'", "''", `\`, `\\`).Replace(password)+
		"'; GRANT ALL ON *.* TO repl@'127.0.%'; CREATE USER repl@localhost IDENTIFIED BY '"+strings.NewReplacer("'", "''", `\`, `\\`).Replace(password)+
		"'; GRANT ALL ON *.* TO repl@localhost; CREATE USER app@'127.0.%' IDENTIFIED BY 'app'; GRANT ALL ON test.* TO app@'127.0.%'; CREATE DATABASE IF NOT EXISTS test")
	one.Want(t, drivers.Stop, drivers.OK)
	f.Copies = agenttest.NewCopies(t, drivers.Name{Class: "ocf", Provider: "heartbeat", Type: "mariadb"}, MariaDB(), "maria", nodes, func(node string) map[string]string {
		at := filepath.Join(dir, node)
		conf := filepath.Join(at, "my.cnf")
		if out, err := exec.Command("sh", "-c", "mkdir -p "+at+"/run && cp -a "+one.Params["datadir"]+" "+at+"/data && chown mysql "+at+" "+at+"/run").CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		text := fmt.Sprintf("[mysqld]\nbind_address=%s\nport=%s\nserver_id=%s\nlog_bin=log\ninnodb_buffer_pool_size=8M\ninnodb_log_file_size=8M\nperformance_schema=off\nskip_name_resolve\n",
			address(node), f.port, node[len(node)-1:])
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return map[string]string{"config": conf, "datadir": at + "/data", "pid": at + "/run/pid", "socket": at + "/run/sock", "log": at + "/run/log",
			"replication_user": "repl", "replication_passwd": password, "replication_port": f.port, "node_list": strings.Join(nodes, " ")}
	})
	for _, n := range nodes {
		a := address(n)
		if err := f.Cluster[n].SetNodeAttribute(t.Context(), n, "maria_mysql_master_IP", &a); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, n := range nodes {
			f.end(n, syscall.SIGKILL)
		}
	})
	return f
}

// at runs statements as the root of a server.
func (f *farm) at(params map[string]string, sql string) string {
	f.t.Helper()
	cmd := exec.Command("mysql", "--no-defaults", "--user=root", "--socket="+params["socket"], "-N", "-B")
	cmd.Stdin = strings.NewReader(sql)
	out, err := cmd.CombinedOutput()
	if err != nil {
		f.t.Fatalf("%s: %v %s", sql, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (f *farm) alive(node string) bool {
	_, alive, _ := database.Running(f.On[node].Params["pid"], "mariadbd", "mysqld")
	return alive
}

// end kills a server and its guardian, as a power failure would.
func (f *farm) end(node string, sig syscall.Signal) {
	id, alive, _ := database.Running(f.On[node].Params["pid"], "mariadbd", "mysqld")
	if !alive {
		return
	}
	if safe, ok := guardian(id); ok {
		_ = safe.Signal(syscall.SIGKILL)
	}
	_ = id.Signal(sig)
	for i := 0; i < 1000 && id.Alive(); i++ {
		time.Sleep(5 * time.Millisecond)
	}
	f.Cluster[node].Leave()
}

func (f *farm) promote(node string) {
	f.t.Helper()
	f.On[node].Want(f.t, drivers.Promote, drivers.OK)
	for _, n := range f.Nodes {
		if f.alive(n) {
			f.Notify(f.t, "promote", node, n)
		}
	}
}

// until monitors every live server until ready.
func (f *farm) until(what string, ready func() bool) {
	f.t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		for _, n := range f.Nodes {
			if f.alive(n) {
				f.On[n].Do(f.t.Context(), drivers.Monitor)
			}
		}
		if ready() {
			return
		}
	}
	for _, n := range f.Nodes {
		s, _ := f.Cluster[n].Score("maria")
		log, _ := os.ReadFile(f.On[n].Params["log"])
		res := f.On[n].Do(f.t.Context(), drivers.Monitor)
		f.t.Logf("%s: score %d, %s, monitor %+v\n%s", n, s, f.Told(n), res, log[max(0, len(log)-1500):])
	}
	f.t.Fatalf("still not so: %s", what)
}

func (f *farm) scored(node string) func() bool {
	return func() bool {
		s, ok := f.Cluster[node].Score("maria")
		return ok && s > 0
	}
}

// writer commits rows at the primary until it is ended and returns those that
// were acknowledged.
func (f *farm) writer(primary *atomic.Value) (end func() []int) {
	f.t.Helper()
	stop, done, begun := make(chan bool), make(chan []int), make(chan bool)
	go func() {
		var acked []int
		for i := 1; ; i++ {
			select {
			case <-stop:
				done <- acked
				return
			default:
			}
			cmd := exec.Command("timeout", "-s", "KILL", "30", "mysql", "--no-defaults", "-u", "app", "-papp", "-h", address(primary.Load().(string)), "-P", f.port, "--protocol=tcp", "test",
				"-e", fmt.Sprintf("INSERT INTO journal VALUES (%d)", i))
			if cmd.Run() == nil {
				if acked = append(acked, i); len(acked) == 3 {
					close(begun)
				}
			} else {
				time.Sleep(20 * time.Millisecond)
			}
		}
	}()
	select {
	case <-begun:
	case <-time.After(60 * time.Second):
		f.t.Error("nothing can be written")
	}
	return func() []int { close(stop); return <-done }
}

func (f *farm) lost(node string, acked []int) {
	f.t.Helper()
	rows := map[string]bool{}
	for row := range strings.Lines(f.at(f.On[node].Params, "SELECT n FROM test.journal") + "\n") {
		rows[strings.TrimSpace(row)] = true
	}
	for _, n := range acked {
		if !rows[fmt.Sprint(n)] {
			f.t.Fatalf("row %d was acknowledged and is lost", n)
		}
	}
	f.t.Logf("%d commits acknowledged, %d rows", len(acked), len(rows))
	if len(acked) == 0 {
		f.t.Fatal("nothing was written")
	}
}

func TestCopiesFailOverWithoutLoss(t *testing.T) {
	t.Parallel()
	f := newFarm(t, "node1", "node2")
	for _, n := range f.Nodes {
		f.On[n].Want(t, drivers.Monitor, drivers.NotRunning)
		f.On[n].Want(t, drivers.Start, drivers.OK)
		f.On[n].Want(t, drivers.Start, drivers.OK)
	}
	if raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", os.Getpid())); err == nil && bytes.Contains(raw, []byte(password)) {
		t.Error("the password is in the environment")
	}
	f.until("one of equals stands for election", f.scored("node1"))
	f.promote("node1")
	f.On["node1"].Want(t, drivers.Monitor, drivers.RunningPromoted)
	f.On["node2"].Want(t, drivers.Monitor, drivers.OK)
	if res := f.On["node2"].Do(t.Context(), drivers.Promote); res.RC != drivers.GenericError || !strings.Contains(res.Reason, "node1 is primary still") {
		t.Errorf("promotion of a second: %+v", res)
	}
	f.at(f.On["node1"].Params, "CREATE TABLE test.journal (n int)")
	f.until("node2 is synchronous", f.scored("node2"))

	var primary atomic.Value
	primary.Store("node1")
	end := f.writer(&primary)
	f.end("node1", syscall.SIGKILL)
	f.Notify(t, "stop", "node1", "node2")
	if got := f.Fittest("maria"); got != "node2" {
		t.Fatalf("fittest is %q: %s", got, f.Told("node2"))
	}
	f.promote("node2")
	primary.Store("node2")
	time.Sleep(500 * time.Millisecond)
	f.lost("node2", end())

	// The former primary gives up what nobody was promised, and follows.
	f.On["node1"].Want(t, drivers.Stop, drivers.OK)
	f.On["node1"].Want(t, drivers.Start, drivers.OK)
	f.until("node1 is synchronous", f.scored("node1"))

	// A copy that lacks commits is not promoted, even if it is alone.
	f.On["node1"].Want(t, drivers.Stop, drivers.OK)
	f.Notify(t, "stop", "node1", "node2")
	f.at(f.On["node2"].Params, "INSERT INTO test.journal VALUES (1000000)")
	f.end("node2", syscall.SIGKILL)
	f.On["node1"].Want(t, drivers.Start, drivers.OK)
	if res := f.On["node1"].Do(t.Context(), drivers.Promote); res.RC != drivers.GenericError || !strings.Contains(res.Reason, "no copy that has all commits") {
		t.Errorf("promotion of a copy that lacks commits: %+v", res)
	}
	f.On["node2"].Want(t, drivers.Start, drivers.OK)
	f.until("the last primary stands for election", f.scored("node2"))
	if got := f.Fittest("maria"); got != "node2" {
		t.Fatalf("fittest is %q", got)
	}
	f.promote("node2")
	f.until("node1 is synchronous", f.scored("node1"))
	if got := f.at(f.On["node1"].Params, "SELECT COUNT(*) FROM test.journal WHERE n=1000000"); got != "1" {
		t.Errorf("node1 has %s of the row", got)
	}

	// A planned change of places, under writing.
	primary.Store("node2")
	end = f.writer(&primary)
	f.On["node2"].Want(t, drivers.Demote, drivers.OK)
	f.Notify(t, "demote", "node2", "node1", "node2")
	f.until("node1 stands for election", f.scored("node1"))
	f.promote("node1")
	primary.Store("node1")
	f.until("node2 follows", f.scored("node2"))
	f.lost("node1", end())
	for _, n := range []string{"node2", "node1"} {
		f.On[n].Want(t, drivers.Stop, drivers.OK)
		f.On[n].Want(t, drivers.Monitor, drivers.NotRunning)
	}
}

func TestGTID(t *testing.T) {
	for _, c := range []struct {
		a, b  string
		order int
		ok    bool
	}{
		{"0-1-5", "0-2-5", 0, true}, {"0-1-6", "0-2-5", 1, true}, {"", "0-1-1", -1, true}, {"0-1-5,1-1-2", "0-1-5", 1, true},
		{"0-1-5,1-1-2", "0-1-6", 0, false}, {"0-1-5,0-2-9", "0-1-9", 0, true}, {"x", "0-1-1", 0, false},
	} {
		if order, ok := compareGTID(c.a, c.b); order != c.order || ok != c.ok {
			t.Errorf("%s %s: %d %v", c.a, c.b, order, ok)
		}
	}
}
