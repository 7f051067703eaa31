package drbd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
	"gcrm/replication/admin"
)

// asProgram makes the test binary be "gcrm volume".
const asProgram = "GCRM_DRBD_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		self, err := os.Executable()
		if err != nil {
			panic(err)
		}
		p := &admin.Program{Out: os.Stdout, Err: os.Stderr, Self: []string{self}}
		os.Exit(p.Main(context.Background(), os.Args[2:]))
	}
	os.Exit(m.Run())
}

// nativePair is two nodes on this host without the kernel's module.
func nativePair(t *testing.T, volumes int) [2]agenttest.Subject {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: needs root")
	}
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "gcrm")
	if err := os.WriteFile(program, fmt.Appendf(nil, "#!/bin/sh\n%s=1 exec %s \"$@\"\n", asProgram, exe), 0o755); err != nil {
		t.Fatal(err)
	}
	names := [2]string{"alpha", "beta"}
	conf := "resource r0 {\n  disk { resync-rate 200M; c-plan-ahead 0; }\n"
	for i, n := range names {
		conf += fmt.Sprintf("  on %s { address 127.0.0.%d:%s;\n", n, i+1, agenttest.Port(t))
		for v := range volumes {
			disk := filepath.Join(dir, fmt.Sprint(n, v))
			if err := os.WriteFile(disk, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(disk, 16<<20); err != nil {
				t.Fatal(err)
			}
			conf += fmt.Sprintf("    volume %d { device /dev/drbd_test_%s_%d_%d minor %d; disk %s; meta-disk internal; }\n", v, n, os.Getpid(), v, 210+2*i+v, disk)
		}
		conf += "  }\n"
	}
	file := filepath.Join(dir, "drbd.conf")
	if err := os.WriteFile(file, []byte(conf+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := host{proc: filepath.Join(dir, "no-module"), pause: 50 * time.Millisecond, patience: 100 * time.Millisecond, gcrm: program, device: "none"}
	var out [2]agenttest.Subject
	for i, n := range names {
		out[i] = agenttest.Subject{Name: drivers.Name{Class: "ocf", Provider: "linbit", Type: "drbd"}, Agent: agent(h, []string{"/usr/bin", "/bin"}), Resource: "p_drbd", Promotable: true,
			Params: map[string]string{"drbd_resource": "r0", "drbdconf": file, "wfc_timeout": "5", "core": "native"},
			Meta:   map[string]string{"notify": "true", "clone_max": "2", "clone_node_max": "1", "promoted_max": "1"}, Node: agenttest.NewNode(t, n), Timeout: 60 * time.Second}
		folder := admin.Folder(filepath.Join(out[i].Node.StateDir, "volume"))
		p := &admin.Program{Out: t.Output(), Err: t.Output()}
		if code := p.Main(t.Context(), []string{"create-md", "-c", file, "--node", n, "--run-dir", string(folder), "r0"}); code != 0 {
			t.Fatalf("create-md: %d", code)
		}
		t.Cleanup(func() { end(folder) })
	}
	return out
}

// end kills what serves the resource.
func end(f admin.Folder) {
	if a, err := f.Call(context.Background(), "r0", admin.Call{Command: "status"}); err == nil {
		_, _ = f.Call(context.Background(), "r0", admin.Call{Command: "stop"})
		time.Sleep(100 * time.Millisecond)
		_ = unix.Kill(a.Status.PID, unix.SIGKILL)
	}
}

func folderOf(s agenttest.Subject) admin.Folder {
	return admin.Folder(filepath.Join(s.Node.StateDir, "volume"))
}

// TestNativeCore runs the agent on volumes without a kernel module: scores, promotion,
// takeover of a dead process and failover.
func TestNativeCore(t *testing.T) {
	for _, volumes := range []int{1, 2} {
		t.Run(fmt.Sprint(volumes), func(t *testing.T) { runNativeCore(t, volumes) })
	}
}

func runNativeCore(t *testing.T, volumes int) {
	pair := nativePair(t, volumes)
	a, b := pair[0], pair[1]
	for _, s := range pair {
		s.Want(t, drivers.Monitor, drivers.NotRunning)
		s.Want(t, drivers.Start, drivers.OK)
		s.Want(t, drivers.Start, drivers.OK)
		s.Want(t, drivers.Monitor, drivers.OK)
		wantScore(t, s, "none") // Inconsistent everywhere
	}
	tell := func(s agenttest.Subject, c admin.Call) *admin.Status {
		t.Helper()
		got, err := folderOf(s).Call(t.Context(), "r0", c)
		if err != nil || got.Error != "" {
			t.Fatalf("%s: %v %+v", c.Command, err, got)
		}
		return got.Status
	}
	synced := func(s agenttest.Subject) {
		t.Helper()
		for limit := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			if st := tell(s, admin.Call{Command: "status"}); st.Connection == "Connected" && st.Disk == "UpToDate" && st.PeerDisk == "UpToDate" {
				return
			} else if time.Now().After(limit) {
				t.Fatalf("not in sync: %+v", st)
			}
		}
	}
	for limit := time.Now().Add(60 * time.Second); tell(a, admin.Call{Command: "status"}).Connection != "Connected"; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("no connection")
		}
	}
	tell(a, admin.Call{Command: "primary", Force: true})
	synced(a)
	synced(b)
	a.Want(t, drivers.Monitor, drivers.RunningPromoted)
	wantScore(t, a, "10000")
	b.Want(t, drivers.Monitor, drivers.OK)
	wantScore(t, b, "10000")
	// A process that dies is not a failure.
	if err := unix.Kill(tell(a, admin.Call{Command: "status"}).PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := folderOf(a).Dial("r0"); err == nil {
			break
		}
		if time.Now().After(limit) {
			t.Fatal("no successor")
		}
	}
	a.Want(t, drivers.Monitor, drivers.RunningPromoted)
	synced(a)
	a.Want(t, drivers.Demote, drivers.OK)
	b.Want(t, drivers.Promote, drivers.OK)
	b.Want(t, drivers.Monitor, drivers.RunningPromoted)
	a.Want(t, drivers.Stop, drivers.OK)
	a.Want(t, drivers.Monitor, drivers.NotRunning)
	wantScore(t, a, "none")
	b.Want(t, drivers.Monitor, drivers.RunningPromoted)
	b.Want(t, drivers.Stop, drivers.OK)
	b.Want(t, drivers.Stop, drivers.OK)
	b.Want(t, drivers.Monitor, drivers.NotRunning)
}

// TestChoiceOfTheCore looks which core is taken.
func TestChoiceOfTheCore(t *testing.T) {
	w, s := setUp(t, "8.4.11")
	s.Params["core"] = "kernel"
	s.Want(t, drivers.Start, drivers.OK)
	if log := w.log(); log == "" {
		t.Error("the kernel's tools were not used")
	}
	s.Params["core"] = "cloud"
	s.Want(t, drivers.Start, drivers.NotConfigured)
}
