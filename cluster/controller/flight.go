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

type stage uint8

const (
	// committing: the pending record is on its way into the CIB.
	committing stage = iota
	// running: dispatched; the result comes through the CIB.
	running
	// fencing: waits for [Fenced].
	fencing
	// changing: done when the change with ref is applied.
	changing
	// leaving: a shutdown; done when the node is gone.
	leaving
)

// flight is something under way whose end must be seen before anything new is
// planned.
type flight struct {
	stage stage
	// transition and index name the action; transition is 0 for what belongs
	// to no plan of this leader (adopted actions, housekeeping).
	transition int
	index      int
	action     *scheduler.Action
	job        operation.Job
	key        string // transition key of a job, or ""
	node       string // cluster node that is to execute it, or the fenced one
	nodeID     string // whose history or state it concerns
	what       string // for housekeeping: what it does
	ref        uint64
	seq        uint64 // of the dispatch
	deadline   time.Time
}

func (f *flight) String() string {
	switch {
	case f.action != nil && f.action.Node != "":
		key := f.action.Key
		if f.action.Task == operation.Cancel {
			key = "cancel " + key
		}
		return key + " on " + f.action.Node
	case f.action != nil:
		return f.action.Key
	case f.key != "":
		return f.job.OperationKey + " on " + f.node
	}
	return f.what
}

// flights keeps them in the order in which they started.
type flights struct {
	list  []*flight
	byKey map[string]*flight
}

func (s *flights) add(f *flight) {
	s.list = append(s.list, f)
	if f.key != "" {
		if s.byKey == nil {
			s.byKey = map[string]*flight{}
		}
		s.byKey[f.key] = f
	}
}

func (s *flights) remove(f *flight) {
	if i := slices.Index(s.list, f); i >= 0 {
		s.list = slices.Delete(s.list, i, i+1)
	}
	if f.key != "" {
		delete(s.byKey, f.key)
	}
}

func (s *flights) byRef(ref uint64, st stage) []*flight {
	var out []*flight
	for _, f := range s.list {
		if f.ref == ref && f.stage == st {
			out = append(out, f)
		}
	}
	return out
}

// change starts a status change of the controller's own. The flights given
// carry its ref; without any, a housekeeping flight waits for it.
func (c *Controller) change(what, nodeID string, edits []cib.StatusEdit, fs ...*flight) {
	ref := c.nextRef()
	if len(fs) == 0 {
		f := &flight{stage: changing, what: what, nodeID: nodeID}
		c.flights.add(f)
		fs = []*flight{f}
	}
	for _, f := range fs {
		f.ref = ref
	}
	c.emit(Apply{Ref: ref, Term: c.term, Change: cib.Change{
		Origin: cib.Origin{Node: c.cfg.Node, Client: operation.ControllerClient, Time: c.now, Message: c.signature(ref) + what},
		Status: &cib.StatusChange{Edits: edits},
	}})
}

func (c *Controller) signature(ref uint64) string { return fmt.Sprintf("%s/%d ", c.uuid, ref) }

// own returns the ref of a change that this controller made, or 0.
func (c *Controller) own(o cib.Origin) uint64 {
	if o.Client != operation.ControllerClient {
		return 0
	}
	rest, ok := strings.CutPrefix(o.Message, c.uuid+"/")
	number, _, _ := strings.Cut(rest, " ")
	ref, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil {
		return 0
	}
	return ref
}

func (c *Controller) applyDone(in ApplyDone) {
	if in.Err == nil {
		return // what was waited for came with Applied
	}
	failed := append(c.flights.byRef(in.Ref, committing), c.flights.byRef(in.Ref, changing)...)
	if len(failed) > 0 {
		c.retryAt = c.now.Add(c.cfg.Retry)
	}
	for _, f := range failed {
		c.event(slog.LevelWarn, f.node, "%s: the CIB could not be changed: %v", f, in.Err)
		c.flights.remove(f)
		c.abort("%s could not be recorded", f)
		for _, n := range c.nodes {
			if n.id == f.nodeID {
				n.doubt(c.now)
				n.askAt = c.retryAt // its answer may lead to the same change
			}
		}
	}
}

// complete ends a flight whose result is known.
func (c *Controller) complete(f *flight, ok bool, how string) {
	c.flights.remove(f)
	t := c.transition
	switch {
	case f.transition == 0 || t == nil || f.transition != t.number:
		if f.key != "" {
			c.abort("%s, begun earlier, has ended", f)
		}
	case ok:
		t.confirm(f.index)
	case f.action != nil && isProbe(f.action):
		c.event(slog.LevelInfo, f.node, "%s found: %s", f, how)
		c.abort("%s found: %s", f, how)
	default:
		c.event(slog.LevelWarn, f.node, "%s failed: %s", f, how)
		c.abort("%s failed: %s", f, how)
	}
}

// lost ends a flight of which nobody knows whether it was carried out.
func (c *Controller) lost(f *flight, why string) {
	c.event(slog.LevelWarn, f.node, "%s was lost: %s", f, why)
	c.flights.remove(f)
	c.abort("%s was lost: %s", f, why)
}

// forget removes history that holds the pending record with the key. Of
// recurring operations only the record goes, for they change nothing.
func (c *Controller) forget(nodeID, resource, key string) {
	for op := range operation.Entries(c.doc, nodeID, resource) {
		if op.Get("transition-key") != key || !operation.IsPending(op) {
			continue
		}
		edit := &cib.ForgetEdit{Node: nodeID, Resource: resource}
		if interval := op.Get("interval"); interval != "" && interval != "0" {
			edit.Operation = op.ID()
		}
		c.change(fmt.Sprintf("%s is not known to its node", op.Get("operation_key")), nodeID,
			[]cib.StatusEdit{{Forget: edit}})
		return
	}
}

// overdue handles a flight past its deadline.
func (c *Controller) overdue(f *flight) {
	f.deadline = c.now.Add(c.clusterDelay())
	switch f.stage {
	case running:
		c.event(slog.LevelWarn, f.node, "%s has not ended in time; asking %s", f, f.node)
		if n := c.nodes[f.node]; n != nil {
			n.doubt(c.now)
		}
	case leaving:
		c.event(slog.LevelWarn, f.node, "%s was told to leave and has not", f.node)
		c.flights.remove(f)
		c.abort("%s has not left", f.node)
	}
}

func (c *Controller) clusterDelay() time.Duration {
	if t := c.transition; t != nil && t.plan.Header.ClusterDelay > 0 {
		return t.plan.Header.ClusterDelay
	}
	return time.Minute
}
