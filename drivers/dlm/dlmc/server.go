package dlmc

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"gcrm/drivers/dlm"
)

// Sockets are the abstract sockets that programs ask at.
var sockets = [...]string{"@dlmc_sock", "@dlmc_query_sock"}

// Everybody on the host can connect: a client has hearing to ask and patience
// for all of it, and there are no more than maxClients, the last of which have
// to wait.
const (
	hearing    = 2 * time.Second
	patience   = 10 * time.Second
	maxClients = 32
)

// Source is what is told.
type Source struct {
	Report func(ctx context.Context) (dlm.Report, error)
	// Debug is the last part of the log.
	Debug func() string
}

// Server answers on the sockets.
type Server struct {
	source    Source
	listeners []net.Listener
	done      sync.WaitGroup
	clients   chan struct{} // one for each
}

// Listen answers at the sockets of dlm_controld, of which there is one pair on
// a host.
func Listen(s Source) (*Server, error) { return listen(s, sockets[:]) }

func listen(s Source, names []string) (*Server, error) {
	srv := &Server{source: s, clients: make(chan struct{}, maxClients)}
	for _, name := range names {
		l, err := net.Listen("unix", name)
		if err != nil {
			return nil, errors.Join(err, srv.Close())
		}
		srv.listeners = append(srv.listeners, l)
		srv.done.Go(func() { srv.serve(l) })
	}
	return srv, nil
}

// Close ends the answers.
func (s *Server) Close() error {
	var err error
	for _, l := range s.listeners {
		err = errors.Join(err, l.Close())
	}
	s.done.Wait()
	return err
}

func (s *Server) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // closed
		}
		s.clients <- struct{}{}
		s.done.Go(func() {
			defer func() { c.Close(); <-s.clients }()
			_ = c.SetDeadline(time.Now().Add(hearing))
			h, err := readHeader(c)
			if err != nil {
				return // not one of those that ask here
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			r, err := s.source.Report(ctx)
			if err != nil {
				return // the control process ends
			}
			_, _ = c.Write(answer(h, r, s.source.Debug())) // who asked is gone
		})
	}
}
