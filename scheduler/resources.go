package scheduler

import (
	"maps"
	"slices"
	"strings"
	"time"

	"gcrm/cib"
)

// Phase 1c: resources. Before: nodes. After: the tree of resources with
// resolved meta-attributes, flags and allowed nodes; the top level is sorted
// by priority. The status is not read yet.

func (e *engine) unpackResources(list []*cib.Element) {
	for _, el := range list {
		switch el.Name {
		case "primitive", "group", "clone", "master", "bundle":
		default:
			continue
		}
		if el = withoutDropped(el, e.templates); el == nil {
			continue
		}
		r := e.unpackResource(el, nil, "")
		if r == nil {
			e.fault(el.ID(), "the resource cannot be used: its definition is not valid")
			continue
		}
		e.resources = append(e.resources, r)
	}
	for _, r := range e.resources {
		e.linkLaunchers(r)
		e.linkConnections(r)
	}
	slices.SortStableFunc(e.resources, func(a, b *resource) int { return b.priority - a.priority })
}

func (e *engine) linkLaunchers(r *resource) {
	if id, ok := r.meta.get("container"); ok && r.isPrimitive() {
		if l := e.rscByID[id]; l != nil && l != r && l.isPrimitive() {
			r.launcher = l
			if !slices.Contains(l.launched, r) {
				l.launched = append(l.launched, r)
			}
		} else {
			e.fault(r.id, "its container "+id+" does not exist")
		}
	}
	for _, c := range r.children {
		e.linkLaunchers(c)
	}
}

// linkConnections ties remote and guest nodes to their connections.
func (e *engine) linkConnections(r *resource) {
	if r.isRemoteConn {
		if n := e.nodeByID[r.id]; n != nil {
			e.linkConnection(r, n)
		} else if n := e.findNode(r.id); n != nil {
			e.linkConnection(r, n)
		}
	}
	for _, c := range r.children {
		e.linkConnections(c)
	}
}

func (e *engine) linkConnection(r *resource, n *node) {
	n.connection = r
	if r.launcher == nil {
		e.haveRemote = true
		if e.opt.startupFencing && e.opt.fencing {
			n.unclean = true
		}
		n.unseen = true
	} else {
		e.haveGuests = true
		n.attrs["#kind"] = "container"
	}
}

// unpackResource builds a resource and all below it. incarnation is the
// instance number inside a clone.
func (e *engine) unpackResource(orig *cib.Element, parent *resource, incarnation string) *resource {
	el := e.expandTemplate(orig)
	if el == nil {
		return nil
	}
	r := &resource{xml: el, parent: parent, id: el.ID(), unprovisioned: true, critical: true}
	if r.id == "" {
		return nil
	}
	switch el.Name {
	case "primitive":
		r.variant = vPrimitive
		r.class, r.provider, r.typ = el.Get("class"), el.Get("provider"), el.Get("type")
		if r.class == "" {
			return nil
		}
	case "group":
		r.variant = vGroup
	case "clone", "master":
		r.variant = vClone
	case "bundle":
		r.variant = vBundle
	default:
		return nil
	}
	if incarnation != "" {
		r.id += ":" + incarnation
	}
	for c := range el.Named("operations") {
		r.ops = e.deref(c)
	}
	e.resolveMeta(r)
	r.sets.dynamic = e.dynamicParams(r)
	e.unpackFlags(r)
	if e.rscByID[r.id] == nil {
		e.rscByID[r.id] = r
	}

	ok := true
	switch r.variant {
	case vGroup:
		ok = e.unpackGroup(r, incarnation)
	case vClone:
		ok = e.unpackClone(r)
	case vBundle:
		ok = e.unpackBundle(r)
	}
	if !ok {
		// constraints must not find what cannot be used
		maps.DeleteFunc(e.rscByID, func(_ string, x *resource) bool { return r.isAncestor(x) })
		return nil
	}
	// only now, so that a bundle does not take its own nodes for usable
	if e.opt.symmetric || r.launcherID() != "" && r.isRemoteConn {
		e.defaultLocations(r)
	}
	if r.isPrimitive() {
		var u table
		in := r.ruleInput()
		e.unpackSets(r.xml, "utilization", &in, false, "", &u)
		for _, a := range u {
			if r.utilization == nil {
				r.utilization = &capacities{}
			}
			r.utilization.setNew(a.Name, intOf(a.Value, 0))
		}
	}
	return r
}

func (r *resource) launcherID() string { return r.meta.val("container") }

// defaultLocations allows r on every node there is. (All below it had that when
// it was unpacked.)
func (e *engine) defaultLocations(r *resource) {
	if r.exclusiveProbes {
		return
	}
	for _, n := range e.nodes {
		if !n.forBundle && !r.allowed.has(n) {
			r.allowed.put(n, n.baseScore)
			e.trace.set(r, n, n.baseScore, cause{by: ByNodeScore, node: n})
		}
	}
}

// addNodeScore adds to the score of a node for r and all below it.
func (e *engine) addNodeScore(r *resource, n *node, score int, why cause) {
	for _, c := range r.children {
		e.addNodeScore(c, n, score, why)
	}
	s := r.allowed.get(n)
	if s == nil {
		s = r.allowed.put(n, n.baseScore)
		e.trace.set(r, n, n.baseScore, cause{by: ByNodeScore, node: n})
	}
	s.add(score)
	e.trace.add(r, n, score, why)
}

// ban adds -INFINITY on one node, or with nil on all.
func (e *engine) ban(r *resource, n *node, why cause) {
	if n != nil {
		e.addNodeScore(r, n, -infinity, why)
		return
	}
	for _, m := range e.nodes {
		e.addNodeScore(r, m, -infinity, why)
	}
	if r.assigned != nil {
		r.assigned = nil
	}
}

func (e *engine) unpackFlags(r *resource) {
	m := r.meta
	r.role, r.nextRole = roleStopped, roleUnknown
	if v, ok := m.get("priority"); ok {
		r.priority, _ = parseScore(v)
	}
	r.critical = boolOr(m.val("critical"), true)
	r.managed = !e.opt.maintenance
	if v, ok := parseBool(m.val("is-managed")); ok && !e.opt.maintenance {
		r.managed = v
	} else if ok && !v {
		r.managed = false
	}
	if isTrue(m.val("maintenance")) || e.opt.maintenance {
		r.managed, r.maintenance = false, true
	}
	r.internal = isTrue(m.val("internal-rsc"))
	r.notify = isTrue(m.val("notify"))
	if r.isPrimitive() && isRemoteConnection(r.xml) {
		r.isRemoteConn = true
		r.migratable = boolOr(m.val("allow-migrate"), r.launcherID() == "")
	} else {
		r.migratable = isTrue(m.val("allow-migrate"))
	}
	top := r.top(true)
	inClone := top.variant >= vClone
	if inClone {
		// also where the clone cannot be unique although it is told to be
		r.unique = isTrue(m.val("globally-unique"))
	} else {
		r.unique = true
	}
	if r.variant == vClone {
		r.promotable = r.xml.Name == "master" || isTrue(m.val("promotable"))
		v, ok := m.get("globally-unique")
		if ok {
			r.unique = isTrue(v)
		} else {
			r.unique = intOf(m.val("clone-node-max"), 1) > 1 && !e.older.has(olderUnique)
		}
	} else if r.parent != nil && r.parent.promotable {
		r.promotable = true
	}
	switch m.val("multiple-active") {
	case "stop_only":
		r.multi = maStopOnly
	case "block":
		r.multi = maBlock
	case "stop_unexpected":
		r.multi = maUnexpected
	}
	if v, ok := m.get("resource-stickiness"); ok && v != "default" {
		r.stickiness, _ = parseScore(v)
	}
	r.migrationThreshold = infinity
	if v, ok := m.get("migration-threshold"); ok {
		if n, ok := parseScore(v); ok && n >= 0 {
			r.migrationThreshold = n
		}
	}
	if r.class == "stonith" {
		e.haveFencing = true
		r.fenceDevice = true
	}
	e.unpackRequires(r)
	if v, ok := m.get("failure-timeout"); ok {
		if ms, ok := parseDuration(v); ok && ms > 0 {
			r.failureTimeout = time.Duration(secondsOf(ms)) * time.Second
		}
	}
	if r.isRemoteConn {
		if v, ok := e.params(r, nil).get("reconnect_interval"); ok {
			r.reconnectInterval = time.Duration(parseInterval(v)) * time.Millisecond
			if r.reconnectInterval > 0 {
				r.failureTimeout = r.reconnectInterval
			}
		}
	}
	e.unpackTargetRole(r)
}

func (e *engine) unpackTargetRole(r *resource) {
	v, ok := r.meta.get("target-role")
	if !ok || strings.EqualFold(v, "started") || strings.EqualFold(v, "default") {
		return
	}
	role, ok := parseRole(v)
	if !ok {
		e.fault(r.id, "target-role "+v+" is not a role")
		return
	}
	switch role {
	case roleStopped:
		r.nextRole = roleStopped
	case roleUnpromoted:
		if r.top(true).promotable || r.promotable {
			r.nextRole = roleUnpromoted
		}
	}
}

func (e *engine) unpackRequires(r *resource) {
	v := r.meta.val("requires")
	set := func(quorum, fencing, unfencing bool) {
		r.needsQuorum, r.needsFencing, r.needsUnfencing = quorum, fencing, unfencing
	}
	def := func() {
		switch {
		case r.fenceDevice || (r.isRemoteConn && r.isPrimitive()):
			v = "quorum"
		case e.opt.unfencing && r.isPrimitive():
			v = "unfencing"
		case e.opt.fencing:
			v = "fencing"
		case e.opt.noQuorum == quorumIgnore:
			v = "nothing"
		default:
			v = "quorum"
		}
	}
	switch v {
	case "nothing", "quorum", "fencing", "unfencing":
	default:
		def()
	}
	if v == "unfencing" {
		if r.fenceDevice {
			v = "quorum"
		} else if !e.opt.fencing {
			v = "quorum"
		}
	}
	switch v {
	case "nothing":
		set(false, false, false)
	case "quorum":
		set(true, false, false)
	case "fencing":
		set(true, true, false)
		if !e.opt.fencing {
			e.warn(r.id, "requires fencing but fencing is disabled")
		}
	case "unfencing":
		set(true, true, true)
	}
}
