package grammar

import (
	"fmt"
	"slices"
	"strings"

	"gcrm/cib"
)

// builder makes the element of a statement. Ids that are not written in the
// statement are left out; see idSpace.complete.
type builder struct {
	st     *Statement
	schema string
	agents Agents
	errs   Errors
	// refs are the $id-ref values met, to be resolved against the CIB.
	refs []reference
	// used reports whether an id written in the statement is taken already.
	used func(id string) bool
	// remarks are warnings and information that go with the edit.
	remarks Errors
}

// reference is an element whose id-ref still names what the user wrote.
type reference struct {
	element *cib.Element
	at      Token
}

func (b *builder) fail(t Token, format string, args ...any) {
	b.errs = append(b.errs, b.st.fail(t, format, args...))
}

func (b *builder) hint(t Token, hint, format string, args ...any) {
	e := b.st.fail(t, format, args...)
	e.Hint = hint
	b.errs = append(b.errs, e)
}

func (b *builder) remark(severity Severity, t Token, format string, args ...any) {
	e := b.st.fail(t, format, args...)
	e.Severity = severity
	b.remarks = append(b.remarks, e)
}

// after returns a token's text behind the first occurrence of sep.
func after(t Token, sep string) string {
	_, v, _ := strings.Cut(t.Value, sep)
	return v
}

func label(t Token) string { return strings.TrimSuffix(t.Value, ":") }

// id checks the id of a new object.
func (b *builder) id(t Token) string {
	id := t.Value
	if strings.HasPrefix(id, "$id=") {
		id = after(t, "=")
	}
	id = strings.TrimSuffix(id, ":")
	if !ValidID(id) {
		b.hint(t, "ids begin with a letter or _ and go on with letters, digits, _, - and .", "%s: invalid object id", id)
	}
	return id
}

// innerID checks the id of something within an object.
func (b *builder) innerID(t Token) string {
	id := b.id(t)
	if b.used != nil && b.used(id) {
		b.hint(t, "choose another id", "%s: id is already in use", id)
	}
	return id
}

func (b *builder) describe(e *cib.Element, t Token) {
	if t.Value != "" {
		e.Set("description", after(t, "="))
	}
}

// role translates a role to the vocabulary of the schema and says so.
func (b *builder) role(role string, t Token) string {
	r := translateRole(role, b.schema)
	switch {
	case r == role:
	case legacyRoles(b.schema):
		b.remark(Warning, t, "Convert %q to %q since the current schema version is old and not upgraded yet. Please consider \"configure upgrade force\"", role, r)
	default:
		b.remark(Info, t, "Convert deprecated %q to %q", role, r)
	}
	return r
}

// set makes an attribute set; body may be nil.
func (b *builder) set(name string, body *SetBody) *cib.Element {
	e := &cib.Element{Name: name}
	if body == nil {
		return e
	}
	if body.Ref.Value != "" {
		b.refer(e, body.Ref)
		if body.ID.Value != "" || body.Score.Value != "" || len(body.Rules) > 0 || len(body.Pairs) > 0 {
			b.hint(body.Ref, "what the other set lacks goes into a set of its own", "a reference to a set stands alone")
		}
		return e
	}
	if body.ID.Value != "" {
		e.Set("id", b.innerID(body.ID))
	}
	if body.Score.Value != "" {
		s, ok := parseScore(label(body.Score))
		if !ok {
			b.fail(body.Score, "%q is not a score", label(body.Score))
		}
		e.Set("score", s)
	}
	for _, r := range body.Rules {
		e.Add(b.rule(r))
	}
	for _, p := range body.Pairs {
		e.Add(b.pair(p))
	}
	return e
}

func (b *builder) refer(e *cib.Element, t Token) {
	e.Set("id-ref", after(t, "="))
	b.refs = append(b.refs, reference{e, t})
}

// pair makes an nvpair of a word: name=value, name, $id:name=value or
// @id:name.
func (b *builder) pair(t Token) *cib.Element {
	e := &cib.Element{Name: "nvpair"}
	name, value, valued := strings.Cut(t.Value, "=")
	switch {
	case strings.HasPrefix(t.Value, "@"):
		ref, n, named := strings.Cut(t.Value[1:], ":")
		e.Set("id-ref", ref)
		if named {
			e.Set("name", n)
		}
		return e
	case strings.HasPrefix(t.Value, "$") && valued:
		id, n, named := strings.Cut(name[1:], ":")
		e.Set("id", id)
		name = id
		if named {
			name = n
		}
		b.innerID(Token{Value: id, Pos: t.Pos})
	case !valued && strings.Contains(name, ":") || name == "":
		b.fail(t, "%q is neither name=value nor a section", t.Value)
	}
	if name == "role" || name == "target-role" {
		value = b.role(value, t)
	}
	e.Set("name", name)
	if valued {
		e.Set("value", value)
	} else {
		b.odd(t)
	}
	return e
}

// bare reports whether a pair is a name alone.
func bare(t Token) bool {
	return !strings.Contains(t.Value, "=") && !strings.HasPrefix(t.Value, "@")
}

// odd remarks on a bare word among name=value pairs that was probably meant to
// be something else.
func (b *builder) odd(t Token) {
	hint := slip(t.Value)
	if strings.HasPrefix(t.Value, "#") {
		hint = noComment
	}
	if s := nearest(t.Value, sectionWords); hint == "" && s != "" && len(t.Value) > 2 {
		hint = fmt.Sprintf("did you mean %q?", s)
	}
	if hint != "" {
		e := b.st.fail(t, "%q is taken as the name of an attribute without value", t.Value)
		e.Severity, e.Hint = Warning, hint
		b.remarks = append(b.remarks, e)
	}
}

func (b *builder) rule(r *Rule) *cib.Element {
	e := &cib.Element{Name: "rule"}
	if r.Ref.Value != "" {
		b.refer(e, r.Ref)
		return e
	}
	if r.ID.Value != "" {
		e.Set("id", b.innerID(r.ID))
	}
	if r.Role.Value != "" {
		e.Set("role", b.role(after(r.Role, "="), r.Role))
	}
	score := "INFINITY"
	if r.Score.Value != "" {
		score = label(r.Score)
	}
	if s, ok := parseScore(score); ok {
		e.Set("score", s)
	} else {
		e.Set("score-attribute", score)
	}
	for i, c := range r.Rest {
		if i > 0 && c.Bool.Value != r.Rest[0].Bool.Value {
			b.hint(c.Bool, "split it into two rules", "Mixing bool ops not allowed: %s != %s", r.Rest[0].Bool.Value, c.Bool.Value)
			break
		}
	}
	if len(r.Rest) > 0 && r.Rest[0].Bool.Value == "or" {
		e.Set("boolean-op", "or")
	}
	e.Add(b.expression(r.First))
	for _, c := range r.Rest {
		e.Add(b.expression(c.Expr))
	}
	return e
}

func (b *builder) expression(s *Simple) *cib.Element {
	switch {
	case s.Date != nil:
		return b.dateExpression(s.Date)
	case s.Unary.Value != "":
		if typed := b.typed(s.Unary); typed != s.Unary.Value {
			b.hint(s.Unary, fmt.Sprintf("write %q", s.Unary.Value), "%s is written in small letters", typed)
		}
		return cib.NewElement("expression", "operation", s.Unary.Value, "attribute", s.Of.Value)
	}
	kind, op := b.comparison(s.Op)
	e := cib.NewElement("expression", "operation", op, "attribute", s.Attr.Value)
	e.Set("value", s.Value.Value)
	if source, v, ok := strings.Cut(strings.TrimSuffix(s.Value.Value, "}"), "{"); ok && strings.HasSuffix(s.Value.Value, "}") &&
		(source == "param" || source == "meta" || source == "literal") {
		e.Set("value", v)
		e.Set("value-source", source)
	}
	if kind != "" {
		e.Set("type", kind)
	}
	return e
}

// typed returns a keyword as it was typed; the token has it in small letters.
func (b *builder) typed(t Token) string {
	words := b.st.line.Words
	i, found := slices.BinarySearchFunc(words, t.Pos.Offset, func(w Word, offset int) int { return w.Pos.Offset - offset })
	if found {
		return words[i].Text
	}
	return t.Value
}

func (b *builder) comparison(t Token) (kind, op string) {
	op = t.Value
	if k, o, ok := strings.Cut(t.Value, ":"); ok {
		kind, op = k, o
	}
	if !slices.Contains(comparisons, op) {
		b.hint(t, fmt.Sprintf("write %q", strings.ToLower(op)), "comparisons are written in small letters")
	}
	if kind != "" && !slices.Contains(valueTypes, kind) {
		b.hint(t, fmt.Sprintf("write %q", strings.ToLower(kind)), "types are written in small letters")
	}
	return kind, op
}

func (b *builder) dateExpression(d *DateExpr) *cib.Element {
	e := &cib.Element{Name: "date_expression"}
	switch {
	case d.Op.Value != "":
		e.Set("operation", d.Op.Value)
		switch d.Op.Value {
		case "lt":
			e.Set("end", d.Date.Value)
		case "gt":
			e.Set("start", d.Date.Value)
		default:
			b.hint(d.Op, "dates are compared with lt, gt, in and spec", "%q does not compare dates", d.Op.Value)
		}
	case d.In.Value != "":
		e.Set("operation", "in_range")
		if len(d.Range) < 2 {
			b.hint(d.Range[0], "write start=... and end=... or a duration", "Expected at least 2 name-value pairs")
		}
		duration := &cib.Element{Name: "duration"}
		for _, p := range d.Range {
			switch name, value, _ := strings.Cut(p.Value, "="); name {
			case "start", "end":
				e.Set(name, value)
			default:
				duration.Set(name, value)
			}
		}
		if len(duration.Attrs) > 0 {
			e.Add(duration)
		}
	default:
		e.Set("operation", "date_spec")
		spec := &cib.Element{Name: "date_spec"}
		for _, p := range d.Parts {
			name, value, _ := strings.Cut(p.Value, "=")
			spec.Set(name, value)
		}
		e.Add(spec)
	}
	return e
}
