package grammar

import (
	"slices"
)

// putTopology makes the one fencing topology.
func (e *Edit) putTopology(b *builder, s *Topology) func() {
	var nodes []string
	for n := range e.CIB.Section("nodes").Named("node") {
		nodes = append(nodes, n.Get("uname"))
	}
	slices.Sort(nodes)
	el := b.topology(s, nodes)
	old := e.CIB.Section("fencing-topology")
	if old != nil && len(old.Children) > 0 && !e.loading {
		b.hint(Token{Value: topologyID, Pos: b.st.Pos}, "delete fencing_topology first", "Cannot create fencing_topology with ID 'fencing_topology': Found existing fencing_topology with same ID.")
	}
	if len(b.errs) > 0 {
		return nil
	}
	comment(el, b.st.Comments)
	e.ids.complete(el, old)
	return func() {
		s := e.section("fencing-topology")
		for _, c := range s.Children {
			if id := c.ID(); id != "" {
				e.ids.release(id)
			}
		}
		s.Children = el.Children
		e.ids.collect(s)
		e.objects[topologyID] = place{s, e.CIB.Configuration()}
	}
}
