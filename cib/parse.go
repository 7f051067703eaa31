package cib

import (
	"fmt"
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

// nameByte tells which bytes may stand in a name; bytes of multi-byte
// characters are all let through.
var nameByte = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= 0x80 || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' ||
			c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' || c == ':'
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
