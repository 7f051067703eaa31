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

// sectionOrder is the order in which the sections of a configuration are kept.
var sectionOrder = []string{"crm_config", "nodes", "resources", "constraints", "tags", "fencing-topology", "acls", "alerts",
	"rsc_defaults", "op_defaults"}

// section returns a section of the configuration, made where it belongs.
func (e *Edit) section(name string) *cib.Element {
	if s := e.CIB.Section(name); s != nil {
		return s
	}
	conf := e.CIB.Configuration()
	rank := slices.Index(sectionOrder, name)
	at := len(conf.Children)
	for i, c := range conf.Children {
		if slices.Index(sectionOrder, c.Name) > rank {
			at = i
			break
		}
	}
	s := &cib.Element{Name: name}
	conf.Children = slices.Insert(conf.Children, at, s)
	return s
}

// comment puts the comment lines of a statement into its element.
func comment(el *cib.Element, lines []string) {
	for i, l := range lines {
		// A double hyphen would end an XML comment.
		text := strings.ReplaceAll(l, "--", "- -")
		text = strings.TrimSuffix(text, "-")
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

// putNode creates a node or merges into the known one.
func (e *Edit) putNode(b *builder, el *cib.Element, s *Node) func() {
	old := e.nodes[strings.ToLower(el.Get("uname"))]
	if old == nil {
		for other := range e.CIB.Section("nodes").Named("node") {
			if other.ID() == el.ID() && !e.loading {
				b.fail(s.Name, "node id %s belongs to %s", el.ID(), other.Get("uname"))
			}
		}
		comment(el, b.st.Comments)
		e.ids.complete(el, nil)
		return func() {
			nodes := e.section("nodes")
			nodes.Add(el)
			e.note(el, nodes)
		}
	}
	if e.loading {
		if s.ID.Value == "" {
			el.Set("id", old.ID())
		}
		comment(el, b.st.Comments)
		e.ids.complete(el, old)
		return func() { e.replace(place{old, e.section("nodes")}, el) }
	}
	if s.ID.Value != "" && old.ID() != el.ID() {
		b.hint(s.Name, "leave the id out", "node %s has the id %s already", old.Get("uname"), old.ID())
	}
	named := map[*cib.Element]bool{}
	for _, set := range el.Children {
		named[set] = set.Has("id")
	}
	// The new pairs get their ids as if their sets came beside the known ones.
	e.ids.complete(el, nil)
	merged := old.Clone()
	for _, a := range []string{"type", "description"} {
		if v, ok := el.Lookup(a); ok {
			merged.Set(a, v)
		}
	}
	var dissolved []string
	for _, set := range el.Children {
		if mergeSet(merged, set, named[set]) {
			dissolved = append(dissolved, set.ID())
		}
	}
	return func() {
		for _, id := range dissolved {
			e.ids.release(id)
		}
		e.replace(place{old, e.section("nodes")}, merged)
	}
}

// mergeSet merges the pairs of a set into the first set of its name below
// parent, by id if it is named, and reports whether it did; else it adds the
// set.
func mergeSet(parent, set *cib.Element, named bool) bool {
	var into *cib.Element
	for c := range parent.Named(set.Name) {
		if !c.Has("id-ref") && c.Child("rule") == nil && (!named || set.ID() == c.ID()) {
			into = c
			break
		}
	}
	if into == nil || set.Has("id-ref") || set.Child("rule") != nil {
		parent.Add(set)
		return false
	}
	mergePairs(into, set)
	return true
}

// mergePairs overwrites nvpairs of the same name in place and appends others.
func mergePairs(into, set *cib.Element) {
	byName := map[string]*cib.Element{}
	for p := range into.Named("nvpair") {
		byName[p.Get("name")] = p
	}
	for p := range set.Named("nvpair") {
		old := byName[p.Get("name")]
		if old == nil || p.Has("id-ref") {
			into.Add(p)
			byName[p.Get("name")] = p
			continue
		}
		if v, ok := p.Lookup("value"); ok {
			old.Set("value", v)
		} else {
			old.Unset("value")
		}
	}
}

// defaultSets are the ids of the sets that unnamed statements are about.
var defaultSets = map[string]string{"property": cib.DefaultPropertySet, "rsc_defaults": "rsc-options", "op_defaults": "op-options"}

// putProperty creates a set of properties or defaults, or merges into the
// known one.
func (e *Edit) putProperty(b *builder, el *cib.Element, s *Property) func() {
	sectionName := b.st.Verb
	if sectionName == "property" {
		sectionName = "crm_config"
	}
	section := e.CIB.Section(sectionName)
	id := el.ID()
	if id == "" && !el.Has("id-ref") {
		id = defaultSets[b.st.Verb]
		if section.ChildByID(id) == nil {
			// The last set there is stands in for the default one.
			for c := range section.Named(el.Name) {
				if c.ID() != "" {
					id = c.ID()
				}
			}
		}
		el.Attrs = slices.Insert(el.Attrs, 0, cib.Attr{Name: "id", Value: id})
	}
	if e.merged == nil {
		e.merged = map[string]bool{}
	}
	e.merged[id] = true
	old, exists := e.objects[id]
	at := s.Label
	if at.Value == "" {
		at = Token{Value: b.st.Verb, Pos: b.st.Pos}
	}
	if exists && old.parent != section {
		b.hint(at, "choose another id", "Cannot create %s with ID '%s': Found existing %s with same ID.", b.st.Verb, id, kindOf(old.element, old.parent))
		return nil
	}
	if _, used := e.ids.used[id]; used && !exists && id != "" {
		b.hint(at, "choose another id", "%s: id is already in use", id)
	}
	if len(b.errs) > 0 {
		return nil
	}
	if !exists {
		comment(el, b.st.Comments)
		if id != "" {
			e.ids.take(id)
		}
		e.ids.complete(el, nil)
		return func() {
			sec := e.section(sectionName)
			sec.Add(el)
			e.note(el, sec)
		}
	}
	if e.renew[id] {
		delete(e.renew, id)
		comment(el, b.st.Comments)
		e.ids.complete(el, old.element)
		return func() { e.replace(old, el) }
	}
	merged := old.element.Clone()
	if rules := slices.Collect(el.Named("rule")); len(rules) > 0 {
		merged.Children = slices.DeleteFunc(merged.Children, func(c *cib.Element) bool { return c.Name == "rule" })
		merged.Children = slices.Insert(merged.Children, 0, rules...)
	}
	if b.st.Verb == "property" {
		keepVocabulary(b, merged, el, at)
	}
	mergePairs(merged, el)
	if len(b.st.Comments) > 0 {
		merged.Children = slices.DeleteFunc(merged.Children, (*cib.Element).IsComment)
		comment(merged, b.st.Comments)
	}
	e.ids.complete(merged, old.element)
	return func() { e.replace(old, merged) }
}

// keepVocabulary renames new properties to the spelling in which the set has
// them already: "fencing-enabled" and "stonith-enabled" are one property, and
// with both in a set nobody could say which one counts.
func keepVocabulary(b *builder, into, set *cib.Element, at Token) {
	options := cib.ClusterOptions()
	spelled := map[string]string{} // option name to the name in the set
	for p := range into.Named("nvpair") {
		if o := cib.FindOption(options, p.Get("name")); o != nil && len(o.Aliases) > 0 {
			spelled[o.Name] = p.Get("name")
		}
	}
	if len(spelled) == 0 {
		return
	}
	for p := range set.Named("nvpair") {
		name := p.Get("name")
		o := cib.FindOption(options, name)
		if o == nil || spelled[o.Name] == "" || spelled[o.Name] == name {
			continue
		}
		p.Set("name", spelled[o.Name])
		b.remark(Info, at, "%s is called %s in this CIB", name, spelled[o.Name])
	}
}

// putTopology makes the one fencing topology.
func (e *Edit) putTopology(b *builder, s *Topology) func() {
	var nodes []string
	for n := range e.CIB.Section("nodes").Named("node") {
		nodes = append(nodes, n.Get("uname"))
	}
	slices.Sort(nodes)
	el := b.topology(s, nodes)
	old := e.CIB.Section("fencing-topology")
	if old != nil && len(old.Children) > 0 && !e.loading {
		b.hint(Token{Value: topologyID, Pos: b.st.Pos}, "delete fencing_topology first", "Cannot create fencing_topology with ID 'fencing_topology': Found existing fencing_topology with same ID.")
	}
	if len(b.errs) > 0 {
		return nil
	}
	comment(el, b.st.Comments)
	e.ids.complete(el, old)
	return func() {
		s := e.section("fencing-topology")
		for _, c := range s.Children {
			if id := c.ID(); id != "" {
				e.ids.release(id)
			}
		}
		s.Children = el.Children
		e.ids.collect(s)
		e.objects[topologyID] = place{s, e.CIB.Configuration()}
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
