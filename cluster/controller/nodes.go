package controller

import (
	"log/slog"
	"maps"
	"slices"
	"time"

	"gcrm/cib"
	"gcrm/cluster/executor/operation"
)

// node is an online cluster node.
type node struct {
	name, id    string
	incarnation string
	parallel    int // actions its executor runs at a time
	// ready: its executor answered since the last doubt about it. Only
	// ready nodes get jobs.
	ready bool
	query uint64 // ref of the query under way, or 0
	asked uint64 // seq of its token
	askAt time.Time
	tries int // queries in vain since it was ready
	// silent is when the node stopped being ready.
	silent time.Time
}

// doubt makes the node be asked what it is doing.
func (n *node) doubt(now time.Time) {
	if n.ready {
		n.ready, n.silent, n.askAt = false, now, now
	}
}

func (c *Controller) nodeList() []*node {
	list := slices.Collect(maps.Values(c.nodes))
	slices.SortFunc(list, func(a, b *node) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return list
}

// refreshNodes follows the membership in the CIB.
func (c *Controller) refreshNodes() {
	online := map[string]string{}
	for state := range c.doc.Status().Named("node_state") {
		if operation.Online(state) {
			online[state.Get("uname")] = state.ID()
		}
	}
	for _, n := range c.nodeList() {
		if online[n.name] != n.id {
			c.nodeLost(n.name, "has left the cluster")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(online)) {
		if c.nodes[name] == nil {
			c.nodes[name] = &node{name: name, id: online[name], silent: c.now, askAt: c.now}
		}
	}
}

// nodeLost drops what was under way on a node. Its pending records stay in the
// CIB: the scheduler sees them beside the node's state.
func (c *Controller) nodeLost(name, why string) {
	if !c.leading || c.nodes[name] == nil {
		return
	}
	delete(c.nodes, name)
	for _, f := range slices.Clone(c.flights.list) {
		if f.node != name {
			continue
		}
		switch f.stage {
		case leaving:
			c.complete(f, true, "")
		case committing, running:
			c.event(slog.LevelWarn, name, "%s was cut off: %s %s", f, name, why)
			c.flights.remove(f)
			c.abort("%s was cut off: %s %s", f, name, why)
		}
	}
}

// ask sends the queries that are due.
func (c *Controller) ask() {
	for _, n := range c.nodeList() {
		if n.ready || n.query != 0 || c.now.Before(n.askAt) {
			continue
		}
		token := c.nextToken()
		n.query, n.asked = c.nextRef(), token.Seq
		c.emit(Query{Ref: n.query, Node: n.name, Token: token})
	}
}

func (c *Controller) answered(in Answered) {
	var n *node
	for _, m := range c.nodes {
		if m.query == in.Ref {
			n = m
		}
	}
	if n == nil {
		return
	}
	n.query = 0
	if in.Err != nil {
		// A node that comes in may need a moment.
		n.askAt = c.now.Add(min(c.cfg.Retry, c.cfg.Retry/32<<min(n.tries, 5)))
		if n.tries++; n.tries > 1 {
			c.event(slog.LevelWarn, n.name, "%s does not tell what it is doing: %v", n.name, in.Err)
		}
		return
	}
	n.tries = 0
	n.ready, n.incarnation, n.parallel = true, in.Report.Incarnation, in.Report.Parallel
	if known, _ := operation.Attribute(c.doc, n.id, IncarnationAttribute); known != n.incarnation {
		c.newIncarnation(n)
		return
	}
	has := map[string]bool{}
	for _, key := range in.Report.Jobs {
		has[key] = true
	}
	for _, f := range slices.Clone(c.flights.list) {
		if f.node == n.name && f.stage == running && f.seq < n.asked && !has[f.key] {
			c.lost(f, "its node does not know of it")
		}
	}
	// What is pending and nobody runs must be probed.
	for _, p := range c.orphans(n.id) {
		if !has[p.key] {
			c.abort("%s of %s on %s has no known result", p.task, p.resource, n.name)
			c.event(slog.LevelWarn, n.name, "%s of %s on %s has no known result; it will be probed", p.task, p.resource, n.name)
			c.forget(n.id, p.resource, p.key)
			continue
		}
		f := &flight{stage: running, key: p.key, node: n.name, nodeID: n.id, deadline: c.now.Add(c.clusterDelay())}
		f.job = operation.Job{Key: p.key, Node: n.name, NodeID: n.id, Resource: p.resource, Task: p.task, OperationKey: p.operationKey}
		c.flights.add(f)
		c.abort("%s is under way", f)
	}
}

// newIncarnation forgets what an executor did that is no more.
func (c *Controller) newIncarnation(n *node) {
	for _, f := range slices.Clone(c.flights.list) {
		if f.node == n.name && f.stage == running {
			c.flights.remove(f)
		}
	}
	c.abort("%s was started anew", n.name)
	c.change(n.name+" was started anew", n.id, []cib.StatusEdit{
		{Forget: &cib.ForgetEdit{Node: n.id}},
		{Attribute: &cib.AttributeEdit{Node: n.id, Name: IncarnationAttribute, Value: n.incarnation}},
	})
}

// pendingRecord is a history entry of an action under way.
type pendingRecord struct {
	resource, task, operationKey, key string
}

// orphans lists the pending records on a node that belong to no flight.
func (c *Controller) orphans(nodeID string) []pendingRecord {
	state := operation.NodeState(c.doc, nodeID)
	if state == nil {
		return nil
	}
	var out []pendingRecord
	for r := range operation.Resources(state) {
		for op := range r.Named("lrm_rsc_op") {
			key := op.Get("transition-key")
			if operation.IsPending(op) && c.flights.byKey[key] == nil {
				out = append(out, pendingRecord{r.ID(), op.Get("operation"), op.Get("operation_key"), key})
			}
		}
	}
	return out
}

// reconciled reports whether every pending record of the nodes that answer is
// accounted for; if not, it has them asked. Nodes that have not answered for
// too long are left aside: their records stay pending.
func (c *Controller) reconciled() bool {
	ok := !c.diedShuttingDown()
	for _, n := range c.nodeList() {
		if !n.ready {
			if c.now.Before(n.silent.Add(c.cfg.Patience)) {
				ok = false
			}
			continue
		}
		if len(c.orphans(n.id)) > 0 {
			n.doubt(c.now)
			ok = false
		}
	}
	if !ok {
		c.ask()
	}
	return ok
}

// diedShuttingDown takes the shutdown attribute from nodes that were lost
// before they had left: with it, the scheduler would take what ran there for
// stopped. It reports whether there were any.
func (c *Controller) diedShuttingDown() bool {
	found := false
	for state := range c.doc.Status().Named("node_state") {
		if state.Get("remote_node") == "true" || state.Get("expected") != "member" || operation.Online(state) {
			continue
		}
		if v, ok := operation.Attribute(c.doc, state.ID(), "shutdown"); !ok || v == "0" {
			continue
		}
		found = true
		c.event(slog.LevelWarn, state.Get("uname"), "%s was lost before it had left", state.Get("uname"))
		c.change(state.Get("uname")+" was lost before it had left", state.ID(), []cib.StatusEdit{
			{Attribute: &cib.AttributeEdit{Node: state.ID(), Name: "shutdown", Delete: true}}})
	}
	return found
}
