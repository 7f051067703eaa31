package lab

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var rounds = flag.Int("rounds", 20, "how often a fence race is run")

// cluster boots machines with a cluster of their own.
func cluster(t *testing.T, nodes int, daemon string) *Machines {
	m := Boot(t, nodes, "--mem", "512", "--shared", "16M")
	m.OnFailure("gcrm cluster status; gcrm fence history; journalctl -u gcrm --no-pager | tail -80")
	if strings.Contains(daemon, "sbd") {
		m.Run("node1", fmt.Sprintf("sbd -d %s -1 10 -4 %d create", sharedDisk, int(Slow(20*time.Second).Seconds())))
	}
	m.Form(Cluster{Name: "lab", Detection: Slow(3 * time.Second), Daemon: daemon})
	return m
}

// watchdog are the daemon's options for the machines' watchdog.
func watchdog() string {
	return "--watchdog /dev/watchdog0 --watchdog-timeout " + Seconds(Slow(5*time.Second))
}

const sharedDisk = "/dev/disk/by-id/virtio-shared"

// TestFenceRace: the cable between two nodes is cut silently; both want to fence
// the other, and node1 has the longer delay against it. It survives each time,
// is never fenced, and node2 is fenced once and comes back.
func TestFenceRace(t *testing.T) {
	m := cluster(t, 2, "")
	m.Configure("node1", `primitive f stonith:fence_lab params pcmk_host_list="node1 node2" pcmk_delay_base="node1:`+Seconds(Slow(10*time.Second))+`;node2:0s" op monitor interval=60s timeout=60s
primitive d Dummy op monitor interval=20s timeout=60s
location d2 d 100: node2`)
	m.Runs("node1", "d", "node2")
	for round := range *rounds {
		boots := []string{m.BootID("node1"), m.BootID("node2")}
		mark := len(m.Switched())
		cut := time.Now()
		m.CutNetwork("node1")
		m.Wait("node2 is fenced", func() bool { return len(m.Switched()) > mark })
		took := m.Switched()[mark].Time.Sub(cut)
		m.HealNetwork("node1")
		m.Rebooted("node2", boots[1])
		m.Members("node1", 2)
		if got := fmt.Sprint(m.Switched()[mark:]); got != "[reboot node2]" && got != "[off node2 on node2]" {
			t.Fatalf("round %d: %s", round+1, got)
		}
		if m.BootID("node1") != boots[0] {
			t.Fatalf("round %d: node1 was reset", round+1)
		}
		t.Logf("round %d of %d: node1 survived, node2 was fenced after %v; %s", round+1, *rounds, took.Round(time.Second/10), HostLoad())
	}
}

// TestWatchdogs: three nodes with watchdogs. One hangs: its watchdog resets it,
// and its resource is recovered by the proof of time alone. Another one is well,
// and told to reset itself. Then the first level fails and the watchdog is the
// second.
func TestWatchdogs(t *testing.T) {
	m := cluster(t, 3, watchdog())
	m.Until("node1", "have-watchdog is true", "gcrm configure show type:property | grep -q have-watchdog=true")
	m.Configure("node1", "property stonith-watchdog-timeout="+Seconds(Slow(20*time.Second))+`
primitive d Dummy op monitor interval=20s timeout=60s
location d2 d 100: node2`)
	lose := func(what, on, how string) {
		t.Helper()
		m.Runs("node1", "d", "node2")
		boots := map[string]string{}
		for _, n := range m.Names() {
			boots[n] = m.BootID(n)
		}
		mark := len(m.Switched())
		before := proofs(m)
		m.Run(on, how)
		m.Rebooted("node2", boots["node2"])
		m.Wait(what+": the watchdog is the proof", func() bool { return proofs(m) > before })
		m.Members("node1", 3)
		for _, n := range []string{"node1", "node3"} {
			if m.BootID(n) != boots[n] {
				t.Errorf("%s: %s was reset, too", what, n)
			}
		}
		if got := m.Switched()[mark:]; len(got) > 0 {
			t.Errorf("%s: somebody switched: %v", what, got)
		}
	}
	const hang = "kill -STOP $(systemctl show -p MainPID --value gcrm)"
	lose("watchdog alone", "node2", hang)
	lose("told to reset itself", "node1", "gcrm --force node fence node2")
	// The responder is at another address: the first level fails.
	m.Configure("node1", `primitive f stonith:fence_lab params ip=10.0.2.77 pcmk_host_list="node1 node2 node3" pcmk_reboot_retries=1 pcmk_off_retries=1 meta target-role=Started
fencing_topology f`)
	lose("the lab's agent first", "node2", hang)
}

// proofs counts the fencings that a watchdog proved.
func proofs(m *Machines) int {
	out, _ := m.Try("node1", "gcrm fence history")
	return strings.Count(out, "watchdog")
}

// TestPoisonPill: two nodes with a shared disk. One is lost to the network and
// finds the message of the other in its mailbox.
func TestPoisonPill(t *testing.T) {
	m := cluster(t, 2, watchdog()+" --sbd-devices "+sharedDisk)
	wait := Seconds(Slow(time.Minute))
	m.Configure("node1", `primitive p stonith:fence_sbd params devices=`+sharedDisk+` pcmk_host_list="node1 node2" pcmk_delay_base="node1:`+Seconds(Slow(10*time.Second))+`;node2:0s" pcmk_reboot_timeout=`+wait+` pcmk_off_timeout=`+wait+`
property stonith-timeout=`+wait+`
primitive d Dummy op monitor interval=20s timeout=60s
location d2 d 100: node2`)
	m.Runs("node1", "d", "node2")
	boots := []string{m.BootID("node1"), m.BootID("node2")}
	m.CutNetwork("node2")
	m.Rebooted("node2", boots[1])
	m.HealNetwork("node2")
	m.Members("node1", 2)
	if m.BootID("node1") != boots[0] {
		t.Error("node1 was reset, too")
	}
	// The node may be back before the time is over that it is given for its mailbox.
	m.Until("node1", "the fencing is over", "! gcrm fence history | grep -q 'under way'")
	if out := m.Run("node1", "gcrm fence history"); !slices.ContainsFunc(strings.Split(out, "\n"), func(l string) bool { return strings.Contains(l, "node2") }) || !strings.Contains(out, "message on 1 of 1 disks") {
		t.Errorf("history: %s", out)
	}
	if got := m.Switched(); len(got) > 0 {
		t.Errorf("somebody switched: %v", got)
	}
}
