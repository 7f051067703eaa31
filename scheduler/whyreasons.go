package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Code is the kind of a reason, for programs.
type Code string

// Kinds of reasons.
const (
	CodeMaintenance Code = "maintenance"   // maintenance mode of cluster, node or resource
	CodeStopAll     Code = "stop-all"      // stop-all-resources
	CodeQuorum      Code = "no-quorum"     // no quorum, and what no-quorum-policy makes of it
	CodeNoFencing   Code = "no-fencing"    // fencing is wanted but nothing can fence
	CodeUnmanaged   Code = "unmanaged"     // is-managed=false
	CodeBlocked     Code = "blocked"       // a failure that only a person can get out of the way
	CodeTargetRole  Code = "target-role"   // told to be stopped or unpromoted
	CodeRemoved     Code = "removed"       // not configured any more
	CodeNoNode      Code = "no-node"       // no node can take it
	CodeInstances   Code = "instances"     // enough instances run
	CodeOrder       Code = "order"         // what must come first does not
	CodeColocation  Code = "colocation"    // what it must be with does not run
	CodePending     Code = "pending"       // an operation or a node is not ready
	CodeLock        Code = "shutdown-lock" // waits for its node
	CodePlace       Code = "place"         // why this node
	CodeLeaves      Code = "leaves"        // why not the node where it is
	CodeFailure     Code = "failure"       // what failed
	CodeDefinition  Code = "definition"    // its parameters were changed
	CodeDependency  Code = "dependency"    // it follows another resource
	CodePromotion   Code = "promotion"     // why promoted, or not
	CodeFencing     Code = "fencing"       // a node is fenced
	CodeMultiple    Code = "multiple"      // active more than once
	CodeSettled     Code = "settled"       // nothing is to be done
	CodeOther       Code = "other"         // in the scheduler's own words
)

// Reason is one reason, as data and in words.
type Reason struct {
	Code Code `json:"code"`
	// Resource and Node are others that the reason is about, Constraint the
	// id of the constraint or of the set of attributes that made it so.
	Resource   string    `json:"resource,omitempty"`
	Node       string    `json:"node,omitempty"`
	Constraint string    `json:"constraint,omitempty"`
	Until      time.Time `json:"until,omitzero"`
	Text       string    `json:"text"`
	// Hint is what somebody can do about it; empty where nothing is amiss.
	Hint string `json:"hint,omitempty"`
}

// clusterReasons hold for every resource.
func (e *engine) clusterReasons() []Reason {
	var out []Reason
	add := func(c Code, hint, format string, a ...any) {
		out = append(out, Reason{Code: c, Text: fmt.Sprintf(format, a...), Hint: hint})
	}
	if e.opt.maintenance {
		add(CodeMaintenance, "property maintenance-mode=false", "the cluster is in maintenance mode: nothing is started, stopped or moved")
	}
	if e.opt.stopAll {
		add(CodeStopAll, "property stop-all-resources=false", "stop-all-resources is set: nothing is to run")
	}
	if !e.quorate {
		switch e.opt.noQuorum {
		case quorumIgnore:
		case quorumFreeze:
			add(CodeQuorum, "", "no quorum: what runs stays, nothing new is started (no-quorum-policy=freeze)")
		case quorumDemote:
			add(CodeQuorum, "", "no quorum: everything is stopped, promoted instances are demoted and stay (no-quorum-policy=demote)")
		case quorumFence:
			add(CodeQuorum, "", "no quorum: this partition fences itself (no-quorum-policy=fence)")
		default:
			add(CodeQuorum, "bring back enough nodes", "no quorum: everything is stopped (no-quorum-policy=stop)")
		}
	}
	if e.opt.fencing && !e.haveFencing {
		add(CodeNoFencing, "configure a fence device, or set stonith-enabled=false if no data is shared",
			"fencing is enabled but there is no fence device: resources are neither started nor stopped")
	}
	return out
}

// reasons says why r is as it is, and why the plan does with it what it does;
// the first is what an administrator would be told first.
func (x *explainer) reasons(r *resource, i *Instance) []Reason {
	e := x.e
	if slices.Contains(x.seen, r) || len(x.seen) > 8 {
		return nil
	}
	x.seen = append(x.seen, r)
	defer func() { x.seen = x.seen[:len(x.seen)-1] }()
	var out []Reason
	add := func(list ...Reason) { out = append(out, list...) }
	add(e.heldReasons(r)...)
	if r.pendingTask != "" && r.pendingNode != nil {
		add(Reason{Code: CodePending, Node: r.pendingNode.name, Text: fmt.Sprintf("a %s is under way on %s", r.pendingTask, r.pendingNode.name)})
	}
	if r.lockNode != nil && len(r.runningOn) == 0 {
		lock := Reason{Code: CodeLock, Node: r.lockNode.name, Hint: "resource refresh " + plainName(r),
			Text: fmt.Sprintf("it waits for %s, which was shut down cleanly (shutdown-lock)", r.lockNode.name)}
		if e.opt.shutdownLockLimit > 0 {
			lock.Until = time.Unix(r.lockTime+e.opt.shutdownLockLimit, 0).UTC()
			lock.Text += " until " + lock.Until.Format(timeFormat)
		}
		add(lock)
	}
	if !r.managed {
		return out
	}
	told := e.toldReasons(r)
	add(told...)
	running := len(r.runningOn) > 0
	if running {
		add(x.troubleReasons(r)...)
	}
	switch {
	case e.opt.stopAll:
		if len(out) == 0 {
			add(Reason{Code: CodeStopAll, Text: "stop-all-resources is set"})
		}
	case r.assigned == nil && len(told) == 0:
		add(x.nowhereReasons(r, i)...)
	case r.assigned != nil && r.nextRole > roleStopped:
		start := firstAction(r, opKey(r.id, taskStart, 0), "", r.assigned)
		if start != nil && !start.runnable() && start.required() || start != nil && !start.runnable() && !running {
			add(x.blockedReasons(start)...)
		}
	}
	if running {
		add(x.runningReasons(r, i)...)
	} else if r.assigned != nil && r.nextRole > roleStopped {
		add(x.startReasons(r, i, len(out) > 0)...)
	}
	add(x.promotionReasons(r, i)...)
	return distinct(out)
}

func distinct(list []Reason) []Reason {
	var out []Reason
	for _, r := range list {
		if !slices.ContainsFunc(out, func(o Reason) bool { return o.Text == r.Text }) {
			out = append(out, r)
		}
	}
	return out
}

// heldReasons say why nobody touches r.
func (e *engine) heldReasons(r *resource) []Reason {
	if r.managed {
		return nil
	}
	name := plainName(r)
	switch {
	case r.blocked:
		return []Reason{e.blockReason(r)}
	case e.opt.maintenance:
		return []Reason{{Code: CodeMaintenance, Text: "the cluster is in maintenance mode"}}
	case isTrue(r.meta.val("maintenance")):
		src := e.metaSource(r, "maintenance")
		return []Reason{{Code: CodeMaintenance, Constraint: src, Text: "it is in maintenance (" + src + ")", Hint: "resource maintenance " + name + " off"}}
	}
	for _, n := range r.runningOn {
		if n.maintenance {
			return []Reason{{Code: CodeMaintenance, Node: n.name, Text: "its node " + n.name + " is in maintenance", Hint: "node ready " + n.name}}
		}
	}
	if v, ok := parseBool(r.meta.val("is-managed")); ok && !v {
		src := e.metaSource(r, "is-managed")
		return []Reason{{Code: CodeUnmanaged, Constraint: src, Text: "it is not managed: is-managed=false (" + src + ")", Hint: "resource manage " + name}}
	}
	if e.opt.fencing && !e.haveFencing {
		return []Reason{{Code: CodeNoFencing, Text: "fencing is enabled but there is no fence device: it is neither started nor stopped",
			Hint: "configure a fence device, or set stonith-enabled=false if no data is shared"}}
	}
	if r.removed {
		return []Reason{{Code: CodeRemoved, Text: "it is no longer configured, and stop-orphan-resources is false"}}
	}
	return []Reason{{Code: CodeUnmanaged, Text: "it is not managed"}}
}

// blockReason says what blocked r.
func (e *engine) blockReason(r *resource) Reason {
	name := plainName(r)
	out := Reason{Code: CodeBlocked, Hint: "mend it, then resource cleanup " + name}
	for _, t := range e.ticketsOf(r) {
		if t.policy == lossFreeze && !t.ticket.granted {
			out.Constraint, out.Text, out.Hint = t.id, fmt.Sprintf("it is frozen: ticket %s is not granted (%s)", t.ticket.id, t.id), "site ticket grant "+t.ticket.id
			return out
		}
	}
	list := e.failuresOf(r)
	for _, f := range list {
		if f.Operation != taskStop {
			continue
		}
		out.Node = f.Node
		out.Text = fmt.Sprintf("it is blocked: stop failed on %s: %s", f.Node, f.words())
		switch {
		case !e.opt.fencing:
			out.Text += "; the node cannot be fenced, fencing is disabled"
		case e.findNode(f.Node) != nil && !e.canFence(e.findNode(f.Node)):
			out.Text += "; the node cannot be fenced"
		}
		return out
	}
	if r.multi == maBlock && len(r.runningOn) > 1 {
		out.Text = fmt.Sprintf("it is blocked: active on %s at once, and multiple-active is block", nodeNames(r.runningOn))
		return out
	}
	if len(list) > 0 {
		f := list[0]
		out.Node = f.Node
		out.Text = fmt.Sprintf("it is blocked: %s failed on %s: %s (on-fail=block)", f.Operation, f.Node, f.words())
		return out
	}
	out.Text = "it is blocked"
	return out
}

// words is the result of a failed operation and what the agent said.
func (f *Failure) words() string {
	if f.Reason != "" {
		return f.Result + " (" + f.Reason + ")"
	}
	return f.Result
}

func nodeNames(list []*node) string {
	var names []string
	for _, n := range list {
		names = append(names, n.name)
	}
	return strings.Join(names, ", ")
}

func (e *engine) ticketsOf(r *resource) []*ticketConstraint {
	var out []*ticketConstraint
	for p := r; p != nil; p = p.parent {
		out = append(out, p.tickets...)
	}
	return out
}

// toldReasons say that the configuration wants r stopped (or unpromoted).
func (e *engine) toldReasons(r *resource) []Reason {
	if r.removed {
		return []Reason{{Code: CodeRemoved, Text: "it is no longer configured"}}
	}
	v, ok := r.meta.get("target-role")
	want, valid := parseRole(v)
	if !ok || !valid || want != roleStopped {
		return nil
	}
	src := e.metaSource(r, "target-role")
	owner := plainName(r)
	if _, set, found := strings.Cut(src, " of "); found {
		owner = set
	}
	return []Reason{{Code: CodeTargetRole, Constraint: src, Text: "it is told to be stopped: target-role=" + v + " (" + src + ")", Hint: "resource start " + owner}}
}

// nowhereReasons say why no node takes r.
func (x *explainer) nowhereReasons(r *resource, i *Instance) []Reason {
	e := x.e
	if why, ok := e.trace.lost[r]; ok {
		return x.lostReason(r, why)
	}
	// One thing that forbids every node is the reason; else each node has its own.
	var common []Origin
	first := true
	for _, p := range i.Places {
		if !p.Listed || e.findNode(p.Node).remote && p.State == "offline" {
			continue
		}
		var bans []Origin
		for _, o := range p.Origin {
			if o.Value <= -infinity && o.common() && (first || slices.ContainsFunc(common, func(c Origin) bool { return c.Text == o.Text })) {
				bans = append(bans, o)
			}
		}
		common, first = bans, false
	}
	var out []Reason
	for _, o := range common {
		if o.By == ByNodeState {
			continue
		}
		out = append(out, x.banReason(r, o)...)
	}
	if len(out) > 0 {
		return out
	}
	why := Reason{Code: CodeNoNode, Text: "no node can take it"}
	switch {
	case r.top(true).variant == vClone && slices.ContainsFunc(i.Places, takenPlace):
		why.Code, why.Text = CodeInstances, "every node that can take one has its instance"
		var parts []string
		for _, p := range i.Places {
			if !takenPlace(p) {
				parts = append(parts, p.Node+": "+p.Text)
			}
		}
		if len(parts) > 0 {
			why.Text += "; " + strings.Join(parts, " | ")
		}
	case len(i.Places) == 0:
		why.Text = "there is no node"
	case slices.ContainsFunc(i.Places, func(p Place) bool { return p.Possible }):
		return nil // a place was found and taken away again
	}
	for _, p := range i.Places {
		for _, o := range p.Origin {
			if why.Hint == "" && p.State == "online" {
				why.Hint = o.banHint(r)
			}
		}
	}
	return append(out, why)
}

// lostReason says why a node was found for r and taken away again.
func (x *explainer) lostReason(r *resource, why cause) []Reason {
	out := Reason{Code: CodeOrder, Resource: plainName(why.rsc)}
	text := ""
	if why.coloc != nil {
		out.Code, out.Constraint = CodeColocation, plainConstraint(why.coloc.id)
		text = constraintText(why.coloc)
	} else {
		text, out.Constraint = x.e.orderBetween(why.rsc, r)
	}
	out.Text = fmt.Sprintf("no instance of %s runs on a node where it could be%s", plainName(why.rsc), text)
	return []Reason{out}
}

// takenPlace reports a node that another instance has.
func takenPlace(p Place) bool {
	return p.State == "online" && slices.ContainsFunc(p.Origin, func(o Origin) bool { return o.By == ByInstances })
}

// common reports an origin that is not about one node.
func (o *Origin) common() bool {
	switch o.By {
	case ByTicket, ByTargetRole, ByColocation, ByRemoved, ByMultiple, ByShutdownLock, ByLocation, ByDiscovery, ByContainer, ByOrder:
		return true
	case ByInstances:
		return !strings.Contains(o.Text, "place")
	case ByFailure:
		return o.Node != "" && strings.Contains(o.Text, "failed on")
	}
	return false
}

// banReason is the reason that an origin gives which forbids every node.
func (x *explainer) banReason(r *resource, o Origin) []Reason {
	out := Reason{Constraint: o.Constraint, Resource: o.Resource, Node: o.Node, Until: o.Until, Text: o.Text}
	switch o.By {
	case ByTicket:
		out.Code, out.Hint = CodeNoNode, "site ticket grant "+o.Attribute
	case ByInstances:
		out.Code = CodeInstances
	case ByTargetRole:
		return x.e.stoppedReason(r)
	case ByColocation:
		out.Code, out.Text = CodeColocation, "it "+o.Text
		if p := x.e.rscByID[o.Resource]; p != nil {
			out.Text += x.becauseOf(p)
		} else if p := x.e.constraintNamed(o.Resource); p != nil {
			out.Text += x.becauseOf(p)
		}
	case ByFailure, ByThreshold:
		out.Code, out.Hint = CodeFailure, "mend it, then resource cleanup "+plainName(r)
	case ByLocation:
		out.Code, out.Text, out.Hint = CodeNoNode, o.banText(), o.banHint(r)
	default:
		out.Code = CodeNoNode
	}
	return []Reason{out}
}

// stoppedReason is for a resource whose next role was set to stopped by
// something else than its target-role.
func (e *engine) stoppedReason(r *resource) []Reason {
	if told := e.toldReasons(r); told != nil {
		return told
	}
	if list := e.failuresOf(r); len(list) > 0 {
		f := list[0]
		return []Reason{{Code: CodeFailure, Node: f.Node, Hint: "mend it, then resource cleanup " + plainName(r),
			Text: fmt.Sprintf("%s failed on %s: %s, and on-fail is stop", f.Operation, f.Node, f.words())}}
	}
	if r.isRemoteConn {
		return []Reason{{Code: CodeFencing, Node: r.id, Text: "its node is shutting down"}}
	}
	return []Reason{{Code: CodeTargetRole, Text: "it is to be stopped"}}
}

// becauseOf is ": X does not run: REASON" for the first reason of X.
func (x *explainer) becauseOf(r *resource) string {
	if x.brief {
		return ""
	}
	if reason := x.rootReason(r); reason != "" {
		return "; " + reason
	}
	return ""
}

// rootReason is the first reason of r, or if that is another resource, of that
// one: what is behind it all.
func (x *explainer) rootReason(r *resource) string {
	deep := *x
	deep.brief = true
	seen := []*resource{}
	for range 50 {
		first, of := deep.firstReason(r)
		if of == nil {
			return ""
		}
		next := x.e.constraintNamed(first.Resource)
		follow := (first.Code == CodeColocation || first.Code == CodeOrder) && next != nil && !next.isAncestor(of) && !slices.Contains(seen, next)
		if follow {
			if _, has := deep.firstReason(next); has != nil {
				seen = append(seen, next)
				r = next
				continue
			}
		}
		return plainName(of) + ": " + first.Text
	}
	return ""
}

// firstReason is the weightiest reason why a resource (or the first of its
// members with any) does not run.
func (x *explainer) firstReason(r *resource) (found Reason, of *resource) {
	if slices.Contains(x.seen, r) {
		return Reason{}, nil
	}
	r.eachLeaf(func(l *resource) {
		if of != nil || l.removed {
			return
		}
		start := firstAction(l, opKey(l.id, taskStart, 0), "", nil)
		stays := !l.blocked && !l.failed && len(l.runningOn) > 0 && l.assigned != nil && l.nextRole > roleStopped && (start == nil || start.runnable() || start.optional())
		if stays || start != nil && start.runnable() && l.assigned != nil && l.nextRole > roleStopped {
			return
		}
		i := Instance{}
		i.Places = x.places(l)
		for _, why := range x.reasons(l, &i) {
			switch why.Code {
			case CodeSettled, CodePlace:
			default:
				if why.Code == CodeNoNode && why.Text == "no node can take it" {
					why.Text += ": " + nodeTexts(i.Places)
				}
				found, of = why, l
				return
			}
		}
	})
	return found, of
}

// nodeTexts is what each node has against a resource, in one line.
func nodeTexts(places []Place) string {
	var parts []string
	for _, p := range places {
		if p.Text != "" {
			parts = append(parts, p.Node+": "+p.Text)
		}
	}
	return strings.Join(parts, " | ")
}
