package shell

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"gcrm/cib"
	"gcrm/durable"
	"gcrm/grammar"
)

// editor returns what applies statements to the staged document.
func (s *Session) editor(ctx context.Context) (*grammar.Edit, error) {
	st, err := s.stage(ctx)
	if err != nil {
		return nil, err
	}
	if st.work == nil {
		st.work = st.base.Clone()
	}
	if st.editor == nil {
		st.editor = grammar.NewEdit(st.work, s.agents(ctx))
	}
	return st.editor, nil
}

// readInput reads a file, or the input with "-".
func (s *Session) readInput(path string) (string, error) {
	var b []byte
	var err error
	if path == "-" {
		if s.cfg.In == nil {
			return "", problemf("there is no input to read")
		}
		b, err = io.ReadAll(io.LimitReader(s.cfg.In, int64(cib.DefaultLimits.Bytes)+1))
	} else {
		b, err = os.ReadFile(path)
	}
	if err != nil {
		return "", err
	}
	if len(b) > cib.DefaultLimits.Bytes {
		return "", fmt.Errorf("%s is larger than %d bytes", path, cib.DefaultLimits.Bytes)
	}
	return string(b), nil
}

func runLoad(ctx context.Context, s *Session, c *call) error {
	words := c.words
	asXML := strings.EqualFold(words[0].Text, "xml")
	if asXML {
		words = words[1:]
	}
	if len(words) != 2 {
		return problemf("%s: Expected ([xml] method file)", c.path).at(c.at(0))
	}
	method, err := grammar.ParseMethod(strings.ToLower(words[0].Text))
	if err != nil {
		return problemf("%s: %v", c.path, err).at(words[0].Pos)
	}
	name := words[1].Text
	text, err := s.readInput(name)
	if err != nil {
		return problemf("%s: %v", c.path, err).at(words[1].Pos)
	}
	if name == "-" {
		name = "stdin"
	}
	return s.load(ctx, method, name, text, asXML)
}

func (s *Session) load(ctx context.Context, method grammar.Method, name, text string, asXML bool) error {
	e, err := s.editor(ctx)
	if err != nil {
		return err
	}
	apply := grammar.Load
	if asXML {
		apply = grammar.LoadXML
	}
	remarks, err := apply(e, method, name, text)
	for _, r := range remarks {
		s.reportSyntax(r)
	}
	if err != nil {
		return err
	}
	s.staged.touched = true
	return nil
}

func runSave(ctx context.Context, s *Session, c *call) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	last := len(c.words) - 1
	sel, err := s.selectObjects(ctx, doc, c.words[:last])
	if err != nil {
		return err
	}
	if len(sel.missing) > 0 {
		return noObject(doc, sel.missing[0])
	}
	sel.obscure = nil
	text := ""
	if sel.xml {
		text = showXML(doc, sel)
	} else {
		text = grammar.Print(doc, grammar.PrintOptions{Select: sel.pick, SetIDs: true})
	}
	file := c.arg(last)
	if file == "-" {
		_, err = io.WriteString(s.msg.out, text)
		return err
	}
	if s.rehearsing {
		return nil
	}
	return writeFile(file, text)
}

// writeFile replaces a file, readable for its owner only, since it may hold
// passwords. A link that the user made stays one.
func writeFile(path, text string) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return durable.Write(path, []byte(text), 0o600)
}

// runApply loads a file and commits, and says whether anything changed.
func runApply(ctx context.Context, s *Session, c *call) error {
	check := c.has(1, "--check")
	name := c.arg(0)
	text, err := s.readInput(name)
	if err != nil {
		return problemf("%s: %v", c.path, err).at(c.at(0))
	}
	if s.changed() {
		return problemf("%s: something else is staged", c.path).hinting("commit it first")
	}
	s.drop()
	if err := s.load(ctx, grammar.Update, name, text, strings.HasPrefix(strings.TrimSpace(text), "<")); err != nil {
		s.drop()
		return err
	}
	changes := []changedObject{}
	difference := ""
	if s.changed() {
		changes = changedObjects(s.staged.base, s.staged.work)
		difference = s.difference(s.staged.base, s.staged.work)
	}
	changed := s.changed()
	if check {
		s.drop()
	} else if changed {
		if err := s.commit(ctx, commitOptions{force: s.cfg.Force}); err != nil {
			s.drop()
			return err
		}
	}
	if s.cfg.Format == "json" {
		return s.writeJSON(map[string]any{"changed": changed, "checked": check, "objects": changes})
	}
	s.printf("%s", difference)
	switch {
	case !changed:
		s.printf("unchanged\n")
	case check:
		s.printf("would change\n")
	default:
		s.printf("changed\n")
	}
	return nil
}
