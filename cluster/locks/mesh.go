package locks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"gcrm/cluster/client"
	"gcrm/cluster/transport"
	"gcrm/drivers/dlm/lockspace"
	"gcrm/drivers/dlm/plock"
)

// letter is one message about the POSIX locks of a lockspace.
type letter struct {
	Space   string
	Message plock.Message
}

// bundle is what is sent at once. A node's bundles to another are numbered, so
// that one that was given up and arrives after all is known.
type bundle struct {
	Session int64 // when the sender began
	Number  uint64
	Letters []letter
}

const (
	methodLetters = "locks.letters"
	letterLimit   = 5 * time.Second
	// maxQueue bounds what waits for a node that does not answer.
	maxQueue = 1 << 16
)

// mesh is the connections between the control processes of all nodes. A
// message arrives in order or not at all; what may be lost is told.
type mesh struct {
	self    lockspace.Life
	session int64
	wire    *transport.Transport
	find    func(number int, name string) (client.LockNode, bool)
	log     *slog.Logger
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	opened chan struct{} // closed when heard and lost are set
	heard  func(string, plock.Message)
	lost   func(string)

	mu    sync.Mutex
	lanes map[int]*lane

	// hearing is held while letters are handed on, which may wait for who
	// sends; last are the bundles that came last, by node, without letters.
	hearing sync.Mutex
	last    map[string]bundle
}

// lane is the way to one other node.
type lane struct {
	queue  []letter
	number uint64
	wake   chan struct{}
}

// meshConfig says how to reach the others.
type meshConfig struct {
	Self        lockspace.Life
	Cluster     string
	Node        string
	Credentials transport.Credentials
	Listener    net.Listener
	// Find gives a node by its number, or its name.
	Find func(number int, name string) (client.LockNode, bool)
	// Addresses of the control process of a node.
	Addresses func(client.LockNode) []string
	Log       *slog.Logger
}

func newMesh(cfg meshConfig) (*mesh, error) {
	m := &mesh{self: cfg.Self, session: time.Now().UnixNano(), find: cfg.Find, log: cfg.Log, opened: make(chan struct{}), lanes: map[int]*lane{}, last: map[string]bundle{}}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	var err error
	m.wire, err = transport.Listen(transport.Config{Cluster: cfg.Cluster, Node: cfg.Node, Incarnation: uint64(m.session), Epoch: 1,
		Credentials: cfg.Credentials, Listener: cfg.Listener, Log: cfg.Log,
		Resolve: func(name string) []string {
			if n, ok := cfg.Find(0, name); ok {
				return cfg.Addresses(n)
			}
			return nil
		},
		Judge: func(h transport.Hello) *transport.Refusal { return m.removed(h.Node, h.ID) }})
	if err != nil {
		return nil, fmt.Errorf("port of the lock manager's control: %w", err)
	}
	m.wire.Handle(methodLetters, m.receive)
	return m, nil
}

// removed refuses a node that was removed from the cluster, and whose name
// another one has now: its certificate has a lower id, since ids are given once.
func (m *mesh) removed(name, certified string) *transport.Refusal {
	n, known := m.find(0, name)
	if id, err := strconv.Atoi(certified); known && err == nil && id < n.Number {
		return &transport.Refusal{Code: transport.RefusedRemoved, Text: fmt.Sprintf(
			"node %s (id %d) was removed from the cluster; %s has id %d now", name, id, name, n.Number)}
	}
	return nil
}

// open names who takes what arrives; until then nothing does.
func (m *mesh) open(heard func(string, plock.Message), lost func(string)) {
	m.heard, m.lost = heard, lost
	close(m.opened)
}

func (m *mesh) close() {
	m.cancel()
	m.wire.Close()
	m.wg.Wait()
}

// send queues a letter.
func (m *mesh) send(node int, l letter) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.lanes[node]
	if w == nil {
		w = &lane{wake: make(chan struct{}, 1)}
		m.lanes[node] = w
		m.wg.Go(func() { m.carry(node, w) })
	}
	if len(w.queue) >= maxQueue {
		return errors.New("the node does not answer")
	}
	w.queue = append(w.queue, l)
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return nil
}

// carry brings what is queued for a node there, one bundle after the other.
func (m *mesh) carry(node int, w *lane) {
	for {
		select {
		case <-w.wake:
		case <-m.ctx.Done():
			return
		}
		m.mu.Lock()
		letters := w.queue
		w.queue = nil
		w.number++
		b := bundle{m.session, w.number, letters}
		m.mu.Unlock()
		if len(letters) == 0 {
			continue
		}
		err := errors.New("the cluster has no such node")
		if n, ok := m.find(node, ""); ok {
			ctx, cancel := context.WithTimeout(m.ctx, letterLimit)
			err = m.wire.Call(ctx, n.Name, methodLetters, b, nil)
			cancel()
		}
		if err == nil {
			continue
		}
		spaces := map[string]bool{}
		for _, l := range letters {
			if !spaces[l.Space] {
				spaces[l.Space] = true
				m.log.Info("messages about POSIX locks may be lost", "lockspace", l.Space, "node", node, "err", err)
				<-m.opened
				m.lost(l.Space)
			}
		}
	}
}

// receive takes a bundle of another node.
func (m *mesh) receive(ctx context.Context, from transport.Peer, body json.RawMessage) (any, error) {
	select {
	case <-m.opened:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var b bundle
	if err := json.Unmarshal(body, &b); err != nil {
		return nil, fmt.Errorf("unreadable letters: %w", err)
	}
	n, ok := m.find(0, from.Name)
	if !ok {
		return nil, fmt.Errorf("node %s is not known here yet", from.Name)
	}
	if r := m.removed(from.Name, from.ID); r != nil { // since it connected
		return nil, r
	}
	m.hearing.Lock()
	defer m.hearing.Unlock()
	last := m.last[from.Name]
	if b.Session < last.Session || b.Session == last.Session && b.Number <= last.Number {
		return nil, errors.New("the letters come too late")
	}
	m.last[from.Name] = bundle{Session: b.Session, Number: b.Number}
	for _, l := range b.Letters {
		if l.Message.From != int32(n.Number) || l.Message.To != int32(m.self.Node) {
			return nil, fmt.Errorf("node %s sends letters of node %d to node %d", from.Name, l.Message.From, l.Message.To)
		}
		m.heard(l.Space, l.Message)
	}
	return nil, nil
}
