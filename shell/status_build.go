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
	"gcrm/scheduler"
)

// buildView puts together what status shows: from the CIB, whose status the
// scheduler unpacks, and from what the node knows of the cluster besides (nil
// for a file).
func buildView(doc *cib.CIB, info *client.Info, now time.Time) (*clusterView, error) {
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
		v.Trial = trialLine(info.Trial)
		v.Locks = info.Locks
	}
	v.Stack = cmp.Or(v.Stack, "unknown")
	mode, _ := doc.Property("maintenance-mode")
	v.Maintenance = cib.IsTrue(mode)
	stop, _ := doc.Property("stop-all-resources")
	v.StopAll = cib.IsTrue(stop)

	state, err := scheduler.Observe(doc, scheduler.Options{Now: now})
	if err != nil {
		return nil, err
	}
	v.Nodes, v.Resources, v.Failures = []nodeView{}, []resourceView{}, []failureView{} // programs read lists, not null
	v.Instances, v.Disabled, v.Blocked = state.Instances, state.Disabled, state.Blocked
	for _, n := range state.Nodes {
		v.configuredAt++
		v.Nodes = append(v.Nodes, nodeView{Name: n.Name, ID: n.ID, Kind: n.Kind, Online: n.Online, Standby: n.Standby,
			StandbyOnFail: n.StandbyOnFail, Maintenance: n.Maintenance, Pending: n.Pending, Unclean: n.Unclean,
			DC: n.Name == v.DC, Health: n.Health, Running: n.Running, Devices: n.Devices, Attributes: n.Attributes,
			Shutdown: n.Shutdown, Expected: n.Expected, Container: n.Container})
	}
	for i := range state.Resources {
		v.Resources = append(v.Resources, viewOf(&state.Resources[i]))
	}
	// The history holds the last failure besides the last operation, often the
	// same one: it is told once.
	type told struct{ node, key string }
	seen := map[told]bool{}
	for i := range state.Failed {
		f := &state.Failed[i]
		if seen[told{f.Node, f.Key}] {
			continue
		}
		seen[told{f.Node, f.Key}] = true
		v.Failures = append(v.Failures, failureOf(doc, f))
	}
	for _, b := range state.Bans {
		v.Bans = append(v.Bans, banView{b.ID, b.Resource, b.Node, b.Score, b.Promoted})
	}
	v.Tickets, v.pings = ticketsOf(doc), pingAttributes(doc)
	return v, nil
}

// viewOf turns the scheduler's view of a resource into that of status.
func viewOf(r *scheduler.ResourceState) resourceView {
	v := resourceView{ID: r.ID, Kind: r.Kind, Agent: r.Agent, Role: r.Role, TargetRole: r.Target, Nodes: r.Nodes, Active: r.Active,
		Orphan: r.Removed, Blocked: r.Blocked, Managed: r.Managed, Maintenance: r.Maintenance, Failed: r.Failed,
		FailureIgnored: r.FailureIgnored, Disabled: r.Disabled, Pending: pendingWord(r.Pending), Locked: r.LockedTo,
		ProbeResult: r.Why, Promotable: r.Promotable, Unique: r.Unique, Image: r.Image, BundleType: r.Engine, Address: r.Address, Child: r.Child,
		Unclean: r.Unclean, pendingOn: r.PendingOn}
	for i := range r.Members {
		v.Members = append(v.Members, viewOf(&r.Members[i]))
	}
	for i := range r.Parts {
		v.Parts = append(v.Parts, viewOf(&r.Parts[i]))
	}
	for _, n := range r.Idle {
		v.Idle = append(v.Idle, idleView{n.Node, n.Why})
	}
	return v
}

// pendingWord says what a pending operation does.
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

// failureOf completes a failed operation by what only its history entry has.
func failureOf(doc *cib.CIB, f *scheduler.FailedOp) failureView {
	out := failureView{Resource: f.Resource, Node: f.Node, Task: f.Task, Interval: strconv.FormatInt(f.Interval, 10), Key: f.Key,
		Call: strconv.Itoa(f.CallID), RC: strconv.Itoa(f.ExitCode), Status: strconv.Itoa(f.Status), Reason: f.Reason, At: f.LastChange,
		Done: f.Status == 0}
	out.RCText = rcText(out.RC)
	if n, ok := doc.Node(f.Node); ok {
		if state := doc.NodeState(n.ID); state != nil {
			for r := range state.Child("lrm").Child("lrm_resources").Named("lrm_resource") {
				for op := range r.Named("lrm_rsc_op") {
					if op.Get("call-id") == out.Call && op.Get("operation") == f.Task && historyName(r.ID()) == historyName(f.Resource) {
						out.Exec, out.Queued = op.Get("exec-time"), op.Get("queue-time")
					}
				}
			}
		}
	}
	return out
}

// ticketsOf lists the tickets: those with a state, and those that a constraint
// names, which count as revoked until somebody grants them.
func ticketsOf(doc *cib.CIB) []ticketView {
	var out []ticketView
	for t := range doc.Status().Child("tickets").Named("ticket_state") {
		last := clockTime(t.Get("last-granted"))
		if last == "-" {
			last = ""
		}
		out = append(out, ticketView{t.ID(), cib.IsTrue(t.Get("granted")), cib.IsTrue(t.Get("standby")), last})
	}
	for c := range doc.Section("constraints").Named("rsc_ticket") {
		id := c.Get("ticket")
		if !slices.ContainsFunc(out, func(t ticketView) bool { return t.ID == id }) {
			out = append(out, ticketView{ID: id})
		}
	}
	slices.SortFunc(out, func(a, b ticketView) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// pingAttributes are the node attributes that agents set to the number of hosts
// they reach, with the value if they reach all.
func pingAttributes(doc *cib.CIB) map[string]int {
	out := map[string]int{}
	doc.Section("resources").Walk(func(e *cib.Element) bool {
		if t := e.Get("type"); e.Name != "primitive" || t != "ping" && t != "pingd" {
			return true
		}
		hosts, _ := pairValue(e, "instance_attributes", "host_list")
		name, _ := pairValue(e, "instance_attributes", "name")
		each := 1
		if m, ok := pairValue(e, "instance_attributes", "multiplier"); ok {
			each = atoi(m)
		}
		if n := len(strings.Fields(hosts)); n > 0 {
			out[cmp.Or(name, "pingd")] = n * each
		}
		return false
	})
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
	v, err := buildView(doc, info, s.cfg.Now())
	return v, doc, err
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
