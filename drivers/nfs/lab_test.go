package nfs

import (
	"flag"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"gcrm/cluster/simtest/lab"
)

var (
	failovers = flag.Int("failovers", 1, "how often each failure is tried with each stack by TestWithKernel")
	stacks    = flag.String("stacks", "gcrm,pacemaker", "the cluster stacks that TestWithKernel measures")
	detection = flag.Duration("detection", 2*time.Second, "detection time of gcrm's cluster in TestWithKernel")
	megabytes = flag.Int("megabytes", 16, "size of the file that is copied during each failure of TestWithKernel")
)

// The machines have the addresses of the document beside their own: node1 and node2 are
// its Test1 and Test2, node3 is its Target and its Develop.
const documentAddresses = `#!/bin/sh
n=$(hostname); case $n in node3) n=131;; *) n=$((131 + ${n#node}));; esac
ip address replace 192.168.195.$n/24 dev eth1; ip address replace 192.168.162.$n/24 dev eth2
case $n in 131) ;; *)
  modprobe dm-multipath; modprobe iscsi_tcp
  systemctl start iscsid multipathd
  for at in 192.168.195.131 192.168.162.131; do
    iscsiadm -m discovery -t st -p $at && iscsiadm -m node -T iqn.2016-12.org.lr:lvm -p $at:3260 -l
  done
  udevadm settle; multipath -v2
  for i in $(seq 100); do [ -e /dev/mapper/lvm ] && break; sleep 0.2; done
esac
`

// The host is prepared before the cluster starts, at each boot.
const documentUnit = `[Unit]
Before=gcrm.service corosync.service pacemaker.service
After=network.target systemd-udevd.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/root/document
TimeoutStartSec=10min
[Install]
WantedBy=multi-user.target
`

const documentTarget = `<target iqn.2016-12.org.lr:lvm>
  backing-store /dev/vdb
  initiator-address 192.168.0.0/16
  incominguser nfsha nfsha
</target>
`

const documentMultipath = `defaults {
  user_friendly_names yes
  find_multipaths no
  path_grouping_policy multibus
  failback immediate
  no_path_retry fail
}
multipaths {
  multipath {
    wwid 360000000000000000e00000000010001
    alias lvm
  }
}
`

const documentLVM = `devices { filter = [ "a|/dev/mapper/lvm|", "r|.*/|" ] }
activation { volume_list = [ ] }
`

// site is the document's: storage, two nodes and a client.
type site struct {
	*lab.Machines
	t     *testing.T
	nodes *lab.Machines
}

const (
	client  = "node3"
	folder  = "/mnt/nfs/exports/export1"
	mounted = "/mnt/export1"
)

// newSite does what the document does before it comes to the cluster.
func newSite(t *testing.T) site {
	m := lab.Boot(t, 3, "--mem", "512", "--disk", "256M", "--smp", "2")
	s := site{m, t, m.Only("node1", "node2")}
	m.OnFailure("gcrm status; gcrm cluster status; crm_mon -1r; multipath -ll; vgs -o+tags; mount | tail -5; cat /var/lib/nfs/etab; cat /root/acks | tail -3; tail -3 /root/errors; journalctl --no-pager | tail -150; dmesg | tail -20")
	program := m.BuildProgram("gcrm/cluster/simtest/lab/service")
	for _, n := range m.Names() {
		m.Copy(program, n+":/root/service")
		m.Run(n, "cat >/root/document <<'END'\n"+documentAddresses+"END\ncat >/etc/systemd/system/document.service <<'END'\n"+documentUnit+"END\nchmod +x /root/document")
	}
	m.Run(client, "systemctl start document; cat >/etc/tgt/conf.d/lvm.conf <<'END'\n"+documentTarget+"END\nsystemctl start tgt; tgtadm -L iscsi -m target -o show | grep -q /dev/vdb")
	for _, n := range s.nodes.Names() {
		// sm-notify wants a name for the service's address, which the document leaves to DNS.
		m.Run(n, `printf '192.168.195.%s\n' '131 target' '132 test1' '133 test2' '136 develop' '200 nfs' >>/etc/hosts`)
		m.Run(n, fmt.Sprintf(`cat >/etc/multipath.conf <<'END'
%sEND
cat >/etc/lvm/lvm.conf <<'END'
%sEND
echo InitiatorName=iqn.2016-12.com.lr:%s >/etc/iscsi/initiatorname.iscsi
printf 'node.session.auth.authmethod = CHAP\nnode.session.auth.username = nfsha\nnode.session.auth.password = nfsha\n' >>/etc/iscsi/iscsid.conf
systemctl daemon-reload; systemctl enable --quiet document; systemctl start document; multipath -ll lvm | grep -c 'active ready' | grep -qx 2; found=$?; sync; exit $found`, documentMultipath, documentLVM, n))
	}
	m.Run("node1", `set -e; all='activation { volume_list = [ "storage" ] }'
pvcreate -q /dev/mapper/lvm; vgcreate -q storage /dev/mapper/lvm; lvcreate -q --config "$all" -Wn -L 200M -n nfs storage
mkfs.ext4 -q /dev/storage/nfs; mkdir -p /mnt/nfs; mount /dev/storage/nfs /mnt/nfs
mkdir -p /mnt/nfs/exports/export1 /mnt/nfs/exports/export2; touch /mnt/nfs/exports/export1/clientdatafile1 /mnt/nfs/exports/export2/clientdatafile2
umount /mnt/nfs; vgchange -q -an storage`)
	return s
}

// script is the fifth document's, with a fence device that can switch power, and
// stickiness: a slow stack would otherwise move the service back to the node that it has
// just lost, and be measured twice.
func (s site) script() string {
	s.t.Helper()
	text := lab.Document(s.t, "nfs.crm")
	device := regexp.MustCompile(`(?m)^primitive my_fence (.*\\\n)*.*\n`)
	if !device.MatchString(text) {
		s.t.Fatalf("no fence device in\n%s", text)
	}
	return lab.Statements(device.ReplaceAllString(text, "rsc_defaults resource-stickiness=100\n"+lab.FenceDevice+"\n"))
}

// TestWithKernel builds the NFS service of the fifth document from its script, has a
// client write to it through standby, return and power-off of its node, copies a large
// file meanwhile, and looks whether all is there; then the same with Pacemaker and the
// agents of the distribution on the same machines:
//
//	go test ./drivers/nfs -run TestWithKernel -v -timeout 60m -lab ../shared/lab/lab
func TestWithKernel(t *testing.T) {
	s := newSite(t)
	var gaps lab.Gaps
	for _, stack := range s.nodes.Stacks(*stacks, lab.Cluster{Name: "my_cluster", Detection: *detection, Daemon: "--agents native"}) {
		stack.Form()
		s.hosts(stack)
		stack.Configure("node1", s.script())
		place := s.nodes.Settled(stack, "node1", "nfs-notify", "nowhere")
		w := s.mount()
		for round := range *failovers {
			for _, kind := range lab.Kinds() {
				took := s.fail(stack, w, kind, place)
				gaps.Note(kind, stack.Name(), took)
				t.Logf("%s, round %d of %d: %s of %s: the client could not write for %.2f s; %s", stack.Name(), round+1, *failovers, kind, place, took.Seconds(), lab.HostLoad())
				place = s.nodes.Settled(stack, s.nodes.Other(place), "nfs-notify", "nowhere")
			}
		}
		w.End()
		s.Run(client, "umount "+mounted)
		stack.End()
	}
	t.Logf("without a write:\n%s", &gaps)
	gaps.Check(t, "gcrm", "Pacemaker", 3)
	for kind, limit := range map[string]time.Duration{"standby": 10 * time.Second, "power-off": 20 * time.Second} {
		if m := gaps.Median(kind, "gcrm"); m > limit {
			t.Errorf("%s: no write for %v, more than %v", kind, m, limit)
		}
	}
}

// hosts prepares the nodes for a stack: short lease and grace times for both, and the
// daemon that keeps the server's clients, which the agent of the distribution cannot stop.
func (s site) hosts(stack lab.Stack) {
	for _, n := range s.nodes.Names() {
		if stack.Name() == "gcrm" {
			s.Run(n, "systemctl unmask --quiet nfsdcld; systemctl daemon-reload; gcrm cluster check nfs --fix; [ $(nfsconf --get nfsd grace-time) = 10 ]")
		} else {
			s.Run(n, "systemctl stop nfsdcld 2>/dev/null; systemctl mask --quiet nfsdcld; systemctl daemon-reload; nfsconf --set nfsd lease-time 10; nfsconf --set nfsd grace-time 10")
		}
	}
}

// mount has the client mount the service and write to it.
func (s site) mount() *lab.Writer {
	s.t.Helper()
	s.t.Log(s.Run(client, fmt.Sprintf("mkdir -p %s; mount -t nfs -o vers=4 192.168.195.200:/export1 %s && ls %s/clientdatafile1 && rm -f %s/records && grep %s /proc/mounts", mounted, mounted, mounted, mounted, mounted)))
	return s.Write(client, "write "+mounted+"/records")
}

// fail takes the node of the service out of it while the client writes and copies, waits
// until all is well again, and tells how long the client could not write.
func (s site) fail(stack lab.Stack, w *lab.Writer, kind, place string) time.Duration {
	t := s.t
	t.Helper()
	copied := fmt.Sprintf("%s/%s.%s", mounted, strings.ToLower(stack.Name()), kind)
	s.Run(client, fmt.Sprintf("head -c %dM /dev/urandom >/root/large; rm -f %s; systemctl reset-failed copy 2>/dev/null; systemd-run -q --unit copy dd if=/root/large of=%s bs=64k conv=fsync", *megabytes, copied, copied))
	begun, clock := s.Clock(client), time.Now()
	k := s.nodes.Strike(stack, kind, place)
	w.Resumes(begun)
	s.nodes.Settled(stack, k.Other, "nfs-notify", place)
	w.Goes()
	gap, from := w.Acks().Gap(begun)
	t.Logf("%s: %s of %s: the last record before came after %.2f s; %s", stack.Name(), kind, place, from.Sub(begun).Seconds(), k.Fenced(clock))
	t.Logf("%s: starts and stops:\n%s", stack.Name(), stack.Operations(k.Other))
	s.Until(client, "the copy is done", "! systemctl is-active -q copy")
	if out := s.Run(client, fmt.Sprintf("systemctl is-failed copy >/dev/null && echo the copy failed; md5sum </root/large; md5sum <%s", copied)); strings.Count(out, "\n") != 1 || strings.Fields(out)[0] != strings.Fields(out)[2] {
		t.Errorf("%s: %s: the copy of %d MiB: %s", stack.Name(), kind, *megabytes, out)
	}
	s.intact(stack, w, kind, k.Other)
	if out := w.Errors(); out != "" {
		t.Errorf("%s: %s: the client saw errors: %s", stack.Name(), kind, out)
	}
	before := s.Clock(client)
	k.Undo()
	time.Sleep(10 * time.Second)
	w.Goes()
	back, _ := w.Acks().Gap(before)
	now := stack.Place(k.Other, "nfs-notify")
	t.Logf("%s: %s is back after its %s, the service runs on %s: no write for %.2f s", stack.Name(), place, kind, now, back.Seconds())
	if limit := lab.Patience(5 * time.Second); stack.Name() == "gcrm" && now == k.Other && back > limit {
		t.Errorf("%s: the service stayed on %s, and no write for more than %v when %s came back", stack.Name(), now, limit, place)
	}
	return gap
}

// intact looks whether all acknowledged records are there, as the server's disk has them
// and as the client reads them.
func (s site) intact(stack lab.Stack, w *lab.Writer, kind, server string) {
	s.t.Helper()
	last, _ := w.Acks().Count()
	for _, at := range []struct{ host, script string }{
		{server, fmt.Sprintf("/root/service verify %s/records %d", folder, last)},
		{client, fmt.Sprintf("echo 3 >/proc/sys/vm/drop_caches; /root/service verify %s/records %d", mounted, last)},
	} {
		out, err := s.Try(at.host, at.script)
		if err != nil {
			s.t.Errorf("%s: after %s, as %s has it: %s", stack.Name(), kind, at.host, out)
			continue
		}
		s.t.Logf("%s: after %s, as %s has it: %s, none lost", stack.Name(), kind, at.host, out)
	}
}
