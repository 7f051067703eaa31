package shell

import (
	"context"

	"gcrm/scheduler"
)

// runWhy explains where a resource runs, and why not elsewhere; what the
// cluster does with it next, what that waits for, and what failed. It answers
// for the staged configuration with the cluster's present status.
func runWhy(ctx context.Context, s *Session, c *call) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	id, node := c.arg(0), c.arg(1)
	if node != "" {
		n, ok := doc.Node(node)
		if !ok {
			return noNode(doc, c.words[1])
		}
		node = n.Uname
	}
	plan, err := scheduler.Schedule(doc, scheduler.Options{Now: s.cfg.Now(), Scores: true, Origins: true})
	if err != nil {
		return err
	}
	why, ok := plan.Why(id)
	if !ok {
		return noResource(doc, historyName(id), c.at(0))
	}
	if s.cfg.Format == "json" {
		return s.writeJSON(why)
	}
	return s.page(why.Text(node, s.color.explanation()))
}

// runWhyNode explains a node: its state, why it is fenced or is not, and what
// comes and goes.
func runWhyNode(ctx context.Context, s *Session, c *call) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	plan, err := scheduler.Schedule(doc, scheduler.Options{Now: s.cfg.Now(), Scores: true, Origins: true})
	if err != nil {
		return err
	}
	why, ok := plan.WhyNode(c.arg(0))
	if !ok {
		return noNode(doc, c.words[0])
	}
	if s.cfg.Format == "json" {
		return s.writeJSON(why)
	}
	return s.page(why.Text(s.color.explanation()))
}

// explanation are the colours of explanations.
func (p palette) explanation() scheduler.Style {
	return scheduler.Style{Bold: p.bold, Good: p.good, Warn: p.warn, Bad: p.bad, Dim: p.dim}
}
