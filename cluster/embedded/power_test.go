package embedded

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"gcrm/cib"
)

// processes counts what carries the mark of a node in its environment.
func processes(t *testing.T, runDir string) int {
	t.Helper()
	n := 0
	paths, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		if env, err := os.ReadFile(p); err == nil && marked(env, [][]byte{[]byte("=" + runDir + "|")}) {
			n++
		}
	}
	return n
}

// A node that is switched off takes with it what its agents started, one
// whose daemon crashes does not.
func TestPowerOffEndsProcesses(t *testing.T) {
	c := start(t, Config{Nodes: 3, Schedule: planner})
	h := connect(t, c, 2)
	doc := document(t, h)
	conf := doc.Configuration().Clone()
	conf.Child("resources").Add(cib.NewElement("primitive", "id", "web", "class", "ocf", "provider", "heartbeat", "type", "anything").Add(
		cib.NewElement("instance_attributes", "id", "ia").Add(
			cib.NewElement("nvpair", "id", "a", "name", "binfile", "value", "/bin/sleep"),
			cib.NewElement("nvpair", "id", "b", "name", "cmdline_options", "value", "1000"))))
	if _, err := h.Apply(t.Context(), cib.Change{Configuration: &cib.ConfigurationChange{Base: doc.Version(), XML: conf.String()}}); err != nil {
		t.Fatal(err)
	}
	set(t, h, "stonith-enabled", "false")
	run1, run2 := c.members[0].runDir(), c.members[1].runDir()
	eventually(t, 10*time.Second, "the process runs on node1", func() bool {
		return where(document(t, h), "web") == "node1 " && processes(t, run1) == 1
	})
	c.Crash(1)
	if n := processes(t, run1); n != 1 {
		t.Errorf("%d processes after the crash of the daemon", n)
	}
	if err := c.Kill(1); err != nil {
		t.Fatal(err)
	}
	if n := processes(t, run1); n != 0 {
		t.Errorf("%d processes after the power is off", n)
	}
	eventually(t, 10*time.Second, "the process runs on node2", func() bool {
		return where(document(t, h), "web") == "node2 " && processes(t, run2) == 1
	})
	// One that is killed comes back with its next monitor.
	if err := killProcesses(run2); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the process runs on node2 again", func() bool { return processes(t, run2) == 1 })
}
