package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// need is what a user must be allowed to do for a request, where access lists
// are enabled.
type need int

const (
	// The zero value needs nothing: everybody who is let in may.
	_ need = iota
	// itself: the handler looks at the parts of the document that it concerns.
	itself
	// readAll: who may read the whole document.
	readAll
	// administer: who may change the whole document.
	administer
)

// param is a parameter in the query of a request.
type param struct{ name, help string }

// route is one kind of request. The table of them makes the handler, the
// access checks, the audit log and the OpenAPI document, so that none of these
// can be forgotten.
type route struct {
	method, path, help string
	query              []param
	// request and answer are zero values of the types of the bodies; nil
	// stands for none. media is the type of an answer that is not JSON.
	request, answer any
	media           string
	need            need
	// changes is set if the request changes anything; it is audited then.
	changes bool
	handle  http.HandlerFunc
}

// routes is the whole API.
func (s *Server) routes() []route {
	list := []route{
		{method: "GET", path: client.PathCIB, help: "The CIB, or what the user may read of it. The answer has an ETag.",
			query:  []param{{"linearizable", "true: with everything that was acknowledged to anybody before the request"}},
			answer: "", media: "application/xml", need: itself, handle: s.cib},
		{method: "POST", path: client.PathApply, help: "Commits a change of the configuration or of the status.",
			request: client.ApplyRequest{}, answer: client.ApplyAnswer{}, need: itself, changes: true, handle: answer(s.apply)},
		{method: "GET", path: client.PathWatch, help: "An event for every change, one JSON object a line; empty lines keep the connection alive.",
			answer: client.Event{}, media: "application/x-ndjson", handle: s.watch},
		{method: "GET", path: client.PathInfo, help: "The state of the node, and of the cluster as this node sees it.",
			answer: client.Info{}, handle: answer(func(r *http.Request) (any, error) { return s.backend.Info(r.Context()) })},
		{method: "GET", path: client.PathLinks, help: "The links of the node to the others.",
			answer: []client.Link{}, handle: answer(func(r *http.Request) (any, error) { return s.backend.Links(r.Context()) })},
		{method: "GET", path: client.PathMesh, help: "The links of all nodes, each as that node sees them.",
			answer: []client.NodeLinks{}, handle: answer(func(r *http.Request) (any, error) { return s.backend.Mesh(r.Context()) })},
		{method: "GET", path: client.PathAgents, help: "The classes of agents, or the agents of a class.",
			query: []param{{"class", "class of agents (ocf, systemd, ...)"}, {"provider", "provider, for class ocf"}}, answer: []string{},
			handle: answer(func(r *http.Request) (any, error) {
				return s.backend.Agents(r.Context(), r.FormValue("class"), r.FormValue("provider"))
			})},
		{method: "GET", path: client.PathMetadata, help: "The meta-data of an agent.",
			query: []param{{"agent", "class:provider:type"}}, answer: client.Metadata{},
			handle: answer(func(r *http.Request) (any, error) { return s.backend.Metadata(r.Context(), r.FormValue("agent")) })},
		{method: "GET", path: client.PathRevisions, help: "The remembered versions of the configuration, or one of them in full.",
			query: []param{{"version", "the version wanted in full; then the answer is one element"}}, answer: []client.Revision{},
			need: itself, handle: answer(s.revisions)},
		{method: "POST", path: client.PathTrial, help: "Confirms the commit on trial, or takes it back.",
			request: client.VerdictRequest{}, answer: struct{}{}, need: itself, changes: true, handle: answer(s.decide)},
		{method: "GET", path: PathMetrics, help: "Metrics in Prometheus' text format.", answer: "", media: "text/plain", need: readAll, handle: s.metrics},
		{method: "GET", path: client.PathAudit, help: "The audit log of this node, the latest entry last.",
			query: []param{{"last", "how many entries at most; 100 if not given"}}, answer: []client.AuditEntry{}, need: administer, handle: answer(s.auditList)},
		{method: "GET", path: client.PathOpenAPI, help: "This document.", answer: map[string]any{},
			handle: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Write(s.openAPI())
			}},
	}
	if a, ok := s.backend.(Administrator); ok {
		list = append(list, s.administration(a)...)
	}
	if h, ok := s.backend.(Hands); ok {
		list = append(list, s.hands(h)...)
	}
	if l, ok := s.backend.(Locksmith); ok {
		list = append(list, s.locks(l)...)
	}
	return list
}

// Handler returns the API without the check who is let in, which belongs to
// the listener. Requests without an identity are the daemon's own.
func (s *Server) Handler() http.Handler {
	m := http.NewServeMux()
	for _, r := range s.routes() {
		m.Handle(r.method+" "+r.path, s.audited(r, s.permitted(r)))
	}
	return m
}

// permitted checks access lists before a request is handled.
func (s *Server) permitted(r route) http.Handler {
	if r.need != readAll && r.need != administer {
		return r.handle
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if userMay(req) {
			r.handle(w, req)
			return
		}
		a, doc, err := s.access(req)
		switch {
		case err != nil:
		case r.need == administer && !a.Administers(doc):
			err = a.Denies("do that: it needs write access to the whole CIB")
		case r.need == readAll && !a.ReadsAll(doc):
			err = a.Denies("do that: it needs read access to the whole CIB")
		}
		if err != nil {
			fail(w, err)
			return
		}
		r.handle(w, req)
	})
}

// bodyLimit is how long a client may take to send what it asks for.
const bodyLimit = 30 * time.Second

// receive reads a request's body, of at most so many bytes.
func receive(r *http.Request, limit int64, into any) error {
	if c, ok := r.Context().Value(controlKey{}).(*http.ResponseController); ok {
		// Not every connection can have deadlines; the bound of bytes holds anyway.
		if c.SetReadDeadline(time.Now().Add(bodyLimit)) == nil {
			defer c.SetReadDeadline(time.Time{})
		}
	}
	return json.NewDecoder(http.MaxBytesReader(nil, r.Body, limit)).Decode(into)
}

// controlKey is under what the context of a request has the control of its
// connection.
type controlKey struct{}

func decode(r *http.Request, into any) error {
	if err := receive(r, 1<<20, into); err != nil {
		return &client.Error{Code: client.CodeMalformed, Text: "unreadable request: " + err.Error()}
	}
	return nil
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
	var denied *cib.AccessError
	switch {
	case errors.As(err, &e):
	case errors.As(err, &denied):
		e = &client.Error{Code: client.CodeForbidden, Text: err.Error()}
	default:
		e = &client.Error{Text: err.Error()}
	}
	if rec, ok := w.(*recorder); ok {
		rec.err = e.Text
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status())
	json.NewEncoder(w).Encode(e)
}
