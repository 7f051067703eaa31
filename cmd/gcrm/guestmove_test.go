package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gcrm/drivers/libvirt/ticker"
)

// guestHost has a node run a real libvirtd, whose folders are its own. The shell in
// between takes leave of emulators that ended.
const guestHost = `for d in /var/cache /var/log; do mount -t tmpfs none $d; done; mkdir -p /run/libvirt /var/lib/libvirt/qemu /var/cache/libvirt /var/log/libvirt/qemu /run/v
printf '127.0.0.1 localhost\n10.77.0.1 node1\n10.77.0.2 node2\n' >/run/v/hosts; mount --bind /run/v/hosts /etc/hosts
printf 'user = "root"\ngroup = "root"\nsecurity_driver = "none"\nremember_owner = 0\nstdio_handler = "file"\ncgroup_controllers = [ ]\nnamespaces = [ ]\n' >/run/v/qemu.conf; mount --bind /run/v/qemu.conf /etc/libvirt/qemu.conf
printf 'unix_sock_dir = "/run/libvirt"\nauth_unix_rw = "none"\nlisten_tls = 0\nlisten_tcp = 1\nauth_tcp = "none"\nhost_uuid = "b8e9f0d4-1f6e-4bd5-9c43-00000000000%s"\n' NUMBER >/run/v/conf
unshare --uts --pid --fork --kill-child --mount-proc sh -c 'hostname nodeNUMBER; libvirtd -l -f /run/v/conf -p /run/v/pid; exit' >libvirtd.NUMBER 2>&1 &
for i in $(seq 100); do virsh -c qemu:///system -q list >/dev/null 2>&1 && break; sleep 0.1; done; virsh -c qemu:///system -q list`

// TestGuestMovesAlive has a cluster of two nodes with real libvirtd and QEMU move a virtual
// machine there and back: it goes on, in its memory as well, and what the cluster needs
// beyond what virsh needs for the same is printed.
func TestGuestMovesAlive(t *testing.T) {
	for _, program := range []string{"libvirtd", "qemu-system-x86_64", "virsh"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIPPED: needs Debian's libvirt-daemon-system, libvirt-clients and qemu-system-x86: %v", err)
		}
	}
	// A disk that both have; libvirt takes no file of a local file system for one.
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, append(ticker.Disk(), make([]byte, 1<<20)...), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", file).Output()
	if err != nil {
		t.Skip("SKIPPED: no loop device: ", err)
	}
	disk := strings.TrimSpace(string(out))
	t.Cleanup(func() { exec.Command("losetup", "-d", disk).Run() })

	hosts := guests(t, "node1", "node2")
	on := func(node, line string) string {
		t.Helper()
		out, status := hosts[node].sh(line)
		if status != "0" {
			log, _ := hosts[node].sh("cat *.log libvirtd.*; gcrm status </dev/null")
			t.Fatalf("%s# %s: status %s\n%s\n%s", node, line, status, out, log)
		}
		return out
	}
	count := func() (c ticker.Count) {
		t.Helper()
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		sector := make([]byte, ticker.Sector)
		for range 20 { // a damaged one may be one half of a write
			if _, err = f.ReadAt(sector, ticker.Sector); err == nil {
				if c, err = ticker.ReadCount(sector); err == nil {
					return c
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatal(err)
		return c
	}
	goesOn := func(before ticker.Count) (now ticker.Count) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); now.Total <= before.Total+3; time.Sleep(20 * time.Millisecond) {
			if now = count(); time.Now().After(end) {
				t.Fatalf("the guest does not count: %+v", now)
			}
		}
		if before.Total > 0 && !now.Continues(before) {
			t.Fatalf("the guest was started anew: %+v, then %+v", before, now)
		}
		return now
	}
	for i, node := range []string{"node1", "node2"} {
		on(node, "unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY; mount -t proc proc /proc; "+strings.ReplaceAll(guestHost, "NUMBER", strconv.Itoa(i+1)))
		on(node, "cat >/run/v/guest.xml <<'END'\n"+ticker.Domain("guest", disk)+"END")
	}
	// Milliseconds by the clock of the host.
	timed := func(node, command string) time.Duration {
		t.Helper()
		begun := time.Now()
		on(node, command)
		return time.Since(begun)
	}
	const virsh = "virsh -c qemu:///system -q "
	on("node1", virsh+"create /run/v/guest.xml")
	before := goesOn(ticker.Count{})
	for i := range 4 {
		from, to := "node"+strconv.Itoa(i%2+1), "node"+strconv.Itoa(2-i%2)
		took := timed(from, virsh+"migrate --live --p2p guest qemu+tcp://"+to+"/system tcp://"+to)
		before = goesOn(before)
		t.Logf("virsh: to %s in %.2f s", to, took.Seconds())
	}
	on("node1", virsh+"destroy guest")

	on("node1", "gcrm cluster init --name kvm --node node1 --address 10.77.0.1")
	on("node1", "gcrm daemon --agents native >node1.log 2>&1 &")
	token := ""
	for end := time.Now().Add(30 * time.Second); token == ""; time.Sleep(100 * time.Millisecond) {
		out, _ := hosts["node1"].sh("gcrm cluster token")
		for word := range strings.FieldsSeq(out) {
			if strings.HasPrefix(word, "gcrm1.") {
				token = word
			}
		}
		if time.Now().After(end) {
			t.Fatal(out)
		}
	}
	on("node2", "gcrm cluster join 10.77.0.1 --token "+token+" --node node2 --address 10.77.0.2")
	on("node2", "gcrm daemon --agents native >node2.log 2>&1 &")
	on("node1", "for i in $(seq 300); do gcrm status </dev/null | grep -q 'Online: \\[ node1 node2 \\]' && break; sleep 0.1; done; gcrm -F configure property stonith-enabled=false")
	on("node1", "gcrm -F configure primitive guest VirtualDomain params config=/run/v/guest.xml hypervisor=qemu:///system remoteuri=qemu+tcp://%n/system migrateuri=tcp://%n force_stop=true op start timeout=60s op stop timeout=60s op migrate_to timeout=60s op migrate_from timeout=60s op monitor interval=10s timeout=20s meta allow-migrate=true </dev/null")
	on("node1", "gcrm -F configure location guest-first guest 10: node2 </dev/null")
	on("node1", "for i in $(seq 300); do gcrm resource locate guest </dev/null | grep -q 'running on: node2' && break; sleep 0.1; done; gcrm resource locate guest </dev/null")
	before = goesOn(count())
	for i := range 4 {
		to, from, command := "node1", "node2", "gcrm -w resource move guest node1 force </dev/null"
		if i%2 == 1 {
			to, from, command = "node2", "node1", "gcrm -w resource clear guest </dev/null"
		}
		took := timed("node1", command)
		if where := on("node1", "gcrm resource locate guest </dev/null"); !strings.Contains(where, "running on: "+to) {
			t.Fatalf("%s: %s", command, where)
		}
		before = goesOn(before)
		if left := on(from, virsh+"list --all --name"); strings.TrimSpace(left) != "" {
			t.Errorf("%s still has %s", from, left)
		}
		t.Logf("gcrm: to %s in %.2f s", to, took.Seconds())
	}
	t.Log(on("node1", "gcrm status ops timing </dev/null | grep -E 'Node|migrate|start|stop'"))
	on("node1", "gcrm -w resource stop guest </dev/null")
	for node := range hosts {
		if left := on(node, virsh+"list --all --name"); strings.TrimSpace(left) != "" {
			t.Errorf("stopped, and %s has %s", node, left)
		}
	}
}
