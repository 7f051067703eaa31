package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/cluster/node/daemon"
	"gcrm/drivers"
	"gcrm/drivers/crmtools"
)

// helper runs the program under one of the names that agents call.
func helper(name string, args []string) (status int, ok bool) {
	if !slices.Contains(crmtools.Names(), name) {
		return 0, false
	}
	return crmtools.Main(name, args, crmtools.Environment{Getenv: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr,
		Connect: func(ctx context.Context) (crmtools.Backend, error) {
			c, err := client.Dial(socketPath(""), name)
			if err != nil {
				return nil, err
			}
			return &crmBackend{cluster: c, client: name}, nil
		}}), true
}

// socketPath is where the daemon of this host listens, unless an option says
// otherwise.
func socketPath(option string) string {
	if option != "" {
		return option
	}
	if s := os.Getenv(drivers.EnvSocket); s != "" {
		return s
	}
	return filepath.Join(daemon.DefaultRunDir, "api.sock")
}

// crmBackend gives agents' helper commands the cluster.
type crmBackend struct {
	cluster client.Cluster
	client  string
}

func (b *crmBackend) LocalNode(ctx context.Context) (crmtools.Node, error) {
	if name := os.Getenv(drivers.EnvNode); name != "" {
		return crmtools.Node{Name: name, ID: os.Getenv(drivers.EnvNodeID), Online: true}, nil
	}
	info, err := b.cluster.Info(ctx)
	if err != nil {
		return crmtools.Node{}, err
	}
	return crmtools.Node{Name: info.Node, ID: info.NodeID, Online: true}, nil
}

func (b *crmBackend) Nodes(ctx context.Context) ([]crmtools.Node, error) {
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

func (b *crmBackend) Quorate(ctx context.Context) (bool, error) {
	info, err := b.cluster.Info(ctx)
	if err != nil {
		return false, err
	}
	return info.Quorate, nil
}

// place finds the element that holds the sets of an attribute.
func place(doc *cib.CIB, a crmtools.Attribute) (parent *cib.Element, set, prefix string, err error) {
	switch a.Section {
	case crmtools.Transient, crmtools.Permanent, crmtools.Utilization:
		n, ok := doc.Node(a.Node)
		if !ok {
			return nil, "", "", fmt.Errorf("%s: %w", a.Node, crmtools.ErrNoNode)
		}
		if a.Section == crmtools.Transient {
			return doc.NodeState(n.ID).Child("transient_attributes"), "instance_attributes", "", nil
		}
		set = "instance_attributes"
		if a.Section == crmtools.Utilization {
			set = "utilization"
		}
		return n.Element, set, n.Uname + "-" + set, nil
	case crmtools.RscDefaults:
		return doc.Section("rsc_defaults"), "meta_attributes", "rsc-options", nil
	case crmtools.OpDefaults:
		return doc.Section("op_defaults"), "meta_attributes", "op-options", nil
	}
	return doc.Section("crm_config"), "cluster_property_set", cib.DefaultPropertySet, nil
}

func (b *crmBackend) Attribute(ctx context.Context, a crmtools.Attribute) (string, bool, error) {
	doc, err := b.cluster.CIB(ctx, true)
	if err != nil {
		return "", false, err
	}
	parent, set, _, err := place(doc, a)
	if err != nil || parent == nil {
		return "", false, err
	}
	for _, s := range cib.OrderedSets(parent, set) {
		if a.Set != "" && s.ID() != a.Set {
			continue
		}
		if v, ok := cib.PairValue(s, a.Name); ok {
			return v, true, nil
		}
	}
	return "", false, nil
}

// SetAttribute changes the status for transient attributes, else the
// configuration; a commit of somebody else in between is no reason to fail.
func (b *crmBackend) SetAttribute(ctx context.Context, a crmtools.Attribute, value *string, delay time.Duration) error {
	for attempt := 0; ; attempt++ {
		doc, err := b.cluster.CIB(ctx, true)
		if err != nil {
			return err
		}
		ch, err := b.change(doc, a, value)
		if err != nil || ch == nil {
			return err
		}
		if _, err = b.cluster.Apply(ctx, *ch); err == nil || attempt == 5 || ch.Configuration == nil || !isConflict(err) {
			return err
		}
	}
}

func (b *crmBackend) change(doc *cib.CIB, a crmtools.Attribute, value *string) (*cib.Change, error) {
	ch := &cib.Change{Origin: cib.Origin{Client: b.client, Time: time.Now(), Node: os.Getenv(drivers.EnvNode)}}
	if a.Section == crmtools.Transient {
		n, ok := doc.Node(a.Node)
		if !ok {
			return nil, fmt.Errorf("%s: %w", a.Node, crmtools.ErrNoNode)
		}
		e := &cib.AttributeEdit{Node: n.ID, Name: a.Name, Delete: value == nil}
		if value != nil {
			e.Value = *value
			if rest, ok := increment(a.Name, *value); ok {
				e.Value, e.Add = rest, true
			}
		}
		ch.Status = &cib.StatusChange{Edits: []cib.StatusEdit{{Attribute: e}}}
		return ch, nil
	}
	work := doc.Clone()
	for _, section := range []string{"rsc_defaults", "op_defaults"} {
		if a.Section == crmtools.RscDefaults && section == "rsc_defaults" || a.Section == crmtools.OpDefaults && section == "op_defaults" {
			work.Configuration().Ensure(section)
		}
	}
	parent, set, id, err := place(work, a)
	if err != nil {
		return nil, err
	}
	if a.Set != "" {
		id = a.Set
	}
	if !setPair(parent, set, id, a.Set != "", a.Name, value) {
		return nil, nil
	}
	ch.Configuration = &cib.ConfigurationChange{Base: doc.Version(), XML: work.Configuration().String()}
	return ch, nil
}

// increment understands "value++" and "value+=N" (of attrd_updater and
// crm_attribute).
func increment(name, value string) (by string, ok bool) {
	if value == name+"++" || value == "value++" {
		return "1", true
	}
	for _, p := range []string{name + "+=", "value+="} {
		if n, found := strings.CutPrefix(value, p); found {
			if _, err := strconv.Atoi(n); err == nil {
				return n, true
			}
		}
	}
	return "", false
}

// setPair sets or removes a name in the first set that has it, or in the set
// with the id; it reports whether anything changed.
func setPair(parent *cib.Element, setName, id string, exact bool, name string, value *string) bool {
	var home *cib.Element
	for s := range parent.Named(setName) {
		if exact && s.ID() != id || s.Has("id-ref") {
			continue
		}
		if home == nil {
			home = s
		}
		for p := range s.Named("nvpair") {
			if p.Get("name") != name {
				continue
			}
			if value == nil {
				return s.Remove(p)
			}
			if p.Get("value") == *value {
				return false
			}
			p.Set("value", *value)
			return true
		}
	}
	if value == nil {
		return false
	}
	if home == nil {
		home = cib.NewElement(setName, "id", id)
		parent.Add(home)
	}
	pair := cib.NewElement("nvpair", "id", strings.ReplaceAll(home.ID()+"-"+name, "#", "."), "name", name)
	pair.Set("value", *value)
	home.Add(pair)
	return true
}
