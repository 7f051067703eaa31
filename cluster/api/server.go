package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// Backend is the node behind the API. Errors that are a [client.Error] keep
// their code on the way to the caller.
type Backend interface {
	// CIB returns the document and a tag that differs for every other one.
	CIB(ctx context.Context, linearizable bool) (doc *cib.CIB, tag string, err error)
	// Apply commits a change; request identifies it.
	Apply(ctx context.Context, request string, change cib.Change) (cib.Version, error)
	Info(ctx context.Context) (*client.Info, error)
	// Watch sends the present state first; slow readers miss intermediate
	// events, never the last.
	Watch(ctx context.Context) <-chan client.Event
	Agents(ctx context.Context, class, provider string) ([]string, error)
	Metadata(ctx context.Context, agent string) (client.Metadata, error)
	Revisions(ctx context.Context) ([]client.Revision, error)
	Revision(ctx context.Context, v cib.Version) (*client.Revision, error)
	Links(ctx context.Context) ([]client.Link, error)
	// Mesh are the links of all members, each as that member sees them.
	Mesh(ctx context.Context) ([]client.NodeLinks, error)
	// Decide keeps the version on trial, or takes it back.
	Decide(ctx context.Context, trial cib.Version, keep bool, by cib.Origin) error
}

// Administrator is what a Backend may offer besides.
type Administrator interface {
	Token(ctx context.Context, life time.Duration) (string, error)
	// AdminCert makes a certificate with which a user may use the API over TLS.
	AdminCert(ctx context.Context, r client.AdminCertRequest) (client.AdminCertAnswer, error)
	// Rotate begins to replace the keys of the cluster.
	Rotate(ctx context.Context, authority bool) error
	// Drill makes a node fail, for a rehearsal.
	Drill(ctx context.Context, r client.DrillRequest) error
	RemoveNode(ctx context.Context, name string) error
	ForceAlone(ctx context.Context, peer, by, words string) error
	StopNode(ctx context.Context) error
	Fence(ctx context.Context, node, action, by string) (proof string, err error)
	ConfirmDown(ctx context.Context, node, by string) error
	Fencings(ctx context.Context) ([]client.FenceEntry, error)
	// Rehearse shows what a document would have the nodes do.
	Rehearse(ctx context.Context, doc *cib.CIB) ([]client.Rehearsed, error)
	FencePlan(ctx context.Context) (*client.FencePlan, error)
	FenceTest(ctx context.Context, r client.FenceTestRequest, by string) (*client.FenceReport, error)
}

// Config is what a server is made of.
type Config struct {
	Socket  string // path of the unix socket, which is made anew
	Node    string // name of the node
	Backend Backend
	// Audit, if set, keeps who changed what.
	Audit *AuditLog
	Log   *slog.Logger
}

// Server is the API of one node.
type Server struct {
	node    string
	backend Backend
	trail   *AuditLog
	log     *slog.Logger
	http    *http.Server
	done    sync.WaitGroup
}

// keepAlive is the longest silence on a watch stream.
const keepAlive = 15 * time.Second

// Listen serves the API on a unix socket.
func Listen(cfg Config) (*Server, error) {
	if err := os.Remove(cfg.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", cfg.Socket)
	if err != nil {
		return nil, fmt.Errorf("the API cannot listen: %w", err)
	}
	if err := openToGroup(cfg.Socket); err != nil {
		l.Close()
		return nil, err
	}
	s := &Server{node: cfg.Node, backend: cfg.Backend, trail: cfg.Audit, log: cfg.Log}
	s.http = &http.Server{
		Handler:           s.admit(s.Handler()),
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return s.identify(ctx, c) },
	}
	s.Serve(l)
	return s, nil
}

// Serve serves the API on another listener too, whose connections are TLS with
// verified certificates of administrators. It returns at once; the server owns
// the listener.
func (s *Server) Serve(l net.Listener) {
	s.done.Go(func() {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			s.log.Error("the API ended", "err", err)
		}
	})
}

// Close ends all connections at once.
func (s *Server) Close() error {
	err := s.http.Close()
	s.done.Wait()
	return err
}
