package scheduler

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"gcrm/cib"
)

// The engine's result as a Plan.

func durationText(s string) time.Duration {
	ms, _ := parseDuration(s)
	return time.Duration(ms) * time.Millisecond
}

func (e *engine) plan() *Plan { return e.planWith(e.summarize()) }

func (e *engine) planWith(summary []summaryLine) *Plan {
	p := &Plan{Header: Header{
		ClusterDelay: durationText(e.opt.clusterDelay), FencingTimeout: durationText(e.opt.fencingTimeout),
		BatchLimit: intOf(e.opt.batchLimit, 0), MigrationLimit: intOf(e.opt.migrationLimit, -1), StartFatal: e.opt.startFatal,
	}}
	if e.recheck > 0 {
		p.Recheck = time.Unix(e.recheck, 0).UTC()
	}
	p.Actions = make([]*Action, 0, len(e.synapses))
	for _, a := range e.synapses {
		p.Actions = append(p.Actions, e.planAction(a))
	}
	for _, s := range summary {
		if s.decision != nil {
			p.Resources = append(p.Resources, *s.decision)
		}
	}
	for _, s := range e.scores {
		if s.capacity != "" {
			continue
		}
		phase := strings.TrimSuffix(strings.TrimPrefix(s.label, "pcmk__"), "_assign")
		if s.promotion {
			phase = "promotion"
		}
		p.Scores = append(p.Scores, Score{Phase: phase, Resource: s.rsc, Node: s.node, Value: s.score, Origin: e.scoreOrigins(&s)})
	}
	p.Messages = e.messages
	p.engine = e
	return p
}

func (e *engine) kindOf(a *action) ActionKind {
	switch {
	case a.is(fPseudo):
		return Pseudo
	case a.task == taskStonith, a.task == taskShutdown, a.task == taskClearFailcount, a.task == taskLrmDelete:
		return ClusterAction
	}
	return ResourceAction
}

func (e *engine) planAction(a *action) *Action {
	out := &Action{ID: a.id, Kind: e.kindOf(a), Key: e.graphKey(a), Task: a.task, Interval: time.Duration(a.interval) * time.Millisecond, Reason: a.reason}
	if a.node != nil && out.Kind != Pseudo || a.node != nil && a.task == taskStonith {
		out.Node, out.NodeID = a.node.name, a.node.id
		if r := e.router(a); r != nil && out.Kind == ResourceAction {
			out.Router = r.name
		}
	}
	if ms, err := strconv.ParseInt(a.meta.val("timeout"), 10, 64); err == nil {
		out.Timeout = time.Duration(ms) * time.Millisecond
	}
	out.ExpectedRC = intOf(a.meta.val("op_target_rc"), 0)
	out.Priority = a.priority
	if a.rsc != nil {
		out.Priority = max(out.Priority, a.rsc.priority)
		if a.rsc.isPrimitive() {
			out.Resource = e.resourceRef(a)
		}
	}
	out.Priority = max(0, out.Priority)
	for _, in := range a.graphInputs {
		out.Inputs = append(out.Inputs, in.id)
	}
	slices.Sort(out.Inputs)
	out.Params, out.Meta = e.actionAttributes(a)
	out.Downed = e.downedBy(a)
	if r := a.rsc; r != nil && a.task == taskStop && r.lockTime > 0 && r.lockNode == a.node {
		out.ShutdownLock = time.Unix(r.lockTime, 0).UTC()
	}
	return out
}

// graphKey is the operation key as executors see it: under the name that the
// history uses.
func (e *engine) graphKey(a *action) string {
	if a.rsc == nil || a.rsc.historyID == "" {
		return a.key
	}
	name := a.rsc.historyID
	switch {
	case a.task == taskNotify:
		return notifyKey(name, a.meta.val("notify_type"), a.meta.val("notify_operation"))
	case a.cancelTask != "":
		return opKey(name, a.cancelTask, parseIntervalMS(a.meta.val("interval")))
	}
	return opKey(name, a.task, parseIntervalMS(a.meta.val("interval")))
}

func (e *engine) resourceRef(a *action) *ResourceRef {
	r := a.rsc
	ref := &ResourceRef{ID: r.id, Class: r.class, Provider: r.provider, Type: r.typ}
	switch {
	case r.removed && r.historyID != "":
		ref.ID, ref.LongID = r.historyID, r.id
	case !r.unique:
		base := stripInstance(r.id)
		long := r.id
		if r.historyID != "" && r.historyID != base {
			long = r.historyID
		}
		ref.ID = base
		if long != base {
			ref.LongID = long
		}
	}
	return ref
}

// actionAttributes returns an action's parameters and meta-attributes.
func (e *engine) actionAttributes(a *action) (params, meta []cib.Attr) {
	if a.rsc != nil && a.rsc.isPrimitive() {
		for _, x := range e.params(a.rsc, a.node) {
			params = append(params, x)
		}
		if e.needsRemoteName(a.rsc) {
			for i := range params {
				if params[i].Name == "addr" {
					params[i].Value = e.remoteName(a.rsc)
				}
			}
		}
	}
	for _, x := range a.extra {
		if !slices.ContainsFunc(params, func(p cib.Attr) bool { return p.Name == x.Name }) {
			params = append(params, x)
		}
	}
	add := func(name, value string) {
		name = strings.ReplaceAll(name, "-", "_")
		if !slices.ContainsFunc(meta, func(m cib.Attr) bool { return m.Name == name }) {
			meta = append(meta, cib.Attr{Name: name, Value: value})
		}
	}
	if a.node != nil && !a.is(fPseudo) {
		add("on_node", a.node.name)
		add("on_node_uuid", a.node.id)
	}
	for _, x := range a.meta {
		add(x.Name, x.Value)
	}
	for r := a.rsc; r != nil; r = r.parent {
		e.resourceMeta(r, a, add)
	}
	if h := physicalHost(a); h != nil {
		if v, ok := a.rsc.meta.get("container-attribute-target"); ok {
			add("container-attribute-target", v)
		}
		add("physical-host", h.name)
	}
	if a.rsc != nil {
		if v, ok := a.rsc.meta.get("external-ip"); ok {
			params = append(params, cib.Attr{Name: "pcmk_external_ip", Value: v})
		}
	}
	slices.SortFunc(params, func(x, y cib.Attr) int { return strings.Compare(x.Name, y.Name) })
	slices.SortFunc(meta, func(x, y cib.Attr) int { return strings.Compare(x.Name, y.Name) })
	return params, meta
}

// physicalHost is the node that hosts the guest an action is executed on: before
// the transition for what goes down, after it for what comes up.
func physicalHost(a *action) *node {
	if a.rsc == nil || a.node == nil || !a.node.guest() {
		return nil
	}
	task := a.task
	if task == taskNotify || task == taskNotified {
		task = a.meta.val("notify_operation")
	}
	switch baseTask(task) {
	case taskStop, taskDemote:
		return guestHost(a.node, true)
	case taskStart, taskMonitor, taskPromote:
		return guestHost(a.node, false)
	}
	return nil
}

// resourceMeta adds what an agent is told of its clone, bundle or launcher.
func (e *engine) resourceMeta(r *resource, a *action, add func(name, value string)) {
	switch r.variant {
	case vPrimitive:
		if n := instanceNumber(r.id); n >= 0 && r.parent != nil {
			add("clone", itoa(n))
		}
		if r.launcher != nil {
			add("container", r.launcher.id)
		}
		if v, ok := r.meta.get("remote-node"); ok {
			add("remote-node", v)
		}
	case vClone:
		add("globally-unique", boolText(r.unique))
		add("notify", boolText(r.notify))
		add("clone-max", itoa(r.clone.max))
		add("clone-node-max", itoa(r.clone.nodeMax))
		if r.promotable {
			add("promoted-max", itoa(r.clone.promotedMax))
			add("promoted-node-max", itoa(r.clone.promotedPer))
			add("master-max", itoa(r.clone.promotedMax))
			add("master-node-max", itoa(r.clone.promotedPer))
		}
	}
}

// downedBy lists the ids of nodes that are down after an action.
func (e *engine) downedBy(a *action) []string {
	switch {
	case a.task == taskShutdown && a.node != nil:
		return []string{a.node.id}
	case a.task == taskStonith && a.node != nil:
		op := a.meta.val("stonith_action")
		if op != "off" && op != "reboot" {
			return nil
		}
		out := []string{a.node.id}
		for _, n := range e.sorted {
			if n.guest() && n.connection.launcher.runsOn(a.node) {
				out = append(out, n.id)
			}
		}
		return out
	case a.rsc != nil && a.rsc.isRemoteConn && a.task == taskStop && !a.is(fPseudo):
		for _, x := range a.rsc.actions {
			if (x.task == taskMigrateFrom || x.task == taskMigrateTo) && x.runnable() && x.required() {
				return nil
			}
		}
		return []string{a.rsc.id}
	}
	return nil
}
