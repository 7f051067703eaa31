package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"gcrm/cib"
	"gcrm/cluster/consensus"
	"gcrm/cluster/controller"
	"gcrm/drivers"
	"gcrm/scheduler"
)

// attend looks after a node that has lost its quorum: it applies
// no-quorum-policy to the node's own resources, from its own replica, or, as
// one of two nodes, fences the other and goes on alone.
func (n *Node) attend() {
	t := time.NewTicker(n.timing.Interval)
	defer t.Stop()
	var lost, next, knocked time.Time
	done := false
	for {
		select {
		case <-t.C:
		case <-n.ctx.Done():
			return
		}
		if since, err := n.cons.Load().Failing(); err != nil && time.Since(since) > n.timing.DiskPatience {
			n.unwritable(err)
			return
		}
		n.mu.Lock()
		admitted := n.admitted
		n.mu.Unlock()
		if n.closing.Load() {
			// The others may already have taken its vote: it has no right to
			// go on alone any more.
			return
		}
		if n.quorate() {
			knocked = time.Now()
		} else if time.Since(knocked) > n.timing.Knock {
			knocked = time.Now()
			n.wg.Go(n.knock)
		}
		if n.quorate() || !admitted {
			// A node that was never part of a quorum runs nothing and may
			// fence nobody.
			lost, next, done = time.Time{}, time.Time{}, false
			continue
		}
		if lost.IsZero() {
			lost = time.Now()
			n.log.Warn("no quorum: the node has lost its leader")
			n.signal()
		}
		// While a majority is there, a leader is being elected, or a node that
		// can store nothing is about to end. When it is not, nothing is to be
		// waited for: the other side does not wait.
		if done || n.majorityThere() && time.Since(lost) < 2*n.timing.Detection+n.timing.DiskPatience || time.Now().Before(next) {
			continue
		}
		switch n.goAlone() {
		case wentAlone:
			done = true
		case notNow:
			next = time.Now().Add(n.timing.Detection)
		case notTwo:
			n.inquorate()
			done = true
		}
	}
}

// knock connects to every node that is there, so that this one is told if the
// others went on without it: a node without a vote would never speak to them by
// itself, and a leader that refuses it cannot tell it why. Who hears nobody
// tries all: to a node that was removed nobody sends heartbeats.
func (n *Node) knock() {
	ctx, cancel := context.WithTimeout(n.ctx, n.timing.Detection)
	defer cancel()
	var there, all []string
	peers := n.knownPeers()
	n.mu.Lock()
	for _, p := range peers {
		if p.Name == n.cfg.Name {
			continue
		}
		all = append(all, p.Name)
		if n.seen[p.Name].up {
			there = append(there, p.Name)
		}
	}
	n.mu.Unlock()
	if len(there) == 0 {
		there = all
	}
	var calls sync.WaitGroup
	for _, p := range there {
		calls.Go(func() {
			// That the others went on comes by way of a refusal; otherwise it
			// may be that the leader is one whom this node does not know.
			var a appliedAnswer
			if n.wire.Call(ctx, p, methodApplied, appliedQuestion{Members: true}, &a) == nil {
				n.hint(a)
			}
		})
	}
	calls.Wait()
}

// unwritable ends a node whose state cannot be stored. It takes no part in the
// electorate, so it must not keep what others could run: it stops that, and
// falls silent, so that it is fenced in case that it could not.
func (n *Node) unwritable(err error) {
	why := fmt.Sprintf("the node's state could not be stored for %v (%v)", n.timing.DiskPatience, err)
	n.log.Error("this node ends; free space or replace the disk", "why", why)
	n.stopEverything(why)
	n.cfg.Fatal(errors.New(why))
}

// majorityThere reports whether heartbeats go both ways with a majority of the
// voters.
func (n *Node) majorityThere() bool {
	voters, _, err := n.cons.Load().Electorate()
	if err != nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	there := 0
	for _, v := range voters {
		if v == n.cfg.Name || n.seen[v].up {
			there++
		}
	}
	return 2*there > len(voters)
}

// loneliness is what became of an attempt to go on alone.
type loneliness int

const (
	notTwo    loneliness = iota // no-quorum-policy has its say
	notNow                      // nothing changes until a later attempt
	wentAlone                   // there is a quorum again
)

// goAlone makes the survivor of two nodes the electorate, after it has fenced
// the other. As long as that does not succeed, what runs goes on and nothing
// else starts.
func (n *Node) goAlone() loneliness {
	cons := n.cons.Load()
	since := cons.LastIndex()
	if n.quorate() {
		return notNow
	}
	voters, _, err := cons.Electorate()
	if err != nil || len(voters) != 2 || !slices.Contains(voters, n.cfg.Name) {
		return notTwo
	}
	peer := voters[0]
	if peer == n.cfg.Name {
		peer = voters[1]
	}
	if !cons.Indispensable(peer) {
		return notTwo
	}
	applied := cons.Applied()
	state, _ := cons.State()
	m, ok := state.Member(peer)
	n.mu.Lock()
	s := n.seen[peer]
	n.mu.Unlock()
	if !ok || s.up {
		return notTwo // it is there, and still there is no leader
	}
	var proof string
	left := s.hasLeft(m.Incarnation) && len(unsettled(state.CIB, m)) == 0 && applied
	switch policy, _ := state.CIB.Property("no-quorum-policy"); {
	case left:
		proof = "node " + peer + " said that it leaves"
	case fencingEnabled(state.CIB):
		if n.cfg.Fencer == nil {
			n.log.Error("cannot go on alone: no fencing is configured", "peer", peer)
			return notNow
		}
		action, _ := state.CIB.Property("stonith-action", "fencing-action")
		if action == "" {
			action = "reboot"
		}
		delay := n.rivalDelay(state.CIB, m)
		n.log.Warn("fencing the other node, to go on alone", "peer", peer, "action", action, "delay", delay)
		ctx, cancel := context.WithCancel(n.ctx)
		defer cancel()
		if n.devices != nil {
			go n.withdraw(ctx, peer)
		}
		incarnation, release := n.incarnationOf(peer), n.keepOut(peer)
		proof, err = n.cfg.Fencer.Fence(ctx, controller.Fence{Node: peer, NodeID: m.ID, Action: action, Delay: delay,
			Timeout: fencingTimeout(state.CIB), Reason: "it does not answer, and this node has to go on alone"})
		release()
		if err != nil {
			n.log.Error("the other node could not be fenced; this node goes on waiting", "peer", peer, "err", err)
			return notNow
		}
		if now := n.incarnationOf(peer); now > incarnation {
			n.log.Warn("the other node has started anew since it was fenced; this node goes on waiting", "peer", peer, "fenced", incarnation, "now", now)
			return notNow
		}
	case policy == "ignore":
		proof = "fencing and quorum are switched off by the administrator (stonith-enabled=false, no-quorum-policy=ignore)"
	default:
		return notTwo
	}
	ctx, cancel := context.WithTimeout(n.ctx, 10*n.timing.IO)
	defer cancel()
	if n.closing.Load() || !cons.Indispensable(peer) {
		return notNow // meanwhile
	}
	if err := n.force(ctx, peer, proof, left, since); err != nil {
		if n.ctx.Err() == nil {
			n.log.Error("this node could not go on alone", "err", err)
		}
		return notNow
	}
	return wentAlone
}

// withdraw takes back the fencing of the other one of two nodes if it is there
// again before a device was asked.
func (n *Node) withdraw(ctx context.Context, peer string) {
	for {
		n.mu.Lock()
		up, known := n.seen[peer].up, n.changed
		n.mu.Unlock()
		if up && n.quorate() {
			n.devices.runner.Withdraw(peer, "the nodes hear each other again")
			return
		}
		select {
		case <-known:
		case <-time.After(n.timing.RaftHeartbeat):
		case <-ctx.Done():
			return
		}
	}
}

// rivalDelay is how long to wait before the other one of two nodes is fenced,
// which may be about to do the same (priority-fencing-delay): the scheduler
// says it, as it would if the other node were lost to a cluster with quorum.
func (n *Node) rivalDelay(doc *cib.CIB, peer consensus.Member) time.Duration {
	if v, ok := doc.Property("priority-fencing-delay"); !ok || v == "0" {
		return 0
	}
	lost := doc.Clone()
	lost.Root.Set("have-quorum", "1")
	for s := range lost.Status().Named("node_state") {
		if s.ID() == peer.ID {
			for name, value := range map[string]string{"in_ccm": "false", "crmd": "offline", "join": "down", "expected": "member"} {
				s.Set(name, value)
			}
		}
	}
	plan, err := n.cfg.Schedule(lost, scheduler.Options{Now: time.Now()})
	if err != nil {
		n.log.Error("priority-fencing-delay cannot be found out", "err", err)
		return 0
	}
	for _, a := range plan.Actions {
		if a.Task == "stonith" && a.Node == peer.Name {
			return controller.FencingDelay(a)
		}
	}
	return 0
}

// fencingTimeout is the stonith-timeout property.
func fencingTimeout(doc *cib.CIB) time.Duration {
	if v, ok := doc.Property("stonith-timeout", "fencing-timeout"); ok {
		if d, err := cib.ParseDuration(v); err == nil && d > 0 {
			return d
		}
	}
	return time.Minute
}

// inquorate applies no-quorum-policy to what runs here. When it had something to stop, the node starts again as a new
// incarnation, whose resources are probed: what it did alone is in no history.
func (n *Node) inquorate() {
	n.giving <- struct{}{}
	defer func() { <-n.giving }()
	state, _ := n.cons.Load().State()
	policy, ok := state.CIB.Property("no-quorum-policy")
	if !ok {
		policy = "stop"
	}
	if policy == "ignore" || policy == "freeze" {
		return
	}
	doc := alone(state.CIB, n.cfg.ID)
	doc.Root.Set("have-quorum", "0")
	if policy == "suicide" || policy == "fence" {
		stopAll(doc)
	}
	n.log.Warn("no quorum", "no-quorum-policy", policy)
	if n.carryOut(doc) > 0 {
		n.expulsion.Do(func() {
			go n.cfg.Expelled("the node had no quorum and stopped its resources (no-quorum-policy=" + policy + ")")
		})
	}
}

// stopEverything stops all resources of this node, whatever the cluster says.
// Several may ask for it at the same time.
func (n *Node) stopEverything(why string) {
	n.giving <- struct{}{}
	defer func() { <-n.giving }()
	state, _ := n.cons.Load().State()
	known := state.CIB
	if last := n.present.Load(); last != nil && !shownOnline(known, n.cfg.ID) {
		// The others count this node as down: what it runs is in the last
		// document that had it as a member, and maybe in no later one.
		known = last
	}
	doc := alone(known, n.cfg.ID)
	stopAll(doc)
	if stopped := n.carryOut(doc); stopped > 0 {
		n.log.Warn("stopped all resources", "actions", stopped, "why", why)
	}
}

// alone is the document as if all other nodes were down, and this one, which is
// asked to plan for itself, were a member that nobody is about to fence.
func alone(doc *cib.CIB, selfID string) *cib.CIB {
	c := doc.Clone()
	for s := range c.Status().Named("node_state") {
		if s.ID() == selfID {
			for name, value := range map[string]string{"in_ccm": "true", "crmd": "online", "join": "member", "expected": "member"} {
				s.Set(name, value)
			}
			for attributes := range s.Named("transient_attributes") {
				for set := range attributes.Named("instance_attributes") {
					for _, nv := range slices.Collect(set.Named("nvpair")) {
						if nv.Get("name") == "terminate" {
							set.Remove(nv)
						}
					}
				}
			}
			continue
		}
		for name, value := range map[string]string{"in_ccm": "false", "crmd": "offline", "join": "down", "expected": "down"} {
			s.Set(name, value)
		}
	}
	c.Root.Set("have-quorum", "1")
	return c
}

// stopAll sets the property stop-all-resources. Fencing, which would take the
// place of stops, is not for the node itself to plan.
func stopAll(doc *cib.CIB) {
	config := doc.Section("crm_config")
	var set *cib.Element
	for s := range config.Named("cluster_property_set") {
		if set == nil || s.ID() == cib.DefaultPropertySet {
			set = s
		}
	}
	if set == nil {
		set = cib.NewElement("cluster_property_set", "id", cib.DefaultPropertySet)
		config.Add(set)
	}
	for _, nv := range slices.Collect(set.Named("nvpair")) {
		if n := nv.Get("name"); n == "stop-all-resources" || n == "maintenance-mode" || n == "stonith-enabled" || n == "fencing-enabled" {
			set.Remove(nv)
		}
	}
	set.Add(cib.NewElement("nvpair", "id", "stop-all-now", "name", "stop-all-resources", "value", "true"),
		cib.NewElement("nvpair", "id", "stop-all-unfenced", "name", "stonith-enabled", "value", "false"))
}

// carryOut runs what a plan has this node stop, in the plan's order, and
// returns how many actions it ran. The executor ends before: what it would
// find out could not be recorded.
func (n *Node) carryOut(doc *cib.CIB) int {
	plan, err := n.cfg.Schedule(doc, scheduler.Options{Now: time.Now()})
	if err != nil {
		n.log.Error("no plan for stopping can be made", "err", err)
		return 0
	}
	todo := stops(plan, n.cfg.Name)
	if len(todo) == 0 {
		return 0
	}
	if e := n.execute.Load(); e != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if err := e.Close(ctx); err != nil {
			n.log.Warn("agents did not end", "err", err)
		}
		cancel()
	}
	for _, a := range todo {
		r := n.runHere(a)
		if r.RC != drivers.OK || r.Status != drivers.Done {
			n.log.Error("could not be stopped", "action", a.Key, "rc", int(r.RC), "reason", r.Reason)
		} else {
			n.log.Info("stopped without the cluster", "action", a.Key)
		}
	}
	return len(todo)
}

// stops picks the stopping actions of a node from a plan, inputs first.
func stops(plan *scheduler.Plan, node string) []*scheduler.Action {
	byID := map[int]*scheduler.Action{}
	for _, a := range plan.Actions {
		byID[a.ID] = a
	}
	seen := map[int]bool{}
	var order []*scheduler.Action
	var visit func(a *scheduler.Action)
	visit = func(a *scheduler.Action) {
		if a == nil || seen[a.ID] {
			return
		}
		seen[a.ID] = true
		for _, in := range a.Inputs {
			visit(byID[in])
		}
		if a.Kind == scheduler.ResourceAction && a.Node == node && (a.Task == drivers.Stop || a.Task == drivers.Demote) {
			order = append(order, a)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		visit(byID[id])
	}
	return order
}

// runHere runs an action on this node, outside of the executor.
func (n *Node) runHere(a *scheduler.Action) drivers.Result {
	if a.Resource == nil {
		return drivers.Result{RC: drivers.GenericError, Status: drivers.Error, Reason: "the action belongs to no resource"}
	}
	name := drivers.Name{Class: a.Resource.Class, Provider: a.Resource.Provider, Type: a.Resource.Type}
	agent, _, err := n.cfg.Agents.Lookup(name)
	if err != nil {
		return drivers.Result{RC: drivers.NotInstalled, Status: drivers.NoSuchAgent, Reason: err.Error()}
	}
	timeout := a.Timeout
	if timeout <= 0 {
		timeout = 20 * time.Second
	}
	req := drivers.Request{Agent: name, Resource: a.Resource.ID, Action: a.Task, Timeout: timeout, Node: n.agentNode(),
		Params: map[string]string{}, Meta: map[string]string{}}
	for _, p := range a.Params {
		req.Params[p.Name] = p.Value
	}
	for _, m := range a.Meta {
		req.Meta[strings.ReplaceAll(m.Name, "-", "_")] = m.Value
	}
	// The node may already be closing; what runs must still be stopped.
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return agent.Run(ctx, req)
}

// errAlone is for callers that need a quorum.
var errAlone = errors.New("the node has no quorum")

// Evacuate sets the shutdown attribute of nodes, so that the cluster moves or
// stops what runs there, and waits until nothing is left for the controller to
// do. It is called on any node, once for all nodes that go at the same time.
func (n *Node) Evacuate(ctx context.Context, nodes ...string) error {
	state, err := n.cons.Load().Read(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errAlone, err)
	}
	change := cib.Change{Origin: cib.Origin{Client: "shutdown"}, Status: &cib.StatusChange{}}
	for _, name := range nodes {
		if m, ok := state.Member(name); ok && m.State == consensus.Online && !m.Witness { // which has nothing to move
			change.Status.Edits = append(change.Status.Edits, cib.StatusEdit{Attribute: &cib.AttributeEdit{
				Node: m.ID, Name: "shutdown", Value: fmt.Sprint(time.Now().Unix())}})
		}
	}
	if len(change.Status.Edits) == 0 {
		return nil
	}
	n.sign(&change)
	r, err := n.cons.Load().Apply(ctx, consensus.NewRequest(), consensus.Command{Change: &change})
	if err != nil {
		return err
	}
	for {
		n.mu.Lock()
		known := n.changed
		n.mu.Unlock()
		i, err := (*backend)(n).Info(ctx)
		if err == nil && i.Transition.Idle && i.Transition.ComputedAtVersion.Compare(r.Version) >= 0 {
			return nil
		}
		// Who was told to leave has nothing left.
		if s, _ := n.cons.Load().State(); !slices.ContainsFunc(change.Status.Edits, func(e cib.StatusEdit) bool {
			state := s.CIB.NodeState(e.Attribute.Node)
			return state != nil && state.Get("expected") != "down"
		}) {
			return nil
		}
		select {
		case <-known:
		case <-time.After(n.timing.Interval):
		case <-n.ctx.Done():
			return errors.New("this node ended before it was known what became of the others")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
