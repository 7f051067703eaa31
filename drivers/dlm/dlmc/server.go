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

// patience is how long a client may take.
const patience = 10 * time.Second

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
}

// Listen answers at the sockets of dlm_controld, of which there is one pair on
// a host.
func Listen(s Source) (*Server, error) { return listen(s, sockets[:]) }

func listen(s Source, names []string) (*Server, error) {
	srv := &Server{source: s}
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
		s.done.Go(func() {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(patience))
			h, err := readHeader(c)
			if err != nil {
				return // not one of those that ask here
			}
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
