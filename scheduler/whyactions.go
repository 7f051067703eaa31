package scheduler

import (
	"fmt"
	"slices"
	"strings"
)

// Why something is done, is not done, or waits.

// troubleReasons are what is wrong with something that is active.
func (x *explainer) troubleReasons(r *resource) []Reason {
	var out []Reason
	if len(r.runningOn) > 1 && r.partialTarget == nil {
		out = append(out, Reason{Code: CodeMultiple, Text: fmt.Sprintf("it is active on %s at once", nodeNames(r.runningOn))})
	}
	var fences []Reason
	own := false // its own failure is why its node is fenced
	for _, n := range r.runningOn {
		if n.unclean {
			f := x.e.fenceReason(n)
			fences, own = append(fences, f), own || f.Resource == plainName(r) && f.Code == CodeFailure
		}
	}
	if r.failed && !own {
		out = append(out, x.failedReason(r)...)
	}
	out = append(out, fences...)
	return append(out, x.expiredReasons(r)...)
}

// runningReasons are for what is active now.
func (x *explainer) runningReasons(r *resource, i *Instance) []Reason {
	var out []Reason
	current, next := x.e.currentNode(r), r.assigned
	switch {
	case next == nil || r.nextRole == roleStopped || i.Verb == "Stop":
		return nil
	case current != next && current != nil:
		out = append(out, x.leaveReason(r, current, next, i))
		return append(out, x.placeReason(r, next, i)...)
	}
	switch i.Verb {
	case "Restart", "Recover", "Reload", "Re-promote":
		if !r.failed {
			out = append(out, x.restartReasons(r)...)
		}
	case "Stop":
	case "":
		out = append(out, x.placeReason(r, next, i)...)
	}
	return out
}

// expiredReasons tell of failures that are forgotten now.
func (x *explainer) expiredReasons(r *resource) []Reason {
	var out []Reason
	for _, a := range r.actions {
		if a.task == taskClearFailcount && a.is(fDumped) && a.node != nil && a.reason == "it expired" {
			out = append(out, Reason{Code: CodeFailure, Node: a.node.name,
				Text: fmt.Sprintf("its failure on %s is older than its failure-timeout of %s and is forgotten", a.node.name, shortDuration(r.failureTimeout))})
		}
	}
	return out
}

// failedReason is the last failure of r where it is.
func (x *explainer) failedReason(r *resource) []Reason {
	list := x.e.failuresOf(r)
	for _, f := range list {
		if n := x.e.findNode(f.Node); n != nil && r.runsOn(n) {
			return []Reason{{Code: CodeFailure, Node: f.Node, Text: fmt.Sprintf("%s failed on %s: %s", f.Operation, f.Node, f.words())}}
		}
	}
	for _, n := range r.runningOn {
		if n.guest() {
			return []Reason{{Code: CodeFailure, Node: n.name, Text: "its guest node " + n.name + " is lost"}}
		}
	}
	for _, l := range r.launched {
		for _, f := range x.e.failuresOf(l) {
			return []Reason{{Code: CodeFailure, Node: f.Node, Resource: l.id, Text: fmt.Sprintf("%s of %s in it failed: %s", f.Operation, plainName(l), f.words())}}
		}
	}
	return []Reason{{Code: CodeFailure, Text: "it has failed"}}
}

// leaveReason says why r does not stay where it is.
func (x *explainer) leaveReason(r *resource, current, next *node, i *Instance) Reason {
	out := Reason{Code: CodeLeaves, Node: current.name}
	p := placeOf(i.Places, current.name)
	switch {
	case p == nil:
		out.Text = "it may not stay on " + current.name
	case p.Possible:
		q := placeOf(i.Places, next.name)
		if q != nil && q.Score > p.Score {
			out.Text = fmt.Sprintf("it leaves %s, because %s has the better score (%s against %s)", current.name, next.name, scoreText(q.Score), scoreText(p.Score))
		} else {
			out.Text = fmt.Sprintf("it leaves %s, because %s was chosen", current.name, next.name)
		}
		if r.stickiness == 0 {
			out.Text += "; its resource-stickiness is 0, so that it is not kept where it runs"
		}
	default:
		out.Text = fmt.Sprintf("it leaves %s: %s", current.name, p.Text)
		for _, o := range p.Origin {
			if o.Value > -infinity {
				continue
			}
			if out.Constraint == "" {
				out.Constraint = o.Constraint
			}
			if out.Hint == "" && current.available() {
				out.Hint = o.banHint(r)
			}
		}
	}
	return out
}

func placeOf(list []Place, name string) *Place {
	for i := range list {
		if list[i].Node == name {
			return &list[i]
		}
	}
	return nil
}

// placeReason says why r is on (or goes to) its node.
func (x *explainer) placeReason(r *resource, n *node, i *Instance) []Reason {
	p := placeOf(i.Places, n.name)
	if p == nil {
		return nil
	}
	out := Reason{Code: CodePlace, Node: n.name, Text: chosenSentence(p)}
	for _, o := range p.Origin {
		if o.Constraint != "" && o.Value > 0 {
			out.Constraint = o.Constraint
		}
	}
	return []Reason{out}
}

func signed(v int) string {
	if v > 0 {
		return "+" + scoreText(v)
	}
	return scoreText(v)
}

// restartReasons say why r restarts where it is.
func (x *explainer) restartReasons(r *resource) []Reason {
	e := x.e
	var out []Reason
	for _, task := range []string{taskReloadAgent, taskStart, taskStop, taskDemote, taskPromote} {
		for _, a := range r.actions {
			if a.task != task || a.optional() || a.reason == "" {
				continue
			}
			out = append(out, e.reasonOf(a))
		}
		if len(out) > 0 {
			return out
		}
	}
	if r.agentChanged {
		return []Reason{{Code: CodeDefinition, Text: "it runs with another agent than " + agentText(r) + ", which is configured now"}}
	}
	for _, l := range r.launched {
		for _, f := range e.failuresOf(l) {
			out = append(out, Reason{Code: CodeFailure, Node: f.Node, Resource: plainName(l), Text: fmt.Sprintf("%s of %s, which runs in it, failed: %s", f.Operation, plainName(l), f.words())})
		}
	}
	if len(out) > 0 {
		return out
	}
	// A required start or stop without words of its own follows what is before it.
	for _, a := range r.actions {
		if (a.task == taskStart || a.task == taskStop) && a.required() {
			for _, rel := range a.before {
				if o := rel.act; o.required() && o.rsc != nil && o.rsc != r && !o.rsc.isAncestor(r) && !r.isAncestor(o.rsc) {
					text, id := e.orderBetween(o.rsc, r)
					out = append(out, Reason{Code: CodeDependency, Resource: plainName(o.rsc), Constraint: id,
						Text: fmt.Sprintf("it follows the %s of %s%s", o.task, plainName(o.rsc), text)})
				}
			}
		}
	}
	if len(out) == 0 {
		out = append(out, Reason{Code: CodeDependency, Text: "what comes before and after it demands that it is stopped and started again"})
	}
	return distinct(out)
}

// reasonOf puts the reason of an action into words for administrators.
func (e *engine) reasonOf(a *action) Reason {
	text := a.reason
	out := Reason{Code: CodeOther, Text: text}
	words := strings.Fields(text)
	switch {
	case text == "resource definition change":
		out.Code, out.Text = CodeDefinition, "its definition (parameters, agent or operation) is no longer the one it was started with"
	case text == "no quorum":
		out.Code, out.Text = CodeQuorum, "there is no quorum (no-quorum-policy="+e.quorumWord()+")"
	case text == "quorum freeze":
		out.Code, out.Text = CodeQuorum, "there is no quorum, and no-quorum-policy=freeze starts nothing new"
	case text == "node availability":
		out.Code, out.Text = CodeNoNode, "no node can take it"
	case text == "being multiply active":
		out.Code, out.Text = CodeMultiple, "it is active more than once"
	case strings.HasPrefix(text, "colocation with "):
		out.Code, out.Resource = CodeColocation, strings.TrimPrefix(text, "colocation with ")
		out.Text = fmt.Sprintf("it must be with %s, which cannot start", out.Resource)
	case len(words) == 3 && (words[0] == "required" || words[0] == "unrunnable" || words[0] == "unmigrateable"):
		e.dependencyReason(&out, a, words)
	}
	return out
}

func (e *engine) quorumWord() string {
	switch e.opt.noQuorum {
	case quorumFreeze:
		return "freeze"
	case quorumDemote:
		return "demote"
	case quorumFence:
		return "fence"
	case quorumIgnore:
		return "ignore"
	}
	return "stop"
}

// dependencyReason is "required mysql start" and the like.
func (e *engine) dependencyReason(out *Reason, a *action, words []string) {
	other, task := words[1], words[2]
	r := e.rscByID[other]
	out.Code, out.Resource = CodeDependency, other
	name, order := other, ""
	if r != nil {
		name = plainName(r)
		order, out.Constraint = e.orderBetween(r, a.rsc)
	}
	if r != nil && (r.isAncestor(a.rsc) || a.rsc.isAncestor(r)) {
		order = ""
	}
	switch words[0] {
	case "required":
		out.Text = fmt.Sprintf("it follows the %s of %s%s", taskNoun(task), name, order)
	case "unrunnable":
		out.Code = CodeOrder
		out.Text = fmt.Sprintf("it needs the %s of %s first, which is not possible%s", taskNoun(task), name, order)
	default:
		out.Text = fmt.Sprintf("it cannot move alive, because %s cannot%s", name, order)
	}
	out.Resource = name
}

func taskNoun(task string) string {
	switch task {
	case taskRunning:
		return taskStart
	case taskStopped:
		return taskStop
	case taskPromoted:
		return "promotion"
	case taskPromote:
		return "promotion"
	case taskDemoted, taskDemote:
		return "demotion"
	}
	return task
}

// blockedReasons say why a start (or promotion) that is wanted cannot run.
func (x *explainer) blockedReasons(a *action) []Reason {
	e := x.e
	n := a.node
	var out []Reason
	switch {
	case n != nil && n.pending:
		out = append(out, Reason{Code: CodePending, Node: n.name, Text: n.name + " is still joining the cluster"})
	case n != nil && !n.online && !n.guest():
		out = append(out, Reason{Code: CodeNoNode, Node: n.name, Text: n.name + " is " + e.stateWord(n)})
	}
	if strings.Contains(a.reason, "quorum") {
		return append(out, e.reasonOf(a))
	}
	out = append(out, x.blockers(a, nil)...)
	if len(out) == 0 && a.reason != "" {
		out = append(out, e.reasonOf(a))
	}
	return distinct(out)
}

// blockers are the actions before a that cannot run, and why.
func (x *explainer) blockers(a *action, passed []*action) []Reason {
	e := x.e
	if slices.Contains(passed, a) || len(passed) > 12 {
		return nil
	}
	passed = append(passed, a)
	var out []Reason
	for _, rel := range a.before {
		b := rel.act
		if b.runnable() || rel.flags&(oUnrunnableFirstBlocks|oFirstImpliesThen|oMinRunnable|oAsymmetric|oNestedRemoteProbe|oRestart) == 0 {
			continue
		}
		switch {
		case b.task == taskStonith && b.node != nil:
			out = append(out, Reason{Code: CodeFencing, Node: b.node.name, Text: fmt.Sprintf("%s must be fenced first, and cannot be: %s", b.node.name, e.cannotFence(b.node))})
		case b.rsc == nil || b.is(fPseudo) && (a.rsc == nil || b.rsc.isAncestor(a.rsc) || len(b.rsc.children) > 0 && len(b.before) > 0 && b.rsc.isAncestor(a.rsc)):
			out = append(out, x.blockers(b, passed)...)
		case b.rsc == a.rsc:
			if b.task == taskStop && b.node != nil {
				out = append(out, Reason{Code: CodeOrder, Node: b.node.name, Text: fmt.Sprintf("it must be stopped on %s first, which is not possible: the node is %s", b.node.name, e.stateWord(b.node))})
			}
		default:
			order, id := "", ""
			if a.rsc != nil {
				order, id = e.orderBetween(b.rsc, a.rsc)
			}
			text := fmt.Sprintf("it needs the %s of %s first%s", taskNoun(b.task), plainName(b.rsc), order)
			if why := x.rootReason(b.rsc); why != "" && !x.brief {
				text += "; " + why
			}
			out = append(out, Reason{Code: CodeOrder, Resource: plainName(b.rsc), Constraint: id, Text: text})
		}
	}
	if a.rsc != nil && strings.HasPrefix(a.reason, "colocation with ") {
		because := e.reasonOf(a)
		if r := e.rscByID[because.Resource]; r != nil {
			because.Resource = plainName(r)
			because.Text += x.becauseOf(r)
		}
		out = append(out, because)
	}
	return out
}

// startReasons are for what is to be started.
func (x *explainer) startReasons(r *resource, i *Instance, blocked bool) []Reason {
	if blocked {
		return nil
	}
	return x.placeReason(r, r.assigned, i)
}

// promotionReasons say why an instance is promoted, or is not.
func (x *explainer) promotionReasons(r *resource, i *Instance) []Reason {
	e := x.e
	clone := r.top(false)
	if !clone.promotable || r.assigned == nil || clone.clone == nil || r.nextRole == roleStopped {
		return nil
	}
	inst := r
	for inst.parent != nil && inst.parent != clone {
		inst = inst.parent
	}
	n := r.assigned.name
	score := scoreText(inst.sortIndex)
	if r.nextRole == rolePromoted {
		why := Reason{Code: CodePromotion, Node: n, Text: fmt.Sprintf("promoted on %s, where the promotion score is best (%s)", n, score)}
		if sum := x.promotionSum(inst); sum != "" {
			why.Text = fmt.Sprintf("promoted on %s, where the promotion score is best: %s = %s", n, score, sum)
		}
		if p := firstAction(r, opKey(r.id, taskPromote, 0), "", r.assigned); p != nil && !p.runnable() {
			out := x.blockedReasons(p)
			for j := range out {
				out[j].Text = "it is not promoted: " + out[j].Text
			}
			return out
		}
		return []Reason{why}
	}
	if v, ok := r.meta.get("target-role"); ok {
		if want, ok := parseRole(v); ok && want == roleUnpromoted {
			return []Reason{{Code: CodeTargetRole, Text: fmt.Sprintf("it is not promoted: target-role=%s (%s)", v, e.metaSource(r, "target-role")), Hint: "resource promote " + plainName(clone)}}
		}
	}
	for _, t := range clone.tickets {
		if t.role == rolePromoted && (!t.ticket.granted || t.ticket.standby) {
			return []Reason{{Code: CodePromotion, Constraint: t.id, Hint: "site ticket grant " + t.ticket.id,
				Text: fmt.Sprintf("it is not promoted: ticket %s is not granted (%s)", t.ticket.id, t.id)}}
		}
	}
	if inst.sortIndex < 0 {
		text := "its promotion score is negative (" + score + ")"
		if inst.sortIndex == -1 {
			text = "its agent has set no promotion score there"
		} else if sum := x.promotionSum(inst); sum != "" {
			text = fmt.Sprintf("its promotion score is %s = %s", score, sum)
		}
		return []Reason{{Code: CodePromotion, Node: n, Text: fmt.Sprintf("it is not promoted on %s: %s", n, text)}}
	}
	if r.role == rolePromoted && !e.quorate && e.opt.noQuorum == quorumDemote {
		return []Reason{{Code: CodeQuorum, Node: n, Text: "it is demoted: there is no quorum, and no-quorum-policy is demote"}}
	}
	var winners []string
	for _, c := range clone.children {
		if stateOf(c, false) == rolePromoted {
			if at := e.locationOf(c, false); at != nil {
				winners = append(winners, fmt.Sprintf("%s (promotion score %s)", at.name, scoreText(c.sortIndex)))
			}
		}
	}
	if len(winners) == 0 {
		why := Reason{Code: CodePromotion, Node: n, Text: "it is not promoted on " + n + ", although its promotion score there is " + score}
		for _, m := range inst.children {
			if e.promotionNode(m) == nil {
				why.Resource = plainName(m)
				why.Text += fmt.Sprintf(": %s, which is promoted with it, cannot be", why.Resource)
				break
			}
		}
		return []Reason{why}
	}
	return []Reason{{Code: CodePromotion, Node: n, Text: fmt.Sprintf("it is not promoted on %s, promotion score %s: promoted is %s, and promoted-max is %d",
		n, score, strings.Join(winners, ", "), clone.clone.promotedMax)}}
}

// promotionSum is what a promotion score consists of.
func (x *explainer) promotionSum(inst *resource) string {
	var parts []string
	for _, o := range x.e.origins(x.e.trace.promotion(x.e, inst), inst, inst.assigned) {
		if o.Value != 0 && o.By != ByRole {
			parts = append(parts, signed(o.Value)+" "+o.Text)
		}
	}
	return strings.Join(parts, ", ")
}
