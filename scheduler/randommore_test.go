package scheduler

import (
	"strconv"

	"gcrm/cib"
)

// Features that few clusters use and many rules are about: drawn last, on top
// of a CIB that is complete without them.

// rarities are their switches with their rates in percent.
var rarities = []struct {
	name string
	rate int
	draw func(g *generator)
}{
	{"ordersets", 12, (*generator).drawOrderSets},
	{"coloroles", 8, (*generator).drawColocationSets},
	{"nodescore", 4, (*generator).drawNodeScores},
	{"locked", 5, (*generator).drawLocked},
	{"bundleroles", 30, (*generator).drawBundleRoles},
	{"ticketsets", 4, (*generator).drawTicketSets},
	{"loosegroups", 4, (*generator).drawLooseGroups},
	{"oddops", 8, (*generator).drawOddOperations},
	{"results", 12, (*generator).drawResults},
	{"references", 6, (*generator).drawReferences},
	{"otherdc", 5, (*generator).drawOtherDC},
	{"delays", 5, (*generator).drawFencingDelay},
	{"lifetimes", 4, (*generator).drawLifetimes},
	{"remotemaintenance", 4, (*generator).drawRemoteMaintenance},
	{"blocktimeout", 5, (*generator).drawBlockTimeout},
	{"valuesource", 6, (*generator).drawValueSources},
	{"versions", 6, (*generator).drawVersions},
	{"submatches", 6, (*generator).drawSubmatches},
	{"connections", 6, (*generator).drawLostConnections},
	{"remoteattrs", 40, (*generator).drawRemoteAttributes},
	{"looseneeds", 5, (*generator).drawLooseNeeds},
	{"onnode", 5, (*generator).drawNodesOfOperations},
}

func (g *generator) drawRarities() {
	for _, r := range rarities {
		if g.chance(r.rate) {
			before := g.c.String()
			r.draw(g)
			g.use[r.name] = g.c.String() != before // not every CIB has what it takes
		}
	}
}

func (g *generator) constrain(el *cib.Element) { g.conf.Ensure("constraints").Add(el) }

// someOf draws some top-level resources in a random order.
func (g *generator) someOf(percent int) []string {
	var out []string
	for _, id := range g.tops {
		if g.chance(percent) {
			out = append(out, id)
		}
	}
	g.rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// drawOrderSets orders up to three sets with actions of their own.
func (g *generator) drawOrderSets() {
	ids := g.someOf(80)
	if len(ids) < 3 {
		return
	}
	el := cib.NewElement("rsc_order", "id", g.id("sets"))
	if g.chance(25) {
		el.Set("symmetrical", "false")
	} else if g.chance(25) {
		el.Set("kind", pick(g, "Optional", "Serialize"))
	}
	for len(ids) > 0 {
		n := min(len(ids), 1+g.n(3))
		set := cib.NewElement("resource_set", "id", g.id("rset"))
		promotable := true
		for _, id := range ids[:n] {
			promotable = promotable && g.promotableID(id)
			set.Add(cib.NewElement("resource_ref", "id", id))
		}
		ids = ids[n:]
		switch {
		case promotable && g.chance(60):
			set.Set("action", pick(g, "promote", "demote"))
		case g.chance(30):
			set.Set("action", pick(g, "start", "stop"))
		}
		if g.chance(40) {
			set.Set("sequential", strconv.FormatBool(g.chance(50)))
		}
		if g.chance(20) {
			set.Set("sequential", "false")
			set.Set("require-all", "false")
		}
		el.Add(set)
	}
	g.constrain(el)
}

// drawColocationSets colocates sets whose roles and order differ.
func (g *generator) drawColocationSets() {
	ids := g.someOf(90)
	if len(ids) < 2 {
		return
	}
	el := cib.NewElement("rsc_colocation", "id", g.id("sets"), "score", g.score())
	for len(ids) > 0 {
		n := min(len(ids), 1+g.n(2))
		set := cib.NewElement("resource_set", "id", g.id("rset"))
		promotable := true
		for _, id := range ids[:n] {
			promotable = promotable && g.promotableID(id)
			set.Add(cib.NewElement("resource_ref", "id", id))
		}
		ids = ids[n:]
		if promotable && g.chance(70) {
			set.Set("role", pick(g, roleNames[0], roleNames[1], roleNames[1]))
		}
		if g.chance(40) {
			set.Set("sequential", strconv.FormatBool(g.chance(50)))
		}
		el.Add(set)
	}
	g.constrain(el)
}

func (g *generator) drawNodeScores() {
	for el := range g.conf.Child("nodes").Named("node") {
		if g.chance(40) {
			el.Set("score", pick(g, "100", "-100", "-INFINITY", "INFINITY"))
		}
	}
}

// drawLocked leaves resources locked to nodes that were shut down before.
func (g *generator) drawLocked() {
	crm := g.conf.Child("crm_config").Children[0]
	for _, pair := range [][2]string{{"shutdown-lock", "true"}, {"shutdown-lock-limit", pick(g, "0", "5min", "2h")}} {
		id := "cib-bootstrap-options-" + pair[0]
		if crm.ChildByID(id) == nil {
			crm.Add(cib.NewElement("nvpair", "id", id, "name", pair[0], "value", pair[1]))
		}
	}
	for _, entry := range all(g.c.Status(), "lrm_resource") {
		if g.chance(40) {
			entry.Set("shutdown-lock", seconds(-pick(g, 60, 600, 4000)))
			if g.chance(50) {
				entry.Children = nil
			}
		}
	}
}

// drawBundleRoles adds constraints with the roles of what is in a bundle.
func (g *generator) drawBundleRoles() {
	for bundle := range g.c.Section("resources").Named("bundle") {
		if bundle.Child("primitive") == nil || !bundle.Child("docker").Has("promoted-max") {
			continue
		}
		other := g.tops[g.n(len(g.tops))]
		if other == bundle.ID() {
			continue
		}
		switch g.n(4) {
		case 0:
			g.constrain(cib.NewElement("rsc_colocation", "id", g.id("col"), "rsc", other, "with-rsc", bundle.ID(),
				"with-rsc-role", roleNames[1], "score", g.score()))
		case 1:
			g.constrain(cib.NewElement("rsc_order", "id", g.id("ord"), "first", bundle.ID(), "first-action", "promote", "then", other, "then-action", "start"))
		case 2:
			g.constrain(cib.NewElement("rsc_location", "id", g.id("loc"), "rsc", bundle.ID(), "node", g.node(), "role", roleNames[1], "score", g.score()))
		case 3:
			for _, n := range g.hosts {
				g.transient(n, "master-"+bundle.ID()+"-c", pick(g, "5", "10"))
			}
			for _, st := range all(g.c.Status(), "node_state") {
				if st.Get("remote_node") == "true" {
					g.transient(st.Get("uname"), "master-"+bundle.ID()+"-c", pick(g, "5", "10", "20"))
				}
			}
		}
	}
}

func (g *generator) drawTicketSets() {
	el := cib.NewElement("rsc_ticket", "id", g.id("ticket"), "ticket", "ticketB", "loss-policy", pick(g, "stop", "demote", "freeze", "fence"))
	set := cib.NewElement("resource_set", "id", g.id("rset"))
	for _, id := range g.someOf(60) {
		set.Add(cib.NewElement("resource_ref", "id", id))
	}
	if len(set.Children) == 0 {
		return
	}
	g.constrain(el.Add(set))
}

// drawLooseGroups takes order or colocation from groups.
func (g *generator) drawLooseGroups() {
	for _, group := range all(g.c.Section("resources"), "group") {
		if g.chance(60) {
			group.Add(g.meta([]string{pick(g, "ordered", "collocated"), "false"}))
		}
	}
}

// drawOddOperations adds operations that are disabled or configured twice, and
// parameters and meta-attributes of operations.
func (g *generator) drawOddOperations() {
	for _, op := range all(g.c.Section("resources"), "op") {
		switch g.n(12) {
		case 0:
			op.Set("enabled", "false")
		case 1:
			op.Add(nvset("instance_attributes", g.id("opset"), "fake", "op"))
		case 2:
			op.Add(g.meta([]string{"timeout", "33s"}))
			op.Unset("timeout")
		case 3:
			op.Set("start-delay", "5s")
		case 4:
			op.Set("interval-origin", "2025-06-01 00:00:00Z")
		case 5:
			if op.Get("name") == "monitor" {
				op.Set("on-fail", pick(g, "standby", "ignore", "block"))
			}
		}
	}
	for _, ops := range all(g.c.Section("resources"), "operations") {
		if g.chance(15) && len(ops.Children) > 0 {
			twin := ops.Children[0].Clone()
			twin.Set("id", g.id("twin"))
			for _, part := range []string{"instance_attributes", "meta_attributes"} {
				if c := twin.Child(part); c != nil {
					twin.Remove(c)
				}
			}
			ops.Add(twin)
		}
	}
}

// drawResults gives operations results that are rare.
func (g *generator) drawResults() {
	for _, op := range all(g.c.Status(), "lrm_rsc_op") {
		if !g.chance(15) {
			continue
		}
		rc, status := pick(g, "3", "4", "5", "6", "8", "9", "2"), "0"
		if op.Get("operation") == taskMonitor && g.chance(20) {
			rc = pick(g, "190", "191")
		}
		switch g.n(4) {
		case 0:
			status = pick(g, "2", "3", "4", "5", "6", "7")
		case 1:
			status = "1"
		}
		op.Set("rc-code", rc)
		op.Set("op-status", status)
		op.Set("transition-magic", status+":"+rc+";"+op.Get("transition-key"))
	}
}

// drawReferences lets sets stand for others.
func (g *generator) drawReferences() {
	sets := map[string]string{}
	for _, p := range all(g.c.Section("resources"), "primitive") {
		for _, kind := range []string{"meta_attributes", "instance_attributes"} {
			set := p.Child(kind)
			if set == nil || set.Child("rule") != nil {
				continue
			}
			if sets[kind] == "" {
				sets[kind] = set.ID()
				continue
			}
			if g.chance(40) {
				p.Add(cib.NewElement(kind, "id-ref", sets[kind]))
			}
		}
	}
}

func (g *generator) drawOtherDC() { g.c.Root.Set("dc-uuid", strconv.Itoa(1+g.n(len(g.nodes)))) }

func (g *generator) drawFencingDelay() {
	crm := g.conf.Child("crm_config").Children[0]
	crm.Add(cib.NewElement("nvpair", "id", "cib-bootstrap-options-priority-fencing-delay", "name", "priority-fencing-delay", "value", "15s"))
	for pair := range crm.Named("nvpair") {
		if pair.Get("name") == "concurrent-fencing" {
			pair.Set("value", strconv.FormatBool(g.chance(30)))
		}
	}
}

// drawLifetimes limits constraints in time, in the old way.
func (g *generator) drawLifetimes() {
	for loc := range g.c.Section("constraints").Named("rsc_location") {
		if loc.Has("node") && g.chance(50) {
			rule := cib.NewElement("rule", "id", g.id("rule"), "score", loc.Get("score")).Add(
				cib.NewElement("expression", "id", g.id("expr"), "attribute", "#uname", "operation", "eq", "value", loc.Get("node")),
				cib.NewElement("date_expression", "id", g.id("expr"), "operation", "lt", "end", pick(g, "2025-06-01 00:00:00Z", "2026-06-01 00:00:00Z")))
			rule.Set("boolean-op", "and")
			loc.Unset("node")
			loc.Unset("score")
			loc.Unset("role")
			loc.Add(rule)
		}
	}
}

func (g *generator) drawRemoteMaintenance() {
	for _, st := range all(g.c.Status(), "node_state") {
		if st.Get("remote_node") == "true" && g.chance(60) {
			st.Set("node_in_maintenance", pick(g, "1", "0"))
		}
	}
}

// drawBlockTimeout lets failures expire that block a resource.
func (g *generator) drawBlockTimeout() {
	for _, p := range all(g.c.Section("resources"), "primitive") {
		if g.chance(50) && !p.Has("template") {
			p.Add(g.meta([]string{"failure-timeout", pick(g, "60s", "30min")}))
		}
	}
	for _, op := range all(g.c.Section("resources"), "op") {
		if g.chance(30) && op.Get("name") != "promote" {
			op.Set("on-fail", "block")
		}
	}
}
