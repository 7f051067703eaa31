package locks

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"gcrm/cluster/simtest/lab"
	"gcrm/drivers/libvirt/ticker"
)

const guestConfiguration = `primitive guest VirtualDomain params config=/mnt/kvm/guest.xml hypervisor=qemu:///system migration_transport=ssh force_stop=true op start timeout=300s interval=0 op stop timeout=300s interval=0 op migrate_to timeout=300s interval=0 op migrate_from timeout=300s interval=0 op monitor interval=30s timeout=60s meta allow-migrate=true
location guest-first guest 10: node2
order fs-then-guest Mandatory: fs-clone guest
colocation guest-with-fs inf: guest fs-clone`

// guestImage reads it from the image of a guest, as a node sees it.
func (m shared) guestImage(node, guest string) ticker.Count {
	m.t.Helper()
	out := m.Run(node, fmt.Sprintf("dd if=%s bs=%d skip=1 count=1 iflag=direct status=none | base64 -w0", m.image(guest), ticker.Sector))
	sector, err := base64.StdEncoding.DecodeString(out)
	if err != nil {
		m.t.Fatalf("image of the guest %s: %q", guest, out)
	}
	c, err := ticker.ReadCount(sector)
	if err != nil {
		m.t.Fatalf("%s: %v", guest, err)
	}
	return c
}

func (m shared) image(guest string) string { return m.directory + "/" + guest + ".img" }

// guestWorks waits until a guest has written on.
func (m shared) guestWorks(what, guest string, before ticker.Count) ticker.Count {
	m.t.Helper()
	var now ticker.Count
	m.Wait(what, func() bool { now = m.guestImage("node1", guest); return now.Total > before.Total })
	return now
}

// hosts has the machines run guests.
func (m shared) hosts() {
	m.t.Helper()
	for _, n := range m.Names() {
		m.Run(n, `printf 'user = "root"\ngroup = "root"\nsecurity_driver = "none"\nremember_owner = 0\n' > /etc/libvirt/qemu.conf; systemctl enable -q --now libvirtd; echo 'StrictHostKeyChecking no' > /root/.ssh/config`)
	}
}

// install makes the image and the definition of a guest.
func (m shared) install(guest, definition string) {
	m.t.Helper()
	m.Run("node1", m.in(fmt.Sprintf("set -e; cd DIRECTORY; mkdir -p $(dirname %s); truncate -s 1M %s.img; echo %s | base64 -d | dd of=%s.img conv=notrunc status=none; cat > %s <<'END'\n%sEND\nsync",
		definition, guest, base64.StdEncoding.EncodeToString(ticker.Disk()), guest, definition, ticker.Domain(guest, m.image(guest)))))
}

// guest runs a virtual machine whose image is on GFS2, has it moved alive both ways, takes
// the power of its host, and has it come home alive when that is back.
func (m shared) guest() {
	t := m.t
	t.Helper()
	m.hosts()
	m.install("guest", "guest.xml")
	m.Configure("node1", guestConfiguration)
	m.Runs("node1", "guest", "node2")
	before := m.guestWorks("the guest works", "guest", ticker.Count{})
	// The second one ends the first, and the guest prefers node2.
	for i, command := range []string{"gcrm resource move guest node1 force", "gcrm resource clear guest"} {
		to, begun := m.Names()[i], time.Now()
		m.Run("node1", command)
		m.Runs("node1", "guest", to)
		took := time.Since(begun)
		now := m.guestWorks("the guest works on "+to, "guest", before)
		if !now.Continues(before) {
			t.Errorf("the guest was started anew on %s: %+v, then %+v", to, before, now)
		}
		t.Logf("live migration to %s in %v, %+v, then %+v; %s", to, took.Round(time.Second), before, now, lab.HostLoad())
		before = now
	}
	if out := m.Run("node1", "virsh list --all --name"); strings.TrimSpace(out) != "" {
		t.Errorf("the guest is on both nodes: %s", out)
	}
	before = m.guestImage("node1", "guest")
	lost := time.Now()
	m.lose("power-off of the guest's host", func() { m.PowerOff("node2") }, func() {
		// Until then the image shows what it wrote last before it was lost.
		var now ticker.Count
		m.Wait("the guest was started again", func() bool { now = m.guestImage("node1", "guest"); return now.SinceStart < now.Total })
		if now.Total-now.SinceStart < before.Total {
			t.Errorf("the guest lost what it wrote: %+v, then %+v", before, now)
		}
		t.Logf("the guest works again at the latest %v after the loss of its host: %+v, then %+v", time.Since(lost).Round(time.Second), before, now)
		before = now
	})
	m.Runs("node1", "guest", "node2")
	now := m.guestWorks("the guest works at home", "guest", before)
	if !now.Continues(before) {
		t.Errorf("the guest was started anew at home: %+v, then %+v", before, now)
	}
	t.Logf("the guest is home %v after the loss: %+v, then %+v", time.Since(lost).Round(time.Second), before, now)
	m.Run("node1", "gcrm resource stop guest")
	for _, n := range m.Names() {
		m.Wait("the guest is stopped on "+n, func() bool {
			out, err := m.Try(n, "virsh list --name")
			return err == nil && strings.TrimSpace(out) == ""
		})
	}
	m.Run("node1", "gcrm configure delete guest")
}
