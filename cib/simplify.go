package cib

// SimplifyConstraint turns a constraint with resource sets into a simple one if
// the sets hold just two resources that follow each other (for a ticket: one).
// Others stay as they are.
func SimplifyConstraint(constraint *Element) { simplify(constraint) }
