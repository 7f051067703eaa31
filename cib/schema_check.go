package cib

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// CheckSchema compares a document with the schema it declares (or with the
// one named by schema, if that is not empty): elements, attributes, their
// values and numbers, uniqueness of ids, and that references lead somewhere.
// A document with validate-with="none" is not checked. The cost is linear.
func CheckSchema(c *CIB, schema string) []Problem {
	return checkSchema(c, NewIndex(c), schema)
}

func checkSchema(c *CIB, x *Index, schema string) []Problem {
	if schema == "" {
		schema = c.Schema()
	}
	k := &schemaChecker{index: x, rules: loadSchema()}
	switch schema {
	case "none":
		k.add(Info, "cib", "the schema is switched off (validate-with=none), structure is not checked",
			"set validate-with to "+DefaultSchema)
		return k.problems
	case "":
		k.add(Warning, "cib", "no schema is declared (validate-with), "+DefaultSchema+" is assumed", "")
		schema = DefaultSchema
	case "pacemaker-next":
		schema = completeSchema.String()
		k.lenient = true
	}
	v, ok := parseSchemaVersion(strings.TrimPrefix(schema, "pacemaker-"))
	if !ok || !strings.HasPrefix(schema, "pacemaker-") || v < oldestSchema {
		k.add(Error, "cib", fmt.Sprintf("schema %s is not supported", schema), "set validate-with to "+DefaultSchema)
		return k.problems
	}
	k.name = schema
	k.lenient = k.lenient || v > completeSchema
	if v > newestSchema {
		k.add(Warning, "cib", fmt.Sprintf("schema %s is newer than those known here, %s is used", schema, newestSchema), "")
		v = newestSchema
	}
	k.version = v
	k.types = compileTypes(k.rules, v)
	k.object = "cib"
	k.element(c.Root, k.types["cib"], 0)
	for _, d := range x.Duplicates() {
		k.object = objectName(d.Object, d.Element)
		k.add(Error, k.object, fmt.Sprintf("id %q of <%s> is already in use by a <%s>", d.Element.ID(), d.Element.Name,
			x.Element(d.Element.ID()).Name), "give it another id")
	}
	return k.problems
}

// objectName is how problems call an object.
func objectName(object, within *Element) string {
	if object == nil {
		object = within
	}
	if uname := object.Get("uname"); object.Name == "node" && uname != "" {
		return uname
	}
	if id := object.ID(); id != "" {
		return id
	}
	if ref := object.Get("id-ref"); ref != "" {
		return ref
	}
	return object.Name
}

// schemaType is an element type in one version.
type schemaType struct {
	rule     *elementRule
	attrs    []attrRule
	required int
	children map[string]schemaChild
	needed   []childRule // those with a minimum
	choices  []choiceRule
	ordered  [][]string
	unless   bool
	infra    bool
}

type schemaChild struct {
	rule childRule
	typ  *schemaType
}

func compileTypes(rules map[string]*elementRule, v schemaVersion) map[string]*schemaType {
	types := make(map[string]*schemaType, len(rules))
	for name, r := range rules {
		t := &schemaType{rule: r, children: make(map[string]schemaChild, len(r.children))}
		for _, a := range r.attrs {
			if a.versions.holds(v) {
				t.attrs = append(t.attrs, a)
				if a.required {
					t.required++
				}
			}
		}
		for _, c := range r.choices {
			if c.versions.holds(v) {
				t.choices = append(t.choices, c)
			}
		}
		if r.orderedIn.holds(v) {
			t.ordered = r.ordered
		}
		for _, u := range r.unless {
			t.unless = t.unless || u.holds(v)
		}
		t.infra = r.checksInfra && r.infrastructure.holds(v)
		types[name] = t
	}
	for name, r := range rules {
		t := types[name]
		for _, c := range r.children {
			if c.versions.holds(v) {
				t.children[c.name] = schemaChild{c, types[c.typ]}
				if c.min > 0 {
					t.needed = append(t.needed, c)
				}
			}
		}
	}
	return types
}

type schemaChecker struct {
	index    *Index
	rules    map[string]*elementRule
	types    map[string]*schemaType
	name     string // of the schema
	version  schemaVersion
	lenient  bool // unknown names may belong to a newer schema
	searches int  // for names of resources, each of which costs a pass over all
	object   string
	problems []Problem
}

func (k *schemaChecker) add(s Severity, object, text, hint string) {
	k.problems = append(k.problems, Problem{Severity: s, Object: object, Text: text, Hint: hint})
}

func (k *schemaChecker) errorf(hint, format string, a ...any) {
	k.add(Error, k.object, fmt.Sprintf(format, a...), hint)
}

// unknown reports what the schema does not have.
func (k *schemaChecker) unknown(versions *versionRange, hint, format string, a ...any) {
	text := fmt.Sprintf(format, a...)
	switch {
	case versions != nil && k.version < versions.since:
		k.add(Error, k.object, fmt.Sprintf("%s needs schema %v or newer, this is %s", text, versions.since, k.name),
			"set validate-with to "+DefaultSchema)
	case versions != nil && versions.before > 0 && k.version >= versions.before && versions.before != completeSchema+1:
		k.add(Error, k.object, fmt.Sprintf("%s is not allowed since schema %v", text, versions.before), "")
	case k.lenient:
		k.add(Warning, k.object, text+" is not known; it is kept as it is", hint)
	default:
		k.add(Error, k.object, fmt.Sprintf("%s is not allowed by schema %s", text, k.name), hint)
	}
}

// nestingHint says how to write containers that cannot be nested as they are.
func nestingHint(outer, inner string) string {
	clone := func(name string) bool { return name == "clone" || name == "master" }
	switch {
	case outer == "group" && (clone(inner) || inner == "bundle"):
		return "members of a group are primitives: take it out, and tie it to the group with colocation and order constraints; or clone the whole group"
	case outer == "group" && inner == "group":
		return "groups cannot be nested: name all primitives in one group, or tie two groups together with colocation and order constraints"
	case clone(outer) && clone(inner):
		return "what is cloned is a primitive or a group; remove one of the two clones"
	}
	return ""
}

// element checks one element and what is in it; depth 3 is where objects are.
func (k *schemaChecker) element(e *Element, t *schemaType, depth int) {
	if t.rule.anything {
		return
	}
	switch {
	case depth == 2:
		k.object = e.Name
	case depth == 3:
		k.object = objectName(e, e)
	}
	if e.Text != "" {
		k.errorf("", "<%s> contains text: %.40q", e.Name, e.Text)
	}
	k.attributes(e, t)
	k.children(e, t, depth)
	for i := range t.choices {
		k.choice(e, &t.choices[i])
	}
	if some := t.rule.some; len(some) > 0 && !e.Has(t.rule.someUnless) &&
		!slices.ContainsFunc(e.Children, func(c *Element) bool { return slices.Contains(some, c.Name) }) {
		k.errorf("", "<%s> is empty, it needs at least one <%s>", e.Name, some[0])
	}
}

func (k *schemaChecker) attributes(e *Element, t *schemaType) {
	required := 0
	for i := range e.Attrs {
		a := &e.Attrs[i]
		r := findAttr(t.attrs, a.Name)
		if r == nil {
			var versions *versionRange
			if other := findAttr(t.rule.attrs, a.Name); other != nil {
				versions = &other.versions
			}
			k.unknown(versions, didYouMean(a.Name, attrNames(t.attrs)), "attribute %s of <%s>", a.Name, e.Name)
			continue
		}
		if r.required {
			required++
		}
		k.value(e, r, a.Value)
	}
	if required < t.required {
		for i := range t.attrs {
			if r := &t.attrs[i]; r.required && !e.Has(r.name) {
				k.errorf("", "<%s> lacks the attribute %s", e.Name, r.name)
			}
		}
	}
	if t.unless {
		name := e.Get("name")
		if r, ok := t.rule.unless[name]; ok && r.holds(k.version) {
			k.errorf("remove it", "the name %s is no longer accepted by schema %s", name, k.name)
		}
	}
	if t.infra && e.Get("name") == "cluster-infrastructure" {
		switch v := e.Get("value"); v {
		case "":
			if !e.Has("value") {
				k.errorf("", "cluster-infrastructure has no value")
			}
		case "heartbeat", "openais", "classic openais", "classic openais (with plugin)", "cman":
			k.errorf("remove it", "cluster-infrastructure=%q is no longer accepted by schema %s", v, k.name)
		}
	}
}

func findAttr(rules []attrRule, name string) *attrRule {
	for i := range rules {
		if rules[i].name == name {
			return &rules[i]
		}
	}
	return nil
}

func attrNames(rules []attrRule) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, r := range rules {
			if !yield(r.name) {
				return
			}
		}
	}
}

func (k *schemaChecker) value(e *Element, r *attrRule, v string) {
	switch r.typ.name {
	case "text":
	case "id":
		if !ValidID(v) {
			k.errorf("ids begin with a letter or _ and go on with letters, digits, _ . and -",
				"%q is not a valid id of <%s>", v, e.Name)
		}
	case "idref":
		if k.index.Element(v) == nil {
			k.danglingReference(e, r.name, v)
		}
	case "enum":
		k.enumerated(e, r, v)
	default:
		if !valueChecks[r.typ.name](v) {
			k.errorf("", "%s=%q of <%s> is not %s", r.name, v, e.Name, valueWords[r.typ.name])
		}
	}
}

func (k *schemaChecker) danglingReference(e *Element, attr, id string) {
	what := "resource"
	switch {
	case attr == "id-ref" || attr == "reference" || attr == "ref":
		what = "element"
	case attr == "template":
		what = "template"
	case e.Name == "role" || e.Name == "role_ref":
		what = "role"
	case e.Name == "obj_ref":
		what = "object"
	}
	hint := ""
	if k.searches < 20 && (IsConstraint(e.Name) || e.Name == "resource_ref") {
		k.searches++
		hint = didYouMean(id, func(yield func(string) bool) {
			for name, entry := range k.index.byID {
				if entry.Section == "resources" && (IsResource(entry.Element.Name) || entry.Element.Name == "template") && !yield(name) {
					return
				}
			}
		})
	}
	if hint == "" {
		hint = "create it, or delete what refers to it"
	}
	k.errorf(hint, "%s %s does not exist (%s of <%s>)", what, id, attr, e.Name)
}

func (k *schemaChecker) enumerated(e *Element, r *attrRule, v string) {
	var allowed []string
	for _, ev := range r.typ.values {
		if ev.versions.holds(k.version) {
			if ev.text == v {
				return
			}
			allowed = append(allowed, ev.text)
		} else if ev.text == v && k.version < ev.versions.since {
			k.errorf("set validate-with to "+DefaultSchema, "%s=%q of <%s> needs schema %v or newer, this is %s",
				r.name, v, e.Name, ev.versions.since, k.name)
			return
		}
	}
	k.errorf(didYouMean(v, slices.Values(allowed)), "%s=%q of <%s> is not one of %s", r.name, v, e.Name, strings.Join(allowed, ", "))
}

func (k *schemaChecker) children(e *Element, t *schemaType, depth int) {
	var counts map[string]int
	rank, object := 0, k.object
	for _, c := range e.Children {
		if c.IsComment() {
			continue
		}
		r, ok := t.children[c.Name]
		if !ok {
			var versions *versionRange
			for i := range t.rule.children {
				if t.rule.children[i].name == c.Name {
					versions = &t.rule.children[i].versions
				}
			}
			if depth == 2 { // an object of its own
				k.object = objectName(c, c)
			}
			k.unknown(versions, cmp.Or(nestingHint(e.Name, c.Name), didYouMean(c.Name, childNames(t))), "<%s> in <%s>", c.Name, e.Name)
			k.object = object
			continue
		}
		if r.rule.max > 0 || len(t.needed) > 0 {
			if counts == nil {
				counts = make(map[string]int, 4)
			}
			counts[c.Name]++
			if r.rule.max > 0 && counts[c.Name] == r.rule.max+1 {
				k.errorf("", "<%s> has more than %d <%s>", e.Name, r.rule.max, c.Name)
			}
		}
		if pos := slices.IndexFunc(t.ordered, func(o []string) bool { return slices.Contains(o, c.Name) }); pos >= 0 {
			if pos < rank {
				k.errorf("", "<%s> must come before <%s> in <%s>", c.Name, t.ordered[rank][0], e.Name)
			}
			rank = max(rank, pos)
		}
		k.element(c, r.typ, depth+1)
		k.object = object
	}
	for _, c := range t.needed {
		if counts[c.name] < c.min {
			k.errorf("", "<%s> has no <%s>", e.Name, c.name)
		}
	}
}

func childNames(t *schemaType) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, c := range t.rule.children {
			if _, ok := t.children[c.name]; ok && !yield(c.name) {
				return
			}
		}
	}
}

// choice checks that an element has one of its forms: all that the form
// demands, and nothing that only other forms have.
func (k *schemaChecker) choice(e *Element, c *choiceRule) {
	for _, form := range c.forms {
		if fits(e, form, c.forms) {
			return
		}
	}
	var words []string
	for _, form := range c.forms {
		var items []string
		for _, i := range form {
			if !i.optional {
				items = append(items, i.String())
			}
		}
		if len(items) == 0 {
			items = []string{"none of them"}
		}
		words = append(words, strings.Join(items, " with "))
	}
	k.errorf("", "<%s> must have exactly one of: %s", e.Name, strings.Join(words, "; or "))
}

func fits(e *Element, form []formItem, all [][]formItem) bool {
	for _, i := range form {
		if !i.optional && !present(e, i) {
			return false
		}
	}
	for _, other := range all {
		for _, i := range other {
			if !slices.ContainsFunc(form, func(f formItem) bool { return f.name == i.name && f.attr == i.attr }) &&
				present(e, formItem{name: i.name, attr: i.attr}) {
				return false
			}
		}
	}
	return true
}

func present(e *Element, i formItem) bool {
	if !i.attr {
		return e.Child(i.name) != nil
	}
	v, ok := e.Lookup(i.name)
	return ok && (i.value == "" || (v == i.value) != i.not)
}
