package shell

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
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

// runEdit opens objects in an editor and takes back what was saved.
func runEdit(ctx context.Context, s *Session, c *call) error {
	if !s.cfg.Interactive || s.batch {
		return problemf("edit not allowed in batch mode").at(c.line.Words[c.head].Pos).hinting("use load, set or filter")
	}
	return s.roundTrip(ctx, c, c.words, false, func(text string, asXML bool) (string, error) {
		suffix := ".crm"
		if asXML {
			suffix = ".xml"
		}
		return s.inEditor(ctx, text, suffix)
	}, func() bool { return s.confirm("Do you want to edit again") })
}

func runFilter(ctx context.Context, s *Session, c *call) error {
	return s.roundTrip(ctx, c, c.words[1:], true, func(text string, asXML bool) (string, error) {
		cmd := exec.CommandContext(ctx, "/bin/sh", "-c", c.arg(0))
		cmd.Stdin = strings.NewReader(text)
		cmd.Stderr = s.msg.err
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("filter %s: %w", c.arg(0), err)
		}
		return string(out), nil
	}, func() bool { return false })
}

// roundTrip prints objects, lets f change the text, and takes the result
// back: what is missing in it is deleted, what is new created. With lines each
// object is one line.
func (s *Session) roundTrip(ctx context.Context, c *call, words []grammar.Word, lines bool, f func(text string, asXML bool) (string, error), again func() bool) error {
	e, err := s.editor(ctx)
	if err != nil {
		return err
	}
	doc := e.CIB
	sel, err := s.selectObjects(ctx, doc, words)
	if err != nil {
		return err
	}
	if len(sel.missing) > 0 {
		return noObject(doc, sel.missing[0])
	}
	var picked []grammar.Object
	for _, o := range grammar.Objects(doc, false) {
		if sel.pick == nil || sel.pick(o) {
			picked = append(picked, o)
		}
	}
	sel.obscure = nil
	before := grammar.Print(doc, grammar.PrintOptions{Select: sel.pick, SetIDs: true, OneLine: lines})
	name := "edited text"
	if sel.xml {
		before = showXML(doc, sel)
	}
	text := before
	for {
		if text, err = f(text, sel.xml); err != nil {
			return err
		}
		if text == before {
			return nil
		}
		remarks, err := grammar.LoadEdited(e, picked, name, text, sel.xml)
		for _, r := range remarks {
			s.reportSyntax(r)
		}
		if err == nil {
			s.staged.touched = true
			return nil
		}
		if s.rehearsing {
			return err
		}
		s.report(err)
		if !again() {
			return errReported
		}
	}
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
