package cib

import (
	"fmt"
	"strings"
)

// String returns the element as indented XML, as cluster tools write it: two
// blanks a level, one element a line, a newline at the end.
func (e *Element) String() string {
	var b strings.Builder
	e.write(&b, 0, true)
	return b.String()
}

// write adds the element; pretty is off inside elements with text of their
// own, where white space would become part of that text.
func (e *Element) write(b *strings.Builder, depth int, pretty bool) {
	newline := func() {
		if pretty {
			b.WriteByte('\n')
		}
	}
	if pretty {
		indent(b, depth)
	}
	if e.IsComment() {
		b.WriteString("<!--")
		b.WriteString(e.Text)
		b.WriteString("-->")
		newline()
		return
	}
	b.WriteByte('<')
	b.WriteString(e.Name)
	for _, a := range e.Attrs {
		b.WriteByte(' ')
		b.WriteString(a.Name)
		b.WriteString(`="`)
		escape(b, a.Value, true)
		b.WriteByte('"')
	}
	if len(e.Children) == 0 && e.Text == "" {
		b.WriteString("/>")
		newline()
		return
	}
	b.WriteByte('>')
	text := e.Text
	if text != "" && strings.Trim(text, " \t\r\n") == "" {
		// Bare white space between tags would count as layout.
		fmt.Fprintf(b, "&#%d;", text[0])
		text = text[1:]
	}
	escape(b, text, false)
	if len(e.Children) > 0 {
		inner := pretty && e.Text == ""
		if inner {
			b.WriteByte('\n')
		}
		for _, c := range e.Children {
			c.write(b, depth+1, inner)
		}
		if inner {
			indent(b, depth)
		}
	}
	b.WriteString("</")
	b.WriteString(e.Name)
	b.WriteByte('>')
	newline()
}

func indent(b *strings.Builder, depth int) {
	for range depth {
		b.WriteString("  ")
	}
}

// escape writes s so that [ParseElement] gives it back unchanged.
func escape(b *strings.Builder, s string, attr bool) {
	last := 0
	for i := 0; i < len(s); i++ {
		var r string
		switch s[i] {
		case '&':
			r = "&amp;"
		case '<':
			r = "&lt;"
		case '>':
			r = "&gt;"
		case '\r':
			r = "&#13;"
		case '"':
			if attr {
				r = "&quot;"
			}
		case '\n':
			if attr {
				r = "&#10;"
			}
		case '\t':
			if attr {
				r = "&#9;"
			}
		}
		if r != "" {
			b.WriteString(s[last:i])
			b.WriteString(r)
			last = i + 1
		}
	}
	b.WriteString(s[last:])
}
