package scheduler

import (
	"slices"

	"gcrm/cib"
)

// Meta-attributes and parameters of resources.

// paramSets says whether instance attributes depend on rules or the node.
type paramSets struct {
	dynamic bool
}

type paramResult struct {
	node *node
	t    table
}

func (r *resource) ruleInput() ruleInput {
	return ruleInput{class: r.class, provider: r.provider, typ: r.typ, hasRsc: r.isPrimitive(), rsc: r}
}

// resolveMeta computes the meta-attributes of a resource.
func (e *engine) resolveMeta(r *resource) {
	for _, a := range r.xml.Attrs {
		switch a.Name {
		case "class", "provider", "type", "id", "template", "description":
			continue
		}
		r.meta.set(a.Name, a.Value)
	}
	in := r.ruleInput()
	e.unpackSets(r.xml, "meta_attributes", &in, false, "", &r.meta)
	for p := r.parent; p != nil; p = p.parent {
		e.unpackSets(p.xml, "meta_attributes", &in, false, "", &r.meta)
	}
	e.unpackSets(e.rscDefaults, "meta_attributes", &in, false, "", &r.meta)
	if r.parent != nil {
		for _, a := range r.parent.meta {
			r.meta.setNew(a.Name, a.Value)
		}
	}
}

// params returns the instance attributes of r as evaluated for node n (nil:
// without node attributes).
func (e *engine) params(r *resource, n *node) table {
	if !r.sets.dynamic {
		n = nil
	}
	for i := range r.paramCache {
		if r.paramCache[i].node == n {
			return r.paramCache[i].t
		}
	}
	in := r.ruleInput()
	in.node = n
	var t table
	for p := r; p != nil; p = p.parent {
		e.unpackSets(p.xml, "instance_attributes", &in, false, "", &t)
	}
	e.unpackSets(e.rscDefaults, "instance_attributes", &in, false, "", &t)
	r.paramCache = append(r.paramCache, paramResult{n, t})
	return t
}

// dynamicParams reports whether instance attributes have rules.
func (e *engine) dynamicParams(r *resource) bool {
	for p := r; p != nil; p = p.parent {
		for _, c := range p.xml.Children {
			if c.Name == "instance_attributes" && hasRules(e.deref(c)) {
				return true
			}
		}
	}
	return e.rscDefaults != nil && slices.ContainsFunc(e.rscDefaults.Children, func(c *cib.Element) bool {
		return c.Name == "instance_attributes"
	})
}
