package shell

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"gcrm/grammar"
)

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

// inEditor lets the user change a text in $EDITOR.
func (s *Session) inEditor(ctx context.Context, text, suffix string) (string, error) {
	editor := s.cfg.Environ("VISUAL")
	if editor == "" {
		editor = s.cfg.Environ("EDITOR")
	}
	if editor == "" {
		editor = "vi"
	}
	f, err := os.CreateTemp("", "gcrm-*"+suffix)
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", editor+` "$1"`, "sh", f.Name())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("editor %s: %w", editor, err)
	}
	b, err := os.ReadFile(f.Name())
	return string(b), err
}
