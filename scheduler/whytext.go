package scheduler

import (
	"cmp"
	"fmt"
	"strings"
)

// Explanations as text for people. There is one rendering: resource why,
// simulate and configure simulate all print this.

// Style paints parts of a text; nil functions leave them plain.
type Style struct {
	Bold, Good, Warn, Bad, Dim func(string) string
}

func paint(f func(string) string, s string) string {
	if f == nil || s == "" {
		return s
	}
	return f(s)
}

// Text explains a resource: where it is and why, a table of nodes with what
// speaks for and against each, what it waits for and what failed. With a node,
// only that one is in the table, with all summands of its score.
func (w *Why) Text(node string, st Style) string {
	var b strings.Builder
	for _, r := range w.Cluster {
		fmt.Fprintf(&b, "%s\n", paint(st.Warn, sentence(r.Text)))
		if r.Hint != "" {
			fmt.Fprintf(&b, "  %s\n", paint(st.Dim, "To change that: "+r.Hint))
		}
	}
	if w.Kind != "primitive" || len(w.Instances) > 1 {
		what := "instance"
		if w.Kind == "group" || w.Kind == "bundle" {
			what = "resource"
		}
		fmt.Fprintf(&b, "%s is a %s of %s.\n", paint(st.Bold, w.Resource), w.Kind, plural(len(w.Instances)+w.Left, what))
	}
	sameTable := ""
	for i := range w.Instances {
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		in := &w.Instances[i]
		in.headline(&b, st)
		table := in.table(node, st)
		if table == sameTable && table != "" {
			fmt.Fprintf(&b, "  Nodes: as above\n")
		} else {
			b.WriteString(table)
		}
		sameTable = table
		in.tail(&b, st)
	}
	if w.Left > 0 {
		fmt.Fprintf(&b, "\n%s more neither %s nor will.\n", plural(w.Left, "instance"), map[bool]string{true: "runs", false: "run"}[w.Left == 1])
	}
	if !w.Recheck.IsZero() {
		fmt.Fprintf(&b, "\nWithout any event the cluster looks again at %s.\n", w.Recheck.Format(timeFormat))
	}
	return b.String()
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// sentence makes a sentence of a reason.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// Headline is the state of an instance and what is done with it, in one line.
func (i *Instance) Headline() string {
	var now string
	role := i.Role
	under := map[string]string{"start": "is being started on ", "stop": "is being stopped on ", "promote": "is being promoted on ",
		"demote": "is being demoted on ", "migrate_to": "is leaving alive ", "migrate_from": "is coming alive to "}[i.Pending]
	switch {
	case under != "" && len(i.On) > 0 && !i.Failed:
		now = under + strings.Join(i.On, ", ")
		if i.Verb == "" && !i.Unmanaged {
			return now
		}
	case len(i.On) == 0:
		now = "does not run"
	case i.Failed:
		now = "has failed on " + strings.Join(i.On, ", ")
		if role == "Promoted" || role == "Unpromoted" {
			now += " (" + role + ")"
		}
	default:
		now = "runs on " + strings.Join(i.On, ", ")
		if role != "Started" {
			now += " (" + role + ")"
		}
	}
	return now + i.nextText()
}

// nextText says what the plan does with an instance.
func (i *Instance) nextText() string {
	if i.Impossible {
		return " and cannot be " + map[string]string{"Start": "started", "Stop": "stopped", "Move": "moved", "Migrate": "moved", "Restart": "restarted",
			"Recover": "recovered", "Reload": "reloaded", "Promote": "promoted", "Demote": "demoted", "Re-promote": "promoted again"}[i.Verb]
	}
	switch i.Verb {
	case "":
		switch {
		case i.Unmanaged:
			return " and is left alone"
		case len(i.On) > 0:
			return " and stays"
		}
		return ""
	case "Start":
		return ", will be started on " + i.NextOn
	case "Stop":
		if i.Next != "Stopped" && i.NextOn != "" {
			return ", will be stopped and cannot be started again"
		}
		return ", will be stopped"
	case "Move":
		return ", will move to " + i.NextOn
	case "Migrate":
		return ", will move alive to " + i.NextOn
	case "Restart":
		return ", will be restarted"
	case "Recover":
		if i.NextOn != "" && !(len(i.On) == 1 && i.On[0] == i.NextOn) {
			return ", will be recovered on " + i.NextOn
		}
		return ", will be recovered"
	case "Reload":
		return ", will be reloaded"
	case "Promote":
		return ", will be promoted on " + i.NextOn
	case "Demote":
		return ", will be demoted"
	case "Re-promote":
		return ", will be demoted and promoted again"
	}
	return ", " + strings.ToLower(i.Verb)
}

func (i *Instance) headline(b *strings.Builder, st Style) {
	f := st.Good
	switch {
	case i.Failed || i.Blocked:
		f = st.Bad
	case len(i.On) == 0:
		f = st.Warn
	}
	fmt.Fprintf(b, "%s (%s) %s.\n", paint(st.Bold, i.Name), i.Agent, paint(f, i.Headline()))
	for _, r := range i.Reasons {
		fmt.Fprintf(b, "  - %s.\n", r.Text)
		if r.Hint != "" {
			fmt.Fprintf(b, "    %s\n", paint(st.Dim, "To change that: "+r.Hint))
		}
	}
	if len(i.Reasons) == 0 {
		fmt.Fprintf(b, "  - nothing is to be done.\n")
	}
}

// table lists the nodes.
func (i *Instance) table(only string, st Style) string {
	type row struct{ node, state, score, text string }
	rows := []row{{"NODE", "STATE", "SCORE", "WHY"}}
	var places []*Place
	for k := range i.Places {
		p := &i.Places[k]
		if only != "" && p.Node != only {
			continue
		}
		mark := p.Node
		if p.Chosen {
			mark += " *"
		}
		score := "-"
		if p.Listed {
			score = scoreText(p.Score)
		}
		rows = append(rows, row{mark, p.State, score, p.Text})
		places = append(places, p)
	}
	if len(places) == 0 {
		return ""
	}
	var w [3]int
	for _, r := range rows {
		w[0], w[1], w[2] = max(w[0], len(r.node)), max(w[1], len(r.state)), max(w[2], len(r.score))
	}
	var b strings.Builder
	indent := strings.Repeat(" ", 2+w[0]+2+w[1]+2+w[2]+2)
	for k, r := range rows {
		line := fmt.Sprintf("  %-*s  %-*s  %*s  %s", w[0], r.node, w[1], r.state, w[2], r.score, r.text)
		switch {
		case k == 0:
			line = paint(st.Bold, line)
		case places[k-1].Chosen:
			line = paint(st.Good, line)
		case !places[k-1].Possible:
			line = paint(st.Dim, line)
		}
		b.WriteString(line + "\n")
		if k == 0 {
			continue
		}
		p := places[k-1]
		if only == "" && !p.detailed() {
			continue
		}
		for _, o := range p.Origin {
			if o.By == ByNodeState && only == "" {
				continue
			}
			fmt.Fprintf(&b, "%s%9s  %s\n", indent, signed(o.Value), o.Text)
		}
	}
	return b.String()
}

// detailed reports whether the summands of a score say more than the sentence
// about the node.
func (p *Place) detailed() bool {
	if len(p.Origin) == 0 {
		return false
	}
	for _, o := range p.Origin {
		if o.By != ByNodeState && !strings.Contains(p.Text, o.Text) {
			return true
		}
	}
	return false
}

// tail is what an instance waits for, and what failed.
func (i *Instance) tail(b *strings.Builder, st Style) {
	for _, w := range i.Waits {
		fmt.Fprintf(b, "  %s waits for %s", sentenceStart(w.Action), list(w.For))
		if len(w.Orders) > 0 {
			fmt.Fprintf(b, " (order %s)", strings.Join(w.Orders, ", "))
		}
		b.WriteString(".\n")
	}
	for _, f := range i.Failures {
		fmt.Fprintf(b, "  %s\n", paint(st.Bad, f.Text()))
	}
}

// list joins names; a long list is cut.
func list(names []string) string {
	if len(names) > 6 {
		return strings.Join(names[:5], ", ") + fmt.Sprintf(" and %d more", len(names)-5)
	}
	return strings.Join(names, ", ")
}

func sentenceStart(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// Text is a failure in one line.
func (f *Failure) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Failed: %s on %s: %s", f.Operation, f.Node, f.words())
	if !f.Time.IsZero() {
		b.WriteString(" at " + f.Time.Format(timeFormat))
	}
	if f.Count > 0 {
		fmt.Fprintf(&b, "; fail count %s", scoreText(f.Count))
		if f.Limit < infinity && f.Limit > 0 {
			fmt.Fprintf(&b, " of %d", f.Limit)
		}
	}
	if !f.Expires.IsZero() {
		b.WriteString("; forgotten at " + f.Expires.Format(timeFormat))
	}
	return b.String()
}

// Text explains what is done with a node, in one line.
func (n *NodeReason) Text() string {
	verb := map[string]string{"reboot": "is fenced (reboot)", "off": "is fenced (off)", "on": "is unfenced", "shutdown": "is shut down"}[n.Action]
	var parts []string
	for _, r := range n.Reasons {
		parts = append(parts, r.Text)
	}
	return fmt.Sprintf("%s %s: %s", n.Node, cmp.Or(verb, "is unclean"), strings.Join(parts, "; "))
}
