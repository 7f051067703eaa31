package grammar

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/alecthomas/participle/v2/lexer"
)

// Statement is one parsed statement.
type Statement struct {
	// Verb is the canonical statement word ("colocation" also for
	// "collocation").
	Verb string
	Pos  Position
	Mode Mode
	// Body is a pointer to the type of the verb: *Node, *Primitive,
	// *Template, *Monitor, *Group, *Clone (clone and ms), *Bundle,
	// *Location, *Colocation, *Order, *Ticket, *Property (property and both
	// defaults), *Topology, *Role, *Target (acl_target and acl_group),
	// *User, *Tag, *Alert or *XML.
	Body any
	// Comments are the comment lines above, in the text reader.
	Comments []string
	// Remarks are warnings about words that are legal but look like slips.
	Remarks Errors

	line *Line
}

// Parse parses a line whose first word is a statement word. The error is an
// *Error.
func Parse(line Line, mode Mode) (*Statement, error) {
	st, err := parse(&line, mode)
	if err != nil {
		return nil, err
	}
	return st, nil
}

func parse(line *Line, mode Mode) (*Statement, *Error) {
	if line.Err != nil {
		return nil, line.Err
	}
	if len(line.Words) == 0 {
		return nil, &Error{Msg: "no statement", source: line.source}
	}
	first := line.Words[0]
	v := findVerb(first.Text)
	if v == nil {
		return nil, unknownVerb(line, mode)
	}
	st := &Statement{Verb: v.name, Pos: first.Pos, Mode: mode, Comments: line.Comments, line: line}
	if !strings.EqualFold(first.Text, v.name) && v.name != "ms" {
		st.remark(first, fmt.Sprintf("%q is accepted as %q", first.Text, v.name), "")
	} else if strings.EqualFold(first.Text, "ms") || strings.EqualFold(first.Text, "master") {
		st.remark(first, fmt.Sprintf("%q is deprecated", first.Text), "write a clone with meta promotable=true")
	}
	for _, w := range line.Words {
		if at := unstorable(w.Text); at >= 0 {
			return nil, &Error{Pos: w.At(at), End: w.End, Context: v.name, Msg: "a character that a CIB cannot hold", source: line.source,
				Hint: "the text must be UTF-8 without control characters"}
		}
	}
	args := line.Words[1:]
	if mode == Command && len(args) > 0 && !args[0].Quoted && strings.HasPrefix(args[0].Text, "id=") && len(args[0].Text) > 3 {
		args = slices.Clone(args)
		args[0].Pos = args[0].At(3)
		args[0].Text = args[0].Text[3:]
		args[0].marks = nil
	}
	if v.name == "xml" && len(args) > 1 {
		args = []Word{joinRaw(line, args)}
	}
	tokens := classify(v, args, line.end())
	st.typography(args)
	body, err := v.parse(tokens)
	if err != nil {
		return nil, explain(v, line, tokens, err)
	}
	st.Body = body
	return st, nil
}

// joinRaw makes one word of all arguments of an xml statement that was not
// quoted.
func joinRaw(line *Line, args []Word) Word {
	w := args[0]
	parts := make([]string, len(args))
	for i, a := range args {
		parts[i] = a.Text
	}
	w.Text = strings.Join(parts, " ")
	w.End = args[len(args)-1].End
	w.marks = nil
	return w
}

func (st *Statement) remark(w Word, msg, hint string) {
	st.Remarks = append(st.Remarks, &Error{Severity: Warning, Pos: w.Pos, End: w.End, Msg: msg, Hint: hint, source: st.line.source})
}

// fail returns an error at a token.
func (st *Statement) fail(t Token, format string, args ...any) *Error {
	e := &Error{Pos: t.Pos, Context: st.Verb, Msg: fmt.Sprintf(format, args...), source: st.line.source}
	for i := range st.line.Words {
		if w := &st.line.Words[i]; w.Pos.Offset <= t.Pos.Offset && t.Pos.Offset < w.End.Offset {
			e.End = w.End
		}
	}
	return e
}

// explain makes an error of a statement that the parser refused: where it
// stops making sense, what was expected there, and the nearest word.
func explain(v *verb, line *Line, tokens []lexer.Token, cause error) *Error {
	e := &Error{Pos: line.end(), Context: v.name, source: line.source}
	if len(tokens)-1 < v.arguments && len(line.Words)-1 < v.arguments {
		e.Msg = fmt.Sprintf("Expected at least %d %s", v.arguments, plural(v.arguments, "argument"))
	}
	r := v.states().run()
	for i := range tokens {
		t := &tokens[i]
		if t.EOF() {
			if r.done() {
				e.Msg = cause.Error()
				return e
			}
			if e.Msg == "" {
				e.Msg = "unexpected end of line"
			}
			e.Expected = describe(r.next())
			return e
		}
		if r.step(t) {
			continue
		}
		next := r.next()
		e.Pos = t.Pos
		if j := slices.IndexFunc(line.Words, func(w Word) bool { return w.Stop > 0 && t.Pos.Offset >= w.Pos.Offset && t.Pos.Offset < w.End.Offset }); j >= 0 {
			e.End = line.Words[j].End
		}
		e.Msg = fmt.Sprintf("unexpected %q", t.Value)
		e.Expected = describe(next)
		e.Hint = hintFor(v, t.Value, next)
		return e
	}
	e.Msg = cause.Error()
	return e
}

func plural(n int, s string) string {
	if n == 1 {
		return s
	}
	return s + "s"
}

// unknownVerb is the error for a statement word that does not exist.
func unknownVerb(line *Line, mode Mode) *Error {
	w := line.Words[0]
	e := &Error{Pos: w.Pos, End: w.End, Msg: fmt.Sprintf("%q is not a statement", w.Text), source: line.source}
	if s := nearest(w.Text, Verbs()); s != "" {
		e.Hint = fmt.Sprintf("did you mean %q?", s)
	}
	if mode == Text && e.Hint == "" {
		e.Expected = []string{"one of " + strings.Join(Verbs(), ", ")}
	}
	return e
}

// unstorable returns the offset of the first byte that is no UTF-8 or a
// character that XML cannot hold, or -1.
func unstorable(s string) int {
	for i, r := range s {
		switch {
		case r == utf8.RuneError:
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0xfffe, r == 0xffff:
			return i
		}
	}
	return -1
}

// ValidID reports whether s may be the id of an object that is no node.
func ValidID(s string) bool {
	for i, r := range s {
		switch {
		case r == '_' || unicode.IsLetter(r):
		case i > 0 && (r == '-' || r == '.' || unicode.IsDigit(r) || unicode.IsMark(r)):
		default:
			return false
		}
	}
	return s != ""
}
