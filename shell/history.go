package shell

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gcrm/cib"
	"gcrm/grammar"
)

// The functions here read and edit what the cluster remembers of resources:
// operation history and fail counts in the status section.

// historyName is the name under which a resource's history is kept: anonymous
// clones share the name of their child, unique ones have :N.
func historyName(id string) string {
	base, n, ok := strings.Cut(id, ":")
	if _, err := strconv.Atoi(n); ok && err == nil {
		return base
	}
	return id
}

// primitivesOf lists the primitives of a resource, itself if it is one.
func primitivesOf(e *cib.Element) []string {
	if e.Name == "primitive" {
		return []string{e.ID()}
	}
	var out []string
	for m := range cib.Members(e) {
		out = append(out, primitivesOf(m)...)
	}
	return out
}

// historyScope is the part of the history that words name, [RESOURCE [NODE...]]: the
// primitives (nil is all) and the nodes.
func (s *Session) historyScope(ctx context.Context, doc *cib.CIB, words []grammar.Word) (names []string, nodes []cib.Node, err error) {
	if len(words) > 0 {
		t, ok := findResource(doc, historyName(words[0].Text))
		if !ok {
			return nil, nil, noResource(doc, words[0].Text, words[0].Pos)
		}
		names, words = primitivesOf(t.element), words[1:]
	}
	nodes, err = s.nodesOrAll(ctx, doc, words)
	return names, nodes, err
}

// runCleanup forgets the history of resources: cleanup what failed, refresh
// everything.
func runCleanup(ctx context.Context, s *Session, c *call) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	failedOnly := c.verb.Name == "cleanup"
	names, nodes, err := s.historyScope(ctx, doc, c.words)
	if err != nil {
		return err
	}
	var edits []cib.StatusEdit
	cleaned := 0
	for _, n := range nodes {
		state := doc.NodeState(n.ID)
		if state == nil {
			continue
		}
		for r := range state.Child("lrm").Child("lrm_resources").Named("lrm_resource") {
			if names != nil && !slices.Contains(names, historyName(r.ID())) {
				continue
			}
			counts := failCountNames(state, historyName(r.ID()))
			if failedOnly && len(counts) == 0 && !hasFailure(r) {
				continue
			}
			for _, name := range counts {
				edits = append(edits, cib.StatusEdit{Attribute: &cib.AttributeEdit{Node: n.ID, Name: name, Delete: true}})
			}
			edits = append(edits, cib.StatusEdit{Forget: &cib.ForgetEdit{Node: n.ID, Resource: r.ID()}})
			cleaned++
			s.msg.info("Cleaned up %s on %s", r.ID(), n.Uname)
		}
	}
	if cleaned == 0 {
		what := "no failures"
		if !failedOnly {
			what = "no history"
		}
		s.msg.info("there is %s to forget", what)
		return nil
	}
	if err := s.changeStatus(ctx, edits); err != nil {
		return err
	}
	return s.waitIfAsked(ctx)
}

// failCountNames lists the transient attributes that count failures of a
// resource on a node.
func failCountNames(state *cib.Element, resource string) []string {
	var out []string
	for set := range state.Child("transient_attributes").Named("instance_attributes") {
		for p := range set.Named("nvpair") {
			name := p.Get("name")
			for _, prefix := range []string{"fail-count-", "last-failure-"} {
				if rest, ok := strings.CutPrefix(name, prefix); ok && failCountOf(rest) == resource {
					out = append(out, name)
				}
			}
		}
	}
	return out
}

// failCountOf takes the resource out of RESOURCE#OPERATION_INTERVAL, the form
// of fail count names, or of the older form without operation.
func failCountOf(s string) string {
	s, _, _ = strings.Cut(s, "#")
	return historyName(s)
}

// hasFailure reports whether an entry of a history tells of a failure.
func hasFailure(r *cib.Element) bool {
	for op := range r.Named("lrm_rsc_op") {
		rc, status := op.Get("rc-code"), op.Get("op-status")
		expected := "0"
		if p := strings.Split(op.Get("transition-key"), ":"); len(p) == 4 {
			expected = p[2]
		}
		if strings.Contains(op.ID(), "_last_failure_") || status != "0" && status != "-1" && status != "" {
			return true
		}
		if status == "0" && rc != expected && !(op.Get("operation") == "monitor" && op.Get("interval") == "0" && (rc == "7" || rc == "0" || rc == "8")) {
			return true
		}
	}
	return false
}

func runFailcount(ctx context.Context, s *Session, c *call) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	id := c.arg(0)
	t, ok := findResource(doc, historyName(id))
	if !ok {
		return noResource(doc, id, c.at(0))
	}
	nodes, err := s.nodesNamed(ctx, doc, c.words[2:3])
	if err != nil {
		return err
	}
	n := nodes[0]
	switch strings.ToLower(c.arg(1)) {
	case "show":
		total := 0
		for _, p := range primitivesOf(t.element) {
			total = cib.AddScores(total, failCount(doc, n.ID, p))
		}
		if s.cfg.Format == "json" {
			return s.writeJSON(map[string]any{"resource": id, "node": n.Uname, "fail_count": cib.FormatScore(total)})
		}
		s.printf("scope=status  name=fail-count-%s value=%s\n", id, cib.FormatScore(total))
		return nil
	case "delete":
		state := doc.NodeState(n.ID)
		var edits []cib.StatusEdit
		if state != nil {
			for _, p := range primitivesOf(t.element) {
				for _, name := range failCountNames(state, p) {
					edits = append(edits, cib.StatusEdit{Attribute: &cib.AttributeEdit{Node: n.ID, Name: name, Delete: true}})
				}
			}
		}
		return s.changeStatus(ctx, edits)
	}
	value := c.arg(3)
	if _, err := cib.ParseScore(value); err != nil {
		return problemf("%s: %v", c.path, err).at(c.at(3))
	}
	var edits []cib.StatusEdit
	for _, p := range primitivesOf(t.element) {
		edits = append(edits, cib.StatusEdit{Attribute: &cib.AttributeEdit{Node: n.ID, Name: "fail-count-" + p + "#monitor_0", Value: value}})
	}
	return s.changeStatus(ctx, edits)
}

// failCount adds up the fail counts of a resource on a node.
func failCount(doc *cib.CIB, nodeID, resource string) int {
	total := 0
	state := doc.NodeState(nodeID)
	if state == nil {
		return 0
	}
	for set := range state.Child("transient_attributes").Named("instance_attributes") {
		for p := range set.Named("nvpair") {
			if rest, ok := strings.CutPrefix(p.Get("name"), "fail-count-"); ok && failCountOf(rest) == resource {
				if n, err := cib.ParseScore(p.Get("value")); err == nil {
					total = cib.AddScores(total, n)
				}
			}
		}
	}
	return total
}

// runOperations lists the history of operations, newest last.
func runOperations(ctx context.Context, s *Session, c *call) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	names, nodes, err := s.historyScope(ctx, doc, c.words)
	if err != nil {
		return err
	}
	t := newTable("Resource", "Node", "Operation", "Interval", "Call", "Result", "Duration", "At")
	for _, n := range nodes {
		state := doc.NodeState(n.ID)
		if state == nil {
			continue
		}
		for r := range state.Child("lrm").Child("lrm_resources").Named("lrm_resource") {
			if names != nil && !slices.Contains(names, historyName(r.ID())) {
				continue
			}
			ops := slices.Collect(r.Named("lrm_rsc_op"))
			slices.SortStableFunc(ops, func(a, b *cib.Element) int { return atoi(a.Get("call-id")) - atoi(b.Get("call-id")) })
			for _, op := range ops {
				t.row(r.ID(), n.Uname, op.Get("operation"), millis(op.Get("interval")), op.Get("call-id"),
					resultText(op), millis(op.Get("exec-time")), clockTime(op.Get("last-rc-change")))
			}
		}
	}
	return s.writeTable(t)
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// millis writes a number of milliseconds as people do.
func millis(ms string) string {
	n, err := strconv.ParseInt(ms, 10, 64)
	switch {
	case err != nil:
		return "-"
	case n == 0:
		return "0s"
	case n < 1000:
		return fmt.Sprintf("%dms", n)
	case n%1000 != 0 && n < 60000:
		return fmt.Sprintf("%.3fs", float64(n)/1000)
	case n < 60000:
		return fmt.Sprintf("%ds", n/1000)
	case n%60000 == 0:
		return fmt.Sprintf("%dm", n/60000)
	}
	return fmt.Sprintf("%dm%ds", n/60000, n%60000/1000)
}

// runRestart stops resources, waits, and starts them again.
func runRestart(ctx context.Context, s *Session, c *call) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	if s.changed() {
		return problemf("%s: there are uncommitted changes", c.path).hinting("commit them first")
	}
	type old struct {
		id, value string
		had       bool
		hadSet    bool // it had meta attributes at all
	}
	var before []old
	for _, w := range expandTags(doc, c) {
		t, ok := findResource(doc, w.Text)
		if !ok {
			return noResource(doc, w.Text, w.Pos)
		}
		e := holder(doc, t)
		v, had := pairValue(e, "meta_attributes", "target-role")
		if v == "Stopped" {
			return problemf("%s is stopped by its target-role", w.Text).at(w.Pos).hinting("use start")
		}
		before = append(before, old{e.ID(), v, had, e.Child("meta_attributes") != nil})
	}
	if err := s.setMeta(ctx, c, "target-role", "Stopped"); err != nil {
		return err
	}
	s.msg.info("stopping %s", strings.Join(c.args(), " "))
	if err := s.settle(ctx); err != nil {
		return fmt.Errorf("restart: %w; it is left stopped", err)
	}
	err = s.change(ctx, c, func(work *cib.CIB) error {
		for _, o := range before {
			t, ok := findResource(work, o.id)
			if !ok {
				continue
			}
			if o.had {
				setPair(work, t.element, "meta_attributes", o.id, "target-role", o.value)
			} else {
				deletePair(t.element, "meta_attributes", "target-role")
				// The set that was made to hold it goes again.
				if set := t.element.Child("meta_attributes"); !o.hadSet && set != nil && len(set.Children) == 0 {
					t.element.Remove(set)
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.msg.info("starting %s", strings.Join(c.args(), " "))
	return s.settle(ctx)
}

// runTrace switches tracing of an agent on or off, by parameters of its
// operations.
func runTrace(ctx context.Context, s *Session, c *call) error {
	on := c.verb.Name == "trace"
	id, only, interval := c.arg(0), c.arg(1), c.arg(2)
	return s.change(ctx, c, func(work *cib.CIB) error {
		t, ok := findResource(work, id)
		if !ok {
			return noResource(work, id, c.at(0))
		}
		ids := idsOf(work)
		for _, pid := range primitivesOf(t.element) {
			p, ok := findResource(work, pid)
			if !ok {
				continue
			}
			ops := p.element.Child("operations")
			if on {
				ops = p.element.Ensure("operations")
				traceOps(ops, ids, pid, only)
			}
			for op := range ops.Named("op") {
				if only != "" && op.Get("name") != only || interval != "" && !sameInterval(op.Get("interval"), interval) {
					continue
				}
				if on {
					setPair(work, op, "instance_attributes", op.ID(), "trace_ra", "1")
				} else if deletePair(op, "instance_attributes", "trace_ra") {
					deletePair(op, "instance_attributes", "trace_dir")
					dropEmptySets(op)
				}
			}
			if !on && ops != nil {
				dropTraceOps(ops, pid)
			}
		}
		return nil
	})
}

// traceOps adds the operations that a trace needs in order to have a place:
// before the others, since that is where they are done.
func traceOps(ops *cib.Element, ids idSet, primitive, only string) {
	var add []*cib.Element
	for _, name := range []string{"start", "stop"} {
		if (only == "" || only == name) && !hasOp(ops, name) {
			add = append(add, cib.NewElement("op", "name", name, "interval", "0s", "id", ids.fresh(primitive+"-"+name+"-0s")))
		}
	}
	ops.Children = append(add, ops.Children...)
}

// dropTraceOps removes operations that say nothing but that there is one: start
// and stop as traceOps makes them.
func dropTraceOps(ops *cib.Element, primitive string) {
	ops.Children = slices.DeleteFunc(ops.Children, func(op *cib.Element) bool {
		name := op.Get("name")
		return op.Name == "op" && (name == "start" || name == "stop") && len(op.Attrs) == 3 && len(op.Children) == 0 &&
			op.ID() == primitive+"-"+name+"-0s" && op.Get("interval") == "0s"
	})
}

func hasOp(ops *cib.Element, name string) bool {
	for op := range ops.Named("op") {
		if op.Get("name") == name {
			return true
		}
	}
	return false
}

func dropEmptySets(e *cib.Element) {
	e.Children = slices.DeleteFunc(e.Children, func(c *cib.Element) bool {
		return c.Name == "instance_attributes" && len(c.Children) == 0
	})
}

// resultText tells how an operation ended.
func resultText(op *cib.Element) string {
	if status := op.Get("op-status"); status != "0" {
		return statusWord(status)
	}
	return rcText(op.Get("rc-code"))
}

// rcText is the text of an agent's exit code.
func rcText(code string) string {
	switch code {
	case "0":
		return "ok"
	case "1":
		return "error"
	case "2":
		return "invalid parameter"
	case "3":
		return "unimplemented feature"
	case "4":
		return "insufficient privileges"
	case "5":
		return "not installed"
	case "6":
		return "not configured"
	case "7":
		return "not running"
	case "8":
		return "promoted"
	case "9":
		return "failed promoted"
	case "190":
		return "degraded"
	case "191":
		return "degraded promoted"
	case "193":
		return "unknown"
	}
	return "exit code " + code
}

// statusWord is the text of an execution status.
func statusWord(status string) string {
	switch status {
	case "-1":
		return "Pending"
	case "0":
		return "Done"
	case "1":
		return "Cancelled"
	case "2":
		return "Timed out"
	case "3":
		return "Unsupported"
	case "4":
		return "Error"
	case "5":
		return "Hard error"
	case "6":
		return "Fatal error"
	case "7":
		return "Not installed"
	case "8":
		return "Internal communication failure"
	case "9":
		return "Cannot execute now"
	case "10":
		return "No fence device"
	case "11":
		return "CIB secrets unavailable"
	}
	return "Unknown"
}
