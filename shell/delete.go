package shell

import (
	"context"
	"errors"
	"slices"
	"strings"

	"gcrm/cib"
	"gcrm/grammar"
)

// kindOfNote is the statement word of an element that an edit touched.
func kindOfNote(n cib.EditNote) string {
	switch n.Element {
	case "rsc_location", "rsc_colocation", "rsc_order":
		return strings.TrimPrefix(n.Element, "rsc_")
	case "master":
		return "ms"
	case "template":
		return "rsc_template"
	case "acl_role":
		return "role"
	}
	return n.Element
}

// tellNotes says what an edit did besides what it was asked to do.
func (s *Session) tellNotes(notes []cib.EditNote) {
	for _, n := range notes {
		object := kindOfNote(n) + ":" + n.ID
		switch {
		case n.Deleted:
			s.msg.info("hanging %s deleted: %s", object, n.Text)
		case n.To != "":
			s.msg.info("modified %s from %s to %s", object, n.From, n.To)
		case strings.HasPrefix(n.Element, "rsc_"):
			s.msg.info("constraint %s updated: %s", object, n.Text)
		default:
			s.msg.info("%s updated: %s", object, n.Text)
		}
	}
}

func runDelete(ctx context.Context, s *Session, c *call) error {
	force := s.cfg.Force
	var words []grammar.Word
	for _, w := range c.words {
		if w.Text == "-f" || w.Text == "--force" {
			force = true
			continue
		}
		words = append(words, w)
	}
	if len(words) == 0 {
		return problemf("%s: what?", c.path).at(c.at(len(c.words)))
	}
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	var missing, known []string
	for _, w := range words {
		o, ok := findObject(doc, w.Text)
		if !ok {
			s.report(noObject(doc, w))
			missing = append(missing, w.Text)
			continue
		}
		if !force && !s.cfg.Offline && cib.IsResource(o.Element.Name) {
			nodes, err := s.runsOn(ctx, w.Text)
			if err != nil {
				return err
			}
			if len(nodes) > 0 {
				s.report(problemf("resource %s is running, can't delete it", w.Text).at(w.Pos).
					hinting("stop it first, or add --force: it is stopped then"))
				missing = append(missing, w.Text)
				continue
			}
		}
		if !slices.Contains(known, w.Text) {
			known = append(known, w.Text)
		}
	}
	if len(missing) > 0 {
		return errReported
	}
	return s.edit(ctx, func(work *cib.CIB) error {
		notes, err := cib.Delete(work, known...)
		s.tellNotes(notes)
		return err
	})
}

func runRename(ctx context.Context, s *Session, c *call) error {
	old, id := c.arg(0), c.arg(1)
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	o, ok := findObject(doc, old)
	if !ok {
		return noObject(doc, c.words[0])
	}
	if !s.cfg.Offline && cib.IsResource(o.Element.Name) {
		nodes, err := s.runsOn(ctx, old)
		if err != nil {
			return err
		}
		if len(nodes) > 0 {
			return problemf("cannot rename a running resource (%s runs on %s)", old, strings.Join(nodes, " ")).at(c.at(0)).
				hinting("stop it first")
		}
	}
	return s.edit(ctx, func(work *cib.CIB) error {
		notes, err := cib.Rename(work, old, id)
		if err != nil {
			at := c.at(1)
			if errors.Is(err, cib.ErrNoObject) {
				at = c.at(0)
			}
			return problemf("%v", err).at(at)
		}
		// A tag is a mere list of names.
		s.tellNotes(slices.DeleteFunc(notes, func(n cib.EditNote) bool { return n.Element == "tag" }))
		return nil
	})
}

func runModgroup(ctx context.Context, s *Session, c *call) error {
	group, action, member := c.arg(0), strings.ToLower(c.arg(1)), c.arg(2)
	switch {
	case action == "remove" && len(c.words) > 3:
		return problemf("%s: remove takes only the member", c.path).at(c.at(3))
	case len(c.words) == 4:
		return problemf("%s: %s what?", c.path, c.arg(3)).at(c.words[3].End)
	}
	return s.edit(ctx, func(work *cib.CIB) error {
		var err error
		if action == "remove" {
			err = cib.RemoveMember(work, group, member)
		} else {
			before, after := "", ""
			if len(c.words) == 5 && strings.EqualFold(c.arg(3), "before") {
				before = c.arg(4)
			} else if len(c.words) == 5 {
				after = c.arg(4)
			}
			err = cib.AddMember(work, group, member, before, after)
		}
		if err != nil {
			return problemf("%s: %v", c.path, err).at(c.at(2))
		}
		return nil
	})
}
