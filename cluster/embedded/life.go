package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/cib"
	"gcrm/cluster/controller"
	"gcrm/cluster/node"
	"gcrm/scheduler"
)

func defaultSchedule(c *cib.CIB, o scheduler.Options) (*scheduler.Plan, error) {
	return scheduler.Schedule(c, o)
}

// later does something in a goroutine of its own, unless the cluster stops.
func (c *Cluster) later(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopping {
		c.wg.Go(f)
	}
}

// crash ends a node's daemon without a farewell; what it started goes on.
func (c *Cluster) crash(m *member) {
	m.busy.Lock()
	defer m.busy.Unlock()
	c.endLocked(m, (*node.Node).Crash)
}

// endLocked ends a node; m.busy is held.
func (c *Cluster) endLocked(m *member, how func(*node.Node)) bool {
	c.mu.Lock()
	n := m.node
	m.node = nil
	c.mu.Unlock()
	if n == nil {
		return false
	}
	how(n)
	return true
}

// bootLocked starts a node that is off; m.busy is held.
func (c *Cluster) bootLocked(m *member) error {
	p, err := openPorts()
	if err != nil {
		return err
	}
	c.setAddr(m, p.addr)
	return c.run(m, p)
}

// powerOff is what a power failure does: the daemon and everything that its
// agents started is gone at once, and so are files that do not outlive a boot.
func (c *Cluster) powerOffLocked(m *member) error {
	c.endLocked(m, (*node.Node).Crash)
	c.mu.Lock()
	m.off = true
	c.mu.Unlock()
	if err := killProcesses(m.runDir()); err != nil {
		return err
	}
	return os.RemoveAll(m.runDir())
}

// Kill switches a node off as a power failure does; nodes count from 1.
func (c *Cluster) Kill(i int) error {
	m := c.members[i-1]
	m.busy.Lock()
	defer m.busy.Unlock()
	return c.powerOffLocked(m)
}

// Crash ends a node's daemon without a farewell, as kill -9 does; what its
// agents started goes on running. Nodes count from 1.
func (c *Cluster) Crash(i int) { c.crash(c.members[i-1]) }

// Restart starts a node again, after switching it off if it runs.
func (c *Cluster) Restart(i int) error {
	m := c.members[i-1]
	m.busy.Lock()
	defer m.busy.Unlock()
	c.mu.Lock()
	running, stopping := m.node != nil, c.stopping
	c.mu.Unlock()
	if stopping {
		return errors.New("the cluster is being stopped")
	}
	if running {
		if err := c.powerOffLocked(m); err != nil {
			return err
		}
	}
	return c.bootLocked(m)
}

// renew restarts the daemon of a node that was expelled and has stopped what
// it ran.
func (c *Cluster) renew(m *member, why string) {
	m.busy.Lock()
	defer m.busy.Unlock()
	if !c.endLocked(m, (*node.Node).Crash) || c.isStopping() {
		return
	}
	c.log.Warn("node starts again", "node", m.name, "because", why)
	if err := c.bootLocked(m); err != nil {
		c.log.Error("node could not be started again", "node", m.name, "err", err)
	}
}

// leave ends a node that the cluster told to leave.
func (c *Cluster) leave(m *member) {
	m.busy.Lock()
	defer m.busy.Unlock()
	c.mu.Lock()
	all := c.stopping || c.evacuating
	c.mu.Unlock()
	// When all of them go, nobody has to take the vote of the others.
	if !all {
		c.endLocked(m, (*node.Node).Stop)
	}
}

func (c *Cluster) isStopping() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopping
}

// Cut loses all traffic between two nodes from now on, Heal of all of them no
// more; nodes count from 1.
func (c *Cluster) Cut(a, b int) {
	x, y := c.members[a-1].name, c.members[b-1].name
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cuts[[2]string{x, y}], c.cuts[[2]string{y, x}] = true, true
	for _, pair := range [][2]int{{a, b}, {b, a}} {
		if n := c.members[pair[0]-1].node; n != nil {
			n.Disconnect(c.members[pair[1]-1].name)
		}
	}
}

// Heal ends all cuts.
func (c *Cluster) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.cuts)
}

func (c *Cluster) isCut(a, b string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cuts[[2]string{a, b}]
}

// Stop stops all resources, unless Config.LeaveRunning says otherwise, and
// then all nodes. If ctx ends before the resources have stopped, the nodes are
// stopped all the same and the error says so.
func (c *Cluster) Stop(ctx context.Context) error {
	var err error
	if !c.cfg.LeaveRunning && !c.isStopping() {
		err = c.evacuate(ctx)
	}
	return errors.Join(err, c.close())
}

// Abandon ends all nodes at once, as the death of the process does; the state
// folder stays. It is for tests.
func (c *Cluster) Abandon() error {
	c.temporary = false
	return c.close()
}

func (c *Cluster) evacuate(ctx context.Context) error {
	var via *node.Node
	var names []string
	c.mu.Lock()
	c.evacuating = true
	for _, m := range c.members {
		if m.node != nil {
			via = m.node
			names = append(names, m.name)
		}
	}
	c.mu.Unlock()
	if via == nil {
		return nil
	}
	if err := via.Evacuate(ctx, names...); err != nil {
		return fmt.Errorf("not all resources were stopped: %w", err)
	}
	return nil
}

func (c *Cluster) close() error {
	c.mu.Lock()
	already := c.stopping
	c.stopping = true
	c.mu.Unlock()
	if already {
		return nil
	}
	c.wg.Wait()
	var wg sync.WaitGroup
	for _, m := range c.members {
		wg.Go(func() { c.crash(m) })
	}
	wg.Wait()
	var errs []error
	if c.short != "" && c.short != c.dir {
		errs = append(errs, os.RemoveAll(filepath.Dir(c.short)))
	}
	if c.logFile != nil {
		errs = append(errs, c.logFile.Close())
	}
	if c.temporary {
		if !c.cfg.LeaveRunning {
			for _, m := range c.members {
				errs = append(errs, killProcesses(m.runDir()))
			}
		}
		errs = append(errs, os.RemoveAll(c.dir))
	}
	if c.lock != nil {
		errs = append(errs, c.lock.Close())
	}
	return errors.Join(errs...)
}

// killProcesses kills everything that was started for the agents of a node:
// all of it carries the path of the node's run folder in its environment.
func killProcesses(runDir string) error {
	marks := [][]byte{[]byte("=" + runDir + "\x00"), []byte("=" + runDir + "/"), []byte("=" + runDir + "|")}
	for range 100 {
		found := false
		entries, err := filepath.Glob("/proc/[0-9]*/environ")
		if err != nil {
			return err
		}
		for _, path := range entries {
			env, err := os.ReadFile(path)
			if err != nil {
				continue // gone, or somebody else's
			}
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil || pid == os.Getpid() || !marked(env, marks) {
				continue
			}
			found = true
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("process %d could not be killed: %w", pid, err)
			}
		}
		if !found {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("processes of %s do not end", runDir)
}

func marked(env []byte, marks [][]byte) bool {
	for _, m := range marks {
		if bytes.Contains(env, m) {
			return true
		}
	}
	return false
}

// fencer switches nodes of the cluster off, really: their goroutines and their
// processes end. All nodes share one power switch, which does one thing at a
// time: of two nodes that fence each other, one is first, and the other's
// request ends with the other.
type fencer struct {
	c    *Cluster
	self *member
}

// Fence implements node.Fencer.
func (f *fencer) Fence(ctx context.Context, req controller.Fence) (string, error) {
	c := f.c
	var m *member
	for _, x := range c.members {
		if x.name == req.Node {
			m = x
		}
	}
	switch {
	case m == nil:
		return "", fmt.Errorf("node %s is not one of this process", req.Node)
	case req.Action == "on":
		return "node is allowed to work", nil
	}
	if req.Delay > 0 {
		select {
		case <-time.After(req.Delay):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	switch {
	case m == f.self:
		// Nobody is left to hear of it.
		c.later(func() { c.fence(context.Background(), m, req.Action) })
		return "", errors.New("a node that fences itself cannot confirm it")
	}
	return c.fence(ctx, m, req.Action)
}

func (c *Cluster) fence(ctx context.Context, m *member, action string) (string, error) {
	select {
	case c.power <- struct{}{}:
		defer func() { <-c.power }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if err := m.lock(ctx); err != nil {
		return "", err
	}
	defer m.busy.Unlock()
	if c.isStopping() {
		return "", errors.New("the cluster is being stopped")
	}
	if err := c.powerOffLocked(m); err != nil {
		return "", err
	}
	proof := fmt.Sprintf("embedded %s of %s at %s: its goroutines and processes are gone", action, m.name, time.Now().Format(time.RFC3339))
	c.log.Warn("fencing", "node", m.name, "proof", proof)
	if action == "reboot" {
		c.later(func() { c.bootAfterFencing(m) })
	}
	return proof, nil
}

// lock takes m.busy unless ctx ends before.
func (m *member) lock(ctx context.Context) error {
	for !m.busy.TryLock() {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := ctx.Err(); err != nil {
		m.busy.Unlock()
		return err
	}
	return nil
}

func (c *Cluster) bootAfterFencing(m *member) {
	m.busy.Lock()
	defer m.busy.Unlock()
	c.mu.Lock()
	off := m.off && m.node == nil && !c.stopping
	c.mu.Unlock()
	if !off {
		return
	}
	if err := c.bootLocked(m); err != nil {
		c.log.Error("node could not be started after fencing", "node", m.name, "err", err)
	}
}
