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
	"gcrm/scheduler"
	"gcrm/shell"
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

// Located implements crmtools.Backend.
func (b *backend) Located(ctx context.Context, resource string) ([]crmtools.Place, error) {
	doc, err := b.cluster.CIB(ctx, false)
	if err != nil {
		return nil, err
	}
	if doc.Owner(resource, "instance_attributes") == nil {
		return nil, fmt.Errorf("resource %s: %w", resource, crmtools.ErrNoResource)
	}
	state, err := scheduler.Observe(doc, scheduler.Options{Now: time.Now()})
	if err != nil {
		return nil, err
	}
	var out []crmtools.Place
	base, _, _ := strings.Cut(resource, ":")
	var walk func(list []scheduler.ResourceState, inside bool)
	walk = func(list []scheduler.ResourceState, inside bool) {
		for _, r := range list {
			id, _, _ := strings.Cut(r.ID, ":")
			found := inside || r.ID == resource || id == base
			if r.Kind == "primitive" && found {
				for _, n := range r.Nodes {
					out = append(out, crmtools.Place{Node: n, Promoted: r.Role == "Promoted"})
				}
			}
			walk(r.Members, found)
		}
	}
	walk(state.Resources, false)
	return out, nil
}

// Status implements crmtools.Backend.
func (b *backend) Status(ctx context.Context, words []string) (string, error) {
	var out, problems strings.Builder
	s := shell.NewSession(shell.Config{Cluster: b.cluster, Source: "live", Out: &out, Err: &problems, Environ: os.Getenv})
	if status, _ := s.RunArguments(ctx, append([]string{"status"}, words...)); status != 0 {
		return "", errors.New(strings.TrimSpace(problems.String()))
	}
	return out.String(), nil
}

// Query implements crmtools.Backend.
func (b *backend) Query(ctx context.Context, q crmtools.Query) ([]string, error) {
	doc, err := b.cluster.CIB(ctx, false)
	if err != nil {
		return nil, err
	}
	found := []*cib.Element{doc.Root}
	switch {
	case q.XPath != "":
		x, err := cib.CompileXPath(q.XPath)
		if err != nil {
			return nil, err
		}
		found = x.Select(doc)
	case q.Section == "status":
		found = []*cib.Element{doc.Status()}
	case q.Section == "configuration":
		found = []*cib.Element{doc.Configuration()}
	case q.Section != "" && q.Section != "all":
		found = []*cib.Element{doc.Section(q.Section)}
	}
	var out []string
	for _, e := range found {
		if e == nil {
			continue
		}
		if q.Bare {
			e = &cib.Element{Name: e.Name, Attrs: e.Attrs}
		}
		out = append(out, e.String())
	}
	return out, nil
}

// Fence implements crmtools.Backend.
func (b *backend) Fence(ctx context.Context, node, action string) error {
	w, ok := b.cluster.(client.Warden)
	if !ok {
		return errors.New("this cluster cannot be asked to fence")
	}
	doc, err := b.cluster.CIB(ctx, false)
	if err != nil {
		return err
	}
	if _, ok := doc.Node(node); !ok {
		return fmt.Errorf("node %s: %w", node, crmtools.ErrNoNode)
	}
	_, err = w.Fence(ctx, node, action)
	return err
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

// resourceSet is the element that holds attributes of resources; empty for the
// other sections.
func resourceSet(section crmtools.Section) string {
	switch section {
	case crmtools.ResourceParameters:
		return "instance_attributes"
	case crmtools.ResourceMeta:
		return "meta_attributes"
	case crmtools.ResourceUtilization:
		return "utilization"
	}
	return ""
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
	if set := resourceSet(a.Section); set != "" {
		e := doc.Owner(a.Resource, set)
		if e == nil {
			return nil, "", "", fmt.Errorf("resource %s: %w", a.Resource, crmtools.ErrNoResource)
		}
		return e, set, cib.HomeSet(e, set).ID, nil
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
		parent, set, usual, err := home(next, a)
		if err != nil {
			return err
		}
		if a.Set != "" {
			usual = a.Set
		}
		changed, err := next.SetPair(parent, cib.PairSet{Element: set, ID: usual, Only: a.Set != ""}, a.Name, value)
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
