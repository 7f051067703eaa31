package scheduler

import (
	"slices"

	"gcrm/cib"
)

// Templates and tags.

type templateUse struct {
	el    *cib.Element
	users []string // resources made from it, in document order
}

func (e *engine) unpackTemplatesAndTags() {
	conf := e.doc.Configuration()
	for el := range conf.Child("resources").Named("template") {
		e.templates[el.ID()] = &templateUse{el: el}
	}
	conf.Child("resources").Walk(func(el *cib.Element) bool {
		if t := e.templates[el.Get("template")]; t != nil && el.Name == "primitive" {
			t.users = append(t.users, el.ID())
		}
		return true
	})
	for el := range conf.Child("tags").Named("tag") {
		for ref := range el.Named("obj_ref") {
			id := el.ID()
			if !slices.Contains(e.tags[id], ref.ID()) {
				e.tags[id] = append(e.tags[id], ref.ID())
			}
		}
	}
}

// expandTemplate merges a resource element with its template.
func (e *engine) expandTemplate(el *cib.Element) *cib.Element {
	name := el.Get("template")
	if name == "" {
		return el
	}
	t := e.templates[name]
	if t == nil || name == el.ID() {
		e.fault(el.ID(), "its template "+name+" does not exist")
		return nil
	}
	m := &cib.Element{Name: el.Name}
	for _, a := range t.el.Attrs {
		if a.Name != "id" {
			m.Attrs = append(m.Attrs, a)
		}
	}
	for _, a := range el.Attrs {
		if a.Name != "template" {
			m.Set(a.Name, a.Value)
		}
	}
	m.Children = append(m.Children, t.el.Children...)
	m.Children = append(m.Children, el.Children...)
	var tops, own *cib.Element
	for c := range t.el.Named("operations") {
		tops = e.deref(c)
	}
	for c := range el.Named("operations") {
		own = e.deref(c)
	}
	if tops != nil && own != nil {
		merged := &cib.Element{Name: "operations"}
		roleClass := func(op *cib.Element) string {
			switch r, _ := parseRole(op.Get("role")); r {
			case rolePromoted:
				return "promoted"
			case roleStopped:
				return "stopped"
			}
			return "started"
		}
		for op := range tops.Named("op") {
			replaced := false
			for o := range own.Named("op") {
				if o.Get("name") == op.Get("name") && roleClass(o) == roleClass(op) {
					replaced = true
				}
			}
			if !replaced {
				merged.Children = append(merged.Children, op)
			}
		}
		merged.Children = append(merged.Children, own.Children...)
		m.Children = slices.DeleteFunc(m.Children, func(c *cib.Element) bool { return c.Name == "operations" })
		m.Children = append(m.Children, merged)
	}
	return m
}
