package shell

import (
	"context"
	"fmt"
	"strings"

	"gcrm/cib"
	"gcrm/scheduler"
)

// impact lists what a configuration would do to what runs now: everything that
// is stopped, moved, restarted, promoted or demoted, with the reason. Starts
// disturb nobody and are not listed.
func (s *Session) impact(ctx context.Context, doc *cib.CIB) ([]string, error) {
	plan, err := scheduler.Schedule(doc, scheduler.Options{Now: s.cfg.Now()})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, d := range plan.Resources {
		switch d.Verb {
		case "", "Start":
			continue
		}
		out = append(out, decisionText(&d))
	}
	for _, a := range plan.Actions {
		if a.Task == "stonith" {
			out = append(out, fmt.Sprintf("Fence %s%s", a.Node, reasonText(a.Reason)))
		}
	}
	return out, nil
}

func decisionText(d *scheduler.Decision) string {
	where := d.From
	switch {
	case d.From != "" && d.To != "" && d.From != d.To:
		where = d.From + " -> " + d.To
	case d.To != "":
		where = d.To
	}
	if d.FromRole != d.ToRole && d.FromRole != "" && d.ToRole != "" && (d.Verb == "Promote" || d.Verb == "Demote") {
		where = d.FromRole + " -> " + d.ToRole + " " + where
	}
	return fmt.Sprintf("%s %s ( %s )%s", d.Verb, d.Resource, where, reasonText(d.Reason))
}

func reasonText(reason string) string {
	if reason == "" {
		return ""
	}
	return " due to " + strings.TrimPrefix(reason, "due to ")
}

// confirmImpact shows, to a person at a prompt, what a commit would stop or
// move, and asks. Nothing that runs is touched: no question.
func (s *Session) confirmImpact(ctx context.Context, doc *cib.CIB, force bool) (bool, error) {
	if s.cfg.Offline || s.batch || !s.cfg.Interactive || s.overlay != nil {
		return true, nil
	}
	// The status of now counts, not that of when editing began.
	now, err := s.current(ctx)
	if err != nil {
		return false, err
	}
	work := &cib.CIB{Root: &cib.Element{Name: now.Root.Name, Attrs: now.Root.Attrs, Children: append([]*cib.Element(nil), now.Root.Children...)}}
	for i, e := range work.Root.Children {
		if e.Name == "configuration" {
			work.Root.Children[i] = doc.Configuration()
		}
	}
	lines, err := s.impact(ctx, work)
	if err != nil || len(lines) == 0 {
		return true, nil // a plan that cannot be made must not prevent a repair
	}
	s.printf("This commit will:\n")
	for _, l := range lines {
		s.printf("  * %s\n", s.color.warn(l))
	}
	return force || s.confirm("Do you want to commit"), nil
}
