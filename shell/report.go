package shell

import (
	"errors"
	"fmt"
	"strings"

	"gcrm/grammar"
)

// report writes an error with its place: file, line, column, the line itself
// with a caret, and what to do.
func (s *Session) report(err error) {
	var several grammar.Errors
	if errors.As(err, &several) {
		for _, e := range several {
			s.reportSyntax(e)
		}
		return
	}
	var syntax *grammar.Error
	if errors.As(err, &syntax) {
		s.reportSyntax(syntax)
		return
	}
	var p *problem
	if !errors.As(err, &p) {
		p = &problem{text: err.Error()}
	}
	s.reportAt(p.Error(), p.pos)
}

// reportSyntax writes what grammar has to say: an error, a warning or a remark.
func (s *Session) reportSyntax(e *grammar.Error) {
	text := e.Message()
	if e.Pos.Line > 0 && e.Pos.Filename != "" {
		text = e.Pos.String() + ": " + text
	}
	switch e.Severity {
	case grammar.Info:
		s.msg.info("%s", e.Message())
		return
	case grammar.Warning:
		s.msg.warning("%s", text)
	default:
		s.msg.error("%s", text)
	}
	if x := e.Excerpt(); x != "" && e.Severity == grammar.Failure {
		fmt.Fprint(s.msg.err, withoutSecret(x))
	}
}

// reportAt writes an error about a place in the current source; without a
// place, about the line that runs.
func (s *Session) reportAt(text string, pos grammar.Position) {
	src := s.where
	if src == nil {
		s.msg.error("%s", text)
		return
	}
	pointed := pos.Line > 0
	if !pointed && len(src.line.Words) > 0 {
		pos = src.line.Words[0].Pos
	}
	if src.name != "" {
		text = fmt.Sprintf("%s:%d:%d: %s", src.name, pos.Line, pos.Column, text)
	}
	s.msg.error("%s", text)
	if lines := strings.Split(src.text, "\n"); pos.Line > 0 && pos.Line <= len(lines) && (pointed || src.name != "") {
		fmt.Fprintln(s.msg.err, caretLines(withoutSecret(lines[pos.Line-1]), pos.Column))
	}
}
