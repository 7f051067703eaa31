package locks

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gcrm/cluster/client"
	"gcrm/cluster/embedded"
	"gcrm/cluster/transport"
	"gcrm/drivers/dlm"
	"gcrm/drivers/dlm/kernel"
	"gcrm/drivers/dlm/kernel/kerneltest"
	"gcrm/drivers/dlm/lockspace"
	"gcrm/drivers/dlm/plock"
	"gcrm/drivers/process"
)

// site is a cluster of real daemons in this process, with the control processes
// of their lock managers beside, whose kernels are those of kerneltest.
type site struct {
	t         *testing.T
	cluster   *embedded.Cluster
	kernels   *kerneltest.Net
	authority *transport.Authority
	boot      string

	mu    sync.Mutex
	ports map[string]string // of control processes, by node
	seats []*seat           // from 1
}

// addressed names addresses, which nodes of an embedded cluster change.
type addressed struct{ daemonAPI }

func (a addressed) Lockspaces(ctx context.Context, tag string) (*client.LockspaceView, error) {
	v, err := a.daemonAPI.Lockspaces(ctx, tag)
	if err == nil {
		for i := range v.Nodes {
			v.Nodes[i].Addresses = []string{fmt.Sprintf("10.0.0.%d:1", v.Nodes[i].Number)}
		}
	}
	return v, err
}

// seat is one control process.
type seat struct {
	number int
	kernel *kerneltest.Manager
	folder dlm.Folder
	stand  *exec.Cmd // is noted as the control process
	cancel context.CancelFunc
	ended  chan error
}

func newSite(t *testing.T, nodes int) *site {
	t.Helper()
	c, err := embedded.Start(t.Context(), embedded.Config{Nodes: nodes, StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop(context.Background()) })
	a, err := transport.NewAuthority("embedded", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, cluster: c, kernels: kerneltest.NewNet(), authority: a, boot: strings.TrimSpace(string(boot)), ports: map[string]string{}, seats: make([]*seat, nodes+1)}
	for i := 1; i <= nodes; i++ {
		s.boots(i)
	}
	return s
}

// boots starts the kernel and the control process of a node.
func (s *site) boots(i int) *seat {
	t := s.t
	t.Helper()
	name := fmt.Sprint("node", i)
	at := &seat{number: i, kernel: s.kernels.Host(i), folder: dlm.Folder(filepath.Join(s.cluster.StateDir(), name, "run")), ended: make(chan error, 1),
		stand: exec.Command("sleep", "3600")}
	if err := at.stand.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = at.stand.Process.Kill(); _ = at.stand.Wait() })
	st, err := process.Look(at.stand.Process.Pid)
	if err == nil {
		err = at.folder.Make()
	}
	if err == nil {
		err = os.WriteFile(at.folder.Identity(), []byte(st.Identity.String()), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.ports[name] = l.Addr().String()
	s.mu.Unlock()
	creds, err := s.authority.Issue(name, "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	api, err := client.Dial(s.cluster.Socket(i), "test")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	at.cancel = cancel
	go func() {
		at.ended <- serve(ctx, setup{Self: lockspace.Life{Node: i, Boot: s.boot}, Node: name, Cluster: "embedded", Settings: kernel.Settings{Cluster: "embedded"},
			Host: at.kernel, Daemon: addressed{api}, Listener: l, Credentials: creds, Folder: at.folder, Log: slog.New(slog.NewTextHandler(t.Output(), nil)).With("at", name),
			Addresses: func(n client.LockNode) []string {
				s.mu.Lock()
				defer s.mu.Unlock()
				return []string{s.ports[n.Name]}
			}})
	}()
	t.Cleanup(func() {
		// Before: what is left of the cluster would fence nodes that hold locks
		// which nobody controls any more.
		for n := 1; n < len(s.seats); n++ {
			_ = s.cluster.Kill(n)
		}
		cancel()
		at.kernel.Close()
		<-at.ended
	})
	s.seats[i] = at
	s.eventually(name+" is in control", func() bool {
		r, err := at.folder.Report(t.Context())
		return err == nil && r.Ready
	})
	return at
}

// eventually waits for something, long enough for a machine that is busy.
func (s *site) eventually(what string, is func() bool) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); !is(); {
		if time.Now().After(end) {
			s.t.Fatalf("in vain: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// within gives a call of the kernel's time to come back.
func (s *site) within(what string, f func() error) {
	s.t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		if err != nil {
			s.t.Fatalf("%s: %v", what, err)
		}
	case <-time.After(time.Minute):
		s.t.Fatalf("%s hangs", what)
	}
}

func (s *site) lock(i int, owner uint64, wait bool, want int32) {
	s.t.Helper()
	s.within(fmt.Sprint("lock on node ", i), func() error {
		a, err := s.seats[i].kernel.Lock("gfs", plock.Record{Op: plock.Lock, Exclusive: true, Wait: wait, PID: 1, Owner: owner, Number: 5, End: math.MaxInt64})
		if err == nil && a.Result != want {
			err = fmt.Errorf("result %d, want %d", a.Result, want)
		}
		return err
	})
}

func (s *site) check() {
	s.t.Helper()
	for _, v := range s.kernels.Violations() {
		s.t.Error(v)
	}
}

// TestLossOfANode goes the whole way: real daemons, their log, their fencing,
// and locks between control processes over TLS.
func TestLossOfANode(t *testing.T) {
	s := newSite(t, 2)
	defer s.check()
	for i := 1; i <= 2; i++ {
		s.within("mount", func() error { return s.seats[i].kernel.Join("gfs") })
	}
	s.lock(1, 1, false, 0)
	s.lock(2, 2, false, -11)

	// A daemon that is started again in time stops nothing, and POSIX locks do
	// not go by way of it.
	before, err := s.seats[1].folder.Report(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Power fails; what waits for the lock gets it when the node is fenced.
	s.kernels.Host(1)
	if err := s.cluster.Kill(1); err != nil {
		t.Fatal(err)
	}
	s.lock(2, 2, true, 0)
	after, err := s.seats[2].folder.Report(t.Context())
	if err != nil || len(after.Spaces) != 1 || len(after.Spaces[0].Members) != 1 || after.Spaces[0].Generation <= before.Spaces[0].Generation {
		t.Errorf("%v %+v", err, after.Spaces)
	}
}

// TestControlDies: the node is fenced although its daemon is well.
func TestControlDies(t *testing.T) {
	s := newSite(t, 3)
	defer s.check()
	for i := 1; i <= 3; i++ {
		s.within("mount", func() error { return s.seats[i].kernel.Join("gfs") })
	}
	s.lock(2, 2, false, 0)
	s.eventually("the node's daemon runs", func() bool { return s.cluster.Running(2) })
	// The process is killed, and so is its kernel's monitor closed.
	s.seats[2].kernel.Close()
	if err := <-s.seats[2].ended; err == nil {
		t.Error("it ended well")
	}
	s.seats[2].ended <- nil
	if err := s.seats[2].stand.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.seats[2].stand.Wait()
	s.lock(3, 3, true, 0)
	api, err := client.Dial(s.cluster.Socket(1), "test")
	if err != nil {
		t.Fatal(err)
	}
	v, err := api.Lockspaces(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if space, _ := v.Table.Space("gfs"); len(space.Members) != 2 || len(space.Lost) != 0 {
		t.Errorf("%+v", space)
	}
}
