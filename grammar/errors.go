package grammar

import (
	"strings"
	"unicode/utf8"
)

// Mode tells the two readers of the language apart.
type Mode int

const (
	// Command is the reader of typed lines, scripts and one-shot arguments:
	// bare numbers in interval and timeout of operations get the unit s,
	// clones are completed, properties need values.
	Command Mode = iota
	// Text is the reader of load, edit and filter: what is written is stored.
	Text
)

// Severity of a message.
type Severity int

const (
	Failure Severity = iota // the statement was not carried out
	Warning                 // carried out, but look at it
	Info                    // carried out, with a side effect worth telling
)

func (s Severity) String() string {
	switch s {
	case Warning:
		return "WARNING"
	case Info:
		return "INFO"
	}
	return "ERROR"
}

// Error is one mistake or remark, with its place.
type Error struct {
	Severity Severity
	// Pos is where the trouble begins and End where it ends (zero if it is
	// a point). Pos is zero when there is no place to point at.
	Pos, End Position
	// Context is the statement word, if the statement was recognized.
	Context string
	// Msg says what is wrong, without place and prefix.
	Msg string
	// Expected lists what could have stood there, most likely first.
	Expected []string
	// Hint is a suggestion: the nearest word, or what to write instead.
	Hint string

	source *source
}

// Error returns one line: place, context, what is wrong, what was expected,
// suggestion.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Pos.Line > 0 {
		b.WriteString(e.Pos.String())
		b.WriteString(": ")
	}
	b.WriteString(e.Message())
	return b.String()
}

// Message returns the text of [Error.Error] without the place.
func (e *Error) Message() string {
	var b strings.Builder
	if e.Context != "" && e.Severity == Failure {
		b.WriteString("syntax in ")
		b.WriteString(e.Context)
		b.WriteString(": ")
	}
	b.WriteString(e.Msg)
	if len(e.Expected) > 0 {
		b.WriteString(", expected ")
		for i, x := range e.Expected {
			switch {
			case i == 0:
			case i == len(e.Expected)-1:
				b.WriteString(" or ")
			default:
				b.WriteString(", ")
			}
			b.WriteString(x)
		}
	}
	if e.Hint != "" {
		b.WriteString("; ")
		b.WriteString(e.Hint)
	}
	return b.String()
}

// Excerpt returns the source line with a caret line below it that marks the
// place, ending in a newline each, or "" if there is no place.
func (e *Error) Excerpt() string {
	if e.Pos.Line == 0 || e.source == nil {
		return ""
	}
	line := e.source.lineAt(e.Pos.Offset)
	if line == "" {
		return ""
	}
	var b strings.Builder
	b.WriteString("  ")
	b.WriteString(line)
	b.WriteString("\n  ")
	column := 1
	for _, r := range strings.TrimPrefix(line, byteOrderMark) {
		if column >= e.Pos.Column {
			break
		}
		if r == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
		column++
	}
	n := 1
	if e.End.Line == e.Pos.Line && e.End.Column > e.Pos.Column {
		n = e.End.Column - e.Pos.Column
	}
	n = min(n, max(1, utf8.RuneCountInString(line)-e.Pos.Column+1))
	b.WriteByte('^')
	b.WriteString(strings.Repeat("~", n-1))
	b.WriteByte('\n')
	return b.String()
}

// Errors is a list of mistakes, in the order of the text.
type Errors []*Error

func (e Errors) Error() string {
	s := make([]string, len(e))
	for i, x := range e {
		s[i] = x.Error()
	}
	return strings.Join(s, "\n")
}

// Failed reports whether one of the messages is an error.
func (e Errors) Failed() bool {
	for _, x := range e {
		if x.Severity == Failure {
			return true
		}
	}
	return false
}
