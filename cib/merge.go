package cib

import (
	"fmt"
	"slices"
)

// Conflict is an object that two changes of one configuration both touch.
type Conflict struct {
	Section string
	ID      string // of the object (uname of a node), or "" for the section itself
	// Base, Mine and Theirs are its three states; nil where it does not exist.
	Base, Mine, Theirs *Element
	Reason             string // what both did, in words
}

func (c Conflict) String() string {
	if c.ID == "" {
		return fmt.Sprintf("section %s: %s", c.Section, c.Reason)
	}
	return fmt.Sprintf("%s: %s", c.ID, c.Reason)
}

// Merge combines two changes of base into one configuration. Changes of
// different objects (children of a section), and of different options in one
// property or defaults set, go together. What both changed in different ways
// is a conflict, for which the result has their state.
//
// Everything but the configuration (version, status, authorship) is theirs, as
// the version that the result has to be committed on; the schema is mine if I
// changed it. The arguments stay untouched; the result shares parts with them.
// The cost is linear.
func Merge(base, mine, theirs *CIB) (merged *CIB, conflicts []Conflict) {
	m := &merger{}
	root := &Element{Name: theirs.Root.Name, Attrs: slices.Clone(theirs.Root.Attrs), Children: slices.Clone(theirs.Root.Children)}
	conf := m.configuration(base.Configuration(), mine.Configuration(), theirs.Configuration())
	root.Children[indexNamed(root, "configuration")] = conf
	if b, x, y := base.Schema(), mine.Schema(), theirs.Schema(); x != b {
		if y != b && y != x {
			m.conflict(Conflict{Section: "cib", Reason: fmt.Sprintf("the schema was changed to %s and to %s", x, y)})
		} else {
			root.Set("validate-with", x)
		}
	}
	merged = &CIB{Root: root}
	if len(m.conflicts) == 0 {
		m.crossing(base, mine, theirs, merged)
	}
	return merged, m.conflicts
}

type merger struct{ conflicts []Conflict }

func (m *merger) conflict(c Conflict) { m.conflicts = append(m.conflicts, c) }

func (m *merger) configuration(base, mine, theirs *Element) *Element {
	out := m.shell("configuration", base, mine, theirs)
	out.Children = m.mergeLists("configuration", base, mine, theirs, func(b, x, y *Element) (*Element, bool) {
		return m.section(b, x, y), true
	})
	inOrder := func(e *Element) bool {
		return slices.IsSortedFunc(e.Children, func(a, b *Element) int { return sectionRank(a) - sectionRank(b) })
	}
	if inOrder(mine) && inOrder(theirs) && !inOrder(out) { // both made sections
		slices.SortStableFunc(out.Children, func(a, b *Element) int { return sectionRank(a) - sectionRank(b) })
	}
	return out
}

// shell merges name and attributes; whoever changed one wins, and where both
// did, they do.
func (m *merger) shell(section string, base, mine, theirs *Element) *Element {
	out := &Element{Name: theirs.Name, Text: theirs.Text, Attrs: slices.Clone(theirs.Attrs)}
	collide := func(what string) {
		m.conflict(Conflict{Section: section, Base: base, Mine: mine, Theirs: theirs,
			Reason: "both changed the " + what})
	}
	switch {
	case theirs.Text == base.Text:
		out.Text = mine.Text
	case mine.Text != base.Text && mine.Text != theirs.Text:
		collide("text")
	}
	for _, a := range mine.Attrs {
		b, inBase := base.Lookup(a.Name)
		if inBase && b == a.Value {
			continue
		}
		y, inTheirs := theirs.Lookup(a.Name)
		switch {
		case inTheirs == inBase && y == b:
			out.Set(a.Name, a.Value)
		case !inTheirs || y != a.Value:
			collide("attribute " + a.Name)
		}
	}
	for _, a := range base.Attrs {
		if !mine.Has(a.Name) {
			if y, ok := theirs.Lookup(a.Name); ok && y == a.Value {
				out.Unset(a.Name)
			} else if ok {
				collide("attribute " + a.Name)
			}
		}
	}
	return out
}

// section merges a section that any of the three may lack.
func (m *merger) section(base, mine, theirs *Element) *Element {
	switch {
	case same(base, mine), same(mine, theirs):
		return theirs
	case same(base, theirs):
		return mine
	}
	name := firstOf(theirs, mine, base).Name
	empty := &Element{Name: name}
	for _, p := range []**Element{&base, &mine, &theirs} {
		if *p == nil {
			*p = empty
		}
	}
	out := m.shell(name, base, mine, theirs)
	out.Children = m.mergeLists(name, base, mine, theirs, func(b, x, y *Element) (*Element, bool) {
		return m.object(name, b, x, y)
	})
	return out
}

func firstOf(list ...*Element) *Element {
	for _, e := range list {
		if e != nil {
			return e
		}
	}
	return nil
}

func isPairSet(e *Element) bool {
	return e != nil && (e.Name == "cluster_property_set" || e.Name == "meta_attributes") && !e.Has("id-ref")
}

// object merges one object; nil means it does not exist. ok is false in a
// conflict.
func (m *merger) object(section string, base, mine, theirs *Element) (out *Element, ok bool) {
	switch {
	case same(mine, theirs), same(base, mine):
		return theirs, true
	case same(base, theirs):
		return mine, true
	}
	if section != "resources" && isPairSet(mine) && isPairSet(theirs) && mine.Name == theirs.Name {
		if base == nil {
			base = &Element{Name: mine.Name, Attrs: []Attr{{"id", mine.ID()}}}
		}
		before := len(m.conflicts)
		out = m.shell(section, base, mine, theirs)
		out.Children = m.mergeLists(mine.ID(), base, mine, theirs, func(b, x, y *Element) (*Element, bool) {
			switch {
			case same(x, y), same(b, x):
				return y, true
			case same(b, y):
				return x, true
			}
			what := firstOf(x, y, b)
			m.conflict(Conflict{Section: section, ID: mine.ID(), Base: base, Mine: mine, Theirs: theirs,
				Reason: "both changed " + firstNonEmpty(what.Get("name"), what.Name)})
			return y, true
		})
		return out, len(m.conflicts) == before
	}
	c := Conflict{Section: section, Base: base, Mine: mine, Theirs: theirs}
	e := firstOf(base, mine, theirs)
	c.ID = objectName(e, e)
	switch {
	case base == nil:
		c.Reason = "both created it, differently"
	case mine == nil:
		c.Reason = "one deleted it, the other changed it"
	case theirs == nil:
		c.Reason = "one changed it, the other deleted it"
	default:
		c.Reason = "both changed it"
	}
	m.conflict(c)
	return theirs, false
}

func firstNonEmpty(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

func same(a, b *Element) bool {
	return a == b || a != nil && b != nil && a.Equal(b)
}

// options returns how often one of the property sets has each option at most.
func options(sets ...*Element) map[string]int {
	most := map[string]int{}
	for _, e := range sets {
		count := map[string]int{}
		for p := range e.Named("nvpair") {
			if name, ok := p.Lookup("name"); ok {
				count[name]++
				most[name] = max(most[name], count[name])
			}
		}
	}
	return most
}

// nameless returns the names of elements without id of which one of the lists
// has several: nothing but what they say tells them apart. Comments are such
// elements, too, and have keys of that kind.
func nameless(lists ...*Element) map[string]bool {
	var out map[string]bool
	for _, e := range lists {
		var count map[string]int
		for _, c := range e.Children {
			if c.IsComment() || c.Has("id") || c.Has("id-ref") {
				continue
			}
			if count == nil {
				count = map[string]int{}
			}
			if count[c.Name]++; count[c.Name] == 2 {
				if out == nil {
					out = map[string]bool{}
				}
				out[c.Name] = true
			}
		}
	}
	return out
}

// mergeLists merges the children of three elements with the function given
// for each child that any of them has. A child is recognised by name and id, or
// by its name if it has no id and is the only one of that name; of several
// without id one that changed is another one. Members of property sets are
// recognised by their option, unless a set has several of one. The order is theirs, with what I added
// after what it follows in mine, and after what they added there, as if I had
// begun when they were done; if only I changed the order, it is mine with what
// they added.
func (m *merger) mergeLists(section string, base, mine, theirs *Element, merge func(b, x, y *Element) (*Element, bool)) []*Element {
	var most map[string]int
	if isPairSet(theirs) {
		most = options(base, mine, theirs)
	}
	alike := nameless(base, mine, theirs)
	list := func(e *Element) ([]string, map[string]*Element) {
		var order []string
		byKey := make(map[string]*Element, len(e.Children))
		equal := map[string]int{}
		for _, k := range keyedChildren(e, true) {
			key := k.key
			switch {
			case k.e.Name == "nvpair" && k.e.Has("name") && most[k.e.Get("name")] == 1:
				key = "nvpair\x05" + k.e.Get("name")
			case alike[k.e.Name] && !k.e.Has("id") && !k.e.Has("id-ref"):
				content := k.e.Name + "\x04" + canonical(k.e)
				key = fmt.Sprintf("%s\x02%d", content, equal[content])
				equal[content]++
			case e.Name == "configuration" && !k.e.IsComment():
				key = k.e.Name // whatever attributes a section has
			}
			order = append(order, key)
			byKey[key] = k.e
		}
		return order, byKey
	}
	ob, b := list(base)
	ox, x := list(mine)
	oy, y := list(theirs)

	skeleton, additions, late := oy, ox, true
	moved := func(o []string, in map[string]*Element) bool { // against base, of what both have
		return !slices.Equal(only(o, b), only(ob, in))
	}
	if moved(ox, x) {
		if !moved(oy, y) {
			skeleton, additions, late = ox, oy, false
		} else if !slices.Equal(only(ox, y), only(oy, x)) {
			m.conflict(Conflict{Section: section, Reason: "both changed the order"})
		}
	}
	var out []*Element
	for _, key := range interleave(skeleton, additions, late) {
		if e, _ := merge(b[key], x[key], y[key]); e != nil {
			out = append(out, e)
		}
	}
	return out
}

// only returns the keys that are in a set.
func only(order []string, in map[string]*Element) []string {
	var out []string
	for _, k := range order {
		if in[k] != nil {
			out = append(out, k)
		}
	}
	return out
}

// interleave puts the keys of more that skeleton lacks after the key that
// they follow in more; with late, behind what only skeleton has there.
func interleave(skeleton, more []string, late bool) []string {
	have := make(map[string]bool, len(skeleton))
	for _, k := range skeleton {
		have[k] = true
	}
	after := map[string][]string{}
	last := ""
	var first []string
	lonely := true // nothing of the skeleton so far
	for _, k := range more {
		switch {
		case have[k]:
			last, lonely = k, false
		case lonely:
			first = append(first, k)
		default:
			after[last] = append(after[last], k)
		}
	}
	// What follows nothing comes first, unless nothing is shared at all.
	out := make([]string, 0, len(skeleton)+len(more))
	if !lonely {
		out = append(out, first...)
	}
	shared := make(map[string]bool, len(more))
	for _, k := range more {
		shared[k] = true
	}
	var waiting []string
	for _, k := range skeleton {
		if shared[k] {
			out = append(out, waiting...)
			waiting = nil
		}
		out = append(out, k)
		waiting = append(waiting, after[k]...)
		if !late {
			out = append(out, waiting...)
			waiting = nil
		}
	}
	out = append(out, waiting...)
	if lonely {
		out = append(out, first...)
	}
	return out
}
