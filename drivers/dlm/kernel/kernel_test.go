package kernel

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"gcrm/drivers/dlm/lockspace"
)

// manager is the lock manager of a kernel behind its files, with its demands
// on the order of writes.
type manager struct {
	t     *testing.T
	dirs  map[string]bool
	files map[string]string
	log   []string
	runs  map[string]bool
}

func newManager(t *testing.T) *manager {
	return &manager{t: t, dirs: map[string]bool{configRoot: true, sysRoot: true}, files: map[string]string{}, runs: map[string]bool{}}
}

// want is a program that makes a lockspace.
func (m *manager) want(space string) { m.dirs[sysRoot+"/"+space] = true }

func (m *manager) Mkdir(p string) error {
	p = path.Clean(p)
	switch {
	case m.dirs[p]:
		return &fs.PathError{Op: "mkdir", Path: p, Err: fs.ErrExist}
	case !m.dirs[path.Dir(p)]:
		return &fs.PathError{Op: "mkdir", Path: p, Err: fs.ErrNotExist}
	}
	m.dirs[p] = true
	if p == clusterRoot {
		m.dirs[path.Clean(commRoot)], m.dirs[path.Clean(spaceRoot)] = true, true
	}
	if path.Dir(p) == path.Clean(spaceRoot) {
		m.dirs[p+"/nodes"] = true
	}
	m.log = append(m.log, "mkdir "+p)
	return nil
}

func (m *manager) Rmdir(p string) error {
	p = path.Clean(p)
	if !m.dirs[p] {
		return fs.ErrNotExist
	}
	if names, _ := m.List(p); p != clusterRoot && path.Dir(p) != path.Clean(spaceRoot) && len(names) > 0 {
		return fmt.Errorf("%s is not empty", p)
	}
	if nodes, _ := m.List(p + "/nodes"); len(nodes) > 0 {
		return fmt.Errorf("%s has nodes", p)
	}
	for d := range m.dirs {
		if strings.HasPrefix(d+"/", p+"/") {
			delete(m.dirs, d)
		}
	}
	for f := range m.files {
		if strings.HasPrefix(f, p+"/") {
			delete(m.files, f)
		}
	}
	m.log = append(m.log, "rmdir "+p)
	return nil
}

func (m *manager) Write(p string, data []byte) error {
	dir, name := path.Split(p)
	dir = path.Clean(dir)
	if !m.dirs[dir] {
		return &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
	}
	comm := path.Dir(dir) == path.Clean(commRoot)
	switch {
	case comm && name == "addr" && (m.files[dir+"/nodeid"] == "" || len(data) != 128 || m.files[dir+"/local"] != ""):
		return fmt.Errorf("%s: invalid", p)
	case comm && name == "local" && (m.files[dir+"/addr"] == "" || len(m.log) == 0):
		return fmt.Errorf("%s: too early", p)
	case strings.Contains(p, "/nodes/") && name == "nodeid" && !m.dirs[commRoot+string(data)]:
		return fmt.Errorf("%s: unknown node", p)
	case name == "cluster_name" && strings.HasSuffix(string(data), "\n"):
		return fmt.Errorf("the name has a newline")
	}
	if path.Dir(dir) == sysRoot {
		space := path.Base(dir)
		nodes, _ := m.List(spaceRoot + space + "/nodes")
		switch {
		case name == "control" && string(data) == "1" && (len(nodes) == 0 || m.files[dir+"/id"] == ""):
			return fmt.Errorf("%s: no members or no id", p)
		case name == "control" && string(data) == "1" && m.runs[space]:
			m.t.Errorf("%s is started while it runs", space)
		case name == "control":
			m.runs[space] = string(data) == "1"
		case name == "event_done" && !m.runs[space]:
			delete(m.dirs, dir) // it left
		}
	}
	m.files[p] = string(data)
	if len(data) == 128 {
		data = []byte(hex.EncodeToString(data[:8]))
	}
	m.log = append(m.log, p+"="+string(data))
	return nil
}

func (m *manager) Read(p string) (string, error) {
	if s, ok := m.files[p]; ok {
		return s, nil
	}
	return "", fs.ErrNotExist
}

func (m *manager) List(p string) ([]string, error) {
	var names []string
	for d := range m.dirs {
		if path.Dir(d) == path.Clean(p) {
			names = append(names, path.Base(d))
		}
	}
	slices.Sort(names)
	return names, nil
}

func member(node int, boot string) lockspace.Member {
	return lockspace.Member{Life: lockspace.Life{Node: node, Boot: boot}}
}

func TestLifeOfALockspace(t *testing.T) {
	m := newManager(t)
	k := New(m)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%v\n%s", err, strings.Join(m.log, "\n"))
		}
	}
	must(k.Prepare(Settings{Cluster: "cluster1", SCTP: true, Port: 21065}))
	must(k.SetNode(Node{Life: lockspace.Life{Node: 2, Boot: "b"}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")}}))
	must(k.SetNode(Node{Life: lockspace.Life{Node: 1, Boot: "a"}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}, Local: true}))
	m.want("gfs")
	m.log = nil
	must(k.Start("gfs", []lockspace.Member{member(1, "a")}, nil, true))
	must(k.Stop("gfs"))
	must(k.Start("gfs", []lockspace.Member{member(1, "a"), member(2, "b")}, nil, false))
	must(k.Stop("gfs"))
	if err := k.Start("gfs", []lockspace.Member{member(1, "a"), member(2, "c")}, []int{2}, false); err == nil {
		t.Error("started with a life that the kernel was not told of")
	}
	must(k.SetNode(Node{Life: lockspace.Life{Node: 2, Boot: "c"}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")}}))
	must(k.Start("gfs", []lockspace.Member{member(1, "a"), member(2, "c")}, []int{2}, false))
	must(k.Stop("gfs"))
	must(k.Start("gfs", []lockspace.Member{member(1, "a")}, nil, false))
	must(k.RemoveNode(2))
	must(k.RemoveNode(2))
	must(k.Stop("gfs"))
	must(k.Release("gfs"))
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
	if !slices.Equal(m.log, want) {
		t.Errorf("\n%s\nwant\n%s", strings.Join(m.log, "\n"), strings.Join(want, "\n"))
	}
	must(k.Clear())
	if m.dirs[clusterRoot] {
		t.Error("the configuration is still there")
	}
}

func TestPrepareOverLeftovers(t *testing.T) {
	m := newManager(t)
	for _, d := range []string{clusterRoot, commRoot + "7", spaceRoot + "old", spaceRoot + "old/nodes/7"} {
		if err := m.Mkdir(d); err != nil {
			t.Fatal(err)
		}
	}
	if err := New(m).Prepare(Settings{Cluster: "c"}); err != nil || m.dirs[commRoot+"7"] || m.files[clusterRoot+"/cluster_name"] != "c" {
		t.Errorf("%v %v", err, m.dirs)
	}
	m.want("gfs")
	if err := New(m).Prepare(Settings{Cluster: "c"}); !errors.Is(err, ErrUncontrolled) || !strings.Contains(err.Error(), "gfs") {
		t.Errorf("%v", err)
	}
	if err := New(newManager(t)).SetNode(Node{}); err == nil {
		t.Error("a node without address was set")
	}
}

func TestRecovered(t *testing.T) {
	m := newManager(t)
	k := New(m)
	dir := sysRoot + "/gfs/"
	for status, want := range map[string]string{"ff\n": "true 0", "0x55\n": "error", "55\n": "true 0", "15\n": "false 2", "0\n": "false 2"} {
		m.files[dir+"recover_status"], m.files[dir+"recover_nodeid"] = status, "2\n"
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
		e, ok := ParseEvent(text(action, "dlm"))
		if got := fmt.Sprint(e, " ", ok); got != want {
			t.Errorf("%s: %s", action, got)
		}
	}
	if _, ok := ParseEvent(text("online", "block")); ok {
		t.Error("the event of another subsystem was taken")
	}
}

// TestEventsOfThisHost opens the real socket; nobody here may pretend to be
// the kernel.
func TestEventsOfThisHost(t *testing.T) {
	e, err := OpenEvents()
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
