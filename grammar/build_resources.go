package grammar

import (
	"fmt"
	"slices"
	"strings"

	"gcrm/cib"
)

// Agents is what is known of the resource agents of the cluster. A nil Agents
// knows none.
type Agents interface {
	// Providers lists the providers of an ocf agent type.
	Providers(agentType string) []string
	// Agent returns what the metadata of an agent says; ok is false if there
	// is none.
	Agent(name cib.AgentName) (info AgentInfo, ok bool)
}

// AgentInfo is what the language needs of an agent's metadata.
type AgentInfo struct {
	Parameters []string
	Actions    []string
}

// ResolveAgent reads an agent name as the language writes it: a missing class
// is stonith for fence_* and else ocf; a missing provider of ocf is heartbeat
// if that has the agent or nobody has, else pacemaker, else the first.
func ResolveAgent(s string, agents Agents) (cib.AgentName, bool) {
	p := strings.Split(s, ":")
	if len(p) > 3 || slices.Contains(p, "") {
		return cib.AgentName{}, false
	}
	n := cib.AgentName{Class: "ocf", Type: p[len(p)-1]}
	if len(p) > 1 {
		n.Class = p[0]
	} else if strings.HasPrefix(s, "fence_") {
		n.Class = "stonith"
	}
	if len(p) == 3 {
		n.Provider = p[1]
	}
	if n.Class != "ocf" || n.Provider != "" {
		return n, true
	}
	n.Provider = "heartbeat"
	if agents != nil {
		found := agents.Providers(n.Type)
		switch {
		case len(found) == 0 || slices.Contains(found, "heartbeat"):
		case slices.Contains(found, "pacemaker"):
			n.Provider = "pacemaker"
		default:
			n.Provider = found[0]
		}
	}
	return n, true
}

func (b *builder) agent(e *cib.Element, t Token) cib.AgentName {
	n, ok := ResolveAgent(t.Value, b.agents)
	if !ok {
		b.hint(t, "write [class:[provider:]]type, as in ocf:heartbeat:IPaddr2", "bad resource type specification %s", t.Value)
		return n
	}
	if n.Provider != "" && n.Class != "ocf" {
		b.remark(Warning, t, "class %s has no providers: %q is taken as it stands", n.Class, t.Value)
	}
	e.Set("class", n.Class)
	if n.Provider != "" {
		e.Set("provider", n.Provider)
	}
	e.Set("type", n.Type)
	return n
}

func (b *builder) primitive(p *Primitive) *cib.Element {
	e := cib.NewElement("primitive", "id", b.id(p.ID))
	units := b.st.Mode == Command
	if p.Template.Value != "" {
		e.Set("template", p.Template.Value[1:])
		units = false
	} else {
		b.agent(e, p.Agent)
	}
	b.describe(e, p.Desc)
	b.sections(e, p.Bare, p.Sections, units)
	return e
}

func (b *builder) template(p *Template) *cib.Element {
	e := cib.NewElement("template", "id", b.id(p.ID))
	b.agent(e, p.Agent)
	b.describe(e, p.Desc)
	b.sections(e, p.Bare, p.Sections, b.st.Mode == Command)
	return e
}

// sections adds attribute sets and operations in the order written; all
// operations are gathered where the first stands.
func (b *builder) sections(e *cib.Element, bare *SetBody, sections []*Section, units bool) {
	if bare != nil {
		e.Add(b.set("instance_attributes", bare))
	}
	var ops *cib.Element
	operations := func() *cib.Element {
		if ops == nil {
			ops = &cib.Element{Name: "operations"}
			e.Add(ops)
		}
		return ops
	}
	for _, s := range sections {
		switch {
		case s.Op != nil:
			operations().Add(b.operation(s.Op, units))
		case s.Ops != nil:
			switch o := operations(); {
			case s.Ops.Ref.Value != "":
				b.refer(o, s.Ops.Ref)
			case s.Ops.ID.Value != "":
				o.Set("id", b.innerID(s.Ops.ID))
			}
		default:
			e.Add(b.section(s.Kind, s.Set))
		}
	}
}

// section makes the attribute set that a section word opens.
func (b *builder) section(kind Token, body *SetBody) *cib.Element {
	switch kind.Value {
	case "params", "op_params", "attributes":
		return b.set("instance_attributes", body)
	case "meta", "op_meta":
		return b.set("meta_attributes", body)
	}
	return b.set("utilization", body)
}

// operation makes an op element. Names that are not attributes of the element
// become instance attributes of the operation.
func (b *builder) operation(o *Op, units bool) *cib.Element {
	e := cib.NewElement("op", "name", o.Name.Value)
	var params *cib.Element
	for _, t := range o.Pairs {
		name, value, valued := strings.Cut(t.Value, "=")
		if t.Type == tID {
			e.Set("id", b.innerID(t))
			continue
		}
		if named, ok := strings.CutPrefix(name, "$"); ok && valued { // the id that it gives is of no use to an attribute
			if _, n, _ := strings.Cut(named, ":"); slices.Contains(operationAttributes, n) {
				name = n
			}
		}
		if !valued || !slices.Contains(operationAttributes, name) {
			if params == nil {
				params = &cib.Element{Name: "instance_attributes"}
			}
			params.Add(b.pair(t))
			if n := nearest(name, operationAttributes); n != "" && valued && len(name) > 3 {
				b.remark(Warning, t, "%s is taken as a parameter of the operation", name)
				b.remarks[len(b.remarks)-1].Hint = fmt.Sprintf("did you mean %q?", n)
			}
			continue
		}
		if params != nil {
			b.hint(t, "move "+t.Value+" up", "Attribute order error: %s must appear before any instance attribute", name)
		}
		if name == "role" {
			value = b.role(value, t)
		}
		if units && (name == "interval" || name == "timeout") && allDigits(value) {
			value += "s"
		}
		e.Set(name, value)
	}
	if !e.Has("interval") && o.Name.Value != "monitor" {
		e.Set("interval", "0s")
	}
	if params != nil {
		e.Add(params)
	}
	for _, s := range o.Sets {
		e.Add(b.section(s.Kind, s.Set))
	}
	return e
}

// spellParameters replaces "-" by "_" in parameters that the agent knows only
// so. The ids of the pairs are made before and keep what was typed.
func (b *builder) spellParameters(e *cib.Element) {
	if b.agents == nil || b.st.Mode != Command || len(b.errs) > 0 || !e.Has("type") {
		return
	}
	agent := cib.AgentOf(e)
	var info AgentInfo
	known, asked := false, false
	for set := range e.Named("instance_attributes") {
		for p := range set.Named("nvpair") {
			name := p.Get("name")
			if !strings.Contains(name, "-") {
				continue
			}
			if !asked {
				info, known = b.agents.Agent(agent)
				asked = true
			}
			if right := strings.ReplaceAll(name, "-", "_"); known && !slices.Contains(info.Parameters, name) && slices.Contains(info.Parameters, right) {
				p.Set("name", right)
			}
		}
	}
}

func (b *builder) groupSections(e *cib.Element, bare *SetBody, sections []*GroupSection) {
	if bare != nil {
		e.Add(b.set("instance_attributes", bare))
	}
	for _, s := range sections {
		e.Add(b.section(s.Kind, s.Set))
	}
}

func (b *builder) group(g *Group) *cib.Element {
	e := cib.NewElement("group", "id", b.id(g.ID))
	seen := map[string]bool{}
	for _, m := range g.Members {
		if seen[m.Value] {
			b.fail(m, "child %s listed more than once in group %s", m.Value, g.ID.Value)
		}
		seen[m.Value] = true
	}
	b.describe(e, g.Desc)
	b.groupSections(e, g.Bare, g.Sections)
	return e
}

func (b *builder) clone(c *Clone) *cib.Element {
	name := "clone"
	if b.st.Verb == "ms" {
		name = "master"
	}
	e := cib.NewElement(name, "id", b.id(c.ID))
	b.describe(e, c.Desc)
	if c.Bare != nil && len(c.Bare.Pairs) > 0 && bare(c.Bare.Pairs[0]) && len(c.Bare.Rules) == 0 && c.Bare.ID.Value == "" && c.Bare.Score.Value == "" {
		t := c.Bare.Pairs[0]
		b.hint(t, "put several resources into a group and clone that", "a %s has one child, %q is a second", b.st.Verb, t.Value)
	}
	b.groupSections(e, c.Bare, c.Sections)
	if name == "master" && b.st.Mode == Command {
		if major, _, ok := schemaVersion(b.schema); ok && major >= 4 {
			e.Name = "clone"
			firstMeta(e).Add(cib.NewElement("nvpair", "name", "promotable", "value", "true"))
			b.remark(Info, c.ID, "%s does not know %s: made a clone with promotable=true", b.schema, b.st.Verb)
		}
	}
	return e
}

// firstMeta returns the first set of meta attributes, made behind the other
// sets if there is none, or nil if the first is a reference.
func firstMeta(e *cib.Element) *cib.Element {
	if m := e.Child("meta_attributes"); m != nil {
		return m
	}
	i := slices.IndexFunc(e.Children, func(c *cib.Element) bool { return cib.IsResource(c.Name) })
	if i < 0 {
		i = len(e.Children)
	}
	m := &cib.Element{Name: "meta_attributes"}
	e.Children = slices.Insert(e.Children, i, m)
	return m
}

func (b *builder) bundle(p *Bundle) *cib.Element {
	e := cib.NewElement("bundle", "id", b.id(p.ID))
	b.describe(e, p.Desc)
	container := b.attributes(p.Container.Value, p.Image)
	if !container.Has("image") {
		b.hint(p.Container, "add image=NAME", "%s requires 'image' attribute", p.Container.Value)
	}
	e.Add(container)
	if p.Network.Value != "" {
		e.Add(b.mappings(b.attributes("network", p.Net), p.Ports, "port-mapping"))
	}
	if p.Storage.Value != "" {
		e.Add(b.mappings(&cib.Element{Name: "storage"}, p.Stores, "storage-mapping"))
	}
	for _, m := range p.Tail {
		if m.Set != nil {
			e.Add(b.section(m.Set.Kind, m.Set.Set))
		}
	}
	return e
}

func (b *builder) attributes(name string, pairs []Token) *cib.Element {
	e := &cib.Element{Name: name}
	for _, t := range pairs {
		n, v, valued := strings.Cut(t.Value, "=")
		if !valued {
			b.hint(t, "write NAME=VALUE", "%q is no attribute of %s", t.Value, name)
		}
		e.Set(n, v)
	}
	return e
}

func (b *builder) mappings(e *cib.Element, list []*Mapping, kind string) *cib.Element {
	for _, m := range list {
		if m.Kind.Value != kind {
			b.fail(m.Kind, "%s does not belong into %s", m.Kind.Value, e.Name)
		}
		e.Add(b.attributes(kind, m.Pairs))
	}
	return e
}

func (b *builder) node(n *Node) *cib.Element {
	e := &cib.Element{Name: "node"}
	name, kind, typed := strings.Cut(n.Name.Value, ":")
	if typed {
		k, ok := foldIn(kind, []string{"member", "remote", "ping", "normal"})
		if !ok || name == "" || k == "ping" || k == "normal" {
			b.hint(n.Name, "types are member and remote", "Expected uname[:type]")
		}
		kind = k
	}
	id := name
	switch {
	case strings.HasPrefix(n.ID.Value, "$id="):
		id = after(n.ID, "=")
	case n.ID.Value != "":
		id = label(n.ID)
	}
	if name == "" {
		b.fail(n.Name, "the name of a node cannot be empty")
	}
	e.Set("uname", name)
	e.Set("id", id)
	if kind != "" {
		e.Set("type", kind)
	}
	b.describe(e, n.Desc)
	if n.Bare != nil {
		e.Add(b.set("instance_attributes", n.Bare))
	}
	for _, s := range n.Sections {
		e.Add(b.section(s.Kind, s.Set))
	}
	return e
}
