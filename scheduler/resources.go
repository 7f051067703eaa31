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

type templateUse struct {
	el    *cib.Element
	users []string // resources made from it, in document order
}

// paramSets says whether instance attributes depend on rules or the node.
type paramSets struct {
	dynamic bool
}

type paramResult struct {
	node *node
	t    table
}

func (e *engine) unpackTemplatesAndTags() {
	conf := e.doc.Configuration()
	for el := range conf.Child("resources").Named("template") {
		e.templates[el.ID()] = &templateUse{el: el}
	}
	conf.Child("resources").Walk(func(el *cib.Element) bool {
		if t := e.templates[el.Get("template")]; t != nil && el.Name == "primitive" {
			t.users = append(t.users, el.ID())
		}
		return true
	})
	for el := range conf.Child("tags").Named("tag") {
		for ref := range el.Named("obj_ref") {
			id := el.ID()
			if !slices.Contains(e.tags[id], ref.ID()) {
				e.tags[id] = append(e.tags[id], ref.ID())
			}
		}
	}
}

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

// expandTemplate merges a resource element with its template.
func (e *engine) expandTemplate(el *cib.Element) *cib.Element {
	name := el.Get("template")
	if name == "" {
		return el
	}
	t := e.templates[name]
	if t == nil || name == el.ID() {
		e.fault(el.ID(), "its template "+name+" does not exist")
		return nil
	}
	m := &cib.Element{Name: el.Name}
	for _, a := range t.el.Attrs {
		if a.Name != "id" {
			m.Attrs = append(m.Attrs, a)
		}
	}
	for _, a := range el.Attrs {
		if a.Name != "template" {
			m.Set(a.Name, a.Value)
		}
	}
	m.Children = append(m.Children, t.el.Children...)
	m.Children = append(m.Children, el.Children...)
	var tops, own *cib.Element
	for c := range t.el.Named("operations") {
		tops = e.deref(c)
	}
	for c := range el.Named("operations") {
		own = e.deref(c)
	}
	if tops != nil && own != nil {
		merged := &cib.Element{Name: "operations"}
		roleClass := func(op *cib.Element) string {
			switch r, _ := parseRole(op.Get("role")); r {
			case rolePromoted:
				return "promoted"
			case roleStopped:
				return "stopped"
			}
			return "started"
		}
		for op := range tops.Named("op") {
			replaced := false
			for o := range own.Named("op") {
				if o.Get("name") == op.Get("name") && roleClass(o) == roleClass(op) {
					replaced = true
				}
			}
			if !replaced {
				merged.Children = append(merged.Children, op)
			}
		}
		merged.Children = append(merged.Children, own.Children...)
		m.Children = slices.DeleteFunc(m.Children, func(c *cib.Element) bool { return c.Name == "operations" })
		m.Children = append(m.Children, merged)
	}
	return m
}

func (r *resource) ruleInput() ruleInput {
	return ruleInput{class: r.class, provider: r.provider, typ: r.typ, hasRsc: r.isPrimitive(), rsc: r}
}

// resolveMeta computes the meta-attributes of a resource.
func (e *engine) resolveMeta(r *resource) {
	for _, a := range r.xml.Attrs {
		switch a.Name {
		case "class", "provider", "type", "id", "template", "description":
			continue
		}
		r.meta.set(a.Name, a.Value)
	}
	in := r.ruleInput()
	e.unpackSets(r.xml, "meta_attributes", &in, false, "", &r.meta)
	for p := r.parent; p != nil; p = p.parent {
		e.unpackSets(p.xml, "meta_attributes", &in, false, "", &r.meta)
	}
	e.unpackSets(e.rscDefaults, "meta_attributes", &in, false, "", &r.meta)
	if r.parent != nil {
		for _, a := range r.parent.meta {
			r.meta.setNew(a.Name, a.Value)
		}
	}
}

// params returns the instance attributes of r as evaluated for node n (nil:
// without node attributes).
func (e *engine) params(r *resource, n *node) table {
	if !r.sets.dynamic {
		n = nil
	}
	for i := range r.paramCache {
		if r.paramCache[i].node == n {
			return r.paramCache[i].t
		}
	}
	in := r.ruleInput()
	in.node = n
	var t table
	for p := r; p != nil; p = p.parent {
		e.unpackSets(p.xml, "instance_attributes", &in, false, "", &t)
	}
	e.unpackSets(e.rscDefaults, "instance_attributes", &in, false, "", &t)
	r.paramCache = append(r.paramCache, paramResult{n, t})
	return t
}

// dynamicParams reports whether instance attributes have rules.
func (e *engine) dynamicParams(r *resource) bool {
	for p := r; p != nil; p = p.parent {
		for _, c := range p.xml.Children {
			if c.Name == "instance_attributes" && hasRules(e.deref(c)) {
				return true
			}
		}
	}
	return e.rscDefaults != nil && slices.ContainsFunc(e.rscDefaults.Children, func(c *cib.Element) bool {
		return c.Name == "instance_attributes"
	})
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

func (e *engine) unpackGroup(r *resource, incarnation string) bool {
	r.group = &groupData{ordered: boolOr(r.meta.val("ordered"), true), colocated: true}
	if v, ok := r.meta.get("collocated"); ok {
		r.group.colocated = isTrue(v)
	}
	for m := range r.xml.Named("primitive") {
		c := e.unpackResource(m, r, incarnation)
		if c == nil {
			continue
		}
		r.children = append(r.children, c)
	}
	return true
}

func (e *engine) unpackClone(r *resource) bool {
	d := &cloneData{promotedMax: 1, promotedPer: 1}
	r.clone = d
	for c := range r.xml.Elements() {
		if c.Name == "primitive" || c.Name == "group" {
			d.childXML = c
			break
		}
	}
	if d.childXML == nil {
		return false
	}
	d.childName = d.childXML.ID()
	d.max = max(1, len(e.nodes))
	if v, ok := r.meta.get("clone-max"); ok {
		d.max = max(0, intOf(v, d.max))
	}
	d.nodeMax = 1
	if v, ok := r.meta.get("clone-node-max"); ok {
		d.nodeMax = max(0, intOf(v, 1))
	}
	if !e.childCanBeUnique(d.childXML) && r.unique {
		r.unique, d.forced = false, true
		d.max = min(d.max, max(1, len(e.nodes)))
	}
	if !r.unique {
		d.nodeMax = min(d.nodeMax, 1)
	}
	if r.promotable {
		num := func(def int, names ...string) int {
			for _, n := range names {
				if v, ok := r.meta.get(n); ok {
					return max(0, intOf(v, def))
				}
			}
			return def
		}
		d.promotedMax = num(1, "promoted-max", "master-max")
		d.promotedPer = num(1, "promoted-node-max", "master-node-max")
	}
	d.ordered = isTrue(r.meta.val("ordered"))
	d.interleave = isTrue(r.meta.val("interleave"))
	d.minInstances = max(0, intOf(r.meta.val("clone-min"), 0))
	if !r.meta.has("resource-stickiness") {
		r.meta.set("resource-stickiness", "1")
		r.stickiness = 1
	}
	r.meta.set("globally-unique", boolText(r.unique))
	for range d.max {
		if e.newInstance(r, false) == nil {
			return false
		}
	}
	if d.max == 0 {
		e.newInstance(r, true)
	}
	return true
}

func boolText(v bool) string {
	if v {
		return "true"
	}
	return "false"
}

// childCanBeUnique reports whether a clone of this child can be globally
// unique: ocf and stonith agents can.
func (e *engine) childCanBeUnique(el *cib.Element) bool {
	ok := true
	el.Walk(func(c *cib.Element) bool {
		if c.Name == "primitive" {
			class := c.Get("class")
			if t := e.templates[c.Get("template")]; t != nil && class == "" {
				class = t.el.Get("class")
			}
			ok = ok && uniqueClass(class)
		}
		return c.Name == "group"
	})
	return ok
}

func uniqueClass(class string) bool { return class == "ocf" || class == "stonith" }

func clearUnique(r *resource) {
	r.unique = false
	r.meta.set("globally-unique", "false")
}

// newInstance appends an instance to a clone. Removed instances are those
// that exist only because the history mentions them.
func (e *engine) newInstance(r *resource, removed bool) *resource {
	d := r.clone
	c := e.unpackResource(d.childXML, r, itoa(d.nextNum))
	if c == nil {
		return nil
	}
	if d.forced {
		// Quirk of the reference: each instance that turns out not to be
		// unique tells those before it, but not all of itself.
		for _, before := range r.children {
			before.eachBelow(clearUnique)
		}
		c.eachLeaf(func(l *resource) {
			if !uniqueClass(l.class) {
				clearUnique(l)
			}
		})
	}
	d.nextNum++
	r.children = append(r.children, c)
	if removed {
		setRemoved(c)
	}
	return c
}

func setRemoved(r *resource) {
	r.removed = true
	for _, c := range r.children {
		setRemoved(c)
	}
}

// findOp returns the configured operation of a task and interval. A
// disabled one counts only if includeDisabled.
func (e *engine) findOp(r *resource, task string, interval int64, includeDisabled bool) *cib.Element {
	if r.ops == nil {
		return nil
	}
	for _, op := range r.ops.Children {
		if op.Name != "op" {
			continue
		}
		op = e.deref(op)
		if op.Get("name") != task || parseInterval(op.Get("interval")) != interval {
			continue
		}
		if !includeDisabled && !boolOr(op.Get("enabled"), true) {
			continue
		}
		return op
	}
	return nil
}

// opFor is findOp, disabled operations included; both halves of a migration may
// be configured as "migrate".
func (e *engine) opFor(r *resource, task string, interval int64) *cib.Element {
	if op := e.findOp(r, task, interval, true); op != nil {
		return op
	}
	if task == taskMigrateTo || task == taskMigrateFrom {
		return e.findOp(r, "migrate", 0, true)
	}
	return nil
}
