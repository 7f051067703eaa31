package cib

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// randomCIB makes a document with n primitives, some of them in groups and
// clones, and constraints, properties and nodes around them. It is valid.
func randomCIB(r *rand.Rand, n int) *CIB {
	c := New()
	props := NewElement("cluster_property_set", "id", DefaultPropertySet)
	for _, p := range []string{"no-quorum-policy", "stonith-enabled", "cluster-name", "batch-limit"} {
		if r.IntN(2) == 0 {
			props.Add(randomPair(r, DefaultPropertySet, p))
		}
	}
	c.Section("crm_config").Add(props)
	for i := range 1 + r.IntN(4) {
		c.Section("nodes").Add(NewElement("node", "id", fmt.Sprint(i+1), "uname", fmt.Sprintf("node%d", i+1)))
	}
	rsc := c.Section("resources")
	var top []string
	for i := 0; i < n; {
		switch r.IntN(6) {
		case 0:
			g := NewElement("group", "id", fmt.Sprintf("g%d", i))
			for range 1 + r.IntN(3) {
				g.Add(randomPrimitive(r, i))
				i++
			}
			rsc.Add(g)
			top = append(top, g.ID())
		case 1:
			cl := NewElement("clone", "id", fmt.Sprintf("c%d", i)).Add(randomPrimitive(r, i))
			i++
			rsc.Add(cl)
			top = append(top, cl.ID())
		default:
			p := randomPrimitive(r, i)
			i++
			rsc.Add(p)
			top = append(top, p.ID())
		}
	}
	for i := range n / 2 {
		a, b := top[r.IntN(len(top))], top[r.IntN(len(top))]
		var e *Element
		switch r.IntN(3) {
		case 0:
			e = NewElement("rsc_location", "id", fmt.Sprintf("l%d", i), "rsc", a, "node", "node1", "score", fmt.Sprint(r.IntN(100)))
		case 1:
			e = NewElement("rsc_colocation", "id", fmt.Sprintf("k%d", i), "score", "INFINITY", "rsc", a, "with-rsc", b)
		default:
			e = NewElement("rsc_order", "id", fmt.Sprintf("o%d", i), "first", a, "then", b, "kind", "Optional")
		}
		c.Section("constraints").Add(e)
	}
	return c
}

func randomPair(r *rand.Rand, set, name string) *Element {
	return NewElement("nvpair", "id", set+"-"+name, "name", name, "value", fmt.Sprint(r.IntN(1000)))
}

func randomPrimitive(r *rand.Rand, i int) *Element {
	id := fmt.Sprintf("p%d", i)
	e := NewElement("primitive", "id", id, "class", "ocf", "provider", "heartbeat", "type", "Dummy")
	if r.IntN(3) > 0 {
		set := NewElement("instance_attributes", "id", id+"-instance_attributes")
		for _, n := range []string{"state", "fake", "ip"}[:1+r.IntN(3)] {
			set.Add(randomPair(r, set.ID(), n))
		}
		e.Add(set)
	}
	if r.IntN(3) > 0 {
		e.Add(NewElement("operations").Add(NewElement("op", "id", id+"-monitor-10s", "name", "monitor", "interval", "10s", "timeout", fmt.Sprint(r.IntN(60)))))
	}
	return e
}

// scramble changes a document in random ways; everything is allowed but ids
// that are there twice among siblings.
func scramble(r *rand.Rand, c *CIB, edits int) {
	for i := range edits {
		var all, parents []*Element
		c.Configuration().Walk(func(e *Element) bool {
			if e.IsComment() {
				return true
			}
			all = append(all, e)
			if len(e.Children) > 0 && e.Name != "configuration" {
				parents = append(parents, e)
			}
			return true
		})
		e := all[r.IntN(len(all))]
		kind := r.IntN(8)
		if e.Name == "configuration" && (kind == 3 || kind == 4 || kind == 7) {
			continue // sections are there once
		}
		switch kind {
		case 0:
			e.Set("description", fmt.Sprint("text <", r.IntN(1000)))
		case 1:
			if len(e.Attrs) > 0 {
				if a := e.Attrs[r.IntN(len(e.Attrs))].Name; a != "id" {
					e.Unset(a)
				}
			}
		case 2:
			if len(parents) > 0 {
				p := parents[r.IntN(len(parents))]
				i := r.IntN(len(p.Children))
				p.Children = slices.Delete(p.Children, i, i+1)
			}
		case 3, 4:
			n := NewElement([]string{"primitive", "nvpair", "x"}[r.IntN(3)], "id", fmt.Sprintf("new%d-%d", i, r.IntN(1<<30)))
			e.Children = slices.Insert(e.Children, r.IntN(len(e.Children)+1), n)
		case 5:
			if len(parents) > 0 {
				p := parents[r.IntN(len(parents))]
				r.Shuffle(len(p.Children), func(i, j int) { p.Children[i], p.Children[j] = p.Children[j], p.Children[i] })
			}
		case 6:
			n := &Element{Name: CommentName, Text: fmt.Sprintf(" comment %d ", r.IntN(3))}
			e.Children = slices.Insert(e.Children, r.IntN(len(e.Children)+1), n)
		case 7:
			e.Children = slices.Insert(e.Children, r.IntN(len(e.Children)+1),
				NewElement("nvpair", "id-ref", fmt.Sprint("ref", r.IntN(3))))
		}
	}
}

// normalized gives the configuration as text in which the order of sections,
// of objects and of options does not show.
func normalized(c *CIB) string {
	var all []string
	for s := range c.Configuration().Elements() {
		var objects []string
		for o := range s.Elements() {
			o = o.Clone()
			if isPairSet(o) {
				slices.SortFunc(o.Children, func(x, y *Element) int { return strings.Compare(canonical(x), canonical(y)) })
			}
			objects = append(objects, canonical(o))
		}
		slices.Sort(objects)
		all = append(all, s.Name+"\n"+strings.Join(objects, ""))
	}
	slices.Sort(all)
	return strings.Join(all, "")
}
