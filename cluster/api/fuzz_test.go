package api

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
)

// Requests of any form: they are answered, and what is not understood changes
// nothing.
func FuzzRequests(f *testing.F) {
	routes := (&Server{node: "n", backend: newMemory(), log: slog.New(slog.DiscardHandler)}).routes()
	for i := range routes {
		f.Add(uint8(i), "version=0.0&wait=1", []byte(`{"Request":"r","Change":{"Status":{"Edits":[{"Attribute":{"Node":"1","Name":"x","Value":"1"}}]}}}`))
		f.Add(uint8(i), "agent=ocf:heartbeat:x&class=ocf", []byte(`{"Request":"r","Change":{"Configuration":{"Base":{"Epoch":0},"XML":"<configuration/>"}}}`))
	}
	f.Add(uint8(0), "%zz", []byte("\x00"))
	f.Fuzz(func(t *testing.T, route uint8, query string, body []byte) {
		m := newMemory()
		s := &Server{node: "n", backend: m, log: slog.New(slog.DiscardHandler)}
		r := s.routes()[int(route)%len(routes)]
		req := httptest.NewRequest(r.method, r.path, bytes.NewReader(body))
		req.URL.RawQuery = query
		// A watch ends when its client is gone.
		ctx, cancel := context.WithCancel(req.Context())
		cancel()
		w := httptest.NewRecorder()
		before := m.doc.Version()
		s.Handler().ServeHTTP(w, req.WithContext(ctx))
		if w.Code >= http.StatusBadRequest && m.doc.Version() != before {
			t.Errorf("%s %s?%s was answered by %d, and changed the document", r.method, r.path, query, w.Code)
		}
	})
}
