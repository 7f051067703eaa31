package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// memory is a node that keeps its document in memory.
type memory struct {
	mu       sync.Mutex
	doc      *cib.CIB
	requests map[string]cib.Version
	origin   cib.Origin
	changed  chan struct{}
}

func newMemory() *memory {
	return &memory{doc: cib.New(), requests: map[string]cib.Version{}, changed: make(chan struct{})}
}

func (m *memory) CIB(context.Context, bool) (*cib.CIB, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.doc, m.doc.Version().String(), nil
}

func (m *memory) Apply(_ context.Context, request string, change cib.Change) (cib.Version, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.requests[request]; ok {
		return v, nil
	}
	next, err := m.doc.Apply(change)
	var conflict *cib.ConflictError
	if errors.As(err, &conflict) {
		return cib.Version{}, &client.Error{Code: client.CodeConflict, Text: err.Error(), Conflict: conflict}
	}
	if err != nil {
		return cib.Version{}, &client.Error{Code: client.CodeRefused, Text: err.Error()}
	}
	m.doc, m.origin = next, change.Origin
	m.requests[request] = next.Version()
	close(m.changed)
	m.changed = make(chan struct{})
	return next.Version(), nil
}

func (m *memory) Info(context.Context) (*client.Info, error) {
	return &client.Info{Node: "n", Version: m.doc.Version()}, nil
}

func (m *memory) Watch(ctx context.Context) <-chan client.Event {
	out := make(chan client.Event)
	go func() {
		defer close(out)
		for {
			m.mu.Lock()
			e, changed := client.Event{Version: m.doc.Version()}, m.changed
			m.mu.Unlock()
			select {
			case out <- e:
			case <-ctx.Done():
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func (m *memory) Agents(_ context.Context, class, provider string) ([]string, error) {
	return []string{class, provider}, nil
}

func (m *memory) Metadata(_ context.Context, agent string) (client.Metadata, error) {
	return client.Metadata{}, &client.Error{Code: client.CodeNotFound, Text: "no " + agent}
}
func (m *memory) Revisions(context.Context) ([]client.Revision, error) { return nil, nil }
func (m *memory) Revision(_ context.Context, v cib.Version) (*client.Revision, error) {
	return &client.Revision{Version: v}, nil
}
func (m *memory) Decide(context.Context, cib.Version, bool, cib.Origin) error { return nil }
func (m *memory) Links(context.Context) ([]client.Link, error)                { return nil, nil }
func (m *memory) Mesh(context.Context) ([]client.NodeLinks, error)            { return nil, nil }

func status(name, value string) cib.Change {
	return cib.Change{Status: &cib.StatusChange{Edits: []cib.StatusEdit{{Attribute: &cib.AttributeEdit{Node: "1", Name: name, Value: value}}}}}
}

func serve(t *testing.T, m *memory, socket string) *Server {
	s, err := Listen(Config{Socket: socket, Node: "n", Backend: m, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSocket(t *testing.T) {
	m := newMemory()
	socket := filepath.Join(t.TempDir(), "s")
	if _, err := client.Dial(socket, "test"); err == nil || !strings.Contains(err.Error(), "no daemon") {
		t.Errorf("dialling nothing: %v", err)
	}
	s := serve(t, m, socket)
	c, err := client.Dial(socket, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	events, err := c.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	first := <-events
	v, err := c.Apply(ctx, status("a", "1"))
	if err != nil {
		t.Fatal(err)
	}
	if e := <-events; e.Version != v || first.Version.Compare(v) >= 0 {
		t.Errorf("events %v, %v; applied %v", first.Version, e.Version, v)
	}
	if m.origin.User == "" || m.origin.Node != "n" || m.origin.Client != "test" || m.origin.Time.IsZero() {
		t.Errorf("origin: %+v", m.origin)
	}
	one, err := c.CIB(ctx, false)
	if err != nil || one.Version() != v {
		t.Fatalf("%v, %v", one, err)
	}
	if two, err := c.CIB(ctx, true); err != nil || two != one {
		t.Errorf("an unchanged document was transferred again: %v", err)
	}
	_, err = c.Apply(ctx, cib.Change{Configuration: &cib.ConfigurationChange{Base: cib.Version{Epoch: 9}, XML: "<configuration/>"}})
	var conflict *cib.ConflictError
	if !errors.Is(err, cib.ErrConflict) || !errors.As(err, &conflict) || conflict.Base.Epoch != 9 {
		t.Errorf("conflict: %v", err)
	}
	if _, _, err := c.Metadata(ctx, "a:b:c"); err == nil || err.Error() != "no a:b:c" {
		t.Errorf("meta-data: %v", err)
	}
	// The daemon restarts: the watch tells of it and goes on.
	s.Close()
	if e := <-events; e.Connection != "lost" {
		t.Errorf("event after the end of the daemon: %+v", e)
	}
	serve(t, m, socket)
	if e := <-events; e.Connection != "restored" {
		t.Errorf("event after its return: %+v", e)
	}
	if e := <-events; e.Version != v {
		t.Errorf("state after its return: %+v", e)
	}
}

// A request whose answer is lost is repeated and applied once.
func TestLostAnswer(t *testing.T) {
	m := newMemory()
	s := &Server{node: "n", backend: m, log: slog.New(slog.DiscardHandler)}
	lose := 1
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == client.PathApply && lose > 0 {
			lose--
			s.Handler().ServeHTTP(httptest.NewRecorder(), r)
			conn, _, _ := http.NewResponseController(w).Hijack()
			conn.Close()
			return
		}
		s.Handler().ServeHTTP(w, r)
	}))
	defer h.Close()
	c := client.New(h.URL, h.Client(), "test")
	add := cib.Change{Status: &cib.StatusChange{Edits: []cib.StatusEdit{{Attribute: &cib.AttributeEdit{Node: "1", Name: "n", Value: "1", Add: true}}}}}
	if _, err := c.Apply(t.Context(), add); err != nil {
		t.Fatal(err)
	}
	if got := m.doc.String(); !strings.Contains(got, `name="n" value="1"`) {
		t.Errorf("applied more than once, or never:\n%s", got)
	}
}

func TestMalformed(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	serve(t, newMemory(), socket)
	h := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", socket)
	}}}
	defer h.CloseIdleConnections()
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", client.PathApply, "nonsense", 400},
		{"POST", client.PathApply, `{"Change":{}}`, 400},
		{"POST", client.PathApply, fmt.Sprintf(`{"Request":%q}`, strings.Repeat("x", 65)), 400},
		{"POST", client.PathApply, `{"Request":"1","Change":{}}`, 422},
		{"GET", client.PathRevisions + "?version=x", "", 400},
		{"GET", client.PathMetadata + "?agent=x", "", 404},
		{"DELETE", client.PathCIB, "", 405},
		{"GET", "/", "", 404},
	} {
		req, err := http.NewRequest(c.method, "http://x"+c.path, bytes.NewReader([]byte(c.body)))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := h.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, resp.StatusCode, body, c.want)
		}
	}
}

// Somebody who is neither root nor the daemon's user nor in the group is
// refused; nobody at all, too.
func TestStrangerIsRefused(t *testing.T) {
	s := &Server{node: "n", backend: newMemory(), log: slog.New(slog.DiscardHandler)}
	for _, c := range []struct {
		ctx  context.Context
		want int
	}{
		{t.Context(), 403},
		{context.WithValue(t.Context(), identityKey{}, Identity{UID: 4000000, User: "4000000"}), 403},
		{context.WithValue(t.Context(), identityKey{}, Identity{UID: 0, User: "root"}), 200},
	} {
		w := httptest.NewRecorder()
		s.admit(s.Handler()).ServeHTTP(w, httptest.NewRequest("GET", client.PathInfo, nil).WithContext(c.ctx))
		if w.Code != c.want {
			t.Errorf("got %d %s, want %d", w.Code, w.Body, c.want)
		}
	}
}
