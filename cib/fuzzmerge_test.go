package cib

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// tape hands out the bytes of a fuzzer's input one decision at a time; behind
// its end every decision is 0.
type tape struct{ left []byte }

func (t *tape) done() bool { return len(t.left) == 0 }

// below returns a number from 0 to n-1.
func (t *tape) below(n int) int {
	if n <= 0 || t.done() {
		return 0
	}
	b := t.left[0]
	t.left = t.left[1:]
	return int(b) % n
}

func pick[T any](t *tape, from []T) T { return from[t.below(len(from))] }

// What edits choose from. The pools are small, so that two series of edits
// often meet at one place, and hold what is hard on paths and on the codec.
var (
	editIDs = []string{"p0", "p1", "web", "g", "cl", "n1", "n2", "loc", "set", "both", "it's", `"q"`, `"'`, "a&<b>", "p0-m", "t"}
	editKey = []string{"description", "score", "value", "rsc", "with-rsc", "first", "then", "name", "id-ref", "x-new", "uname"}
	editVal = []string{"", "a", "b", "INFINITY", "100", "p0", "web", "g", "two\nlines\t", `"quoted" & <tagged>`, "ü€", " edge "}
	editOpt = []string{"stonith-enabled", "cluster-name", "target-role", "#health"}
)

// seedCIBs are what edits start from: an empty one, one with something of
// everything, one from the generator.
func seedCIBs() []*CIB {
	rich, err := Parse(`<cib validate-with="pacemaker-3.9" epoch="3" num_updates="0" admin_epoch="0"><configuration>
<crm_config><cluster_property_set id="cib-bootstrap-options"><nvpair id="n1" name="stonith-enabled" value="true"/><nvpair id="n2" name="cluster-name" value="x"/></cluster_property_set><cluster_property_set id="second" score="2"><rule id="r" score="1"/></cluster_property_set></crm_config>
<nodes><node id="1" uname="n1"/><node id="2" uname="n2"><instance_attributes id="nodes-2"><nvpair id="nodes-2-standby" name="standby" value="on"/></instance_attributes></node></nodes>
<resources><!-- what runs --><primitive id="p0" class="ocf" provider="heartbeat" type="Dummy"><instance_attributes id="p0-i"><nvpair id="p0-i-state" name="state" value="/a"/></instance_attributes><operations><op id="p0-monitor" name="monitor" interval="10s"/></operations></primitive>
<group id="g"><primitive id="p1" class="ocf" provider="heartbeat" type="Dummy"/><primitive id="web" class="systemd" type="nginx"/><meta_attributes id="p0-m"><nvpair id="p0-m-t" name="target-role" value="Stopped"/></meta_attributes></group>
<clone id="cl"><primitive id="t" class="lsb" type="x"><meta_attributes id-ref="p0-m"/></primitive></clone></resources>
<constraints><rsc_location id="loc" rsc="g" node="n1" score="100"/><rsc_colocation id="co" score="INFINITY" rsc="p0" with-rsc="g"/><rsc_order id="o"><resource_set id="set"><resource_ref id="p0"/><resource_ref id="g"/></resource_set></rsc_order></constraints>
<tags><tag id="tt"><obj_ref id="p0"/></tag></tags><rsc_defaults><meta_attributes id="d"><nvpair id="d-s" name="resource-stickiness" value="1"/></meta_attributes></rsc_defaults>
<future kind="unknown"><note id="note">some text</note><note>more</note></future></configuration><status/></cib>`)
	if err != nil {
		panic(err)
	}
	return []*CIB{New(), rich, randomCIB(rand.New(rand.NewPCG(4, 4)), 3)}
}

// editByBytes changes the configuration as a tape says. Sections stay single,
// and ids are not kept unique: people and programs give one away twice, too.
func editByBytes(c *CIB, t *tape) {
	conf := c.Configuration()
	isSection := map[*Element]bool{}
	for steps := 0; steps < 24 && !t.done(); steps++ {
		clear(isSection)
		isSection[conf] = true
		for s := range conf.Elements() {
			isSection[s] = true
		}
		var all, inner, inSections []*Element
		parent := map[*Element]*Element{}
		conf.Walk(func(e *Element) bool {
			for _, k := range e.Children {
				parent[k] = e
			}
			if e.IsComment() {
				return true
			}
			all = append(all, e)
			if !isSection[e] {
				inner = append(inner, e)
			}
			if e != conf {
				inSections = append(inSections, e)
			}
			return true
		})
		op := t.below(16)
		if len(inner) == 0 && op != 3 && op != 4 && op != 12 {
			op = 3
		}
		switch op {
		case 0, 1:
			pick(t, all).Set(pick(t, editKey), pick(t, editVal))
		case 2:
			if e := pick(t, all); len(e.Attrs) > 0 {
				e.Unset(pick(t, e.Attrs).Name)
			}
		case 3, 4:
			e := pick(t, inSections)
			e.Children = slices.Insert(e.Children, t.below(len(e.Children)+1), elementByBytes(t))
		case 5:
			e := pick(t, inner)
			parent[e].Remove(e)
		case 6: // into another element, not into itself
			e, to := pick(t, inner), pick(t, inSections)
			inside := false
			e.Walk(func(x *Element) bool { inside = inside || x == to; return true })
			if !inside {
				parent[e].Remove(e)
				to.Children = slices.Insert(to.Children, t.below(len(to.Children)+1), e)
			}
		case 7: // another place among the siblings
			e := pick(t, inner)
			p := parent[e]
			p.Remove(e)
			p.Children = slices.Insert(p.Children, t.below(len(p.Children)+1), e)
		case 8:
			set := pick(t, []string{"meta_attributes", "instance_attributes"})
			value := pick(t, editVal)
			e := pick(t, inner)
			c.SetPair(e, HomeSet(e, set), pick(t, editOpt), &value)
		case 9:
			if s := conf.Child("crm_config"); s != nil {
				value := pick(t, editVal)
				name := pick(t, editOpt)
				in := PairSet{Element: "cluster_property_set", ID: DefaultPropertySet}
				if t.below(3) == 0 {
					c.SetPair(s, in, name, nil)
				} else {
					c.SetPair(s, in, name, &value)
				}
			}
		case 10:
			pick(t, inner).Set("id", pick(t, editIDs))
		case 11: // text of elements that nobody knows
			if e := pick(t, inner); len(e.Children) == 0 {
				e.Text = pick(t, editVal)
			}
		case 12:
			name := pick(t, []string{"tags", "alerts", "acls", "rsc_defaults", "op_defaults", "fencing-topology", "strange"})
			if s := conf.Child(name); s != nil && t.below(2) == 0 {
				conf.Remove(s)
			} else if s == nil && sectionRank(&Element{Name: name}) >= 0 {
				c.EnsureSection(name)
			} else if s == nil {
				conf.Children = slices.Insert(conf.Children, t.below(len(conf.Children)+1), &Element{Name: name})
			}
		case 13:
			Delete(c, pick(t, editIDs))
		case 14:
			Rename(c, pick(t, editIDs), pick(t, editIDs))
		case 15:
			e := pick(t, inner)
			if p := parent[e]; p.Name == "resources" && e.Name == "primitive" {
				*e = Element{Name: "group", Attrs: []Attr{{"id", "grp-" + e.ID()}}, Children: []*Element{e.Clone()}}
			} else if e.Name == "group" {
				AddMember(c, e.ID(), pick(t, editIDs), "", "")
			}
		}
	}
}

func elementByBytes(t *tape) *Element {
	id := pick(t, editIDs)
	switch t.below(9) {
	case 0, 1:
		return NewElement("primitive", "id", id, "class", "ocf", "provider", "heartbeat", "type", pick(t, []string{"Dummy", "Stateful"}))
	case 2:
		return NewElement("nvpair", "id", id, "name", pick(t, editOpt), "value", pick(t, editVal))
	case 3:
		return NewElement("nvpair", "id-ref", id)
	case 4:
		return NewElement("rsc_location", "id", "loc-"+id, "rsc", pick(t, editIDs), "node", "n1", "score", "1")
	case 5:
		return NewElement("rsc_order", "id", "o-"+id, "first", pick(t, editIDs), "then", pick(t, editIDs))
	case 6:
		return &Element{Name: CommentName, Text: pick(t, []string{"", " a ", " <b/> ", "&"})}
	case 7:
		return &Element{Name: "note", Text: pick(t, editVal)}
	}
	return NewElement("tag", "id", id).Add(NewElement("obj_ref", "id", pick(t, editIDs)))
}

// FuzzDiffMerge lets bytes decide two series of edits of one document, and
// checks what patches, differences and merges promise of any such pair.
func FuzzDiffMerge(f *testing.F) {
	r := rand.New(rand.NewPCG(2, 1))
	for i := range 9 {
		mine, theirs := make([]byte, 8+3*i), make([]byte, 8+3*i)
		for j := range mine {
			mine[j], theirs[j] = byte(r.Uint32()), byte(r.Uint32())
		}
		f.Add(byte(i), mine, theirs)
	}
	seeds := seedCIBs()
	f.Fuzz(func(t *testing.T, seed byte, forMine, forTheirs []byte) {
		base := seeds[int(seed)%len(seeds)].Clone()
		mine, theirs := base.Clone(), base.Clone()
		editByBytes(mine, &tape{forMine})
		editByBytes(theirs, &tape{forTheirs})
		theirs.SetVersion(Version{0, 9, 2})
		docs := []*CIB{base, mine, theirs}
		var before []string
		for _, c := range docs {
			before = append(before, c.String())
			checkCodec(t, c)
		}
		for _, pair := range [][2]*CIB{{base, mine}, {theirs, base}, {mine, theirs}} {
			checkPatch(t, pair[0], pair[1])
			checkPatch(t, pair[1], pair[0])
			checkDiff(t, pair[0], pair[1])
		}
		checkMerge(t, base, mine, theirs)
		for _, c := range docs {
			Verify(c, someAgents, VerifyOptions{})
		}
		for i, c := range docs {
			if c.String() != before[i] {
				t.Fatal("a document changed under the hands of its readers")
			}
		}
	})
}

// checkCodec: reading what was written gives the document.
func checkCodec(t *testing.T, c *CIB) {
	t.Helper()
	again, err := Parse(c.String())
	if err != nil || !again.Root.Equal(c.Root) || again.String() != c.String() {
		t.Fatalf("%v: written\n%s\nread\n%s", err, c, again)
	}
}

// checkPatch: a patch leads from one document to the other, also as text, and
// there is none only between equal ones.
func checkPatch(t *testing.T, from, to *CIB) {
	t.Helper()
	p := MakePatch(from, to)
	if p == nil {
		if !from.Root.Equal(to.Root) {
			t.Fatalf("no patch between\n%s\nand\n%s", from, to)
		}
		return
	}
	if from.Root.Equal(to.Root) {
		t.Fatalf("a patch between equal documents:\n%s", p)
	}
	sent, err := ParseElement(p.String(), DefaultLimits)
	if err != nil {
		t.Fatalf("%v\n%s", err, p)
	}
	got, err := from.ApplyPatch(sent)
	if err != nil || !got.Root.Equal(to.Root) {
		t.Fatalf("%v\nfrom\n%s\npatch\n%s\ngot\n%s\nwant\n%s", err, from, p, got, to)
	}
}

// checkDiff: the differences name each object that is not the same, and only
// those, and say of the way back the opposite.
func checkDiff(t *testing.T, from, to *CIB) {
	t.Helper()
	there, back := Diff(from, to), Diff(to, from)
	opposite := map[ChangeKind]ChangeKind{Added: Removed, Removed: Added, Changed: Changed, Moved: Moved}
	count := func(list []ObjectChange, turn bool) map[string]int {
		out := map[string]int{}
		for _, c := range list {
			kind := c.Kind
			if turn {
				kind = opposite[kind]
			}
			if kind == Moved {
				continue // which of two that changed places has moved is a matter of taste
			}
			e := firstOf(c.Old, c.New) // not c.ID: a node may have changed its name
			key := fmt.Sprint(kind, " ", c.Section)
			if c.ID != "" {
				key = fmt.Sprint(key, " ", e.Name, " ", firstNonEmpty(e.ID(), e.Get("id-ref")))
			}
			out[key]++
		}
		return out
	}
	// An object that changed and moved is told as changed either way.
	if x, y := count(there, false), count(back, true); fmt.Sprint(x) != fmt.Sprint(y) {
		t.Fatalf("there %v, back %v\nfrom\n%s\nto\n%s", x, y, from, to)
	}
	objects := func(c *CIB) map[string][]string {
		out := map[string][]string{}
		for s := range c.Configuration().Elements() {
			for o := range s.Elements() {
				out[s.Name] = append(out[s.Name], canonical(o))
			}
		}
		return out
	}
	same := func(in map[string][]string, section string, e *Element) bool {
		return e != nil && slices.Contains(in[section], canonical(e))
	}
	old, new := objects(from), objects(to)
	for _, c := range there {
		if c.ID == "" {
			continue // the section itself
		}
		if c.Old != nil && !same(old, c.Section, c.Old) || c.New != nil && !same(new, c.Section, c.New) {
			t.Fatalf("%v speaks of what is not there\nfrom\n%s\nto\n%s", c, from, to)
		}
	}
	// Replaying the differences on the multisets of objects gives the new ones.
	for section := range new {
		if _, ok := old[section]; !ok {
			old[section] = nil
		}
	}
	for section := range old {
		have := slices.Clone(old[section])
		for _, c := range there {
			if c.Section != section || c.Old == nil || c.Kind == Moved || c.New == nil && c.Old.Name == section || c.Old == from.Section(section) {
				continue
			}
			i := slices.Index(have, canonical(c.Old))
			if i < 0 {
				t.Fatalf("%v twice\nfrom\n%s\nto\n%s", c, from, to)
			}
			have = slices.Delete(have, i, i+1)
		}
		for _, c := range there {
			if c.Section == section && c.New != nil && c.Kind != Moved && c.New != to.Section(section) {
				have = append(have, canonical(c.New))
			}
		}
		slices.Sort(have)
		want := slices.Clone(new[section])
		slices.Sort(want)
		if !slices.Equal(have, want) {
			t.Fatalf("section %s after %v is\n%s\nwant\n%s", section, there, strings.Join(have, ""), strings.Join(want, ""))
		}
	}
}

// checkMerge: one side alone is taken as it is; both ways round there are
// conflicts or there are none; without them nothing is lost, nothing is made
// up, nothing new is ambiguous or dangling, and where every element can be told
// from its siblings merging once more changes nothing.
func checkMerge(t *testing.T, base, mine, theirs *CIB) {
	t.Helper()
	for _, c := range [][3]*CIB{{base, mine, base}, {base, base, mine}, {base, mine, mine}} {
		m, conflicts := Merge(c[0], c[1], c[2])
		if len(conflicts) > 0 || !m.Configuration().Equal(mine.Configuration()) {
			t.Fatalf("one side only: %v\nbase\n%s\ngot\n%s\nwant\n%s", conflicts, base, m, mine)
		}
	}
	merged, conflicts := Merge(base, mine, theirs)
	checkCodec(t, merged)
	turned, other := Merge(base, theirs, mine)
	fail := func(format string, a ...any) {
		t.Helper()
		t.Fatalf("%s\nbase\n%s\nmine\n%s\ntheirs\n%s\nmerged\n%s", fmt.Sprintf(format, a...), base, mine, theirs, merged)
	}
	if (len(conflicts) > 0) != (len(other) > 0) {
		fail("conflicts %v, the other way round %v", conflicts, other)
	}
	if len(conflicts) > 0 {
		for _, c := range conflicts {
			if c.Reason == "" || c.Section == "" {
				fail("a conflict without place or reason: %#v", c)
			}
		}
		return
	}
	if normalized(merged) != normalized(turned) {
		fail("the other way round it is\n%s", turned)
	}
	if merged.Version() != theirs.Version() {
		fail("version %v", merged.Version())
	}
	im, it, ix := NewIndex(mine), NewIndex(theirs), NewIndex(merged)
	unique := len(im.Duplicates()) == 0 && len(it.Duplicates()) == 0
	// Of siblings with one name and no id, or references to one, nobody knows
	// afterwards which is which.
	told := unique
	for _, c := range []*CIB{base, mine, theirs} {
		c.Root.Walk(func(e *Element) bool {
			told = told && !slices.ContainsFunc(keyedChildren(e, false), func(k keyedElement) bool { return strings.Contains(k.key, "\x02") })
			return told
		})
	}
	if again, conflicts := Merge(base, mine, merged); told && (len(conflicts) > 0 || normalized(again) != normalized(merged)) {
		fail("merging mine once more: %v\n%s", conflicts, again)
	}
	type object struct{ section, text string }
	objects := func(c *CIB) map[object]int {
		out := map[object]int{}
		for s := range c.Configuration().Elements() {
			for o := range s.Elements() {
				if isPairSet(o) {
					for p := range o.Elements() {
						out[object{s.Name + "/" + o.ID(), canonical(p)}]++
					}
					continue
				}
				out[object{s.Name, canonical(o)}]++
			}
		}
		return out
	}
	b, x, y, m := objects(base), objects(mine), objects(theirs), objects(merged)
	all := map[object]bool{}
	for _, set := range []map[object]int{b, x, y, m} {
		for o := range set {
			all[o] = true
		}
	}
	for o := range all {
		// What one side left alone is as the other side has it; what both
		// did alike is as both have it. Where an id stands for several
		// elements nobody knows which of them a side left alone: then nothing
		// is made up, and what all have is kept.
		switch {
		case !unique && (m[o] > x[o]+y[o] || m[o] < min(b[o], x[o], y[o])):
			fail("of %s %s base has %d, mine %d, theirs %d, merged %d", o.section, o.text, b[o], x[o], y[o], m[o])
		case !unique:
		case x[o] == b[o] && m[o] != y[o], y[o] == b[o] && m[o] != x[o], x[o] == y[o] && m[o] != x[o]:
			fail("of %s %s base has %d, mine %d, theirs %d, merged %d", o.section, o.text, b[o], x[o], y[o], m[o])
		}
	}
	if unique && len(ix.Duplicates()) > 0 {
		fail("id %s is there twice", ix.Duplicates()[0].Element.ID())
	}
	dangling := func(x *Index) map[string]bool {
		out := map[string]bool{}
		for _, r := range x.AllReferences() {
			if r.Hard && x.Element(r.ID) == nil {
				out[r.ID] = true
			}
		}
		return out
	}
	dm, dt := dangling(im), dangling(it)
	for id := range dangling(ix) {
		if !dm[id] && !dt[id] {
			fail("%s dangles in the result alone", id)
		}
	}
}
