package cib

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// objectEdit is an edit of one object or one cluster property.
type objectEdit struct {
	target string // "section/id", "property/name"
	apply  func(*CIB)
}

// randomEdits makes edits of different objects of a document; their effects
// do not depend on each other.
func randomEdits(r *rand.Rand, c *CIB) []objectEdit {
	var out []objectEdit
	for s := range c.Configuration().Elements() {
		for o := range s.Elements() {
			if o.ID() == DefaultPropertySet {
				for _, p := range []string{"no-quorum-policy", "stonith-enabled", "cluster-name", "batch-limit"} {
					value := fmt.Sprint(r.IntN(1 << 20))
					remove := r.IntN(3) == 0
					out = append(out, objectEdit{"property/" + p, func(c *CIB) {
						set := c.Section("crm_config").ChildByID(DefaultPropertySet)
						if e := set.ChildByID(DefaultPropertySet + "-" + p); e == nil {
							set.Add(NewElement("nvpair", "id", DefaultPropertySet+"-"+p, "name", p, "value", value))
						} else if remove {
							set.Remove(e)
						} else {
							e.Set("value", value)
						}
					}})
				}
				continue
			}
			section, id := s.Name, o.ID()
			value := fmt.Sprint(r.IntN(1 << 20))
			kind := r.IntN(4)
			if kind == 0 && s.Name == "resources" {
				kind = 1 // a constraint might name it
			}
			out = append(out, objectEdit{section + "/" + id, func(c *CIB) {
				e := c.Section(section).ChildByID(id)
				switch kind {
				case 0:
					c.Section(section).Remove(e)
				case 1:
					e.Set("description", value)
				case 2:
					e.Add(NewElement("meta_attributes", "id", id+"-meta"+value).Add(NewElement("nvpair", "id", id+"-n"+value, "name", "x", "value", value)))
				case 3:
					e.Children = nil
				}
			}})
		}
	}
	for i := range r.IntN(4) {
		id := fmt.Sprintf("new%d", i)
		at := r.IntN(10)
		out = append(out, objectEdit{"resources/" + id, func(c *CIB) {
			s := c.Section("resources")
			s.Children = slices.Insert(s.Children, min(at, len(s.Children)), NewElement("primitive", "id", id, "class", "lsb", "type", "x"))
		}})
	}
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func applyAll(c *CIB, edits []objectEdit) *CIB {
	c = c.Clone()
	for _, e := range edits {
		e.apply(c)
	}
	return c
}

// TestMergeIsSomeSerialOrder: edits of different objects merge to what one
// after the other gives, in either order.
func TestMergeIsSomeSerialOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		base := randomCIB(r, 1+r.IntN(8))
		edits := randomEdits(r, base)
		n, k := r.IntN(len(edits)+1), 0
		k = n + r.IntN(len(edits)-n+1)
		mine, theirs := applyAll(base, edits[:n]), applyAll(base, edits[n:k])
		theirs.SetVersion(Version{1, 7, 3})
		texts := [3]string{base.String(), mine.String(), theirs.String()}
		merged, conflicts := Merge(base, mine, theirs)
		// A reference to what the other deleted cannot occur here, nor can
		// any other conflict.
		if len(conflicts) > 0 {
			t.Fatalf("conflicts %v\nbase\n%s\nmine\n%s\ntheirs\n%s", conflicts, base, mine, theirs)
		}
		serial := applyAll(theirs, edits[:n])
		if got, want := normalized(merged), normalized(serial); got != want {
			t.Fatalf("merged\n%s\nserial\n%s", got, want)
		}
		if got, want := normalized(merged), normalized(applyAll(mine, edits[n:k])); got != want {
			t.Fatalf("merged\n%s\nserial the other way round\n%s", got, want)
		}
		if merged.Version() != (Version{1, 7, 3}) {
			t.Fatal(merged.Version())
		}
		if texts != [3]string{base.String(), mine.String(), theirs.String()} {
			t.Fatal("an argument changed")
		}
	})
}

// TestMergeNeverLosesAChange: whatever both did, each object of the result is
// mine, theirs, or named in a conflict; and one side alone is taken as it is.
func TestMergeNeverLosesAChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
		base := randomCIB(r, 1+r.IntN(6))
		mine, theirs := base.Clone(), base.Clone()
		scramble(r, mine, r.IntN(8))
		scramble(r, theirs, r.IntN(8))
		for _, c := range [][3]*CIB{{base, mine, base}, {base, base, mine}, {base, mine, mine}} {
			m, conflicts := Merge(c[0], c[1], c[2])
			if len(conflicts) > 0 || !m.Configuration().Equal(mine.Configuration()) {
				t.Fatalf("one side only: %v\nbase\n%s\ngot\n%s\nwant\n%s", conflicts, base, m, mine)
			}
		}
		merged, conflicts := Merge(base, mine, theirs)
		named := map[string]bool{}
		for _, c := range conflicts {
			for _, e := range []*Element{c.Base, c.Mine, c.Theirs} {
				if e != nil {
					named[e.ID()] = true
				}
			}
		}
		for _, d := range Diff(base, mine) {
			if d.Kind == Moved || d.ID == "" || named[firstOf(d.New, d.Old).ID()] || isPairSet(d.New) {
				continue
			}
			now := merged.Section(d.Section).ChildByID(firstOf(d.New, d.Old).ID())
			if !same(now, d.New) && firstOf(d.New, d.Old).Has("id") {
				t.Fatalf("lost %v: %v\n%v\n%s", d, conflicts, now, d.New)
			}
		}
	})
}

func TestMergeConflicts(t *testing.T) {
	base := mustParse(t, `<cib validate-with="pacemaker-3.7"><configuration><crm_config><cluster_property_set id="cib-bootstrap-options"><nvpair id="n1" name="stonith-enabled" value="true"/></cluster_property_set></crm_config>
<nodes><node id="1" uname="alpha"/></nodes><resources><primitive id="a"/><primitive id="b"/><primitive id="c"/></resources><constraints/></configuration></cib>`)
	rsc := func(c *CIB) *Element { return c.Section("resources") }
	prop := func(c *CIB) *Element { return c.Section("crm_config").Children[0] }
	for name, c := range map[string]struct {
		mine, theirs func(*CIB)
		want         string
	}{
		"both changed":  {func(c *CIB) { rsc(c).ChildByID("a").Set("class", "x") }, func(c *CIB) { rsc(c).ChildByID("a").Set("type", "y") }, "[a: both changed it]"},
		"same change":   {func(c *CIB) { rsc(c).ChildByID("a").Set("class", "x") }, func(c *CIB) { rsc(c).ChildByID("a").Set("class", "x") }, "[]"},
		"deleted":       {func(c *CIB) { rsc(c).Remove(rsc(c).ChildByID("a")) }, func(c *CIB) { rsc(c).ChildByID("a").Set("type", "y") }, "[a: one deleted it, the other changed it]"},
		"both deleted":  {func(c *CIB) { rsc(c).Remove(rsc(c).ChildByID("a")) }, func(c *CIB) { rsc(c).Remove(rsc(c).ChildByID("a")) }, "[]"},
		"both created":  {func(c *CIB) { rsc(c).Add(NewElement("primitive", "id", "n", "class", "x")) }, func(c *CIB) { rsc(c).Add(NewElement("primitive", "id", "n")) }, "[n: both created it, differently]"},
		"option":        {func(c *CIB) { prop(c).Children[0].Set("value", "x") }, func(c *CIB) { prop(c).Children[0].Set("value", "y") }, "[cib-bootstrap-options: both changed stonith-enabled]"},
		"other options": {func(c *CIB) { prop(c).Children[0].Set("value", "x") }, func(c *CIB) { prop(c).Add(NewElement("nvpair", "id", "n2", "name", "x", "value", "y")) }, "[]"},
		"one option twice": {func(c *CIB) {
			prop(c).Children = append([]*Element{NewElement("nvpair", "id", "n9", "name", "stonith-enabled", "value", "x")}, prop(c).Children...)
		}, func(c *CIB) { prop(c).Children[0].Set("value", "y") }, "[]"},
		"node":     {func(c *CIB) { c.Nodes()[0].Element.Set("type", "x") }, func(c *CIB) { c.Nodes()[0].Element.Set("type", "y") }, "[alpha: both changed it]"},
		"dangling": {func(c *CIB) { c.Section("constraints").Add(NewElement("rsc_location", "id", "l", "rsc", "b")) }, func(c *CIB) { rsc(c).Remove(rsc(c).ChildByID("b")) }, "[l: one refers to b, the other deleted it]"},
		"dangling beside a tag": {func(c *CIB) { c.Section("constraints").Add(NewElement("rsc_location", "id", "l", "rsc", "b")) }, func(c *CIB) {
			c.EnsureSection("tags").Add(NewElement("tag", "id", "t").Add(NewElement("obj_ref", "id", "b")))
			rsc(c).Remove(rsc(c).ChildByID("b"))
		}, "[l: one refers to b, the other deleted it]"},
		"same id": {func(c *CIB) { rsc(c).ChildByID("a").Add(NewElement("x", "id", "i")) }, func(c *CIB) { rsc(c).ChildByID("b").Add(NewElement("x", "id", "i")) }, "[b: both gave away the id i]"},
		"order":   {func(c *CIB) { slices.Reverse(rsc(c).Children) }, func(c *CIB) { r := rsc(c).Children; r[0], r[1] = r[1], r[0] }, "[section resources: both changed the order]"},
		"schema":  {func(c *CIB) { c.Root.Set("validate-with", "a") }, func(c *CIB) { c.Root.Set("validate-with", "b") }, "[section cib: the schema was changed to a and to b]"},
		"grouped meanwhile": {func(c *CIB) { rsc(c).ChildByID("a").Set("class", "x") }, func(c *CIB) {
			a := rsc(c).ChildByID("a")
			rsc(c).Remove(a)
			rsc(c).Add(NewElement("group", "id", "g").Add(a))
		}, "[a: one changed it, the other deleted it]"},
	} {
		mine, theirs := base.Clone(), base.Clone()
		c.mine(mine)
		c.theirs(theirs)
		_, conflicts := Merge(base, mine, theirs)
		if got := fmt.Sprint(conflicts); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}

	// The order of what both added, and a change of order by one.
	mine, theirs := base.Clone(), base.Clone()
	rsc(mine).Children = []*Element{NewElement("p", "id", "m0"), rsc(mine).Children[2], rsc(mine).Children[0], NewElement("p", "id", "m1"), rsc(mine).Children[1]}
	rsc(theirs).Children = slices.Insert(rsc(theirs).Children, 1, NewElement("p", "id", "t1"))
	merged, conflicts := Merge(base, mine, theirs)
	var ids []string
	for e := range rsc(merged).Elements() {
		ids = append(ids, e.ID())
	}
	if got := strings.Join(ids, " "); got != "m0 c a t1 m1 b" || len(conflicts) > 0 {
		t.Errorf("%s %v", got, conflicts)
	}
}

// TestMergeWithoutIDs: of several elements without id, as documents of a newer
// schema may have them, what one side changed or deleted does not come back.
func TestMergeWithoutIDs(t *testing.T) {
	doc := func(notes ...string) *CIB {
		c := New()
		s := &Element{Name: "future"}
		for _, n := range notes {
			s.Add(&Element{Name: "note", Text: n})
		}
		c.Configuration().Add(s)
		return c
	}
	for _, c := range []struct{ base, mine, theirs, want []string }{
		{[]string{"a", "b"}, []string{"x", "a"}, []string{"x", "a", "b"}, []string{"x", "a"}},
		{[]string{"a"}, []string{"b", "c"}, []string{"b", "a"}, []string{"b", "c"}},
		{[]string{"a", "a"}, []string{"a"}, []string{"a", "a", "b"}, []string{"a", "b"}},
		{[]string{"a"}, []string{"b"}, []string{"a"}, []string{"b"}},
	} {
		merged, conflicts := Merge(doc(c.base...), doc(c.mine...), doc(c.theirs...))
		var got []string
		for n := range merged.Configuration().Child("future").Elements() {
			got = append(got, n.Text)
		}
		if len(conflicts) > 0 || !slices.Equal(got, c.want) {
			t.Errorf("base %v, mine %v, theirs %v: %v, want %v; conflicts %v", c.base, c.mine, c.theirs, got, c.want, conflicts)
		}
	}
	if _, conflicts := Merge(doc("a"), doc("b"), doc("c")); len(conflicts) == 0 {
		t.Error("two changes of the only note are no conflict")
	}
}
