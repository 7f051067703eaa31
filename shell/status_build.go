package shell

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// buildView puts together what status shows: from the CIB, and from what the
// node knows of the cluster besides (nil for a file).
func buildView(doc *cib.CIB, info *client.Info, now time.Time) *clusterView {
	v := &clusterView{Updated: now, Version: doc.Version().String()}
	r := doc.Root
	v.Changed, v.ChangedBy, v.ChangedVia, v.ChangedOn = r.Get("cib-last-written"), r.Get("update-user"), r.Get("update-client"), r.Get("update-origin")
	v.Stack, _ = doc.Property("cluster-infrastructure")
	v.DCVersion, _ = doc.Property("dc-version")
	v.WithQuorum = cib.IsTrue(r.Get("have-quorum"))
	if dc := r.Get("dc-uuid"); dc != "" {
		if n, ok := doc.Node(dc); ok {
			v.DC = n.Uname
		}
	}
	if info != nil {
		v.Stack = cmp.Or(v.Stack, "gcrm")
		v.DC, v.WithQuorum, v.UpdatedOn = info.Leader, info.Quorate, info.Node
		v.Transition = progressLine(info)
	}
	v.Stack = cmp.Or(v.Stack, "unknown")
	mode, _ := doc.Property("maintenance-mode")
	v.Maintenance = cib.IsTrue(mode)
	stop, _ := doc.Property("stop-all-resources")
	v.StopAll = cib.IsTrue(stop)

	b := newStateBuilder(doc, v)
	b.nodes()
	b.resources()
	b.orphans()
	v.Failures = failuresOf(doc)
	b.tickets()
	b.bans()
	return v
}

// stateBuilder derives nodes and resources from the configuration and the
// operation history.
type stateBuilder struct {
	doc   *cib.CIB
	v     *clusterView
	index *cib.Index
	// history is, by node name and history id, what is known there.
	history map[string]map[string]*instanceState
	seen    map[string]bool
	stonith bool
}

// instanceState is what the history of a resource on a node adds up to.
type instanceState struct {
	role    string // Started, Promoted, Unpromoted, or empty for stopped
	failed  bool
	ignored bool
	blocked bool
	pending string
	locked  bool
	agent   string
}

// idle reports whether nothing is known to run.
func (st *instanceState) idle() bool {
	return st == nil || st.role == "" && !st.failed && st.pending == ""
}

func newStateBuilder(doc *cib.CIB, v *clusterView) *stateBuilder {
	b := &stateBuilder{doc: doc, v: v, index: cib.NewIndex(doc), history: map[string]map[string]*instanceState{}, seen: map[string]bool{}}
	on, ok := doc.Property("stonith-enabled", "fencing-enabled")
	b.stonith = !ok || cib.IsTrue(on)
	return b
}

func (b *stateBuilder) nodes() {
	for _, n := range b.doc.Nodes() {
		b.v.configuredAt++
		nv := nodeView{Name: n.Uname, ID: n.ID, Kind: n.Type, DC: n.Uname == b.v.DC, Attributes: pairsOf(n.Element, "instance_attributes")}
		state := b.doc.NodeState(n.ID)
		if state != nil {
			for k, val := range pairsOf(state.Child("transient_attributes"), "instance_attributes") {
				nv.Attributes[k] = val
			}
			member := isMember(state.Get("in_ccm"))
			process := state.Get("crmd") == "online" || isSince(state.Get("crmd"))
			joined := state.Get("join") == "member"
			switch {
			case n.Type == "remote":
				nv.Online = member || process
			case member && process && joined:
				nv.Online = true
			case member && process && state.Get("join") != "down":
				nv.Pending = true
			case state.Get("expected") == "member" && b.stonith:
				nv.Unclean = true
			}
			b.readHistory(n.Uname, state, nv.Online || nv.Unclean)
		} else if b.stonith && n.Type == "member" && b.v.DC != "" {
			startup, ok := b.doc.Property("startup-fencing")
			nv.Unclean = !ok || cib.IsTrue(startup)
		}
		nv.Standby = cib.IsTrue(nv.Attributes["standby"])
		nv.Maintenance = cib.IsTrue(nv.Attributes["maintenance"])
		for k, val := range nv.Attributes {
			if strings.HasPrefix(k, "#health") && (val == "red" || val == "yellow" && nv.Health != "red") {
				nv.Health = val
			}
		}
		b.v.Nodes = append(b.v.Nodes, nv)
	}
}

// isMember understands a boolean or, since feature set 3.18, the time since
// when.
func isMember(s string) bool { return cib.IsTrue(s) || isSince(s) }

func isSince(s string) bool {
	n, err := strconv.ParseInt(s, 10, 64)
	return err == nil && n > 1
}

func (b *stateBuilder) readHistory(node string, state *cib.Element, online bool) {
	known := map[string]*instanceState{}
	b.history[node] = known
	if !online {
		return
	}
	for r := range state.Child("lrm").Child("lrm_resources").Named("lrm_resource") {
		known[r.ID()] = b.replay(r)
		if base := historyName(r.ID()); base != r.ID() && known[base].idle() {
			known[base] = known[r.ID()] // instances of anonymous clones had numbers once
		}
	}
}

// replay derives the state of a resource from its operations in the order in
// which they ran.
func (b *stateBuilder) replay(r *cib.Element) *instanceState {
	st := &instanceState{agent: cib.AgentOf(r).String()}
	ops := slices.Collect(r.Named("lrm_rsc_op"))
	slices.SortStableFunc(ops, func(x, y *cib.Element) int { return callNumber(x) - callNumber(y) })
	promotable := b.promotable(historyName(r.ID()))
	active := "Started"
	if promotable {
		active = "Unpromoted"
	}
	for _, op := range ops {
		task, rc, status := op.Get("operation"), op.Get("rc-code"), op.Get("op-status")
		if status == "-1" {
			st.pending = pendingWord(task)
			continue
		}
		probe := task == "monitor" && (op.Get("interval") == "0" || op.Get("interval") == "")
		if failedOp(op) {
			onFail := b.onFail(historyName(r.ID()), op)
			switch {
			case onFail == "ignore":
				st.ignored = true
			case probe && rc != "7":
				// An agent that cannot be asked says nothing about the resource,
				// unless it is there and broken.
				if rc == "1" || rc == "9" {
					st.failed, st.role = true, active
				}
			case task == "stop":
				st.failed, st.role = true, cmp.Or(st.role, active)
				st.blocked = onFail == "block" || onFail == "" && !b.stonith
			default:
				st.failed = true
				st.role = cmp.Or(st.role, active)
			}
			continue
		}
		switch task {
		case "start", "migrate_from":
			st.role, st.failed = active, false
		case "stop", "migrate_to":
			st.role, st.failed, st.blocked = "", false, false
		case "promote":
			st.role, st.failed = "Promoted", false
		case "demote":
			st.role, st.failed = "Unpromoted", false
		case "monitor":
			switch rc {
			case "0", "190":
				if st.role == "" || probe {
					st.role = active
				}
			case "8", "191":
				st.role = "Promoted"
			case "7":
				if probe {
					st.role, st.failed = "", false
				}
			}
		}
	}
	return st
}

// callNumber orders operations; pending ones come last.
func callNumber(op *cib.Element) int {
	n := atoi(op.Get("call-id"))
	if n < 0 || op.Get("op-status") == "-1" {
		return int(^uint(0) >> 2)
	}
	return n
}

func pendingWord(task string) string {
	switch task {
	case "start":
		return "Starting"
	case "stop":
		return "Stopping"
	case "migrate_to", "migrate_from":
		return "Migrating"
	case "promote":
		return "Promoting"
	case "demote":
		return "Demoting"
	case "monitor":
		return "Monitoring"
	}
	return ""
}

// failedOp reports whether an operation went wrong: it was not carried out, or
// its result is not the expected one.
func failedOp(op *cib.Element) bool {
	rc, status := op.Get("rc-code"), op.Get("op-status")
	if status == "-1" || status == "1" {
		return false
	}
	task := op.Get("operation")
	probe := task == "monitor" && (op.Get("interval") == "0" || op.Get("interval") == "")
	if probe && (rc == "0" || rc == "7" || rc == "8" || rc == "190" || rc == "191") {
		return false
	}
	if task == "monitor" && (rc == "190" || rc == "191") {
		return false
	}
	expected := "0"
	if p := strings.Split(op.Get("transition-key"), ":"); len(p) >= 3 {
		expected = p[2]
	}
	return status != "0" || rc != expected
}

func (b *stateBuilder) primitive(id string) *cib.Element {
	e := b.index.Element(id)
	if e == nil || e.Name != "primitive" {
		return nil
	}
	return e
}

func (b *stateBuilder) promotable(id string) bool {
	t, ok := findResource(b.doc, id)
	return ok && cib.IsPromotable(holder(b.doc, t))
}

// onFail is the option of the operation that a history entry belongs to.
func (b *stateBuilder) onFail(id string, op *cib.Element) string {
	p := b.primitive(id)
	if p == nil {
		return ""
	}
	for o := range p.Child("operations").Named("op") {
		ms := int64(0)
		if d, err := cib.ParseDuration(o.Get("interval")); err == nil {
			ms = d.Milliseconds()
		}
		if o.Get("name") == op.Get("operation") && strconv.FormatInt(ms, 10) == cmp.Or(op.Get("interval"), "0") {
			return o.Get("on-fail")
		}
	}
	return ""
}

// inherited are meta attributes that count for what is inside.
type inherited struct {
	target      string
	managed     bool
	maintenance bool
}

func (b *stateBuilder) meta(e *cib.Element, in inherited) inherited {
	if v, ok := pairValue(e, "meta_attributes", "target-role"); ok {
		in.target = v
	}
	if v, ok := pairValue(e, "meta_attributes", "is-managed"); ok {
		in.managed = cib.IsTrue(v)
	}
	if v, ok := pairValue(e, "meta_attributes", "maintenance"); ok {
		in.maintenance = cib.IsTrue(v)
	}
	return in
}

func (b *stateBuilder) defaults() inherited {
	in := inherited{managed: true, maintenance: b.v.Maintenance}
	for _, set := range cib.OrderedSets(b.doc.Section("rsc_defaults"), "meta_attributes") {
		if v, ok := cib.PairValue(set, "target-role"); ok && in.target == "" {
			in.target = v
		}
		if v, ok := cib.PairValue(set, "is-managed"); ok {
			in.managed = cib.IsTrue(v)
		}
	}
	return in
}

func (b *stateBuilder) resources() {
	in := b.defaults()
	for e := range cib.Members(b.doc.Section("resources")) {
		b.v.Resources = append(b.v.Resources, b.resource(e, in, ""))
	}
	for i := range b.v.Resources {
		b.v.Resources[i].eachInstance(func(r *resourceView) {
			b.v.Instances++
			if r.TargetRole == "Stopped" {
				b.v.Disabled++
			}
			if r.Blocked {
				b.v.Blocked++
			}
			for _, node := range r.Nodes {
				for j := range b.v.Nodes {
					if b.v.Nodes[j].Name == node {
						b.v.Nodes[j].Running++
					}
				}
			}
		})
	}
}

// resource makes the view of a resource; only restricts an instance of a clone
// to one node ("-" for none).
func (b *stateBuilder) resource(e *cib.Element, in inherited, only string) resourceView {
	in = b.meta(e, in)
	r := resourceView{ID: e.ID(), Kind: e.Name, TargetRole: in.target, Managed: in.managed && !in.maintenance, Maintenance: in.maintenance}
	r.Disabled = in.target == "Stopped" || in.target == "Unpromoted" || in.target == "Slave"
	switch e.Name {
	case "primitive":
		b.instance(&r, e, only)
		return r
	case "clone", "master", "bundle":
		r.Kind = "clone"
		b.instances(&r, e, in)
	default:
		for m := range cib.Members(e) {
			r.Members = append(r.Members, b.resource(m, in, only))
		}
	}
	r.Active = len(r.Members) > 0
	for i := range r.Members {
		r.Active = r.Active && r.Members[i].Active
	}
	return r
}

// instance fills in what the history tells of a primitive.
func (b *stateBuilder) instance(r *resourceView, e *cib.Element, only string) {
	r.Agent = b.index.Agent(e).String()
	b.seen[r.ID] = true
	for i := range b.v.Nodes {
		n := &b.v.Nodes[i]
		if only != "" && n.Name != only {
			continue
		}
		st := b.history[n.Name][r.ID]
		if st == nil {
			continue
		}
		if n.Maintenance && st.role != "" {
			r.Maintenance, r.Managed = true, false
		}
		if st.role != "" {
			r.Nodes = append(r.Nodes, n.Name)
			r.Role, r.Active = st.role, true
			r.Unclean = r.Unclean || n.Unclean && !n.Online
		}
		r.Failed = r.Failed || st.failed
		r.Blocked = r.Blocked || st.blocked
		r.FailureIgnored = r.FailureIgnored || st.ignored && st.role != ""
		if st.pending != "" {
			r.Pending = st.pending
			if !slices.Contains(r.Nodes, n.Name) && st.pending != "Monitoring" {
				r.Nodes = append(r.Nodes, n.Name)
			}
		}
	}
}

// instances makes the instances of a clone: one per node on which something is
// known to run, and stopped ones up to clone-max.
func (b *stateBuilder) instances(r *resourceView, e *cib.Element, in inherited) {
	r.Promotable = cib.IsPromotable(e)
	r.Unique = cib.IsTrue(cib.Meta(e, "globally-unique"))
	var child *cib.Element
	for m := range cib.Members(e) {
		child = m
	}
	if child == nil {
		return
	}
	var where []string
	for _, n := range b.v.Nodes {
		if n.Kind == "member" || n.Kind == "remote" {
			r.Placeable = append(r.Placeable, n.Name)
		}
		for _, p := range primitivesOf(child) {
			st := b.history[n.Name][p]
			if st != nil && (st.role != "" || st.failed || st.pending != "" && st.pending != "Monitoring") && !slices.Contains(where, n.Name) {
				where = append(where, n.Name)
			}
		}
	}
	total := len(r.Placeable)
	if n, err := strconv.Atoi(cib.Meta(e, "clone-max")); err == nil {
		total = n
	}
	if r.Unique {
		for i := range total {
			r.Members = append(r.Members, b.numbered(child, in, i))
		}
		return
	}
	for i := range max(total, len(where)) {
		node := "-"
		if i < len(where) {
			node = where[i]
		}
		m := b.resource(child, in, node)
		if m.Kind == "group" {
			m.ID += ":" + strconv.Itoa(i)
		}
		r.Members = append(r.Members, m)
	}
}

// numbered makes an instance of a globally unique clone, whose history goes by
// its number.
func (b *stateBuilder) numbered(e *cib.Element, in inherited, i int) resourceView {
	in = b.meta(e, in)
	r := resourceView{ID: e.ID() + ":" + strconv.Itoa(i), Kind: e.Name, TargetRole: in.target, Managed: in.managed && !in.maintenance, Maintenance: in.maintenance}
	b.seen[e.ID()] = true
	if e.Name == "primitive" {
		b.instance(&r, e, "")
		return r
	}
	r.Active = true
	for m := range cib.Members(e) {
		r.Members = append(r.Members, b.numbered(m, in, i))
		r.Active = r.Active && r.Members[len(r.Members)-1].Active
	}
	return r
}

// orphans adds what runs and is not configured.
func (b *stateBuilder) orphans() {
	for _, n := range b.v.Nodes {
		for _, id := range sortedKeys(b.history[n.Name]) {
			st := b.history[n.Name][id]
			if b.seen[historyName(id)] || st.role == "" {
				continue
			}
			b.v.Resources = append(b.v.Resources, resourceView{ID: id, Kind: "primitive", Agent: st.agent, Role: st.role,
				Nodes: []string{n.Name}, Active: true, Orphan: true, Managed: true, Failed: st.failed})
		}
	}
}

func (b *stateBuilder) tickets() {
	for t := range b.doc.Status().Child("tickets").Named("ticket_state") {
		last := clockTime(t.Get("last-granted"))
		if last == "-" {
			last = ""
		}
		b.v.Tickets = append(b.v.Tickets, ticketView{t.ID(), cib.IsTrue(t.Get("granted")), cib.IsTrue(t.Get("standby")), last})
	}
}

func (b *stateBuilder) bans() {
	for c := range b.doc.Section("constraints").Named("rsc_location") {
		if n, err := cib.ParseScore(c.Get("score")); err == nil && n < 0 && c.Get("node") != "" {
			role := c.Get("role")
			b.v.Bans = append(b.v.Bans, banView{c.ID(), c.Get("rsc"), c.Get("node"), role == "Promoted" || role == "Master"})
		}
	}
}

// failuresOf lists failed operations, the oldest first.
func failuresOf(doc *cib.CIB) []failureView {
	var out []failureView
	seen := map[string]bool{}
	for _, n := range doc.Nodes() {
		state := doc.NodeState(n.ID)
		if state == nil {
			continue
		}
		for r := range state.Child("lrm").Child("lrm_resources").Named("lrm_resource") {
			for op := range r.Named("lrm_rsc_op") {
				if !failedOp(op) {
					continue
				}
				key := cmp.Or(op.Get("operation_key"), op.ID())
				id := n.Uname + " " + key + " " + op.Get("call-id")
				if seen[id] {
					continue
				}
				seen[id] = true
				status := op.Get("op-status")
				at, _ := strconv.ParseInt(op.Get("last-rc-change"), 10, 64)
				out = append(out, failureView{Resource: historyName(r.ID()), Node: n.Uname, Task: op.Get("operation"), Interval: op.Get("interval"),
					Key: key, Call: op.Get("call-id"), RC: op.Get("rc-code"), RCText: rcText(op.Get("rc-code")), Status: status,
					Reason: op.Get("exit-reason"), At: at, Exec: op.Get("exec-time"), Queued: op.Get("queue-time"), Done: status == "0"})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b failureView) int { return cmp.Compare(a.At, b.At) })
	return out
}

// observe reads the cluster and builds its view.
func (s *Session) observe(ctx context.Context) (*clusterView, *cib.CIB, error) {
	look := s.current
	if s.overlay != nil {
		look = s.view // in a script, what is staged is as good as committed
	}
	doc, err := look(ctx)
	if err != nil {
		return nil, nil, err
	}
	var info *client.Info
	if !s.cfg.Offline {
		if info, err = s.cluster.Info(ctx); err != nil {
			return nil, nil, err
		}
	}
	return buildView(doc, info, s.cfg.Now()), doc, nil
}

// runsOn lists the nodes on which a resource, or anything inside it, runs.
func (s *Session) runsOn(ctx context.Context, id string) ([]string, error) {
	v, _, err := s.observe(ctx)
	if err != nil {
		return nil, err
	}
	var nodes []string
	for _, r := range findView(v.Resources, id) {
		r.eachInstance(func(m *resourceView) {
			if m.Active {
				nodes = append(nodes, m.Nodes...)
			}
		})
	}
	nodes = sortedNames(nodes)
	return slices.Compact(nodes), nil
}

// runningResources lists the primitives that run.
func (s *Session) runningResources(ctx context.Context) ([]string, error) {
	v, _, err := s.observe(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for i := range v.Resources {
		v.Resources[i].eachInstance(func(m *resourceView) {
			if m.Active && !slices.Contains(out, historyName(m.ID)) {
				out = append(out, historyName(m.ID))
			}
		})
	}
	return out, nil
}
