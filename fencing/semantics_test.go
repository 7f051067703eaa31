package fencing

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// semantics lists, in the order of the reference (fencing.md, sections 2 to
// 2.3), what administrators rely on, and where it is shown: a transcript and the
// beginning of the comment over the case, or a package's test.
func semantics() [][3]string {
	return [][3]string{
		// 2 Devices
		{"any node may execute a device, but not where its location bans it", "nodes.txt", "Which node executes"},
		{"the node where the device is started is preferred", "nodes.txt", "Which node executes"},
		{"target-role=Stopped disables a device", "hosts.txt", "A stopped device is not used"},
		{"pcmk_host_argument: plug, port, none; a configured parameter wins, dynamic does not", "agent", "TestAgainstPacemaker"},
		{"pcmk_host_map with every separator", ".", "TestHostMapSeparators"},
		{"dynamic-list: asked once a minute, aliases count", "hosts.txt", "The device is asked for its hosts"},
		{"dynamic-list that never worked falls back to status", "hosts.txt", "A list that never worked"},
		{"status check; none", "hosts.txt", "The same with status alone"},
		{"host names in any case", "semantics.txt", "Names of nodes in any case"},
		{"pcmk_delay_base, by target; pcmk_delay_max with a random share", "delays.txt", "base and a random share"},
		{"base above max is max; -1 takes delays away; on is never delayed", "delays.txt", "base above max"},
		{"the delay takes nothing from the timeout", "delays.txt", "base and a random share"},
		{"pcmk_action_limit 1: one at a time, whatever the node", "merging.txt", "The device does one thing"},
		{"pcmk_action_limit above 1 and without a limit", "merging.txt", "Several at once"},
		{"pcmk_<action>_action renames, with the timeouts of the configured name", "reboot.txt", "Renamed actions"},
		{"pcmk_<action>_timeout; stonith-timeout else", "semantics.txt", "Timeouts: the action's own"},
		{"retries: a second after a failure, under 70 % of the time, never after a timeout", "nodes.txt", "A failed attempt is repeated"},
		{"priority orders devices without topology", "semantics.txt", "Without topology, the higher priority"},
		{"an agent without reboot: off, with off's timeout; the node stays off", "reboot.txt", "An agent without reboot"},
		{"a node fences itself last", "nodes.txt", "Nobody but the target itself"},
		{"off of a node that is off succeeds", "proof.txt", "The device fails, but the node is off"},
		// 2.1 A request
		{"tolerance: an earlier success is enough", "basics.txt", "With a tolerance"},
		{"peer with the device verified, then others, then the target", "nodes.txt", "Which node executes"},
		{"the delegate dies: the next one", "nodes.txt", "The delegate dies"},
		{"a timeout without topology ends the request", "proof.txt", "A timeout without topology"},
		{"the same action for the same node is merged, another one waits", "merging.txt", "The same action for the same node"},
		{"merged requests share success and failure", "semantics.txt", "What was merged fails together"},
		{"reboot as off and on is merged as a reboot", "semantics.txt", "A reboot in halves is merged"},
		{"history: kept over restarts, the same on all nodes, cleared by hand", "semantics.txt", "The history"},
		{"history is limited", ".", "TestHistoryIsLimited"},
		{"stonith-max-attempts: then only an administrator asks", "proof.txt", "After too many failures"},
		{"manual confirmation is proof by a human", "proof.txt", "A human's word"},
		{"concurrent-fencing off: one node after the other", "merging.txt", "One node after the other"},
		{"late and doubled answers", "basics.txt", "Late and doubled"},
		// 2.2 Topology
		{"all devices of a level in order; failure: the next level", "topology.txt", "Two power supplies in one level"},
		{"reboot over several devices: off on each, then on on each; on may fail", "topology.txt", "Two power supplies in one level"},
		{"by name, pattern and attribute", "topology.txt", "Levels by name go before"},
		{"a pattern is a regular expression that need not match the whole name", "semantics.txt", "A pattern matches a part"},
		{"devices that unfence or whose reboot is off are not switched on again", "semantics.txt", "In a level, who stays off"},
		{"the requested delay is for the first device of the first level; each has its own", "semantics.txt", "The requested delay comes once"},
		{"a device of a level has to be able to fence the node", "topology.txt", "A level with a device that cannot"},
		{"kdump first, power second", "proof.txt", "kdump: its message"},
		// 2.3 Unfencing and watchdog
		{"automatic on: from all devices that unfence, on the target itself for on_target", "unfencing.txt", "All devices that unfence"},
		{"unfencing that fails keeps the node from working", "unfencing.txt", "One of them fails"},
		{"unfencing before anything starts on the node, in a cluster", "../cluster/embedded", "TestUnfencedBeforeItWorks"},
		{"stonith-watchdog-timeout: the last device, with quorum only", "watchdog.txt", "Not without quorum"},
		{"negative: twice the watchdog's; fence_watchdog limits the nodes", "watchdog.txt", "Negative"},
		{"a watchdog that is too slow or absent is not relied on", "watchdog.txt", "Only a watchdog"},
		// What gcrm promises beyond that
		{"one loss, one fencing", "once.txt", "One loss, one fencing"},
		{"success has a proof", "proof.txt", "What proves nothing"},
		{"a device that lies is found out", "once.txt", "A device that lies"},
		{"priority-fencing-delay protects the side with more", "../cluster/embedded", "TestTwoNodesRaceWithPriority"},
		{"pcmk_delay protects one of two nodes", "../cluster/embedded", "TestTwoNodesRaceWithDelay"},
	}
}

// TestSemantics: what the table names is there.
func TestSemantics(t *testing.T) {
	for _, s := range semantics() {
		rule, where, what := s[0], s[1], s[2]
		if strings.HasSuffix(where, ".txt") {
			b, err := os.ReadFile(filepath.Join("testdata/transcripts", where))
			if err != nil || !strings.Contains("\n"+string(b), "\n# "+what) {
				t.Errorf("%s: %s has no case %q (%v)", rule, where, what, err)
			}
			continue
		}
		files, err := filepath.Glob(filepath.Join(where, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, path := range files {
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == what {
					found = true
				}
			}
		}
		if !found {
			t.Errorf("%s: %s has no test %s", rule, where, what)
		}
	}
}
