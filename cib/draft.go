package cib

import "slices"

// draft is a document being changed by copy on write: elements are copied the
// first time they are about to change, so that the base stays as it is and
// shares all the rest with the result.
type draft struct {
	root  *Element
	owned map[*Element]struct{} // made by this draft: may be changed in place
}

func newDraft(root *Element) *draft {
	d := &draft{owned: make(map[*Element]struct{}, 8)}
	d.root = d.copy(root)
	return d
}

// copy makes a shallow copy that the draft may change.
func (d *draft) copy(e *Element) *Element {
	n := &Element{Name: e.Name, Text: e.Text, Attrs: slices.Clone(e.Attrs)}
	// Room for one more: the usual change is an entry that appears.
	n.Children = append(make([]*Element, 0, len(e.Children)+1), e.Children...)
	d.owned[n] = struct{}{}
	return n
}

// at returns child i of parent, which the draft owns, ready to be changed.
func (d *draft) at(parent *Element, i int) *Element {
	c := parent.Children[i]
	if _, ok := d.owned[c]; ok {
		return c
	}
	c = d.copy(c)
	parent.Children[i] = c
	return c
}

// add appends a new element to parent, which the draft owns.
func (d *draft) add(parent, child *Element) *Element {
	parent.Children = append(parent.Children, child)
	d.owned[child] = struct{}{}
	return child
}

// ensure returns the first child with the name ready to be changed, made if
// there is none.
func (d *draft) ensure(parent *Element, name string, attrs ...string) *Element {
	if i := indexNamed(parent, name); i >= 0 {
		return d.at(parent, i)
	}
	return d.add(parent, NewElement(name, attrs...))
}

// remove takes child i out of parent, which the draft owns.
func (d *draft) remove(parent *Element, i int) {
	parent.Children = slices.Delete(parent.Children, i, i+1)
}

func indexNamed(parent *Element, name string) int {
	return slices.IndexFunc(parent.Children, func(c *Element) bool { return c.Name == name })
}

// indexID finds a child by name and id, or returns -1.
func indexID(parent *Element, name, id string) int {
	for i, c := range parent.Children {
		if c.Name == name && c.ID() == id {
			return i
		}
	}
	return -1
}
