package nbd

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"gcrm/replication/volume"
)

// Device is what an export gives access to; *volume.Volume is one.
type Device interface {
	Open() error
	Release()
	Size() uint64
	Buffer(n int) []byte
	Free(b []byte)
	Submit(r *volume.Request)
}

// Export is a device under a name.
type Export struct {
	Name, Description string
	Device            Device
}

// Server serves exports to any number of clients.
type Server struct {
	// Exports gives the exports of the moment, the default one first.
	Exports func() []Export
	// TLS makes STARTTLS possible, RequireTLS without it nothing else.
	TLS        *tls.Config
	RequireTLS bool
	// MaxClients bounds the connections; 0 means 64.
	MaxClients int
	// Log is told about clients that come and go; it may be nil.
	Log func(text string)

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
	wg     sync.WaitGroup
}

// handshakeLimit is how long a client may take to choose an export.
const handshakeLimit = 30 * time.Second

// Serve accepts clients until the listener is closed.
func (s *Server) Serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.closed || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		if !s.enter(c) {
			c.Close()
			continue
		}
		s.wg.Go(func() {
			defer s.leave(c)
			s.serve(c)
		})
	}
}

func (s *Server) enter(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := s.MaxClients
	if limit == 0 {
		limit = 64
	}
	if s.closed || len(s.conns) >= limit {
		return false
	}
	if s.conns == nil {
		s.conns = map[net.Conn]struct{}{}
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) leave(c net.Conn) {
	c.Close()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}

// Disconnect cuts all clients off; they may come again.
func (s *Server) Disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// Clients counts the connections.
func (s *Server) Clients() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Close cuts all clients off and waits for their end or that of ctx.
func (s *Server) Close(ctx context.Context) {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

func (s *Server) log(text string) {
	if s.Log != nil {
		s.Log(text)
	}
}

func (s *Server) serve(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		t.SetNoDelay(true)
	}
	c.SetDeadline(time.Now().Add(handshakeLimit))
	h := &handshake{s: s, c: c}
	export, err := h.run()
	if err != nil {
		s.log("NBD client: " + err.Error())
		return
	}
	if export == nil {
		return
	}
	defer export.Device.Release()
	h.c.SetDeadline(time.Time{})
	newSession(h.c, export.Device, h.structured).run()
}
