package locks

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gcrm/cluster/simtest/lab"
)

var (
	// detection is how long the loss of a node may go unnoticed: emulated machines on a
	// busy host stand still for seconds.
	detection = flag.Duration("detection", 20*time.Second, "detection time of the lab's cluster")
	// repeat is how often each way to lose a node is tried.
	repeat = flag.Int("repeat", 1, "how often each way to lose a node is tried by TestWithKernel")
	ways   = flag.String("ways", "daemon,plocks,power,cut,hang,control,guest", "the parts of TestWithKernel: POSIX locks, ways to lose a node or its daemon, a virtual machine")
	stacks = flag.String("stacks", "gcrm", "whose control of the lock manager TestWithKernel tries, one after the other on the same machines: gcrm, pacemaker (with corosync and dlm_controld; power, cut and hang only)")
)

const sharedDisk = "/dev/disk/by-id/virtio-shared"

const labConfiguration = `property stonith-enabled=true no-quorum-policy=freeze
primitive fence stonith:fence_lab params pcmk_host_list="node1 node2" pcmk_delay_base="node1:10s;node2:0s" pcmk_reboot_timeout=120s
primitive dlm ocf:pacemaker:controld op monitor interval=30s timeout=60s op start timeout=300s interval=0 op stop timeout=300s interval=0
clone dlm-clone dlm meta interleave=true ordered=true
primitive fs ocf:heartbeat:Filesystem params device=` + sharedDisk + ` directory=/mnt/kvm fstype=gfs2 options=noatime op monitor interval=30s timeout=60s op start timeout=300s interval=0 op stop timeout=300s interval=0
clone fs-clone fs meta interleave=true
order dlm-then-fs Mandatory: dlm-clone fs-clone
colocation fs-with-dlm inf: fs-clone dlm-clone`

// labLoad writes records with checksums into a folder that all nodes have, every one
// synced, and notes when each was done.
const labLoad = `#!/bin/bash
n=$(hostname); i=0; mkdir -p DIRECTORY/d
while :; do
  i=$((i+1)); f=DIRECTORY/d/$n.$((i%50)); head -c 3000 /dev/urandom | base64 -w0 > /root/data
  sleep 0.1; { cat /root/data; echo; sha256sum < /root/data; } > $f.new && sync $f.new && mv $f.new $f && echo "$(date +%s.%N) $i" || echo "$(date +%s.%N) failed"
done >> /root/load.log 2>&1
`

// labVerify looks for damaged records, and prints how many there are and one checksum of
// all, which has to be the same on all nodes.
const labVerify = `cd DIRECTORY/d && bad=0 && for f in node?.*; do case $f in *.new) continue;; esac
  [ "$(head -n1 $f | tr -d '\n' | sha256sum)" = "$(tail -n1 $f)" ] || { echo "$f is damaged"; bad=1; }; done; ls | wc -l; cat $(ls | sort) | sha256sum; exit $bad`

// shared is two machines that write into one GFS2.
type shared struct {
	*lab.Machines
	t         *testing.T
	stack     stack
	directory string // where it is mounted
	losses    *losses
}

// losses are the figures of all of them.
type losses struct {
	fenced, silence lab.Gaps // until the power switch had done it; without a record of the survivor
}

func (l *losses) String() string {
	return fmt.Sprintf("fenced after:\n%s\nno write of the survivor for:\n%s", &l.fenced, &l.silence)
}

// newShared has the machines form a cluster with the file system.
func newShared(m *lab.Machines, t *testing.T, s stack, l *losses) shared {
	on := shared{m, t, s, "/mnt/kvm", l}
	on.prepare()
	s.Form()
	on.Run("node1", "mkfs.gfs2 -O -q -p lock_dlm -t cluster1:kvm1 -j 2 -J 32 "+sharedDisk)
	s.Configure("node1", labConfiguration)
	for _, n := range on.Names() {
		on.mounted(n)
	}
	s.alone(on)
	return on
}

// prepare gives the machines the program of the load.
func (m shared) prepare() {
	m.t.Helper()
	for _, n := range m.Names() {
		m.Run(n, "systemctl stop load plocks 2>/dev/null; rm -f /root/load.log; cat > /root/load <<'END'\n"+m.in(labLoad)+"END\nchmod +x /root/load")
	}
}

// in has a script use the directory of the file system.
func (m shared) in(script string) string { return strings.ReplaceAll(script, "DIRECTORY", m.directory) }

// mounted waits for the file system on a node. What takes long is told while it does: it
// may have ended when the test does.
func (m shared) mounted(node string) {
	m.t.Helper()
	begun, told := time.Now(), false
	m.Wait(node+": GFS2 is mounted", func() bool {
		_, err := m.TryFor(30*time.Second, node, m.in("grep -q ' DIRECTORY gfs2 ' /proc/mounts"))
		if err != nil && !told && time.Since(begun) > lab.Patience(2*time.Minute) {
			told = true
			for _, n := range m.Names() {
				out, _ := m.TryFor(time.Minute, n, labWords)
				m.t.Logf("%s, while GFS2 is not mounted on %s:\n%s", n, node, out)
			}
		}
		return err == nil
	})
}

// load starts the writer of a node, unless it writes.
func (m shared) load(node string) {
	m.t.Helper()
	m.Run(node, "systemctl is-active -q load || { systemctl reset-failed load 2>/dev/null; systemd-run -q --unit load /root/load; }")
	m.Until(node, "writes", fmt.Sprintf("[ $(wc -l < /root/load.log) -gt %d ]", m.records(node)+3))
}

// records is how many a node has written.
func (m shared) records(node string) int {
	m.t.Helper()
	n, err := strconv.Atoi(m.Run(node, "cat /root/load.log 2>/dev/null | wc -l"))
	if err != nil {
		m.t.Fatal(err)
	}
	return n
}

// gap is the longest time without a record of a node since then, by its clock.
func (m shared) gap(node string, since time.Time) time.Duration {
	m.t.Helper()
	longest := time.Duration(0)
	for line := range strings.Lines(m.Run(node, fmt.Sprintf("awk '$1 > %d' /root/load.log", since.Unix()))) {
		f := strings.Fields(line)
		if len(f) != 2 || f[1] == "failed" {
			m.t.Errorf("%s: an error while writing: %s", node, line)
			continue
		}
		if at := lab.ParseClock(f[0]); at.After(since) {
			longest, since = max(longest, at.Sub(since)), at
		}
	}
	return longest
}

// TestWithKernel mounts GFS2 on two machines with the kernel's lock manager and no other
// cluster stack, writes on both, loses one in several ways, sees the other go on after
// fencing and recovery, and the lost one come back; it also restarts and kills the node's
// daemon, which must not be noticed by who writes.
//
//	go test ./cluster/locks -run TestWithKernel$ -v -timeout 90m -lab ../shared/lab/lab
//
// Beside the stack that is used elsewhere, on the same machines:
//
//	... -stacks gcrm,pacemaker -ways power,cut,hang
func TestWithKernel(t *testing.T) {
	machines := lab.Boot(t, 2, "--mem", "768", "--shared", "400M")
	machines.OnFailure(labWords)
	var l losses
	defer func() { t.Log(&l) }()
	for _, name := range strings.Split(*stacks, ",") {
		ok := t.Run(name, func(t *testing.T) {
			m := machines.In(t.Context(), t)
			s := stacksOf(m, name)[0]
			withKernel(newShared(m, t, s, &l))
			s.End()
		})
		if !ok {
			return
		}
	}
}

func withKernel(m shared) {
	t := m.t
	for _, n := range m.Names() {
		m.load(n)
	}
	all := []struct {
		name string
		do   func()
	}{
		{"daemon", func() {
			m.keep("upgrade and kill -9 of the daemon", "cd /usr/local/bin && cp gcrm new && mv new gcrm && kill -9 $(systemctl show -p MainPID --value gcrm)")
		}},
		{"plocks", m.posixLocks},
		{"power", func() { m.lose("power-off", func() { m.PowerOff("node2") }) }},
		{"cut", func() { m.lose("a silent cut", func() { m.CutNetwork("node2") }) }},
		{"hang", func() { m.lose("a hang", func() { m.Hang("node2") }) }},
		{"control", func() {
			m.lose("death of the control process", func() { m.Run("node2", "kill -9 $(pgrep -x dlm_controld)") })
		}},
		{"guest", m.guest},
	}
	for i := range *repeat {
		for _, w := range all {
			if !slices.Contains(strings.Split(*ways, ","), w.name) || !m.stack.can(w.name) {
				continue
			}
			w.do()
			if t.Failed() {
				t.FailNow()
			}
			t.Logf("%s: %d of %d", w.name, i+1, *repeat)
		}
	}
	m.agree()
	m.stack.alone(m)
	m.stack.stop(m, "fs-clone")
	m.clean(sharedDisk)
}

// agree ends the load and compares what both nodes see.
func (m shared) agree() {
	t := m.t
	t.Helper()
	for _, n := range m.Names() {
		m.Run(n, "systemctl stop load; sync")
	}
	var seen []string
	for _, n := range m.Names() {
		seen = append(seen, m.Run(n, m.in(labVerify)))
	}
	if seen[0] != seen[1] {
		t.Errorf("the nodes see different records:\n%s\n%s", seen[0], seen[1])
	}
	t.Log("records and their checksum on both nodes:", strings.Join(strings.Fields(seen[0]), " "))
}

// clean checks the file system, which no node may have any more.
func (m shared) clean(device string) {
	t := m.t
	t.Helper()
	for _, n := range m.Names() {
		m.Until(n, "unmounted", m.in("! grep -q ' DIRECTORY ' /proc/mounts"))
	}
	out, err := m.Try("node1", "fsck.gfs2 -n "+device+" 2>&1")
	t.Logf("fsck.gfs2 -n: %v\n%s", err, out)
	if err != nil || !strings.Contains(out, "fsck.gfs2 complete") {
		t.Error("the file system is damaged")
	}
	// A byte of the first bitmap: the check would have noticed.
	if out, err := m.Try("node1", "printf '\\377' | dd of="+device+" bs=1 seek=$((17*4096+200)) conv=notrunc,fsync status=none; fsck.gfs2 -n "+device+" 2>&1"); err == nil {
		t.Errorf("fsck.gfs2 does not notice damage: %s", out)
	}
}

// lose loses node2 in a way, and waits until it is back; meanwhile is called when the
// other one works on.
func (m shared) lose(how string, do func(), meanwhile ...func()) {
	t := m.t
	t.Helper()
	boots := []string{m.BootID("node1"), m.BootID("node2")}
	before, mark := m.records("node1"), len(m.Switched())
	since, lost := m.Clock("node1"), time.Now()
	do()
	t.Logf("node2 is lost by %s; %s", how, lab.HostLoad())
	m.Wait("node2 is fenced", func() bool { return len(m.Switched()) > mark })
	fenced := m.Switched()[mark].Time.Sub(lost)
	m.Until("node1", "writes go on", fmt.Sprintf("[ $(wc -l < /root/load.log) -gt %d ]", before+5))
	for _, f := range meanwhile {
		f()
	}
	m.Continue("node2") // a reset does not make it run again
	m.HealNetwork("node2")
	m.Rebooted("node2", boots[1])
	m.mounted("node2")
	m.load("node2")
	silence := m.gap("node1", since)
	m.losses.fenced.Note(how, m.stack.Name(), fenced)
	m.losses.silence.Note(how, m.stack.Name(), silence)
	t.Logf("%s: fenced after %v, no write on node1 for %v, switched %v; %s\n%s", how, fenced.Round(100*time.Millisecond), silence.Round(100*time.Millisecond), m.Switched()[mark:], lab.HostLoad(), m.Run("node1", m.stack.recovery()))
	if m.BootID("node1") != boots[0] {
		t.Error("node1 was reset, too")
	}
	if got := m.Switched()[mark:]; slices.ContainsFunc(got, func(s lab.Switching) bool { return s.Node != "node2" }) {
		t.Errorf("switched: %v", got)
	}
}

// posixLocks has many processes on both nodes lock parts of a file, without and with the
// loss of node2 in the middle.
func (m shared) posixLocks() {
	t := m.t
	t.Helper()
	const processes = 20
	program := m.BuildProgram("gcrm/cluster/simtest/lab/plocks")
	for _, n := range m.Names() {
		m.Copy(program, n+":/root/plocks")
	}
	play := func(node int, how time.Duration, file string, gone int) (string, error) {
		return m.TryFor(how+5*time.Minute, m.Names()[node-1], fmt.Sprintf("/root/plocks -node %d -processes %d -for %v -gone %d %s/%s", node, processes, how, gone, m.directory, file))
	}
	type result struct {
		out   string
		err   error
		alone int
	}
	both := func(how time.Duration, file string) {
		t.Helper()
		m.Run("node1", "rm -f "+m.directory+"/"+file)
		done := make(chan result)
		for node := 1; node <= 2; node++ {
			go func() {
				out, err := play(node, how, file, 0)
				r := result{out: out, err: err}
				if _, e := fmt.Sscanf(out, "alone %d", &r.alone); e != nil {
					r.err = errors.Join(r.err, e)
				}
				done <- r
			}()
		}
		total := 0
		for range 2 {
			r := <-done
			if r.err != nil {
				t.Errorf("POSIX locks: %v: %s", r.err, r.out)
			}
			total += r.alone
			t.Logf("POSIX locks, %d processes on each node for %v: %s; %s", processes, how, r.out, lab.HostLoad())
		}
		for _, n := range m.Names() {
			if sum := m.Run(n, "/root/plocks -sum "+m.directory+"/"+file); sum != strconv.Itoa(total) {
				t.Errorf("slots were held alone %d times, and %s sees %s in the counters", total, n, sum)
			}
		}
	}
	both(time.Minute, "locks")
	if t.Failed() {
		return
	}
	left := make(chan result)
	go func() {
		out, err := play(1, 3*time.Minute, "lost", 2)
		left <- result{out: out, err: err}
	}()
	m.Run("node2", fmt.Sprintf("systemd-run -q --unit plocks /root/plocks -node 2 -processes %d -for 10m %s/lost", processes, m.directory))
	m.Until("node2", "holds POSIX locks", "gcrm dlm plocks kvm1 | grep -q 'node2 .*holds'")
	m.lose("power-off while it holds POSIX locks", func() { m.PowerOff("node2") })
	r := <-left
	if r.err != nil {
		t.Errorf("POSIX locks of the survivor: %v: %s", r.err, r.out)
	}
	t.Logf("POSIX locks of the survivor: %s", r.out)
	if held := m.Run("node1", "gcrm dlm plocks kvm1 | grep node2 || true"); held != "" {
		t.Errorf("locks of the lost node are left: %s", held)
	}
	both(30*time.Second, "again")
}

// keep ends the daemon of node2 in a way that must not be noticed by who writes.
func (m shared) keep(how, script string) {
	t := m.t
	t.Helper()
	boot, mark := m.BootID("node2"), len(m.Switched())
	since := m.Clock("node2")
	daemon := m.Run("node2", "systemctl show -p MainPID --value gcrm")
	m.Run("node2", script)
	m.Until("node2", "has a new daemon", fmt.Sprintf("p=$(systemctl show -p MainPID --value gcrm); [ $p != 0 ] && [ $p != %s ] && gcrm cluster status", daemon))
	m.Members("node1", 2)
	m.Until("node2", "writes", fmt.Sprintf("[ $(wc -l < /root/load.log) -gt %d ]", m.records("node2")+5))
	t.Logf("%s: no write on node2 for %v; %s", how, m.gap("node2", since).Round(100*time.Millisecond), lab.HostLoad())
	if m.BootID("node2") != boot || len(m.Switched()) > mark {
		t.Errorf("%s: the node was reset: %v", how, m.Switched()[mark:])
	}
}
