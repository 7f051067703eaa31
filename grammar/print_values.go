package grammar

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"gcrm/cib"
)

// quote returns a value as it stands behind "=": plain if it is made of
// letters, digits, _, . and -, else in double quotes. Values that would not be
// read back the same fail the object.
func (p *printer) quote(v string) string {
	plain := v != ""
	for i := 0; i < len(v); {
		r, n := utf8.DecodeRuneInString(v[i:])
		if !(r == '_' || r == '.' || r == '-' || unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)) || r == utf8.RuneError && n <= 1 {
			plain = false
		}
		if r < ' ' {
			p.failed = true
		}
		i += n
	}
	if plain {
		return v
	}
	// A backslash is printed as it is: where it would escape something when
	// read back, the value cannot be expressed.
	if strings.Contains(v, `\\`) || strings.Contains(v, `\"`) || strings.HasSuffix(v, `\`) {
		p.failed = true
	}
	return `"` + strings.ReplaceAll(v, `"`, `\"`) + `"`
}

// bare checks a word that is printed without quotes.
func (p *printer) bare(v string) string {
	if v == "" || strings.ContainsAny(v, " \t\r\n\"'\\") {
		p.failed = true
	}
	for _, r := range v {
		if r < ' ' {
			p.failed = true
		}
	}
	return v
}

// blankable returns a word in double quotes if it has blanks, else as it is.
func (p *printer) blankable(v string) string {
	if v == "" || strings.ContainsAny(v, " \t\"'") {
		q := p.quote(v)
		return q
	}
	return p.bare(v)
}

// id checks an id or a reference.
func (p *printer) id(v string) string {
	if !ValidID(v) {
		p.failed = true
	}
	return v
}

// name checks the name of an attribute.
func (p *printer) name(v string) string {
	if v == "" || strings.ContainsAny(v, "= \t\r\n\"'\\") || v[0] == '$' || v[0] == '@' {
		p.failed = true
	}
	return v
}

func (p *printer) attr(name, value string) string {
	if p.secret(name) {
		return p.color(AttrName, p.name(name)) + "=" + p.color(AttrValue, `"`+obscured+`"`)
	}
	return p.color(AttrName, p.name(name)) + "=" + p.color(AttrValue, p.quote(value))
}

// pair prints an nvpair.
func (p *printer) pair(e *cib.Element) string {
	p.leaf(e)
	name, named := e.Lookup("name")
	if ref, ok := e.Lookup("id-ref"); ok {
		p.only(e, "id-ref", "name")
		s := "@" + p.color(IDRef, p.id(ref))
		if named {
			s += ":" + p.color(AttrName, p.name(name))
		}
		return s
	}
	p.only(e, "id", "name", "value")
	value, valued := e.Lookup("value")
	if !named {
		p.failed = true
	}
	if p.opts.SetIDs && p.referenced[e.ID()] && valued && !strings.ContainsAny(name, ":=") {
		s := "$" + p.id(e.ID())
		if name != e.ID() {
			s += ":" + p.name(name)
		}
		return p.color(AttrName, s) + "=" + p.color(AttrValue, p.quote(value))
	}
	if valued {
		return p.attr(name, value)
	}
	// A bare name must not look like anything else.
	_, section := foldIn(name, sectionWords)
	if section || strings.ContainsAny(name, ":") {
		p.failed = true
	}
	return p.color(AttrName, p.name(name))
}

// set prints an attribute set with the word that opens it.
func (p *printer) set(word string, e *cib.Element) string {
	var b strings.Builder
	b.WriteString(p.keyword(word))
	p.setBody(&b, e)
	return b.String()
}

func (p *printer) setBody(b *strings.Builder, e *cib.Element) {
	if ref, ok := e.Lookup("id-ref"); ok {
		p.only(e, "id-ref")
		p.leaf(e)
		b.WriteString(" $id-ref=" + p.color(IDRef, p.id(ref)))
		return
	}
	p.only(e, "id", "score")
	if p.opts.SetIDs && p.referenced[e.ID()] {
		b.WriteString(" $id=" + p.color(Identifier, p.id(e.ID())))
	}
	if s, ok := e.Lookup("score"); ok {
		if _, valid := parseScore(s); !valid {
			p.failed = true
		}
		// Unlike everywhere else, INFINITY is not shortened here.
		b.WriteString(" " + p.color(Score, s) + ":")
	}
	pairs := false
	for _, c := range e.Children {
		b.WriteByte(' ')
		switch {
		case c.Name == "rule" && !pairs:
			b.WriteString(p.rule(c))
		case c.Name == "nvpair":
			pairs = true
			b.WriteString(p.pair(c))
		default:
			p.failed = true
		}
	}
}

// rule prints a rule with its word.
func (p *printer) rule(e *cib.Element) string {
	word := p.keyword("rule")
	if ref, ok := e.Lookup("id-ref"); ok {
		p.only(e, "id-ref")
		p.leaf(e)
		return word + " $id-ref=" + p.color(IDRef, p.id(ref))
	}
	p.only(e, "id", "score", "score-attribute", "role", "boolean-op")
	var b strings.Builder
	b.WriteString(word)
	if p.referenced[e.ID()] {
		b.WriteString(" $id=" + p.color(Identifier, p.id(e.ID())))
	}
	if r, ok := e.Lookup("role"); ok {
		b.WriteString(" $role=" + p.color(AttrValue, p.bare(r)))
	}
	score, scored := e.Lookup("score")
	attribute, attributed := e.Lookup("score-attribute")
	switch {
	case scored == attributed:
		p.failed = true
	case scored && score != "INFINITY":
		if s, valid := parseScore(score); !valid || s != score {
			p.failed = true
		}
		b.WriteString(" " + p.color(Score, printScore(score)) + ":")
	case attributed:
		if _, number := parseScore(attribute); number {
			p.failed = true
		}
		b.WriteString(" " + p.color(Score, p.listed(attribute)) + ":")
	}
	op := "and"
	if v, ok := e.Lookup("boolean-op"); ok {
		if v != "or" || len(e.Children) < 2 {
			p.failed = true
		}
		op = "or"
	}
	p.leafless(e)
	for i, c := range e.Children {
		if i > 0 {
			b.WriteString(" " + p.keyword(op))
		}
		b.WriteByte(' ')
		switch c.Name {
		case "expression":
			b.WriteString(p.expression(c))
		case "date_expression":
			b.WriteString(p.dateExpression(c))
		default:
			p.failed = true
		}
	}
	return b.String()
}

// leafless fails the object if the element has no children.
func (p *printer) leafless(e *cib.Element) {
	if len(e.Children) == 0 {
		p.failed = true
	}
}

func (p *printer) expression(e *cib.Element) string {
	p.leaf(e)
	p.only(e, "id", "operation", "attribute", "value", "value-source", "type")
	attribute := p.color(AttrName, p.ruleWord(e.Get("attribute")))
	op := e.Get("operation")
	value, valued := e.Lookup("value")
	if op == "defined" || op == "not_defined" {
		if valued || e.Has("type") || e.Has("value-source") {
			p.failed = true
		}
		return p.keyword(op) + " " + attribute
	}
	if !valued || !isComparison(op) || strings.Contains(op, ":") || op != strings.ToLower(op) {
		p.failed = true
	}
	if t, ok := e.Lookup("type"); ok {
		if !isComparison(t + ":eq") {
			p.failed = true
		}
		op = t + ":" + op
	}
	if source, ok := e.Lookup("value-source"); ok {
		if source != "param" && source != "meta" {
			p.failed = true
		}
		value = source + "{" + value + "}"
		if strings.ContainsAny(value, " \t\"'\\") {
			p.failed = true
		}
	} else if strings.HasSuffix(value, "}") && strings.Contains(value, "{") {
		p.failed = true
	}
	return attribute + " " + p.keyword(op) + " " + p.color(AttrValue, p.blankable(value))
}

// ruleWord checks an attribute name at the head of an expression.
func (p *printer) ruleWord(v string) string {
	if _, key := foldIn(v, []string{"date", "defined", "not_defined"}); key || strings.Contains(v, "=") || strings.HasSuffix(v, ":") {
		p.failed = true
	}
	return p.bare(v)
}

func (p *printer) dateExpression(e *cib.Element) string {
	var b strings.Builder
	b.WriteString(p.keyword("date"))
	pairs := func(x *cib.Element, skip ...string) {
		for _, a := range x.Attrs {
			skipped := false
			for _, s := range skip {
				skipped = skipped || s == a.Name
			}
			if skipped {
				continue
			}
			if _, known := foldIn(a.Name, dateKeys); !known {
				p.failed = true
			}
			b.WriteString(" " + p.color(AttrName, a.Name) + "=" + p.color(AttrValue, p.quote(a.Value)))
		}
	}
	switch op := e.Get("operation"); op {
	case "lt", "gt":
		name := map[string]string{"lt": "end", "gt": "start"}[op]
		p.only(e, "id", "operation", name)
		p.leaf(e)
		if !e.Has(name) {
			p.failed = true
		}
		b.WriteString(" " + p.keyword(op) + " " + p.color(AttrValue, p.quote(e.Get(name))))
	case "in_range":
		p.only(e, "id", "operation", "start", "end")
		b.WriteString(" " + p.keyword("in"))
		pairs(e, "id", "operation", "end")
		pairs(e, "id", "operation", "start")
		n := len(e.Attrs) - 1
		if e.Has("id") {
			n--
		}
		for i, d := range e.Children {
			if d.Name != "duration" || i > 0 || len(d.Children) > 0 || d.Has("start") || d.Has("end") {
				p.failed = true
				break
			}
			pairs(d, "id")
			n += len(d.Attrs)
			if d.Has("id") {
				n--
			}
			if n == 0 || len(d.Attrs) == 0 || len(d.Attrs) == 1 && d.Has("id") {
				p.failed = true
			}
		}
		if n < 2 {
			p.failed = true
		}
	case "date_spec":
		p.only(e, "id", "operation")
		b.WriteString(" " + p.keyword("spec"))
		if len(e.Children) != 1 || e.Children[0].Name != "date_spec" || len(e.Children[0].Children) > 0 {
			p.failed = true
			break
		}
		spec := e.Children[0]
		pairs(spec, "id")
		if len(spec.Attrs) == 0 || len(spec.Attrs) == 1 && spec.Has("id") {
			p.failed = true
		}
	default:
		p.failed = true
	}
	return b.String()
}

func (p *printer) description(lines []string, e *cib.Element) []string {
	if d, ok := e.Lookup("description"); ok {
		lines = append(lines, p.color(AttrName, "description")+"="+p.color(AttrValue, p.quote(d)))
	}
	return lines
}
