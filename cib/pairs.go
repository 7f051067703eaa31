package cib

import (
	"fmt"
	"strings"
)

// PairSet names a set of nvpairs below an element: the one that is written to
// when no set has the attribute yet.
type PairSet struct {
	Element string // instance_attributes, meta_attributes, utilization, ...
	ID      string
	Only    bool // other sets with the attribute are left alone
}

// SetPair sets an attribute in the first set below parent that has it, else
// in the named set, which is made if need be; with a nil value the attribute
// is removed. parent is an element of c, which must be the caller's own. It
// tells whether there was anything to change; an error says that the id of
// the set belongs to something else.
func (c *CIB) SetPair(parent *Element, in PairSet, name string, value *string) (changed bool, err error) {
	var home *Element
	for _, set := range OrderedSets(parent, in.Element) {
		if in.Only && set.ID() != in.ID {
			continue
		}
		for pair := range set.Named("nvpair") {
			if pair.Get("name") != name {
				continue
			}
			switch {
			case value == nil:
				set.Remove(pair)
			case pair.Has("value") && pair.Get("value") == *value:
				return false, nil
			default:
				pair.Set("value", *value)
			}
			return true, nil
		}
		// A set with a rule counts only at times.
		if set.ID() == in.ID && set.Child("rule") == nil {
			home = set
		}
	}
	if value == nil {
		return false, nil
	}
	index := NewIndex(c)
	if home == nil {
		if index.Element(in.ID) != nil {
			return false, fmt.Errorf("id %s is taken by another element of the configuration", in.ID)
		}
		home = NewElement(in.Element, "id", in.ID)
		parent.Add(home)
	}
	stem := in.ID + "-" + strings.Map(idRune, name)
	id := stem
	for n := 2; index.Element(id) != nil; n++ {
		id = fmt.Sprintf("%s-%d", stem, n)
	}
	home.Add(NewElement("nvpair", "id", id, "name", name, "value", *value))
	return true, nil
}

// HomeSet names the set of a resource that takes a new attribute: the first
// without a rule, else one with the usual id.
func HomeSet(resource *Element, set string) PairSet {
	for _, s := range OrderedSets(resource, set) {
		if s.Child("rule") == nil && s.ID() != "" {
			return PairSet{Element: set, ID: s.ID()}
		}
	}
	return PairSet{Element: set, ID: resource.ID() + "-" + set}
}

// idRune keeps what may stand in an XML id.
func idRune(r rune) rune {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("-_.", r):
		return r
	}
	return '_'
}

// Owner is the resource whose sets of the element name count for an instance
// of a resource, as "db:1": the resource itself, but for meta attributes the
// clone it is in. Nil if there is no such resource.
func (c *CIB) Owner(instance, set string) *Element {
	id, _, _ := strings.Cut(instance, ":")
	var find func(in *Element) *Element
	find = func(in *Element) *Element {
		for m := range Members(in) {
			if m.ID() == id {
				return m
			}
			if found := find(m); found != nil {
				if set == "meta_attributes" && found.ID() == id && (m.Name == "clone" || m.Name == "master") {
					return m
				}
				return found
			}
		}
		return nil
	}
	return find(c.Section("resources"))
}
