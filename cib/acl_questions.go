package cib

// ReadsAll reports whether the user may read everything.
func (a *Access) ReadsAll(c *CIB) bool {
	if a.all {
		return true
	}
	m := a.marks(c)
	for _, f := range m.flags {
		if f&aclDeny != 0 {
			return false
		}
	}
	return m.allows(c.Root, aclRead)
}

// Reads reports whether the user may read an element of a document.
func (a *Access) Reads(c *CIB, e *Element) bool { return a.all || a.marks(c).allows(e, aclRead) }

// Writes reports whether the user may change an element of a document.
func (a *Access) Writes(c *CIB, e *Element) bool { return a.all || a.marks(c).allows(e, aclWrite) }

// Denies is the error for what is not part of a document.
func (a *Access) Denies(what string) error { return &AccessError{a.user, what} }
