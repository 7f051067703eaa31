package scheduler

import "gcrm/cib"

// Operations as configured.

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
