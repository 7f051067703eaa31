package scheduler

import (
	"slices"
	"strings"
)

// Which colocations concern a resource: its own, and those of what it is a part
// of.

// compareForColocation orders the other sides of colocations.
func compareForColocation(a, b *resource) int {
	switch {
	case a.priority != b.priority:
		return b.priority - a.priority
	case a.variant != b.variant:
		return int(b.variant) - int(a.variant)
	}
	if a.variant == vClone && a.promotable != b.promotable {
		if a.promotable {
			return -1
		}
		return 1
	}
	return strings.Compare(a.id, b.id)
}

func insertThisWith(list []*colocation, c *colocation) []*colocation {
	i := slices.IndexFunc(list, func(x *colocation) bool { return compareForColocation(c.primary, x.primary) <= 0 })
	if i < 0 {
		i = len(list)
	}
	return slices.Insert(list, i, c)
}

func insertWithThis(list []*colocation, c *colocation) []*colocation {
	i := slices.IndexFunc(list, func(x *colocation) bool { return compareForColocation(c.dependent, x.dependent) <= 0 })
	if i < 0 {
		i = len(list)
	}
	return slices.Insert(list, i, c)
}

// mergeColocations adds a list to another. Quirk of the reference: into a
// list that is not empty, the first of the added ones goes in again and again
// and the others are lost.
func mergeColocations(list, add []*colocation, insert func([]*colocation, *colocation) []*colocation) []*colocation {
	if len(add) == 0 {
		return list
	}
	if len(list) == 0 {
		return append(list, add...)
	}
	for range add {
		list = insert(list, add[0])
	}
	return list
}

// onlyOwnColocations reports that r is colocated by nothing that it is a part
// of, nor by its own parts.
func (e *engine) onlyOwnColocations(r *resource) bool {
	return e.older.has(olderInstances) || r.isPrimitive() &&
		(r.parent == nil || r.parent.variant == vGroup && r.parent.parent == nil && e.older.has(olderGroups))
}

// thisWith lists the colocations in which r is (or stands for) the dependent.
func (e *engine) thisWith(r *resource) []*colocation {
	if e.onlyOwnColocations(r) {
		return r.thisWith
	}
	return e.collectThisWith(r, r, nil)
}

// withThis lists the colocations in which r is the primary.
func (e *engine) withThis(r *resource) []*colocation {
	if e.onlyOwnColocations(r) {
		return r.withThis
	}
	return e.collectWithThis(r, r, nil)
}

func (e *engine) collectThisWith(r, orig *resource, list []*colocation) []*colocation {
	switch r.variant {
	case vPrimitive:
		if r != orig {
			for _, c := range r.thisWith {
				if c.explicit {
					list = insertThisWith(list, c)
				}
			}
			return list
		}
		list = mergeColocations(list, r.thisWith, insertThisWith)
		if r.parent != nil {
			list = e.collectThisWith(r.parent, orig, list)
		}
	case vGroup:
		if len(r.children) == 0 {
			return list
		}
		if r == orig || orig == r.children[0] {
			list = mergeColocations(list, r.thisWith, insertThisWith)
			if r.parent != nil {
				list = e.collectThisWith(r.parent, orig, list)
			}
			if !r.group.colocated {
				return list
			}
			for _, m := range r.children {
				if m != orig {
					list = e.collectThisWith(m, orig, list)
				}
			}
			return list
		}
		for _, m := range r.children {
			if m == orig {
				break
			}
			if !m.managed {
				for _, c := range r.thisWith {
					if c.score >= infinity {
						list = insertThisWith(list, c)
					}
				}
				break
			}
		}
	case vClone:
		list = mergeColocations(list, r.thisWith, insertThisWith)
		if r.parent != nil {
			list = e.collectThisWith(r.parent, orig, list)
		}
	case vBundle:
		if e.bundleColocates(r, orig) {
			list = mergeColocations(list, r.thisWith, insertThisWith)
		}
	}
	return list
}

func (e *engine) collectWithThis(r, orig *resource, list []*colocation) []*colocation {
	switch r.variant {
	case vPrimitive:
		if r != orig {
			for _, c := range r.withThis {
				if c.explicit {
					list = insertWithThis(list, c)
				}
			}
			return list
		}
		list = mergeColocations(list, r.withThis, insertWithThis)
		if r.parent != nil {
			list = e.collectWithThis(r.parent, orig, list)
		}
	case vGroup:
		if len(r.children) == 0 || (orig != r && orig != r.children[len(r.children)-1]) {
			return list
		}
		list = mergeColocations(list, r.withThis, insertWithThis)
		if r.parent != nil {
			list = e.collectWithThis(r.parent, orig, list)
		}
		if !r.group.colocated {
			return list
		}
		for _, m := range r.children {
			if m != orig {
				list = e.collectWithThis(m, orig, list)
			}
		}
	case vClone:
		list = mergeColocations(list, r.withThis, insertWithThis)
		if r.parent != nil {
			list = e.collectWithThis(r.parent, orig, list)
		}
	case vBundle:
		if e.bundleColocates(r, orig) {
			list = mergeColocations(list, r.withThis, insertWithThis)
		}
	}
	return list
}

// bundleColocates reports whether a bundle's constraints count for orig.
func (e *engine) bundleColocates(b, orig *resource) bool {
	if orig == b || orig.replicaContainer {
		return true
	}
	child := b.bundle.child
	if child == nil || !child.promotable {
		return false
	}
	if orig == child {
		return child.clone.choosingRoles
	}
	return orig.parent == child && !orig.unprovisioned
}
