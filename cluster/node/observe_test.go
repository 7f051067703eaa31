package node

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"gcrm/cib"
)

func TestObserve(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "api", "testdata", "metrics.xml"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := cib.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	s, err := observe(doc, time.Unix(1795244400, 0))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Nodes) != 3 || !s.Nodes[0].Online || !s.Nodes[0].DC || !s.Nodes[1].Standby || s.Nodes[2].Online || !s.Nodes[2].Unclean {
		t.Errorf("nodes: %+v", s.Nodes)
	}
	found := map[string]bool{}
	for _, r := range s.Resources {
		found[r.ID] = true
		switch r.ID {
		case "web":
			if r.Group != "g" || r.Clone != "" || r.Agent != "ocf:heartbeat:apache" || !r.Managed {
				t.Errorf("web: %+v", r)
			}
		case "db":
			if r.Group != "" || r.Clone != "dbs" || r.Agent != "ocf:heartbeat:pgsql" {
				t.Errorf("db: %+v", r)
			}
		}
	}
	if !found["web"] || !found["ip"] || !found["db"] {
		t.Errorf("resources: %+v", s.Resources)
	}
}
