package netns

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// lab is a cluster of processes.
type lab struct {
	*testing.T
	root  string
	hosts []*host
	nets  []string // namespaces to be removed

	mu   sync.Mutex
	over bool
}

// host is a namespace with a daemon.
type host struct {
	lab       *lab
	name, net string
	addr      string
	task      task

	mu  sync.Mutex
	off time.Time // until when it stays off
	wg  sync.WaitGroup
}

func (l *lab) sh(name string, args ...string) {
	l.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		l.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// newLab makes the namespaces, or skips the test.
func newLab(t *testing.T, nodes int, detection time.Duration) *lab {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: needs root for network namespaces")
	}
	for _, tool := range []string{"ip", "iptables"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: needs %s", tool)
		}
	}
	root, err := os.MkdirTemp("", "gcrm-netns-")
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{T: t, root: root}
	id := fmt.Sprintf("gcrm%d", os.Getpid())
	hub := id + "h"
	if out, err := exec.Command("ip", "netns", "add", hub).CombinedOutput(); err != nil {
		os.RemoveAll(root)
		t.Skipf("SKIPPED: network namespaces cannot be made: %v: %s", err, out)
	}
	l.nets = append(l.nets, hub)
	t.Cleanup(l.close)
	l.sh("ip", "-n", hub, "link", "add", "br0", "type", "bridge")
	l.sh("ip", "-n", hub, "link", "set", "br0", "up")
	if err := os.MkdirAll(filepath.Join(root, "active"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range nodes {
		h := &host{lab: l, name: fmt.Sprintf("node%d", i+1), net: fmt.Sprintf("%s%d", id, i+1), addr: fmt.Sprintf("10.77.0.%d", i+1)}
		h.task = task{Do: "run", Root: root, Name: h.name, Address: h.addr, Detection: detection}
		l.sh("ip", "netns", "add", h.net)
		l.nets = append(l.nets, h.net)
		port := fmt.Sprintf("p%d", i+1)
		l.sh("ip", "-n", hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", h.net)
		l.sh("ip", "-n", hub, "link", "set", port, "master", "br0", "up")
		l.sh("ip", "-n", h.net, "addr", "add", h.addr+"/24", "dev", "eth0")
		l.sh("ip", "-n", h.net, "link", "set", "eth0", "up")
		l.sh("ip", "-n", h.net, "link", "set", "lo", "up")
		if err := os.MkdirAll(filepath.Join(root, h.name), 0o755); err != nil {
			t.Fatal(err)
		}
		l.hosts = append(l.hosts, h)
	}
	return l
}

// close ends everything that the lab started.
func (l *lab) close() {
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	for _, h := range l.hosts {
		if err := switchOff(h.task); err != nil {
			l.Error(err)
		}
		h.wg.Wait()
	}
	for _, n := range l.nets {
		if out, err := exec.Command("ip", "netns", "del", n).CombinedOutput(); err != nil {
			l.Errorf("ip netns del %s: %v: %s", n, err, out)
		}
	}
	if l.Failed() {
		l.Logf("journal:\n%s", tail(filepath.Join(l.root, "journal"), 200))
		for _, h := range l.hosts {
			l.Logf("log of %s:\n%s", h.name, tail(filepath.Join(l.root, h.name, "log"), 150))
		}
		l.Logf("everything is kept in %s", l.root)
		return
	}
	os.RemoveAll(l.root)
}

func tail(path string, lines int) string {
	b, _ := os.ReadFile(path)
	all := strings.Split(string(b), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// command is a process of the host in its namespace.
func (h *host) command(k task) *exec.Cmd {
	b, err := json.Marshal(k)
	if err != nil {
		h.lab.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		h.lab.Fatal(err)
	}
	c := exec.Command("ip", "netns", "exec", h.net, self) // becomes the process itself
	c.Env = append(os.Environ(), taskVariable+"="+string(b))
	return c
}

func (h *host) do(k task) {
	h.lab.Helper()
	if out, err := h.command(k).CombinedOutput(); err != nil {
		h.lab.Fatalf("%s of %s: %v: %s", k.Do, h.name, err, out)
	}
}

// keepRunning starts the daemon, and again whenever it ended, as a service
// manager and a power switch do.
func (h *host) keepRunning() {
	h.wg.Go(func() {
		for {
			log, err := os.OpenFile(filepath.Join(h.lab.root, h.name, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err != nil {
				return
			}
			h.lab.mu.Lock()
			if h.lab.over {
				h.lab.mu.Unlock()
				log.Close()
				return
			}
			c := h.command(h.task)
			c.Stdout, c.Stderr = log, log
			err = c.Start()
			if err == nil {
				// Before the process itself does it, so that it can always be ended.
				err = os.WriteFile(h.task.pidFile(), fmt.Append(nil, c.Process.Pid), 0o600)
			}
			h.lab.mu.Unlock()
			if err == nil {
				c.Wait()
			}
			log.Close()
			for {
				h.mu.Lock()
				rest := time.Until(h.off)
				h.mu.Unlock()
				h.lab.mu.Lock()
				over := h.lab.over
				h.lab.mu.Unlock()
				if over || rest <= -300*time.Millisecond {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
	})
}

// form makes a cluster of all hosts.
func (l *lab) form(conf func(*cib.Element)) {
	l.Helper()
	for i, h := range l.hosts {
		k := h.task
		if k.Do = "init"; i > 0 {
			ctx, cancel := context.WithTimeout(l.Context(), 20*time.Second)
			c := l.hosts[0].client()
			var err error
			for k.Token, err = c.Token(ctx, time.Minute); err != nil && ctx.Err() == nil; k.Token, err = c.Token(ctx, time.Minute) {
				time.Sleep(100 * time.Millisecond)
			}
			c.Close()
			cancel()
			k.Do, k.Contact = "join", l.hosts[0].addr
		}
		h.do(k)
		h.keepRunning()
		l.settle(30*time.Second, i+1)
	}
	c := l.hosts[0].client()
	defer c.Close()
	l.wait(20*time.Second, "the configuration is committed", func() bool {
		ctx, cancel := context.WithTimeout(l.Context(), 5*time.Second)
		defer cancel()
		doc, err := c.CIB(ctx, true)
		if err != nil {
			return false
		}
		e := doc.Configuration().Clone()
		conf(e)
		_, err = c.Apply(ctx, cib.Change{Configuration: &cib.ConfigurationChange{Base: doc.Version(), XML: e.String()}})
		return err == nil
	})
}

// client connects to a host's API when it is used.
func (h *host) client() *client.HTTP {
	for {
		c, err := client.Dial(filepath.Join(h.lab.root, h.name, "api.sock"), "test")
		if err == nil {
			return c
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// leastPatience is how long is waited at least: a machine may be busy with other
// tests, too.
const leastPatience = 2 * time.Minute

func (l *lab) wait(limit time.Duration, what string, f func() bool) {
	l.Helper()
	limit = max(limit, leastPatience)
	for end := time.Now().Add(limit); !f(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			l.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// info asks a host for what it knows.
func (h *host) info() (*client.Info, error) {
	c, err := client.Dial(filepath.Join(h.lab.root, h.name, "api.sock"), "test")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return c.Info(ctx)
}

// settle waits until the first n hosts are members with a vote.
func (l *lab) settle(limit time.Duration, n int) {
	l.Helper()
	l.wait(limit, fmt.Sprintf("%d members with a vote", n), func() bool {
		for _, h := range l.hosts[:n] {
			i, err := h.info()
			if err != nil || !i.Quorate {
				return false
			}
			good := 0
			for _, m := range i.Members {
				if m.Online && m.Voter {
					good++
				}
			}
			if good != n {
				return false
			}
		}
		return true
	})
}

// leader is the host that leads.
func (l *lab) leader() *host {
	for _, h := range l.hosts {
		if i, err := h.info(); err == nil && i.Leader == h.name {
			return h
		}
	}
	return nil
}

// cut drops what comes from one host at another.
func (l *lab) cut(from, at *host) {
	l.sh("ip", "netns", "exec", at.net, "iptables", "-w", "-A", "INPUT", "-s", from.addr, "-j", "DROP")
}

// lose drops a share of everything that comes to a host.
func (l *lab) lose(at *host, share float64) {
	l.sh("ip", "netns", "exec", at.net, "iptables", "-w", "-A", "INPUT", "-i", "eth0", "-m", "statistic", "--mode", "random",
		"--probability", fmt.Sprint(share), "-j", "DROP")
}

// heal ends all cuts and losses of a host.
func (l *lab) heal(at *host) { l.sh("ip", "netns", "exec", at.net, "iptables", "-w", "-F", "INPUT") }

// signal sends one to the host's daemon, if it runs.
func (h *host) signal(s unix.Signal) {
	if pid := h.task.pid(); pid > 0 && !ended(pid) {
		// It may end just now.
		_ = unix.Kill(pid, s)
	}
}

// active lists where a resource is.
func (l *lab) active(id string) []string {
	on, _ := filepath.Glob(filepath.Join(l.root, "active", id+"@*"))
	for i, f := range on {
		_, on[i], _ = strings.Cut(filepath.Base(f), "@")
	}
	return on
}

// resources enters the power switch and two resources.
func (l *lab) resources(fencing bool) func(*cib.Element) {
	var names []string
	for _, h := range l.hosts {
		names = append(names, h.name)
	}
	text := fmt.Sprintf(`<resources><primitive id="switch" class="stonith" type="fence_netns"><instance_attributes id="switch-ia">
<nvpair id="switch-hosts" name="pcmk_host_list" value="%s"/><nvpair id="switch-delay" name="pcmk_delay_base" value="node1:2s"/></instance_attributes></primitive>`, strings.Join(names, " "))
	for _, id := range []string{"p0", "p1"} {
		text += fmt.Sprintf(`<primitive id="%[1]s" class="ocf" provider="sim" type="File"><operations>
<op id="%[1]s-m" name="monitor" interval="2s" timeout="10s"/></operations></primitive>`, id)
	}
	e, err := cib.ParseElement(text+`</resources>`, cib.DefaultLimits)
	if err != nil {
		l.Fatal(err)
	}
	return func(conf *cib.Element) {
		set := conf.Ensure("crm_config").Ensure("cluster_property_set")
		for name, value := range map[string]string{"stonith-enabled": fmt.Sprint(fencing), "stonith-timeout": "20s"} {
			set.Add(cib.NewElement("nvpair", "id", "lab-"+name, "name", name, "value", value))
		}
		conf.Remove(conf.Child("resources"))
		conf.Add(e)
	}
}

// violations are what agents noticed.
func (l *lab) violations() []string {
	b, _ := os.ReadFile(filepath.Join(l.root, "journal"))
	var out []string
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, "VIOLATION") {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}
