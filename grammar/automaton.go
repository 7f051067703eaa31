package grammar

import (
	"fmt"
	"reflect"
	"strings"
	"text/scanner"

	"github.com/alecthomas/participle/v2/lexer"
)

// automaton recognizes the argument words of one verb. It is compiled from the
// same struct tags that the parser uses and answers what the parser does not
// tell: where exactly a statement stops making sense, and what could have
// stood there.
type automaton struct {
	states []state
	start  int
	accept int
}

type state struct {
	free  []int // reachable without a token
	edges []edge
}

// edge is one terminal: a literal, or any token of a type.
type edge struct {
	literal string
	typ     lexer.TokenType
	label   string // what the word stands for, see the expect tags
	to      int
}

func (e *edge) matches(t *lexer.Token) bool {
	if e.literal != "" {
		return t.Value == e.literal && (e.typ == 0 || e.typ == t.Type)
	}
	return t.Type == e.typ
}

// compile builds the automaton of a grammar type. It panics on a tag that it
// cannot read: the tags are part of the program.
func compile(root any) *automaton {
	a := &automaton{}
	a.start = a.add()
	a.accept = a.structure(reflect.TypeOf(root), "", a.start)
	return a
}

func (a *automaton) add() int {
	a.states = append(a.states, state{})
	return len(a.states) - 1
}

func (a *automaton) free(from, to int) {
	a.states[from].free = append(a.states[from].free, to)
}

// tagToken is a token of a struct tag with the field it belongs to.
type tagToken struct {
	text  string
	lit   bool
	field *reflect.StructField
}

// structure adds the states of a struct type and returns the end state.
// context replaces the label "pair", so that a set knows what its pairs are.
func (a *automaton) structure(t reflect.Type, context string, from int) int {
	var tokens []tagToken
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("parser")
		if tag == "" {
			continue
		}
		var s scanner.Scanner
		s.Init(strings.NewReader(tag))
		s.Mode = scanner.ScanIdents
		s.Error = func(*scanner.Scanner, string) {}
		for r := s.Scan(); r != scanner.EOF; r = s.Scan() {
			if r == '\'' {
				var b strings.Builder
				for c := s.Next(); c != '\'' && c != scanner.EOF; c = s.Next() {
					b.WriteRune(c)
				}
				tokens = append(tokens, tagToken{b.String(), true, &f})
				continue
			}
			tokens = append(tokens, tagToken{s.TokenText(), false, &f})
		}
	}
	p := &tagParser{a: a, tokens: tokens, context: context}
	end := p.alternatives(from)
	if p.next < len(tokens) {
		panic(fmt.Sprintf("grammar of %s: unexpected %q", t, tokens[p.next].text))
	}
	return end
}

type tagParser struct {
	a       *automaton
	tokens  []tagToken
	next    int
	context string
}

func (p *tagParser) peek() string {
	if p.next >= len(p.tokens) || p.tokens[p.next].lit {
		return ""
	}
	return p.tokens[p.next].text
}

func (p *tagParser) alternatives(from int) int {
	end := p.a.add()
	for {
		begin := p.a.add()
		p.a.free(from, begin)
		p.a.free(p.sequence(begin), end)
		if p.peek() != "|" {
			return end
		}
		p.next++
	}
}

func (p *tagParser) sequence(from int) int {
	for p.next < len(p.tokens) && p.peek() != "|" && p.peek() != ")" {
		from = p.term(from)
	}
	return from
}

func (p *tagParser) term(from int) int {
	begin := p.a.add()
	p.a.free(from, begin)
	end := p.atom(begin)
	switch p.peek() {
	case "?":
		p.a.free(begin, end)
	case "*":
		p.a.free(begin, end)
		p.a.free(end, begin)
	case "+":
		p.a.free(end, begin)
	default:
		return end
	}
	p.next++
	after := p.a.add()
	p.a.free(end, after)
	return after
}

func (p *tagParser) atom(from int) int {
	t := p.tokens[p.next]
	p.next++
	switch {
	case t.lit:
		typ := lexer.TokenType(0)
		if p.peek() == ":" {
			p.next++
			typ = symbols[p.tokens[p.next].text]
			p.next++
		}
		return p.terminal(from, t.text, typ, t.field)
	case t.text == "(" && p.peek() == "?":
		// A lookahead only keeps the parser from empty matches.
		scratch := &tagParser{a: &automaton{}, tokens: p.tokens, next: p.next + 2}
		scratch.alternatives(scratch.a.add())
		p.next = scratch.next + 1
		return from
	case t.text == "(":
		end := p.alternatives(from)
		p.next++ // the closing parenthesis
		return end
	case t.text == "@" && p.peek() == "@":
		p.next++
		inner := t.field.Type
		for inner.Kind() != reflect.Struct {
			inner = inner.Elem()
		}
		context := t.field.Tag.Get("expect")
		if context == "" {
			context = p.context
		}
		return p.a.structure(inner, context, from)
	case t.text == "@":
		return p.atom(from)
	}
	typ, ok := symbols[t.text]
	if !ok {
		panic("grammar: unknown token type " + t.text)
	}
	return p.terminal(from, "", typ, t.field)
}

func (p *tagParser) terminal(from int, literal string, typ lexer.TokenType, f *reflect.StructField) int {
	label := f.Tag.Get("expect")
	if label == "pair" {
		label = p.context
	}
	end := p.a.add()
	s := &p.a.states[from]
	s.edges = append(s.edges, edge{literal, typ, label, end})
	return end
}

// run is a walk through an automaton: the set of states reached.
type run struct {
	a    *automaton
	in   []bool
	list []int
}

func (a *automaton) run() *run {
	r := &run{a: a, in: make([]bool, len(a.states))}
	r.enter(a.start)
	return r
}

func (r *run) enter(s int) {
	if r.in[s] {
		return
	}
	r.in[s] = true
	r.list = append(r.list, s)
	for _, next := range r.a.states[s].free {
		r.enter(next)
	}
}

// step consumes a token and reports whether it fits; if not, the walk stays
// where it was.
func (r *run) step(t *lexer.Token) bool {
	n := &run{a: r.a, in: make([]bool, len(r.a.states))}
	for _, s := range r.list {
		for i := range r.a.states[s].edges {
			if e := &r.a.states[s].edges[i]; e.matches(t) {
				n.enter(e.to)
			}
		}
	}
	if len(n.list) == 0 {
		return false
	}
	*r = *n
	return true
}

// done reports whether the statement may end here.
func (r *run) done() bool { return r.in[r.a.accept] }

// next returns the terminals that may follow, each once, in grammar order.
func (r *run) next() []edge {
	var out []edge
	seen := map[edge]bool{}
	for _, s := range r.list {
		for _, e := range r.a.states[s].edges {
			key := e
			key.to = 0
			if !seen[key] {
				seen[key] = true
				out = append(out, e)
			}
		}
	}
	return out
}
