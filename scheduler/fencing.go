package scheduler

import (
	"slices"
	"strconv"
	"strings"
)

// Fencing: which nodes are fenced, whether they can be, and what must wait
// for it.

// canFence reports whether a node can be fenced now.
func (e *engine) canFence(n *node) bool { return e.canFenceBelow(n, nil) }

// canFenceBelow knows the guests on the way: a history may say that a guest
// runs in itself.
func (e *engine) canFenceBelow(n *node, guests []*node) bool {
	if n.guest() {
		if slices.Contains(guests, n) {
			return false
		}
		for _, host := range n.connection.launcher.runningOn {
			if !host.online && !e.canFenceBelow(host, append(guests, n)) {
				return false
			}
		}
		return true
	}
	if !e.opt.fencing || !e.haveFencing {
		return false
	}
	if e.quorate || e.opt.noQuorum == quorumIgnore {
		return true
	}
	if n.remote && !e.opt.fenceRemoteNoQuorum && !e.older.has(olderRemoteFencing) {
		if n.connection == nil {
			return false
		}
		for _, m := range e.nodes {
			if s := n.connection.allowed.get(m); s != nil && !m.online {
				return false
			}
		}
		return true
	}
	return n.online
}

// fenceNode marks a node unclean (a guest: its launcher failed) and prepares
// its fencing.
func (e *engine) fenceNode(n *node, reason string, delay bool) {
	switch {
	case n.guest():
		l := n.connection.launcher
		if !l.failed && l.managed {
			n.remoteReset = true
			l.failed, l.needsStop = true, true
		}
	case n.remote && n.connection != nil && n.connection.removedFiller:
		n.connection.failed, n.connection.needsStop = true, true
	case n.remote:
		// One whose connection is unmanaged is not reset, but counts as
		// unclean all the same (quirk: its fencing is thought of, no more).
		if n.connection == nil || n.connection.managed {
			n.remoteReset = true
		}
		n.unclean = true
		e.fenceAction(n, "", true, reason, false)
	case n.unclean:
	default:
		n.unclean = true
		e.fenceAction(n, "", true, reason, delay)
	}
}

// fenceAction finds or makes the fencing action of a node; op "" is the
// configured one.
func (e *engine) fenceAction(n *node, op string, optional bool, reason string, delay bool) *action {
	if op == "" {
		op = e.opt.fencingAction
	}
	key := taskStonith + "-" + n.name + "-" + op
	a := e.singletons[key]
	if a == nil {
		a = e.newAction(nil, key, taskStonith, n, true)
		a.fenceOp = op
		a.meta.set("on_node", n.name)
		a.meta.set("on_node_uuid", n.id)
		a.meta.set("stonith_action", op)
		e.singletons[key] = a
		n.fenceActions = append(n.fenceActions, a)
		if e.opt.unfencing {
			e.unfencingDigests(a, n, &optional)
		}
	}
	if e.opt.priorityFencing > 0 && (delay || a.meta.has("priority-fencing-delay")) {
		a.meta.set("priority-fencing-delay", strconv.FormatInt(e.priorityDelay(n), 10))
	}
	if !optional && e.canFence(n) {
		a.clear(fOptional)
		a.setReason(reason, false)
	} else if reason != "" {
		a.setReason(reason, false)
	}
	return a
}

// priorityDelay is the delay, in seconds, that saves the more important half
// of a split cluster.
func (e *engine) priorityDelay(n *node) int64 {
	members, online := 0, 0
	lowest, top := 0, 0
	first := true
	if n.remote || n.online {
		return 0
	}
	for _, m := range e.sorted {
		if m.remote {
			continue
		}
		members++
		if m.online {
			online++
		}
		if first {
			lowest, top, first = m.priority, m.priority, false
		}
		lowest, top = min(lowest, m.priority), max(top, m.priority)
	}
	if online > members/2 || lowest == top || n.priority < top {
		return 0
	}
	return e.opt.priorityFencing
}

// unfencingDigests notes the digests of all unfencing devices in a fencing
// action, and makes it required if a device changed since.
func (e *engine) unfencingDigests(a *action, n *node, optional *bool) {
	all, secure := "", ""
	for _, dev := range e.unfencingDevices() {
		d, changed := e.deviceDigests(dev, n)
		if changed {
			*optional = false
		}
		all += dev.id + ":" + dev.typ + ":" + d.all + ","
		secure += dev.id + ":" + dev.typ + ":" + d.secure + ","
	}
	if all != "" {
		a.meta.set("digests-all", all)
		a.meta.set("digests-secure", secure)
	}
}

type deviceDigest struct{ all, secure string }

func (e *engine) unfencingDevices() []*resource {
	var out []*resource
	var walk func(r *resource)
	walk = func(r *resource) {
		if r.isPrimitive() && r.fenceDevice && (r.needsUnfencing || r.meta.val("provides") == "unfencing") {
			out = append(out, r)
		}
		for _, c := range r.children {
			walk(c)
		}
	}
	for _, r := range e.resources {
		walk(r)
	}
	slices.Reverse(out) // as in the summaries that nodes keep
	return out
}

func (e *engine) deviceDigests(dev *resource, n *node) (deviceDigest, bool) {
	params := filterDigest(e.params(dev, n))
	var open table
	for _, a := range params {
		if a.Name == "password" || a.Name == "passwd" || strings.HasPrefix(a.Name, "pcmk_") {
			continue
		}
		open = append(open, a)
	}
	var d deviceDigest
	d.all, d.secure = digestOf(params), digestOf(open)
	if strings.Contains(n.attrs["#digests-all"], dev.id+":"+dev.typ+":"+d.all+",") {
		return d, false
	}
	return d, n.attrs["#digests-all"] != "" && !strings.Contains(n.attrs["#digests-secure"], dev.id+":"+dev.typ+":"+d.secure+",")
}

// triggerUnfencing makes the "on" action of a node required; dev is the
// fence device it is for, if any (with no node: on all nodes dev may use);
// dep an action that must wait.
func (e *engine) triggerUnfencing(dev *resource, n *node, reason string, dep *action) {
	if !e.opt.unfencing || (dev != nil && !dev.fenceDevice) {
		return
	}
	usable := func(n *node) bool { return n.online && !n.unclean && !n.shutdown }
	switch {
	case n != nil && usable(n):
		on := e.fenceAction(n, "on", false, reason, false)
		if dep != nil {
			e.orderActions(on, dep, oOrdered)
		}
	case n == nil && dev != nil:
		for _, m := range e.sorted {
			if dev.allowed.has(m) && usable(m) {
				e.triggerUnfencing(dev, m, reason, dep)
			}
		}
	}
}

// orderUnfence makes an action of r wait for unfencing of its node.
func (e *engine) orderUnfence(r *resource, n *node, a *action, flags orderFlag) {
	if !(r.fenceDevice && e.opt.unfencing) && !r.needsUnfencing {
		return
	}
	on := e.fenceAction(n, "on", true, "", false)
	e.orderActions(on, a, flags)
	if v := n.attrs["#node-unfenced"]; v == "" || v == "0" {
		e.triggerUnfencing(nil, n, "required by "+r.id+" "+a.task, nil)
	}
}

// fencingAndShutdown is phase 11: unclean nodes are fenced, leaving nodes
// shut down; dependent actions are ordered. Before: all resource actions
// exist. After: so do all node actions.
func (e *engine) fencingAndShutdown() {
	integrityLost := false
	haveManaged := false
	for _, r := range e.resources {
		haveManaged = haveManaged || anyManaged(r)
	}
	var fences, shutdowns []*action
	var dcDown *action
	for _, n := range e.sorted {
		if n.guest() {
			if n.remoteReset && haveManaged && e.canFence(n) {
				e.fenceGuest(n)
			}
			continue
		}
		var f *action
		if n.unclean && haveManaged && e.canFence(n) {
			f = e.fenceAction(n, "", false, "node is unclean", false)
			e.fencingConstraints(f)
			if n.dc {
				dcDown = f
			} else {
				if !e.opt.concurrentFencing && len(fences) > 0 {
					e.orderActions(fences[len(fences)-1], f, oOrdered)
				}
				fences = append(fences, f)
			}
		} else if n.online && n.shutdown && !n.remote {
			key := taskShutdown + "-" + n.name
			a := e.newAction(nil, key, taskShutdown, n, false)
			a.meta.set("op_no_wait", "true")
			e.shutdownConstraints(n, a)
			if n.dc {
				dcDown = a
			} else {
				shutdowns = append(shutdowns, a)
			}
		}
		if f == nil && n.unclean {
			integrityLost = true
		}
	}
	if integrityLost && !e.opt.fencing {
		e.warn("", "a node is unclean, but fencing is disabled: resource safety cannot be guaranteed")
	}
	if dcDown != nil {
		if dcDown.task == taskShutdown {
			for _, a := range shutdowns {
				e.orderActions(a, dcDown, oOrdered)
			}
		}
		if e.opt.concurrentFencing {
			for _, a := range fences {
				e.orderActions(a, dcDown, oOrdered)
			}
		} else if len(fences) > 0 {
			e.orderActions(fences[len(fences)-1], dcDown, oOrdered)
		}
	}
}

func anyManaged(r *resource) bool {
	return r.managed || slices.ContainsFunc(r.children, anyManaged)
}

// knownThere reports whether the state of r on n is known; for instances of an
// anonymous clone the clone's knowledge counts.
func (e *engine) knownThere(r *resource, n *node) bool {
	if r.knownOn(n) {
		return true
	}
	p := r.parent
	return r.isPrimitive() && p != nil && p.variant == vClone && !p.unique && p.knownOn(n)
}

// shutdownConstraints orders the stops on a leaving node before its shutdown.
func (e *engine) shutdownConstraints(n *node, down *action) {
	for i := len(e.actions) - 1; i >= 0; i-- {
		a := e.actions[i]
		if a.rsc == nil || a.node != n || a.task != taskStop {
			continue
		}
		if a.rsc.maintenance || n.maintenance {
			continue
		}
		if !a.rsc.managed && !a.rsc.blocked {
			continue
		}
		a.clear(fOptional)
		e.orderings = append(e.orderings, &ordering{rsc1: a.rsc, act1: a, act2: down, flags: oOrdered | oUnrunnableFirstBlocks})
	}
}

// fenceGuest makes the pseudo-event that tells of a guest's fencing.
func (e *engine) fenceGuest(n *node) {
	l := n.connection.launcher
	var stop *action
	kind := "off"
	if l != nil {
		stop = firstAction(l, "", taskStop, nil)
		if firstAction(l, "", taskStart, nil) != nil {
			kind = "reboot"
		}
	}
	f := e.fenceAction(n, kind, false, "guest is unclean", false)
	f.set(fPseudo | fRunnable)
	switch {
	case stop != nil && stop.is(fPseudo):
		if host := stop.node; host != nil {
			parent := e.fenceAction(host, "", false, "", false)
			e.orderActions(parent, f, oUnrunnableFirstBlocks|oFirstImpliesThen)
		}
	case stop != nil:
		e.orderActions(stop, f, oUnrunnableFirstBlocks|oFirstImpliesThen)
	default:
		if s := firstAction(n.connection, "", taskStop, nil); s != nil {
			e.orderActions(s, f, oOrdered)
		}
	}
	e.fencingConstraints(f)
}

// fencingConstraints orders all resources' actions with the fencing of a node.
func (e *engine) fencingConstraints(f *action) {
	for _, r := range e.resources {
		e.fenceOrderResource(r, f)
	}
}

func (e *engine) fenceOrderResource(r *resource, f *action) {
	if len(r.children) > 0 {
		for _, c := range r.children {
			e.fenceOrderResource(c, f)
		}
		return
	}
	if !r.isPrimitive() || !r.managed {
		return
	}
	e.fenceOrderStart(r, f)
	e.fenceOrderStops(r, f)
}

// fenceOrderStart makes starts and promotes wait for fencing.
func (e *engine) fenceOrderStart(r *resource, f *action) {
	target := f.node
	for i := len(r.actions) - 1; i >= 0; i-- {
		a := r.actions[i]
		switch a.need {
		case needFencing:
			e.orderActions(f, a, oOrdered)
		case needQuorum:
			if a.task == taskStart && r.allowed.has(target) && !e.knownThere(r, target) {
				e.orderActions(f, a, oOrdered|oUnrunnableFirstBlocks)
			}
		}
	}
}

// fenceOrderStops makes stops and demotes on the fenced node implied.
func (e *engine) fenceOrderStops(r *resource, f *action) {
	target := f.node
	implicit := r.needsFencing || target.guest()
	top := r.top(false)
	stops := e.findActions(r, opKey(r.id, taskStop, 0), target)
	var parentStop *action
	if len(stops) > 0 && implicit {
		parentStop = firstAction(top, "", taskStop, nil)
	}
	for _, a := range stops {
		// the stop would never complete
		a.set(fPseudo | fRunnable)
		if implicit {
			// inside a bundle that would be a loop; the order with the
			// parent's stop suffices
			if !r.bundled() {
				e.orderActions(f, a, oGuestAllowed)
			}
			e.orderActions(f, parentStop, oGuestAllowed)
		}
		if r.notify {
			e.fencedNotify(r, a, f)
		}
	}
	for _, a := range e.findActions(r, opKey(r.id, taskDemote, 0), target) {
		if !a.node.online || a.node.unclean || r.failed {
			a.set(fPseudo | fRunnable)
			if implicit && !r.bundled() {
				e.orderActions(f, a, oGuestAllowed|oOrdered)
			}
		}
	}
}
