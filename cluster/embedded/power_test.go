package embedded

import (
	"os"
	"path/filepath"
	"testing"

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
	c := start(t, Config{Nodes: 3})
	h := connect(t, c, 2)
	set(t, h, "stonith-enabled", "false")
	alter(t, h, func(conf *cib.Element) {
		conf.Child("resources").Add(primitive("web", "anything", "binfile", "/bin/sleep", "cmdline_options", "1000"))
		inOrder(conf, "web")
	})
	run1, run2 := c.members[0].runDir(), c.members[1].runDir()
	eventually(t, patience, "the process runs on node1", func() bool {
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
	eventually(t, patience, "the process runs on node2", func() bool {
		return where(document(t, h), "web") == "node2 " && processes(t, run2) == 1
	})
	// One that is killed comes back with its next monitor.
	if err := killProcesses(run2); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the process runs on node2 again", func() bool { return processes(t, run2) == 1 })
}
