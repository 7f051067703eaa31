package grammar

import (
	"strings"

	"gcrm/cib"
)

func (p *printer) role(e *cib.Element) []string {
	p.only(e, "id", "description")
	lines := p.description([]string{p.head("role", e.ID())}, e)
	for _, c := range e.Children {
		if c.Name != "acl_permission" {
			p.failed = true
			continue
		}
		lines = append(lines, p.permission(c, c.Get("kind"), "kind"))
	}
	return lines
}

// permission prints a permission of a role, or a rule of a user.
func (p *printer) permission(e *cib.Element, kind, kindAttr string) string {
	p.leaf(e)
	p.only(e, "id", kindAttr, "description", "xpath", "reference", "object-type", "attribute")
	switch kind {
	case "read", "write", "deny":
	default:
		p.failed = true
	}
	s := p.keyword(kind)
	if d, ok := e.Lookup("description"); ok {
		s += " description=" + p.quote(d)
	}
	specs := 0
	if x, ok := e.Lookup("xpath"); ok {
		specs++
		if short, known := xpathShortcut(x); known && !strings.ContainsAny(short, " \t\"'\\") {
			s += " " + p.color(AttrValue, short)
		} else {
			quoted := p.quote(x)
			if quoted[0] != '"' {
				quoted = `"` + quoted + `"`
			}
			s += " xpath:" + p.color(AttrValue, quoted)
		}
	}
	if r, ok := e.Lookup("reference"); ok {
		specs++
		s += " ref:" + p.color(IDRef, p.id(r))
	}
	if a, ok := e.Lookup("attribute"); ok {
		if !e.Has("object-type") {
			p.failed = true
		}
		s += " attr:" + p.color(AttrName, p.listed(a))
	}
	if t, ok := e.Lookup("object-type"); ok {
		specs++
		s += " type:" + p.color(AttrValue, p.listed(t))
	}
	if specs != 1 {
		p.failed = true
	}
	return s
}

func (p *printer) target(kind string, e *cib.Element) []string {
	p.only(e, "id")
	p.leafless(e)
	lines := []string{p.head(kind, e.ID())}
	for _, c := range e.Children {
		if c.Name != "role" {
			p.failed = true
		}
		p.only(c, "id")
		p.leaf(c)
		lines = append(lines, p.color(IDRef, p.listed(c.ID())))
	}
	return lines
}

func (p *printer) user(e *cib.Element) []string {
	p.only(e, "id")
	p.leafless(e)
	lines := []string{p.keyword("user") + " " + p.color(Identifier, p.listed(e.ID()))}
	for _, c := range e.Children {
		switch {
		case c.Name != e.Children[0].Name && (c.Name == "role_ref" || e.Children[0].Name == "role_ref"):
			p.failed = true
		case c.Name == "role_ref":
			p.only(c, "id")
			lines = append(lines, "role:"+p.color(IDRef, p.listed(c.ID())))
		default:
			lines = append(lines, p.permission(c, c.Name, "id"))
		}
	}
	return lines
}
