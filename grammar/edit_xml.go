package grammar

import (
	"gcrm/cib"
)

// sectionFor returns the section that an object's element belongs into, or ""
// if it is no object. Sets of meta_attributes are told by the section they
// stand in.
func sectionFor(name string) string {
	switch name {
	case "node":
		return "nodes"
	case "primitive", "template", "group", "clone", "master", "bundle":
		return "resources"
	case "rsc_location", "rsc_colocation", "rsc_order", "rsc_ticket":
		return "constraints"
	case "cluster_property_set":
		return "crm_config"
	case "fencing-topology":
		return "fencing-topology"
	case "acl_role", "acl_target", "acl_group", "acl_user":
		return "acls"
	case "tag":
		return "tags"
	case "alert":
		return "alerts"
	case "rsc_defaults", "op_defaults":
		return name
	}
	return ""
}

// putXML creates the object of an xml statement.
func (e *Edit) putXML(b *builder, s *XML) func() {
	el, err := cib.ParseElement(s.Text.Value, cib.DefaultLimits)
	if err != nil {
		b.hint(s.Text, "quote the element: xml '<...>'", "%v", err)
		return nil
	}
	return e.putElement(b, el, s.Text)
}

// putElement creates, or in a load replaces, an object given as XML.
func (e *Edit) putElement(b *builder, el *cib.Element, at Token) func() {
	section := sectionFor(el.Name)
	if section == "" {
		b.hint(at, "give one object: a primitive, rsc_location, cluster_property_set, ...", "Element %s not recognized", el.Name)
		return nil
	}
	comment(el, b.st.Comments)
	switch el.Name {
	case "rsc_defaults", "op_defaults":
		return e.putDefaults(b, el, at)
	case "fencing-topology":
		if old := e.CIB.Section(section); old != nil && len(old.Children) > 0 && !e.loading {
			b.fail(at, "Cannot create fencing_topology with ID 'fencing_topology': Found existing fencing_topology with same ID.")
			return nil
		}
		e.ids.complete(el, e.CIB.Section(section))
		return func() {
			s := e.section(section)
			for _, c := range s.Children {
				e.ids.release(c.ID())
			}
			s.Children, s.Attrs = el.Children, el.Attrs
			e.ids.collect(s)
			e.objects[topologyID] = place{s, e.CIB.Configuration()}
		}
	case "node":
		old := e.nodes[lower(el.Get("uname"))]
		if el.Get("uname") == "" {
			b.fail(at, "the node has no uname")
			return nil
		}
		if !el.Has("id") {
			el.Set("id", el.Get("uname"))
		}
		if old != nil && !e.loading {
			b.fail(at, "Cannot create node with ID '%s': Found existing node with same ID.", el.Get("uname"))
			return nil
		}
		e.ids.complete(el, old)
		return func() {
			nodes := e.section(section)
			if old != nil {
				e.replace(place{old, nodes}, el)
				return
			}
			nodes.Add(el)
			e.note(el, nodes)
		}
	}
	if el.ID() == "" {
		b.hint(at, "add id=\"...\"", "No ID found for %s", el.Name)
		return nil
	}
	// Members may be given with their container; outside of a load they must
	// be new as well.
	var inside []*cib.Element
	el.Walk(func(x *cib.Element) bool {
		if x != el && cib.IsResource(x.Name) {
			inside = append(inside, x)
		}
		return true
	})
	for _, x := range inside {
		if _, ok := e.objects[x.ID()]; ok && !e.loading {
			b.fail(at, "Cannot create %s with ID '%s': Found existing %s with same ID.", x.Name, x.ID(), kindOf(e.objects[x.ID()].element, nil))
		} else if x.ID() == "" {
			b.hint(at, "add id=\"...\"", "No ID found for %s in %s", x.Name, el.ID())
		}
	}
	old, exists := e.existing(b, el, Token{Value: el.ID(), Pos: at.Pos})
	if len(b.errs) > 0 {
		return nil
	}
	if !exists && hasOwnID(el.Name) {
		e.ids.take(el.ID())
	}
	before := map[string]*cib.Element{}
	for _, x := range inside {
		before[x.ID()] = e.objects[x.ID()].element
		e.ids.take(x.ID())
	}
	e.ids.complete(el, old.element)
	for _, x := range inside {
		e.ids.complete(x, before[x.ID()])
	}
	return func() {
		s := e.section(section)
		for _, x := range inside {
			if p, ok := e.objects[x.ID()]; ok && p.parent != old.element {
				e.removeObject(p)
			}
		}
		if exists {
			keep := map[string]bool{}
			for _, x := range inside {
				keep[x.ID()] = true
			}
			for m := range cib.Members(old.element) {
				if !keep[m.ID()] && cib.IsContainer(el.Name) {
					s.Add(m)
					e.objects[m.ID()] = place{m, s}
				}
			}
			e.replace(old, el)
			return
		}
		s.Add(el)
		e.note(el, s)
		e.ids.collect(el)
	}
}

// putDefaults takes a whole section of defaults: every set in it is an object.
func (e *Edit) putDefaults(b *builder, el *cib.Element, at Token) func() {
	var steps []func()
	for set := range el.Elements() {
		if set.ID() == "" {
			set.Set("id", e.ids.generate(defaultSets[el.Name]))
		} else if p, ok := e.objects[set.ID()]; ok {
			if !e.loading || p.parent.Name != el.Name {
				b.fail(at, "Cannot create %s with ID '%s': Found existing %s with same ID.", el.Name, set.ID(), kindOf(p.element, p.parent))
				continue
			}
			e.ids.complete(set, p.element)
			steps = append(steps, func() { e.replace(p, set) })
			continue
		} else {
			e.ids.take(set.ID())
		}
		e.ids.complete(set, nil)
		steps = append(steps, func() {
			s := e.section(el.Name)
			s.Add(set)
			e.note(set, s)
		})
	}
	if len(b.errs) > 0 {
		return nil
	}
	return func() {
		for _, f := range steps {
			f()
		}
	}
}

// removeObject takes an object out of the CIB and the index.
func (e *Edit) removeObject(p place) {
	p.parent.Remove(p.element)
	p.element.Walk(func(x *cib.Element) bool {
		if id := x.ID(); id != "" && hasOwnID(x.Name) {
			e.ids.release(id)
			if e.objects[id].element == x {
				delete(e.objects, id)
			}
		}
		return true
	})
	if p.element.Name == "node" {
		delete(e.nodes, lower(p.element.Get("uname")))
	}
	e.forgetUsers(p.element)
}
