package grammar

import (
	"slices"
	"strings"

	"gcrm/cib"
)

// completeClone adds to a typed clone of a primitive what almost every clone
// needs: interleave=true, and promotable=true if the agent can promote.
func (e *Edit) completeClone(b *builder, el *cib.Element, s *Clone) *cib.Element {
	child := e.objects[s.Child.Value].element
	if b.st.Mode != Command || b.st.Verb != "clone" || child == nil || child.Name != "primitive" {
		return el
	}
	meta := el.Child("meta_attributes")
	has := func(name string) bool {
		_, ok := cib.PairValue(meta, name)
		return meta != nil && ok
	}
	if meta != nil && meta.Has("id-ref") {
		return el
	}
	if !has("promotable") && e.promotes(child) {
		firstMeta(el).Add(cib.NewElement("nvpair", "name", "promotable", "value", "true"))
		meta = el.Child("meta_attributes")
	}
	if !has("interleave") {
		firstMeta(el).Add(cib.NewElement("nvpair", "name", "interleave", "value", "true"))
	}
	return el
}

// promotes reports whether the agent of a primitive is known to promote and
// demote.
func (e *Edit) promotes(primitive *cib.Element) bool {
	if e.agents == nil {
		return false
	}
	if t := primitive.Get("template"); t != "" {
		if primitive = e.objects[t].element; primitive == nil {
			return false
		}
	}
	info, ok := e.agents.Agent(cib.AgentOf(primitive))
	return ok && slices.Contains(info.Actions, "promote") && slices.Contains(info.Actions, "demote")
}

// mayHold tells what a container may contain.
func mayHold(container, member string) bool {
	switch container {
	case "group", "bundle":
		return member == "primitive"
	case "clone", "master":
		return member == "primitive" || member == "group"
	}
	return false
}

// putContainer creates a group, clone or bundle and moves its members in.
func (e *Edit) putContainer(b *builder, el *cib.Element, id Token, members []Token) func() {
	old, exists := e.existing(b, el, id)
	for _, m := range members {
		c, ok := e.objects[m.Value]
		switch {
		case !ok:
			hint := ""
			if len(b.errs) == 0 { // looking at all ids once is enough
				if n := nearest(m.Value, e.resourceIDs()); n != "" {
					hint = "did you mean " + n + "?"
				}
			}
			b.hint(m, hint, "%s refers to missing object %s", el.ID(), m.Value)
			continue
		case !mayHold(el.Name, c.element.Name):
			b.fail(m, "%s %s cannot hold %s, which is a %s", kindOf(el, nil), el.ID(), m.Value, kindOf(c.element, c.parent))
			continue
		case cib.IsContainer(c.parent.Name) && !(exists && c.parent == old.element):
			b.hint(m, "take it out there first", "Cannot create %s:%s: Child %s:%s already in %s:%s", kindOf(el, nil), el.ID(),
				kindOf(c.element, nil), m.Value, kindOf(c.parent, nil), c.parent.ID())
			continue
		}
	}
	if len(b.errs) > 0 {
		return nil
	}
	comment(el, b.st.Comments)
	if exists {
		e.ids.complete(el, old.element)
	} else {
		e.ids.take(el.ID())
		e.ids.complete(el, nil)
	}
	return func() {
		resources := e.section("resources")
		if exists {
			e.releaseMembers(old.element, resources)
			e.replace(old, el)
		}
		for _, m := range members {
			c := e.objects[m.Value]
			c.parent.Remove(c.element)
			el.Add(c.element)
			e.objects[m.Value] = place{c.element, el}
		}
		if !exists {
			resources.Add(el)
			e.note(el, resources)
			for _, m := range members {
				e.redirect(b, m.Value, el, id)
			}
		}
	}
}

// releaseMembers moves the members of a container to the top.
func (e *Edit) releaseMembers(container, resources *cib.Element) {
	for _, m := range slices.Collect(cib.Members(container)) {
		container.Remove(m)
		resources.Add(m)
		e.objects[m.ID()] = place{m, resources}
	}
}

// redirect makes constraints that name a new member name its container, once.
// A constraint between members alone has no meaning any more and goes.
func (e *Edit) redirect(b *builder, member string, container *cib.Element, at Token) {
	users := e.users[member]
	if len(users) == 0 {
		return
	}
	id := container.ID()
	delete(e.users, member)
	for i, c := range users {
		if slices.Contains(users[:i], c) {
			continue
		}
		for _, ref := range resourceAttributes {
			if c.Get(ref) == member {
				c.Set(ref, id)
			}
		}
		for s := range c.Named("resource_set") {
			for r := range s.Named("resource_ref") {
				if r.ID() == member {
					r.Set("id", id)
				}
			}
		}
		e.users[id] = append(e.users[id], c)
		b.remark(Info, at, "modified %s:%s from %s to %s", kindOf(c, nil), c.ID(), member, id)
		if e.once(c, id) {
			continue
		}
		b.remark(Warning, at, "%s:%s removed: it is about members of %s only", kindOf(c, nil), c.ID(), id)
		e.removeObject(e.objects[c.ID()])
	}
}

// once removes repeated mentions of a resource from a constraint, all but the
// last, and reports whether something is left of it.
func (e *Edit) once(c *cib.Element, id string) bool {
	if c.Get("rsc") == id && c.Get("with-rsc") == id || c.Get("first") == id && c.Get("then") == id {
		return false
	}
	mentions, left := 0, 0
	for s := range c.Named("resource_set") {
		for r := range s.Named("resource_ref") {
			if r.ID() == id {
				mentions++
			}
		}
	}
	for s := range c.Named("resource_set") {
		s.Children = slices.DeleteFunc(s.Children, func(r *cib.Element) bool {
			if r.ID() != id {
				return false
			}
			mentions--
			return mentions > 0
		})
		left += len(s.Children)
	}
	if left == 0 {
		return true
	}
	c.Children = slices.DeleteFunc(c.Children, func(s *cib.Element) bool {
		return s.Name == "resource_set" && len(s.Children) == 0
	})
	if c.Name == "rsc_colocation" || c.Name == "rsc_order" {
		if left == 1 {
			return false
		}
		cib.SimplifyConstraint(c)
	} else if c.Name == "rsc_ticket" {
		cib.JoinTicketSets(c)
	}
	return true
}

func lower(s string) string { return strings.ToLower(s) }

func (e *Edit) resourceIDs() []string {
	var ids []string
	for id, p := range e.objects {
		if cib.IsResource(p.element.Name) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
