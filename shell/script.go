package shell

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/grammar"
)

// RunScript runs a script line by line and reports every mistake in it. It is
// all or nothing: commits are held back until the end and dropped if any line
// failed; what is still staged at the end is committed too. Only a command that
// acts on the running cluster itself (cleanup, wait, ...) needs what was
// committed before it at once: then the rest of the script is tried out on a
// copy first, and if that shows no mistake, the commits so far are sent and
// the script goes on directly.
//
// It reports whether everything succeeded.
func (s *Session) RunScript(ctx context.Context, file, text string) bool {
	batch, path := s.batch, s.path
	s.batch = true
	defer func() { s.batch, s.path, s.quit = batch, path, false }()
	lines := grammar.ReadScript(file, text)
	if s.overlay == nil {
		s.overlay = &overlay{Cluster: s.cluster}
		defer func() { s.overlay = nil }()
	}
	failed := s.runLines(ctx, file, text, lines)
	if s.overlay == nil { // the script went on directly
		return !failed && s.finish(ctx)
	}
	if !failed {
		failed = !s.finish(ctx)
	}
	if failed {
		s.discardScript(file)
		return false
	}
	if err := s.flushAll(ctx); err != nil {
		s.report(err)
		return false
	}
	if err := s.waitDone(ctx); err != nil {
		s.report(err)
		return false
	}
	return true
}

// flushAll sends what a script has committed: to what it uses now, and to the
// cluster if that is a shadow CIB.
func (s *Session) flushAll(ctx context.Context) error {
	if err := s.flush(ctx, s.overlay); err != nil {
		return err
	}
	if p := s.parked; p != nil {
		s.parked = nil
		return s.flush(ctx, p)
	}
	return nil
}

// waitDone waits, after the commits of a script were sent, if -w asks for it.
func (s *Session) waitDone(ctx context.Context) error {
	s.noteSent(s.overlay)
	if !s.cfg.Wait || s.cfg.Offline || !s.overlay.sent {
		return nil
	}
	return s.settle(ctx)
}

// RunArguments runs one command given as arguments of the program, and returns
// its exit status. stay tells that the arguments name a level and no command:
// the session stands in that level now.
func (s *Session) RunArguments(ctx context.Context, args []string) (status int, stay bool) {
	line := grammar.ReadArguments("", args)
	s.overlay = &overlay{Cluster: s.cluster}
	path := len(s.path)
	ok := s.run(ctx, &sourceLine{line: line, text: line.Text, fromArguments: true})
	if ok {
		ok = s.finish(ctx)
	}
	if ok && s.overlay != nil {
		if err := s.flushAll(ctx); err != nil {
			s.report(err)
			ok = false
		} else if err := s.waitDone(ctx); err != nil {
			s.report(err)
			ok = false
		}
	}
	s.overlay, s.parked = nil, nil
	s.where = nil
	if !ok {
		s.drop()
		return 1, false
	}
	return 0, len(s.path) > path
}

// runLines runs the lines and reports whether any failed.
func (s *Session) runLines(ctx context.Context, file, text string, lines []grammar.Line) (failed bool) {
	parsed := parseAhead(lines)
	for i := range lines {
		if ctx.Err() != nil {
			s.msg.error("interrupted")
			return true
		}
		src := &sourceLine{line: lines[i], name: file, text: text, parsed: parsed[i]}
		if n := len(src.line.Words); src.line.Unterminated && n > 0 {
			s.where = src
			s.reportAt("the script ends in the middle of a statement; remove the backslash at the end of its last line", src.line.Words[n-1].End)
			return true
		}
		if s.overlay != nil {
			s.overlay.rest = func() bool { return s.rehearse(ctx, file, text, lines[i:]) }
			s.overlay.failed = failed
		}
		if !s.run(ctx, src) {
			failed = true
		}
		if s.quit {
			break
		}
	}
	s.where = nil
	return failed
}

// finish commits what is staged at the end of a script.
func (s *Session) finish(ctx context.Context) bool {
	if !s.changed() {
		s.drop()
		return true
	}
	if err := s.commit(ctx, commitOptions{}); err != nil {
		if !errors.Is(err, errReported) {
			s.report(err)
		}
		return false
	}
	return true
}

func (s *Session) discardScript(file string) {
	staged := s.changed() || len(s.overlay.changes) > 0 || s.parked != nil && len(s.parked.changes) > 0
	s.drop()
	s.parked = nil
	if staged {
		if file == "" {
			file = "the input"
		}
		fmt.Fprintf(s.msg.err, "%s has errors: nothing of it was committed\n", file)
	}
}

// leaveOverlay sends the commits held back so far, after the rest of the script
// has shown no mistake.
// What is staged besides is committed before, or left staged.
func (s *Session) leaveOverlay(ctx context.Context, keepStaged bool) error {
	o := s.overlay
	if o.failed {
		// Nothing will be committed anyway; go on to find more mistakes.
		return nil
	}
	if o.rest != nil && !o.rest() {
		s.rehearsing = true // what follows was already tried out
		return errReported
	}
	if s.changed() && !keepStaged {
		if err := s.commit(ctx, commitOptions{}); err != nil {
			return err
		}
	}
	if err := s.flush(ctx, o); err != nil {
		return err
	}
	s.noteSent(o)
	s.overlay = nil
	return nil
}

// rehearse tries out lines on a copy of the session without output, reports
// their mistakes and whether there were none.
func (s *Session) rehearse(ctx context.Context, file, text string, lines []grammar.Line) bool {
	t := *s
	t.rehearsing = true
	t.path = s.linePath
	t.overlay = s.overlay.fork()
	t.msg.out = io.Discard
	if s.staged != nil {
		st := *s.staged
		if st.work != nil {
			st.work = st.work.Clone()
		}
		t.staged = &st
	}
	failed := t.runLines(ctx, file, text, lines)
	if !failed {
		failed = !t.finish(ctx)
	}
	s.msg.errors = t.msg.errors
	if failed && s.msg.errors == 0 {
		s.msg.errors++
	}
	return !failed
}

// overlay is a cluster whose configuration changes are held back in memory.
type overlay struct {
	client.Cluster
	doc     *cib.CIB // nil until the first change
	changes []cib.Change
	start   *cib.CIB // what the first change began with
	// rest tries out the rest of the script that runs.
	rest   func() bool
	failed bool
	sent   bool
	// version is what the last change that was sent produced.
	version cib.Version
}

func (o *overlay) CIB(ctx context.Context, linearizable bool) (*cib.CIB, error) {
	if o.doc != nil {
		return o.doc, nil
	}
	// One document for the whole script, read once.
	doc, err := o.Cluster.CIB(ctx, linearizable)
	if err == nil {
		o.doc, o.start = doc, doc
	}
	return doc, err
}

func (o *overlay) Apply(ctx context.Context, ch cib.Change) (cib.Version, error) {
	doc, err := o.CIB(ctx, true)
	if err != nil {
		return cib.Version{}, err
	}
	next, err := doc.Apply(ch)
	if err != nil {
		return cib.Version{}, err
	}
	o.doc = next
	o.changes = append(o.changes, ch)
	return next.Version(), nil
}

// flush sends the changes that an overlay holds back. Configurations go as one:
// those in between were never anybody's. What somebody else has committed since
// the script began is merged with it, as for every commit.
func (s *Session) flush(ctx context.Context, o *overlay) error {
	var last *cib.Change
	message := ""
	var confirm time.Duration
	for _, ch := range o.changes {
		if ch.Configuration != nil {
			last = &ch
			message = cmp.Or(ch.Origin.Message, message)
			confirm = cmp.Or(ch.Configuration.Confirm, confirm)
		}
	}
	if last != nil {
		l := &landing{cluster: o.Cluster, base: o.start, work: o.doc, origin: last.Origin, confirm: confirm}
		l.origin.Message = message
		v, err := s.land(ctx, l)
		if err != nil {
			return err
		}
		o.sent, o.version = true, v
	}
	for _, ch := range o.changes {
		if ch.Status != nil {
			v, err := o.Cluster.Apply(ctx, ch)
			if err != nil {
				return err
			}
			o.sent, o.version = true, v
		}
	}
	o.changes, o.doc = nil, nil
	return nil
}

// noteSent makes the last version that was sent the one to wait for.
func (s *Session) noteSent(o *overlay) {
	if o.sent {
		v := o.version
		s.lastCommit = &v
	}
}

func (o *overlay) fork() *overlay {
	f := *o
	f.changes = append([]cib.Change(nil), o.changes...)
	f.rest = nil
	return &f
}
