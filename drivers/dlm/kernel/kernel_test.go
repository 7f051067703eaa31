package kernel_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"gcrm/drivers/dlm/kernel"
	"gcrm/drivers/dlm/kernel/kerneltest"
	"gcrm/drivers/dlm/lockspace"
)

const (
	clusterRoot = "/sys/kernel/config/dlm/cluster"
	commRoot    = clusterRoot + "/comms/"
	spaceRoot   = clusterRoot + "/spaces/"
	sysRoot     = "/sys/kernel/dlm"
)

func member(node int, boot string) lockspace.Member {
	return lockspace.Member{Life: lockspace.Life{Node: node, Boot: boot}}
}

func TestLifeOfALockspace(t *testing.T) {
	net := kerneltest.NewNet()
	m := net.Host(1)
	k := kernel.New(m)
	release, err := m.Monitor()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%v\n%s", err, strings.Join(m.Log(), "\n"))
		}
	}
	must(k.Prepare(kernel.Settings{Cluster: "cluster1", SCTP: true, Port: 21065}))
	must(k.SetNode(kernel.Node{Life: lockspace.Life{Node: 2, Boot: "b"}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")}}))
	must(k.SetNode(kernel.Node{Life: lockspace.Life{Node: 1, Boot: "a"}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}, Local: true}))
	m.Log()
	mounted := make(chan error, 1)
	go func() { mounted <- m.Join("gfs") }()
	if e, err := m.Next(); err != nil || !e.Online || e.Space != "gfs" {
		t.Fatal(e, err)
	}
	must(k.Start("gfs", []lockspace.Member{member(1, "a")}, nil, true))
	must(<-mounted)
	must(k.Stop("gfs"))
	must(k.Start("gfs", []lockspace.Member{member(1, "a"), member(2, "b")}, nil, false))
	must(k.Stop("gfs"))
	if err := k.Start("gfs", []lockspace.Member{member(1, "a"), member(2, "c")}, []int{2}, false); err == nil {
		t.Error("started with a life that the kernel was not told of")
	}
	must(k.SetNode(kernel.Node{Life: lockspace.Life{Node: 2, Boot: "c"}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")}}))
	must(k.Start("gfs", []lockspace.Member{member(1, "a"), member(2, "c")}, []int{2}, false))
	must(k.Stop("gfs"))
	must(k.Start("gfs", []lockspace.Member{member(1, "a")}, nil, false))
	must(k.RemoveNode(2))
	must(k.RemoveNode(2))
	go func() { mounted <- m.Leave("gfs") }()
	if e, err := m.Next(); err != nil || e.Online {
		t.Fatal(e, err)
	}
	must(k.Stop("gfs"))
	must(k.Release("gfs"))
	must(<-mounted)
	if v := net.Violations(); len(v) > 0 {
		t.Error(v)
	}
	const spaces, comms = spaceRoot, commRoot
	want := []string{
		"/sys/kernel/dlm/gfs/id=" + fmt.Sprint(lockspace.ID("gfs")), "mkdir " + spaces + "gfs",
		"mkdir " + spaces + "gfs/nodes/1", spaces + "gfs/nodes/1/nodeid=1", "/sys/kernel/dlm/gfs/control=1", "/sys/kernel/dlm/gfs/event_done=0",
		"/sys/kernel/dlm/gfs/control=0", "mkdir " + spaces + "gfs/nodes/2", spaces + "gfs/nodes/2/nodeid=2", "/sys/kernel/dlm/gfs/control=1",
		"/sys/kernel/dlm/gfs/control=0", "rmdir " + spaces + "gfs/nodes/2",
		"rmdir " + comms + "2", "mkdir " + comms + "2", comms + "2/nodeid=2", comms + "2/addr=020000000a000002",
		"mkdir " + spaces + "gfs/nodes/2", spaces + "gfs/nodes/2/nodeid=2", "/sys/kernel/dlm/gfs/control=1",
		"/sys/kernel/dlm/gfs/control=0", "rmdir " + spaces + "gfs/nodes/2", "/sys/kernel/dlm/gfs/control=1", "rmdir " + comms + "2",
		"/sys/kernel/dlm/gfs/control=0", "rmdir " + spaces + "gfs/nodes/1", "rmdir " + spaces + "gfs", "/sys/kernel/dlm/gfs/event_done=0",
	}
	if log := m.Log(); !slices.Equal(log, want) {
		t.Errorf("\n%s\nwant\n%s", strings.Join(log, "\n"), strings.Join(want, "\n"))
	}
	must(k.Clear())
	if m.Has(clusterRoot) {
		t.Error("the configuration is still there")
	}
}

func TestPrepareOverLeftovers(t *testing.T) {
	m := kerneltest.NewNet().Host(1)
	for _, d := range []string{clusterRoot, commRoot + "7", spaceRoot + "old", spaceRoot + "old/nodes/7"} {
		if err := m.Mkdir(d); err != nil {
			t.Fatal(err)
		}
	}
	if err := kernel.New(m).Prepare(kernel.Settings{Cluster: "c"}); err != nil || m.Has(commRoot+"7") {
		t.Error(err)
	}
	if name, err := m.Read(clusterRoot + "/cluster_name"); err != nil || name != "c" {
		t.Error(name, err)
	}
	if err := m.Mkdir(sysRoot + "/gfs"); err != nil {
		t.Fatal(err)
	}
	if err := kernel.New(m).Prepare(kernel.Settings{Cluster: "c"}); !errors.Is(err, kernel.ErrUncontrolled) || !strings.Contains(err.Error(), "gfs") {
		t.Errorf("%v", err)
	}
	if err := kernel.New(kerneltest.NewNet().Host(1)).SetNode(kernel.Node{}); err == nil {
		t.Error("a node without address was set")
	}
}

func TestRecovered(t *testing.T) {
	m := kerneltest.NewNet().Host(1)
	k := kernel.New(m)
	dir := sysRoot + "/gfs/"
	for status, want := range map[string]string{"ff\n": "true 0", "0x55\n": "error", "55\n": "true 0", "15\n": "false 2", "0\n": "false 2"} {
		m.Put(dir+"recover_status", status)
		m.Put(dir+"recover_nodeid", "2\n")
		done, waits, err := k.Recovered("gfs")
		got := fmt.Sprint(done, " ", waits)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: %s", status, got)
		}
	}
}

func TestParseEvent(t *testing.T) {
	text := func(action, system string) []byte {
		return []byte(action + "@/kernel/dlm/gfs\x00ACTION=" + action + "\x00DEVPATH=/kernel/dlm/gfs\x00SUBSYSTEM=" + system + "\x00LOCKSPACE=gfs\x00SEQNUM=9\x00")
	}
	for action, want := range map[string]string{"online": "{true gfs} true", "offline": "{false gfs} true", "add": "{false gfs} false", "remove": "{false gfs} false"} {
		e, ok := kernel.ParseEvent(text(action, "dlm"))
		if got := fmt.Sprint(e, " ", ok); got != want {
			t.Errorf("%s: %s", action, got)
		}
	}
	if _, ok := kernel.ParseEvent(text("online", "block")); ok {
		t.Error("the event of another subsystem was taken")
	}
}

// TestEventsOfThisHost opens the real socket; nobody here may pretend to be
// the kernel.
func TestEventsOfThisHost(t *testing.T) {
	e, err := kernel.OpenEvents()
	if err != nil {
		t.Skip("no uevents here: ", err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := e.Next()
		done <- err
	}()
	time.Sleep(20 * time.Millisecond)
	e.Close()
	select {
	case err := <-done:
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("%v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("Next goes on after Close")
	}
}
