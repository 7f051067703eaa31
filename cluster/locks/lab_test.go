package locks

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// labPath is the program that runs machines with a real kernel, such as
// ../shared/lab/lab beside the repository (built once with "lab build").
var labPath = flag.String("lab", "", "the lab program; without it TestWithKernel is skipped")

// detection is how long the loss of a node may go unnoticed there: emulated
// machines on a busy host stand still for seconds.
var detection = flag.Duration("detection", 20*time.Second, "detection time of the lab's cluster")

// machines are two nodes of the lab.
type machines struct {
	t   *testing.T
	dir string
}

// lab runs a command of the lab.
func (m machines) lab(limit time.Duration, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(m.t.Context(), limit)
	defer cancel()
	out, err := exec.CommandContext(ctx, *labPath, args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// on runs a script on a node.
func (m machines) on(node, script string) string {
	m.t.Helper()
	out, err := m.lab(5*time.Minute, "sh", node, script)
	if err != nil {
		m.t.Fatalf("on %s: %s: %v\n%s", node, script, err, out)
	}
	return out
}

// until waits for a script to succeed on a node, which may be away meanwhile.
func (m machines) until(node, what, script string) time.Duration {
	m.t.Helper()
	begin := time.Now()
	for {
		out, err := m.lab(time.Minute, "sh", node, script)
		if err == nil {
			took := time.Since(begin)
			m.t.Logf("%s: %s after %v", node, what, took.Round(100*time.Millisecond))
			return took
		}
		if time.Since(begin) > 15*time.Minute {
			m.words()
			m.t.Fatalf("%s: in vain: %s: %v\n%s", node, what, err, out)
		}
		time.Sleep(time.Second)
	}
}

// words logs what the nodes have to say.
func (m machines) words() {
	for _, n := range []string{"node1", "node2"} {
		out, _ := m.lab(time.Minute, "sh", n, "gcrm status; gcrm dlm status; tail -20 /run/gcrm/agents/dlm/control.log; dmesg | tail -30")
		m.t.Logf("%s:\n%s", n, out)
	}
}

const labConfiguration = `property stonith-enabled=true no-quorum-policy=freeze
primitive fence stonith:fence_lab params pcmk_host_list="node1 node2" pcmk_reboot_timeout=120s
primitive dlm ocf:pacemaker:controld op monitor interval=30s timeout=60s op start timeout=300s interval=0 op stop timeout=300s interval=0
clone dlm-clone dlm meta interleave=true ordered=true
primitive fs ocf:heartbeat:Filesystem params device=/dev/disk/by-id/virtio-shared directory=/mnt/kvm fstype=gfs2 options=noatime op monitor interval=30s timeout=60s op start timeout=300s interval=0 op stop timeout=300s interval=0
clone fs-clone fs meta interleave=true
order dlm-then-fs Mandatory: dlm-clone fs-clone
colocation fs-with-dlm inf: fs-clone dlm-clone
`

// labLoad writes records with checksums into common folders, every one synced.
const labLoad = `#!/bin/bash
n=$(hostname); i=0; mkdir -p /mnt/kvm/d
while :; do
  i=$((i+1)); f=/mnt/kvm/d/$n.$((i%50)); head -c 3000 /dev/urandom | base64 -w0 > /root/data
  { cat /root/data; echo; sha256sum < /root/data; } > $f.new && sync $f.new && mv $f.new $f && echo "$(date +%s.%N) $i"
done > /root/load.log 2>&1
`

// labVerify counts records that are not whole.
const labVerify = `cd /mnt/kvm/d && bad=0 && for f in node?.*; do case $f in *.new) continue;; esac
  [ "$(head -n1 $f | tr -d '\n' | sha256sum)" = "$(tail -n1 $f)" ] || { echo "$f is damaged"; bad=1; }; done; ls | wc -l; exit $bad`

// TestWithKernel mounts GFS2 on two machines with the kernel's lock manager and
// no other cluster stack, writes on both, takes the power of one, sees the other
// go on after fencing and recovery, and the lost one come back; then it kills
// the control process, which has to cost the node its life.
func TestWithKernel(t *testing.T) {
	if *labPath == "" {
		t.Skip("SKIPPED: needs the lab (-lab PATH) and its virtual machines")
	}
	m := machines{t, t.TempDir()}
	if out, err := m.lab(10*time.Minute, "up", "2", "--mem", "640", "--shared", "400M"); err != nil {
		t.Fatalf("lab up: %v\n%s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command(*labPath, "down").Run() })
	m.install()
	for _, n := range []string{"node1", "node2"} {
		m.until(n, "mounted", "grep -q /mnt/kvm /proc/mounts")
		m.on(n, "pgrep -x 'corosync|pacemakerd' && exit 1; systemd-run --unit load /root/load")
	}
	for _, n := range []string{"node1", "node2"} {
		m.until(n, "writes", "[ $(wc -l < /root/load.log) -gt 3 ]")
	}

	// Power-off.
	m.lose("kill", func() {
		if out, err := m.lab(time.Minute, "kill", "node2"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
	// Death of the control process.
	m.lose("death of the control process", func() { m.on("node2", "kill -9 $(pgrep -x dlm_controld)") })

	for _, n := range []string{"node1", "node2"} {
		m.on(n, "systemctl stop load; sync")
	}
	for _, n := range []string{"node1", "node2"} {
		t.Log(n, "records:", m.on(n, labVerify))
	}
	m.on("node1", "gcrm resource stop fs-clone")
	for _, n := range []string{"node1", "node2"} {
		m.until(n, "unmounted", "! grep -q /mnt/kvm /proc/mounts")
	}
	t.Log(m.on("node1", "fsck.gfs2 -n /dev/disk/by-id/virtio-shared 2>&1 | tail -5"))
}

// install brings the program and the cluster up.
func (m machines) install() {
	t := m.t
	program := filepath.Join(m.dir, "gcrm")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "gcrm/cmd/gcrm")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	files := map[string]string{"load": labLoad, "conf.crm": labConfiguration}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(m.dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []string{"node1", "node2"} {
		for _, c := range [][]string{{program, n + ":/usr/local/bin/gcrm"}, {filepath.Join(m.dir, "load"), n + ":/root/load"}, {filepath.Join(m.dir, "conf.crm"), n + ":/root/conf.crm"}} {
			if out, err := m.lab(5*time.Minute, "cp", c[0], c[1]); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		// The native agent is the one to be tested.
		m.on(n, "rm -f /usr/lib/ocf/resource.d/heartbeat/Filesystem; gcrm daemon --unit | sed 's/^WatchdogSec=.*/WatchdogSec=300s/' > /etc/systemd/system/gcrm.service; systemctl daemon-reload")
	}
	m.on("node1", fmt.Sprintf("gcrm cluster init --name cluster1 --node node1 --address 10.9.1.1 --detection %v && systemctl enable --now gcrm", *detection))
	token := m.on("node1", "gcrm cluster token")
	m.on("node1", "mkfs.gfs2 -O -q -p lock_dlm -t cluster1:kvm1 -j 2 -J 32 /dev/disk/by-id/virtio-shared")
	m.on("node2", fmt.Sprintf("gcrm cluster join 10.9.1.1 --token '%s' --node node2 --address 10.9.1.2 && systemctl enable --now gcrm", strings.Fields(token)[len(strings.Fields(token))-1]))
	m.until("node1", "both are voters", "[ $(gcrm cluster status | grep -c 'online *yes') = 2 ]")
	m.on("node1", "gcrm configure load update /root/conf.crm")
}

// lose loses node2 in a way, and waits until it is back.
func (m machines) lose(how string, do func()) {
	t := m.t
	t.Helper()
	boot := m.on("node2", "cat /proc/sys/kernel/random/boot_id")
	before, err := strconv.Atoi(m.on("node1", "wc -l < /root/load.log"))
	if err != nil {
		t.Fatal(err)
	}
	do()
	t.Log("lost by", how)
	m.until("node1", "lockspace runs without node2", "gcrm dlm ls | grep -q 'kvm1 .* node1  *yes  *runs'")
	m.until("node1", "writes go on", fmt.Sprintf("[ $(wc -l < /root/load.log) -gt %d ]", before+3))
	t.Log(m.on("node1", "dmesg | grep 'recover jid\\|Journal replayed' | tail -2; grep 'msg=st' /run/gcrm/agents/dlm/control.log | tail -2"))
	m.until("node2", "was fenced", fmt.Sprintf("[ $(cat /proc/sys/kernel/random/boot_id) != %s ]", boot))
	m.until("node2", "is back and mounted", "grep -q /mnt/kvm /proc/mounts")
	m.on("node2", "systemd-run --unit load /root/load")
	m.until("node2", "writes again", "[ $(wc -l < /root/load.log) -gt 3 ]")
}
