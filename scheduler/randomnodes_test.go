package scheduler

import (
	"slices"
	"strconv"

	"gcrm/cib"
)

// Rare features that have to do with attributes of nodes: rules that compare
// them with what resources say, and remote nodes with attributes of their own.

// nodeAttribute gives a node a permanent attribute.
func (g *generator) nodeAttribute(node *cib.Element, name, value string) {
	set := node.Child("instance_attributes")
	if set == nil {
		set = nvset("instance_attributes", g.id("nodes"))
		node.Add(set)
	}
	set.Add(cib.NewElement("nvpair", "id", g.id("attr"), "name", name, "value", value))
}

func (g *generator) nodeElements() []*cib.Element {
	return slices.Collect(g.conf.Child("nodes").Named("node"))
}

// drawValueSources adds location rules that compare an attribute of the node
// with a parameter or a meta-attribute of the resource.
func (g *generator) drawValueSources() {
	for _, n := range g.nodeElements() {
		if g.chance(80) {
			g.nodeAttribute(n, "likes", pick(g, "one", "ONE", "two & three", "fake", "5"))
		}
	}
	for _, id := range g.someOf(70) {
		source := pick(g, "param", "param", "meta", "literal")
		el := cib.NewElement("expression", "id", g.id("expr"), "attribute", "likes", "operation", pick(g, "eq", "ne", "gte", "lt"), "value", "fake", "value-source", source)
		if source == "meta" {
			el.Set("value", pick(g, "resource-stickiness", "priority", "likes", "target-role"))
			if rsc := g.c.Section("resources").ChildByID(id); rsc != nil && rsc.Name != "bundle" && g.chance(60) {
				rsc.Add(g.meta([]string{"likes", pick(g, "one", "5")}))
			}
			if g.chance(30) {
				el.Set("type", pick(g, "integer", "number", "string"))
			}
		}
		rule := cib.NewElement("rule", "id", g.id("rule"), "score", g.score()).Add(el)
		g.constrain(cib.NewElement("rsc_location", "id", g.id("loc"), "rsc", id).Add(rule))
	}
}

// drawVersions adds location rules that compare versions.
func (g *generator) drawVersions() {
	for _, n := range g.nodeElements() {
		if g.chance(80) {
			g.nodeAttribute(n, "release", pick(g, "1.9", "1.10", "1.10.0", "2", "1.9a", "0", "x"))
		}
	}
	for _, id := range g.someOf(60) {
		rule := cib.NewElement("rule", "id", g.id("rule"), "score", g.score()).Add(
			cib.NewElement("expression", "id", g.id("expr"), "attribute", "release", "type", "version",
				"operation", pick(g, "lt", "lte", "gt", "gte", "eq", "ne"), "value", pick(g, "1.9", "1.10", "1.10.1", "2.0")))
		g.constrain(cib.NewElement("rsc_location", "id", g.id("loc"), "rsc", id).Add(rule))
	}
}

// drawSubmatches adds locations by pattern whose rules use what the pattern's
// groups matched.
func (g *generator) drawSubmatches() {
	for _, n := range g.nodeElements() {
		for i := range 3 {
			if g.chance(50) {
				g.nodeAttribute(n, "for-"+strconv.Itoa(i), pick(g, "yes", "no"))
			}
			if g.chance(50) {
				g.nodeAttribute(n, "rank-"+strconv.Itoa(i), pick(g, "10", "-5", "INFINITY", "-INFINITY"))
			}
		}
	}
	attribute := "for-%2"
	el := cib.NewElement("rsc_location", "id", g.id("loc"), "rsc-pattern", pick(g, "^(r)([0-9])$", "(r)([0-9])", "^(.)(.)"))
	if g.chance(20) {
		el.Set("rsc-pattern", "^r[0-9]$")
		attribute = pick(g, "%0", "for-%1", "for-%9")
	}
	rule := cib.NewElement("rule", "id", g.id("rule"))
	if g.chance(50) {
		rule.Set("score-attribute", "rank-%2")
	} else {
		rule.Set("score", g.score())
	}
	rule.Add(cib.NewElement("expression", "id", g.id("expr"), "attribute", attribute, "operation", pick(g, "eq", "ne"), "value", "yes"))
	g.constrain(el.Add(rule))
}

// drawLostConnections gives operations the results of what could not be
// reached or was not set up.
func (g *generator) drawLostConnections() {
	for _, op := range all(g.c.Status(), "lrm_rsc_op") {
		if !g.chance(12) {
			continue
		}
		status, rc := pick(g, "8", "8", "10", "11"), pick(g, "1", "1", "193", "7")
		op.Set("rc-code", rc)
		op.Set("op-status", status)
		op.Set("transition-magic", status+":"+rc+";"+op.Get("transition-key"))
	}
}

// drawRemoteAttributes gives remote and guest nodes attributes, permanent and
// transient.
func (g *generator) drawRemoteAttributes() {
	for _, name := range g.hosts[len(g.nodes):] {
		if g.chance(70) {
			el := cib.NewElement("node", "id", name, "uname", name, "type", "remote")
			g.conf.Child("nodes").Add(el)
			for _, pair := range [][2]string{{"standby", "on"}, {"maintenance", "true"}, {"site", pick(g, "a", "b")}, {"rank", pick(g, "1", "20")},
				{"likes", "one"}, {"resource-discovery-enabled", "false"}} {
				if g.chance(25) {
					g.nodeAttribute(el, pair[0], pair[1])
				}
			}
			if g.utilization && g.chance(60) {
				el.Add(nvset("utilization", g.id("util"), "cpu", strconv.Itoa(g.n(4))))
			}
		}
		for _, pair := range [][2]string{{"standby", pick(g, "on", "off")}, {"#health-disk", pick(g, "red", "yellow")}, {"site", pick(g, "a", "b")},
			{"terminate", "true"}, {"shutdown", seconds(-100)}} {
			if g.chance(12) {
				g.transient(name, pair[0], pair[1])
			}
		}
	}
}

// drawLooseNeeds gives loose groups members that need capacity.
func (g *generator) drawLooseNeeds() {
	loose := false
	for _, group := range all(g.c.Section("resources"), "group") {
		if len(slices.Collect(group.Named("primitive"))) > 1 {
			group.Add(g.meta([]string{pick(g, "ordered", "collocated", "collocated"), "false"}))
			loose = true
		}
	}
	if !loose {
		return
	}
	crm := g.conf.Child("crm_config").Children[0]
	if id := "cib-bootstrap-options-placement-strategy"; crm.ChildByID(id) == nil {
		crm.Add(cib.NewElement("nvpair", "id", id, "name", "placement-strategy", "value", pick(g, "utilization", "minimal", "balanced")))
	}
	for _, n := range g.nodeElements() {
		if n.Child("utilization") == nil {
			n.Add(nvset("utilization", g.id("util"), "cpu", strconv.Itoa(1+g.n(5))))
		}
	}
	for _, p := range all(g.c.Section("resources"), "primitive") {
		if p.Child("utilization") == nil && !p.Has("template") && p.Get("class") != "stonith" && g.chance(70) {
			p.Add(nvset("utilization", g.id("util"), "cpu", strconv.Itoa(g.n(4))))
		}
	}
}

// drawNodesOfOperations names the node in the entries of the history, as
// newer versions do.
func (g *generator) drawNodesOfOperations() {
	for _, st := range all(g.c.Status(), "node_state") {
		for _, op := range all(st, "lrm_rsc_op") {
			op.Set("on_node", st.Get("uname"))
		}
	}
}
