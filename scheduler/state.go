package scheduler

import (
	"slices"

	"gcrm/cib"
)

// State is a cluster as its CIB tells of it: what [Schedule] starts from, after
// the history of operations was unpacked. Status displays show it.
type State struct {
	Nodes     []NodeState
	Resources []ResourceState
	// Failed are the operations that count as failed, in the order of the
	// status section.
	Failed []FailedOp
	// Instances are all primitive instances; Disabled are those that are told
	// to be stopped or unpromoted, Blocked those that cannot be recovered.
	Instances, Disabled, Blocked int
	// Bans are what location constraints forbid, rules evaluated; the last
	// constraint comes first, as in Pacemaker's displays.
	Bans []Ban
}

// Ban is a negative score that keeps a resource, or its promoted role, off a
// node.
type Ban struct {
	// ID is that of the constraint, or of its rule.
	ID, Resource, Node string
	Score              int
	Promoted           bool
}

// NodeState is a cluster, remote or guest node.
type NodeState struct {
	Name, ID string
	Kind     string // member, remote, guest
	Online, Pending, Unclean,
	Standby, StandbyOnFail, Maintenance, Shutdown, DC bool
	// Expected is set for a node that is meant to be in the cluster.
	Expected   bool
	Health     string // red, yellow or empty
	Running    int    // active primitives, fence devices not counted
	Devices    int    // fence devices that run here
	Attributes map[string]string
	// Container is the resource that is a guest's host.
	Container string
}

// ResourceState is a resource or an instance of one, with what is inside.
type ResourceState struct {
	// ID has the number of an instance only where instances differ: in
	// globally unique clones, and for groups inside clones.
	ID   string
	Kind string // primitive, group, clone, bundle
	// Agent is class:provider:type of a primitive.
	Agent string
	// Role is Stopped, Started, Unpromoted or Promoted; Target what it is
	// told to be, if anything.
	Role, Target string
	// Nodes are where it is active, LockedTo where it waits for its node,
	// PendingOn where an operation is under way.
	Nodes     []string
	LockedTo  string
	PendingOn string
	// Pending is the operation under way: start, stop, monitor, ...
	Pending string
	Active, Managed, Maintenance, Blocked, Failed, FailureIgnored,
	Removed, Disabled, Promotable, Unique bool
	// Unclean is set for what runs on a node that is offline and not fenced.
	Unclean bool
	// Why says why a stopped resource cannot even be probed.
	Why string
	// Image is that of a bundle and Engine what runs it (docker, podman, ...);
	// Address that of a replica.
	Image, Engine, Address string
	// Child is the id of what a clone multiplies.
	Child string
	// Members are the members of a group, the instances of a clone, the
	// replicas of a bundle.
	Members []ResourceState
	// Parts are the resources of a bundle's replica: address, what runs
	// inside, container and connection.
	Parts []ResourceState
	// Idle are the nodes on which a clone has no active instance, with the
	// state that is shown for each.
	Idle []IdleNode
}

// IdleNode is a node without an instance of a clone.
type IdleNode struct {
	Node string
	Why  string // disabled, Not installed, ... or empty
}

// Observe unpacks the status of a CIB. doc is not changed.
func Observe(doc *cib.CIB, opt Options) (*State, error) {
	e, err := newEngine(doc, opt)
	if err != nil {
		return nil, err
	}
	e.unpack()
	s := &State{}
	s.Instances, s.Disabled, s.Blocked = e.countInstances()
	for _, n := range e.sorted {
		s.Nodes = append(s.Nodes, e.observeNode(n))
	}
	for _, r := range e.resources {
		if !r.internal {
			s.Resources = append(s.Resources, e.observe(r))
		}
	}
	for _, f := range e.failedOps {
		s.Failed = append(s.Failed, *f)
	}
	e.unpackConstraints()
	for _, l := range slices.Backward(e.locations) {
		for _, n := range slices.Backward(e.nodes) {
			if at := l.nodes.get(n); at != nil && at.score < 0 {
				s.Bans = append(s.Bans, Ban{l.id, l.rsc.id, n.name, int(at.score), l.role == rolePromoted})
			}
		}
	}
	return s, nil
}

func (e *engine) observeNode(n *node) NodeState {
	s := NodeState{Name: n.name, ID: n.id, Kind: "member", Online: n.online, Pending: n.pending, Unclean: n.unclean,
		Standby: n.standby, StandbyOnFail: n.standbyFail, Maintenance: n.maintenance, Shutdown: n.shutdown, Expected: n.expectedUp, DC: n == e.dcNode,
		Health: e.healthColour(n), Attributes: n.attrs}
	switch {
	case n.guest():
		s.Kind, s.Container = "guest", n.connection.launcher.id
	case n.remote:
		s.Kind = "remote"
	}
	for _, r := range n.running {
		if r.fenceDevice {
			s.Devices++
		} else {
			s.Running++
		}
	}
	return s
}

func (e *engine) observe(r *resource) ResourceState {
	s := ResourceState{ID: r.id, Active: r.active(true), Managed: r.managed, Maintenance: r.maintenance, Blocked: r.blocked,
		Failed: r.failed, FailureIgnored: r.failureIgnored, Removed: r.removed, Disabled: disabled(r),
		Promotable: r.promotable, Unique: r.unique}
	if v, ok := r.meta.get("target-role"); ok {
		if want, ok := parseRole(v); ok {
			s.Target = want.String()
		}
	}
	switch r.variant {
	case vPrimitive:
		e.observePrimitive(r, &s)
	case vGroup:
		s.Kind = "group"
	case vClone:
		s.Kind, s.Child = "clone", r.clone.childName
		s.Idle = e.idleNodes(r)
	case vBundle:
		s.Kind, s.Image, s.Engine = "bundle", r.bundle.image, r.bundle.agent
		for _, rep := range r.bundle.replicas {
			s.Members = append(s.Members, e.observeReplica(rep))
		}
		return s
	}
	for _, c := range r.children {
		if !c.internal {
			s.Members = append(s.Members, e.observe(c))
		}
	}
	return s
}

func (e *engine) observePrimitive(r *resource, s *ResourceState) {
	s.Kind, s.Agent = "primitive", agentText(r)
	if !r.unique {
		s.ID = stripInstance(r.id)
		if r.historyID != "" {
			s.ID = stripInstance(r.historyID)
		}
	}
	role := r.role
	if role == roleStarted && r.top(false).promotable {
		role = roleUnpromoted
	}
	if role == roleUnknown {
		role = roleStopped
	}
	s.Role, s.Active, s.Pending = role.String(), isActive(r), r.pendingTask
	for _, n := range r.runningOn {
		s.Nodes = append(s.Nodes, n.name)
		s.Unclean = s.Unclean || !n.online && n.unclean
	}
	if r.lockNode != nil {
		s.LockedTo = r.lockNode.name
	}
	if r.pendingNode != nil {
		s.PendingOn = r.pendingNode.name
	}
	if len(r.runningOn) == 0 {
		s.Why = r.probeResult
	}
}

// observeReplica shows a replica as what runs in it, under the name of its
// node, where its container runs.
func (e *engine) observeReplica(rep *replica) ResourceState {
	show := rep.child
	if show == nil {
		show = rep.container
	}
	s := e.observe(show)
	s.ID, s.Address = rep.container.id, rep.address
	if rep.connection != nil {
		s.ID = rep.connection.id
	}
	s.Nodes = nil
	for _, n := range rep.container.runningOn {
		s.Nodes = append(s.Nodes, n.name)
		s.Unclean = s.Unclean || !n.online && n.unclean
	}
	for _, part := range []*resource{rep.ip, rep.child, rep.container, rep.connection} {
		if part != nil {
			s.Parts = append(s.Parts, e.observe(part))
		}
	}
	return s
}

// idleNodes are the nodes on which a clone could have an instance and has none
// that is active, if it has fewer than it may have.
func (e *engine) idleNodes(r *resource) []IdleNode {
	started := 0
	for _, c := range r.children {
		if c.active(false) && !c.removed {
			started++
		}
	}
	if r.unique || started >= r.clone.max {
		return nil
	}
	var nodes []*node
	for i := range r.allowed {
		if r.allowed[i].in {
			nodes = append(nodes, e.nodes[i])
		}
	}
	if len(nodes) == 0 {
		for i, k := range r.known {
			if k {
				nodes = append(nodes, e.nodes[i])
			}
		}
	}
	slices.SortFunc(nodes, func(a, b *node) int { return a.rank - b.rank })
	var out []IdleNode
	for _, n := range nodes {
		if occupied(r, n) {
			continue
		}
		i := IdleNode{Node: n.name}
		if disabled(r) {
			i.Why = "disabled"
		}
		if why := e.probeReason(r, n); why != "" {
			i.Why = why
		}
		out = append(out, i)
	}
	return out
}
