package locks

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"gcrm/cluster/simtest/lab"
	"gcrm/drivers/libvirt/ticker"
)

// documentVolume is the dual-primary resource of the document. The handlers are the
// program itself, under the names of the scripts that it replaces.
const documentVolume = `resource r0 {
  protocol C;
  meta-disk internal;
  device /dev/drbd0;
  disk /dev/drbdvg0/lvdrbd0;
  on node1 { address 10.9.2.1:7789; }
  on node2 { address 10.9.2.2:7789; }
  net {
    allow-two-primaries;
    verify-alg sha1;
    after-sb-0pri discard-zero-changes;
    after-sb-1pri discard-secondary;
    after-sb-2pri disconnect;
  }
  disk {
    fencing resource-and-stonith;
    resync-rate 100M;
    c-plan-ahead 0;
  }
  handlers {
    fence-peer "/var/lib/gcrm/helpers/crm-fence-peer.sh";
    after-resync-target "/var/lib/gcrm/helpers/crm-unfence-peer.sh";
  }
}
`

// documentDisks makes the volumes below DRBD, and has LVM look where the document says.
const documentDisks = `set -e; modprobe drbd
sed -i 's|^\(\s*\)# global_filter = .*|\1global_filter = [ "a\|^/dev/vdb\|", "a\|^/dev/drbd\|", "r\|.*\|" ]|' /etc/lvm/lvm.conf
pvcreate -q -ff -y /dev/vdb; vgcreate -q drbdvg0 /dev/vdb; lvcreate -q -y -W n --name lvdrbd0 --size 240M drbdvg0
drbdadm create-md --force r0; drbdadm up r0`

// lvmToday has the configuration of TestFirstDocument say what is written today.
var lvmToday = flag.Bool("lvmlockd", false, "TestFirstDocument has lvmlockd and LVM-activate instead of the document's clvm")

// documentToday are the volumes as configurations have them today: one agent for the
// daemon, one for each group.
const documentToday = `primitive vmvg0 ocf:heartbeat:LVM-activate \
    params vgname=vmvg0 vg_access_mode=lvmlockd activation_mode=shared \
    op monitor interval=30s timeout=90s \
    op start interval=0s timeout=90s \
    op stop interval=0s timeout=90s
clone vmvg0-clone vmvg0 \
    meta interleave=true
order clvmd-then-vmvg0 Mandatory: clvmd-clone vmvg0-clone
colocation vmvg0-with-clvmd inf: vmvg0-clone clvmd-clone
order vmvg0-then-VMFS Mandatory: vmvg0-clone VMFS-clone
colocation VMFS-with-vmvg0 inf: VMFS-clone vmvg0-clone
`

// documentScript is the first document's configuration for the machines of the lab:
// their names, their power switch, and resources that wait to be started in the order of
// the document, since there is nothing yet that they could use.
func documentScript(t *testing.T) string {
	t.Helper()
	changes := []lab.Change{
		{Times: 1, Old: "stonith:fence_xvm", New: "stonith:fence_lab"},
		{Times: 1, Old: `pcmk_host_map="kvm1-cr:kvm1;kvm2-cr:kvm2"`, New: `pcmk_host_list="node1 node2" pcmk_delay_base="node1:10s;node2:0s"`},
		{Times: 1, Old: "rsc_defaults resource-stickiness=100", New: "rsc_defaults resource-stickiness=100 target-role=Stopped"},
		// The guests of this test have no operating system that could shut down.
		{Times: 2, Old: "migration_transport=ssh", New: "migration_transport=ssh force_stop=true"},
	}
	if *lvmToday {
		changes = append(changes, lab.Change{Times: 1, Old: "ocf:heartbeat:clvm ", New: "ocf:heartbeat:lvmlockd "},
			lab.Change{Times: 1, Old: "\ncommit\n", New: "\n" + documentToday + "commit\n"})
	}
	return lab.Document(t, "kvm.crm", changes...)
}

// TestFirstDocument is the first document from its begin to its end: a volume that is
// primary on both nodes, the lock manager, a shared volume group on it, GFS2, and virtual
// machines that move alive; both nodes write into one folder, one of them loses its power
// and comes back, and nothing is damaged.
//
//	go test ./cluster/locks -run TestFirstDocument -v -timeout 60m -lab ../shared/lab/lab -detection 10s
//
// With -lvmlockd it is written as one would today.
func TestFirstDocument(t *testing.T) {
	machines := lab.Boot(t, 2, "--mem", "768", "--disk", "256M")
	m := shared{machines, t, stacksOf(machines, "gcrm")[0], "/vm", &losses{}}
	m.OnFailure(labWords + "; cat /proc/drbd; gcrm configure show type:location; vgs; lvs; lvmlockctl -i; journalctl --no-pager | grep -i 'drbd\\|lvm' | tail -40")
	m.prepare()
	for _, n := range m.Names() {
		m.Run(n, "cat > /etc/drbd.d/r0.res <<'END'\n"+documentVolume+"END\n"+documentDisks)
	}
	m.Until("node1", "DRBD is connected", "drbdadm cstate r0 | grep -q Connected")
	// Both disks are empty: nothing has to be copied.
	m.Run("node1", "drbdadm -- --clear-bitmap new-current-uuid r0/0")
	m.Until("node2", "both disks are good", "drbdadm dstate r0 | grep -q UpToDate/UpToDate")
	for _, n := range m.Names() {
		m.Run(n, "drbdadm down r0")
	}
	m.stack.Form()
	m.Run("node1", "cat > /tmp/kvm.crm <<'END'\n"+documentScript(t)+"END\ngcrm -f /tmp/kvm.crm")
	start := func(resources ...string) {
		t.Helper()
		for _, r := range resources {
			m.Run("node1", "gcrm resource start "+r)
		}
	}
	start("kvm-shooter", "dlm-clone", "VMDataClone", "clvmd-clone")
	for _, n := range m.Names() {
		m.Until(n, "the volume is primary on both nodes", "grep -q 'ro:Primary/Primary ds:UpToDate/UpToDate' /proc/drbd")
		m.Until(n, "lvmlockd runs", "pgrep -x lvmlockd && [ -d /sys/kernel/config/dlm/cluster/comms ]")
	}
	// The document makes the group with clvmd, as clustered; this is what LVM has for it.
	m.Run("node1", "set -e; pvcreate -q -y /dev/drbd0; vgcreate -q --shared vmvg0 /dev/drbd0; lvcreate -q -y -an -Zn -W n -n lvvm0 -l 100%FREE vmvg0; lvchange -asy vmvg0/lvvm0")
	if !*lvmToday { // the resource of the group does it
		m.Run("node2", "vgchange --lockstart vmvg0 && vgchange -asy vmvg0")
	}
	t.Log(m.Run("node1", "gcrm dlm mkfs kvm1 /dev/vmvg0/lvvm0; vgs -o vg_name,vg_attr,vg_lock_type; gcrm dlm ls"))
	volumes := []string{"clvmd-clone", "VMDataClone", "dlm-clone"}
	if *lvmToday {
		start("vmvg0-clone")
		volumes = append([]string{"vmvg0-clone"}, volumes...)
	}
	start("VMFS-clone")
	for _, n := range m.Names() {
		m.mounted(n)
		m.load(n)
	}
	m.document("centos7a", "win2k3a")
	m.lose("power-off of a node with DRBD, LVM and GFS2", func() { m.PowerOff("node2") })
	m.Run("node1", "dmesg | grep 'fence-peer r0 exit code [457] '")
	for _, g := range []string{"centos7a", "win2k3a"} {
		m.guestWorks(g+" works on", g, m.guestImage("node1", g))
	}
	m.Until("node2", "the volume is primary again", "grep -q 'ro:Primary/Primary ds:UpToDate/UpToDate' /proc/drbd")
	m.agree()
	m.stack.alone(m)
	m.stack.stop(m, "centos7a_res", "win2k3a_res", "VMFS-clone")
	m.clean("/dev/vmvg0/lvvm0")
	m.stack.stop(m, volumes...)
	var sums []string
	for _, n := range m.Names() {
		m.Until(n, "everything is stopped", "! grep cs: /proc/drbd | grep -qv Unconfigured && ! pgrep -x 'lvmlockd|dlm_controld' && ! ls /sys/kernel/dlm/* 2>/dev/null")
		sums = append(sums, m.Run(n, "head -c $((232 << 20)) /dev/drbdvg0/lvdrbd0 | sha256sum"))
	}
	if sums[0] != sums[1] {
		t.Errorf("the disks of the nodes differ: %v", sums)
	}
	if out := m.Run("node1", "gcrm configure show type:location"); strings.Contains(out, "drbd-fence") {
		t.Errorf("a fencing of the volume is left: %s", out)
	}
}

// document runs the two virtual machines of the document, and moves them alive as a node
// goes to standby and comes back.
func (m shared) document(guests ...string) {
	t := m.t
	t.Helper()
	m.hosts()
	for _, g := range guests {
		m.install(g, "qemu_config/"+g+".xml")
		m.Run("node1", "gcrm resource start "+g+"_res")
	}
	before := map[string]ticker.Count{}
	for _, g := range guests {
		before[g] = m.guestWorks(g+" works", g, ticker.Count{})
	}
	where := m.Run("node1", "gcrm resource locate centos7a_res")
	from, to := "node1", "node2"
	if strings.Contains(where, "running on: node2") {
		from, to = to, from
	}
	begun := time.Now()
	m.Run("node1", fmt.Sprintf("gcrm resource move centos7a_res %s force", to))
	m.Runs("node1", "centos7a_res", to)
	took := time.Since(begun)
	now := m.guestWorks("centos7a works on "+to, "centos7a", before["centos7a"])
	if !now.Continues(before["centos7a"]) {
		t.Errorf("centos7a was started anew: %+v, then %+v", before["centos7a"], now)
	}
	t.Logf("centos7a moved alive from %s to %s in %v: %+v, then %+v; %s", from, to, took.Round(time.Second), before["centos7a"], now, lab.HostLoad())
	m.Run("node1", "gcrm resource clear centos7a_res")
}
