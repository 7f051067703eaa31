package grammar

import (
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/participle/v2/lexer"
)

// Position is a place in a text: file name, byte offset, and line and column
// counted from 1, columns in characters.
type Position = lexer.Position

// Line is one logical line: physical lines joined at trailing backslashes and
// split into words.
type Line struct {
	// Words are the words with quotes and escapes resolved. They are valid up
	// to the mistake if Err is set.
	Words []Word
	// Text is the joined line, without continuations.
	Text string
	// Comments are the comment lines right above, in the text reader.
	Comments []string
	// Unterminated tells that the text ended in a continuation backslash.
	Unterminated bool
	// Err is the lexical mistake of the line (an open quote), or nil.
	Err *Error

	source *source
}

// Word is one word of a line.
type Word struct {
	Text     string   // quotes and escapes resolved
	Pos, End Position // of the first character and behind the last
	// Start and Stop are byte offsets of the word in [Line.Text], quotes
	// included.
	Start, Stop int
	// Quoted tells that some of the word was quoted or escaped.
	Quoted bool
	// marks are the places where Text stops running along with the source.
	marks []mark
}

type mark struct {
	at  int
	pos Position
}

// At returns the place of byte i of the word's text.
func (w Word) At(i int) Position {
	pos, from := w.Pos, 0
	for _, m := range w.marks {
		if m.at > i {
			break
		}
		pos, from = m.pos, m.at
	}
	if i > from && i <= len(w.Text) {
		pos.Offset += i - from
		pos.Column += utf8.RuneCountInString(w.Text[from:i])
	}
	return pos
}

// source is a text with its name, for error messages.
type source struct {
	name, text string
}

// lineAt returns the physical line that holds an offset.
func (s *source) lineAt(offset int) string {
	if s == nil || offset < 0 || offset > len(s.text) {
		return ""
	}
	start := strings.LastIndexByte(s.text[:offset], '\n') + 1
	end := len(s.text)
	if i := strings.IndexByte(s.text[offset:], '\n'); i >= 0 {
		end = offset + i
	}
	return strings.TrimSuffix(s.text[start:end], "\r")
}

// ReadScript splits a script into command lines. Blank lines and lines that
// begin with # are left out; a line ending in a backslash goes on with the
// next, whose leading blanks are dropped, even when that begins with #.
func ReadScript(name, text string) []Line { return readLines(name, text, Command) }

// ReadText splits a configuration text (load, edit) into statements; comments
// are kept with the statement they precede.
func ReadText(name, text string) []Line { return readLines(name, text, Text) }

// ReadCommand splits one command, typed or pasted, which may span physical
// lines; name and line place it for messages. It is what the prompt uses: see
// [Line.Unterminated] and [NeedsMore].
func ReadCommand(name, text string) Line {
	lines := readLines(name, text, Command)
	if len(lines) == 0 {
		return Line{source: &source{name, text}}
	}
	return lines[0]
}

// ReadArguments makes a line of arguments that were split already, as those of
// a one-shot command.
func ReadArguments(name string, args []string) Line {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = QuoteWord(a)
	}
	text := strings.Join(quoted, " ")
	l := Line{Text: text, source: &source{name, text}}
	// A newline inside an argument is part of it, so the line is not joined.
	l.Words, l.Err = splitWords(l.source, text, []part{{0, 0, 1, 1}})
	return l
}

// NeedsMore reports whether what was typed so far goes on in the next physical
// line: it ends in a backslash.
func NeedsMore(text string) bool {
	return strings.HasSuffix(strings.TrimSpace(text), `\`)
}

// QuoteWord writes s so that the readers take it as one word.
func QuoteWord(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\r\n\"'\\") && s[0] != '#' {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

// part says that the joined line from offset at on stands at a place of the
// source.
type part struct {
	at, offset, line, column int
}

const byteOrderMark = "\uFEFF"

func readLines(name, text string, mode Mode) []Line {
	src := &source{name, text}
	var out []Line
	var joined strings.Builder
	var parts []part
	var comments []string
	open := false
	finish := func(unterminated bool) {
		line := Line{Text: joined.String(), Unterminated: unterminated, source: src}
		if mode == Text {
			line.Comments = comments
			comments = nil
		}
		if mode == Text && isXMLStatement(line.Text) {
			line.Words = rawWords(src, line.Text, parts)
		} else {
			line.Words, line.Err = splitWords(src, line.Text, parts)
		}
		if len(line.Words) > 0 || line.Err != nil {
			out = append(out, line)
		}
		joined.Reset()
		parts = parts[:0]
		open = false
	}
	for number, offset := 1, 0; offset < len(text); number++ {
		end := len(text)
		if i := strings.IndexByte(text[offset:], '\n'); i >= 0 {
			end = offset + i
		}
		raw := text[offset:end]
		at := offset
		offset = end + 1
		column := 1
		if number == 1 && strings.HasPrefix(raw, byteOrderMark) {
			raw = raw[len(byteOrderMark):]
			at += len(byteOrderMark)
		}
		body := strings.TrimLeft(raw, " \t\r\v\f")
		lead := len(raw) - len(body)
		at += lead
		column += lead
		body = strings.TrimRight(body, " \t\r\v\f")
		if !open {
			if body == "" {
				continue
			}
			if body[0] == '#' {
				if mode == Text {
					comments = append(comments, body)
				}
				continue
			}
			open = true
		}
		parts = append(parts, part{joined.Len(), at, number, column})
		if strings.HasSuffix(body, `\`) {
			joined.WriteString(strings.TrimRight(body, `\`))
			continue
		}
		joined.WriteString(body)
		finish(false)
	}
	if open {
		finish(true)
	}
	return out
}

func isXMLStatement(text string) bool {
	return len(text) >= 4 && strings.EqualFold(text[:3], "xml") && (text[3] == ' ' || text[3] == '\t' || text[3] == '<')
}

// rawWords splits an xml statement of the text reader: the word xml and all
// the rest as it stands.
func rawWords(src *source, text string, parts []part) []Word {
	loc := locator{src: src, text: text, parts: parts}
	rest := strings.TrimLeft(text[3:], " \t")
	start := len(text) - len(rest)
	words := []Word{{Text: text[:3], Pos: loc.at(0), End: loc.at(3), Stop: 3}}
	if rest == "" {
		return words
	}
	w := Word{Text: rest, Pos: loc.at(start), Start: start, Stop: len(text), Quoted: true}
	for _, p := range parts {
		if p.at > start {
			w.marks = append(w.marks, mark{p.at - start, loc.at(p.at)})
		}
	}
	w.End = loc.at(len(text))
	return append(words, w)
}

// locator maps offsets of a joined line to places of the source; offsets must
// not decrease.
type locator struct {
	src   *source
	text  string
	parts []part
	index int // current part
	last  int // offset that column belongs to
	col   int
}

func (l *locator) at(i int) Position {
	for l.index+1 < len(l.parts) && l.parts[l.index+1].at <= i {
		l.index++
		l.last = l.parts[l.index].at
		l.col = l.parts[l.index].column
	}
	p := l.parts[l.index]
	if l.col == 0 {
		l.last, l.col = p.at, p.column
	}
	l.col += utf8.RuneCountInString(l.text[l.last:i])
	l.last = i
	return Position{Filename: l.src.name, Offset: p.offset + i - p.at, Line: p.line, Column: l.col}
}

// splitWords splits a joined line by POSIX shell rules, without expansions:
// single quotes are literal, within double quotes a backslash escapes only "
// and \, elsewhere it escapes any character.
func splitWords(src *source, text string, parts []part) ([]Word, *Error) {
	loc := locator{src: src, text: text, parts: parts}
	words := make([]Word, 0, strings.Count(text, " ")+1)
	for i := 0; ; {
		for i < len(text) && isBlank(text[i]) {
			i++
		}
		if i == len(text) {
			return words, nil
		}
		w, openAt := scanWord(text, i, &loc)
		if openAt != (Position{}) {
			words = append(words, w)
			return words, &Error{Pos: openAt, End: w.End, Msg: "No closing quotation",
				Hint: "the quote that opens here is not closed in this line", source: src}
		}
		words = append(words, w)
		i = w.Stop
	}
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// scanWord reads the word that begins at start. A quote that stays open is
// told by its place.
func scanWord(text string, start int, loc *locator) (w Word, open Position) {
	w.Start = start
	w.Pos = loc.at(start)
	// Most words are plain: take them without copying.
	i := start
	for i < len(text) && !isBlank(text[i]) && text[i] != '"' && text[i] != '\'' && text[i] != '\\' {
		i++
	}
	if (i == len(text) || isBlank(text[i])) && !loc.crosses(start, i) {
		w.Text, w.Stop, w.End = text[start:i], i, loc.at(i)
		return w, Position{}
	}
	b := make([]byte, 0, 32)
	next := start // source offset that would continue the current run
	take := func(at, n int) {
		if at != next || loc.starts(at) {
			w.marks = append(w.marks, mark{len(b), loc.at(at)})
		}
		b = append(b, text[at:at+n]...)
		next = at + n
	}
	quote, openAt := byte(0), Position{}
	i = start
	for i < len(text) {
		c := text[i]
		switch {
		case quote == '\'' && c == '\'', quote == '"' && c == '"':
			quote = 0
		case quote == '\'':
			take(i, 1)
		case quote == '"' && c == '\\' && i+1 < len(text) && (text[i+1] == '"' || text[i+1] == '\\'):
			i++
			take(i, 1)
		case quote == '"':
			take(i, 1)
		case c == '"' || c == '\'':
			quote, w.Quoted = c, true
			openAt = loc.at(i)
		case c == '\\' && i+1 < len(text):
			i++
			w.Quoted = true
			take(i, 1)
		case isBlank(c):
			w.Text, w.Stop, w.End = string(b), i, loc.at(i)
			return w, Position{}
		default:
			take(i, 1)
		}
		i++
	}
	w.Text, w.Stop, w.End = string(b), i, loc.at(i)
	if quote != 0 {
		return w, openAt
	}
	return w, Position{}
}

// crosses reports whether a part begins behind start and before end.
func (l *locator) crosses(start, end int) bool {
	for i := l.index + 1; i < len(l.parts) && l.parts[i].at < end; i++ {
		if l.parts[i].at > start {
			return true
		}
	}
	return false
}

// starts reports whether a later part begins at exactly i.
func (l *locator) starts(i int) bool {
	for k := l.index + 1; k < len(l.parts) && l.parts[k].at <= i; k++ {
		if l.parts[k].at == i {
			return true
		}
	}
	return false
}
