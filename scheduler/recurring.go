package scheduler

import (
	"gcrm/cib"
	"strconv"
)

// Recurring monitors: which run, which are cancelled.

type recurringOp struct {
	name, key string
	interval  int64
	role      role
	el        *cib.Element
}

// recurringOf reads a configured operation; ok is false if it is none that
// recurs, or one that is disabled or given twice.
func (e *engine) recurringOf(r *resource, el *cib.Element) (recurringOp, bool) {
	op := recurringOp{name: el.Get("name"), interval: parseInterval(el.Get("interval")), el: el}
	if op.interval == 0 || op.name == "" {
		return op, false
	}
	switch op.name {
	case taskStop, taskStart, taskDemote, taskPromote, taskReload, taskReloadAgent, taskMigrateTo, taskMigrateFrom:
		return op, false
	}
	same := 0
	for o := range r.ops.Named("op") {
		o = e.deref(o)
		if o.Get("name") == op.name && parseInterval(o.Get("interval")) == op.interval {
			same++
		}
	}
	if same > 1 {
		e.fault(r.id, "operation "+op.name+" is configured twice with the same interval")
		return op, false
	}
	if !boolOr(el.Get("enabled"), true) {
		return op, false
	}
	op.role, _ = parseRole(el.Get("role"))
	op.key = opKey(r.id, op.name, op.interval)
	return op, true
}

func (e *engine) recurringActions(r *resource) {
	if r.blocked || r.maintenance {
		return
	}
	var start *action
	n := r.assigned
	if n != nil && n.maintenance {
	} else if n != nil && (r.nextRole != roleStopped || !r.managed) {
		// even without monitors: an unmanaged resource's start becomes optional by it
		start = e.startAction(r, n, true)
	}
	if r.ops == nil {
		return
	}
	for el := range r.ops.Named("op") {
		el = e.deref(el)
		op, ok := e.recurringOf(r, el)
		if !ok {
			continue
		}
		if start != nil {
			e.recurringActive(r, start, n, op)
		}
		if op.role == roleStopped {
			e.recurringInactive(r, n, op)
		}
	}
}

func (e *engine) recurringActive(r *resource, start *action, n *node, op recurringOp) {
	existing := e.exactActions(r, op.key, n)
	optional := len(existing) > 0 && start.optional()
	for _, a := range existing {
		if a.is(fReschedule) {
			optional = false
		}
	}
	if op.role != roleUnknown && r.nextRole != op.role || op.role == roleUnknown && r.nextRole == rolePromoted {
		if !optional {
			return
		}
		cancel := e.cancelAction(r, op.name, op.interval, n)
		after := ""
		switch r.role {
		case roleUnpromoted, roleStarted:
			if r.nextRole == rolePromoted {
				after = taskPromote
			} else if r.nextRole == roleStopped {
				after = taskStop
			}
		case rolePromoted:
			after = taskDemote
		}
		if after != "" {
			e.newOrdering(r, "", cancel, r, opKey(r.id, after, 0), nil, oUnrunnableFirstBlocks)
		}
		return
	}
	mon := e.customAction(r, op.key, op.name, n, optional)
	if !start.runnable() || !n.online || n.unclean {
		mon.clear(fRunnable)
	}
	if r.nextRole == rolePromoted {
		mon.meta.set("op_target_rc", "8")
	}
	if !r.managed {
		return
	}
	flags := oFirstImpliesThen | oUnrunnableFirstBlocks
	e.newOrdering(r, opKey(r.id, taskStart, 0), nil, nil, "", mon, flags)
	e.newOrdering(r, opKey(r.id, taskReloadAgent, 0), nil, nil, "", mon, flags)
	if r.nextRole == rolePromoted {
		e.newOrdering(r, opKey(r.id, taskPromote, 0), nil, r, "", mon, oOrdered|oUnrunnableFirstBlocks)
	} else if r.role == rolePromoted {
		e.newOrdering(r, opKey(r.id, taskDemote, 0), nil, r, "", mon, oOrdered|oUnrunnableFirstBlocks)
	}
}

// recurringInactive schedules monitors of the Stopped role.
func (e *engine) recurringInactive(r *resource, n *node, op recurringOp) {
	if !r.unique {
		return
	}
	for _, m := range e.sorted {
		existing := e.exactActions(r, op.key, m)
		if n != nil && m == n {
			if len(existing) == 0 {
				continue
			}
			cancel := e.cancelAction(r, op.name, op.interval, m)
			if r.nextRole == roleStarted || r.nextRole == roleUnpromoted {
				e.newOrdering(r, "", cancel, r, opKey(r.id, taskStart, 0), nil, oUnrunnableFirstBlocks)
			}
			continue
		}
		mon := e.customAction(r, op.key, op.name, m, len(existing) > 0)
		mon.meta.set("op_target_rc", "7")
		if r.managed {
			for _, p := range e.findActions(r, opKey(r.id, taskMonitor, 0), m) {
				e.orderActions(p, mon, oUnrunnableFirstBlocks)
			}
		}
		for _, s := range e.exactActions(r, opKey(r.id, taskStop, 0), m) {
			if s.required() && mon.required() && !r.managed {
				mon.set(fOptional)
			}
			if !s.runnable() {
				mon.clear(fRunnable)
			}
			if r.managed {
				e.newOrdering(r, opKey(r.id, taskStop, 0), s, nil, "", mon, oFirstImpliesThen|oUnrunnableFirstBlocks)
			}
		}
		if !m.online || m.unclean {
			mon.clear(fRunnable)
		}
	}
}

// cancelAction stops a recurring monitor. It takes over the monitor's key.
func (e *engine) cancelAction(r *resource, task string, interval int64, n *node) *action {
	a := e.customAction(r, opKey(r.id, task, interval), taskCancel, n, false)
	a.task = taskCancel
	a.cancelTask = task
	a.meta.set("operation", task)
	a.meta.set("interval", strconv.FormatInt(interval, 10))
	return a
}

// scheduleCancel cancels a monitor that the history shows.
func (e *engine) scheduleCancel(r *resource, callID, task string, interval int64, n *node) {
	a := e.cancelAction(r, task, interval, n)
	a.meta.set("call-id", callID)
	e.newOrdering(r, opKey(r.id, taskStop, 0), nil, r, "", a, oOrdered)
}
