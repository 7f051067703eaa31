package simtest

import (
	"time"

	"gcrm/cluster/executor/operation"
)

// agent runs one action. A resource counts as active from the beginning of its
// start to the end of its stop; the agents notice if one that may run once is
// active on two nodes.
func (w *world) agent(n *node, c *call, then func(operation.Outcome)) {
	job, boot := c.job, n.boot
	id := job.Resource
	w.stats.actions++
	if key := id + "@" + n.name; w.busy[key] {
		w.violated("two actions of %s at a time on %s", id, n.name)
	} else {
		w.busy[key] = true
	}
	if w.active[id] == nil {
		w.active[id] = map[string]bool{}
	}
	if job.Task == "start" {
		w.stats.starts++
		w.begin(id, n.name, job.Key)
	}
	took := w.between(5*time.Millisecond, 300*time.Millisecond)
	if w.chance(0.1) {
		took = w.between(time.Second, 5*time.Second)
	}
	if w.faults && w.chance(w.failures/2) {
		took = job.Timeout + time.Minute
	}
	late := took > job.Timeout
	w.after(min(took, job.Timeout), func() {
		if c.over || !n.up || n.boot != boot {
			return
		}
		c.over = true
		delete(w.busy, id+"@"+n.name)
		var o operation.Outcome
		if late {
			// Killed: nobody knows how far it came, so it stays active.
			o = operation.Outcome{RC: 1, Status: operation.StatusTimedOut}
		} else {
			o.RC = w.effect(n, job)
		}
		if job.Task != "monitor" {
			w.note("%s: %s of %s gives %d:%d (%s)", n.name, job.Task, id, o.Status, o.RC, job.Key)
		}
		o.Exec = min(took, job.Timeout)
		then(o)
	})
}

// begin makes a resource active on a node.
func (w *world) begin(id, node, key string) {
	if !w.shared[id] {
		for other := range w.active[id] {
			if other != node {
				w.violated("%s starts on %s (%s) while it is active on %s", id, node, key, other)
			}
		}
	}
	w.active[id][node] = true
}

// effect is what an action does in the end, and its result.
func (w *world) effect(n *node, job operation.Job) int {
	on := w.active[job.Resource]
	fails := w.faults && w.chance(w.failures)
	switch job.Task {
	case "start":
		if fails {
			delete(on, n.name)
			return 1
		}
	case "stop":
		if fails && w.chance(0.5) {
			return 1
		}
		delete(on, n.name)
	case "monitor":
		switch {
		case job.Interval > 0 && fails:
			return 1
		case on[n.name]:
			return 0
		}
		return 7
	}
	return 0
}

func (w *world) killed(n *node, c *call) {
	c.over = true
	delete(w.busy, c.job.Resource+"@"+n.name)
}
