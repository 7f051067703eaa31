package grammar

import (
	"fmt"

	"gcrm/cib"
)

func (b *builder) tag(t *Tag) *cib.Element {
	e := cib.NewElement("tag", "id", b.id(t.ID))
	for _, m := range t.Members {
		if e.ChildByID(m.Value) != nil {
			b.remark(Warning, m, "%s is listed more than once in tag %s", m.Value, e.ID())
		}
		e.Add(cib.NewElement("obj_ref", "id", m.Value))
	}
	return e
}

func (b *builder) alert(a *Alert) *cib.Element {
	e := cib.NewElement("alert", "id", b.id(a.ID), "path", a.Path.Value)
	b.describe(e, a.Desc)
	recipients := 0
	for _, p := range a.Parts {
		switch {
		case p.Set != nil:
			e.Add(b.section(p.Set.Kind, p.Set.Set))
		case p.Recipient != nil:
			recipients++ // their ids go by their number, whatever was there before
			e.Add(b.recipient(p.Recipient, fmt.Sprintf("%s-recipient-%d", e.ID(), recipients)))
		default:
			s := &cib.Element{Name: "select"}
			for _, k := range p.Kinds {
				if k.Kind.Value != "" {
					s.Add(&cib.Element{Name: "select_" + k.Kind.Value})
					continue
				}
				attributes := &cib.Element{Name: "select_attributes"}
				for _, n := range k.Names {
					attributes.Add(cib.NewElement("attribute", "name", n.Value))
				}
				s.Add(attributes)
			}
			if len(s.Children) > 0 {
				e.Add(s)
			}
		}
	}
	return e
}

func (b *builder) recipient(r *Recipient, id string) *cib.Element {
	value, desc, sets := r.Value, r.Desc, r.Sets
	if r.Brace.Value == "" {
		value, desc, sets = r.Plain, r.About, r.More
	}
	e := cib.NewElement("recipient", "id", id, "value", value.Value)
	b.describe(e, desc)
	for _, s := range sets {
		e.Add(b.section(s.Kind, s.Set))
	}
	return e
}
