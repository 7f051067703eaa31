package shell

import (
	"gcrm/cib"
	"gcrm/grammar"
)

// objectKinds are the statement words of objects.
func objectKinds() []string {
	return []string{"node", "rsc_template", "primitive", "bundle", "group", "ms", "clone", "tag", "location", "colocation",
		"order", "rsc_ticket", "fencing_topology", "property", "rsc_defaults", "op_defaults", "role", "acl_target",
		"acl_group", "user", "alert"}
}

// describe says what kind of thing an object is, with its agent.
func describe(o grammar.Object) string {
	if a := cib.AgentOf(o.Element); o.Kind == "primitive" && a.Type != "" {
		return "primitive " + a.String()
	}
	return o.Kind
}

// noObject is the problem of an id that nothing has.
func noObject(doc *cib.CIB, w grammar.Word) *problem {
	p := problemf("object %s does not exist", w.Text).at(w.Pos)
	var ids []string
	for _, o := range grammar.Objects(doc, true) {
		ids = append(ids, o.ID)
	}
	if near := nearest(w.Text, ids); near != "" {
		p.hinting("did you mean %s?", near)
	}
	return p
}

// findObject finds an object by id; resources and the like before nodes.
func findObject(doc *cib.CIB, id string) (grammar.Object, bool) {
	var node *grammar.Object
	for _, o := range grammar.Objects(doc, true) {
		if o.ID != id {
			continue
		}
		if o.Kind != "node" {
			return o, true
		}
		node = &o
	}
	if node != nil {
		return *node, true
	}
	return grammar.Object{}, false
}
