package scheduler

import (
	"fmt"
	"strconv"
	"strings"

	"gcrm/cib"
)

func (g *generator) drawResources() {
	resources := g.conf.Ensure("resources")
	if g.fencing && g.chance(90) || g.chance(20) {
		p := &drawnPrimitive{id: "Fencing", agent: "stonith::fence_dummy", copies: 1, top: "Fencing"}
		el := g.primitiveElement(p)
		g.operations(el, p)
		resources.Add(el)
		g.prims = append(g.prims, p)
	}
	template := ""
	if g.use["templates"] {
		template = "tmpl"
		el := cib.NewElement("template", "id", template, "class", "ocf", "provider", "pacemaker", "type", "Dummy")
		if g.chance(60) {
			el.Add(g.meta([]string{"resource-stickiness", "7"}))
		}
		el.Add(cib.NewElement("operations").Add(cib.NewElement("op", "id", "tmpl-monitor", "name", "monitor", "interval", "10s", "timeout", "20s")))
		resources.Add(el)
	}
	if g.use["remote"] {
		g.remoteNode(resources)
	}
	for i := range 1 + g.n(6) {
		id := fmt.Sprintf("r%d", i)
		var el *cib.Element
		switch {
		case g.use["groups"] && g.chance(30):
			el = g.group(id, id, "group")
			for m := range el.Named("primitive") {
				g.members = append(g.members, m.ID())
			}
		case g.use["promotable"] && g.chance(35):
			el = g.clone(id, "promotable")
			g.promos = append(g.promos, id)
			g.clones = append(g.clones, id)
		case g.use["unique"] && g.chance(30):
			el = g.clone(id, "unique")
			g.clones = append(g.clones, id)
		case g.use["clones"] && g.chance(35):
			el = g.clone(id, "clone")
			g.clones = append(g.clones, id)
		case g.use["bundle"] && g.chance(40):
			el = g.bundle(id)
		case template != "" && g.chance(50):
			el = cib.NewElement("primitive", "id", id, "template", template)
			g.prims = append(g.prims, &drawnPrimitive{id: id, agent: "ocf:pacemaker:Dummy", copies: 1, top: id, monitors: []drawnMonitor{{"10000", "20000", ""}}})
			if m := g.metaOf("primitive"); len(m) > 0 {
				el.Add(g.meta(m))
			}
		default:
			el = g.primitive(id, id, "")
			if g.use["guest"] && len(g.hosts) < len(g.nodes)+2 {
				guest := "guest" + id
				el.Child("meta_attributes")
				el.Add(g.meta([]string{"remote-node", guest}))
				g.hosts = append(g.hosts, guest)
				st := cib.NewElement("node_state", "remote_node", "true", "id", guest, "uname", guest)
				g.addState(st, guest, nil)
			}
		}
		resources.Add(el)
		g.tops = append(g.tops, id)
	}
}

func (g *generator) remoteNode(resources *cib.Element) {
	id := "remote1"
	p := &drawnPrimitive{id: id, agent: "ocf:pacemaker:remote", copies: 1, top: id}
	el := g.primitiveElement(p)
	if g.chance(40) {
		p.params = []cib.Attr{{Name: "reconnect_interval", Value: "60"}}
		el.Add(nvset("instance_attributes", id+"-params", "reconnect_interval", "60"))
	}
	g.operations(el, p)
	resources.Add(el)
	g.prims = append(g.prims, p)
	g.hosts = append(g.hosts, id)
	st := cib.NewElement("node_state", "remote_node", "true", "id", id, "uname", id)
	g.addState(st, id, nil)
}

func (g *generator) primitiveElement(p *drawnPrimitive) *cib.Element {
	f := strings.Split(p.agent, ":")
	el := cib.NewElement("primitive", "id", p.id, "class", f[0])
	if f[1] != "" {
		el.Set("provider", f[1])
	}
	el.Set("type", f[2])
	return el
}

func (g *generator) primitive(id, top, in string) *cib.Element {
	p := &drawnPrimitive{id: id, agent: "ocf:pacemaker:Dummy", copies: 1, in: in, top: top}
	switch {
	case in == "promotable":
		p.agent = "ocf:pacemaker:Stateful"
	case g.chance(15):
		p.agent = "ocf:heartbeat:IPaddr2"
	case g.chance(8) && in != "unique":
		p.agent = "systemd::apache2"
	}
	el := g.primitiveElement(p)
	if g.chance(35) {
		p.params = []cib.Attr{{Name: "fake", Value: pick(g, "one", "two & three")}}
		el.Add(nvset("instance_attributes", id+"-params", "fake", p.params[0].Value))
	}
	if m := g.metaOf("primitive"); len(m) > 0 {
		el.Add(g.meta(m))
	}
	g.operations(el, p)
	if g.utilization && g.chance(80) {
		el.Add(nvset("utilization", id+"-util", "cpu", strconv.Itoa(g.n(4)), "memory", strconv.Itoa(128*g.n(5))))
	}
	g.prims = append(g.prims, p)
	return el
}

func (g *generator) operations(el *cib.Element, p *drawnPrimitive) {
	if !g.chance(60) && !g.use["onfail"] {
		return
	}
	ops := cib.NewElement("operations")
	add := func(name, interval, role, timeout string) {
		op := cib.NewElement("op", "id", fmt.Sprintf("%s-%s-%s", p.id, name, interval), "name", name, "interval", interval, "timeout", timeout+"s")
		if role != "" {
			op.Set("role", role)
		}
		if g.use["onfail"] && g.chance(35) {
			choices := []string{"ignore", "block", "stop", "restart", "standby"}
			if g.fencing {
				choices = append(choices, "fence")
			}
			if name == "promote" || role == roleNames[1] {
				choices = append(choices, "demote", "demote")
			}
			if name == "stop" {
				choices = []string{"ignore", "block"}
				if g.fencing {
					choices = append(choices, "fence")
				}
			}
			op.Set("on-fail", choices[g.n(len(choices))])
		}
		ops.Add(op)
		if name == "monitor" {
			p.monitors = append(p.monitors, drawnMonitor{strings.TrimSuffix(interval, "s") + "000", timeout + "000", role})
		}
	}
	switch {
	case p.in == "promotable":
		add("monitor", "10s", roleNames[1], "20")
		add("monitor", "11s", roleNames[0], "20")
		if g.chance(30) {
			add("promote", "0", "", "30")
		}
	default:
		add("monitor", "10s", "", "20")
		if g.chance(8) {
			add("monitor", "45s", "Stopped", "20")
		}
	}
	if g.chance(25) {
		add("start", "0", "", "40")
	}
	if g.chance(25) {
		add("stop", "0", "", "40")
	}
	if len(ops.Children) > 0 {
		el.Add(ops)
	}
}

// roleNames are the unpromoted and the promoted role in the spelling that
// schema 3.9 and later versions share.
var roleNames = [2]string{"Unpromoted", "Promoted"}

func (g *generator) metaOf(kind string) []string {
	var m []string
	add := func(k, v string) { m = append(m, k, v) }
	if g.use["stickiness"] && g.chance(40) {
		add("resource-stickiness", pick(g, "0", "1", "100", "INFINITY", "-50"))
	}
	if g.use["targetrole"] && g.chance(25) {
		add("target-role", pick(g, "Stopped", "Stopped", "Started"))
	}
	if g.use["unmanaged"] && g.chance(25) {
		add("is-managed", "false")
	}
	if g.use["maintenance"] && g.chance(15) {
		add("maintenance", "true")
	}
	if g.use["priority"] && g.chance(40) {
		add("priority", pick(g, "5", "10", "-1"))
	}
	if kind == "primitive" {
		if g.use["thresholds"] && g.chance(50) {
			add("migration-threshold", pick(g, "1", "2", "3"))
			if g.chance(40) {
				add("failure-timeout", pick(g, "60s", "1h"))
			}
		}
		if g.use["migration"] && g.chance(70) {
			add("allow-migrate", "true")
		}
		if g.use["multiple"] && g.chance(30) {
			add("multiple-active", pick(g, "stop_only", "block", "stop_start", "stop_unexpected"))
		}
		if g.chance(3) {
			add("requires", pick(g, "nothing", "quorum", "fencing"))
		}
		if g.chance(4) {
			add("critical", "false")
		}
		if g.use["health"] && g.chance(15) {
			add("allow-unhealthy-nodes", "true")
		}
	}
	return m
}

func (g *generator) group(id, top, in string) *cib.Element {
	el := cib.NewElement("group", "id", id)
	if m := g.metaOf("group"); len(m) > 0 {
		el.Add(g.meta(m))
	}
	for i := range 1 + g.n(3) {
		el.Add(g.primitive(fmt.Sprintf("%s-m%d", id, i), top, in))
	}
	return el
}

func (g *generator) clone(id, kind string) *cib.Element {
	el := cib.NewElement("clone", "id", id)
	m := g.metaOf("clone")
	add := func(k, v string) { m = append(m, k, v) }
	limit := len(g.nodes)
	if g.chance(35) {
		limit = 1 + g.n(4)
		add("clone-max", strconv.Itoa(limit))
	}
	if g.chance(40) {
		add("interleave", "true")
	}
	if g.chance(15) {
		add("ordered", "true")
	}
	if g.use["notify"] && g.chance(60) {
		add("notify", "true")
	}
	if g.chance(6) {
		add("clone-min", "2")
	}
	switch kind {
	case "promotable":
		add("promotable", "true")
		if g.chance(30) {
			add("promoted-max", pick(g, "0", "2", "3"))
		}
		if g.use["targetrole"] && g.chance(10) {
			add("target-role", roleNames[0])
		}
	case "unique":
		add("globally-unique", "true")
		if g.chance(60) {
			add("clone-node-max", pick(g, "2", "3"))
		}
	}
	if len(m) > 0 {
		el.Add(g.meta(unrepeated(m)))
	}
	from := len(g.prims)
	if g.use["clonegroup"] && g.chance(40) {
		el.Add(g.group(id+"-g", id, kind))
	} else {
		el.Add(g.primitive(id+"-c", id, kind))
	}
	for _, p := range g.prims[from:] {
		p.copies = limit
	}
	return el
}

// unrepeated drops pairs whose name came before.
func unrepeated(pairs []string) []string {
	var out []string
	seen := map[string]bool{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if !seen[pairs[i]] {
			seen[pairs[i]] = true
			out = append(out, pairs[i], pairs[i+1])
		}
	}
	return out
}

func (g *generator) bundle(id string) *cib.Element {
	replicas := 1 + g.n(3)
	el := cib.NewElement("bundle", "id", id)
	docker := cib.NewElement("docker", "image", "image:1", "replicas", strconv.Itoa(replicas))
	el.Add(docker)
	octet := 100 + 10*g.n(10)
	network := cib.NewElement("network", "ip-range-start", fmt.Sprintf("192.168.1.%d", octet), "control-port", "9999")
	if g.chance(20) {
		network.Unset("ip-range-start") // one replica per host
	} else if g.chance(20) {
		docker.Set("replicas-per-host", "2")
	}
	el.Add(network)
	kind := pick(g, "", "clone", "promotable")
	if kind == "promotable" {
		docker.Set("promoted-max", "1")
	}
	if kind != "" {
		n := len(g.prims)
		el.Add(g.primitive(id+"-c", id, kind))
		g.prims[n].in = "bundle"
		if child := el.Child("primitive"); g.chance(25) {
			child.Add(g.meta([]string{"container-attribute-target", "host"}))
		}
	}
	for i := range replicas {
		node := -1
		if g.chance(60) {
			node = g.n(len(g.nodes))
		}
		if node < 0 {
			continue
		}
		host := g.nodes[node]
		for _, p := range []*drawnPrimitive{
			{id: fmt.Sprintf("%s-ip-192.168.1.%d", id, octet+i), agent: "ocf:heartbeat:IPaddr2"},
			{id: fmt.Sprintf("%s-docker-%d", id, i), agent: "ocf:heartbeat:docker"},
			{id: fmt.Sprintf("%s-%d", id, i), agent: "ocf:pacemaker:remote"},
		} {
			g.startedWithoutDigest(p, host)
		}
		if kind == "" {
			continue
		}
		inside := fmt.Sprintf("%s-%d", id, i)
		g.addState(cib.NewElement("node_state", "remote_node", "true", "id", inside, "uname", inside), inside, nil)
		if g.chance(80) {
			g.startedWithoutDigest(&drawnPrimitive{id: id + "-c", agent: g.prims[len(g.prims)-1].agent}, inside)
		}
	}
	return el
}
