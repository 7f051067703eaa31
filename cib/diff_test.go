package cib

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestDiff(t *testing.T) {
	old := mustParse(t, `<cib><configuration><crm_config/><nodes><node id="1" uname="alpha"/></nodes><resources>
<primitive id="a"/><primitive id="b"/><primitive id="c"/></resources><constraints/></configuration></cib>`)
	new := mustParse(t, `<cib><configuration><crm_config/><nodes><node id="1" uname="alpha" type="remote"/></nodes><resources>
<primitive id="c"/><!-- no difference --><primitive id="a" class="x"/><primitive id="d"/></resources><constraints/><tags/></configuration></cib>`)
	var got []string
	for _, c := range Diff(old, new) {
		got = append(got, c.String())
	}
	want := []string{"changed node alpha", "moved primitive c", "changed primitive a", "added primitive d", "removed primitive b", "added section tags"}
	if !slices.Equal(got, want) && !slices.Equal(got, []string{"changed node alpha", "changed primitive a", "added primitive d", "removed primitive b", "added section tags"}) {
		t.Errorf("got %q", got)
	}
	if d := Diff(old, old.Clone()); len(d) != 0 {
		t.Error(d)
	}
	if s := Summary(Diff(old, new)); !strings.HasPrefix(s, "added d and tags, changed alpha and a, removed b") {
		t.Error(s)
	}
}

func TestPatchText(t *testing.T) {
	old := mustParse(t, `<cib epoch="1" num_updates="0" admin_epoch="0"><configuration><crm_config/><nodes/><resources><primitive id="a"/><primitive id="b"/></resources><constraints/></configuration><status/></cib>`)
	new := mustParse(t, `<cib epoch="2" num_updates="0" admin_epoch="0"><configuration><crm_config/><nodes/><resources><primitive id="n"/><primitive id="a" type="x"/></resources><constraints/></configuration><status/></cib>`)
	got := MakePatch(old, new).String()
	want := `<diff format="2">
  <version>
    <source admin_epoch="0" epoch="1" num_updates="0"/>
    <target admin_epoch="0" epoch="2" num_updates="0"/>
  </version>
  <change operation="modify" path="/cib">
    <change-list>
      <change-attr name="epoch" operation="set" value="2"/>
    </change-list>
    <change-result>
      <cib epoch="2" num_updates="0" admin_epoch="0"/>
    </change-result>
  </change>
  <change operation="modify" path="/cib/configuration/resources/primitive[@id='a']">
    <change-list>
      <change-attr name="type" operation="set" value="x"/>
    </change-list>
    <change-result>
      <primitive id="a" type="x"/>
    </change-result>
  </change>
  <change operation="delete" path="/cib/configuration/resources/primitive[@id='b']"/>
  <change operation="create" path="/cib/configuration/resources" position="0">
    <primitive id="n"/>
  </change>
</diff>
`
	if got != want {
		t.Errorf("got\n%s", got)
	}
	if MakePatch(old, old.Clone()) != nil {
		t.Error("a patch of nothing")
	}
	if _, err := new.ApplyPatch(MakePatch(old, new)); !errors.Is(err, ErrConflict) {
		t.Errorf("wrong base: %v", err)
	}
	for _, bad := range []string{`<x/>`, `<diff format="1"/>`, `<diff format="2"><change operation="delete" path="/cib/configuration/nothing"/></diff>`,
		`<diff format="2"><change operation="delete" path="/cib"/></diff>`, `<diff format="2"><change operation="frob" path="/cib"/></diff>`,
		`<diff format="2"><change operation="create" path="/cib/configuration[1]" position="0"><a/></change></diff>`,
		`<diff format="2"><change operation="move" path="/cib" position="0"/></diff>`, `<diff format="2"><change operation="create" path="/cib"/></diff>`,
		`<diff format="2"><change operation="modify" path="/cib"><change-list><change-attr name="1" operation="set" value="2"/></change-list></change></diff>`} {
		e, err := ParseElement(bad, DefaultLimits)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := old.ApplyPatch(e); err == nil {
			t.Errorf("accepted %s", bad)
		}
	}
}

// TestPatchRoundTrip: for any two documents, the patch between them leads
// from one to the other.
func TestPatchRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		old := randomCIB(r, 1+r.IntN(8))
		scramble(r, old, r.IntN(4))
		new := old.Clone()
		scramble(r, new, r.IntN(10))
		new.SetVersion(Version{0, int64(r.IntN(3)), int64(r.IntN(3))})
		before := old.String()
		patch := MakePatch(old, new)
		if patch == nil {
			if !old.Root.Equal(new.Root) {
				t.Fatal("no patch between different documents")
			}
			return
		}
		text := patch.String()
		parsed, err := ParseElement(text, DefaultLimits)
		if err != nil {
			t.Fatal(err)
		}
		got, err := old.ApplyPatch(parsed)
		if err != nil {
			t.Fatalf("%v\nold\n%s\nnew\n%s\npatch\n%s", err, before, new, text)
		}
		if !got.Root.Equal(new.Root) {
			t.Fatalf("old\n%s\npatch\n%s\ngot\n%s\nwant\n%s", before, text, got, new)
		}
		if old.String() != before {
			t.Fatal("the document itself changed")
		}
		if parsed.String() != text {
			t.Fatal("the patch changed")
		}
	})
}

// TestPatchAgainstOracle lets crm_diff apply our patches and us apply its.
func TestPatchAgainstOracle(t *testing.T) {
	if _, err := exec.LookPath("crm_diff"); err != nil {
		t.Skip("crm_diff is not installed (Debian: pacemaker-cli-utils)")
	}
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 5))
		old := randomCIB(r, 6)
		new := old.Clone()
		// What the tool itself compares well: objects that come, go, move
		// and change. (It knows no element by id-ref.)
		rsc := new.Section("resources")
		switch rsc.Children = slices.DeleteFunc(rsc.Children, func(*Element) bool { return r.IntN(5) == 0 }); r.IntN(3) {
		case 0:
			rsc.Children = slices.Insert(rsc.Children, r.IntN(len(rsc.Children)+1), randomPrimitive(r, 100))
		case 1:
			if len(rsc.Children) > 1 { // one goes to the end
				rsc.Children = append(rsc.Children[1:len(rsc.Children):len(rsc.Children)], rsc.Children[0])
			}
		}
		for e := range rsc.Elements() {
			if r.IntN(3) == 0 {
				e.Set("description", fmt.Sprint("d", r.IntN(100)))
			}
			if r.IntN(3) == 0 {
				e.Add(NewElement("meta_attributes", "id", e.ID()+"-m").Add(randomPair(r, e.ID()+"-m", "priority")))
			}
		}
		new.SetVersion(Version{0, 1, 0})
		fo, fn := file("old.xml", old.String()), file("new.xml", new.String())

		fp := file("patch.xml", MakePatch(old, new).String())
		out, err := exec.Command("crm_diff", "-o", fo, "-p", fp).CombinedOutput()
		if err != nil {
			t.Fatalf("crm_diff refuses our patch: %v\n%s", err, out)
		}
		theirs, err := Parse(string(out))
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if !theirs.Configuration().Equal(new.Configuration()) {
			t.Errorf("seed %d: crm_diff makes of our patch\n%s\nwant\n%s\npatch\n%s", seed, theirs.Configuration(), new.Configuration(), MakePatch(old, new))
		}

		out, err = exec.Command("crm_diff", "-o", fo, "-n", fn).Output()
		if err != nil && len(out) == 0 {
			t.Fatal(err)
		}
		patch, err := ParseElement(string(out), DefaultLimits)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		ours, err := old.ApplyPatch(patch)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, out)
		}
		if !ours.Configuration().Equal(new.Configuration()) {
			t.Errorf("seed %d: of crm_diff's patch\n%s\nwe make\n%s\nwant\n%s", seed, out, ours.Configuration(), new.Configuration())
		}
	}
}
