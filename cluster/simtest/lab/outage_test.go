package lab

import (
	"bufio"
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestGap(t *testing.T) {
	s := ParseSuccesses("1000000000 a\n1100000000 a\nnoise\n3100000000 b\n3200000000 b\n3900000000 b\n")
	for _, c := range []struct{ since, gap, from int64 }{{1050, 2000, 1100}, {1500, 2000, 1100}, {3150, 700, 3200}, {0, 2000, 1100}, {5000, 0, 0}} {
		gap, from := s.Gap(time.UnixMilli(c.since))
		if gap.Milliseconds() != c.gap || c.gap > 0 && from.UnixMilli() != c.from {
			t.Errorf("since %d ms: %v from %v, want %d ms from %d", c.since, gap, from, c.gap, c.from)
		}
	}
	if n, said := s.Count(); n != 5 || said != "b" || s.Since(time.UnixMilli(1100)) != 4 {
		t.Errorf("%d successes, the last %q, %d since 1.1 s", n, said, s.Since(time.UnixMilli(1100)))
	}
	var g Gaps
	for _, d := range []time.Duration{3, 1, 2} {
		g.Note("standby", "gcrm", d*time.Second)
		g.Note("standby", "other", 4*d*time.Second)
	}
	if g.Median("standby", "other") != 8*time.Second || !strings.Contains(g.String(), "gcrm has 0.25 of it") {
		t.Errorf("medians:\n%s", &g)
	}
}

func TestMovements(t *testing.T) {
	const text = `Operations:
  * Node: node2:
    * my_lvm: migration-threshold=1000000:
      * (12) monitor: interval="10000ms" last-rc-change="Sat Nov 21 19:11:35 2026" exec-time="736ms" queue-time="0ms" rc=0 (ok)
      * (32) stop: last-rc-change="Sat Nov 21 19:11:42 2026" exec-time="934ms" queue-time="0ms" rc=0 (ok)
    * nfs-notify: migration-threshold=1000000 fail-count=INFINITY last-failure='Sat Nov 21 19:11:40 2026':
      * (23) start: last-rc-change="Sat Nov  1 19:11:40 2026" exec-time="167ms" queue-time="0ms" rc=1 (error)
`
	if got, want := movements(text), "19:11:42 my_lvm stop 934ms\n19:11:40 nfs-notify start 167ms\n"; got != want {
		t.Errorf("found\n%swant\n%s", got, want)
	}
}

// freeAddress is one that nobody listens on now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestService: the client notices when the service is away, and the writer's records are
// all there, or it is noticed that they are not.
func TestService(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "service")
	if out, err := exec.Command("go", "build", "-o", program, "gcrm/cluster/simtest/lab/service").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	run := func(args ...string) *bufio.Scanner {
		c := exec.Command(program, args...)
		out, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
		return bufio.NewScanner(out)
	}
	address := freeAddress(t)
	run("serve", address)
	name, _ := os.Hostname()
	if answers := run("ask", address); !answers.Scan() || !strings.HasSuffix(answers.Text(), " "+name) {
		t.Errorf("the client says %q", answers.Text())
	}
	file := filepath.Join(dir, "file")
	records := run("write", file)
	for range 5 {
		if !records.Scan() {
			t.Fatal("no record is written")
		}
	}
	n, said := ParseSuccesses(records.Text()).Count()
	if last, err := strconv.Atoi(said); n != 1 || err != nil || last != 4 {
		t.Fatalf("the writer's fifth line: %q", records.Text())
	}
	verify := func() error { return exec.Command(program, "verify", file, "5").Run() }
	if err := verify(); err != nil {
		t.Errorf("five records: %v", err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "copy")
	for what, bad := range map[string][]byte{"lost": raw[:4*128], "damaged": append([]byte("?"), raw[1:]...)} {
		if err := os.WriteFile(copied, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if exec.Command(program, "verify", copied, "5").Run() == nil {
			t.Errorf("a record is %s, and it was not noticed", what)
		}
	}
}

// TestCommits: the client of a data base commits rows, finds them, and notices one that
// is gone.
func TestCommits(t *testing.T) {
	for _, p := range []string{"mariadbd", "mariadb-install-db", "mariadb"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("SKIPPED: %s is not installed (package mariadb-server)", p)
		}
	}
	dir := t.TempDir()
	program, data, socket := filepath.Join(dir, "service"), filepath.Join(dir, "data"), filepath.Join(dir, "socket")
	for _, argv := range [][]string{{"go", "build", "-o", program, "gcrm/cluster/simtest/lab/service"},
		{"mariadb-install-db", "--no-defaults", "--datadir=" + data, "--user=root", "--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=4M"}} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	init := filepath.Join(dir, "init")
	if err := os.WriteFile(init, []byte(databaseUser), 0o644); err != nil {
		t.Fatal(err)
	}
	server := exec.Command("mariadbd", "--no-defaults", "--user=root", "--datadir="+data, "--socket="+socket, "--pid-file="+dir+"/pid", "--bind-address=127.0.0.1", "--port="+port,
		"--init-file="+init, "--innodb-log-file-size=4M", "--log-error="+dir+"/log.err")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	c := exec.Command(program, "-patience", "20s", "commit", address)
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	giveUp := time.AfterFunc(2*time.Minute, func() { _ = c.Process.Kill() })
	rows := bufio.NewScanner(out)
	for range 10 {
		if !rows.Scan() {
			log, _ := os.ReadFile(filepath.Join(dir, "log.err"))
			t.Fatalf("no row is committed; the client says %s, the server\n%s", &said, log)
		}
	}
	giveUp.Stop()
	_ = c.Process.Kill()
	_ = c.Wait()
	count := func() ([]byte, error) { return exec.Command(program, "count", address, "10").CombinedOutput() }
	if out, err := count(); err != nil {
		t.Errorf("ten rows: %v: %s", err, out)
	}
	for what, statement := range map[string]string{"damaged": "UPDATE test.records SET sum='?' WHERE n=3", "lost": "DELETE FROM test.records WHERE n=7"} {
		if out, err := exec.Command("mariadb", "--no-defaults", "--user=root", "--socket="+socket, "-e", statement).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if out, err := count(); err == nil {
			t.Errorf("a row is %s, and it was not noticed: %s", what, out)
		}
	}
}
