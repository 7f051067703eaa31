package shell

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"gcrm/cib"
)

// The XML form of status: the document that crm_mon --output-as=xml writes,
// which agents and monitoring programs read. Everything is in it, whatever
// runs or not; options choose only whether resources stand below their nodes.

// statusXMLVersion is the version of the output's schema that is followed
// (Pacemaker 2.1.5).
const statusXMLVersion = "2.25"

// statusXML is the root; request is the command that asked.
func statusXML(v *clusterView, doc *cib.CIB, o statusOptions, request string) *cib.Element {
	x := &statusXMLWriter{v: v, doc: doc, byName: map[string]*nodeView{}}
	for i := range v.Nodes {
		x.byName[v.Nodes[i].Name] = &v.Nodes[i]
	}
	root := cib.NewElement("pacemaker-result", "api-version", statusXMLVersion, "request", request)
	if !o.noHeaders {
		root.Add(x.summary())
	}
	root.Add(x.nodes(o.byNode))
	x.resources(root, o.byNode)
	if a := x.attributes(); len(a.Children) > 0 {
		root.Add(a)
	}
	root.Add(x.history())
	for _, part := range []*cib.Element{x.failures(), x.fencing(), x.tickets(), x.bans()} {
		if len(part.Children) > 0 {
			root.Add(part)
		}
	}
	return root.Add(cib.NewElement("status", "code", "0", "message", "OK"))
}

type statusXMLWriter struct {
	v   *clusterView
	doc *cib.CIB
	// byName are the nodes.
	byName map[string]*nodeView
}

func truth(b bool) string { return strconv.FormatBool(b) }

// node is the node of that name, or nobody.
func (x *statusXMLWriter) node(name string) *nodeView {
	if n := x.byName[name]; n != nil {
		return n
	}
	return &nodeView{Name: name}
}

// milliseconds is a property that is a time.
func (x *statusXMLWriter) milliseconds(otherwise time.Duration, names ...string) string {
	if text, ok := x.doc.Property(names...); ok {
		if d, err := cib.ParseDuration(text); err == nil {
			otherwise = d
		}
	}
	return strconv.FormatInt(otherwise.Milliseconds(), 10)
}

// flag is a property that is true or false.
func (x *statusXMLWriter) flag(otherwise bool, names ...string) string {
	if text, ok := x.doc.Property(names...); ok {
		otherwise = cib.IsTrue(text)
	}
	return truth(otherwise)
}

func (x *statusXMLWriter) summary() *cib.Element {
	v := x.v
	dc := cib.NewElement("current_dc", "present", truth(v.DC != ""))
	if v.DC != "" {
		dc.Set("version", v.DCVersion)
		dc.Set("name", v.DC)
		dc.Set("id", x.node(v.DC).ID)
		dc.Set("with_quorum", truth(v.WithQuorum))
		dc.Set("mixed_version", "false")
	}
	change := cib.NewElement("last_change")
	for _, p := range [][2]string{{"time", v.Changed}, {"user", v.ChangedBy}, {"client", v.ChangedVia}, {"origin", v.ChangedOn}} {
		change.Set(p[0], p[1])
	}
	policy, _ := x.doc.Property("no-quorum-policy")
	return cib.NewElement("summary").Add(
		cib.NewElement("stack", "type", v.Stack),
		dc,
		cib.NewElement("last_update", "time", v.Updated.Format(time.ANSIC), "origin", v.UpdatedOn),
		change,
		cib.NewElement("nodes_configured", "number", strconv.Itoa(v.configuredAt)),
		cib.NewElement("resources_configured", "number", strconv.Itoa(v.Instances), "disabled", strconv.Itoa(v.Disabled), "blocked", strconv.Itoa(v.Blocked)),
		cib.NewElement("cluster_options", "stonith-enabled", x.flag(true, "fencing-enabled", "stonith-enabled"), "symmetric-cluster", x.flag(true, "symmetric-cluster"),
			"no-quorum-policy", cmp.Or(policy, "stop"), "maintenance-mode", truth(v.Maintenance), "stop-all-resources", truth(v.StopAll),
			"stonith-timeout-ms", x.milliseconds(time.Minute, "fencing-timeout", "stonith-timeout"),
			"priority-fencing-delay-ms", x.milliseconds(0, "priority-fencing-delay")))
}

func (x *statusXMLWriter) nodes(withResources bool) *cib.Element {
	out := cib.NewElement("nodes")
	for i := range x.v.Nodes {
		n := &x.v.Nodes[i]
		kind := "member"
		if n.Kind != "member" {
			kind = "remote" // guests are remote nodes with a container
		}
		e := cib.NewElement("node", "name", n.Name, "id", n.ID, "online", truth(n.Online), "standby", truth(n.Standby),
			"standby_onfail", truth(n.StandbyOnFail), "maintenance", truth(n.Maintenance), "pending", truth(n.Pending),
			"unclean", truth(n.Unclean), "health", cmp.Or(n.Health, "green"), "feature_set", featureSet(n),
			"shutdown", truth(n.Shutdown), "expected_up", truth(n.Expected), "is_dc", truth(n.DC),
			"resources_running", strconv.Itoa(n.Running+n.Devices), "type", kind, "id_as_resource", n.Container)
		if withResources {
			for j := range x.v.Resources {
				x.v.Resources[j].eachInstance(func(r *resourceView) {
					if slices.Contains(r.Nodes, n.Name) {
						e.Add(x.resource(r))
					}
				})
			}
		}
		out.Add(e)
	}
	return out
}

func (x *statusXMLWriter) resources(root *cib.Element, byNode bool) {
	out := cib.NewElement("resources")
	for i := range x.v.Resources {
		r := &x.v.Resources[i]
		history := r.Orphan && !r.Active && !r.Failed // of what was removed
		if !history && (!byNode || !r.Active) {
			x.anyResource(out, r)
		}
	}
	if len(out.Children) > 0 {
		root.Add(out)
	}
}

// anyResource adds a resource with what is inside.
func (x *statusXMLWriter) anyResource(to *cib.Element, r *resourceView) {
	var e *cib.Element
	switch r.Kind {
	case "group":
		e = cib.NewElement("group", "id", r.ID, "number_resources", strconv.Itoa(len(r.Members)), "maintenance", truth(r.Maintenance),
			"managed", truth(r.Managed), "disabled", truth(r.Disabled))
	case "clone":
		e = cib.NewElement("clone", "id", r.ID, "multi_state", truth(r.Promotable), "unique", truth(r.Unique), "maintenance", truth(r.Maintenance),
			"managed", truth(r.Managed), "disabled", truth(r.Disabled), "failed", truth(r.Failed), "failure_ignored", truth(r.FailureIgnored), "target_role", r.TargetRole)
	case "bundle":
		e = cib.NewElement("bundle", "id", r.ID, "type", r.BundleType, "image", r.Image, "unique", truth(r.Unique), "maintenance", truth(r.Maintenance),
			"managed", truth(r.Managed), "failed", truth(r.Failed))
		for i := range r.Members {
			replica := cib.NewElement("replica", "id", strconv.Itoa(i))
			for j := range r.Members[i].Parts {
				x.anyResource(replica, &r.Members[i].Parts[j])
			}
			e.Add(replica)
		}
		to.Add(e)
		return
	default:
		to.Add(x.resource(r))
		return
	}
	for i := range r.Members {
		x.anyResource(e, &r.Members[i])
	}
	to.Add(e)
}

func (x *statusXMLWriter) resource(r *resourceView) *cib.Element {
	pending := r.Pending
	if pendingRole(pending) != "" {
		pending = "" // it shows as the role
	}
	e := cib.NewElement("resource", "id", r.ID, "resource_agent", r.Agent, "role", cmp.Or(pendingRole(r.Pending), r.Role, "Stopped"), "target_role", r.TargetRole,
		"active", truth(x.active(r)), "orphaned", truth(r.Orphan), "blocked", truth(r.Blocked), "maintenance", truth(r.Maintenance), "managed", truth(r.Managed),
		"failed", truth(r.Failed), "failure_ignored", truth(r.FailureIgnored), "nodes_running_on", strconv.Itoa(len(r.Nodes)),
		"pending", pending, "locked_to", r.Locked)
	for _, n := range r.Nodes {
		e.Add(cib.NewElement("node", "name", n, "id", x.node(n).ID, "cached", truth(x.node(n).Online)))
	}
	return e
}

// active reports whether a resource is active anywhere that counts: what the
// history says of a node that is safely down does not.
func (x *statusXMLWriter) active(r *resourceView) bool {
	return r.Active && (!r.Managed || len(r.Nodes) == 0 || slices.ContainsFunc(r.Nodes, func(name string) bool {
		n := x.node(name)
		return n.Online || n.Unclean
	}))
}

// featureSet is the version of the features of a member's software; members
// without one are older than the attribute.
func featureSet(n *nodeView) string {
	if n.Kind != "member" || !n.Online {
		return ""
	}
	return cmp.Or(n.Attributes["#feature-set"], "<3.15.1")
}

func (x *statusXMLWriter) attributes() *cib.Element {
	out := cib.NewElement("node_attributes")
	for i := range x.v.Nodes {
		n := &x.v.Nodes[i]
		if names := shownAttributes(n); len(names) > 0 && n.Online {
			e := cib.NewElement("node", "name", n.Name)
			for _, name := range names {
				a := cib.NewElement("attribute", "name", name)
				a.Set("value", n.Attributes[name])
				if best, ok := x.v.pings[name]; ok {
					a.Set("expected", strconv.Itoa(best))
				}
				e.Add(a)
			}
			out.Add(e)
		}
	}
	return out
}

func (x *statusXMLWriter) history() *cib.Element {
	out := cib.NewElement("node_history")
	known := map[string]bool{}
	for i := range x.v.Resources {
		collectIDs(&x.v.Resources[i], known)
	}
	for state := range x.doc.Status().Named("node_state") {
		i := slices.IndexFunc(x.v.Nodes, func(n nodeView) bool { return n.ID == state.ID() })
		if i < 0 || !x.v.Nodes[i].Online {
			continue
		}
		n := &x.v.Nodes[i]
		e := cib.NewElement("node", "name", n.Name)
		for r := range state.Child("lrm").Child("lrm_resources").Named("lrm_resource") {
			id := historyName(r.ID())
			shown := id
			if known[r.ID()] {
				shown = r.ID() // an instance of its own
			}
			h := cib.NewElement("resource_history", "id", shown, "orphan", truth(!known[id]), "migration-threshold", migrationThreshold(x.doc, id))
			if fails := failCount(x.doc, n.ID, id); fails > 0 {
				h.Set("fail-count", strconv.Itoa(fails))
				if last := lastFailure(state, id); last != "" {
					h.Set("last-failure", last)
				}
			}
			for _, op := range inCallOrder(r) {
				h.Add(historyEntry(op))
			}
			if len(h.Children) > 0 {
				e.Add(h)
			}
		}
		if len(e.Children) > 0 {
			out.Add(e)
		}
	}
	return out
}

// collectIDs notes the ids that the configuration has, without the numbers of
// instances.
func collectIDs(r *resourceView, ids map[string]bool) {
	if !r.Orphan {
		ids[r.ID], ids[historyName(r.ID)] = true, true
	}
	for _, list := range [][]resourceView{r.Members, r.Parts} {
		for i := range list {
			collectIDs(&list[i], ids)
		}
	}
}

func historyEntry(op *cib.Element) *cib.Element {
	task := op.Get("operation")
	if isProbe(op) {
		task = "probe"
	}
	e := cib.NewElement("operation_history", "call", op.Get("call-id"), "task", task, "rc", op.Get("rc-code"), "rc_text", rcText(op.Get("rc-code")))
	if iv := op.Get("interval"); iv != "" && iv != "0" {
		e.Set("interval", iv+"ms")
	}
	if at := clockTime(op.Get("last-rc-change")); at != "-" {
		e.Set("last-rc-change", at)
	}
	for _, k := range []string{"exec-time", "queue-time"} {
		if v := op.Get(k); v != "" {
			e.Set(k, v+"ms")
		}
	}
	return e
}

func (x *statusXMLWriter) failures() *cib.Element {
	out := cib.NewElement("failures")
	for i := range x.v.Failures {
		f := &x.v.Failures[i]
		e := cib.NewElement("failure", "op_key", f.Key, "node", f.Node, "exitstatus", f.RCText, "exitreason", cmp.Or(f.Reason, "none"),
			"exitcode", f.RC, "call", f.Call, "status", statusWord(f.Status))
		if f.At > 0 {
			e.Set("last-rc-change", utcTime(time.Unix(f.At, 0)))
			e.Set("queued", cmp.Or(f.Queued, "0"))
			e.Set("exec", cmp.Or(f.Exec, "0"))
			e.Set("interval", cmp.Or(f.Interval, "0"))
			e.Set("task", f.Task)
		}
		out.Add(e)
	}
	return out
}

// utcTime writes a time as the XML form does for failures and fencing.
func utcTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

func (x *statusXMLWriter) fencing() *cib.Element {
	out := cib.NewElement("fence_history", "status", "0")
	for _, f := range x.v.Fencings {
		e := cib.NewElement("fence_event", "action", f.Action, "target", f.Target, "client", f.Client, "origin", f.Origin,
			"status", f.State, "delegate", f.Delegate, "exit-reason", f.Why)
		if !f.Completed.IsZero() {
			e.Set("completed", utcTime(f.Completed))
		}
		out.Add(e)
	}
	return out
}

func (x *statusXMLWriter) tickets() *cib.Element {
	out := cib.NewElement("tickets")
	for _, t := range x.v.Tickets {
		state := "revoked"
		if t.Granted {
			state = "granted"
		}
		out.Add(cib.NewElement("ticket", "id", t.ID, "status", state, "standby", truth(t.Standby), "last-granted", t.LastGranted))
	}
	return out
}

func (x *statusXMLWriter) bans() *cib.Element {
	out := cib.NewElement("bans")
	for _, b := range x.v.Bans {
		out.Add(cib.NewElement("ban", "id", b.ID, "resource", b.Resource, "node", b.Node, "weight", strconv.Itoa(b.Weight),
			"promoted-only", truth(b.Promoted), "master_only", truth(b.Promoted)))
	}
	return out
}
