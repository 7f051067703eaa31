package pgsql

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
	"gcrm/drivers/process"
)

// service is the address that moves with the primary: it hands connections
// on to the server that is primary.
type service struct {
	to atomic.Value // string, address
	mu sync.Mutex
	on map[net.Conn]bool
}

func serve(t *testing.T, addr string) *service {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &service{on: map[net.Conn]bool{}}
	s.to.Store("")
	t.Cleanup(func() { l.Close(); s.move("") })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go s.pass(in)
		}
	}()
	return s
}

func (s *service) pass(in net.Conn) {
	defer in.Close()
	to := s.to.Load().(string)
	if to == "" {
		return
	}
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	s.mu.Lock()
	s.on[in] = true
	s.mu.Unlock()
	go func() { _, _ = io.Copy(out, in); out.Close(); in.Close() }()
	_, _ = io.Copy(in, out)
	s.mu.Lock()
	delete(s.on, in)
	s.mu.Unlock()
}

func (s *service) move(to string) {
	s.to.Store(to)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.on {
		c.Close()
	}
}

// farm is several servers that hold copies of one data base.
type farm struct {
	*agenttest.Copies
	t       *testing.T
	dir     string
	port    string
	service *service
}

func (f *farm) address(node string) string {
	return fmt.Sprintf("127.0.7.%c:%s", node[len(node)-1], f.port)
}

func (f *farm) params(node string) map[string]string { return f.On[node].Params }

// newFarm makes a data base on node1 and copies of it on the others, as an
// administrator would before the resource is created.
func newFarm(t *testing.T, mode string, nodes ...string) *farm {
	t.Helper()
	one := server(t)
	dir := filepath.Dir(one.Params["pgdata"])
	f := &farm{t: t, dir: dir, port: one.Params["pgport"]}
	own := "\nlisten_addresses=''\nwal_level=replica\nhot_standby=on\nwal_log_hints=on\nshared_buffers=4MB\nwal_keep_size=64MB\nwal_receiver_timeout=5s\nwal_retrieve_retry_interval=200ms\nfsync=off\n"
	conf := filepath.Join(one.Params["pgdata"], "postgresql.conf")
	h, err := os.OpenFile(conf, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.WriteString(own); err != nil || h.Close() != nil {
		t.Fatal(err)
	}
	f.run("printf 'host replication all 127.0.0.0/8 trust\\n' >>" + one.Params["pgdata"] + "/pg_hba.conf")
	f.Copies = agenttest.NewCopies(t, one.Name, Agent(), "pg", nodes, func(node string) map[string]string {
		at := filepath.Join(dir, node)
		f.run("mkdir " + at + " && cp -a " + one.Params["pgdata"] + " " + at + "/data && chmod 700 " + at + "/data")
		return map[string]string{"pgctl": one.Params["pgctl"], "psql": one.Params["psql"], "pgdata": at + "/data", "pgport": f.port, "socketdir": at + "/run",
			"logfile": at + "/log", "tmpdir": at + "/tmp", "start_opt": "-c listen_addresses=" + strings.Split(f.address(node), ":")[0],
			"rep_mode": mode, "master_ip": "127.0.7.100", "node_list": strings.Join(nodes, " "), "stop_escalate": "20", "stop_escalate_in_slave": "20"}
	})
	f.service = serve(t, "127.0.7.100:"+f.port)
	t.Cleanup(func() {
		for _, n := range nodes {
			if id, alive := f.main(n); alive {
				_ = id.Signal(syscall.SIGQUIT)
				for i := 0; i < 500 && id.Alive(); i++ {
					time.Sleep(10 * time.Millisecond)
				}
			}
		}
	})
	return f
}

// run runs a shell command as the owner of the data.
func (f *farm) run(command string) string {
	f.t.Helper()
	out, err := exec.Command("su", "-s", "/bin/sh", "postgres", "-c", "cd / && "+command).CombinedOutput()
	if err != nil {
		f.t.Fatalf("%s: %v %s", command, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (f *farm) main(node string) (process.Identity, bool) {
	raw, err := os.ReadFile(filepath.Join(f.params(node)["pgdata"], "postmaster.pid"))
	if err != nil {
		return process.Identity{}, false
	}
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	id, err := process.ParseIdentity(string(line))
	return id, err == nil && id.Alive()
}

// kill ends a server as a power failure would.
func (f *farm) kill(node string) {
	f.t.Helper()
	id, alive := f.main(node)
	if !alive {
		f.t.Fatalf("no server on %s", node)
	}
	_ = id.Signal(syscall.SIGKILL)
	for i := 0; i < 1000 && id.Alive(); i++ {
		time.Sleep(5 * time.Millisecond)
	}
	f.Cluster[node].Leave()
}

func (f *farm) sql(node, sql string) (string, error) {
	p := f.params(node)
	cmd := exec.Command(p["psql"], "-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-h", p["socketdir"], "-p", f.port, "-U", "postgres", "-d", "template1", "-c", sql)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, errs.String())
	}
	return strings.TrimSpace(string(out)), nil
}

func (f *farm) must(node, sql string) string {
	f.t.Helper()
	out, err := f.sql(node, sql)
	if err != nil {
		f.t.Fatalf("%s: %s: %v", node, sql, err)
	}
	return out
}

func (f *farm) promote(node string) {
	f.t.Helper()
	f.On[node].Want(f.t, drivers.Promote, drivers.OK)
	f.service.move(f.address(node))
	for _, n := range f.Nodes {
		if _, alive := f.main(n); alive {
			f.Notify(f.t, "promote", node, n)
		}
	}
}

// until monitors every live server, the primary first, until ready.
func (f *farm) until(what string, ready func() bool) {
	f.t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		for _, n := range f.Nodes {
			if _, alive := f.main(n); alive {
				f.On[n].Do(f.t.Context(), drivers.Monitor)
			}
		}
		if ready() {
			return
		}
	}
	for _, n := range f.Nodes {
		s, _ := f.Cluster[n].Score("pg")
		log, _ := os.ReadFile(f.params(n)["logfile"])
		f.t.Logf("%s: score %d, %s\n%s", n, s, f.Told(n), log[max(0, len(log)-2000):])
	}
	f.t.Fatalf("still not so: %s", what)
}

func (f *farm) scored(node string, positive bool) func() bool {
	return func() bool {
		s, ok := f.Cluster[node].Score("pg")
		return ok && (s > 0) == positive
	}
}

// writer commits rows through the service address until it is ended, and
// remembers those that were acknowledged.
func (f *farm) writer(node string) (end func() []int) {
	f.t.Helper()
	stop, done, begun := make(chan bool), make(chan []int), make(chan bool)
	psql := f.params(node)["psql"]
	go func() {
		var acked []int
		for i := 1; ; i++ {
			select {
			case <-stop:
				done <- acked
				return
			default:
			}
			cmd := exec.Command("timeout", "20", psql, "-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-h", "127.0.7.100", "-p", f.port, "-U", "postgres", "-d", "template1",
				"-c", fmt.Sprintf("INSERT INTO journal VALUES (%d)", i))
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

func TestCopiesFailOverWithoutLoss(t *testing.T) {
	t.Parallel()
	f := newFarm(t, "sync", "node1", "node2")
	for _, n := range f.Nodes {
		f.On[n].Want(t, drivers.Monitor, drivers.NotRunning)
		f.On[n].Want(t, drivers.Start, drivers.OK)
		f.On[n].Want(t, drivers.Start, drivers.OK)
	}
	f.until("one of equals stands for election", f.scored("node1", true))
	if got := f.Fittest("pg"); got != "node1" {
		t.Fatalf("fittest is %q", got)
	}
	f.promote("node1")
	if res := f.On["node2"].Do(t.Context(), drivers.Promote); res.RC != drivers.GenericError || !strings.Contains(res.Reason, "node1 is primary still") {
		t.Errorf("promotion of a second: %+v", res)
	}
	f.On["node1"].Want(t, drivers.Monitor, drivers.RunningPromoted)
	f.On["node2"].Want(t, drivers.Monitor, drivers.OK)
	f.must("node1", "CREATE TABLE journal (n int)")
	f.until("node2 is synchronous", f.scored("node2", true))

	// An acknowledged commit is on the standby; killing the primary loses none.
	end := f.writer("node1")
	f.kill("node1")
	f.service.move("")
	f.Notify(t, "stop", "node1", "node2")
	if got := f.Fittest("pg"); got != "node2" {
		t.Fatalf("fittest is %q: %s", got, f.Told("node2"))
	}
	f.promote("node2")
	time.Sleep(500 * time.Millisecond)
	acked := end()
	rows := map[string]bool{}
	for row := range strings.Lines(f.must("node2", "SELECT n FROM journal") + "\n") {
		rows[strings.TrimSpace(row)] = true
	}
	for _, n := range acked {
		if !rows[fmt.Sprint(n)] {
			t.Fatalf("row %d was acknowledged and is lost", n)
		}
	}
	t.Logf("%d commits acknowledged, %d rows", len(acked), len(rows))
	if len(acked) == 0 {
		t.Fatal("nothing was written")
	}

	// Without a standby commits go on, and a standby that lacks them is not
	// promoted even if it is alone.
	f.must("node2", "INSERT INTO journal VALUES (1000000)")
	f.kill("node2")
	f.service.move("")
	f.On["node1"].Want(t, drivers.Stop, drivers.OK)
	if res := f.On["node1"].Do(t.Context(), drivers.Start); res.RC != drivers.GenericError || !strings.Contains(res.Reason, "another took over") {
		t.Errorf("the former primary starts beside nothing: %+v", res)
	}

	// The last primary comes back and is it again; the one before joins,
	// rid of what nobody was promised.
	f.On["node2"].Want(t, drivers.Stop, drivers.OK)
	f.On["node2"].Want(t, drivers.Start, drivers.OK)
	f.until("the last primary stands for election", f.scored("node2", true))
	f.promote("node2")
	f.On["node1"].Want(t, drivers.Start, drivers.OK)
	f.until("node1 is synchronous", f.scored("node1", true))
	if got := f.must("node1", "SELECT count(*) FROM journal WHERE n = 1000000"); got != "1" {
		t.Errorf("node1 has %s of the row", got)
	}

	// A planned change of places.
	f.On["node2"].Want(t, drivers.Demote, drivers.OK)
	f.service.move("")
	f.Notify(t, "demote", "node2", "node1", "node2")
	f.On["node2"].Want(t, drivers.Monitor, drivers.OK)
	f.until("node1 stands for election", f.scored("node1", true))
	f.promote("node1")
	f.until("node2 follows", f.scored("node2", true))
	for _, n := range []string{"node2", "node1"} {
		f.On[n].Want(t, drivers.Stop, drivers.OK)
		f.On[n].Want(t, drivers.Monitor, drivers.NotRunning)
	}
}

func TestPositions(t *testing.T) {
	for _, c := range []struct{ line, lsn, want string }{
		{"1", "0/3000148", "00000001/0000000003000148"}, {"11", "AB/FF", "0000000B/000000AB000000FF"}, {"1", "", ""}, {"", "0/1", ""}, {"1", "x/1", ""},
	} {
		if got, err := position(c.line, c.lsn); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s %s: %q %v", c.line, c.lsn, got, err)
		}
	}
}
