package controller

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/executor/operation"
	"gcrm/scheduler"
)

// load counts what is under way, against the limits.
type load struct {
	total     int
	node      map[string]int
	migrating map[string]int
}

func (c *Controller) load() load {
	l := load{node: map[string]int{}, migrating: map[string]int{}}
	for _, f := range c.flights.list {
		l.count(f)
	}
	return l
}

func (l *load) count(f *flight) {
	if f.stage != committing && f.stage != running {
		return
	}
	l.total++
	l.node[f.node]++
	if isMigration(f.job.Task) {
		l.migrating[f.node]++
	}
}

func isMigration(task string) bool { return task == "migrate_to" || task == "migrate_from" }

// walk starts everything that may start now.
func (c *Controller) walk() {
	t := c.transition
	if t.idle() {
		return
	}
	w := &walker{Controller: c, t: t, load: c.load(), perNode: c.nodeActionLimit()}
	for again := true; again; {
		again = false
		for _, i := range slices.Clone(t.light) {
			again = w.light(i) || again
		}
	}
	// What becomes ready while records are on their way shares the next
	// change: under load there are few and large ones.
	if len(t.ready) == 0 || slices.ContainsFunc(c.flights.list, func(f *flight) bool { return f.stage == committing }) {
		return
	}
	var batch []*flight
	for _, i := range slices.Clone(t.ready) {
		if !w.room() {
			break
		}
		if f := w.resource(i); f != nil {
			batch = append(batch, f)
		}
	}
	if len(batch) > 0 {
		edits := make([]cib.StatusEdit, len(batch))
		for i, f := range batch {
			edits[i] = operation.Pending(&f.job, c.now, operation.Traits{})
		}
		c.change(fmt.Sprintf("%d actions of transition %d are about to start", len(batch), t.number), "", edits, batch...)
	}
}

// walker is one walk over the graph.
type walker struct {
	*Controller
	t       *transition
	load    load
	perNode int // node-action-limit
}

// room reports whether anything could start anywhere.
func (w *walker) room() bool {
	if w.t.plan.Header.BatchLimit > 0 && w.load.total >= w.t.plan.Header.BatchLimit {
		return false
	}
	for _, n := range w.nodes {
		if n.ready && w.load.node[n.name] < n.window(w.perNode) {
			return true
		}
	}
	return len(w.nodes) == 0
}

// light starts an action that needs no record. It reports whether others may
// have become ready.
func (w *walker) light(i int) bool {
	a := w.t.actions[i]
	switch a.Kind {
	case scheduler.Pseudo:
		w.t.take(i)
		w.pseudo(w.t, i)
		return true
	case scheduler.ClusterAction:
		if w.held(w.t, a) {
			return false
		}
		w.t.take(i)
		w.t.worked = true
		w.clusterAction(w.t, i)
		return true
	}
	if f := w.resource(i); f != nil {
		w.dispatch(f)
	}
	return false
}

// resource starts an agent action, if its node and the limits allow it.
func (w *walker) resource(i int) *flight {
	t, a := w.t, w.t.actions[i]
	n := w.nodes[executes(a)]
	if n == nil && !w.now.Before(t.began.Add(w.cfg.Patience)) {
		t.take(i)
		w.event(slog.LevelWarn, a.Node, "%s on %s is left out: %q is not an online node of the cluster", a.Key, a.Node, executes(a))
		return nil
	}
	if n == nil || !n.ready || t.unproven(a) ||
		t.plan.Header.BatchLimit > 0 && w.load.total >= t.plan.Header.BatchLimit ||
		w.load.node[n.name] >= n.window(w.perNode) ||
		isMigration(a.Task) && t.plan.Header.MigrationLimit >= 0 && w.load.migrating[n.name] >= t.plan.Header.MigrationLimit {
		return nil
	}
	f := w.resourceAction(t, i)
	t.take(i)
	t.worked = true
	w.load.count(f)
	w.flights.add(f)
	return f
}

// window is how many actions a node is given at a time: as many as the property
// node-action-limit says, or else enough that its executor always has the next
// ones at hand, but no flood of records and messages.
func (n *node) window(limit int) int {
	if limit > 0 {
		return limit
	}
	return max(16, 4*n.parallel)
}

// executes is the cluster node whose executor runs an action.
func executes(a *scheduler.Action) string {
	if a.Router != "" {
		return a.Router
	}
	return a.Node
}

// resourceAction makes the flight of an agent action.
func (c *Controller) resourceAction(t *transition, i int) *flight {
	a := t.actions[i]
	key := operation.TransitionKey(a.ID, t.number, a.ExpectedRC, c.uuid)
	f := &flight{stage: committing, transition: t.number, index: i, action: a, key: key,
		node: executes(a), nodeID: a.NodeID, job: JobOf(a)}
	f.job.Key, f.job.StartFatal = key, t.plan.Header.StartFatal
	return f
}

// JobOf is what an executor is asked for an action of a plan, without the key
// of a transition.
func JobOf(a *scheduler.Action) operation.Job {
	job := operation.Job{Node: a.Node, NodeID: a.NodeID, Task: a.Task, OperationKey: a.Key,
		Interval: a.Interval, Timeout: a.Timeout, Params: a.Params, Meta: a.Meta, ExpectedRC: a.ExpectedRC}
	if !a.ShutdownLock.IsZero() {
		job.ShutdownLock = a.ShutdownLock.Unix()
	}
	if r := a.Resource; r != nil {
		job.Resource, job.Class, job.Provider, job.Type = r.ID, r.Class, r.Provider, r.Type
	}
	if job.Timeout <= 0 {
		job.Timeout = operation.DefaultTimeout
		if ms, err := strconv.ParseInt(job.MetaValue("timeout"), 10, 64); err == nil && ms > 0 {
			job.Timeout = time.Duration(ms) * time.Millisecond
		}
	}
	if ms, err := strconv.ParseInt(job.MetaValue("start_delay"), 10, 64); err == nil && ms > 0 {
		job.StartDelay = time.Duration(ms) * time.Millisecond
	}
	return job
}

// dispatch sends a job; its pending record, if it has one, is committed.
func (c *Controller) dispatch(f *flight) {
	n := c.nodes[f.node]
	token := c.nextToken()
	f.stage, f.ref, f.seq = running, c.nextRef(), token.Seq
	f.deadline = c.now.Add(f.job.Timeout + f.job.StartDelay + c.clusterDelay())
	c.event(slog.LevelDebug, f.node, "%s begins: %s", f, f.action.Reason)
	c.emit(Dispatch{Ref: f.ref, Node: f.node, Message: operation.Dispatch{
		Token: token, Incarnation: n.incarnation, Limit: c.nodeActionLimit(), Job: f.job}})
}

func (c *Controller) dispatched(in Dispatched) {
	if in.Err == nil {
		return
	}
	for _, f := range c.flights.byRef(in.Ref, running) {
		c.event(slog.LevelWarn, f.node, "%s may not have reached its node: %v", f, in.Err)
		if n := c.nodes[f.node]; n != nil {
			n.doubt(c.now)
		}
	}
}

// pseudo carries out an action that orders others and does nothing itself; the
// fencing of a guest, which comes with that of its host, has an effect on the
// CIB alone.
func (c *Controller) pseudo(t *transition, i int) {
	a := t.actions[i]
	if a.Task != "stonith" || a.NodeID == "" {
		t.confirm(i)
		return
	}
	f := c.clusterFlight(t, i, changing)
	c.change(a.Node+" is down with its host", a.NodeID, c.downEdits(a), f)
}

func (c *Controller) clusterFlight(t *transition, i int, s stage) *flight {
	a := t.actions[i]
	f := &flight{stage: s, transition: t.number, index: i, action: a, node: a.Node, nodeID: a.NodeID}
	c.flights.add(f)
	return f
}

// held reports whether a cluster action must wait although its inputs are
// confirmed: fencing that failed is repeated with pauses, and a node leaves
// only after its probes, which may find something to be stopped first.
func (c *Controller) held(t *transition, a *scheduler.Action) bool {
	switch a.Task {
	case "stonith":
		b := c.fencing[a.Node]
		return b != nil && c.now.Before(b.until)
	case "do_shutdown":
		n := c.nodes[a.Node]
		return n == nil || !n.ready || slices.ContainsFunc(c.flights.list, func(f *flight) bool { return f.node == a.Node }) ||
			slices.ContainsFunc(slices.Concat(t.ready, t.light), func(i int) bool { return t.actions[i] != a && executes(t.actions[i]) == a.Node })
	}
	return false
}

// clusterAction carries out what concerns the cluster and no agent.
func (c *Controller) clusterAction(t *transition, i int) {
	a := t.actions[i]
	switch a.Task {
	case "stonith":
		c.fence(c.clusterFlight(t, i, fencing))
	case "do_shutdown":
		c.change(a.Node+" is about to leave", a.NodeID, []cib.StatusEdit{{Node: &cib.NodeStateEdit{
			ID: a.NodeID, Uname: a.Node, Attributes: []cib.Attr{{Name: "expected", Value: "down"}}}}}, c.clusterFlight(t, i, changing))
	case "clear_failcount":
		c.change("failures are forgotten: "+a.Reason, a.NodeID, c.clearFailures(a), c.clusterFlight(t, i, changing))
	case "lrm_delete", "delete":
		if a.Resource == nil {
			t.confirm(i)
			return
		}
		c.change("history is deleted", a.NodeID, []cib.StatusEdit{{Forget: &cib.ForgetEdit{
			Node: a.NodeID, Resource: a.Resource.ID}}}, c.clusterFlight(t, i, changing))
	default:
		c.event(slog.LevelWarn, a.Node, "action %s is not known and taken as done", a.Key)
		t.confirm(i)
	}
}

// changed goes on after a change of the controller's own was applied.
func (c *Controller) changed(f *flight) {
	if f.action == nil || f.action.Task != "do_shutdown" {
		c.complete(f, true, "")
		return
	}
	// Nobody who sees the node go takes it for lost now. The graph says
	// whether the others wait until it is gone: the leader, which goes last,
	// does not, or a cluster that stops as a whole would never end.
	c.event(slog.LevelInfo, f.node, "%s is told to leave the cluster", f.node)
	c.emit(Shutdown{Node: f.node, NodeID: f.nodeID})
	f.stage, f.deadline = leaving, c.now.Add(c.clusterDelay())
	if slices.ContainsFunc(f.action.Meta, func(a cib.Attr) bool { return a.Name == "op_no_wait" && cib.IsTrue(a.Value) }) {
		c.complete(f, true, "")
	}
}

// clearFailures are the edits that forget a resource's failures on a node.
func (c *Controller) clearFailures(a *scheduler.Action) []cib.StatusEdit {
	if a.Resource == nil {
		return nil
	}
	edits := []cib.StatusEdit{{Forget: &cib.ForgetEdit{
		Node: a.NodeID, Resource: a.Resource.ID, Operation: a.Resource.ID + "_last_failure_0"}}}
	for name := range operation.Attributes(c.doc, a.NodeID) {
		if operation.CountsFailures(name, a.Resource.ID) {
			edits = append(edits, cib.StatusEdit{Attribute: &cib.AttributeEdit{Node: a.NodeID, Name: name, Delete: true}})
		}
	}
	return edits
}

func (c *Controller) fence(f *flight) {
	a := f.action
	e := Fence{Ref: c.nextRef(), Term: c.term, Node: a.Node, NodeID: a.NodeID, Action: fencingAction(a),
		Timeout: a.Timeout, Reason: a.Reason}
	f.ref = e.Ref
	if e.Timeout <= 0 {
		e.Timeout = c.transition.plan.Header.FencingTimeout
	}
	e.Delay = FencingDelay(a)
	c.event(slog.LevelWarn, a.Node, "fencing %s (%s): %s", a.Node, e.Action, a.Reason)
	c.emit(e)
}

// FencingDelay is the priority-fencing-delay that a plan gives a fencing action.
func FencingDelay(a *scheduler.Action) time.Duration {
	var delay time.Duration
	for _, p := range slices.Concat(a.Params, a.Meta) {
		if p.Name == "priority-fencing-delay" || p.Name == "priority_fencing_delay" {
			delay, _ = cib.ParseDuration(p.Value)
		}
	}
	return delay
}

// fencingAction is reboot, off or on.
func fencingAction(a *scheduler.Action) string {
	for _, m := range a.Meta {
		if m.Name == "stonith_action" {
			return m.Value
		}
	}
	return a.Key[strings.LastIndexByte(a.Key, '-')+1:]
}

func (c *Controller) fenced(in Fenced) {
	for _, f := range c.flights.byRef(in.Ref, fencing) {
		a := f.action
		if in.Err != nil {
			b := c.fencing[a.Node]
			if b == nil {
				b = &backoff{}
				c.fencing[a.Node] = b
			}
			b.until = c.now.Add(min(c.cfg.Retry<<min(b.failures, 6), time.Minute))
			b.failures++
			c.complete(f, false, in.Err.Error())
			if f.transition == 0 || c.transition == nil {
				c.abort("fencing of %s failed", a.Node)
			}
			continue
		}
		delete(c.fencing, a.Node)
		f.stage = changing
		if fencingAction(a) == "on" {
			c.event(slog.LevelInfo, a.Node, "%s was unfenced", a.Node)
			edits := []cib.StatusEdit{{Attribute: &cib.AttributeEdit{Node: a.NodeID, Name: "#node-unfenced",
				Value: strconv.FormatInt(c.now.Unix(), 10)}}}
			for _, m := range a.Meta {
				if m.Name == "digests_all" || m.Name == "digests_secure" {
					edits = append(edits, cib.StatusEdit{Attribute: &cib.AttributeEdit{Node: a.NodeID,
						Name: "#" + strings.ReplaceAll(m.Name, "_", "-"), Value: m.Value}})
				}
			}
			c.change(a.Node+" was unfenced", a.NodeID, edits, f)
			continue
		}
		c.event(slog.LevelWarn, a.Node, "%s was fenced", a.Node)
		edits := c.downEdits(a)
		if len(edits) == 0 {
			c.complete(f, true, "it was removed from the cluster meanwhile")
			continue
		}
		c.change(a.Node+" was fenced", a.NodeID, edits, f)
	}
}

// downEdits record that the nodes an action brings down are down.
func (c *Controller) downEdits(a *scheduler.Action) []cib.StatusEdit {
	names := a.Downed
	if !slices.Contains(names, a.NodeID) && !slices.Contains(names, a.Node) {
		names = append([]string{a.Node}, names...)
	}
	var edits []cib.StatusEdit
	for _, name := range names {
		id, uname := name, name
		if name == a.Node || name == a.NodeID {
			id, uname = a.NodeID, a.Node
		} else if n, ok := c.doc.Node(name); ok {
			id, uname = n.ID, n.Uname
		}
		// A node that was removed meanwhile must not get a state again: another
		// one may come under its name.
		if n, ok := c.doc.Node(uname); (!ok || n.ID != id) && c.doc.NodeState(id) == nil && name == a.Node {
			continue
		}
		edits = append(edits, cib.StatusEdit{Node: &cib.NodeStateEdit{ID: id, Uname: uname, Fenced: true,
			Attributes: []cib.Attr{{Name: "in_ccm", Value: "false"}, {Name: "crmd", Value: "offline"},
				{Name: "join", Value: "down"}, {Name: "expected", Value: "down"}}}})
	}
	return edits
}
