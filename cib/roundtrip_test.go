package cib

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestCorpusRoundTrip: what is read and written again is the same, for every
// XML file of the conformance cases.
func TestCorpusRoundTrip(t *testing.T) {
	root := "../../shared/conformance"
	if _, err := os.Stat(root); err != nil {
		t.Skip("no conformance cases beside the repository (../shared/conformance): ", err)
	}
	n := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".xml" {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		e, err := ParseElement(string(raw), DefaultLimits)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return nil
		}
		n++
		text := e.String()
		again, err := ParseElement(text, DefaultLimits)
		if err != nil || !e.Equal(again) || again.String() != text {
			t.Errorf("%s differs after a round trip: %v", path, err)
		}
		return nil
	})
	if err != nil || n < 100 {
		t.Errorf("%d files, %v", n, err)
	}
	t.Logf("%d files", n)
}

// TestMadeByUsPassesCrmVerify lets the real tool judge documents that went
// through everything here: made, changed, committed, patched, merged.
func TestMadeByUsPassesCrmVerify(t *testing.T) {
	tool, err := exec.LookPath("crm_verify")
	if err != nil {
		t.Skip("crm_verify is not installed (Debian: pacemaker-cli-utils)")
	}
	path := filepath.Join(t.TempDir(), "cib.xml")
	check := func(what string, c *CIB) {
		t.Helper()
		// Fencing is not what is looked at.
		if c.Section("crm_config").ChildByID(DefaultPropertySet) == nil {
			c = c.Clone()
			c.Section("crm_config").Add(NewElement("cluster_property_set", "id", DefaultPropertySet).Add(
				NewElement("nvpair", "id", "off", "name", "stonith-enabled", "value", "false")))
		}
		if err := SaveFile(path, c); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(tool, "-V", "-x", path).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s\n%s", what, err, out, c)
		}
	}
	c := New()
	check("an empty CIB", c)
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 9))
		next := randomCIB(r, 8)
		next.Section("crm_config").Children = nil
		next, err := c.Apply(Change{Origin: Origin{User: "u", Node: "n"}, Configuration: &ConfigurationChange{Base: c.Version(), XML: next.Configuration().String()}})
		if err != nil {
			t.Fatal(err)
		}
		next, err = next.Apply(Change{Status: &StatusChange{Edits: []StatusEdit{
			{Node: &NodeStateEdit{ID: "1", Uname: "node1", Attributes: []Attr{{"in_ccm", "true"}, {"crmd", "online"}, {"join", "member"}, {"expected", "member"}}}},
			opEdit("1", "p0", "p0_last_0", "0"),
			{Attribute: &AttributeEdit{Node: "1", Name: "fail-count-p0#start_0", Add: true}},
			{Ticket: &TicketEdit{ID: "T", Attributes: []Attr{{"granted", "true"}}}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		if p := CheckSchema(next, ""); len(p) > 0 {
			t.Fatal(p)
		}
		check(fmt.Sprintf("seed %d", seed), next)
		mine := next.Clone()
		var top []string
		for e := range mine.Section("resources").Elements() {
			top = append(top, e.ID())
		}
		if _, err := Delete(mine, top[0]); err != nil {
			t.Fatal(err)
		}
		check(fmt.Sprintf("seed %d after delete", seed), mine)
		if len(top) > 1 {
			if _, err := Rename(mine, top[1], "renamed"); err != nil {
				t.Fatal(err)
			}
		}
		patched, err := next.ApplyPatch(MakePatch(next, mine))
		if err != nil {
			t.Fatal(err)
		}
		check(fmt.Sprintf("seed %d after rename and patch", seed), patched)
	}
}

// FuzzPatch gives arbitrary patches to a document: nothing panics, the
// document stays, and what is accepted is a document.
func FuzzPatch(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	base := randomCIB(r, 5)
	for range 4 {
		next := base.Clone()
		scramble(r, next, 5)
		if p := MakePatch(base, next); p != nil {
			f.Add(p.String())
		}
	}
	f.Add(`<diff format="2"><change operation="move" path="/cib/configuration/resources/group[@id='g0']" position="99"/></diff>`)
	text := base.String()
	f.Fuzz(func(t *testing.T, patch string) {
		e, err := ParseElement(patch, Limits{Bytes: 1 << 16, Depth: 32, Nodes: 1000, Attrs: 32})
		if err != nil {
			return
		}
		got, err := base.ApplyPatch(e)
		if base.String() != text {
			t.Fatal("the document changed")
		}
		if err == nil {
			if again, err := Parse(got.String()); err != nil || !again.Root.Equal(got.Root) {
				t.Fatalf("%v\n%s", err, got)
			}
		}
	})
}

// FuzzAgentMeta: what agents print never breaks the reader.
func FuzzAgentMeta(f *testing.F) {
	f.Add(ipMeta)
	f.Add(fenceMeta)
	f.Add(`<!DOCTYPE a><resource-agent/>`)
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseAgentMeta(text)
		if err == nil {
			for _, p := range m.Params {
				if m.Param(p.Name) == nil {
					t.Fatalf("%q is listed and not found", p.Name)
				}
			}
			m.Promotable()
		}
	})
}
