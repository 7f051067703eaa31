package cib

import "strings"

// valueStop tells the bytes that end an attribute's value, or that have to be
// looked at in it: quotes, references, white space other than blanks, what is
// not allowed. (0xEF begins the characters U+FFFE and U+FFFF.)
var valueStop = func() (t [256]bool) {
	for c := range t {
		t[c] = c < 0x20 || c == '"' || c == '\'' || c == '&' || c == '<' || c == 0xEF
	}
	return t
}()

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
