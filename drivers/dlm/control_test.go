package dlm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gcrm/drivers/dlm/kernel"
	"gcrm/drivers/dlm/kernel/kerneltest"
	"gcrm/drivers/dlm/lockspace"
	"gcrm/drivers/dlm/plock"
)

// cluster is a log that everybody sees at once, with the membership.
type cluster struct {
	mu      sync.Mutex
	table   lockspace.Table
	index   uint64
	stand   map[int]lockspace.Standing
	members map[int]*seat
	all     []*seat
	net     *kerneltest.Net
	t       *testing.T
}

// seat is one node's way to it.
type seat struct {
	c       *cluster
	node    int
	boot    string
	kernel  *kerneltest.Manager
	views   chan View
	heard   chan func(func(string, plock.Message))
	stop    context.CancelFunc
	ended   chan error
	fenced  string
	deaf    bool         // nothing comes from or to its daemon
	silence map[int]bool // nodes that it cannot send to
}

func newCluster(t *testing.T) *cluster {
	return &cluster{stand: map[int]lockspace.Standing{}, members: map[int]*seat{}, net: kerneltest.NewNet(), t: t}
}

func (c *cluster) standing(node int) lockspace.Standing { return c.stand[node] }

// publish is called with the lock held.
func (c *cluster) publish() {
	c.index++
	v := View{Epoch: 1, Index: c.index, Table: c.table, Quorate: true, Names: map[int]string{}}
	for n, s := range c.stand {
		v.Names[n] = fmt.Sprint("node", n)
		if s == lockspace.Present {
			v.Nodes = append(v.Nodes, kernel.Node{Life: lockspace.Life{Node: n, Boot: c.table.Boot(n)},
				Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(n)})}})
		}
	}
	slices.SortFunc(v.Nodes, func(a, b kernel.Node) int { return a.Node - b.Node })
	for _, s := range c.members {
		if s.deaf {
			continue
		}
		select {
		case s.views <- v:
		default:
			c.t.Error("views pile up")
		}
	}
}

func (c *cluster) set(node int, s lockspace.Standing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stand[node] = s
	c.table = c.table.Settle(c.standing)
	c.publish()
}

// boot starts a node and its control daemon.
func (c *cluster) boot(node int, life string) *seat {
	s := &seat{c: c, node: node, boot: life, kernel: c.net.Host(node), views: make(chan View, 4096),
		heard: make(chan func(func(string, plock.Message)), 4096), ended: make(chan error, 1)}
	c.mu.Lock()
	c.members[node], c.all = s, append(c.all, s)
	c.stand[node] = lockspace.Present
	c.publish()
	c.mu.Unlock()
	s.control()
	return s
}

func (s *seat) control() {
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	c := NewControl(Config{Self: lockspace.Life{Node: s.node, Boot: s.boot}, Settings: kernel.Settings{Cluster: "cluster1"}, Host: s.kernel, Cluster: s})
	go func() { s.ended <- c.Run(ctx) }()
}

// off takes a node's power.
func (c *cluster) off(node int) {
	c.mu.Lock()
	delete(c.members, node)
	c.mu.Unlock()
	c.net.Host(node) // a new kernel, in which nothing runs
}

func (s *seat) Follow(ctx context.Context, changed func(View)) error {
	for {
		select {
		case v := <-s.views:
			changed(v)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *seat) Propose(_ context.Context, e lockspace.Entry) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.deaf {
		return errors.New("no connection")
	}
	next, err := s.c.table.Apply(e, s.c.standing)
	if err == nil {
		s.c.table = next
		s.c.publish()
	}
	return err
}

func (s *seat) Fence(_ context.Context, why string) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.fenced = why
	return nil
}

func (s *seat) Send(_ context.Context, node int, space string, m plock.Message) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	to := s.c.members[node]
	if to == nil || s.silence[node] {
		return errors.New("no connection")
	}
	to.heard <- func(hear func(string, plock.Message)) { hear(space, m) }
	return nil
}

func (s *seat) Receive(ctx context.Context, heard func(string, plock.Message), _ func(string)) error {
	for {
		select {
		case f := <-s.heard:
			f(heard)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// end checks that nothing was broken and ends all daemons.
func (c *cluster) end(t *testing.T) {
	t.Helper()
	for _, v := range c.net.Violations() {
		t.Error(v)
	}
	for _, s := range c.all {
		s.stop()
		s.kernel.Close()
	}
	synctest.Wait()
}

func do(t *testing.T, what string, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	case <-time.After(time.Minute):
		t.Fatalf("%s hangs", what)
	}
}

func lock(owner uint64, exclusive, wait bool) plock.Record {
	return plock.Record{Op: plock.Lock, Exclusive: exclusive, Wait: wait, PID: uint32(owner), Owner: owner, Number: 5, End: math.MaxInt64}
}

func ask(t *testing.T, s *seat, r plock.Record, want int32) {
	t.Helper()
	do(t, fmt.Sprintf("lock on node %d", s.node), func() error {
		a, err := s.kernel.Lock("gfs", r)
		if err == nil && a.Result != want {
			err = fmt.Errorf("result %d, want %d", a.Result, want)
		}
		return err
	})
}

// TestThreeNodes mounts, locks, unmounts, and loses a node.
func TestThreeNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.end(t)
		a, b, d := c.boot(1, "a"), c.boot(2, "b"), c.boot(3, "d")
		synctest.Wait()
		for _, s := range []*seat{a, b, d} {
			do(t, fmt.Sprint("mount on node ", s.node), func() error { return s.kernel.Join("gfs") })
		}
		ask(t, a, lock(1, true, false), 0)
		ask(t, b, lock(2, true, false), -11)
		waits := make(chan int32, 1)
		go func() {
			r, _ := b.kernel.Lock("gfs", lock(2, true, true))
			waits <- r.Result
		}()
		time.Sleep(time.Second)
		unlock := lock(1, false, false)
		unlock.Op = plock.Unlock
		ask(t, a, unlock, 0)
		if r := <-waits; r != 0 {
			t.Fatalf("the one that waited got %d", r)
		}
		// The node that orders leaves; what is held stays.
		do(t, "unmount", func() error { return a.kernel.Leave("gfs") })
		ask(t, d, lock(3, true, false), -11)
		do(t, "mount again", func() error { return a.kernel.Join("gfs") })
		ask(t, a, lock(1, true, false), -11)

		// The holder is lost: everything waits for its fencing.
		c.off(2)
		c.set(2, lockspace.Missing)
		time.Sleep(10 * time.Second)
		if a.kernel.Runs("gfs") || d.kernel.Runs("gfs") {
			t.Fatal("the lockspace runs while a lost node may write")
		}
		if s, _ := c.table.Space("gfs"); s.Waits(func(n int) string { return fmt.Sprint("node", n) }) != "blocked because the fencing of node2 is pending" {
			t.Errorf("%+v", s)
		}
		c.set(2, lockspace.Down)
		ask(t, d, lock(3, true, true), 0)
		if !a.kernel.Runs("gfs") {
			t.Error("it does not run on node 1")
		}
		// And returns.
		b = c.boot(2, "b2")
		synctest.Wait()
		do(t, "mount on the returned node", func() error { return b.kernel.Join("gfs") })
		ask(t, b, lock(4, false, false), -11)
	})
}

// TestDaemonIsSilent: a restart of the node's daemon stops nothing.
func TestDaemonIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.end(t)
		a, b := c.boot(1, "a"), c.boot(2, "b")
		synctest.Wait()
		do(t, "mount", func() error { return a.kernel.Join("gfs") })
		do(t, "mount", func() error { return b.kernel.Join("gfs") })
		c.mu.Lock()
		b.deaf = true
		c.mu.Unlock()
		ask(t, b, lock(2, true, false), 0)
		time.Sleep(20 * time.Second)
		if !a.kernel.Runs("gfs") || !b.kernel.Runs("gfs") {
			t.Error("the lockspace was stopped")
		}
		c.mu.Lock()
		b.deaf = false
		c.publish()
		c.mu.Unlock()
		// A daemon that has just been started does not know all of the log yet.
		synctest.Wait()
		b.views <- View{Epoch: 1, Index: 1, Quorate: true}
		synctest.Wait()
		if !b.kernel.Runs("gfs") || b.fenced != "" {
			t.Errorf("an old view counts: runs %v, fenced %q", b.kernel.Runs("gfs"), b.fenced)
		}
	})
}

// TestLostMessage: a further generation makes up for it.
func TestLostMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.end(t)
		a, b := c.boot(1, "a"), c.boot(2, "b")
		synctest.Wait()
		do(t, "mount", func() error { return a.kernel.Join("gfs") })
		do(t, "mount", func() error { return b.kernel.Join("gfs") })
		ask(t, a, lock(1, true, false), 0)
		synctest.Wait()
		before, _ := c.table.Space("gfs")
		c.mu.Lock()
		b.silence = map[int]bool{1: true}
		c.mu.Unlock()
		got := make(chan int32, 1)
		go func() {
			r, _ := b.kernel.Lock("gfs", lock(2, true, false))
			got <- r.Result
		}()
		time.Sleep(5 * time.Second)
		c.mu.Lock()
		b.silence = nil
		c.mu.Unlock()
		if r := <-got; r != -11 {
			t.Errorf("result %d", r)
		}
		if after, _ := c.table.Space("gfs"); after.Generation == before.Generation {
			t.Error("no further generation")
		}
	})
}

// TestControlDies: the kernel stops, and a new control daemon does not take
// over what it did not control.
func TestControlDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.end(t)
		a := c.boot(1, "a")
		synctest.Wait()
		do(t, "mount", func() error { return a.kernel.Join("gfs") })
		a.kernel.Close() // its ears
		if err := <-a.ended; err == nil || a.kernel.Runs("gfs") || a.fenced == "" {
			t.Fatalf("%v, runs %v, fenced %q", err, a.kernel.Runs("gfs"), a.fenced)
		}
		a.control()
		if err := <-a.ended; !errors.Is(err, kernel.ErrUncontrolled) {
			t.Errorf("%v", err)
		}
	})
}

// TestEndWaitsForTheLockspaces: an orderly end is refused while they are used.
func TestEndWaitsForTheLockspaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.end(t)
		a := c.boot(1, "a")
		synctest.Wait()
		do(t, "mount", func() error { return a.kernel.Join("gfs") })
		a.stop()
		time.Sleep(time.Minute)
		select {
		case err := <-a.ended:
			t.Fatalf("ended with a lockspace in use: %v", err)
		default:
		}
		do(t, "unmount", func() error { return a.kernel.Leave("gfs") })
		if err := <-a.ended; err != nil || a.kernel.Has("/sys/kernel/config/dlm/cluster") {
			t.Errorf("%v", err)
		}
	})
}
