package drbd

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
	cores     = flag.String("cores", "gcrm on the kernel's DRBD,gcrm on its own core,Pacemaker", "what TestWithKernel measures")
	detection = flag.Duration("detection", 2*time.Second, "detection time of gcrm's cluster in TestWithKernel")
)

const (
	client  = "node3"
	address = "10.9.1.89"
)

const labResource = `resource mystore {
  device /dev/drbd0; disk /dev/vdb; meta-disk internal;
  net { protocol C; }
  on node1 { address 10.9.1.1:7788; }
  on node2 { address 10.9.1.2:7788; }
}
`

// inSync is what has to hold before the next failure, with either core.
const inSync = "grep -q 'ds:UpToDate/UpToDate' /proc/drbd 2>/dev/null || gcrm volume status --proc mystore | grep -q 'ds:UpToDate/UpToDate'"

// named is a stack under another name.
type named struct {
	lab.Stack
	name string
}

func (n named) Name() string { return n.name }

// labScript is the third document's, with a fence device and the address of the lab's
// network.
func labScript(t *testing.T, core string) string {
	t.Helper()
	text := lab.Document(t, "mysql-drbd.crm",
		lab.Change{Times: 1, Old: "stonith-enabled=false", New: "stonith-enabled=true"},
		lab.Change{Times: 1, Old: "ip=172.16.27.89", New: "ip=" + address},
		lab.Change{Times: 1, Old: "drbd_resource=mystore", New: "drbd_resource=mystore" + core})
	return lab.Statements(nodeStatements.ReplaceAllString(text, "")) + "\n" + lab.FenceDevice
}

var nodeStatements = regexp.MustCompile(`(?m)^node .*\n`)

// TestWithKernel builds the data base of the third document from its script, has a client
// commit rows through standby and power-off of its node, and looks whether all that were
// acknowledged are there: on the kernel's DRBD, on gcrm's own core with the same disks,
// and with Pacemaker and the agents of the distribution:
//
//	go test ./drivers/drbd -run TestWithKernel -v -timeout 60m -lab ../shared/lab/lab
func TestWithKernel(t *testing.T) {
	m := lab.Boot(t, 3, "--mem", "640", "--disk", "128M")
	nodes := m.Only("node1", "node2")
	m.OnFailure("gcrm status; gcrm cluster status; crm_mon -1r; cat /proc/drbd; gcrm volume status mystore; tail -20 /var/log/mysqld.log; tail -3 /root/acks; tail -3 /root/errors; journalctl --no-pager | tail -150; dmesg | tail -30")
	nodes.Database("/drbd/mysql")
	m.Copy(m.BuildProgram("gcrm/cluster/simtest/lab/service"), client+":/root/service")
	for _, n := range nodes.Names() {
		m.Run(n, "mkdir -p /drbd; cat >/etc/drbd.d/mystore.res <<'END'\n"+labResource+"END\nmodprobe drbd; yes yes | drbdadm create-md --force mystore >/dev/null 2>&1; drbdadm up mystore && sync")
	}
	m.Until("node1", "DRBD is connected", "drbdadm cstate mystore | grep -q Connected")
	// Both disks are empty: there is nothing to be copied.
	m.Run("node1", "drbdadm -- --clear-bitmap new-current-uuid mystore || drbdadm primary --force mystore")
	m.Until("node1", "both disks are up to date", inSync)
	m.Run("node1", "set -e; drbdadm primary mystore; mkfs.ext4 -q /dev/drbd0; mount /dev/drbd0 /drbd; tar -C /drbd -xzf /root/mysql.tar; umount /drbd; drbdadm secondary mystore")
	for _, n := range nodes.Names() {
		m.Run(n, "drbdadm down mystore; modprobe -r drbd")
	}
	var gaps lab.Gaps
	cluster := lab.Cluster{Name: "lab", Detection: *detection, Daemon: "--agents native"}
	for name := range strings.SplitSeq(*cores, ",") {
		stack, core := named{nodes.Gcrm(cluster), name}, ""
		switch {
		case name == "Pacemaker":
			stack.Stack = nodes.Pacemaker(cluster)
		case strings.HasSuffix(name, "own core"):
			core = " core=native"
			for _, n := range nodes.Names() {
				m.Run(n, "modprobe -r drbd") // of the core before
			}
		default:
			core = " core=kernel"
		}
		stack.Form()
		script := labScript(t, core)
		if name == "Pacemaker" { // its IPaddr wants ifconfig, which the machines do not have
			script = strings.ReplaceAll(script, "IPaddr ", "IPaddr2 ")
		}
		stack.Configure("node1", script)
		place := nodes.Settled(stack, "node1", "mysqld", "nowhere")
		if core == " core=native" {
			m.Run(place, "! grep -q ^drbd /proc/modules")
		}
		w := m.Write(client, "-patience 2s commit "+address+":3306")
		for round := range *failovers {
			for _, kind := range lab.Kinds() {
				begun, clock := m.Clock(client), time.Now()
				k := nodes.Strike(stack, kind, place)
				w.Resumes(begun)
				place = nodes.Settled(stack, k.Other, "mysqld", place)
				w.Goes()
				acks := w.Acks()
				gap, from := acks.Gap(begun)
				gaps.Note(kind, name, gap)
				last, _ := acks.Count()
				if out, err := m.Try(client, fmt.Sprintf("/root/service count %s:3306 %d", address, last)); err != nil {
					t.Errorf("%s: after %s: %s", name, kind, out)
				} else {
					t.Logf("%s: after %s: %s, none lost", name, kind, out)
				}
				t.Logf("%s, round %d of %d: %s of %s: no commit for %.2f s; the last one before came after %.2f s; %s; %s",
					name, round+1, *failovers, kind, k.Place, gap.Seconds(), from.Sub(begun).Seconds(), k.Fenced(clock), lab.HostLoad())
				t.Logf("%s: starts and stops:\n%s", name, stack.Operations(k.Other))
				k.Undo()
				m.Until(k.Other, "both disks are up to date", inSync)
			}
		}
		w.End()
		stack.End()
	}
	t.Logf("without a commit:\n%s", &gaps)
	gaps.Check(t, "gcrm on the kernel's DRBD", "Pacemaker", 3)
	gaps.Check(t, "gcrm on its own core", "Pacemaker", 3)
}
