package executor

import (
	"context"
	"slices"
	"time"

	"gcrm/cib"
)

// maxBatch bounds the results that one change has.
const maxBatch = 128

// mergeable reports whether a result may be committed in one change with
// others: it replaces entries of the history and nothing else, and was not
// refused before, by which one result would hold up all others.
func (s *Submit) mergeable() bool {
	return !s.Again && !s.Verify && s.Change.Status != nil &&
		!slices.ContainsFunc(s.Change.Status.Edits, func(e cib.StatusEdit) bool { return e.Operation == nil })
}

// merge makes one change of those of several results, in their order.
func merge(batch []Submit) cib.Change {
	change := batch[0].Change
	if len(batch) == 1 {
		return change
	}
	change.Status = &cib.StatusChange{}
	for _, s := range batch {
		change.Status.Edits = append(change.Status.Edits, s.Change.Status.Edits...)
	}
	return change
}

// mail commits what is in the queue, until it is empty. While one change is
// under way, results gather for the next one: a lone result does not wait, and
// many of them do not cost an entry of the log each.
func (e *Executor) mail() {
	for {
		e.mu.Lock()
		batch := e.queue[:min(len(e.queue), maxBatch)]
		e.queue = e.queue[len(batch):]
		if len(batch) == 0 || e.closed {
			e.posting = false
			e.mu.Unlock()
			return
		}
		e.mu.Unlock()
		ctx, cancel := context.WithTimeout(e.ctx, 30*time.Second)
		err := e.cfg.Submit(ctx, merge(batch))
		cancel()
		if err != nil && e.ctx.Err() == nil {
			e.cfg.Log.Warn("results could not be committed yet", "first", batch[0].Job.Resource, "action", batch[0].Job.Task, "results", len(batch), "error", err)
		}
		e.mu.Lock()
		for _, s := range batch {
			if !e.closed {
				e.do(e.core.Submitted(time.Now(), s.ID, err))
			}
		}
		e.mu.Unlock()
	}
}
