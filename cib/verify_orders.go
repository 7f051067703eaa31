package cib

import (
	"cmp"
	"slices"
	"strings"
)

// event is something that happens to a resource: the begin or the end of an
// action on it. Primitives begin and end at once, containers begin before
// their members and end after them.
type event struct {
	rsc, action string
	end         bool
}

// orderGraph has an edge from each event to those that must come after it.
type orderGraph struct {
	v     *verifier
	ids   map[event]int
	names []event
	next  [][]orderEdge
}

type orderEdge struct {
	to int
	by string // the constraint, or empty for the order inside a container
}

func (g *orderGraph) node(rsc, action string, end bool) int {
	if r := g.v.byID[rsc]; r == nil || r.Name == "primitive" {
		end = false
	}
	e := event{rsc, action, end}
	if id, ok := g.ids[e]; ok {
		return id
	}
	id := len(g.names)
	g.ids[e] = id
	g.names = append(g.names, e)
	g.next = append(g.next, nil)
	if r := g.v.byID[rsc]; r != nil && r.Name != "primitive" && end {
		g.edge(g.node(rsc, action, false), id, "")
	}
	return id
}

func (g *orderGraph) edge(from, to int, by string) {
	g.next[from] = append(g.next[from], orderEdge{to, by})
}

// orderLoops finds mandatory orders that wait for each other in a circle.
func (v *verifier) orderLoops() {
	g := &orderGraph{v: v, ids: map[event]int{}}
	any := false
	for e := range v.cib.Section("constraints").Named("rsc_order") {
		any = g.constraint(e) || any
	}
	if !any {
		return
	}
	for _, r := range v.resources {
		g.containment(r)
	}
	for _, loop := range g.loops() {
		var ids, members []string
		inside := map[int]bool{}
		for _, n := range loop {
			inside[n] = true
			members = append(members, g.names[n].rsc)
		}
		for _, n := range loop {
			for _, e := range g.next[n] {
				if e.by != "" && inside[e.to] {
					ids = append(ids, e.by)
				}
			}
		}
		ids, members = sortedUnique(ids), sortedUnique(members)
		if len(ids) == 0 {
			continue
		}
		v.demandForce(ids[0], "delete one of them: "+strings.Join(ids, ", "),
			"orders form a loop, so none of %s can be started", enumerate(members))
	}
}

// constraint adds the edges of a mandatory order.
func (g *orderGraph) constraint(e *Element) bool {
	if !mandatoryOrder(e) {
		return false
	}
	if first, then := e.Get("first"), e.Get("then"); first != "" && then != "" {
		a := cmp.Or(e.Get("first-action"), "start")
		b := cmp.Or(e.Get("then-action"), a)
		g.edge(g.node(first, a, true), g.node(then, b, false), e.ID())
		return true
	}
	type setEnds struct{ in, out []int }
	var last *setEnds
	for set := range e.Named("resource_set") {
		if set = g.v.index.Resolve(set); set == nil {
			return false
		}
		action := cmp.Or(set.Get("action"), "start")
		sequential := !set.Has("sequential") || IsTrue(set.Get("sequential"))
		var s setEnds
		previous := -1
		for ref := range set.Named("resource_ref") {
			in, out := g.node(ref.ID(), action, false), g.node(ref.ID(), action, true)
			if sequential && previous >= 0 {
				g.edge(previous, in, e.ID())
				s.out = s.out[:0]
			} else {
				s.in = append(s.in, in)
			}
			s.out = append(s.out, out)
			previous = out
		}
		if last != nil && len(last.out) > 0 && len(s.in) > 0 {
			// All of one set before all of the next, through one event
			// between them so that the edges stay few.
			between := len(g.names)
			g.names = append(g.names, event{rsc: set.Child("resource_ref").ID()})
			g.next = append(g.next, nil)
			for _, out := range last.out {
				g.edge(out, between, e.ID())
			}
			for _, in := range s.in {
				g.edge(between, in, e.ID())
			}
		}
		last = &s
	}
	return true
}

func mandatoryOrder(e *Element) bool {
	if k := e.Get("kind"); k != "" {
		return k == "Mandatory"
	}
	s, err := ParseScore(cmp.Or(e.Get("score"), "INFINITY"))
	return err == nil && s != 0
}

// containment adds what follows from the structure of resources.
func (g *orderGraph) containment(r *resourceInfo) {
	for _, action := range []string{"start", "promote", "demote", "stop"} {
		if _, used := g.ids[event{r.id, action, false}]; !used && r.Name == "primitive" {
			continue
		}
		if r.Name != "primitive" {
			kids := r.kids
			if r.Name == "group" && (action == "stop" || action == "demote") {
				kids = slices.Clone(kids)
				slices.Reverse(kids)
			}
			begin, end := g.node(r.id, action, false), g.node(r.id, action, true)
			previous := -1
			for _, k := range kids {
				in, out := g.node(k.id, action, false), g.node(k.id, action, true)
				g.edge(begin, in, "")
				g.edge(out, end, "")
				if r.Name == "group" && previous >= 0 {
					g.edge(previous, in, "")
				}
				previous = out
			}
		}
	}
	follows := func(a, b string) {
		_, okA := g.ids[event{r.id, a, r.Name != "primitive"}]
		_, okB := g.ids[event{r.id, b, false}]
		if okA && okB {
			g.edge(g.node(r.id, a, true), g.node(r.id, b, false), "")
		}
	}
	follows("start", "promote")
	follows("demote", "stop")
}

// loops returns the groups of events that wait for each other (the strongly
// connected components of more than one event, or one that waits for itself),
// by the algorithm of Tarjan, without recursion.
func (g *orderGraph) loops() [][]int {
	n := len(g.names)
	number, low := make([]int, n), make([]int, n)
	onStack := make([]bool, n)
	var stack []int
	var out [][]int
	type frame struct{ node, edge int }
	count := 0
	for root := range n {
		if number[root] != 0 {
			continue
		}
		work := []frame{{root, 0}}
		for len(work) > 0 {
			f := &work[len(work)-1]
			if f.edge == 0 && number[f.node] == 0 {
				count++
				number[f.node], low[f.node] = count, count
				stack = append(stack, f.node)
				onStack[f.node] = true
			}
			if f.edge < len(g.next[f.node]) {
				to := g.next[f.node][f.edge].to
				f.edge++
				if number[to] == 0 {
					work = append(work, frame{to, 0})
				} else if onStack[to] {
					low[f.node] = min(low[f.node], number[to])
				}
				continue
			}
			node := f.node
			work = work[:len(work)-1]
			if len(work) > 0 {
				p := work[len(work)-1].node
				low[p] = min(low[p], low[node])
			}
			if low[node] != number[node] {
				continue
			}
			var members []int
			for {
				m := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				onStack[m] = false
				members = append(members, m)
				if m == node {
					break
				}
			}
			if len(members) > 1 || slices.ContainsFunc(g.next[node], func(e orderEdge) bool { return e.to == node }) {
				out = append(out, members)
			}
		}
	}
	return out
}
