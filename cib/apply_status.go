package cib

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func (c *CIB) applyStatus(ch *StatusChange) (*CIB, error) {
	d := newDraft(c.Root)
	next := &CIB{Root: d.root}
	s := &statusEditor{draft: d, cib: c, status: d.at(d.root, indexNamed(d.root, "status"))}
	for i, e := range ch.Edits {
		if err := s.edit(e); err != nil {
			return nil, fmt.Errorf("status change, edit %d: %w", i+1, err)
		}
	}
	v := c.Version()
	v.NumUpdates++
	next.SetVersion(v)
	return next, nil
}

type statusEditor struct {
	*draft
	cib    *CIB // before the change
	status *Element
}

func (s *statusEditor) edit(e StatusEdit) error {
	set := 0
	for _, given := range []bool{e.Node != nil, e.Operation != nil, e.Forget != nil,
		e.Attribute != nil, e.Ticket != nil, e.Root != nil} {
		if given {
			set++
		}
	}
	if set != 1 {
		return fmt.Errorf("%d kinds of edit are set, not one", set)
	}
	switch {
	case e.Node != nil:
		return s.node(e.Node)
	case e.Operation != nil:
		return s.operation(e.Operation)
	case e.Forget != nil:
		s.forget(e.Forget)
		return nil
	case e.Attribute != nil:
		return s.attribute(e.Attribute)
	case e.Ticket != nil:
		return s.ticket(e.Ticket)
	}
	return s.rootAttributes(e.Root)
}

// nodeState returns the node_state of a node id ready to be changed. One that
// is missing is made, named as the configuration names the node, or else by
// its id (as remote nodes are).
func (s *statusEditor) nodeState(id, uname string) *Element {
	if i := indexID(s.status, "node_state", id); i >= 0 {
		return s.at(s.status, i)
	}
	if uname == "" {
		uname = id
		for n := range s.cib.Section("nodes").Named("node") {
			if n.ID() == id {
				uname = n.Get("uname")
				break
			}
		}
	}
	return s.add(s.status, NewElement("node_state", "id", id, "uname", uname))
}

func setAttributes(e *Element, attrs []Attr) {
	for _, a := range attrs {
		setOrUnset(e, a.Name, a.Value)
	}
}

func checkAttributes(attrs []Attr, fixed ...string) error {
	for _, a := range attrs {
		if !validName(a.Name) {
			return fmt.Errorf("%q is not the name of an attribute", a.Name)
		}
		if slices.Contains(fixed, a.Name) {
			return fmt.Errorf("attribute %s cannot be changed this way", a.Name)
		}
	}
	return nil
}

// validName reports whether s can stand as a name in XML.
func validName(s string) bool {
	if s == "" || s[0] == '-' || s[0] == '.' || s[0] >= '0' && s[0] <= '9' {
		return false
	}
	for i := range len(s) {
		if !nameByte[s[i]] {
			return false
		}
	}
	return true
}

func (s *statusEditor) node(e *NodeStateEdit) error {
	if e.ID == "" {
		return errors.New("node state without a node id")
	}
	if err := checkAttributes(e.Attributes, "id"); err != nil {
		return fmt.Errorf("state of node %s: %w", e.ID, err)
	}
	if e.Gone {
		if i := indexID(s.status, "node_state", e.ID); i >= 0 {
			s.remove(s.status, i)
		}
		return nil
	}
	n := s.nodeState(e.ID, e.Uname)
	if e.Uname != "" {
		n.Set("uname", e.Uname)
	}
	setAttributes(n, e.Attributes)
	if e.Fenced {
		n.Children = slices.DeleteFunc(n.Children, func(c *Element) bool {
			return c.Name == "lrm" || c.Name == "transient_attributes"
		})
	}
	return nil
}

func (s *statusEditor) operation(e *OperationEdit) error {
	if e.Node == "" || e.Resource == "" {
		return errors.New("operation without a node id or resource")
	}
	if err := checkAttributes(e.Attributes); err != nil {
		return fmt.Errorf("operation of %s on node %s: %w", e.Resource, e.Node, err)
	}
	op := &Element{Name: "lrm_rsc_op"}
	setAttributes(op, e.Attributes)
	id := op.ID()
	if id == "" {
		return fmt.Errorf("operation of %s on node %s has no id", e.Resource, e.Node)
	}
	lrm := s.ensure(s.nodeState(e.Node, ""), "lrm", "id", e.Node)
	list := s.ensure(lrm, "lrm_resources")
	var rsc *Element
	if i := indexID(list, "lrm_resource", e.Resource); i >= 0 {
		rsc = s.at(list, i)
	} else {
		rsc = s.add(list, NewElement("lrm_resource", "id", e.Resource))
	}
	setOrUnset(rsc, "type", e.Type)
	setOrUnset(rsc, "class", e.Class)
	setOrUnset(rsc, "provider", e.Provider)
	switch {
	case e.ShutdownLock > 0:
		rsc.Set("shutdown-lock", strconv.FormatInt(e.ShutdownLock, 10))
	case e.Unlock:
		rsc.Unset("shutdown-lock")
	}
	if i := indexID(rsc, "lrm_rsc_op", id); i >= 0 {
		rsc.Children[i] = op
		s.owned[op] = struct{}{}
	} else {
		s.add(rsc, op)
	}
	return nil
}

func (s *statusEditor) forget(e *ForgetEdit) {
	for i, n := range s.status.Children {
		if n.Name != "node_state" || e.Node != "" && n.ID() != e.Node {
			continue
		}
		list := n.Child("lrm").Child("lrm_resources")
		if list == nil || !slices.ContainsFunc(list.Children, e.concerns) {
			continue // nothing to copy
		}
		n = s.at(s.status, i)
		lrm := s.at(n, indexNamed(n, "lrm"))
		list = s.at(lrm, indexNamed(lrm, "lrm_resources"))
		list.Children = slices.DeleteFunc(list.Children, func(r *Element) bool {
			return e.concerns(r) && (e.Operation == "" || len(r.Children) == 1)
		})
		for j, r := range list.Children {
			if e.concerns(r) {
				r = s.at(list, j)
				s.remove(r, indexID(r, "lrm_rsc_op", e.Operation))
			}
		}
	}
}

// concerns reports whether a lrm_resource loses something.
func (e *ForgetEdit) concerns(r *Element) bool {
	return r.Name == "lrm_resource" && (e.Resource == "" || r.ID() == e.Resource) &&
		(e.Operation == "" || indexID(r, "lrm_rsc_op", e.Operation) >= 0)
}

func (s *statusEditor) attribute(e *AttributeEdit) error {
	if e.Node == "" || e.Name == "" {
		return errors.New("node attribute without a node id or name")
	}
	if e.Delete && e.Add {
		return fmt.Errorf("attribute %s of node %s: both delete and add", e.Name, e.Node)
	}
	step := 0
	if e.Add {
		var err error
		if step, err = attributeStep(e.Value); err != nil {
			return fmt.Errorf("attribute %s of node %s: %w", e.Name, e.Node, err)
		}
	}
	if e.Delete && s.transient(e.Node, e.Name) == nil {
		return nil
	}
	n := s.nodeState(e.Node, "")
	set := s.ensure(s.ensure(n, "transient_attributes", "id", e.Node),
		"instance_attributes", "id", "status-"+e.Node)
	i := slices.IndexFunc(set.Children, func(p *Element) bool {
		return p.Name == "nvpair" && p.Get("name") == e.Name
	})
	if e.Delete {
		s.remove(set, i)
		return nil
	}
	var pair *Element
	if i >= 0 {
		pair = s.at(set, i)
	} else {
		pair = s.add(set, NewElement("nvpair",
			"id", sanitizeID(set.ID()+"-"+e.Name), "name", e.Name))
	}
	value := e.Value
	if e.Add {
		old, _ := ParseScore(pair.Get("value")) // what is no number counts as 0
		value = FormatScore(AddScores(old, step))
	}
	pair.Set("value", value)
	return nil
}

// transient returns the nvpair of a transient attribute, or nil.
func (s *statusEditor) transient(node, name string) *Element {
	i := indexID(s.status, "node_state", node)
	if i < 0 {
		return nil
	}
	set := s.status.Children[i].Child("transient_attributes").Child("instance_attributes")
	for p := range set.Named("nvpair") {
		if p.Get("name") == name {
			return p
		}
	}
	return nil
}

// attributeStep reads what is to be added: nothing or "value++" for 1,
// "value+=N", or a score.
func attributeStep(s string) (int, error) {
	if s == "" || s == "value++" {
		return 1, nil
	}
	return ParseScore(strings.TrimPrefix(s, "value+="))
}

// sanitizeID turns characters that attribute names may have and ids may not
// into dots.
func sanitizeID(s string) string {
	return strings.NewReplacer("#", ".", ":", ".").Replace(s)
}

func (s *statusEditor) ticket(e *TicketEdit) error {
	if e.ID == "" {
		return errors.New("ticket without an id")
	}
	if err := checkAttributes(e.Attributes, "id"); err != nil {
		return fmt.Errorf("ticket %s: %w", e.ID, err)
	}
	if e.Delete {
		if t := s.status.Child("tickets"); t == nil || indexID(t, "ticket_state", e.ID) < 0 {
			return nil
		}
	}
	tickets := s.ensure(s.status, "tickets")
	i := indexID(tickets, "ticket_state", e.ID)
	if e.Delete {
		s.remove(tickets, i)
		return nil
	}
	var t *Element
	if i >= 0 {
		t = s.at(tickets, i)
	} else {
		t = s.add(tickets, NewElement("ticket_state", "id", e.ID))
	}
	setAttributes(t, e.Attributes)
	return nil
}

// rootAttributes changes only what the cluster maintains; versions, schema and
// authorship follow from changes themselves.
func (s *statusEditor) rootAttributes(e *RootEdit) error {
	if err := checkAttributes(e.Attributes, "admin_epoch", "epoch", "num_updates",
		"validate-with", "cib-last-written", "update-origin", "update-client", "update-user"); err != nil {
		return fmt.Errorf("cib: %w", err)
	}
	setAttributes(s.root, e.Attributes)
	return nil
}
