package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The plan for people: what happens to nodes and resources, and why; for how
// long services are down; what does not run although it should.

// Change is what a plan does with one resource, explained.
type Change struct {
	Decision
	// Name is the resource's name for people.
	Name string
	// Reasons are those of [Instance], the weightiest first.
	Reasons []Reason
	// Down is for how long it is expected not to run, zero if it does not
	// stop or does not start again.
	Down time.Duration
}

// Story is a plan in the order in which people want to know of it. See
// [Plan.Story].
type Story struct {
	// Cluster holds for everything: no quorum, maintenance.
	Cluster []Reason
	// Nodes are fenced or leave, or would have to be fenced.
	Nodes []NodeReason
	// Changes are resources with something to do, in resource order.
	Changes []Change
	// Idle are resources that do not run and will not, with reasons; of a
	// clone only what concerns all of it.
	Idle []Idle
	// Held are resources that run, but are failed, blocked or not managed, and
	// are left as they are.
	Held []Idle
	// Kept are resources that run and are left as they are.
	Kept []string
	// Timing is the expected course.
	Timing *Timing
	// Problems are those of the configuration.
	Problems []Message
	// Recheck is when the cluster looks again without an event.
	Recheck time.Time

	kept map[string]bool
}

// Idle is a resource with which nothing is done, and why.
type Idle struct {
	Resource string
	Reasons  []Reason
}

// Story explains the whole plan. It must have been made with
// [Options.Origins].
func (p *Plan) Story() *Story {
	e := p.engine
	s := &Story{Cluster: e.clusterReasons(), Nodes: p.Nodes(), Timing: p.Timing(), Problems: p.Messages, Recheck: p.Recheck,
		kept: map[string]bool{}}
	changed := map[string]bool{}
	x := explainer{e: e, plan: p, brief: true}
	for _, d := range p.Resources {
		if d.Verb == "" {
			continue
		}
		changed[d.Resource] = true
		c := Change{Decision: d, Name: d.Resource, Down: s.Timing.Down[d.Resource]}
		if r := e.rscByID[d.Resource]; r != nil {
			in := x.instance(r)
			c.Reasons = in.summed()
			c.Name = plainName(r)
			s.kept[c.Name] = true // other instances of it are no news
		}
		s.Changes = append(s.Changes, c)
	}
	for _, r := range e.resources {
		r.eachLeaf(func(l *resource) {
			if !changed[l.id] && !l.internal {
				s.unchanged(&x, l)
			}
		})
	}
	return s
}

// unchanged files a resource with which nothing is done.
func (s *Story) unchanged(x *explainer, l *resource) {
	name := plainName(l)
	add := func(list *[]Idle) {
		in := x.instance(l)
		it := Idle{Resource: name, Reasons: in.summed()}
		if !slices.ContainsFunc(*list, func(o Idle) bool { return o.Resource == name && sameReasons(o.Reasons, it.Reasons) }) {
			*list = append(*list, it)
		}
	}
	switch {
	case len(l.runningOn) > 0 && (l.failed || l.blocked || !l.managed):
		add(&s.Held)
	case len(l.runningOn) > 0:
		if !s.kept[name] {
			s.kept[name] = true
			s.Kept = append(s.Kept, name)
		}
	case l.removed:
	case l.top(true).variant == vClone && (hasActive(l) || slices.ContainsFunc(s.Idle, func(o Idle) bool { return o.Resource == name })):
		// enough instances are there
	default:
		add(&s.Idle)
	}
}

func sameReasons(a, b []Reason) bool {
	return slices.EqualFunc(a, b, func(x, y Reason) bool { return x.Text == y.Text })
}

// hasActive reports whether another instance of what l is an instance of runs
// or will run.
func hasActive(l *resource) bool {
	base, found := stripInstance(l.id), false
	l.top(true).eachLeaf(func(o *resource) {
		found = found || stripInstance(o.id) == base && (len(o.runningOn) > 0 || o.assigned != nil && o.nextRole > roleStopped)
	})
	return found
}

// summed are the reasons with the scores that stand behind them, for where no
// table of nodes follows.
func (i *Instance) summed() []Reason {
	var out []Reason
	for _, r := range i.Reasons {
		out = append(out, r)
		if r.Code == CodeNoNode && r.Text == "no node can take it" {
			for _, p := range i.Places {
				out = append(out, Reason{Code: CodePlace, Text: p.Node + ": " + p.Text})
			}
		}
	}
	for k := range out {
		if out[k].Code != CodePlace || out[k].Node == "" {
			continue
		}
		if p := placeOf(i.Places, out[k].Node); p != nil && len(p.Origin) > 0 {
			var parts []string
			for _, o := range p.Origin {
				parts = append(parts, signed(o.Value)+" "+o.Text)
			}
			out[k].Text += ": " + scoreText(p.Score) + " = " + strings.Join(parts, ", ")
		}
	}
	return out
}

// Place is where a change happens: "node1", "node1 -> node2".
func (c *Change) Place() string {
	switch {
	case c.From != "" && c.To != "" && c.From != c.To:
		return c.From + " -> " + c.To
	case c.To != "":
		return c.To
	}
	return c.From
}

// Text is the plan for people.
func (s *Story) Text(st Style) string {
	var b strings.Builder
	for _, r := range s.Cluster {
		fmt.Fprintf(&b, "%s\n", paint(st.Warn, sentence(r.Text)))
		if r.Hint != "" {
			fmt.Fprintf(&b, "  %s\n", paint(st.Dim, "To change that: "+r.Hint))
		}
	}
	head := func(title string) {
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s\n", paint(st.Bold, title))
	}
	if len(s.Nodes) > 0 {
		head("Nodes")
		for _, n := range s.Nodes {
			f := st.Bad
			if n.Action == "on" || n.Action == "shutdown" {
				f = st.Warn
			}
			fmt.Fprintf(&b, "  %s\n", paint(f, n.Text()))
		}
	}
	if len(s.Changes) > 0 {
		head("Changes")
		s.changes(&b, st)
	} else if len(s.Timing.Path) == 0 && len(s.Nodes) == 0 {
		head("Nothing is to be done.")
	} else if len(s.Nodes) == 0 {
		head("Nothing changes; only states are checked.")
	}
	if len(s.Idle) > 0 {
		head("Not running")
		for _, r := range s.Idle {
			fmt.Fprintf(&b, "  %s\n", paint(st.Warn, r.Resource))
			writeReasons(&b, r.Reasons, st)
		}
	}
	if len(s.Held) > 0 {
		head("Left as they are")
		for _, r := range s.Held {
			fmt.Fprintf(&b, "  %s\n", paint(st.Bad, r.Resource))
			writeReasons(&b, r.Reasons, st)
		}
	}
	if len(s.Kept) > 0 {
		head("Unchanged")
		for _, l := range wrap(s.Kept, 74) {
			b.WriteString("  " + paint(st.Dim, l) + "\n")
		}
	}
	s.course(&b, head, st)
	if len(s.Problems) > 0 {
		head("Problems")
		for _, m := range s.Problems {
			text := m.Text
			if m.Object != "" {
				text = m.Object + ": " + text
			}
			f := st.Warn
			if m.Severity == "error" {
				f = st.Bad
			}
			fmt.Fprintf(&b, "  %s\n", paint(f, text))
		}
	}
	if !s.Recheck.IsZero() {
		fmt.Fprintf(&b, "\nWithout any event the cluster looks again at %s.\n", s.Recheck.Format(timeFormat))
	}
	return b.String()
}

// Disturbs is the part of a story that touches what runs: nodes that are fenced
// or shut down, and resources that are stopped, moved, restarted, promoted or
// demoted. Starts disturb nobody. It is nil if nothing is touched.
func (s *Story) Disturbs() *Story {
	out := &Story{Timing: &Timing{}}
	for _, n := range s.Nodes {
		if n.Action != "" {
			out.Nodes = append(out.Nodes, n)
		}
	}
	for _, c := range s.Changes {
		if c.Verb != "Start" {
			out.Changes = append(out.Changes, c)
		}
	}
	if len(out.Nodes)+len(out.Changes) == 0 {
		return nil
	}
	return out
}

// writeReasons writes reasons below what they are about.
func writeReasons(b *strings.Builder, list []Reason, st Style) {
	for _, r := range list {
		fmt.Fprintf(b, "      %s\n", r.Text)
		if r.Hint != "" {
			fmt.Fprintf(b, "      %s\n", paint(st.Dim, "To change that: "+r.Hint))
		}
	}
}

// changes is the table of what is done with resources.
func (s *Story) changes(b *strings.Builder, st Style) {
	var w [3]int
	for i := range s.Changes {
		c := &s.Changes[i]
		w[0], w[1], w[2] = max(w[0], len(c.word())), max(w[1], len(c.Name)), max(w[2], len(c.placeWithRoles()))
	}
	last := ""
	for i := range s.Changes {
		c := &s.Changes[i]
		f := st.Warn
		switch {
		case c.Blocked:
			f = st.Bad
		case c.Verb == "Start" || c.Verb == "Promote":
			f = st.Good
		case c.Verb == "Stop" || c.Verb == "Recover":
			f = st.Bad
		}
		line := fmt.Sprintf("%-*s  %-*s  %s", w[0], "", w[1], c.Name, c.placeWithRoles())
		line = paint(f, c.word()) + line[len(c.word()):]
		if c.Down > 0 {
			line += strings.Repeat(" ", w[2]-len(c.placeWithRoles())) + "  down for about " + durationWords(c.Down)
		}
		b.WriteString("  " + strings.TrimRight(line, " ") + "\n")
		var why strings.Builder
		writeReasons(&why, c.Reasons, st)
		if why.String() == last && last != "" {
			b.WriteString("      for the same reasons\n")
		} else {
			b.WriteString(why.String())
		}
		last = why.String()
	}
}

// word is the verb, with what keeps it from being done.
func (c *Change) word() string {
	if c.Blocked {
		return c.Verb + " (blocked)"
	}
	return c.Verb
}

// placeWithRoles adds the roles where they change.
func (c *Change) placeWithRoles() string {
	p := c.Place()
	promotable := c.FromRole == "Promoted" || c.FromRole == "Unpromoted" || c.ToRole == "Promoted" || c.ToRole == "Unpromoted"
	if promotable && c.FromRole != c.ToRole {
		return fmt.Sprintf("%s, %s -> %s", p, c.FromRole, c.ToRole)
	}
	return p
}

// course writes how long it takes, and what the time goes into.
func (s *Story) course(b *strings.Builder, head func(string), st Style) {
	if len(s.Timing.Path) == 0 {
		return
	}
	assumed := false
	var steps []string
	for _, id := range s.Timing.Path {
		sp := s.Timing.span(id)
		if sp.End-sp.Begin < 50*time.Millisecond && len(s.Timing.Path) > 3 {
			continue
		}
		text := s.Timing.names[id] + " " + durationWords(sp.End-sp.Begin)
		if sp.Assumed {
			text += "?"
			assumed = true
		}
		steps = append(steps, text)
	}
	head(fmt.Sprintf("Expected duration: about %s", durationWords(s.Timing.Total)))
	for i, l := range wrap(steps, 70) {
		if i == 0 {
			l = "critical path: " + l
		} else {
			l = "               " + l
		}
		b.WriteString("  " + l + "\n")
	}
	if assumed {
		b.WriteString("  " + paint(st.Dim, "? nothing in the history tells, an assumption") + "\n")
	}
}

// wrap joins names with commas into lines of about a width.
func wrap(names []string, width int) []string {
	var out []string
	line := ""
	for i, n := range names {
		if i < len(names)-1 {
			n += ","
		}
		if line != "" && len(line)+1+len(n) > width {
			out = append(out, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += n
	}
	if line != "" {
		out = append(out, line)
	}
	return out
}

// durationWords is a duration with as many digits as matter.
func durationWords(d time.Duration) string {
	switch {
	case d < time.Second:
		d = d.Round(10 * time.Millisecond)
	case d < 10*time.Second:
		d = d.Round(100 * time.Millisecond)
	default:
		d = d.Round(time.Second)
	}
	return shortDuration(d)
}

// shortDuration writes 5m instead of 5m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
