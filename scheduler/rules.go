package scheduler

import (
	"slices"
	"strconv"
	"strings"

	"gcrm/cib"
)

// ruleInput is what rules can look at.
type ruleInput struct {
	node       *node // nil: no node attributes
	rsc        *resource
	class      string
	provider   string
	typ        string
	hasRsc     bool
	opName     string
	opInterval int64
	matches    []string // sub-matches of rsc-pattern
	params     func(name string) (string, bool)
	meta       func(name string) (string, bool)
}

// blocksOf lists the children of el with the name, references resolved,
// highest score first.
func (e *engine) blocksOf(el *cib.Element, name string, first string) []*cib.Element {
	var out []*cib.Element
	if el == nil {
		return nil
	}
	n := 0
	for _, c := range el.Children {
		if c.Name == name {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	out = make([]*cib.Element, 0, n)
	for _, c := range el.Children {
		if c.Name == name {
			out = append(out, e.deref(c))
		}
	}
	if len(out) > 1 {
		slices.Reverse(out)
		rank := func(c *cib.Element) int {
			if first != "" && c.ID() == first {
				return infinity + 1
			}
			s, _ := parseScore(c.Get("score"))
			return s
		}
		slices.SortStableFunc(out, func(a, b *cib.Element) int { return rank(b) - rank(a) })
	}
	return out
}

// deref follows id-ref.
func (e *engine) deref(el *cib.Element) *cib.Element {
	ref, ok := el.Lookup("id-ref")
	if !ok {
		return el
	}
	if t := e.byID[ref]; t != nil && t != el {
		if t.Name == "nvpair" && el.Has("name") {
			c := *t
			c.Attrs = slices.Clone(t.Attrs)
			c.Set("name", el.Get("name"))
			return &c
		}
		return t
	}
	return el
}

// unpackSets puts the values of an element's nvpair sets into t; the first
// value of a name wins, also over what is in t already unless overwrite.
func (e *engine) unpackSets(el *cib.Element, name string, in *ruleInput, overwrite bool, first string, t *table) {
	blocks := e.blocksOf(el, name, first)
	if len(blocks) == 0 {
		return
	}
	var taken map[string]bool
	if overwrite {
		taken = map[string]bool{}
	}
	for _, b := range blocks {
		if !e.blockApplies(b, in) {
			continue
		}
		for _, c := range b.Children {
			if c.Name == "attributes" { // the format of 0.6
				for _, cc := range c.Children {
					e.unpackPair(cc, overwrite, taken, t)
				}
				continue
			}
			e.unpackPair(c, overwrite, taken, t)
		}
	}
}

func (e *engine) unpackPair(c *cib.Element, overwrite bool, taken map[string]bool, t *table) {
	if c.Name != "nvpair" {
		return
	}
	c = e.deref(c)
	name, v := c.Get("name"), ""
	v, ok := c.Lookup("value")
	if name == "" || !ok {
		return
	}
	if overwrite {
		if taken[name] {
			return
		}
		if v == "#default" {
			t.unset(name)
			return
		}
		taken[name] = true
		t.set(name, v)
		return
	}
	if t.has(name) || v == "#default" {
		return
	}
	*t = append(*t, cib.Attr{Name: name, Value: v})
}

// blockApplies evaluates the rules of an nvpair set: all must pass.
func (e *engine) blockApplies(b *cib.Element, in *ruleInput) bool {
	for _, c := range b.Children {
		if c.Name == "rule" && !e.rulePasses(e.deref(c), in) {
			return false
		}
	}
	return true
}

func hasRules(b *cib.Element) bool { return b.Child("rule") != nil }

// rulePasses evaluates a rule. All parts are evaluated, so that all times of
// change are noted.
func (e *engine) rulePasses(rule *cib.Element, in *ruleInput) bool {
	or := strings.EqualFold(rule.Get("boolean-op"), "or")
	any, all, seen := false, true, false
	for c := range rule.Elements() {
		var ok bool
		switch c.Name {
		case "expression":
			ok = e.expressionPasses(c, in)
		case "date_expression":
			ok = dateMatches(c, e.now, e.recheckAt)
		case "rsc_expression":
			ok = in.hasRsc && matchIf(c, "class", in.class) && matchIf(c, "provider", in.provider) && matchIf(c, "type", in.typ)
		case "op_expression":
			ok = in.opName != "" && c.Get("name") == in.opName
			if iv, has := c.Lookup("interval"); has && ok {
				ok = parseInterval(iv) == in.opInterval
			}
		case "rule":
			ok = e.rulePasses(e.deref(c), in)
		default:
			continue
		}
		seen = true
		any = any || ok
		all = all && ok
	}
	if !seen {
		return !or
	}
	if or {
		return any
	}
	return all
}

func matchIf(el *cib.Element, name, v string) bool {
	want, ok := el.Lookup(name)
	return !ok || want == v
}

func (e *engine) expressionPasses(el *cib.Element, in *ruleInput) bool {
	attr, op := el.Get("attribute"), el.Get("operation")
	if len(in.matches) > 0 {
		attr = expandMatches(attr, in.matches)
	}
	value, hasValue := el.Lookup("value")
	if (op == "defined" || op == "not_defined") == hasValue {
		return false
	}
	var have string
	hasAttr := false
	if in.node == nil {
		return false
	}
	have, hasAttr = in.node.attrs[attr]
	switch el.Get("value-source") {
	case "param":
		if in.params != nil {
			value, hasValue = in.params(value)
		} else {
			hasValue = false
		}
	case "meta":
		if in.meta != nil {
			value, hasValue = in.meta(value)
		} else {
			hasValue = false
		}
	}
	switch op {
	case "defined":
		return hasAttr
	case "not_defined":
		return !hasAttr
	}
	c := 0
	switch {
	case !hasAttr && !hasValue:
	case !hasAttr:
		c = -1
	case !hasValue:
		c = 1
	default:
		c = compareTyped(have, value, el.Get("type"), op)
	}
	switch op {
	case "eq":
		return c == 0
	case "ne":
		return c != 0
	}
	if !hasAttr || !hasValue {
		return false
	}
	switch op {
	case "lt":
		return c < 0
	case "lte":
		return c <= 0
	case "gt":
		return c > 0
	case "gte":
		return c >= 0
	}
	return false
}

func compareTyped(a, b, typ, op string) int {
	if typ == "" {
		switch op {
		case "lt", "lte", "gt", "gte":
			typ = "integer"
			if strings.Contains(a, ".") || strings.Contains(b, ".") {
				typ = "number"
			}
		default:
			typ = "string"
		}
	}
	switch typ {
	case "integer":
		x, ok1 := integerValue(a)
		y, ok2 := integerValue(b)
		if ok1 && ok2 {
			return compareOrdered(x, y)
		}
	case "number":
		x, err1 := strconv.ParseFloat(strings.TrimSpace(a), 64)
		y, err2 := strconv.ParseFloat(strings.TrimSpace(b), 64)
		if err1 == nil && err2 == nil {
			return compareOrdered(x, y)
		}
	case "version":
		return compareVersions(a, b)
	}
	return strings.Compare(strings.ToLower(a), strings.ToLower(b))
}

// integerValue reads an integer, cutting off decimals.
func integerValue(s string) (int64, bool) {
	n, rest, ok := leadingInt(s)
	if !ok {
		return 0, false
	}
	if strings.HasPrefix(rest, ".") {
		rest = strings.TrimLeft(rest[1:], "0123456789")
	}
	return n, strings.TrimSpace(rest) == ""
}

func compareOrdered[T int64 | float64](x, y T) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// expandMatches replaces %0 to %9 by sub-matches.
func expandMatches(s string, m []string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9' {
			i++
			if n := int(s[i] - '0'); n < len(m) {
				b.WriteString(m[n])
			}
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// nodeAttr returns a node attribute as constraints and promotion scores see it
// for rsc (which may be nil): for a resource that asks for those of its host, a
// guest's attributes are those of the node where its launcher is (current) or
// will be; nowhere it has none.
func (e *engine) nodeAttr(n *node, name string, rsc *resource, current bool) (string, bool) {
	if rsc != nil && n.guest() && rsc.meta.val("container-attribute-target") == "host" {
		if n = guestHost(n, current); n == nil {
			return "", false
		}
	}
	v, ok := n.attrs[name]
	return v, ok
}

// guestHost is the node where the launcher of a guest runs (current) or will
// run, nil if nowhere.
func guestHost(n *node, current bool) *node {
	l := n.connection.launcher
	switch {
	case !current:
		return l.assigned
	case len(l.runningOn) > 0:
		return l.runningOn[0]
	}
	return nil
}
