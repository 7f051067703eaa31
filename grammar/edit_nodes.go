package grammar

import (
	"strings"

	"gcrm/cib"
)

// putNode creates a node or merges into the known one.
func (e *Edit) putNode(b *builder, el *cib.Element, s *Node) func() {
	old := e.nodes[strings.ToLower(el.Get("uname"))]
	if old == nil {
		for other := range e.CIB.Section("nodes").Named("node") {
			if other.ID() == el.ID() && !e.loading {
				b.fail(s.Name, "node id %s belongs to %s", el.ID(), other.Get("uname"))
			}
		}
		comment(el, b.st.Comments)
		e.ids.complete(el, nil)
		return func() {
			nodes := e.section("nodes")
			nodes.Add(el)
			e.note(el, nodes)
		}
	}
	if e.loading {
		if s.ID.Value == "" {
			el.Set("id", old.ID())
		}
		comment(el, b.st.Comments)
		e.ids.complete(el, old)
		return func() { e.replace(place{old, e.section("nodes")}, el) }
	}
	if s.ID.Value != "" && old.ID() != el.ID() {
		b.hint(s.Name, "leave the id out", "node %s has the id %s already", old.Get("uname"), old.ID())
	}
	named := map[*cib.Element]bool{}
	for _, set := range el.Children {
		named[set] = set.Has("id")
	}
	// The new pairs get their ids as if their sets came beside the known ones.
	e.ids.complete(el, nil)
	merged := old.Clone()
	for _, a := range []string{"type", "description"} {
		if v, ok := el.Lookup(a); ok {
			merged.Set(a, v)
		}
	}
	var dissolved []string
	for _, set := range el.Children {
		if mergeSet(merged, set, named[set]) {
			dissolved = append(dissolved, set.ID())
		}
	}
	return func() {
		for _, id := range dissolved {
			e.ids.release(id)
		}
		e.replace(place{old, e.section("nodes")}, merged)
	}
}

// mergeSet merges the pairs of a set into the first set of its name below
// parent, by id if it is named, and reports whether it did; else it adds the
// set.
func mergeSet(parent, set *cib.Element, named bool) bool {
	var into *cib.Element
	for c := range parent.Named(set.Name) {
		if !c.Has("id-ref") && c.Child("rule") == nil && (!named || set.ID() == c.ID()) {
			into = c
			break
		}
	}
	if into == nil || set.Has("id-ref") || set.Child("rule") != nil {
		parent.Add(set)
		return false
	}
	mergePairs(into, set)
	return true
}

// mergePairs overwrites nvpairs of the same name in place and appends others.
func mergePairs(into, set *cib.Element) {
	byName := map[string]*cib.Element{}
	for p := range into.Named("nvpair") {
		byName[p.Get("name")] = p
	}
	for p := range set.Named("nvpair") {
		old := byName[p.Get("name")]
		if old == nil || p.Has("id-ref") {
			into.Add(p)
			byName[p.Get("name")] = p
			continue
		}
		if v, ok := p.Lookup("value"); ok {
			old.Set("value", v)
		} else {
			old.Unset("value")
		}
	}
}
