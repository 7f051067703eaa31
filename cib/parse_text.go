package cib

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// plain refuses text with characters that no XML may hold.
func (p *xmlParser) plain(raw string, at int) error {
	if c := strings.IndexFunc(raw, isForbidden); c >= 0 {
		r, _ := utf8.DecodeRuneInString(raw[c:])
		return p.errf(at+c, "character %U is not allowed", r)
	}
	return nil
}

// characters joins the text of an element. Comments and other things may part
// it into very many pieces, which must not be joined one by one.
type characters struct {
	first string
	all   *strings.Builder // of the second piece and later
}

func (c *characters) add(t string) {
	switch {
	case c.all != nil:
		c.all.WriteString(t)
	case c.first == "":
		c.first = t
	case t != "":
		c.all = &strings.Builder{}
		c.all.WriteString(c.first)
		c.all.WriteString(t)
	}
}

func (c *characters) String() string {
	if c.all != nil {
		return c.all.String()
	}
	return c.first
}

// unescape resolves references and normalizes white space as XML 1.0 demands:
// CRLF becomes LF, and in attribute values literal tabs and newlines become
// spaces.
func (p *xmlParser) unescape(raw string, at int, attr bool) (string, error) {
	special := "&\r"
	if attr {
		special = "&\r\n\t"
	}
	i := strings.IndexAny(raw, special)
	if err := p.plain(raw, at); err != nil {
		return "", err
	}
	if i < 0 {
		return raw, nil
	}
	var b strings.Builder
	b.Grow(len(raw))
	for i >= 0 {
		b.WriteString(raw[:i])
		skip := 1
		switch raw[i] {
		case '&':
			end := strings.IndexByte(raw[i:min(len(raw), i+12)], ';')
			r, ok := rune(0), false
			if end > 0 {
				r, ok = entity(raw[i+1 : i+end])
			}
			if !ok {
				return "", p.errf(at+i, "unknown entity (only &amp; &lt; &gt; &quot; &apos; and character references are accepted)")
			}
			b.WriteRune(r)
			skip = end + 1
		case '\r':
			if i+1 < len(raw) && raw[i+1] == '\n' {
				skip = 2
			}
			if attr {
				b.WriteByte(' ')
			} else {
				b.WriteByte('\n')
			}
		default:
			b.WriteByte(' ')
		}
		raw, at = raw[i+skip:], at+i+skip
		i = strings.IndexAny(raw, special)
	}
	b.WriteString(raw)
	return b.String(), nil
}

func isForbidden(r rune) bool {
	return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
}

func entity(name string) (rune, bool) {
	switch name {
	case "amp":
		return '&', true
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "quot":
		return '"', true
	case "apos":
		return '\'', true
	}
	if !strings.HasPrefix(name, "#") {
		return 0, false
	}
	num, base := name[1:], 10
	if strings.HasPrefix(num, "x") {
		num, base = num[1:], 16
	}
	n, err := strconv.ParseUint(num, base, 32)
	r := rune(n)
	if err != nil || n > utf8.MaxRune || !utf8.ValidRune(r) || isForbidden(r) {
		return 0, false
	}
	return r, true
}
