package grammar

import (
	"slices"
	"strconv"
	"strings"

	"gcrm/cib"
)

func (p *printer) alert(e *cib.Element) []string {
	p.only(e, "id", "path", "description")
	lines := p.description([]string{p.head("alert", e.ID()) + " " + p.color(AttrValue, p.quote(e.Get("path")))}, e)
	if path := e.Get("path"); path == "{" || !e.Has("path") {
		p.failed = true
	}
	// Sets behind a recipient would be taken for the recipient's: then all
	// recipients get braces.
	braces := false
	for i, c := range e.Children {
		if c.Name == "recipient" && slices.ContainsFunc(e.Children[i+1:], func(o *cib.Element) bool {
			return o.Name == "instance_attributes" || o.Name == "meta_attributes"
		}) {
			braces = true
		}
	}
	p.ownBeforeReferences(e)
	recipients := 0
	named := 0 // elements that name attributes
	for i, c := range e.Children {
		switch c.Name {
		case "instance_attributes":
			lines = append(lines, p.set("attributes", c))
		case "meta_attributes":
			lines = append(lines, p.set("meta", c))
		case "select":
			lines = append(lines, p.selection(c))
			for range c.Named("select_attributes") {
				named++
				if named > 1 || e.Child("select") != c {
					p.failed = true // the ids within are kept for the first alone
				}
			}
			if i+1 < len(e.Children) && len(c.Children) == 0 && e.Children[i+1].Name == "instance_attributes" {
				p.failed = true
			}
		case "recipient":
			recipients++
			if c.ID() != e.ID()+"-recipient-"+strconv.Itoa(recipients) {
				p.failed = true // their ids go by their number, so another one cannot be said
			}
			lines = append(lines, p.recipient(c, braces))
		default:
			p.failed = true
		}
	}
	return lines
}

func (p *printer) selection(e *cib.Element) string {
	p.only(e)
	p.leafless(e)
	s := p.keyword("select")
	for _, c := range e.Children {
		p.only(c)
		switch c.Name {
		case "select_nodes", "select_fencing", "select_resources":
			p.leaf(c)
			s += " " + strings.TrimPrefix(c.Name, "select_")
		case "select_attributes":
			p.leafless(c)
			s += " attributes {"
			for _, a := range c.Children {
				if a.Name != "attribute" {
					p.failed = true
				}
				p.only(a, "id", "name")
				p.leaf(a)
				s += " " + p.listed(a.Get("name"))
			}
			s += " }"
		default:
			p.failed = true
		}
	}
	return s
}

func (p *printer) recipient(e *cib.Element, braces bool) string {
	p.only(e, "id", "value")
	s := p.keyword("to") + " "
	if braces {
		s += "{ "
	}
	value := e.Get("value")
	if value == "{" || value == "}" || !e.Has("value") {
		p.failed = true
	}
	s += p.color(AttrValue, p.quote(value))
	for _, c := range e.Children {
		switch c.Name {
		case "instance_attributes":
			s += " " + p.set("attributes", c)
		case "meta_attributes":
			s += " " + p.set("meta", c)
		default:
			p.failed = true
		}
	}
	if braces {
		s += " }"
	}
	return s
}
