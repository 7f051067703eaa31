package locks

import (
	"fmt"

	"gcrm/cluster/simtest/lab"
)

// stack is who controls the lock manager of the machines: gcrm, or Pacemaker, whose agent
// starts dlm_controld on Corosync.
type stack struct {
	lab.Stack
	ours bool
}

// stacksOf are those of a list of names, on machines. Both take a node for lost when
// nothing was heard of it for the detection time. (What Corosync needs after that, until
// a new membership, it needs.)
func stacksOf(m *lab.Machines, list string) (out []stack) {
	for _, s := range m.Stacks(list, lab.Cluster{Name: "cluster1", Detection: *detection, Token: *detection, Daemon: "--agents native"}) {
		out = append(out, stack{s, s.Name() == "gcrm"})
	}
	return out
}

// alone looks that no other stack runs.
func (s stack) alone(m shared) {
	m.t.Helper()
	for _, n := range m.Names() {
		if s.ours {
			m.Run(n, `! pgrep -l 'corosync|pacemaker' || exit 1
for p in $(pgrep -x dlm_controld); do [ $(readlink /proc/$p/exe | cut -d' ' -f1) = /usr/local/bin/gcrm ] || { ls -l /proc/$p/exe; exit 1; }; done`)
		} else {
			m.Run(n, "! pgrep -l gcrm && pgrep -x corosync && pgrep -x dlm_controld")
		}
	}
}

// stop has resources stopped, and does not wait for it.
func (s stack) stop(m shared, resources ...string) {
	m.t.Helper()
	how := "crm_resource --resource %s --meta --set-parameter target-role --parameter-value Stopped"
	if s.ours {
		how = "gcrm resource stop %s"
	}
	for _, r := range resources {
		m.Run("node1", fmt.Sprintf(how, r))
	}
}

// can tells which parts of the test the stack takes part in.
func (s stack) can(part string) bool {
	return s.ours || part == "power" || part == "cut" || part == "hang"
}

// recovery is a script that tells of the loss that was survived last.
func (s stack) recovery() string {
	const kernel = `dmesg | grep 'recover jid\|Journal replayed' | tail -2; `
	if s.ours {
		return kernel + "grep 'msg=st' /run/gcrm/agents/dlm/control.log | tail -2"
	}
	return kernel + "dlm_tool ls | grep change"
}

// labWords is what nodes have to say when a test fails.
const labWords = `if pidof gcrm; then gcrm status; gcrm dlm status; tail -40 /run/gcrm/agents/dlm/control.log; journalctl -u gcrm --no-pager | tail -60; fi
if pidof corosync; then crm_mon -1rf; dlm_tool ls; dlm_tool status; journalctl -u corosync -u pacemaker --no-pager | tail -80; fi
dmesg | tail -30`
