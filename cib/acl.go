package cib

import (
	"fmt"
	"slices"
	"strings"
)

// Access lists of the CIB (acl_target, acl_group, acl_role) with Pacemaker's
// meaning:
//
//   - they count while the property enable-acl is true, and never for root and
//     hacluster;
//   - a permission names elements by XPath, by the id (reference), or by name
//     (object-type) with an attribute; several permissions of all the user's
//     roles add up, and on one element deny goes before the others;
//   - for an element the nearest permission counts, its own or that of an
//     ancestor; write includes read; without any, nothing is allowed;
//   - an element that may be read is read with everything in it but for what is
//     denied; of one that may not, its id is shown if something in it may be;
//   - who may write an element may create things in it and delete it. What
//     only holds other elements (a set of attributes that has nothing but an
//     id) may be created by anybody outside of the section acls.
//
// Three rules are stricter than Pacemaker's: a change of an element has to be
// allowed both before and after it, so that nobody can change what makes a
// permission apply; a permission that cannot be read denies everything if it was
// meant to deny; and a tag or a reference is more than a holder of others, though
// it has nothing but an id.

// Access is what one user may do with one document.
type Access struct {
	user  string
	rules []aclRule // nil with all set
	all   bool
}

type aclRule struct {
	kind  aclFlags
	xpath *XPath
	text  string
}

type aclFlags uint8

const (
	aclRead aclFlags = 1 << iota
	aclWrite
	aclDeny
)

// AccessError says what a user may not do.
type AccessError struct {
	User string
	What string
}

func (e *AccessError) Error() string {
	return fmt.Sprintf("user %s may not %s (access lists are enabled)", e.User, e.What)
}

// Superuser reports whether access lists never count for a user.
func Superuser(user string) bool { return user == "root" || user == "hacluster" }

// AccessFor returns what a user, being a member of groups, may do according to
// the document's access lists.
func AccessFor(c *CIB, user string, groups []string) *Access {
	enabled, _ := c.Property("enable-acl")
	if !IsTrue(enabled) || Superuser(user) {
		return &Access{user: user, all: true}
	}
	a := &Access{user: user}
	lists := c.Configuration().Child("acls")
	roles := map[string]*Element{}
	for r := range lists.Named("acl_role") {
		roles[r.ID()] = r
	}
	for e := range lists.Elements() {
		name := e.ID()
		if n := e.Get("name"); n != "" {
			name = n
		}
		switch e.Name {
		case "acl_target", "acl_user":
			if name == user {
				a.unpack(e, roles, map[string]bool{})
			}
		case "acl_group":
			if slices.Contains(groups, name) {
				a.unpack(e, roles, map[string]bool{})
			}
		}
	}
	return a
}

func (a *Access) unpack(list *Element, roles map[string]*Element, done map[string]bool) {
	for e := range list.Elements() {
		switch e.Name {
		case "role", "role_ref":
			if r := roles[e.ID()]; r != nil && !done[e.ID()] {
				done[e.ID()] = true
				a.unpack(r, roles, done)
			}
		case "acl_permission":
			a.add(e.Get("kind"), e)
		case "read", "write", "deny":
			a.add(e.Name, e)
		}
	}
}

// add takes one permission in.
func (a *Access) add(kind string, e *Element) {
	r := aclRule{}
	switch kind {
	case "read":
		r.kind = aclRead
	case "write":
		r.kind = aclWrite
	case "deny":
		r.kind = aclDeny
	default:
		return
	}
	r.text = e.Get("xpath")
	if r.text == "" {
		tag, ref, attr := e.Get("object-type"), e.Get("reference"), e.Get("attribute")
		if tag == "" {
			tag = e.Get("tag")
		}
		if ref == "" {
			ref = e.Get("ref")
		}
		if tag == "" && ref == "" && attr == "" {
			return
		}
		if tag == "" {
			tag = "*"
		}
		r.text = "//" + tag
		if ref != "" {
			quote := "'"
			if strings.Contains(ref, quote) {
				quote = `"`
			}
			r.text += "[@id=" + quote + ref + quote + "]"
		}
		if attr != "" {
			r.text += "[@" + attr + "]"
		}
	}
	x, err := CompileXPath(r.text)
	if err != nil {
		if r.kind != aclDeny {
			return // grants nothing
		}
		if x, err = CompileXPath("/cib"); err != nil {
			return
		}
	}
	r.xpath = x
	a.rules = append(a.rules, r)
}

// Unrestricted reports whether access lists do not count for the user.
func (a *Access) Unrestricted() bool { return a.all }

// Administers reports whether the user may change everything, and so may do
// what is not part of the document.
func (a *Access) Administers(c *CIB) bool {
	if a.all {
		return true
	}
	m := a.marks(c)
	for _, f := range m.flags {
		if f&aclDeny != 0 {
			return false
		}
	}
	return m.flags[c.Root]&aclWrite != 0
}

// aclMarks are the permissions on the elements of one document.
type aclMarks struct {
	flags  map[*Element]aclFlags
	parent map[*Element]*Element
}

func (a *Access) marks(c *CIB) *aclMarks {
	m := &aclMarks{flags: map[*Element]aclFlags{}, parent: map[*Element]*Element{}}
	for _, r := range a.rules {
		for _, e := range r.xpath.Select(c) {
			m.flags[e] |= r.kind
		}
	}
	var walk func(e *Element)
	walk = func(e *Element) {
		for _, k := range e.Children {
			m.parent[k] = e
			walk(k)
		}
	}
	walk(c.Root)
	return m
}

// allows reports whether an element may be read or written: the nearest
// permission that says something about it counts.
func (m *aclMarks) allows(e *Element, kind aclFlags) bool {
	for ; e != nil; e = m.parent[e] {
		f := m.flags[e]
		switch {
		case f&aclDeny != 0:
			return false
		case f&aclWrite != 0, f&kind != 0:
			return true
		}
	}
	return false
}

// Filter returns the part of a document that the user may read. The version
// and the schema of the document are always in it. A user that the lists do
// not name at all gets an [AccessError].
func (a *Access) Filter(c *CIB) (*CIB, error) {
	if a.all {
		return c, nil
	}
	if len(a.rules) == 0 {
		return nil, &AccessError{a.user, "read the CIB: no access list names this user"}
	}
	m := a.marks(c)
	root := m.visible(c.Root, false)
	if root == nil {
		root = &Element{Name: c.Root.Name}
	}
	if !m.allows(c.Root, aclRead) {
		for _, name := range []string{"validate-with", "admin_epoch", "epoch", "num_updates", "crm_feature_set", "have-quorum", "dc-uuid"} {
			if v, ok := c.Root.Lookup(name); ok {
				root.Set(name, v)
			}
		}
	}
	// Sections are there, empty if nothing in them may be read, at the places
	// that they have in the document.
	if conf := c.Configuration(); !m.allows(conf, aclRead) {
		shown := root.Child("configuration")
		shell := &Element{Name: conf.Name}
		for s := range conf.Elements() {
			switch v := shown.Child(s.Name); {
			case v != nil:
				shell.Add(v)
			case slices.Contains(sections[:], s.Name):
				shell.Add(&Element{Name: s.Name})
			}
		}
		rest := []*Element{shell}
		for _, k := range root.Children {
			if k != shown {
				rest = append(rest, k)
			}
		}
		root = &Element{Name: root.Name, Attrs: root.Attrs, Children: rest}
	}
	return FromElement(root)
}

// visible copies what may be read of an element; nil if that is nothing.
// inherited tells whether its parent may be read.
func (m *aclMarks) visible(e *Element, inherited bool) *Element {
	may := inherited
	switch f := m.flags[e]; {
	case f&aclDeny != 0:
		may = false
	case f != 0:
		may = true
	}
	out := &Element{Name: e.Name}
	if may {
		out.Attrs, out.Text = e.Attrs, e.Text
	} else if id, ok := e.Lookup("id"); ok {
		out.Attrs = []Attr{{Name: "id", Value: id}}
	}
	same := may
	for _, k := range e.Children {
		switch v := m.visible(k, may); {
		case v == nil:
			same = false
		default:
			same = same && v == k
			out.Children = append(out.Children, v)
		}
	}
	switch {
	case same:
		return e
	case !may && len(out.Children) == 0:
		return nil
	}
	return out
}
