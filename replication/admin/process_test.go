package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// asProgram makes the test binary be "gcrm volume".
const asProgram = "GCRM_VOLUME_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		self, err := os.Executable()
		if err != nil {
			panic(err)
		}
		p := &Program{Out: os.Stdout, Err: os.Stderr, Self: []string{self}}
		os.Exit(p.Main(context.Background(), os.Args[2:]))
	}
	os.Exit(m.Run())
}

// site is two nodes on this host, with the resource r0.
type site struct {
	t    *testing.T
	dir  string
	conf string
	// enter is what runs a command on a node: nothing, or the way into its namespace.
	enter [2][]string
}

var nodes = []string{"alpha", "beta"}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// newSite writes the configuration and makes the disks; the processes are ended with
// the test.
func newSite(t *testing.T, megabytes int, options string) *site {
	t.Helper()
	var addresses [2]string
	for i := range addresses {
		addresses[i] = fmt.Sprintf("127.0.0.%d:%d", i+1, freePort(t))
	}
	return newSiteAt(t, megabytes, options, addresses, [2][]string{})
}

// newSiteAt is newSite with given addresses and namespaces.
func newSiteAt(t *testing.T, megabytes int, options string, addresses [2]string, enter [2][]string) *site {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: needs root")
	}
	s := &site{t: t, dir: t.TempDir(), enter: enter}
	s.conf = filepath.Join(s.dir, "r0.res")
	var text strings.Builder
	fmt.Fprintf(&text, "resource r0 {\n%s\n", options)
	for i, n := range nodes {
		disk := filepath.Join(s.dir, "disk-"+n)
		if err := os.WriteFile(disk, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(disk, int64(megabytes)<<20); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "  on %s { device /dev/drbd_gcrm_test_%s_%d minor %d; disk %s; meta-disk internal; address %s; }\n",
			n, n, os.Getpid(), 200+i, disk, addresses[i])
	}
	text.WriteString("}\n")
	if err := os.WriteFile(s.conf, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for i := range nodes {
			s.killNode(i)
			(&Keeper{Log: func(string) {}}).clear(s.folder(i).Mount("r0"))
			_ = os.Remove(fmt.Sprintf("/dev/drbd_gcrm_test_%s_%d", nodes[i], os.Getpid()))
			_ = os.Remove("/dev/drbd/by-res/r0")
			if t.Failed() {
				log, _ := os.ReadFile(s.folder(i).Log("r0"))
				t.Logf("log of %s:\n%s", nodes[i], log)
			}
		}
	})
	for i := range nodes {
		s.ok(i, "create-md", "r0")
	}
	return s
}

func (s *site) folder(node int) Folder { return s.folderOf(nodes[node]) }

// run calls a command on a node.
func (s *site) run(node int, args ...string) (out string, code int) {
	s.t.Helper()
	return s.runAs(nodes[node], s.enter[node], args...)
}

func (s *site) folderOf(name string) Folder { return Folder(filepath.Join(s.dir, "run-"+name)) }

// runAs calls a command on a node, which may be a third one.
func (s *site) runAs(name string, enter []string, args ...string) (out string, code int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	exe, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	argv := append(slices.Clone(enter), exe)
	argv = append(argv, "volume", args[0], "-c", s.conf, "--node", name, "--run-dir", string(s.folderOf(name)))
	argv = append(argv, args[1:]...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	err = cmd.Run()
	if cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return b.String(), cmd.ProcessState.ExitCode()
}

func (s *site) ok(node int, args ...string) string {
	s.t.Helper()
	out, code := s.run(node, args...)
	if code != 0 {
		s.t.Fatalf("%s on %s: exit code %d\n%s", strings.Join(args, " "), nodes[node], code, out)
	}
	return out
}

func (s *site) status(node int) *Status {
	s.t.Helper()
	var st Status
	if err := json.Unmarshal([]byte(s.ok(node, "status", "--json", "r0")), &st); err != nil {
		s.t.Fatal(err)
	}
	return &st
}

// firstSync brings both nodes up and in sync, the first one Primary.
func (s *site) firstSync(more ...string) {
	s.t.Helper()
	for i := range nodes {
		s.ok(i, append([]string{"up", "r0"}, more...)...)
	}
	s.ok(0, "wait-connect", "--timeout", "60s", "r0")
	s.ok(0, "primary", "--force", "r0")
	s.ok(0, "wait-sync", "--timeout", "60s", "r0")
	s.ok(1, "wait-sync", "--timeout", "60s", "r0")
}

// kill ends one process for good.
func kill(pid int) {
	if pid > 1 {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// parent is the parent of a process, 0 when there is none.
func parent(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	var ppid int
	_, rest, _ := strings.Cut(string(b), ") ")
	if _, err := fmt.Sscanf(rest, "%*c %d", &ppid); err != nil {
		fields := strings.Fields(rest)
		fmt.Sscan(fields[1], &ppid)
	}
	return ppid
}

// killNode ends keeper and process of a node, as a loss of power would, and takes
// away what the kernel keeps of them.
func (s *site) killNode(node int) { s.killOne(node, "r0") }

func (s *site) killOne(node int, resource string) { s.killAt(nodes[node], resource) }

func (s *site) killAt(name, resource string) {
	if c, err := s.folderOf(name).Call(context.Background(), resource, Call{Command: "status"}); err == nil {
		keeper := parent(c.Status.PID)
		if keeper > 1 {
			kill(keeper)
		}
		kill(c.Status.PID)
		for range 500 {
			if unix.Kill(c.Status.PID, 0) != nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	_ = os.Remove(s.folderOf(name).State(resource))
}

// TestCommands goes through the life of a resource.
func TestCommands(t *testing.T) {
	t.Parallel()
	s := newSite(t, 32, "net { verify-alg sha1; } disk { resync-rate 200M; c-plan-ahead 0; c-min-rate 0; max-bio-bvecs 1; }")
	fails := func(node, want int, text string, args ...string) {
		t.Helper()
		if out, code := s.run(node, args...); code != want || !strings.Contains(out, text) {
			t.Errorf("%s: exit code %d, want %d with %q\n%s", strings.Join(args, " "), code, want, text, out)
		}
	}
	says := func(node int, want string, args ...string) {
		t.Helper()
		if out := s.ok(node, args...); !strings.Contains(out, want) {
			t.Errorf("%s does not say %q:\n%s", strings.Join(args, " "), want, out)
		}
	}
	fails(0, exitFailed, "has metadata already", "create-md", "r0")
	fails(0, exitUsage, "unknown command", "frobnicate", "r0")
	fails(0, exitFailed, "not in", "up", "r9")
	fails(0, exitFailed, "No such resource", "status", "r0")
	says(0, "Inconsistent", "dstate", "r0")
	says(0, "Unconfigured", "role", "r0")
	says(0, "warning: option without effect: max-bio-bvecs", "up", "r0")
	s.ok(1, "up", "r0")
	s.ok(0, "wait-connect", "--timeout", "60s", "r0")
	says(0, "Secondary/Secondary", "role", "r0")
	fails(0, exitNoData, "UpToDate", "primary", "r0")
	s.ok(0, "primary", "--force", "r0")
	s.ok(0, "wait-sync", "--timeout", "60s", "r0")
	s.ok(1, "wait-sync", "--timeout", "60s", "r0")
	says(0, "UpToDate/UpToDate", "dstate", "r0")
	says(0, "r0 role:Primary\n  disk:UpToDate\n  peer role:Secondary\n    replication:Established peer-disk:UpToDate\n", "status", "r0")
	says(1, "201: cs:Connected ro:Secondary/Primary ds:UpToDate/UpToDate C r-----\n    ns:0 nr:32", "status", "--proc", "r0")
	says(0, "200:r0/0  Connected Primary/Secondary UpToDate/UpToDate", "status", "--overview", "r0")
	fails(1, exitRefused, "Multiple primaries", "primary", "r0")
	fails(0, exitFailed, "in use", "create-md", "--force", "r0")
	s.ok(0, "verify", "r0")
	s.ok(0, "wait-sync", "--timeout", "60s", "r0")
	s.ok(1, "disconnect", "r0")
	says(1, "StandAlone", "cstate", "r0")
	s.ok(1, "outdate", "r0")
	says(1, "Outdated/", "dstate", "r0")
	fails(1, exitNoData, "", "primary", "r0")
	s.ok(1, "connect", "r0")
	s.ok(1, "wait-connect", "--timeout", "60s", "r0")
	s.ok(1, "wait-sync", "--timeout", "60s", "r0")
	s.ok(1, "detach", "r0")
	says(1, "Diskless/UpToDate", "dstate", "r0")
	s.ok(1, "attach", "r0")
	s.ok(1, "wait-sync", "--timeout", "60s", "r0")
	s.ok(0, "invalidate-remote", "r0")
	s.ok(1, "wait-sync", "--timeout", "60s", "r0")
	s.ok(0, "wait-sync", "--timeout", "60s", "r0")
	says(1, "UpToDate/UpToDate", "dstate", "r0")
	s.ok(1, "pause-sync", "r0")
	s.ok(0, "invalidate-remote", "r0")
	says(1, "resync-suspended:user", "status", "r0")
	says(0, "resync-suspended:peer", "status", "r0")
	s.ok(1, "resume-sync", "r0")
	s.ok(1, "wait-sync", "--timeout", "60s", "r0")
	s.ok(0, "wait-sync", "--timeout", "60s", "r0")
	s.ok(0, "secondary", "r0")
	for i := range nodes {
		s.ok(i, "down", "r0")
		s.ok(i, "down", "r0") // once more is fine
		says(i, "meta-data: clean", "show-gi", "r0")
		says(i, "version \"v08\";", "dump-md", "r0")
	}
	says(0, "resource r0 {", "dump", "r0")
	a, err := os.ReadFile(filepath.Join(s.dir, "disk-alpha"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(s.dir, "disk-beta"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a[:31<<20], b[:31<<20]) {
		t.Error("the disks differ")
	}
}

// TestTakeoverUnderNBDLoad kills the process of a Primary while a client writes: the
// next process goes on, and the client sees no error.
func TestTakeoverUnderNBDLoad(t *testing.T) {
	for _, p := range []string{"qemu-img", "qemu-io"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("SKIPPED: %s is not installed (package qemu-utils)", p)
		}
	}
	s := newSite(t, 64, "disk { resync-rate 200M; c-plan-ahead 0; c-min-rate 0; }")
	s.firstSync()
	image := fmt.Sprintf("driver=raw,file.driver=nbd,file.server.type=unix,file.server.path=%s,file.export=r0,file.reconnect-delay=60", s.folder(0).NBD("r0"))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
	defer cancel()
	bench := exec.CommandContext(ctx, "qemu-img", "bench", "-w", "-c", "6000", "-d", "16", "-s", "4096", "-S", "8192", "--flush-interval", "50", "--image-opts", image)
	var out bytes.Buffer
	bench.Stdout, bench.Stderr = &out, &out
	if err := bench.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- bench.Wait() }()
	kills := 0
	for running := true; running; {
		select {
		case err := <-ended:
			running = false
			if err != nil {
				t.Errorf("the client saw an error: %v\n%s", err, &out)
			}
		case <-time.After(400 * time.Millisecond):
			if kills < 3 {
				if st := s.status(0); st.Role == "Primary" && !st.Takeover && st.Open > 0 {
					kill(st.PID)
					kills++
					time.Sleep(time.Second)
				}
			}
		}
	}
	t.Logf("%d kills, %s", kills, strings.TrimSpace(out.String()))
	if kills == 0 {
		t.Error("the client was done before the process was killed")
	}
	s.ok(0, "wait-sync", "--timeout", "60s", "r0")
	s.ok(0, "secondary", "r0")
	s.ok(0, "down", "r0")
	s.ok(1, "down", "r0")
}
