package scheduler

import (
	"fmt"
	"strings"
)

// WhyNode explains a node: its state, what the plan does with it, what runs on
// it and what comes and goes. See [Plan.WhyNode].
type WhyNode struct {
	Node  string `json:"node"`
	State string `json:"state"`
	// Action is reboot, off, on or shutdown, if the plan has one for the node.
	Action  string   `json:"action,omitempty"`
	Reasons []Reason `json:"reasons"`
	// Runs are resources that are active there, Comes and Leaves those that
	// the plan brings and takes away.
	Runs   []string `json:"runs,omitempty"`
	Comes  []string `json:"comes,omitempty"`
	Leaves []string `json:"leaves,omitempty"`
	// Fails are what failed there.
	Fails []string `json:"failures,omitempty"`
}

// WhyNode explains the node with a name; it reports false if there is none.
func (p *Plan) WhyNode(name string) (*WhyNode, bool) {
	e := p.engine
	if e == nil {
		return nil, false
	}
	n := e.findNode(name)
	if n == nil {
		return nil, false
	}
	w := &WhyNode{Node: n.name, State: e.stateWord(n)}
	for _, x := range p.Nodes() {
		if x.Node == n.name {
			w.Action, w.Reasons = x.Action, append(w.Reasons, x.Reasons...)
		}
	}
	if len(w.Reasons) == 0 {
		w.Reasons = e.stateReasons(n)
	}
	for _, r := range e.resources {
		r.eachLeaf(func(l *resource) {
			here, next := l.runsOn(n), l.assigned == n && l.nextRole > roleStopped
			name := plainName(l)
			switch {
			case l.internal:
			case here && next:
				w.Runs = append(w.Runs, name)
			case here:
				w.Runs = append(w.Runs, name)
				if stop := firstAction(l, opKey(l.id, taskStop, 0), "", n); stop != nil && stop.is(fDumped) {
					w.Leaves = append(w.Leaves, name)
				}
			case next:
				if start := firstAction(l, opKey(l.id, taskStart, 0), "", n); start != nil && start.is(fDumped) {
					w.Comes = append(w.Comes, name)
				}
			}
			for _, f := range e.failuresOf(l) {
				if f.Node == n.name {
					w.Fails = append(w.Fails, name+": "+f.Text())
				}
			}
		})
	}
	return w, true
}

// stateReasons say why a node is in its state, and what somebody can do.
func (e *engine) stateReasons(n *node) []Reason {
	one := func(code Code, text, hint string) []Reason {
		return []Reason{{Code: code, Node: n.name, Text: text, Hint: hint}}
	}
	switch {
	case n.pending:
		return one(CodePending, n.name+" has joined the cluster, but does not take part yet", "")
	case !n.online && n.guest():
		return one(CodeNoNode, fmt.Sprintf("%s, in which it runs, or its connection is not up", plainName(n.connection.launcher)), "resource why "+n.connection.launcher.id)
	case !n.online && n.remote && n.connection != nil:
		return one(CodeNoNode, "its connection "+n.connection.id+" is not up", "resource why "+n.connection.id)
	case !n.online && n.unseen:
		return one(CodeNoNode, n.name+" has not been seen since the cluster began", "")
	case !n.online:
		return one(CodeNoNode, n.name+" left the cluster cleanly, or was fenced", "start the cluster on it")
	case n.standbyFail:
		return one(CodeFailure, "a failure with on-fail=standby", "resource cleanup, once it is mended")
	case n.standby:
		return one(CodeLeaves, "its attribute standby is set: it takes no resources", "node online "+n.name)
	case n.maintenance:
		return one(CodeMaintenance, "it is in maintenance: nothing on it is touched", "node ready "+n.name)
	case e.healthColour(n) != "":
		return one(CodeNoNode, fmt.Sprintf("its health is %s (node-health-strategy is %s)", e.healthColour(n), e.opt.healthStrategy), "")
	}
	return one(CodeSettled, "it is a member and takes resources", "")
}

// Text is the explanation for people.
func (w *WhyNode) Text(st Style) string {
	var b strings.Builder
	head := w.Node + " is " + w.State
	switch w.Action {
	case "reboot", "off":
		head += ", will be fenced (" + w.Action + ")"
	case "on":
		head += ", will be unfenced"
	case "shutdown":
		head += ", will be shut down"
	}
	f := st.Good
	if w.State != "online" {
		f = st.Bad
	}
	fmt.Fprintf(&b, "%s.\n", paint(f, head))
	for _, r := range w.Reasons {
		fmt.Fprintf(&b, "  - %s.\n", r.Text)
		if r.Hint != "" {
			fmt.Fprintf(&b, "    %s\n", paint(st.Dim, "To change that: "+r.Hint))
		}
	}
	for _, l := range []struct {
		title string
		names []string
	}{{"Runs", w.Runs}, {"Leaves", w.Leaves}, {"Comes", w.Comes}} {
		for i, line := range wrap(l.names, 70) {
			title := strings.Repeat(" ", 7)
			if i == 0 {
				title = fmt.Sprintf("%-7s", l.title+":")
			}
			fmt.Fprintf(&b, "  %s %s\n", title, line)
		}
	}
	for _, f := range w.Fails {
		fmt.Fprintf(&b, "  %s\n", paint(st.Bad, f))
	}
	return b.String()
}
