package shell

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// commitOptions are the words after commit.
type commitOptions struct {
	force   bool // pass warnings that need it
	replace bool // refuse if somebody else committed meanwhile
	message string
	quiet   bool // say nothing if there is nothing to say
	// confirm is how long the cluster waits for a confirmation before it
	// takes the commit back; 0 if it does not.
	confirm time.Duration
}

// defaultTrial is how long commit confirm waits if no time is given.
const defaultTrial = 10 * time.Minute

func runCommit(ctx context.Context, s *Session, c *call) error {
	opt := commitOptions{force: s.cfg.Force}
	if len(c.words) == 1 {
		switch strings.ToLower(c.arg(0)) {
		case "confirmed", "abandon":
			return s.endTrial(ctx, c, strings.EqualFold(c.arg(0), "confirmed"))
		}
	}
	for i := 0; i < len(c.words); i++ {
		switch w := c.words[i]; {
		case strings.EqualFold(w.Text, "confirm"):
			opt.confirm = defaultTrial
			if i+1 < len(c.words) {
				if d, err := cib.ParseDuration(c.words[i+1].Text); err == nil && d > 0 {
					opt.confirm = d
					i++
				}
			}
		case strings.EqualFold(w.Text, "force"):
			opt.force = true
		case strings.EqualFold(w.Text, "replace"):
			opt.replace = true
		case w.Text == "-m" || w.Text == "--message":
			if i+1 == len(c.words) {
				return problemf("%s: %s needs a text", c.path, w.Text).at(w.End)
			}
			i++
			opt.message = c.words[i].Text
		default:
			p := problemf("syntax parsing '%s %s': unexpected %q", c.path, strings.Join(c.args(), " "), w.Text).at(w.Pos)
			if near := nearest(w.Text, []string{"force", "replace", "confirm", "confirmed", "abandon"}); near != "" {
				return p.hinting("did you mean %s?", near)
			}
			return p.hinting("it may be force, replace, confirm TIME, confirmed, abandon or -m TEXT")
		}
	}
	if !s.changed() {
		s.msg.info("apparently there is nothing to commit")
		s.msg.info("try changing something first")
		return nil
	}
	if err := s.commit(ctx, opt); err != nil {
		return err
	}
	return s.waitIfAsked(ctx)
}

// commit verifies what is staged and makes it the cluster's configuration.
func (s *Session) commit(ctx context.Context, opt commitOptions) error {
	if !s.changed() {
		s.drop()
		return nil
	}
	st := s.staged
	force := opt.force || s.cfg.Force
	if opt.confirm == 0 {
		opt.confirm = s.cfg.Confirm
	}
	if opt.confirm != 0 && (s.cfg.Offline || s.live != nil) {
		return problemf("nothing was committed: %s is a file, and a commit on trial needs a running cluster that takes it back when nobody confirms it", s.source()).
			hinting("commit without confirm, or work on the cluster itself")
	}
	problems := s.verify(ctx, st.work)
	if opt.quiet {
		// The command changed one thing; what was odd before is not news.
		problems = slices.DeleteFunc(problems, func(p cib.Problem) bool { return p.Severity != cib.Error })
	}
	verdict := s.tell(problems, false)
	switch {
	case verdict == refuse:
		s.msg.error("nothing was committed: the configuration has errors%s", ifText(force, " that cannot be overridden", ""))
		return errReported
	case verdict == askFirst && force:
		s.msg.info("commit forced")
	case verdict == askFirst && s.cfg.Interactive && !s.batch && s.confirm("Do you still want to commit"):
	case verdict == askFirst:
		s.msg.error("nothing was committed: the configuration has errors; correct them, or override them with commit force")
		return errReported
	}
	if !opt.quiet {
		ok, err := s.confirmImpact(ctx, st.work, force)
		if err != nil {
			return err
		}
		if !ok {
			s.msg.info("nothing was committed; the changes are still staged")
			return errReported
		}
	}
	return s.send(ctx, opt)
}

// send applies what is staged.
func (s *Session) send(ctx context.Context, opt commitOptions) error {
	l := &landing{cluster: s.cluster, base: s.staged.base, work: s.staged.work, origin: s.origin(opt.message),
		exclusive: opt.replace && !opt.force, confirm: opt.confirm}
	if s.overlay != nil {
		l.cluster = s.overlay
	}
	v, err := s.land(ctx, l)
	if err != nil {
		if l.work != s.staged.work { // merged, and refused by the verification
			s.staged = &staging{base: l.base, work: l.work, touched: true}
		}
		return err
	}
	s.lastCommit = &v
	if opt.confirm != 0 {
		s.msg.info("the cluster takes this commit back in %s unless it is confirmed before: configure commit confirmed", cib.FormatDuration(opt.confirm))
	}
	s.drop()
	return nil
}

func ifText(cond bool, yes, no string) string {
	if cond {
		return yes
	}
	return no
}

// verdict is what verification means for a commit.
type verdict int

const (
	accept   verdict = iota
	askFirst         // problems that force overrides
	refuse           // problems that nothing overrides
)

// tell prints problems and judges them. all prints mere remarks too.
func (s *Session) tell(problems []cib.Problem, all bool) verdict {
	v := accept
	for _, p := range problems {
		text := p.Text
		if p.Object != "" {
			text = p.Object + ": " + text
		}
		if p.Hint != "" {
			text += "; " + p.Hint
		}
		switch {
		case p.Severity == cib.Error:
			v = refuse
			s.msg.error("%s", text)
		case p.NeedsForce:
			v = max(v, askFirst)
			s.msg.softError("%s", text)
		case p.Severity == cib.Warning:
			s.msg.warning("%s", text)
		case all:
			s.msg.info("%s", text)
		}
	}
	return v
}

func runVerify(ctx context.Context, s *Session, c *call) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	problems := s.verify(ctx, doc)
	if s.cfg.Format == "json" {
		if problems == nil {
			problems = []cib.Problem{}
		}
		if err := s.writeJSON(problems); err != nil {
			return err
		}
		for _, p := range problems {
			if p.Severity == cib.Error || p.NeedsForce {
				return errReported
			}
		}
		return nil
	}
	verdict := s.tell(problems, true)
	if c.has(0, "scores") {
		if err := runScores(ctx, s, c); err != nil {
			return err
		}
	}
	if verdict != accept {
		return errReported
	}
	return nil
}

func runRefresh(ctx context.Context, s *Session, c *call) error {
	if s.changed() && s.cfg.Interactive && !s.batch && !s.confirm("All changes will be dropped. Do you want to proceed") {
		return nil
	}
	s.drop()
	return nil
}

// endTrial confirms the commit on trial or takes it back.
func (s *Session) endTrial(ctx context.Context, c *call, keep bool) error {
	place := c.at(0)
	if s.cfg.Offline || s.live != nil {
		return problemf("%s: %s is a file; commits on trial are a running cluster's", c.path, s.source()).at(place)
	}
	if s.rehearsing {
		return nil
	}
	if s.overlay != nil { // what the script committed before comes first
		if err := s.leaveOverlay(ctx, false); err != nil {
			return err
		}
	}
	judge, ok := s.cluster.(client.Judge)
	if !ok {
		return problemf("%s: %s has no commits on trial", c.path, s.source()).at(place)
	}
	info, err := s.cluster.Info(ctx)
	if err != nil {
		return err
	}
	if !info.Trial.Pending() {
		return problemf("%s: no commit waits for confirmation; it was confirmed or taken back already", c.path).at(place).
			hinting("cib history tells which")
	}
	v := info.Trial.Version
	if err := judge.Decide(ctx, v, keep); err != nil {
		return err
	}
	if keep {
		s.msg.info("version %s is confirmed", short(v))
		return nil
	}
	s.msg.info("version %s is taken back", short(v))
	return s.waitIfAsked(ctx)
}

// trialLine is the commit on trial in words, or empty.
func trialLine(t client.Trial) string {
	if !t.Pending() {
		return ""
	}
	return fmt.Sprintf("version %s by %s on %s waits for its confirmation until %s (configure commit confirmed)",
		short(t.Version), dash(t.Origin.User), dash(t.Origin.Node), t.Until.Local().Format(time.DateTime))
}
