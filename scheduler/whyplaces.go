package scheduler

import (
	"fmt"
	"slices"
	"strings"
)

// Why a node, and why not another one.

// places lists all nodes that could matter to r, in display order.
func (x *explainer) places(r *resource) []Place {
	possible := func(p Place) bool { return p.Possible }
	_, tried := x.e.trace.final[r]
	out := x.scored(r, tried && r.assigned != nil)
	if tried && r.assigned == nil && slices.ContainsFunc(out, possible) {
		// What forbade all nodes when one was looked for may have been taken
		// back since.
		if then := x.scored(r, true); !slices.ContainsFunc(then, possible) {
			out = then
		}
	}
	var chosen *node
	if r.nextRole != roleStopped {
		chosen = r.assigned
	}
	for i := range out {
		out[i].Text = x.placeText(r, &out[i], out, chosen)
	}
	return out
}

// scored lists nodes with the scores of now, or with those of the time when r
// was assigned.
func (x *explainer) scored(r *resource, then bool) []Place {
	e := x.e
	var out []Place
	for _, n := range e.sorted {
		s := r.allowed.get(n)
		if n.forBundle && (s == nil || s.score < 0) && !r.runsOn(n) || n.guest() && n.connection.launcher == r {
			continue
		}
		p := Place{Node: n.name, State: e.stateWord(n), Chosen: n == r.assigned && r.nextRole != roleStopped, Here: r.runsOn(n), Listed: s != nil}
		if s != nil {
			c := e.trace.at(r, n)
			if then {
				c = e.trace.decided(r, n)
			}
			p.Score = c.sum()
			p.Origin = e.origins(c, r, n)
		}
		p.Possible = s != nil && p.Score >= 0 && n.available()
		out = append(out, p)
	}
	return out
}

// banText is the text of an origin that forbids a node.
func (o *Origin) banText() string {
	if o.By == ByLocation {
		return "forbidden by " + o.Text
	}
	return o.Text
}

// banHint is what somebody can do about an origin that forbids a node to r;
// empty if it is somebody's wish.
func (o *Origin) banHint(r *resource) string {
	switch {
	case o.Value > -infinity:
	case o.By == ByLocation && strings.HasPrefix(o.Constraint, "cli-ban-"):
		return "resource clear " + plainName(r)
	case o.By == ByThreshold || o.By == ByFailure || o.By == ByProbe:
		return "mend it, then resource cleanup " + plainName(r)
	}
	return ""
}

// negativeParts is ": " and what makes a score negative.
func negativeParts(list []Origin) string {
	var parts []string
	for _, o := range list {
		if o.Value < 0 {
			parts = append(parts, scoreText(o.Value)+" "+o.Text)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

// placeText says in one sentence why r is, or is not, on a node.
func (x *explainer) placeText(r *resource, p *Place, all []Place, chosen *node) string {
	e, n := x.e, x.e.findNode(p.Node)
	switch {
	case !r.managed && p.Here:
		return "runs here, not managed"
	case p.Chosen:
		return x.chosenText(r, p, all)
	}
	var against []string
	if !n.available() {
		against = append(against, "the node is "+e.stateWord(n))
	}
	switch {
	case !p.Listed && !e.opt.symmetric:
		against = append(against, "no constraint allows it here (symmetric-cluster is false)")
	case !p.Listed:
		against = append(against, "not allowed here")
	case p.Score <= -infinity:
		for _, o := range p.Origin {
			if text := o.banText(); o.Value <= -infinity && o.By != ByNodeState && (o.By != ByParent || len(against) == 0) && !slices.Contains(against, text) {
				against = append(against, text)
			}
		}
	case p.Score < 0:
		against = append(against, "the score is negative"+negativeParts(p.Origin))
	}
	if len(against) > 0 {
		return strings.Join(against, "; ")
	}
	if chosen == nil {
		if r.managed && x.e.stopOnly(r) {
			return "possible, but it is not to run"
		}
		return "possible"
	}
	best := placeOf(all, chosen.name)
	switch {
	case best == nil || !best.Listed || !r.managed || len(r.runningOn) > 0 && x.e.stopOnly(r):
		return "possible"
	case best.Score > p.Score:
		return fmt.Sprintf("possible, %s is preferred (%s against %s)", chosen.name, scoreText(best.Score), scoreText(p.Score))
	case best.Score < p.Score:
		return "possible"
	}
	return fmt.Sprintf("as good as %s, %s", chosen.name, x.tie(r, chosen, n).text)
}

func (x *explainer) chosenText(r *resource, p *Place, all []Place) string {
	possible := 0
	var equal, better *Place
	for k := range all {
		q := &all[k]
		if !q.Possible {
			continue
		}
		possible++
		switch {
		case q.Node == p.Node:
		case q.Score == p.Score && equal == nil:
			equal = q
		case q.Score > p.Score:
			better = q
		}
	}
	switch {
	case !p.Possible:
		return "chosen although it is not fit: it is not managed"
	case possible == 1:
		return "the only node where it can run"
	case better != nil:
		return "it is kept here"
	case equal == nil:
		return "the best score"
	}
	return "as good as others, " + x.tie(r, x.e.findNode(p.Node), x.e.findNode(equal.Node)).here
}

// chosenSentence is the text of the chosen node as a sentence about it.
func chosenSentence(p *Place) string {
	switch p.Text {
	case "the best score":
		return p.Node + " has the best score"
	case "it is kept here":
		return "it stays on " + p.Node
	}
	return p.Node + " is " + p.Text
}

// tieBreak says why one of two nodes with the same score won: seen from the
// other node, and from itself.
type tieBreak struct{ text, here string }

func (x *explainer) tie(r *resource, won, lost *node) tieBreak {
	switch {
	case won == nil || lost == nil:
		return tieBreak{"which comes first", "and comes first"}
	case r.runsOn(won):
		return tieBreak{"where it runs already", "and it runs here already"}
	case x.e.opt.placement == placeBalanced && compareCapacities(won, lost) < 0:
		return tieBreak{"which had more capacity left", "and had more capacity left"}
	case strings.Compare(won.name, lost.name) < 0:
		return tieBreak{"which comes first by name and had no more resources", "and comes first by name (none had fewer resources)"}
	}
	return tieBreak{"which had fewer resources then", "and had fewer resources then"}
}

// stopOnly reports that r is told to stop, or nothing may run.
func (e *engine) stopOnly(r *resource) bool { return e.opt.stopAll || r.nextRole == roleStopped }
