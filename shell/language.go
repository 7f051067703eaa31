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
	if err := s.resourceCommand(c); err != nil {
		return err
	}
	st := c.src.parsed
	if st == nil || c.head > 0 {
		line := *c.line
		line.Words = slices.Clone(c.line.Words[c.head:])
		if !grammar.IsStatement(line.Words[0].Text) { // shortened
			line.Words[0].Text = c.verb.Name
		}
		var err error
		if st, err = grammar.Parse(line, grammar.Command); err != nil {
			return err
		}
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

// parseAhead parses the lines of a script that are statements, on all
// processors if they are many. Mistakes are found again when it is their turn.
func parseAhead(lines []grammar.Line) []*grammar.Statement {
	const worthwhile = 64
	parsed := make([]*grammar.Statement, len(lines))
	if len(lines) < worthwhile {
		return parsed
	}
	var statements []grammar.Line
	var at []int
	for i := range lines {
		if w := lines[i].Words; len(w) > 1 && grammar.IsStatement(w[0].Text) {
			statements = append(statements, lines[i])
			at = append(at, i)
		}
	}
	all, _ := grammar.ParseAll(statements, grammar.Command)
	for i, st := range all {
		parsed[at[i]] = st
	}
	return parsed
}

// resourceCommand tells that a line was meant for the level resource: here that
// word is an old name of primitive, and "resource stop web" would make a
// primitive "stop" of an agent "web".
func (s *Session) resourceCommand(c *call) error {
	typed := c.line.Words[c.head].Text
	if c.verb.Name != "primitive" || !strings.EqualFold(typed, "resource") || len(c.words) == 0 || len(c.words) > 2 {
		return nil
	}
	e, m := resourceLevel().find(c.arg(0))
	if e.verb == nil || !m.exact {
		return nil
	}
	return problemf("%s: resource is an old name of primitive here", c.path).at(c.line.Words[c.head].Pos).
		hinting("up leads to the top level, where resource %s is a command", strings.Join(c.args(), " "))
}
