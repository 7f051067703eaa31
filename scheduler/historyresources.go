package scheduler

import (
	"slices"

	"gcrm/cib"
)

// Which resource, and which instance of a clone, an entry of the history is
// about.

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
