package cib

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// XPath is a compiled XPath 1.0 expression that selects elements: location
// paths with all axes but the namespace's, predicates, unions, and the
// functions that make sense on a CIB.
type XPath struct {
	text string
	expr xpathExpr
}

// CompileXPath reads an expression.
func CompileXPath(text string) (*XPath, error) {
	p := &xpathParser{}
	err := p.scan(text)
	var e xpathExpr
	if err == nil {
		e, err = p.or(0)
	}
	if err == nil && p.at < len(p.tokens) {
		err = fmt.Errorf("%q is not expected there", p.tokens[p.at].text)
	}
	if err != nil {
		return nil, fmt.Errorf("XPath %s: %w", strconv.Quote(text), err)
	}
	return &XPath{text, e}, nil
}

func (x *XPath) String() string { return x.text }

// Select returns the elements of a document that the expression selects, in
// the order of the document. An attribute stands for its element, the document
// for its root, as in Pacemaker.
func (x *XPath) Select(c *CIB) []*Element {
	d := newXPathDoc(c.Root)
	set, ok := x.expr.eval(&xpathContext{doc: d, node: xnode{at: 0}, position: 1, size: 1}).(nodeSet)
	if !ok {
		return nil
	}
	seen := map[int]bool{}
	var at []int
	for _, n := range set {
		i := max(n.at, 1)
		if !seen[i] {
			seen[i] = true
			at = append(at, i)
		}
	}
	slices.Sort(at)
	out := make([]*Element, len(at))
	for i, n := range at {
		out[i] = d.elements[n]
	}
	return out
}

// xpathDoc is a document in the order of its elements; 0 stands for the
// document itself, 1 for its root.
type xpathDoc struct {
	elements []*Element
	parent   []int
	end      []int // after the last descendant
}

func newXPathDoc(root *Element) *xpathDoc {
	d := &xpathDoc{elements: []*Element{nil}, parent: []int{-1}, end: []int{0}}
	var walk func(e *Element, parent int)
	walk = func(e *Element, parent int) {
		i := len(d.elements)
		d.elements, d.parent, d.end = append(d.elements, e), append(d.parent, parent), append(d.end, 0)
		for c := range e.Elements() {
			walk(c, i)
		}
		d.end[i] = len(d.elements)
	}
	walk(root, 0)
	d.end[0] = len(d.elements)
	return d
}

func (d *xpathDoc) children(i int) []int {
	var out []int
	for j := i + 1; j < d.end[i]; j = d.end[j] {
		out = append(out, j)
	}
	return out
}

// xnode is an element, or one of its attributes.
type xnode struct {
	at   int
	attr string // with a leading @; empty for the element
}

func (d *xpathDoc) text(n xnode) string {
	if n.attr != "" {
		return d.elements[n.at].Get(n.attr[1:])
	}
	var b strings.Builder
	for i := max(n.at, 1); i < d.end[n.at]; i++ {
		b.WriteString(d.elements[i].Text)
	}
	return b.String()
}

func (d *xpathDoc) name(n xnode) string {
	switch {
	case n.attr != "":
		return n.attr[1:]
	case n.at == 0:
		return ""
	}
	return d.elements[n.at].Name
}

// A value of an expression is a nodeSet, string, float64 or bool.
type nodeSet []xnode

type xpathContext struct {
	doc            *xpathDoc
	node           xnode
	position, size int
}

type xpathExpr interface {
	eval(c *xpathContext) any
}

func (c *xpathContext) toString(v any) string {
	switch v := v.(type) {
	case nodeSet:
		if len(v) == 0 {
			return ""
		}
		first := slices.MinFunc(v, func(a, b xnode) int { return a.at - b.at })
		return c.doc.text(first)
	case float64:
		switch {
		case math.IsNaN(v):
			return "NaN"
		case math.IsInf(v, 0):
			return strings.TrimPrefix(strconv.FormatFloat(v, 'f', -1, 64), "+") + "inity"
		}
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	}
	s, _ := v.(string)
	return s
}

func (c *xpathContext) toNumber(v any) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case bool:
		if v {
			return 1
		}
		return 0
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(c.toString(v)), 64)
	if err != nil {
		return math.NaN()
	}
	return f
}

func toBool(v any) bool {
	switch v := v.(type) {
	case nodeSet:
		return len(v) > 0
	case string:
		return v != ""
	case float64:
		return v != 0 && !math.IsNaN(v)
	}
	b, _ := v.(bool)
	return b
}

type literal struct{ value any }

func (l literal) eval(*xpathContext) any { return l.value }

type binary struct {
	op   string
	a, b xpathExpr
}

func (b binary) eval(c *xpathContext) any {
	x := b.a.eval(c)
	switch b.op {
	case "or":
		return toBool(x) || toBool(b.b.eval(c))
	case "and":
		return toBool(x) && toBool(b.b.eval(c))
	}
	y := b.b.eval(c)
	switch b.op {
	case "|":
		p, _ := x.(nodeSet)
		q, _ := y.(nodeSet)
		return append(slices.Clone(p), q...)
	case "+":
		return c.toNumber(x) + c.toNumber(y)
	case "-":
		return c.toNumber(x) - c.toNumber(y)
	case "*":
		return c.toNumber(x) * c.toNumber(y)
	case "div":
		return c.toNumber(x) / c.toNumber(y)
	case "mod":
		return math.Mod(c.toNumber(x), c.toNumber(y))
	}
	return c.compare(b.op, x, y)
}

// compare follows section 3.4 of XPath 1.0: a set compares if one of its nodes
// does.
func (c *xpathContext) compare(op string, x, y any) bool {
	if s, ok := x.(nodeSet); ok {
		if _, isBool := y.(bool); !isBool {
			return slices.ContainsFunc(s, func(n xnode) bool { return c.compare(op, c.doc.text(n), y) })
		}
		x = toBool(x)
	}
	if s, ok := y.(nodeSet); ok {
		if _, isBool := x.(bool); !isBool {
			return slices.ContainsFunc(s, func(n xnode) bool { return c.compare(op, x, c.doc.text(n)) })
		}
		y = toBool(y)
	}
	if op == "=" || op == "!=" {
		var same bool
		_, xb := x.(bool)
		_, yb := y.(bool)
		_, xn := x.(float64)
		_, yn := y.(float64)
		switch {
		case xb || yb:
			same = toBool(x) == toBool(y)
		case xn || yn:
			same = c.toNumber(x) == c.toNumber(y)
		default:
			same = c.toString(x) == c.toString(y)
		}
		return same == (op == "=")
	}
	p, q := c.toNumber(x), c.toNumber(y)
	switch op {
	case "<":
		return p < q
	case "<=":
		return p <= q
	case ">":
		return p > q
	}
	return p >= q
}

// errXPathEnd is for an expression that ends too early.
var errXPathEnd = errors.New("it ends in the middle")
