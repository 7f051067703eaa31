package scheduler

import "strings"

// The flags of an action as orderings see them: those of collective resources
// sum up their members.

// orderedAction is the action that really stands for first in an ordering:
// for a collective resource's start, that all of it is started.
func orderedAction(a *action) *action {
	r := a.rsc
	if r == nil || r.variant < vGroup {
		return a
	}
	rid, task, interval, ok := parseOpKey(a.key)
	if !ok || interval > 0 || strings.Contains(a.key, "notify") {
		return a
	}
	mapped := ""
	switch task {
	case taskStart, taskRunning:
		mapped = taskRunning
	case taskStop, taskStopped:
		mapped = taskStopped
	case taskPromote, taskPromoted:
		mapped = taskPromoted
	case taskDemote, taskDemoted:
		mapped = taskDemoted
	default:
		return a
	}
	key := opKey(rid, mapped, 0)
	if r.notify && (r.collective() || r.bundled()) {
		key = notifyKey(rid, "confirmed-post", mapped)
	}
	if x := firstAction(r, key, "", nil); x != nil {
		return x
	}
	return a
}

// actionFlags are the flags of an action as orderings see them; for a
// collective resource they sum up its members.
func (e *engine) actionFlags(a *action, n *node) actionFlag {
	if a.rsc == nil {
		return a.flags
	}
	switch a.rsc.variant {
	case vGroup:
		return e.groupFlags(a, n)
	case vClone:
		return e.collectiveFlags(a, a.rsc.children, n)
	case vBundle:
		return e.bundleFlags(a, n)
	}
	return a.flags
}

// baseTask maps a completion pseudo-action to its task.
func baseTask(task string) string {
	switch task {
	case taskRunning:
		return taskStart
	case taskStopped:
		return taskStop
	case taskPromoted:
		return taskPromote
	case taskDemoted:
		return taskDemote
	}
	return task
}

// originalTask is the task of instances that a pseudo-action of a collective
// resource is about. Instances that are groups have completion actions of
// their own.
func originalTask(a *action) string {
	task := a.task
	if strings.Contains(a.key, "notify") {
		_, t, _, _ := parseOpKey(a.key)
		if i := strings.LastIndexByte(t, '_'); i >= 0 {
			task = t[i+1:]
		}
	}
	if a.rsc != nil && len(a.rsc.children) > 0 && !a.rsc.children[0].isPrimitive() {
		return task
	}
	return baseTask(task)
}

func (e *engine) groupFlags(a *action, n *node) actionFlag {
	flags := fOptional | fRunnable | fPseudo
	task := baseTask(a.task)
	for _, m := range a.rsc.children {
		ma := firstAction(m, "", task, n)
		if ma == nil {
			if task != taskStop && task != taskDemote {
				flags &^= fRunnable
			}
			continue
		}
		mf := e.actionFlags(ma, n)
		if flags&fOptional != 0 && mf&fOptional == 0 {
			flags &^= fOptional
			a.clear(fOptional)
		}
		if task != a.task && flags&fRunnable != 0 && mf&fRunnable == 0 {
			flags &^= fRunnable
			a.clear(fRunnable)
		}
	}
	return flags
}

func (e *engine) collectiveFlags(a *action, instances []*resource, n *node) actionFlag {
	flags := fOptional | fRunnable | fPseudo
	task := originalTask(a)
	any := false
	for _, inst := range instances {
		var at *node
		if inst.isPrimitive() {
			at = n
		}
		ia := firstAction(inst, "", task, at)
		if ia == nil {
			continue
		}
		f := e.actionFlags(ia, n)
		if flags&fOptional != 0 && f&fOptional == 0 {
			flags &^= fOptional
			a.clear(fOptional)
		}
		any = any || f&fRunnable != 0
	}
	if !any {
		flags &^= fRunnable
		if n == nil {
			a.clear(fRunnable)
		}
	}
	return flags
}

func (e *engine) flagsForOrdering(a *action, n *node) actionFlag {
	if a.rsc == nil {
		return a.flags
	}
	flags := e.actionFlags(a, nil)
	if n == nil || a.rsc.variant != vClone {
		return flags
	}
	runnable := flags & fRunnable
	return e.actionFlags(a, n) | runnable
}
