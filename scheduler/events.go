package scheduler

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gcrm/cib"
)

// Things that could happen to a cluster, for what-if questions.

// EventKind is a kind of event. The numbers are the order in which
// [Inject] lets events happen, that of crm_simulate.
type EventKind uint8

// Kinds of events.
const (
	QuorumSet EventKind = iota // Target is a boolean
	WatchdogSet
	NodeUp // Target is a node
	NodeDown
	NodeFail
	TicketGrant // Target is a ticket
	TicketRevoke
	TicketStandby
	TicketActivate
	OperationDone // Target is RESOURCE_TASK_INTERVAL@NODE=RC
)

// Event is something that happens to a cluster.
type Event struct {
	Kind   EventKind
	Target string
}

// OperationResult is a result of an operation, as -i and -F of crm_simulate
// spell it: RESOURCE_TASK_INTERVAL@NODE=RC, the interval in milliseconds.
type OperationResult struct {
	Resource, Task string
	Interval       int64 // ms
	Node           string
	RC             int
}

// ParseOperationResult reads RESOURCE_TASK_INTERVAL@NODE=RC.
func ParseOperationResult(spec string) (OperationResult, error) {
	bad := fmt.Errorf("%q is no operation result: the form is RESOURCE_TASK_INTERVAL@NODE=RC, as web_monitor_10000@node1=7", spec)
	key, rest, ok := strings.Cut(spec, "@")
	i := strings.LastIndexByte(rest, '=')
	if !ok || i < 0 {
		return OperationResult{}, bad
	}
	rsc, task, interval, ok := parseOpKey(key)
	rc, err := strconv.Atoi(rest[i+1:])
	if !ok || err != nil || rc < 0 || rest[:i] == "" {
		return OperationResult{}, bad
	}
	return OperationResult{rsc, task, interval, rest[:i], rc}, nil
}

// Inject lets events happen to a copy of a CIB. It returns the copy and one line
// per effect, in crm_simulate's words. The order is that of kinds, within a kind
// that of the list. An error says which event cannot happen; doc is never changed.
func Inject(doc *cib.CIB, events []Event, now time.Time) (*cib.CIB, []string, error) {
	x := &injection{doc: doc.Clone(), now: strconv.FormatInt(now.Unix(), 10)}
	if x.doc.Status() == nil {
		x.doc.Root.Add(cib.NewElement("status"))
	}
	sorted := slices.Clone(events)
	slices.SortStableFunc(sorted, func(a, b Event) int { return int(a.Kind) - int(b.Kind) })
	for _, ev := range sorted {
		if err := x.apply(ev); err != nil {
			return nil, nil, &EventError{ev, err}
		}
	}
	return x.doc, x.log, nil
}

// EventError is an event that cannot happen in a cluster.
type EventError struct {
	Event Event
	Err   error
}

func (e *EventError) Error() string { return e.Err.Error() }
func (e *EventError) Unwrap() error { return e.Err }

type injection struct {
	doc *cib.CIB
	now string
	log []string
}

func (x *injection) say(format string, a ...any) { x.log = append(x.log, fmt.Sprintf(format, a...)) }

func (x *injection) apply(ev Event) error {
	switch ev.Kind {
	case QuorumSet:
		v, ok := parseBool(ev.Target)
		if !ok {
			return fmt.Errorf("quorum %q is neither true nor false", ev.Target)
		}
		x.doc.Root.Set("have-quorum", map[bool]string{true: "1", false: "0"}[v])
		x.say("Setting quorum: %s", ev.Target)
	case WatchdogSet:
		v, ok := parseBool(ev.Target)
		if !ok {
			return fmt.Errorf("watchdog %q is neither true nor false", ev.Target)
		}
		value := boolText(v)
		if _, err := x.doc.SetPair(x.doc.EnsureSection("crm_config"), cib.PairSet{Element: "cluster_property_set", ID: "cib-bootstrap-options"}, "have-watchdog", &value); err != nil {
			return err
		}
		x.say("Setting watchdog: %s", ev.Target)
	case NodeUp, NodeDown, NodeFail:
		return x.node(ev)
	case TicketGrant, TicketRevoke, TicketStandby, TicketActivate:
		x.ticket(ev)
	case OperationDone:
		return x.operation(ev.Target)
	}
	return nil
}

// stateOf is the node_state of a node, made if need be.
func (x *injection) stateOf(n cib.Node) *cib.Element {
	st := x.doc.Status()
	for s := range st.Named("node_state") {
		if s.Get("uname") == n.Uname || s.ID() == n.ID {
			return s
		}
	}
	s := cib.NewElement("node_state", "id", n.ID, "uname", n.Uname)
	st.Add(s)
	return s
}

// nodeNamed finds a cluster, remote or guest node.
func (x *injection) nodeNamed(name string) (cib.Node, error) {
	if n, ok := x.doc.Node(name); ok {
		return n, nil
	}
	for s := range x.doc.Status().Named("node_state") {
		if s.Get("uname") == name {
			return cib.Node{ID: s.ID(), Uname: name}, nil
		}
	}
	remote := false
	for p := range x.doc.Primitives() {
		remote = remote || p.ID() == name && isRemoteConnection(p)
		if c := guestConnection(p); c != nil {
			remote = remote || c.ID() == name
		}
	}
	if remote {
		return cib.Node{ID: name, Uname: name}, nil
	}
	return cib.Node{}, fmt.Errorf("there is no node %s", name)
}

func (x *injection) node(ev Event) error {
	n, err := x.nodeNamed(ev.Target)
	if err != nil {
		if ev.Kind != NodeUp {
			return err
		}
		// A node that comes up is made known, as a node that joins is.
		n = cib.Node{ID: ev.Target, Uname: ev.Target}
		x.doc.EnsureSection("nodes").Add(cib.NewElement("node", "id", n.ID, "uname", n.Uname))
	}
	s := x.stateOf(n)
	member, crmd, join, expected := "false", "offline", "down", "member"
	switch ev.Kind {
	case NodeUp:
		member, crmd, join = "true", "online", "member"
		x.say("Bringing node %s online", ev.Target)
	case NodeDown:
		expected, s.Children = "down", nil
		x.say("Taking node %s offline", ev.Target)
	default:
		x.say("Failing node %s", ev.Target)
	}
	for _, a := range [][2]string{{"in_ccm", member}, {"crmd", crmd}, {"join", join}, {"expected", expected}} {
		s.Set(a[0], a[1])
	}
	return nil
}

func (x *injection) ticket(ev Event) {
	list := x.doc.Status().Ensure("tickets")
	t := list.ChildByID(ev.Target)
	if t == nil {
		t = cib.NewElement("ticket_state", "id", ev.Target)
		list.Add(t)
	}
	switch ev.Kind {
	case TicketGrant:
		t.Set("granted", "true")
		t.Set("last-granted", x.now)
		x.say("Granting ticket %s", ev.Target)
	case TicketRevoke:
		t.Set("granted", "false")
		x.say("Revoking ticket %s", ev.Target)
	case TicketStandby:
		t.Set("standby", "true")
		x.say("Making ticket %s standby", ev.Target)
	case TicketActivate:
		t.Set("standby", "false")
		x.say("Activating ticket %s", ev.Target)
	}
}

// operation records a result as if the operation had just ended.
func (x *injection) operation(spec string) error {
	op, err := ParseOperationResult(spec)
	if err != nil {
		return err
	}
	n, err := x.nodeNamed(op.Node)
	if err != nil {
		return fmt.Errorf("%s: %w", spec, err)
	}
	agent, err := x.agentOf(op.Resource)
	if err != nil {
		return fmt.Errorf("%s: %w", spec, err)
	}
	x.say("Injecting %s into the configuration", spec)
	s := x.stateOf(n)
	x.log = append(x.log, injectFailure(s, op.Resource, &op, x.now)...)
	list := s.Ensure("lrm").Ensure("lrm_resources")
	if !s.Child("lrm").Has("id") {
		s.Child("lrm").Set("id", s.ID())
	}
	l := historyOf(list, op.Resource)
	if l == nil {
		l = cib.NewElement("lrm_resource", "id", op.Resource, "class", agent.Class, "provider", agent.Provider, "type", agent.Type)
		list.Add(l)
	}
	call := 0
	for o := range l.Named("lrm_rsc_op") {
		call = max(call, intOf(o.Get("call-id"), 0))
	}
	recordResult(l, result{task: op.Task, interval: strconv.FormatInt(op.Interval, 10), rc: op.RC, target: 0, call: call + 1,
		when: x.now, reason: "Simulated action result"})
	return nil
}

// historyOf finds the history of a resource, or of the one instance of it that a
// node knows by its number.
func historyOf(list *cib.Element, rsc string) *cib.Element {
	if l := list.ChildByID(rsc); l != nil {
		return l
	}
	var found *cib.Element
	for l := range list.Named("lrm_resource") {
		if stripInstance(l.ID()) == rsc {
			if found != nil {
				return nil
			}
			found = l
		}
	}
	return found
}

func (x *injection) agentOf(rsc string) (cib.AgentName, error) {
	index := cib.NewIndex(x.doc)
	for _, id := range []string{rsc, stripInstance(rsc)} {
		for p := range x.doc.Primitives() {
			if p.ID() == id {
				return index.Agent(p), nil
			}
		}
	}
	return cib.AgentName{}, fmt.Errorf("there is no primitive %s", rsc)
}

// injectFailure counts a failed operation in a node's attributes, and says so.
// Success, and a probe that found nothing, are no failures.
func injectFailure(state *cib.Element, rsc string, op *OperationResult, now string) []string {
	if op.RC == rcOK || op.RC == rcNotRunning && op.Interval == 0 && op.Task == taskMonitor {
		return nil
	}
	t := state.Ensure("transient_attributes")
	if t.ID() == "" {
		t.Set("id", state.ID())
	}
	set := t.Ensure("instance_attributes")
	if set.ID() == "" {
		set.Set("id", state.ID())
	}
	tail := fmt.Sprintf("%s#%s_%d", rsc, op.Task, op.Interval)
	put := func(name, value string) {
		for p := range set.Named("nvpair") {
			if p.Get("name") != name {
				continue
			}
			if value == "value++" {
				value = scoreText(addScores(intOf(p.Get("value"), 0), 1))
			}
			p.Set("value", value)
			return
		}
		if value == "value++" {
			value = "1"
		}
		set.Add(cib.NewElement("nvpair", "id", state.ID()+"-"+strings.ReplaceAll(name, "#", "."), "name", name, "value", value))
	}
	put("fail-count-"+tail, "value++")
	put("last-failure-"+tail, now)
	return []string{
		fmt.Sprintf("Injecting attribute fail-count-%s=value++ into /node_state '%s'", tail, state.ID()),
		fmt.Sprintf("Injecting attribute last-failure-%s=%s into /node_state '%s'", tail, now, state.ID()),
	}
}

// result is what goes into the history of a resource.
type result struct {
	task, interval string
	rc, target     int
	call           int
	when           string
	reason         string
	digest         string
	source, dest   string // of migrations
}

// recordResult writes a result as the executor would: a failure under its own
// id, and of one-off operations also as the last one.
func recordResult(l *cib.Element, r result) {
	var ids []string
	switch {
	case r.rc != r.target && !(r.task == taskMonitor && r.interval == "0" && r.rc == rcNotRunning):
		ids = []string{l.ID() + "_last_failure_0"}
		if r.interval == "0" {
			ids = append(ids, l.ID()+"_last_0")
		}
	case r.interval != "0", r.task == taskMigrateTo, r.task == taskMigrateFrom:
		ids = []string{fmt.Sprintf("%s_%s_%s", l.ID(), r.task, r.interval)}
	default:
		ids = []string{l.ID() + "_last_0"}
	}
	// A transition number of -1 makes the entry newer than pending ones.
	key := fmt.Sprintf("%d:-1:%d:xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", r.call, r.target)
	for _, id := range ids {
		op := l.ChildByID(id)
		if op == nil {
			op = &cib.Element{Name: "lrm_rsc_op", Attrs: []cib.Attr{{Name: "id", Value: id}}}
			l.Add(op)
		}
		for _, p := range [][2]string{
			{"operation_key", opKey(l.ID(), r.task, parseIntervalMS(r.interval))}, {"operation", r.task}, {"crm-debug-origin", "simulate"},
			{"crm_feature_set", cib.FeatureSet}, {"transition-key", key}, {"transition-magic", "0:" + strconv.Itoa(r.rc) + ";" + key},
			{"call-id", strconv.Itoa(r.call)}, {"rc-code", strconv.Itoa(r.rc)}, {"op-status", "0"}, {"interval", r.interval},
			{"last-rc-change", r.when}, {"exec-time", "0"}, {"queue-time", "0"},
		} {
			op.Set(p[0], p[1])
		}
		if r.reason != "" {
			op.Set("exit-reason", r.reason)
		} else {
			op.Unset("exit-reason")
		}
		if r.digest != "" {
			op.Set("op-digest", r.digest)
		}
		if r.source != "" {
			op.Set("migrate_source", r.source)
			op.Set("migrate_target", r.dest)
		}
	}
}
