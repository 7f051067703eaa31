package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
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
	// Decide keeps the version on trial, or takes it back.
	Decide(ctx context.Context, trial cib.Version, keep bool, by cib.Origin) error
}

// Administrator is what a Backend may offer besides.
type Administrator interface {
	Token(ctx context.Context, life time.Duration) (string, error)
	RemoveNode(ctx context.Context, name string) error
	ForceAlone(ctx context.Context, peer, by, words string) error
	StopNode(ctx context.Context) error
	Fence(ctx context.Context, node, action, by string) (proof string, err error)
	ConfirmDown(ctx context.Context, node, by string) error
	Fencings(ctx context.Context) ([]client.FenceEntry, error)
	FencePlan(ctx context.Context) (*client.FencePlan, error)
	FenceTest(ctx context.Context, r client.FenceTestRequest, by string) (*client.FenceReport, error)
}

// Identity is who made a request.
type Identity struct {
	UID  uint32
	User string
}

type identityKey struct{}

// Server is the API of one node.
type Server struct {
	node    string
	backend Backend
	log     *slog.Logger
	http    *http.Server
	done    chan struct{}
}

// keepAlive is the longest silence on a watch stream.
const keepAlive = 15 * time.Second

// Listen serves backend on a unix socket, which it makes anew.
func Listen(socket, node string, backend Backend, log *slog.Logger) (*Server, error) {
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("the API cannot listen: %w", err)
	}
	// Who may do what is decided by the peer's identity, not by the mode.
	if err := os.Chmod(socket, 0o666); err != nil {
		l.Close()
		return nil, err
	}
	s := &Server{node: node, backend: backend, log: log, done: make(chan struct{})}
	s.http = &http.Server{
		Handler:           s.admit(s.Handler()),
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return s.identify(ctx, c) },
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the API ended", "err", err)
		}
	}()
	return s, nil
}

// Close ends all connections at once.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.done
	return err
}

// Handler returns the API without the check who asks, which belongs to the
// listener.
func (s *Server) Handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET "+client.PathCIB, s.cib)
	m.HandleFunc("POST "+client.PathApply, s.apply)
	m.HandleFunc("GET "+client.PathWatch, s.watch)
	m.HandleFunc("GET "+client.PathInfo, answer(func(r *http.Request) (any, error) { return s.backend.Info(r.Context()) }))
	m.HandleFunc("GET "+client.PathLinks, answer(func(r *http.Request) (any, error) { return s.backend.Links(r.Context()) }))
	m.HandleFunc("GET "+client.PathAgents, answer(func(r *http.Request) (any, error) {
		return s.backend.Agents(r.Context(), r.FormValue("class"), r.FormValue("provider"))
	}))
	m.HandleFunc("GET "+client.PathMetadata, answer(func(r *http.Request) (any, error) {
		return s.backend.Metadata(r.Context(), r.FormValue("agent"))
	}))
	m.HandleFunc("GET "+client.PathRevisions, answer(s.revisions))
	m.HandleFunc("POST "+client.PathTrial, answer(s.decide))
	m.HandleFunc("GET "+PathMetrics, s.metrics)
	if a, ok := s.backend.(Administrator); ok {
		s.administer(m, a)
	}
	return m
}

// minTrial and maxTrial bound how long a commit waits for its confirmation.
const (
	minTrial = time.Second
	maxTrial = 7 * 24 * time.Hour
)

// maxTokenLife bounds how long a join token may be good for.
const maxTokenLife = 7 * 24 * time.Hour

func (s *Server) administer(m *http.ServeMux, a Administrator) {
	m.HandleFunc("POST "+client.PathTokens, answer(func(r *http.Request) (any, error) {
		var req client.TokenRequest
		if err := decode(r, &req); err != nil {
			return nil, err
		}
		life := time.Duration(req.Seconds) * time.Second
		if life <= 0 || life > maxTokenLife {
			return nil, &client.Error{Code: client.CodeMalformed, Text: fmt.Sprintf("a token is good for at least a second and at most %v", maxTokenLife)}
		}
		s.audit(r, "token")
		t, err := a.Token(r.Context(), life)
		return client.TokenAnswer{Token: t}, err
	}))
	m.HandleFunc("DELETE "+client.PathMembers, answer(func(r *http.Request) (any, error) {
		name := r.FormValue("name")
		s.audit(r, "remove node "+name)
		return struct{}{}, a.RemoveNode(r.Context(), name)
	}))
	m.HandleFunc("POST "+client.PathStop, answer(func(r *http.Request) (any, error) {
		s.audit(r, "stop")
		return struct{}{}, a.StopNode(r.Context())
	}))
	m.HandleFunc("GET "+client.PathFencing, answer(func(r *http.Request) (any, error) { return a.Fencings(r.Context()) }))
	m.HandleFunc("GET "+client.PathFencePlan, answer(func(r *http.Request) (any, error) { return a.FencePlan(r.Context()) }))
	m.HandleFunc("POST "+client.PathFenceTest, answer(func(r *http.Request) (any, error) {
		var req client.FenceTestRequest
		if err := decode(r, &req); err != nil {
			return nil, err
		}
		if req.Really {
			s.audit(r, "fence "+req.Node+" (rehearsal)")
		}
		return a.FenceTest(r.Context(), req, userOf(r))
	}))
	m.HandleFunc("POST "+client.PathFencing, answer(func(r *http.Request) (any, error) {
		var req client.FenceRequest
		if err := decode(r, &req); err != nil {
			return nil, err
		}
		s.audit(r, "fence "+req.Node+" ("+req.Action+")")
		return a.Fence(r.Context(), req.Node, req.Action, userOf(r))
	}))
	m.HandleFunc("POST "+client.PathConfirm, answer(func(r *http.Request) (any, error) {
		var req client.FenceRequest
		if err := decode(r, &req); err != nil {
			return nil, err
		}
		s.audit(r, "confirm that "+req.Node+" is down")
		return struct{}{}, a.ConfirmDown(r.Context(), req.Node, userOf(r))
	}))
	m.HandleFunc("POST "+client.PathForce, answer(func(r *http.Request) (any, error) {
		var req client.ForceRequest
		if err := decode(r, &req); err != nil {
			return nil, err
		}
		s.audit(r, "force alone without "+req.Peer+": "+req.Words)
		return struct{}{}, a.ForceAlone(r.Context(), req.Peer, userOf(r), req.Words)
	}))
}

func decode(r *http.Request, into any) error {
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<20)).Decode(into); err != nil {
		return &client.Error{Code: client.CodeMalformed, Text: "unreadable request: " + err.Error()}
	}
	return nil
}

func userOf(r *http.Request) string {
	id, _ := r.Context().Value(identityKey{}).(Identity)
	return id.User
}

// audit logs who did what.
func (s *Server) audit(r *http.Request, what string) {
	s.log.Warn("administration", "user", userOf(r), "what", what)
}

func (s *Server) revisions(r *http.Request) (any, error) {
	text := r.FormValue("version")
	if text == "" {
		return s.backend.Revisions(r.Context())
	}
	v, err := cib.ParseVersion(text)
	if err != nil {
		return nil, &client.Error{Code: client.CodeMalformed, Text: err.Error()}
	}
	return s.backend.Revision(r.Context(), v)
}

func (s *Server) decide(r *http.Request) (any, error) {
	var req client.VerdictRequest
	if err := decode(r, &req); err != nil {
		return nil, err
	}
	v, err := cib.ParseVersion(req.Version)
	if err != nil {
		return nil, &client.Error{Code: client.CodeMalformed, Text: err.Error()}
	}
	what := "take back version "
	if req.Keep {
		what = "confirm version "
	}
	s.audit(r, what+req.Version)
	return struct{}{}, s.backend.Decide(r.Context(), v, req.Keep, cib.Origin{User: userOf(r), Node: s.node, Client: "gcrm", Time: time.Now()})
}

// answer makes a handler of a function that returns what is to be sent.
func answer(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r)
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v)
	}
}

func fail(w http.ResponseWriter, err error) {
	var e *client.Error
	if !errors.As(err, &e) {
		e = &client.Error{Text: err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status())
	json.NewEncoder(w).Encode(e)
}

func (s *Server) cib(w http.ResponseWriter, r *http.Request) {
	doc, tag, err := s.backend.CIB(r.Context(), r.FormValue("linearizable") == "true")
	if err != nil {
		fail(w, err)
		return
	}
	tag = `"` + tag + `"`
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	io.WriteString(w, doc.String())
}

// reserved reports whether the daemon's own rooms know their changes by a name.
func reserved(client string) bool {
	switch client {
	case "controller", "executor", "membership", "shutdown":
		return true
	}
	return false
}

func (s *Server) apply(w http.ResponseWriter, r *http.Request) {
	var req client.ApplyRequest
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, client.MaxBody))
	if err := d.Decode(&req); err != nil {
		fail(w, &client.Error{Code: client.CodeMalformed, Text: "unreadable request: " + err.Error()})
		return
	}
	if req.Request == "" || len(req.Request) > 64 {
		fail(w, &client.Error{Code: client.CodeMalformed, Text: "the request has no usable number"})
		return
	}
	o := &req.Change.Origin
	if reserved(o.Client) {
		fail(w, &client.Error{Code: client.CodeMalformed, Text: "changes of client " + o.Client + " are made by the daemon alone"})
		return
	}
	o.Node = s.node
	if id, ok := r.Context().Value(identityKey{}).(Identity); ok {
		o.User = id.User
	}
	if o.Time.IsZero() {
		o.Time = time.Now()
	}
	if c := req.Change.Configuration; c != nil && c.Confirm != 0 {
		if c.Confirm < minTrial || c.Confirm > maxTrial {
			fail(w, &client.Error{Code: client.CodeMalformed, Text: fmt.Sprintf("a commit waits for its confirmation at least %v and at most %v", minTrial, maxTrial)})
			return
		}
		o.Time = time.Now() // the time of the trial is counted from here
	}
	if err := s.check(r.Context(), req.Change); err != nil {
		fail(w, err)
		return
	}
	v, err := s.backend.Apply(r.Context(), req.Request, req.Change)
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(client.ApplyAnswer{Version: v.String()})
}

func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := http.NewResponseController(w)
	events := s.backend.Watch(r.Context())
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	enc := json.NewEncoder(w)
	for {
		// A reader that takes nothing for long is let go.
		out.SetWriteDeadline(time.Now().Add(2 * keepAlive))
		var err error
		select {
		case e, ok := <-events:
			if !ok {
				return
			}
			err = enc.Encode(e)
		case <-alive.C:
			_, err = io.WriteString(w, "\n")
		case <-r.Context().Done():
			return
		}
		if err == nil {
			err = out.Flush()
		}
		if err != nil {
			return
		}
	}
}
