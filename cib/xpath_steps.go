package cib

import "slices"

// step is one step of a location path.
type step struct {
	axis, test string // test: a name, *, or node()
	predicates []xpathExpr
}

type location struct {
	absolute bool
	start    xpathExpr // what the path starts from, nil for the context
	steps    []step
}

func (l location) eval(c *xpathContext) any {
	from := nodeSet{c.node}
	switch {
	case l.start != nil:
		from, _ = l.start.eval(c).(nodeSet)
	case l.absolute:
		from = nodeSet{{at: 0}}
	}
	for _, s := range l.steps {
		var next nodeSet
		seen := map[xnode]bool{}
		for _, n := range from {
			for _, m := range s.take(c.doc, n) {
				if !seen[m] {
					seen[m] = true
					next = append(next, m)
				}
			}
		}
		from = next
	}
	return from
}

// take returns what a step selects from one node.
func (s step) take(d *xpathDoc, n xnode) nodeSet {
	var out nodeSet
	add := func(i int) {
		if i > 0 && (s.test == "*" || s.test == "node()" || d.elements[i].Name == s.test) || i == 0 && s.test == "node()" {
			out = append(out, xnode{at: i})
		}
	}
	element := n.attr == ""
	switch s.axis {
	case "attribute":
		if element && n.at > 0 {
			for _, a := range d.elements[n.at].Attrs {
				if s.test == "*" || s.test == "node()" || s.test == a.Name {
					out = append(out, xnode{n.at, "@" + a.Name})
				}
			}
		}
	case "self":
		switch {
		case element:
			add(n.at)
		case s.test == "node()":
			out = append(out, n)
		}
	case "parent":
		if !element {
			add(n.at)
		} else if n.at > 0 {
			add(d.parent[n.at])
		}
	case "ancestor", "ancestor-or-self":
		i := n.at
		if element && s.axis == "ancestor" {
			i = d.parent[i]
		}
		for ; i >= 0; i = d.parent[i] {
			add(i)
		}
	case "child":
		if element {
			for _, i := range d.children(n.at) {
				add(i)
			}
		}
	case "descendant", "descendant-or-self":
		if element {
			i := n.at
			if s.axis == "descendant" {
				i++
			}
			for ; i < d.end[n.at]; i++ {
				add(i)
			}
		}
	case "following-sibling", "preceding-sibling":
		if element && n.at > 1 {
			all := d.children(d.parent[n.at])
			k := slices.Index(all, n.at)
			if s.axis == "following-sibling" {
				for _, i := range all[k+1:] {
					add(i)
				}
			} else {
				for _, i := range slices.Backward(all[:k]) {
					add(i)
				}
			}
		}
	case "following":
		for i := d.end[n.at]; i < len(d.elements); i++ {
			add(i)
		}
	case "preceding":
		for i := n.at - 1; i > 0; i-- {
			if d.end[i] <= n.at {
				add(i)
			}
		}
	}
	for _, p := range s.predicates {
		var kept nodeSet
		for i, m := range out {
			v := p.eval(&xpathContext{doc: d, node: m, position: i + 1, size: len(out)})
			if f, ok := v.(float64); ok && f == float64(i+1) || !ok && toBool(v) {
				kept = append(kept, m)
			}
		}
		out = kept
	}
	return out
}
