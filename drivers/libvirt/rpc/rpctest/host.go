// Package rpctest is a libvirt daemon for tests: domains in memory behind the
// real protocol on a unix socket, and migrations between two of them that can
// be made to fail at the points where real ones do.
package rpctest

import (
	"crypto/sha256"
	"encoding/xml"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"gcrm/drivers/libvirt/rpc"
)

// Machine is a domain of a Host.
type Machine struct {
	Domain     rpc.Domain
	XML        string
	Persistent bool
	State      rpc.State
	Reason     int32
}

// Host is one host with its daemon.
type Host struct {
	// URI is what clients on the same machine dial.
	URI    string
	socket string

	mu       sync.Mutex
	machines map[string]*Machine
	nextID   int32
	saved    map[string]*Machine // by path
	calls    []uint32
	peers    map[string]*Host
	answers  map[uint32]func(args []byte) error
	sessions map[*session]bool
	deaf     bool
	plan     Plan
	abort    chan struct{} // of the migration under way
	last     rpc.Migration
}

// Plan is what becomes of the next migrations of a host.
type Plan struct {
	// Fail is the daemon's refusal; the domain goes on running.
	Fail *rpc.Error
	// Hang lets the migration last until it is aborted.
	Hang bool
	// Lose breaks the caller's connection instead of an answer, after the
	// domain moved, or before it did with LoseEarly.
	Lose, LoseEarly bool
	// LeavePaused fails and leaves the domain paused at the source.
	LeavePaused bool
	// Both leaves the domain on both sides: a daemon that breaks its promise.
	Both bool
}

// New starts a host that lives as long as the test.
func New(t testing.TB, driver string) *Host {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{URI: driver + "+unix:///system?socket=" + path, socket: path, machines: map[string]*Machine{}, saved: map[string]*Machine{},
		peers: map[string]*Host{}, answers: map[uint32]func([]byte) error{}, sessions: map[*session]bool{}, nextID: 1}
	t.Cleanup(func() {
		listener.Close()
		h.Disconnect()
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s := &session{host: h, conn: conn}
			h.mu.Lock()
			h.sessions[s] = true
			h.mu.Unlock()
			go s.serve()
		}
	}()
	return h
}

// Peer makes another host reachable for migrations under a URI.
func (h *Host) Peer(uri string, other *Host) { h.locked(func() { h.peers[uri] = other }) }

// Answer runs f at every call of a procedure before the usual; an error it
// returns is the answer.
func (h *Host) Answer(procedure uint32, f func(args []byte) error) {
	h.locked(func() { h.answers[procedure] = f })
}

// Migrations sets what becomes of the next ones.
func (h *Host) Migrations(p Plan) { h.locked(func() { h.plan = p }) }

// LastMigration is what the last one was asked to do.
func (h *Host) LastMigration() (m rpc.Migration) {
	h.locked(func() { m = h.last })
	return m
}

// Deaf makes the daemon take calls and answer none, not even pings.
func (h *Host) Deaf(yes bool) { h.locked(func() { h.deaf = yes }) }

// Disconnect ends all connections.
func (h *Host) Disconnect() {
	h.locked(func() {
		for s := range h.sessions {
			s.conn.Close()
		}
	})
}

// Machine returns a copy of a domain.
func (h *Host) Machine(name string) (m Machine, ok bool) {
	h.locked(func() {
		if p := h.machines[name]; p != nil {
			m, ok = *p, true
		}
	})
	return m, ok
}

// Set puts a domain into a state; it is made if it is not there.
func (h *Host) Set(name string, state rpc.State, reason int32) {
	h.locked(func() {
		m := h.machines[name]
		if m == nil {
			m = h.add("<domain><name>" + name + "</name></domain>")
		}
		m.State, m.Reason = state, reason
	})
}

// Crash ends a domain behind everybody's back.
func (h *Host) Crash(name string) { h.locked(func() { h.end(name, 2) }) }

// Calls returns the procedures called, in order, without those of opening.
func (h *Host) Calls() (out []uint32) {
	h.locked(func() {
		for _, c := range h.calls {
			if c != rpc.ProcAuthList && c != rpc.ProcSupportsFeature && c != rpc.ProcConnectOpen && c != rpc.ProcConnectClose {
				out = append(out, c)
			}
		}
	})
	return out
}

func (h *Host) locked(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

// add makes a running transient domain of an XML text.
func (h *Host) add(text string) *Machine {
	var doc struct {
		Name string `xml:"name"`
	}
	if err := xml.Unmarshal([]byte(text), &doc); err != nil || doc.Name == "" {
		return nil
	}
	m := &Machine{XML: text, State: rpc.Running, Reason: 1}
	sum := sha256.Sum256([]byte(doc.Name))
	m.Domain = rpc.Domain{Name: doc.Name, UUID: rpc.UUID(sum[:16]), ID: h.nextID}
	h.nextID++
	h.machines[doc.Name] = m
	return m
}

// end stops a domain: a transient one is gone. The detail is that of the
// event.
func (h *Host) end(name string, detail int32) {
	m := h.machines[name]
	if m == nil {
		return
	}
	h.emit(rpc.Lifecycle{Domain: m.Domain, Event: rpc.EventStopped, Detail: detail})
	if !m.Persistent {
		delete(h.machines, name)
		return
	}
	m.State, m.Reason, m.Domain.ID = rpc.ShutOff, detail+1, -1
}

func (h *Host) emit(event rpc.Lifecycle) {
	var e rpc.Encoder
	e.Lifecycle(event)
	for s := range h.sessions {
		if s.subscribed {
			go s.send(rpc.Header{Program: rpc.ProgramRemote, Version: 1, Procedure: rpc.ProcEventLifecycle, Kind: rpc.Message, Serial: 1}, e.Bytes())
		}
	}
}

func fail(code rpc.Code, format string, args ...any) error {
	return &rpc.Error{Code: code, Domain: 10, Message: fmt.Sprintf(format, args...), Level: 2}
}
