package cib

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// schemaVersion is a version of the schema as a number that can be compared:
// 1000 times the major plus the minor number.
type schemaVersion int

const (
	oldestSchema   schemaVersion = 1000
	completeSchema schemaVersion = 3009 // the table knows everything up to here
	newestSchema   schemaVersion = 4000
)

func parseSchemaVersion(s string) (schemaVersion, bool) {
	major, minor, ok := strings.Cut(s, ".")
	a, err1 := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	return schemaVersion(a*1000 + b), ok && err1 == nil && err2 == nil && b < 1000
}

func (v schemaVersion) String() string {
	return fmt.Sprintf("pacemaker-%d.%d", v/1000, v%1000)
}

// versionRange bounds the schemas in which something exists.
type versionRange struct{ since, before schemaVersion } // 0: unbounded

func (r versionRange) holds(v schemaVersion) bool {
	return v >= r.since && (r.before == 0 || v < r.before)
}

// attrRule is an attribute of an element type.
type attrRule struct {
	name     string
	required bool
	typ      *valueType
	versions versionRange
}

// childRule is a kind of child elements of an element type.
type childRule struct {
	name     string
	typ      string
	min, max int // max 0: unbounded
	versions versionRange
}

// formItem is a part of a form of a choice.
type formItem struct {
	name     string
	value    string // an attribute has to have this one...
	not      bool   // ...or one other than this
	attr     bool
	optional bool
}

func (i formItem) String() string {
	switch {
	case i.not:
		return fmt.Sprintf("another %s", i.name)
	case i.attr && i.value != "":
		return fmt.Sprintf("%s=%q", i.name, i.value)
	case i.attr:
		return i.name
	}
	return "<" + i.name + ">"
}

type choiceRule struct {
	forms    [][]formItem
	versions versionRange
}

// elementRule is an element type, over all versions.
type elementRule struct {
	attrs          []attrRule
	children       []childRule
	choices        []choiceRule
	some           []string // at least one child of these...
	someUnless     string   // ...unless the element has this attribute
	ordered        [][]string
	orderedIn      versionRange
	unless         map[string]versionRange
	infrastructure versionRange // the property cluster-infrastructure is checked
	checksInfra    bool
	anything       bool
}

// valueType is what an attribute's value may be.
type valueType struct {
	name   string
	values []enumValue // if not empty, the only values
}

type enumValue struct {
	text     string
	versions versionRange
}

var loadSchema = sync.OnceValue(func() map[string]*elementRule {
	rules, err := compileSchema(schemaTable)
	if err != nil {
		panic(err) // the table is part of the program; a test reads it
	}
	return rules
})

func compileSchema(table string) (map[string]*elementRule, error) {
	rules := map[string]*elementRule{}
	var cur *elementRule
	for n, line := range strings.Split(table, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if line[0] != ' ' {
			cur = &elementRule{unless: map[string]versionRange{}}
			rules[words[0]] = cur
			continue
		}
		if err := cur.line(words); err != nil {
			return nil, fmt.Errorf("schema table, line %d: %w", n+1, err)
		}
	}
	for name, r := range rules {
		for _, c := range r.children {
			if rules[c.typ] == nil {
				return nil, fmt.Errorf("schema table: %s has children of the unknown type %s", name, c.typ)
			}
		}
	}
	return rules, nil
}

func (r *elementRule) line(words []string) error {
	words, versions, err := cutVersions(words)
	if err != nil {
		return err
	}
	switch {
	case strings.HasPrefix(words[0], "@"):
		a := attrRule{name: words[0][1:], versions: versions, required: slices.Contains(words, "!")}
		if a.typ, err = parseValueType(words[1]); err != nil {
			return err
		}
		r.attrs = append(r.attrs, a)
	case words[0] == "choice":
		return r.choice(words[1:], versions)
	case words[0] == "some":
		r.some = words[1:]
		if i := slices.Index(r.some, "unless"); i >= 0 {
			r.some, r.someUnless = r.some[:i], r.some[i+1]
		}
	case words[0] == "ordered":
		r.orderedIn = versions
		for _, w := range words[1:] {
			r.ordered = append(r.ordered, strings.Split(w, ","))
		}
	case words[0] == "unless":
		for _, w := range words[1:] {
			r.unless[w] = versions
		}
	case words[0] == "infrastructure":
		r.infrastructure, r.checksInfra = versions, true
	case words[0] == "anything":
		r.anything = true
	case len(words) == 2:
		name, typ, ok := strings.Cut(words[0], ":")
		if !ok {
			typ = name
		}
		c := childRule{name: name, typ: typ, versions: versions}
		switch words[1] {
		case "1":
			c.min, c.max = 1, 1
		case "?":
			c.max = 1
		case "+":
			c.min = 1
		case "*":
		default:
			return fmt.Errorf("%q is no count", words[1])
		}
		r.children = append(r.children, c)
	default:
		return fmt.Errorf("%q is not understood", words)
	}
	return nil
}

func (r *elementRule) choice(words []string, versions versionRange) error {
	c := choiceRule{versions: versions, forms: [][]formItem{nil}}
	for _, w := range words {
		if w == "/" {
			c.forms = append(c.forms, nil)
			continue
		}
		if w == "-" {
			continue
		}
		var i formItem
		if strings.HasPrefix(w, "[") {
			i.optional, w = true, strings.Trim(w, "[]")
		}
		if w, i.attr = strings.CutPrefix(w, "@"); i.attr {
			w, i.value, _ = strings.Cut(w, "=")
			w, i.not = strings.CutSuffix(w, "!")
			if !slices.ContainsFunc(r.attrs, func(a attrRule) bool { return a.name == w }) {
				r.attrs = append(r.attrs, attrRule{name: w, typ: &valueType{name: "text"}})
			}
		}
		i.name = w
		last := len(c.forms) - 1
		c.forms[last] = append(c.forms[last], i)
	}
	r.choices = append(r.choices, c)
	return nil
}

func cutVersions(words []string) ([]string, versionRange, error) {
	var v versionRange
	for len(words) >= 2 {
		n, ok := parseSchemaVersion(words[len(words)-1])
		if !ok {
			break
		}
		switch words[len(words)-2] {
		case "since":
			v.since = n
		case "before":
			v.before = n
		default:
			return nil, v, fmt.Errorf("version %s without since or before", words[len(words)-1])
		}
		words = words[:len(words)-2]
	}
	return words, v, nil
}

func parseValueType(s string) (*valueType, error) {
	if shared, ok := schemaTypes[s]; ok {
		s = shared
	}
	t := &valueType{name: s}
	if !strings.Contains(s, "|") {
		if valueChecks[s] == nil && s != "text" && s != "id" && s != "idref" {
			return nil, fmt.Errorf("unknown type %q", s)
		}
		return t, nil
	}
	t.name = "enum"
	for v := range strings.SplitSeq(s, "|") {
		var e enumValue
		if text, before, ok := strings.Cut(v, "<"); ok {
			v = text
			if e.versions.before, ok = parseSchemaVersion(before); !ok {
				return nil, fmt.Errorf("%q is no version", before)
			}
		}
		if text, since, ok := strings.Cut(v, ">="); ok {
			v = text
			if e.versions.since, ok = parseSchemaVersion(since); !ok {
				return nil, fmt.Errorf("%q is no version", since)
			}
		}
		e.text = v
		t.values = append(t.values, e)
	}
	return t, nil
}
