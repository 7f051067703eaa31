package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Build makes a gcrm that runs in the machines, and returns its path on the host.
func (m *Machines) Build() string { m.t.Helper(); return m.BuildProgram("gcrm/cmd/gcrm") }

// BuildProgram is [Machines.Build] for another command of the module.
func (m *Machines) BuildProgram(command string) string {
	m.t.Helper()
	binary := filepath.Join(m.t.TempDir(), filepath.Base(command))
	build := exec.CommandContext(m.ctx, "go", "build", "-o", binary, command)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		m.t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// Cluster says how a cluster of all machines is made.
type Cluster struct {
	Name string
	// Detection is how long the loss of a node may go unnoticed.
	Detection time.Duration
	// Token is Corosync's time for the same, its default if zero.
	Token time.Duration
	// Daemon are further options of gcrm's daemon.
	Daemon string
}

var tokenOf = regexp.MustCompile(`gcrm1\.\S+`)

// Form installs gcrm and makes a cluster of all machines, whose daemons are started by
// systemd, at each boot.
func (m *Machines) Form(c Cluster) {
	m.t.Helper()
	binary := m.Build()
	for _, n := range m.names {
		m.Run(n, "systemctl stop gcrm 2>/dev/null; rm -rf /var/lib/gcrm /run/gcrm")
		m.Copy(binary, n+":/usr/local/bin/gcrm")
	}
	// Emulated machines stand still for longer than the service manager likes.
	start := "gcrm daemon --unit | sed 's|^ExecStart=.*|& " + c.Daemon + "|; s|^WatchdogSec=.*|WatchdogSec=5min\\nTimeoutStartSec=15min|' >/etc/systemd/system/gcrm.service && systemctl daemon-reload && systemctl enable --quiet gcrm && sync && systemctl start --no-block gcrm"
	first := m.names[0]
	for i, n := range m.names {
		at := fmt.Sprintf("--node %s --address 10.9.1.%d", n, i+1)
		if i == 0 {
			m.Run(n, fmt.Sprintf("gcrm cluster init --name %s %s --detection %v && %s", c.Name, at, c.Detection, start))
			continue
		}
		var token, words string
		m.Wait("the first daemon gives a token", func() bool {
			out, err := m.Try(first, "gcrm cluster token")
			token, words = tokenOf.FindString(out), out
			return err == nil && token != ""
		}, &words)
		m.Run(n, fmt.Sprintf("gcrm cluster join 10.9.1.1 --token %s %s && %s", token, at, start))
	}
	m.Members(first, len(m.names))
}

// Members waits until so many nodes are there, as one of them sees it.
func (m *Machines) Members(seen string, online int) time.Duration {
	m.t.Helper()
	var words string
	return m.Wait(fmt.Sprintf("%d nodes are members", online), func() bool {
		out, err := m.Try(seen, "gcrm cluster status")
		words = out
		return err == nil && len(isOnline.FindAllString(out, -1)) == online
	}, &words)
}

var isOnline = regexp.MustCompile(`online\s+yes`)

// Configure commits statements of the crm language.
func (m *Machines) Configure(node, statements string) {
	m.t.Helper()
	m.Run(node, "cat >/tmp/setup.crm <<'END'\nconfigure\n"+statements+"\ncommit\nEND\ngcrm -f /tmp/setup.crm")
}

// Runs waits until a resource is on a node, as another one sees it.
func (m *Machines) Runs(seen, resource, node string) time.Duration {
	m.t.Helper()
	var words string
	return m.Wait(resource+" runs on "+node, func() bool {
		out, err := m.Try(seen, "gcrm resource locate "+resource)
		words = out
		return err == nil && strings.Contains(out, "running on: "+node)
	}, &words)
}
