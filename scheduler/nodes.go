package scheduler

import (
	"slices"
	"strings"

	"gcrm/cib"
)

// Phase 1b: nodes of the configuration. Before: options. After: a node for
// every <node>, every remote connection and every remote-node
// meta-attribute; bundle nodes follow while resources are unpacked. Nothing
// of the status is known, so nodes are offline (and unclean, if start-up
// fencing is on).

func (e *engine) addNode(id, name string, remote bool, baseScore string) *node {
	n := &node{index: len(e.nodes), id: id, name: name, remote: remote, attrs: map[string]string{}}
	if s, ok := e.score(baseScore); ok {
		n.baseScore = s
	}
	e.nodes = append(e.nodes, n)
	at, _ := slices.BinarySearchFunc(e.sorted, n, func(a, b *node) int {
		if c := compareNames(a.name, b.name); c != 0 {
			return c
		}
		return -1
	})
	e.sorted = slices.Insert(e.sorted, at, n)
	for i := at; i < len(e.sorted); i++ {
		e.sorted[i].rank = i
	}
	if _, dup := e.nodeByID[id]; !dup {
		e.nodeByID[id] = n
	}
	key := strings.ToLower(name)
	if _, dup := e.nodeNamed[key]; !dup {
		e.nodeNamed[key] = n
	}
	n.attrs["#kind"] = "cluster"
	if remote {
		n.attrs["#kind"] = "remote"
	}
	return n
}

func (e *engine) findNode(name string) *node { return e.nodeNamed[strings.ToLower(name)] }

// nodeFor finds a node by id, then by name.
func (e *engine) nodeFor(id, name string) *node {
	if n := e.nodeByID[id]; n != nil && id != "" {
		return n
	}
	if name == "" {
		return nil
	}
	return e.findNode(name)
}

func (e *engine) unpackNodes() {
	for el := range e.doc.Configuration().Child("nodes").Named("node") {
		name := el.Get("uname")
		id := el.ID()
		if id == "" {
			e.fault(name, "a node without an id is ignored")
			continue
		}
		if name == "" {
			name = id
		}
		typ := el.Get("type")
		n := e.addNode(id, name, typ == "remote", el.Get("score"))
		n.xml = el
		if !n.remote {
			n.unclean = e.opt.startupFencing && e.opt.fencing
			n.unseen = true
		}
		e.nodeAttributes(el, n, false)
	}
}

// nodeAttributes takes over the attributes of a node element or of transient
// attributes (overwrite).
func (e *engine) nodeAttributes(el *cib.Element, n *node, overwrite bool) {
	n.attrs["#uname"], n.attrs["#id"] = n.name, n.id
	n.attrs["#is_dc"] = "false"
	if n.id == e.doc.Root.Get("dc-uuid") {
		n.dc, e.dcNode = true, n
		n.attrs["#is_dc"] = "true"
	}
	if e.opt.clusterName != "" {
		n.attrs["#cluster-name"] = e.opt.clusterName
	}
	var t table
	e.unpackSets(el, "instance_attributes", &ruleInput{node: n}, true, "", &t)
	for _, a := range t {
		if _, have := n.attrs[a.Name]; have && !overwrite {
			continue
		}
		n.attrs[a.Name] = a.Value
		e.noteFailAttr(n, a.Name, a.Value)
	}
	var u table
	e.unpackSets(el, "utilization", &ruleInput{node: n}, true, "", &u)
	for _, a := range u {
		if n.utilization == nil {
			n.utilization = &capacities{}
		}
		n.utilization.setNew(a.Name, intOf(a.Value, 0))
	}
	if site, ok := n.attrs["site-name"]; ok {
		n.attrs["#site-name"] = site
	} else if e.opt.clusterName != "" {
		n.attrs["#site-name"] = e.opt.clusterName
	}
}

// noteFailAttr indexes fail counts by resource.
func (e *engine) noteFailAttr(n *node, name, value string) {
	last := false
	rest, ok := strings.CutPrefix(name, "fail-count-")
	if !ok {
		rest, last = strings.CutPrefix(name, "last-failure-")
		if !last {
			return
		}
	}
	rsc, op, ok := strings.Cut(rest, "#")
	if !ok {
		return
	}
	if n.failCounts == nil {
		n.failCounts = map[string][]failEntry{}
	}
	key := stripInstance(rsc)
	list := n.failCounts[key]
	i := slices.IndexFunc(list, func(f failEntry) bool { return f.rsc == rsc && f.op == op })
	if i < 0 {
		i = len(list)
		list = append(list, failEntry{rsc: rsc, op: op})
	}
	if last {
		list[i].last = epochOf(value)
	} else {
		list[i].count, _ = parseScore(value)
	}
	n.failCounts[key] = list
}

// implicitConnections creates nodes for remote connections, and the
// connections of guest nodes, which are returned as resource elements.
func (e *engine) implicitConnections(resources *cib.Element) []*cib.Element {
	var made []*cib.Element
	ids := map[string]bool{}
	resources.Walk(func(el *cib.Element) bool {
		if el.Name == "primitive" || el.Name == "group" || el.Name == "clone" || el.Name == "master" || el.Name == "bundle" || el.Name == "resources" {
			ids[el.ID()] = true
			return true
		}
		return false
	})
	guest := func(el *cib.Element) {
		c := guestConnection(el)
		if c == nil || ids[c.ID()] {
			return
		}
		ids[c.ID()] = true
		made = append(made, c)
		if e.findNode(c.ID()) == nil {
			e.addNode(c.ID(), c.ID(), true, "")
		}
	}
	for el := range resources.Elements() {
		if isRemoteConnection(el) {
			if el.ID() != "" && e.findNode(el.ID()) == nil {
				e.addNode(el.ID(), el.ID(), true, "")
			}
			continue
		}
		switch el.Name {
		case "primitive":
			guest(el)
		case "group":
			for m := range el.Named("primitive") {
				guest(m)
			}
		}
	}
	return made
}

func isRemoteConnection(el *cib.Element) bool {
	return el.Name == "primitive" && el.Get("class") == "ocf" && el.Get("provider") == "pacemaker" && el.Get("type") == "remote"
}

// guestConnection makes the connection resource of a primitive with a
// remote-node meta-attribute; nil if it has none.
func guestConnection(el *cib.Element) *cib.Element {
	var name, addr, port, migrate, managed string
	timeout := "60s"
	for set := range el.Named("meta_attributes") {
		for p := range set.Named("nvpair") {
			v := p.Get("value")
			switch p.Get("name") {
			case "remote-node":
				name = v
			case "remote-addr":
				addr = v
			case "remote-port":
				port = v
			case "remote-connect-timeout":
				timeout = v
			case "remote-allow-migrate":
				migrate = v
			case "is-managed":
				managed = v
			}
		}
	}
	if name == "" {
		return nil
	}
	return connectionXML(name, el.ID(), migrate, managed, timeout, addr, port)
}

// connectionXML builds a remote connection resource for a guest or bundle node.
func connectionXML(name, launcher, migrate, managed, timeout, addr, port string) *cib.Element {
	pair := func(set, k, v string) *cib.Element {
		return cib.NewElement("nvpair", "id", set+"-"+k, "name", k, "value", v)
	}
	meta := cib.NewElement("meta_attributes", "id", name+"-meta")
	if launcher != "" {
		meta.Add(pair(name+"-meta", "container", launcher))
	}
	meta.Add(pair(name+"-meta", "internal-rsc", "true"))
	if migrate != "" {
		meta.Add(pair(name+"-meta", "allow-migrate", migrate))
	}
	if managed != "" {
		meta.Add(pair(name+"-meta", "is-managed", managed))
	}
	ops := cib.NewElement("operations").Add(
		cib.NewElement("op", "id", name+"-monitor-interval-30s", "name", "monitor", "interval", "30s", "timeout", "30s"))
	if timeout != "" {
		ops.Add(cib.NewElement("op", "id", name+"-start-interval-0", "name", "start", "interval", "0", "timeout", timeout))
	}
	el := cib.NewElement("primitive", "id", name, "class", "ocf", "provider", "pacemaker", "type", "remote").Add(meta, ops)
	params := cib.NewElement("instance_attributes", "id", name+"-params")
	if addr != "" {
		params.Add(pair(name+"-params", "addr", addr))
	}
	if port != "" {
		params.Add(pair(name+"-params", "port", port))
	}
	if len(params.Children) > 0 {
		el.Add(params)
	}
	return el
}
