package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/node/drill"
	"gcrm/scheduler"
)

// A crash is rehearsed on two nodes: the other one fences it, goes on alone,
// and the node comes back when it has booted.
func TestDrillKill(t *testing.T) {
	t.Parallel() // it waits more than it works
	dir := switchFolder(t)
	crashed := make(chan struct{}, 2)
	hosts := cluster(t, 2, func(h *host) {
		h.agents, h.schedule = dir, scheduler.Schedule
		h.die = func(time.Duration) {
			go func() {
				h.crash()
				crashed <- struct{}{}
			}()
		}
	})
	c := hosts[0].client()
	edit(t, c, func(conf *cib.Element) {
		addSwitch(conf)
		dummyOn(conf, "n2")
	})
	started(t, c, "d")
	// The machine boots when its power is back.
	go func() {
		for t.Context().Err() == nil {
			if _, err := os.Stat(filepath.Join(dir, "fenced-n2")); err == nil {
				time.Sleep(300 * time.Millisecond)
				select {
				case <-crashed:
				case <-t.Context().Done():
					return
				}
				os.Remove(filepath.Join(hosts[1].dir, "run", holdFile))
				os.Remove(filepath.Join(dir, "off-n2"))
				hosts[1].run()
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	var told []string
	report, err := drill.Run(t.Context(), drill.Config{Cluster: c, Kind: drill.Kill, Node: "n2", Limit: patience, Tell: func(s string) { told = append(told, s) }})
	if err != nil {
		t.Fatalf("%v; told %q, report %+v", err, told, report)
	}
	if !report.Restored || len(report.Resources) == 0 {
		t.Errorf("report: %+v, told %q", report, told)
	}
	for _, o := range report.Resources {
		if o.Name == "d" && (o.Away < 100*time.Millisecond || o.Still || o.To != "n2") {
			t.Errorf("%+v", o)
		}
	}
	members(t, c, "n1* n2*")
	if out, _ := hosts[0].command("audit"); !strings.Contains(out, "drill: kill node n2") {
		t.Errorf("audit log:\n%s", out)
	}
}

// A cut is rehearsed on three nodes: the one that is cut off gives up what it
// runs, and comes in again when the cut is over.
func TestDrillCut(t *testing.T) {
	t.Parallel() // it waits more than it works
	hosts := cluster(t, 3, func(h *host) { h.schedule = scheduler.Schedule })
	c := hosts[0].client()
	edit(t, c, func(conf *cib.Element) {
		setProperty(conf, "stonith-enabled", "false")
		dummyOn(conf, "n3")
	})
	started(t, c, "d")
	var told []string
	report, err := drill.Run(t.Context(), drill.Config{Cluster: c, Kind: drill.Cut, Node: "n3", Force: true, Limit: patience, Tell: func(s string) { told = append(told, s) }})
	if err != nil {
		t.Fatalf("%v; told %q, report %+v", err, told, report)
	}
	if !report.Restored || len(report.Resources) != 1 || report.Resources[0].Away < 100*time.Millisecond || report.Resources[0].Still {
		t.Errorf("report: %+v, told %q", report, told)
	}
	members(t, c, "n1* n2* n3*")
}

// dummyOn enters a resource that does nothing, on a node that it prefers.
func dummyOn(conf *cib.Element, node string) {
	conf.Ensure("resources").Add(cib.NewElement("primitive", "id", "d", "class", "ocf", "provider", "pacemaker", "type", "Dummy"))
	conf.Ensure("constraints").Add(cib.NewElement("rsc_location", "id", "l", "rsc", "d", "node", node, "score", "100"))
}
