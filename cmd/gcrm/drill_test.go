package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/cluster/node/drill"
)

// The daemon of a machine is really killed for a drill, the other machine
// fences it with its power switch and serves meanwhile, and everything goes back.
func TestDrillKillsARealDaemon(t *testing.T) {
	a, b := twoMachines(t)
	script := filepath.Join(a.dir, "setup.crm")
	if err := os.WriteFile(script, []byte(`configure
primitive f stonith:fence_lab params pcmk_host_list="node1 node2" secret_passwd=hush op monitor interval=10s
primitive d Dummy op monitor interval=5s
location d2 d 100: node2
location f1 f 100: node1
commit
`), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := a.gcrm("-f", script); err != nil {
		t.Fatalf("configure: %v\n%s", err, out)
	}
	a.waits("the resource runs", a.runs("d", "node2"))
	a.waits("the device is started", a.runs("f", "node1"))
	a.must("cluster", "wait")
	// A node does not watch its own failure.
	if out, err := b.gcrm("cluster", "drill", "kill", "node2"); err == nil || !strings.Contains(out, "cannot watch its own failure") {
		t.Errorf("from the node itself: %v\n%s", err, out)
	}
	before := a.must("configure", "show")
	cmd := a.program("cluster", "drill", "kill", "node2", "--json", "--limit", limitOfTests.String(), "--service", a.dir)
	var progress strings.Builder
	cmd.Stderr = &progress
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, progress.String(), out)
	}
	var report drill.Report
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s%s", progress.String(), out)
	if !report.Restored || len(report.Resources) != 1 || report.Resources[0].Name != "d" || report.Resources[0].Still || report.Resources[0].Away < 500*time.Millisecond {
		t.Errorf("report: %s", out)
	}
	if got := a.switched(); got != "off node2, on node2" {
		t.Errorf("switched: %s", got)
	}
	if after := a.must("configure", "show"); after != before {
		t.Errorf("the configuration is not as before:\n%s\n%s", before, after)
	}
	a.waits("both are members", a.together)
	if out := a.must("cluster", "audit"); !strings.Contains(out, "drill: kill node node2") {
		t.Errorf("audit:\n%s", out)
	}
	if out := b.must("cluster", "audit"); !strings.Contains(out, "this node fails (kill)") {
		t.Errorf("audit of node2:\n%s", out)
	}
}
