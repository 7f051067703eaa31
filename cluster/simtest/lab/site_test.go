package lab

import (
	"cmp"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	labPath = flag.String("lab", "", "the laboratory's program, as ../shared/lab/lab; without it these tests are skipped")
	rounds  = flag.Int("rounds", 20, "how often a fence race is run")
	stretch = flag.Float64("stretch", 3, "by how much times of the configuration are longer than on real machines")
	keep    = flag.Bool("keep", false, "use machines that run already, and leave them running")
)

// site is a laboratory with running machines.
type site struct {
	*testing.T
	program string
	nodes   int
}

// root is that of the repository.
func root(t *testing.T) string {
	dir, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// newSite switches machines on, with gcrm in them.
func newSite(t *testing.T, nodes int) *site {
	if *labPath == "" {
		t.Skip("SKIPPED: needs the laboratory (-lab PATH) and its virtual machines")
	}
	s := &site{T: t, program: *labPath, nodes: nodes}
	if !filepath.IsAbs(s.program) {
		s.program = filepath.Join(root(t), s.program)
	}
	binary := filepath.Join(t.TempDir(), "gcrm")
	build := exec.Command("go", "build", "-o", binary, "./cmd/gcrm")
	build.Dir, build.Env = root(t), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	if !*keep {
		s.lab("up", []string{"", "1", "2", "3"}[nodes], "--mem", "512", "--shared", "16M", "--no-wait")
		t.Cleanup(func() {
			if t.Failed() {
				for n := 1; n <= nodes; n++ {
					out, _ := s.on(n, "journalctl -u gcrm --no-pager | tail -80")
					t.Logf("node%d:\n%s", n, out)
				}
			}
			_ = exec.Command(s.program, "down").Run()
		})
	}
	_ = os.Remove(s.path("fence.log"))
	for n := 1; n <= nodes; n++ {
		s.lab("wait", name(n), "1200")
		s.must(n, "systemctl stop gcrm; rm -rf /var/lib/gcrm /run/gcrm; true")
		s.lab("cp", binary, name(n)+":/usr/local/bin/gcrm")
	}
	return s
}

func name(n int) string { return "node" + string(rune('0'+n)) }

func (s *site) path(what string) string {
	return filepath.Join(cmp.Or(os.Getenv("LAB_DIR"), "/var/tmp/gcrm-lab"), "run", what)
}

func (s *site) lab(args ...string) string {
	s.Helper()
	out, err := exec.CommandContext(s.Context(), s.program, args...).CombinedOutput()
	if err != nil {
		s.Fatalf("lab %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// on runs a script in a node; a node that hangs is an error after a while.
func (s *site) on(n int, script string) (string, error) {
	ctx, cancel := context.WithTimeout(s.Context(), 3*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, s.program, "sh", "-t", "120", name(n), script).CombinedOutput()
	return string(out), err
}

func (s *site) must(n int, script string) string {
	s.Helper()
	out, err := s.on(n, script)
	if err != nil {
		s.Fatalf("%s: %s: %v: %s", name(n), script, err, out)
	}
	return out
}

// slow is a time that emulated machines need.
func (s *site) slow(d time.Duration) time.Duration {
	return time.Duration(float64(d) * *stretch).Round(time.Second)
}

func (s *site) wait(what string, yes func() bool) {
	s.Helper()
	begun := time.Now()
	for end := begun.Add(20 * time.Minute); !yes(); time.Sleep(2 * time.Second) {
		if time.Now().After(end) {
			s.Fatalf("not within 20 minutes: %s", what)
		}
	}
	s.Logf("%s (%s)", what, time.Since(begun).Round(time.Second))
}

var tokenOf = regexp.MustCompile(`gcrm1\.\S+`)

// cluster makes a cluster of the first nodes, whose daemons start at boot with
// the options.
func (s *site) cluster(nodes int, options string) {
	s.Helper()
	start := "gcrm daemon --unit | sed 's|^ExecStart=.*|ExecStart=/usr/local/bin/gcrm daemon " + options + "|; s|^WatchdogSec=.*|TimeoutStartSec=15min|' >/etc/systemd/system/gcrm.service && systemctl daemon-reload && systemctl enable --quiet gcrm && systemctl start --no-block gcrm"
	s.must(1, "gcrm cluster init --name lab --node node1 --address 10.9.1.1 --detection "+seconds(s.slow(3*time.Second))+" && "+start)
	var token string
	for n := 2; n <= nodes; n++ {
		s.wait("the first daemon gives a token", func() bool {
			out, err := s.on(1, "gcrm cluster token")
			token = tokenOf.FindString(out)
			return err == nil && token != ""
		})
		s.must(n, "gcrm cluster join 10.9.1.1 --token "+token+" --node "+name(n)+" --address 10.9.1."+string(rune('0'+n))+" && "+start)
	}
	s.wait("all are members", s.online(1, nodes))
}

var isOnline = regexp.MustCompile(`online\s+yes`)

// online tells whether so many members are there, as a node sees it.
func (s *site) online(n, members int) func() bool {
	return func() bool {
		out, err := s.on(n, "gcrm cluster status")
		return err == nil && len(isOnline.FindAllString(out, -1)) == members
	}
}

// configure commits statements of the crm language.
func (s *site) configure(n int, statements string) {
	s.Helper()
	s.must(n, "cat >/tmp/setup.crm <<'END'\nconfigure\n"+statements+"\ncommit\nEND\ngcrm -f /tmp/setup.crm")
}

func (s *site) runs(n int, resource, node string) func() bool {
	return func() bool {
		out, err := s.on(n, "gcrm resource locate "+resource)
		return err == nil && strings.Contains(out, "running on: "+node)
	}
}
