package locks

import (
	"fmt"
	"strings"

	"gcrm/cluster/simtest/lab"
)

// stack is who controls the lock manager of the lab's machines.
type stack interface {
	name() string
	// form makes a cluster of the machines, which is there again after a reboot.
	form(shared)
	// configure commits statements of the crm language.
	configure(m shared, statements string)
	// stop has a resource stopped, and does not wait for it.
	stop(m shared, resource string)
	// alone looks that no other stack runs.
	alone(shared)
	// can tells which parts of the test it takes part in.
	can(part string) bool
	// words is a script that tells what happened, for failures; recovery one for a loss
	// that was survived.
	words() string
	recovery() string
}

func stackNamed(name string) (stack, bool) {
	switch name {
	case "gcrm":
		return ours{}, true
	case "corosync":
		return corosync{}, true
	}
	return nil, false
}

// ours is gcrm.
type ours struct{}

func (ours) name() string { return "gcrm" }

func (ours) form(m shared) {
	m.t.Helper()
	for _, n := range m.Names() {
		// The native agents are the ones to be tested.
		m.Run(n, "cd /usr/lib/ocf/resource.d && rm -f heartbeat/Filesystem heartbeat/VirtualDomain heartbeat/clvm heartbeat/lvmlockd linbit/drbd")
	}
	m.Form(lab.Cluster{Name: "cluster1", Detection: *detection})
}

func (ours) configure(m shared, statements string) { m.t.Helper(); m.Configure("node1", statements) }

func (ours) stop(m shared, resource string) {
	m.t.Helper()
	m.Run("node1", "gcrm resource stop "+resource)
}

func (ours) alone(m shared) {
	m.t.Helper()
	for _, n := range m.Names() {
		m.Run(n, `! pgrep -l 'corosync|pacemaker' || exit 1
for p in $(pgrep -x dlm_controld); do [ $(readlink /proc/$p/exe | cut -d' ' -f1) = /usr/local/bin/gcrm ] || { ls -l /proc/$p/exe; exit 1; }; done`)
	}
}

func (ours) can(string) bool { return true }

func (ours) words() string {
	return `gcrm status; gcrm dlm status; tail -40 /run/gcrm/agents/dlm/control.log; journalctl -u gcrm --no-pager | tail -60; dmesg | tail -30`
}

func (ours) recovery() string { return "grep 'msg=st' /run/gcrm/agents/dlm/control.log | tail -2" }

// corosync is Corosync with Pacemaker, whose agent starts dlm_controld.
type corosync struct{}

func (corosync) name() string { return "corosync" }

func (corosync) form(m shared) {
	m.t.Helper()
	var nodes strings.Builder
	for i, n := range m.Names() {
		fmt.Fprintf(&nodes, "  node {\n    name: %s\n    nodeid: %d\n    ring0_addr: 10.9.1.%d\n  }\n", n, i+1, i+1)
	}
	// A node is lost to it when its token was away for the detection time. (What follows
	// until the new membership takes 1.2 of that once more, as is usual.)
	conf := fmt.Sprintf("totem {\n  version: 2\n  cluster_name: cluster1\n  transport: knet\n  token: %d\n}\nnodelist {\n%s}\nquorum {\n  provider: corosync_votequorum\n  two_node: 1\n  wait_for_all: 0\n}\nlogging {\n  to_syslog: yes\n}\n",
		detection.Milliseconds(), nodes.String())
	for _, n := range m.Names() {
		m.Run(n, "cat > /etc/corosync/corosync.conf <<'END'\n"+conf+"END\nsystemctl enable -q corosync pacemaker; systemctl start --no-block pacemaker")
	}
	var words string
	m.Wait("both nodes are online in Pacemaker", func() bool {
		out, err := m.Try("node1", "crm_mon -1")
		words = out
		return err == nil && strings.Contains(out, "Online: [ node1 node2 ]") && strings.Contains(out, "partition with quorum")
	}, &words)
}

func (corosync) configure(m shared, statements string) {
	m.t.Helper()
	m.Run("node1", "cat >/tmp/setup.crm <<'END'\n"+statements+"\nEND\ncrm configure load update /tmp/setup.crm")
}

func (corosync) stop(m shared, resource string) {
	m.t.Helper()
	m.Run("node1", "crm_resource -r "+resource+" --meta -p target-role -v Stopped")
}

func (corosync) alone(m shared) {
	m.t.Helper()
	for _, n := range m.Names() {
		m.Run(n, "! pgrep -l gcrm")
	}
}

func (corosync) can(part string) bool { return part == "power" || part == "cut" || part == "hang" }

func (corosync) words() string {
	return `crm_mon -1rf; dlm_tool ls; dlm_tool status; journalctl -u corosync -u pacemaker --no-pager | tail -80; dmesg | tail -30`
}

func (corosync) recovery() string { return "dlm_tool ls | grep -A 4 kvm1" }
