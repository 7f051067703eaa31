package shell

import (
	"context"
	"fmt"
	"io"
	"strings"

	"gcrm/cib"
)

// runGraph draws the configuration in the language of graphviz: containers
// around their members, arrows for orders, dashed lines for colocations,
// dotted ones to the nodes that locations name.
func runGraph(ctx context.Context, s *Session, c *call) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	text := graphOf(doc)
	words := c.args()
	if len(words) > 0 && words[0] == "dot" {
		words = words[1:]
	}
	if len(words) == 0 {
		if s.cfg.Format == "json" {
			return s.writeJSON(map[string]string{"dot": text})
		}
		_, err := io.WriteString(s.msg.out, text)
		return err
	}
	if s.rehearsing {
		return nil
	}
	return writeFile(words[0], text)
}

func dotName(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }

func graphOf(doc *cib.CIB) string {
	var b strings.Builder
	b.WriteString("digraph configuration {\n\tnode [shape=box];\n\tcompound=true;\n")
	anchor := map[string]string{} // a container's edges end at its first primitive
	for e := range cib.Members(doc.Section("resources")) {
		drawResource(&b, e, "\t", anchor)
	}
	end := func(id string) string {
		if a, ok := anchor[id]; ok {
			return dotName(a)
		}
		return dotName(id)
	}
	named := map[string]bool{}
	for e := range doc.Section("constraints").Elements() {
		switch e.Name {
		case "rsc_order":
			for _, p := range setPairs(e, "first", "then") {
				fmt.Fprintf(&b, "\t%s -> %s [label=%s];\n", end(p[0]), end(p[1]), dotName(e.ID()))
			}
		case "rsc_colocation":
			for _, p := range setPairs(e, "rsc", "with-rsc") {
				fmt.Fprintf(&b, "\t%s -> %s [style=dashed, dir=none, label=%s];\n", end(p[0]), end(p[1]), dotName(e.ID()+" "+e.Get("score")))
			}
		case "rsc_location":
			if node := e.Get("node"); node != "" && e.Get("rsc") != "" {
				if !named[node] {
					named[node] = true
					fmt.Fprintf(&b, "\t%s [shape=ellipse, label=%s];\n", dotName("node "+node), dotName(node))
				}
				fmt.Fprintf(&b, "\t%s -> %s [style=dotted, label=%s];\n", end(e.Get("rsc")), dotName("node "+node), dotName(e.Get("score")))
			}
		}
	}
	b.WriteString("}\n")
	return b.String()
}

func drawResource(b *strings.Builder, e *cib.Element, indent string, anchor map[string]string) {
	if !cib.IsContainer(e.Name) {
		label := e.ID()
		if a := cib.AgentOf(e); a.Type != "" {
			label += "\\n" + a.String()
		}
		fmt.Fprintf(b, "%s%s [label=\"%s\"];\n", indent, dotName(e.ID()), label)
		return
	}
	if inside := primitivesOf(e); len(inside) > 0 {
		anchor[e.ID()] = inside[0]
	}
	fmt.Fprintf(b, "%ssubgraph %s {\n%s\tlabel=%s;\n", indent, dotName("cluster_"+e.ID()), indent, dotName(e.Name+" "+e.ID()))
	for m := range cib.Members(e) {
		drawResource(b, m, indent+"\t", anchor)
	}
	b.WriteString(indent + "}\n")
}

// setPairs are the neighbours that a constraint connects, also of sets.
func setPairs(e *cib.Element, first, then string) [][2]string {
	if a, b := e.Get(first), e.Get(then); a != "" && b != "" {
		return [][2]string{{a, b}}
	}
	var out [][2]string
	var before []string
	for set := range e.Named("resource_set") {
		var refs []string
		for r := range set.Named("resource_ref") {
			refs = append(refs, r.ID())
		}
		if set.Get("sequential") != "false" {
			for i := 1; i < len(refs); i++ {
				out = append(out, [2]string{refs[i-1], refs[i]})
			}
		}
		for _, x := range before {
			for _, y := range refs {
				out = append(out, [2]string{x, y})
			}
		}
		before = refs
	}
	return out
}
