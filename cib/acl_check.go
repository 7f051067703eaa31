package cib

import (
	"fmt"
	"slices"
	"strings"
)

// Check returns an [AccessError] unless the user may make the new document of
// the old one. The attributes of the root that the cluster maintains do not
// count.
func (a *Access) Check(old, new *CIB) error {
	if a.all {
		return nil
	}
	k := &aclCheck{before: a.marks(old), after: a.marks(new)}
	k.children(old.Root, new.Root)
	if s := old.Schema(); s != new.Schema() {
		k.modified(old.Root, new.Root, "change the schema of the CIB")
	}
	if len(k.denied) == 0 {
		return nil
	}
	const most = 5
	more := ""
	if n := len(k.denied) - most; n > 0 {
		k.denied, more = k.denied[:most], fmt.Sprintf(" and %d more", n)
	}
	return &AccessError{a.user, strings.Join(k.denied, ", ") + more}
}

type aclCheck struct {
	before, after *aclMarks
	denied        []string
}

func describeElement(e *Element) string {
	if id := e.ID(); id != "" {
		return "<" + e.Name + " id=" + id + ">"
	}
	return "<" + e.Name + ">"
}

func (k *aclCheck) modified(old, new *Element, what string) {
	if !k.before.allows(old, aclWrite) || !k.after.allows(new, aclWrite) {
		k.denied = append(k.denied, what)
	}
}

func (k *aclCheck) element(old, new *Element) {
	if old == new {
		return
	}
	if !sameAttrs(old, new) || old.Text != new.Text {
		k.modified(old, new, "change "+describeElement(new))
	}
	k.children(old, new)
}

func (k *aclCheck) children(old, new *Element) {
	before, after := keyedChildren(old, true), keyedChildren(new, true)
	known := make(map[string]*Element, len(before))
	for _, c := range before {
		known[c.key] = c.e
	}
	kept := map[string]bool{}
	for _, c := range after {
		was := known[c.key]
		if was == nil {
			k.created(c.e)
			continue
		}
		kept[c.key] = true
		k.element(was, c.e)
	}
	var first, second []string
	for _, c := range before {
		if kept[c.key] {
			first = append(first, c.key)
		} else if !k.before.allows(c.e, aclWrite) {
			k.denied = append(k.denied, "delete "+describeElement(c.e))
		}
	}
	for _, c := range after {
		if kept[c.key] {
			second = append(second, c.key)
		}
	}
	if !slices.Equal(first, second) {
		k.modified(old, new, "change the order in "+describeElement(new))
	}
}

func (k *aclCheck) created(e *Element) {
	if !k.after.allows(e, aclWrite) && !k.scaffolding(e) {
		k.denied = append(k.denied, "create "+describeElement(e))
		return
	}
	for _, c := range e.Children {
		k.created(c)
	}
}

// scaffolding reports whether an element means nothing by itself.
func (k *aclCheck) scaffolding(e *Element) bool {
	switch e.Name {
	case "meta_attributes", "instance_attributes", "transient_attributes", "utilization", "operations", "cluster_property_set":
	default:
		if e.Has("id") {
			return false
		}
	}
	for _, a := range e.Attrs {
		if a.Name != "id" {
			return false
		}
	}
	for p := k.after.parent[e]; p != nil; p = k.after.parent[p] {
		if p.Name == "acls" {
			return false
		}
	}
	return e.Text == ""
}

// Graft carries the changes that a user made in his view of a configuration
// (seen to wanted) over to all of it: what he does not see stays as it is.
func Graft(seen, wanted, full *Element) (*Element, error) {
	out := &Element{Name: full.Name, Text: full.Text, Attrs: slices.Clone(full.Attrs)}
	for _, a := range seen.Attrs {
		if !wanted.Has(a.Name) {
			out.Unset(a.Name)
		}
	}
	for _, a := range wanted.Attrs {
		if v, ok := seen.Lookup(a.Name); !ok || v != a.Value {
			out.Set(a.Name, a.Value)
		}
	}
	if wanted.Text != seen.Text {
		out.Text = wanted.Text
	}
	index := func(e *Element) map[string]*Element {
		m := map[string]*Element{}
		for _, c := range keyedChildren(e, true) {
			m[c.key] = c.e
		}
		return m
	}
	before, there := index(seen), index(full)
	wants := keyedChildren(wanted, true)
	goes := map[string]bool{} // visible and not wanted any more
	for key := range before {
		goes[key] = true
	}
	type item struct {
		key string
		e   *Element
	}
	var stays []item                // visible before and after, in the wanted order
	made := map[string][]*Element{} // new ones by the key of what they follow
	last := ""
	for _, w := range wants {
		delete(goes, w.key)
		b, f := before[w.key], there[w.key]
		switch {
		case f == nil:
			made[last] = append(made[last], w.e)
			continue
		case b == nil && w.e.Has("id"):
			return nil, fmt.Errorf("%s exists already, where this user does not see it", describeElement(w.e))
		}
		hidden := b == nil // a section that the reader has put in
		if hidden {
			b = &Element{Name: f.Name}
		}
		e := f
		if !b.Equal(w.e) {
			var err error
			if e, err = Graft(b, w.e, f); err != nil {
				return nil, err
			}
		}
		if hidden {
			there[w.key] = e
			continue
		}
		stays = append(stays, item{w.key, e})
		last = w.key
	}
	visible := map[string]bool{}
	for _, s := range stays {
		visible[s.key] = true
	}
	out.Children = append(out.Children, made[""]...)
	next := 0
	for _, c := range keyedChildren(full, true) {
		switch {
		case goes[c.key]:
		case visible[c.key]:
			s := stays[next]
			next++
			out.Children = append(out.Children, s.e)
			out.Children = append(out.Children, made[s.key]...)
		default:
			out.Children = append(out.Children, there[c.key])
		}
	}
	return out, nil
}
