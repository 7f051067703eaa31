package cib

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// AgentName is a full agent name; Provider is empty but for class ocf.
type AgentName struct {
	Class, Provider, Type string
}

func (n AgentName) String() string {
	if n.Provider == "" {
		return n.Class + ":" + n.Type
	}
	return n.Class + ":" + n.Provider + ":" + n.Type
}

// ParseAgentName reads a full name, class:provider:type or class:type.
func ParseAgentName(s string) (AgentName, error) {
	p := strings.Split(s, ":")
	switch {
	case slices.Contains(p, ""):
	case len(p) == 2:
		return AgentName{Class: p[0], Type: p[1]}, nil
	case len(p) == 3:
		return AgentName{p[0], p[1], p[2]}, nil
	}
	return AgentName{}, fmt.Errorf("%q is not an agent name (class:provider:type)", s)
}

// AgentOf returns the agent that a primitive or template element names
// itself. A primitive made from a template names none: see [Index.Agent].
func AgentOf(e *Element) AgentName {
	return AgentName{e.Get("class"), e.Get("provider"), e.Get("type")}
}

// Node is a node of the configuration.
type Node struct {
	ID    string
	Uname string
	Type  string // member (also if absent), remote, ping
	// Element is the node element.
	Element *Element
}

// Nodes lists the configured nodes in document order.
func (c *CIB) Nodes() []Node {
	var out []Node
	for e := range c.Section("nodes").Named("node") {
		out = append(out, nodeOf(e))
	}
	return out
}

func nodeOf(e *Element) Node {
	n := Node{e.ID(), e.Get("uname"), e.Get("type"), e}
	if n.Type == "" {
		n.Type = "member"
	}
	return n
}

// Node finds a node by uname (in any case) or else by id.
func (c *CIB) Node(name string) (Node, bool) {
	nodes := c.Nodes()
	for _, n := range nodes {
		if strings.EqualFold(n.Uname, name) {
			return n, true
		}
	}
	for _, n := range nodes {
		if n.ID == name {
			return n, true
		}
	}
	return Node{}, false
}

// NodeState returns the node_state element of a node id, or nil.
func (c *CIB) NodeState(id string) *Element {
	for e := range c.Status().Named("node_state") {
		if e.ID() == id {
			return e
		}
	}
	return nil
}

// DefaultPropertySet is the id of the set of cluster properties that is used
// if no other is named; it counts before all others.
const DefaultPropertySet = "cib-bootstrap-options"

// Property returns a cluster property: the value in the first set that has
// it, sets ordered as in [OrderedSets]. Rules are not evaluated. Several names
// are spellings of the same property ("fencing-enabled", "stonith-enabled"),
// of which the first found in a set counts.
func (c *CIB) Property(names ...string) (value string, ok bool) {
	for _, set := range OrderedSets(c.Section("crm_config"), "cluster_property_set") {
		for _, name := range names {
			if v, ok := PairValue(set, name); ok {
				return v, true
			}
		}
	}
	return "", false
}

// OrderedSets returns the sets with the element name below parent in the
// order in which they count: cib-bootstrap-options first, then by descending
// score, equal scores in document order. References (id-ref) are not followed.
func OrderedSets(parent *Element, name string) []*Element {
	sets := slices.Collect(parent.Named(name))
	if len(sets) < 2 {
		return sets
	}
	rank := func(e *Element) int {
		if e.Name == "cluster_property_set" && e.ID() == DefaultPropertySet {
			return Infinity + 1
		}
		n, _ := ParseScore(e.Get("score"))
		return n
	}
	slices.SortStableFunc(sets, func(a, b *Element) int { return rank(b) - rank(a) })
	return sets
}

// PairValue returns the value of the first nvpair with the name in a set. An
// nvpair without a value does not count.
func PairValue(set *Element, name string) (value string, ok bool) {
	for p := range set.Named("nvpair") {
		if p.Get("name") == name {
			if v, ok := p.Lookup("value"); ok {
				return v, true
			}
		}
	}
	return "", false
}

// SetValue returns the value of an attribute from the sets with the element
// name (instance_attributes, meta_attributes, utilization) below parent; see
// [OrderedSets]. Neither rules nor references are followed.
func SetValue(parent *Element, setName, name string) (value string, ok bool) {
	for _, set := range OrderedSets(parent, setName) {
		if v, ok := PairValue(set, name); ok {
			return v, true
		}
	}
	return "", false
}

// Meta returns a meta attribute that stands at the resource itself.
func Meta(resource *Element, name string) string {
	v, _ := SetValue(resource, "meta_attributes", name)
	return v
}

// IsResource reports whether an element name is that of a resource (a
// template is none).
func IsResource(name string) bool {
	switch name {
	case "primitive", "group", "clone", "master", "bundle":
		return true
	}
	return false
}

// IsContainer reports whether an element name is that of a resource that
// holds others.
func IsContainer(name string) bool { return name != "primitive" && IsResource(name) }

// IsConstraint reports whether an element name is that of a constraint.
func IsConstraint(name string) bool {
	switch name {
	case "rsc_location", "rsc_colocation", "rsc_order", "rsc_ticket":
		return true
	}
	return false
}

// Members iterates over the resources directly inside a container.
func Members(container *Element) iter.Seq[*Element] {
	return func(yield func(*Element) bool) {
		for c := range container.Elements() {
			if IsResource(c.Name) && !yield(c) {
				return
			}
		}
	}
}

// Primitives iterates over all primitives of the configuration, also those
// inside containers, in document order.
func (c *CIB) Primitives() iter.Seq[*Element] {
	return func(yield func(*Element) bool) {
		var walk func(e *Element) bool
		walk = func(e *Element) bool {
			for m := range Members(e) {
				if m.Name == "primitive" {
					if !yield(m) {
						return false
					}
				} else if !walk(m) {
					return false
				}
			}
			return true
		}
		walk(c.Section("resources"))
	}
}

// IsPromotable reports whether an element is a clone whose instances can be
// promoted.
func IsPromotable(e *Element) bool {
	return e.Name == "master" || e.Name == "clone" && IsTrue(Meta(e, "promotable"))
}

// SecretMarker stands for the value of a parameter that the nodes keep outside
// of the document.
const SecretMarker = "lrm://"
