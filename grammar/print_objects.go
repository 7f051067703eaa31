package grammar

import (
	"slices"
	"strings"

	"gcrm/cib"
)

func (p *printer) head(kind, id string) string {
	return p.keyword(kind) + " " + p.color(Identifier, p.id(id))
}

func (p *printer) node(e *cib.Element) []string {
	p.only(e, "id", "uname", "type", "description")
	uname, id := e.Get("uname"), e.ID()
	head := p.keyword("node") + " "
	if id != uname {
		head += p.color(Identifier, p.bare(id)) + ": "
	}
	if strings.HasSuffix(id, ":") || strings.ContainsAny(uname, ":={}") || strings.HasPrefix(uname, "$") || strings.HasPrefix(uname, "@") {
		p.failed = true
	}
	head += p.color(Identifier, p.bare(uname))
	if t, ok := e.Lookup("type"); ok {
		if t != "remote" {
			p.failed = true
		}
		head += ":" + t
	}
	lines := p.description([]string{head}, e)
	p.ownBeforeReferences(e)
	for _, c := range e.Children {
		switch c.Name {
		case "instance_attributes":
			lines = append(lines, p.set("attributes", c))
		case "utilization":
			lines = append(lines, p.set("utilization", c))
		default:
			p.failed = true
		}
	}
	return lines
}

// agent prints the agent of a primitive or template; what is in
// ocf:heartbeat goes by its type alone.
func (p *printer) agent(e *cib.Element) string {
	n := cib.AgentOf(e)
	s := n.String()
	switch {
	case n.Class == "ocf" && n.Provider == "heartbeat":
		s = n.Type
		if strings.HasPrefix(s, "fence_") {
			s = n.String()
		}
	case n.Class == "ocf" && n.Provider == "", n.Class == "", n.Type == "":
		p.failed = true
	case e.Has("provider") && n.Provider == "":
		p.failed = true
	}
	if strings.Count(n.Class+n.Provider+n.Type, ":") > 0 || strings.ContainsAny(s, "={}") || strings.HasPrefix(s, "@") || strings.HasPrefix(s, "$") {
		p.failed = true
	}
	if _, key := foldIn(s, sectionWords); key {
		p.failed = true
	}
	return p.color(ResourceRef, p.bare(s))
}

func (p *printer) primitive(kind string, e *cib.Element) []string {
	head := p.head(kind, e.ID()) + " "
	if t, ok := e.Lookup("template"); ok && kind == "primitive" {
		p.only(e, "id", "template", "description")
		head += "@" + p.color(IDRef, p.id(t))
	} else {
		p.only(e, "id", "class", "provider", "type", "description")
		head += p.agent(e)
	}
	lines := p.description([]string{head}, e)
	p.ownBeforeReferences(e)
	operations := false
	for _, c := range e.Children {
		switch c.Name {
		case "instance_attributes":
			lines = append(lines, p.set("params", c))
		case "meta_attributes":
			lines = append(lines, p.set("meta", c))
		case "utilization":
			lines = append(lines, p.set("utilization", c))
		case "operations":
			if operations {
				p.failed = true
			}
			operations = true
			lines = p.operations(lines, c)
		default:
			p.failed = true
		}
	}
	return lines
}

// ownBeforeReferences fails the object if a set of its own stands behind a
// reference to one of the same kind: when the text is read back, that set is
// taken for the reference and gets another id.
func (p *printer) ownBeforeReferences(e *cib.Element) {
	referred := map[string]bool{}
	for _, c := range e.Children {
		switch {
		case c.Has("id-ref"):
			referred[c.Name] = true
		case referred[c.Name]:
			p.failed = true
		}
	}
}

func (p *printer) operations(lines []string, e *cib.Element) []string {
	p.only(e, "id", "id-ref")
	if ref, ok := e.Lookup("id-ref"); ok {
		// Two blanks: this is how it has always been printed.
		lines = append(lines, p.keyword("operations")+"  $id-ref="+p.color(IDRef, p.id(ref)))
		if e.Has("id") {
			p.failed = true
		}
	} else if id, ok := e.Lookup("id"); ok {
		lines = append(lines, p.keyword("operations")+" $id="+p.color(Identifier, p.id(id)))
	} else if len(e.Children) == 0 {
		p.failed = true
	}
	for _, op := range e.Children {
		if op.Name != "op" {
			p.failed = true
			continue
		}
		lines = p.operation(lines, op)
	}
	return lines
}

func (p *printer) operation(lines []string, e *cib.Element) []string {
	var b strings.Builder
	b.WriteString(p.keyword("op"))
	name := e.Get("name")
	b.WriteString(" " + p.bare(name))
	_, key := foldIn(name, sectionWords)
	if key || strings.ContainsAny(name, "=") || strings.HasSuffix(name, ":") || name != "" && (name[0] == '$' || name[0] == '@') {
		p.failed = true
	}
	for _, a := range e.Attrs {
		switch {
		case a.Name == "id" || a.Name == "name":
		case slices.Contains(operationAttributes, a.Name):
			b.WriteString(" " + p.color(AttrName, a.Name) + "=" + p.color(AttrValue, p.quote(a.Value)))
		default:
			p.failed = true
		}
	}
	if !e.Has("interval") && name != "monitor" {
		p.failed = true
	}
	lines = append(lines, b.String())
	if !p.opts.SetIDs {
		// The description comes twice: this is how it has always been shown.
		lines = p.description(lines, e)
	}
	for _, c := range e.Children {
		switch c.Name {
		case "instance_attributes":
			lines = append(lines, p.set("op_params", c))
		case "meta_attributes":
			lines = append(lines, p.set("op_meta", c))
		default:
			p.failed = true
		}
	}
	return lines
}

func (p *printer) container(kind string, e *cib.Element) []string {
	p.only(e, "id", "description")
	head := p.head(kind, e.ID())
	p.ownBeforeReferences(e)
	var sets []string
	members := 0
	for _, c := range e.Children {
		switch {
		case c.Name == "instance_attributes":
			sets = append(sets, p.set("params", c))
		case c.Name == "meta_attributes":
			sets = append(sets, p.set("meta", c))
		case mayHold(e.Name, c.Name):
			head += " " + p.color(ResourceRef, p.id(c.ID()))
			members++
		default:
			p.failed = true
		}
	}
	if members == 0 || e.Name != "group" && members > 1 {
		p.failed = true
	}
	return append(p.description([]string{head}, e), sets...)
}

func (p *printer) bundle(e *cib.Element) []string {
	p.only(e, "id", "description")
	lines := p.description([]string{p.head("bundle", e.ID())}, e)
	// inner joins what stands deeper than a section.
	inner := func(first string, more []string) string {
		return strings.Join(append([]string{first}, more...), p.joint("\t\t"))
	}
	attributes := func(x *cib.Element, skip string) []string {
		var out []string
		for _, a := range x.Attrs {
			if a.Name != skip {
				out = append(out, p.attr(a.Name, a.Value))
			}
		}
		return out
	}
	// section prints a word with its first attribute, the others below.
	section := func(word string, x *cib.Element, mapping string) string {
		attrs := attributes(x, "")
		first := p.keyword(word)
		if len(attrs) > 0 {
			first += " " + attrs[0]
			attrs = attrs[1:]
		}
		for _, m := range x.Children {
			if m.Name != mapping || len(m.Children) > 0 {
				p.failed = true
				continue
			}
			attrs = append(attrs, strings.Join(append([]string{p.keyword(m.Name)}, attributes(m, "id")...), " "))
		}
		return inner(first, attrs)
	}
	var parts []string
	stage := 0
	for _, c := range e.Children {
		rank := 0
		switch c.Name {
		case "instance_attributes":
			rank = 4
			parts = append(parts, p.set("params", c))
		case "meta_attributes":
			rank = 4
			parts = append(parts, p.set("meta", c))
		case "docker", "podman":
			rank = 1
			p.leaf(c)
			if !c.Has("image") {
				p.failed = true
			}
			parts = append(parts, section(c.Name, c, ""))
		case "network":
			rank = 2
			parts = append(parts, section(c.Name, c, "port-mapping"))
		case "storage":
			rank = 3
			p.only(c)
			parts = append(parts, section(c.Name, c, "storage-mapping"))
		case "primitive":
			rank = 5
			parts = append(parts, p.keyword("primitive")+" "+p.color(ResourceRef, p.id(c.ID())))
		default:
			p.failed = true
		}
		// Container, network, storage once each; then sets; then the member.
		if rank < stage || rank == stage && !strings.HasSuffix(c.Name, "_attributes") || stage == 0 && rank != 1 {
			p.failed = true
		}
		stage = rank
	}
	return append(lines, parts...)
}

func (p *printer) tag(e *cib.Element) []string {
	p.only(e, "id")
	p.leafless(e)
	head := p.head("tag", e.ID())
	for _, c := range e.Children {
		if c.Name != "obj_ref" {
			p.failed = true
		}
		p.only(c, "id")
		p.leaf(c)
		head += " " + p.color(ResourceRef, p.listed(c.ID()))
	}
	return []string{head}
}

// listed checks a word of a plain list.
func (p *printer) listed(v string) string {
	if strings.HasSuffix(v, ":") || strings.ContainsAny(v, "={}") || v != "" && (v[0] == '$' || v[0] == '@') {
		p.failed = true
	}
	return p.bare(v)
}

func (p *printer) property(kind string, e *cib.Element) []string {
	if ref, ok := e.Lookup("id-ref"); ok {
		p.only(e, "id-ref")
		p.leaf(e)
		return []string{p.keyword(kind) + " $id-ref=" + p.color(IDRef, p.id(ref))}
	}
	p.only(e, "id")
	id := e.ID()
	lines := []string{p.head(kind, id) + ":"}
	pairs := false
	for _, c := range e.Children {
		switch {
		case c.Name == "rule" && !pairs:
			lines = append(lines, p.rule(c))
		case c.Name == "nvpair":
			pairs = true
			lines = append(lines, p.pair(c))
		default:
			p.failed = true
		}
	}
	return lines
}
