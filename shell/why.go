package shell

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"gcrm/cib"
	"gcrm/grammar"
	"gcrm/scheduler"
)

// runWhy explains where a resource runs, and why it does not elsewhere: what it
// is told to be, the state of every node, its scores there, the constraints
// that name it, its failures, and what the cluster will do next.
func runWhy(ctx context.Context, s *Session, c *call) error {
	v, doc, err := s.observe(ctx)
	if err != nil {
		return err
	}
	id := c.arg(0)
	t, ok := findResource(doc, historyName(id))
	if !ok {
		return noResource(doc, id, c.at(0))
	}
	plan, err := scheduler.Schedule(doc, scheduler.Options{Now: s.cfg.Now(), Scores: true})
	if err != nil {
		return err
	}
	w := &whyWriter{doc: doc, view: v, plan: plan, target: t, id: historyName(id), primitives: primitivesOf(t.element)}
	out := w.explain()
	if s.cfg.Format == "json" {
		return s.writeJSON(map[string]any{"resource": w.id, "reasons": out})
	}
	return s.page(strings.Join(out, "\n") + "\n")
}

type whyWriter struct {
	doc        *cib.CIB
	view       *clusterView
	plan       *scheduler.Plan
	target     target
	id         string
	primitives []string
	lines      []string
}

func (w *whyWriter) say(format string, a ...any) {
	w.lines = append(w.lines, fmt.Sprintf(format, a...))
}

func (w *whyWriter) explain() []string {
	w.where()
	w.told()
	for _, p := range w.primitives {
		w.nodes(p)
	}
	w.constraints()
	w.failures()
	w.next()
	return w.lines
}

// where says where it runs.
func (w *whyWriter) where() {
	var places []string
	for _, r := range findView(w.view.Resources, w.id) {
		r.eachInstance(func(m *resourceView) {
			for _, n := range m.Nodes {
				if m.Active {
					places = append(places, fmt.Sprintf("%s on %s (%s)", m.ID, n, m.Role))
				}
			}
		})
	}
	slices.Sort(places)
	if len(places) == 0 {
		w.say("%s does not run.", w.id)
		return
	}
	w.say("%s runs: %s.", w.id, strings.Join(slices.Compact(places), ", "))
}

// told says what keeps it from running, or from being managed, by configuration.
func (w *whyWriter) told() {
	for t := w.target; ; {
		for _, name := range []string{"target-role", "is-managed", "maintenance"} {
			if v, ok := pairValue(t.element, "meta_attributes", name); ok && (name != "target-role" || v != "Started") {
				w.say("Told by %s: %s=%s.", t.element.ID(), name, v)
			}
		}
		if t.parent.Name == "resources" {
			break
		}
		up, ok := findResource(w.doc, t.parent.ID())
		if !ok {
			break
		}
		t = up
	}
	if w.view.Maintenance {
		w.say("The cluster is in maintenance: nothing is started, stopped or moved.")
	}
	if w.view.StopAll {
		w.say("stop-all-resources is set.")
	}
	if !w.view.WithQuorum && w.view.DC != "" {
		policy, ok := w.doc.Property("no-quorum-policy")
		if !ok {
			policy = "stop"
		}
		w.say("The cluster has no quorum; no-quorum-policy is %s.", policy)
	}
	for _, m := range w.plan.Messages {
		if m.Object == "" || m.Object == w.id || slices.Contains(w.primitives, m.Object) {
			w.say("The scheduler says: %s", m.Text)
		}
	}
}

// nodes says for every node whether a primitive can run there.
func (w *whyWriter) nodes(primitive string) {
	// Of an instance the last phase that speaks of it decides; of several
	// instances the one that would rather be there.
	last := map[string]map[string]int{}
	for _, sc := range w.plan.Scores {
		if historyName(sc.Resource) != primitive || sc.Phase == "promotion" {
			continue
		}
		if last[sc.Node] == nil {
			last[sc.Node] = map[string]int{}
		}
		last[sc.Node][sc.Resource] = sc.Value
	}
	score, have := map[string]int{}, map[string]bool{}
	for node, instances := range last {
		for _, value := range instances {
			if !have[node] || value > score[node] {
				score[node], have[node] = value, true
			}
		}
	}
	for i := range w.view.Nodes {
		n := &w.view.Nodes[i]
		state, _ := nodeStatus(n)
		line := fmt.Sprintf("%s on %s: node is %s", primitive, n.Name, state)
		if have[n.Name] {
			line += ", score " + cib.FormatScore(score[n.Name])
			if score[n.Name] <= -cib.Infinity {
				line += " (forbidden)"
			}
		}
		if f := failCount(w.doc, n.ID, primitive); f > 0 {
			line += fmt.Sprintf(", failed %s times of %s allowed", cib.FormatScore(f), migrationThreshold(w.doc, primitive))
		}
		w.say("%s", line)
	}
}

// constraints lists what names it or what it is part of.
func (w *whyWriter) constraints() {
	names := append([]string{w.id}, w.primitives...)
	for t := w.target; t.parent.Name != "resources"; {
		names = append(names, t.parent.ID())
		up, ok := findResource(w.doc, t.parent.ID())
		if !ok {
			break
		}
		t = up
	}
	index := cib.NewIndex(w.doc)
	var found []*cib.Element
	for _, n := range names {
		for _, ref := range index.References(n) {
			if ref.Section == "constraints" && !slices.Contains(found, ref.Object) {
				found = append(found, ref.Object)
			}
		}
	}
	for _, o := range grammar.Objects(w.doc, false) {
		if slices.Contains(found, o.Element) {
			w.say("Constraint: %s", oneLine(strings.ReplaceAll(grammar.PrintObject(w.doc, o, grammar.PrintOptions{}), "\\\n", " ")))
		}
	}
}

func (w *whyWriter) failures() {
	for i := range w.view.Failures {
		f := &w.view.Failures[i]
		if slices.Contains(w.primitives, historyName(f.Resource)) {
			sw := statusWriter{v: w.view}
			w.say("Failure: %s", sw.failure(f))
		}
	}
}

// next says what the cluster will do.
func (w *whyWriter) next() {
	var next []string
	for _, d := range w.plan.Resources {
		if d.Verb != "" && (slices.Contains(w.primitives, historyName(d.Resource)) || historyName(d.Resource) == w.id) {
			next = append(next, decisionText(&d))
		}
	}
	slices.SortFunc(next, func(a, b string) int { return cmp.Compare(a, b) })
	if len(next) == 0 {
		w.say("The cluster leaves it as it is.")
		return
	}
	w.say("The cluster will: %s", strings.Join(next, "; "))
}
