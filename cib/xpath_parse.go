package cib

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// xpathToken is a word of an expression.
type xpathToken struct {
	kind byte // 'n' name, 's' string, '0' number, otherwise punctuation
	text string
}

type xpathParser struct {
	tokens []xpathToken
	at     int
}

const (
	maxXPath      = 4096
	maxXPathDepth = 64
)

func isNameRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == '-' || r == '.'
}

func (p *xpathParser) scan(s string) error {
	if len(s) > maxXPath {
		return fmt.Errorf("it is longer than %d bytes", maxXPath)
	}
	for len(s) > 0 {
		r := rune(s[0])
		n := 1
		kind := byte('p')
		text := ""
		switch {
		case strings.ContainsRune(" \t\r\n", r):
			s = s[1:]
			continue
		case r == '\'' || r == '"':
			end := strings.IndexByte(s[1:], s[0])
			if end < 0 {
				return errXPathEnd
			}
			kind, text, n = 's', s[1:1+end], end+2
		case unicode.IsDigit(r) || r == '.' && len(s) > 1 && unicode.IsDigit(rune(s[1])):
			for n < len(s) && (unicode.IsDigit(rune(s[n])) || s[n] == '.') {
				n++
			}
			kind, text = '0', s[:n]
		case strings.HasPrefix(s, "//"), strings.HasPrefix(s, "::"), strings.HasPrefix(s, ".."),
			strings.HasPrefix(s, "!="), strings.HasPrefix(s, "<="), strings.HasPrefix(s, ">="):
			text, n = s[:2], 2
		case strings.ContainsRune("/[]()@,.|=<>+-*", r):
			text = s[:1]
		default:
			rest := strings.TrimLeftFunc(s, isNameRune)
			n = len(s) - len(rest)
			if n == 0 {
				return fmt.Errorf("%q is not part of the language", s[:1])
			}
			kind, text = 'n', s[:n]
		}
		p.tokens = append(p.tokens, xpathToken{kind, text})
		s = s[n:]
	}
	return nil
}

func (p *xpathParser) peek() xpathToken {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	return xpathToken{}
}

// take consumes punctuation, or an operator that is a name.
func (p *xpathParser) take(texts ...string) (string, bool) {
	t := p.peek()
	if t.kind == 's' || t.kind == '0' {
		return "", false
	}
	for _, x := range texts {
		if t.text == x {
			p.at++
			return x, true
		}
	}
	return "", false
}

func (p *xpathParser) need(text string) error {
	if _, ok := p.take(text); ok {
		return nil
	}
	if p.at >= len(p.tokens) {
		return errXPathEnd
	}
	return fmt.Errorf("%q stands where %q should", p.peek().text, text)
}

// xpathLevels are the binary operators, the loosest first.
var xpathLevels = [...][]string{{"or"}, {"and"}, {"=", "!="}, {"<", "<=", ">", ">="}, {"+", "-"}, {"*", "div", "mod"}}

func (p *xpathParser) or(depth int) (xpathExpr, error) { return p.level(0, depth) }

func (p *xpathParser) level(l, depth int) (xpathExpr, error) {
	if depth > maxXPathDepth {
		return nil, fmt.Errorf("it is nested deeper than %d", maxXPathDepth)
	}
	if l == len(xpathLevels) {
		return p.unary(depth)
	}
	a, err := p.level(l+1, depth)
	for err == nil {
		op, ok := p.take(xpathLevels[l]...)
		if !ok {
			break
		}
		var b xpathExpr
		if b, err = p.level(l+1, depth); err == nil {
			a = binary{op, a, b}
		}
	}
	return a, err
}

func (p *xpathParser) unary(depth int) (xpathExpr, error) {
	if _, ok := p.take("-"); ok {
		if depth > maxXPathDepth {
			return nil, fmt.Errorf("it is nested deeper than %d", maxXPathDepth)
		}
		e, err := p.unary(depth + 1)
		return binary{"-", literal{0.0}, e}, err
	}
	a, err := p.path(depth)
	for err == nil {
		if _, ok := p.take("|"); !ok {
			break
		}
		var b xpathExpr
		if b, err = p.path(depth); err == nil {
			a = binary{"|", a, b}
		}
	}
	return a, err
}

func (p *xpathParser) path(depth int) (xpathExpr, error) {
	t := p.peek()
	if t.kind == 's' {
		p.at++
		return literal{t.text}, nil
	}
	if t.kind == '0' {
		p.at++
		f, err := strconv.ParseFloat(t.text, 64)
		return literal{f}, err
	}
	var l location
	if _, ok := p.take("("); ok {
		e, err := p.or(depth + 1)
		if err == nil {
			err = p.need(")")
		}
		if err != nil {
			return nil, err
		}
		if next := p.peek().text; next != "/" && next != "//" {
			return e, nil
		}
		l.start = e
	} else if t.kind == 'n' && p.at+1 < len(p.tokens) && p.tokens[p.at+1].text == "(" && t.text != "node" {
		return p.call(depth)
	}
	if op, ok := p.take("/", "//"); ok {
		l.absolute = l.start == nil
		if op == "//" {
			l.steps = append(l.steps, step{axis: "descendant-or-self", test: "node()"})
		} else if !p.startsStep() {
			if l.start != nil {
				return nil, errXPathEnd
			}
			return l, nil
		}
	}
	for {
		s, err := p.step(depth)
		if err != nil {
			return nil, err
		}
		l.steps = append(l.steps, s)
		op, ok := p.take("/", "//")
		if !ok {
			return l, nil
		}
		if op == "//" {
			l.steps = append(l.steps, step{axis: "descendant-or-self", test: "node()"})
		}
	}
}

func (p *xpathParser) startsStep() bool {
	t := p.peek()
	return t.kind == 'n' || t.kind == 'p' && (t.text == "*" || t.text == "@" || t.text == "." || t.text == "..")
}

func (p *xpathParser) step(depth int) (step, error) {
	s := step{axis: "child"}
	if op, ok := p.take(".", ".."); ok {
		s.axis, s.test = "self", "node()"
		if op == ".." {
			s.axis = "parent"
		}
		return s, nil
	}
	if _, ok := p.take("@"); ok {
		s.axis = "attribute"
	} else if p.peek().kind == 'n' && p.at+1 < len(p.tokens) && p.tokens[p.at+1].text == "::" {
		s.axis = p.peek().text
		switch s.axis {
		case "child", "descendant", "descendant-or-self", "self", "parent", "ancestor", "ancestor-or-self", "attribute",
			"following-sibling", "preceding-sibling", "following", "preceding":
		default:
			return s, fmt.Errorf("%q is no axis", s.axis)
		}
		p.at += 2
	}
	switch t := p.peek(); {
	case t.kind == 'p' && t.text == "*":
		p.at++
		s.test = "*"
	case t.kind == 'n' && t.text == "node" && p.at+2 < len(p.tokens) && p.tokens[p.at+1].text == "(":
		p.at += 2
		if err := p.need(")"); err != nil {
			return s, err
		}
		s.test = "node()"
	case t.kind == 'n':
		p.at++
		s.test = t.text
	case t.kind == 0:
		return s, errXPathEnd
	default:
		return s, fmt.Errorf("%q stands where a name should", t.text)
	}
	for {
		if _, ok := p.take("["); !ok {
			return s, nil
		}
		e, err := p.or(depth + 1)
		if err == nil {
			err = p.need("]")
		}
		if err != nil {
			return s, err
		}
		s.predicates = append(s.predicates, e)
	}
}

func (p *xpathParser) call(depth int) (xpathExpr, error) {
	f := function{name: p.peek().text}
	least, most, ok := xpathFunctions(f.name)
	if !ok {
		return nil, fmt.Errorf("%q is no function that is known here", f.name)
	}
	p.at += 2
	if _, ok := p.take(")"); !ok {
		for {
			a, err := p.or(depth + 1)
			if err != nil {
				return nil, err
			}
			f.args = append(f.args, a)
			if _, more := p.take(","); !more {
				break
			}
		}
		if err := p.need(")"); err != nil {
			return nil, err
		}
	}
	if len(f.args) < least || len(f.args) > most {
		return nil, fmt.Errorf("%s() has the wrong number of arguments", f.name)
	}
	return f, nil
}
