package shell

import (
	"context"
	"slices"
	"strings"

	"gcrm/cib"
	"gcrm/grammar"
)

// runStatement hands a statement of the crm language to grammar and applies it
// to what is staged.
func runStatement(ctx context.Context, s *Session, c *call) error {
	if c.verb.Name == "property" && len(c.words) == 0 {
		return s.listProperties()
	}
	line := *c.line
	line.Words = slices.Clone(c.line.Words[c.head:])
	if !grammar.IsStatement(line.Words[0].Text) { // shortened
		line.Words[0].Text = c.verb.Name
	}
	st, err := grammar.Parse(line, grammar.Command)
	if err != nil {
		return err
	}
	e, err := s.editor(ctx)
	if err != nil {
		return err
	}
	remarks, err := e.Apply(st)
	for _, r := range remarks {
		s.reportSyntax(r)
	}
	if err != nil {
		return err
	}
	s.staged.touched = true
	return nil
}

func (s *Session) listProperties() error {
	var names []string
	for _, o := range cib.ClusterOptions() {
		names = append(names, o.Name)
		names = append(names, o.Aliases...)
	}
	slices.Sort(names)
	if s.cfg.Format == "json" {
		return s.writeJSON(names)
	}
	s.printf("%s\n", strings.Join(names, "\n"))
	return nil
}
