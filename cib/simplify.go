package cib

// SimplifyConstraint turns a constraint with resource sets into a simple one if
// the sets hold just two resources that follow each other (for a ticket: one).
// Others stay as they are.
func SimplifyConstraint(constraint *Element) { simplify(constraint) }

// JoinTicketSets makes one set of the two sets of a ticket constraint if each
// holds one resource and both the same role: the order of sets says nothing
// there.
func JoinTicketSets(ticket *Element) {
	var sets []*Element
	for set := range ticket.Named("resource_set") {
		sets = append(sets, set)
	}
	if len(sets) != 2 {
		return
	}
	for _, set := range sets {
		if len(set.Children) != 1 || set.Children[0].Name != "resource_ref" || set.Has("id-ref") || set.Has("require-all") {
			return
		}
	}
	for _, set := range sets {
		set.Unset("sequential") // one resource has no sequence
	}
	if sets[0].Get("role") == sets[1].Get("role") {
		sets[0].Add(sets[1].Children...)
		ticket.Remove(sets[1])
	}
}
