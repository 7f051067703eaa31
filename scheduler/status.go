package scheduler

import (
	"slices"

	"gcrm/cib"
)

// Phase 1d: the status section. Before: nodes and resources as configured.
// After: nodes have their online state, resources their roles and places,
// failures have left their marks (scores, flags, first actions). The history
// of one lrm_resource is the business of history.go.

func (e *engine) unpackStatus() {
	st := e.doc.Status()
	for el := range st.Elements() {
		switch el.Name {
		case "tickets":
			for t := range el.Named("ticket_state") {
				e.ticketState(t)
			}
		case "ticket_state":
			e.ticketState(el)
		case "node_state":
			e.unpackNodeState(el)
		}
	}
	for e.unpackHistories(st, false) {
	}
	e.unpackHistories(st, e.opt.fencing)

	for _, l := range e.stopNeeded {
		r := l.rsc
		for _, n := range append([]*node(nil), r.runningOn...) {
			r.needsStop = true
			e.stopAction(r, n, false)
		}
	}
	for _, n := range e.sorted {
		if !n.remote {
			continue
		}
		if n.shutdown && n.connection != nil {
			e.setNextRole(n.connection, roleStopped)
		}
		if !n.unpacked {
			e.remoteOnline(n)
		}
	}
}

func (e *engine) ticketNamed(id string) *ticket {
	t := e.ticketIdx[id]
	if t == nil {
		t = &ticket{id: id}
		e.ticketIdx[id] = t
		e.tickets = append(e.tickets, t)
	}
	return t
}

func (e *engine) ticketState(el *cib.Element) {
	if el.ID() == "" {
		return
	}
	t := e.ticketNamed(el.ID())
	t.attrs = nil
	for _, a := range el.Attrs {
		if a.Name == "id" {
			continue
		}
		t.attrs.set(a.Name, a.Value)
		switch a.Name {
		case "granted":
			t.granted = isTrue(a.Value)
		case "standby":
			t.standby = isTrue(a.Value)
		case "last-granted":
			t.lastGranted = a.Value
		}
	}
}

func (e *engine) transientAttributes(el *cib.Element, n *node) {
	for t := range el.Named("transient_attributes") {
		e.nodeAttributes(t, n, true)
	}
}

func (e *engine) applyNodeFlags(n *node) {
	if isTrue(n.attrs["standby"]) {
		n.standby = true
	}
	if isTrue(n.attrs["maintenance"]) {
		n.maintenance = true
	}
}

func (e *engine) unpackNodeState(el *cib.Element) {
	id, name := el.ID(), el.Get("uname")
	n := e.nodeFor(id, name)
	if n == nil {
		e.warn(name, "node_state of an unknown node is ignored")
		return
	}
	if n.state == nil {
		n.state = el
	}
	if n.remote {
		if isTrue(el.Get("node_fenced")) || epochOf(el.Get("node_fenced")) > 0 {
			n.remoteWasFenced = true
		}
		return
	}
	e.transientAttributes(el, n)
	n.unclean, n.unseen = false, false
	e.applyNodeFlags(n)
	e.clusterNodeOnline(el, n)
	if !e.quorate && n.online && e.opt.noQuorum == quorumFence {
		e.fenceNode(n, "cluster does not have quorum", false)
	}
}

// since reads a node_state value that is either a boolean word or an epoch.
// -1 stands for an absent value.
func since(el *cib.Element, attr, onWord string, nowIs int64) int64 {
	v, ok := el.Lookup(attr)
	if !ok {
		return -1
	}
	if v == onWord {
		return nowIs
	}
	if b, ok := parseBool(v); ok && (v != "1" && v != "0") {
		if b {
			return nowIs
		}
		return 0
	}
	if v == "offline" {
		return 0
	}
	n, _, ok := leadingInt(v)
	if !ok || n < 0 {
		return 0
	}
	if n == 1 {
		return nowIs
	}
	return n
}

func (e *engine) clusterNodeOnline(el *cib.Element, n *node) {
	now := e.now.Unix()
	if now <= 0 {
		now = 1
	}
	member := since(el, "in_ccm", "true", now)
	online := since(el, "crmd", "online", now)
	if online < 0 {
		online = 0
	}
	join, expected := el.Get("join"), el.Get("expected")
	v, has := n.attrs["shutdown"]
	if has && v != "0" {
		n.shutdown = true
	}
	n.expectedUp = !n.shutdown && expected == "member"
	if !e.opt.fencing {
		e.onlineWithoutFencing(n, member, online, join)
	} else {
		e.onlineWithFencing(n, member, online, join, expected)
	}
	if !n.online || n.shutdown {
		n.baseScore = -infinity
	}
}

func (e *engine) onlineWithoutFencing(n *node, member, online int64, join string) {
	switch {
	case member <= 0:
	case online > 0:
		if join == "member" {
			n.online = true
		}
	case n.expectedUp:
		e.fenceNode(n, "peer is unexpectedly down", false)
	}
}

func (e *engine) onlineWithFencing(n *node, member, online int64, join, expected string) {
	terminate := false
	if v, ok := n.attrs["terminate"]; ok {
		if b, isBool := parseBool(v); isBool {
			terminate = b
		} else {
			terminate = epochOf(v) > 0
		}
	}
	if n.shutdown {
		n.online = online > 0
		return
	}
	if member < 0 {
		e.fenceNode(n, "peer has not been seen by the cluster", false)
		return
	}
	if join == "banned" {
		e.fenceNode(n, "peer failed Pacemaker membership criteria", false)
	} else if terminate {
		if member <= 0 && online <= 0 && join == "down" {
		} else {
			e.fenceNode(n, "fencing was requested", false)
		}
	} else if expected == "" || expected == "down" {
		if e.opt.nodePending > 0 && member > 0 && online <= 0 && e.pendingTooLong(member) {
			e.fenceNode(n, "peer pending timed out on joining the process group", false)
		} else if member > 0 || online > 0 {
			n.standby, n.pending = true, true
		} else {
			return
		}
	} else if member <= 0 {
		e.fenceNode(n, "peer is no longer part of the cluster", true)
	} else if online <= 0 {
		e.fenceNode(n, "peer process is no longer available", false)
	} else if join == "member" {
	} else if join == "pending" || join == "down" {
		n.standby, n.pending = true, true
	} else {
		e.fenceNode(n, "peer was in an unknown state", false)
	}
	n.online = member > 0
}

func (e *engine) pendingTooLong(member int64) bool {
	limit := member + e.opt.nodePending
	if e.now.Unix() >= limit {
		return true
	}
	e.recheckAt(limit)
	return false
}

// unpackHistories makes one pass over node_states whose history can be
// unpacked now (or over all that are left), and reports whether any was.
func (e *engine) unpackHistories(st *cib.Element, all bool) bool {
	changed := false
	for el := range st.Named("node_state") {
		id, name := el.ID(), el.Get("uname")
		if id == "" || name == "" {
			continue
		}
		n := e.nodeFor(id, name)
		if n == nil || n.unpacked {
			continue
		}
		switch c := n.connection; {
		case all:
		case n.guest():
			if c.role != roleStarted || c.launcher.role != roleStarted {
				continue
			}
		case n.remote:
			if c == nil || c.role != roleStarted && !e.opt.shutdownLock {
				continue
			}
		case !e.opt.fencing && !e.opt.shutdownLock && !n.online:
			// so that instances of clones are numbered on online nodes first
			continue
		}
		if n.remote {
			e.remoteOnline(n)
			e.remoteState(el, n)
		}
		n.unpacked = true
		changed = true
		for lrm := range el.Named("lrm") {
			for list := range lrm.Named("lrm_resources") {
				for l := range list.Named("lrm_resource") {
					e.unpackLrmResource(n, l)
				}
				for l := range list.Named("lrm_resource") {
					if l.Has("container") {
						if r := e.named(l.ID()); r != nil && r.removedFiller {
							e.linkRemoved(r)
						}
					}
				}
			}
		}
	}
	return changed
}

// remoteOnline determines the state of a remote or guest node from its
// connection.
func (e *engine) remoteOnline(n *node) {
	c := n.connection
	if c == nil {
		n.online = false
		return
	}
	l := c.launcher
	var host *node
	if l != nil && len(l.runningOn) == 1 {
		host = l.runningOn[0]
	}
	if c.role == roleStarted {
		n.online = true
	}
	if c.role == roleStarted && c.nextRole == roleStopped {
		n.shutdown = true
	}
	if l != nil && l.failed {
		n.online, n.remoteReset = false, true
	} else if c.failed {
		n.online = false
	} else if c.role == roleStopped || (l != nil && l.role == roleStopped) {
		n.online, n.remoteReset = false, false
	} else if host != nil && !host.online && host.unclean {
		n.online, n.remoteReset = false, true
	}
}

func (e *engine) remoteState(el *cib.Element, n *node) {
	if v, ok := el.Lookup("node_in_maintenance"); ok {
		n.remoteMaintenance = isTrue(v)
	}
	if !n.remoteReset {
		n.unclean, n.unseen = false, false
	}
	if el.Child("transient_attributes") == nil {
		e.nodeAttributes(&cib.Element{}, n, true) // the built-in ones
	}
	e.transientAttributes(el, n)
	if v := n.attrs["shutdown"]; v != "" && v != "0" {
		n.shutdown = true
	}
	if isTrue(n.attrs["standby"]) {
		n.standby = true
	}
	if isTrue(n.attrs["maintenance"]) || (n.connection != nil && !n.connection.managed) {
		n.maintenance = true
	}
	if v, ok := n.attrs["resource-discovery-enabled"]; ok && !isTrue(v) && (n.guest() || e.opt.fencing) {
		n.noProbes = true
	}
}

func (e *engine) setNextRole(r *resource, role role) { r.nextRole = role }

// findHistoryResource finds the resource an lrm_resource belongs to, making
// an instance of an anonymous clone if need be. It returns nil for history
// without a configured primitive.
func (e *engine) findHistoryResource(n *node, id string) *resource {
	r := e.named(id)
	if r == nil {
		// anonymous clones number their instances as they please
		r = e.rscByID[stripInstance(id)+":0"]
		if r == nil || r.unique {
			return nil
		}
	} else if r.variant > vPrimitive {
		return nil
	}
	if top := r.top(false); top.variant == vClone && !top.unique {
		r = e.anonymousInstance(n, top, id)
	}
	if r != nil && id != r.id && id != r.historyID {
		r.historyID = id
		if e.rscByHistory[id] == nil {
			e.rscByHistory[id] = r
		}
	}
	return r
}

// named finds a resource by its id, or by the name it has in the history.
func (e *engine) named(id string) *resource {
	if r := e.rscByID[id]; r != nil {
		return r
	}
	r := e.rscByHistory[id]
	if r == nil || r.historyID == id {
		return r
	}
	var found *resource
	r.top(true).eachLeaf(func(l *resource) {
		if found == nil && l.historyID == id {
			found = l
		}
	})
	return found
}

func memberNamed(r *resource, base string) *resource {
	if r.isPrimitive() {
		if stripInstance(r.id) == base {
			return r
		}
		return nil
	}
	for _, c := range r.children {
		if m := memberNamed(c, base); m != nil {
			return m
		}
	}
	return nil
}

// anonymousInstance chooses the instance of an anonymous clone that the
// history entry id on node n describes.
func (e *engine) anonymousInstance(n *node, clone *resource, id string) *resource {
	base := stripInstance(id)
	if clone.parent != nil && clone.parent.variant == vBundle {
		for _, rep := range clone.parent.bundle.replicas {
			if rep.node == n {
				return memberNamed(rep.child, base)
			}
		}
	}
	var found, inactive *resource
	surplus := false
	for _, child := range clone.children {
		where := activeOrPending(child)
		switch {
		case len(where) == 0:
			if !surplus && inactive == nil && !child.blocked {
				inactive = memberNamed(child, base)
				if inactive != nil && inactive.pendingNode != nil && inactive.pendingNode != n {
					inactive = nil
				}
			}
		case where[0] == n:
			found = memberNamed(child, base)
			if found != nil && len(found.runningOn) > 0 {
				// the node has several entries for one anonymous clone
				surplus, found = true, nil
			}
		}
		if found != nil {
			break
		}
	}
	if found == nil && !surplus {
		found = inactive
	}
	if found != nil && !found.needsFencing && (!n.online || n.unclean) && !n.guest() &&
		clone.clone.max != len(e.nodes) {
		found = nil
	}
	if found == nil {
		c := e.newInstance(clone, true)
		if c == nil {
			return nil
		}
		found = memberNamed(c, base)
	}
	return found
}

// activeOrPending lists where r or anything below it is active or pending.
func activeOrPending(r *resource) []*node {
	var out []*node
	r.eachLeaf(func(l *resource) {
		for _, n := range l.runningOn {
			if !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
		if l.pendingNode != nil && !slices.Contains(out, l.pendingNode) {
			out = append(out, l.pendingNode)
		}
	})
	return out
}

// removedResource makes a resource for history without configuration.
func (e *engine) removedResource(l *cib.Element, n *node) *resource {
	id := l.ID()
	el := cib.NewElement("primitive", "id", id, "class", l.Get("class"), "provider", l.Get("provider"), "type", l.Get("type"))
	if isRemoteConnection(el) {
		m := e.findNode(id)
		if m == nil {
			m = e.addNode(id, id, true, "")
		}
		m.shutdown = true
	}
	if c := l.Get("container"); c != "" {
		el.Set("container", c)
	}
	r := e.unpackResource(el, nil, "")
	if r == nil {
		return nil
	}
	e.linkConnections(r)
	if m := e.findNode(id); r.isRemoteConn && m != nil {
		m.shutdown = true
		r.removedConn = true
	}
	if l.Get("container") != "" {
		r.removedFiller = true
		e.linkRemoved(r)
	}
	r.removed = true
	e.resources = append(e.resources, r)
	if !e.opt.stopRemoved {
		r.managed = false
	} else {
		e.ban(r, nil, cause{by: ByRemoved, rsc: r})
	}
	return r
}

// linkRemoved ties a removed resource to the launcher its history names.
func (e *engine) linkRemoved(r *resource) {
	if l := e.named(r.launcherID()); l != nil && l != r && r.launcher == nil {
		r.launcher = l
		l.launched = append(l.launched, r)
	}
}

// operationsOf lists the operations in a history entry. The list belongs to the
// document.
func operationsOf(l *cib.Element) []*cib.Element {
	other := func(c *cib.Element) bool { return c.Name != "lrm_rsc_op" }
	if !slices.ContainsFunc(l.Children, other) {
		return l.Children
	}
	return slices.DeleteFunc(slices.Clone(l.Children), other)
}

func (e *engine) unpackLrmResource(n *node, l *cib.Element) {
	ops := operationsOf(l)
	if len(ops) == 0 && !e.opt.shutdownLock {
		return
	}
	id := l.ID()
	if id == "" {
		return
	}
	r := e.findHistoryResource(n, id)
	if r == nil {
		if len(ops) == 0 {
			return
		}
		if r = e.removedResource(l, n); r == nil {
			return
		}
	}
	e.shutdownLockEntry(n, r, l)
	e.processHistory(n, r, id, ops)
}

func (e *engine) shutdownLockEntry(n *node, r *resource, l *cib.Element) {
	v, ok := l.Lookup("shutdown-lock")
	if !ok {
		return
	}
	t := epochOf(v)
	if t <= 0 || !e.opt.shutdownLock {
		return
	}
	if e.opt.shutdownLockLimit > 0 && e.now.Unix() > t+e.opt.shutdownLockLimit {
		e.clearHistory(r, n)
		return
	}
	r.lockNode, r.lockTime = n, t
}

// active reports whether r runs somewhere; all asks for all members of a
// collective resource. A managed resource on a node that is cleanly offline is
// not active.
func (r *resource) active(all bool) bool {
	if len(r.children) == 0 {
		return slices.ContainsFunc(r.runningOn, func(n *node) bool { return n.unclean || n.online || !r.managed })
	}
	for _, c := range r.children {
		if a := c.active(all); a != all {
			return a
		}
	}
	return all
}
