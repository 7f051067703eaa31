package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// machine is a host of its own: a network namespace and the daemon in it. Its
// power switch is a fence agent that is a program.
type machine struct {
	t     *testing.T
	dir   string // shared by both machines
	name  string
	space string
	addr  string

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
	over bool
}

// The agent kills the process group of a machine's daemon, as a power switch
// does; "on" asks the test to start it again.
const labAgent = `#!/bin/sh
while read -r line; do case $line in action=*) action=${line#*=};; plug=*) plug=${line#*=};; secret_passwd=*) secret=${line#*=};; esac; done
dir=%s
running() { test -s $dir/$plug.pid && kill -s 0 -- -$(cat $dir/$plug.pid) 2>/dev/null; }
case $action in
metadata) cat <<X
<?xml version="1.0"?><resource-agent name="fence_lab" shortdesc="Power switch of the test"><longdesc>It kills.</longdesc><parameters>
<parameter name="plug" required="1"><getopt mixed="-n"/><content type="string"/><shortdesc lang="en">machine</shortdesc></parameter>
<parameter name="secret_passwd"><content type="string"/><shortdesc lang="en">password</shortdesc></parameter>
<parameter name="method"><content type="select" default="onoff"><option value="onoff"/></content><shortdesc lang="en">method</shortdesc></parameter></parameters>
<actions><action name="on"/><action name="off"/><action name="reboot"/><action name="status"/><action name="list"/><action name="monitor"/><action name="metadata"/></actions></resource-agent>
X
;;
monitor) test ! -e $dir/deaf || { echo "no answer" >&2; exit 1; };;
list) echo node1,; echo node2,;;
status) running || exit 2;;
off) echo "off $plug" >> $dir/switched; test ! -s $dir/$plug.pid || kill -s KILL -- -$(cat $dir/$plug.pid); for i in 1 2 3 4 5 6 7 8 9 10; do running || exit 0; sleep 0.1; done; exit 1;;
on) echo "on $plug" >> $dir/switched; touch $dir/$plug.on;;
*) exit 2;;
esac
`

// twoMachines makes a cluster of two daemons that see each other over a cable.
func twoMachines(t *testing.T) (a, b *machine) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no ip command: ", err)
	}
	dir := t.TempDir()
	tag := strconv.Itoa(os.Getpid() % 100000)
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Skipf("ip %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	var list []*machine
	for i, name := range []string{"node1", "node2"} {
		m := &machine{t: t, dir: dir, name: name, space: "gcrm" + tag + name, addr: fmt.Sprintf("10.177.0.%d", i+1)}
		ip("netns", "add", m.space)
		t.Cleanup(func() { exec.Command("ip", "netns", "del", m.space).Run() })
		list = append(list, m)
	}
	ip("link", "add", "e0", "netns", list[0].space, "type", "veth", "peer", "name", "e0", "netns", list[1].space)
	for _, m := range list {
		ip("-n", m.space, "addr", "add", m.addr+"/24", "dev", "e0")
		ip("-n", m.space, "link", "set", "e0", "up")
		ip("-n", m.space, "link", "set", "lo", "up")
	}
	agents := filepath.Join(dir, "agents")
	if err := errFirst(os.Mkdir(agents, 0o755), os.WriteFile(filepath.Join(agents, "fence_lab"), []byte(fmt.Sprintf(labAgent, dir)), 0o755)); err != nil {
		t.Fatal(err)
	}
	a, b = list[0], list[1]
	a.must("cluster", "init", "--name", "pair", "--node", a.name, "--address", a.addr, "--detection", "2s", "--state-dir", a.path("state"))
	a.start()
	a.waits("the daemon", func() bool { _, err := a.gcrm("cluster", "token"); return err == nil })
	token := regexp.MustCompile(`gcrm1\.\S+`).FindString(a.must("cluster", "token"))
	b.must("cluster", "join", a.addr, "--token", token, "--node", b.name, "--address", b.addr, "--state-dir", b.path("state"))
	b.start()
	t.Cleanup(func() {
		for _, m := range list {
			m.end()
			if t.Failed() {
				log, _ := os.ReadFile(m.path("log"))
				t.Logf("log of %s:\n%s", m.name, tailOf(worthReading.ReplaceAllString(string(log), ""), 60))
			}
		}
	})
	a.waits("both are members", a.together)
	return a, b
}

func errFirst(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// worthReading leaves out what repeats.
var worthReading = regexp.MustCompile(`(?m)^.*(room=consensus|room=executor|call="f monitor").*\n`)

func tailOf(s string, n int) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func (m *machine) path(what string) string { return filepath.Join(m.dir, m.name+"."+what) }

// program is a call of gcrm inside of the machine.
func (m *machine) program(args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		m.t.Fatal(err)
	}
	c := exec.Command("ip", append([]string{"netns", "exec", m.space, self}, args...)...)
	c.Env = append(os.Environ(), asProgram+"=1", "GCRM_SOCKET="+m.path("sock"), envFenceAgents+"="+filepath.Join(m.dir, "agents"), "HOME="+m.dir)
	return c
}

func (m *machine) gcrm(args ...string) (string, error) {
	out, err := m.program(args...).CombinedOutput()
	return string(out), err
}

func (m *machine) must(args ...string) string {
	m.t.Helper()
	out, err := m.gcrm(args...)
	if err != nil {
		m.t.Fatalf("%s: gcrm %s: %v\n%s", m.name, strings.Join(args, " "), err, out)
	}
	return out
}

// start switches the machine on, and keeps looking whether its power switch
// wants it on.
func (m *machine) start() {
	m.boot()
	go func() {
		for {
			time.Sleep(50 * time.Millisecond)
			m.mu.Lock()
			over, done := m.over, m.done
			m.mu.Unlock()
			if over {
				return
			}
			if os.Remove(m.path("on")) == nil {
				<-done
				m.boot()
			}
		}
	}()
}

func (m *machine) boot() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over {
		return
	}
	log, err := os.OpenFile(m.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		m.t.Error(err)
		return
	}
	defer log.Close()
	// What lives as long as the boot is gone.
	os.RemoveAll(m.path("run"))
	c := m.program("daemon", "--state-dir", m.path("state"), "--run-dir", m.path("run"), "--socket", m.path("sock"), "--log-level", "debug")
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		m.t.Error(err)
		return
	}
	os.WriteFile(m.path("pid"), []byte(strconv.Itoa(c.Process.Pid)), 0o600)
	m.cmd, m.done = c, make(chan struct{})
	go func(done chan struct{}) { c.Wait(); close(done) }(m.done)
}

func (m *machine) signal(s syscall.Signal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	syscall.Kill(-m.cmd.Process.Pid, s)
}

func (m *machine) end() {
	m.mu.Lock()
	m.over = true
	c, done := m.cmd, m.done
	m.mu.Unlock()
	if c == nil {
		return
	}
	syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
	<-done
}

func (m *machine) waits(what string, f func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(limitOfTests); !f(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.t.Fatalf("%s: not within %v: %s", m.name, limitOfTests, what)
		}
	}
}

var online = regexp.MustCompile(`online\s+yes`)

func (m *machine) together() bool {
	out, _ := m.gcrm("cluster", "status")
	return len(online.FindAllString(out, -1)) == 2
}

func (m *machine) switched() string {
	b, _ := os.ReadFile(filepath.Join(m.dir, "switched"))
	return strings.ReplaceAll(strings.TrimSpace(string(b)), "\n", ", ")
}

func (m *machine) forget() { os.Remove(filepath.Join(m.dir, "switched")) }

func (m *machine) runs(resource, node string) func() bool {
	return func() bool {
		out, err := m.gcrm("resource", "locate", resource)
		return err == nil && strings.Contains(out, "running on: "+node)
	}
}

// TestFencingOfRealDaemons: two daemons with a cable between them and a fence
// agent that is a program. One hangs, is cut off, is killed, is fenced by hand,
// and is tested; each time it is fenced once, and its resource runs elsewhere
// only then.
func TestFencingOfRealDaemons(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	a, b := twoMachines(t)
	if out := a.must("ra", "list", "stonith"); !strings.Contains(out, "fence_lab") || !strings.Contains(out, "fence_ipmilan") {
		t.Errorf("ra list stonith: %s", out)
	}
	if out := a.must("ra", "info", "stonith:fence_lab"); !strings.Contains(out, "Power switch of the test") || !strings.Contains(out, "plug") {
		t.Errorf("ra info: %s", out)
	}
	script := filepath.Join(a.dir, "setup.crm")
	if err := os.WriteFile(script, []byte(`configure
primitive f stonith:fence_lab params pcmk_host_list="node1 node2" pcmk_delay_base="node1:4s;node2:0s" secret_passwd=hush op monitor interval=2s
primitive d Dummy op monitor interval=5s
location d2 d 100: node2
location f1 f 100: node1
commit
`), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := a.gcrm("-f", script); err != nil || strings.Contains(out, "not installed") {
		t.Fatalf("configure: %v\n%s", err, out)
	}
	a.waits("the resource runs", a.runs("d", "node2"))
	a.waits("the device is started", a.runs("f", "node1"))
	if out := a.must("fence", "list"); !strings.Contains(out, "stonith:fence_lab") || !strings.Contains(out, "node1 node2") {
		t.Errorf("fence list: %s", out)
	}
	if out := a.must("status"); !strings.Contains(out, "its fencing was never proved") {
		t.Errorf("status: %s", out)
	}
	recovered := func(what string, resource, node string, by *machine, want string) {
		t.Helper()
		by.waits(what+": the resource is recovered", by.runs(resource, node))
		by.waits(what+": it is back", by.together)
		time.Sleep(2 * time.Second)
		if got := by.switched(); got != want {
			t.Errorf("%s: switched: %s, want %s", what, got, want)
		}
		by.forget()
	}

	b.signal(syscall.SIGSTOP)
	recovered("node2 hangs", "d", "node2", a, "off node2, on node2") // it goes back where it is wanted
	if out := a.must("fence", "history"); !strings.Contains(out, "proof: read-back") || strings.Contains(out, "FAILED") {
		t.Errorf("history: %s", out)
	}

	// Both fence each other; node1 is protected by its delay.
	a.must("resource", "move", "d", "node1")
	a.waits("the resource moves", a.runs("d", "node1"))
	if out, err := exec.Command("ip", "-n", a.space, "link", "set", "e0", "down").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	a.waits("node1 has fenced node2", func() bool { return strings.Contains(a.switched(), "off node2") })
	time.Sleep(5 * time.Second) // more than the delay of node2
	if out, err := exec.Command("ip", "-n", a.space, "link", "set", "e0", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	recovered("the cable is cut", "d", "node1", a, "off node2, on node2")

	b.signal(syscall.SIGKILL) // off already, but for the cluster that is to be found out
	a.waits("node2 is fenced", func() bool { return strings.Contains(a.switched(), "on node2") })
	recovered("node2 was off", "d", "node1", a, "off node2, on node2")

	out := a.must("-F", "fence", "test", "node2", "--really")
	if !strings.Contains(out, "was rebooted by f on node1") || !strings.Contains(out, "is back") {
		t.Errorf("fence test: %s", out)
	}
	recovered("a rehearsal", "d", "node1", a, "off node2, on node2")
	if out := b.must("fence", "status"); !strings.Contains(out, "(reboot)") || !strings.Contains(out, "node1: its fencing was never proved") {
		t.Errorf("fence status: %s", out)
	}
	// The one that leads is fenced by hand, from itself.
	if out, err := a.gcrm("-F", "node", "fence", "node1"); err == nil {
		t.Logf("node1 fenced itself through node2, and heard of it: %s", out)
	}
	recovered("by hand", "d", "node1", b, "off node1, on node1")
	a.waits("both know the same history", func() bool {
		return a.must("-o", "json", "fence", "history") == b.must("-o", "json", "fence", "history")
	})
	for _, m := range []*machine{a, b} {
		log, err := os.ReadFile(m.path("log"))
		if err != nil || bytes.Contains(log, []byte("hush")) {
			t.Errorf("%s: the password is in the log, or there is none: %v", m.name, err)
		}
	}
}
