package multipath

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
)

// Two maps in the kernel's format: features, handler, groups; of each group
// its state, selector arguments, number of paths and arguments a path.
const status = `mpathb: 0 1048576 multipath 2 0 0 0 2 1 A 0 1 2 8:0 A 0 0 1 E 0 1 2 8:16 F 3 1 0
mpatha: 0 2097152 multipath 2 0 1 0 1 1 A 0 2 2 8:32 A 0 0 1 8:48 A 0 0 1
other: 0 100 linear
`

func TestParseAndJudge(t *testing.T) {
	disks := parse(status)
	if len(disks) != 2 || disks[0] != (disk{"mpatha", 2, 2}) || disks[1] != (disk{"mpathb", 1, 2}) {
		t.Fatalf("%+v", disks)
	}
	for _, c := range []struct {
		disks         []disk
		wanted        string
		fewest        int
		health, words string
	}{
		{disks, "", 1, "yellow", "mpathb has 1 of 2 paths"}, {disks, "mpatha", 2, "green", ""}, {disks, "mpatha gone", 0, "red", "gone has no working path"},
		{nil, "", 0, "red", "no multipath map"}, {[]disk{{"m", 0, 2}, {"n", 1, 2}}, "", 0, "red", "m has no working path; n has 1 of 2"},
	} {
		fewest, health, words := judge(c.disks, strings.Fields(c.wanted))
		if fewest != c.fewest || health != c.health || !strings.Contains(words, c.words) {
			t.Errorf("%q: %d %s %q", c.wanted, fewest, health, words)
		}
	}
	if parse("No devices found\n") != nil {
		t.Error("no devices")
	}
}

func TestAgent(t *testing.T) {
	dir := t.TempDir()
	set := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "dmsetup"), []byte("#!/bin/sh\n[ \"$*\" = 'status --target multipath' ] || exit 3\n/bin/cat <<'E'\n"+text+"E\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	set(status)
	agent := Agent()
	agent.Path = []string{dir}
	node := agenttest.NewNode(t, "node1")
	cluster := node.Cluster.(*agenttest.Cluster)
	s := agenttest.Subject{Name: drivers.Name{Class: "ocf", Provider: "gcrm", Type: "multipath"}, Agent: agent, Resource: "paths", Params: map[string]string{"minimum": "1"}, Node: node}
	agenttest.Contract(t, s)
	s.Want(t, drivers.Start, drivers.OK)
	if a := cluster.Attributes(); a["multipath"] != "1" || a["#health-multipath"] != "yellow" {
		t.Errorf("%v", a)
	}
	set("mpatha: 0 1 multipath 2 0 0 0 1 1 A 0 1 2 8:0 F 1 1 0\n")
	if res := s.Want(t, drivers.Monitor, drivers.GenericError); !strings.Contains(res.Reason, "mpatha has no working path") {
		t.Error(res.Reason)
	}
	if a := cluster.Attributes(); a["multipath"] != "0" || a["#health-multipath"] != "red" {
		t.Errorf("%v", a)
	}
	s.Want(t, drivers.Stop, drivers.OK)
	if a := cluster.Attributes(); len(a) != 0 {
		t.Errorf("left: %v", a)
	}
}
