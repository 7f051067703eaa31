package cib

import (
	"iter"
	"slices"
	"strings"
)

// CommentName is the Name of an element that stands for an XML comment; its
// Text is the comment without the delimiters.
const CommentName = "#comment"

// Attr is one XML attribute with its value unescaped.
type Attr struct {
	Name, Value string
}

// Element is one XML element. The order of attributes and of children is kept.
type Element struct {
	Name     string
	Attrs    []Attr
	Children []*Element
	// Text is the character data of an element without children, or the
	// text of a comment. White space between elements is not kept.
	Text string
}

// NewElement returns an element with the attributes given as name, value
// pairs; pairs with an empty value are left out.
func NewElement(name string, pairs ...string) *Element {
	e := &Element{Name: name}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			e.Attrs = append(e.Attrs, Attr{pairs[i], pairs[i+1]})
		}
	}
	return e
}

// Get returns the value of an attribute, or "" if it is absent.
func (e *Element) Get(name string) string {
	for i := range e.Attrs {
		if e.Attrs[i].Name == name {
			return e.Attrs[i].Value
		}
	}
	return ""
}

// Lookup returns the value of an attribute and whether it is present.
func (e *Element) Lookup(name string) (string, bool) {
	for i := range e.Attrs {
		if e.Attrs[i].Name == name {
			return e.Attrs[i].Value, true
		}
	}
	return "", false
}

// Has reports whether the attribute is present, even if empty.
func (e *Element) Has(name string) bool {
	_, ok := e.Lookup(name)
	return ok
}

// ID returns the id attribute.
func (e *Element) ID() string { return e.Get("id") }

// Set sets an attribute, in place if it exists, else at the end.
func (e *Element) Set(name, value string) {
	for i := range e.Attrs {
		if e.Attrs[i].Name == name {
			e.Attrs[i].Value = value
			return
		}
	}
	e.Attrs = append(e.Attrs, Attr{name, value})
}

// Unset removes an attribute if it is present.
func (e *Element) Unset(name string) {
	e.Attrs = slices.DeleteFunc(e.Attrs, func(a Attr) bool { return a.Name == name })
}

// IsComment reports whether the element stands for an XML comment.
func (e *Element) IsComment() bool { return e.Name == CommentName }

// Child returns the first child with the name, or nil.
func (e *Element) Child(name string) *Element {
	if e == nil {
		return nil
	}
	for _, c := range e.Children {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Ensure returns the first child with the name and appends one if there is none.
func (e *Element) Ensure(name string) *Element {
	if c := e.Child(name); c != nil {
		return c
	}
	c := &Element{Name: name}
	e.Children = append(e.Children, c)
	return c
}

// ChildByID returns the first child with the id attribute, or nil.
func (e *Element) ChildByID(id string) *Element {
	if e == nil {
		return nil
	}
	for _, c := range e.Children {
		if c.ID() == id {
			return c
		}
	}
	return nil
}

// Elements iterates over the children that are not comments.
func (e *Element) Elements() iter.Seq[*Element] {
	return func(yield func(*Element) bool) {
		if e == nil {
			return
		}
		for _, c := range e.Children {
			if !c.IsComment() && !yield(c) {
				return
			}
		}
	}
}

// Named iterates over the children with the name.
func (e *Element) Named(name string) iter.Seq[*Element] {
	return func(yield func(*Element) bool) {
		if e == nil {
			return
		}
		for _, c := range e.Children {
			if c.Name == name && !yield(c) {
				return
			}
		}
	}
}

// Add appends children and returns e.
func (e *Element) Add(children ...*Element) *Element {
	e.Children = append(e.Children, children...)
	return e
}

// Remove removes a child (by identity) and reports whether it was there.
func (e *Element) Remove(child *Element) bool {
	i := slices.Index(e.Children, child)
	if i < 0 {
		return false
	}
	e.Children = slices.Delete(e.Children, i, i+1)
	return true
}

// Walk calls f for e and everything below it, parents first; f returns false
// to leave out what is below an element.
func (e *Element) Walk(f func(*Element) bool) {
	if e == nil || !f(e) {
		return
	}
	for _, c := range e.Children {
		c.Walk(f)
	}
}

// Clone returns a deep copy.
func (e *Element) Clone() *Element {
	if e == nil {
		return nil
	}
	n := &Element{Name: e.Name, Text: e.Text, Attrs: slices.Clone(e.Attrs)}
	if len(e.Children) > 0 {
		n.Children = make([]*Element, len(e.Children))
		for i, c := range e.Children {
			n.Children[i] = c.Clone()
		}
	}
	return n
}

// Equal reports whether two trees are the same. The order of attributes does
// not count, the order of children does.
func (e *Element) Equal(o *Element) bool {
	if e == o {
		return true
	}
	if e == nil || o == nil || e.Name != o.Name || e.Text != o.Text ||
		len(e.Attrs) != len(o.Attrs) || len(e.Children) != len(o.Children) {
		return false
	}
	for i, a := range e.Attrs {
		if o.Attrs[i] == a {
			continue
		}
		if v, ok := o.Lookup(a.Name); !ok || v != a.Value {
			return false
		}
	}
	for i, c := range e.Children {
		if !c.Equal(o.Children[i]) {
			return false
		}
	}
	return true
}

// canonical writes an element such that equal ones have the same text.
func canonical(e *Element) string {
	e = e.Clone()
	e.Walk(func(e *Element) bool {
		slices.SortFunc(e.Attrs, func(a, b Attr) int { return strings.Compare(a.Name, b.Name) })
		return true
	})
	return e.String()
}
