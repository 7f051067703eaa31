package shell

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/grammar"
)

// Candidate is something that can be typed at a place of a line.
type Candidate struct {
	// Text replaces the word (or the part of it behind the last separator)
	// that the place is in.
	Text string
	// Typed is how much of Text stands there already, in bytes.
	Typed int
	// Description says what it means.
	Description string
	// Open says that the word goes on after Text: no blank follows.
	Open bool
	// Final says that the line may end here.
	Final bool
	// Rank orders lists: what is wanted most often has the lowest.
	Rank int
}

// Complete returns what can be typed at byte pos of a line, given what stands
// before it. It changes nothing and never fails: where nothing is known it
// returns nothing.
func (s *Session) Complete(ctx context.Context, line string, pos int) []Candidate {
	pos = max(0, min(pos, len(line)))
	done, partial := completionWords(line[:pos])
	level := s.level()
	for i, w := range done {
		e, _ := level.find(w)
		switch {
		case e.level != nil:
			level = e.level
		case e.verb != nil:
			return s.completeVerb(ctx, level, e.verb, done[i+1:], partial)
		default:
			return nil
		}
	}
	return filter(s.commands(level), partial)
}

// completionWords splits what stands before the cursor into complete words and
// the one that is being typed.
func completionWords(text string) (done []string, partial string) {
	rest := text
	for {
		rest = strings.TrimLeft(rest, " \t")
		if rest == "" {
			return done, ""
		}
		word, length, closed := cutCompletionWord(rest)
		if length == len(rest) || !closed {
			return done, word
		}
		done = append(done, word)
		rest = rest[length:]
	}
}

// cutCompletionWord reads one word with its quotes; closed is false inside an
// open quote.
func cutCompletionWord(s string) (word string, length int, closed bool) {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote != '\'' && c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case quote == 0 && (c == ' ' || c == '\t'):
			return b.String(), i, true
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), len(s), quote == 0
}

// commands are the words that can begin a command in a level.
func (s *Session) commands(level *Level) []Candidate {
	var out []Candidate
	for _, l := range level.Levels {
		out = append(out, Candidate{Text: l.Name, Description: l.Help, Final: true})
	}
	for _, v := range level.Verbs {
		if !v.Hidden {
			out = append(out, Candidate{Text: v.Name, Description: v.Help})
		}
	}
	for _, v := range level.common {
		out = append(out, Candidate{Text: v.Name, Description: v.Help})
	}
	return out
}

// filter keeps the candidates that begin with what is typed.
func filter(all []Candidate, typed string) []Candidate {
	var out []Candidate
	for _, c := range all {
		if strings.HasPrefix(c.Text, typed) {
			c.Typed = len(typed)
			out = append(out, c)
		}
	}
	sort.SliceStable(out, func(i, j int) bool {
		if out[i].Rank != out[j].Rank {
			return out[i].Rank < out[j].Rank
		}
		return out[i].Text < out[j].Text
	})
	return slices.CompactFunc(out, func(a, b Candidate) bool { return a.Text == b.Text })
}

// completeVerb completes an argument of a verb.
func (s *Session) completeVerb(ctx context.Context, level *Level, v *Verb, done []string, partial string) []Candidate {
	if v.Statement {
		return s.completeStatement(ctx, v, done, partial)
	}
	// Optional arguments may be left out, so every one that can stand here
	// counts.
	var out []Candidate
	next, stuck := v.possible(done)
	if stuck >= 0 {
		return nil
	}
	for _, a := range next {
		out = append(out, s.candidates(ctx, level, v, a, done, partial)...)
	}
	return filter(out, partial)
}

// candidates lists what an argument can be.
func (s *Session) candidates(ctx context.Context, level *Level, v *Verb, a Arg, done []string, partial string) []Candidate {
	var out []Candidate
	add := func(text, description string) { out = append(out, Candidate{Text: text, Description: description}) }
	for _, w := range a.Values {
		add(w, "")
	}
	doc, err := s.view(ctx)
	if err != nil {
		doc = cib.New()
	}
	switch a.Kind {
	case argObject:
		for _, o := range grammar.Objects(doc, true) {
			add(o.ID, describe(o))
		}
	case argResource, argPrimitive, argGroup, argClone:
		for _, o := range grammar.Objects(doc, true) {
			if fitsKind(a.Kind, o.Element) && !slices.Contains(done, o.ID) {
				add(o.ID, describe(o))
			}
		}
	case argNode:
		for _, n := range doc.Nodes() {
			add(n.Uname, "node")
		}
	case argFile:
		return fileCandidates(partial)
	case argClass:
		for _, c := range s.agents(ctx).list("", "") {
			add(c, "class")
		}
	case argProvider:
		for _, p := range s.agents(ctx).Providers("") {
			add(p, "provider")
		}
	case argType:
		for _, t := range s.agents(ctx).list("ocf", "") {
			add(t, "")
		}
	case argAgent:
		return s.agentCandidates(ctx, partial)
	case argProperty:
		for _, o := range cib.ClusterOptions() {
			for _, n := range append([]string{o.Name}, o.Aliases...) {
				add(n, optionText(o))
			}
		}
	case argMeta:
		for _, o := range cib.ResourceOptions() {
			add(o.Name, optionText(o))
		}
	case argParam:
		if len(done) > 0 {
			if t, ok := findResource(doc, done[0]); ok {
				for _, p := range s.paramCandidates(cib.NewIndex(doc).Agent(t.element)) {
					p.Text, p.Open = strings.TrimSuffix(p.Text, "="), false
					out = append(out, p)
				}
			}
		}
	case argNodeAttr:
		if len(done) > 0 {
			if n, ok := doc.Node(done[0]); ok {
				for k, val := range pairsOf(n.Element, "instance_attributes") {
					add(k, "now "+val)
				}
			}
			for _, n := range []string{"standby", "maintenance"} {
				add(n, "")
			}
		}
	case argUtilization:
		for _, n := range doc.Nodes() {
			for k := range pairsOf(n.Element, "utilization") {
				add(k, "capacity")
			}
		}
		add("cpu", "capacity")
		add("memory", "capacity")
	case argSelector:
		add("xml", "show XML")
		add("changed", "what is not committed")
		for _, o := range grammar.Objects(doc, true) {
			add(o.ID, describe(o))
		}
		for _, k := range objectKinds() {
			add("type:"+k, "all of one kind")
		}
		for tag := range doc.Section("tags").Named("tag") {
			add("tag:"+tag.ID(), "what a tag stands for")
		}
	case argTopic:
		at := s.level()
		for _, w := range done {
			e, _ := at.find(w)
			if e.level == nil {
				return nil
			}
			at = e.level
		}
		out = s.commands(at)
		if len(done) == 0 && at != s.root {
			out = append(out, s.commands(s.root)...)
		}
	case argPath:
		return s.pathCandidates(partial)
	case argOption:
		for _, o := range sessionOptions() {
			add(o.name, o.help)
		}
	case argVersion:
		for _, n := range s.shadowNames() {
			add(n, "shadow CIB")
		}
		if h, ok := s.cluster.(client.Historian); ok {
			list, _ := h.Revisions(ctx)
			for _, r := range list {
				add(short(r.Version), strings.TrimSpace(r.Origin.Time.Local().Format(time.DateTime)+" "+r.Origin.User+" "+r.Origin.Message))
			}
		}
	case argTemplateConfig, argTemplateOrConfig, argTemplate:
		if a.Kind != argTemplate {
			for _, n := range s.configNames() {
				add(n, "configuration")
			}
		}
		if a.Kind == argTemplateConfig {
			break
		}
		for _, n := range templateNames() {
			if t, err := readTemplate(n); err == nil {
				add(n, t.summary)
			}
		}
	case argTemplateNew:
		for _, name := range done {
			if _, err := readTemplate(name); err == nil {
				out = append(out, templateCandidates(append([]string{name}, done...), partial)...)
			}
		}
		for _, n := range templateNames() {
			if t, err := readTemplate(n); err == nil {
				add(n, t.summary)
			}
		}
	case argTemplateParam:
		return templateCandidates(done, partial)
	case argTicket:
		for t := range doc.Status().Child("tickets").Named("ticket_state") {
			add(t.ID(), "ticket")
		}
		for e := range doc.Section("constraints").Named("rsc_ticket") {
			add(e.Get("ticket"), "ticket")
		}
	}
	return out
}

func fitsKind(k ArgKind, e *cib.Element) bool {
	switch k {
	case argPrimitive:
		return e.Name == "primitive"
	case argGroup:
		return e.Name == "group"
	case argClone:
		return e.Name == "clone" || e.Name == "master" || e.Name == "bundle"
	}
	return cib.IsResource(e.Name)
}

func optionText(o cib.Option) string {
	s := o.Short
	if o.Default != "" {
		s += fmt.Sprintf(" [%s]", o.Default)
	}
	return s
}

// pathCandidates completes the path of cd.
func (s *Session) pathCandidates(partial string) []Candidate {
	dir, base := "", partial
	if i := strings.LastIndexByte(partial, '/'); i >= 0 {
		dir, base = partial[:i+1], partial[i+1:]
	}
	at := s.path
	if strings.HasPrefix(dir, "/") {
		at = nil
	}
	for part := range strings.SplitSeq(strings.Trim(dir, "/"), "/") {
		level := s.root
		if len(at) > 0 {
			level = at[len(at)-1]
		}
		switch part {
		case "", ".":
		case "..":
			if len(at) > 0 {
				at = at[:len(at)-1]
			}
		default:
			e, _ := level.find(part)
			if e.level == nil {
				return nil
			}
			at = append(at[:len(at):len(at)], e.level)
		}
	}
	level := s.root
	if len(at) > 0 {
		level = at[len(at)-1]
	}
	out := []Candidate{{Text: dir + "..", Description: "the level above", Open: true}}
	for _, l := range level.Levels {
		out = append(out, Candidate{Text: dir + l.Name, Description: l.Help, Open: len(l.Levels) > 0})
	}
	if base == "" && dir == "" {
		return out
	}
	return out
}

// fileCandidates completes a path of the file system.
func fileCandidates(partial string) []Candidate {
	dir, base := filepath.Split(partial)
	look := dir
	if look == "" {
		look = "."
	}
	entries, err := os.ReadDir(look)
	if err != nil {
		return nil
	}
	var out []Candidate
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") && !strings.HasPrefix(base, ".") {
			continue
		}
		c := Candidate{Text: dir + e.Name()}
		if e.IsDir() {
			c.Text, c.Open = c.Text+"/", true
		}
		out = append(out, c)
	}
	return out
}

// agentCandidates completes class:provider:type, and ocf types by themselves.
func (s *Session) agentCandidates(ctx context.Context, partial string) []Candidate {
	k := s.agents(ctx)
	var out []Candidate
	parts := strings.Split(partial, ":")
	switch len(parts) {
	case 1:
		for _, c := range k.list("", "") {
			out = append(out, Candidate{Text: c + ":", Description: "class", Open: true})
		}
		if partial != "" {
			for _, t := range k.list("ocf", "heartbeat") {
				out = append(out, Candidate{Text: t, Description: "ocf:heartbeat:" + t})
			}
		}
	case 2:
		if parts[0] == "ocf" {
			for _, p := range k.Providers("") {
				out = append(out, Candidate{Text: "ocf:" + p + ":", Description: "provider", Open: true})
			}
			break
		}
		for _, t := range k.list(parts[0], "") {
			out = append(out, Candidate{Text: parts[0] + ":" + t})
		}
	case 3:
		for _, t := range k.list(parts[0], parts[1]) {
			c := Candidate{Text: parts[0] + ":" + parts[1] + ":" + t}
			out = append(out, c)
		}
	}
	return out
}

// paramCandidates lists the parameters of an agent as name=, required ones
// marked.
func (s *Session) paramCandidates(name cib.AgentName) []Candidate {
	if name == (cib.AgentName{}) {
		return nil
	}
	m, err := s.agents(context.Background()).Metadata(name)
	if err != nil || m == nil {
		return nil
	}
	var out []Candidate
	params := m.Params
	if name.Class == "stonith" {
		params = slices.Concat(params, cib.FencingParams())
	}
	for i := range params {
		p := &params[i]
		if strings.HasPrefix(p.Name, "_") || p.Deprecated {
			continue
		}
		var about []string
		if p.Required {
			about = append(about, "required")
		}
		about = append(about, p.Type)
		if p.HasDefault && p.Default != "" {
			about = append(about, "default "+p.Default)
		}
		d := "(" + strings.Join(about, ", ") + ") " + oneLine(p.Short.In("en"))
		rank := -1
		if p.Required {
			rank = -2
		}
		out = append(out, Candidate{Text: p.Name + "=", Description: d, Open: true, Rank: rank})
	}
	return out
}
