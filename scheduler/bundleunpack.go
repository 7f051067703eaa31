package scheduler

import (
	"fmt"
	"net/netip"
	"strings"

	"gcrm/cib"
)

// Phase 1c, bundles: a bundle becomes container, address and connection
// resources per replica, a node per replica and a clone of its primitive.

type bundleData struct {
	replicas    []*replica
	perHost     int
	promotedMax int
	child       *resource // the clone inside; nil without a primitive
	agent       string    // docker, podman
	image       string
	addrTarget  string
}

type replica struct {
	bundle     *resource
	offset     int
	address    string
	container  *resource
	ip         *resource
	connection *resource
	child      *resource
	node       *node
}

type bundleMount struct {
	source, target, options string
	subdir                  bool
}

type bundlePort struct{ source, target string }

type bundleSpec struct {
	id, image, command, options, network string
	rangeStart, netmask, nic, port       string
	addHost                              bool
	mounts                               []bundleMount
	ports                                []bundlePort
	hosts                                strings.Builder
}

func (e *engine) unpackBundle(r *resource) bool {
	d := &bundleData{perHost: 1}
	r.bundle = d
	spec := &bundleSpec{id: r.id, addHost: true}
	var cont *cib.Element
	for c := range r.xml.Elements() {
		if c.Name == "docker" || c.Name == "podman" {
			cont, d.agent = c, c.Name
			break
		}
	}
	if cont == nil {
		return false
	}
	d.promotedMax = max(0, intOf(firstOf(cont, "promoted-max", "masters"), 0))
	def := d.promotedMax
	if def < 1 {
		def = 1
	}
	replicas := max(1, intOf(cont.Get("replicas"), def))
	d.perHost = max(1, intOf(cont.Get("replicas-per-host"), 1))
	spec.image, spec.command, spec.options, spec.network = cont.Get("image"), cont.Get("run-command"), cont.Get("options"), cont.Get("network")
	d.image = spec.image
	if n := r.xml.Child("network"); n != nil {
		spec.rangeStart, spec.netmask, spec.nic, spec.port = n.Get("ip-range-start"), n.Get("host-netmask"), n.Get("host-interface"), n.Get("control-port")
		spec.addHost = boolOr(n.Get("add-host"), true)
		for m := range n.Named("port-mapping") {
			p := bundlePort{m.Get("port"), m.Get("internal-port")}
			if p.source == "" {
				p.source = m.Get("range")
				p.target = p.source
			} else if p.target == "" {
				p.target = p.source
			}
			if p.source != "" {
				spec.ports = append(spec.ports, p)
			}
		}
	}
	if s := r.xml.Child("storage"); s != nil {
		for m := range s.Named("storage-mapping") {
			mt := bundleMount{source: m.Get("source-dir"), target: m.Get("target-dir"), options: m.Get("options")}
			if mt.source == "" {
				mt.source, mt.subdir = m.Get("source-dir-root"), true
			}
			if mt.source != "" && mt.target != "" {
				spec.mounts = append(spec.mounts, mt)
			}
		}
	}
	prim := r.xml.Child("primitive")
	if prim != nil {
		if spec.rangeStart == "" && spec.port == "" {
			e.fault(r.id, "a resource inside a bundle needs ip-range-start or control-port")
			return false
		}
		if spec.rangeStart == "" && d.perHost > 1 {
			d.perHost = 1
		}
		port := spec.port
		if port == "" {
			port = "3121"
		}
		spec.ports = append(spec.ports, bundlePort{port, port})
		spec.mounts = append(spec.mounts,
			bundleMount{source: "/etc/pacemaker/authkey", target: "/etc/pacemaker/authkey"},
			bundleMount{source: "/var/log/pacemaker/bundles", target: "/var/log", subdir: true})
		if d.child = e.unpackResource(bundleClone(r, d, prim, replicas), r, ""); d.child == nil {
			return false
		}
	}
	r.unique = d.perHost > 1
	if d.child != nil {
		// A replica for each instance: there may be fewer than were asked for,
		// of agents that cannot be unique.
		replicas = len(d.child.children)
	}
	last := ""
	for i := range replicas {
		rep := &replica{bundle: r, offset: i}
		if d.child != nil {
			rep.child = d.child.children[i]
			rep.child.exclusiveProbes = true
			if rep.child.notify {
				d.child.notify = true
			}
			if v, ok := rep.child.meta.get("container-attribute-target"); ok {
				d.addrTarget = v
			}
		}
		if spec.rangeStart != "" {
			if last == "" {
				rep.address = spec.rangeStart
			} else {
				rep.address = nextAddress(last)
			}
			last = rep.address
			if spec.addHost {
				fmt.Fprintf(&spec.hosts, " --add-host=%s-%d:%s", r.id, i, rep.address)
			} else {
				fmt.Fprintf(&spec.hosts, " --hosts-entry=%s=%s-%d", rep.address, r.id, i)
			}
		}
		d.replicas = append(d.replicas, rep)
	}
	if d.addrTarget != "" {
		r.meta.setNew("container-attribute-target", d.addrTarget)
		d.child.meta.setNew("container-attribute-target", d.addrTarget)
	}
	for _, rep := range d.replicas {
		if !e.makeReplica(r, d, spec, rep) {
			return false
		}
	}
	if d.child != nil {
		r.children = append(r.children, d.child)
	}
	return true
}

func firstOf(el *cib.Element, names ...string) string {
	for _, n := range names {
		if v, ok := el.Lookup(n); ok {
			return v
		}
	}
	return ""
}

func bundleClone(r *resource, d *bundleData, prim *cib.Element, replicas int) *cib.Element {
	id := r.id + "-clone"
	if d.promotedMax > 0 {
		id = r.id + "-master"
	}
	meta := cib.NewElement("meta_attributes", "id", id+"-meta")
	pair := func(k, v string) {
		meta.Add(cib.NewElement("nvpair", "id", id+"-meta-"+k, "name", k, "value", v))
	}
	pair("ordered", "true")
	pair("clone-max", itoa(replicas))
	pair("clone-node-max", itoa(d.perHost))
	pair("globally-unique", boolText(d.perHost > 1))
	if d.promotedMax > 0 {
		pair("promotable", "true")
		pair("promoted-max", itoa(d.promotedMax))
	}
	return cib.NewElement("clone", "id", id).Add(meta, prim)
}

func nextAddress(a string) string {
	ip, err := netip.ParseAddr(a)
	if err != nil {
		return ""
	}
	return ip.Next().String()
}

func (e *engine) makeReplica(r *resource, d *bundleData, spec *bundleSpec, rep *replica) bool {
	tag := func(x *resource) {
		x.replica = rep
		r.children = append(r.children, x)
	}
	if rep.container = e.unpackResource(containerXML(d, spec, rep), r, ""); rep.container == nil {
		return false
	}
	rep.container.replicaContainer = true
	tag(rep.container)
	if rep.address != "" {
		if rep.ip = e.unpackResource(addressXML(spec, rep), r, ""); rep.ip == nil {
			return false
		}
		tag(rep.ip)
	}
	if rep.child == nil {
		return true
	}
	rep.child.replica = rep
	if rep.address != "" {
		rep.child.meta.setNew("external-ip", rep.address)
	}
	if rep.child.utilization != nil {
		rep.container.utilization, rep.child.utilization = rep.child.utilization, nil
	}
	return e.makeReplicaNode(r, spec, rep, tag)
}

// makeReplicaNode creates the bundle node and its connection, and keeps all
// other resources away from the node.
func (e *engine) makeReplicaNode(r *resource, spec *bundleSpec, rep *replica, tag func(*resource)) bool {
	name := fmt.Sprintf("%s-%d", r.id, rep.offset)
	addr, port := rep.address, spec.port
	if addr == "" {
		addr = "#uname"
	}
	if port == "" {
		port = "3121"
	}
	el := connectionXML(name, rep.container.id, "", "", "", addr, port)
	n := e.findNode(name)
	if n == nil {
		n = e.addNode(name, name, true, "-INFINITY")
	} else {
		n.baseScore = -infinity
	}
	n.forBundle = true
	rep.node = n
	disallow := func(x *resource) {}
	disallow = func(x *resource) {
		if s := x.allowed.get(n); s != nil {
			s.score, s.probe = -infinity, probeNever
			e.trace.add(x, n, -infinity, cause{by: ByContainer, rsc: r})
		}
		for _, c := range x.children {
			disallow(c)
		}
	}
	for _, x := range e.resources {
		disallow(x)
	}
	rep.child.allowed = nil
	rep.child.allowed.put(n, 500).probe = probeExclusive
	rep.child.parent.allowed.put(n, -infinity).probe = probeExclusive
	e.trace.forget(rep.child)
	e.trace.set(rep.child, n, 500, cause{by: ByContainer, rsc: rep.container})
	e.trace.set(rep.child.parent, n, -infinity, cause{by: ByContainer, rsc: rep.container})
	if rep.connection = e.unpackResource(el, r, ""); rep.connection == nil {
		return false
	}
	c := rep.connection
	for _, m := range e.nodes {
		if s := c.allowed.get(m); s != nil && m.remote {
			s.score = -infinity
			e.trace.add(c, m, -infinity, cause{by: ByNodeKind})
		}
	}
	n.connection = c
	c.launcher = rep.container
	n.attrs["#kind"] = "container"
	e.haveGuests = true
	c.nestedRemoteOK = true
	tag(c)
	return true
}

func nvset(name, id string, pairs ...string) *cib.Element {
	set := cib.NewElement(name, "id", id)
	for i := 0; i+1 < len(pairs); i += 2 {
		set.Add(&cib.Element{Name: "nvpair", Attrs: []cib.Attr{
			{Name: "id", Value: id + "-" + pairs[i]}, {Name: "name", Value: pairs[i]}, {Name: "value", Value: pairs[i+1]}}})
	}
	return set
}

func containerXML(d *bundleData, s *bundleSpec, rep *replica) *cib.Element {
	id := fmt.Sprintf("%s-%s-%d", s.id, d.agent, rep.offset)
	var run strings.Builder
	if d.agent == "docker" {
		run.WriteString(" --restart=no")
	}
	if s.rangeStart != "" {
		fmt.Fprintf(&run, " -h %s-%d", s.id, rep.offset)
	}
	run.WriteString(" -e PCMK_stderr=1")
	if s.network != "" {
		run.WriteString(" --net=" + s.network)
	}
	if s.port != "" {
		run.WriteString(" -e PCMK_remote_port=" + s.port)
	} else {
		run.WriteString(" -e PCMK_remote_port=3121")
	}
	var dirs []string
	for _, m := range s.mounts {
		src := m.source
		if m.subdir {
			src = fmt.Sprintf("%s/%s-%d", m.source, s.id, rep.offset)
			dirs = append(dirs, src)
		}
		run.WriteString(" -v " + src + ":" + m.target)
		if m.options != "" {
			run.WriteString(":" + m.options)
		}
	}
	for _, p := range s.ports {
		if rep.address != "" {
			run.WriteString(" -p " + rep.address + ":" + p.source + ":" + p.target)
		} else if s.network != "host" {
			run.WriteString(" -p " + p.source + ":" + p.target)
		}
	}
	if s.options != "" {
		run.WriteString(" " + s.options)
	}
	run.WriteString(" " + s.hosts.String())
	pairs := []string{"image", s.image, "allow_pull", "true", "force_kill", "false", "reuse", "false",
		"run_opts", run.String(), "mount_points", strings.Join(dirs, ",")}
	if s.command != "" {
		pairs = append(pairs, "run_cmd", s.command)
	} else if rep.child != nil {
		pairs = append(pairs, "run_cmd", "/usr/sbin/pacemaker-remoted")
	}
	pairs = append(pairs, "monitor_cmd", "/bin/true")
	return cib.NewElement("primitive", "id", id, "class", "ocf", "provider", "heartbeat", "type", d.agent).Add(
		nvset("instance_attributes", id+"-attributes", pairs...),
		cib.NewElement("operations").Add(cib.NewElement("op", "id", id+"-monitor-60s", "name", "monitor", "interval", "60s")))
}

func addressXML(s *bundleSpec, rep *replica) *cib.Element {
	id := s.id + "-ip-" + strings.ReplaceAll(rep.address, ":", ".")
	pairs := []string{"ip", rep.address}
	if s.nic != "" {
		pairs = append(pairs, "nic", s.nic)
	}
	mask := s.netmask
	if mask == "" {
		mask = "32"
	}
	pairs = append(pairs, "cidr_netmask", mask)
	return cib.NewElement("primitive", "id", id, "class", "ocf", "provider", "heartbeat", "type", "IPaddr2").Add(
		nvset("instance_attributes", id+"-attributes", pairs...),
		cib.NewElement("operations").Add(cib.NewElement("op", "id", id+"-monitor-60s", "name", "monitor", "interval", "60s")))
}
