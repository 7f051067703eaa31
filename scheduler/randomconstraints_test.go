package scheduler

import (
	"strconv"
	"strings"

	"gcrm/cib"
)

// constrained returns a random resource that a constraint may name.
func (g *generator) constrained() string {
	if len(g.members) > 0 && g.chance(12) {
		return g.members[g.n(len(g.members))]
	}
	if len(g.tags) > 0 && g.chance(30) {
		return g.tags[g.n(len(g.tags))]
	}
	return g.tops[g.n(len(g.tops))]
}

func (g *generator) promotableID(id string) bool {
	for _, p := range g.promos {
		if p == id {
			return true
		}
	}
	return false
}

func (g *generator) drawConstraints() {
	cons := g.conf.Ensure("constraints")
	if g.use["tags"] && len(g.tops) > 1 {
		tag := cib.NewElement("tag", "id", "tag1")
		for _, id := range g.tops[:2] {
			tag.Add(cib.NewElement("obj_ref", "id", id))
		}
		g.conf.Ensure("tags").Add(tag)
		g.tags = append(g.tags, "tag1")
	}
	for range 3 {
		if g.use["location"] && g.chance(60) || g.asymmetric {
			cons.Add(g.location())
		}
		if g.use["colocation"] && g.chance(60) && len(g.tops) > 1 {
			cons.Add(g.colocation())
		}
		if g.use["order"] && g.chance(60) && len(g.tops) > 1 {
			cons.Add(g.order())
		}
	}
	if g.asymmetric {
		for _, id := range g.tops {
			for _, n := range g.hosts {
				if g.chance(70) {
					cons.Add(cib.NewElement("rsc_location", "id", g.id("opt"), "rsc", id, "node", n, "score", pick(g, "0", "100", "200")))
				}
			}
		}
	}
	if g.use["sets"] && len(g.tops) > 2 {
		cons.Add(g.setConstraint())
	}
	if g.use["patterns"] {
		cons.Add(g.patternLocation())
	}
	if g.use["rolesets"] && len(g.promos) > 0 {
		if el := g.roleSet(); el != nil {
			cons.Add(el)
		}
	}
	if g.use["tickets"] {
		el := cib.NewElement("rsc_ticket", "id", g.id("ticket"), "rsc", g.tops[g.n(len(g.tops))], "ticket", "ticketA",
			"loss-policy", pick(g, "stop", "demote", "freeze", "fence"))
		if g.promotableID(el.Get("rsc")) && g.chance(60) {
			el.Set("rsc-role", roleNames[1])
		}
		cons.Add(el)
		if g.chance(70) {
			st := cib.NewElement("ticket_state", "id", "ticketA", "granted", strconv.FormatBool(g.chance(50)))
			if g.chance(25) {
				st.Set("standby", "true")
			}
			g.c.Status().Children = append([]*cib.Element{cib.NewElement("tickets").Add(st)}, g.c.Status().Children...)
		}
	}
}

func (g *generator) location() *cib.Element {
	rsc := g.constrained()
	el := cib.NewElement("rsc_location", "id", g.id("loc"), "rsc", rsc)
	if g.chance(10) {
		el.Set("resource-discovery", pick(g, "never", "exclusive", "always"))
	}
	if !g.use["rule"] || g.chance(40) {
		el.Set("node", g.host())
		el.Set("score", g.score())
		if g.promotableID(rsc) && g.chance(30) {
			el.Set("role", roleNames[1])
		}
		return el
	}
	rule := cib.NewElement("rule", "id", g.id("rule"), "boolean-op", pick(g, "and", "or"))
	if g.chance(15) {
		rule.Set("score-attribute", "rank")
	} else {
		rule.Set("score", g.score())
	}
	if g.promotableID(rsc) && g.chance(40) {
		rule.Set("role", roleNames[1])
	}
	for range 1 + g.n(2) {
		switch g.n(6) {
		case 0:
			rule.Add(cib.NewElement("expression", "id", g.id("expr"), "attribute", "#uname", "operation", pick(g, "eq", "ne"), "value", g.host()))
		case 1:
			rule.Add(cib.NewElement("expression", "id", g.id("expr"), "attribute", "site", "operation", pick(g, "eq", "ne"), "value", pick(g, "a", "b", "c")))
		case 2:
			rule.Add(cib.NewElement("expression", "id", g.id("expr"), "attribute", "rank", "operation", pick(g, "gt", "lte", "lt", "gte"), "value", pick(g, "1", "10"), "type", "number"))
		case 3:
			rule.Add(cib.NewElement("expression", "id", g.id("expr"), "attribute", pick(g, "site", "pingd"), "operation", pick(g, "defined", "not_defined")))
		case 4:
			rule.Add(cib.NewElement("date_expression", "id", g.id("expr"), "operation", pick(g, "gt", "lt"), pick(g, "start", "end"), pick(g, "2025-06-01 00:00:00Z", "2026-06-01 00:00:00Z")))
			last := rule.Children[len(rule.Children)-1]
			if last.Get("operation") == "gt" {
				rename(last, "end", "start")
			} else {
				rename(last, "start", "end")
			}
		case 5:
			rule.Add(cib.NewElement("date_expression", "id", g.id("expr"), "operation", "date_spec").Add(
				cib.NewElement("date_spec", "id", g.id("spec"), "hours", pick(g, "0-5", "9-16"), "years", pick(g, "2026", "2024-"))))
		}
	}
	return el.Add(rule)
}

func rename(el *cib.Element, from, to string) {
	if el.Has(from) {
		el.Set(to, el.Get(from))
		el.Unset(from)
	}
}

// twoOf draws two different resources.
func (g *generator) twoOf() (string, string) {
	for {
		a, b := g.constrained(), g.constrained()
		if a != b && !strings.HasPrefix(a, b+"-") && !strings.HasPrefix(b, a+"-") {
			return a, b
		}
	}
}

func (g *generator) colocation() *cib.Element {
	a, b := g.twoOf()
	el := cib.NewElement("rsc_colocation", "id", g.id("col"), "rsc", a, "with-rsc", b, "score", g.score())
	if g.promotableID(a) && g.chance(30) {
		el.Set("rsc-role", pick(g, roleNames[0], roleNames[1]))
	}
	if g.promotableID(b) && g.chance(60) {
		el.Set("with-rsc-role", pick(g, roleNames[0], roleNames[1], roleNames[1], "Started"))
	}
	if g.use["rule"] && g.chance(15) {
		el.Set("node-attribute", "site")
	}
	if g.chance(6) {
		el.Set("influence", pick(g, "false", "true"))
	}
	return el
}

func (g *generator) order() *cib.Element {
	a, b := g.twoOf()
	el := cib.NewElement("rsc_order", "id", g.id("ord"), "first", a, "then", b)
	switch g.n(5) {
	case 0:
		el.Set("kind", "Optional")
	case 1:
		el.Set("kind", "Serialize")
	case 2:
		el.Set("score", pick(g, "0", "INFINITY"))
	}
	if g.chance(12) && el.Get("kind") != "Serialize" {
		el.Set("symmetrical", "false")
	}
	if g.promotableID(a) && g.chance(60) {
		el.Set("first-action", pick(g, "promote", "promote", "demote"))
		el.Set("then-action", "start")
	}
	if g.promotableID(b) && g.chance(20) {
		el.Set("then-action", "promote")
	}
	if g.chance(6) {
		el.Set("require-all", "false")
	}
	if g.use["stopactions"] && !el.Has("first-action") && !el.Has("then-action") {
		el.Set("first-action", pick(g, "stop", "start"))
		el.Set("then-action", pick(g, "stop", "start"))
	}
	return el
}

func (g *generator) setConstraint() *cib.Element {
	kind := pick(g, "rsc_order", "rsc_colocation")
	el := cib.NewElement(kind, "id", g.id("set"))
	if kind == "rsc_colocation" {
		el.Set("score", g.score())
	} else if g.chance(50) {
		el.Set("kind", pick(g, "Mandatory", "Optional", "Serialize"))
	}
	ids := append([]string(nil), g.tops...)
	g.rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	cut := 1 + g.n(len(ids)-1)
	for _, part := range [][]string{ids[:cut], ids[cut:]} {
		set := cib.NewElement("resource_set", "id", g.id("rset"))
		if g.chance(50) {
			set.Set("sequential", strconv.FormatBool(g.chance(50)))
		}
		if kind == "rsc_order" && g.chance(20) {
			set.Set("require-all", "false")
			set.Set("sequential", "false")
		}
		for _, id := range part {
			set.Add(cib.NewElement("resource_ref", "id", id))
		}
		el.Add(set)
	}
	return el
}
