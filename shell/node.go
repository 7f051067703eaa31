package shell

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gcrm/cib"
	"gcrm/grammar"
)

func noNode(doc *cib.CIB, w grammar.Word) error {
	p := problemf("node %s does not exist", w.Text).at(w.Pos)
	var names []string
	for _, n := range doc.Nodes() {
		names = append(names, n.Uname)
	}
	if near := nearest(w.Text, names); near != "" {
		p.hinting("did you mean %s?", near)
	} else if len(names) > 0 {
		p.hinting("there are %s", strings.Join(names, ", "))
	}
	return p
}

// nodesNamed returns the nodes that words name; without words, this node.
func (s *Session) nodesNamed(ctx context.Context, doc *cib.CIB, words []grammar.Word) ([]cib.Node, error) {
	if len(words) == 0 {
		if s.cfg.Offline {
			return nil, problemf("which node? a file is not on any").hinting("name it")
		}
		info, err := s.cluster.Info(ctx)
		if err != nil {
			return nil, err
		}
		n, ok := doc.Node(info.Node)
		if !ok {
			return nil, problemf("this node, %s, is not in the configuration", info.Node)
		}
		return []cib.Node{n}, nil
	}
	var nodes []cib.Node
	for _, w := range words {
		n, ok := doc.Node(w.Text)
		if !ok {
			return nil, noNode(doc, w)
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// nodesOrAll returns the nodes that words name; without words, all.
func (s *Session) nodesOrAll(ctx context.Context, doc *cib.CIB, words []grammar.Word) ([]cib.Node, error) {
	if len(words) == 0 {
		return doc.Nodes(), nil
	}
	return s.nodesNamed(ctx, doc, words)
}

// editNodes changes node elements of the configuration.
func (s *Session) editNodes(ctx context.Context, c *call, words []grammar.Word, f func(work *cib.CIB, n cib.Node)) error {
	return s.change(ctx, c, func(work *cib.CIB) error {
		nodes, err := s.nodesNamed(ctx, work, words)
		if err != nil {
			return err
		}
		for _, n := range nodes {
			f(work, n)
		}
		return nil
	})
}

func runStandby(ctx context.Context, s *Session, c *call) error {
	value := "on"
	if c.verb.Name == "online" {
		value = "off"
	}
	words, all, reboot := []grammar.Word(nil), false, false
	for i, w := range c.words {
		switch {
		case w.Text == "--all":
			all = true
		case i == len(c.words)-1 && (w.Text == "reboot" || w.Text == "forever") && c.verb.Name == "standby":
			reboot = w.Text == "reboot"
		default:
			words = append(words, w)
		}
	}
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	if all {
		words = nil
		for _, n := range doc.Nodes() {
			words = append(words, grammar.Word{Text: n.Uname})
		}
	}
	nodes, err := s.nodesNamed(ctx, doc, words)
	if err != nil {
		return err
	}
	if reboot {
		var edits []cib.StatusEdit
		for _, n := range nodes {
			edits = append(edits, cib.StatusEdit{Attribute: &cib.AttributeEdit{Node: n.ID, Name: "standby", Value: value}})
		}
		return s.changeStatus(ctx, edits)
	}
	var names []grammar.Word
	for _, n := range nodes {
		names = append(names, grammar.Word{Text: n.Uname})
	}
	if err := s.editNodes(ctx, c, names, func(work *cib.CIB, n cib.Node) {
		setPair(work, n.Element, "instance_attributes", n.Uname, "standby", value)
	}); err != nil {
		return err
	}
	// A standby that was to last until the restart would outlive "online".
	if value == "off" && !s.rehearsing {
		var edits []cib.StatusEdit
		for _, n := range nodes {
			if _, ok := transientValue(doc, n.ID, "standby"); ok {
				edits = append(edits, cib.StatusEdit{Attribute: &cib.AttributeEdit{Node: n.ID, Name: "standby", Delete: true}})
			}
		}
		if len(edits) > 0 {
			if err := s.changeStatus(ctx, edits); err != nil {
				return err
			}
		}
	}
	return s.waitIfAsked(ctx)
}

// changeStatus sends edits of the status section.
func (s *Session) changeStatus(ctx context.Context, edits []cib.StatusEdit) error {
	if len(edits) == 0 {
		return nil
	}
	_, err := s.apply(ctx, cib.Change{Status: &cib.StatusChange{Edits: edits}})
	return err
}

// transientValue reads an attribute that lasts until a node restarts.
func transientValue(doc *cib.CIB, nodeID, name string) (string, bool) {
	state := doc.NodeState(nodeID)
	if state == nil {
		return "", false
	}
	return cib.SetValue(state.Child("transient_attributes"), "instance_attributes", name)
}

func runNodeMaintenance(ctx context.Context, s *Session, c *call) error {
	value := "true"
	if c.verb.Name == "ready" {
		value = "off"
	}
	if err := s.editNodes(ctx, c, c.words, func(work *cib.CIB, n cib.Node) {
		setPair(work, n.Element, "instance_attributes", n.Uname, "maintenance", value)
	}); err != nil {
		return err
	}
	return s.waitIfAsked(ctx)
}

func runNodePair(ctx context.Context, s *Session, c *call) error {
	setName := "instance_attributes"
	if c.verb.Name == "utilization" {
		setName = "utilization"
	}
	action, name, value := strings.ToLower(c.arg(1)), c.arg(2), c.arg(3)
	if action == "show" {
		doc, err := s.view(ctx)
		if err != nil {
			return err
		}
		nodes, err := s.nodesNamed(ctx, doc, c.words[:1])
		if err != nil {
			return err
		}
		v, ok := pairValue(nodes[0].Element, setName, name)
		if !ok {
			return problemf("node %s has no attribute %s", nodes[0].Uname, name).at(c.at(2))
		}
		if s.cfg.Format == "json" {
			return s.writeJSON(map[string]string{"node": nodes[0].Uname, "name": name, "value": v})
		}
		s.printf("scope=nodes name=%s value=%s\n", name, v)
		return nil
	}
	if action == "set" && len(c.words) < 4 {
		return problemf("%s: set needs a value", c.path).at(c.at(3))
	}
	var missing error
	err := s.editNodes(ctx, c, c.words[:1], func(work *cib.CIB, n cib.Node) {
		if action == "delete" {
			if !deletePair(n.Element, setName, name) {
				missing = problemf("node %s has no attribute %s", n.Uname, name).at(c.at(2))
			}
			return
		}
		setPair(work, n.Element, setName, n.Uname, name, value)
	})
	if err == nil {
		err = missing
	}
	return err
}

func runStatusAttr(ctx context.Context, s *Session, c *call) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	nodes, err := s.nodesNamed(ctx, doc, c.words[:1])
	if err != nil {
		return err
	}
	n, name := nodes[0], c.arg(2)
	switch strings.ToLower(c.arg(1)) {
	case "show":
		v, ok := transientValue(doc, n.ID, name)
		if !ok {
			return problemf("node %s has no status attribute %s", n.Uname, name).at(c.at(2))
		}
		if s.cfg.Format == "json" {
			return s.writeJSON(map[string]string{"node": n.Uname, "name": name, "value": v})
		}
		s.printf("scope=status name=%s value=%s\n", name, v)
		return nil
	case "delete":
		return s.changeStatus(ctx, []cib.StatusEdit{{Attribute: &cib.AttributeEdit{Node: n.ID, Name: name, Delete: true}}})
	}
	if len(c.words) < 4 {
		return problemf("%s: set needs a value", c.path).at(c.at(3))
	}
	return s.changeStatus(ctx, []cib.StatusEdit{{Attribute: &cib.AttributeEdit{Node: n.ID, Name: name, Value: c.arg(3)}}})
}

func runClearState(ctx context.Context, s *Session, c *call) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	nodes, err := s.nodesNamed(ctx, doc, c.words)
	if err != nil {
		return err
	}
	n := nodes[0]
	if state := doc.NodeState(n.ID); state != nil && cib.IsTrue(state.Get("in_ccm")) && state.Get("crmd") == "online" {
		return problemf("node %s is online", n.Uname).at(c.at(0)).hinting("only the state of a node that is down can be forgotten")
	}
	if !s.confirm(fmt.Sprintf("Do you really want to drop the state of node %s? It must be known to be down", n.Uname)) {
		return problemf("the state of node %s was not dropped", n.Uname).hinting("confirm it, or use -F")
	}
	return s.changeStatus(ctx, []cib.StatusEdit{{Node: &cib.NodeStateEdit{ID: n.ID, Uname: n.Uname, Fenced: true,
		Attributes: []cib.Attr{{Name: "in_ccm", Value: "false"}, {Name: "crmd", Value: "offline"},
			{Name: "join", Value: "down"}, {Name: "expected", Value: "down"}}}}})
}

func runNodeDelete(ctx context.Context, s *Session, c *call) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	nodes, err := s.nodesNamed(ctx, doc, c.words)
	if err != nil {
		return err
	}
	n := nodes[0]
	if !s.cfg.Offline {
		info, err := s.cluster.Info(ctx)
		if err != nil {
			return err
		}
		for _, m := range info.Members {
			if m.Name == n.Uname {
				return problemf("node %s is a member of the cluster", n.Uname).at(c.at(0)).hinting("stop it and remove it from the cluster first")
			}
		}
	}
	if err := s.editNodes(ctx, c, c.words, func(work *cib.CIB, n cib.Node) {
		work.Section("nodes").Remove(n.Element)
	}); err != nil {
		return err
	}
	if doc.NodeState(n.ID) != nil {
		return s.changeStatus(ctx, []cib.StatusEdit{{Node: &cib.NodeStateEdit{ID: n.ID, Gone: true}}})
	}
	return nil
}

func runNodeServer(ctx context.Context, s *Session, c *call) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	nodes, err := s.nodesOrAll(ctx, doc, c.words)
	if err != nil {
		return err
	}
	names := []string{}
	for _, n := range nodes {
		names = append(names, n.Uname)
	}
	if s.cfg.Format == "json" {
		return s.writeJSON(names)
	}
	for _, n := range names {
		s.printf("%s\n", n)
	}
	return nil
}

// runNodeStatus shows node_state as the cluster records it.
func runNodeStatus(ctx context.Context, s *Session, c *call) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	nodes, err := s.nodesOrAll(ctx, doc, c.words)
	if err != nil {
		return err
	}
	t := newTable("Node", "Id", "Type", "Member", "Process", "Join", "Expected")
	for _, n := range nodes {
		state := doc.NodeState(n.ID)
		get := func(name string) string {
			if state == nil {
				return "-"
			}
			if v := state.Get(name); v != "" {
				return v
			}
			return "-"
		}
		t.row(n.Uname, n.ID, n.Type, get("in_ccm"), get("crmd"), get("join"), get("expected"))
	}
	return s.writeTable(t)
}

// runNodeShow lists nodes with their attributes.
func runNodeShow(ctx context.Context, s *Session, c *call) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	nodes, err := s.nodesOrAll(ctx, doc, c.words)
	if err != nil {
		return err
	}
	type attributes map[string]string
	type entry struct {
		Name        string     `json:"name"`
		ID          string     `json:"id"`
		Type        string     `json:"type"`
		Attributes  attributes `json:"attributes,omitempty"`
		Utilization attributes `json:"utilization,omitempty"`
	}
	var out []entry
	for _, n := range nodes {
		e := entry{Name: n.Uname, ID: n.ID, Type: n.Type}
		e.Attributes, e.Utilization = pairsOf(n.Element, "instance_attributes"), pairsOf(n.Element, "utilization")
		out = append(out, e)
	}
	if s.cfg.Format == "json" {
		return s.writeJSON(out)
	}
	for _, e := range out {
		typ := e.Type
		if e.ID != e.Name {
			s.printf("%s(%s): %s\n", s.color.bold(e.Name), e.ID, typ)
		} else {
			s.printf("%s: %s\n", s.color.bold(e.Name), typ)
		}
		for _, m := range []attributes{e.Attributes, e.Utilization} {
			for _, k := range sortedKeys(m) {
				s.printf("\t%s=%s\n", k, m[k])
			}
		}
	}
	return nil
}

func pairsOf(object *cib.Element, setName string) map[string]string {
	m := map[string]string{}
	for _, set := range cib.OrderedSets(object, setName) {
		for p := range set.Named("nvpair") {
			if _, known := m[p.Get("name")]; !known {
				m[p.Get("name")] = p.Get("value")
			}
		}
	}
	return m
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
