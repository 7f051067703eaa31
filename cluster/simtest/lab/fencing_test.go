package lab

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestFenceRace: the cable between two nodes is cut silently; both want to fence
// the other, and node1 has the longer delay against it. It survives each time,
// is never fenced, and node2 is fenced once and comes back.
func TestFenceRace(t *testing.T) {
	s := newSite(t, 2)
	s.cluster(2, "")
	s.configure(1, `primitive f stonith:fence_lab params pcmk_host_list="node1 node2" pcmk_delay_base="node1:`+seconds(s.slow(10*time.Second))+`;node2:0s" op monitor interval=60s timeout=60s
primitive d Dummy op monitor interval=20s timeout=60s
location d2 d 100: node2`)
	s.wait("the resource runs", s.runs(1, "d", "node2"))
	for round := range *rounds {
		mark := len(s.fenced())
		s.lab("cut", "node1", "all", "--silent")
		begun := time.Now()
		s.wait("node2 is fenced", func() bool { return len(s.fenced()) > mark })
		took := time.Since(begun)
		s.lab("heal", "node1")
		s.wait("both are members", s.online(1, 2))
		if got := strings.Join(s.fenced()[mark:], ", "); got != "reboot node2" && got != "off node2, on node2" {
			t.Fatalf("round %d: %s", round+1, got)
		}
		t.Logf("round %d of %d: node1 survived, node2 was fenced after %s", round+1, *rounds, took.Round(time.Second))
	}
}

// TestWatchdogs: three nodes with watchdogs. One hangs: its watchdog resets it,
// and its resource is recovered by the proof of time alone. Then the first level
// fails and the watchdog is the second.
func TestWatchdogs(t *testing.T) {
	s := newSite(t, 3)
	s.cluster(3, "--watchdog /dev/watchdog0")
	s.wait("have-watchdog is true", func() bool {
		out, _ := s.on(1, "gcrm configure show type:property")
		return strings.Contains(out, "have-watchdog=true")
	})
	limit := seconds(s.slow(20 * time.Second))
	s.configure(1, "property stonith-watchdog-timeout="+limit+`
primitive d Dummy op monitor interval=20s timeout=60s
location d2 d 100: node2`)
	hang := func(what string) {
		t.Helper()
		s.wait("the resource runs", s.runs(1, "d", "node2"))
		boot := s.must(2, "cat /proc/sys/kernel/random/boot_id")
		mark := len(s.fenced())
		s.must(2, "kill -STOP $(systemctl show -p MainPID --value gcrm)")
		s.wait(what+": the resource is recovered elsewhere, or back after its reset", func() bool {
			out, err := s.on(1, "gcrm fence history")
			return err == nil && strings.Contains(out, "watchdog")
		})
		s.wait(what+": the node was reset", func() bool {
			now, err := s.on(2, "cat /proc/sys/kernel/random/boot_id")
			return err == nil && strings.TrimSpace(now) != strings.TrimSpace(boot)
		})
		s.wait(what+": all are members", s.online(1, 3))
		if got := s.fenced()[mark:]; len(got) > 0 {
			t.Errorf("%s: somebody switched: %v", what, got)
		}
	}
	hang("watchdog alone")
	// The responder is at another address: the first level fails.
	s.configure(1, `primitive f stonith:fence_lab params ip=10.0.2.77 pcmk_host_list="node1 node2 node3" pcmk_reboot_retries=1 pcmk_off_retries=1 meta target-role=Started
fencing_topology f`)
	hang("the lab's agent first")
}

// TestPoisonPill: two nodes with a shared disk. One is lost to the network and
// finds the message of the other in its mailbox.
func TestPoisonPill(t *testing.T) {
	s := newSite(t, 2)
	const disk = "/dev/disk/by-id/virtio-shared"
	s.must(1, fmt.Sprintf("sbd -d %s -1 10 -4 %s create", disk, strings.TrimSuffix(seconds(s.slow(20*time.Second)), "s")))
	s.cluster(2, "--watchdog /dev/watchdog0 --sbd-devices "+disk)
	wait := seconds(s.slow(time.Minute))
	s.configure(1, `primitive p stonith:fence_sbd params devices=`+disk+` pcmk_host_list="node1 node2" pcmk_delay_base="node1:`+seconds(s.slow(10*time.Second))+`;node2:0s" pcmk_reboot_timeout=`+wait+` pcmk_off_timeout=`+wait+`
property stonith-timeout=`+wait+`
primitive d Dummy op monitor interval=20s timeout=60s
location d2 d 100: node2`)
	s.wait("the resource runs", s.runs(1, "d", "node2"))
	boot := s.must(2, "cat /proc/sys/kernel/random/boot_id")
	s.lab("cut", "node2", "all", "--silent")
	s.wait("node2 was reset", func() bool {
		now, err := s.on(2, "cat /proc/sys/kernel/random/boot_id")
		return err == nil && strings.TrimSpace(now) != strings.TrimSpace(boot)
	})
	s.lab("heal", "node2")
	s.wait("both are members", s.online(1, 2))
	if out := s.must(1, "gcrm fence history"); !strings.Contains(out, "node2") || !strings.Contains(out, "message on 1 of 1 disks") {
		t.Errorf("history: %s", out)
	}
	if got := s.fenced(); len(got) > 0 {
		t.Errorf("somebody switched: %v", got)
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%ds", int(d.Seconds())) }

// fenced is what the laboratory's responder switched, in order.
func (s *site) fenced() []string {
	b, _ := os.ReadFile(s.path("fence.log"))
	var out []string
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) == 4 && f[1] == "done" && (f[2] == "reboot" || f[2] == "off" || f[2] == "on") {
			out = append(out, f[2]+" "+f[3])
		}
	}
	return out
}
