package scheduler

import (
	"strconv"
	"strings"

	"gcrm/cib"
)

// Features that go across a whole CIB: drawn after nodes and resources, before
// constraints and history.

// drawUnfencing makes the fence device one that unfences, and resources that
// need it.
func (g *generator) drawUnfencing() {
	device := g.c.Section("resources").ChildByID("Fencing")
	if !g.use["unfencing"] || device == nil || !g.fencing {
		return
	}
	device.Add(g.meta([]string{"provides", "unfencing"}))
	if g.chance(40) {
		g.conf.Ensure("rsc_defaults").Add(g.meta([]string{"requires", "unfencing"}))
	}
	for _, n := range g.nodes {
		if g.chance(70) {
			g.transient(n, "#node-unfenced", pick(g, seconds(-9000), seconds(-9000), "0"))
		}
	}
}

// drawTopology registers levels of fencing, which the scheduler only checks.
func (g *generator) drawTopology() {
	if !g.use["topology"] || g.c.Section("resources").ChildByID("Fencing") == nil {
		return
	}
	g.conf.Ensure("fencing-topology").Add(cib.NewElement("fencing-level", "id", g.id("level"), "target", g.node(), "index", "1", "devices", "Fencing"))
}

// dateRule is a rule about time alone.
func (g *generator) dateRule() *cib.Element {
	rule := cib.NewElement("rule", "id", g.id("rule"), "boolean-op", pick(g, "and", "or"), "score", "0")
	for range 1 + g.n(2) {
		switch g.n(4) {
		case 0:
			rule.Add(cib.NewElement("date_expression", "id", g.id("expr"), "operation", "in_range",
				"start", pick(g, "2025-12-31 00:00:00Z", "2026-01-01 00:00:01Z"), "end", pick(g, "2026-01-01 00:00:00Z", "2026-02-01 00:00:00Z")))
		case 1:
			rule.Add(cib.NewElement("date_expression", "id", g.id("expr"), "operation", "in_range", "start", "2025-12-01 00:00:00Z").Add(
				cib.NewElement("duration", "id", g.id("dur"), pick(g, "months", "weeks", "days"), pick(g, "1", "5"))))
		case 2:
			rule.Add(cib.NewElement("date_expression", "id", g.id("expr"), "operation", "gt", "start", pick(g, "2025-06-01 00:00:00Z", "2026-06-01 00:00:00Z")))
		case 3:
			rule.Add(cib.NewElement("date_expression", "id", g.id("expr"), "operation", "date_spec").Add(
				cib.NewElement("date_spec", "id", g.id("spec"), pick(g, "weekdays", "monthdays", "months"), pick(g, "1-4", "5-7", "1"))))
		}
	}
	return rule
}

// ruled puts a set with a rule before the plain ones of an element.
func (g *generator) ruled(el *cib.Element, kind string, pairs ...string) {
	set := nvset(kind, g.id("set"), pairs...)
	set.Set("score", pick(g, "1", "10"))
	rule := g.dateRule()
	if kind == "instance_attributes" && g.chance(50) {
		rule = cib.NewElement("rule", "id", g.id("rule"), "score", "0").Add(
			cib.NewElement("expression", "id", g.id("expr"), "attribute", "#uname", "operation", pick(g, "eq", "ne"), "value", g.node()))
	}
	set.Children = append([]*cib.Element{rule}, set.Children...)
	el.Add(set)
}

// drawRuledSets gives resources meta- and instance attributes that depend on
// time or node, and operations defaults that depend on their kind.
func (g *generator) drawRuledSets() {
	if !g.use["ruledsets"] {
		return
	}
	for _, p := range all(g.c.Section("resources"), "primitive") {
		if p.Has("template") || p.Get("class") == "stonith" || p.Get("type") == "remote" {
			continue
		}
		if g.chance(25) {
			g.ruled(p, "meta_attributes", pick(g, "target-role", "target-role", "is-managed"), "Stopped")
			last := p.Children[len(p.Children)-1]
			for pair := range last.Named("nvpair") {
				if pair.Get("name") == "is-managed" {
					pair.Set("value", "false")
				}
			}
		}
		if g.chance(20) {
			g.ruled(p, "instance_attributes", "fake", pick(g, "one", "ruled"))
		}
	}
	if g.chance(30) {
		set := g.meta([]string{"timeout", "77s"})
		rule := cib.NewElement("rule", "id", g.id("rule"), "score", "INFINITY").Add(
			cib.NewElement("op_expression", "id", g.id("expr"), "name", pick(g, "monitor", "start")))
		set.Children = append([]*cib.Element{rule}, set.Children...)
		g.conf.Ensure("op_defaults").Add(set)
	}
}

// patternLocation is a location constraint for all resources a pattern fits,
// or for a set of them.
func (g *generator) patternLocation() *cib.Element {
	el := cib.NewElement("rsc_location", "id", g.id("loc"), "node", g.host(), "score", g.score())
	if g.chance(50) {
		el.Set("rsc-pattern", pick(g, "^r[0-2]$", "r", "!^r[13]$", "^r(.)"))
		return el
	}
	set := cib.NewElement("resource_set", "id", g.id("rset"))
	for _, id := range g.tops {
		if g.chance(60) {
			set.Add(cib.NewElement("resource_ref", "id", id))
		}
	}
	if len(set.Children) == 0 {
		set.Add(cib.NewElement("resource_ref", "id", g.tops[0]))
	}
	return el.Add(set)
}

// roleSet is a colocation of sets with roles.
func (g *generator) roleSet() *cib.Element {
	el := cib.NewElement("rsc_colocation", "id", g.id("set"), "score", g.score())
	promoted := g.promos[g.n(len(g.promos))]
	first := cib.NewElement("resource_set", "id", g.id("rset"))
	for _, id := range g.tops {
		if id != promoted && !g.promotableID(id) && g.chance(60) {
			first.Add(cib.NewElement("resource_ref", "id", id))
		}
	}
	if len(first.Children) == 0 {
		return nil
	}
	if g.chance(40) {
		first.Set("sequential", strconv.FormatBool(g.chance(50)))
	}
	second := cib.NewElement("resource_set", "id", g.id("rset"), "role", pick(g, roleNames[1], roleNames[1], roleNames[0]))
	second.Add(cib.NewElement("resource_ref", "id", promoted))
	return el.Add(first, second)
}

// launched makes one primitive run inside another, which is no guest.
func (g *generator) drawLaunched() {
	if !g.use["launched"] {
		return
	}
	var plain []*cib.Element
	for p := range g.c.Section("resources").Named("primitive") {
		if strings.HasPrefix(p.ID(), "r") && p.Get("type") != "remote" {
			plain = append(plain, p)
		}
	}
	if len(plain) < 2 {
		return
	}
	plain[1].Add(g.meta([]string{"container", plain[0].ID()}))
}
