package cib

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits bounds what [ParseElement] accepts, so that hostile input costs
// bounded memory.
type Limits struct {
	Bytes int // length of the text
	Depth int // nesting of elements
	Nodes int // elements and comments
	Attrs int // attributes of one element
}

// DefaultLimits hold for every text that comes from outside; [FileLimits] for
// files that somebody names.
var DefaultLimits = Limits{Bytes: 256 << 20, Depth: 64, Nodes: 8 << 20, Attrs: 512}

// SyntaxError says where an XML text is not what a CIB may contain.
type SyntaxError struct {
	Line, Column int // both from 1; columns count bytes
	Msg          string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("xml:%d:%d: %s", e.Line, e.Column, e.Msg)
}

// ParseElement reads one XML element. It accepts the XML that cluster tools
// write: declarations, comments, CDATA, the predefined entities and character
// references. Document types (and so all other entities) are refused.
//
// The result refers to the memory of text; cost is linear in its length.
// (A reader of our own because encoding/xml takes five times as long, which
// would dominate loading and scheduling of large clusters.)
func ParseElement(text string, lim Limits) (*Element, error) {
	p := &xmlParser{s: text, lim: lim}
	return p.parse()
}

func (p *xmlParser) parse() (*Element, error) {
	text, lim := p.s, p.lim
	if lim.Bytes > 0 && len(text) > lim.Bytes {
		return nil, p.errf(0, "document of %d bytes is larger than the limit of %d", len(text), lim.Bytes)
	}
	if !utf8.ValidString(text) {
		for i, r := range text {
			if r == utf8.RuneError {
				if _, n := utf8.DecodeRuneInString(text[i:]); n == 1 {
					return nil, p.errf(i, "invalid UTF-8")
				}
			}
		}
	}
	return p.document()
}

type xmlParser struct {
	s     string
	i     int
	lim   Limits
	nodes int
	large bool // the text is that of a large file
	slab  []Element
	aslab []Attr
	seen  [32]shape  // elements that were read last, by a hash of their names
	kids  []*Element // stack of children of all open elements
	kslab []*Element
}

func (p *xmlParser) errf(at int, format string, a ...any) error {
	if at > len(p.s) {
		at = len(p.s)
	}
	line := 1 + strings.Count(p.s[:at], "\n")
	col := at - strings.LastIndexByte(p.s[:at], '\n')
	return &SyntaxError{line, col, fmt.Sprintf(format, a...)}
}

func (p *xmlParser) document() (*Element, error) {
	p.s = strings.TrimPrefix(p.s, "\ufeff")
	for {
		p.space()
		if p.i >= len(p.s) {
			return nil, p.errf(p.i, "no element found")
		}
		if p.s[p.i] != '<' {
			return nil, p.errf(p.i, "text before the first element")
		}
		rest := p.s[p.i:]
		switch {
		case strings.HasPrefix(rest, "<?"):
			if err := p.instruction(); err != nil {
				return nil, err
			}
		case strings.HasPrefix(rest, "<!--"):
			if _, err := p.comment(); err != nil {
				return nil, err
			}
		case strings.HasPrefix(rest, "<!"):
			return nil, p.errf(p.i, "document type definitions are not accepted")
		default:
			root, err := p.element(1)
			if err != nil {
				return nil, err
			}
			return root, p.epilogue()
		}
	}
}

func (p *xmlParser) epilogue() error {
	for {
		p.space()
		rest := p.s[p.i:]
		switch {
		case rest == "":
			return nil
		case strings.HasPrefix(rest, "<!--"):
			if _, err := p.comment(); err != nil {
				return err
			}
		case strings.HasPrefix(rest, "<?"):
			if err := p.instruction(); err != nil {
				return err
			}
		default:
			return p.errf(p.i, "text after the end of the document")
		}
	}
}

func (p *xmlParser) space() {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

func (p *xmlParser) instruction() error {
	end := strings.Index(p.s[p.i:], "?>")
	if end < 0 {
		return p.errf(p.i, "processing instruction is not closed")
	}
	p.i += end + 2
	return nil
}

func (p *xmlParser) comment() (string, error) {
	end := strings.Index(p.s[p.i+4:], "-->")
	if end < 0 {
		return "", p.errf(p.i, "comment is not closed")
	}
	t := p.s[p.i+4 : p.i+4+end]
	if err := p.plain(t, p.i+4); err != nil {
		return "", err
	}
	p.i += end + 7
	return t, nil
}

// plain refuses text with characters that no XML may hold.
func (p *xmlParser) plain(raw string, at int) error {
	if c := strings.IndexFunc(raw, isForbidden); c >= 0 {
		r, _ := utf8.DecodeRuneInString(raw[c:])
		return p.errf(at+c, "character %U is not allowed", r)
	}
	return nil
}

// nameByte tells which bytes may stand in a name; bytes of multi-byte
// characters are all let through.
var nameByte = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= 0x80 || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' ||
			c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' || c == ':'
	}
	return t
}()

// valueStop tells the bytes that end an attribute's value, or that have to be
// looked at in it: quotes, references, white space other than blanks, what is
// not allowed. (0xEF begins the characters U+FFFE and U+FFFF.)
var valueStop = func() (t [256]bool) {
	for c := range t {
		t[c] = c < 0x20 || c == '"' || c == '\'' || c == '&' || c == '<' || c == 0xEF
	}
	return t
}()

func (p *xmlParser) name() (string, error) {
	start := p.i
	for p.i < len(p.s) && nameByte[p.s[p.i]] {
		p.i++
	}
	n := p.s[start:p.i]
	if n == "" {
		return "", p.errf(start, "a name is missing")
	}
	if c := n[0]; c == '-' || c == '.' || c >= '0' && c <= '9' {
		return "", p.errf(start, "%q is not a name", n)
	}
	return n, nil
}

func (p *xmlParser) newElement(at int) (*Element, error) {
	p.nodes++
	if p.lim.Nodes > 0 && p.nodes > p.lim.Nodes {
		return nil, p.errf(at, "more than %d elements", p.lim.Nodes)
	}
	if len(p.slab) == 0 {
		p.slab = slab[Element](p.large, min(512, 16+p.nodes))
	}
	e := &p.slab[0]
	p.slab = p.slab[1:]
	return e, nil
}

// element reads from '<' to the end of the element.
func (p *xmlParser) element(depth int) (*Element, error) {
	at := p.i
	if p.lim.Depth > 0 && depth > p.lim.Depth {
		return nil, p.errf(at, "elements are nested deeper than %d", p.lim.Depth)
	}
	p.i++
	name, err := p.name()
	if err != nil {
		return nil, err
	}
	e, err := p.newElement(at)
	if err != nil {
		return nil, err
	}
	e.Name = name
	closed, err := p.attributes(e)
	if err != nil || closed {
		return e, err
	}
	return e, p.content(e, at, depth)
}

// shape is what the last element of a name looked like. Elements of one name
// mostly have the same attributes in the same order, and many of the same
// values; what is written as it was there need not be taken apart again.
type shape struct {
	name  string
	attrs []writtenAttr // all names differ
}

// writtenAttr is an attribute as it stands in the text.
type writtenAttr struct {
	Attr
	raw  string // from the name to the closing quote
	head int    // length of the name and "="; 0 if there is space between them
}

func (p *xmlParser) shapeOf(name string) *shape {
	sh := &p.seen[(len(name)*7+int(name[0])+int(name[len(name)-1])*3)%len(p.seen)]
	if sh.name != name {
		sh.name, sh.attrs = name, sh.attrs[:0]
	}
	return sh
}

func (p *xmlParser) attributes(e *Element) (closed bool, err error) {
	sh := p.shapeOf(e.Name)
	n := 0 // attributes so far: they are the first ones of the shape
	for {
		before := p.i
		p.space()
		if p.i >= len(p.s) {
			return false, p.errf(p.i, "element %s is not closed", e.Name)
		}
		switch p.s[p.i] {
		case '>':
			p.i++
			p.keepAttrs(e, sh.attrs[:n])
			return false, nil
		case '/':
			if p.i+1 >= len(p.s) || p.s[p.i+1] != '>' {
				return false, p.errf(p.i, "expected \"/>\"")
			}
			p.i += 2
			p.keepAttrs(e, sh.attrs[:n])
			return true, nil
		}
		if p.i == before {
			return false, p.errf(p.i, "expected white space, \">\" or \"/>\"")
		}
		at := p.i
		if n < len(sh.attrs) {
			w := &sh.attrs[n]
			if strings.HasPrefix(p.s[at:], w.raw) {
				p.i += len(w.raw)
				n++
				continue
			}
			if w.head > 0 && strings.HasPrefix(p.s[at:], w.raw[:w.head]) {
				p.i += w.head
				p.space()
				if w.Value, err = p.attrValue(w.Name); err != nil {
					return false, err
				}
				w.raw = p.s[at:p.i]
				n++
				continue
			}
			sh.attrs = sh.attrs[:n]
		}
		w, err := p.attribute(sh.attrs)
		if err != nil {
			return false, err
		}
		sh.attrs = append(sh.attrs, w)
		n++
	}
}

// attribute reads an attribute of an element that has others already.
func (p *xmlParser) attribute(others []writtenAttr) (w writtenAttr, err error) {
	at := p.i
	if w.Name, err = p.name(); err != nil {
		return w, err
	}
	for i := range others {
		if others[i].Name == w.Name {
			return w, p.errf(at, "attribute %s is given twice", w.Name)
		}
	}
	if p.lim.Attrs > 0 && len(others) >= p.lim.Attrs {
		return w, p.errf(at, "more than %d attributes", p.lim.Attrs)
	}
	gap := p.i
	p.space()
	if p.i >= len(p.s) || p.s[p.i] != '=' {
		return w, p.errf(p.i, "expected \"=\" after attribute %s", w.Name)
	}
	if p.i == gap {
		w.head = len(w.Name) + 1
	}
	p.i++
	p.space()
	if w.Value, err = p.attrValue(w.Name); err != nil {
		return w, err
	}
	w.raw = p.s[at:p.i]
	return w, nil
}

func (p *xmlParser) keepAttrs(e *Element, list []writtenAttr) {
	n := len(list)
	if n == 0 {
		return
	}
	if len(p.aslab) < n {
		p.aslab = slab[Attr](p.large, max(n, min(2048, 64+2*p.nodes)))
	}
	e.Attrs = p.aslab[:n:n]
	p.aslab = p.aslab[n:]
	for i := range e.Attrs {
		e.Attrs[i] = list[i].Attr
	}
}

func (p *xmlParser) attrValue(name string) (string, error) {
	if p.i >= len(p.s) || p.s[p.i] != '"' && p.s[p.i] != '\'' {
		return "", p.errf(p.i, "the value of attribute %s must be quoted", name)
	}
	quote := p.s[p.i]
	start := p.i + 1
	end := start
	for end < len(p.s) && !valueStop[p.s[end]] {
		end++
	}
	if end < len(p.s) && p.s[end] == quote { // as nearly all values: nothing to resolve
		p.i = end + 1
		return p.s[start:end], nil
	}
	n := strings.IndexByte(p.s[start:], quote)
	if n < 0 {
		return "", p.errf(p.i, "the value of attribute %s is not closed", name)
	}
	raw := p.s[start : start+n]
	if i := strings.IndexByte(raw, '<'); i >= 0 {
		return "", p.errf(start+i, "\"<\" inside the value of attribute %s", name)
	}
	p.i = start + n + 1
	return p.unescape(raw, start, true)
}

// content reads the inside and the end tag of e.
func (p *xmlParser) content(e *Element, at, depth int) error {
	base := len(p.kids)
	var text characters
	for {
		from := p.i
		p.space()
		n := 0
		if p.i >= len(p.s) || p.s[p.i] != '<' { // more than white space
			p.i = from
			n = strings.IndexByte(p.s[p.i:], '<')
		}
		if n < 0 {
			return p.errf(at, "element %s is not closed", e.Name)
		}
		if n > 0 {
			t, err := p.unescape(p.s[p.i:p.i+n], p.i, false)
			if err != nil {
				return err
			}
			text.add(t)
			p.i += n
		}
		rest := p.s[p.i:]
		switch {
		case strings.HasPrefix(rest, "</"):
			if err := p.endTag(e); err != nil {
				return err
			}
			e.Text = text.String()
			p.keepKids(e, base)
			return nil
		case !strings.HasPrefix(rest, "<!") && !strings.HasPrefix(rest, "<?"):
			c, err := p.element(depth + 1)
			if err != nil {
				return err
			}
			p.kids = append(p.kids, c)
		case strings.HasPrefix(rest, "<!--"):
			c, err := p.newElement(p.i)
			if err != nil {
				return err
			}
			c.Name = CommentName
			if c.Text, err = p.comment(); err != nil {
				return err
			}
			p.kids = append(p.kids, c)
		case strings.HasPrefix(rest, "<![CDATA["):
			end := strings.Index(rest, "]]>")
			if end < 0 {
				return p.errf(p.i, "CDATA section is not closed")
			}
			raw := rest[len("<![CDATA["):end]
			if err := p.plain(raw, p.i+len("<![CDATA[")); err != nil {
				return err
			}
			text.add(raw)
			p.i += end + 3
		case strings.HasPrefix(rest, "<?"):
			if err := p.instruction(); err != nil {
				return err
			}
		default:
			return p.errf(p.i, "declarations are not accepted inside elements")
		}
	}
}

func (p *xmlParser) endTag(e *Element) error {
	p.i += 2
	rest := p.s[p.i:]
	if n := len(e.Name); len(rest) > n && rest[n] == '>' && rest[:n] == e.Name {
		p.i += n + 1
		return nil
	}
	at := p.i
	name, err := p.name()
	if err != nil {
		return err
	}
	if name != e.Name {
		return p.errf(at, "</%s> does not close <%s>", name, e.Name)
	}
	p.space()
	if p.i >= len(p.s) || p.s[p.i] != '>' {
		return p.errf(p.i, "expected \">\"")
	}
	p.i++
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

func (p *xmlParser) keepKids(e *Element, base int) {
	n := len(p.kids) - base
	if n > 0 {
		if len(p.kslab) < n {
			p.kslab = make([]*Element, max(n, min(1024, 32+p.nodes)))
		}
		e.Children = p.kslab[:n:n]
		p.kslab = p.kslab[n:]
		copy(e.Children, p.kids[base:])
	}
	p.kids = p.kids[:base]
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
