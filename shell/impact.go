package shell

import (
	"context"

	"gcrm/cib"
	"gcrm/scheduler"
)

// impact tells what a configuration would do to what runs now, with the
// reasons, as simulate does; it is empty if nothing that runs is touched.
func (s *Session) impact(doc *cib.CIB) (string, error) {
	plan, err := scheduler.Schedule(doc, scheduler.Options{Now: s.cfg.Now(), Scores: true, Origins: true})
	if err != nil {
		return "", err
	}
	touched := plan.Story().Disturbs()
	if touched == nil {
		return "", nil
	}
	return touched.Text(s.color.explanation()), nil
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
	text, err := s.impact(work)
	if err != nil || text == "" {
		return true, nil // a plan that cannot be made must not prevent a repair
	}
	s.printf("This commit touches what runs:\n\n%s\n", text)
	return force || s.confirm("Do you want to commit"), nil
}
