package shell

import (
	"context"
	"fmt"
	"strings"

	"gcrm/cib"
	"gcrm/grammar"
)

// change edits the configuration for a command outside configure: staged and
// committed at once, or only staged if something else is staged already.
func (s *Session) change(ctx context.Context, c *call, f func(work *cib.CIB) error) error {
	pending := s.changed()
	if err := s.edit(ctx, f); err != nil {
		return err
	}
	if s.overlay != nil {
		return nil // committed with the rest of the script
	}
	if pending {
		s.msg.info("%s is staged with the other changes; commit makes them all", c.path)
		return nil
	}
	if !s.changed() {
		s.drop()
		return nil
	}
	if err := s.commit(ctx, commitOptions{force: true, quiet: true}); err != nil {
		s.drop()
		return err
	}
	return nil
}

// target is a resource of the document that is edited.
type target struct {
	element *cib.Element
	parent  *cib.Element // container, or the section
}

// findResource finds a resource by id.
func findResource(doc *cib.CIB, id string) (target, bool) {
	var found target
	var walk func(parent *cib.Element) bool
	walk = func(parent *cib.Element) bool {
		for e := range parent.Elements() {
			if !cib.IsResource(e.Name) {
				continue
			}
			if e.ID() == id {
				found = target{e, parent}
				return true
			}
			if cib.IsContainer(e.Name) && walk(e) {
				return true
			}
		}
		return false
	}
	return found, walk(doc.Section("resources"))
}

// resourceIDs lists all resources, containers before their members.
func resourceIDs(doc *cib.CIB) []string {
	var ids []string
	doc.Section("resources").Walk(func(e *cib.Element) bool {
		if cib.IsResource(e.Name) {
			ids = append(ids, e.ID())
		}
		return e.Name == "resources" || cib.IsContainer(e.Name)
	})
	return ids
}

// noResource is the problem of an id that is no resource.
func noResource(doc *cib.CIB, id string, at grammar.Position) error {
	p := problemf("Resource not found: %s", id).at(at)
	if near := nearest(id, resourceIDs(doc)); near != "" {
		p.hinting("did you mean %s?", near)
	}
	return p
}

// holder returns the resource whose attributes count for a whole: the
// outermost container, but a member of a group for itself.
func holder(doc *cib.CIB, t target) *cib.Element {
	for t.parent.Name != "resources" && t.parent.Name != "group" {
		up, ok := findResource(doc, t.parent.ID())
		if !ok {
			break
		}
		t = up
	}
	return t.element
}

// expandTags replaces tags by what they stand for.
func expandTags(doc *cib.CIB, c *call) []grammar.Word {
	var out []grammar.Word
	for _, w := range c.words {
		tag := doc.Section("tags").ChildByID(w.Text)
		if _, isResource := findResource(doc, w.Text); tag == nil || isResource {
			out = append(out, w)
			continue
		}
		for ref := range tag.Named("obj_ref") {
			m := w
			m.Text = ref.ID()
			out = append(out, m)
		}
	}
	return out
}

// setMeta sets a meta attribute of resources, each at the resource that holds
// it. Members with a value of their own follow only if asked.
func (s *Session) setMeta(ctx context.Context, c *call, name, value string) error {
	return s.change(ctx, c, func(work *cib.CIB) error {
		for _, w := range expandTags(work, c) {
			t, ok := findResource(work, w.Text)
			if !ok {
				return noResource(work, w.Text, w.Pos)
			}
			e := holder(work, t)
			setPair(work, e, "meta_attributes", e.ID(), name, value)
			s.membersFollow(e, name, value)
		}
		return nil
	})
}

// membersFollow offers to remove values of members that contradict the value
// of their container.
func (s *Session) membersFollow(e *cib.Element, name, value string) {
	var differ []*cib.Element
	e.Walk(func(m *cib.Element) bool {
		if m != e && cib.IsResource(m.Name) {
			if v, ok := pairValue(m, "meta_attributes", name); ok && v != value {
				differ = append(differ, m)
			}
		}
		return true
	})
	for _, m := range differ {
		if s.confirm(fmt.Sprintf("%s has %s=%s of its own; let it follow %s", m.ID(), name, mustPair(m, name), e.ID())) {
			for set := range m.Named("meta_attributes") {
				for p := range set.Named("nvpair") {
					if p.Get("name") == name {
						p.Set("value", value)
					}
				}
			}
		}
	}
}

func mustPair(e *cib.Element, name string) string {
	v, _ := pairValue(e, "meta_attributes", name)
	return v
}

func runStartStop(ctx context.Context, s *Session, c *call) error {
	role := "Started"
	if c.verb.Name == "stop" {
		role = "Stopped"
	}
	if err := s.setMeta(ctx, c, "target-role", role); err != nil {
		return err
	}
	return s.waitIfAsked(ctx)
}

func runManage(ctx context.Context, s *Session, c *call) error {
	value := "true"
	if c.verb.Name == "unmanage" {
		value = "false"
	}
	return s.setMeta(ctx, c, "is-managed", value)
}

func runResourceMaintenance(ctx context.Context, s *Session, c *call) error {
	value := "true"
	if c.arg(1) == "off" || c.arg(1) == "false" {
		value = "false"
	}
	only := *c
	only.words = c.words[:1]
	return s.setMeta(ctx, &only, "maintenance", value)
}

func runPromote(ctx context.Context, s *Session, c *call) error {
	role := "Promoted"
	if c.verb.Name == "demote" {
		role = "Unpromoted"
	}
	return s.change(ctx, c, func(work *cib.CIB) error {
		t, ok := findResource(work, c.arg(0))
		if !ok {
			return noResource(work, c.arg(0), c.at(0))
		}
		e := holder(work, t)
		if !cib.IsPromotable(e) {
			return problemf("%s is not a promotable clone", c.arg(0)).at(c.at(0)).
				hinting("only a clone with meta promotable=true has promoted instances")
		}
		setPair(work, e, "meta_attributes", e.ID(), "target-role", legacyRole(work, role))
		return nil
	})
}

// legacyRole writes a role in the words of the document's schema.
func legacyRole(doc *cib.CIB, role string) string {
	if modernRoles(doc.Schema()) {
		return role
	}
	switch role {
	case "Promoted":
		return "Master"
	case "Unpromoted":
		return "Slave"
	}
	return role
}

// modernRoles reports whether a schema (pacemaker-3.7 and newer) has the role
// names Promoted and Unpromoted.
func modernRoles(schema string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(schema, "pacemaker-%d.%d", &major, &minor); err != nil {
		return true
	}
	return major > 3 || major == 3 && minor >= 7
}

func runResourcePair(ctx context.Context, s *Session, c *call) error {
	setName := map[string]string{"param": "instance_attributes", "meta": "meta_attributes", "utilization": "utilization"}[c.verb.Name]
	id, action, name, value := c.arg(0), strings.ToLower(c.arg(1)), c.arg(2), c.arg(3)
	if action == "show" {
		doc, err := s.view(ctx)
		if err != nil {
			return err
		}
		t, ok := findResource(doc, id)
		if !ok {
			return noResource(doc, id, c.at(0))
		}
		v, ok := pairValue(t.element, setName, name)
		if !ok {
			return problemf("%s has no %s %s", id, pairWord(c.verb.Name), name).at(c.at(2))
		}
		if s.cfg.Format == "json" {
			return s.writeJSON(map[string]string{"resource": id, "name": name, "value": v})
		}
		s.printf("%s\n", v)
		return nil
	}
	if action == "set" && len(c.words) < 4 {
		return problemf("%s: set needs a value", c.path).at(c.at(3))
	}
	return s.change(ctx, c, func(work *cib.CIB) error {
		t, ok := findResource(work, id)
		if !ok {
			return noResource(work, id, c.at(0))
		}
		if action == "delete" {
			if !deletePair(t.element, setName, name) {
				return problemf("%s has no %s %s", id, pairWord(c.verb.Name), name).at(c.at(2))
			}
			return nil
		}
		target := t.element
		if _, own := pairValue(target, setName, name); !own && setName == "meta_attributes" && (t.parent.Name == "clone" || t.parent.Name == "master") && !s.cfg.Force {
			// Instances have what their clone has.
			target = t.parent
			s.msg.info("set on %s, the clone of %s", target.ID(), id)
		}
		setPair(work, target, setName, target.ID(), name, value)
		return nil
	})
}

func pairWord(verb string) string {
	switch verb {
	case "param":
		return "parameter"
	case "meta":
		return "meta attribute"
	}
	return "utilization"
}
