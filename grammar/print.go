package grammar

import (
	"cmp"
	"iter"
	"path"
	"slices"
	"strings"

	"gcrm/cib"
)

// Style is what a piece of printed text is, for colouring.
type Style int

const (
	Plain Style = iota
	Keyword
	Identifier
	AttrName
	AttrValue
	ResourceRef
	IDRef
	Score
	TicketName
)

// PrintOptions change how text is printed. The zero value prints everything
// as "configure show" does, without colour and with secrets in clear.
type PrintOptions struct {
	// Select picks objects; nil means all.
	Select func(Object) bool
	// Obscure lists globs; values whose name matches one print as "******".
	Obscure []string
	// SetIDs prints $id= also for attribute sets and pairs that other places
	// refer to, so that the text can be loaded into an empty CIB. What show
	// prints has it for rules only.
	SetIDs bool
	// OneLine prints every object on a line of its own, for programs that
	// work by lines.
	OneLine bool
	// Unsorted keeps the order of the document within one type.
	Unsorted bool
	// Color, if set, wraps every piece of text.
	Color func(Style, string) string
}

// Print returns the canonical text of a CIB's configuration, one object after
// the other, ending in a newline; it is empty if there is nothing to print.
func Print(c *cib.CIB, opts PrintOptions) string {
	var b strings.Builder
	for _, text := range Texts(c, opts) {
		b.WriteString(text)
		b.WriteByte('\n')
	}
	return b.String()
}

// Texts iterates over the objects with the text of each, in the order of
// [Print] and without the newline at the end.
func Texts(c *cib.CIB, opts PrintOptions) iter.Seq2[Object, string] {
	return func(yield func(Object, string) bool) {
		p := newPrinter(c, opts)
		for _, o := range Objects(c, opts.Unsorted) {
			if (opts.Select == nil || opts.Select(o)) && !yield(o, p.object(o)) {
				return
			}
		}
	}
}

// PrintObject returns the canonical text of one object, without the newline at
// its end. c is the CIB that it belongs to, all of which is looked at: for more
// than one object use [Texts].
func PrintObject(c *cib.CIB, o Object, opts PrintOptions) string {
	return newPrinter(c, opts).object(o)
}

// Object is one thing that the language has a statement for.
type Object struct {
	// Kind is the statement word: node, primitive, ms, location, ...
	Kind string
	// ID is the id, for nodes the uname, for the topology
	// "fencing_topology".
	ID      string
	Element *cib.Element
	// Parent is the section, or the container that a resource is in.
	Parent *cib.Element
}

// kindRank orders the kinds; location, colocation and order share a rank, as
// do tickets and topology, and the kinds of ACL subjects.
var kindRank = map[string]int{
	"node": 0, "rsc_template": 1, "primitive": 2, "bundle": 3, "group": 4, "ms": 5, "clone": 6, "tag": 7,
	"location": 8, "colocation": 8, "order": 8, "rsc_ticket": 9, "fencing_topology": 9,
	"property": 10, "rsc_defaults": 11, "op_defaults": 12, "role": 13,
	"acl_target": 14, "acl_group": 14, "user": 14, "alert": 15,
}

// Objects lists the objects of a configuration in the order of show: by type,
// then by id; unsorted keeps document order within a type. Members of
// containers are objects too. Elements of newer schemas that the language does
// not know are not listed.
func Objects(c *cib.CIB, unsorted bool) []Object {
	var out []Object
	var add func(e, parent *cib.Element)
	add = func(e, parent *cib.Element) {
		o := Object{Kind: kindOf(e, parent), ID: e.ID(), Element: e, Parent: parent}
		if e.Name == "node" {
			o.ID = e.Get("uname")
		}
		if _, known := kindRank[o.Kind]; !known {
			return
		}
		out = append(out, o)
		for m := range cib.Members(e) {
			add(m, e)
		}
	}
	for section := range c.Configuration().Elements() {
		if section.Name == "fencing-topology" {
			out = append(out, Object{Kind: topologyID, ID: topologyID, Element: section, Parent: c.Configuration()})
			continue
		}
		for e := range section.Elements() {
			add(e, section)
		}
	}
	slices.SortStableFunc(out, func(a, b Object) int {
		if r := cmp.Compare(kindRank[a.Kind], kindRank[b.Kind]); r != 0 || unsorted {
			return r
		}
		return cmp.Compare(a.sortID(), b.sortID())
	})
	return out
}

// sortID is the id that objects are sorted by: that of the element, also for
// nodes.
func (o Object) sortID() string {
	if o.Kind == "node" {
		return o.Element.ID()
	}
	return o.ID
}

// printer prints objects of one CIB.
type printer struct {
	opts PrintOptions
	// referenced are the ids that some id-ref names.
	referenced map[string]bool
	nodes      []string
	// failed is set when the object at hand cannot be expressed.
	failed bool
}

func newPrinter(c *cib.CIB, opts PrintOptions) *printer {
	p := &printer{opts: opts, referenced: map[string]bool{}}
	c.Configuration().Walk(func(e *cib.Element) bool {
		if id, ok := e.Lookup("id-ref"); ok {
			p.referenced[id] = true
		}
		return true
	})
	for n := range c.Section("nodes").Named("node") {
		p.nodes = append(p.nodes, n.Get("uname"))
	}
	slices.Sort(p.nodes)
	return p
}

// object prints an object in the language if that is possible without loss,
// else as xml.
func (p *printer) object(o Object) string {
	p.failed = false
	e := normalize(o.Element)
	var comments []string
	for len(e.Children) > 0 && e.Children[0].IsComment() {
		comments = append(comments, commentLine(e.Children[0].Text))
		e.Children = e.Children[1:]
	}
	lines := p.lines(o.Kind, e)
	text := strings.Join(lines, p.joint("\t"))
	if p.failed {
		if o.Kind == "rsc_defaults" || o.Kind == "op_defaults" {
			// The element alone would not tell which defaults it is about.
			e = &cib.Element{Name: o.Kind, Children: []*cib.Element{e}}
		}
		if text = p.xml(e); p.opts.OneLine {
			text = strings.ReplaceAll(text, " \\\n", " ")
		}
	}
	if len(comments) > 0 {
		text = strings.Join(comments, "\n") + "\n" + text
	}
	return text
}

// joint goes between the parts of an object.
func (p *printer) joint(indent string) string {
	if p.opts.OneLine {
		return " "
	}
	return " \\\n" + indent
}

// commentLine is how a comment is written: as it is, but on one line.
func commentLine(text string) string {
	if strings.ContainsAny(text, "\n\r\v\f") {
		text = strings.Join(strings.Fields(text), " ")
	}
	text = strings.Trim(text, " \t")
	if !strings.HasPrefix(text, "#") {
		text = "# " + text
	}
	return text
}

func (p *printer) lines(kind string, e *cib.Element) []string {
	switch kind {
	case "node":
		return p.node(e)
	case "primitive", "rsc_template":
		return p.primitive(kind, e)
	case "group", "clone", "ms":
		return p.container(kind, e)
	case "bundle":
		return p.bundle(e)
	case "location":
		return p.location(e)
	case "colocation":
		return p.colocation(e)
	case "order":
		return p.order(e)
	case "rsc_ticket":
		return p.ticket(e)
	case "tag":
		return p.tag(e)
	case "property", "rsc_defaults", "op_defaults":
		return p.property(kind, e)
	case topologyID:
		return p.topology(e)
	case "role":
		return p.role(e)
	case "acl_target", "acl_group":
		return p.target(kind, e)
	case "user":
		return p.user(e)
	case "alert":
		return p.alert(e)
	}
	p.failed = true
	return nil
}

// normalize returns a copy of an object as it is displayed: sets of
// containers before the members, defaults left out. Members of containers are
// kept as they are, without their contents.
func normalize(e *cib.Element) *cib.Element {
	n := &cib.Element{Name: e.Name, Text: e.Text, Attrs: e.Attrs, Children: slices.Clone(e.Children)}
	if e.Name == "node" && e.Get("type") == "member" {
		n = without(n, "type")
	}
	container := cib.IsContainer(e.Name)
	for i, c := range n.Children {
		if container && cib.IsResource(c.Name) {
			continue
		}
		n.Children[i] = undefault(c)
	}
	if container {
		slices.SortStableFunc(n.Children, func(a, b *cib.Element) int { return containerRank(a) - containerRank(b) })
	}
	return n
}

func containerRank(e *cib.Element) int {
	switch {
	case e.IsComment():
		return 0
	case cib.IsResource(e.Name):
		return 2
	}
	return 1
}

func without(e *cib.Element, attr string) *cib.Element {
	n := *e
	n.Attrs = slices.DeleteFunc(slices.Clone(e.Attrs), func(a cib.Attr) bool { return a.Name == attr })
	return &n
}

// undefault returns an element without attributes that say what holds anyway.
// It copies only what changes.
func undefault(e *cib.Element) *cib.Element {
	switch e.Name {
	case "resource_set":
		for _, a := range []string{"sequential", "require-all"} {
			if e.Get(a) == "true" {
				e = without(e, a)
			}
		}
	case "rule":
		if e.Get("boolean-op") == "and" {
			e = without(e, "boolean-op")
		}
	case "expression":
		if e.Get("type") == "string" {
			e = without(e, "type")
		}
	}
	var children []*cib.Element
	for i, c := range e.Children {
		if u := undefault(c); u != c {
			if children == nil {
				children = slices.Clone(e.Children)
			}
			children[i] = u
		}
	}
	if children != nil {
		n := *e
		n.Children = children
		e = &n
	}
	return e
}

// Display returns a configuration as "show xml" prints it: what normalize does
// to every object.
func Display(conf *cib.Element) *cib.Element {
	var show func(e *cib.Element) *cib.Element
	show = func(e *cib.Element) *cib.Element {
		n := normalize(e)
		for i, c := range n.Children {
			if cib.IsResource(c.Name) {
				n.Children[i] = show(c)
			}
		}
		return n
	}
	out := &cib.Element{Name: conf.Name, Attrs: conf.Attrs}
	for _, section := range conf.Children {
		s := &cib.Element{Name: section.Name, Text: section.Text, Attrs: section.Attrs}
		for _, o := range section.Children {
			s.Children = append(s.Children, show(o))
		}
		out.Children = append(out.Children, s)
	}
	return out
}

func (p *printer) color(s Style, text string) string {
	if p.opts.Color == nil || text == "" {
		return text
	}
	return p.opts.Color(s, text)
}

func (p *printer) keyword(s string) string { return p.color(Keyword, s) }

func (p *printer) secret(name string) bool {
	for _, g := range p.opts.Obscure {
		if ok, err := path.Match(g, name); ok && err == nil {
			return true
		}
	}
	return false
}

// obscured is what stands for a secret.
const obscured = "******"

// Obscure returns e with the values of secrets masked; it copies what it
// changes. patterns are globs for names.
func Obscure(e *cib.Element, patterns []string) *cib.Element {
	p := &printer{opts: PrintOptions{Obscure: patterns}}
	return p.mask(e)
}

func (p *printer) mask(e *cib.Element) *cib.Element {
	if len(p.opts.Obscure) == 0 {
		return e
	}
	if e.Name == "nvpair" && e.Has("value") && p.secret(e.Get("name")) {
		n := &cib.Element{Name: e.Name, Attrs: slices.Clone(e.Attrs)}
		n.Set("value", obscured)
		return n
	}
	var children []*cib.Element
	for i, c := range e.Children {
		if m := p.mask(c); m != c {
			if children == nil {
				children = slices.Clone(e.Children)
			}
			children[i] = m
		}
	}
	if children == nil {
		return e
	}
	n := *e
	n.Children = children
	return &n
}

// xml prints an object that the language cannot express.
func (p *printer) xml(e *cib.Element) string {
	text := strings.TrimSuffix(p.mask(e).String(), "\n")
	return p.keyword("xml") + " " + strings.ReplaceAll(text, "\n", " \\\n")
}

// only fails the object if the element has other attributes than those named.
func (p *printer) only(e *cib.Element, names ...string) {
	for _, a := range e.Attrs {
		if !slices.Contains(names, a.Name) {
			p.failed = true
		}
	}
	if e.Text != "" {
		p.failed = true
	}
}

// leaf fails the object if the element has children.
func (p *printer) leaf(e *cib.Element) {
	if len(e.Children) > 0 {
		p.failed = true
	}
}
