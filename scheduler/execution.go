package scheduler

import (
	"container/heap"
	"fmt"
	"strconv"
	"time"

	"gcrm/cib"
)

// execution runs a transition against a simulated cluster. It costs actions ×
// log(actions), and copies of the status only what it changes.
type execution struct {
	e     *engine
	doc   *cib.CIB // shares what is not changed with the document that was given
	when  string
	nodes map[*node]*simulatedNode
	state map[*cib.Element]*simulatedNode // by node_state
	fired []*action
	// fail are results other than success that operations shall have; after
	// one has, nothing more is begun but what has the highest priority.
	fail   []OperationResult
	failed bool
}

// simulatedNode is a node whose status the execution changes.
type simulatedNode struct {
	state *cib.Element          // its node_state, a copy
	list  *cib.Element          // the lrm_resources in it, a copy; nil until needed
	at    map[string]int        // position in list by id, the first if there are several
	own   map[*cib.Element]bool // the entries of list that are copies
	again map[string]bool       // ids that list has more than once
}

func newExecution(e *engine, doc *cib.CIB, when time.Time) *execution {
	if when.IsZero() {
		when = e.now
	}
	root := *doc.Root
	root.Children = append([]*cib.Element(nil), doc.Root.Children...)
	copyChild(&root, "status")
	return &execution{e: e, doc: &cib.CIB{Root: &root}, when: strconv.FormatInt(when.Unix(), 10), nodes: map[*node]*simulatedNode{}, state: map[*cib.Element]*simulatedNode{}}
}

// copyChild puts a copy of the first child with a name in its place, if there
// is one. What is below the copy is shared with the original.
func copyChild(parent *cib.Element, name string) *cib.Element {
	for i, c := range parent.Children {
		if c.Name == name {
			return copyAt(parent, i)
		}
	}
	return nil
}

func copyAt(parent *cib.Element, i int) *cib.Element {
	c := *parent.Children[i]
	c.Attrs = append([]cib.Attr(nil), c.Attrs...)
	c.Children = append([]*cib.Element(nil), c.Children...)
	parent.Children[i] = &c
	return &c
}

// run fires synapses until nothing is left to fire; it reports whether all
// were. The order is that of going through what is left of the graph again and
// again: an action that becomes ready behind the present place fires in the
// same round, one before it in the next.
func (x *execution) run(w *textWriter) bool {
	all := x.e.synapses
	waits := make([]int32, len(all)) // inputs that are not confirmed
	then := make([][]int32, len(all))
	q := make(fireQueue, 0, len(all))
	for i, a := range all {
		waits[i] = int32(len(a.graphInputs))
		for _, in := range a.graphInputs {
			if in.is(fDumped) {
				then[in.synapse] = append(then[in.synapse], int32(i))
			}
		}
		if waits[i] == 0 {
			q = append(q, firing{0, int32(i)}) // ascending: a heap
		}
	}
	for len(q) > 0 {
		f := heap.Pop(&q).(firing)
		a := all[f.synapse]
		if x.failed && a.graphPriority() < infinity {
			continue
		}
		x.execute(w, a)
		x.fired = append(x.fired, a)
		for _, next := range then[f.synapse] {
			if waits[next]--; waits[next] == 0 {
				round := f.round
				if next < f.synapse {
					round++
				}
				heap.Push(&q, firing{round, next})
			}
		}
	}
	return x.failed || len(x.fired) == len(all)
}

// graphPriority is the priority of an action's synapse.
func (a *action) graphPriority() int {
	if a.rsc != nil {
		return max(a.priority, a.rsc.priority)
	}
	return a.priority
}

// firing is when an action that is ready fires.
type firing struct{ round, synapse int32 }

type fireQueue []firing

func (q fireQueue) Len() int      { return len(q) }
func (q fireQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q fireQueue) Less(i, j int) bool {
	if q[i].round != q[j].round {
		return q[i].round < q[j].round
	}
	return q[i].synapse < q[j].synapse
}
func (q *fireQueue) Push(f any) { *q = append(*q, f.(firing)) }
func (q *fireQueue) Pop() any {
	last := len(*q) - 1
	f := (*q)[last]
	*q = (*q)[:last]
	return f
}

func (x *execution) execute(w *textWriter, a *action) {
	e := x.e
	on := ""
	if a.node != nil && !(a.is(fPseudo) && a.task != taskStonith) {
		on = " on " + a.node.name
	}
	switch e.kindOf(a) {
	case Pseudo:
		w.item("Pseudo action:   %s%s", e.graphKey(a), on)
	case ClusterAction:
		if a.task == taskStonith {
			op := a.meta.val("stonith_action")
			w.item("Fencing %s (%s)", a.node.name, op)
			x.fence(a.node, op)
			return
		}
		forRsc := ""
		if a.rsc != nil {
			forRsc = " for " + e.resourceRef(a).ID
		}
		w.item("Cluster action:  %s%s%s", a.task, forRsc, on)
	default:
		task := a.task
		if iv := a.meta.val("interval"); iv != "" && iv != "0" {
			task += "=" + iv
		}
		w.item("Resource action: %-15s %s%s", e.simName(a), task, on)
		for i, line := range x.record(a) {
			if i == 0 {
				w.line("%s", line)
			} else {
				w.item("%s", line)
			}
		}
	}
}

// simName is the resource's name in the log of a simulation.
func (e *engine) simName(a *action) string {
	ref := e.resourceRef(a)
	if ref.LongID != "" && e.named(ref.ID) == nil && e.named(ref.LongID) != nil {
		return ref.LongID
	}
	return ref.ID
}

// node returns the status of a node, made if need be.
func (x *execution) node(n *node) *simulatedNode {
	if s := x.nodes[n]; s != nil {
		return s
	}
	st := x.doc.Status()
	var s *simulatedNode
	for i, c := range st.Children {
		if c.Name == "node_state" && (c.ID() == n.id || c.Get("uname") == n.name) {
			if s = x.state[c]; s == nil {
				s = &simulatedNode{state: copyAt(st, i)}
			}
			break
		}
	}
	if s == nil {
		s = &simulatedNode{state: cib.NewElement("node_state", "id", n.id, "uname", n.name)}
		st.Add(s.state)
	}
	x.nodes[n], x.state[s.state] = s, s
	return s
}

func (x *execution) fence(n *node, op string) {
	if op == "on" {
		return
	}
	s := x.node(n)
	for _, p := range [][2]string{{"in_ccm", "false"}, {"crmd", "offline"}, {"join", "down"}, {"expected", "down"}} {
		s.state.Set(p[0], p[1])
	}
	s.state.Children = nil
	s.list = nil
}

// history prepares the history of a node for changes.
func (s *simulatedNode) history(id string) {
	if s.list != nil {
		return
	}
	lrm := copyChild(s.state, "lrm")
	if lrm == nil {
		lrm = cib.NewElement("lrm", "id", id)
		s.state.Add(lrm)
	}
	if s.list = copyChild(lrm, "lrm_resources"); s.list == nil {
		s.list = lrm.Ensure("lrm_resources")
	}
	s.at = make(map[string]int, len(s.list.Children))
	s.own = map[*cib.Element]bool{}
	for i, l := range s.list.Children {
		if l.Name != "lrm_resource" {
			continue
		}
		if _, taken := s.at[l.ID()]; !taken {
			s.at[l.ID()] = i
			continue
		}
		if s.again == nil {
			s.again = map[string]bool{}
		}
		s.again[l.ID()] = true
	}
}

// join adds the operations of all entries of a resource to the first one, as
// writing to a history that has several entries of one id does.
func (s *simulatedNode) join(first *cib.Element) {
	for l := range s.list.Named("lrm_resource") {
		if l == first || l.ID() != first.ID() {
			continue
		}
		for _, op := range l.Children {
			if first.ChildByID(op.ID()) == nil {
				first.Add(op.Clone())
			}
		}
	}
}

// entry returns the lrm_resource of an action, made if need be, for changes.
func (x *execution) entry(a *action) *cib.Element {
	e, s := x.e, x.node(a.node)
	s.history(a.node.id)
	ref := e.resourceRef(a)
	for _, name := range []string{e.simName(a), ref.ID} {
		i, ok := s.at[name]
		if !ok {
			continue
		}
		if l := s.list.Children[i]; s.own[l] {
			return l
		}
		l := s.list.Children[i].Clone()
		s.list.Children[i] = l
		s.own[l] = true
		if s.again[name] {
			s.join(l)
		}
		return l
	}
	id := ref.ID // as the history names it, whatever its instance is called
	l := cib.NewElement("lrm_resource", "id", id, "class", ref.Class, "provider", ref.Provider, "type", ref.Type)
	if _, taken := s.at[id]; !taken {
		s.at[id] = len(s.list.Children)
	}
	s.own[l] = true
	s.list.Add(l)
	return l
}

// record writes the result of an action into the history: what is expected,
// unless it is asked to fail. It returns what is to be said of a failure.
func (x *execution) record(a *action) []string {
	if a.task == taskDelete || a.node == nil {
		return nil
	}
	e := x.e
	l := x.entry(a)
	call := 0
	for op := range l.Named("lrm_rsc_op") {
		if x.node(a.node).again[l.ID()] {
			break // a result written to one of several entries counts as its first
		}
		call = max(call, intOf(op.Get("call-id"), 0))
	}
	r := result{task: a.task, interval: a.meta.val("interval"), target: intOf(a.meta.val("op_target_rc"), 0), call: call + 1, when: x.when}
	r.rc = r.target
	if r.interval == "" {
		r.interval = "0"
	}
	if r.task == taskReload || r.task == taskReloadAgent {
		r.task = taskStart // as executors record it
	}
	if a.task == taskNotify {
		return nil
	}
	var said []string
	if f := x.failing(a); f != nil && f.RC != r.target {
		r.rc, r.reason = f.RC, "User-injected result"
		x.failed = true
		said = append(said, fmt.Sprintf("Pretending action %d failed with rc=%d", a.id, f.RC))
		s := x.node(a.node)
		copyChild(s.state, "transient_attributes")
		if t := s.state.Child("transient_attributes"); t != nil {
			if set := copyChild(t, "instance_attributes"); set != nil {
				for i := range set.Children {
					copyAt(set, i)
				}
			}
		}
		said = append(said, injectFailure(s.state, f.Resource, f, x.when)...)
	}
	var params []cib.Attr
	ps, meta := e.actionAttributes(a)
	params = append(params, ps...)
	for _, m := range meta {
		params = append(params, cib.Attr{Name: "CRM_meta_" + m.Name, Value: m.Value})
	}
	r.digest = Digest(params)
	if a.task == taskMigrateTo || a.task == taskMigrateFrom {
		r.source, r.dest = a.meta.val("migrate_source"), a.meta.val("migrate_target")
	}
	recordResult(l, r)
	return said
}

// failing finds the result that an action was asked to have.
func (x *execution) failing(a *action) *OperationResult {
	ref := x.e.resourceRef(a)
	for i := range x.fail {
		f := &x.fail[i]
		if f.Task == a.task && f.Interval == parseIntervalMS(a.meta.val("interval")) && f.Node == a.node.name &&
			(f.Resource == ref.ID || f.Resource == ref.LongID || f.Resource == a.rsc.id) {
			return f
		}
	}
	return nil
}
