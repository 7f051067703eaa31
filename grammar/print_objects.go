package grammar

import (
	"slices"
	"strconv"
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
	if strings.Count(n.Class+n.Provider+n.Type, ":") > 0 || strings.ContainsAny(s, "={}@$") {
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
		lines = append(lines, p.keyword("operations"))
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
		return strings.Join(append([]string{first}, more...), " \\\n\t\t")
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

func (p *printer) topology(e *cib.Element) []string {
	p.only(e)
	type target struct {
		attrs  string
		text   string
		levels []string
	}
	var targets []target
	plain := true
	for _, l := range e.Children {
		if l.Name != "fencing-level" || len(l.Children) > 0 {
			p.failed = true
			continue
		}
		p.only(l, "id", "target", "target-pattern", "target-attribute", "target-value", "index", "devices")
		var t target
		switch {
		case l.Has("target") && !l.Has("target-pattern") && !l.Has("target-attribute"):
			t.attrs = "target " + l.Get("target")
			t.text = p.color(Identifier, p.bare(l.Get("target"))) + ":"
			if strings.HasPrefix(l.Get("target"), "$") || strings.HasPrefix(l.Get("target"), "pattern:") || strings.HasPrefix(l.Get("target"), "attr:") || strings.Contains(l.Get("target"), "=") {
				p.failed = true
			}
		case l.Has("target-pattern") && !l.Has("target-attribute"):
			t.attrs = "pattern " + l.Get("target-pattern")
			t.text = "pattern:" + p.color(Identifier, p.bare(l.Get("target-pattern")))
			plain = false
		case l.Has("target-attribute"):
			t.attrs = "attr " + l.Get("target-attribute") + "=" + l.Get("target-value")
			t.text = "attr:" + p.color(Identifier, p.bare(l.Get("target-attribute"))+"="+p.bare(l.Get("target-value")))
			if strings.Contains(l.Get("target-attribute"), "=") {
				p.failed = true
			}
			plain = false
		default:
			p.failed = true
		}
		at := slices.IndexFunc(targets, func(o target) bool { return o.attrs == t.attrs })
		if at < 0 {
			at = len(targets)
			targets = append(targets, t)
		}
		// The order of levels of different targets has no meaning; it is
		// kept for editing.
		if p.opts.SetIDs && at != len(targets)-1 {
			p.failed = true
		}
		last := &targets[at]
		devices := l.Get("devices")
		if slices.Contains(strings.Split(devices, ","), "") || strings.ContainsAny(devices, ":=") {
			p.failed = true
		}
		last.levels = append(last.levels, p.bare(devices))
		if l.Get("index") != strconv.Itoa(len(last.levels)) {
			p.failed = true
		}
	}
	word := p.keyword(topologyID)
	if len(targets) == 0 {
		if len(e.Children) == 0 {
			return []string{word}
		}
		p.failed = true
		return nil
	}
	if plain && len(targets) == len(p.nodes) {
		same := true
		for i, n := range p.nodes {
			at := slices.IndexFunc(targets, func(t target) bool { return t.attrs == "target "+n })
			same = same && at >= 0 && slices.Equal(targets[at].levels, targets[0].levels) && (at == i || !p.opts.SetIDs)
		}
		if same {
			return []string{word + " " + p.color(ResourceRef, strings.Join(targets[0].levels, " "))}
		}
	}
	lines := []string{word}
	for _, t := range targets {
		lines = append(lines, t.text+" "+p.color(ResourceRef, strings.Join(t.levels, " ")))
	}
	return lines
}

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
			s += " xpath:" + p.color(AttrValue, `"`+strings.Trim(p.quote(x), `"`)+`"`)
			if strings.HasSuffix(x, ":") || strings.ContainsRune(x, '"') {
				p.failed = true
			}
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
	for i, c := range e.Children {
		switch c.Name {
		case "instance_attributes":
			lines = append(lines, p.set("attributes", c))
		case "meta_attributes":
			lines = append(lines, p.set("meta", c))
		case "select":
			lines = append(lines, p.selection(c))
			if i+1 < len(e.Children) && len(c.Children) == 0 && e.Children[i+1].Name == "instance_attributes" {
				p.failed = true
			}
		case "recipient":
			lines = append(lines, p.recipient(c, braces))
		default:
			p.failed = true
		}
	}
	return lines
}

func (p *printer) selection(e *cib.Element) string {
	p.only(e)
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
