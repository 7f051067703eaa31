package admin

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/replication/fusefile"
)

var mysqlKills = flag.Int("mysql", 0, "how many nodes TestMySQLSurvivesItsNode kills; without it the test is skipped")

// TestMySQLSurvivesItsNode is the tutorial of MySQL on DRBD with the native volume:
// two nodes and a client in network namespaces of their own, ext4 and MariaDB on the
// Primary's device, an address that moves. The client inserts rows; then everything
// on the Primary is killed at once. On the other node the journal of the file system
// and the database's log are replayed, and every row must be there whose insert was
// acknowledged:
//
//	go test ./replication/admin -run TestMySQLSurvivesItsNode -v -mysql 5
func TestMySQLSurvivesItsNode(t *testing.T) {
	if *mysqlKills == 0 {
		t.Skip("SKIPPED: takes its time; start it with -mysql N")
	}
	for _, p := range []string{"mariadbd", "mariadb-install-db", "mariadb", "mkfs.ext4", "dumpe2fs", "ip", "nsenter"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("SKIPPED: %s is not installed (packages mariadb-server, e2fsprogs, iproute2, util-linux)", p)
		}
	}
	d := newDatabase(t)
	seed := *killSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d (repeat with -killseed)", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	s := d.s
	s.firstSync("--device", "loop")
	shell(t, "mkfs.ext4", "-q", s.status(0).Device)
	d.mount(0)
	shell(t, append(d.room.into(), "mariadb-install-db", "--no-defaults", "--datadir="+d.data(), "--user=root", "--auth-root-authentication-method=normal",
		"--skip-test-db", "--innodb-log-file-size=8M")...)
	d.start(0)
	d.query("CREATE DATABASE w; CREATE TABLE w.t (n INT PRIMARY KEY, filler TEXT) ENGINE=InnoDB")
	primary, confirmed := 0, 0
	for round := range *mysqlKills {
		ended := make(chan int, 1)
		go func() { ended <- d.insert(confirmed) }()
		time.Sleep(time.Duration(500+r.IntN(2500)) * time.Millisecond)
		began := time.Now()
		d.powerOff(primary)
		confirmed = <-ended
		dead := primary
		primary = 1 - primary
		s.ok(primary, "primary", "r0")
		if out, _ := exec.Command("dumpe2fs", "-h", s.status(primary).Device).Output(); !strings.Contains(string(out), "needs_recovery") {
			t.Errorf("round %d: the journal of the file system has nothing to replay: not killed in the middle of anything?", round)
		}
		d.mount(primary)
		d.start(primary)
		found := d.count()
		t.Logf("round %d: %s killed, %d rows acknowledged, %d on %s; the database answers after %v",
			round, nodes[dead], confirmed, found, nodes[primary], time.Since(began).Round(100*time.Millisecond))
		if found < confirmed {
			t.Fatalf("round %d: %d rows, %d were acknowledged", round, found, confirmed)
		}
		confirmed = found
		if got := d.query("CHECK TABLE w.t"); !strings.Contains(got, "OK") {
			t.Errorf("round %d: %s", round, got)
		}
		s.ok(dead, "up", "--device", "loop", "r0")
		s.ok(dead, "wait-connect", "--timeout", "120s", "r0")
		s.ok(dead, "wait-sync", "--timeout", "120s", "r0")
		s.ok(primary, "wait-sync", "--timeout", "120s", "r0")
	}
	d.stop()
	d.room.unmount()
	shell(t, "e2fsck", "-fn", s.status(primary).Device)
	s.ok(primary, "down", "r0")
	s.ok(1-primary, "down", "r0")
}

// database is MariaDB on a replicated volume, in namespaces.
type database struct {
	t      *testing.T
	s      *site
	spaces []string // of the nodes and the client
	room   *room
	server *exec.Cmd
	ended  chan struct{}
}

const databaseAddress = "10.66.0.100"

// newDatabase makes three namespaces on one bridge, and the site.
func newDatabase(t *testing.T) *database {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: needs root")
	}
	d := &database{t: t}
	bridge := fmt.Sprintf("gcrm%d-br", os.Getpid())
	hub := bridge + "-ns"
	if out, err := exec.Command("ip", "netns", "add", hub).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: no network namespaces here: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", hub).Run() })
	shell(t, "ip", "-n", hub, "link", "add", "br0", "type", "bridge", "forward_delay", "0")
	shell(t, "ip", "-n", hub, "link", "set", "br0", "up")
	for i, name := range []string{"a", "b", "c"} {
		space := fmt.Sprintf("gcrm%d-%s", os.Getpid(), name)
		shell(t, "ip", "netns", "add", space)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", space).Run() })
		shell(t, "ip", "-n", hub, "link", "add", "v"+name, "type", "veth", "peer", "name", "eth0", "netns", space)
		shell(t, "ip", "-n", hub, "link", "set", "v"+name, "master", "br0", "up")
		shell(t, "ip", "-n", space, "addr", "add", fmt.Sprintf("10.66.0.%d/24", i+1), "dev", "eth0")
		shell(t, "ip", "-n", space, "link", "set", "eth0", "up")
		shell(t, "ip", "-n", space, "link", "set", "lo", "up")
		d.spaces = append(d.spaces, space)
	}
	d.s = newSiteAt(t, 400, "net { ping-timeout 30; } disk { resync-rate 400M; c-plan-ahead 0; c-min-rate 0; rs-discard-granularity 1048576; }",
		[2]string{"10.66.0.1:7788", "10.66.0.2:7788"}, [2][]string{d.into(0), d.into(1)})
	d.room = newRoom(t, d.s.dir)
	t.Cleanup(d.stop)
	return d
}

func (d *database) into(space int) []string {
	return []string{"nsenter", "--net=/run/netns/" + d.spaces[space], "--"}
}

func (d *database) data() string { return filepath.Join(d.room.mnt, "data") }

func (d *database) mount(node int) {
	d.t.Helper()
	d.room.mount(d.s.status(node).Device)
}

// start takes the address over and runs the server.
func (d *database) start(node int) {
	d.t.Helper()
	shell(d.t, "ip", "-n", d.spaces[node], "addr", "add", databaseAddress+"/24", "dev", "eth0")
	_ = exec.Command("ip", "-n", d.spaces[2], "neigh", "flush", "all").Run()
	log, err := os.OpenFile(filepath.Join(d.s.dir, "mariadb.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	argv := append(append(d.room.into(), d.into(node)...), "mariadbd", "--no-defaults", "--user=root", "--datadir="+d.data(), "--socket="+filepath.Join(d.s.dir, "sql"),
		"--pid-file="+filepath.Join(d.s.dir, "mariadb.pid"), "--bind-address="+databaseAddress, "--port=3306", "--skip-grant-tables",
		"--innodb-flush-log-at-trx-commit=1", "--innodb-log-file-size=8M", "--innodb-buffer-pool-size=32M", "--skip-name-resolve")
	d.server = exec.Command(argv[0], argv[1:]...)
	d.server.Stdout, d.server.Stderr = log, log
	if err := d.server.Start(); err != nil {
		d.t.Fatal(err)
	}
	server, ended := d.server, make(chan struct{})
	d.ended = ended
	go func() { _ = server.Wait(); close(ended) }()
	for limit := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if _, err := d.client("SELECT 1"); err == nil {
			return
		}
		select {
		case <-ended:
		default:
			if time.Now().Before(limit) {
				continue
			}
		}
		text, _ := os.ReadFile(log.Name())
		d.t.Fatalf("MariaDB does not start:\n%s", tail(text, 4000))
	}
}

// stop ends the server in good order.
func (d *database) stop() {
	if d.server == nil {
		return
	}
	_ = d.server.Process.Signal(unix.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(time.Minute):
		_ = d.server.Process.Kill()
		<-d.ended
	}
	d.server = nil
}

// powerOff kills server, keeper and process of a node, and takes away what a machine
// without power does not have.
func (d *database) powerOff(node int) {
	d.t.Helper()
	device := d.s.status(node).Device
	_ = d.server.Process.Kill()
	d.s.killNode(node)
	<-d.ended
	d.server = nil
	shell(d.t, "ip", "-n", d.spaces[node], "addr", "del", databaseAddress+"/24", "dev", "eth0")
	d.room.powerOff()
	if err := fusefile.AbandonLoop(device); err != nil {
		d.t.Fatal(err)
	}
}

// client runs a statement from the third namespace.
func (d *database) client(statement string) (string, error) {
	argv := append(d.into(2), "mariadb", "--no-defaults", "-h", databaseAddress, "--connect-timeout=5", "-N", "-B", "-e", statement)
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (d *database) query(statement string) string {
	d.t.Helper()
	out, err := d.client(statement)
	if err != nil {
		d.t.Fatalf("%s: %v\n%s", statement, err, out)
	}
	return out
}

// count is how many rows there are, from 1 without a gap.
func (d *database) count() int {
	d.t.Helper()
	var count, last int
	if _, err := fmt.Sscan(d.query("SELECT COUNT(*), COALESCE(MAX(n), 0) FROM w.t"), &count, &last); err != nil || count != last {
		d.t.Fatalf("%d rows, the last is %d: %v", count, last, err)
	}
	return last
}

// insert adds rows, each a transaction of its own, until the server is gone; it gives
// the last one that was acknowledged.
func (d *database) insert(from int) int {
	argv := append(d.into(2), "mariadb", "--no-defaults", "-h", databaseAddress, "--connect-timeout=5", "-N", "-B", "-n")
	cmd := exec.Command(argv[0], argv[1:]...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return from
	}
	out, err := cmd.StdoutPipe()
	if err != nil || cmd.Start() != nil {
		return from
	}
	defer func() { _ = in.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	// A client whose server has no power any more hears nothing.
	answers := bufio.NewScanner(out)
	watch := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer watch.Stop()
	for n := from + 1; ; n++ {
		if _, err := fmt.Fprintf(in, "INSERT INTO w.t VALUES (%d, '%s'); SELECT %d;\n", n, strings.Repeat("x", n*37%3000), n); err != nil {
			return n - 1
		}
		if !answers.Scan() {
			return n - 1
		}
		if got, err := strconv.Atoi(answers.Text()); err != nil || got != n {
			return n - 1
		}
	}
}
