package grammar

import (
	"strings"

	"gcrm/cib"
)

func (b *builder) aclRole(r *Role) *cib.Element {
	e := cib.NewElement("acl_role", "id", b.id(r.ID))
	b.describe(e, r.Desc)
	if b.st.Mode == Command && len(r.Rules) == 0 {
		b.hint(Token{Pos: b.st.Pos}, "say what it may: read, write or deny, and what", "Expected at least 2 arguments")
	}
	for _, p := range r.Rules {
		b.permissions(e, p)
	}
	return e
}

// permissions adds the acl_permission elements of one rule: one for every kind
// of specification.
func (b *builder) permissions(e *cib.Element, r *ACLRule) {
	var xpaths, refs []string
	objectType, attribute := "", ""
	for _, t := range r.Specs {
		word, value, colon := strings.Cut(t.Value, ":")
		switch {
		case colon && value == "":
			b.hint(t, "write what stands behind the colon", "Expected <type>:<spec>")
		case colon && word == "xpath":
			xpaths = append(xpaths, value)
		case colon && (word == "ref" || word == "reference"):
			refs = append(refs, value)
		case colon && (word == "tag" || word == "type"):
			objectType = value
		case colon && (word == "attr" || word == "attribute"):
			attribute = value
		default:
			x, ok := shortcutXPath(t.Value)
			if !ok {
				b.hint(t, aclHint(word), "%q says nothing about what to %s", t.Value, r.Kind.Value)
				continue
			}
			xpaths = append(xpaths, x)
		}
	}
	if attribute != "" && objectType == "" && len(r.Specs) > 0 {
		b.hint(r.Specs[0], "add type:ELEMENT", "attribute is only valid in combination with tag/object-type")
	}
	first := true
	add := func(pairs ...string) {
		p := cib.NewElement("acl_permission", "kind", r.Kind.Value)
		if first && r.ID.Value != "" {
			p.Set("id", label(r.ID))
		}
		first = false
		b.describe(p, r.Desc)
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i+1] != "" {
				p.Set(pairs[i], pairs[i+1])
			}
		}
		e.Add(p)
	}
	for _, x := range xpaths {
		add("xpath", x)
	}
	for _, x := range refs {
		add("reference", x)
	}
	if objectType != "" {
		add("object-type", objectType, "attribute", attribute)
	}
}

func aclHint(word string) string {
	if n := nearest(word, []string{"xpath", "ref", "reference", "tag", "type", "attr", "attribute", "meta", "params", "utilization",
		"location", "property", "nodeattr", "nodeutil", "node", "status", "cib"}); n != "" {
		return "did you mean " + n + "?"
	}
	return "write xpath:..., ref:ID, type:ELEMENT, or a shortcut as meta:RSC, params:RSC, status, cib"
}

func (b *builder) aclTarget(t *Target) *cib.Element {
	e := cib.NewElement(b.st.Verb, "id", b.id(t.ID))
	for _, r := range t.Roles {
		e.Add(cib.NewElement("role", "id", r.Value))
	}
	return e
}

func (b *builder) user(u *User) *cib.Element {
	if major, _, ok := schemaVersion(b.schema); !ok || major >= 2 {
		b.hint(Token{Value: "user", Pos: b.st.Pos}, "write acl_target ID ROLE", "user not supported by the RNG schema")
	}
	e := cib.NewElement("acl_user", "id", u.ID.Value)
	for _, r := range u.Roles {
		id, ok := strings.CutPrefix(r.Value, "role:")
		if !ok {
			b.fail(r, "expected role:ROLE, found %q", r.Value)
		}
		e.Add(cib.NewElement("role_ref", "id", id))
	}
	for _, r := range u.Rules {
		b.permissions(e, r)
	}
	for _, p := range e.Children {
		if p.Name == "acl_permission" {
			p.Name = p.Get("kind")
			p.Unset("kind")
		}
	}
	return e
}
