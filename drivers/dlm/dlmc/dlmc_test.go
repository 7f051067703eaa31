package dlmc

import (
	"context"
	"encoding/binary"
	"os/exec"
	"strings"
	"testing"
	"time"

	"gcrm/drivers/dlm"
	"gcrm/drivers/dlm/kernel"
	"gcrm/drivers/dlm/lockspace"
	"gcrm/drivers/dlm/plock"
)

func member(node int, stopped bool) lockspace.Member {
	return lockspace.Member{Life: lockspace.Life{Node: node, Boot: "b"}, Stopped: stopped, Held: true}
}

func report() dlm.Report {
	return dlm.Report{Self: lockspace.Life{Node: 1, Boot: "b"}, Cluster: "cluster1", Ready: true, Quorate: true,
		Nodes: []kernel.Node{{Life: lockspace.Life{Node: 1}}}, Names: map[int]string{1: "node1", 2: "node2"},
		Spaces: []dlm.SpaceReport{
			{Space: lockspace.Space{Name: "kvm1", Generation: 4, Running: true, Members: []lockspace.Member{member(1, true), member(3, true)}}, ID: lockspace.ID("kvm1"), Here: true, Active: true,
				Files: []plock.FileState{{Number: 7, Held: []plock.Held{{Node: 1, Owner: 0xab, PID: 99, Exclusive: true, End: 9}}}}},
			{Space: lockspace.Space{Name: "blocked", Generation: 6, Members: []lockspace.Member{member(1, true)}, Lost: []lockspace.Member{member(2, false)}},
				ID: lockspace.ID("blocked"), Here: true, Waits: "blocked because the fencing of node2 is pending"},
			{Space: lockspace.Space{Name: "elsewhere", Generation: 5, Running: true}},
		}}
}

func TestSizes(t *testing.T) {
	for _, s := range report().Spaces {
		if n := len(appendLockspace(nil, s)); n != lockspaceSize {
			t.Errorf("a lockspace has %d bytes", n)
		}
	}
	if n := len(appendNode(nil, 1, 2, 3)); n != nodeSize {
		t.Errorf("a node has %d bytes", n)
	}
	b := header{Command: cmdLockspaceInfo, Name: strings.Repeat("x", 70)}.append(nil, []byte("body"))
	if len(b) != headerSize+4 || binary.NativeEndian.Uint32(b[16:]) != headerSize+4 {
		t.Errorf("%d bytes", len(b))
	}
	if _, err := readHeader(strings.NewReader(strings.Repeat("a", headerSize))); err == nil {
		t.Error("another protocol was taken")
	}
}

// TestTool asks with the real dlm_tool, where it is installed and no other
// control daemon has its sockets.
func TestTool(t *testing.T) {
	tool, err := exec.LookPath("dlm_tool")
	if err != nil {
		t.Skip("SKIPPED: no dlm_tool here (package dlm-controld)")
	}
	s, err := Listen(Source{Report: func(context.Context) (dlm.Report, error) { return report(), nil }, Debug: func() string { return "what was logged\n" }})
	if err != nil {
		t.Skip("SKIPPED: another control daemon runs here: ", err)
	}
	defer s.Close()
	for _, c := range []struct {
		args string
		want []string
	}{
		{"ls", []string{"name          kvm1", "members       1 3", "name          blocked", "wait fencing"}},
		{"ls -n", []string{"nodeid 3 member 1", "nodeid 2 member 0"}},
		{"status", []string{"cluster nodeid 1 quorate 1", "node 1 M", "node 2 X"}},
		{"status -v", []string{"stateful_merge_wait=0", "cluster_name=cluster1"}},
		{"dump", []string{"what was logged"}},
		{"dump_config", []string{"enable_fencing=1"}},
		{"plocks kvm1", []string{"7 WR 0-9 nodeid 1 pid 99 owner ab"}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		out, err := exec.CommandContext(ctx, tool, strings.Fields(c.args)...).CombinedOutput()
		cancel()
		if err != nil {
			t.Errorf("dlm_tool %s: %v\n%s", c.args, err, out)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(string(out), w) {
				t.Errorf("dlm_tool %s: no %q in\n%s", c.args, w, out)
			}
		}
		if strings.Contains(string(out), "elsewhere") {
			t.Errorf("dlm_tool %s shows a lockspace of other nodes:\n%s", c.args, out)
		}
	}
}
