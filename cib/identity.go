package cib

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// sections are those that every configuration has.
var sections = []string{"crm_config", "nodes", "resources", "constraints"}

// sectionOrder is the order in which the sections of a configuration are kept.
var sectionOrder = []string{"crm_config", "nodes", "resources", "constraints", "tags", "fencing-topology", "acls", "alerts",
	"rsc_defaults", "op_defaults"}

func sectionRank(e *Element) int { return slices.Index(sectionOrder, e.Name) }

// EnsureSection returns a section of the configuration, made where it belongs
// if it is missing.
func (c *CIB) EnsureSection(name string) *Element {
	conf := c.Configuration()
	if s := conf.Child(name); s != nil {
		return s
	}
	s := &Element{Name: name}
	at := slices.IndexFunc(conf.Children, func(e *Element) bool { return sectionRank(e) > sectionRank(s) })
	if at < 0 {
		at = len(conf.Children)
	}
	conf.Children = slices.Insert(conf.Children, at, s)
	return s
}

// declaresID reports whether the id attribute of an element is an XML ID, so
// that it has to be unique in the document. Nodes and ACL targets have a name
// space of their own; in resource_ref, obj_ref and role the id is a reference.
func declaresID(element string) bool {
	switch element {
	case "node", "resource_ref", "obj_ref", "role", "role_ref", "acl_target":
		return false
	}
	return true
}

// declaresNoID reports whether objects of this name may do without an id.
func declaresNoID(element string) bool { return element == CommentName }

// eachReference calls f for every attribute of e that refers to an object by
// id. hard is false where a missing object is not a schema error: members of
// tags, and devices of fencing levels (whose value is a comma separated list
// given id by id).
func eachReference(e *Element, f func(attr, id string, hard bool)) {
	switch e.Name {
	case "resource_ref", "obj_ref", "role", "role_ref":
		if id, ok := e.Lookup("id"); ok {
			f("id", id, e.Name != "obj_ref")
		}
		return
	case "fencing-level":
		for id := range strings.SplitSeq(e.Get("devices"), ",") {
			if id != "" {
				f("devices", id, false)
			}
		}
		return
	case "lrm_rsc_op", "lrm_resource", "expression", "nvpair":
		if id, ok := e.Lookup("id-ref"); ok {
			f("id-ref", id, true)
		}
		return
	}
	for i := range e.Attrs {
		switch a := &e.Attrs[i]; a.Name {
		case "id-ref":
			f(a.Name, a.Value, true)
		case "rsc", "with-rsc", "first", "then":
			if strings.HasPrefix(e.Name, "rsc_") {
				f(a.Name, a.Value, true)
			}
		case "template":
			if e.Name == "primitive" {
				f(a.Name, a.Value, true)
			}
		case "reference":
			if e.Name == "acl_permission" {
				f(a.Name, a.Value, true)
			}
		}
	}
}

var schemaName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(pacemaker-[0-9]+\.[0-9]+|pacemaker-next|none)$`) })

func validSchemaName(s string) bool { return schemaName().MatchString(s) }
