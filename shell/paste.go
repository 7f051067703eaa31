package shell

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// pasteReader makes pasted text harmless for a line editor: between the
// markers of bracketed paste, tabs become blanks instead of asking for
// completion, and other control characters, which would be commands to the
// editor, are dropped. The markers themselves disappear. The first line goes to
// the editor and the Enter key behind it; further lines wait in next, so that a
// question that the first one leads to is not answered by the second.
type pasteReader struct {
	src   io.ReadCloser
	paste bool
	held  []byte // the beginning of what may be a marker
	ready []byte
	err   error
	cr    bool   // the last pasted byte was a carriage return
	block []byte // pasted so far, lines end in newlines

	mu      sync.Mutex
	waiting string // pasted lines that nobody has read yet
}

const pasteStart, pasteEnd = "\x1b[200~", "\x1b[201~"

func newPasteReader(src io.ReadCloser) *pasteReader { return &pasteReader{src: src} }

func (p *pasteReader) Close() error { return p.src.Close() }

func (p *pasteReader) Read(b []byte) (int, error) {
	for len(p.ready) == 0 && p.err == nil {
		buf := make([]byte, 1024)
		n, err := p.src.Read(buf)
		p.err = err
		p.feed(buf[:n])
	}
	if len(p.ready) > 0 {
		n := copy(b, p.ready)
		p.ready = p.ready[n:]
		return n, nil
	}
	return 0, p.err
}

// feed takes bytes from the terminal. A marker that is cut at the end of a
// read is held back only if it cannot be a key: the bare escape is passed on
// at once outside of pastes, so that the Escape key works.
func (p *pasteReader) feed(in []byte) {
	in = append(p.held, in...)
	p.held = nil
	for len(in) > 0 {
		marker := pasteStart
		if p.paste {
			marker = pasteEnd
		}
		i := bytes.IndexByte(in, '\x1b')
		if i < 0 {
			p.pass(in)
			return
		}
		p.pass(in[:i])
		in = in[i:]
		switch {
		case bytes.HasPrefix(in, []byte(marker)):
			if p.paste {
				p.deliver()
			}
			p.paste = !p.paste
			p.cr = false
			in = in[len(marker):]
		case len(in) < len(marker) && bytes.HasPrefix([]byte(marker), in) && (p.paste || len(in) > 2):
			p.held = bytes.Clone(in)
			return
		default:
			p.pass(in[:1])
			in = in[1:]
		}
	}
}

// pass hands bytes to the editor.
func (p *pasteReader) pass(in []byte) {
	if !p.paste {
		p.ready = append(p.ready, in...)
		return
	}
	for _, c := range in {
		wasCR := p.cr
		p.cr = c == '\r'
		switch {
		case c == '\n' && wasCR:
		case c == '\n' || c == '\r':
			p.block = append(p.block, '\n')
		case c == '\t':
			p.block = append(p.block, "    "...)
		case c < ' ' || c == 0x7f:
		default:
			p.block = append(p.block, c)
		}
	}
}

// deliver hands over a pasted block that is complete.
func (p *pasteReader) deliver() {
	p.mu.Lock()
	defer p.mu.Unlock()
	block := p.block
	p.block = nil
	if p.waiting != "" {
		p.waiting += string(block)
		return
	}
	first, rest, several := bytes.Cut(block, []byte("\n"))
	p.ready = append(p.ready, first...)
	if several {
		p.ready = append(p.ready, '\r')
		p.waiting = string(rest)
	}
}

// next takes the next pasted line that waits, and tells whether its end was
// pasted too. Without one it returns "", false.
func (p *pasteReader) next() (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line, rest, whole := strings.Cut(p.waiting, "\n")
	p.waiting = rest
	return line, whole
}

// forget drops the pasted lines that wait.
func (p *pasteReader) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = ""
}
