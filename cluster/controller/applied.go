package controller

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"

	"gcrm/cib"
	"gcrm/cluster/executor/operation"
)

// applied takes in one entry of the log: what the transition expects carries
// it on, everything else that changes anything stops it.
func (c *Controller) applied(in Applied) {
	old := c.doc
	c.doc = in.CIB
	if !c.leading {
		return
	}
	ch := in.Change
	switch {
	case ch == nil:
		c.abort("the CIB was replaced")
		c.rescan()
	case ch.Configuration != nil:
		c.abort("version %s of the configuration was committed", c.doc.Version())
	case ch.Status != nil:
		ref := c.own(ch.Origin)
		v := &edits{Controller: c, old: old, own: ref != 0, origin: ch.Origin, handled: map[string]bool{}}
		for _, e := range ch.Status.Edits {
			v.edit(e)
		}
		for _, f := range c.flights.byRef(ref, changing) {
			c.changed(f)
		}
	}
	c.refreshNodes()
}

// rescan finds the results of flights in a document of unknown origin.
func (c *Controller) rescan() {
	for _, f := range slices.Clone(c.flights.list) {
		if f.key == "" {
			continue
		}
		for op := range operation.Entries(c.doc, f.nodeID, f.job.Resource) {
			if op.Get("transition-key") != f.key {
				continue
			}
			switch {
			case !operation.IsPending(op):
				c.result(f, op.Attrs)
			case f.stage == committing:
				c.dispatch(f)
			}
			break
		}
	}
}

// edits judges the edits of one status change.
type edits struct {
	*Controller
	old     *cib.CIB
	own     bool
	origin  cib.Origin
	handled map[string]bool // keys whose result this change holds
}

func (v *edits) edit(e cib.StatusEdit) {
	switch {
	case e.Operation != nil:
		v.operation(e.Operation)
	case e.Forget != nil:
		v.forget(e.Forget)
	case v.own:
	case e.Attribute != nil:
		was, had := operation.Attribute(v.old, e.Attribute.Node, e.Attribute.Name)
		is, has := operation.Attribute(v.doc, e.Attribute.Node, e.Attribute.Name)
		if was != is || had != has {
			v.abort("attribute %s of node %s changed from %q to %q", e.Attribute.Name, v.name(e.Attribute.Node), was, is)
		}
	case e.Node != nil:
		was, is := operation.NodeState(v.old, e.Node.ID), operation.NodeState(v.doc, e.Node.ID)
		switch name := v.name(e.Node.ID); {
		case e.Node.Fenced && was != nil:
			// What ran there, and what was under way, is gone.
			v.nodeLost(name, "came in anew or was lost")
			v.abort("node %s came in anew or was lost", name)
		case !sameState(was, is):
			v.abort("the state of node %s changed", name)
		}
	case e.Ticket != nil:
		if !v.old.Status().Child("tickets").Equal(v.doc.Status().Child("tickets")) {
			v.abort("ticket %s changed", e.Ticket.ID)
		}
	case e.Root != nil:
		for _, a := range e.Root.Attributes {
			if v.old.Root.Get(a.Name) != v.doc.Root.Get(a.Name) {
				v.abort("%s changed from %q to %q", a.Name, v.old.Root.Get(a.Name), v.doc.Root.Get(a.Name))
			}
		}
	}
}

func (v *edits) name(nodeID string) string {
	if s := operation.NodeState(v.doc, nodeID); s != nil && s.Get("uname") != "" {
		return s.Get("uname")
	}
	return nodeID
}

// sameState compares what a node_state says besides history and attributes.
func sameState(a, b *cib.Element) bool {
	if a == nil || b == nil {
		return a == b
	}
	return (&cib.Element{Attrs: a.Attrs}).Equal(&cib.Element{Attrs: b.Attrs})
}

func (v *edits) operation(e *cib.OperationEdit) {
	key := value(e.Attributes, "transition-key")
	if v.handled[key] {
		return
	}
	f := v.flights.byKey[key]
	pending := value(e.Attributes, "op-status") == "-1"
	switch {
	case f != nil && !pending:
		v.handled[key] = true
		v.result(f, e.Attributes)
	case f != nil && f.stage == committing:
		v.dispatch(f)
	case f != nil, v.known(e):
	case v.goesBack(e) || v.unannounced(e):
		v.handled[key] = true
		v.Controller.event(slog.LevelWarn, v.name(e.Node), "an old result of %s on %s came late; it will be probed", e.Resource, v.name(e.Node))
		v.abort("an old result of %s came late", e.Resource)
		v.change("an old result came late", e.Node, []cib.StatusEdit{{Forget: &cib.ForgetEdit{Node: e.Node, Resource: e.Resource}}})
	default:
		v.handled[key] = true
		rc, _ := strconv.Atoi(value(e.Attributes, "rc-code"))
		v.abort("%s on %s gave %s", value(e.Attributes, "operation_key"), v.name(e.Node), outcomeText(value(e.Attributes, "op-status"), rc, value(e.Attributes, "exit-reason")))
	}
}

// known reports whether the document held the same entry before.
func (v *edits) known(e *cib.OperationEdit) bool {
	for op := range operation.Entries(v.old, e.Node, e.Resource) {
		if op.ID() == value(e.Attributes, "id") {
			return (&cib.Element{Attrs: op.Attrs}).Equal(&cib.Element{Attrs: e.Attributes})
		}
	}
	return false
}

// unannounced reports whether the entry is a one-off result without its
// pending record: that of an executor that is no more, for instance.
func (v *edits) unannounced(e *cib.OperationEdit) bool {
	if value(e.Attributes, "interval") != "0" || value(e.Attributes, "op-status") == "-1" {
		return false
	}
	for op := range operation.Entries(v.old, e.Node, e.Resource) {
		if op.Get("transition-key") == value(e.Attributes, "transition-key") && operation.IsPending(op) {
			return false
		}
	}
	return value(e.Attributes, "operation") != "notify"
}

// goesBack reports whether the entry replaces one of a later call: a message
// that was under way for long. What the history says now may be wrong.
func (v *edits) goesBack(e *cib.OperationEdit) bool {
	for op := range operation.Entries(v.old, e.Node, e.Resource) {
		if op.ID() == value(e.Attributes, "id") && !operation.IsPending(op) {
			was, _ := strconv.Atoi(op.Get("call-id"))
			is, _ := strconv.Atoi(value(e.Attributes, "call-id"))
			return is < was && is >= 0
		}
	}
	return false
}

func (v *edits) forget(e *cib.ForgetEdit) {
	if v.origin.Client == operation.ExecutorClient {
		if f := v.flights.byKey[v.origin.Message]; f != nil && !f.job.Recorded() && f.job.Task != "notify" {
			v.complete(f, true, "")
			return
		}
		if v.handled[v.origin.Message] {
			return // part of a result
		}
	}
	if v.own {
		return
	}
	for state := range v.old.Status().Named("node_state") {
		if e.Node != "" && state.ID() != e.Node {
			continue
		}
		for r := range operation.Resources(state) {
			if e.Resource != "" && r.ID() != e.Resource || e.Operation != "" && r.ChildByID(e.Operation) == nil {
				continue
			}
			v.abort("history of %s on %s was deleted", r.ID(), state.Get("uname"))
			return
		}
	}
}

// result ends a flight with the history entry of its action.
func (c *Controller) result(f *flight, attrs []cib.Attr) {
	rc, _ := strconv.Atoi(value(attrs, "rc-code"))
	status := value(attrs, "op-status")
	ok := status == "0" && operation.Matches(f.job.ExpectedRC, rc) || f.job.Task == "notify"
	if !ok && (f.job.MetaValue("on_fail") == "ignore" || f.job.MetaValue("on_fail") == "nothing") {
		c.event(slog.LevelWarn, f.node, "%s failed, which is ignored (on-fail)", f)
		ok = true
	}
	c.complete(f, ok, outcomeText(status, rc, value(attrs, "exit-reason")))
}

func value(attrs []cib.Attr, name string) string {
	for _, a := range attrs {
		if a.Name == name {
			return a.Value
		}
	}
	return ""
}

// outcomeText says in words how an operation ended.
func outcomeText(status string, rc int, reason string) string {
	text := operation.ResultName(rc)
	switch status {
	case "-1":
		text = "a pending record"
	case "1":
		text = "cancelled"
	case "2":
		text = "no result in time"
	case "0":
	default:
		text = fmt.Sprintf("%s (status %s)", text, status)
	}
	if reason != "" {
		text += ": " + reason
	}
	return text
}
