package scheduler

import (
	"fmt"
	"strings"
)

// Dot is the transition graph in the language of graphviz, drawn as
// crm_simulate does: what is done in green, pseudo-actions in orange letters,
// what cannot be done in red. all also draws what is not needed now.
func (p *Plan) Dot(all bool) string {
	e := p.engine
	var b strings.Builder
	b.WriteString(" digraph \"g\" {\n")
	drawn := func(a *action) bool { return all || a.is(fDumped) || a.required() && (a.rsc == nil || a.rsc.managed) }
	for i := len(e.actions) - 1; i >= 0; i-- {
		a := e.actions[i]
		if !drawn(a) {
			continue
		}
		style, color, font := "dashed", "red", "black"
		if a.is(fPseudo) {
			font = "orange"
		}
		switch {
		case a.is(fDumped):
			style, color = "bold", "green"
		case a.rsc != nil && !a.rsc.managed:
			font = "purple"
		case a.optional():
			color = "blue"
		}
		fmt.Fprintf(&b, "%s [ style=%s color=\"%s\" fontcolor=\"%s\"]\n", dotName(a), style, color, font)
	}
	for i := len(e.actions) - 1; i >= 0; i-- {
		a := e.actions[i]
		inputs := map[*action]bool{}
		for _, in := range a.graphInputs {
			inputs[in] = true
		}
		for _, rel := range a.before {
			in := rel.act
			style := "dashed"
			switch {
			case inputs[in]:
				style = "bold"
			case rel.flags == 0:
				continue
			case a.is(fDumped) && in.is(fDumped) && rel.flags != oIfOnSameNodeOrTarget && rel.flags != oIfRequiredOnSameNode:
			case !all:
				continue
			}
			fmt.Fprintf(&b, "%s -> %s [ style = %s]\n", dotName(in), dotName(a), style)
		}
	}
	b.WriteString("}\n")
	return b.String()
}

// dotName is the name of an action in a drawing.
func dotName(a *action) string {
	name := a.key
	switch {
	case a.task == taskStonith && a.node != nil:
		name = fmt.Sprintf("%s '%s' %s", a.task, a.meta.val("stonith_action"), a.node.name)
	case a.node != nil:
		name += " " + a.node.name
	case !a.is(fPseudo):
		name += " <none>"
	}
	return `"` + strings.ReplaceAll(name, `"`, `\"`) + `"`
}
