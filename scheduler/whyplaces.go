package scheduler

import (
	"fmt"
	"slices"
	"strings"
)

// Why a node, and why not another one.

// places lists all nodes that could matter to r, in display order.
func (x *explainer) places(r *resource) []Place {
	e := x.e
	var out []Place
	chosen := r.assigned
	if r.nextRole == roleStopped {
		chosen = nil
	}
	for _, n := range e.sorted {
		s := r.allowed.get(n)
		if n.forBundle && (s == nil || s.score < 0) && !r.runsOn(n) || n.guest() && n.connection.launcher == r {
			continue
		}
		p := Place{Node: n.name, State: e.stateWord(n), Chosen: n == chosen, Here: r.runsOn(n), Listed: s != nil}
		if s != nil {
			p.Score = int(s.score)
			p.Origin = e.origins(e.trace.at(r, n), r, n)
		}
		p.Possible = s != nil && s.score >= 0 && n.available()
		out = append(out, p)
	}
	for i := range out {
		out[i].Text = x.placeText(r, &out[i], out, chosen)
	}
	return out
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
			if o.Value <= -infinity && o.By != ByNodeState && !slices.Contains(against, o.Text) {
				against = append(against, o.Text)
			}
		}
	case p.Score < 0:
		against = append(against, "the score is negative")
	}
	if len(against) > 0 {
		return strings.Join(against, "; ")
	}
	if chosen == nil {
		if r.nextRole == roleStopped {
			return "possible, but it is not to run"
		}
		return "possible"
	}
	s := r.allowed.get(chosen)
	switch {
	case s == nil || !r.managed:
		return "possible"
	case int(s.score) > p.Score:
		return fmt.Sprintf("possible, %s is preferred (%s against %s)", chosen.name, scoreText(int(s.score)), scoreText(p.Score))
	case int(s.score) < p.Score:
		return "possible"
	}
	return fmt.Sprintf("as good as %s, %s", chosen.name, x.tieText(r, chosen, n))
}

func (x *explainer) chosenText(r *resource, p *Place, all []Place) string {
	possible, best := 0, true
	for _, q := range all {
		if q.Possible {
			possible++
			if q.Node != p.Node && q.Score >= p.Score {
				best = false
			}
		}
	}
	switch {
	case !p.Possible:
		return "chosen although it is not fit: it is not managed"
	case possible == 1:
		return "the only node where it can run"
	case best:
		return "the best score"
	}
	for _, q := range all {
		if q.Possible && q.Node != p.Node && q.Score == p.Score {
			return "as good as others, " + x.tieText(r, x.e.findNode(p.Node), x.e.findNode(q.Node))
		}
	}
	return "it is kept here"
}

// tieText says why a node won over another one with the same score.
func (x *explainer) tieText(r *resource, won, lost *node) string {
	switch {
	case won == nil || lost == nil:
		return "which comes first"
	case r.runsOn(won):
		return "where it is already"
	case x.e.opt.placement == placeBalanced && compareCapacities(won, lost) < 0:
		return "which had more capacity left"
	case strings.Compare(won.name, lost.name) < 0:
		return "which had no more resources and comes first by name"
	}
	return "which had fewer resources at that time"
}
