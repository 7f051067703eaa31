// Package agenthelp connects the helper commands of agents (package
// drivers/crmtools) with the daemon of their node.
package agenthelp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/drivers"
	"gcrm/drivers/crmtools"
)

// Serves tells whether the program was called by the name of a helper
// command.
func Serves(name string) bool { return slices.Contains(crmtools.Names(), name) }

// DefaultSocket is where a node's daemon listens if the environment does not
// say otherwise.
const DefaultSocket = "/run/gcrm/api.sock"

// Main runs a helper command for the daemon the environment names and returns
// its exit code.
func Main(name string, args []string) int {
	return crmtools.Main(name, args, crmtools.Environment{Getenv: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr,
		Connect: func(context.Context) (crmtools.Backend, error) {
			socket := os.Getenv(drivers.EnvSocket)
			if socket == "" {
				socket = DefaultSocket
			}
			c, err := client.Dial(socket, name)
			if err != nil {
				return nil, err
			}
			return &backend{cluster: c, client: name}, nil
		}})
}

// backend reads and writes the attributes of a cluster.
type backend struct {
	cluster client.Cluster
	client  string // for the history of versions
}

var _ crmtools.Backend = (*backend)(nil)

// LocalNode implements crmtools.Backend.
func (b *backend) LocalNode(ctx context.Context) (crmtools.Node, error) {
	info, err := b.cluster.Info(ctx)
	if err != nil {
		return crmtools.Node{}, err
	}
	return crmtools.Node{Name: info.Node, ID: info.NodeID, Online: true}, nil
}

// Nodes implements crmtools.Backend.
func (b *backend) Nodes(ctx context.Context) ([]crmtools.Node, error) {
	info, err := b.cluster.Info(ctx)
	if err != nil {
		return nil, err
	}
	var out []crmtools.Node
	for _, m := range info.Members {
		out = append(out, crmtools.Node{Name: m.Name, ID: m.ID, Online: m.Online})
	}
	return out, nil
}

// Quorate implements crmtools.Backend.
func (b *backend) Quorate(ctx context.Context) (bool, error) {
	info, err := b.cluster.Info(ctx)
	if err != nil {
		return false, err
	}
	return info.Quorate, nil
}

// Attribute implements crmtools.Backend.
func (b *backend) Attribute(ctx context.Context, a crmtools.Attribute) (string, bool, error) {
	doc, err := b.cluster.CIB(ctx, false)
	if err != nil {
		return "", false, err
	}
	sets, err := setsOf(doc, a)
	if err != nil {
		return "", false, err
	}
	for _, set := range sets {
		if v, ok := cib.PairValue(set, a.Name); ok {
			return v, true, nil
		}
	}
	return "", false, nil
}

// home is where the sets of a section lie: the element, the name of the sets
// in it, and the id of the usual one.
func home(doc *cib.CIB, a crmtools.Attribute) (parent *cib.Element, set, id string, err error) {
	section := func(name, set, id string) (*cib.Element, string, string, error) {
		s := doc.Section(name)
		if s == nil {
			s = doc.Configuration().Ensure(name)
		}
		return s, set, id, nil
	}
	switch a.Section {
	case crmtools.Properties:
		return section("crm_config", "cluster_property_set", cib.DefaultPropertySet)
	case crmtools.RscDefaults:
		return section("rsc_defaults", "meta_attributes", "rsc-options")
	case crmtools.OpDefaults:
		return section("op_defaults", "meta_attributes", "op-options")
	}
	n, ok := doc.Node(a.Node)
	if !ok {
		return nil, "", "", fmt.Errorf("node %s: %w", a.Node, crmtools.ErrNoNode)
	}
	switch a.Section {
	case crmtools.Utilization:
		return n.Element, "utilization", "nodes-" + n.ID + "-utilization", nil
	case crmtools.Transient:
		if state := doc.NodeState(n.ID); state != nil && state.Child("transient_attributes") != nil {
			return state.Child("transient_attributes"), "instance_attributes", "status-" + n.ID, nil
		}
		return nil, "", "", nil
	}
	return n.Element, "instance_attributes", "nodes-" + n.ID, nil
}

// setsOf lists the sets that may have the attribute, in the order in which
// they count.
func setsOf(doc *cib.CIB, a crmtools.Attribute) ([]*cib.Element, error) {
	parent, name, _, err := home(doc, a)
	if err != nil || parent == nil {
		return nil, err
	}
	sets := cib.OrderedSets(parent, name)
	if a.Set == "" || a.Section == crmtools.Transient {
		return sets, nil
	}
	return slices.DeleteFunc(sets, func(e *cib.Element) bool { return e.ID() != a.Set }), nil
}

// SetAttribute implements crmtools.Backend. The delay is not waited for:
// every value counts at once.
func (b *backend) SetAttribute(ctx context.Context, a crmtools.Attribute, value *string, _ time.Duration) error {
	if a.Section == crmtools.Transient {
		return b.setTransient(ctx, a, value)
	}
	for {
		doc, err := b.cluster.CIB(ctx, true)
		if err != nil {
			return err
		}
		next := doc.Clone()
		changed, err := edit(next, a, value)
		if err != nil || !changed {
			return err
		}
		_, err = b.cluster.Apply(ctx, cib.Change{Origin: cib.Origin{Client: b.client},
			Configuration: &cib.ConfigurationChange{Base: doc.Version(), XML: next.Configuration().String()}})
		if !errors.Is(err, cib.ErrConflict) || ctx.Err() != nil {
			return err
		}
		// Somebody else committed meanwhile: once more on the new document.
	}
}

func (b *backend) setTransient(ctx context.Context, a crmtools.Attribute, value *string) error {
	doc, err := b.cluster.CIB(ctx, false)
	if err != nil {
		return err
	}
	n, ok := doc.Node(a.Node)
	if !ok {
		return fmt.Errorf("node %s: %w", a.Node, crmtools.ErrNoNode)
	}
	e := &cib.AttributeEdit{Node: n.ID, Name: a.Name, Delete: value == nil}
	if value != nil {
		// "value++" and "value+=5" count on from the present value.
		e.Value = *value
		if step, ok := increment(a.Name, *value); ok {
			e.Value, e.Add = step, true
		}
	}
	sets, err := setsOf(doc, a)
	if err != nil {
		return err
	}
	if value != nil && !e.Add {
		for _, set := range sets {
			if old, ok := cib.PairValue(set, a.Name); ok && old == *value {
				return nil // no new version, and no new plan, for nothing new
			}
		}
	}
	_, err = b.cluster.Apply(ctx, cib.Change{Origin: cib.Origin{Client: b.client},
		Status: &cib.StatusChange{Edits: []cib.StatusEdit{{Attribute: e}}}})
	return err
}

// increment reads "NAME++", "value++", "NAME+=N" and "value+=N".
func increment(name, s string) (step string, ok bool) {
	for _, prefix := range []string{name, "value"} {
		if rest, found := strings.CutPrefix(s, prefix); found {
			if rest == "++" {
				return "1", true
			}
			if n, found := strings.CutPrefix(rest, "+="); found {
				return n, true
			}
		}
	}
	return "", false
}

// edit changes the attribute in a document of the caller's own and tells
// whether there was anything to change.
func edit(doc *cib.CIB, a crmtools.Attribute, value *string) (changed bool, err error) {
	parent, setName, usual, err := home(doc, a)
	if err != nil {
		return false, err
	}
	sets, err := setsOf(doc, a)
	if err != nil {
		return false, err
	}
	for _, set := range sets {
		for pair := range set.Named("nvpair") {
			if pair.Get("name") != a.Name {
				continue
			}
			switch {
			case value == nil:
				set.Remove(pair)
			case pair.Get("value") == *value && pair.Has("value"):
				return false, nil
			default:
				pair.Set("value", *value)
			}
			return true, nil
		}
	}
	if value == nil {
		return false, nil
	}
	id := usual
	if a.Set != "" {
		id = a.Set
	}
	var set *cib.Element
	for _, s := range sets {
		// A set with a rule counts only at times; what an agent sets counts
		// always.
		if s.Child("rule") == nil && s.ID() == id {
			set = s
		}
	}
	index := cib.NewIndex(doc)
	if set == nil {
		if index.Element(id) != nil {
			return false, fmt.Errorf("id %s is taken by another element of the configuration", id)
		}
		set = cib.NewElement(setName, "id", id)
		parent.Add(set)
	}
	pairID := id + "-" + strings.Map(idRune, a.Name)
	for n := 2; index.Element(pairID) != nil; n++ {
		pairID = fmt.Sprintf("%s-%s-%d", id, strings.Map(idRune, a.Name), n)
	}
	set.Add(cib.NewElement("nvpair", "id", pairID, "name", a.Name, "value", *value))
	return true, nil
}

// idRune keeps what may stand in an XML id.
func idRune(r rune) rune {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("-_.", r):
		return r
	}
	return '_'
}
