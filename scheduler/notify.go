package scheduler

import (
	"slices"
	"strings"
)

// Notifications of clones: pseudo-actions around starts, stops, promotions
// and demotions (created with the actions), and the notify actions themselves
// (created while the graph is built, when it is clear who is concerned).

type notifyData struct {
	task                                string
	pre, preDone, post, postDone        *action
	active, inactive, promoted, unpromo []notifyEntry
	start, stop, promote, demote        []notifyEntry
	allowed                             nodeTable
	keys                                table
}

type notifyEntry struct {
	rsc  *resource
	node *node
}

// newNotify makes the pseudo-actions around an action and its completion.
func (e *engine) newNotify(r *resource, task string, a, complete *action) *notifyData {
	d := &notifyData{task: task}
	pseudo := func(of *action, notifTask, typ, short string) *action {
		p := e.customAction(r, notifyKey(r.id, typ, of.task), notifTask, nil, of.optional())
		p.set(fPseudo)
		p.meta.set("notify_key_type", typ)
		p.meta.set("notify_key_operation", of.task)
		p.meta.set("notify_type", short)
		p.meta.set("notify_operation", task)
		return p
	}
	if a != nil {
		d.pre = pseudo(a, taskNotify, "pre", "pre")
		d.preDone = pseudo(a, taskNotified, "confirmed-pre", "pre")
		d.pre.set(fRunnable)
		d.preDone.set(fRunnable)
		e.orderActions(d.pre, d.preDone, oOrdered)
		e.orderActions(d.preDone, a, oOrdered)
	}
	if complete != nil {
		d.post = pseudo(complete, taskNotify, "post", "post")
		d.postDone = pseudo(complete, taskNotified, "confirmed-post", "post")
		for _, p := range []*action{d.post, d.postDone} {
			p.priority = infinity
			if complete.runnable() {
				p.set(fRunnable)
			} else {
				p.clear(fRunnable)
			}
		}
		e.orderActions(complete, d.post, oFirstImpliesThen)
		e.orderActions(d.post, d.postDone, oFirstImpliesThen)
	}
	if a != nil && complete != nil {
		e.orderActions(d.preDone, d.post, oOrdered)
	}
	return d
}

// cloneNotifies makes the notifications of a clone's start and stop.
func (e *engine) cloneNotifies(r *resource, start, started, stop, stopped *action) {
	d := r.clone
	if !r.notify {
		return
	}
	if d.notifyStart == nil {
		d.notifyStart = e.newNotify(r, taskStart, start, started)
	}
	if d.notifyStop == nil {
		d.notifyStop = e.newNotify(r, taskStop, stop, stopped)
		e.orderActions(d.notifyStop.postDone, d.notifyStart.pre, oOrdered)
	}
}

// cloneNotifications creates the notify actions of a clone.
func (e *engine) cloneNotifications(r *resource) {
	d := r.clone
	for _, n := range []*notifyData{d.notifyStart, d.notifyStop, d.notifyPromote, d.notifyDemote} {
		if n != nil && r.notify {
			e.collectNotify(r, true, n)
			e.notifyKeys(r, n)
			e.notifyActions(r, n)
		}
	}
}

func (e *engine) collectNotify(r *resource, activity bool, d *notifyData) {
	if d.allowed == nil {
		d.allowed = r.allowed
	}
	if len(r.children) > 0 {
		for _, c := range r.children {
			e.collectNotify(c, activity, d)
		}
		return
	}
	var at *node
	if len(r.runningOn) > 0 {
		at = r.runningOn[0]
	}
	entry := notifyEntry{r, at}
	switch r.role {
	case roleStopped:
		d.inactive = append(d.inactive, entry)
	case roleStarted:
		d.active = append(d.active, entry)
	case roleUnpromoted:
		d.active = append(d.active, entry)
		d.unpromo = append(d.unpromo, entry)
	case rolePromoted:
		d.active = append(d.active, entry)
		d.promoted = append(d.promoted, entry)
	}
	if !activity {
		return
	}
	for _, a := range r.actions {
		if a.optional() || a.node == nil {
			continue
		}
		if !(a.task == taskStop && a.node.unclean) && !a.runnable() {
			continue
		}
		x := notifyEntry{r, a.node}
		switch a.task {
		case taskStart:
			d.start = append(d.start, x)
		case taskStop:
			d.stop = append(d.stop, x)
		case taskPromote:
			d.promote = append(d.promote, x)
		case taskDemote:
			d.demote = append(d.demote, x)
		}
	}
}

func notifyLists(list []notifyEntry) (rscs, nodes string) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b notifyEntry) int {
		if c := strings.Compare(a.rsc.id, b.rsc.id); c != 0 {
			return c
		}
		if a.node == nil || b.node == nil {
			return 0
		}
		return strings.Compare(a.node.id, b.node.id)
	})
	var rs, ns []string
	last := ""
	for _, x := range list {
		if x.rsc.id == last {
			continue
		}
		last = x.rsc.id
		rs = append(rs, x.rsc.id)
		if x.node != nil {
			ns = append(ns, x.node.name)
		}
	}
	return notifyWords(rs), notifyWords(ns)
}

// notifyWords joins a list for agents, who get a blank for an empty one.
func notifyWords(l []string) string {
	if len(l) == 0 {
		return " "
	}
	return strings.Join(l, " ")
}

func (e *engine) notifyKeys(r *resource, d *notifyData) {
	required := false
	add := func(name string, list []notifyEntry, nodes bool) {
		rs, ns := notifyLists(list)
		d.keys.set("notify_"+name+"_resource", rs)
		if nodes {
			d.keys.set("notify_"+name+"_uname", ns)
		}
	}
	for _, x := range []struct {
		task string
		list []notifyEntry
	}{{taskStop, d.stop}, {taskStart, d.start}, {taskDemote, d.demote}, {taskPromote, d.promote}} {
		if len(x.list) > 0 && d.task == x.task {
			required = true
		}
		add(x.task, x.list, true)
	}
	add("active", d.active, true)
	add("unpromoted", d.unpromo, true)
	add("slave", d.unpromo, true)
	add("promoted", d.promoted, true)
	add("master", d.promoted, true)
	add("inactive", d.inactive, false)
	var avail, all []string
	for _, n := range e.sorted {
		if d.allowed.has(n) {
			avail = append(avail, n.name)
		}
		all = append(all, n.name)
	}
	d.keys.set("notify_available_uname", notifyWords(avail))
	d.keys.set("notify_all_uname", notifyWords(all))
	if r.meta.val("container-attribute-target") == "host" {
		var hosts []string
		for _, n := range e.sorted {
			if n.guest() {
				if h := e.currentNode(n.connection.launcher); h != nil {
					n = h
				}
			}
			hosts = append(hosts, n.name)
		}
		d.keys.set("notify_all_hosts", notifyWords(hosts))
	}
	if required {
		for _, a := range []*action{d.pre, d.preDone, d.post, d.postDone} {
			if a != nil {
				a.clear(fOptional)
			}
		}
	}
}

// notifyActions creates the notify actions of r (and below) for an event.
func (e *engine) notifyActions(r *resource, d *notifyData) {
	if len(r.children) > 0 {
		for _, c := range r.children {
			e.notifyActions(c, d)
		}
		return
	}
	for _, a := range r.actions {
		if a.optional() || a.node == nil {
			continue
		}
		switch a.task {
		case taskStart, taskStop, taskPromote, taskDemote:
			for _, k := range d.keys {
				a.meta.set(k.Name, k.Value)
			}
		}
	}
	switch {
	case d.task == taskStart && len(d.start) == 0,
		d.task == taskPromote && len(d.promote) == 0,
		d.task == taskDemote && len(d.demote) == 0:
		return
	}
	if r.role != roleStopped && (d.task == taskStop || d.task == taskDemote) {
		stop := firstAction(r, "", taskStop, nil)
		for _, n := range r.runningOn {
			if stop != nil && stop.is(fPseudo) && (n.unclean || n.remoteReset) {
				continue
			}
			e.notifyAction(r, n, d.pre, d.preDone, d)
			if d.task == taskDemote || stop == nil || stop.optional() {
				e.postNotify(r, n, d)
			}
		}
	}
	if r.nextRole != roleStopped && (d.task == taskStart || d.task == taskPromote) {
		start := firstAction(r, "", taskStart, nil)
		if start != nil && r.assigned != nil && r.assigned.remote && r.assigned.connection != nil {
			if cs := firstAction(r.assigned.connection, "", taskStart, nil); cs != nil && !cs.runnable() {
				return // the node will not be reachable
			}
		}
		if r.assigned == nil {
			return
		}
		if d.task != taskStart || start == nil || start.optional() {
			e.notifyAction(r, r.assigned, d.pre, d.preDone, d)
		}
		e.postNotify(r, r.assigned, d)
	}
}

func (e *engine) notifyAction(r *resource, n *node, op, done *action, d *notifyData) *action {
	if op == nil || done == nil || !n.online || !op.runnable() {
		return nil
	}
	key := notifyKey(r.id, op.meta.val("notify_type"), op.meta.val("notify_operation"))
	a := e.customAction(r, key, op.task, n, op.optional())
	for _, m := range op.meta {
		if m.Name != "interval" {
			a.meta.setNew(m.Name, m.Value)
		}
	}
	for _, k := range d.keys {
		a.meta.set(k.Name, k.Value)
	}
	e.orderActions(op, a, oOrdered)
	e.orderActions(a, done, oOrdered)
	return a
}

func (e *engine) postNotify(r *resource, n *node, d *notifyData) {
	if a := e.notifyAction(r, n, d.post, d.postDone, d); a != nil {
		a.priority = infinity
	}
	if d.postDone == nil {
		return
	}
	for _, a := range r.actions {
		if iv := a.meta.val("interval"); iv != "" && iv != "0" && a.task != taskCancel {
			e.orderActions(d.postDone, a, oOrdered)
		}
	}
}

// fencedNotify tells the others that an instance is gone with its node.
func (e *engine) fencedNotify(r *resource, stop, fence *action) {
	d := e.newNotify(r, taskStop, nil, fence)
	e.collectNotify(r, false, d)
	d.keys.set("notify_stop_resource", r.id)
	d.keys.set("notify_stop_uname", stop.node.name)
	e.notifyActions(r.top(false), d)
}
