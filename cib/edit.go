package cib

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// EditNote tells what an edit did besides what it was asked to do.
type EditNote struct {
	// Element is the name of the object's element (rsc_order, tag, ...), ID
	// its id.
	Element, ID string
	// Deleted objects hung in the air after the edit; others were adapted.
	Deleted bool
	// From and To are set if the object names another resource now; else Text
	// is what was done, in words.
	From, To string
	Text     string
}

// ErrNoObject is what edits return, wrapped, for an object that does not exist.
var ErrNoObject = errors.New("does not exist")

// objects maps the ids of all objects (children of sections, and resources
// inside containers) to their places. Nodes go by uname, and lose against
// other objects of that name; the fencing topology as a whole is called
// fencing_topology.
func (c *CIB) objects() map[string]Entry {
	out := map[string]Entry{}
	var add func(e Entry)
	add = func(e Entry) {
		id := e.Element.ID()
		if _, taken := out[id]; !taken && id != "" {
			out[id] = e
		}
		if IsContainer(e.Element.Name) {
			for m := range Members(e.Element) {
				add(Entry{m, e.Element, e.Object, e.Section})
			}
		}
	}
	for s := range c.Configuration().Elements() {
		if s.Name == "fencing-topology" {
			out["fencing_topology"] = Entry{s, c.Configuration(), s, s.Name}
			continue
		}
		for o := range s.Elements() {
			if s.Name != "nodes" {
				add(Entry{o, s, o, s.Name})
			}
		}
	}
	nodes := c.Section("nodes")
	for n := range nodes.Elements() {
		if _, taken := out[n.Get("uname")]; !taken {
			out[n.Get("uname")] = Entry{n, nodes, n, "nodes"}
		}
	}
	return out
}

// Delete removes objects by id (nodes by uname) and what hangs on them:
//
//   - constraints that name a deleted resource are deleted, or shrunk if they
//     have resource sets; an order or colocation down to two resources becomes
//     a simple one, unless its sets say more than that could;
//   - the members of a deleted container stay, and its first member inherits
//     its constraints, but for those with resource sets;
//   - a container without members goes, and the primitives of a template go
//     with it;
//   - tags, ACL targets and permissions lose what refers to deleted objects;
//     a tag without members and a target without roles go.
//
// c is changed in place. If an object does not exist nothing is changed and
// the error names all such ids.
func Delete(c *CIB, ids ...string) ([]EditNote, error) {
	all := c.objects()
	d := &deletion{cib: c, gone: map[*Element]bool{}, ids: map[string]bool{}, heirs: map[string]string{}}
	var errs []error
	templates := false
	for _, id := range ids {
		e, ok := all[id]
		if !ok {
			errs = append(errs, fmt.Errorf("object %s %w", id, ErrNoObject))
			continue
		}
		d.take(e.Element)
		templates = templates || e.Element.Name == "template"
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if templates {
		for p := range c.Primitives() {
			if t := p.Get("template"); t != "" && d.ids[t] && !d.gone[p] {
				d.take(p)
				d.note(p, true, "its template is gone")
			}
		}
	}
	d.resources()
	d.constraints()
	d.others()
	d.sweep()
	return d.notes, nil
}

type deletion struct {
	cib   *CIB
	gone  map[*Element]bool
	ids   map[string]bool   // of what is gone, nodes excepted
	heirs map[string]string // container to the member that inherits its constraints
	notes []EditNote
}

func (d *deletion) take(e *Element) {
	d.gone[e] = true
	if e.Name != "node" && e.ID() != "" {
		d.ids[e.ID()] = true
	}
}

func (d *deletion) note(e *Element, deleted bool, format string, a ...any) {
	d.notes = append(d.notes, EditNote{Element: e.Name, ID: e.ID(), Deleted: deleted, Text: fmt.Sprintf(format, a...)})
}

// resources rewrites the list of resources: deleted containers give way to
// their members.
func (d *deletion) resources() {
	section := d.cib.Section("resources")
	var out []*Element
	for _, e := range section.Children {
		out = append(out, d.resource(e)...)
	}
	section.Children = out
}

// resource returns what takes the place of an element: itself, nothing, or
// its members.
func (d *deletion) resource(e *Element) []*Element {
	if !IsContainer(e.Name) {
		if d.gone[e] {
			return nil
		}
		return []*Element{e}
	}
	var children, lifted []*Element
	members, had := 0, false
	for _, m := range e.Children {
		if !IsResource(m.Name) {
			children = append(children, m)
			continue
		}
		had = true
		switch kept := d.resource(m); {
		case d.gone[m]:
			lifted = append(lifted, kept...)
		default:
			children = append(children, kept...)
			members++
		}
	}
	if d.gone[e] {
		for _, m := range children {
			if IsResource(m.Name) {
				lifted = append(lifted, m)
			}
		}
		if len(lifted) > 0 {
			d.heirs[e.ID()] = lifted[0].ID()
		}
		return lifted
	}
	if members == 0 && had {
		d.take(e)
		d.note(e, true, "its last member is gone")
		return lifted
	}
	e.Children = children
	return append([]*Element{e}, lifted...)
}

func (d *deletion) constraints() {
	for e := range d.cib.Section("constraints").Elements() {
		if d.gone[e] {
			continue
		}
		from, to, hanging := d.redirect(e)
		changed := false
		for _, a := range [...]string{"rsc", "with-rsc", "first", "then"} {
			hanging = hanging || d.ids[e.Get(a)]
		}
		if !hanging && d.shrink(e) {
			changed = true
			hanging = e.Child("resource_set") == nil
			if e.Name == "rsc_ticket" {
				JoinTicketSets(e)
			} else {
				simplify(e)
			}
		}
		switch {
		case hanging:
			d.take(e)
			d.note(e, true, "a resource it names is gone")
		case changed:
			d.note(e, false, "a resource it named is gone")
		case to != "":
			d.notes = append(d.notes, EditNote{Element: e.Name, ID: e.ID(), From: from, To: to})
		}
	}
}

// redirect lets a constraint name the heir of a deleted container, and tells
// one such pair; hanging is set if it would then name one resource twice.
func (d *deletion) redirect(e *Element) (from, to string, hanging bool) {
	for _, a := range [...]string{"rsc", "with-rsc", "first", "then"} {
		if heir := d.heirs[e.Get(a)]; heir != "" {
			from, to = e.Get(a), heir
			e.Set(a, heir)
		}
	}
	if to != "" {
		for _, p := range [...][2]string{{"rsc", "with-rsc"}, {"first", "then"}} {
			hanging = hanging || e.Has(p[0]) && e.Get(p[0]) == e.Get(p[1])
		}
	}
	return from, to, hanging
}

// shrink takes deleted resources out of resource sets.
func (d *deletion) shrink(e *Element) bool {
	changed, left := false, 0
	e.Children = slices.DeleteFunc(e.Children, func(set *Element) bool {
		if set.Name != "resource_set" || set.Has("id-ref") {
			return false
		}
		set.Children = slices.DeleteFunc(set.Children, func(r *Element) bool {
			gone := r.Name == "resource_ref" && d.ids[r.ID()]
			changed = changed || gone
			return gone
		})
		n := 0
		for range set.Named("resource_ref") {
			n++
		}
		left += n
		return n == 0
	})
	// One resource cannot be colocated or ordered with nothing.
	if changed && left == 1 && (e.Name == "rsc_colocation" || e.Name == "rsc_order") {
		e.Children = slices.DeleteFunc(e.Children, func(c *Element) bool { return c.Name == "resource_set" })
	}
	return changed
}

// simplify turns a constraint with resource sets into a simple one if they
// hold just two resources, one after the other (for tickets: one).
func simplify(e *Element) {
	type member struct{ id, role, action string }
	var members []member
	sets, total := 0, 0
	for set := range e.Named("resource_set") {
		sets, total = sets+1, total+len(set.Children)
	}
	for set := range e.Named("resource_set") {
		if sets == 2 && total == 2 && !IsTrue(set.Get("sequential")) {
			set.Unset("sequential") // one resource has no sequence
		}
		n := 0
		for r := range set.Named("resource_ref") {
			members = append(members, member{r.ID(), set.Get("role"), set.Get("action")})
			n++
		}
		if set.Has("id-ref") || set.Has("score") || set.Has("kind") || set.Has("ordering") ||
			set.Has("require-all") && !IsTrue(set.Get("require-all")) ||
			n > 1 && set.Has("sequential") && !IsTrue(set.Get("sequential")) {
			return
		}
	}
	set := func(name, value string) {
		if value != "" {
			e.Set(name, value)
		}
	}
	switch {
	case e.Name == "rsc_ticket" && len(members) == 1:
		e.Set("rsc", members[0].id)
		set("rsc-role", members[0].role)
	case e.Name == "rsc_order" && len(members) == 2:
		e.Set("first", members[0].id)
		set("first-action", members[0].action)
		e.Set("then", members[1].id)
		set("then-action", members[1].action)
	case e.Name == "rsc_colocation" && len(members) == 2:
		// Inside a set each goes with the one before it; of two sets, the
		// first goes with the second.
		if sets == 1 {
			slices.Reverse(members)
		}
		e.Set("rsc", members[0].id)
		set("rsc-role", members[0].role)
		e.Set("with-rsc", members[1].id)
		set("with-rsc-role", members[1].role)
	default:
		return
	}
	e.Children = slices.DeleteFunc(e.Children, func(c *Element) bool { return c.Name == "resource_set" })
}

// others cleans up tags and access control.
func (d *deletion) others() {
	drop := func(e *Element, child string, attr string) (dropped, left int) {
		e.Children = slices.DeleteFunc(e.Children, func(c *Element) bool {
			if c.Name != child {
				return false
			}
			if d.ids[c.Get(attr)] {
				dropped++
				return true
			}
			left++
			return false
		})
		return dropped, left
	}
	for e := range d.cib.Section("tags").Named("tag") {
		if n, left := drop(e, "obj_ref", "id"); n > 0 && !d.gone[e] {
			if left == 0 {
				d.take(e)
			}
			d.note(e, left == 0, "an object it names is gone")
		}
	}
	for e := range d.cib.Section("acls").Elements() {
		child, attr := "role", "id"
		switch e.Name {
		case "acl_user":
			child = "role_ref"
		case "acl_role":
			child, attr = "acl_permission", "reference"
		}
		if n, left := drop(e, child, attr); n > 0 && !d.gone[e] {
			// A target without a role would violate the schema.
			none := left == 0 && (e.Name == "acl_target" || e.Name == "acl_group")
			if none {
				d.take(e)
			}
			d.note(e, none, "what it refers to is gone")
		}
	}
}

// sweep takes deleted objects out of their sections; sections that need not
// exist go when they are empty.
func (d *deletion) sweep() {
	conf := d.cib.Configuration()
	conf.Children = slices.DeleteFunc(conf.Children, func(s *Element) bool {
		if d.gone[s] {
			return true
		}
		before := len(s.Children)
		s.Children = slices.DeleteFunc(s.Children, func(o *Element) bool { return d.gone[o] })
		return before > 0 && len(s.Children) == 0 && !slices.Contains(sections, s.Name)
	})
}

// Rename gives an object another id and lets all references follow: those of
// constraints, tags, templates, ACLs and fencing levels. Ids inside the object
// stay as they are. c is changed in place; in an error it is unchanged.
func Rename(c *CIB, old, new string) ([]EditNote, error) {
	x := NewIndex(c)
	e, ok := c.objects()[old]
	switch {
	case !ok:
		return nil, fmt.Errorf("object %s %w", old, ErrNoObject)
	case e.Element.Name == "node" || e.Element.Name == "fencing-topology":
		return nil, fmt.Errorf("%s: a %s cannot be renamed", old, strings.ReplaceAll(e.Element.Name, "-", "_"))
	case !ValidID(new):
		return nil, fmt.Errorf("%s: invalid object id (letters, digits, _ . and -, not beginning with a digit, . or -)", new)
	case x.Element(new) != nil || e.Element.Name == "acl_target" && e.Parent.ChildByID(new) != nil:
		return nil, fmt.Errorf("%s: id is already in use", new)
	}
	var notes []EditNote
	e.Element.Set("id", new)
	if !declaresID(e.Element.Name) {
		return nil, nil // nothing refers to it
	}
	for _, r := range x.References(old) {
		if r.Attr == "devices" {
			devices := strings.Split(r.Element.Get("devices"), ",")
			for i := range devices {
				if devices[i] == old {
					devices[i] = new
				}
			}
			r.Element.Set("devices", strings.Join(devices, ","))
		} else {
			r.Element.Set(r.Attr, new)
		}
		n := EditNote{Element: r.Object.Name, ID: r.Object.ID(), From: old, To: new}
		if r.Object.Name != "fencing-level" && (len(notes) == 0 || notes[len(notes)-1] != n) {
			notes = append(notes, n)
		}
	}
	return notes, nil
}

// AddMember moves a primitive into a group: to the end, or before or after
// another member if one of them is not empty. Constraints go on naming the
// primitive: a member may have its own. c is changed in place; in an error it
// is unchanged.
func AddMember(c *CIB, group, member, before, after string) error {
	all := c.objects()
	g, err := findGroup(all, group)
	if err != nil {
		return err
	}
	m, ok := all[member]
	switch {
	case !ok:
		return fmt.Errorf("%s refers to missing object %s, which %w", group, member, ErrNoObject)
	case m.Parent == g:
		return fmt.Errorf("%s is already a member of %s", member, group)
	case m.Element.Name != "primitive":
		return fmt.Errorf("%s is a %s, only primitives can be members of a group", member, m.Element.Name)
	case m.Parent.Name != "resources":
		return fmt.Errorf("%s is already in %s %s; take it out there first", member, m.Parent.Name, m.Parent.ID())
	}
	at := len(g.Children)
	if other := firstNonEmpty(before, after); other != "" {
		if at = indexID(g, "primitive", other); at < 0 {
			return fmt.Errorf("%s is not member of %s", other, group)
		}
		if before == "" {
			at++
		}
	}
	m.Parent.Remove(m.Element)
	g.Children = slices.Insert(g.Children, at, m.Element)
	return nil
}

// RemoveMember takes a primitive out of a group; it stays in the configuration,
// right after the outermost resource that holds the group. c is changed in
// place; in an error it is unchanged.
func RemoveMember(c *CIB, group, member string) error {
	all := c.objects()
	g, err := findGroup(all, group)
	if err != nil {
		return err
	}
	i := indexID(g, "primitive", member)
	if i < 0 {
		return fmt.Errorf("%s is not member of %s", member, group)
	}
	n := 0
	for range Members(g) {
		n++
	}
	if n <= 1 {
		return fmt.Errorf("%s is the last member of %s; delete the group instead", member, group)
	}
	m := g.Children[i]
	g.Children = slices.Delete(g.Children, i, i+1)
	section := c.Section("resources")
	at := slices.Index(section.Children, all[group].Object)
	section.Children = slices.Insert(section.Children, at+1, m)
	return nil
}

func findGroup(all map[string]Entry, id string) (*Element, error) {
	g, ok := all[id]
	if !ok {
		return nil, fmt.Errorf("group %s %w", id, ErrNoObject)
	}
	if g.Element.Name != "group" {
		return nil, fmt.Errorf("element %s is not a group", id)
	}
	return g.Element, nil
}
