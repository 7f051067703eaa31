package api

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"gcrm/cib"
	"gcrm/cluster/client"
)

func TestConfigurationIsCheckedWithItsSchema(t *testing.T) {
	m := newMemory()
	socket := filepath.Join(t.TempDir(), "s")
	serve(t, m, socket)
	c, err := client.Dial(socket, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	commit := func(schema string, resources ...*cib.Element) error {
		conf := m.doc.Configuration().Clone()
		conf.Child("resources").Children = resources
		_, err := c.Apply(t.Context(), cib.Change{Configuration: &cib.ConfigurationChange{
			Base: m.doc.Version(), XML: conf.String(), Schema: schema}})
		return err
	}
	refused := func(err error, words ...string) {
		t.Helper()
		var e *client.Error
		if !errors.As(err, &e) || e.Code != client.CodeRefused {
			t.Errorf("not refused: %v", err)
			return
		}
		for _, w := range words {
			if !strings.Contains(e.Text, w) {
				t.Errorf("%q does not tell of %q", e.Text, w)
			}
		}
	}
	good := cib.NewElement("primitive", "id", "good", "class", "ocf", "provider", "heartbeat", "type", "Dummy")
	if err := commit("", good); err != nil {
		t.Fatalf("a valid configuration: %v", err)
	}
	before := m.doc.Version()
	refused(commit("", good, cib.NewElement("primitive", "id", "bad", "class", "ocf", "color", "blue")), "bad", "color")
	refused(commit("", good, cib.NewElement("nonsense", "id", "n")), "nonsense")
	refused(commit("", good, good.Clone()), "good")
	refused(commit("no-schema", good))
	var many []*cib.Element
	for _, id := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		many = append(many, cib.NewElement("nonsense", "id", id))
	}
	refused(commit("", many...), "and 2 more")
	if m.doc.Version() != before {
		t.Errorf("a refused configuration was committed: %v", m.doc)
	}
	// A stale base is a conflict, however bad the rest is.
	_, err = c.Apply(t.Context(), cib.Change{Configuration: &cib.ConfigurationChange{XML: "<configuration><nonsense/></configuration>"}})
	if !errors.Is(err, cib.ErrConflict) {
		t.Errorf("stale: %v", err)
	}
	// Without a schema everything goes that has a structure; back under one,
	// what was wrong before does not stop what is right.
	odd := cib.NewElement("nonsense", "id", "n")
	if err := commit("none", odd); err != nil {
		t.Errorf("validate-with=none: %v", err)
	}
	m.doc.Root.Set("validate-with", cib.DefaultSchema)
	if err := commit("", odd, good); err != nil {
		t.Errorf("an old problem stops a new resource: %v", err)
	}
	refused(commit("", odd, good, cib.NewElement("worse", "id", "w")), "worse")
	// The status section is the daemon's.
	if _, err := c.Apply(t.Context(), status("a", "1")); err != nil {
		t.Errorf("status: %v", err)
	}
}
