package drbdconf

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/participle/v2/lexer"

	"gcrm/suggest"
)

// Error is one mistake in a configuration file.
type Error struct {
	File   string // as it was opened
	Line   int    // from 1; 0 when the mistake has no place (a missing file)
	Column int    // from 1, in characters
	Width  int    // characters to underline, at least 1
	Source string // the text of the line, without the line end
	Msg    string // what is wrong
	Hint   string // what to do, empty if there is nothing to suggest
}

// Error gives the one-line form FILE:LINE:COLUMN: MESSAGE (HINT).
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.place())
	b.WriteString(e.Msg)
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

func (e *Error) place() string {
	switch {
	case e.File == "":
		return ""
	case e.Line == 0:
		return e.File + ": "
	}
	return fmt.Sprintf("%s:%d:%d: ", e.File, e.Line, e.Column)
}

// Detail gives the message, the source line, a caret line below the mistake and
// the hint, each on a line of its own, ending in a newline.
func (e *Error) Detail() string {
	var b strings.Builder
	b.WriteString(e.place() + e.Msg + "\n")
	if e.Line > 0 {
		b.WriteString("    " + e.Source + "\n    ")
		// Tabs are kept, so that the caret stands below its character at any tab width.
		for i, r := range []rune(e.Source) {
			if i >= e.Column-1 {
				break
			}
			if r != '\t' {
				r = ' '
			}
			b.WriteRune(r)
		}
		b.WriteString("^" + strings.Repeat("~", max(e.Width, 1)-1) + "\n")
	}
	if e.Hint != "" {
		b.WriteString("    hint: " + e.Hint + "\n")
	}
	return b.String()
}

// ErrorList is every mistake of one Load, in the order of the text.
type ErrorList []*Error

func (l ErrorList) Error() string {
	lines := make([]string, len(l))
	for i, e := range l {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the single errors to errors.As.
func (l ErrorList) Unwrap() []error {
	out := make([]error, len(l))
	for i, e := range l {
		out[i] = e
	}
	return out
}

// Detail joins the long forms of all errors.
func (l ErrorList) Detail() string {
	var b strings.Builder
	for _, e := range l {
		b.WriteString(e.Detail())
	}
	return b.String()
}

// problems collects errors and warnings of one Load, and knows the source lines.
type problems struct {
	lines    map[string][]string
	errs     ErrorList
	warnings []*Error
}

func (p *problems) at(pos lexer.Position, width int, hint, format string, args ...any) *Error {
	e := &Error{
		File: pos.Filename, Line: pos.Line, Column: pos.Column, Width: max(width, 1),
		Msg: fmt.Sprintf(format, args...), Hint: hint,
	}
	if lines := p.lines[pos.Filename]; pos.Line >= 1 && pos.Line <= len(lines) {
		e.Source = lines[pos.Line-1]
		e.Width = max(1, min(e.Width, len([]rune(e.Source))-e.Column+1))
	}
	return e
}

func (p *problems) errorf(pos lexer.Position, width int, hint, format string, args ...any) {
	p.errs = append(p.errs, p.at(pos, width, hint, format, args...))
}

func (p *problems) warnf(pos lexer.Position, width int, hint, format string, args ...any) {
	p.warnings = append(p.warnings, p.at(pos, width, hint, format, args...))
}

// nearest gives the candidate closest to word by edit distance, or "" when none
// is close enough to be a slip of the finger.
func nearest(word string, candidates []string) string {
	return suggest.Nearest(word, slices.Values(candidates), max(2, len(word)/3))
}

// didYouMean is the hint made of nearest, or "".
func didYouMean(word string, candidates []string) string {
	if n := nearest(word, candidates); n != "" {
		return "did you mean " + n + "?"
	}
	return ""
}

// sortByPlace orders errors of the same file by line and column, files by first appearance.
func sortByPlace(l ErrorList) {
	order := map[string]int{}
	for _, e := range l {
		if _, ok := order[e.File]; !ok {
			order[e.File] = len(order)
		}
	}
	slices.SortStableFunc(l, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(order[a.File], order[b.File]), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
