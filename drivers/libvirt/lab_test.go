package libvirt

import (
	"cmp"
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gcrm/cluster/simtest/lab"
	"gcrm/drivers/libvirt/ticker"
)

var (
	rounds    = flag.Int("migrations", 2, "how often the guest goes there and back in each part of TestWithKernel")
	detection = flag.Duration("detection", 5*time.Second, "detection time of gcrm's cluster in TestWithKernel")
	transport = flag.String("transport", "ssh", "migration_transport in TestWithKernel: ssh, or tcp, which spares emulated machines the ciphers")
)

const sharedDisk = "/dev/disk/by-id/virtio-shared"

// hosting has a machine run guests. The daemon listens by TCP as well, for -transport tcp.
const hosting = `printf 'user = "root"\ngroup = "root"\nsecurity_driver = "none"\nremember_owner = 0\n' >/etc/libvirt/qemu.conf
grep -q '^auth_tcp' /etc/libvirt/libvirtd.conf || echo 'auth_tcp = "none"' >>/etc/libvirt/libvirtd.conf
echo 'StrictHostKeyChecking no' >/root/.ssh/config
systemctl stop libvirtd libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket 2>/dev/null
systemctl enable -q libvirtd libvirtd-tcp.socket; systemctl start libvirtd-tcp.socket libvirtd
virsh -q list && sync`

// site is two hosts with a disk that both have, and a guest on it.
type site struct {
	*lab.Machines
	t    *testing.T
	seen *observer
}

// TestWithKernel runs a virtual machine with a real libvirtd and QEMU in emulated machines:
// it goes there and back alive, by virsh alone and as gcrm has it done; it is started again
// on the other host when its own loses its power, and goes home alive when that is back:
//
//	go test ./drivers/libvirt -run TestWithKernel -v -timeout 60m -lab ../shared/lab/lab
func TestWithKernel(t *testing.T) {
	m := lab.Boot(t, 2, "--mem", "768", "--shared", "1M", "--smp", "2")
	m.OnFailure("gcrm status; gcrm cluster status; virsh list --all; tail -20 /var/log/libvirt/qemu/guest.log; journalctl --no-pager | tail -100")
	s := site{m, t, nil}
	for _, n := range m.Names() {
		m.Run(n, hosting)
		m.Run(n, "cat >/root/guest.xml <<'END'\n"+ticker.Domain("guest", sharedDisk)+"END\nsync")
	}
	m.Run("node1", fmt.Sprintf("echo %s | base64 -d | dd of=%s oflag=direct conv=fsync status=none", base64.StdEncoding.EncodeToString(ticker.Disk()), sharedDisk))
	// The host has the disk as a file, so that nobody in the machines waits for the look.
	s.seen = observe(t, filepath.Join(cmp.Or(os.Getenv("LAB_DIR"), "/var/tmp/gcrm-lab"), "disks", "shared"))
	alone := s.byVirsh()
	old := s.seen.last()
	cluster := lab.Cluster{Name: "kvm", Detection: *detection, Daemon: "--agents native"}
	m.Form(cluster)
	m.Configure("node1", fmt.Sprintf(`property no-quorum-policy=freeze
%s
primitive guest VirtualDomain params config=/root/guest.xml hypervisor=qemu:///system migration_transport=%s force_stop=true op start timeout=300s interval=0 op stop timeout=300s interval=0 op migrate_to timeout=300s interval=0 op migrate_from timeout=300s interval=0 op monitor interval=10s timeout=60s meta allow-migrate=true
location guest-first guest 10: node2`, lab.FenceDevice, *transport))
	m.Runs("node1", "guest", "node2")
	var before ticker.Count
	s.Wait("the guest was started by the cluster", func() bool { before = s.seen.last(); return before.Anew(old) && before.SinceStart > 10 })
	with := s.byCluster(&before)
	t.Logf("live migrations there and back, seconds:\nvirsh     %s\nmigrate_to %s\nmove       %s\npause      %s (virsh), %s (gcrm)", seconds(alone.took), seconds(with.agent), seconds(with.took), seconds(alone.pause), seconds(with.pause))
	if a, w := median(alone.took), median(with.agent); w > 2*a+lab.Patience(time.Second) {
		t.Errorf("migrate_to takes %v and virsh alone %v", w, a)
	}
	s.loss(before)
}

// migrations are how long some took.
type migrations struct{ took, agent, pause []time.Duration }

// byVirsh is what the hosts and their emulators need, without a cluster. The times are of
// the machine's clock, around the command.
func (s site) byVirsh() (out migrations) {
	s.t.Helper()
	s.Run("node1", "virsh -q create /root/guest.xml")
	before := s.works(ticker.Count{})
	for i := range 2 * *rounds {
		from, to := s.Names()[i%2], s.Names()[(i+1)%2]
		begun := time.Now()
		took := s.Run(from, fmt.Sprintf("b=$(date +%%s%%N); virsh -q migrate --live --p2p guest qemu+%s://%s/system && echo $(( $(date +%%s%%N) - b ))", *transport, to))
		nanos, err := strconv.ParseInt(strings.TrimSpace(took), 10, 64)
		if err != nil {
			s.t.Fatalf("virsh migrate: %s", took)
		}
		now := s.works(before)
		if !now.Continues(before) {
			s.t.Errorf("virsh: the guest was started anew on %s: %+v, then %+v", to, before, now)
		}
		pause := s.seen.gap(begun)
		s.t.Logf("virsh: to %s in %.2f s, pause %.2f s; %s", to, time.Duration(nanos).Seconds(), pause.Seconds(), lab.HostLoad())
		before = now
		out.took, out.pause = append(out.took, time.Duration(nanos)), append(out.pause, pause)
	}
	s.Run("node1", "virsh -q destroy guest")
	return out
}

// migrated finds the times of migrations in what gcrm's status ops timing prints.
var migrated = regexp.MustCompile(`\* \(\d+\) (migrate_to|migrate_from|stop): .*exec-time="(\w+)"`)

// byCluster has the cluster move it. The first of two commands ends the second one's
// effect: the guest prefers node2.
func (s site) byCluster(before *ticker.Count) (out migrations) {
	s.t.Helper()
	for i := range 2 * *rounds {
		to, from, command := "node1", "node2", "gcrm -w resource move guest node1 force"
		if i%2 == 1 {
			to, from, command = "node2", "node1", "gcrm -w resource clear guest"
		}
		begun := time.Now()
		text := s.Run(to, "b=$(date +%s%N); "+command+" >/tmp/moved 2>&1; echo $(( $(date +%s%N) - b )); cat /tmp/moved; gcrm resource locate guest; gcrm status ops timing")
		first, rest, _ := strings.Cut(text, "\n")
		nanos, err := strconv.ParseInt(first, 10, 64)
		if err != nil || !strings.Contains(rest, "running on: "+to) {
			s.t.Fatalf("%s: %s", command, text)
		}
		now := s.works(*before)
		if !now.Continues(*before) {
			s.t.Errorf("the guest was started anew on %s: %+v, then %+v", to, *before, now)
		}
		var parts []string
		for _, f := range migrated.FindAllStringSubmatch(rest, -1) {
			parts = append(parts, f[1]+" "+f[2])
			if ms, err := strconv.Atoi(strings.TrimSuffix(f[2], "ms")); err == nil && f[1] == "migrate_to" {
				out.agent = append(out.agent, time.Duration(ms)*time.Millisecond)
			}
		}
		pause := s.seen.gap(begun)
		s.t.Logf("gcrm: from %s to %s in %.2f s (%s), pause %.2f s; %s", from, to, time.Duration(nanos).Seconds(), strings.Join(parts, ", "), pause.Seconds(), lab.HostLoad())
		*before = now
		out.took, out.pause = append(out.took, time.Duration(nanos)), append(out.pause, pause)
		if names := s.Run(from, "virsh list --all --name"); strings.TrimSpace(names) != "" {
			s.t.Errorf("the guest is on both hosts: %s", names)
		}
	}
	if len(out.agent) == 0 {
		s.t.Error("the history has no migrations")
	}
	return out
}

// loss takes the power from the guest's host.
func (s site) loss(before ticker.Count) {
	t := s.t
	t.Helper()
	boot, mark, lost := s.BootID("node2"), len(s.Switched()), time.Now()
	before = s.works(before)
	s.PowerOff("node2")
	var now ticker.Count
	s.Wait("the guest was started again", func() bool { now = s.seen.last(); return now.Anew(before) && now.SinceStart > 0 })
	if now.Total-now.SinceStart < before.Total {
		t.Errorf("the guest lost what it wrote: %+v, then %+v", before, now)
	}
	t.Logf("power-off of the guest's host: it did not count for %.2f s; fenced %v", s.seen.gap(lost).Seconds(), s.Switched()[mark:])
	s.Rebooted("node2", boot)
	back := time.Now()
	s.Members("node1", 2)
	s.Runs("node1", "guest", "node2")
	before, now = now, s.works(now)
	if !now.Continues(before) {
		t.Errorf("the guest was started anew at home: %+v, then %+v", before, now)
	}
	t.Logf("the guest is home %v after its host answers, its pause was %.2f s: %+v, then %+v; %s", time.Since(back).Round(time.Second), s.seen.gap(back).Seconds(), before, now, lab.HostLoad())
	s.Run("node1", "gcrm -w resource stop guest")
	for _, n := range s.Names() {
		if names := s.Run(n, "virsh list --all --name"); strings.TrimSpace(names) != "" {
			t.Errorf("stopped, and %s has: %s", n, names)
		}
	}
}

// works waits until the guest counts on, some seconds.
func (s site) works(before ticker.Count) (now ticker.Count) {
	s.t.Helper()
	s.Wait("the guest counts", func() bool { now = s.seen.last(); return now.Total > before.Total+10 })
	return now
}

func median(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(all))[len(all)/2]
}

func seconds(all []time.Duration) string {
	var words []string
	for _, d := range all {
		words = append(words, fmt.Sprintf("%.2f", d.Seconds()))
	}
	return strings.Join(words, " ")
}
