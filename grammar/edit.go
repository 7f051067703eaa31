package grammar

import (
	"fmt"
	"slices"
	"strings"

	"gcrm/cib"
)

// Edit applies statements to a working copy of a CIB. It indexes the copy once
// and keeps the index up to date, so that a long script costs linear time:
// whoever changes the copy in other ways must call [Edit.Refresh] afterwards.
type Edit struct {
	// CIB is the working copy.
	CIB    *cib.CIB
	agents Agents

	ids     idSpace
	objects map[string]place          // by id, nodes excepted
	nodes   map[string]*cib.Element   // by uname in lower case
	users   map[string][]*cib.Element // constraints by the id of a resource they name
	stale   bool
	// loading is set while a whole text is applied: references are resolved
	// when all of it is there.
	loading bool
	// renew holds the ids of sets that the next statement replaces.
	renew map[string]bool
	// merged holds the ids of the property and defaults sets that statements
	// were about.
	merged  map[string]bool
	pending []pendingReference
}

type pendingReference struct {
	reference
	st *Statement
}

// place is an element with its parent.
type place struct {
	element, parent *cib.Element
}

// NewEdit starts editing work, which must not be shared. agents may be nil.
func NewEdit(work *cib.CIB, agents Agents) *Edit {
	return &Edit{CIB: work, agents: agents, stale: true}
}

// Refresh makes the edit look at its CIB anew, after something else has
// changed it.
func (e *Edit) Refresh() { e.stale = true }

func (e *Edit) index() {
	if !e.stale {
		return
	}
	e.stale = false
	e.ids = idSpace{used: map[string]struct{}{}}
	e.objects = map[string]place{}
	e.nodes = map[string]*cib.Element{}
	e.users = map[string][]*cib.Element{}
	for section := range e.CIB.Configuration().Elements() {
		for o := range section.Elements() {
			e.ids.collect(o)
			e.note(o, section)
		}
	}
	if topology := e.CIB.Section("fencing-topology"); topology != nil {
		e.objects[topologyID] = place{topology, e.CIB.Configuration()}
	}
}

// topologyID is the id that the one fencing topology answers to.
const topologyID = "fencing_topology"

// note adds an object, and the resources within it, to the index.
func (e *Edit) note(o, parent *cib.Element) {
	switch {
	case o.Name == "node":
		e.nodes[strings.ToLower(o.Get("uname"))] = o
		return
	case o.Name == "fencing-level":
		return
	case cib.IsConstraint(o.Name):
		e.noteUsers(o)
	}
	if id := o.ID(); id != "" {
		e.objects[id] = place{o, parent}
	}
	for m := range cib.Members(o) {
		e.note(m, o)
	}
}

// noteUsers records which resources a constraint names.
func (e *Edit) noteUsers(c *cib.Element) {
	for _, ref := range resourceAttributes {
		if id := c.Get(ref); id != "" {
			e.users[id] = append(e.users[id], c)
		}
	}
	for s := range c.Named("resource_set") {
		for r := range s.Named("resource_ref") {
			e.users[r.ID()] = append(e.users[r.ID()], c)
		}
	}
}

// resourceAttributes are the attributes of constraints that name resources.
var resourceAttributes = []string{"rsc", "with-rsc", "first", "then"}

// Apply carries out a statement. The remarks are warnings and information,
// also those of the parser. The error is an Errors; the CIB is unchanged then.
func (e *Edit) Apply(st *Statement) (Errors, error) {
	e.index()
	b := &builder{st: st, schema: e.CIB.Schema(), agents: e.agents}
	e.ids.taken = e.ids.taken[:0]
	if !e.loading {
		b.used = func(id string) bool { _, used := e.ids.used[id]; return used }
	}
	commit := e.prepare(b)
	if !e.loading {
		for _, r := range b.refs {
			if !e.resolve(r) {
				b.hint(r.at, "name the id of a set, or of an object that has one", "Reference not found: %s", after(r.at, "="))
			}
		}
	}
	if len(b.errs) > 0 {
		e.ids.forget()
		return nil, b.errs
	}
	for _, r := range b.refs {
		if e.loading {
			e.pending = append(e.pending, pendingReference{r, st})
		}
	}
	commit()
	return append(slices.Clone(st.Remarks), b.remarks...), nil
}

// resolve turns what a $id-ref names into the id of a set of the same kind and
// reports whether there is one.
func (e *Edit) resolve(r reference) bool {
	id := r.element.Get("id-ref")
	o, ok := e.objects[id]
	if !ok {
		// Not an object: the id of a set somewhere inside one.
		_, used := e.ids.used[id]
		return used
	}
	if o.element.Name == r.element.Name {
		return true
	}
	var found *cib.Element
	o.element.Walk(func(x *cib.Element) bool {
		if found == nil && x.Name == r.element.Name && x.ID() != "" {
			found = x
		}
		return found == nil && (x == o.element || !cib.IsResource(x.Name))
	})
	if found == nil {
		// Wrong, but no dangling reference: a load does not lose it.
		return e.loading
	}
	r.element.Set("id-ref", found.ID())
	return true
}

// prepare builds what a statement says, without changing the CIB; the function
// that it returns does that.
func (e *Edit) prepare(b *builder) (commit func()) {
	switch s := b.st.Body.(type) {
	case *Node:
		return e.putNode(b, b.node(s), s)
	case *Primitive:
		el := b.primitive(s)
		if t := el.Get("template"); t != "" && !e.loading && e.objects[t].element == nil {
			b.remark(Warning, s.Template, "%s: no such resource template", t)
		}
		put := e.putObject(b, el, s.ID, "resources")
		b.spellParameters(el)
		return put
	case *Template:
		el := b.template(s)
		put := e.putObject(b, el, s.ID, "resources")
		b.spellParameters(el)
		return put
	case *Group:
		return e.putContainer(b, b.group(s), s.ID, s.Members)
	case *Clone:
		return e.putContainer(b, e.completeClone(b, b.clone(s), s), s.ID, []Token{s.Child})
	case *Bundle:
		var members []Token
		for _, m := range s.Tail {
			if m.Child.Value != "" {
				members = append(members, m.Child)
			}
		}
		return e.putContainer(b, b.bundle(s), s.ID, members)
	case *Location:
		return e.putObject(b, b.location(s), s.ID, "constraints")
	case *Colocation:
		return e.putObject(b, b.colocation(s), s.ID, "constraints")
	case *Order:
		return e.putObject(b, b.order(s), s.ID, "constraints")
	case *Ticket:
		return e.putObject(b, b.ticket(s), s.ID, "constraints")
	case *Property:
		return e.putProperty(b, b.propertySet(s), s)
	case *Topology:
		return e.putTopology(b, s)
	case *Role:
		return e.putObject(b, b.aclRole(s), s.ID, "acls")
	case *Target:
		return e.putObject(b, b.aclTarget(s), s.ID, "acls")
	case *User:
		return e.putObject(b, b.user(s), s.ID, "acls")
	case *Tag:
		return e.putObject(b, b.tag(s), s.ID, "tags")
	case *Alert:
		return e.putObject(b, b.alert(s), s.ID, "alerts")
	case *Monitor:
		return e.addMonitor(b, s)
	case *XML:
		return e.putXML(b, s)
	}
	panic(fmt.Sprintf("grammar: no edit for %T", b.st.Body))
}

// section returns a section of the configuration, made where it belongs.
func (e *Edit) section(name string) *cib.Element { return e.CIB.EnsureSection(name) }

// comment puts the comment lines of a statement into its element.
func comment(el *cib.Element, lines []string) {
	for i, l := range lines {
		// A double hyphen would end an XML comment.
		text := commentLine(l)
		for strings.Contains(text, "--") {
			text = strings.ReplaceAll(text, "--", "- -")
		}
		text = strings.TrimRight(text, "- \t")
		el.Children = slices.Insert(el.Children, i, &cib.Element{Name: cib.CommentName, Text: text})
	}
}

// putObject creates an object, or in a load replaces the one of the same id
// and kind.
func (e *Edit) putObject(b *builder, el *cib.Element, id Token, section string) func() {
	old, exists := e.existing(b, el, id)
	if len(b.errs) > 0 {
		return nil
	}
	comment(el, b.st.Comments)
	if exists {
		e.ids.complete(el, old.element)
		return func() { e.replace(old, el) }
	}
	if hasOwnID(el.Name) {
		e.ids.take(el.ID())
	}
	e.ids.complete(el, nil)
	return func() {
		s := e.section(section)
		s.Add(el)
		e.note(el, s)
	}
}

// existing finds the object with the id of el and complains if it must not
// exist: always for typed statements, in a load if it is of another kind.
func (e *Edit) existing(b *builder, el *cib.Element, id Token) (place, bool) {
	old, ok := e.objects[el.ID()]
	switch {
	case ok && (!e.loading || old.element.Name != el.Name):
		kind := kindOf(old.element, old.parent)
		b.hint(id, "delete it first, or choose another id", "Cannot create %s with ID '%s': Found existing %s with same ID.", b.st.Verb, el.ID(), kind)
	case ok:
		return old, true
	default:
		if _, used := e.ids.used[el.ID()]; used && hasOwnID(el.Name) {
			b.hint(id, "choose another id", "%s: id is already in use", el.ID())
		}
	}
	return place{}, false
}

// kindOf returns the statement word of an object's element.
func kindOf(el, parent *cib.Element) string {
	switch el.Name {
	case "template":
		return "rsc_template"
	case "master":
		return "ms"
	case "rsc_location":
		return "location"
	case "rsc_colocation":
		return "colocation"
	case "rsc_order":
		return "order"
	case "cluster_property_set":
		return "property"
	case "meta_attributes":
		if parent != nil && (parent.Name == "rsc_defaults" || parent.Name == "op_defaults") {
			return parent.Name
		}
	case "acl_role":
		return "role"
	case "acl_user":
		return "user"
	case "fencing-topology":
		return "fencing_topology"
	}
	return el.Name
}

// replace puts el where old stands. A resource keeps its place in a container;
// members of a container are kept by el if it has none of its own.
func (e *Edit) replace(old place, el *cib.Element) {
	e.forgetUsers(old.element)
	old.element.Walk(func(x *cib.Element) bool {
		if x != old.element && cib.IsResource(x.Name) {
			return false
		}
		if id := x.ID(); id != "" && hasOwnID(x.Name) {
			e.ids.release(id)
		}
		return true
	})
	e.ids.collect(el)
	i := slices.Index(old.parent.Children, old.element)
	old.parent.Children[i] = el
	e.note(el, old.parent)
}

func (e *Edit) forgetUsers(c *cib.Element) {
	if !cib.IsConstraint(c.Name) {
		return
	}
	drop := func(id string) {
		e.users[id] = slices.DeleteFunc(e.users[id], func(x *cib.Element) bool { return x == c })
	}
	for _, ref := range resourceAttributes {
		drop(c.Get(ref))
	}
	for s := range c.Named("resource_set") {
		for r := range s.Named("resource_ref") {
			drop(r.ID())
		}
	}
}

// addMonitor adds an operation to a primitive.
func (e *Edit) addMonitor(b *builder, s *Monitor) func() {
	id, role, hasRole := strings.Cut(s.Rsc.Value, ":")
	interval, timeout, hasTimeout := strings.Cut(s.Interval.Value, ":")
	if strings.Contains(timeout, ":") {
		b.fail(s.Interval, "Expected value[:value], found %q", s.Interval.Value)
	}
	op := cib.NewElement("op", "name", "monitor")
	if hasRole {
		r, ok := foldIn(role, roles)
		if !ok {
			b.hint(s.Rsc, "known are "+strings.Join(roles[:4], ", "), "Invalid role '%s' for resource '%s'", role, id)
		}
		op.Set("role", b.role(r, s.Rsc))
	}
	op.Set("interval", interval)
	if hasTimeout {
		op.Set("timeout", timeout)
	}
	old, ok := e.objects[id]
	switch {
	case !ok:
		b.fail(s.Rsc, "object %s does not exist", id)
	case old.element.Name != "primitive":
		b.fail(s.Rsc, "%s is not a primitive", id)
	default:
		for o := range old.element.Child("operations").Named("op") {
			if o.Get("name") == "monitor" && o.Get("interval") == interval {
				b.fail(s.Interval, "%s already has a monitor op with interval %s", id, interval)
			}
		}
	}
	if len(b.errs) > 0 {
		return nil
	}
	changed := old.element.Clone()
	changed.Ensure("operations").Add(op)
	e.ids.complete(changed, old.element)
	return func() { e.replace(old, changed) }
}
