package shell

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/grammar"
)

func historyLevel() *Level {
	count := maybe("count", argFree)
	return &Level{
		Name: "history",
		Help: "Look back: what happened when, and who changed what.",
		Long: "What is told here is what the cluster remembers: the versions of the configuration, the last\n" +
			"result of every operation on every node, and fencing.",
		Verbs: []*Verb{
			{Name: "info", Help: "Tell how far back the memory goes.", Example: "info", Observes: true, run: runHistoryInfo},
			{Name: "log", Aliases: []string{"events"}, Help: "Tell what happened, the oldest first.", Example: "log 20",
				Args: []Arg{count}, Observes: true, run: runHistoryLog},
			{Name: "latest", Help: "Tell what happened in the last ten minutes that anything happened in.", Example: "latest",
				Observes: true, run: runHistoryLog},
			{Name: "resource", Help: "Tell what happened to resources.", Example: "resource web",
				Args: []Arg{{Name: "resource", Kind: argResource, Repeat: true}}, Observes: true, run: runHistoryLog},
			{Name: "node", Help: "Tell what happened on nodes.", Example: "node node1",
				Args: []Arg{{Name: "node", Kind: argNode, Repeat: true}}, Observes: true, run: runHistoryLog},
			{Name: "versions", Help: "List the versions of the configuration that the cluster remembers.", Example: "versions 10",
				Args: []Arg{count}, Live: true, run: runCibHistory},
			{Name: "show", Help: "Show a version of the configuration.", Example: "show 12",
				Args: []Arg{need("version", argVersion)}, Live: true, run: runHistoryShow},
			{Name: "diff", Help: "Show the change between two versions.", Example: "diff 12 15",
				Args: []Arg{need("version", argVersion), need("other", argVersion)}, Live: true, run: runCibDiff},
		},
	}
}

// happening is something that the cluster remembers.
type happening struct {
	at           time.Time
	node, object string
	what, result string
}

// happenings collects what is remembered, the oldest first.
func (s *Session) happenings(ctx context.Context) ([]happening, error) {
	doc, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	var out []happening
	for _, n := range doc.Nodes() {
		state := doc.NodeState(n.ID)
		if state == nil {
			continue
		}
		for r := range state.Child("lrm").Child("lrm_resources").Named("lrm_resource") {
			for op := range r.Named("lrm_rsc_op") {
				if h, ok := operationHappened(n.Uname, historyName(r.ID()), op); ok {
					out = append(out, h)
				}
			}
		}
	}
	if !s.cfg.Offline {
		if out, err = s.clusterHappenings(ctx, out); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(out, func(a, b happening) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.node, b.node), cmp.Compare(a.object, b.object))
	})
	return out, nil
}

// operationHappened tells of an operation. A recurring one stands for the
// moment at which its result last changed.
func operationHappened(node, resource string, op *cib.Element) (happening, bool) {
	at, err := strconv.ParseInt(op.Get("last-rc-change"), 10, 64)
	if err != nil || at <= 0 {
		return happening{}, false
	}
	what := op.Get("operation")
	if iv, err := strconv.Atoi(op.Get("interval")); err == nil && iv > 0 {
		what += " every " + (time.Duration(iv) * time.Millisecond).String()
	} else if what == "monitor" {
		what = "probe"
	}
	return happening{time.Unix(at, 0), node, resource, what, resultText(op)}, true
}

// clusterHappenings adds what is not in the CIB: versions and fencing.
func (s *Session) clusterHappenings(ctx context.Context, out []happening) ([]happening, error) {
	if h, ok := s.cluster.(client.Historian); ok {
		list, err := h.Revisions(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			if !r.Origin.Time.IsZero() {
				out = append(out, happening{r.Origin.Time, r.Origin.Node, "configuration",
					fmt.Sprintf("version %s by %s", short(r.Version), dash(r.Origin.User)), dash(r.Origin.Message)})
			}
		}
	}
	if w, ok := s.cluster.(client.Warden); ok {
		list, err := w.Fencings(ctx)
		if err != nil {
			return nil, err
		}
		for _, f := range list {
			at := f.Completed
			if at.IsZero() {
				at = f.Started
			}
			out = append(out, happening{at, f.Delegate, f.Target, "fencing (" + f.Action + ")", f.State})
		}
	}
	return out, nil
}

func runHistoryLog(ctx context.Context, s *Session, c *call) error {
	list, err := s.happenings(ctx)
	if err != nil {
		return err
	}
	switch c.verb.Name {
	case "log":
		if c.arg(0) != "" {
			n, err := strconv.Atoi(c.arg(0))
			if err != nil || n < 1 {
				return problemf("%s: %q is no number of events", c.path, c.arg(0)).at(c.at(0))
			}
			list = list[max(0, len(list)-n):]
		}
	case "latest":
		if len(list) > 0 {
			from := list[len(list)-1].at.Add(-10 * time.Minute)
			list = slices.DeleteFunc(list, func(h happening) bool { return h.at.Before(from) })
		}
	case "resource":
		wanted, err := s.primitivesWanted(ctx, c)
		if err != nil {
			return err
		}
		list = slices.DeleteFunc(list, func(h happening) bool { return !wanted[h.object] })
	case "node":
		doc, err := s.current(ctx)
		if err != nil {
			return err
		}
		if _, err := s.nodesNamed(ctx, doc, c.words); err != nil {
			return err
		}
		names := c.args()
		list = slices.DeleteFunc(list, func(h happening) bool {
			return !slices.Contains(names, h.node) && !slices.Contains(names, h.object)
		})
	}
	t := newTable("When", "Node", "Object", "What", "Result")
	for _, h := range list {
		t.row(h.at.Local().Format(time.DateTime), dash(h.node), h.object, h.what, h.result)
	}
	return s.writeTable(t)
}

// primitivesWanted are the primitives of the resources that the arguments name.
func (s *Session) primitivesWanted(ctx context.Context, c *call) (map[string]bool, error) {
	doc, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for i, w := range c.words {
		t, ok := findResource(doc, historyName(w.Text))
		if !ok {
			return nil, noResource(doc, w.Text, c.at(i))
		}
		for _, p := range primitivesOf(t.element) {
			wanted[p] = true
		}
	}
	return wanted, nil
}

func runHistoryInfo(ctx context.Context, s *Session, c *call) error {
	list, err := s.happenings(ctx)
	if err != nil {
		return err
	}
	from, to := "-", "-"
	if len(list) > 0 {
		from, to = list[0].at.Local().Format(time.DateTime), list[len(list)-1].at.Local().Format(time.DateTime)
	}
	versions := 0
	for _, h := range list {
		if h.object == "configuration" {
			versions++
		}
	}
	if s.cfg.Format == "json" {
		return s.writeJSON(map[string]any{"source": s.source(), "from": from, "to": to, "events": len(list), "versions": versions})
	}
	s.printf("Source: %s\nFrom: %s\nTo: %s\nEvents: %d, of these %d versions of the configuration\n", s.source(), from, to, len(list), versions)
	return nil
}

func runHistoryShow(ctx context.Context, s *Session, c *call) error {
	h, err := s.historian(c)
	if err != nil {
		return err
	}
	doc, _, err := s.revision(ctx, h, c, 0)
	if err != nil {
		return err
	}
	sel := &selection{all: true, obscure: s.obscured()}
	if s.cfg.Format == "json" {
		return s.showJSON(doc, sel)
	}
	return s.page(grammar.Print(doc, s.printOptions(sel)))
}
