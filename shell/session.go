package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/grammar"
)

// Agents is what the shell asks about resource agents when no cluster answers
// for them. A nil Agents knows none.
type Agents interface {
	// Agents lists classes if class is empty, types otherwise.
	Agents(ctx context.Context, class, provider string) ([]string, error)
	// Providers lists the providers of an ocf agent type, all if it is empty.
	Providers(ctx context.Context, agentType string) ([]string, error)
	// Metadata returns the meta-data XML of class:provider:type and what
	// serves it on this host. For an agent that is not installed the error
	// is cib.ErrNoAgent.
	Metadata(ctx context.Context, agent string) (xml, source string, err error)
}

// Config is what a session is made of.
type Config struct {
	// Cluster is what the session works on.
	Cluster client.Cluster
	// Source stands in the prompt: "live", or the name of a file.
	Source string
	// Offline says that Cluster is a file: nothing runs.
	Offline bool
	// Out receives output and information, Err errors and warnings.
	Out, Err io.Writer
	// In answers questions and feeds "-" files; nil means nobody is there.
	In io.Reader
	// Interactive says that a person types and can be asked.
	Interactive bool
	Display     Display
	// Format is "text" or "json" (-o).
	Format string
	Force  bool // -F: yes to questions, commits override what can be overridden
	No     bool // -n: no to questions
	// Confirm, if set, puts every commit on trial for that long.
	Confirm time.Duration
	Wait    bool // -w: after a change, wait until the cluster has settled
	// WaitTimeout bounds waiting; zero means one minute without progress.
	WaitTimeout time.Duration
	// Environ looks up environment variables (EDITOR, PAGER, HOME, XDG_*).
	Environ func(string) string
	// Ask puts a question to the user and returns the line; nil without one.
	Ask func(prompt string) (string, error)
	// AskHidden does the same without showing what is typed.
	AskHidden func(prompt string) (string, error)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Fencing, if set, tells what is wrong with the fencing that a document
	// configures; agents knows the fence agents.
	Fencing func(doc *cib.CIB, agents cib.MetadataSource) []cib.Problem
	// Host runs a command about this host's daemon ("cluster init ...") and
	// returns its exit status; nil where there is none.
	Host func(ctx context.Context, args []string) int
	// Tool runs a command of the program that needs no cluster (volume, dlm)
	// and returns its exit status; nil where there is none.
	Tool func(ctx context.Context, name string, args []string) int
}

// Session is one conversation: where it stands in the levels, and what is
// staged. It is not safe for concurrent use.
type Session struct {
	cfg     Config
	cluster client.Cluster
	msg     messages
	color   palette
	root    *Level
	path    []*Level // from below the root to the current level
	staged  *staging
	// overlay holds back the commits of a script until its end.
	overlay *overlay
	// parked is the cluster's overlay while a script uses a shadow CIB.
	parked *overlay
	live   *liveCluster // set while a shadow CIB is used
	batch  bool
	quit   bool
	// rehearsing is set while the rest of a script is tried out.
	rehearsing bool
	where      *sourceLine // the line that runs
	linePath   []*Level    // the level in which that line began
	catalog    **catalog   // shared with copies of the session; made at first use
	lastCommit *cib.Version
	// config is the template configuration that is loaded, configDrafts are
	// those that a script made while it is tried out.
	config       string
	configDrafts map[string]string
	// whatIf is what simulations start from, nil for what is.
	whatIf *whatIf
}

// staging is an edit that is not committed yet.
type staging struct {
	base *cib.CIB // as loaded
	work *cib.CIB // as edited
	// editor applies statements to work; it must be told of other edits.
	editor *grammar.Edit
	// touched is set by the first edit.
	touched bool
}

// sourceLine is a line and where it comes from.
type sourceLine struct {
	line grammar.Line
	// name is the file, empty for what is typed; text all of it.
	name, text string
	// parsed is set if the line is a statement that was parsed ahead.
	parsed *grammar.Statement
	// fromArguments says that it is the program's arguments, which everybody
	// on the host can see.
	fromArguments bool
}

// call is one invocation of a verb.
type call struct {
	verb  *Verb
	level *Level
	path  string // level.verb as messages name it
	line  *grammar.Line
	head  int // index of the verb among the line's words
	words []grammar.Word
	// name and text of the source of the line
	src *sourceLine
}

// at returns the place of the i-th argument, or of the end of the line.
func (c *call) at(i int) grammar.Position {
	if i < len(c.words) {
		return c.words[i].Pos
	}
	return c.line.Words[len(c.line.Words)-1].End
}

func (c *call) args() []string { return texts(c.words) }

func texts(words []grammar.Word) []string {
	s := make([]string, len(words))
	for i, w := range words {
		s[i] = w.Text
	}
	return s
}

// arg returns the i-th argument or "".
func (c *call) arg(i int) string {
	if i < len(c.words) {
		return c.words[i].Text
	}
	return ""
}

// has reports whether a word stands among the arguments from i on.
func (c *call) has(i int, w string) bool {
	for ; i < len(c.words); i++ {
		if c.words[i].Text == w {
			return true
		}
	}
	return false
}

// NewSession starts a session at the root level.
func NewSession(cfg Config) *Session {
	if cfg.Out == nil {
		cfg.Out = io.Discard
	}
	if cfg.Err == nil {
		cfg.Err = io.Discard
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Environ == nil {
		cfg.Environ = func(string) string { return "" }
	}
	if cfg.Format == "" {
		cfg.Format = "text"
	}
	s := &Session{cfg: cfg, cluster: cfg.Cluster, root: Root()}
	s.color = palette{&s.cfg.Display}
	s.msg = messages{out: cfg.Out, err: cfg.Err, color: s.color}
	s.catalog = new(*catalog)
	return s
}

// Errors returns how many errors the session has reported.
func (s *Session) Errors() int { return s.msg.errors }

// level returns the level the session stands in.
func (s *Session) level() *Level {
	if len(s.path) == 0 {
		return s.root
	}
	return s.path[len(s.path)-1]
}

// levelNames returns the path of levels, joined.
func (s *Session) levelNames(sep string) string {
	var n []string
	for _, l := range s.path {
		n = append(n, l.Name)
	}
	return strings.Join(n, sep)
}

// Prompt returns the prompt of the current level, without colour.
func (s *Session) Prompt() string {
	return fmt.Sprintf("gcrm(%s)%s# ", s.source(), s.levelNames(" "))
}

func (s *Session) source() string { return s.cfg.Source }

// printf writes output.
func (s *Session) printf(format string, args ...any) {
	fmt.Fprintf(s.msg.out, format, args...)
}

// current returns the committed document as the session sees it.
func (s *Session) current(ctx context.Context) (*cib.CIB, error) {
	if s.overlay != nil {
		return s.overlay.CIB(ctx, true)
	}
	return s.cluster.CIB(ctx, true)
}

// view returns the staged document if there is one, else the committed one.
// It must not be changed.
func (s *Session) view(ctx context.Context) (*cib.CIB, error) {
	if s.staged != nil && s.staged.touched {
		return s.staged.work, nil
	}
	return s.current(ctx)
}

// stage returns the staging area, filled from the current CIB if it is empty.
func (s *Session) stage(ctx context.Context) (*staging, error) {
	if s.staged != nil && (s.staged.touched || s.cfg.Offline || s.overlay != nil) {
		return s.staged, nil
	}
	base, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	s.staged = &staging{base: base}
	return s.staged, nil
}

// edit runs f on the staged copy of the CIB. If f fails, the copy stays as it
// was.
func (s *Session) edit(ctx context.Context, f func(work *cib.CIB) error) error {
	st, err := s.stage(ctx)
	if err != nil {
		return err
	}
	if st.work == nil {
		st.work = st.base.Clone()
	}
	before := st.work
	if !s.cfg.Interactive || s.batch {
		// Nothing of a script with an error is committed, so there is no
		// need to be able to go back.
		before = nil
	}
	if before != nil {
		st.work = before.Clone()
	}
	st.editor = nil
	if err := f(st.work); err != nil {
		if before != nil {
			st.work = before
		}
		return err
	}
	st.touched = true
	return nil
}

// changed reports whether something is staged that differs from what was
// loaded.
func (s *Session) changed() bool {
	return s.staged != nil && s.staged.touched &&
		(!s.staged.work.Configuration().Equal(s.staged.base.Configuration()) ||
			s.staged.work.Schema() != s.staged.base.Schema())
}

// drop forgets what is staged.
func (s *Session) drop() { s.staged = nil }

// apply sends a change to the cluster, or to the overlay in a script.
func (s *Session) apply(ctx context.Context, ch cib.Change) (cib.Version, error) {
	ch.Origin = s.origin(ch.Origin.Message)
	var v cib.Version
	var err error
	if s.overlay != nil {
		v, err = s.overlay.Apply(ctx, ch)
	} else {
		v, err = s.cluster.Apply(ctx, ch)
	}
	if err == nil {
		s.lastCommit = &v
	}
	return v, err
}

// origin says who makes a change.
func (s *Session) origin(message string) cib.Origin {
	o := cib.Origin{Client: "gcrm", Time: s.cfg.Now(), Message: message, User: userName(s.cfg.Environ)}
	o.Node, _ = os.Hostname()
	return o
}

func userName(environ func(string) string) string {
	for _, name := range []string{"SUDO_USER", "USER", "LOGNAME"} {
		if v := environ(name); v != "" {
			return v
		}
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}

// run executes one logical line. Errors have been reported when it returns
// false.
func (s *Session) run(ctx context.Context, src *sourceLine) bool {
	s.where = src
	before := s.msg.errors
	err := s.runLine(ctx, src)
	if err != nil && !errors.Is(err, errReported) {
		s.report(err)
	}
	return err == nil && s.msg.errors == before
}

// runLine walks the levels that the line names and runs the verb at its end.
// A line that ends with a level enters it; one with a verb returns to where it
// was.
func (s *Session) runLine(ctx context.Context, src *sourceLine) error {
	path := s.path
	s.linePath = path
	words := src.line.Words
	for i, w := range words {
		e, m := s.level().find(w.Text)
		if e.verb == nil && e.level == nil {
			err := s.unknown(w, m)
			s.path = path
			return err
		}
		if !m.exact {
			s.msg.info("%q is accepted as %q", w.Text, e.name())
		}
		if e.level != nil {
			s.path = append(s.path[:len(s.path):len(s.path)], e.level)
			continue
		}
		c := &call{verb: e.verb, level: s.level(), line: &src.line, head: i, words: words[i+1:], src: src}
		c.path = e.verb.Name
		if n := s.levelNames("."); n != "" {
			c.path = n + "." + e.verb.Name
		}
		err := s.invoke(ctx, c)
		if e.verb.moves {
			return err
		}
		left := s.path
		s.path = path
		if err == nil && s.overlay == nil && s.inConfigure(left) && !s.inConfigure(path) && s.changed() {
			// The line went through configure and back: like every command
			// outside, it takes effect at once.
			if err = s.commit(ctx, commitOptions{force: s.cfg.Force}); err != nil {
				s.drop()
			}
		}
		return err
	}
	if src.line.Err != nil {
		s.path = path
		return src.line.Err
	}
	return nil // only levels: they are entered
}

func (s *Session) unknown(w grammar.Word, m nameMatch) error {
	name := w.Text
	if n := s.levelNames("."); n != "" {
		name = n + "." + w.Text
	}
	p := problemf("%s: No such command", name).at(w.Pos)
	instead := elsewhere(s.levelNames("."), w.Text)
	switch {
	case instead != "":
		p.hinting("%s", instead)
	case len(m.candidates) > 0:
		p.hinting("%s could be %s", w.Text, strings.Join(m.candidates, ", "))
	default:
		if near := s.level().suggest(w.Text); near != "" {
			p.hinting("did you mean %s?", near)
		} else if e, em := s.root.find(w.Text); em.exact && len(s.path) > 0 {
			p.hinting("%s belongs to the top level: type up first, or cd ../%s", e.name(), e.name())
		} else if near := s.root.suggest(w.Text); near != "" && len(s.path) > 0 {
			p.hinting("did you mean %s of the top level? type up first", near)
		} else {
			p.hinting("help lists the commands")
		}
	}
	return p
}

// invoke runs a verb with what follows it in the line.
func (s *Session) invoke(ctx context.Context, c *call) error {
	typed, words := c.line.Words[c.head], c.words
	if c.line.Err != nil {
		return c.line.Err
	}
	if len(words) == 1 && (words[0].Text == "--help" || words[0].Text == "-h") && c.verb.Name != "help" {
		return s.helpVerb(c.level, c.verb)
	}
	for _, d := range c.verb.Deprecated {
		if strings.EqualFold(d, typed.Text) {
			s.msg.warning("This command '%s' is deprecated, please use '%s'", typed.Text, c.verb.Name)
		}
	}
	if bad := c.verb.checkArity(len(words)); bad != "" {
		return problemf("%s: %s", c.path, bad).at(typed.Pos)
	}
	if next, stuck := c.verb.possible(texts(words)); stuck >= 0 && !c.verb.Statement {
		var values []string
		for _, a := range next {
			values = append(values, a.Values...)
		}
		w := words[stuck]
		if len(values) == 0 {
			return problemf("%s: %q is one argument too many", c.path, w.Text).at(w.Pos)
		}
		p := problemf("%s: %q is not %s", c.path, w.Text, orList(values)).at(w.Pos)
		if near := nearest(w.Text, values); near != "" {
			p.hinting("did you mean %s?", near)
		}
		return p
	}
	if c.verb.Live {
		if s.cfg.Offline {
			return problemf("%s: needs a running cluster; %s is a file", c.path, s.source()).at(typed.Pos)
		}
		if s.rehearsing {
			return nil
		}
		if s.overlay != nil && (!c.verb.Tries || len(s.overlay.changes) > 0) {
			if err := s.leaveOverlay(ctx, c.verb.Tries); err != nil {
				return err
			}
		}
	}
	if c.verb.Observes && !s.cfg.Offline && !s.rehearsing && s.overlay != nil && s.batch &&
		(s.changed() || len(s.overlay.changes) > 0) {
		if err := s.leaveOverlay(ctx, false); err != nil {
			return err
		}
	}
	return c.verb.run(ctx, s, c)
}

func containsFold(list []string, s string) bool {
	for _, v := range list {
		if strings.EqualFold(v, s) {
			return true
		}
	}
	return false
}

func orList(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	return strings.Join(values[:len(values)-1], ", ") + " or " + values[len(values)-1]
}
