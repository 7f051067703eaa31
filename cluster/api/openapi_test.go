package api

import (
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"gcrm/cluster/client"
)

var rewrite = flag.Bool("rewrite", false, "write the generated files anew")

const openAPIFile = "openapi.json"

// The document in the tree is the one that the daemon serves, and has every
// path that clients know.
func TestOpenAPI(t *testing.T) {
	s := &Server{node: "n", backend: &administrated{memory: newMemory()}, log: slog.New(slog.DiscardHandler)}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", client.PathOpenAPI, nil))
	if *rewrite {
		if err := os.WriteFile(openAPIFile, w.Body.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(openAPIFile)
	if err != nil {
		t.Fatal(err)
	}
	if w.Body.String() != string(b) {
		t.Errorf("%s is not what the daemon says; run this test with -rewrite, and look at what changed", openAPIFile)
	}
	var doc struct {
		Paths      map[string]map[string]struct{ OperationID string }
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{PathMetrics: true}
	for _, p := range clientPaths(t) {
		known[p] = true
		if doc.Paths[p] == nil {
			t.Errorf("path %s of the client is not in the document", p)
		}
	}
	ids := map[string]bool{}
	for p, ops := range doc.Paths {
		if !known[p] {
			t.Errorf("path %s of the document is unknown to the client", p)
		}
		for m, op := range ops {
			if ids[op.OperationID] {
				t.Errorf("operation %s exists twice", op.OperationID)
			}
			ids[op.OperationID] = true
			// The route is there: it answers something else than "not found".
			w := httptest.NewRecorder()
			if p == client.PathWatch {
				continue
			}
			s.Handler().ServeHTTP(w, httptest.NewRequest(strings.ToUpper(m), p, strings.NewReader("{}")))
			if w.Code == 405 || w.Code == 404 && !strings.Contains(w.Body.String(), "Code") {
				t.Errorf("%s %s: %d %s", m, p, w.Code, w.Body)
			}
		}
	}
	for _, want := range []string{"Info", "Change", "Error", "FenceEntry"} {
		if len(doc.Components.Schemas[want].Properties) == 0 {
			t.Errorf("type %s is not described", want)
		}
	}
}

// clientPaths are the values of the constants Path... of package client.
func clientPaths(t *testing.T) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../client/wire.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, spec := range g.Specs {
			v := spec.(*ast.ValueSpec)
			if lit, ok := v.Values[0].(*ast.BasicLit); ok && strings.HasPrefix(v.Names[0].Name, "Path") {
				p, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, p)
			}
		}
	}
	if len(out) < 10 {
		t.Fatalf("only %d paths were found", len(out))
	}
	return out
}
