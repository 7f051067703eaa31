package shell

import (
	"context"
	"fmt"
	"strings"

	"gcrm/cib"
	"gcrm/grammar"
)

func assistLevel() *Level {
	primitive := Arg{Name: "primitive", Kind: argPrimitive, Repeat: true}
	return &Level{
		Name: "assist",
		Help: "Rearrange resources: shared templates, loose colocations.",
		Verbs: []*Verb{
			{Name: "template", Help: "Make a template of the agent that several primitives have in common.",
				Example: "template vm1 vm2", Args: []Arg{primitive}, Changes: true, run: runAssistTemplate},
			{Name: "weak-bond", Aliases: []string{"weak_bond"}, Help: "Keep primitives together without one depending on another.",
				Long: "A colocation with a dummy resource does that: each of them goes where the dummy is,\n" +
					"and the failure of one moves none of the others.",
				Example: "weak-bond web mail", Args: []Arg{need("primitive", argPrimitive), primitive}, Changes: true, run: runWeakBond},
		},
	}
}

// primitivesNamed returns the primitives that the arguments name.
func primitivesNamed(work *cib.CIB, c *call) ([]*cib.Element, error) {
	var out []*cib.Element
	for i, w := range c.words {
		t, ok := findResource(work, w.Text)
		switch {
		case !ok:
			return nil, noResource(work, w.Text, c.at(i))
		case t.element.Name != "primitive":
			return nil, problemf("%s: %s is a %s, not a primitive", c.path, w.Text, t.element.Name).at(c.at(i))
		}
		out = append(out, t.element)
	}
	return out, nil
}

// freeName makes an id of a prefix and the least number that is not taken.
func freeName(work *cib.CIB, prefix string) string {
	ids := idsOf(work)
	for n := 1; ; n++ {
		if name := fmt.Sprint(prefix, n); !ids[name] {
			return name
		}
	}
}

func runAssistTemplate(ctx context.Context, s *Session, c *call) error {
	return s.edit(ctx, func(work *cib.CIB) error {
		list, err := primitivesNamed(work, c)
		if err != nil {
			return err
		}
		agent := cib.AgentName{}
		for i, p := range list {
			a := cib.AgentOf(p)
			if p.Has("template") {
				return problemf("%s: %s is made from template %s already", c.path, p.ID(), p.Get("template")).at(c.at(i))
			}
			if i > 0 && a != agent {
				return problemf("%s: %s and %s have different agents (%s, %s)", c.path, list[0].ID(), p.ID(), agent, a).at(c.at(i))
			}
			agent = a
		}
		id := freeName(work, "template-"+strings.ToLower(agent.Type)+"-")
		template := cib.NewElement("template", "id", id)
		for _, attr := range []string{"class", "provider", "type"} {
			if v := list[0].Get(attr); v != "" {
				template.Set(attr, v)
			}
		}
		section := work.Section("resources")
		section.Children = append([]*cib.Element{template}, section.Children...)
		for _, p := range list {
			for _, attr := range []string{"class", "provider", "type"} {
				p.Unset(attr)
			}
			p.Set("template", id)
		}
		s.msg.info("%s: Template created: %s", c.path, id)
		return nil
	})
}

func runWeakBond(ctx context.Context, s *Session, c *call) error {
	return s.edit(ctx, func(work *cib.CIB) error {
		if _, err := primitivesNamed(work, c); err != nil {
			return err
		}
		dummy, constraint := freeName(work, "place-dummy-"), freeName(work, "place-constraint-")
		words := append([]string{"colocation", constraint, "inf:", "("}, c.args()...)
		e := grammar.NewEdit(work, nil)
		for _, args := range [][]string{{"primitive", dummy, "ocf:heartbeat:Dummy"}, append(words, ")", dummy)} {
			st, err := grammar.Parse(grammar.ReadArguments("", args), grammar.Command)
			if err != nil {
				return err
			}
			if _, err := e.Apply(st); err != nil {
				return err
			}
		}
		s.msg.info("%s: colocation %s with the dummy resource %s", c.path, constraint, dummy)
		return nil
	})
}
