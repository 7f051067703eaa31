// Package kerneltest is the kernel's lock manager for tests: its files with
// the kernel's demands on the order of writes, programs that join and leave
// lockspaces and take POSIX locks, and other hosts whose kernels notice what
// real ones would not: a lockspace that runs with different members at once.
package kerneltest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"gcrm/drivers/dlm/kernel"
	"gcrm/drivers/dlm/lockspace"
	"gcrm/drivers/dlm/plock"
)

const (
	configRoot  = "/sys/kernel/config/dlm"
	clusterRoot = configRoot + "/cluster"
	commRoot    = clusterRoot + "/comms"
	spaceRoot   = clusterRoot + "/spaces"
	sysRoot     = "/sys/kernel/dlm"
)

// Net is the kernels of several hosts.
type Net struct {
	mu    sync.Mutex
	hosts map[int]*Manager
	wrong []string
}

// NewNet returns a net without hosts.
func NewNet() *Net { return &Net{hosts: map[int]*Manager{}} }

// Violations are what kernels did that loses locks.
func (n *Net) Violations() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.wrong)
}

// Host starts the kernel of a node; one that was there before has lost power.
func (n *Net) Host(node int) *Manager {
	n.mu.Lock()
	defer n.mu.Unlock()
	if old := n.hosts[node]; old != nil {
		old.off = true
		close(old.dead)
	}
	m := &Manager{net: n, node: node, dirs: map[string]bool{configRoot: true, sysRoot: true}, files: map[string]string{}, runs: map[string][]string{},
		events: make(chan kernel.Event, 64), records: make(chan plock.Record, 1024), waiting: map[string]chan error{}, dead: make(chan struct{}), closed: make(chan struct{})}
	n.hosts[node] = m
	return m
}

// Manager is the lock manager of one host. Its state is guarded by the net.
type Manager struct {
	net    *Net
	node   int
	off    bool
	dead   chan struct{}
	closed chan struct{}
	dirs   map[string]bool
	files  map[string]string
	log    []string
	runs   map[string][]string // lockspace to members, of those that run

	monitored bool
	events    chan kernel.Event
	waiting   map[string]chan error // programs that sleep in join or leave
	records   chan plock.Record
	asked     []*question
}

// question is a lock request of a program that waits for its answer.
type question struct {
	plock.Record
	answer chan plock.Record
}

// Log returns the writes so far and forgets them.
func (m *Manager) Log() []string {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	l := m.log
	m.log = nil
	return l
}

// Has tells whether a folder is there.
func (m *Manager) Has(p string) bool {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	return m.dirs[path.Clean(p)]
}

// Put sets an attribute, as the kernel does by itself.
func (m *Manager) Put(p, value string) {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	m.files[p] = value
}

// Runs tells whether a lockspace runs here.
func (m *Manager) Runs(space string) bool {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	return m.runs[space] != nil
}

// ErrUnattached is what programs get when nobody controls the lock manager.
var ErrUnattached = errors.New("protocol driver not attached")

// Join is a program that makes a lockspace, as a mount does; it sleeps until
// it is answered.
func (m *Manager) Join(space string) error {
	m.net.mu.Lock()
	if !m.monitored || !m.local() {
		m.net.mu.Unlock()
		return ErrUnattached
	}
	m.dirs[sysRoot+"/"+space] = true
	return m.wish(kernel.Event{Online: true, Space: space})
}

// Leave is a program that is done with a lockspace.
func (m *Manager) Leave(space string) error {
	m.net.mu.Lock()
	if m.runs[space] == nil {
		m.net.mu.Unlock()
		return fmt.Errorf("lockspace %s does not run; the program hangs", space)
	}
	return m.wish(kernel.Event{Space: space})
}

// wish is called with the lock held.
func (m *Manager) wish(e kernel.Event) error {
	done := make(chan error, 1)
	m.waiting[e.Space] = done
	m.net.mu.Unlock()
	m.events <- e
	select {
	case err := <-done:
		return err
	case <-m.dead:
		return errors.New("the host has no power")
	}
}

func (m *Manager) local() bool {
	for f, v := range m.files {
		if strings.HasPrefix(f, commRoot) && path.Base(f) == "local" && v == "1" {
			return true
		}
	}
	return false
}

// Next is the next uevent.
func (m *Manager) Next() (kernel.Event, error) {
	select {
	case e := <-m.events:
		return e, nil
	case <-m.closed:
		return kernel.Event{}, fs.ErrClosed
	}
}

// Close ends Next and what reads records.
func (m *Manager) Close() error {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	select {
	case <-m.closed:
	default:
		close(m.closed)
	}
	return nil
}

// Monitor opens the monitor device; release closes it, which stops all
// lockspaces at once.
func (m *Manager) Monitor() (release func(), err error) {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	m.monitored = true
	return func() {
		m.net.mu.Lock()
		defer m.net.mu.Unlock()
		m.monitored = false
		clear(m.runs)
	}, nil
}

// Lock is a program's lock request; it returns when the control daemon has
// answered, at once for the unlock of a close.
func (m *Manager) Lock(space string, r plock.Record) (plock.Record, error) {
	r.Space = lockspace.ID(space)
	q := &question{Record: r, answer: make(chan plock.Record, 1)}
	m.net.mu.Lock()
	if !r.Close {
		m.asked = append(m.asked, q)
	}
	m.net.mu.Unlock()
	m.records <- r
	if r.Close {
		return r, nil
	}
	select {
	case a := <-q.answer:
		return a, nil
	case <-m.dead:
		return r, errors.New("the host has no power")
	}
}

// ReadRecord reads the lock device.
func (m *Manager) ReadRecord() (plock.Record, error) {
	select {
	case r := <-m.records:
		return r, nil
	case <-m.closed:
		return plock.Record{}, fs.ErrClosed
	}
}

// WriteRecord answers a request. As in the kernel, one that waits is found by
// its fields, another is the oldest of its lockspace.
func (m *Manager) WriteRecord(a plock.Record) error {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	i := slices.IndexFunc(m.asked, func(q *question) bool {
		if q.Space != a.Space || q.Wait != a.Wait {
			return false
		}
		same := q.Number == a.Number && q.Owner == a.Owner && q.PID == a.PID && q.Start == a.Start && q.End == a.End && q.Exclusive == a.Exclusive
		return !q.Wait || same
	})
	if i < 0 {
		return fmt.Errorf("no request fits the answer %+v", a)
	}
	m.asked[i].answer <- a
	m.asked = slices.Delete(m.asked, i, i+1)
	return nil
}

// Mkdir implements kernel.Files.
func (m *Manager) Mkdir(p string) error {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	p = path.Clean(p)
	switch {
	case m.dirs[p]:
		return &fs.PathError{Op: "mkdir", Path: p, Err: fs.ErrExist}
	case !m.dirs[path.Dir(p)]:
		return &fs.PathError{Op: "mkdir", Path: p, Err: fs.ErrNotExist}
	}
	m.dirs[p] = true
	switch {
	case p == clusterRoot:
		m.dirs[commRoot], m.dirs[spaceRoot] = true, true
	case path.Dir(p) == spaceRoot:
		m.dirs[p+"/nodes"] = true
	}
	m.log = append(m.log, "mkdir "+p)
	return nil
}

// Rmdir implements kernel.Files.
func (m *Manager) Rmdir(p string) error {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	p = path.Clean(p)
	inside := p
	switch {
	case !m.dirs[p]:
		return &fs.PathError{Op: "rmdir", Path: p, Err: fs.ErrNotExist}
	case path.Dir(p) == spaceRoot:
		inside = p + "/nodes"
	case p == clusterRoot:
		inside = commRoot
	}
	if len(m.list(inside)) > 0 {
		return fmt.Errorf("rmdir %s: not empty", p)
	}
	within := func(name string) bool { return strings.HasPrefix(name+"/", p+"/") }
	for d := range m.dirs {
		if within(d) {
			delete(m.dirs, d)
		}
	}
	for f := range m.files {
		if within(f) {
			delete(m.files, f)
		}
	}
	m.log = append(m.log, "rmdir "+p)
	return nil
}

// Write implements kernel.Files.
func (m *Manager) Write(p string, data []byte) error {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	dir, name := path.Dir(path.Clean(p)), path.Base(p)
	if !m.dirs[dir] {
		return &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
	}
	comm := path.Dir(dir) == commRoot
	switch {
	case comm && name == "addr" && (m.files[dir+"/nodeid"] == "" || len(data) != 128 || m.files[dir+"/local"] != ""),
		comm && name == "local" && m.files[dir+"/addr"] == "":
		return fmt.Errorf("%s: invalid argument", p)
	case strings.Contains(p, "/nodes/") && name == "nodeid" && !m.dirs[commRoot+"/"+string(data)]:
		return fmt.Errorf("%s: unknown node", p)
	case name == "cluster_name" && strings.HasSuffix(string(data), "\n"):
		return fmt.Errorf("%s: newline", p)
	}
	if path.Dir(dir) == sysRoot {
		if err := m.control(path.Base(dir), name, string(data)); err != nil {
			return err
		}
	}
	m.files[p] = string(data)
	if len(data) == 128 {
		data = []byte(hex.EncodeToString(data[:8]))
	}
	m.log = append(m.log, p+"="+string(data))
	return nil
}

// control is what writes to a lockspace's attributes do.
func (m *Manager) control(space, name, value string) error {
	switch {
	case name == "control" && value == "0":
		delete(m.runs, space)
	case name == "control" && value == "1":
		members := m.list(spaceRoot + "/" + space + "/nodes")
		switch {
		case len(members) == 0 || m.files[sysRoot+"/"+space+"/id"] == "":
			return fmt.Errorf("lockspace %s: no members or no id", space)
		case m.runs[space] != nil:
			m.net.wrong = append(m.net.wrong, fmt.Sprintf("node %d starts lockspace %s, which runs", m.node, space))
		}
		m.runs[space] = members
		for id, o := range m.net.hosts {
			if others := o.runs[space]; o != m && !o.off && others != nil && !slices.Equal(others, members) {
				m.net.wrong = append(m.net.wrong, fmt.Sprintf("node %d runs lockspace %s with %v while node %d does with %v", m.node, space, members, id, others))
			}
		}
	case name == "event_done":
		var err error
		if value != "0" {
			err = fmt.Errorf("lockspace %s: refused with %s", space, value)
		}
		if m.runs[space] == nil {
			delete(m.dirs, sysRoot+"/"+space)
		}
		if w := m.waiting[space]; w != nil {
			delete(m.waiting, space)
			w <- err
		}
	}
	return nil
}

// Read implements kernel.Files. The state of a recovery is that of the hosts.
func (m *Manager) Read(p string) (string, error) {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	if s, ok := m.files[p]; ok {
		return s, nil
	}
	dir, name := path.Dir(p), path.Base(p)
	if members := m.runs[path.Base(dir)]; path.Dir(dir) == sysRoot && members != nil {
		for _, n := range members {
			var o *Manager
			for id, h := range m.net.hosts {
				if fmt.Sprint(id) == n {
					o = h
				}
			}
			if o == nil || o.off || !slices.Equal(o.runs[path.Base(dir)], members) {
				return map[string]string{"recover_status": "15\n", "recover_nodeid": n + "\n"}[name], nil
			}
		}
		return map[string]string{"recover_status": "55\n", "recover_nodeid": "0\n"}[name], nil
	}
	return "", &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
}

// List implements kernel.Files.
func (m *Manager) List(p string) ([]string, error) {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	return m.list(p), nil
}

func (m *Manager) list(p string) []string {
	var names []string
	for d := range m.dirs {
		if path.Dir(d) == path.Clean(p) {
			names = append(names, path.Base(d))
		}
	}
	slices.Sort(names)
	return names
}
