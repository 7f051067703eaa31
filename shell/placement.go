package shell

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gcrm/cib"
)

// move, ban and clear leave and remove location constraints whose ids say who
// made them.

func preferID(resource string) string    { return "cli-prefer-" + resource }
func banID(resource, node string) string { return "cli-ban-" + resource + "-on-" + node }

// moveArgs are the arguments of move and ban.
type moveArgs struct {
	resource, node, lifetime string
	force                    bool
}

func (s *Session) moveArguments(ctx context.Context, c *call) (moveArgs, error) {
	a := moveArgs{resource: c.arg(0), force: s.cfg.Force}
	doc, err := s.view(ctx)
	if err != nil {
		return a, err
	}
	if _, ok := findResource(doc, a.resource); !ok {
		return a, noResource(doc, a.resource, c.at(0))
	}
	for i, w := range c.words[1:] {
		switch {
		case strings.EqualFold(w.Text, "force"):
			a.force = true
		case a.node == "" && !strings.HasPrefix(w.Text, "P"):
			n, ok := doc.Node(w.Text)
			if !ok {
				return a, noNode(doc, w)
			}
			a.node = n.Uname
		case strings.HasPrefix(w.Text, "P") && a.lifetime == "":
			if n, ok := doc.Node(w.Text); ok && a.node == "" {
				a.node = n.Uname
				continue
			}
			d, err := cib.ParseDuration(w.Text)
			if err != nil {
				return a, problemf("%s: %v", c.path, err).at(c.at(i + 1))
			}
			a.lifetime = s.cfg.Now().Add(d).UTC().Format("2006-01-02 15:04:05Z")
		default:
			return a, problemf("%s: %q is one argument too many", c.path, w.Text).at(w.Pos)
		}
	}
	return a, nil
}

func runMove(ctx context.Context, s *Session, c *call) error {
	a, err := s.moveArguments(ctx, c)
	if err != nil {
		return err
	}
	if a.node == "" {
		if !a.force {
			return problemf("move: no node is named").at(c.at(1)).
				hinting("name one, or add force to forbid the node it runs on now until resource clear %s", a.resource)
		}
		return s.banWhereItRuns(ctx, c, a)
	}
	if err := s.change(ctx, c, func(work *cib.CIB) error {
		removeConstraint(work, preferID(a.resource))
		removeConstraint(work, banID(a.resource, a.node))
		s.addPlacement(work, preferID(a.resource), a, "INFINITY")
		return nil
	}); err != nil {
		return err
	}
	s.msg.info("Move constraint created for %s to %s", a.resource, a.node)
	return s.waitIfAsked(ctx)
}

func runBan(ctx context.Context, s *Session, c *call) error {
	a, err := s.moveArguments(ctx, c)
	if err != nil {
		return err
	}
	if a.node == "" {
		return s.banWhereItRuns(ctx, c, a)
	}
	return s.ban(ctx, c, a)
}

func (s *Session) ban(ctx context.Context, c *call, a moveArgs) error {
	if err := s.change(ctx, c, func(work *cib.CIB) error {
		removeConstraint(work, preferID(a.resource))
		removeConstraint(work, banID(a.resource, a.node))
		s.addPlacement(work, banID(a.resource, a.node), a, "-INFINITY")
		return nil
	}); err != nil {
		return err
	}
	s.msg.info("Ban constraint created for %s on %s", a.resource, a.node)
	return s.waitIfAsked(ctx)
}

// banWhereItRuns forbids the one node on which a resource runs.
func (s *Session) banWhereItRuns(ctx context.Context, c *call, a moveArgs) error {
	nodes, err := s.runsOn(ctx, a.resource)
	if err != nil {
		return err
	}
	if len(nodes) != 1 {
		where := "nowhere"
		if len(nodes) > 1 {
			where = "on " + strings.Join(nodes, " ")
		}
		return problemf("%s runs %s", a.resource, where).at(c.at(0)).hinting("name the node")
	}
	a.node = nodes[0]
	return s.ban(ctx, c, a)
}

// addPlacement appends a location constraint, with a rule if it ends some time.
func (s *Session) addPlacement(work *cib.CIB, id string, a moveArgs, score string) {
	role := "Started"
	section := work.Section("constraints")
	if a.lifetime == "" {
		section.Add(cib.NewElement("rsc_location", "id", id, "rsc", a.resource, "role", role, "node", a.node, "score", score))
		return
	}
	part := func(name, _ string) string { return id + "-" + name }
	if id == preferID(a.resource) { // these ids are as old as the trade
		part = func(_, old string) string { return "cli-prefer-" + old + "-" + a.resource }
	}
	rule := cib.NewElement("rule", "id", part("rule", "rule"), "score", score, "boolean-op", "and")
	rule.Add(
		cib.NewElement("expression", "id", part("expr", "expr"), "attribute", "#uname", "operation", "eq", "value", a.node, "type", "string"),
		cib.NewElement("date_expression", "id", part("lifetime", "lifetime-end"), "operation", "lt", "end", a.lifetime))
	section.Add(cib.NewElement("rsc_location", "id", id, "rsc", a.resource, "role", role).Add(rule))
}

func removeConstraint(work *cib.CIB, id string) bool {
	section := work.Section("constraints")
	if e := section.ChildByID(id); e != nil {
		return section.Remove(e)
	}
	return false
}

func runClear(ctx context.Context, s *Session, c *call) error {
	id, node := c.arg(0), c.arg(1)
	var removed []string
	err := s.change(ctx, c, func(work *cib.CIB) error {
		if _, ok := findResource(work, id); !ok {
			return noResource(work, id, c.at(0))
		}
		for _, e := range slices.Clone(work.Section("constraints").Children) {
			if e.Get("rsc") != id {
				continue
			}
			ours := e.ID() == preferID(id) || strings.HasPrefix(e.ID(), banID(id, ""))
			if ours && (node == "" || constraintNode(e) == node) {
				work.Section("constraints").Remove(e)
				removed = append(removed, e.ID())
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, r := range removed {
		s.msg.info("Removed constraint: %s", r)
	}
	return s.waitIfAsked(ctx)
}

// constraintNode is the node that a constraint made by move or ban names.
func constraintNode(e *cib.Element) string {
	if n := e.Get("node"); n != "" {
		return n
	}
	return e.Child("rule").Child("expression").Get("value")
}

// runConstraints lists what constrains a resource, in the crm language.
func runConstraints(ctx context.Context, s *Session, c *call) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	id := c.arg(0)
	t, ok := findResource(doc, id)
	if !ok {
		return noResource(doc, id, c.at(0))
	}
	names := []string{id}
	for t.parent.Name != "resources" {
		names = append(names, t.parent.ID())
		if t, ok = findResource(doc, t.parent.ID()); !ok {
			break
		}
	}
	index := cib.NewIndex(doc)
	var objects []*cib.Element
	for _, n := range names {
		for _, ref := range index.References(n) {
			if ref.Section == "constraints" && !slices.Contains(objects, ref.Object) {
				objects = append(objects, ref.Object)
			}
		}
	}
	return s.showObjects(doc, objects)
}

// waitIfAsked waits for the cluster to settle when -w was given.
func (s *Session) waitIfAsked(ctx context.Context) error {
	if !s.cfg.Wait || s.cfg.Offline || s.overlay != nil || s.rehearsing {
		return nil
	}
	return s.settle(ctx)
}

// settle waits until the cluster has done everything that follows from the
// last commit.
func (s *Session) settle(ctx context.Context) error {
	if err := s.Settle(ctx, nil); err != nil {
		return fmt.Errorf("waiting for the cluster to settle: %w", err)
	}
	return nil
}
