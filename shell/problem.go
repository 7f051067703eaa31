package shell

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"gcrm/grammar"
)

// A problem is an error of a command with its place in the line that was typed.
type problem struct {
	text string
	// hint is what to do about it; may be empty.
	hint string
	// pos is where; the zero Position means the line as a whole.
	pos grammar.Position
}

func (p *problem) Error() string {
	if p.hint != "" {
		return p.text + "; " + p.hint
	}
	return p.text
}

func problemf(format string, args ...any) *problem {
	return &problem{text: fmt.Sprintf(format, args...)}
}

func (p *problem) at(pos grammar.Position) *problem {
	p.pos = pos
	return p
}

func (p *problem) hinting(format string, args ...any) *problem {
	p.hint = fmt.Sprintf(format, args...)
	return p
}

// errReported is returned by commands that have already told what went wrong.
var errReported = errors.New("errors were reported")

// caretLines returns the lines that show a place in a text: the text itself
// and a caret below the column (from 1, in characters).
func caretLines(line string, column int) string {
	shown := strings.TrimRight(line, "\r\n")
	var pad strings.Builder
	at := 1
	for _, r := range shown {
		if at >= column {
			break
		}
		if r == '\t' {
			pad.WriteByte('\t')
		} else {
			pad.WriteString(strings.Repeat(" ", runeWidth(r)))
		}
		at++
	}
	return "  " + shown + "\n  " + pad.String() + "^"
}

// runeWidth is the number of terminal cells of a character: two for the wide
// East Asian ranges, none for combining marks.
func runeWidth(r rune) int {
	switch {
	case r == utf8.RuneError || r < 0x300:
		return 1
	case r >= 0x300 && r <= 0x36f || r == 0x200b || r >= 0xfe00 && r <= 0xfe0f:
		return 0
	case r >= 0x1100 && (r <= 0x115f || r >= 0x2e80 && r <= 0xa4cf || r >= 0xac00 && r <= 0xd7a3 ||
		r >= 0xf900 && r <= 0xfaff || r >= 0xfe30 && r <= 0xfe6f || r >= 0xff00 && r <= 0xff60 ||
		r >= 0xffe0 && r <= 0xffe6 || r >= 0x1f300 && r <= 0x1faff || r >= 0x20000 && r <= 0x3fffd):
		return 2
	}
	return 1
}

// messages writes what the shell has to say besides the output asked for:
// information to the output, warnings and errors to the error stream.
type messages struct {
	out, err io.Writer
	color    palette
	errors   int // errors reported so far
}

func (m *messages) info(format string, args ...any) {
	fmt.Fprintf(m.out, "%s %s\n", m.color.info("INFO:"), fmt.Sprintf(format, args...))
}

func (m *messages) warning(format string, args ...any) {
	fmt.Fprintf(m.err, "%s %s\n", m.color.warn("WARNING:"), fmt.Sprintf(format, args...))
}

func (m *messages) error(format string, args ...any) {
	m.errors++
	fmt.Fprintf(m.err, "%s %s\n", m.color.bad("ERROR:"), fmt.Sprintf(format, args...))
}

// softError writes an error that does not count as a failure by itself: force
// may override it.
func (m *messages) softError(format string, args ...any) {
	fmt.Fprintf(m.err, "%s %s\n", m.color.bad("ERROR:"), fmt.Sprintf(format, args...))
}
