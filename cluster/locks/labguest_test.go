package locks

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"gcrm/cluster/simtest/lab"
)

// guestCode is all that the guest of the test runs, instead of an operating system. Its
// first sector reads the second one, and then, at each tick of the BIOS (55 ms), adds one
// to the number there, one to a number that lives in memory only, and writes the sector
// with both and their exclusive or:
//
//	  xor   eax, eax
//	  mov   ds, ax
//	  mov   ss, ax
//	  mov   sp, 0x7c00
//	  sti
//	  mov   [0x7e00], eax
//	  mov   ah, 0x42
//	  call  disk
//	again:
//	  inc   dword [0x8000]
//	  inc   dword [0x7e00]
//	  mov   eax, [0x7e00]
//	  mov   [0x8004], eax
//	  xor   eax, [0x8000]
//	  mov   [0x8008], eax
//	  mov   ax, 0x4300
//	  call  disk
//	  mov   eax, [0x46c]
//	tick:
//	  hlt
//	  cmp   eax, [0x46c]
//	  je    tick
//	  jmp   again
//	disk:
//	  push  dx
//	  mov   si, packet
//	  int   0x13
//	  pop   dx
//	  jc    failed
//	  ret
//	failed:
//	  hlt
//	  jmp   failed
//	packet: db 16, 0; dw 1, 0x8000, 0; dd 1, 0
const guestCode = "6631c08ed88ed0bc007cfb66a3007eb442e82f0066ff06008066ff06007e66a1007e66a30480663306008066a30880" +
	"b80043e80e0066a16c04f4663b066c0474f8ebd152be507ccd135a7201c3f4ebfd10000100008000000100000000000000"

const guestDefinition = `<domain type='qemu'>
<name>GUEST</name>
<memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><on_reboot>destroy</on_reboot>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/><source file='DIRECTORY/GUEST.img'/><target dev='vda' bus='virtio'/></disk>
<controller type='usb' model='none'/><memballoon model='none'/></devices></domain>`

const guestConfiguration = `primitive guest VirtualDomain params config=/mnt/kvm/guest.xml hypervisor=qemu:///system migration_transport=ssh force_stop=true op start timeout=300s interval=0 op stop timeout=300s interval=0 op migrate_to timeout=300s interval=0 op migrate_from timeout=300s interval=0 op monitor interval=30s timeout=60s meta allow-migrate=true
location guest-first guest 10: node2
order fs-then-guest Mandatory: fs-clone guest
colocation guest-with-fs inf: guest fs-clone`

// guestState is what the guest wrote last.
type guestState struct{ total, sinceBoot uint32 }

// continues tells whether the guest ran on since then, in its memory as well: it counts
// both at each tick.
func (s guestState) continues(before guestState) bool {
	return s.sinceBoot >= before.sinceBoot && s.sinceBoot-before.sinceBoot == s.total-before.total
}

// guestImage reads it from the image of a guest, as a node sees it.
func (m shared) guestImage(node, guest string) guestState {
	m.t.Helper()
	out := m.Run(node, fmt.Sprintf("dd if=%s/%s.img bs=512 skip=1 count=1 iflag=direct status=none | xxd -p -c 12 -l 12", m.directory, guest))
	b, err := hex.DecodeString(out)
	if err != nil || len(b) != 12 {
		m.t.Fatalf("image of the guest %s: %q", guest, out)
	}
	s := guestState{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])}
	if s.total^s.sinceBoot != binary.LittleEndian.Uint32(b[8:]) {
		m.t.Fatalf("the sector of the guest %s is damaged: %q", guest, out)
	}
	return s
}

// guestWorks waits until a guest has written on.
func (m shared) guestWorks(what, guest string, before guestState) guestState {
	m.t.Helper()
	var now guestState
	m.Wait(what, func() bool { now = m.guestImage("node1", guest); return now.total > before.total })
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
	m.Run("node1", strings.ReplaceAll(m.in(fmt.Sprintf("set -e; cd DIRECTORY; mkdir -p $(dirname %s); truncate -s 1M GUEST.img; (echo %s | xxd -r -p; head -c %d /dev/zero; printf '\\125\\252') | dd of=GUEST.img conv=notrunc status=none; cat > %s <<'END'\n%s\nEND\nsync",
		definition, guestCode, 510-len(guestCode)/2, definition, guestDefinition)), "GUEST", guest))
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
	before := m.guestWorks("the guest works", "guest", guestState{})
	// The second one ends the first, and the guest prefers node2.
	for i, command := range []string{"gcrm resource move guest node1 force", "gcrm resource clear guest"} {
		to, begun := m.Names()[i], time.Now()
		m.Run("node1", command)
		m.Runs("node1", "guest", to)
		took := time.Since(begun)
		now := m.guestWorks("the guest works on "+to, "guest", before)
		if !now.continues(before) {
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
		var now guestState
		m.Wait("the guest was started again", func() bool { now = m.guestImage("node1", "guest"); return now.sinceBoot < now.total })
		if now.total-now.sinceBoot < before.total {
			t.Errorf("the guest lost what it wrote: %+v, then %+v", before, now)
		}
		t.Logf("the guest works again at the latest %v after the loss of its host: %+v, then %+v", time.Since(lost).Round(time.Second), before, now)
		before = now
	})
	m.Runs("node1", "guest", "node2")
	now := m.guestWorks("the guest works at home", "guest", before)
	if !now.continues(before) {
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
