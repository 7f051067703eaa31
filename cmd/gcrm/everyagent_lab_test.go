package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gcrm/cluster/simtest/lab"
	"gcrm/drivers/libvirt/ticker"
)

// The agents that need a kernel with modules, or an emulator, in a virtual machine:
//
//	go test ./cmd/gcrm -run TestEveryAgentOnKernel -v -timeout 60m -lab ../shared/lab/lab -agents-table ../../doc/agents.md
//
// What the machine lacks is fetched by the host's apt and installed there.

// packages are what the agents need beyond the laboratory's image.
const packages = "mdadm cryptsetup-bin ldirectord ipvsadm systemd-container lxd lxd-client dnsmasq-base"

// targetID is the identification of the disk with serial number 6001405a-0001.
const targetID = "60014056001405a00010000000000000"

// onKernel are those agents. /root/w.img is a disk of 64 MiB, /dev/loop7.
func onKernel() []recipe {
	const disk = "truncate -s 64M /root/w.img; losetup /dev/loop7 /root/w.img; "
	const noDisk = "losetup -d /dev/loop7; rm -f /root/w.img"
	const raid = "truncate -s 32M /root/r1 /root/r2; losetup /dev/loop5 /root/r1; losetup /dev/loop6 /root/r2; modprobe raid1; mdadm --create /dev/md/w --run --homehost=any --metadata=1.2 -l 1 -n 2 /dev/loop5 /dev/loop6; mdadm --wait /dev/md/w; mdadm --detail --brief /dev/md/w >/root/mdadm.conf; echo 'DEVICE /dev/loop5 /dev/loop6' >>/root/mdadm.conf; "
	const noRaid = "mdadm --stop /dev/md/w; losetup -d /dev/loop5; losetup -d /dev/loop6; rm -f /root/r1 /root/r2"
	// A disk of LIO that knows persistent reservations, over two paths. It keeps them in
	// /var/target, and refuses a registration where it cannot.
	const target = "modprobe target_core_file; modprobe tcm_loop; mkdir -p /var/target/pr; C=/sys/kernel/config/target; mkdir -p $C/core/fileio_0/w; echo fd_dev_name=/root/pr.img,fd_dev_size=16777216 >$C/core/fileio_0/w/control; echo 6001405a-0001 >$C/core/fileio_0/w/wwn/vpd_unit_serial; echo 1 >$C/core/fileio_0/w/enable; for i in 1 2; do L=$C/loopback/naa.500140500000000$i/tpgt_1; mkdir -p $L; echo naa.500140500000001$i >$L/nexus; mkdir -p $L/lun/lun_0; ln -s $C/core/fileio_0/w $L/lun/lun_0/w; done; udevadm settle; ls /dev/disk/by-id/wwn-0x" + targetID + "; "
	const noTarget = "C=/sys/kernel/config/target; for L in $C/loopback/*/tpgt_1; do rm $L/lun/lun_0/w; rmdir $L/lun/lun_0 $L ${L%/*}; done; rmdir $C/core/fileio_0/w $C/core/fileio_0; rm -rf /var/target /root/pr.img"
	const nvme = "modprobe nvmet; modprobe nvmet-tcp; "
	return []recipe{
		{agent: "iface-vlan", params: "vlan_interface=eth2 vlan_id=7", setup: "modprobe 8021q"},
		{agent: "exportfs", params: "clientspec=127.0.0.1 directory=/srv/w fsid=7", needs: "exportfs", setup: "mkdir -p /srv/w; systemctl start nfs-server"},
		{agent: "nfsserver", params: "nfs_shared_infodir=/srv/nfsinfo nfs_ip=10.9.1.1", needs: "rpc.nfsd", setup: "systemctl stop nfs-server; mkdir -p /srv/nfsinfo"},
		// The agent knows one place of statd's list of clients, which is not Debian's.
		{agent: "nfsnotify", params: "source_host=node1", needs: "sm-notify",
			setup: `mkdir -p /etc/nfs.conf.d /var/lib/nfs/statd; printf '[statd]\nstate-directory-path=/var/lib/nfs/statd\n' >/etc/nfs.conf.d/statd.conf; cp -rp /var/lib/nfs/sm /var/lib/nfs/sm.bak /var/lib/nfs/statd; chown statd /var/lib/nfs/statd; systemctl stop rpc-statd; systemctl start nfs-server rpc-statd`,
			after: "systemctl stop nfs-server rpc-statd; rm -r /etc/nfs.conf.d/statd.conf /var/lib/nfs/statd"},
		{agent: "LVM", params: "volgrpname=vgw", needs: "vgs", setup: disk + "vgcreate -q vgw /dev/loop7; lvcreate -q -Wn -L 8M -n lv vgw; vgchange -q -an vgw", after: "vgremove -qff vgw; " + noDisk},
		{agent: "LVM-activate", params: "vgname=vgw vg_access_mode=system_id", needs: "vgs",
			setup: disk + "cp /etc/lvm/lvm.conf /root/lvm.conf; printf 'global { system_id_source = \"uname\" }\\n' >/etc/lvm/lvm.conf; vgcreate -q vgw /dev/loop7; lvcreate -q -Wn -L 8M -n lv vgw; vgchange -q -an vgw",
			after: "vgremove -qff vgw; cp /root/lvm.conf /etc/lvm/lvm.conf; " + noDisk},
		{agent: "crypt", params: "encrypted_dev=/dev/loop7 crypt_dev=w key_file=/root/w.key crypt_type=luks2", needs: "cryptsetup", setup: disk + "modprobe dm-crypt; echo well >/root/w.key; cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /dev/loop7 /root/w.key", after: noDisk},
		{agent: "mdraid", params: "mdadm_conf=/root/mdadm.conf md_dev=/dev/md/w", needs: "mdadm", setup: raid + "mdadm --stop /dev/md/w", after: noRaid},
		{agent: "Raid1", params: "raidconf=/root/mdadm.conf raiddev=/dev/md/w", needs: "mdadm", setup: raid + "mdadm --stop /dev/md/w", after: noRaid},
		// The agent looks for /dev/md/7 in mount's list, which has /dev/md7 where the one is a
		// link to the other, as it is unless somebody tells udev otherwise.
		{agent: "ManageRAID", params: "raidname=W", needs: "mdadm",
			setup: raid + `mkdir -p /etc/conf.d /mnt/w; mkfs.ext4 -q /dev/md/w; printf 'W_UUID="%s"\nW_DEV="md7"\nW_MOUNTPOINT="/mnt/w"\nW_MOUNTOPTIONS="noatime"\nW_LOCALDISKS=(/dev/loop5 /dev/loop6)\n' $(mdadm --detail /dev/md/w | sed -n 's/ *UUID : //p') >/etc/conf.d/HB-ManageRAID; mdadm --stop /dev/md/w; echo 'KERNEL=="md7", SYMLINK=""' >/etc/udev/rules.d/99-md7.rules; udevadm control --reload; mkdir -p /dev/md; mknod /dev/md/7 b 9 7`,
			after: "umount /mnt/w; mdadm --stop /dev/md7; rm -f /dev/md/7 /etc/udev/rules.d/99-md7.rules; udevadm control --reload; " + noRaid},
		{agent: "iscsi", params: "portal=10.9.1.1:3260 target=iqn.2026-01.test:i", needs: "iscsiadm tgtadm",
			setup: disk + "systemctl start tgt iscsid; modprobe iscsi_tcp; tgtadm -L iscsi -m target -o new -t 1 -T iqn.2026-01.test:i; tgtadm -L iscsi -m logicalunit -o new -t 1 -l 1 -b /dev/loop7; tgtadm -L iscsi -m target -o bind -t 1 -I ALL",
			after: "tgtadm -L iscsi -m target -o delete -f -t 1; systemctl stop tgt; " + noDisk},
		{agent: "iSCSILogicalUnit", params: "implementation=tgt target_iqn=iqn.2026-01.test:l lun=1 path=/dev/loop7", needs: "tgtadm",
			setup: disk + "systemctl start tgt; tgtadm -L iscsi -m target -o new -t 2 -T iqn.2026-01.test:l", after: "tgtadm -L iscsi -m target -o delete -f -t 2; systemctl stop tgt; " + noDisk},
		{agent: "nvmet-subsystem", params: "nqn=nqn.2026-01.test:w", setup: nvme},
		{agent: "nvmet-namespace", params: "nqn=nqn.2026-01.test:w namespace_id=1 backing_path=/dev/loop7 uuid=6d0b1f2c-0a1d-4c1a-9d1c-6a5f0c7e9b11", setup: disk + nvme + "mkdir -p /sys/kernel/config/nvmet/subsystems/nqn.2026-01.test:w", after: noDisk},
		{agent: "nvmet-port", params: "port_id=7 type=tcp addr=10.9.1.1 svcid=4420 nqns=nqn.2026-01.test:w", setup: nvme + "mkdir -p /sys/kernel/config/nvmet/subsystems/nqn.2026-01.test:w"},
		{agent: "sg_persist", params: "devs=/dev/disk/by-id/wwn-0x" + targetID, needs: "sg_persist", promotes: true, meta: "master-max=1", setup: target, after: noTarget},
		{agent: "mpathpersist", params: "devs=/dev/mapper/w", needs: "mpathpersist multipath", promotes: true, meta: "master-max=1",
			setup: target + `printf 'defaults {\n user_friendly_names yes\n find_multipaths no\n reservation_key file\n}\nmultipaths {\n multipath {\n  wwid 3` + targetID + `\n  alias w\n }\n}\n' >/etc/multipath.conf; modprobe dm-multipath; systemctl restart multipathd; multipath -v0; udevadm settle; test -b /dev/mapper/w`,
			after: "systemctl stop multipathd.socket multipathd; multipath -F; rm -r /etc/multipath.conf /etc/multipath; " + noTarget},
		{agent: "sfex", params: "device=/dev/loop7 index=1", needs: "sfex_init", setup: disk + "sfex_init /dev/loop7", after: noDisk},
		{agent: "ldirectord", params: "configfile=/root/ldirectord.cf", needs: "ldirectord ipvsadm", setup: `modprobe ip_vs; printf 'checktimeout=3\ncheckinterval=1\nvirtual=10.9.1.1:8085\n\treal=127.0.0.1:8086 masq\n\tservice=none\n\tchecktype=off\n\tscheduler=rr\n\tprotocol=tcp\n' >/root/ldirectord.cf`},
		// Without a container the agent gives attrd_updater no value, and its status is that of this mistake.
		{agent: "machine-info", params: "delay=0s", needs: "machinectl systemd-nspawn",
			setup: "for i in usr etc proc sys dev run tmp root; do mkdir -p /root/box/$i; done; for i in bin sbin lib lib64; do ln -sfn usr/$i /root/box/$i; done; systemd-run -q --unit=box systemd-nspawn -q --keep-unit -D /root/box --bind-ro=/usr -M box /usr/bin/sleep infinity; for i in $(seq 50); do machinectl status box >/dev/null 2>&1 && break; sleep 0.5; done; machinectl status box",
			after: "systemctl stop box; rm -r /root/box"},
		{agent: "lxd-info", params: "delay=0s", needs: "lxd lxc", setup: "systemctl start lxd; lxd init --auto --storage-backend dir"},
		{agent: "VirtualDomain", params: "config=/root/guest.xml hypervisor=qemu:///system force_stop=1", needs: "virsh qemu-system-x86_64",
			setup: disk + `printf 'user = "root"\ngroup = "root"\nsecurity_driver = "none"\nremember_owner = 0\n' >/etc/libvirt/qemu.conf; systemctl restart libvirtd; virsh -q list; cat >/root/guest.xml <<'END'
` + ticker.Domain("guest", "/dev/loop7") + "END\n", after: noDisk},
	}
}

// labHost is a virtual machine of the laboratory as a host of agents.
type labHost struct {
	m    *lab.Machines
	node string
}

func (h labHost) sh(line string) (out, status string) {
	out, err := h.m.TryFor(3*time.Minute, h.node, line)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return out, "0"
	case errors.As(err, &exit):
		return out, strconv.Itoa(exit.ExitCode())
	}
	return out + err.Error(), "255"
}

func TestEveryAgentOnKernel(t *testing.T) {
	m := lab.Boot(t, 1, "--mem", "768", "--smp", "2")
	m.OnFailure("gcrm status; journalctl --no-pager | tail -60")
	install(m)
	m.Form(lab.Cluster{Name: "every", Detection: 20 * time.Second})
	fresh := func(t *testing.T) host {
		// What an agent that failed has left is not the next one's.
		at := m.In(t.Context(), t)
		at.Run("node1", "systemctl stop gcrm; rm -rf /var/lib/gcrm /run/gcrm; gcrm cluster init --name every --node node1 --address 10.9.1.1 --detection 20s; systemctl start --no-block gcrm; for i in $(seq 100); do gcrm cluster status >/dev/null 2>&1 && break; sleep 0.5; done; gcrm -F configure property stonith-enabled=false no-quorum-policy=ignore")
		return labHost{at, "node1"}
	}
	rows := tryAll(t, fresh, onKernel())
	note(t, "## On a kernel of its own", "In a virtual machine with Debian's kernel, by `TestEveryAgentOnKernel`.", onKernel(), rows)
}

// install fetches packages that the image lacks, by the host's apt and the list of what is
// installed in the image.
func install(m *lab.Machines) {
	folder, err := os.MkdirTemp("", "agents")
	if err != nil {
		return
	}
	defer os.RemoveAll(folder)
	installed := filepath.Join(labFolder(), "root/var/lib/dpkg/status")
	args := []string{"-o", "Dir::State::status=" + installed, "-o", "Dir::Cache::archives=" + folder, "-o", "Debug::NoLocking=1",
		"-y", "--download-only", "--no-install-recommends", "install"}
	if out, err := exec.Command("apt-get", append(args, strings.Fields(packages)...)...).CombinedOutput(); err != nil {
		// The agents of what is missing are left out, and that is said.
		os.Stderr.Write(out)
		return
	}
	found, _ := filepath.Glob(folder + "/*.deb")
	if len(found) == 0 {
		return
	}
	m.Run("node1", "mkdir -p /root/packages")
	m.Copy(append(found, "node1:/root/packages/")...)
	m.Run("node1", "DEBIAN_FRONTEND=noninteractive dpkg --force-confold -i /root/packages/*.deb; rm -r /root/packages")
}

func labFolder() string {
	if d := os.Getenv("LAB_DIR"); d != "" {
		return d
	}
	return "/var/tmp/gcrm-lab"
}
