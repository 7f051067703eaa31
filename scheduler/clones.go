package scheduler

import "gcrm/cib"

// Groups, clones and their instances as configured.

func (e *engine) unpackGroup(r *resource, incarnation string) bool {
	r.group = &groupData{ordered: boolOr(r.meta.val("ordered"), true), colocated: true}
	if v, ok := r.meta.get("collocated"); ok {
		r.group.colocated = isTrue(v)
	}
	for m := range r.xml.Named("primitive") {
		c := e.unpackResource(m, r, incarnation)
		if c == nil {
			continue
		}
		r.children = append(r.children, c)
	}
	return true
}

func (e *engine) unpackClone(r *resource) bool {
	d := &cloneData{promotedMax: 1, promotedPer: 1}
	r.clone = d
	for c := range r.xml.Elements() {
		if c.Name == "primitive" || c.Name == "group" {
			d.childXML = c
			break
		}
	}
	if d.childXML == nil {
		return false
	}
	d.childName = d.childXML.ID()
	d.max = max(1, len(e.nodes))
	if v, ok := r.meta.get("clone-max"); ok {
		d.max = max(0, intOf(v, d.max))
	}
	d.nodeMax = 1
	if v, ok := r.meta.get("clone-node-max"); ok {
		d.nodeMax = max(0, intOf(v, 1))
	}
	if !e.childCanBeUnique(d.childXML) && r.unique {
		r.unique, d.forced = false, true
		d.max = min(d.max, max(1, len(e.nodes)))
	}
	if !r.unique {
		d.nodeMax = min(d.nodeMax, 1)
	}
	if r.promotable {
		num := func(def int, names ...string) int {
			for _, n := range names {
				if v, ok := r.meta.get(n); ok {
					return max(0, intOf(v, def))
				}
			}
			return def
		}
		d.promotedMax = num(1, "promoted-max", "master-max")
		d.promotedPer = num(1, "promoted-node-max", "master-node-max")
	}
	d.ordered = isTrue(r.meta.val("ordered"))
	d.interleave = isTrue(r.meta.val("interleave"))
	d.minInstances = max(0, intOf(r.meta.val("clone-min"), 0))
	if !r.meta.has("resource-stickiness") {
		r.meta.set("resource-stickiness", "1")
		r.stickiness = 1
	}
	r.meta.set("globally-unique", boolText(r.unique))
	for range d.max {
		if e.newInstance(r, false) == nil {
			return false
		}
	}
	if d.max == 0 {
		e.newInstance(r, true)
	}
	return true
}

func boolText(v bool) string {
	if v {
		return "true"
	}
	return "false"
}

// childCanBeUnique reports whether a clone of this child can be globally
// unique: ocf and stonith agents can.
func (e *engine) childCanBeUnique(el *cib.Element) bool {
	ok := true
	el.Walk(func(c *cib.Element) bool {
		if c.Name == "primitive" {
			class := c.Get("class")
			if t := e.templates[c.Get("template")]; t != nil && class == "" {
				class = t.el.Get("class")
			}
			ok = ok && uniqueClass(class)
		}
		return c.Name == "group"
	})
	return ok
}

func uniqueClass(class string) bool { return class == "ocf" || class == "stonith" }

func clearUnique(r *resource) {
	r.unique = false
	r.meta.set("globally-unique", "false")
}

// newInstance appends an instance to a clone. Removed instances are those
// that exist only because the history mentions them.
func (e *engine) newInstance(r *resource, removed bool) *resource {
	d := r.clone
	c := e.unpackResource(d.childXML, r, itoa(d.nextNum))
	if c == nil {
		return nil
	}
	if d.forced {
		// Quirk of the reference: each instance that turns out not to be
		// unique tells those before it, but not all of itself.
		for _, before := range r.children {
			before.eachBelow(clearUnique)
		}
		c.eachLeaf(func(l *resource) {
			if !uniqueClass(l.class) {
				clearUnique(l)
			}
		})
	}
	d.nextNum++
	r.children = append(r.children, c)
	if removed {
		setRemoved(c)
	}
	return c
}

func setRemoved(r *resource) {
	r.removed = true
	for _, c := range r.children {
		setRemoved(c)
	}
}
