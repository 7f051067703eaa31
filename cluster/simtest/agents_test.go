package simtest

import (
	"time"

	"gcrm/cib"
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
	switch job.Task {
	case "start":
		w.stats.starts++
		w.begin(id, n.name, job.Key)
	case "promote":
		if w.active[id][n.name] {
			w.promote(id, n.name, job.Key)
		}
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

// promote makes a resource promoted on a node.
func (w *world) promote(id, node, key string) {
	if w.promoted[id] == nil {
		w.promoted[id] = map[string]bool{}
	}
	for other := range w.promoted[id] {
		if other != node {
			w.violated("%s is promoted on %s (%s) while it is promoted on %s", id, node, key, other)
		}
	}
	w.promoted[id][node] = true
}

// lose takes everything that runs from a node that lost its power.
func (w *world) lose(node string) {
	for _, on := range w.active {
		delete(on, node)
	}
	for _, on := range w.promoted {
		delete(on, node)
	}
}

// effect is what an action does in the end, and its result.
func (w *world) effect(n *node, job operation.Job) int {
	on, up := w.active[job.Resource], w.promoted[job.Resource]
	fails := w.faults && w.chance(w.failures)
	switch job.Task {
	case "start":
		if fails {
			delete(on, n.name)
			return 1
		}
		if w.promotable[job.Resource] {
			n.score("master-" + job.Resource)
		}
	case "promote":
		if !on[n.name] {
			return 7
		}
		if fails {
			return 1
		}
	case "demote":
		if fails && w.chance(0.5) {
			return 1
		}
		delete(up, n.name)
	case "stop":
		if fails && w.chance(0.5) {
			return 1
		}
		delete(on, n.name)
		delete(up, n.name)
	case "monitor":
		switch {
		case job.Interval > 0 && fails:
			return 1
		case on[n.name]:
			if w.promotable[job.Resource] {
				n.score("master-" + job.Resource)
			}
			if up[n.name] {
				return 8
			}
			return 0
		}
		return 7
	}
	return 0
}

// score sets a promotion score, as an agent's start and monitor do.
func (n *node) score(name string) {
	if v, _ := operation.Attribute(n.doc(), n.id, name); v == "" && n.w.leader != nil {
		n.w.propose(n.w.leader, statusChange(cib.StatusEdit{Attribute: &cib.AttributeEdit{Node: n.id, Name: name, Value: "10"}}), func(error) {})
	}
}

func (w *world) killed(n *node, c *call) {
	c.over = true
	delete(w.busy, c.job.Resource+"@"+n.name)
}
