package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/api"
	"gcrm/cluster/client"
	"gcrm/cluster/executor/operation"
	"gcrm/cluster/transport"
	"gcrm/drivers"
	"gcrm/scheduler"
)

var _ api.Hands = (*backend)(nil)

// onlyLook are the actions that change nothing.
var onlyLook = [...]string{drivers.Monitor, drivers.Validate, drivers.MetaData}

// actLimit is the longest time that an action by hand may be given.
const actLimit = time.Hour

// Act implements api.Hands: it runs an action on a node, this one or another.
func (b *backend) Act(ctx context.Context, r client.ActRequest) (*client.ActAnswer, error) {
	n := (*Node)(b)
	state, _ := n.cons.Load().State()
	m, ok := state.Member(r.Node)
	switch {
	case !ok:
		return nil, &client.Error{Code: client.CodeNotFound, Text: "the cluster has no node " + r.Node}
	case m.Witness:
		return nil, &client.Error{Code: client.CodeRefused, Text: r.Node + " is a witness and runs no agents"}
	case r.Timeout <= 0 || r.Timeout > actLimit:
		return nil, malformedAct("an action is given more than nothing and at most %v", actLimit)
	case r.Resource == "" || r.Type == "" || r.Action == "":
		return nil, malformedAct("an action needs a resource, an agent and its name")
	}
	if r.Node == n.cfg.Name {
		return n.actHere(ctx, r)
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout+secretLimit)
	defer cancel()
	var a client.ActAnswer
	if err := n.wire.Call(ctx, r.Node, methodAct, r, &a); err != nil {
		var refused *transport.RemoteError
		if errors.As(err, &refused) {
			return nil, &client.Error{Code: client.CodeRefused, Text: fmt.Sprintf("node %s: %v", r.Node, err)}
		}
		return nil, &client.Error{Code: client.CodeUnknown, Text: fmt.Sprintf("node %s: it is unknown whether %s of %s was run: %v", r.Node, r.Action, r.Resource, err)}
	}
	return &a, nil
}

func malformedAct(format string, a ...any) error {
	return &client.Error{Code: client.CodeMalformed, Text: fmt.Sprintf(format, a...)}
}

// actHere runs an action on this node. What the cluster itself starts and stops
// is left to it: that nothing is active twice rests on one hand doing it.
func (n *Node) actHere(ctx context.Context, r client.ActRequest) (*client.ActAnswer, error) {
	e := n.execute.Load()
	if e == nil {
		return nil, &client.Error{Code: client.CodeUnavailable, Text: "node " + n.cfg.Name + " is not a member yet"}
	}
	if !slices.Contains(onlyLook[:], r.Action) {
		bounded, cancel := n.bounded(ctx)
		state, err := n.cons.Load().Read(bounded)
		cancel()
		if err != nil {
			return nil, translate(err)
		}
		if why := inTheClustersHands(state.CIB, r.Resource, n.cfg.Clock()); why != "" {
			return nil, &client.Error{Code: client.CodeRefused, Text: why}
		}
	}
	job := operation.Job{Node: n.cfg.Name, NodeID: n.cfg.ID, Resource: r.Resource, Class: r.Class, Provider: r.Provider, Type: r.Type,
		Task: r.Action, Timeout: r.Timeout}
	for name, value := range r.Params {
		job.Params = append(job.Params, cib.Attr{Name: name, Value: value})
	}
	for name, value := range r.Meta {
		job.Meta = append(job.Meta, cib.Attr{Name: name, Value: value})
	}
	n.log.Info("action by hand", "resource", r.Resource, "action", r.Action)
	began := time.Now()
	res := e.Act(ctx, &job)
	return &client.ActAnswer{RC: int(res.RC), Text: res.RC.String(), Reason: res.Reason, Output: res.Output, Took: time.Since(began)}, nil
}

// inTheClustersHands says why a resource must not be started or stopped by
// hand, or nothing: the cluster manages it, and may start it.
func inTheClustersHands(doc *cib.CIB, resource string, now time.Time) string {
	seen, err := scheduler.Observe(doc, scheduler.Options{Now: now})
	if err != nil {
		return err.Error()
	}
	resource, _, _ = strings.Cut(resource, ":")
	why := ""
	var visit func(list []scheduler.ResourceState)
	visit = func(list []scheduler.ResourceState) {
		for _, r := range list {
			id, _, _ := strings.Cut(r.ID, ":")
			switch {
			case id != resource || r.Removed || !r.Managed:
			case r.Pending != "":
				why = fmt.Sprintf("the cluster carries out %s of %s just now", r.Pending, resource)
			case r.Active:
				why = fmt.Sprintf("%s runs on %s under the cluster's control; stop it first: resource stop %s (or take it in hand: resource maintenance %s on)",
					resource, strings.Join(r.Nodes, ", "), resource, resource)
			case !r.Disabled && why == "":
				why = fmt.Sprintf("the cluster may start %s at any time; keep it from that first: resource stop %s", resource, resource)
			}
			visit(r.Members)
		}
	}
	visit(seen.Resources)
	return why
}
