package rpctest

import (
	"errors"
	"net"
	"strings"
	"sync"

	"gcrm/drivers/libvirt/rpc"
)

// session is one connection of a client.
type session struct {
	host       *Host
	conn       net.Conn
	write      sync.Mutex
	subscribed bool // under the host's lock
}

var errLost = errors.New("break the connection")

// ErrIgnored is returned by an Answer whose call succeeds and does nothing.
var ErrIgnored = errors.New("ignored")

func (s *session) send(h rpc.Header, payload []byte) {
	s.write.Lock()
	defer s.write.Unlock()
	_, _ = s.conn.Write(h.Append(nil, payload))
}

func (s *session) serve() {
	defer func() {
		s.conn.Close()
		s.host.locked(func() { delete(s.host.sessions, s) })
	}()
	for {
		h, payload, err := rpc.ReadMessage(s.conn)
		if err != nil {
			return
		}
		var deaf bool
		s.host.locked(func() { deaf = s.host.deaf })
		switch {
		case deaf:
		case h.Program == rpc.ProgramKeepalive && h.Procedure == 1:
			h.Procedure = 2
			s.send(h, nil)
		case h.Program == rpc.ProgramRemote && h.Kind == rpc.Call:
			go s.answer(h, payload)
		}
	}
}

func (s *session) answer(h rpc.Header, payload []byte) {
	var script func([]byte) error
	s.host.locked(func() {
		s.host.calls = append(s.host.calls, h.Procedure)
		script = s.host.answers[h.Procedure]
	})
	var e rpc.Encoder
	var err error
	if script != nil {
		err = script(payload)
	}
	if err == nil {
		d := rpc.NewDecoder(payload)
		if h.Procedure == rpc.ProcMigratePerform {
			err = s.host.migrate(d.Migration())
			e.Opaque(nil)
		} else {
			s.host.locked(func() { err = s.do(h.Procedure, d, &e) })
		}
		if d.Err() != nil {
			err = fail(rpc.CodeRPC, "Unable to decode message payload")
		}
	}
	h.Kind = rpc.Reply
	switch {
	case errors.Is(err, errLost):
		s.conn.Close()
		return
	case errors.Is(err, ErrIgnored):
		err = nil
	}
	if err != nil {
		var known *rpc.Error
		if !errors.As(err, &known) {
			known = &rpc.Error{Code: rpc.CodeInternal, Message: err.Error(), Level: 2}
		}
		e = rpc.Encoder{}
		e.Error(known)
		h.Status = rpc.StatusError
	}
	s.send(h, e.Bytes())
}

// do carries out a call under the host's lock.
func (s *session) do(procedure uint32, d *rpc.Decoder, e *rpc.Encoder) error {
	h := s.host
	find := func() (*Machine, error) {
		dom := d.Domain()
		for _, m := range h.machines {
			if m.Domain.UUID == dom.UUID {
				return m, nil
			}
		}
		return nil, fail(rpc.CodeNoDomain, "Domain not found: no domain with matching uuid '%s'", dom.UUID)
	}
	switch procedure {
	case rpc.ProcAuthList:
		e.Uint32(1)
		e.Uint32(0)
	case rpc.ProcSupportsFeature:
		e.Int32(1)
	case rpc.ProcConnectOpen, rpc.ProcConnectClose, rpc.ProcMigrateMaxDowntime, rpc.ProcMigrateMaxSpeed:
	case rpc.ProcConnectURI:
		e.String("qemu:///system")
	case rpc.ProcSubscribe:
		s.subscribed = true
		e.Int32(0)
	case rpc.ProcUnsubscribe:
		s.subscribed = false
	case rpc.ProcListAllDomains:
		e.Uint32(uint32(len(h.machines)))
		for _, m := range h.machines {
			e.Domain(m.Domain)
		}
		e.Uint32(uint32(len(h.machines)))
	case rpc.ProcLookupByName:
		name := d.String()
		m := h.machines[name]
		if m == nil {
			return fail(rpc.CodeNoDomain, "Domain not found: no domain with matching name '%s'", name)
		}
		e.Domain(m.Domain)
	case rpc.ProcFromNative:
		format, config := d.String(), d.String()
		_, name, ok := strings.Cut(config, "name = \"")
		if format != "xen-xl" || !ok {
			return fail(rpc.CodeXML, "no configuration of format %s with a name", format)
		}
		name, _, _ = strings.Cut(name, "\"")
		e.String("<domain type='xen'><name>" + name + "</name><memory>524288</memory><vcpu>2</vcpu></domain>")
	case rpc.ProcCreateXML:
		text := d.String()
		before := len(h.machines)
		m := h.add(text)
		if m == nil {
			return fail(rpc.CodeXML, "XML error")
		}
		if len(h.machines) == before {
			return fail(rpc.CodeOperationFailed, "domain already exists")
		}
		h.emit(rpc.Lifecycle{Domain: m.Domain, Event: rpc.EventStarted})
		e.Domain(m.Domain)
	case rpc.ProcAbortJob:
		if h.abort == nil {
			return fail(rpc.CodeOperationInvalid, "no job is active on the domain")
		}
		close(h.abort)
		h.abort = nil
	case rpc.ProcSave:
		m, err := find()
		if err != nil {
			return err
		}
		path, copied := d.String(), *m
		h.saved[path] = &copied
		h.end(m.Domain.Name, 4)
	case rpc.ProcRestore:
		path := d.String()
		m := h.saved[path]
		if m == nil {
			return fail(rpc.CodeSystem, "cannot open %s", path)
		}
		delete(h.saved, path)
		h.machines[m.Domain.Name] = m
	default:
		m, err := find()
		if err != nil {
			return err
		}
		return h.onMachine(procedure, m, e)
	}
	return nil
}

func (h *Host) onMachine(procedure uint32, m *Machine, e *rpc.Encoder) error {
	off := m.State == rpc.ShutOff
	switch procedure {
	case rpc.ProcState:
		e.Int32(int32(m.State))
		e.Int32(m.Reason)
	case rpc.ProcInfo:
		e.Int32(int32(m.State))
		e.Uint64(512 << 10)
		e.Uint64(256 << 10)
		e.Uint32(2)
		e.Uint64(0)
	case rpc.ProcXMLDesc:
		e.String(m.XML)
	case rpc.ProcIsActive:
		e.Bool(!off)
	case rpc.ProcIsPersistent:
		e.Bool(m.Persistent)
	case rpc.ProcShutdownFlags, rpc.ProcDestroyFlags:
		if off {
			return fail(rpc.CodeOperationInvalid, "Requested operation is not valid: domain is not running")
		}
		detail := int32(0)
		if procedure == rpc.ProcDestroyFlags {
			detail = 1
		}
		h.end(m.Domain.Name, detail)
	case rpc.ProcUndefineFlags:
		m.Persistent = false
		if off {
			delete(h.machines, m.Domain.Name)
		}
	case rpc.ProcSuspend:
		m.State, m.Reason = rpc.Paused, 1
	case rpc.ProcResume:
		m.State, m.Reason = rpc.Running, 5
	case rpc.ProcJobInfo:
		e.Job(rpc.Job{})
	default:
		return fail(rpc.CodeRPC, "unknown procedure: %d", procedure)
	}
	return nil
}

// migrate moves a domain as the plan says.
func (h *Host) migrate(m rpc.Migration) error {
	var plan Plan
	var peer *Host
	var machine Machine
	var found bool
	abort := make(chan struct{})
	h.locked(func() {
		plan, peer, h.last, h.abort = h.plan, h.peers[m.To], m, abort
		if p := h.machines[m.Domain.Name]; p != nil {
			machine, found = *p, true
		}
	})
	defer h.locked(func() { h.abort = nil })
	switch {
	case !found:
		return fail(rpc.CodeNoDomain, "Domain not found")
	case plan.Fail != nil:
		return plan.Fail
	case plan.LoseEarly:
		return errLost
	case plan.LeavePaused:
		h.Set(m.Domain.Name, rpc.Paused, rpc.PausedMigration)
		return fail(rpc.CodeOperationFailed, "migration failed: the other side is gone")
	case peer == nil:
		return fail(rpc.CodeSystem, "unable to connect to server at '%s': No route to host", m.To)
	case plan.Hang:
		<-abort
		return fail(rpc.CodeOperationAborted, "operation aborted: job 'migration out' canceled by client")
	}
	machine.Reason = 2
	machine.State = rpc.Running
	peer.locked(func() { copied := machine; peer.machines[m.Domain.Name] = &copied })
	if !plan.Both {
		h.locked(func() { h.end(m.Domain.Name, 3) })
	}
	if plan.Lose {
		return errLost
	}
	return nil
}
