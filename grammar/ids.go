package grammar

import (
	"strconv"
	"strings"
	"unicode"

	"gcrm/cib"
)

// idSpace holds the ids in use in a configuration.
type idSpace struct {
	used map[string]struct{}
	// taken are those that the statement at hand has added, to be given back
	// if it fails.
	taken []string
}

// collect adds all ids below e.
func (s *idSpace) collect(e *cib.Element) {
	e.Walk(func(x *cib.Element) bool {
		if hasOwnID(x.Name) {
			if id, ok := x.Lookup("id"); ok {
				s.used[id] = struct{}{}
			}
		}
		return true
	})
}

// hasOwnID tells the elements whose id attribute declares an id, as opposed to
// naming another object, and shares the one name space of the configuration.
func hasOwnID(name string) bool {
	switch name {
	case "node", "resource_ref", "obj_ref", "role", "role_ref", "acl_target", cib.CommentName:
		return false
	}
	return true
}

func (s *idSpace) take(id string) bool {
	if _, used := s.used[id]; used {
		return false
	}
	s.used[id] = struct{}{}
	s.taken = append(s.taken, id)
	return true
}

func (s *idSpace) release(id string) { delete(s.used, id) }

// forget gives back what the statement at hand has taken.
func (s *idSpace) forget() {
	for _, id := range s.taken {
		delete(s.used, id)
	}
	s.taken = s.taken[:0]
}

// generate returns an unused id made from a wish: the wish itself, else with
// -0, -1, ... appended.
func (s *idSpace) generate(wish string) string {
	wish = legalID(wish)
	if s.take(wish) {
		return wish
	}
	for i := 0; ; i++ {
		if id := wish + "-" + strconv.Itoa(i); s.take(id) {
			return id
		}
	}
}

// legalID replaces what an XML id must not contain by dots.
func legalID(s string) string {
	plain := true
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) {
			return r
		}
		return '.'
	}, s)
}

// complete fills in the ids that an object's element misses. Ids of matching
// elements of old, the object as it was (or nil), are kept; the others are
// generated.
func (s *idSpace) complete(e, old *cib.Element) {
	prefix := e.ID()
	if e.Name == "node" {
		prefix = e.Get("uname")
	} else if allDigits(prefix) {
		prefix = "num-" + prefix
	}
	if e.Name == "fencing-topology" {
		prefix = "fencing"
	}
	if old != nil {
		s.keep(e, normalize(old))
	}
	// Ids that are written down count before generated ones.
	for _, c := range e.Children {
		c.Walk(func(x *cib.Element) bool {
			if id, ok := x.Lookup("id"); ok && hasOwnID(x.Name) {
				s.take(id)
			}
			return !cib.IsResource(x.Name)
		})
	}
	s.fill(e, prefix)
}

func (s *idSpace) fill(parent *cib.Element, prefix string) {
	recipients := 0
	for _, c := range parent.Children {
		if c.IsComment() || cib.IsResource(c.Name) && cib.IsContainer(parent.Name) {
			continue
		}
		inner := prefix
		if c.Name == "recipient" {
			recipients++
		}
		if needsID(c) {
			if wish := idWish(c, prefix); c.Name == "recipient" {
				n := recipients
				for !s.take(wish + strconv.Itoa(n)) {
					n++
				}
				c.Set("id", wish+strconv.Itoa(n))
			} else {
				c.Set("id", s.generate(wish))
			}
		}
		if id := c.ID(); id != "" && hasOwnID(c.Name) {
			inner = id
		}
		if len(c.Children) > 0 {
			s.fill(c, inner)
		}
	}
}

// needsID reports whether an element within an object must have an id.
func needsID(e *cib.Element) bool {
	if e.Has("id") || e.Has("id-ref") {
		return false
	}
	switch e.Name {
	case "instance_attributes", "meta_attributes", "utilization", "cluster_property_set", "nvpair", "op", "rule", "expression",
		"date_expression", "duration", "date_spec", "rsc_expression", "op_expression", "resource_set", "acl_permission",
		"read", "write", "deny", "attribute", "port-mapping", "storage-mapping", "fencing-level", "recipient":
		return true
	}
	return false
}

// idWish returns the id that an element gets if it is free; prefix is the id
// of the nearest element above that has one.
func idWish(e *cib.Element, prefix string) string {
	switch e.Name {
	case "nvpair":
		return prefix + "-" + e.Get("name")
	case "op":
		if i := e.Get("interval"); i != "" {
			return prefix + "-" + e.Get("name") + "-" + i
		}
		return prefix + "-" + e.Get("name")
	case "expression", "date_expression", "rsc_expression", "op_expression":
		return prefix + "-expression"
	case "resource_set", "acl_permission", "read", "write", "deny", "attribute", "port-mapping", "storage-mapping", "fencing-level":
		return prefix
	case "recipient":
		return prefix + "-recipient-"
	}
	return prefix + "-" + e.Name
}

// keep gives elements below e the ids of the elements of old that they match.
func (s *idSpace) keep(e, old *cib.Element) {
	used := make([]bool, len(old.Children))
	// The search begins at the same place: most edits leave the order alone.
	find := func(c *cib.Element, at int, same func(o *cib.Element) bool) *cib.Element {
		for k := range old.Children {
			i := (at + k) % len(old.Children)
			if o := old.Children[i]; !used[i] && o.Name == c.Name && same(o) {
				used[i] = true
				return o
			}
		}
		return nil
	}
	match := make([]*cib.Element, len(e.Children))
	for i, c := range e.Children {
		if id := c.ID(); id != "" && !c.IsComment() {
			match[i] = find(c, i, func(o *cib.Element) bool { return o.ID() == id })
		}
	}
	for pass := range 2 {
		for i, c := range e.Children {
			if c.IsComment() || match[i] != nil || cib.IsResource(c.Name) && cib.IsContainer(e.Name) {
				continue
			}
			match[i] = find(c, i, func(o *cib.Element) bool {
				return sameKey(c, o) && (pass == 1 || sameContent(c, o))
			})
		}
	}
	for i, c := range e.Children {
		o := match[i]
		if o == nil {
			continue
		}
		if id := o.ID(); id != "" && (needsID(c) || c.Name == "operations" && !c.Has("id-ref")) && !c.Has("id") {
			c.Set("id", id)
		}
		s.keep(c, o)
	}
}

// sameKey reports whether two elements of one name are the same thing, perhaps
// with other contents.
func sameKey(a, b *cib.Element) bool {
	var keys []string
	switch a.Name {
	case "node":
		keys = []string{"uname"}
	case "nvpair":
		keys = []string{"name"}
	case "op":
		keys = []string{"name", "interval"}
	case "rule":
		keys = []string{"score", "score-attribute", "role"}
	case "expression":
		keys = []string{"attribute", "operation", "value"}
	case "fencing-level":
		keys = []string{"target", "target-pattern", "target-attribute", "target-value", "devices"}
	case "recipient":
		keys = []string{"value"}
	}
	if a.Has("id-ref") != b.Has("id-ref") {
		return false
	}
	for _, k := range keys {
		if a.Get(k) != b.Get(k) {
			return false
		}
	}
	return true
}

// sameContent compares everything but ids.
func sameContent(a, b *cib.Element) bool {
	if a.Name != b.Name || a.Text != b.Text {
		return false
	}
	n := 0
	for _, x := range a.Attrs {
		if x.Name == "id" && needsIDName(a.Name) {
			continue
		}
		n++
		if v, ok := b.Lookup(x.Name); !ok || v != x.Value {
			return false
		}
	}
	for _, x := range b.Attrs {
		if x.Name != "id" || !needsIDName(b.Name) {
			n--
		}
	}
	if n != 0 || len(a.Children) != len(b.Children) {
		return false
	}
	for i := range a.Children {
		if !sameContent(a.Children[i], b.Children[i]) {
			return false
		}
	}
	return true
}

// needsIDName tells the elements whose id is usually generated.
func needsIDName(name string) bool {
	return name == "operations" || needsID(&cib.Element{Name: name})
}
