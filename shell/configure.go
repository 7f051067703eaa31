package shell

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"gcrm/cib"
	"gcrm/grammar"
)

// bareTimePattern matches a time without a unit.
const bareTimePattern = `^[0-9]+$`

// withUnit adds the unit s to a bare number.
func withUnit(name, value string) string {
	if (name == "interval" || name == "timeout") && regexp.MustCompile(bareTimePattern).MatchString(value) {
		return value + "s"
	}
	return value
}

// runSet changes one value: ID.NAME, ID.OP.NAME or ID.OP.INTERVAL.NAME.
func runSet(ctx context.Context, s *Session, c *call) error {
	value := c.arg(1)
	return s.edit(ctx, func(work *cib.CIB) error {
		o, rest, ok := splitPath(work, c.arg(0))
		if !ok {
			return problemf("%s: %s names no object", c.path, c.arg(0)).at(c.at(0)).hinting("write ID.NAME, ID.OPERATION.NAME or ID.OPERATION.INTERVAL.NAME")
		}
		if len(rest) == 1 {
			switch pairs := pairsNamed(o.Element, rest[0]); len(pairs) {
			case 0:
			case 1:
				pairs[0].Set("value", withUnit(rest[0], value))
				return nil
			default:
				return problemf("%s: Expected 1 attribute named %s, found %d", c.path, rest[0], len(pairs)).at(c.at(0)).
					hinting("change it with edit %s", o.ID)
			}
			return problemf("%s: attribute %s does not exist in %s", c.path, rest[0], o.ID).at(c.at(0))
		}
		return setOperation(work, o, rest, value, c)
	})
}

// splitPath finds the object that a dotted path begins with; ids may have dots
// themselves.
func splitPath(work *cib.CIB, path string) (grammar.Object, []string, bool) {
	for i := len(path) - 1; i > 0; i-- {
		if path[i] != '.' {
			continue
		}
		if o, ok := findObject(work, path[:i]); ok && path[i+1:] != "" {
			return o, strings.Split(path[i+1:], "."), true
		}
	}
	return grammar.Object{}, nil, false
}

// pairsNamed finds the nvpairs of a name in an object: in its own sets, in its
// operations, not in resources within it.
func pairsNamed(e *cib.Element, name string) []*cib.Element {
	var out []*cib.Element
	e.Walk(func(x *cib.Element) bool {
		if x.Name == "nvpair" && x.Get("name") == name {
			out = append(out, x)
		}
		return x == e || !cib.IsResource(x.Name)
	})
	return out
}

func setOperation(work *cib.CIB, o grammar.Object, rest []string, value string, c *call) error {
	op, name := rest[0], rest[len(rest)-1]
	var found []*cib.Element
	for e := range o.Element.Child("operations").Named("op") {
		if e.Get("name") != op {
			continue
		}
		if len(rest) == 3 && !sameInterval(e.Get("interval"), rest[1]) {
			continue
		}
		found = append(found, e)
	}
	switch {
	case len(rest) > 3 || len(found) == 0:
		return problemf("%s: %s has no operation %s", c.path, o.ID, strings.Join(rest[:len(rest)-1], " ")).at(c.at(0))
	case len(found) > 1:
		return problemf("%s: Should specify interval of %s", c.path, op).at(c.at(0)).
			hinting("write %s.%s.%s.%s", o.ID, op, found[0].Get("interval"), name)
	}
	e := found[0]
	value = withUnit(name, value)
	if name == "id" || name == "name" {
		return problemf("%s: %s of an operation cannot be set", c.path, name).at(c.at(0)).hinting("use edit %s", o.ID)
	}
	if e.Has(name) || len(pairsNamed(e, name)) == 0 && grammar.IsOperationAttribute(name) {
		old := e.Get("interval")
		e.Set(name, value)
		if name == "interval" && e.ID() == o.ID+"-"+op+"-"+old {
			ids := idsOf(work)
			delete(ids, e.ID())
			e.Set("id", ids.fresh(o.ID+"-"+op+"-"+value))
		}
		return nil
	}
	if pairs := pairsNamed(e, name); len(pairs) == 1 {
		pairs[0].Set("value", value)
		return nil
	}
	return problemf("%s: attribute %s does not exist in operation %s of %s", c.path, name, op, o.ID).at(c.at(0))
}

func sameInterval(a, b string) bool {
	if a == b {
		return true
	}
	x, err1 := cib.ParseDuration(a)
	y, err2 := cib.ParseDuration(b)
	return err1 == nil && err2 == nil && x == y
}

func runErase(ctx context.Context, s *Session, c *call) error {
	if !s.cfg.Offline && !s.cfg.Force {
		running, err := s.runningResources(ctx)
		if err != nil {
			return err
		}
		if len(running) > 0 {
			return problemf("there are running resources: %s", strings.Join(running, " ")).hinting("stop them first")
		}
	}
	e, err := s.editor(ctx)
	if err != nil {
		return err
	}
	e.Erase(len(c.words) > 0)
	s.staged.touched = true
	return nil
}

func runSchema(ctx context.Context, s *Session, c *call) error {
	if len(c.words) == 0 {
		doc, err := s.view(ctx)
		if err != nil {
			return err
		}
		return s.writeValue("schema", doc.Schema())
	}
	name := c.arg(0)
	if !knownSchema(name) {
		return problemf("schema %s is not supported", name).at(c.at(0)).hinting("known are pacemaker-1.0 to pacemaker-4.0")
	}
	return s.edit(ctx, func(work *cib.CIB) error {
		work.Root.Set("validate-with", name)
		return nil
	})
}

// knownSchema reports whether a schema is one that documents can be checked
// against.
func knownSchema(name string) bool {
	var major, minor int
	var tail string
	if n, _ := fmt.Sscanf(name, "pacemaker-%d.%d%s", &major, &minor, &tail); n != 2 {
		return name == "pacemaker-next"
	}
	last := map[int]int{1: 3, 2: 10, 3: 10, 4: 0}
	m, ok := last[major]
	return ok && minor >= 0 && minor <= m
}

func runUpgrade(ctx context.Context, s *Session, c *call) error {
	if !c.has(0, "force") && !s.cfg.Force {
		return problemf("'force' option is required").hinting("upgrade force sets the schema to %s", cib.DefaultSchema)
	}
	return s.edit(ctx, func(work *cib.CIB) error {
		notes, err := cib.Upgrade(work)
		if err != nil {
			return problemf("%s: %v", c.path, err)
		}
		for _, n := range notes {
			text := n.Text
			if n.ID != "" {
				text = kindOfNote(n) + ":" + n.ID + ": " + text
			}
			s.msg.info("%s", text)
		}
		if len(notes) == 0 {
			s.msg.info("the schema is %s already", work.Schema())
		}
		return nil
	})
}

func runGetProperty(ctx context.Context, s *Session, c *call) error {
	words, truth := c.words, false
	if len(words) > 0 && words[0].Text == "-t" {
		words, truth = words[1:], true
	}
	if len(words) == 0 {
		return problemf("%s: which property?", c.path).at(c.words[0].End)
	}
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	options := cib.ClusterOptions()
	values := map[string]string{}
	for _, w := range words {
		o := cib.FindOption(options, w.Text)
		names := []string{w.Text}
		if o != nil {
			names = append(append(names, o.Name), o.Aliases...)
		}
		v, ok := doc.Property(names...)
		if !ok {
			if o == nil {
				p := problemf("unknown property %s", w.Text).at(w.Pos)
				var known []string
				for _, k := range options {
					known = append(append(known, k.Name), k.Aliases...)
				}
				if near := nearest(w.Text, known); near != "" {
					p.hinting("did you mean %s?", near)
				}
				return p
			}
			v = o.Default
		}
		if b, isBool := cib.ParseBool(v); truth && isBool && (o == nil || o.Type == "boolean") {
			v = fmt.Sprint(b)
		}
		values[w.Text] = v
		if s.cfg.Format != "json" {
			s.printf("%s\n", v)
		}
	}
	if s.cfg.Format == "json" {
		return s.writeJSON(values)
	}
	return nil
}

// runDefaultTimeouts sets timeouts to what agents advise and adds operations
// that everybody needs.
func runDefaultTimeouts(ctx context.Context, s *Session, c *call) error {
	return s.edit(ctx, func(work *cib.CIB) error {
		index := cib.NewIndex(work)
		ids := idsOf(work)
		for _, w := range c.words {
			t, ok := findResource(work, w.Text)
			if !ok || t.element.Name != "primitive" {
				return problemf("%s is not a primitive", w.Text).at(w.Pos)
			}
			m, err := s.agents(ctx).Metadata(index.Agent(t.element))
			if err != nil || m == nil {
				s.msg.warning("%s: its agent advises nothing", w.Text)
				continue
			}
			adviseTimeouts(t.element, m, ids, cib.IsPromotable(holder(work, t)))
		}
		return nil
	})
}

func adviseTimeouts(e *cib.Element, m *cib.AgentMeta, ids idSet, promotable bool) {
	needed := []string{"start", "stop"}
	if promotable {
		needed = append(needed, "promote", "demote")
	}
	if cib.IsTrue(cib.Meta(e, "allow-migrate")) {
		needed = append(needed, "migrate_to", "migrate_from")
	}
	ops := e.Ensure("operations")
	have := map[string]bool{}
	for op := range ops.Named("op") {
		have[op.Get("name")] = true
		if a := m.Action(op.Get("name"), op.Get("role")); a != nil && a.Timeout > 0 {
			op.Set("timeout", cib.FormatDuration(a.Timeout))
		}
	}
	for _, name := range needed {
		a := m.Action(name, "")
		if have[name] || a == nil || a.Timeout == 0 {
			continue
		}
		op := cib.NewElement("op", "name", name, "timeout", cib.FormatDuration(a.Timeout), "interval", "0")
		op.Set("id", ids.fresh(e.ID()+"-"+name+"-0"))
		ops.Add(op)
	}
}
