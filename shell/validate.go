package shell

import (
	"context"
	"slices"
	"strings"

	"gcrm/cib"
	"gcrm/grammar"
)

// validated is the id of the primitive with which parameters are tried out.
const validated = "validated"

// runRaValidate checks parameters against an agent's description, without
// anything being configured.
func runRaValidate(ctx context.Context, s *Session, c *call) error {
	if _, ok := s.agentOf(ctx, c.arg(0)); !ok {
		return problemf("%s: agent %s is not known here", c.path, c.arg(0)).at(c.at(0)).hinting("ra list CLASS lists the agents")
	}
	words := append([]string{"primitive", validated, c.arg(0), "params"}, c.args()[1:]...)
	st, err := grammar.Parse(grammar.ReadArguments("", append(words, "op", "monitor", "interval=1h", "timeout=1h")), grammar.Command)
	if err != nil {
		return err
	}
	doc := cib.New()
	if _, err := grammar.NewEdit(doc, s.agents(ctx)).Apply(st); err != nil {
		return err
	}
	problems := slices.DeleteFunc(s.verify(ctx, doc), func(p cib.Problem) bool {
		return p.Object != validated || strings.Contains(p.Hint, "clone") // where it stands says nothing about its parameters
	})
	for i := range problems {
		problems[i].Object = c.arg(0)
	}
	return s.tellValidation(c.arg(0), problems)
}

// runValidateAll checks one resource as it is staged, with what it holds.
func runValidateAll(ctx context.Context, s *Session, c *call) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	t, ok := findResource(doc, c.arg(0))
	if !ok {
		return noResource(doc, c.arg(0), c.at(0))
	}
	about := append(primitivesOf(t.element), t.element.ID())
	problems := slices.DeleteFunc(s.verify(ctx, doc), func(p cib.Problem) bool { return !slices.Contains(about, p.Object) })
	return s.tellValidation(c.arg(0), problems)
}

func (s *Session) tellValidation(what string, problems []cib.Problem) error {
	if s.cfg.Format == "json" {
		if err := s.writeJSON(append([]cib.Problem{}, problems...)); err != nil {
			return err
		}
	} else if v := s.tell(problems, true); v == accept && len(problems) == 0 {
		s.msg.info("%s: nothing is wrong", what)
	}
	if worst, force := cib.WorstOf(problems); worst == cib.Error || force {
		return errReported
	}
	return nil
}
