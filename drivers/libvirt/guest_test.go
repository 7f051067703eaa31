package libvirt

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
	"gcrm/drivers/libvirt/rpc/rpctest"
	"gcrm/drivers/libvirt/ticker"
)

// hypervisor is a host with a real libvirtd and QEMU: namespaces of its own, and a socket
// where the test can reach it.
type hypervisor struct {
	t       *testing.T
	name    string
	address string // where other hosts' daemons reach it
	uri     string
}

// hypervisors makes two of them with a cable between them.
func hypervisors(t *testing.T) (a, b *hypervisor) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: namespaces need root")
	}
	for _, program := range []string{"libvirtd", "qemu-system-x86_64", "virsh", "ip", "unshare"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIPPED: needs Debian's libvirt-daemon-system, libvirt-clients and qemu-system-x86: %v", err)
		}
	}
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Skipf("SKIPPED: ip %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	// A path of a socket has at most 107 bytes.
	dir, err := os.MkdirTemp("", "lv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	var both [2]*hypervisor
	var spaces [2]string
	for i := range both {
		h := &hypervisor{t: t, name: "host" + strconv.Itoa(i+1), address: "10.78.0." + strconv.Itoa(i+1)}
		h.uri = "qemu+unix:///system?socket=" + filepath.Join(dir, h.name, "libvirt-sock")
		spaces[i] = "gcrmvm" + strconv.Itoa(os.Getpid()%100000) + h.name
		ip("netns", "add", spaces[i])
		t.Cleanup(func() { exec.Command("ip", "netns", "del", spaces[i]).Run() })
		ip("-n", spaces[i], "link", "set", "lo", "up")
		both[i] = h
	}
	ip("link", "add", "e0", "netns", spaces[0], "type", "veth", "peer", "name", "e0", "netns", spaces[1])
	for i, h := range both {
		ip("-n", spaces[i], "address", "add", h.address+"/24", "dev", "e0")
		ip("-n", spaces[i], "link", "set", "e0", "up")
		h.start(spaces[i], filepath.Join(dir, h.name))
	}
	return both[0], both[1]
}

// start starts its daemon; all that libvirt keeps is in folders of its own.
func (h *hypervisor) start(space, dir string) {
	t := h.t
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// Two hosts differ by this number only.
	id := fmt.Sprintf("b8e9f0d4-1f6e-4bd5-9c43-%012d", time.Now().UnixNano()%1e12)
	conf := fmt.Sprintf("unix_sock_dir = %q\nauth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\nlisten_tls = 0\nlisten_tcp = 1\nauth_tcp = \"none\"\nlisten_addr = %q\nhost_uuid = %q\n", dir, h.address, id)
	qemu := "user = \"root\"\ngroup = \"root\"\nsecurity_driver = \"none\"\nremember_owner = 0\nstdio_handler = \"file\"\ncgroup_controllers = [ ]\nnamespaces = [ ]\n"
	for name, text := range map[string]string{"conf": conf, "qemu.conf": qemu} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	script := fmt.Sprintf(`set -e; mount -t proc proc /proc; for d in /run /var/lib /var/cache /var/log; do mount -t tmpfs none $d; done
mkdir -p /run/libvirt /var/lib/libvirt/qemu /var/cache/libvirt /var/log/libvirt/qemu; mount --bind %[1]s/qemu.conf /etc/libvirt/qemu.conf; hostname %[2]s
libvirtd -l -f %[1]s/conf -p %[1]s/pid; exit`, dir, h.name) // the shell takes leave of emulators that ended
	cmd := exec.Command("ip", "netns", "exec", space, "unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child", "sh", "-c", script)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	rpctest.Serving(t, cmd, log, h.uri, os.Kill).Close() // and with it all of its namespace ends
}

// has tells whether a domain runs there.
func (h *hypervisor) has(name string) bool {
	h.t.Helper()
	s, err := lookAt(h.t.Context(), h.uri, name)
	if err != nil {
		h.t.Fatal(err)
	}
	return s.condition == running
}

// TestGuest runs a machine under two real libvirtd with QEMU: it starts, goes there and back
// alive, stays where it is when the other host does not take it, and is switched off.
func TestGuest(t *testing.T) {
	a, b := hypervisors(t)
	// A disk that both have; libvirt takes no file of a local file system for one.
	file := fileWith(t, string(ticker.Disk())+strings.Repeat("\x00", 1<<20))
	out, err := exec.Command("losetup", "--find", "--show", file).Output()
	if err != nil {
		t.Skip("SKIPPED: no loop device: ", err)
	}
	disk := strings.TrimSpace(string(out))
	t.Cleanup(func() { exec.Command("losetup", "-d", disk).Run() })
	config, seen := fileWith(t, ticker.Domain("guest", disk)), observe(t, file)
	on := func(here, there *hypervisor) agenttest.Subject {
		return agenttest.Subject{Agent: Agents()[agentName()], Name: agentName(), Resource: "guest", Node: agenttest.NewNode(t, here.name), Timeout: 60 * time.Second,
			Params: map[string]string{"config": config, "hypervisor": here.uri, "remoteuri": "qemu+tcp://" + there.address + "/system", "migrateuri": "tcp://" + there.address, "force_stop": "yes"},
			Meta:   map[string]string{"migrate_source": here.name, "migrate_target": there.name}}
	}
	sides := []struct {
		*hypervisor
		agenttest.Subject
	}{{a, on(a, b)}, {b, on(b, a)}}
	works := func(before ticker.Count) (now ticker.Count) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); now.Total <= before.Total+3; time.Sleep(20 * time.Millisecond) {
			if now = seen.last(); time.Now().After(end) {
				t.Fatalf("the guest does not count: %+v", now)
			}
		}
		return now
	}
	sides[0].Want(t, drivers.Monitor, drivers.NotRunning)
	sides[0].Want(t, drivers.Start, drivers.OK)
	before := works(ticker.Count{})
	for i := range 4 {
		from, to := &sides[i%2], &sides[(i+1)%2]
		begun := time.Now()
		from.Want(t, drivers.MigrateTo, drivers.OK)
		sent := time.Since(begun)
		to.Want(t, drivers.MigrateFrom, drivers.OK)
		from.Want(t, drivers.Stop, drivers.OK) // the cluster's, at the source
		took := time.Since(begun)
		now := works(before)
		if !now.Continues(before) {
			t.Fatalf("the guest was started anew on %s: %+v, then %+v", to.name, before, now)
		}
		from.Want(t, drivers.Monitor, drivers.NotRunning)
		to.Want(t, drivers.Monitor, drivers.OK)
		if from.has("guest") || !to.has("guest") {
			t.Errorf("after the migration to %s: there %v, on %s %v", to.name, to.has("guest"), from.name, from.has("guest"))
		}
		t.Logf("to %s: sent in %.2f s, all done in %.2f s, pause %.2f s", to.name, sent.Seconds(), took.Seconds(), seen.gap(begun).Seconds())
		before = now
	}
	// Somebody has a domain of that name there: it stays where it is.
	if out, err := exec.Command("virsh", "-c", b.uri, "-q", "create", fileWith(t, ticker.Domain("guest", fileWith(t, string(ticker.Disk()))))).CombinedOutput(); err != nil {
		t.Fatalf("virsh create: %v: %s", err, out)
	}
	res := sides[0].Want(t, drivers.MigrateTo, drivers.GenericError)
	if !strings.Contains(res.Reason, "goes on running here") {
		t.Errorf("%+v", res)
	}
	if now := works(before); !now.Continues(before) {
		t.Errorf("after a failed migration: %+v, then %+v", before, now)
	}
	for _, s := range sides {
		s.Want(t, drivers.Stop, drivers.OK)
		s.Want(t, drivers.Monitor, drivers.NotRunning)
	}
	still := seen.last()
	if time.Sleep(300 * time.Millisecond); seen.last() != still {
		t.Error("it counts after the stop")
	}
}

func fileWith(t *testing.T, content string) string {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err == nil {
		_, err = f.WriteString(content)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return f.Name()
}
