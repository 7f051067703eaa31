package netns

import (
	"flag"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/cluster/client"
	"gcrm/cluster/heartbeat"
)

var (
	busy  = flag.Duration("busy", 5*time.Second, "for how long all processors are kept busy")
	quiet = flag.Bool("quiet", false, "nothing else runs on this machine: times are checked strictly")
)

// burn keeps every processor busy twice over until stop is called.
func burn(t *testing.T) (stop func()) {
	t.Helper()
	var list []*exec.Cmd
	stop = func() {
		for _, c := range list {
			_ = c.Process.Kill() // it may be gone
			_ = c.Wait()
		}
		list = nil
	}
	t.Cleanup(stop)
	for range 2 * runtime.NumCPU() {
		c := exec.Command("sh", "-c", "while :; do :; done")
		c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	return stop
}

// incarnations are those that a host knows of, with who is online.
func (l *lab) incarnations() string {
	l.Helper()
	text := ""
	l.wait(time.Minute, "somebody tells who is there", func() bool {
		i, err := l.hosts[0].info()
		if err != nil {
			return false
		}
		text = ""
		for _, m := range i.Members {
			text += fmt.Sprintf("%s online=%v since %v; ", m.Name, m.Online, m.Since)
		}
		return true
	})
	return text
}

// Hosts whose processors are all busy do not look dead to each other, at the
// default settings; a crash is noticed all the same.
func TestBusyHostsAreNotDead(t *testing.T) {
	l := newLab(t, 3, heartbeat.LAN)
	l.form(l.resources(true))
	l.wait(time.Minute, "the resources run", func() bool { return len(l.active("p0")) == 1 && len(l.active("p1")) == 1 })
	before := l.incarnations()
	stop := burn(t)
	for end := time.Now().Add(*busy); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if now := l.incarnations(); now != before {
			t.Fatalf("%v before the end, members were\n%s\nand are\n%s", time.Until(end), before, now)
		}
	}
	stop()
	if now := l.incarnations(); now != before {
		t.Errorf("members were\n%s\nand are\n%s", before, now)
	}
	for _, v := range l.violations() {
		t.Error(v)
	}

	lead := l.leader()
	if lead == nil {
		t.Fatal("nobody leads")
	}
	dead := l.hosts[(indexOf(l.hosts, lead)+1)%len(l.hosts)]
	dead.mu.Lock()
	dead.off = time.Now().Add(time.Hour)
	dead.mu.Unlock()
	began := time.Now()
	dead.signal(unix.SIGKILL)
	var noticed time.Duration
	l.wait(time.Minute, "the crash is committed", func() bool {
		i, err := lead.info()
		noticed = time.Since(began)
		return err == nil && !slices.ContainsFunc(i.Members, func(m client.Member) bool { return m.Name == dead.name && m.Online })
	})
	dead.mu.Lock()
	dead.off = time.Time{}
	dead.mu.Unlock()
	t.Logf("all processors were busy for %v; a crash was known after %v, detection time %v", *busy, noticed, heartbeat.LAN)
	if *quiet && noticed > heartbeat.LAN {
		t.Errorf("a crash was noticed after %v, not %v", noticed, heartbeat.LAN)
	}
}
