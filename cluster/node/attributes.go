package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"gcrm/cib"
	"gcrm/cluster/consensus"
	"gcrm/cluster/executor/operation"
	"gcrm/drivers"
)

// attributes are what agents on this node may ask of the cluster.
type attributes Node

var _ drivers.Cluster = (*attributes)(nil)

// SetPromotionScore implements drivers.Cluster.
func (a *attributes) SetPromotionScore(ctx context.Context, resource string, score *int) error {
	if score == nil {
		return a.SetAttribute(ctx, "master-"+resource, nil)
	}
	v := strconv.Itoa(*score)
	return a.SetAttribute(ctx, "master-"+resource, &v)
}

// SetAttribute implements drivers.Cluster. A value that is there already is
// not written again.
func (a *attributes) SetAttribute(ctx context.Context, name string, value *string) error {
	n := (*Node)(a)
	state, _ := n.cons.Load().State()
	old, had := operation.Attribute(state.CIB, n.cfg.ID, name)
	if value == nil && !had || value != nil && had && old == *value {
		return nil
	}
	e := &cib.AttributeEdit{Node: n.cfg.ID, Name: name, Delete: value == nil}
	if value != nil {
		e.Value = *value
	}
	change := cib.Change{Origin: cib.Origin{Client: "agent"}, Status: &cib.StatusChange{Edits: []cib.StatusEdit{{Attribute: e}}}}
	n.sign(&change)
	_, err := n.cons.Load().Apply(ctx, consensus.NewRequest(), consensus.Command{Change: &change})
	return err
}

// SetUtilization is for agents that know what their resource needs (see
// libvirt.UtilizationSetter). A value that is there already is not written
// again, so a monitor costs no version.
func (a *attributes) SetUtilization(ctx context.Context, resource, name string, value *string) error {
	cons := (*Node)(a).cons.Load()
	local, _ := cons.State()
	if owner := local.CIB.Owner(resource, "utilization"); owner != nil {
		old, had := cib.SetValue(owner, "utilization", name)
		if had == (value != nil) && (!had || old == *value) {
			return nil
		}
	}
	return a.configure(ctx, "utilization of "+resource, func(next *cib.CIB) (bool, error) {
		owner := next.Owner(resource, "utilization")
		if owner == nil {
			return false, fmt.Errorf("the configuration has no resource %s", resource)
		}
		return next.SetPair(owner, cib.HomeSet(owner, "utilization"), name, value)
	})
}

// SetNodeAttribute implements drivers.Cluster. A value that is there already
// is not written again.
func (a *attributes) SetNodeAttribute(ctx context.Context, node, name string, value *string) error {
	return a.configure(ctx, "attribute of "+node, func(next *cib.CIB) (bool, error) {
		entry, ok := next.Node(node)
		if !ok {
			return false, fmt.Errorf("the cluster has no node %s", node)
		}
		return next.SetPair(entry.Element, cib.HomeSet(entry.Element, "instance_attributes"), name, value)
	})
}

// configure commits what edit makes of the newest configuration, and nothing
// if it makes no change.
func (a *attributes) configure(ctx context.Context, message string, edit func(next *cib.CIB) (bool, error)) error {
	cons := (*Node)(a).cons.Load()
	for {
		state, err := cons.Read(ctx)
		if err != nil {
			return err
		}
		next := state.CIB.Clone()
		if changed, err := edit(next); err != nil || !changed {
			return err
		}
		change := cib.Change{Origin: cib.Origin{Client: "agent", Message: message},
			Configuration: &cib.ConfigurationChange{Base: state.CIB.Version(), XML: next.Configuration().String()}}
		(*Node)(a).sign(&change)
		_, err = cons.Apply(ctx, consensus.NewRequest(), consensus.Command{Change: &change})
		if !errors.Is(err, cib.ErrConflict) || ctx.Err() != nil {
			return err
		}
	}
}

// Sync implements drivers.Cluster.
func (a *attributes) Sync(ctx context.Context) error {
	_, err := (*Node)(a).cons.Load().Read(ctx)
	return err
}

// Nodes implements drivers.Cluster.
func (a *attributes) Nodes(context.Context) ([]string, error) {
	state, _ := (*Node)(a).cons.Load().State()
	var out []string
	for _, n := range state.CIB.Nodes() {
		out = append(out, n.Uname)
	}
	slices.Sort(out)
	return out, nil
}

// Attribute implements drivers.Cluster.
func (a *attributes) Attribute(_ context.Context, node, name string) (string, bool, error) {
	state, _ := (*Node)(a).cons.Load().State()
	entry, ok := state.CIB.Node(node)
	if !ok {
		return "", false, nil
	}
	if v, ok := operation.Attribute(state.CIB, entry.ID, name); ok {
		return v, true, nil
	}
	for set := range entry.Element.Named("instance_attributes") {
		if v, ok := cib.PairValue(set, name); ok {
			return v, true, nil
		}
	}
	return "", false, nil
}
