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
		n.remoteMaintenance = intOf(v, 0) != 0
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
