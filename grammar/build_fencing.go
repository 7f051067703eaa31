package grammar

import (
	"slices"
	"strconv"
	"strings"

	"gcrm/cib"
)

// topology makes the fencing-topology section. nodes are the node names of the
// CIB, sorted.
func (b *builder) topology(t *Topology, nodes []string) *cib.Element {
	e := &cib.Element{Name: "fencing-topology"}
	if len(t.Items) == 0 && b.st.Mode == Command {
		b.fail(Token{Pos: b.st.Pos}, "Expected at least 1 argument, expected %s", descriptions["fencing-level"])
	}
	type target struct {
		attrs  []string
		levels []Token
	}
	targets := []target{{}}
	for _, item := range t.Items {
		v := item.Value
		switch {
		case item.Type == tLabel && !strings.HasPrefix(v, "pattern:") && !strings.HasPrefix(v, "attr:"):
			targets = append(targets, target{attrs: []string{"target", label(item)}})
		case strings.HasPrefix(v, "pattern:"):
			targets = append(targets, target{attrs: []string{"target-pattern", v[len("pattern:"):]}})
		case strings.HasPrefix(v, "attr:") && strings.Contains(v, "="):
			name, value, _ := strings.Cut(v[len("attr:"):], "=")
			targets = append(targets, target{attrs: []string{"target-attribute", name, "target-value", value}})
		case strings.Contains(v, "=") || slices.Contains(strings.Split(v, ","), ""):
			b.hint(item, "join the devices of one level by commas, without blanks", "%q is no list of devices", v)
		default:
			last := &targets[len(targets)-1]
			last.levels = append(last.levels, item)
		}
	}
	index := map[string]int{}
	add := func(attrs []string, levels []Token) {
		for _, l := range levels {
			key := strings.Join(attrs, " ")
			index[key]++
			e.Add(cib.NewElement("fencing-level", append(slices.Clone(attrs), "index", strconv.Itoa(index[key]), "devices", l.Value)...))
		}
	}
	if levels := targets[0].levels; len(levels) > 0 {
		if len(nodes) == 0 {
			b.hint(levels[0], "name the target (NODE: DEVICE) or define the nodes first", "there is no node that %s could fence", levels[0].Value)
		}
		for _, n := range nodes {
			add([]string{"target", n}, levels)
		}
	}
	for i, g := range targets[1:] {
		if len(g.levels) == 0 {
			b.fail(t.Items[len(t.Items)-1], "target %s has no devices", targets[i+1].attrs[1])
		}
		add(g.attrs, g.levels)
	}
	return e
}
