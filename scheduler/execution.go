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
	return len(x.fired) == len(all)
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
		x.record(a)
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
	for _, name := range []string{ref.ID, ref.LongID} {
		i, ok := s.at[name]
		if name == "" || !ok {
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
	id := ref.ID
	if ref.LongID != "" && e.named(id) == nil && e.named(ref.LongID) != nil {
		id = ref.LongID
	}
	l := cib.NewElement("lrm_resource", "id", id, "class", ref.Class, "provider", ref.Provider, "type", ref.Type)
	if _, taken := s.at[id]; !taken {
		s.at[id] = len(s.list.Children)
	}
	s.own[l] = true
	s.list.Add(l)
	return l
}

// record writes the successful result of an action into the history.
func (x *execution) record(a *action) {
	if a.task == taskDelete || a.node == nil {
		return
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
	call++
	rc := intOf(a.meta.val("op_target_rc"), 0)
	interval := a.meta.val("interval")
	if interval == "" {
		interval = "0"
	}
	id := l.ID() + "_last_0"
	switch {
	case a.task == taskNotify:
		return
	case interval != "0", a.task == taskMigrateTo, a.task == taskMigrateFrom:
		id = fmt.Sprintf("%s_%s_%s", l.ID(), a.task, interval)
	}
	key := opKey(l.ID(), a.task, parseIntervalMS(interval))
	op := l.ChildByID(id)
	if op == nil {
		op = &cib.Element{Name: "lrm_rsc_op", Attrs: []cib.Attr{{Name: "id", Value: id}}}
		l.Add(op)
	}
	// A transition number of -1 makes the entry newer than pending ones.
	magicKey := fmt.Sprintf("%d:-1:%d:xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", call, rc)
	for _, p := range [][2]string{
		{"operation_key", key}, {"operation", a.task}, {"crm-debug-origin", "simulate"}, {"crm_feature_set", cib.FeatureSet},
		{"transition-key", magicKey}, {"transition-magic", "0:" + strconv.Itoa(rc) + ";" + magicKey},
		{"call-id", strconv.Itoa(call)}, {"rc-code", strconv.Itoa(rc)}, {"op-status", "0"}, {"interval", interval},
		{"last-rc-change", x.when}, {"exec-time", "0"}, {"queue-time", "0"},
	} {
		op.Set(p[0], p[1])
	}
	var params []cib.Attr
	ps, meta := e.actionAttributes(a)
	params = append(params, ps...)
	for _, m := range meta {
		params = append(params, cib.Attr{Name: "CRM_meta_" + m.Name, Value: m.Value})
	}
	op.Set("op-digest", Digest(params))
	if a.task == taskMigrateTo || a.task == taskMigrateFrom {
		op.Set("migrate_source", a.meta.val("migrate_source"))
		op.Set("migrate_target", a.meta.val("migrate_target"))
	}
}
