package embedded

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gcrm/cib"
	"gcrm/cluster/consensus"
)

// A lost node is fenced, which takes its vote. A byte of a node's log is flipped while it is off. It refuses to start
// and says what to do; when that is done it gets everything from the others.
func TestDamagedNodeComesBackFromTheOthers(t *testing.T) {
	c := start(t, Config{Nodes: 3, Agents: withDevice()})
	one := connect(t, c, 1)
	alter(t, one, func(conf *cib.Element) {
		conf.Child("resources").Add(cib.NewElement("primitive", "id", "switch", "class", "stonith", "type", "fence_test"))
	})
	set(t, one, "stonith-action", "off") // so that it does not start by itself
	set(t, one, "marker", "precious")
	eventually(t, patience, "node2, too, has the marker", func() bool {
		s, _ := c.nodes()["node2"].Consensus().State()
		m, _ := s.CIB.Property("marker")
		return m == "precious"
	})
	if err := c.Kill(2); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(c.StateDir(), "node2", "consensus")
	db := filepath.Join(state, "raft.db")
	data, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	bad := slices.Clone(data)
	at := 0
	for n := 0; ; n++ {
		i := bytes.Index(bad[at:], []byte("precious"))
		if i < 0 {
			if n == 0 {
				t.Fatal("the marker is not in the log")
			}
			break
		}
		at += i
		bad[at] ^= 4
	}
	if err := os.WriteFile(db, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	err = c.Restart(2)
	var d *consensus.DamageError
	if !errors.As(err, &d) || !strings.HasSuffix(d.Path, filepath.Join("node2", "consensus", "raft.db")) || !strings.Contains(err.Error(), "log entry") {
		t.Fatalf("the damage is not named: %v", err)
	}
	eventually(t, patience, "the others have taken it out of the electorate", func() bool {
		for _, n := range c.nodes() {
			if voters, _, err := n.Consensus().Electorate(); err != nil || slices.Contains(voters, "node2") {
				return false
			}
		}
		return true
	})
	if err := os.Rename(state, state+".damaged"); err != nil {
		t.Fatal(err)
	}
	if err := c.Restart(2); err != nil {
		t.Fatal(err)
	}
	two := connect(t, c, 2)
	if m, _ := document(t, two).Property("marker"); m != "precious" {
		t.Errorf("node2 has the marker %q", m)
	}
	eventually(t, patience, "node2 votes again", func() bool {
		voters, _, err := c.nodes()["node2"].Consensus().Electorate()
		return err == nil && slices.Contains(voters, "node2") && len(voters) == 3
	})
}
