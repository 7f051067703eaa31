package scheduler

import (
	"slices"
	"time"
)

// Why explains a resource: where it is, where it will be, and for what
// reasons, from the plan of the cluster. See [Plan.Why].
type Why struct {
	Resource string `json:"resource"`
	// Kind is primitive, group, clone or bundle.
	Kind string `json:"kind"`
	// Cluster holds for everything in the cluster: no quorum, maintenance.
	Cluster []Reason `json:"cluster,omitempty"`
	// Instances are the primitives that it consists of. Those of clones that
	// neither run nor will run are left out, but for one that says why.
	Instances []Instance `json:"instances"`
	// Left are instances of clones that were left out.
	Left int `json:"left_out,omitempty"`
	// Recheck is when the answer may change without any event; zero for never.
	Recheck time.Time `json:"recheck,omitzero"`
}

// Instance explains one primitive, or one instance of it.
type Instance struct {
	Resource string `json:"resource"`
	// Name is the name for people: without a number where instances do not
	// differ.
	Name  string `json:"name"`
	Agent string `json:"agent"`
	// Role and On are its present state, Next and NextOn what follows.
	Role   string   `json:"role"`
	On     []string `json:"on,omitempty"`
	Next   string   `json:"next_role"`
	NextOn string   `json:"next_on,omitempty"`
	// Verb is what the plan does with it, as in [Decision]; empty for nothing.
	Verb string `json:"verb,omitempty"`
	// Impossible tells that the verb cannot be carried out.
	Impossible bool `json:"impossible,omitempty"`
	// Pending is the operation that is under way: start, stop, promote, ...
	Pending string `json:"pending,omitempty"`
	// Failed, Blocked and Unmanaged are marks of its present state.
	Failed    bool `json:"failed,omitempty"`
	Blocked   bool `json:"blocked,omitempty"`
	Unmanaged bool `json:"unmanaged,omitempty"`
	// Reasons say why it is so and why that is done, the weightiest first.
	Reasons []Reason `json:"reasons"`
	// Waits are what its actions must wait for.
	Waits []Wait `json:"waits,omitempty"`
	// Places are all nodes, with what speaks for and against each.
	Places []Place `json:"places"`
	// Failures are its operations that failed.
	Failures []Failure `json:"failures,omitempty"`
}

// Place is a node as a resource sees it.
type Place struct {
	Node  string `json:"node"`
	State string `json:"state"`
	// Listed is false where the resource has no score for the node at all.
	Listed bool `json:"listed"`
	Score  int  `json:"score"`
	// Possible tells whether it could run there; Chosen, whether it will;
	// Here, whether it is there now.
	Possible bool `json:"possible"`
	Chosen   bool `json:"chosen,omitempty"`
	Here     bool `json:"here,omitempty"`
	// Origin adds up to Score.
	Origin []Origin `json:"origin,omitempty"`
	// Text says in one sentence why it is, or is not, this node.
	Text string `json:"text"`
}

// Wait is an action of a resource that comes after others.
type Wait struct {
	Action string `json:"action"` // "start on node1"
	// For are the actions before it that are real work.
	For []string `json:"for"`
	// Orders are ids of ordering constraints that demand it.
	Orders []string `json:"orders,omitempty"`
}

// Failure is a failed operation of a resource's history.
type Failure struct {
	Operation string    `json:"operation"`
	Node      string    `json:"node"`
	Result    string    `json:"result"`
	ExitCode  int       `json:"exit_code"`
	Reason    string    `json:"exit_reason,omitempty"` // as the agent put it
	Time      time.Time `json:"time,omitzero"`
	// Count is how often the resource failed on the node, Limit its
	// migration-threshold (1000000 for none).
	Count int `json:"fail_count"`
	Limit int `json:"migration_threshold"`
	// Expires is when it will be forgotten; zero for never.
	Expires time.Time `json:"expires,omitzero"`
}

// Why explains a resource, group, clone, bundle or instance. The plan must have
// been made with [Options.Origins]. It reports false for an unknown id.
func (p *Plan) Why(id string) (*Why, bool) {
	e := p.engine
	if e == nil || e.trace == nil {
		return nil, false
	}
	r := e.constraintNamed(id)
	if r == nil {
		return nil, false
	}
	w := &Why{Resource: plainName(r), Kind: kindName(r), Recheck: p.Recheck}
	if r.id != id && !r.isPrimitive() {
		w.Resource = r.id
	}
	w.Cluster = e.clusterReasons()
	x := explainer{e: e, plan: p}
	only := ""
	if r.variant != vPrimitive || r.id != id {
		only = stripInstance(id)
	}
	w.Instances, w.Left = x.instances(r, only)
	return w, true
}

// constraintNamed finds a resource by the id that people use: of an instance's
// base also.
func (e *engine) constraintNamed(id string) *resource {
	if r := e.rscByID[id]; r != nil {
		return r
	}
	if r := e.rscByID[id+":0"]; r != nil {
		for r.parent != nil && r.variant != vClone {
			r = r.parent
		}
		return r
	}
	if r := e.named(id); r != nil {
		return r
	}
	return nil
}

func kindName(r *resource) string {
	switch r.variant {
	case vGroup:
		return "group"
	case vClone:
		return "clone"
	case vBundle:
		return "bundle"
	}
	return "primitive"
}

// explainer gathers what is asked of one plan.
type explainer struct {
	e    *engine
	plan *Plan
	seen []*resource // on the way, against circles
	// decided are the decisions of the plan by instance.
	decided map[string]*Decision
	// brief leaves out why other resources do not run: they are told of too.
	brief bool
}

// decision is what the plan does with an instance; nil for nothing.
func (x *explainer) decision(id string) *Decision {
	if x.decided == nil {
		x.decided = make(map[string]*Decision, len(x.plan.Resources))
		for i := range x.plan.Resources {
			d := &x.plan.Resources[i]
			x.decided[d.Resource] = d
		}
	}
	return x.decided[id]
}

// instances lists the primitives at or below r. In clones, instances that do
// nothing are left out but for one. only restricts to one member of a clone.
func (x *explainer) instances(r *resource, only string) (out []Instance, left int) {
	idle := map[string]int{}
	r.eachLeaf(func(l *resource) {
		if l != r && (l.internal || l.removed && len(l.runningOn) == 0 && l.assigned == nil) {
			return
		}
		base := stripInstance(l.id)
		if only != "" && r.variant == vClone && only != r.id && base != only {
			if !hasMember(r, only) {
				only = ""
			} else {
				return
			}
		}
		if l.top(true).variant == vClone && len(l.runningOn) == 0 && l.assigned == nil && l.pendingNode == nil {
			idle[base]++
			if idle[base] > 1 {
				left++
				return
			}
		}
		out = append(out, x.instance(l))
	})
	return out, left
}

func hasMember(r *resource, base string) bool {
	found := false
	r.eachLeaf(func(l *resource) { found = found || stripInstance(l.id) == base })
	return found
}

func (x *explainer) instance(r *resource) Instance {
	e := x.e
	i := Instance{Resource: r.id, Name: plainName(r), Agent: agentText(r), Role: presentRole(r).String(), Next: r.nextRole.String(), Failed: r.failed,
		Blocked: r.blocked, Unmanaged: !r.managed}
	if r.pendingNode != nil {
		i.Pending = r.pendingTask
	}
	for _, n := range r.runningOn {
		i.On = append(i.On, n.name)
	}
	if r.nextRole == roleStarted && r.top(false).promotable {
		i.Next = roleUnpromoted.String()
	}
	if r.assigned != nil && r.nextRole > roleStopped {
		i.NextOn = r.assigned.name
	}
	if d := x.decision(r.id); d != nil {
		i.Verb, i.Impossible = d.Verb, d.Blocked
	}
	i.Places = x.places(r)
	i.Failures = e.failuresOf(r)
	i.Reasons = x.reasons(r, &i)
	i.Waits = x.waits(r)
	return i
}

// presentRole is the role that is shown for r.
func presentRole(r *resource) role {
	switch {
	case r.role == roleStarted && r.top(false).promotable:
		return roleUnpromoted
	case r.role == roleUnknown:
		return roleStopped
	}
	return r.role
}

// failuresOf lists failed operations of r, each once, newest first.
func (e *engine) failuresOf(r *resource) []Failure {
	var out []Failure
	type key struct{ node, key string }
	seen := map[key]bool{}
	for _, f := range e.failedOps {
		if f.Resource != r.id || seen[key{f.Node, f.Key}] {
			continue
		}
		seen[key{f.Node, f.Key}] = true
		out = append(out, e.failure(r, f))
	}
	slices.SortStableFunc(out, func(a, b Failure) int { return b.Time.Compare(a.Time) })
	return out
}

func (e *engine) failure(r *resource, f *FailedOp) Failure {
	x := Failure{Operation: opWord(f.Task, f.Interval), Node: f.Node, Result: resultText(f.ExitCode, f.Status), ExitCode: f.ExitCode,
		Reason: f.Reason, Limit: r.migrationThreshold}
	if f.LastChange > 0 {
		x.Time = time.Unix(f.LastChange, 0).UTC()
	}
	if n := e.findNode(f.Node); n != nil {
		count, last := e.failCount(r, n, nil, true, false)
		x.Count = count
		if r.failureTimeout > 0 {
			x.Expires = time.Unix(max(last, f.LastChange)+int64(r.failureTimeout.Seconds())+1, 0).UTC()
		}
	}
	return x
}
