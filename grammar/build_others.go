package grammar

import (
	"slices"
	"strconv"
	"strings"

	"gcrm/cib"
)

func (b *builder) propertySet(p *Property) *cib.Element {
	name := "meta_attributes"
	if b.st.Verb == "property" {
		name = "cluster_property_set"
	}
	e := &cib.Element{Name: name}
	switch {
	case p.Ref.Value != "":
		b.refer(e, p.Ref)
	case p.Label.Value != "":
		e.Set("id", b.id(p.Label))
	}
	for _, r := range p.Rules {
		e.Add(b.rule(r))
	}
	for _, t := range p.Pairs {
		if b.st.Mode == Command && (bare(t) || strings.HasSuffix(t.Value, "=")) {
			b.hint(t, "write NAME=VALUE", "Unknown arguments: %s", t.Value)
			continue
		}
		e.Add(b.pair(t))
	}
	return e
}

// topology makes the fencing-topology section. nodes are the node names of the
// CIB, sorted.
func (b *builder) topology(t *Topology, nodes []string) *cib.Element {
	e := &cib.Element{Name: "fencing-topology"}
	if len(t.Items) == 0 && b.st.Mode == Command {
		b.fail(Token{Pos: b.st.Pos}, "Expected at least 1 argument, expected %s", descriptions["fencing-level"])
	}
	type target struct {
		attrs  []string
		levels []Token
	}
	targets := []target{{}}
	for _, item := range t.Items {
		v := item.Value
		switch {
		case item.Type == tLabel && !strings.HasPrefix(v, "pattern:") && !strings.HasPrefix(v, "attr:"):
			targets = append(targets, target{attrs: []string{"target", label(item)}})
		case strings.HasPrefix(v, "pattern:"):
			targets = append(targets, target{attrs: []string{"target-pattern", v[len("pattern:"):]}})
		case strings.HasPrefix(v, "attr:") && strings.Contains(v, "="):
			name, value, _ := strings.Cut(v[len("attr:"):], "=")
			targets = append(targets, target{attrs: []string{"target-attribute", name, "target-value", value}})
		case strings.Contains(v, "=") || slices.Contains(strings.Split(v, ","), ""):
			b.hint(item, "join the devices of one level by commas, without blanks", "%q is no list of devices", v)
		default:
			last := &targets[len(targets)-1]
			last.levels = append(last.levels, item)
		}
	}
	index := map[string]int{}
	add := func(attrs []string, levels []Token) {
		for _, l := range levels {
			key := strings.Join(attrs, " ")
			index[key]++
			e.Add(cib.NewElement("fencing-level", append(slices.Clone(attrs), "index", strconv.Itoa(index[key]), "devices", l.Value)...))
		}
	}
	if levels := targets[0].levels; len(levels) > 0 {
		if len(nodes) == 0 {
			b.hint(levels[0], "name the target (NODE: DEVICE) or define the nodes first", "there is no node that %s could fence", levels[0].Value)
		}
		for _, n := range nodes {
			add([]string{"target", n}, levels)
		}
	}
	for i, g := range targets[1:] {
		if len(g.levels) == 0 {
			b.fail(t.Items[len(t.Items)-1], "target %s has no devices", targets[i+1].attrs[1])
		}
		add(g.attrs, g.levels)
	}
	return e
}

func (b *builder) aclRole(r *Role) *cib.Element {
	e := cib.NewElement("acl_role", "id", b.id(r.ID))
	b.describe(e, r.Desc)
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

func (b *builder) tag(t *Tag) *cib.Element {
	e := cib.NewElement("tag", "id", b.id(t.ID))
	for _, m := range t.Members {
		if e.ChildByID(m.Value) != nil {
			b.remark(Warning, m, "%s is listed more than once in tag %s", m.Value, e.ID())
		}
		e.Add(cib.NewElement("obj_ref", "id", m.Value))
	}
	return e
}

func (b *builder) alert(a *Alert) *cib.Element {
	e := cib.NewElement("alert", "id", b.id(a.ID), "path", a.Path.Value)
	b.describe(e, a.Desc)
	for _, p := range a.Parts {
		switch {
		case p.Set != nil:
			e.Add(b.section(p.Set.Kind, p.Set.Set))
		case p.Recipient != nil:
			e.Add(b.recipient(p.Recipient))
		default:
			s := &cib.Element{Name: "select"}
			for _, k := range p.Kinds {
				if k.Kind.Value != "" {
					s.Add(&cib.Element{Name: "select_" + k.Kind.Value})
					continue
				}
				attributes := &cib.Element{Name: "select_attributes"}
				for _, n := range k.Names {
					attributes.Add(cib.NewElement("attribute", "name", n.Value))
				}
				s.Add(attributes)
			}
			e.Add(s)
		}
	}
	return e
}

func (b *builder) recipient(r *Recipient) *cib.Element {
	value, desc, sets := r.Value, r.Desc, r.Sets
	if r.Brace.Value == "" {
		value, desc, sets = r.Plain, r.About, r.More
	}
	e := cib.NewElement("recipient")
	b.describe(e, desc)
	e.Set("value", value.Value)
	for _, s := range sets {
		e.Add(b.section(s.Kind, s.Set))
	}
	return e
}
