package shell

import (
	"context"
	"errors"
	"strings"
)

func runUp(ctx context.Context, s *Session, c *call) error {
	if len(s.path) == 0 {
		return nil
	}
	return s.moveTo(ctx, s.path[:len(s.path)-1])
}

func runCd(ctx context.Context, s *Session, c *call) error {
	target := c.arg(0)
	path := s.path
	if target == "" || strings.HasPrefix(target, "/") {
		path = nil
	}
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
			continue
		case "..":
			if len(path) > 0 {
				path = path[:len(path)-1]
			}
			continue
		}
		at := s.root
		if len(path) > 0 {
			at = path[len(path)-1]
		}
		e, m := at.find(part)
		if e.level == nil {
			p := problemf("%s: no such level", part).at(c.at(0))
			var names []string
			for _, l := range at.Levels {
				names = append(names, l.Name)
			}
			if near := nearest(part, names); near != "" {
				p.hinting("did you mean %s?", near)
			} else if len(m.candidates) > 0 {
				p.hinting("it could be %s", strings.Join(m.candidates, ", "))
			} else if len(names) > 0 {
				p.hinting("there are %s", strings.Join(names, ", "))
			}
			return p
		}
		path = append(path[:len(path):len(path)], e.level)
	}
	return s.moveTo(ctx, path)
}

// moveTo changes the level. Leaving configure with uncommitted changes asks
// when somebody is there; a script commits them at its end.
func (s *Session) moveTo(ctx context.Context, path []*Level) error {
	if s.inConfigure(s.path) && !s.inConfigure(path) {
		stay, err := s.settleChanges(ctx)
		if err != nil || stay {
			return err
		}
	}
	s.path = path
	return nil
}

func (s *Session) inConfigure(path []*Level) bool {
	return len(path) > 0 && path[0].Name == "configure"
}

// settleChanges asks what to do with uncommitted changes, and does it. stay
// tells that the user wants to go on editing.
func (s *Session) settleChanges(ctx context.Context) (stay bool, err error) {
	if !s.changed() || !s.cfg.Interactive || s.batch || s.cfg.Ask == nil {
		return false, nil
	}
	s.msg.info("There are changes pending:")
	if d, err := s.changesAsText(ctx); err == nil {
		s.printf("%s", d)
	}
	for {
		answer, err := s.cfg.Ask("Do you want to commit them, discard them, or stay and go on editing (c/d/s)? ")
		if err != nil {
			return true, nil // end of input or Ctrl-C: nothing is lost by staying
		}
		switch strings.ToLower(strings.TrimSpace(answer)) {
		case "c", "commit", "y", "yes":
			if err := s.commit(ctx, commitOptions{}); err != nil {
				if !errors.Is(err, errReported) {
					s.report(err)
				}
				return true, errReported
			}
			return false, nil
		case "d", "discard", "n", "no":
			s.drop()
			s.msg.info("the changes were discarded")
			return false, nil
		case "s", "stay", "cancel":
			return true, nil
		}
		s.printf("Please answer c (commit), d (discard) or s (stay).\n")
	}
}

func runQuit(ctx context.Context, s *Session, c *call) error {
	stay, err := s.settleChanges(ctx)
	if err != nil || stay {
		return err
	}
	s.quit = true
	if s.cfg.Interactive && !s.batch {
		s.printf("bye\n")
	}
	return nil
}

func runLs(ctx context.Context, s *Session, c *call) error {
	var names []string
	for _, l := range s.level().Levels {
		names = append(names, l.Name+"/")
	}
	for _, v := range s.level().Verbs {
		if !v.Hidden {
			names = append(names, v.Name)
		}
	}
	for _, v := range s.level().common {
		names = append(names, v.Name)
	}
	s.columns(names)
	return nil
}

// confirm asks a question that is answered by y or n. Without anybody to ask,
// -F means yes and everything else no.
func (s *Session) confirm(question string) bool {
	if s.cfg.Force {
		s.msg.info("%s [YES]", question)
		return true
	}
	if s.cfg.No || !s.cfg.Interactive || s.batch || s.cfg.Ask == nil {
		return false
	}
	for {
		answer, err := s.cfg.Ask(question + " (y/n)? ")
		if err != nil {
			return false
		}
		switch strings.ToLower(strings.TrimSpace(answer)) {
		case "y", "yes":
			return true
		case "n", "no":
			return false
		}
	}
}
