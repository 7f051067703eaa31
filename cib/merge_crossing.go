package cib

import (
	"fmt"
	"slices"
)

// crossing finds what neither side of a merge could see in the objects it
// changed: ids that both gave away, elements that one deleted and the other
// moved, and references of one side to what the other deleted or moved.
func (m *merger) crossing(base, mine, theirs, merged *CIB) {
	x := &crossings{m, NewIndex(base), NewIndex(mine), NewIndex(theirs), NewIndex(merged)}
	x.twice()
	x.resurrected(merged)
	x.references()
}

type crossings struct {
	*merger
	base, mine, theirs, merged *Index
}

// twice finds ids that both sides gave to different elements.
func (x *crossings) twice() {
	if len(x.mine.Duplicates()) > 0 || len(x.theirs.Duplicates()) > 0 {
		return // that is no news
	}
	for _, d := range x.merged.Duplicates() {
		id := d.Element.ID()
		x.conflict(Conflict{Section: d.Section, ID: objectName(d.Object, d.Element),
			Mine: x.mine.Element(id), Theirs: x.theirs.Element(id), Reason: fmt.Sprintf("both gave away the id %s", id)})
	}
}

// resurrected finds elements that one side deleted, and that are there again
// because the other side moved them (a primitive into a group).
func (x *crossings) resurrected(merged *CIB) {
	for section := range merged.Configuration().Elements() {
		for object := range section.Elements() {
			object.Walk(func(e *Element) bool {
				id, ok := e.Lookup("id")
				if !ok || !declaresID(e.Name) || x.base.Element(id) == nil {
					return true
				}
				my, their := x.mine.Element(id), x.theirs.Element(id)
				if my != nil && their != nil {
					return true
				}
				x.conflict(Conflict{Section: section.Name, ID: id, Base: x.base.Element(id), Mine: my, Theirs: their,
					Reason: "one deleted it, the other moved it into " + objectName(object, object)})
				return false
			})
		}
	}
}

// references finds those of one side to what the other deleted, or moved into
// or out of a container: the constraint would name the container had it been
// made afterwards.
func (x *crossings) references() {
	for _, r := range x.merged.AllReferences() {
		if !r.Hard && x.base.Element(r.ID) == nil {
			continue // the members of tags need not be there
		}
		c := Conflict{Section: r.Section, ID: objectName(r.Object, r.Element), Mine: x.mine.Element(r.ID), Theirs: x.theirs.Element(r.ID)}
		if x.merged.Element(r.ID) == nil {
			without := x.mine // the side that deleted it; what dangles there already is no conflict
			if c.Mine != nil {
				without = x.theirs
			}
			dangles := slices.ContainsFunc(without.References(r.ID), func(o Reference) bool { return o.Hard || !r.Hard })
			if (c.Mine != nil) != (c.Theirs != nil) && !dangles {
				c.Reason = fmt.Sprintf("one refers to %s, the other deleted it", r.ID)
				x.conflict(c)
			}
			continue
		}
		if r.Section != "constraints" || x.base.Element(r.ID) == nil {
			continue
		}
		for _, side := range []*Index{x.mine, x.theirs} {
			if side.container(r.ID) == x.base.container(r.ID) {
				continue
			}
			if !side.hasObject(r.Section, r.Object) {
				c.Reason = fmt.Sprintf("one lets it name %s, the other moved that resource", r.ID)
				if to := side.container(r.ID); to != "" {
					c.Reason += " into " + to
				}
				x.conflict(c)
				break
			}
		}
	}
}

// hasObject reports whether a section of the configuration has an object just
// like this one.
func (x *Index) hasObject(section string, object *Element) bool {
	if id := object.ID(); id != "" {
		if e, ok := x.byID[id]; ok && e.Section == section && e.Element.Equal(object) {
			return true
		}
	}
	if len(x.dups) == 0 && object.Has("id") && declaresID(object.Name) {
		return false
	}
	// Documents that violate the schema may have objects without id, or several of one.
	for e := range x.conf.Child(section).Elements() {
		if e.Equal(object) {
			return true
		}
	}
	return false
}

// container is the id of the element around the one with an id, empty around a
// child of a section.
func (x *Index) container(id string) string {
	if e := x.byID[id]; e.Parent != nil && !e.Top() {
		return e.Parent.ID()
	}
	return ""
}
